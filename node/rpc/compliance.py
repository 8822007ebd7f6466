"""Methods about restrictions and roles as the ledger knows them. Ours."""

from __future__ import annotations

from typing import Any

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.errors import MalformedError
from state.primitives.ids import check_asset_code, parse_address
from state.queries_compliance import get_account_status, get_asset_powers, get_holding_status

Json = Any


async def comp_account(backend: NodeBackend, account: str) -> Json:
    """What restricts an account as a whole, or null."""
    try:
        found = get_account_status(backend.store, parse_address(account), backend.time_s())
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"found": found, "height": str(max(0, backend.height))}


async def comp_holding(backend: NodeBackend, account: str, asset: str) -> Json:
    """What restricts an account's holding of an asset, or null."""
    try:
        found = get_holding_status(backend.store, parse_address(account), check_asset_code(asset), backend.time_s())
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"found": found, "height": str(max(0, backend.height))}


async def comp_asset(backend: NodeBackend, asset: str) -> Json:
    """An asset's flags, roles and pause, or null."""
    try:
        found = get_asset_powers(backend.store, check_asset_code(asset), backend.time_s())
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"found": found, "height": str(max(0, backend.height))}
