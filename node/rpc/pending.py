"""Methods about holds, escrows, settlements, offers and claims as the ledger knows them. Ours. Amounts are base units."""

from __future__ import annotations

from typing import Any, Final

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.errors import MalformedError
from state.primitives.ids import parse_address
from state.queries_pending import get_claims, get_pending, get_pending_of, read_id

Json = Any
PAGE_MAX: Final = 100


def _get(backend: NodeBackend, kind: str, name: str) -> Json:
    try:
        found = get_pending(backend.store, kind, read_id(name), backend.time_s())
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {kind: found, "height": str(max(0, backend.height))}


async def hold(backend: NodeBackend, hold: str) -> Json:
    """A hold, or what is left of one, by its 40 hex digits; or null."""
    return _get(backend, "hold", hold)


async def escrow(backend: NodeBackend, escrow: str) -> Json:
    """An escrow, or what is left of one; or null."""
    return _get(backend, "escrow", escrow)


async def settlement(backend: NodeBackend, settlement: str) -> Json:
    """A settlement with its terms and who has set what aside, or what is left of one; or null."""
    return _get(backend, "settlement", settlement)


async def offer(backend: NodeBackend, offer: str) -> Json:
    """An offer with its terms, or what is left of one; or null."""
    return _get(backend, "offer", offer)


async def pending(backend: NodeBackend, account: str, start: str, limit: int) -> Json:
    """What is open and concerns an account, newest first; `next` is the entry to go on from (`hold/...`), empty at the end."""
    _check_limit(limit)
    try:
        rows, following = get_pending_of(backend.store, parse_address(account), backend.time_s(), start, limit)
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"pending": rows, "next": following, "height": str(max(0, backend.height))}


async def claims(backend: NodeBackend, account: str, start: int, limit: int) -> Json:
    """What waits for an account because a rule kept it from it, oldest first; `next` is the number to go on from, null at the end."""
    _check_limit(limit)
    if start < 0:
        raise invalid_params("start is 0 or more")
    try:
        rows, following = get_claims(backend.store, parse_address(account), start, limit)
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"claims": rows, "next": following, "height": str(max(0, backend.height))}


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE_MAX:
        raise invalid_params(f"limit is within 1..{PAGE_MAX}")
