"""What groups of parameters ask of each other."""

from __future__ import annotations

import pytest

from state.params import ConsensusParams, StakeParams, check_unbonding
from state.primitives.errors import MalformedError

HOUR_S = 3_600


@pytest.mark.parametrize(
    ("consensus", "least_s"),
    [
        (ConsensusParams(evidence_blocks_max=1_000, block_interval_ms=1_000, evidence_age_s_max=60), 1_000),
        (ConsensusParams(evidence_blocks_max=1_000, block_interval_ms=1_000, evidence_age_s_max=48 * HOUR_S), 48 * HOUR_S),
        (
            ConsensusParams(
                evidence_blocks_max=1_000, block_interval_ms=1_000, evidence_age_s_max=60, empty_blocks=False, heartbeat_interval_ms=60_000
            ),
            60_000,
        ),
        (
            ConsensusParams(
                evidence_blocks_max=1_000, block_interval_ms=5_000, evidence_age_s_max=60, empty_blocks=False, heartbeat_interval_ms=1_000
            ),
            5_000,
        ),
    ],
)
def test_l4_stake_stays_as_long_as_evidence_counts(consensus: ConsensusParams, least_s: int) -> None:
    """A chain without empty blocks is slow when nothing happens: evidence counts for so many blocks all the same."""
    check_unbonding(StakeParams(unbonding_s=least_s), consensus)
    with pytest.raises(MalformedError, match=f"shorter than the {least_s} s"):
        check_unbonding(StakeParams(unbonding_s=least_s - 1), consensus)


def test_l4_without_blocks_at_all_nothing_bounds_evidence() -> None:
    with pytest.raises(MalformedError, match="a heartbeat is needed"):
        check_unbonding(StakeParams(), ConsensusParams(empty_blocks=False, heartbeat_interval_ms=0))
