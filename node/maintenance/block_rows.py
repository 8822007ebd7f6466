"""The rows of the store that only the ledger's types can name: what a block and its receipts are found by. Names only."""

from __future__ import annotations

from collections.abc import Iterator

from consensus.block import Block
from node.indexer.rows import index_rows
from node.storage.rows import BLOCK_HASH, INDEX, TX
from state.primitives.codec import decode
from state.primitives.hashing import sha256
from state.receipts import Receipt


def block_rows(block: Block, receipts: bytes) -> Iterator[bytes]:
    """Keys of the block's hash, its transactions and their index rows."""
    yield BLOCK_HASH + block.header.hash()
    for tx in block.txs:
        yield TX + sha256(tx)
    for key, _ in index_rows(block.header.height, tuple(Receipt.from_wire(item) for item in decode(receipts))):
        yield INDEX + key


def derived_rows(block: bytes, receipts: bytes) -> Iterator[bytes]:
    """As `block_rows`, from stored bytes: for `Store.prune`."""
    yield from block_rows(Block.from_wire(decode(block)), receipts)
