"""The tree worker: holds the tree of a store that lives in another process, and answers it over standard input and output.

It has no access to the database: leaves that it lacks it asks its store for. Ends when the store closes the pipe, so that no worker
outlives its node. Started by `node.storage.tree_client` only.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator, Sequence

from node.storage.tree_messages import (
    DAMAGED,
    DONE,
    LEAVES,
    NEED,
    OPEN,
    PATHS,
    SETTLE,
    UPDATE,
    pack_update,
    receive_message,
    send_message,
    unpack_hashes,
    unpack_leaves,
    unpack_past,
)
from node.storage.trees import InlineTree
from state.primitives.errors import CorruptError, LocalError, TreeWorkerError
from state.primitives.limits import TREE_ASK_BUCKETS_MAX
from state.tree_hash import Leaves


class Worker:
    """Serves one store over two file descriptors."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._tree = InlineTree((), self._load, 0)

    def serve(self) -> None:
        """Answer until the pipe closes: `TreeWorkerError`."""
        while True:
            name, *items = receive_message(self._source, None)
            try:
                if name == OPEN:
                    hashes, leaves_max = items
                    self._tree = InlineTree(unpack_hashes(hashes), self._load, leaves_max)
                    send_message(self._sink, (DONE, self._tree.root, self._tree.shard_roots()))
                elif name == UPDATE:
                    self._tree.start(items[0])
                    send_message(self._sink, (DONE, *pack_update(self._tree.result())))
                elif name == PATHS:
                    kh, past = items
                    send_message(self._sink, (DONE, self._tree.paths(kh, unpack_past(past))))
                elif name == SETTLE:
                    self._tree.settle()
            except CorruptError as error:
                send_message(self._sink, (DAMAGED, error.message, error.hint))

    def _load(self, buckets: Sequence[int]) -> Iterator[Leaves]:
        for start in range(0, len(buckets), TREE_ASK_BUCKETS_MAX):
            send_message(self._sink, (NEED, buckets[start : start + TREE_ASK_BUCKETS_MAX]))
            name, found = receive_message(self._source, None)
            if name != LEAVES:
                raise LocalError(f"the store answered {name} when it was asked for leaves")
            for leaves in found:
                yield unpack_leaves(leaves)


def main() -> int:
    """Serve until the pipe closes."""
    # Ctrl-C reaches the whole process group; the store decides when its worker ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # nothing in here makes cycles, and there are millions of objects to walk
    try:
        Worker(sys.stdin.fileno(), sys.stdout.fileno()).serve()
    except TreeWorkerError:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
