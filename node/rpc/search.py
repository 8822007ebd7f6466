"""Searching the chain: places of transactions and heights of blocks that a query names, in bounded work and in turns.

The index answers the first indexed condition; what the index and the range of heights do not settle is compared with the receipts.
Every search has bounds (rows, blocks, receipts) beyond which it says how to narrow it: it ends with the first row beyond one and, where the
rows of the index tell, before anything else is read. It lets others work in between, for it runs beside consensus. Shapes of answers are
not known here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from math import ceil, floor
from typing import Final

import trio

from node.indexer.rows import VALUE_BYTES_MAX, index_prefix
from node.rpc import shapes
from node.rpc.backend import NodeBackend
from node.rpc.errors import too_wide
from node.rpc.query import Condition, Query
from state.event_kinds import ACCOUNT, TEXT
from state.primitives.errors import MalformedError
from state.primitives.hashing import HASH_BYTES, sha256
from state.primitives.ids import parse_address
from state.primitives.limits import (
    SEARCH_BLOCKS_MAX,
    SEARCH_MATCHES_MAX,
    SEARCH_RECEIPTS_MAX,
    SEARCH_ROWS_AT_ONCE,
)
from state.receipts import EVENT_KINDS

Place = tuple[int, int]  # height, index in the block
Places = Iterator[Place | None]  # None now and then: a moment to let others work
TX_HEIGHT: Final = "tx.height"
BLOCK_HEIGHT: Final = "block.height"
BLOCK_TIME: Final = "block.time"
_RANGE_OPERATORS: Final = ("=", "<", "<=", ">", ">=")
_NOWHERE: Final = b"\0"  # no indexed value looks so


async def find_transactions(backend: NodeBackend, query: Query) -> list[Place]:
    """Places of the committed transactions that match, in order. Raises `RpcError` for a search that is too wide."""
    heights = heights_of(backend, query, TX_HEIGHT)
    by_hash = query.find("tx.hash")
    if by_hash is not None:
        place = _place_of(backend, by_hash.text)
        others = Query(query.text, tuple(c for c in query.conditions if c is not by_hash))  # hex of either case
        return [place] if place is not None and place[0] in heights and _matches(backend, others, place) else []
    prefix = None
    for condition in query.conditions:
        prefix = _prefix_of(condition)
        if prefix is not None:
            rest = [c for c in query.conditions if c is not condition and not _is_settled(c, TX_HEIGHT)]
            places = _indexed(backend, prefix, heights)
            break
    else:
        rest = [c for c in query.conditions if not _is_settled(c, TX_HEIGHT)]
        if len(heights) > SEARCH_BLOCKS_MAX:
            raise too_wide(f"no condition is indexed: narrow the query to {SEARCH_BLOCKS_MAX} blocks with {TX_HEIGHT}")
        places = _everything(backend, heights)
    left = [c for c in rest if not _is_kind(c, "Tx")]
    if left and prefix is not None:
        for moment in _within_bounds(_indexed(backend, prefix, heights)):
            if moment is None:
                await trio.lowlevel.checkpoint()
    found: list[Place] = []
    for place in _compared(backend, query, places) if left else places:
        if place is None:
            await trio.lowlevel.checkpoint()
            continue
        found.append(place)
        if len(found) > SEARCH_MATCHES_MAX:
            raise too_wide(f"more than {SEARCH_MATCHES_MAX} transactions match: narrow the query with {TX_HEIGHT}")
    return found


async def find_blocks(backend: NodeBackend, query: Query) -> range | list[int]:
    """Heights of the blocks that match, in order. Raises `RpcError` for a search that is too wide."""
    heights = heights_of(backend, query, BLOCK_HEIGHT)
    if all(_is_settled(c, BLOCK_HEIGHT) or _is_kind(c, "NewBlock") for c in query.conditions):
        return heights
    if len(heights) > SEARCH_MATCHES_MAX:
        raise too_wide(f"narrow the query to {SEARCH_MATCHES_MAX} blocks with {BLOCK_HEIGHT}")
    found = []
    for count, height in enumerate(heights):
        if count % SEARCH_ROWS_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        if query.matches(shapes.block_event_map("NewBlock", backend.block_at(height).header)):
            found.append(height)
    return found


def heights_of(backend: NodeBackend, query: Query, key: str) -> range:
    """The kept heights that a query's comparisons of `key` allow."""
    low, high = max(1, backend.store.base_height()), max(0, backend.height)
    for condition in query.conditions:
        if _is_range(condition, key) and condition.number is not None:
            number, wanted = condition.number, condition.operator
            if wanted in ("=", ">=", ">"):
                low = max(low, floor(number) + 1 if wanted == ">" else ceil(number))
            if wanted in ("=", "<=", "<"):
                high = min(high, ceil(number) - 1 if wanted == "<" else floor(number))
    found = range(low, high + 1) if low <= high else range(0)  # a number of a query may be far beyond any height
    for condition in query.conditions:
        if condition.moment_ns is not None and _is_moment(condition):
            found = _narrow(backend, condition.operator, condition.moment_ns, found)
    return found


