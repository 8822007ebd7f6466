"""The index from the command line, against a real network of one validator: questions, a kill, making it again, carrying it away."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from node.config import Home
from node.indexer.access import INDEX_FILE
from node.indexer.database import SqliteIndex
from node.indexer.writer import IndexWriter
from node.maintenance.opening import open_stopped
from node.testnet.processes import describe_process, find_node
from state.primitives.errors import HomeError
from tests.node.cli.test_cli_amm import read
from tests.node.cli.test_cli_network import Network
from tests.node.indexer.ledger_chain import index_holdings, state_holdings, tables_of
from tests.node.ports import free_base_port


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    found = Network(tmp_path_factory.mktemp("user"), free_base_port())
    found.run(
        "testnet", "up", "--validators", "1", "--base-port", str(found.base_port), "--block-interval", "0.1", "--detach"
    )
    found.run("tx", "create-asset", "EUR", "--scale", "2", "--mint-allowance", "1000000", "--from", "alice", "--wait")
    found.run("tx", "mint", "--asset", "EUR", "--amount", "500000", "--from", "alice", "--wait")
    for amount in ("1000", "2.50", "30"):
        found.run("tx", "transfer", "--to", "bob", "--asset", "EUR", "--amount", amount, "--from", "alice", "--wait")
    pool = ("--a", "QNX", "--b", "EUR", "--amount-a", "4000", "--amount-b", "1000.50")
    found.run("tx", "amm", "create", "--from", "alice", *pool, "--wait")
    swap = ("--path", "EUR,QNX", "--amount", "10", "--min-out", "1")
    found.run("tx", "amm", "swap-in", "--from", "bob", *swap, "--wait")
    yield found
    home = found.root / "testnet" / "node0"
    process = find_node(home)
    if process is not None:
        found.run("testnet", "down")
        assert describe_process(process.pid) == ("", "")


def wait_for(network: Network, height: int) -> None:
    deadline = time.monotonic() + 60
    while int(network.run("query", "index")["indexed_height"]) < height:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_questions(network: Network) -> None:
    last = network.run("query", "transactions")["items"]
    wait_for(network, int(network.run("query", "block")["block"]["header"]["height"]))
    last = network.run("query", "transactions", "--limit", "2")
    assert len(last["items"]) == 2 and last["next"]
    kinds = [item["kind"] for item in network.run("query", "history", "bob", "--asset", "EUR", "--order", "asc")["items"]]
    assert kinds == ["transfer", "transfer", "transfer", "swap"]
    (small,) = network.run("query", "history", "bob", "--with", "alice", "--max", "300")["items"]
    assert (small["amount"], small["direction"]) == ("250", "in")
    assert "+2.5 EUR" in read(network, "history", "bob")
    whole = network.run("query", "history", "alice", "--limit", "500")
    assert whole["next"] == "" and {item["kind"] for item in whole["items"]} >= {"mint", "transfer", "pool_created", "opening"}
    holders = network.run("query", "holders", "EUR")["items"]
    assert [item["amount"] for item in holders] == sorted((item["amount"] for item in holders), key=int, reverse=True)
    top = network.run("query", "top", "EUR", "--limit", "1")
    assert top["items"][0]["account"] == holders[0]["account"] and top["supply"] == "50000000"
    assert " %" in read(network, "top", "EUR")
    (candle,) = network.run("query", "candles", "EUR/QNX", "--interval", "86400")["items"]
    assert (candle["volume_a"], candle["swaps"]) == ("1000", 1)
    assert candle["open"] in read(network, "candles", "QNX/EUR", "--interval", "86400")
    supply = network.run("query", "supply-history", "EUR", "--points", "3")["items"]
    assert (supply[0]["supply"], supply[-1]["supply"]) == ("0", "50000000")
    assert "500000 EUR" in read(network, "supply-history", "EUR")
    assert "backend: sqlite" in read(network, "index")
    refused = network.run("query", "history", "bob", "--since", "yesterday", code=2)
    assert "since is Unix seconds" in refused["error"]["message"]


def wait_until_free(home: Path) -> None:
    """A killed process lets go of its files a moment after it is gone from the list."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with open_stopped(home, read_only=True):
                return
        except HomeError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_kill_making_it_again_and_carrying_it_away(network: Network, tmp_path: Path) -> None:
    home = network.root / "testnet" / "node0"
    network.run("index", "status", "--home", str(home))  # beside the running node
    process = find_node(home)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_until_free(home)
    path = Home(home).data_dir / INDEX_FILE
    with open_stopped(home, read_only=True) as node, closing(SqliteIndex(path)) as database:
        with closing(node.store.snapshot()) as snapshot:
            IndexWriter(database, node.document.hash.hex()).follow(snapshot, lambda: None)
        before = list(tables_of(database))
        assert index_holdings(database) == state_holdings(dict(node.store.state_keys(b" h")))
        height = node.store.height
    path.write_bytes(b"damaged")
    damaged = network.run("index", "status", "--home", str(home), code=2)
    assert damaged["error"]["code"] == 2221
    made = network.run("reindex", "--home", str(home))
    assert (made["indexed_height"], made["earliest"]) == (str(height), "1")
    with closing(SqliteIndex(path)) as database:
        assert list(tables_of(database)) == before
    status = network.run("index", "status", "--home", str(home))
    assert (status["indexed_height"], status["gaps"]) == (str(height), [])
    export_everything(network, home, tmp_path)


def export_everything(network: Network, home: Path, folder: Path) -> None:
    def export(table: str, kind: str, *options: str, code: int = 0) -> Any:
        out = ("--out", str(folder / f"{table}.{kind}"))
        return network.run("index", "export", "--home", str(home), "--table", table, "--format", kind, *out, *options, code=code)

    for table in ("movements", "txs", "events", "swaps", "evidence", "supplies", "holdings", "blocks"):
        rows = export(table, "csv")["rows"]
        with (folder / f"{table}.csv").open(newline="") as file:
            read_back = list(csv.DictReader(file))
        assert len(read_back) == rows == export(table, "jsonl")["rows"]
        lines = [json.loads(line) for line in (folder / f"{table}.jsonl").read_text().splitlines()]
        assert [set(line) for line in lines] == [set(row) for row in read_back]
        if table != "events":
            assert [{name: str(value) for name, value in line.items()} for line in lines] == read_back
    swaps = [json.loads(line) for line in (folder / "swaps.jsonl").read_text().splitlines()]
    assert (swaps[0]["pool"], swaps[0]["amount_a"], swaps[0]["account"][:3]) == ("EUR/QNX", "1000", "qx1")
    assert export("txs", "csv", "--from", "1", "--to", "1")["rows"] == 0
    assert "cannot write" in export("txs", "csv", "--out", str(folder / "nowhere" / "file"), code=2)["error"]["message"]
    assert sorted(path.suffix for path in folder.iterdir() if path.suffix not in (".csv", ".jsonl")) == []
