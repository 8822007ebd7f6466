"""Forgetting old heights: their blocks, commits, receipts, roots and undo pages, and what only the ledger's types can name.

Validator sets and punished offences stay. Roots go first and blocks last: a height without its root answers "not kept", and whatever a
crash leaves behind is found again, because the lowest block says where the next pruning begins; a height's own rows go in one batch.
Which heights may go is the caller's decision. Deleted rows take space until they are compacted: in steps, so that a running node has time
between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from node.storage import rows as names
from node.storage.leveldb import Database
from node.storage.rows import HEIGHT_LETTERS_PRUNED, ROOT, UNDO, Row, after, height_bytes, undo_range
from state.primitives.limits import PRUNE_ROWS_MAX
from state.tree import SHARDS

COMPACT_FIRST_BYTES: Final = 16  # of 256 in one step

# Rows that belong to a block and its receipts, as stored: names of transactions, index rows
DerivedRows: TypeAlias = Callable[[bytes, bytes], Iterable[bytes]]


def no_rows(_block: bytes, _receipts: bytes) -> Iterable[bytes]:
    """For blocks that nothing else belongs to."""
    return ()


def prune_heights(database: Database, heights: range, derived: DerivedRows = no_rows) -> int:
    """Delete these heights; the first is the lowest block, and what lies below it goes too. Returns how many rows went."""
    pending: list[Row] = []
    count = 0
    for group in _doomed(database, heights, derived):
        pending += [(key, None) for key in group]
        if len(pending) >= PRUNE_ROWS_MAX:
            database.write_unsynced(pending)
            count += len(pending)
            pending = []
    database.write_unsynced(pending)
    return count + len(pending)


def _doomed(database: Database, heights: range, derived: DerivedRows) -> Iterator[Iterable[bytes]]:
    first, stop = max(0, heights.start - 1), heights.stop  # the state before the first block has pages, too
    for key, _ in database.scan(ROOT + height_bytes(first), ROOT + height_bytes(stop), values=False):
        yield (key,)
    for shard in range(SHARDS):
        yield [key for key, _ in database.scan(*undo_range(shard, first - 1, stop - 1), values=False)]
    for height in heights:
        block, receipts = database.get(b"b" + height_bytes(height)), database.get(b"e" + height_bytes(height))
        if block is not None and receipts is not None:
            yield derived(block, receipts)
    for height in range(first, stop):
        yield [letter.encode() + height_bytes(height) for letter in HEIGHT_LETTERS_PRUNED]


def compaction_steps(stop: int | None) -> Iterator[tuple[bytes, bytes]]:
    """Ranges that pruning leaves holes in: of rows in order of height only those below one; with None the whole database."""
    for letter in (*(letter.encode() for letter in HEIGHT_LETTERS_PRUNED), ROOT):
        yield letter, after(letter) if stop is None else letter + height_bytes(stop)
    # elsewhere the dead lie between the living, which are written again with them; each step also writes LevelDB's memory out
    for letter in (UNDO, names.TX):
        for first in range(0, 256, COMPACT_FIRST_BYTES):
            yield letter + bytes((first,)), letter + bytes((first + COMPACT_FIRST_BYTES - 1,)) + b"\xff" * 32
    for letter in (names.BLOCK_HASH, names.INDEX):
        yield letter, after(letter)
    if stop is None:
        for letter in (names.STATE, names.LEAF, names.BUCKET):
            yield letter, after(letter)
