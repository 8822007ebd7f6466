"""The arithmetic of constant-product pools: nothing but integers.

At a fee of 3,000 ppm every result equals Uniswap v2's (pair, router and library) to the last unit. Each division is rounded in the
pool's favour: what is paid out is rounded down, an exact output costs one unit more than the quotient. All intermediate
products are exact, so nothing can overflow or lose digits. No record, no code, no import from the ledger goes in here: callers
check what may be refused, and hand in what is valid. Source: ledger rules, 1.1 and section 4; Uniswap v2's sources.
"""

from __future__ import annotations

from math import isqrt
from typing import Final, NamedTuple

FEE_UNITS: Final = 1_000_000  # a fee is in parts per million
LOCKED_SHARES: Final = 1_000  # of the first shares, for ever: the price of one share stays bounded
PROTOCOL_PART: Final = 6  # the protocol gets a sixth of the growth of sqrt(k)
PRICE_BITS: Final = 640  # fractional bits of an accumulated price; `>> 528` is Uniswap's Q112


class Fraction(NamedTuple):
    """An exact quotient, not in lowest terms; the denominator is above zero."""

    numerator: int
    denominator: int


class SingleDeposit(NamedTuple):
    """A deposit of one asset: `swapped` of it buys `bought` of the other, then `used_in` and `used_out` become shares."""

    swapped: int
    bought: int
    used_in: int
    used_out: int


class SingleWithdrawal(NamedTuple):
    """A withdrawal in one asset: the shares' `wanted` and `other`, and `bought` of the wanted one for the other."""

    wanted: int
    other: int
    bought: int


def compute_out(amount_in: int, reserve_in: int, reserve_out: int, fee_ppm: int) -> int:
    """What an input buys, rounded down; always below `reserve_out`."""
    net = amount_in * (FEE_UNITS - fee_ppm)
    return net * reserve_out // (reserve_in * FEE_UNITS + net)


def compute_in(amount_out: int, reserve_in: int, reserve_out: int, fee_ppm: int) -> int:
    """What an output below `reserve_out` costs: the quotient rounded down, and one."""
    return reserve_in * amount_out * FEE_UNITS // ((reserve_out - amount_out) * (FEE_UNITS - fee_ppm)) + 1


def compute_other_side(amount: int, reserve: int, other_reserve: int) -> int:
    """The amount of the other asset that has the same worth in the pool, rounded down (v2's `quote`)."""
    return amount * other_reserve // reserve


def compute_deposit(max_a: int, max_b: int, reserve_a: int, reserve_b: int) -> tuple[int, int]:
    """The most of both assets that is in the pool's ratio: one side whole, the other rounded down (v2's router)."""
    b = compute_other_side(max_a, reserve_a, reserve_b)
    if b <= max_b:
        return max_a, b
    return compute_other_side(max_b, reserve_b, reserve_a), max_b


def compute_first_shares(amount_a: int, amount_b: int) -> int:
    """All shares of a new pool, the locked ones among them."""
    return isqrt(amount_a * amount_b)


