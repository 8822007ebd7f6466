"""When the next height begins."""

from __future__ import annotations

import pytest

from node.pacing import EMPTY_RETRY_NS, IDLE_INTERVAL_NS, MS, compute_pace
from state.params import ConsensusParams

NOW = 1_700_000_000_000 * MS
HEARTBEAT = 60_000 * MS


@pytest.mark.parametrize(
    ("interval_ms", "empty_blocks", "had_txs", "age_ms", "busy_ms", "idle_ms"),
    [
        (1000, True, True, 0, 1000, 1000),
        (1000, True, True, 300, 700, 700),
        (1000, True, True, 5000, 0, 0),
        (1000, True, True, -400, 1000, 1000),  # a block from the future holds nobody longer than the interval
        (0, True, True, 0, 0, 1000),
        (0, True, False, 0, 50, 1000),
        (0, True, False, 60, 0, 940),
        (0, False, True, 10, 0, 990),
        (0, False, False, 10, 40, 59_990),
        (10_000, False, True, 0, 10_000, 10_000),
        (10_000, False, False, 1000, 9_000, 59_000),
        (60_000, False, False, 0, 60_000, 60_000),
    ],
)
def test_pace(interval_ms: int, empty_blocks: bool, had_txs: bool, age_ms: int, busy_ms: int, idle_ms: int) -> None:
    params = ConsensusParams(
        block_interval_ms=interval_ms, empty_blocks=empty_blocks, heartbeat_interval_ms=HEARTBEAT // MS
    )
    pace = compute_pace(params, NOW - age_ms * MS, had_txs, NOW)
    assert (pace.busy_delay_ns, pace.idle_delay_ns) == (busy_ms * MS, idle_ms * MS)


def test_no_heartbeat() -> None:
    params = ConsensusParams(block_interval_ms=0, empty_blocks=False, heartbeat_interval_ms=0)
    assert compute_pace(params, NOW, False, NOW).idle_delay_ns is None
    assert compute_pace(params, NOW, True, NOW).idle_delay_ns == IDLE_INTERVAL_NS
    assert compute_pace(params, NOW, False, NOW).busy_delay_ns == EMPTY_RETRY_NS
