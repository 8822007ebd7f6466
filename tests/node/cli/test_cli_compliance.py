"""Issuers' powers and compliance from the command line, against a real network of one validator."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli.query import query
from node.testnet.processes import describe_process
from tests.node.cli.test_cli_network import Network
from tests.node.ports import free_base_port

GROUND = ("--reason", "court order", "--legal-ref", "AB 12/34")
KEYS = ("freezer", "officer", "clawer")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Alice issues EUR with every power; carol acts for the authority of a local network."""
    found = Network(tmp_path_factory.mktemp("user"), free_base_port())
    found.run(
        "testnet", "up", "--validators", "1", "--base-port", str(found.base_port), "--block-interval", "0.1", "--detach"
    )
    for name in KEYS:
        found.run("keys", "new", name, "--no-encrypt")
        found.run("tx", "create-account", "--key", name, "--from", "alice", "--wait")
    powers = [option for name in ("clawback", "require_auth", "pausable", "freezable") for option in ("--with", name)]
    found.run("tx", "create-asset", "EUR", "--scale", "2", "--mint-allowance", "10000", *powers, "--from", "alice", "--wait")
    roles = (("freezer", "freezer"), ("compliance", "officer"), ("metadata", "officer"), ("clawback", "clawer"))
    for role, account in roles:
        asset(found, "set-role", "--role", role, "--account", account)
    comp(found, "authorise", "--asset", "EUR", "--account", "bob", "--state", "authorised", *GROUND, sender="officer")
    found.run("tx", "mint", "--asset", "EUR", "--amount", "500", "--to", "bob", "--from", "alice", "--wait")
    yield found
    (pid,) = found.run("testnet", "down")["stopped"]
    assert describe_process(pid) == ("", "")


def asset(network: Network, command: str, *options: str, sender: str = "alice", code: int = 0) -> Any:
    return network.run("tx", "asset", command, "--from", sender, "--asset", "EUR", *options, "--wait", code=code)


def comp(network: Network, command: str, *options: str, sender: str = "carol", code: int = 0) -> Any:
    return network.run("tx", "comp", command, "--from", sender, *options, "--wait", code=code)


def pay(network: Network, amount: str, *, code: int = 0) -> str:
    options = ("--to", "alice", "--asset", "EUR", "--amount", amount, "--from", "bob", "--wait")
    return str(network.run("tx", "transfer", *options, code=code)["code_name"])


def read(network: Network, *arguments: str) -> str:
    """What a person sees."""
    found = CliRunner(env={"QENEX_NODE": network.node, "QENEX_HOME": str(network.root)}).invoke(query, arguments)
    assert found.exit_code == 0, found.output
    return found.output


def test_the_powers_of_an_asset_and_its_roles(network: Network) -> None:
    found = network.run("query", "powers", "EUR")
    assert set(found["flags"]) >= {"transferable", "tradable", "clawback", "require_auth", "pausable", "freezable"}
    assert (found["roles"]["unfreezer"], found["pause"]) == ("", None)
    address = network.run("query", "account", "clawer")["address"]
    assert found["roles"]["clawback"] == address
    proof = network.run("query", "proof", "/roles/EUR")
    assert (proof["proof_ok"], proof["record"]["clawback"]) == (True, address)
    own = asset(network, "set-role", "--role", "freezer", "--account", "alice", code=1)
    assert own["code_name"] == "SAME_KEY_MAKER_CHECKER"
    assert asset(network, "set-role", "--role", "minter", "--account", "bob", "--allowance", "1.25")["code"] == 0
    assert asset(network, "set-metadata", "--hash", "ab" * 32, sender="officer")["code"] == 0
    assert asset(network, "accept", code=1)["code_name"] == "ASSERT_FAILED"
    assert asset(network, "renounce-flag", "--flag", "tradable", code=1)["code_name"] == "FLAG_IMMUTABLE"
    assert "clawback: qx1" in read(network, "powers", "EUR")


