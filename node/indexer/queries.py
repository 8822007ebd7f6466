"""Questions to the index: an account's history, holders, supplies, transactions. Pure SQL on one moment; JSON is not known here.

Pages go on from a place: the last row of the page before. A page looks through a bounded number of rows; one that finds fewer than it was
asked for may still have a next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from node.indexer.amounts import decode_amount, encode_amount
from node.indexer.database import IndexDatabase
from node.indexer.schema import TIME_NS_LAST
from state.primitives.limits import INDEX_SCAN_ROWS_MAX

Place = tuple[int, int, int]  # height, index in the block (-1: the block itself), sequence


class Entry(NamedTuple):
    """A line of an account's history. `hash` is empty for what the block itself did."""

    height: int
    idx: int
    sequence: int
    time_ns: int
    hash: bytes
    kind: str
    asset: str
    amount: int
    direction: int
    counterparty: bytes
    code: int


class Holder(NamedTuple):
    """Who has how much."""

    account: bytes
    amount: int


class TxRow(NamedTuple):
    """A transaction."""

    height: int
    idx: int
    hash: bytes
    time_ns: int
    sender: bytes
    code: int
    payer: bytes
    fee: int
    events: int
    memo: str


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What of a history is asked for; None and empty ask for everything. Times from `since_ns` to before `until_ns`.

    `code` is a result code, or -1 for every failure.
    """

    asset: str = ""
    counterparty: bytes = b""
    since_ns: int | None = None
    until_ns: int | None = None
    min_amount: int | None = None
    max_amount: int | None = None
    code: int | None = None


ANY_FAILURE: Final = -1
ALL: Final = HistoryFilter()


class _Where:
    """Conditions joined by AND, and their values."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.values: list[Any] = []

    def add(self, condition: str, *values: Any) -> None:
        self._parts.append(condition)
        self.values += values

    def __str__(self) -> str:
        return " AND ".join(self._parts) or "1 = 1"


def indexed_height(database: IndexDatabase) -> int:
    """The last height in the index; -1 if it is empty."""
    found = database.execute("SELECT value FROM meta WHERE key = 'height'")
    return int(found[0][0]) if found else -1


def first_height(database: IndexDatabase) -> int:
    """The lowest height from which on blocks are in it; 0 if it is empty."""
    found = database.execute("SELECT MIN(height) FROM blocks")
    return 0 if found[0][0] is None else int(found[0][0]) + 1


def gaps(database: IndexDatabase) -> list[tuple[int, int]]:
    """Heights (first, last) that this node never had, above the first."""
    return [(int(first), int(last)) for first, last in database.execute("SELECT first, last FROM gaps ORDER BY first")]


def find_history(
    database: IndexDatabase, account: bytes, start: Place | None, limit: int, *, descending: bool, wanted: HistoryFilter = ALL
) -> tuple[list[Entry], Place | None]:
    """At most `limit` lines after `start` in either order, and where to go on, None at the end."""
    scope, narrow = _Where(), _Where()
    scope.add("account = ?", account)
    if wanted.asset:
        scope.add("asset = ?", wanted.asset)
    if start is not None:
        scope.add(f"(height, idx, seq) {'<' if descending else '>'} (?, ?, ?)", *start)
    low, high = heights_between(database, wanted.since_ns, wanted.until_ns)
    if low is not None:
        scope.add("height >= ?", low)
    if high is not None:
        scope.add("height <= ?", high)
    if wanted.counterparty:
        narrow.add("counterparty = ?", wanted.counterparty)
    if wanted.min_amount is not None:
        narrow.add("amount >= ?", encode_amount(wanted.min_amount))
    if wanted.max_amount is not None:
        narrow.add("amount <= ?", encode_amount(wanted.max_amount))
    if wanted.code is not None:
        narrow.add("code <> 0" if wanted.code == ANY_FAILURE else "code = ?", *(() if wanted.code == ANY_FAILURE else (wanted.code,)))
    word = "DESC" if descending else "ASC"
    order = f"height {word}, idx {word}, seq {word}"
    inner = f"SELECT * FROM movements WHERE {scope} ORDER BY {order} LIMIT {INDEX_SCAN_ROWS_MAX}"
    outer = f"SELECT * FROM ({inner}) AS seen WHERE {narrow} ORDER BY {order} LIMIT ?"
    rows = database.execute(outer, [*scope.values, *narrow.values, limit + 1])
    found = [_entry(database, row) for row in rows[:limit]]
    if len(rows) > limit:
        return found, found[-1][:3]
    far = f"SELECT height, idx, seq FROM movements WHERE {scope} ORDER BY {order} LIMIT 1 OFFSET {INDEX_SCAN_ROWS_MAX - 1}"
    more = database.execute(far, scope.values)
    return found, (more[0] if more else None)


