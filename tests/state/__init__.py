"""Tests of tests/state."""
