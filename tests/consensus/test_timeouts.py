"""Delays by round, their cap, and what is timely."""

from __future__ import annotations

import pytest

from consensus.timeouts import Timeouts
from state.params import ConsensusParams
from tests.consensus.world import MS

DEFAULT = Timeouts.of(ConsensusParams())
S = 1_000 * MS
DAY = 24 * 3_600 * S


@pytest.mark.parametrize(("round_", "expected_ms"), [(0, 3_000), (1, 3_500), (2, 4_000), (114, 60_000), (115, 60_000), (1 << 31, 60_000)])
def test_e6_delays_grow_with_the_round_up_to_a_cap(round_: int, expected_ms: int) -> None:
    assert DEFAULT.compute_delay(DEFAULT.propose_ns, round_) == expected_ms * MS


def test_e6_after_fifty_failed_rounds_nobody_waits_an_hour() -> None:
    waits = (DEFAULT.propose_ns, DEFAULT.prevote_ns, DEFAULT.precommit_ns)
    assert sum(DEFAULT.compute_delay(start, 50) for start in waits) <= 3 * 60 * S


def test_a_start_above_the_cap_stays() -> None:
    timeouts = Timeouts.of(ConsensusParams(timeout_propose_ms=5_000, timeout_max_ms=1_000))
    assert timeouts.compute_delay(timeouts.propose_ns, 9) == 5 * S


def test_f2_the_message_delay_grows_by_a_tenth_and_is_capped() -> None:
    assert [DEFAULT.compute_message_delay(round_) for round_ in range(3)] == [15 * S, 16_500 * MS, 18_150 * MS]
    delays = [DEFAULT.compute_message_delay(round_) for round_ in range(200)]
    assert delays == sorted(delays)
    assert delays[-1] == DEFAULT.compute_message_delay((1 << 31) - 1) == DAY


@pytest.mark.parametrize(
    ("received_ms", "timely"),
    [(-506, False), (-505, True), (0, True), (15_505, True), (15_506, False)],
)
def test_f2_timely_is_within_both_edges(received_ms: int, timely: bool) -> None:
    time_ns = 1_700_000_000 * S
    assert DEFAULT.is_timely(time_ns, time_ns + received_ms * MS, 0) is timely
