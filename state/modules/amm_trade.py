"""Swaps along paths of pools: an exact input or an exact output, one bound for the whole path, all of it or nothing.

Each pool is read as it is now and changed once: a path never visits one twice, because its second quote would be stale. Codes in
their order of precedence stand beside each handler. Source: ledger rules, 1.1 and section 6.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from state.codes import Code
from state.modules.amm_math import compute_path_in, compute_path_out
from state.modules.amm_pool import TRADE, advance_price, get_pool, pool_of, require_reserves, require_usable
from state.modules.operation import AMM_ADDRESS, OpContext
from state.primitives.errors import OperationFailed
from state.primitives.limits import POOL_PATH_ASSETS_MAX
from state.receipts import SWAPPED
from state.schema_amm import Pool, pool_key


class Hop(NamedTuple):
    """One pool of a path, and whether its asset a goes in."""

    pool: str
    record: Pool
    is_a_in: bool


def find_hops(context: OpContext, path: tuple[str, ...]) -> list[Hop]:
    """The pools of a path: 807, 803, 808, 801."""
    if not 2 <= len(path) <= POOL_PATH_ASSETS_MAX:
        raise OperationFailed(Code.PATH_INVALID, f"a path names 2 to {POOL_PATH_ASSETS_MAX} assets")
    pools = []
    for one, other in pairwise(path):
        if one == other:
            raise OperationFailed(Code.SAME_ASSET, f"the path goes from {one} to itself")
        pools.append(pool_of(one, other))
    for i, pool in enumerate(pools):
        if pool in pools[:i]:
            raise OperationFailed(Code.PATH_REPEATS_POOL, f"the path visits {pool} twice")
    return [Hop(pool, get_pool(context, pool), pool.startswith(f"{one}/")) for pool, one in zip(pools, path, strict=False)]


def sides_of(hops: list[Hop]) -> tuple[tuple[int, int, int], ...]:
    """(reserve in, reserve out, fee) of each hop."""
    return tuple(
        [
            (record.reserve_a, record.reserve_b, record.fee_ppm)
            if is_a_in
            else (record.reserve_b, record.reserve_a, record.fee_ppm)
            for _, record, is_a_in in hops
        ]
    )


def amounts_from_input(hops: list[Hop], amount_in: int, min_out: int) -> tuple[int, ...]:
    """Amounts along the path: 806, 804. An output is always below its reserve."""
    amounts = compute_path_out(amount_in, sides_of(hops))
    if not all(amounts):
        raise OperationFailed(Code.ZERO_OUTPUT, "the input is too small to buy anything")
    if amounts[-1] < min_out:
        raise OperationFailed(Code.SLIPPAGE, f"{amounts[-1]} would come out, at least {min_out} is asked for")
    return amounts


def amounts_to_output(hops: list[Hop], amount_out: int, max_in: int) -> tuple[int, ...]:
    """Amounts along the path: 805, 804."""
    amounts = compute_path_in(amount_out, sides_of(hops))
    if amounts is None:
        raise OperationFailed(Code.INSUFFICIENT_LIQUIDITY, "a pool of the path does not hold so much")
    if amounts[0] > max_in:
        raise OperationFailed(Code.SLIPPAGE, f"{amounts[0]} would go in, at most {max_in} is allowed")
    return amounts


def change_reserves(record: Pool, is_a_in: bool, amount_in: int, amount_out: int) -> Pool:
    """A pool after a swap: 810."""
    a, b = record.reserve_a, record.reserve_b
    a, b = (a + amount_in, b - amount_out) if is_a_in else (a - amount_out, b + amount_in)
    changed: Pool = tuple.__new__(Pool, (a, b, *record[2:]))
    require_reserves(changed)
    return changed


def swap_in(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.swap_in: 503, then those of the path, of each pool, 806, 804, 501, 810, 505."""
    path, amount_in, min_out = args
    if amount_in == 0:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")
    hops = _find_usable(context, account, path)
    _execute(context, account, path, hops, amounts_from_input(hops, amount_in, min_out))


def swap_out(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.swap_out: 503, then those of the path, of each pool, 805, 804, 501, 810, 505."""
    path, amount_out, max_in = args
    if amount_out == 0:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")
    hops = _find_usable(context, account, path)
    _execute(context, account, path, hops, amounts_to_output(hops, amount_out, max_in))


def _find_usable(context: OpContext, account: bytes, path: tuple[str, ...]) -> list[Hop]:
    hops = find_hops(context, path)
    for pool, record, _ in hops:
        require_usable(context, pool, record, TRADE, account)
    return hops


def _execute(
    context: OpContext, account: bytes, path: tuple[str, ...], hops: list[Hop], amounts: tuple[int, ...]
) -> None:
    first, last = path[0].encode("ascii"), path[-1].encode("ascii")
    context.debit(account, first, amounts[0])
    view, time_s, emit = context.view, context.time_s, context.emit
    for i, (pool, record, is_a_in) in enumerate(hops):
        spent, bought = amounts[i], amounts[i + 1]
        view.put(pool_key(pool), change_reserves(advance_price(record, time_s), is_a_in, spent, bought))
        emit(SWAPPED, pool, account, path[i], spent, path[i + 1], bought)
    # in between the assets stay where all pools' assets are
    context.credit(AMM_ADDRESS, first, amounts[0])
    context.debit(AMM_ADDRESS, last, amounts[-1])
    context.credit(account, last, amounts[-1])
