"""Holds, escrows, settlements, offers and claims from the command line, against a real network of one validator."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli.options import PassphraseReader
from node.cli.promising import parse_hex, parse_ref, parse_when
from node.cli.query import query
from node.cli.session import Sending, Session
from node.testnet.processes import describe_process
from state.modules.gate import FLAGS_OPEN
from state.primitives.errors import ConfigError
from state.transaction import call
from tests.node.cli.test_cli_network import Network
from tests.node.ports import free_base_port

REF = "00112233-4455-6677-8899-aabbccddeeff"


def create_euro(network: Network) -> None:
    """An asset that its holders may hold for others and put in escrow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QENEX_HOME", str(network.root))
        sending = Sending(network.node, None, PassphraseReader(None), "alice", (), "", None, 600, 60)

        async def operations(session: Session) -> list[Any]:
            minters = ((session.sender, 10**9),)
            return [call("asset.create", code="EUR", scale=2, max_supply=0, flags=FLAGS_OPEN, minters=minters, metadata_hash=b"")]

        assert sending.run(operations).code == 0


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    found = Network(tmp_path_factory.mktemp("user"), free_base_port())
    found.run(
        "testnet", "up", "--validators", "1", "--base-port", str(found.base_port), "--block-interval", "0.1", "--detach"
    )
    create_euro(found)
    found.run("tx", "mint", "--asset", "EUR", "--amount", "500000", "--from", "alice", "--wait")
    yield found
    (pid,) = found.run("testnet", "down")["stopped"]
    assert describe_process(pid) == ("", "")


def read(network: Network, *arguments: str) -> str:
    """What a person sees."""
    found = CliRunner(env={"QENEX_NODE": network.node, "QENEX_HOME": str(network.root)}).invoke(query, arguments)
    assert found.exit_code == 0, found.output
    return found.output


def tx(network: Network, group: str, command: str, *options: str, sender: str = "alice", code: int = 0) -> Any:
    return network.run("tx", group, command, "--from", sender, *options, "--wait", code=code)


def holding(network: Network, account: str, asset: str = "EUR") -> Any:
    address = network.run("query", "account", account)["address"]
    return network.run("query", "proof", f"/holding/{address}/{asset}")["record"]


def test_the_life_of_a_hold(network: Network) -> None:
    made = tx(network, "hold", "create", "--to", "bob", "--asset", "EUR", "--amount", "100.25", "--expires", "1h", "--ref", REF)
    name = made["hold"]
    assert (made["code_name"], made["ref"], len(name)) == ("OK", REF.replace("-", ""), 40)
    found = network.run("query", "hold", name)
    assert (found["status"], found["amount"], found["asset"]) == ("open", "10025", "EUR")
    assert holding(network, "alice")["held"] == "10025"
    again = tx(network, "hold", "create", "--to", "bob", "--asset", "EUR", "--amount", "1", "--expires", "1h", "--ref", REF, code=1)
    assert again["code_name"] == "PENDING_EXISTS"
    proven = network.run("query", "proof", f"/hold/{name}")
    assert (proven["proof_ok"], proven["record"]["amount"]) == (True, "10025")
    assert "amount: 100.25 EUR" in read(network, "hold", name)
    assert [row["hold"] for row in network.run("query", "pending", "bob")["pending"]] == [name]
    assert tx(network, "hold", "void", name, code=1)["code_name"] == "NO_PERMISSION"
    assert tx(network, "hold", "post", name, "--amount", "60.25", sender="bob")["code"] == 0
    assert holding(network, "bob")["balance"] == "6025"
    assert (holding(network, "alice")["held"], network.run("query", "hold", name)["paid"]) == ("0", "6025")
    assert network.run("query", "pending", "bob")["pending"] == []
    gone = tx(network, "hold", "post", name, sender="bob", code=2)
    assert "is paid" in gone["error"]["message"]
    assert tx(network, "hold", "void", name, sender="bob", code=1)["code_name"] == "PENDING_ALREADY_POSTED"
    whole = tx(network, "hold", "create", "--to", "bob", "--asset", "EUR", "--amount", "500", "--expires", "1h", "--base-units")
    assert tx(network, "hold", "post", whole["hold"], sender="bob")["code"] == 0
    assert holding(network, "bob")["balance"] == "6525"


