"""Pools from the command line, against a real network of one validator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli.query import query
from node.testnet.processes import describe_process
from tests.node.cli.test_cli_network import Network
from tests.node.ports import free_base_port


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    found = Network(tmp_path_factory.mktemp("user"), free_base_port())
    found.run(
        "testnet", "up", "--validators", "1", "--base-port", str(found.base_port), "--block-interval", "0.1", "--detach"
    )
    found.run("tx", "create-asset", "EUR", "--scale", "2", "--mint-allowance", "1000000", "--from", "alice", "--wait")
    found.run("tx", "mint", "--asset", "EUR", "--amount", "500000", "--from", "alice", "--wait")
    found.run("tx", "transfer", "--to", "bob", "--asset", "EUR", "--amount", "1000", "--from", "alice", "--wait")
    yield found
    (pid,) = found.run("testnet", "down")["stopped"]
    assert describe_process(pid) == ("", "")


def read(network: Network, *arguments: str) -> str:
    """What a person sees."""
    found = CliRunner(env={"QENEX_NODE": network.node, "QENEX_HOME": str(network.root)}).invoke(query, arguments)
    assert found.exit_code == 0, found.output
    return found.output


def amm(network: Network, command: str, *options: str, sender: str = "alice", code: int = 0) -> Any:
    return network.run("tx", "amm", command, "--from", sender, *options, "--wait", code=code)


def test_the_life_of_a_pool(network: Network) -> None:
    first = ("--a", "QNX", "--b", "EUR", "--amount-a", "4000", "--amount-b", "1000.50")
    assert amm(network, "create", *first)["code_name"] == "OK"
    found = network.run("query", "pool", "QNX/EUR")
    assert (found["pool"], found["reserve_a"], found["reserve_b"]) == ("EUR/QNX", "100050", "4000000000")
    assert [row["pool"] for row in network.run("query", "pools")["pools"]] == ["EUR/QNX"]
    asked = network.run("query", "quote", "swap-in", "--path", "EUR,QNX", "--amount", "10")
    assert asked["pays"] == {"EUR": "1000"}
    least = asked["gets"]["QNX"]
    swap = ("--path", "EUR,QNX", "--amount", "1000", "--min-out", least, "--base-units")
    assert amm(network, "swap-in", *swap, sender="bob")["code_name"] == "OK"
    assert int(network.run("query", "pool", "EUR/QNX")["reserve_b"]) == 4_000_000_000 - int(least)
    slipped = amm(network, "swap-in", *swap, sender="bob", code=1)
    assert slipped["code_name"] == "SLIPPAGE"
    exact = ("--path", "EUR,QNX", "--amount", "1.25", "--max-in", "0.40")
    assert amm(network, "swap-out", *exact, sender="bob")["code"] == 0
    both = ("--pool", "EUR/QNX", "--max-a", "100", "--max-b", "500", "--min-price", "3", "--max-price", "4.5")
    assert amm(network, "add", *both, sender="bob")["code"] == 0
    wrong = ("--pool", "EUR/QNX", "--max-a", "100", "--max-b", "500", "--min-price", "4.5")
    assert amm(network, "add", *wrong, sender="bob", code=1)["code_name"] == "PRICE_OUT_OF_BOUNDS"
    shares = network.run("query", "quote", "add-single", "--pool", "EUR/QNX", "--asset", "EUR", "--amount", "5")["shares"]
    single = ("--pool", "EUR/QNX", "--asset", "EUR", "--amount", "5", "--min-shares", shares)
    assert amm(network, "add-single", *single, sender="bob")["code"] == 0
    mine = network.run("query", "position", "bob", "EUR/QNX")
    assert int(mine["shares"]) > int(shares)
    (listed,) = network.run("query", "positions", "bob")["positions"]
    assert listed["shares"] == mine["shares"]
    record = network.run("query", "proof", f"/position/{mine['account']}/EUR/QNX")
    assert (record["proof_ok"], record["record"]["shares"]) == (True, mine["shares"])
    assert amm(network, "close", "--pool", "EUR/QNX", code=1)["code_name"] == "SUPPLY_NOT_ZERO"
    one = ("--pool", "EUR/QNX", "--shares", "1000000", "--asset", "QNX", "--min-out", "0.5")
    assert amm(network, "remove-single", *one, sender="bob")["code"] == 0
    assert amm(network, "remove", "--pool", "EUR/QNX", "--shares", "all", "--min-a", "50", sender="bob")["code"] == 0
    assert network.run("query", "positions", "bob")["positions"] == []
    assert amm(network, "close", "--pool", "EUR/QNX")["code"] == 0
    assert network.run("query", "pool", "EUR/QNX")["reserve_a"] == "0"
    failing = network.run("query", "quote", "swap-in", "--path", "EUR,QNX", "--amount", "10", code=1)
    assert failing["code_name"] == "POOL_NOT_FOUND"


def test_restricted_pools(network: Network) -> None:
    network.run("tx", "create-asset", "GLD", "--scale", "0", "--mint-allowance", "1000000", "--from", "alice", "--wait")
    network.run("tx", "mint", "--asset", "GLD", "--amount", "500000", "--from", "alice", "--wait")
    first = ("--a", "GLD", "--b", "QNX", "--amount-a", "20000", "--amount-b", "100", "--fee-ppm", "500", "--member", "alice")
    assert amm(network, "create", *first)["code"] == 0
    swap = ("--path", "QNX,GLD", "--amount", "1", "--min-out", "1")
    assert amm(network, "swap-in", *swap, sender="bob", code=1)["code_name"] == "CREDENTIAL_MISSING"
    assert network.run("query", "quote", "swap-in", *swap[:4], "--account", "alice")["code"] == 0
    assert amm(network, "set-members", "--pool", "GLD/QNX", "--member", "alice", "--member", "bob")["code"] == 0
    assert len(network.run("query", "pool", "GLD/QNX")["members"]) == 2
    assert amm(network, "swap-in", *swap, sender="bob")["code"] == 0


def test_what_people_read(network: Network) -> None:
    text = read(network, "pools")
    assert "GLD/QNX" in text
    assert "fee_ppm" in text
    shown = read(network, "position", "alice", "GLD/QNX")
    assert "impermanent loss: " in shown
    assert "worth: " in shown
    assert "GLD/QNX" in read(network, "positions", "alice")
    assert "price impact: " in read(network, "quote", "swap-out", "--path", "QNX,GLD", "--amount", "5", "--account", "bob")
    assert "holds " in read(network, "pool", "GLD/QNX")


def test_mistakes(network: Network) -> None:
    for command in (
        ("query", "pool", "AA/BB"),
        ("query", "pool", "AA"),
        ("query", "position", "bob", "GLD/QNX"),
        ("query", "quote", "swap-in", "--path", "EUR", "--amount", "1"),
        ("query", "quote", "swap-in", "--path", "EUR,q", "--amount", "1"),
        ("query", "quote", "add", "--amount", "1"),
        ("query", "quote", "add-single", "--pool", "EUR/QNX", "--asset", "GLD", "--amount", "1"),
    ):
        assert network.run(*command, code=2)["error"]["message"]
    none = amm(network, "remove", "--pool", "GLD/QNX", "--shares", "all", sender="bob", code=2)
    assert "no shares" in none["error"]["message"]
    finer = amm(network, "swap-in", "--path", "GLD,QNX", "--amount", "0.5", "--min-out", "0", code=2)
    assert "finer" in finer["error"]["message"]
