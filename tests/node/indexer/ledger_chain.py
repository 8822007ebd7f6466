"""A chain of every operation, in a real store: blocks of the random ledger, with what the index must say of them. Not a test file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from consensus.block import Block
from consensus.block_id import EMPTY, BlockID
from consensus.commit import EMPTY_COMMIT
from consensus.fields import write_time
from consensus.header import Header
from node.indexer.amounts import decode_amount
from node.indexer.database import IndexDatabase
from node.indexer.writer import IndexWriter
from node.storage.store import HeightBatch, Store, StoreOptions
from state.machine import BlockExecution, BlockResult
from state.primitives.codec import encode_trusted
from state.primitives.hashing import sha256
from state.receipts import Receipt
from state.schema import HOLDING, SUPPLY, decode_record
from state.transaction import Transaction
from tests.state import random_ledger
from tests.state.random_ledger import CHAIN, RandomLedger

SMALL = StoreOptions(values_max=1_000, leaves_max=50_000)
Holdings = dict[tuple[str, bytes], int]


class _Recording(BlockExecution):
    """The production execution, which the ledger's blocks are taken from."""

    last: _Recording

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.delivered: list[tuple[Transaction, Receipt]] = []
        self.result: BlockResult | None = None
        _Recording.last = self

    def deliver(self, tx: Transaction) -> Receipt:
        receipt = super().deliver(tx)
        if receipt.code < 100 or receipt.code >= 200:
            self.delivered.append((tx, receipt))
        return receipt

    def finish(self, receipts: Any) -> BlockResult:
        self.result = super().finish(receipts)
        return self.result


class LedgerChain:
    """`store` holds what a node would; `holdings` and `supplies` are the state's, by height."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.ledger = RandomLedger(seed)
        self.store = Store.create(folder / "db", SMALL)
        self.txs: dict[bytes, Transaction] = {}
        self.holdings: dict[int, Holdings] = {}
        self.supplies: dict[int, dict[str, int]] = {}
        self.times: dict[int, int] = {0: (self.ledger.now - 1) * 10**9}
        self.receipts: dict[int, tuple[Receipt, ...]] = {}
        self.fork = b""  # blocks made after it is set are others than those of a chain where it is not
        self.last = EMPTY
        self._commit(0, EMPTY, sorted(self.ledger.db.items()), ())

    def decode(self, raw: bytes) -> Transaction:
        """What stands for `Transaction.decode`: the ledger's transactions have no bytes."""
        return self.txs[raw]

    def writer(self, database: IndexDatabase) -> IndexWriter:
        return IndexWriter(database, CHAIN.hex(), self.decode)

    def follow(self, database: IndexDatabase) -> int:
        """Bring an index to the chain."""
        snapshot = self.store.snapshot()
        try:
            return self.writer(database).follow(snapshot, lambda: None)
        finally:
            snapshot.close()

    def grow(self, blocks: int, operations: int = 20) -> None:
        for _ in range(blocks):
            time_ns = self.ledger.now * 10**9
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(random_ledger, "BlockExecution", _Recording)
                self.ledger.run_block(operations)
            execution, height = _Recording.last, self.store.height + 1
            assert execution.result is not None
            raws = []
            for number, (tx, _) in enumerate(execution.delivered):
                raw = b"%d/%d%b" % (height, number, self.fork)
                self.txs[raw] = tx._replace(raw=raw, hash=sha256(raw))
                raws.append(raw)
            empty = bytes(32)
            header = Header(
                1, "ledger", height, time_ns, self.last, empty, sha256(self.fork), empty, empty, empty, empty, empty, empty, bytes(20)
            )
            block = Block(header, tuple(raws), (), EMPTY_COMMIT)
            self.times[height] = time_ns
            self.receipts[height] = tuple(receipt for _, receipt in execution.delivered)
            events = execution.result.events
            rows = [
                ("b", height, encode_trusted(block.to_wire())),
                ("e", height, encode_trusted([receipt.to_wire() for receipt in self.receipts[height]])),
            ]
            if events:
                rows.append(("f", height, encode_trusted([event.to_wire() for event in events])))
            self.last = BlockID(header.hash(), 1, empty)
            self._commit(height, self.last, execution.result.changes, tuple(rows))

    def _commit(self, height: int, name: BlockID, changes: Any, rows: Any) -> None:
        tip = encode_trusted(("ledger", 1, height, name.to_wire(), write_time(self.times[height])))
        self.store.commit(HeightBatch(height, tip, name.hash, rows), changes)
        self.holdings[height] = state_holdings(self.ledger.db)
        self.supplies[height] = state_supplies(self.ledger.db)

    def roll_back(self, heights: int) -> None:
        """Undo the last heights of the store. Nothing may be grown after that."""
        for _ in range(heights):
            self.store.roll_back([])

def state_holdings(db: Mapping[bytes, bytes]) -> Holdings:
    found = {}
    for key, raw in db.items():
        if key[1] == HOLDING and (balance := decode_record(key, raw)[0]):
            found[key[34:].decode(), key[2:34]] = balance
    return found


def state_supplies(db: Mapping[bytes, bytes]) -> dict[str, int]:
    return {key[2:].decode(): decode_record(key, raw)[0] for key, raw in db.items() if key[1] == SUPPLY}


def index_holdings(database: IndexDatabase) -> Holdings:
    rows = database.execute("SELECT asset, account, amount FROM holdings")
    return {(asset, bytes(account)): decode_amount(bytes(amount)) for asset, account, amount in rows}


def summed_movements(database: IndexDatabase) -> Holdings:
    """What the movements say about holdings."""
    found: Holdings = {}
    for asset, account, amount, direction in database.execute("SELECT asset, account, amount, direction FROM movements"):
        key = asset, bytes(account)
        found[key] = found.get(key, 0) + direction * decode_amount(bytes(amount))
    return {key: amount for key, amount in found.items() if amount}


def index_supplies(database: IndexDatabase) -> dict[str, int]:
    rows = database.execute("SELECT asset, supply FROM supplies ORDER BY height")
    return {asset: decode_amount(bytes(supply)) for asset, supply in rows}


def assert_equal_to_chain(database: IndexDatabase, chain: LedgerChain) -> None:
    """Every holding, supply, transaction and event of the chain, and no more."""
    height = chain.store.height
    assert index_holdings(database) == chain.holdings[height]
    assert summed_movements(database) == chain.holdings[height]
    kept = {asset: supply for asset, supply in index_supplies(database).items() if supply}
    assert kept == {asset: supply for asset, supply in chain.supplies[height].items() if supply}
    assert dict(database.execute("SELECT key, value FROM meta"))["height"] == str(height)
    txs = dict(database.execute("SELECT height, COUNT(*) FROM txs GROUP BY height"))
    assert txs == {h: len(found) for h, found in chain.receipts.items() if found and h <= height}
    events = database.execute("SELECT COUNT(*) FROM events WHERE idx >= 0")[0][0]
    assert events == sum(len(receipt.events) for h, found in chain.receipts.items() if h <= height for receipt in found)


def tables_of(database: IndexDatabase) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Everything in an index, to compare two of them."""
    from node.indexer.schema import TABLES

    for table, (columns, _) in TABLES.items():
        names = ", ".join(name for name, _ in columns)
        rows = database.execute(f"SELECT {names} FROM {table}")
        yield table, sorted(tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows)
