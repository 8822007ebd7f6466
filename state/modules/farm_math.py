"""The arithmetic of farms: nothing but integers, and nothing is ever rounded away.

What one unit of weight has earned is counted in 2^-640 units; what cannot be divided among the weight is carried to the next release,
and what a position is owed below a whole unit stays owed. So at every step and for each campaign

    funded * SCALE = (paid + refunded + unallocated + unreleased) * SCALE + carry + sum of what is owed.

No record, no code, no import from the ledger goes in here: callers check what may be refused, and hand in what is valid. Source: ledger
rules, 1.2 and section 4.
"""

from __future__ import annotations

from typing import Final

SCALE_BITS: Final = (
    640  # amounts are below 2^640: one unit of reward always moves the accumulator of a stake of weight one
)
SCALE: Final = 1 << SCALE_BITS
WEIGHT_UNITS: Final = 1_000_000  # a tier's weight is in parts per million


def compute_weight(amount: int, weight_ppm: int) -> int:
    """What a stake counts for, in millionths of a unit: exact."""
    return amount * weight_ppm


def compute_released(budget: int, start_s: int, end_s: int, now_s: int) -> int:
    """How much of a budget has come out by `now_s`: in equal parts by the second, rounded down, all of it at the end."""
    elapsed_s = min(max(now_s, start_s), end_s) - start_s
    return budget * elapsed_s // (end_s - start_s)


def share_out(released: int, weight: int, acc: int, carry: int) -> tuple[int, int]:
    """The accumulator and the carry after `released` > 0 whole units were divided among `weight` > 0."""
    gain, carry = divmod((released << SCALE_BITS) + carry, weight)
    return acc + gain, carry


def compute_owed(owed: int, debt: int, weight: int, acc: int) -> int:
    """What a position is owed now, in 2^-640 units."""
    return owed + weight * acc - debt


def split_owed(owed: int) -> tuple[int, int]:
    """Whole units that can be paid, and what stays, in 2^-640 units."""
    return owed >> SCALE_BITS, owed & (SCALE - 1)


def keeps_rate(budget: int, duration_s: int, new_budget: int, new_duration_s: int) -> bool:
    """Whether a new schedule releases at least as much per second as the old one."""
    return new_budget * duration_s >= budget * new_duration_s


def split_lot(lot: tuple[int, ...], amount: int, whole: int) -> tuple[int, ...]:
    """The part of each number that goes with `amount` out of `whole` > 0, rounded down; the rest is what the part leaves."""
    return tuple(number * amount // whole for number in lot)