def test_an_atomic_swap_by_two_escrows(network: Network) -> None:
    """Alice gives EUR, bob gives QNX; one secret opens both."""
    mine = ("--to", "bob", "--asset", "EUR", "--amount", "10", "--until", "2h", "--new-secret")
    first = tx(network, "escrow", "create", *mine)
    locked = network.run("query", "escrow", first["escrow"])["hash"]
    assert locked == hashlib.sha256(bytes.fromhex(first["secret"])).hexdigest()
    yours = ("--to", "alice", "--asset", "QNX", "--amount", "3", "--until", "1h", "--hash", locked)
    second = tx(network, "escrow", "create", *yours, sender="bob")
    wrong = tx(network, "escrow", "finish", second["escrow"], "--secret", "00" * 32, code=1)
    assert wrong["code_name"] == "WRONG_SECRET"
    assert tx(network, "escrow", "finish", second["escrow"], "--secret", first["secret"])["code"] == 0
    assert tx(network, "escrow", "finish", first["escrow"], "--secret", first["secret"], sender="bob")["code"] == 0
    assert "status: paid" in read(network, "escrow", first["escrow"])
    timed = tx(network, "escrow", "create", "--to", "bob", "--asset", "EUR", "--amount", "1", "--after", "30m", "--until", "1h")
    assert tx(network, "escrow", "finish", timed["escrow"], code=1)["code_name"] == "TOO_EARLY"
    assert tx(network, "escrow", "cancel", timed["escrow"], code=1)["code_name"] == "TOO_EARLY"
    assert "finish_after: 2" in read(network, "escrow", timed["escrow"])
    assert tx(network, "escrow", "cancel", timed["escrow"], sender="bob")["code"] == 0


def test_delivery_versus_payment(network: Network) -> None:
    legs = ("--leg", "alice:bob:EUR:250.50", "--leg", "bob:alice:QNX:1.5")
    made = tx(network, "settle", "create", *legs, "--deadline", "1h", sender="bob")
    name = made["settlement"]
    found = network.run("query", "settlement", name)
    assert [leg["allocated"] for leg in found["legs"]] == [False, False]
    assert tx(network, "settle", "execute", name, code=1)["code_name"] == "SETTLEMENT_INCOMPLETE"
    assert tx(network, "settle", "allocate", name, "--terms", "00" * 32, code=1)["code_name"] == "SETTLEMENT_MISMATCH"
    assert tx(network, "settle", "allocate", name, "--terms", found["terms"])["code"] == 0
    assert "250.5 EUR, set aside" in read(network, "settlement", name)
    assert "1.5 QNX, waits" in read(network, "pending", "alice")
    assert tx(network, "settle", "allocate", name, sender="bob")["code"] == 0
    before = int(holding(network, "alice", "QNX")["balance"])
    assert tx(network, "settle", "execute", name, sender="bob")["code"] == 0
    assert int(holding(network, "alice", "QNX")["balance"]) > before
    assert network.run("query", "settlement", name)["status"] == "settled"
    other = tx(network, "settle", "create", *legs, "--deadline", "1h", "--agent", "bob")["settlement"]
    assert tx(network, "settle", "execute", other, code=1)["code_name"] == "NO_PERMISSION"
    assert tx(network, "settle", "cancel", other, sender="bob")["code"] == 0


