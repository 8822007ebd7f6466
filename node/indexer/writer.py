"""Bringing the index to where the chain is: forward block by block, back when the chain went back, over what this node never had.

The index says with its rows which height they are of, in the same transaction; the store is written first. So a kill leaves the index at
or behind the chain, and the next run goes on from there. All of it is blocking work for one thread, or for a command.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import groupby
from typing import Final

from node.indexer.amounts import decode_amount, encode_amount
from node.indexer.chain import ChainView, Change, Changes, Check, Mark
from node.indexer.database import REINDEX, IndexDatabase, Row, clear, read_meta
from node.indexer.rows_of_block import BlockRows, rows_of_block
from node.indexer.schema import BLOCK_ITSELF, FORMAT, IN, OF_HEIGHTS, OUT
from node.storage.leveldb import Snapshot
from state.primitives.errors import IndexDamagedError
from state.transaction import Transaction

BATCH_BLOCKS: Final = 100  # in one transaction of the index
BATCH_ROWS: Final = 20_000  # about 5 MB; a full block has more and goes alone
OPENING: Final = "opening"  # what an account had before the first block that is indexed
GAP: Final = "gap"  # what became of it in blocks that this node never had
NEVER: Final = -1

Holding = tuple[str, bytes]  # asset, account
Decode = Callable[[bytes], Transaction]
Progress = Callable[[int, int], None]  # (height that is indexed, height of the chain)


class IndexWriter:
    """The one writer of an index. `chain` names the network: its genesis hash in hex."""

    def __init__(self, database: IndexDatabase, chain: str, decode: Decode = Transaction.decode) -> None:
        self._db = database
        self._decode = decode
        self._chain = chain
        meta = read_meta(database)
        if meta and meta.get("chain") != chain:
            raise IndexDamagedError("the index is of another network", hint=REINDEX)
        self.height = int(meta.get("height", NEVER))  # of the last block that is indexed

    def follow(self, rows: Snapshot, check: Check, progress: Progress = lambda height, of: None) -> int:
        """Bring the index to the height of a snapshot; that height. `check` is called between pieces of work and may raise."""
        view = ChainView(rows)
        common = self._find_common(view)
        if common < self.height:
            self._go_back(common)
        start = max(self.height, view.start)
        if start == self.height == view.height:
            return self.height
        with closing(view.changes(start, check)) as changes:
            if self.height < view.start:
                self._open_at(view, changes)
            self._go_forward(view, changes, check, progress)
        return self.height

    # backwards

    def _find_common(self, view: ChainView) -> int:
        """The last indexed height that the chain has, too; `NEVER` if what it has is all different."""
        height = min(self.height, view.height)
        while height >= view.start:
            found = self._db.execute("SELECT hash FROM blocks WHERE height = ?", (height,))
            mark = view.mark(height)
            if mark is not None and found and bytes(found[0][0]) == mark.hash:
                return height
            height -= 1
        # below what the store keeps nothing can be compared; an index that ends there is of the chain's past
        return self.height if self.height < view.start else NEVER

    def _go_back(self, height: int) -> None:
        """Forget everything above a height, and take back what it did to holdings."""
        with self._db.transaction():
            found = self._db.execute("SELECT hash FROM blocks WHERE height = ?", (height,))
            if not found:
                clear(self._db)
                self.height = NEVER
                return
            net: dict[Holding, int] = {}
            query = "SELECT asset, account, amount, direction FROM movements WHERE height > ? AND direction <> 0"
            for asset, account, amount, direction in self._db.rows(query, (height,)):
                key = asset, bytes(account)
                net[key] = net.get(key, 0) + direction * decode_amount(bytes(amount))
            put_holdings(self._db, {key: self._holding(*key) - change for key, change in net.items() if change})
            for table in OF_HEIGHTS:
                self._db.execute(f"DELETE FROM {table} WHERE height > ?", (height,))
            self._db.execute("DELETE FROM gaps WHERE last > ?", (height,))
            self._say(height, bytes(found[0][0]))
        self.height = height

    # over what is not there

    def _open_at(self, view: ChainView, changes: Changes) -> None:
        """Take holdings and supplies as they were at the first height that the store keeps; what was before it is a gap."""
        mark = view.mark(view.start)
        if mark is None:
            raise IndexDamagedError(f"the store has a state of height {view.start} but no tip of it", hint="join again as a new node")
        is_new = self.height == NEVER
        opening = _Opening(self._db, mark, OPENING if is_new else GAP)
        with self._db.transaction(), closing(changes.at_start()) as found:
            query = "SELECT asset, account, amount FROM holdings"
            old = {} if is_new else {(a, bytes(b)): decode_amount(bytes(c)) for a, b, c in self._db.rows(query)}
            for change in found:
                if change.account:
                    opening.add(change.asset, change.account, old.pop((change.asset, change.account), 0), change.after)
                else:
                    self._db.put("supplies", [(change.asset, mark.height, mark.time_ns, encode_amount(change.after))])
            for (asset, account), before in old.items():
                opening.add(asset, account, before, 0)
            opening.write()
            if not is_new:
                self._db.insert("gaps", [(self.height + 1, mark.height)])
            self._db.insert("blocks", [(mark.height, mark.hash, mark.time_ns, b"", 0)])
            self._say(mark.height, mark.hash)
        self.height = mark.height

    # forward

    def _go_forward(self, view: ChainView, changes: Changes, check: Check, progress: Progress) -> None:
        fee_asset, staked = view.assets()
        batch: list[BlockRows] = []
        count = 0
        with closing(changes.by_height()) as found:
            groups = groupby(found, key=lambda row: row[0])
            waiting = next(groups, None)
            for height in range(self.height + 1, view.height + 1):
                check()
                changed: list[Change] = []
                if waiting is not None and waiting[0] == height:
                    changed = [change for _, change in waiting[1]]
                    waiting = next(groups, None)
                block = view.block(height)
                txs = [self._decode(raw) for raw in block.txs]
                made = rows_of_block(block, txs, view.receipts(height), view.block_events(height), changed, fee_asset, staked)
                batch.append(made)
                count += sum(map(len, made.tables.values())) + len(made.holdings)
                if len(batch) >= BATCH_BLOCKS or count >= BATCH_ROWS or height == view.height:
                    self._write(height, batch)
                    batch, count = [], 0
                    progress(height, view.height)

    def _write(self, height: int, batch: list[BlockRows]) -> None:
        """Make a batch of blocks durable."""
        holdings: dict[Holding, int] = {}
        with self._db.transaction():
            for table in OF_HEIGHTS:
                rows: list[Row] = [row for made in batch for row in made.tables[table]]
                if rows:
                    self._db.insert(table, rows)
            for made in batch:
                holdings.update(made.holdings)
            put_holdings(self._db, holdings)
            self._say(height, bytes(batch[-1].tables["blocks"][0][1]))
        self.height = height

    def _holding(self, asset: str, account: bytes) -> int:
        found = self._db.execute("SELECT amount FROM holdings WHERE asset = ? AND account = ?", (asset, account))
        return decode_amount(bytes(found[0][0])) if found else 0

    def _say(self, height: int, block_hash: bytes) -> None:
        told = {"format": FORMAT, "chain": self._chain, "height": str(height), "hash": block_hash.hex()}
        self._db.put("meta", list(told.items()))


class _Opening:
    """Holdings as they are found at a height, and the movements that make them so, a piece at a time."""

    def __init__(self, database: IndexDatabase, mark: Mark, kind: str) -> None:
        self._db = database
        self._mark = mark
        self._kind = kind
        self._written = 0
        self._found: dict[Holding, tuple[int, int]] = {}  # to the difference and what it is now

    def add(self, asset: str, account: bytes, before: int, now: int) -> None:
        if now != before:
            self._found[asset, account] = now - before, now
            if len(self._found) >= BATCH_ROWS:
                self.write()

    def write(self) -> None:
        height, time_ns = self._mark.height, self._mark.time_ns
        rows: list[Row] = []
        for seq, ((asset, account), (difference, _)) in enumerate(self._found.items(), self._written):
            direction = IN if difference > 0 else OUT
            amount = encode_amount(abs(difference))
            rows.append((height, BLOCK_ITSELF, seq, account, asset, amount, direction, b"", self._kind, 0, time_ns))
        self._db.insert("movements", rows)
        put_holdings(self._db, {key: now for key, (_, now) in self._found.items()})
        self._written += len(rows)
        self._found = {}


def put_holdings(database: IndexDatabase, holdings: dict[Holding, int]) -> None:
    """Write what is left of each holding; nothing is no row."""
    rows = [(asset, account, encode_amount(amount)) for (asset, account), amount in holdings.items() if amount]
    if rows:
        database.put("holdings", rows)
    for (asset, account), amount in holdings.items():
        if not amount:
            database.execute("DELETE FROM holdings WHERE asset = ? AND account = ?", (asset, account))
