"""Methods about audit logs: what is anchored on the chain, and this node's own entries. Ours."""

from __future__ import annotations

from typing import Any, Final

import trio

from node.audit.cut import format_time
from node.audit.reading import select_last
from node.rpc.backend import NodeBackend
from node.rpc.errors import AUDIT_UNAVAILABLE, RpcError, failed, invalid_params
from state.primitives.errors import AuditLogDamagedError, AuditLogUnavailableError, ConfigError, MalformedError
from state.primitives.ids import parse_address
from state.queries_audit import get_anchored_logs, get_anchors

Json = Any
PAGE_MAX: Final = 100
WALK_MAX: Final = 20_000  # entries that one call looks at: 0.2 s in a thread


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


async def audit_entries(backend: NodeBackend, before: int, limit: int, actor: str, action: str) -> Json:
    """The last entries of this node's own audit log, or those before number `before`; `actor` and `action` choose, `token:*` a beginning.

    `looked_from` is the number from which on all entries were looked at: where it is above 1, ask again with it as `before` for more.
    """
    if before < 0 or not 1 <= limit <= PAGE_MAX:
        raise invalid_params(f"before is 0 (the newest) or more, limit within 1..{PAGE_MAX}")
    if backend.audit is None:
        raise failed("there is no audit log here: the data of a stopped node is being read")
    path = backend.audit.journal.path

    def read() -> Json:
        return select_last(path, limit, before=before, actor=actor, action=action, walk_max=WALK_MAX)

    try:
        entries, looked_from = await trio.to_thread.run_sync(read)
    except (AuditLogDamagedError, AuditLogUnavailableError, ConfigError) as error:
        raise RpcError(AUDIT_UNAVAILABLE, f"{error.name}: {error.message}") from error
    rows = [
        {
            "number": str(entry.number),
            "time": format_time(entry.time_ns),
            "actor": entry.actor,
            "action": entry.action,
            "detail": entry.detail,
            "hash": entry.hash,
        }
        for entry in entries
    ]
    return {"entries": rows, "looked_from": str(looked_from)}
