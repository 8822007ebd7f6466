"""The chain as the index reads it: one moment of the store, whatever is written meanwhile. Nothing of the index is known here.

What a height did to holdings and supplies stands in the store's undo pages, which say what each value was before; what it was after is what
the next page of the same key says, or the state now. `Changes` puts the pages of many heights side by side in a temporary database, so
that catching up takes time in proportion to what happened, and no memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from heapq import merge
from typing import Final, NamedTuple

from consensus.block import Block
from consensus.block_id import BlockID
from consensus.fields import read_time
from node.indexer.schema import TIME_NS_LAST
from node.storage import rows as names
from node.storage.history import page_changes
from node.storage.leveldb import Snapshot
from node.storage.rows import after, height_bytes, undo_range
from state.params import FeeParams, StakeParams
from state.primitives.codec import decode
from state.primitives.errors import IndexUnavailableError, StorageCorruptError
from state.receipts import Event, Receipt
from state.schema import (
    FEE_PARAMS_KEY,
    HOLDING,
    HOLDING_ADDRESS,
    HOLDING_CODE_START,
    HOLDING_PREFIX,
    STAKE_PARAMS_KEY,
    SUPPLY,
    decode_record,
)
from state.tree import SHARDS

SUPPLY_PREFIX: Final = b" s"
_LETTERS: Final = (HOLDING, SUPPLY)
_HEIGHT_AT: Final = 2  # in an undo page's key, after the letter and the shard
_PAGES_AT_ONCE: Final = 1_000

Check = Callable[[], None]  # raises when the work is to end


class Mark(NamedTuple):
    """A height as the tip after it says: the block's hash (empty before the first block) and its time."""

    height: int
    hash: bytes
    time_ns: int


class Change(NamedTuple):
    """An amount that a height changed, before and after. `account` is empty for a supply."""

    asset: str
    account: bytes
    before: int
    after: int


class ChainView:
    """The store after one height."""

    def __init__(self, rows: Snapshot) -> None:
        self._rows = rows
        tip = rows.get(names.TIP_KEY)
        if tip is None:
            raise IndexUnavailableError("the store has no state yet")
        self.height: int = decode(tip)[0]
        lowest = next((int.from_bytes(key[1:], "big") for key, _ in rows.scan(names.ROOT, after(names.ROOT), values=False)), self.height)
        self.start = lowest  # the first height whose state is kept; blocks can be indexed from the next one on

    def mark(self, height: int) -> Mark | None:
        """Block hash and time of a height that is kept, else None."""
        row = self._rows.get(names.TIP_AT + height_bytes(height)) if self.start <= height <= self.height else None
        if row is None:
            return None
        payload = decode(row)
        return Mark(height, BlockID.from_wire(payload[3]).hash, min(read_time(payload[4]), TIME_NS_LAST))

    def block(self, height: int) -> Block:
        """A block."""
        return Block.from_wire(decode(self._need("b", height)))

    def receipts(self, height: int) -> tuple[Receipt, ...]:
        """The receipts of its transactions."""
        return tuple(Receipt.from_wire(item) for item in decode(self._need("e", height)))

    def block_events(self, height: int) -> tuple[Event, ...]:
        """What the block itself did, beside its transactions."""
        row = self._rows.get(b"f" + height_bytes(height))
        return () if row is None else tuple(Event.from_wire(item) for item in decode(row))

    def _need(self, letter: str, height: int) -> bytes:
        row = self._rows.get(letter.encode() + height_bytes(height))
        if row is None:
            raise StorageCorruptError(f"height {height} has no row {letter!r}", hint="look at the stopped node with: qenex doctor")
        return row

    def assets(self) -> tuple[str, str]:
        """(the asset that fees are paid in, the asset that is staked)."""
        fees, stake = self._rows.get(FEE_PARAMS_KEY_ROW), self._rows.get(STAKE_PARAMS_KEY_ROW)
        return (
            FeeParams().asset if fees is None else FeeParams.from_record(decode_record(FEE_PARAMS_KEY, fees)).asset,
            StakeParams().asset if stake is None else StakeParams.from_record(decode_record(STAKE_PARAMS_KEY, stake)).asset,
        )

    def changes(self, above: int, check: Check) -> Changes:
        """What every height above one did, up to the view's own."""
        return Changes(self._rows, above, self.height, check)


