"""Tests of the explorer: its routes, its JavaScript under Node, its pages in a headless browser."""
