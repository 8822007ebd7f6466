"""Farms from the command line, against a real network of one validator."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli.farm import read_span, read_stake, read_tiers, read_when
from node.cli.query import query
from node.testnet.processes import describe_process
from state.primitives.errors import ConfigError
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


def farm(network: Network, command: str, *options: str, sender: str = "bob", code: int = 0) -> Any:
    return network.run("tx", "farm", command, "--from", sender, *options, "--wait", code=code)


def held(network: Network, account: str, asset: str) -> int:
    return int(network.run("query", "account", account)["holdings"].get(asset, "0"))


def test_the_life_of_a_farm(network: Network) -> None:
    terms = ("--stake", "EUR", "--reward", "QNX", "--budget", "3600.5", "--duration", "1h", "--tier", "0:1", "--tier", "30d:2.5")
    assert farm(network, "create", *terms, "--min-stake", "1", sender="alice")["code_name"] == "OK"
    (row,) = network.run("query", "farms")["farms"]
    assert (row["farm"], row["stake_asset"], row["min_stake"], row["has_ended"]) == ("0", "EUR", "100", False)
    assert row["lock_tiers"][1] == {"seconds": 30 * 86_400, "weight_ppm": 2_500_000}
    assert farm(network, "stake", "--farm", "0", "--amount", "0.5", code=1)["code_name"] == "STAKE_TOO_SMALL"
    assert farm(network, "stake", "--farm", "0", "--amount", "100.25")["code"] == 0
    assert farm(network, "stake", "--farm", "0", "--amount", "10", "--tier", "1")["code"] == 0
    assert farm(network, "fund", "--farm", "0", "--reward", "EUR", "--amount", "60", "--extend-to", "2h", sender="alice")["code"] == 0
    mine = network.run("query", "farm-positions", "bob")["positions"]
    assert [(one["position"], one["amount"], one["is_locked"]) for one in mine] == [("0", "10025", False), ("1", "1000", True)]
    before = held(network, "bob", "QNX")
    while network.run("query", "farm-position", "bob", "0")["rewards"][0]["pending"] == "0":
        pass
    assert farm(network, "claim", "--farm", "0", "--reward", "QNX")["code"] == 0
    assert held(network, "bob", "QNX") > before
    assert farm(network, "claim", "--farm", "0", "--position", "1", code=1)["code_name"] == "LOCKED_UNTIL"
    assert farm(network, "unstake", "--position", "0", "--amount", "0.25")["code"] == 0
    assert farm(network, "exit", "--position", "0")["code"] == 0
    assert farm(network, "emergency-exit", "--position", "1")["code"] == 0
    assert held(network, "bob", "EUR") >= 100_000
    assert network.run("query", "farm-positions", "bob")["positions"] == []
    assert farm(network, "close", "--farm", "0", sender="alice", code=1)["code_name"] == "TOO_EARLY"
    account = network.run("keys", "show", "bob")["account"]
    assert network.run("query", "proof", "/farm/0/QNX")["record"]["unallocated"] != "0"
    assert network.run("query", "proof", f"/farm-position/{account}/0")["exists"] is False


def test_a_short_farm_is_closed_and_refunded(network: Network) -> None:
    assert farm(network, "create", "--stake", "QNX", "--reward", "EUR", "--budget", "12", "--duration", "2s", sender="alice")["code"] == 0
    before = held(network, "alice", "EUR")
    while not network.run("query", "farm", "1")["has_ended"]:
        pass
    assert farm(network, "close", "--farm", "1", sender="alice")["code_name"] == "OK"
    assert held(network, "alice", "EUR") == before + 1_200
    assert farm(network, "stake", "--farm", "1", "--amount", "1", code=1)["code_name"] == "FARM_ENDED"


def test_pool_shares(network: Network) -> None:
    first = ("--a", "QNX", "--b", "EUR", "--amount-a", "4000", "--amount-b", "1000")
    assert network.run("tx", "amm", "create", "--from", "alice", *first, "--wait")["code"] == 0
    members = ("--stake", "EUR", "--reward", "QNX", "--budget", "1", "--duration", "1d", "--domain", "funds")
    assert farm(network, "create", *members, sender="alice", code=1)["code_name"] == "CREDENTIAL_MISSING"
    terms = ("--stake", "QNX/EUR", "--reward", "QNX", "--budget", "10", "--duration", "1d")
    assert farm(network, "create", *terms, sender="alice")["code"] == 0
    shares = network.run("query", "position", "alice", "EUR/QNX")["shares"]
    assert farm(network, "stake", "--farm", "2", "--amount", shares, sender="alice")["code"] == 0
    (mine,) = network.run("query", "farm-positions", "alice")["positions"]
    assert (mine["stake_asset"], mine["amount"], mine["basis_a"]) == ("EUR/QNX", shares, "100000")
    assert farm(network, "unstake", "--position", "0", "--amount", "all", sender="alice")["code"] == 0
    assert network.run("query", "position", "alice", "EUR/QNX")["shares"] == shares


def test_what_people_read(network: Network) -> None:
    assert farm(network, "stake", "--farm", "0", "--amount", "5")["code"] == 0
    text = read(network, "farm", "0")
    assert "tier 1: locked for 2592000 s, weight 250 %" in text
    assert "QNX for one EUR" in text
    assert "a year in tier 0" in text
    assert "5 EUR" in read(network, "farms")
    shown = read(network, "farm-positions", "bob")
    assert "pending; a year: " in shown
    assert "% of the weight, not locked" in shown
    assert "position 2 in farm 0: 5 EUR" in read(network, "farm-position", "bob", "2")
    assert "nothing at present" in read(network, "farm", "1")


def test_mistakes(network: Network) -> None:
    create = ("create", "--stake", "EUR", "--reward", "QNX", "--budget", "1")
    for command in (
        ("query", "farm", "99"),
        ("query", "farm-position", "alice", "99"),
        ("tx", "farm", *create, "--duration", "1y", "--from", "bob"),
        ("tx", "farm", *create, "--duration", "1d", "--tier", "30d", "--from", "bob"),
        ("tx", "farm", *create, "--duration", "1d", "--tier", "30d:0", "--from", "bob"),
        ("tx", "farm", "create", "--stake", "eur", "--reward", "QNX", "--budget", "1", "--duration", "1d", "--from", "bob"),
        ("tx", "farm", "stake", "--farm", "99", "--amount", "1", "--from", "bob"),
        ("tx", "farm", "stake", "--farm", "0", "--amount", "0.001", "--from", "bob"),
        ("tx", "farm", "stake", "--farm", "2", "--amount", "0.5", "--from", "bob"),
        ("tx", "farm", "unstake", "--position", "99", "--amount", "1", "--from", "bob"),
        ("tx", "farm", "claim", "--farm", "1", "--from", "bob"),
    ):
        assert network.run(*command, code=2)["error"]["message"]


def test_spans_times_and_tiers_are_read_strictly() -> None:
    assert [read_span(text) for text in ("5", "5s", "5m", "5h", "5d")] == [5, 5, 300, 18_000, 432_000]
    assert read_when("1800000000") == 1_800_000_000
    assert abs(read_when("1h") - time.time() - 3_600) < 60
    assert read_tiers(("30d:1.5", "0:1")) == ((0, 1_000_000), (2_592_000, 1_500_000))
    assert (read_stake("QNX/EUR"), read_stake("EUR")) == ("EUR/QNX", "EUR")
    for wrong in (("1d:1.0000001",), ("0:1", "0:2"), ("x:1",)):
        with pytest.raises(ConfigError):
            read_tiers(wrong)