def _entry(database: IndexDatabase, row: tuple[Any, ...]) -> Entry:
    height, idx, seq, _, asset, amount, direction, counterparty, kind, code, time_ns = row
    found = database.execute("SELECT hash FROM txs WHERE height = ? AND idx = ?", (height, idx)) if idx >= 0 else []
    tx_hash = bytes(found[0][0]) if found else b""
    return Entry(
        height, idx, seq, time_ns, tx_hash, kind, asset, decode_amount(bytes(amount)), direction, bytes(counterparty), code
    )


def heights_between(database: IndexDatabase, since_ns: int | None, until_ns: int | None) -> tuple[int | None, int | None]:
    """The heights of the blocks from one time to before another; None where there is no bound. Nothing between: (1, 0) or so."""
    low = high = None
    if since_ns is not None:
        found = database.execute("SELECT height FROM blocks WHERE time_ns >= ? ORDER BY time_ns LIMIT 1", (min(since_ns, TIME_NS_LAST),))
        low = int(found[0][0]) if found else indexed_height(database) + 1
    if until_ns is not None:
        query = "SELECT height FROM blocks WHERE time_ns < ? ORDER BY time_ns DESC LIMIT 1"
        found = database.execute(query, (min(until_ns, TIME_NS_LAST),))
        high = int(found[0][0]) if found else -1
    return low, high


def find_holders(database: IndexDatabase, asset: str, start: Holder | None, limit: int) -> tuple[list[Holder], Holder | None]:
    """Holders of an asset after `start`, the largest first, equal ones by address from high to low; and where to go on."""
    where = _Where()
    where.add("asset = ?", asset)
    if start is not None:
        where.add("(amount, account) < (?, ?)", encode_amount(start.amount), start.account)
    query = f"SELECT account, amount FROM holdings WHERE {where} ORDER BY amount DESC, account DESC LIMIT ?"
    rows = database.execute(query, [*where.values, limit + 1])
    found = [Holder(bytes(account), decode_amount(bytes(amount))) for account, amount in rows[:limit]]
    return found, found[-1] if len(rows) > limit else None


def supply_at(database: IndexDatabase, asset: str, height: int) -> int:
    """The supply after a height; 0 before the asset was there."""
    query = "SELECT supply FROM supplies WHERE asset = ? AND height <= ? ORDER BY height DESC LIMIT 1"
    found = database.execute(query, (asset, height))
    return decode_amount(bytes(found[0][0])) if found else 0


def find_supplies(
    database: IndexDatabase, asset: str, since_ns: int | None, until_ns: int | None, points: int
) -> list[tuple[int, int, int]]:
    """(height, time, supply) at `points` moments evenly spread from the first block to the last of a time; each height once."""
    low, high = heights_between(database, since_ns, until_ns)
    ends = database.execute(
        "SELECT MIN(time_ns), MAX(time_ns) FROM blocks WHERE height BETWEEN ? AND ?",
        (0 if low is None else low, indexed_height(database) if high is None else high),
    )
    first, last = ends[0]
    if first is None:
        return []
    moments = [last] if points == 1 else [first + (last - first) * number // (points - 1) for number in range(points)]
    found: dict[int, tuple[int, int, int]] = {}
    for moment in moments:
        query = "SELECT height, time_ns FROM blocks WHERE time_ns <= ? ORDER BY time_ns DESC LIMIT 1"
        height, time_ns = database.execute(query, (moment,))[0]
        if height not in found:
            found[height] = height, time_ns, supply_at(database, asset, height)
    return list(found.values())


def find_txs(database: IndexDatabase, start: tuple[int, int] | None, limit: int) -> tuple[list[TxRow], tuple[int, int] | None]:
    """Transactions before a place, the latest first, and where to go on."""
    where = _Where()
    if start is not None:
        where.add("(height, idx) < (?, ?)", *start)
    columns = "height, idx, hash, time_ns, sender, code, payer, fee, events, memo"
    rows = database.execute(f"SELECT {columns} FROM txs WHERE {where} ORDER BY height DESC, idx DESC LIMIT ?", [*where.values, limit + 1])
    found = [
        TxRow(height, idx, bytes(tx_hash), time_ns, bytes(sender), code, bytes(payer), decode_amount(bytes(fee)), events, memo)
        for height, idx, tx_hash, time_ns, sender, code, payer, fee, events, memo in rows[:limit]
    ]
    return found, found[-1][:2] if len(rows) > limit else None


def find_tx(database: IndexDatabase, tx_hash: bytes) -> tuple[int, int] | None:
    """(height, index) of a transaction, or None."""
    found = database.execute("SELECT height, idx FROM txs WHERE hash = ?", (tx_hash,))
    return (int(found[0][0]), int(found[0][1])) if found else None
