"""Methods about history: answers, pages, mistakes in parameters, an index that is off, away or damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.indexer.access import IndexReader
from node.indexer.database import SqliteIndex
from node.rpc import history
from node.rpc.errors import INDEX_OFF, INDEX_UNAVAILABLE, INVALID_PARAMS, RpcError
from node.rpc.methods import METHODS
from node.rpc.params import read_params
from state.primitives.errors import IndexUnavailableError
from state.primitives.ids import format_address
from tests.node.indexer.ledger_chain import LedgerChain

NOBODY = format_address(bytes(32))
HEIGHT = 80


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> LedgerChain:
    found = LedgerChain(tmp_path_factory.mktemp("chain"), 5)
    found.grow(HEIGHT, 60)
    return found


@pytest.fixture(scope="module")
def file(chain: LedgerChain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "index.sqlite"
    database = SqliteIndex(path)
    chain.follow(database)
    database.close()
    return path


@pytest.fixture
def backend(chain: LedgerChain, file: Path) -> Iterator[Any]:
    reader = IndexReader(lambda: SqliteIndex(file, read_only=True))
    indexer = SimpleNamespace(problem=None)
    yield SimpleNamespace(height=chain.store.height, index=SimpleNamespace(backend="sqlite", reader=reader, indexer=indexer))
    reader.close()


async def call(backend: Any, name: str, **given: Any) -> Any:
    """A call as it comes over the wire."""
    method = METHODS[name]
    arguments = read_params(method.params, given, is_uri=False)
    return await method.handler(backend, *(arguments[row.name] for row in method.params))


async def test_every_answer_says_how_far_the_index_is(backend: Any) -> None:
    for name, given in (
        ("account_history", {"account": NOBODY}),
        ("asset_holders", {"asset": "QNX"}),
        ("asset_supply_history", {"asset": "QNX"}),
        ("pool_candles", {"pool": "EUR/QNX"}),
        ("top_accounts", {"asset": "QNX"}),
        ("recent_txs", {}),
        ("index_status", {}),
    ):
        assert (await call(backend, name, **given))["indexed_height"] == str(HEIGHT)


async def test_a_history(backend: Any, chain: LedgerChain) -> None:
    account = format_address(chain.ledger.accounts[0])
    whole = await call(backend, "account_history", account=account, limit=100)
    items = whole["items"]
    assert items[0].keys() == {
        "height", "index", "sequence", "time", "hash", "kind", "asset", "amount", "direction", "counterparty", "code",
    }  # fmt: skip
    assert {item["direction"] for item in items} >= {"out", "none"}
    fee = next(item for item in items if item["kind"] == "fee")
    assert (fee["asset"], fee["direction"], len(fee["hash"])) == ("QNX", "out", 64)
    pages, start = [], ""
    while True:
        page = await call(backend, "account_history", account=account, limit="3", start=start)
        pages += page["items"]
        start = page["next"]
        if not start or len(pages) >= len(items):
            break
    assert pages[: len(items)] == items
    oldest = await call(backend, "account_history", account=account, order="asc", limit=1)
    assert [oldest["items"][0][name] for name in ("kind", "index", "hash", "direction")] == ["opening", -1, "", "in"]
    fees = await call(backend, "account_history", account=account, asset="QNX", counterparty=fee["counterparty"], min_amount="1")
    assert {item["kind"] for item in fees["items"]} == {"fee"}
    failed = await call(backend, "account_history", account=account, code="failed")
    assert failed["items"] and all(item["code"] for item in failed["items"])
    at = items[0]["time"]
    later = await call(backend, "account_history", account=account, since=at)
    assert {item["time"] for item in later["items"]} == {at}
    assert (await call(backend, "account_history", account=account, until="1000000"))["items"] == []


async def test_holders_and_top(backend: Any, chain: LedgerChain) -> None:
    page = await call(backend, "asset_holders", asset="EUR", limit=5)
    top = await call(backend, "top_accounts", asset="EUR", limit=5)
    assert [item["account"] for item in top["items"]] == [item["account"] for item in page["items"]]
    supply = int(top["supply"])
    assert supply == chain.supplies[HEIGHT]["EUR"]
    assert [item["share_ppm"] for item in top["items"]] == [int(item["amount"]) * 10**6 // supply for item in page["items"]]
    second = await call(backend, "asset_holders", asset="EUR", limit=100, start=page["next"])
    assert len(page["items"]) + len(second["items"]) == sum(code == "EUR" for code, _ in chain.holdings[HEIGHT])
    assert second["next"] == ""
    assert (await call(backend, "top_accounts", asset="NONE"))["items"] == []


async def test_supply_candles_and_transactions(backend: Any, chain: LedgerChain) -> None:
    supply = await call(backend, "asset_supply_history", asset="QNX", points=5)
    assert [item["supply"] for item in supply["items"]] == [str(chain.supplies[int(item["height"])]["QNX"]) for item in supply["items"]]
    swaps = [
        (h, event) for h, found in chain.receipts.items() for r in found for event in r.events if event.type == "swap"
    ]
    assert swaps
    candles = await call(backend, "pool_candles", pool=str(swaps[-1][1].values[0]), interval_s=10**6)
    assert candles["items"][-1].keys() == {"time", "open", "high", "low", "close", "volume_a", "volume_b", "swaps"}
    assert "/" in candles["items"][0]["open"]
    latest = await call(backend, "recent_txs", limit=2)
    following = await call(backend, "recent_txs", limit=2, start=latest["next"])
    places = [(int(item["height"]), item["index"]) for item in latest["items"] + following["items"]]
    assert len(places) == 4 and places == sorted(places, reverse=True)


MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("account_history", {"account": "nobody"}),
    ("account_history", {"account": NOBODY, "limit": 0}),
    ("account_history", {"account": NOBODY, "limit": 101}),
    ("account_history", {"account": NOBODY, "order": "down"}),
    ("account_history", {"account": NOBODY, "start": "1"}),
    ("account_history", {"account": NOBODY, "start": "1.2.3.4"}),
    ("account_history", {"account": NOBODY, "start": "9" * 40 + ".0.0"}),
    ("account_history", {"account": NOBODY, "start": "1.-2.0"}),
    ("account_history", {"account": NOBODY, "asset": "eur"}),
    ("account_history", {"account": NOBODY, "counterparty": "bob"}),
    ("account_history", {"account": NOBODY, "since": "yesterday"}),
    ("account_history", {"account": NOBODY, "since": "2030-01-01T00:00:00"}),
    ("account_history", {"account": NOBODY, "since": "9" * 30}),
    ("account_history", {"account": NOBODY, "until": "-5"}),
    ("account_history", {"account": NOBODY, "min_amount": "1.5"}),
    ("account_history", {"account": NOBODY, "max_amount": str(1 << 640)}),
    ("account_history", {"account": NOBODY, "max_amount": "9" * 5_000}),
    ("account_history", {"account": NOBODY, "code": "-1"}),
    ("account_history", {"account": NOBODY, "code": str(1 << 31)}),
    ("account_history", {"account": NOBODY, "start": "\u0661.0.0"}),
    ("asset_holders", {"asset": "QNX", "start": "5"}),
    ("asset_holders", {"asset": "QNX", "start": "5.qx1nonsense"}),
    ("asset_holders", {"asset": "QNX", "start": f"{1 << 640}.{NOBODY}"}),
    ("asset_holders", {"asset": "'; DROP TABLE holdings"}),
    ("asset_supply_history", {"asset": "QNX", "points": 0}),
    ("asset_supply_history", {"asset": "QNX", "points": 501}),
    ("pool_candles", {"pool": "EUR"}),
    ("pool_candles", {"pool": "EUR/QNX", "interval_s": 0}),
    ("pool_candles", {"pool": "EUR/QNX", "interval_s": 1, "since": "0", "until": "1001"}),
    ("recent_txs", {"start": "1.2.3"}),
    ("recent_txs", {"limit": -1}),
]


@pytest.mark.parametrize(("name", "given"), MISTAKES)
async def test_mistakes_are_said(backend: Any, name: str, given: dict[str, Any]) -> None:
    with pytest.raises(RpcError) as caught:
        await call(backend, name, **given)
    assert caught.value.rpc_code == INVALID_PARAMS
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("since", ["0", "253402300799", "9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2030-01-31T12:00:00.25+02:00"])
async def test_times_at_the_edges(backend: Any, since: str) -> None:
    assert "items" in await call(backend, "account_history", account=NOBODY, since=since, until=since)
    assert "items" in await call(backend, "asset_supply_history", asset="QNX", since=since, until=since)
    assert "items" in await call(backend, "pool_candles", pool="EUR/QNX", since=since, until=since)


async def test_without_an_index() -> None:
    backend: Any = SimpleNamespace(height=7, index=None)
    with pytest.raises(RpcError, match="no index here") as caught:
        await call(backend, "recent_txs")
    said = 'there is no index here: a running node keeps one with [index] backend = "sqlite"'
    assert caught.value.to_json_rpc() == {"code": INDEX_OFF, "message": "Index off", "data": said}
    assert (await call(backend, "index_status"))["backend"] == "off"


async def test_while_the_index_is_away(backend: Any, tmp_path: Path) -> None:
    backend.index.reader = IndexReader(lambda: SqliteIndex(tmp_path / "nowhere.sqlite", read_only=True))
    with pytest.raises(RpcError, match="2220 INDEX_UNAVAILABLE") as caught:
        await call(backend, "top_accounts", asset="QNX")
    assert caught.value.rpc_code == INDEX_UNAVAILABLE
    status = await call(backend, "index_status")
    assert (status["problem"]["code"], status["indexed_height"], status["chain_height"]) == (2220, "0", str(HEIGHT))


async def test_a_damaged_index_and_its_mending(backend: Any, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"this is no database" * 1_000)
    backend.index.reader = IndexReader(lambda: SqliteIndex(path, read_only=True))
    with pytest.raises(RpcError, match=r"2221 INDEX_DAMAGED.*qenex reindex"):
        await call(backend, "recent_txs")
    path.write_bytes(file.read_bytes())
    assert (await call(backend, "recent_txs"))["items"]
    backend.index.reader.close()


async def test_a_question_that_takes_too_long_is_ended(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.indexer.database.QUERY_S_MAX", 0.05)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"
    with pytest.raises(IndexUnavailableError, match="longer than"):
        await backend.index.reader.ask(lambda database: database.execute(endless))
    assert (await call(backend, "recent_txs"))["items"]


def test_every_public_function_is_a_method() -> None:
    handlers = {method.handler for method in METHODS.values()}
    names = ("account_history", "asset_holders", "asset_supply_history", "pool_candles", "top_accounts", "recent_txs", "index_status")
    assert all(getattr(history, name) in handlers for name in names)
