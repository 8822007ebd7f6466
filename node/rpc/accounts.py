"""Methods about what accounts have beyond their keys: policies, session keys, delegations, sponsorships. Ours. Amounts are base units."""

from __future__ import annotations

from typing import Any, Final

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.errors import MalformedError
from state.primitives.ids import parse_address
from state.queries_accounts import get_grant, get_grants, get_policy
from state.schema_accounts import DELEGATION, SPONSORSHIP

Json = Any
_NS_PER_S: Final = 1_000_000_000


def _time_s(backend: NodeBackend) -> int:
    tip = backend.executor.state.tip
    return int(max(backend.clock.now_ns(), tip.last_block_time_ns + 1) // _NS_PER_S)


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
    return {"grants": get_grants(backend.store, _address(account), _time_s(backend)), "height": str(max(0, backend.height))}


async def account_delegation(backend: NodeBackend, account: str, to: str) -> Json:
    """What an account lets another do in its name, or null."""
    found = get_grant(backend.store, _address(account), DELEGATION + _address(to), _time_s(backend))
    return {"delegation": found, "height": str(max(0, backend.height))}


async def account_sponsorship(backend: NodeBackend, account: str, who: str) -> Json:
    """What an account pays of another's fees, or null."""
    found = get_grant(backend.store, _address(account), SPONSORSHIP + _address(who), _time_s(backend))
    return {"sponsorship": found, "height": str(max(0, backend.height))}
