"""The two thresholds, in integers, and nothing else. With total power T: a quorum is p with 3p > 2T, an honest share 3p > T."""

from __future__ import annotations


def is_quorum(power: int, total: int) -> bool:
    """More than two thirds: any two such sets share an honest validator."""
    return 3 * power > 2 * total


def is_honest_share(power: int, total: int) -> bool:
    """More than one third: at least one honest validator is in it."""
    return 3 * power > total
