"""Central banks from the command line, against a real network of one validator."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli.cb import read_time
from node.cli.query import query
from node.testnet.processes import describe_process
from state.primitives.errors import ConfigError
from tests.node.cli.test_cli_network import Network
from tests.node.ports import free_base_port

ASSET = ("--asset", "EUR")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Alice is the central bank of EUR, with gold of her own; bob and carol are its dealers."""
    found = Network(tmp_path_factory.mktemp("user"), free_base_port())
    found.run(
        "testnet", "up", "--validators", "1", "--base-port", str(found.base_port), "--block-interval", "0.1", "--detach"
    )
    found.run("tx", "create-asset", "EUR", "--scale", "2", "--with", "remunerated", "--from", "alice", "--wait")
    found.run("tx", "create-asset", "GLD", "--scale", "0", "--mint-allowance", "1000", "--from", "alice", "--wait")
    found.run("tx", "mint", "--asset", "GLD", "--to", "carol", "--amount", "500", "--from", "alice", "--wait")
    for name in ("bob", "carol"):
        terms = ("--tier", "2", "--issue-max", "1000000", "--window-max", "5000000")
        assert cb(found, "appoint-dealer", "--account", name, *terms)["code"] == 0
    yield found
    (pid,) = found.run("testnet", "down")["stopped"]
    assert describe_process(pid) == ("", "")


def cb(network: Network, command: str, *options: str, sender: str = "alice", code: int = 0) -> Any:
    return network.run("tx", "cb", command, "--from", sender, *ASSET, *options, "--wait", code=code)


def read(network: Network, *arguments: str) -> str:
    """What a person sees."""
    found = CliRunner(env={"QENEX_NODE": network.node, "QENEX_HOME": str(network.root)}).invoke(query, arguments)
    assert found.exit_code == 0, found.output
    return found.output


def test_issue_and_redemption(network: Network) -> None:
    assert cb(network, "issue", "--dealer", "bob", "--amount", "1000.25", "--facility", "standing", "--ref", "a-1")["code"] == 0
    injected = cb(network, "inject", "--leg", "bob:500", "--leg", "carol:250.50", "--facility", "tender")
    assert injected["code_name"] == "OK"
    supply = network.run("query", "supply", "EUR")
    assert (supply["supply"], supply["issued"], supply["other"]) == ("175075", "175075", "0")
    over = cb(network, "issue", "--dealer", "bob", "--amount", "1000000.01", code=1)
    assert over["code_name"] == "LIMIT_PER_TX"
    assert cb(network, "redeem-request", "--amount", "100", "--ref", "r-1", sender="bob")["code"] == 0
    assert cb(network, "redeem-request", "--amount", "7", "--expires", "+600", sender="bob")["code"] == 0
    assert network.run("query", "redemption", "EUR", "0")["amount"] == "10000"
    assert [row["request"] for row in network.run("query", "redemptions", "EUR")["redemptions"]] == [0, 1]
    assert "100 EUR" in read(network, "redemption", "EUR", "0")
    assert "r-1" in read(network, "redemptions", "EUR")
    assert cb(network, "redeem-confirm", "--request", "0")["code"] == 0
    assert cb(network, "redeem-cancel", "--request", "1", sender="bob")["code"] == 0
    assert cb(network, "redeem-cancel", "--request", "1", code=1)["code_name"] == "REDEMPTION_NOT_FOUND"
    supply = network.run("query", "supply", "EUR")
    assert (supply["supply"], supply["redeemed"]) == ("165075", "10000")
    proof = network.run("query", "proof", "/bank/EUR")
    assert (proof["proof_ok"], proof["record"]["redeemed"]) == (True, "10000")
    assert "redeemed: 100 EUR" in read(network, "supply", "EUR")


def test_reserves(network: Network) -> None:
    assert cb(network, "set-reserve-requirement", "--tier", "2", "--ratio-ppm", "20000")["code"] == 0
    assert cb(network, "report-liabilities", "--amount", "5000", sender="bob")["code"] == 0
    bob = network.run("query", "dealer", "bob", "EUR")
    assert (bob["required"], bob["tier"], bob["active"]) == ("10000", 2, True)
    assert "required: 100 EUR" in read(network, "dealer", "bob", "EUR")
    transfer = ("tx", "transfer", "--from", "bob", "--to", "carol", *ASSET, "--wait")
    failed = network.run(*transfer, "--amount", "1350", code=1)
    assert failed["code_name"] == "INSUFFICIENT_AVAILABLE"
    assert len(network.run("query", "dealers", "EUR")["dealers"]) == 2
    assert bob["account"] in read(network, "dealers", "EUR")