def _narrow(backend: NodeBackend, operator: str, wanted_ns: int, heights: range) -> range:
    """The heights whose blocks compare so with a time: times rise with the heights."""

    def time_ns(height: int) -> int:
        return backend.block_at(height).header.time_ns

    first, after = bisect_left(heights, wanted_ns, key=time_ns), bisect_right(heights, wanted_ns, key=time_ns)
    parts = {
        "=": heights[first:after],
        "<": heights[:first],
        "<=": heights[:after],
        ">": heights[after:],
        ">=": heights[first:],
    }
    return parts[operator]


def _is_moment(condition: Condition) -> bool:
    """Whether it compares blocks' times. A date equals none of them: it is another kind of value."""
    return condition.key == BLOCK_TIME and condition.moment_ns is not None and not condition.is_date


def _is_settled(condition: Condition, key: str) -> bool:
    """Whether the range of heights answers it."""
    return _is_range(condition, key) or _is_moment(condition)


def _is_range(condition: Condition, key: str) -> bool:
    return condition.key == key and condition.number is not None and condition.operator in _RANGE_OPERATORS


def _is_kind(condition: Condition, kind: str) -> bool:
    return condition == Condition("tm.event", "=", kind)


def _place_of(backend: NodeBackend, text: str) -> Place | None:
    try:
        tx_hash = bytes.fromhex(text)
    except ValueError:
        return None
    return backend.store.tx_location(tx_hash) if len(tx_hash) == HASH_BYTES else None


def _prefix_of(condition: Condition) -> bytes | None:
    """What index keys of the condition's value start with; None if it is not indexed."""
    if condition.operator != "=" or condition.number is not None or condition.moment_ns is not None:
        return None
    name, _, attribute = condition.key.partition(".")
    for kind in EVENT_KINDS.values():
        for field, (field_name, value_kind) in enumerate(kind.fields):
            if (kind.name, field_name) != (name, attribute):
                continue
            if value_kind is ACCOUNT:
                try:
                    return index_prefix(kind, field, parse_address(condition.text))
                except MalformedError:
                    return index_prefix(kind, field, _NOWHERE)
            value = condition.text.encode()
            if value_kind is TEXT and 0 < len(value) <= VALUE_BYTES_MAX:
                return index_prefix(kind, field, value)
    return None


def _indexed(backend: NodeBackend, prefix: bytes, heights: range) -> Places:
    if not heights:
        return
    start, stop = prefix + heights.start.to_bytes(8, "big"), prefix + heights.stop.to_bytes(8, "big")
    for count, (key, _) in enumerate(backend.store.scan_index(start, stop)):
        if count % SEARCH_ROWS_AT_ONCE == 0:
            yield None
        tail = key[len(prefix) :]
        yield int.from_bytes(tail[:8], "big"), int.from_bytes(tail[8:], "big")


def _everything(backend: NodeBackend, heights: range) -> Places:
    for height in heights:
        yield None
        for index in range(len(backend.receipts_at(height))):
            yield height, index


def _within_bounds(places: Places) -> Places:
    """The places, as long as comparing them is not too much work. Raises `RpcError` at the first one beyond."""
    blocks = receipts = last = 0
    for place in places:
        if place is None:
            yield None
            continue
        blocks += place[0] != last
        last = place[0]
        receipts += 1
        if blocks > SEARCH_BLOCKS_MAX or receipts > SEARCH_RECEIPTS_MAX:
            raise too_wide(
                f"the search compares more than {SEARCH_BLOCKS_MAX} blocks or {SEARCH_RECEIPTS_MAX} transactions: "
                f"narrow the query with {TX_HEIGHT}"
            )
        yield place


def _compared(backend: NodeBackend, query: Query, places: Places) -> Places:
    last = 0
    for place in _within_bounds(places):
        if place is None:
            yield None
            continue
        if place[0] != last:
            last = place[0]
            yield None
        if _matches(backend, query, place):
            yield place


def _matches(backend: NodeBackend, query: Query, place: Place) -> bool:
    height, index = place
    receipt, block = backend.receipts_at(height)[index], backend.block_at(height)
    return query.matches(shapes.event_map(receipt, sha256(block.txs[index]), block.header))