def compute_shares(amount_a: int, amount_b: int, reserve_a: int, reserve_b: int, supply: int) -> int:
    """The shares of a deposit: the smaller of both sides' parts, rounded down."""
    return min(amount_a * supply // reserve_a, amount_b * supply // reserve_b)


def compute_withdrawal(shares: int, reserve_a: int, reserve_b: int, supply: int) -> tuple[int, int]:
    """What shares are worth in both assets, rounded down."""
    return shares * reserve_a // supply, shares * reserve_b // supply


def compute_shares_above(reserve: int, minimum: int, supply: int) -> int:
    """The most shares whose withdrawal leaves at least `minimum` of a reserve; 0 if none does."""
    return max(0, ((reserve - minimum + 1) * supply - 1) // reserve)


def compute_protocol_shares(reserve_a: int, reserve_b: int, k_last: int, supply: int) -> int:
    """Shares for the protocol: a sixth of the growth of sqrt(k) since `k_last`; none if `k_last` is zero (the fee was off)."""
    if not k_last:
        return 0
    root, root_last = isqrt(reserve_a * reserve_b), isqrt(k_last)
    if root <= root_last:
        return 0
    return supply * (root - root_last) // (root * (PROTOCOL_PART - 1) + root_last)


def compute_swap_of_single(amount: int, reserve_in: int, fee_ppm: int) -> int:
    """How much of a deposit of one asset to swap, so that what is left has the ratio of the pool afterwards.

    The root of `n s^2 + R (d + n) s - d R x`, rounded down, `n / d` being what the fee leaves.
    """
    n, d = FEE_UNITS - fee_ppm, FEE_UNITS
    half = reserve_in * (d + n)
    return (isqrt(half * half + 4 * n * d * reserve_in * amount) - half) // (2 * n)


def compute_single_deposit(amount: int, reserve_in: int, reserve_out: int, fee_ppm: int) -> SingleDeposit:
    """A deposit of one asset; what is not used of either goes back to the depositor."""
    swapped = compute_swap_of_single(amount, reserve_in, fee_ppm)
    bought = compute_out(swapped, reserve_in, reserve_out, fee_ppm)
    used = compute_deposit(amount - swapped, bought, reserve_in + swapped, reserve_out - bought)
    return SingleDeposit(swapped, bought, *used)


def compute_single_withdrawal(
    shares: int, reserve_wanted: int, reserve_other: int, supply: int, fee_ppm: int
) -> SingleWithdrawal:
    """Shares turned into one asset: withdrawn, then the other side swapped; fewer shares than the supply."""
    wanted, other = compute_withdrawal(shares, reserve_wanted, reserve_other, supply)
    bought = compute_out(other, reserve_other - other, reserve_wanted - wanted, fee_ppm)
    return SingleWithdrawal(wanted, other, bought)


def compute_path_out(amount_in: int, hops: tuple[tuple[int, int, int], ...]) -> tuple[int, ...]:
    """Amounts along a path of (reserve in, reserve out, fee) from an exact input: the input first, the output last."""
    amounts = [amount_in]
    for reserve_in, reserve_out, fee_ppm in hops:
        amounts.append(compute_out(amounts[-1], reserve_in, reserve_out, fee_ppm))
    return tuple(amounts)


def compute_path_in(amount_out: int, hops: tuple[tuple[int, int, int], ...]) -> tuple[int, ...] | None:
    """Amounts along a path to an exact output: the input first; None if a pool does not have what the next one asks for."""
    amounts = [amount_out]
    for reserve_in, reserve_out, fee_ppm in reversed(hops):
        if amounts[-1] >= reserve_out:
            return None
        amounts.append(compute_in(amounts[-1], reserve_in, reserve_out, fee_ppm))
    return tuple(reversed(amounts))


def compute_price(reserve_base: int, reserve_quote: int) -> int:
    """Units of the quote asset for one of the base asset, with 640 fractional bits."""
    return (reserve_quote << PRICE_BITS) // reserve_base


def compute_price_impact(amount_in: int, amount_out: int, hops: tuple[tuple[int, int, int], ...]) -> Fraction:
    """By how much a trade is worse than the pools' prices before it, fees left out of account: 0 is not at all, 1 wholly."""
    ideal, paid = amount_in, amount_out
    for reserve_in, reserve_out, fee_ppm in hops:
        ideal *= reserve_out * (FEE_UNITS - fee_ppm)
        paid *= reserve_in * FEE_UNITS
    return Fraction(ideal - paid, ideal)


def compute_trade_cost(amount_in: int, amount_out: int, hops: tuple[tuple[int, int, int], ...]) -> Fraction:
    """By how much a trade is worse than the pools' prices before it, fees included."""
    return compute_price_impact(amount_in, amount_out, tuple((r_in, r_out, 0) for r_in, r_out, _ in hops))


def compute_impermanent_loss(held: tuple[int, int], pooled: tuple[int, int], reserves: tuple[int, int]) -> Fraction:
    """By how much `pooled` is worth less than `held` would be at the pool's price; below zero for a gain."""
    kept = held[0] * reserves[1] + held[1] * reserves[0]
    worth = pooled[0] * reserves[1] + pooled[1] * reserves[0]
    return Fraction(kept - worth, kept)


def compute_root_k(reserve_a: int, reserve_b: int, fraction_bits: int = 0) -> int:
    """sqrt(k) with fractional bits, rounded down: what measures a pool's growth by fees."""
    return isqrt((reserve_a * reserve_b) << (2 * fraction_bits))