FEE_PARAMS_KEY_ROW: Final = names.STATE + FEE_PARAMS_KEY
STAKE_PARAMS_KEY_ROW: Final = names.STATE + STAKE_PARAMS_KEY


class Changes:
    """Holdings and supplies that heights have changed. `close` it."""

    def __init__(self, rows: Snapshot, above: int, to: int, check: Check) -> None:
        self._rows = rows
        self._check = check
        self._db = sqlite3.connect("", check_same_thread=False)  # a temporary file, once it is large
        self._db.execute("CREATE TABLE changes (key BLOB, height INTEGER, before BLOB, PRIMARY KEY (key, height)) WITHOUT ROWID")
        pages = rows.scan_ranges(undo_range(shard, above, to) for shard in range(SHARDS))
        for count, (key, page) in enumerate(pages):
            if count % _PAGES_AT_ONCE == 0:
                check()
            height = int.from_bytes(key[_HEIGHT_AT:], "big")
            found = ((raw, height, before) for raw, before in page_changes(page) if raw[1] in _LETTERS)
            self._db.executemany("INSERT INTO changes VALUES (?, ?, ?)", found)

    def close(self) -> None:
        """Drop the temporary database."""
        self._db.close()

    def by_height(self) -> Generator[tuple[int, Change], None, None]:
        """(height, change) in order of height, then of key."""
        query = """SELECT key, height, before, LEAD(height) OVER following, LEAD(before) OVER following FROM changes
                   WINDOW following AS (PARTITION BY key ORDER BY height) ORDER BY height, key"""
        with closing(self._db.cursor()) as cursor:
            for key, height, before, later, following in cursor.execute(query):
                result = self._rows.get(names.STATE + key) if later is None else following
                yield height, _change(key, before, result)

    def at_start(self) -> Generator[Change, None, None]:
        """Every holding and supply before the first of these heights, as a change from nothing, in order of key."""
        for count, (key, value) in enumerate(merge(self._still_there(), self._gone(), key=lambda found: found[0])):
            if count % _PAGES_AT_ONCE == 0:
                self._check()
            yield _change(key, None, value)

    def _still_there(self) -> Iterator[tuple[bytes, bytes]]:
        find = "SELECT before FROM changes WHERE key = ? ORDER BY height LIMIT 1"
        with closing(self._db.cursor()) as cursor:
            for prefix in (HOLDING_PREFIX, SUPPLY_PREFIX):
                start = names.STATE + prefix
                for row, now in self._rows.scan(start, after(start)):
                    earlier = cursor.execute(find, (row[1:],)).fetchone()
                    value = now if earlier is None else earlier[0]
                    if value is not None:
                        yield row[1:], value

    def _gone(self) -> Iterator[tuple[bytes, bytes]]:
        first = "SELECT key, before, MIN(height) FROM changes GROUP BY key ORDER BY key"  # SQLite: of the row with the least height
        with closing(self._db.cursor()) as cursor:
            for key, before, _ in cursor.execute(first):
                if before is not None and self._rows.get(names.STATE + key) is None:
                    yield key, before


def _change(key: bytes, before: bytes | None, result: bytes | None) -> Change:
    amounts = (0 if raw is None else decode_record(key, raw)[0] for raw in (before, result))
    if key[1] == HOLDING:
        return Change(key[HOLDING_CODE_START:].decode("ascii"), key[HOLDING_ADDRESS], *amounts)
    return Change(key[len(SUPPLY_PREFIX) :].decode("ascii"), b"", *amounts)
