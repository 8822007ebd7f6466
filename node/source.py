"""Decided blocks in the store, as catching up serves them. Decoding of stored bytes only."""

from __future__ import annotations

from consensus.block import Block
from node.storage.frozen import StateReader
from node.sync.messages import CertifiedBlock
from node.tips import commits_at
from state.primitives.codec import decode


class StoreSource:
    """See `node.sync.loop.BlockSource`."""

    def __init__(self, store: StateReader) -> None:
        self._store = store

    @property
    def base(self) -> int:
        """See `BlockSource`."""
        return self._store.base_height() or 1

    @property
    def height(self) -> int:
        """See `BlockSource`."""
        return max(0, self._store.height)

    def certified(self, height: int) -> CertifiedBlock | None:
        """See `BlockSource`."""
        block = self._store.height_row("b", height)
        if block is None:
            return None
        commit, pq_commit = commits_at(self._store, height)
        return CertifiedBlock(Block.from_wire(decode(block)), commit, pq_commit)
