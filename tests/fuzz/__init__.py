"""Fuzzing of everything that reads bytes from a stranger."""
