"""Methods about what accounts have beyond their keys: policies, session keys, delegations, sponsorships. Ours. Amounts are base units."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address, parse_address
from state.queries_accounts import get_grant, get_grants, get_policy
from state.schema_accounts import DELEGATION, SPONSORSHIP, grant_key

Json = Any
PAGE_MAX: Final = 100


def _address(text: str) -> bytes:
    try:
        return parse_address(text)
    except MalformedError as error:
        raise invalid_params(error.message) from error


async def account_policy(backend: NodeBackend, account: str) -> Json:
    """Classes and times of an account's keys, its delays, waiting changes and list of whom it may pay; or null."""
    return {"policy": get_policy(backend.store, _address(account)), "height": str(max(0, backend.height))}


async def account_grants(backend: NodeBackend, account: str) -> Json:
    """An account's session keys and delegations, with what is used of them."""
    return {"grants": get_grants(backend.store, _address(account), backend.time_s()), "height": str(max(0, backend.height))}


async def account_delegation(backend: NodeBackend, account: str, to: str) -> Json:
    """What an account lets another do in its name, or null."""
    found = get_grant(backend.store, _address(account), DELEGATION + _address(to), backend.time_s())
    return {"delegation": found, "height": str(max(0, backend.height))}


async def account_sponsorships(backend: NodeBackend, account: str, start: str, limit: int) -> Json:
    """Whose fees an account pays, by address, from `start` on; `next` is the start of the next page, empty at the end."""
    if not 1 <= limit <= PAGE_MAX:
        raise invalid_params(f"limit is within 1..{PAGE_MAX}")
    owner = _address(account)
    prefix = grant_key(owner, SPONSORSHIP)
    rows = backend.store.state_keys(prefix, prefix + _address(start) if start else b"")
    names = [key[len(prefix) :] for key, _ in islice(rows, limit + 1)]
    time_s = backend.time_s()
    found = [get_grant(backend.store, owner, SPONSORSHIP + name, time_s) for name in names[:limit]]
    following = format_address(names[limit]) if len(names) > limit else ""
    return {"sponsorships": [one for one in found if one is not None], "next": following, "height": str(max(0, backend.height))}


async def account_sponsorship(backend: NodeBackend, account: str, who: str) -> Json:
    """What an account pays of another's fees, or null."""
    found = get_grant(backend.store, _address(account), SPONSORSHIP + _address(who), backend.time_s())
    return {"sponsorship": found, "height": str(max(0, backend.height))}