def test_freezes_of_an_account_and_of_a_holding(network: Network) -> None:
    assert comp(network, "freeze", "--account", "bob", *GROUND, sender="alice", code=1)["code_name"] == "NO_PERMISSION"
    assert comp(network, "freeze", "--account", "bob", "--level", "deep", *GROUND)["code"] == 0
    frozen = network.run("query", "restrictions", "bob")
    assert (frozen["freeze"]["level"], frozen["freeze"]["legal_ref"], frozen["sanction"]) == ("deep", "AB 12/34", None)
    proof = network.run("query", "proof", f"/freeze/{frozen['account']}")
    assert proof["record"]["reason"] == "court order"
    assert pay(network, "1") == "OK"  # to its issuer
    to_carol = ("--to", "carol", "--asset", "QNX", "--amount", "1", "--from", "bob", "--wait")
    assert network.run("tx", "transfer", *to_carol, code=1)["code_name"] == "ACCOUNT_DEEP_FROZEN"
    assert "freeze: deep by qx1" in read(network, "restrictions", "bob")
    assert comp(network, "unfreeze", "--account", "bob", *GROUND)["code"] == 0
    until = str(int(time.time()) + 3_600)
    holding = ("--account", "bob", "--asset", "EUR")
    assert comp(network, "freeze", *holding, "--until", until, *GROUND, sender="freezer")["code"] == 0
    found = network.run("query", "restrictions", "bob", "--asset", "EUR")
    assert (found["freeze"]["until"], found["state"]) == (int(until), "authorised")
    assert comp(network, "unfreeze", *holding, *GROUND, sender="officer")["code"] == 0
    maintained = comp(network, "authorise", *holding, "--state", "maintained", *GROUND, sender="officer")
    assert maintained["code"] == 0
    assert network.run("query", "restrictions", "bob", "--asset", "EUR")["state"] == "maintained"
    comp(network, "authorise", *holding, "--state", "authorised", *GROUND, sender="officer")


def test_sanctions_and_pauses(network: Network) -> None:
    assert comp(network, "sanction", "--account", "bob", "--list", "UN 1267", *GROUND)["code"] == 0
    assert pay(network, "1", code=1) == "ACCOUNT_SANCTIONED"
    assert "sanction: UN 1267" in read(network, "restrictions", "bob")
    assert comp(network, "unsanction", "--account", "bob", *GROUND)["code"] == 0
    assert asset(network, "pause", *GROUND, sender="freezer")["code"] == 0
    assert pay(network, "1", code=1) == "ASSET_PAUSED"
    assert "pause: freeze by qx1" in read(network, "powers", "EUR")
    assert asset(network, "unpause", *GROUND, sender="officer")["code"] == 0
    assert comp(network, "freeze", "--asset", "EUR", "--until", "2099-01-31T12:00:00Z", *GROUND, sender="freezer")["code"] == 0
    assert network.run("query", "proof", "/pause/EUR")["record"]["until"] == 4_073_544_000
    assert comp(network, "unfreeze", "--asset", "EUR", *GROUND, sender="officer")["code"] == 0
    assert pay(network, "1") == "OK"


def test_clawback_and_forced_transfer(network: Network) -> None:
    before = int(network.run("query", "asset", "EUR")["supply"])
    finer = asset(network, "clawback", "--holder", "bob", "--amount", "0.001", *GROUND, sender="clawer", code=2)
    assert "finer" in finer["error"]["message"]
    assert asset(network, "clawback", "--holder", "bob", "--amount", "1.25", *GROUND, sender="clawer")["code"] == 0
    assert int(network.run("query", "asset", "EUR")["supply"]) == before - 125
    moved = asset(network, "forced-transfer", "--holder", "bob", "--to", "alice", "--amount", "2", *GROUND, sender="clawer")
    assert moved["code"] == 0
    assert asset(network, "clawback", "--holder", "bob", "--amount", "all", *GROUND, sender="clawer")["code"] == 0
    assert asset(network, "clawback", "--holder", "bob", "--amount", "all", *GROUND, sender="clawer", code=1)["code_name"] == "ZERO_AMOUNT"
    assert asset(network, "destroy", code=1)["code_name"] == "SUPPLY_NOT_ZERO"


