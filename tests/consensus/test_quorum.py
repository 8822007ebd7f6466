"""The two thresholds."""

from __future__ import annotations

import pytest

from consensus.quorum import is_honest_share, is_quorum

# total power, least power of a quorum, least power of an honest share
THRESHOLDS = [
    (1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 3, 2), (5, 4, 2), (6, 5, 3), (7, 5, 3), (9, 7, 4), (10, 7, 4), (1003, 669, 335),
    ((1 << 60) - 1, ((1 << 60) - 1) * 2 // 3 + 1, ((1 << 60) - 1) // 3 + 1),
]  # fmt: skip


@pytest.mark.parametrize(("total", "quorum", "share"), THRESHOLDS)
def test_a1_thresholds_are_strict_and_integer(total: int, quorum: int, share: int) -> None:
    assert is_quorum(quorum, total)
    assert not is_quorum(quorum - 1, total)
    assert is_honest_share(share, total)
    assert not is_honest_share(share - 1, total)


def test_a1_by_power_not_by_heads() -> None:
    total = 1 + 1 + 1 + 1000
    assert not is_quorum(3, total)
    assert is_quorum(1000, total)


def test_a1_two_quorums_share_more_than_any_third() -> None:
    for total in range(1, 200):
        quorum = next(p for p in range(total + 1) if is_quorum(p, total))
        assert is_honest_share(2 * quorum - total, total)
