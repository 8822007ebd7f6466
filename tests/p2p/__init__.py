"""Tests of tests/p2p."""
