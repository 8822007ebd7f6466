"""Whose turn it is: CometBFT's weighted round robin over the validator set.

Every turn each validator's priority grows by its power; the highest (ties: the lower address) proposes and falls by the total.
Divisions truncate toward zero, as in that ecosystem, where Python's `//` would floor. Priorities belong to a height: those of
round r are those of round 0 advanced r times, on a copy (consensus.md B6, K7). No header has them: their hash stands in the state.
"""

from __future__ import annotations

from collections.abc import Sequence

from state.primitives.codec import encode_trusted
from state.primitives.hashing import sha256
from state.validators import Validator, ValidatorSet

WINDOW_FACTOR = 2  # priorities stay within this many totals of each other


def truncate_divide(numerator: int, denominator: int) -> int:
    """Division toward zero."""
    quotient = abs(numerator) // abs(denominator)
    return quotient if (numerator < 0) == (denominator < 0) else -quotient


def initial_priorities(validators: ValidatorSet) -> tuple[int, ...]:
    """Priorities before the first turn of the first height: all equal."""
    return (0,) * len(validators)


def advance(validators: ValidatorSet, priorities: Sequence[int], turns: int) -> tuple[int, ...]:
    """Priorities after `turns` turns. A height takes one turn, however many rounds it needed."""
    return tuple(_take_turns(validators, priorities, turns)[0])


def proposer_of(validators: ValidatorSet, priorities: Sequence[int], round_: int) -> Validator:
    """The proposer of a round, given the priorities *before* round 0's turn."""
    return validators.validators[_take_turns(validators, priorities, round_ + 1)[1]]


def _take_turns(validators: ValidatorSet, priorities: Sequence[int], turns: int) -> tuple[list[int], int]:
    """(priorities after the turns, index of the last turn's proposer)."""
    current = _centre(_rescale(list(priorities), WINDOW_FACTOR * validators.total_power))
    chosen = 0
    for _ in range(turns):
        for index, validator in enumerate(validators.validators):
            current[index] += validator.power
        chosen = _highest(validators, current)
        current[chosen] -= validators.total_power
    return current, chosen


def update_priorities(old: ValidatorSet, priorities: Sequence[int], new: ValidatorSet) -> tuple[int, ...]:
    """Priorities carried to a changed set: a newcomer starts at -1.125 of the total, so rejoining gains nothing."""
    if old == new:
        return tuple(priorities)
    known = {validator.address: priority for validator, priority in zip(old.validators, priorities, strict=True)}
    penalty = -(new.total_power + (new.total_power >> 3))
    carried = [known.get(validator.address, penalty) for validator in new.validators]
    return tuple(_centre(_rescale(carried, WINDOW_FACTOR * new.total_power)))


def hash_priorities(priorities: Sequence[int]) -> bytes:
    """What the state keeps of the priorities after a block: SHA-256 of their canonical array, in the order of the set."""
    return sha256(encode_trusted(tuple(priorities)))


def _highest(validators: ValidatorSet, priorities: Sequence[int]) -> int:
    best = 0
    for index in range(1, len(priorities)):
        if priorities[index] > priorities[best] or (
            priorities[index] == priorities[best]
            and validators.validators[index].address < validators.validators[best].address
        ):
            best = index
    return best


def _rescale(priorities: list[int], window: int) -> list[int]:
    spread = max(priorities) - min(priorities)
    if spread <= window:
        return priorities
    ratio = (spread + window - 1) // window
    return [truncate_divide(priority, ratio) for priority in priorities]


def _centre(priorities: list[int]) -> list[int]:
    # Go's big.Int.Div is Euclidean: for a positive divisor that is the floor
    average = sum(priorities) // len(priorities)
    return [priority - average for priority in priorities]
