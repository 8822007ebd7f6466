"""The parameters of governance itself: deposits, periods, what it takes to pass. See docs/governance.md.

Ranges keep governance able to change its mind: no value may make proposing, voting or executing impossible. Kept apart from
`state.params`, which takes the group in.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from state.primitives.codec import Value, decode_amount, encode_amount
from state.primitives.errors import MalformedError
from state.primitives.limits import (
    ACCOUNT_ADDRESS_BYTES,
    AMOUNT_MAX,
    GOV_PERIOD_BLOCKS_MIN,
    GOV_PERIOD_S_MAX,
    GOV_PERIOD_S_MIN,
    PPM,
)

_DAY_S: Final = 24 * 3_600


@dataclass(frozen=True, slots=True)
class GovParams:
    """Amounts are of the staked asset. `emergency_group` is the address of the committee that may trip breakers, or empty."""

    deposit_min: int = 1
    deposit_initial_ppm: int = 250_000  # of it, what the proposer brings at least
    deposit_s: int = 7 * _DAY_S
    voting_s: int = 7 * _DAY_S
    voting_expedited_s: int = _DAY_S
    delay_s: int = 2 * _DAY_S
    delay_expedited_s: int = 3_600
    execute_s: int = 7 * _DAY_S  # after the delay
    quorum_ppm: int = 400_000  # of the power of all voters
    threshold_ppm: int = 500_000  # of yes, no and veto: more than that says yes
    threshold_expedited_ppm: int = 667_000
    veto_ppm: int = 334_000  # of the votes: more than that burns the deposit
    emergency_group: bytes = b""

    def to_record(self) -> tuple[Value, ...]:
        """Stored form."""
        values = [getattr(self, f.name) for f in fields(self)]
        return (encode_amount(self.deposit_min), *values[1:])

    @classmethod
    def from_record(cls, record: Value) -> GovParams:
        """Inverse of `to_record`. Raises `MalformedError` for a wrong shape or a value out of range."""
        if type(record) is not tuple or len(record) != 2 + len(GOV_RANGES):
            raise MalformedError("governance parameters have a wrong shape")
        deposit_min, group = decode_amount(record[0]), record[-1]
        if not 0 < deposit_min <= AMOUNT_MAX:
            raise MalformedError("governance parameter deposit_min is at least one base unit")
        for (name, (low, high)), value in zip(GOV_RANGES.items(), record[1:-1], strict=True):
            if type(value) is not int or not low <= value <= high:
                raise MalformedError(f"governance parameter {name} must be within {low}..{high}")
        if type(group) is not bytes or len(group) not in (0, ACCOUNT_ADDRESS_BYTES):
            raise MalformedError("governance parameter emergency_group is an address or empty")
        params = cls(deposit_min, *record[1:])
        if params.threshold_expedited_ppm < params.threshold_ppm:
            raise MalformedError("governance parameter threshold_expedited_ppm is not below threshold_ppm")
        return params


_PERIOD: Final = (GOV_PERIOD_S_MIN, GOV_PERIOD_S_MAX)

# name -> allowed values; the order is the stored order. A quorum or a threshold above two thirds would give a minority that stays
# away more than the chain itself gives it.
GOV_RANGES: Final[dict[str, tuple[int, int]]] = {
    "deposit_initial_ppm": (0, PPM),
    "deposit_s": _PERIOD,
    "voting_s": _PERIOD,
    "voting_expedited_s": _PERIOD,
    "delay_s": (0, GOV_PERIOD_S_MAX),
    "delay_expedited_s": (0, GOV_PERIOD_S_MAX),
    "execute_s": _PERIOD,
    "quorum_ppm": (0, 667_000),
    "threshold_ppm": (500_000, 667_000),
    "threshold_expedited_ppm": (500_000, 900_000),
    "veto_ppm": (100_000, 500_000),
}


def check_periods(gov: GovParams, block_interval_ms: int) -> None:
    """Refuse periods in which too few blocks fit. To be called whenever one of the two groups changes. Raises `MalformedError`."""
    needed_ms = GOV_PERIOD_BLOCKS_MIN * block_interval_ms
    for name in ("deposit_s", "voting_s", "voting_expedited_s", "execute_s"):
        if getattr(gov, name) * 1_000 < needed_ms:
            raise MalformedError(f"governance parameter {name} is shorter than {GOV_PERIOD_BLOCKS_MIN} blocks")
