"""Accounts as institutions use them from the command line, against a real network of one validator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from node.cli.query import query
from node.testnet.processes import describe_process
from state.primitives.ids import parse_address
from tests.node.cli.test_cli_network import Network
from tests.node.ports import free_base_port

KEYS = ("dave", "owner", "helper", "operator", "checker", "spare", "bot", "newkey")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    found = Network(tmp_path_factory.mktemp("user"), free_base_port())
    found.run(
        "testnet", "up", "--validators", "1", "--base-port", str(found.base_port), "--block-interval", "0.1",
        "--accounts", "3", "--detach",
    )  # fmt: skip
    for name in KEYS:
        found.run("keys", "new", name, "--no-encrypt")
    found.run("tx", "create-account", "--key", "dave", "--from", "alice", "--wait")
    found.run("tx", "transfer", "--to", "dave", "--asset", "QNX", "--amount", "100", "--from", "alice", "--wait")
    yield found
    (pid,) = found.run("testnet", "down")["stopped"]
    assert describe_process(pid) == ("", "")


@pytest.fixture(scope="module")
def firm(network: Network) -> str:
    """An account of the key `owner` that holds something."""
    network.run("tx", "account", "create", "--key", "owner", "--from", "alice", "--wait")
    address: str = network.run("query", "account", "owner")["address"]
    network.run("tx", "transfer", "--to", address, "--asset", "QNX", "--amount", "100", "--from", "alice", "--wait")
    return address


def send(network: Network, group: str, *options: str, sender: str, code: int = 0) -> Any:
    return network.run("tx", *group.split(), *options, "--from", sender, "--wait", code=code)


def read(network: Network, *arguments: str) -> str:
    """What a person sees."""
    found = CliRunner(env={"QENEX_NODE": network.node, "QENEX_HOME": str(network.root)}).invoke(query, arguments)
    assert found.exit_code == 0, found.output
    return found.output


def pay(network: Network, amount: str, *options: str, sender: str, code: int = 0, to: str = "bob") -> Any:
    return send(network, "transfer", "--to", to, "--asset", "QNX", "--amount", amount, *options, sender=sender, code=code)


def test_classes_delays_veto_and_recovery(network: Network, firm: str) -> None:
    setting = ("--add-operator", "operator", "--add-checker", "checker", "--add-recovery", "spare")
    delays = ("--rotation-delay", "1", "--recovery-delay", "2", "--recovery-weight", "1")
    assert send(network, "account set-policy", *setting, *delays, sender="owner")["code"] == 0
    policy = network.run("query", "policy", firm)
    assert [(key["key_id"], key["class"]) for key in policy["keys"]] == [(0, "owner"), (1, "operator"), (2, "checker"), (3, "recovery")]
    assert (policy["rotation_delay_s"], policy["dual_from"], policy["waiting"]) == (1, "", [])
    assert pay(network, "1", sender=f"operator@{firm}")["code"] == 0
    assert send(network, "account revoke-key", "1", sender=f"operator@{firm}", code=1)["code_name"] == "QUORUM_NOT_MET"
    assert pay(network, "1", sender=f"spare@{firm}", code=1)["code_name"] == "QUORUM_NOT_MET"
    assert send(network, "account update-keys", "--add", "helper", sender="owner")["code"] == 0
    (waiting,) = network.run("query", "policy", firm)["waiting"]
    assert (waiting["change"], waiting["kind"]) == (1, "rotation")
    proof = network.run("query", "proof", f"/key-change/{firm}/1")
    assert (proof["proof_ok"], proof["record"]["kind"]) == (True, "rotation")
    assert "rotation 1 waits" in read(network, "policy", firm)
    again = send(network, "account update-keys", "--add", "newkey", sender="owner", code=1)
    assert again["code_name"] == "ROTATION_PENDING"
    assert send(network, "account veto-keys", "1", sender="alice", code=1)["code_name"] == "PENDING_NOT_FOUND"
    assert send(network, "account veto-keys", "1", sender=f"spare@{firm}")["code"] == 0
    assert send(network, "account set-policy", "--dual-from", "medium", "--valid", "1=0-1900000000", sender="owner")["code"] == 0
    confirm_when_due(network, firm, 2)
    assert network.run("query", "policy", firm)["keys"][1]["valid_until"] == 1_900_000_000
    assert pay(network, "1", sender="owner", code=1)["code_name"] == "SAME_KEY_MAKER_CHECKER"
    assert pay(network, "1", "--signer", f"checker@{firm}", sender=f"operator@{firm}")["code"] == 0
    assert send(network, "account recover", "--key", "newkey", sender=f"spare@{firm}")["code"] == 0
    early = send(network, "account confirm-keys", firm, "3", sender="bob", code=1)
    assert early["code_name"] == "TOO_EARLY"
    confirm_when_due(network, firm, 3)
    keys = network.run("query", "policy", firm)["keys"]
    assert [(key["key_id"], key["class"]) for key in keys] == [(3, "recovery"), (4, "owner")]
    assert pay(network, "1", sender=f"newkey@{firm}")["code"] == 0
    assert "recovery" in read(network, "policy", firm)


def confirm_when_due(network: Network, firm: str, change: int) -> None:
    """Anybody confirms, once a block has the time; every payment waited for is a block."""
    (waiting,) = network.run("query", "policy", firm)["waiting"]
    assert waiting["change"] == change
    while time_of_last_block(network) < waiting["ready"]:
        pay(network, "0.001", sender="carol")
    assert send(network, "account confirm-keys", firm, str(change), sender="bob")["code"] == 0
    assert network.run("query", "policy", firm)["waiting"] == []


def time_of_last_block(network: Network) -> int:
    text = network.run("query", "block")["block"]["header"]["time"]
    return int(datetime.fromisoformat(text[:19] + "+00:00").timestamp())


def test_session_keys(network: Network) -> None:
    scope = ("--op", "asset.transfer", "--limit", "QNX:2:3", "--counterparty", "bob", "--fee-limit", "1000000")
    assert send(network, "account grant-session", "bot", *scope, sender="carol")["code"] == 0
    carol = network.run("query", "account", "carol")
    (session,) = carol["sessions"]
    bot = f"bot@{carol['address']}"
    assert pay(network, "2", sender=bot)["code"] == 0
    assert pay(network, "2.000001", sender=bot, code=1)["code_name"] == "LIMIT_PER_TX"
    assert pay(network, "1.5", sender=bot, code=1)["code_name"] == "LIMIT_WINDOW"
    assert pay(network, "1", sender=bot, to="alice", code=1)["code_name"] == "COUNTERPARTY_NOT_ALLOWED"
    assert pay(network, "1", "--lane", "3", sender=bot)["code"] == 0
    assert send(network, "account revoke-key", "0", sender=bot, code=1)["code_name"] == "QUORUM_NOT_MET"
    (grant,) = network.run("query", "grants", "carol")["grants"]
    assert (grant["kind"], grant["used"]["spent"], grant["operations"]) == ("session", {"QNX": "3000000"}, ["asset.transfer"])
    assert "of which 3000000 spent" in read(network, "grants", "carol")
    path = f"/session/{carol['address']}/{session['key_id']}"
    assert network.run("query", "proof", path)["record"]["limits"][0]["per_window"] == "3000000"
    assert send(network, "account revoke-session", str(session["key_id"]), sender="carol")["code"] == 0
    assert read(network, "grants", "carol") == "none\n"
    assert pay(network, "1", sender=bot, code=2)["error"]["message"].endswith("account " + carol["address"])


def test_delegates_sponsors_and_references(network: Network) -> None:
    scope = ("--op", "asset.transfer", "--op", "amm.swap_in", "--limit", "QNX:5:5")
    assert send(network, "account delegate", "--to", "bob", *scope, sender="carol")["code"] == 0
    assert pay(network, "5", "--as", "carol", to="alice", sender="bob")["code"] == 0
    assert pay(network, "1", "--as", "carol", to="alice", sender="bob", code=1)["code_name"] == "LIMIT_WINDOW"
    assert pay(network, "1", "--as", "carol", to="alice", sender="dave", code=1)["code_name"] == "QUORUM_NOT_MET"
    assert send(network, "account revoke-delegation", "--to", "bob", sender="carol")["code"] == 0
    assert send(network, "account sponsor", "--who", "bob", "--limit", "1000000", sender="carol")["code"] == 0
    assert pay(network, "1", "--fee-payer", "carol", to="alice", sender="bob")["code"] == 0
    shown = network.run("query", "sponsorship", "carol", "bob")
    assert (shown["fee_limit"], shown["operations"]) == ("1000000", [])
    assert "any" in read(network, "sponsorship", "carol", "bob")
    assert send(network, "account sponsor", "--who", "alice", "--limit", "7", sender="carol")["code"] == 0
    listed = network.run("query", "sponsorships", "carol")["sponsorships"]
    addresses = sorted((network.run("query", "account", name)["address"] for name in ("alice", "bob")), key=parse_address)
    assert [one["who"] for one in listed] == addresses
    assert {one["fee_limit"] for one in listed} == {"7", "1000000"}
    assert read(network, "sponsorships", "bob") == "none\n"
    carol = network.run("query", "account", "carol")["address"]
    pages, start = [], ""
    while len(pages) < 3:
        page = httpx2.get(f"{network.node}/account_sponsorships", params={"account": carol, "start": start, "limit": 1}).json()["result"]
        pages.append([one["who"] for one in page["sponsorships"]])
        start = page["next"]
        if not start:
            break
    assert pages == [[address] for address in addresses]
    for wrong in ({"limit": 0}, {"limit": 101}, {"start": "qx1"}):
        refused = httpx2.get(f"{network.node}/account_sponsorships", params={"account": carol, **wrong}).json()
        assert refused["error"]["code"] == -32602
    assert send(network, "account revoke-sponsor", "--who", "alice", sender="carol")["code"] == 0
    assert send(network, "account revoke-sponsor", "--who", "bob", sender="carol")["code"] == 0
    assert network.run("query", "sponsorship", "carol", "bob", code=2)["error"]["message"]
    reference = ("--client-ref", "ab" * 16)
    first = pay(network, "1", *reference, "--unordered", to="alice", sender="bob")
    assert first["code"] == 0
    other = pay(network, "2", *reference, to="alice", sender="bob", code=1)
    assert other["code_name"] == "CLIENT_REF_REUSED_DIFFERENT"


def test_allowlists_and_closing(network: Network) -> None:
    listed = ("--counterparty", "alice", "--cosigner", "bob")
    assert send(network, "account set-allowlist", *listed, sender="dave")["code"] == 0
    assert pay(network, "1", sender="dave", code=1)["code_name"] == "COUNTERPARTY_NOT_ALLOWED"
    assert "pays only: qx1" in read(network, "policy", "dave")
    away = ("--approver", "bob")
    assert send(network, "account set-allowlist", *away, sender="dave", code=1)["code_name"] == "QUORUM_NOT_MET"
    assert send(network, "account set-allowlist", sender="dave", code=1)["code_name"] == "NO_PERMISSION"
    assert send(network, "account set-allowlist", *away, "--signer", "bob", sender="dave")["code"] == 0
    before = int(network.run("query", "account", "bob")["holdings"]["QNX"])
    assert send(network, "account close", "--beneficiary", "bob", sender="dave")["code"] == 0
    after = network.run("query", "account", "dave")
    assert (after["holdings"], after["marks"]) == ({}, ["closed"])
    assert int(network.run("query", "account", "bob")["holdings"]["QNX"]) > before
    assert pay(network, "1", to="dave", sender="bob", code=1)["code_name"] == "ACCOUNT_CLOSED"


def test_mistakes(network: Network) -> None:
    for command in (
        ("account", "grant-session", "bot", "--op", "asset.fly"),
        ("account", "grant-session", "bot", "--op", "asset.transfer", "--limit", "QNX:1"),
        ("account", "grant-session", "bot", "--op", "asset.transfer", "--limit", "QNX:2:1"),
        ("account", "grant-session", "bot", "--op", "asset.transfer", "--limit", "QNX:0.0000001:1"),
        ("account", "set-policy", "--class", "0=king"),
        ("account", "set-policy", "--class", "7=owner"),
        ("account", "set-policy", "--valid", "0=5"),
        ("account", "delegate", "--to", "nobody", "--op", "asset.transfer"),
        ("transfer", "--to", "bob", "--asset", "QNX", "--amount", "1", "--client-ref", "abc"),
        ("transfer", "--to", "bob", "--asset", "QNX", "--amount", "1", "--as", "qx1nothing"),
    ):
        assert network.run("tx", *command, "--from", "alice", code=2)["error"]["message"]
    assert network.run("query", "policy", "bot", code=2)["error"]["message"]
