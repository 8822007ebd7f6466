"""Forgetting old heights: their blocks, commits, receipts, roots and undo pages. Index rows, transaction rows and validator sets stay.

Roots go first and blocks last: a height without its root answers "not kept", and whatever a crash leaves behind is found again,
because the lowest block says where the next pruning begins. Which heights may go is the caller's decision.
"""

from __future__ import annotations

from collections.abc import Iterator

from node.storage.leveldb import Database
from node.storage.rows import HEIGHT_LETTERS_PRUNED, ROOT, UNDO, Row, after, height_bytes, undo_range
from state.primitives.limits import PRUNE_ROWS_MAX
from state.tree import SHARDS


def prune_heights(database: Database, base: int, stop: int) -> None:
    """Delete the heights below `stop`; `base` is the lowest block."""
    pending: list[Row] = []
    for key in _doomed(database, base, stop):
        pending.append((key, None))
        if len(pending) >= PRUNE_ROWS_MAX:
            database.write_unsynced(pending)
            pending = []
    database.write_unsynced(pending)


def _doomed(database: Database, base: int, stop: int) -> Iterator[bytes]:
    for key, _ in database.scan(ROOT, ROOT + height_bytes(stop), values=False):
        yield key
    for shard in range(SHARDS):
        for key, _ in database.scan(*undo_range(shard, -1, stop - 1), values=False):
            yield key
    for height in range(base, stop):
        for letter in HEIGHT_LETTERS_PRUNED:
            yield letter.encode() + height_bytes(height)


def compact_pruned(database: Database) -> None:
    """Rewrite the ranges that pruning leaves holes in."""
    for prefix in (*(letter.encode() for letter in HEIGHT_LETTERS_PRUNED), ROOT, UNDO):
        database.compact(prefix, after(prefix))
