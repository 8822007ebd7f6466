"""Methods about farms as the ledger knows them. Ours. Amounts are base units; what is owed is as of about the next block."""

from __future__ import annotations

from typing import Any, Final

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.errors import MalformedError
from state.primitives.ids import parse_address
from state.queries_farm import get_farm, get_farm_position, get_farm_positions, get_farms

Json = Any
PAGE_MAX: Final = 100


def _read_number(number: int) -> int:
    if not 0 <= number < 1 << 63:
        raise invalid_params("farms and positions are numbered from 0")
    return number


async def farms(backend: NodeBackend, start: int, limit: int) -> Json:
    """Farms in order of creation, from number `start`."""
    if start < 0 or not 1 <= limit <= PAGE_MAX:
        raise invalid_params(f"start is 0 or more, limit within 1..{PAGE_MAX}")
    return {"farms": get_farms(backend.store, start, limit, backend.time_s()), "height": str(max(0, backend.height))}


async def farm(backend: NodeBackend, farm: int) -> Json:
    """A farm with its rewards and yields, or null."""
    found = get_farm(backend.store, _read_number(farm), backend.time_s())
    return {"farm": found, "height": str(max(0, backend.height))}


async def farm_position(backend: NodeBackend, account: str, position: int) -> Json:
    """What an account has in a farm by the number of its position: stake, lock, rewards pending, yield; or null."""
    try:
        address = parse_address(account)
    except MalformedError as error:
        raise invalid_params(error.message) from error
    found = get_farm_position(backend.store, address, _read_number(position), backend.time_s())
    return {"position": found, "height": str(max(0, backend.height))}


async def farm_positions(backend: NodeBackend, account: str) -> Json:
    """What an account has in every farm."""
    try:
        found = get_farm_positions(backend.store, parse_address(account), backend.time_s())
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"positions": found, "height": str(max(0, backend.height))}
