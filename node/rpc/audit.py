"""Methods about audit logs: what is anchored on the chain, and this node's own entries. Ours."""

from __future__ import annotations

from typing import Any, Final

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.errors import MalformedError
from state.primitives.ids import parse_address
from state.queries_audit import get_anchored_logs, get_anchors

Json = Any
PAGE_MAX: Final = 100


async def audit_anchors(backend: NodeBackend, account: str, log: str, start: int, limit: int) -> Json:
    """The logs that an account has anchored; with `log`, the anchors of that one in order, each with the path that proves it."""
    if start < 0 or not 1 <= limit <= PAGE_MAX:
        raise invalid_params(f"start is 0 or more, limit within 1..{PAGE_MAX}")
    try:
        address = parse_address(account)
        anchors = get_anchors(backend.store, address, log, start, limit) if log else []
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {
        "account": account,
        "logs": get_anchored_logs(backend.store, address),
        "log": log,
        "anchors": anchors,
        "height": str(max(0, backend.height)),
    }
