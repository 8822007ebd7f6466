"""Questions to the index, each answer compared with what plain reading of all rows gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

from node.indexer import queries
from node.indexer.amounts import decode_amount, encode_amount
from node.indexer.candles import NS_PER_S, find_candles, last_swap_s
from node.indexer.database import IndexDatabase
from node.indexer.queries import (
    ANY_FAILURE,
    Entry,
    HistoryFilter,
    Holder,
    Place,
    find_history,
    find_holders,
    find_supplies,
    find_txs,
)
from state.primitives.errors import IndexUnavailableError
from state.primitives.limits import AMOUNT_MAX
from tests.node.indexer.ledger_chain import LedgerChain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> LedgerChain:
    found = LedgerChain(tmp_path_factory.mktemp("chain"), 5)
    found.grow(80, 60)
    return found


@pytest.fixture(scope="module")
def database(chain: LedgerChain, new_database: Callable[[], IndexDatabase]) -> IndexDatabase:
    opened = new_database()
    chain.follow(opened)
    return opened


@pytest.fixture(autouse=True)
def _one_moment(database: IndexDatabase) -> Iterator[None]:
    with database.transaction():
        yield


def everything(database: IndexDatabase, account: bytes) -> list[Entry]:
    """The whole history, oldest first, by one plain query."""
    query = """SELECT m.height, m.idx, m.seq, m.time_ns, t.hash, kind, asset, amount, direction, counterparty, m.code
               FROM movements m LEFT JOIN txs t ON t.height = m.height AND t.idx = m.idx WHERE account = ?"""
    rows = [
        Entry(*row[:4], bytes(row[4] or b""), *row[5:7], decode_amount(bytes(row[7])), row[8], bytes(row[9]), row[10])
        for row in database.execute(query, (account,))
    ]
    return sorted(rows)


def read_all(database: IndexDatabase, account: bytes, limit: int, *, descending: bool, wanted: HistoryFilter) -> list[Entry]:
    found: list[Entry] = []
    place: Place | None = None
    while True:
        page, place = find_history(database, account, place, limit, descending=descending, wanted=wanted)
        assert len(page) <= limit
        found += page
        if place is None:
            return found


def busiest(database: IndexDatabase) -> bytes:
    return bytes(database.execute("SELECT account FROM movements GROUP BY account ORDER BY COUNT(DISTINCT kind) DESC LIMIT 1")[0][0])


FILTERS: list[dict[str, Any]] = [
    {},
    {"asset": "EUR"},
    {"asset": "NONE"},
    {"min_amount": 1_000},
    {"max_amount": 0},
    {"min_amount": 1 << 70},
    {"min_amount": 1, "max_amount": 1_000_000},
    {"code": 0},
    {"code": ANY_FAILURE},
    {"code": 201},
    {"asset": "QNX", "code": ANY_FAILURE, "min_amount": 8},
]


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("limit", [1, 7, 1_000])
def test_history_in_pages(database: IndexDatabase, wanted: dict[str, Any], descending: bool, limit: int) -> None:
    account = busiest(database)
    expected = [
        entry
        for entry in everything(database, account)
        if wanted.get("asset", entry.asset) == entry.asset
        and wanted.get("min_amount", 0) <= entry.amount <= wanted.get("max_amount", AMOUNT_MAX)
        and ("code" not in wanted or (entry.code != 0 if wanted["code"] == ANY_FAILURE else entry.code == wanted["code"]))
    ]
    found = read_all(database, account, limit, descending=descending, wanted=HistoryFilter(**wanted))
    assert found == (expected[::-1] if descending else expected)


def test_history_by_counterparty_and_time(database: IndexDatabase) -> None:
    account = busiest(database)
    history = everything(database, account)
    for other in {entry.counterparty for entry in history if entry.counterparty}:
        expected = [entry for entry in history if entry.counterparty == other]
        assert read_all(database, account, 5, descending=False, wanted=HistoryFilter(counterparty=other)) == expected
    times = sorted({entry.time_ns for entry in history})
    for since, until in ((times[3], times[9]), (times[3] + 1, times[9] + 1), (None, times[0]), (times[-1] + 1, None), (None, times[5])):
        expected = [
            entry for entry in history if (since is None or entry.time_ns >= since) and (until is None or entry.time_ns < until)
        ]
        wanted = HistoryFilter(since_ns=since, until_ns=until)
        assert read_all(database, account, 4, descending=True, wanted=wanted) == expected[::-1]


def test_a_page_looks_through_a_bounded_number_of_rows(database: IndexDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    account = busiest(database)
    monkeypatch.setattr(queries, "INDEX_SCAN_ROWS_MAX", 10)
    wanted = HistoryFilter(min_amount=1 << 40)
    page, place = find_history(database, account, None, 30, descending=True, wanted=wanted)
    assert len(page) <= 10 and place == everything(database, account)[-10][:3]
    expected = [entry for entry in everything(database, account) if entry.amount >= 1 << 40]
    assert read_all(database, account, 30, descending=True, wanted=wanted) == expected[::-1]


def test_every_account_that_acted_has_a_history(database: IndexDatabase) -> None:
    missing = database.execute(
        """SELECT t.height, t.idx FROM txs t WHERE NOT EXISTS
           (SELECT 1 FROM movements m WHERE m.height = t.height AND m.idx = t.idx AND m.account = t.sender)"""
    )
    assert missing == []


@pytest.mark.parametrize("limit", [1, 5, 1_000])
def test_holders_in_pages(chain: LedgerChain, database: IndexDatabase, limit: int) -> None:
    for asset in ("QNX", "EUR", "BIG"):
        state = chain.holdings[chain.store.height]
        expected = sorted(((amount, account) for (code, account), amount in state.items() if code == asset), reverse=True)
        found: list[Holder] = []
        place: Holder | None = None
        while True:
            page, place = find_holders(database, asset, place, limit)
            found += page
            if place is None:
                break
        assert [(amount, account) for account, amount in found] == expected


def test_the_largest_amounts_keep_their_order(new_database: Callable[[], IndexDatabase]) -> None:
    index = new_database()
    amounts = [AMOUNT_MAX, AMOUNT_MAX - 1, 1 << 639, (1 << 632) - 1, 1 << 64, (1 << 64) - 1, 256, 255, 1]
    index.put("holdings", [("BIG", bytes([number]) * 32, encode_amount(amount)) for number, amount in enumerate(amounts)])
    assert [holder.amount for holder in find_holders(index, "BIG", None, 100)[0]] == amounts
    assert [holder.amount for holder in find_holders(index, "BIG", Holder(bytes([3]) * 32, amounts[3]), 100)[0]] == amounts[4:]


def test_supply_over_time(chain: LedgerChain, database: IndexDatabase) -> None:
    for asset in ("QNX", "BTC"):
        for height in range(chain.store.height + 1):
            assert queries.supply_at(database, asset, height) == chain.supplies[height].get(asset, 0)
        found = find_supplies(database, asset, None, None, 10)
        assert found[0][0] == 0 and found[-1][0] == chain.store.height
        assert all(supply == chain.supplies[height].get(asset, 0) for height, _, supply in found)
        assert find_supplies(database, asset, None, None, 1)[0][0] == chain.store.height
        since, until = chain.times[20], chain.times[41]
        part = find_supplies(database, asset, since, until, 500)
        assert (part[0][0], part[-1][0]) == (20, 40)
    assert find_supplies(database, "QNX", 10**18 * 9, None, 5) == []


def test_transactions_in_pages(chain: LedgerChain, database: IndexDatabase) -> None:
    expected = [(h, i, receipt.code, receipt.fee) for h, found in chain.receipts.items() for i, receipt in enumerate(found)][::-1]
    found = []
    place = None
    while True:
        page, place = find_txs(database, place, 50)
        found += page
        if place is None:
            break
    assert [(row.height, row.idx, row.code, row.fee) for row in found] == expected
    assert queries.find_tx(database, found[3].hash) == (found[3].height, found[3].idx)
    assert queries.find_tx(database, bytes(32)) is None


def test_candles(database: IndexDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    pools = [pool for (pool,) in database.execute("SELECT pool FROM swaps GROUP BY pool ORDER BY COUNT(*) DESC")]
    assert pools
    for pool in pools:
        rows = [
            (time_ns, decode_amount(bytes(a)), decode_amount(bytes(b)))
            for time_ns, a, b in database.execute(
                "SELECT time_ns, amount_a, amount_b FROM swaps WHERE pool = ? ORDER BY height, idx, seq", (pool,)
            )
        ]
        for interval in (1, 3_600, 10**7):
            expected: dict[int, list[tuple[int, int]]] = {}
            for time_ns, amount_a, amount_b in rows:
                expected.setdefault(time_ns // NS_PER_S // interval * interval, []).append((amount_a, amount_b))
            found = find_candles(database, pool, interval, 0, 10**10)
            assert [candle.time_s for candle in found] == sorted(expected)
            for candle in found:
                swaps = expected[candle.time_s]
                prices = [Fraction(b, a) for a, b in swaps]
                assert [Fraction(str(p)) for p in (candle.open, candle.high, candle.low, candle.close)] == [
                    prices[0], max(prices), min(prices), prices[-1],
                ]  # fmt: skip
                assert (candle.volume_a, candle.volume_b, candle.swaps) == (sum(a for a, _ in swaps), sum(b for _, b in swaps), len(swaps))
        assert last_swap_s(database, pool) == rows[-1][0] // NS_PER_S
    assert last_swap_s(database, "NO/PE") is None
    monkeypatch.setattr("node.indexer.candles.INDEX_SWAPS_MAX", 0)
    with pytest.raises(IndexUnavailableError, match="more than 0 swaps"):
        find_candles(database, pools[0], 1, 0, 10**10)
