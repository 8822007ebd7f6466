"""Tests of cosmjs: an unmodified CometBFT client against a real network."""
