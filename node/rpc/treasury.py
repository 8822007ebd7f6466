"""Methods about central banks as the ledger knows them. Ours. Amounts are base units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.errors import MalformedError
from state.primitives.ids import parse_address
from state.queries_treasury import (
    get_credit_line,
    get_credit_lines,
    get_dealer_of,
    get_dealers_of,
    get_rate,
    get_redemption,
    get_redemptions,
    get_supply_parts,
)

Json = Any
PAGE_MAX: Final = 100


def _answer(backend: NodeBackend, name: str, read: Callable[[], Any]) -> Json:
    try:
        found = read()
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {name: found, "height": str(max(0, backend.height))}


async def cb_supply(backend: NodeBackend, asset: str) -> Json:
    """A supply and what it is made of, or null."""
    return _answer(backend, "supply", lambda: get_supply_parts(backend.store, asset))


async def cb_rate(backend: NodeBackend, asset: str) -> Json:
    """The policy rate in force, what is announced, what is owed; or null."""
    return _answer(backend, "rate", lambda: get_rate(backend.store, asset, backend.time_s()))


async def cb_dealer(backend: NodeBackend, account: str, asset: str) -> Json:
    """A dealer: terms, reserve, interest; or null."""
    return _answer(backend, "dealer", lambda: get_dealer_of(backend.store, parse_address(account), asset, backend.time_s()))


async def cb_dealers(backend: NodeBackend, asset: str) -> Json:
    """Every dealer of an asset."""
    return _answer(backend, "dealers", lambda: get_dealers_of(backend.store, asset, backend.time_s()))


async def cb_redemption(backend: NodeBackend, asset: str, request: int) -> Json:
    """An open redemption, or null."""
    if request < 0:
        raise invalid_params("a redemption has a number, from 0 in each asset")
    return _answer(backend, "redemption", lambda: get_redemption(backend.store, asset, request))


async def cb_redemptions(backend: NodeBackend, asset: str, start: int, limit: int) -> Json:
    """The open redemptions among `limit` numbers from `start`."""
    if start < 0 or not 1 <= limit <= PAGE_MAX:
        raise invalid_params(f"start is 0 or more, limit within 1..{PAGE_MAX}")
    return _answer(backend, "redemptions", lambda: get_redemptions(backend.store, asset, start, limit))


async def cb_credit_line(backend: NodeBackend, account: str, asset: str) -> Json:
    """An account's credit line, or null."""
    return _answer(backend, "credit_line", lambda: get_credit_line(backend.store, parse_address(account), asset))


async def cb_credit_lines(backend: NodeBackend, asset: str) -> Json:
    """Every credit line in an asset."""
    return _answer(backend, "credit_lines", lambda: get_credit_lines(backend.store, asset))
