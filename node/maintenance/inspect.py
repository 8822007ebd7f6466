"""`qenex inspect`: the RPC's reading methods on a stopped node's data. No consensus, no peers, no mempool, and nothing is changed.

The methods and the server are the running node's own. Methods that hand something in, or ask about what only a running node has, are
answered with one clear error.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

import trio

from consensus.commit import HybridVerifier
from node.clock import SystemClock
from node.config_sections import RpcConfig
from node.executor import LedgerExecutor
from node.maintenance.opening import StoppedNode
from node.mempool.mempool import Mempool
from node.mempool.pool import Pool
from node.rpc.backend import NodeBackend
from node.rpc.errors import failed
from node.rpc.events import EventBus
from node.rpc.method import Methods
from node.rpc.methods import METHODS
from node.rpc.server import serve_rpc
from node.telemetry.logs import get_log
from node.workers import InlineChecker
from state.view import RecordCache

RUNNING_ONLY: Final = (
    "net_info",
    "consensus_state",
    "dump_consensus_state",
    "broadcast_tx_sync",
    "broadcast_tx_async",
    "broadcast_tx_commit",
    "broadcast_tx_batch",
    "broadcast_evidence",
    "num_unconfirmed_txs",
    "node_health",
    "node_alerts",
    "node_metrics",
    "audit_entries",
    "snapshot_create",
    "snapshot_status",
    "log_levels",
    "set_log_level",
    "config_reload",
    "unconfirmed_txs",
)


async def _refuse(_backend: NodeBackend, *_arguments: Any) -> Any:
    raise failed("this is a stopped node's data: there is no network, no consensus and no mempool here; ask a running node")


READING: Final[Methods] = {
    name: replace(method, handler=_refuse) if name in RUNNING_ONLY else method for name, method in METHODS.items()
}


class _StandingStill:
    """In the place of consensus and of the peers."""

    catching_up = False

    def __init__(self, node_id: str) -> None:
        self.id = node_id


def make_backend(node: StoppedNode, moniker: str, node_id: str, version: str) -> NodeBackend:
    """What the methods read from."""
    store, state, clock = node.store, node.state, SystemClock()
    records = RecordCache(store, state.height)
    executor = LedgerExecutor(store, node.document.hash, records, state, b"", HybridVerifier(), clock)
    mempool = Mempool(
        Pool(1, 1, 1), records, node.document.hash, InlineChecker(), clock, lambda tx_hash: False, lambda hashes, source: None
    )
    nobody = cast(Any, _StandingStill(node_id))
    return NodeBackend(moniker, version, node.document, None, store, executor, mempool, nobody, nobody, clock, EventBus())


async def serve_stopped(
    backend: NodeBackend, config: RpcConfig, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer until cancelled; reports the address. Raises `PortInUseError`, and whatever damage a call meets."""
    await serve_rpc(backend, config, get_log("rpc"), methods=READING, task_status=task_status)


async def inspect_until_signal(backend: NodeBackend, config: RpcConfig, on_listening: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            on_listening(await nursery.start(serve_stopped, backend, config))
            async for _ in signals:
                break
        nursery.cancel_scope.cancel()
