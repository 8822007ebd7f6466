"""Methods for the operator: have a snapshot of this node made, and hear how far it is. Ours. The work is `node.backup.task`'s."""

from __future__ import annotations

from typing import Any

from node.backup.task import SnapshotMaker
from node.rpc.backend import NodeBackend
from node.rpc.errors import failed, invalid_params
from state.primitives.limits import HEIGHT_MAX

Json = Any


def _maker(backend: NodeBackend) -> SnapshotMaker:
    if backend.snapshots is None:
        raise failed("nothing is made here: the data of a stopped node is being read")
    return backend.snapshots


async def snapshot_create(backend: NodeBackend, height: int, base: int, ticket: str) -> Json:
    """Begin a snapshot in this node's home; answers its number at once, and `snapshot_status` says how it goes.

    `height` 0 is the newest that a block fixes. Blocks above `base` are archived with it; -1 stands for the newest snapshot that is there.
    """
    if not 0 <= height <= HEIGHT_MAX or not -1 <= base <= HEIGHT_MAX:
        raise invalid_params(f"heights are 0 to {HEIGHT_MAX}")
    return {"number": _maker(backend).start(height or None, base, ticket)}


async def snapshot_status(backend: NodeBackend) -> Json:
    """The snapshot that is being made, with its stage, and how the last one ended."""
    return _maker(backend).status()
