"""Methods about the node's own health. Ours; CometBFT's `health` stays what it is. What is answered is `node.telemetry.monitor`'s."""

from __future__ import annotations

from typing import Any

from node.rpc.backend import NodeBackend
from node.rpc.errors import failed
from node.telemetry.monitor import Monitor

Json = Any


def _monitor(backend: NodeBackend) -> Monitor:
    if backend.monitor is None:
        raise failed("nothing is watched here: the data of a stopped node is being read")
    return backend.monitor


async def node_health(backend: NodeBackend) -> Json:
    """The health score, 0 to 100, with the points of each part and its figure, and the alerts that fire."""
    return _monitor(backend).health()


async def node_alerts(backend: NodeBackend) -> Json:
    """The alerts that fire, and the last that began or ended."""
    return _monitor(backend).alerts()


async def node_metrics(backend: NodeBackend) -> Json:
    """Every metric by its name: what /metrics shows, for who has only this port."""
    return {"metrics": _monitor(backend).metrics.read()}
