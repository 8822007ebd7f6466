"""Going back: the last heights of a stopped node are undone, one atomic batch each.

For a node whose software computed a wrong state: undo, install the right version, start, and the heights come again from the peers. What
this validator has signed stays signed: its record is never lowered, so it signs nothing at heights it had reached. The consensus log of a
height that is gone is set aside by the log itself at the next start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from consensus.block import Block
from node.indexer.rows import index_rows
from node.storage import rows as names
from node.storage.rows import height_bytes
from node.storage.store import Store
from state.primitives.codec import decode
from state.primitives.errors import StorageError
from state.primitives.hashing import sha256
from state.receipts import Receipt


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Where it was, where it is, and the app hash there."""

    before: int
    height: int
    app_hash: bytes


def lowest_target(store: Store) -> int:
    """The lowest height that can be gone back to; the tip itself if none."""
    height = store.height
    while store.tip_at(height - 1) is not None and store.root_at(height - 1) is not None and store.height_row("b", height) is not None:
        height -= 1
    return height


def roll_back(store: Store, target: int, initial_height: int) -> RolledBack:
    """Undo heights until `target` is the last. Raises `StorageError` before anything is changed if that is not possible."""
    before = store.height
    lowest = max(initial_height - 1, lowest_target(store))
    if not lowest <= target < before:
        raise StorageError(f"cannot go back from height {before} to {target}", hint=f"heights {lowest} to {before - 1} are possible")
    while store.height > target:
        store.roll_back(list(_rows_of(store, store.height)))
    return RolledBack(before, store.height, store.root)


def _rows_of(store: Store, height: int) -> Iterator[bytes]:
    """The rows that only the ledger's types can name."""
    raw, receipts = store.height_row("b", height), store.height_row("e", height)
    if raw is None or receipts is None:
        raise StorageError(f"block {height} is not kept")
    block = Block.from_wire(decode(raw))
    yield names.BLOCK_HASH + block.header.hash()
    for tx in block.txs:
        yield names.TX + sha256(tx)
    for key, _ in index_rows(height, tuple(Receipt.from_wire(item) for item in decode(receipts))):
        yield names.INDEX + key
    for item in block.evidence:
        for offence in item.offences:
            yield names.OFFENCE + offence
    if store.height_row("v", height + 2) is not None:
        yield b"v" + height_bytes(height + 2)
