"""The tree in a worker process: the same service as `node.storage.trees.InlineTree`, with the hashing on another core.

LevelDB belongs to one process, so the worker asks for the leaves it lacks, all of an update at once. A worker that dies or falls silent is
fatal: every later call raises. What the worker does is in `node.storage.tree_worker`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from node.storage.tree_messages import (
    DAMAGED,
    DONE,
    LEAVES,
    NEED,
    OPEN,
    PATHS,
    SETTLE,
    UPDATE,
    pack_hashes,
    pack_leaves,
    pack_past,
    receive_message,
    send_message,
    unpack_paths,
    unpack_update,
)
from node.storage.trees import LoadMany, Past, Paths, TreeUpdate
from state.primitives.errors import StorageCorruptError, StorageError, TreeWorkerError
from state.primitives.limits import TREE_ANSWER_S_MAX


class WorkerTree:
    """See `TreeService`."""

    def __init__(self, hashes: Sequence[tuple[int, bytes]], load: LoadMany, leaves_max: int) -> None:
        self._load = load
        self._failed = False
        self._staging = False
        self._staged: TreeUpdate | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "node.storage.tree_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise StorageError("the tree worker has no pipes")
        self._sink, self._source = self._process.stdin.fileno(), self._process.stdout.fileno()
        try:
            self._send(OPEN, pack_hashes(hashes), leaves_max)
            root, roots = self._answer()
        except StorageError:
            self.close()
            raise
        self._root: bytes = root
        self._shard_roots: list[bytes | None] = list(roots)

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    @property
    def root(self) -> bytes:
        """See `TreeService`."""
        return self._root

    def shard_roots(self) -> list[bytes | None]:
        """See `TreeService`."""
        return self._shard_roots.copy()

    def start(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """See `TreeService`. The worker is busy from here on; this process is not."""
        self._receive()  # staged again before the first was asked for
        self._send(UPDATE, changes)
        self._staging = True

    def result(self) -> TreeUpdate:
        """See `TreeService`."""
        self._receive()
        if self._staged is None:
            raise StorageError("the tree was asked for a result, but nothing was staged")
        return self._staged

    def settle(self) -> None:
        """See `TreeService`."""
        if self._staged is None:
            return
        update, self._staged = self._staged, None
        self._root = update.root
        for shard, (_, root) in update.touched.shards.items():
            self._shard_roots[shard] = root
        self._send(SETTLE)

    def paths(self, kh: bytes, past: Past | None) -> Paths:
        """See `TreeService`."""
        self._receive()
        self._send(PATHS, kh, pack_past(past))
        (found,) = self._answer()
        return unpack_paths(found)

    def close(self) -> None:
        """See `TreeService`."""
        self._failed = True
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.kill()  # it has nothing to lose
        self._process.wait()

    def _receive(self) -> None:
        if self._staging:
            self._staging = False
            self._staged = unpack_update(self._answer())

    def _send(self, *message: Any) -> None:
        if self._failed:
            raise StorageError("the tree worker is closed or failed before", hint="start the node again")
        try:
            send_message(self._sink, message)
        except TreeWorkerError:
            self._failed = True
            raise

    def _answer(self) -> list[Any]:
        """The items of the worker's answer; leaves that it asks for first are sent."""
        try:
            while True:
                message: list[Any] = list(receive_message(self._source, TREE_ANSWER_S_MAX))
                name, items = message[0], message[1:]
                if name == DONE:
                    return items
                if name == DAMAGED:
                    raise StorageCorruptError(items[0], hint=items[1])
                if name != NEED:
                    raise StorageError(f"the tree worker said {name}")
                self._send(LEAVES, [pack_leaves(leaves) for leaves in self._load(items[0])])
        except (StorageError, StorageCorruptError):
            self._failed = True
            raise
