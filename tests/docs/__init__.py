"""Tests of the documentation: every command in README.md and docs/ is run, or accounted for with a reason. See `blocks.py`, `plan.py`."""
