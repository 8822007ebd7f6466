"""Staking from the command line, against a real network of one validator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.testnet.processes import describe_process
from tests.node.cli.test_cli_network import Network
from tests.node.ports import free_base_port


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    found = Network(tmp_path_factory.mktemp("user"), free_base_port())
    found.run(
        "testnet", "up", "--validators", "1", "--base-port", str(found.base_port), "--block-interval", "0.1", "--detach"
    )
    yield found
    (pid,) = found.run("testnet", "down")["stopped"]
    assert describe_process(pid) == ("", "")


def stake(network: Network, command: str, *options: str, sender: str = "alice", code: int = 0) -> Any:
    return network.run("tx", "stake", command, "--from", sender, *options, "--wait", code=code)


def test_delegate_watch_and_leave(network: Network) -> None:
    (listed,) = network.run("query", "validators")["registered"]
    assert (listed["moniker"], listed["status"], listed["power"]) == ("node0", "bonded", "10")
    assert stake(network, "delegate", "--validator", "node0", "--amount", "250000.5")["code_name"] == "OK"
    found = network.run("query", "validator", listed["validator"].upper())
    assert (found["tokens"], found["wanted_power"]) == ("1250000500000", "12")
    mine = network.run("query", "delegation", "alice", "node0")
    assert (mine["tokens"], mine["unbonding"]) == ("250000500000", [])
    assert stake(network, "undelegate", "--validator", listed["validator"], "--amount", "0.5")["code"] == 0
    assert stake(network, "undelegate", "--validator", "node0", "--amount", "7", "--base-units")["code"] == 0
    (row,) = network.run("query", "delegations", "alice")["delegations"]
    assert [entry["balance"] for entry in row["unbonding"]] == ["500000", "7"]
    entry = str(row["unbonding"][1]["entry"])
    assert stake(network, "cancel-unbond", "--validator", "node0", "--entry", entry)["code"] == 0
    record = network.run("query", "proof", f"/delegation/{listed['validator']}/{mine['delegator']}")
    assert (record["proof_ok"], record["exists"]) == (True, True)
    assert network.run("query", "proof", "/params/stake")["record"]["downtime_window"] == 100
    assert stake(network, "claim", "--validator", "node0", code=1)["code_name"] == "NOTHING_TO_CLAIM"
    moved = stake(network, "redelegate", "--source", "node0", "--destination", "node0", "--amount", "1", code=1)
    assert moved["code_name"] == "SELF_TRANSFER"


def test_what_owners_do(network: Network) -> None:
    edited = stake(network, "edit", "--validator", "node0", "--details", "x", code=1)
    assert edited["code_name"] == "NO_PERMISSION"
    assert stake(network, "unjail", "--validator", "node0", code=1)["code_name"] == "NO_PERMISSION"
    keys = str(next(network.root.rglob("validator.json")))
    refused = stake(network, "register", "--keys", keys, "--amount", "1", "--moniker", "mine", code=1)
    assert refused["code_name"] == "NO_PERMISSION"  # alice is not admitted
    rotate = ("--validator", "node0", "--keys", keys)
    assert stake(network, "rotate-key", *rotate, code=1)["code_name"] == "NO_PERMISSION"
    assert stake(network, "rotate-key", *rotate, sender="owner0", code=1)["code_name"] == "ASSERT_FAILED"  # the keys it has
    terms = ("--details", "first of its kind", "--commission-ppm", "50000", "--min-self-bond", "1000000")
    assert stake(network, "edit", "--validator", "node0", *terms, sender="owner0")["code"] == 0
    found = network.run("query", "validator", "node0")
    assert (found["details"], found["commission_ppm"], found["moniker"]) == ("first of its kind", 50_000, "node0")
    assert found["min_self_bond"] == found["self_bond"] == "1000000000000"
    assert stake(network, "unjail", "--validator", "node0", sender="owner0", code=1)["code_name"] == "ASSERT_FAILED"


def test_mistakes(network: Network, tmp_path: Path) -> None:
    unknown = network.run("query", "validator", "nobody", code=2)
    assert "there is no validator nobody" in unknown["error"]["message"]
    unknown = network.run("query", "validator", "ab" * 20, code=2)
    assert "there is no validator" in unknown["error"]["message"]
    nothing = network.run("query", "delegation", "bob", "node0", code=2)
    assert "nothing with validator" in nothing["error"]["message"]
    assert network.run("query", "delegations", "bob")["delegations"] == []
    wrong = network.run("keys", "show", "bob")
    assert wrong["account"]
    key_file = str(next(network.root.rglob("bob.json")))
    mistaken = stake(network, "register", "--keys", key_file, "--amount", "1", "--moniker", "m", code=2)
    assert "not voting keys" in mistaken["error"]["message"]
    missing = stake(network, "register", "--keys", str(tmp_path / "none"), "--amount", "1", "--moniker", "m", code=2)
    assert missing["error"]["message"]
