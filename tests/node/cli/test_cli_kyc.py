"""Credentials, domains, limits, travel rule, recovery and views from the command line, against a real network of one validator.

carol acts for the compliance authority of a local network, alice issues its assets.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli.query import query
from node.testnet.processes import describe_process
from tests.node.cli.test_cli_network import Network
from tests.node.ports import free_base_port

EVIDENCE = hashlib.sha256(b"a passport").hexdigest()
LEI = ("5493001KJTIIGC8Y1R12", "7LTWFZYICNSX8D621K86")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    found = Network(tmp_path_factory.mktemp("user"), free_base_port())
    found.run(
        "testnet", "up", "--validators", "1", "--base-port", str(found.base_port), "--block-interval", "0.1", "--detach"
    )
    found.run("tx", "create-asset", "EUR", "--scale", "2", "--mint-allowance", "1000000", "--from", "alice", "--wait")
    found.run("tx", "mint", "--asset", "EUR", "--amount", "500000", "--from", "alice", "--wait")
    for who in ("bob", "carol"):
        found.run("tx", "transfer", "--to", who, "--asset", "EUR", "--amount", "10000", "--from", "alice", "--wait")
    yield found
    (pid,) = found.run("testnet", "down")["stopped"]
    assert describe_process(pid) == ("", "")


def read(network: Network, *arguments: str, code: int = 0) -> str:
    """What a person sees."""
    found = CliRunner(env={"QENEX_NODE": network.node, "QENEX_HOME": str(network.root)}).invoke(
        query, arguments, standalone_mode=False
    )
    assert (found.return_value or 0) == code, found.output
    return found.output


def tx(network: Network, *arguments: str, sender: str = "carol", code: int = 0) -> Any:
    return network.run("tx", *arguments, "--from", sender, "--wait", code=code)


def pay(network: Network, sender: str, to: str, amount: str, *more: str, code: int = 0) -> Any:
    return tx(network, "transfer", "--to", to, "--asset", "EUR", "--amount", amount, *more, sender=sender, code=code)


def address(network: Network, name: str) -> str:
    found: str = network.run("keys", "show", name)["account"]
    return found


def test_credentials_and_domains(network: Network) -> None:
    expires = str(int(time.time()) + 10_000)
    issue = ("--subject", "bob", "--type", "kyc", "--tier", "2", "--jurisdiction", "CH", "--expires", expires)
    assert tx(network, "kyc", "issue", *issue, "--evidence-hash", EVIDENCE)["code"] == 0
    found = network.run("query", "credential", "bob", "carol", "kyc")
    assert (found["tier"], found["evidence_hash"], found["valid"]) == (2, EVIDENCE, False)
    assert tx(network, "domain", "set", "--domain", "retail", "--accept", "carol:kyc:1", sender="alice")["code"] == 0
    assert network.run("query", "domain", "retail", "--member", "bob", code=1)["membership"]["code_name"] == "CREDENTIAL_MISSING"
    assert tx(network, "kyc", "accept", "--issuer", "carol", "--type", "kyc", sender="bob")["code"] == 0
    assert network.run("query", "domain", "retail", "--member", "bob")["membership"]["member"]
    shown = network.run("query", "credentials", "bob")
    assert (shown["tier"], shown["jurisdiction"], len(shown["credentials"])) == (2, "CH", 1)
    record = network.run("query", "proof", f"/credential/{address(network, 'bob')}/{address(network, 'carol')}/kyc")
    assert (record["proof_ok"], record["record"]["jurisdiction"]) == (True, "CH")
    assert network.run("query", "proof", "/domain/retail")["record"]["owner"] == address(network, "alice")
    assert "jurisdiction: CH" in read(network, "credentials", "bob")
    assert "is a member" in read(network, "domain", "retail", "--member", "bob")
    assert "tier: 2" in read(network, "credential", "bob", "carol", "kyc")


def test_pools_of_a_domain(network: Network) -> None:
    first = ("--a", "EUR", "--b", "QNX", "--amount-a", "1000", "--amount-b", "1000", "--member", "alice")
    assert tx(network, "amm", "create", *first, sender="alice")["code"] == 0
    swap = ("amm", "swap-in", "--path", "EUR,QNX", "--amount", "1", "--min-out", "0.1")
    assert tx(network, *swap, sender="bob", code=1)["code_name"] == "CREDENTIAL_MISSING"
    assert tx(network, "amm", "set-domain", "--pool", "EUR/QNX", "--domain", "retail", sender="alice")["code"] == 0
    assert network.run("query", "pool", "EUR/QNX")["domain"] == "retail"
    assert tx(network, *swap, sender="bob")["code"] == 0
    assert tx(network, "domain", "delete", "--domain", "retail", sender="alice")["code"] == 0
    assert tx(network, *swap, sender="bob", code=1)["code_name"] == "CREDENTIAL_MISSING"


def test_limits(network: Network) -> None:
    limit = ("comp", "set-limits", "--asset", "EUR", "--scope", "holding", "--account", "bob")
    assert tx(network, *limit, "--per-tx", "50", "--window", "3600", "--out", "80.5", sender="alice")["code"] == 0
    assert pay(network, "bob", "carol", "50.01", code=1)["code_name"] == "LIMIT_PER_TX"
    assert pay(network, "bob", "carol", "50")["code"] == 0
    assert pay(network, "bob", "carol", "30.51", code=1)["code_name"] == "LIMIT_WINDOW"
    (row,) = network.run("query", "limits", "bob", "EUR")["limits"]
    assert (row["scope"], row["out"], row["out_left"], row["in_left"]) == ("holding", "5000", "3050", "")
    assert "out_left: 30.5 EUR" in read(network, "limits", "bob", "EUR")
    path = f"/limits/holding/{address(network, 'bob')}/EUR"
    assert network.run("query", "proof", path)["record"]["per_tx"] == "5000"
    clear = ("comp", "clear-limits", "--asset", "EUR", "--scope", "holding", "--account", "bob")
    assert tx(network, *clear, sender="bob", code=1)["code_name"] == "NO_PERMISSION"
    assert tx(network, *clear, sender="alice")["code"] == 0
    assert read(network, "limits", "bob", "EUR") == "no limits\n"
    tier = ("comp", "set-limits", "--asset", "EUR", "--scope", "tier", "--tier", "2", "--max-balance", "1")
    assert tx(network, *tier)["code"] == 0
    assert pay(network, "alice", "bob", "1", code=1)["code_name"] == "LIMIT_BALANCE"
    assert tx(network, "comp", "clear-limits", "--asset", "EUR", "--scope", "tier", "--tier", "2")["code"] == 0
    assert tx(network, "comp", "set-jurisdictions", "--asset", "EUR", "--block", "CH", sender="alice")["code"] == 0
    assert pay(network, "bob", "carol", "1", code=1)["code_name"] == "JURISDICTION_BLOCKED"
    assert tx(network, "comp", "set-jurisdictions", "--asset", "EUR", sender="alice")["code"] == 0


def test_the_travel_rule(network: Network, tmp_path: Path) -> None:
    for who, lei in zip(("bob", "alice"), LEI, strict=True):
        register = ("--institution", who, "--lei", lei, "--key", who)
        assert tx(network, "comp", "register-vasp", *register)["code"] == 0
    assert tx(network, "comp", "set-travel-threshold", "--asset", "EUR", "--amount", "100", sender="alice")["code"] == 0
    assert pay(network, "bob", "alice", "99.99")["code"] == 0
    assert pay(network, "bob", "alice", "100", code=1)["code_name"] == "TRAVEL_DATA_REQUIRED"
    file = tmp_path / "travel.json"
    until = str(int(time.time()) + 500)
    network.run(
        "attest", "--key", "alice", "--payer", "bob", "--payee", "alice", "--amount", "100", "--asset", "EUR",
        "--payload-hash", EVIDENCE, "--originator", LEI[0], "--beneficiary", LEI[1], "--valid-until", until, "--out", str(file),
    )  # fmt: skip
    assert pay(network, "bob", "alice", "101", "--travel", str(file), code=1)["code_name"] == "ATTESTATION_INVALID"
    assert pay(network, "bob", "alice", "100", "--travel", str(file))["code"] == 0
    assert pay(network, "bob", "alice", "100", "--travel", str(file), code=1)["code_name"] == "ATTESTATION_INVALID"
    assert network.run("query", "proof", f"/lei/{LEI[1]}")["record"]["institution"] == address(network, "alice")
    assert network.run("query", "proof", "/threshold/EUR")["record"]["amount"] == "10000"
    assert tx(network, "comp", "clear-travel-threshold", "--asset", "EUR", sender="alice")["code"] == 0


def test_views_acts_and_recovery(network: Network) -> None:
    until = str(int(time.time()) + 10_000)
    assert not network.run("query", "view", "bob", "--account", "alice", code=1)["may_view"]
    assert tx(network, "comp", "grant-view", "--regulator", "bob", "--account", "alice", "--until", until)["code"] == 0
    assert network.run("query", "view", "bob", "--account", "alice")["may_view"]
    assert "may see alice" in read(network, "view", "bob", "--account", "alice")
    path = f"/view/{address(network, 'bob')}/account/{address(network, 'alice')}"
    assert network.run("query", "proof", path)["record"]["granted_by"] == address(network, "carol")
    assert tx(network, "comp", "revoke-view", "--regulator", "bob", "--account", "alice")["code"] == 0
    held = [int(network.run("query", "account", who)["holdings"]["EUR"]) for who in ("alice", "bob")]
    recover = ("comp", "recover-holder", "--old", "bob", "--new", "alice", "--evidence-hash", EVIDENCE)
    assert tx(network, *recover, "--signer", "alice")["code"] == 0
    assert int(network.run("query", "account", "alice")["holdings"]["EUR"]) == sum(held)
    keys = [network.run("query", "account", who)["keys"] for who in ("alice", "bob")]
    assert keys[0] == keys[1]
    acts = network.run("query", "acts")["acts"]
    assert (acts[-1]["operation"], acts[-1]["subject"]) == ("comp.recover_holder", address(network, "bob"))
    assert acts[-1]["evidence_hash"] == EVIDENCE
    assert "comp.grant_view" in read(network, "acts")
    assert network.run("query", "proof", "/acts")["record"]["acts"] == len(acts)


def test_mistakes(network: Network) -> None:
    for command in (
        ("query", "credential", "alice", "carol", "none"),
        ("query", "domain", "none"),
        ("query", "domain", "No"),
        ("query", "limits", "alice", "NONE"),
        ("query", "proof", "/limits/nobody/qx1/EUR"),
        ("tx", "kyc", "issue", "--subject", "alice", "--type", "KYC", "--expires", "5", "--evidence-hash", EVIDENCE, "--from", "carol"),
        ("tx", "kyc", "issue", "--subject", "alice", "--type", "a", "--expires", "5", "--evidence-hash", "ff", "--from", "carol"),
        ("tx", "domain", "set", "--domain", "a", "--accept", "carol", "--from", "carol"),
        ("tx", "comp", "set-limits", "--scope", "asset", "--asset", "EUR", "--account", "bob", "--per-tx", "1", "--from", "alice"),
        ("tx", "comp", "set-limits", "--scope", "tier", "--asset", "EUR", "--per-tx", "1", "--from", "alice"),
        ("tx", "comp", "set-limits", "--scope", "asset", "--asset", "EUR", "--out", "1", "--from", "alice"),
        ("tx", "comp", "set-limits", "--scope", "asset", "--asset", "EUR", "--per-tx", "0.001", "--from", "alice"),
        ("tx", "comp", "set-jurisdictions", "--asset", "EUR", "--block", "CH", "--only", "DE", "--from", "alice"),
        ("tx", "comp", "register-vasp", "--institution", "bob", "--lei", "5493001KJTIIGC8Y1R13", "--key", "bob", "--from", "carol"),
        ("tx", "comp", "recover-holder", "--old", "bob", "--new", "bob", "--evidence-hash", EVIDENCE, "--from", "carol"),
        ("tx", "comp", "grant-view", "--regulator", "bob", "--account", "a", "--asset", "EUR", "--until", "5", "--from", "carol"),
    ):
        assert network.run(*command, code=2)["error"]["message"]