def test_intraday_credit(network: Network) -> None:
    line = ("--account", "carol", "--limit", "1000", "--collateral", "GLD:400", "--signer", "carol")
    assert cb(network, "overdraft", *line)["code"] == 0
    unsigned = network.run("tx", "cb", "overdraft", "--from", "alice", *ASSET, *line[:4], "--wait", code=1)
    assert unsigned["code_name"] == "QUORUM_NOT_MET"
    paid = network.run("tx", "transfer", "--from", "carol", "--to", "bob", *ASSET, "--amount", "300", "--wait")
    assert paid["code"] == 0
    found = network.run("query", "credit-line", "carol", "EUR")
    assert (found["debt"], found["collateral"]) == ("4950", [{"asset": "GLD", "amount": "400"}])
    assert [row["debt"] for row in network.run("query", "credit-lines", "EUR")["credit_lines"]] == ["4950"]
    assert "4950" in read(network, "credit-lines", "EUR")
    assert "debt: 49.5 EUR" in read(network, "credit-line", "carol", "EUR")
    assert network.run("query", "supply", "EUR")["drawn"] == "4950"
    wrong = cb(network, "repay", "--amount", "1", sender="carol", code=1)
    assert wrong["code_name"] == "INSUFFICIENT_FUNDS"
    assert network.run("tx", "transfer", "--from", "bob", "--to", "carol", *ASSET, "--amount", "50", "--wait")["code"] == 0
    assert network.run("query", "supply", "EUR")["drawn"] == "0"
    assert cb(network, "close-overdraft", "--account", "carol", sender="carol")["code"] == 0
    missing = network.run("query", "credit-line", "carol", "EUR", code=2)
    assert "no credit line" in missing["error"]["message"]


def test_the_policy_rate(network: Network) -> None:
    assert cb(network, "set-rate", "--rate-ppm", "32500", "--from-time", str(int(time.time()) - 5), code=1)["code_name"] == "TOO_LATE"
    assert cb(network, "issue", "--dealer", "carol", "--amount", "1000000")["code"] == 0
    assert cb(network, "set-rate", "--rate-ppm", "1000000", "--from-time", "+2")["code"] == 0
    early = cb(network, "accrue", "--period", "2", code=1)
    assert early["code_name"] == "TOO_EARLY"
    deadline = time.monotonic() + 60
    while network.run("query", "rate", "EUR")["owed"] == "0":  # a million at 100 % a year: 3 EUR a second
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = int(network.run("query", "supply", "EUR")["supply"])
    assert cb(network, "accrue", "--period", "1")["code"] == 0
    supply = network.run("query", "supply", "EUR")
    assert int(supply["supply"]) - before == int(supply["accrued"]) > 0
    assert cb(network, "accrue", "--period", "1", code=1)["code_name"] == "PERIOD_ALREADY_ACCRUED"
    shown = read(network, "rate", "EUR")
    assert "rate: 100 % a year" in shown
    assert "periods accrued: 1" in shown
    assert "reserve ratio of tier 2: 2 %" in shown
    assert cb(network, "dismiss-dealer", "--account", "carol")["code"] == 0


def test_mistakes(network: Network) -> None:
    for command in (
        ("query", "supply", "NONE"),
        ("query", "rate", "NONE"),
        ("query", "dealer", "alice", "EUR"),
        ("query", "redemption", "EUR", "99"),
    ):
        assert network.run(*command, code=2)["error"]["message"]
    finer = cb(network, "issue", "--dealer", "bob", "--amount", "0.001", code=2)
    assert "finer" in finer["error"]["message"]
    wrong = cb(network, "inject", "--leg", "bob", code=2)
    assert "--leg alice:100" in wrong["error"]["hint"]
    with pytest.raises(ConfigError):
        read_time("tomorrow")
    assert read_time("1800000000") == 1_800_000_000
