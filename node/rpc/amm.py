"""Methods about pools as the ledger knows them. Ours. Amounts are base units."""

from __future__ import annotations

from typing import Any, Final

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.ids import parse_address
from state.primitives.limits import AMOUNT_DIGITS_MAX, AMOUNT_MAX
from state.queries_amm import get_pool, get_pools, get_position_of, get_positions, quote, read_pool_name

Json = Any
PAGE_MAX: Final = 100
_NO_PRICE: Final[Value] = (0, 0)


async def amm_pools(backend: NodeBackend, start: int, limit: int) -> Json:
    """Pools in order of creation, from number `start`."""
    if start < 0 or not 1 <= limit <= PAGE_MAX:
        raise invalid_params(f"start is 0 or more, limit within 1..{PAGE_MAX}")
    return {"pools": get_pools(backend.store, start, limit), "height": str(max(0, backend.height))}


async def amm_pool(backend: NodeBackend, pool: str) -> Json:
    """A pool by its assets, or null."""
    try:
        found = get_pool(backend.store, read_pool_name(pool))
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"pool": found, "height": str(max(0, backend.height))}


async def amm_position(backend: NodeBackend, account: str, pool: str) -> Json:
    """What an account has in a pool: worth, fees earned, impermanent loss, yield; or null."""
    try:
        found = get_position_of(backend.store, parse_address(account), read_pool_name(pool), backend.time_s())
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"position": found, "height": str(max(0, backend.height))}


async def amm_positions(backend: NodeBackend, account: str) -> Json:
    """What an account has in every pool."""
    try:
        found = get_positions(backend.store, parse_address(account), backend.time_s())
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"positions": found, "height": str(max(0, backend.height))}


async def amm_quote(
    backend: NodeBackend, operation: str, target: str, amount: str, asset: str, amount_b: str, account: str
) -> Json:
    """What an operation would give in the next block: the numbers and the code of executing it.

    `target` is a path such as `EUR,QNX` for swaps, else a pool. `amount` is what goes in, what comes out (swap_out), or the shares;
    `amount_b` is the second maximum of `add`. Without an account a stranger asks.
    """
    try:
        address = parse_address(account) if account else b""
        args = _read_quote(operation, target, amount, asset, amount_b)
        found = quote(backend.store, backend.executor.state.tip.height + 1, backend.time_s(), operation, args, address)
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"quote": found, "height": str(max(0, backend.height))}


def _read_quote(operation: str, target: str, amount: str, asset: str, amount_b: str) -> dict[str, Any]:
    number = _read_amount(amount)
    if operation == "swap_in":
        return {"path": tuple(target.split(",")), "amount_in": number, "min_out": 0}
    if operation == "swap_out":
        return {"path": tuple(target.split(",")), "amount_out": number, "max_in": AMOUNT_MAX}
    pool = read_pool_name(target)
    if operation == "add":
        second = _read_amount(amount_b)
        bounds = {"min_shares": 0, "min_price": _NO_PRICE, "max_price": _NO_PRICE}
        return {"pool": pool, "max_a": number, "max_b": second, **bounds}
    if operation == "add_single":
        return {"pool": pool, "asset": asset, "amount": number, "min_shares": 0}
    if operation == "remove":
        return {"pool": pool, "shares": number, "min_a": 0, "min_b": 0}
    return {"pool": pool, "shares": number, "asset": asset, "min_out": 0}


def _read_amount(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > AMOUNT_DIGITS_MAX or (text[0] == "0" and text != "0"):
        raise MalformedError("an amount is a decimal string of base units")
    return int(text)