def test_offers(network: Network) -> None:
    made = tx(network, "pay", "offer", "--to", "bob", "--give", "EUR:5.50", "--want", "QNX:0.25", "--expires", "1h")
    name = made["offer"]
    found = network.run("query", "offer", name)
    assert (found["give_amount"], found["want_asset"]) == ("550", "QNX")
    assert "gives: 5.5 EUR" in read(network, "offer", name)
    assert tx(network, "pay", "accept", name, code=1)["code_name"] == "NO_PERMISSION"
    assert tx(network, "pay", "accept", name, "--terms", found["terms"], sender="bob")["code"] == 0
    request = tx(network, "pay", "offer", "--to", "bob", "--want", "QNX:0.25", "--expires", "1h")["offer"]
    assert "gives: nothing" in read(network, "offer", request)
    assert tx(network, "pay", "accept", request, sender="bob")["code"] == 0
    refused = tx(network, "pay", "offer", "--to", "bob", "--give", "EUR:1", "--expires", "1h")["offer"]
    assert tx(network, "pay", "cancel", refused, sender="bob")["code"] == 0
    assert "is taken back" in tx(network, "pay", "accept", refused, sender="bob", code=2)["error"]["message"]


def test_claims(network: Network) -> None:
    found = network.run("query", "claims", "alice")
    assert (found["claims"], found["next"]) == ([], None)
    assert tx(network, "claim", "take", "0", code=1)["code_name"] == "PENDING_NOT_FOUND"


def test_mistakes(network: Network) -> None:
    base = ("--to", "bob", "--asset", "EUR", "--amount", "1")
    for command in (
        ("query", "hold", "00"),
        ("query", "hold", "00" * 20),
        ("query", "pending", "alice", "--start", "hold/00"),
        ("tx", "hold", "create", "--from", "alice", *base, "--expires", "soon"),
        ("tx", "hold", "create", "--from", "alice", *base, "--expires", "1h", "--ref", "00"),
        ("tx", "hold", "post", "--from", "alice", "zz"),
        ("tx", "hold", "post", "--from", "alice", "00" * 20),
        ("tx", "escrow", "create", "--from", "alice", *base, "--until", "1h"),
        ("tx", "escrow", "create", "--from", "alice", *base, "--until", "1h", "--after", "2h"),
        ("tx", "escrow", "create", "--from", "alice", *base, "--until", "1h", "--hash", "00"),
        ("tx", "escrow", "create", "--from", "alice", *base, "--until", "1h", "--hash", "00" * 32, "--new-secret"),
        ("tx", "escrow", "finish", "--from", "alice", "00" * 20, "--secret", "0"),
        ("tx", "escrow", "finish", "--from", "alice", "00" * 20, "--secret", "00" * 65),
        ("tx", "settle", "create", "--from", "alice", "--leg", "alice:bob:EUR", "--deadline", "1h"),
        ("tx", "settle", "allocate", "--from", "alice", "00" * 20),
        ("tx", "pay", "offer", "--from", "alice", "--to", "bob", "--expires", "1h"),
        ("tx", "pay", "offer", "--from", "alice", "--to", "bob", "--give", "EUR:0", "--expires", "1h"),
        ("tx", "pay", "offer", "--from", "alice", "--to", "bob", "--give", "EUR", "--expires", "1h"),
    ):
        assert network.run(*command, code=2)["error"]["message"], command
    finer = tx(network, "hold", "create", "--to", "bob", "--asset", "EUR", "--amount", "0.001", "--expires", "1h", code=2)
    assert "finer" in finer["error"]["message"]


def test_times_and_references() -> None:
    now = int(time.time())
    assert now + 90 <= parse_when("90s") <= now + 92
    assert now + 7 * 86_400 <= parse_when("7d") <= now + 7 * 86_400 + 2
    assert parse_when("2027-01-31T12:00:00Z") == 1_801_396_800
    assert parse_when("2027-01-31T13:00:00+01:00") == parse_when("1801396800")
    for wrong in ("", "1", "1y", "2027-01-31", "2027-01-31T12:00:00", "-1h", "99999999999999"):
        with pytest.raises(ConfigError):
            parse_when(wrong)
    assert parse_ref(REF).hex() == REF.replace("-", "")
    assert parse_ref(None) != parse_ref(None)
    with pytest.raises(ConfigError):
        parse_hex("zz", 1, "it")
