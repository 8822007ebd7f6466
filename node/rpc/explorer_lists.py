"""Lists and words that the explorer needs and no other method gives: the assets there are, a transaction in words. Ours."""

from __future__ import annotations

from typing import Any, Final

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.codes import Code
from state.primitives.errors import TransactionError
from state.queries import describe_transaction, get_asset, get_asset_codes, get_asset_count
from state.transaction import Transaction

Json = Any
PAGE_MAX: Final = 100


async def asset_list(backend: NodeBackend, start: int, limit: int) -> Json:
    """Assets with their supplies in order of creation, from number `start`; `total` is how many there are."""
    if start < 0 or not 1 <= limit <= PAGE_MAX:
        raise invalid_params(f"start is 0 or more, limit within 1..{PAGE_MAX}")
    assets = [get_asset(backend.store, code) for code in get_asset_codes(backend.store, start, limit)]
    return {"assets": assets, "total": str(get_asset_count(backend.store)), "height": str(max(0, backend.height))}


async def tx_decode(_backend: NodeBackend, tx: bytes) -> Json:
    """A transaction in words: its envelope, its operations by name and field. It is read, not looked for."""
    try:
        return {"tx": describe_transaction(Transaction.decode(tx))}
    except TransactionError as error:
        raise invalid_params(f"{Code(error.result).name}: {error.message}") from error
