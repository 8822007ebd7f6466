"""Searches over a small chain in memory: what they find, and that no query is too much for them."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from node.indexer.rows import index_rows
from node.rpc import search
from node.rpc.errors import INVALID_PARAMS, RpcError
from node.rpc.query import parse_query
from node.rpc.search import find_blocks, find_transactions
from state.primitives.hashing import sha256
from state.primitives.ids import format_address
from state.receipts import EVENT_KINDS, Event, Receipt

ALICE, BOB = bytes([1]) * 32, bytes([2]) * 32
TRANSFER = next(kind for kind in EVENT_KINDS.values() if kind.name == "transfer")
HEIGHTS = 12
NOON_NS = 1_769_860_800 * 10**9  # 2026-01-31T12:00:00Z


class ChainOfTransfers:
    """Block H has two transfers from Alice to Bob, of H and of 100 * H."""

    def __init__(self, base: int = 1) -> None:
        self.base = base
        self.height = HEIGHTS
        self.store = self
        self.rows: dict[bytes, bytes] = {}
        self.blocks_read = self.rows_read = 0
        for height in range(1, HEIGHTS + 1):
            self.rows.update(index_rows(height, self.receipts_at(height)))
        self.places = {sha256(self.block_at(h).txs[i]): (h, i) for h in range(1, HEIGHTS + 1) for i in (0, 1)}

    def base_height(self) -> int:
        return self.base

    def receipts_at(self, height: int) -> tuple[Receipt, ...]:
        self.blocks_read = getattr(self, "blocks_read", 0) + 1
        return tuple(Receipt(0, -1, 0, b"", (Event(TRANSFER, self.values(amount)),)) for amount in (height, 100 * height))

    @staticmethod
    def values(amount: int) -> tuple[Any, ...]:
        known = {"sender": ALICE, "recipient": BOB, "asset": "QNX", "amount": amount, "tag": "rent"}
        return tuple(known[name] for name, _ in TRANSFER.fields)

    def block_at(self, height: int) -> Any:
        """Block H is of H minutes past noon."""
        header = SimpleNamespace(height=height, time_ns=NOON_NS + height * 60 * 10**9)
        return SimpleNamespace(header=header, txs=(b"%d/0" % height, b"%d/1" % height))

    def tx_location(self, tx_hash: bytes) -> tuple[int, int] | None:
        assert len(tx_hash) == 32
        return self.places.get(tx_hash)

    def scan_index(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self.rows):
            if start <= key < stop:
                self.rows_read += 1
                yield key, b""


def all_at(*heights: int) -> list[tuple[int, int]]:
    return [(height, index) for height in heights for index in (0, 1)]


HASH = sha256(b"7/1").hex()
SENDER = f"transfer.sender = '{format_address(ALICE)}'"
HUGE = "9" * 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tm.event = 'Tx'", all_at(*range(1, 13))),
        ("tm.event = 'NewBlock'", []),
        ("tx.height = 3", all_at(3)),
        ("tx.height > 10", all_at(11, 12)),
        ("tx.height >= 3 AND tx.height < 5", all_at(3, 4)),
        ("tx.height = 3 AND tx.height = 4", []),
        ("tx.height = '3'", all_at(3)),
        ("tx.height EXISTS AND tx.height <= 1", all_at(1)),
        (SENDER, all_at(*range(1, 13))),
        (f"{SENDER} AND tx.height > 11", all_at(12)),
        (f"{SENDER} AND transfer.amount = 700", [(7, 1)]),
        (f"{SENDER} AND transfer.recipient = '{format_address(BOB)}' AND tx.height = 2", all_at(2)),
        (f"{SENDER} AND transfer.recipient = '{format_address(ALICE)}'", []),
        ("transfer.sender = 'nobody'", []),
        (f"tx.hash = '{HASH}'", [(7, 1)]),
        (f"tx.hash = '{HASH.upper()}'", [(7, 1)]),
        (f"tx.hash = '{HASH}' AND tx.height = 6", []),
        ("tx.hash = '00'", []),
        ("tx.hash = 'zz'", []),
        # numbers beyond every height and texts beyond every index row: each of these once was an internal error
        (f"tx.height = {HUGE}", []),
        (f"tx.height > {HUGE}", []),
        (f"tx.height < {HUGE}", all_at(*range(1, 13))),
        (f"tx.height >= -{HUGE}", all_at(*range(1, 13))),
        (f"{SENDER} AND tx.height > {HUGE}", []),
        (f"{SENDER} AND tx.height = -1", []),
        (f"transfer.asset = '{'x' * 300}'", []),
        ("transfer.asset = ''", []),
        ("no.such = 'key'", []),
        ("tx.height > 10.5", all_at(11, 12)),
        ("tx.height >= 10.5 AND tx.height < 11.5", all_at(11)),
        ("tx.height = 10.5", []),
        ("tx.height = 11.0", all_at(11)),
        ("block.time = TIME 2026-01-31T12:03:00Z", all_at(3)),
        ("block.time > TIME 2026-01-31T12:10:30Z", all_at(11, 12)),
        ("block.time >= TIME '2026-01-31T13:11:00+01:00'", all_at(11, 12)),
        ("block.time < TIME 2026-01-31T12:02:00Z", all_at(1)),
        ("block.time <= TIME 2026-01-31T12:02:00Z AND tx.height > 1", all_at(2)),
        (f"{SENDER} AND block.time < TIME 2026-01-31T12:02:00Z", all_at(1)),
        ("block.time = DATE 2026-01-31", []),  # as in CometBFT: a date and a time do not compare
        ("block.time > DATE 2026-01-31", []),
        ("transfer EXISTS AND tx.height = 4", all_at(4)),
        ("farm EXISTS AND tx.height = 4", []),
        ("transfer.amount >= 1100.5 AND tx.height <= 12", [(12, 1)]),
    ],
)
async def test_transactions(query: str, expected: list[tuple[int, int]]) -> None:
    chain: Any = ChainOfTransfers()
    assert await find_transactions(chain, parse_query(query)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("block.height = 3", [3]),
        ("block.height > 10", [11, 12]),
        ("tm.event = 'NewBlock' AND block.height < 3", [1, 2]),
        ("tm.event = 'Tx' AND block.height < 3", []),
        ("block.height CONTAINS '2'", [2, 12]),
        ("block.time >= TIME 2026-01-31T12:11:00Z", [11, 12]),
        ("block.time < TIME 2026-01-31T12:03:00Z AND block.height > 1", [2]),
        ("block.time CONTAINS '12:07'", [7]),
        ("block.time >= TIME 2100-01-01T00:00:00Z", []),
        ("block.time EXISTS AND block.height = 3", [3]),
        ("tx.height = 3", []),
        ("other.text = 'block.height'", []),
        (f"block.height > {HUGE}", []),
        (f"block.height < {HUGE}", list(range(1, 13))),
    ],
)
async def test_blocks(query: str, expected: list[int]) -> None:
    chain: Any = ChainOfTransfers()
    assert list(await find_blocks(chain, parse_query(query))) == expected


async def test_pruned_heights_are_not_searched() -> None:
    chain: Any = ChainOfTransfers(base=11)
    assert await find_transactions(chain, parse_query("tm.event = 'Tx'")) == all_at(11, 12)
    assert list(await find_blocks(chain, parse_query("block.height > 0"))) == [11, 12]


async def test_what_the_index_settles_is_not_read_again() -> None:
    chain: Any = ChainOfTransfers()
    chain.blocks_read = 0
    assert len(await find_transactions(chain, parse_query(f"tm.event = 'Tx' AND {SENDER} AND tx.height > 2"))) == 20
    assert chain.blocks_read == 0


@pytest.mark.parametrize(
    ("bound", "value", "query"),
    [
        ("SEARCH_MATCHES_MAX", 5, SENDER),
        ("SEARCH_BLOCKS_MAX", 5, f"{SENDER} AND transfer.amount > 1000000"),
        ("SEARCH_BLOCKS_MAX", 5, "tm.event = 'Tx'"),
        ("SEARCH_RECEIPTS_MAX", 5, f"{SENDER} AND transfer.amount > 1000000"),
    ],
)
async def test_bounds_say_how_to_narrow(monkeypatch: pytest.MonkeyPatch, bound: str, value: int, query: str) -> None:
    monkeypatch.setattr(search, bound, value)
    chain: Any = ChainOfTransfers()
    with pytest.raises(RpcError, match=r"narrow the query .*tx\.height") as raised:
        await find_transactions(chain, parse_query(query))
    assert raised.value.rpc_code == INVALID_PARAMS  # failed before: an internal error, which clients ask again
    assert len(await find_transactions(chain, parse_query(f"{query} AND tx.height = 1"))) <= 2


@pytest.mark.parametrize(
    ("bound", "rest", "rows"),
    [
        ("SEARCH_MATCHES_MAX", "", 6),
        ("SEARCH_BLOCKS_MAX", " AND transfer.amount > 1000000", 11),  # two transactions in each block
        ("SEARCH_RECEIPTS_MAX", " AND transfer.amount > 1000000", 6),
    ],
)
async def test_a_search_that_is_too_wide_ends_at_its_bound(
    monkeypatch: pytest.MonkeyPatch, bound: str, rest: str, rows: int
) -> None:
    """Failed before: what the index tells was found out by reading the blocks and receipts up to the bound."""
    monkeypatch.setattr(search, bound, 5)
    chain: Any = ChainOfTransfers()
    chain.blocks_read = 0
    with pytest.raises(RpcError):
        await find_transactions(chain, parse_query(SENDER + rest))
    assert (chain.rows_read, chain.blocks_read) == (rows, 0)


async def test_too_many_blocks_are_refused_before_any_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SEARCH_MATCHES_MAX", 5)
    chain: Any = ChainOfTransfers()
    monkeypatch.setattr(chain, "block_at", None)
    with pytest.raises(RpcError, match=r"narrow the query .*block\.height") as raised:
        await find_blocks(chain, parse_query("block.height CONTAINS '2'"))
    assert raised.value.rpc_code == INVALID_PARAMS


async def test_a_search_lets_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    import trio

    monkeypatch.setattr(search, "SEARCH_ROWS_AT_ONCE", 1)
    chain: Any = ChainOfTransfers()
    turns = 0
    done = False

    async def count() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await find_transactions(chain, parse_query(SENDER))
        done = True
    assert turns >= 20