def test_what_is_promised_comes_back_and_a_claim_is_burned(network: Network) -> None:
    assert asset(network, "recall", "--holder", "bob", "--place", "vault/1", *GROUND, sender="clawer", code=2)["error"]["hint"]
    network.run("tx", "mint", "--asset", "EUR", "--amount", "5", "--to", "bob", "--from", "alice", "--wait")
    promise = ("--to", "alice", "--asset", "EUR", "--amount", "0.5")
    made = network.run("tx", "hold", "create", *promise, "--expires", "1h", "--from", "bob", "--wait")
    place = ("--holder", "bob", "--place", f"hold/{made['hold']}")
    assert asset(network, "recall", *place, *GROUND, code=1)["code_name"] == "NO_PERMISSION"
    assert asset(network, "recall", *place, *GROUND, sender="clawer")["code"] == 0
    assert asset(network, "recall", *place, *GROUND, sender="clawer", code=1)["code_name"] == "PENDING_ALREADY_VOIDED"
    dates = ("--after", "1m", "--until", "1h")
    made = network.run("tx", "escrow", "create", *promise, *dates, "--from", "bob", "--wait")
    assert comp(network, "freeze", "--account", "bob", "--asset", "EUR", "--level", "deep", *GROUND, sender="freezer")["code"] == 0
    place = ("--holder", "bob", "--place", f"escrow/{made['escrow']}")
    assert asset(network, "recall", *place, *GROUND, sender="clawer")["code"] == 0
    supply = int(network.run("query", "asset", "EUR")["supply"])
    number = network.run("query", "claims", "bob")["claims"][0]["claim"]
    burn = ("tx", "claim", "clawback", str(number), "--asset", "EUR", "--holder", "bob", *GROUND)
    assert network.run(*burn, "--from", "clawer", "--wait")["code"] == 0
    assert int(network.run("query", "asset", "EUR")["supply"]) == supply - 50
    assert comp(network, "unfreeze", "--account", "bob", "--asset", "EUR", *GROUND, sender="officer")["code"] == 0


def test_an_asset_is_handed_over_and_destroyed(network: Network) -> None:
    plain = ("--scale", "0", "--without", "tradable", "--not-transferable")
    network.run("tx", "create-asset", "OLD", *plain, "--from", "alice", "--wait")
    assert network.run("query", "powers", "OLD")["flags"] == ["lockable", "escrowable", "stakeable"]
    role = ("--role", "issuer", "--account", "bob")
    given = network.run("tx", "asset", "set-role", "--asset", "OLD", *role, "--from", "alice", "--signer", "bob", "--wait")
    assert given["code"] == 0
    assert network.run("tx", "asset", "destroy", "--asset", "OLD", "--from", "bob", "--wait")["code"] == 0
    again = network.run("tx", "create-asset", "OLD", "--scale", "0", "--from", "alice", "--wait", code=1)
    assert again["code_name"] == "ASSET_EXISTS"


def test_mistakes(network: Network) -> None:
    for command in (
        ("query", "powers", "NONE"),
        ("query", "restrictions", "bob", "--asset", "NONE"),
        ("tx", "comp", "freeze", "--from", "carol", *GROUND),
        ("tx", "comp", "freeze", "--from", "carol", "--account", "bob", "--until", "tomorrow", *GROUND),
        ("tx", "asset", "set-role", "--from", "alice", "--asset", "EUR", "--role", "minter", "--account", "bob"),
        ("tx", "asset", "set-role", "--from", "alice", "--asset", "EUR", "--role", "issuer"),
        ("tx", "asset", "set-metadata", "--from", "officer", "--asset", "EUR", "--hash", "zz"),
        ("tx", "comp", "freeze", "--from", "carol", "--account", "bob", "--reason", " ", "--legal-ref", "x"),
    ):
        assert network.run(*command, code=2)["error"]["message"]
