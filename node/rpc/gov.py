"""Methods about governance as the ledger knows it. Ours. Amounts are base units, times Unix seconds."""

from __future__ import annotations

from typing import Any, Final

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.errors import MalformedError
from state.primitives.ids import parse_address
from state.primitives.limits import HEIGHT_MAX
from state.queries_gov import get_group, get_group_proposal, get_overview, get_proposal, get_proposals

Json = Any
PAGE_MAX: Final = 100


def _height(backend: NodeBackend) -> str:
    return str(max(0, backend.height))


async def gov_overview(backend: NodeBackend) -> Json:
    """Parameters, what became of deposits, open proposals, tripped breakers, rule sets."""
    return {**get_overview(backend.store), "height": _height(backend)}


async def gov_proposals(backend: NodeBackend, start: int, limit: int) -> Json:
    """Proposals in order, from number `start`."""
    if not 0 <= start <= HEIGHT_MAX or not 1 <= limit <= PAGE_MAX:
        raise invalid_params(f"start is 0 or more, limit within 1..{PAGE_MAX}")
    return {"proposals": get_proposals(backend.store, start, limit), "height": _height(backend)}


async def gov_proposal(backend: NodeBackend, proposal: int) -> Json:
    """A proposal with every vote on it, or null."""
    if not 0 <= proposal <= HEIGHT_MAX:
        raise invalid_params("a proposal has a number")
    return {"proposal": get_proposal(backend.store, proposal), "height": _height(backend)}


async def gov_group(backend: NodeBackend, group: str, proposal: int) -> Json:
    """A group with its open proposals, or one of its proposals (-1: none is asked for); null if there is none."""
    try:
        address = parse_address(group)
    except MalformedError as error:
        raise invalid_params(error.message) from error
    if not -1 <= proposal <= HEIGHT_MAX:
        raise invalid_params("a proposal has a number")
    shown = get_group(backend.store, address) if proposal < 0 else get_group_proposal(backend.store, address, proposal)
    return {"group": shown, "height": _height(backend)}
