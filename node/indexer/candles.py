"""Prices of a pool over time, from its swaps: exact fractions, never floats. Reading only.

The price of a swap is what was paid or got of the second asset for one base unit of the first, fees included. A candle covers the times
from its start to before the next; a time without swaps has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Final

from node.indexer.amounts import decode_amount
from node.indexer.database import IndexDatabase
from node.indexer.schema import TIME_NS_LAST
from state.primitives.errors import IndexUnavailableError
from state.primitives.limits import INDEX_SWAPS_MAX

NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """So many base units of the second asset (`b`) for so many of the first (`a`)."""

    b: int
    a: int

    def __lt__(self, other: Price) -> bool:
        return self.b * other.a < other.b * self.a

    def __str__(self) -> str:
        shared = gcd(self.b, self.a) or 1
        return f"{self.b // shared}/{self.a // shared}"


@dataclass(slots=True)
class Candle:
    """What happened in one interval. Volumes are base units."""

    time_s: int
    open: Price
    high: Price
    low: Price
    close: Price
    volume_a: int = 0
    volume_b: int = 0
    swaps: int = 0

    def add(self, price: Price, amount_a: int, amount_b: int) -> None:
        """One more swap, later than those before."""
        self.high = price if self.high < price else self.high
        self.low = price if price < self.low else self.low
        self.close = price
        self.volume_a += amount_a
        self.volume_b += amount_b
        self.swaps += 1


def last_swap_s(database: IndexDatabase, pool: str) -> int | None:
    """The time of a pool's last swap."""
    found = database.execute("SELECT MAX(time_ns) FROM swaps WHERE pool = ?", (pool,))
    return None if found[0][0] is None else int(found[0][0]) // NS_PER_S


def find_candles(database: IndexDatabase, pool: str, interval_s: int, since_s: int, until_s: int) -> list[Candle]:
    """Candles of the swaps from one time to before another, in order. Raises `IndexUnavailableError` if there are too many."""
    query = """SELECT time_ns, amount_a, amount_b FROM swaps WHERE pool = ? AND time_ns >= ? AND time_ns < ?
               ORDER BY time_ns, height, idx, seq LIMIT ?"""
    candles: list[Candle] = []
    bounds = (pool, min(since_s * NS_PER_S, TIME_NS_LAST), min(until_s * NS_PER_S, TIME_NS_LAST), INDEX_SWAPS_MAX + 1)
    for count, (time_ns, raw_a, raw_b) in enumerate(database.rows(query, bounds)):
        if count == INDEX_SWAPS_MAX:
            raise IndexUnavailableError(f"more than {INDEX_SWAPS_MAX} swaps in this time", hint="ask for a shorter time")
        amount_a, amount_b = decode_amount(bytes(raw_a)), decode_amount(bytes(raw_b))
        if not amount_a:
            continue  # a dust swap of nothing has no price
        price = Price(amount_b, amount_a)
        start_s = time_ns // NS_PER_S // interval_s * interval_s
        if not candles or candles[-1].time_s != start_s:
            candles.append(Candle(start_s, price, price, price, price))
        candles[-1].add(price, amount_a, amount_b)
    return candles
