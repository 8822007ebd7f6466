"""Every command of governance and of groups against a real network of one validator, and what is refused before anything is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from node.cli.gov import read_weights
from node.cli.main import main
from node.cli.op_json import read_ops
from node.testnet.processes import describe_process
from state.primitives.errors import ConfigError
from tests.node.cli.test_cli_gov import gov, status_of, wait_until
from tests.node.cli.test_cli_network import Network
from tests.node.ports import free_base_port

JAIL = {"op": "gov.set_param", "group": "stake", "key": "jail_s", "value": "11"}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    found = Network(tmp_path_factory.mktemp("user"), free_base_port())
    found.run(
        "testnet", "up", "--validators", "1", "--base-port", str(found.base_port), "--block-interval", "0.1", "--detach"
    )
    yield found
    (pid,) = found.run("testnet", "down")["stopped"]
    assert describe_process(pid) == ("", "")


def decide(network: Network, *ops: dict[str, Any]) -> str:
    texts = [part for op in ops for part in ("--op", json.dumps(op))]
    number = str(gov(network, "propose", *texts, "--expedited", "--title", "a test")["proposal"])
    assert gov(network, "vote", number, "--option", "yes", sender="owner0")["code"] == 0
    wait_until(lambda: status_of(network, number) == "passed")
    ready = network.run("query", "proposal", number)["ready"]
    wait_until(lambda: time.time() > ready + 0.3)
    assert gov(network, "execute", number)["code"] == 0
    return number


def text_of(network: Network, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments, "--node", network.node]) == 0
    return capsys.readouterr().out


def test_deposits_votes_and_cancelling(network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "ops.json"
    file.write_text(json.dumps([JAIL, {"op": "amm.repair", "pool": "EUR/QNX", "amount_a": "0", "amount_b": "0.5", "plan_hash": ""}]))
    few = gov(network, "propose", "--op", json.dumps(JAIL), "--deposit", "249.999999", code=1)
    assert few["code_name"] == "DEPOSIT_TOO_SMALL"
    refused = network.run("tx", "gov", "propose", "--file", str(file), "--from", "alice", code=2)
    assert refused["error"]["message"] == "there is no asset EUR"
    file.write_text(json.dumps([JAIL]))
    made = gov(network, "propose", "--file", str(file), "--deposit", "250")
    number = made["proposal"]
    assert status_of(network, number) == "deposit"
    assert "deposit of qx1" in text_of(network, capsys, "query", "proposal", number)
    assert gov(network, "deposit", number, "--amount", "750.5", sender="bob")["code"] == 0
    assert status_of(network, number) == "voting"
    parts = ("--weights", "yes=600000,abstain=400000")
    assert gov(network, "vote", number, *parts, sender="alice", code=1)["code_name"] == "NOT_A_VOTER"
    assert gov(network, "vote", number, *parts, sender="owner0")["code"] == 0
    shown = network.run("query", "proposal", number)
    assert (shown["vote"]["yes"], shown["vote"]["would"], len(shown["votes"])) == ("6000000", "passed", 1)
    text = text_of(network, capsys, "query", "proposal", number)
    assert "gov.set_param group=stake key=jail_s value=11" in text
    assert "would be passed" in text and "yes 60 %, abstain 40 %" in text
    assert gov(network, "cancel", number, sender="bob", code=1)["code_name"] == "NO_PERMISSION"
    assert gov(network, "cancel", number)["code"] == 0
    assert status_of(network, number) == "cancelled"
    assert gov(network, "execute", number, code=1)["code_name"] == "ASSERT_FAILED"
    assert network.run("query", "proof", f"/proposal/{number}")["proof_ok"]
    overview = network.run("query", "governance")
    assert (overview["totals"]["held"], overview["params"]["voting_expedited_s"]) == ("0", 10)
    assert "refunded 1000.5" in text_of(network, capsys, "query", "governance")
    assert "cancelled" in text_of(network, capsys, "query", "proposals")


@pytest.mark.timeout(480)
def test_a_committee_stops_a_module_and_lets_it_run(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    made = network.run("tx", "group", "create", "--member", "alice:2", "--member", "bob", "--threshold", "3", "--from", "alice", "--wait")
    group = made["group"]
    failed = network.run("query", "proposal", decide(network, {**JAIL, "value": -1}))
    assert (failed["status"], failed["failure"]["code_name"]) == ("failed", "PARAM_OUT_OF_RANGE")
    decide(network, JAIL, {"op": "gov.set_param", "group": "gov", "key": "emergency_group", "value": group})
    assert network.run("query", "proof", "/params/stake")["record"]["jail_s"] == 11
    breaker = ("--module", "asset", "--function", "asset.transfer", "--second", "bob")
    transfer = ("tx", "transfer", "--from", "carol", "--to", "bob", "--amount", "1", "--asset", "QNX", "--wait")
    assert gov(network, "trip", *breaker, "--for", "60", code=0)["code"] == 0
    assert network.run(*transfer, code=1)["code_name"] == "MODULE_PAUSED"
    assert "stopped: asset.transfer" in text_of(network, capsys, "query", "governance")
    assert gov(network, "reset", *breaker)["code"] == 0
    assert network.run(*transfer)["code"] == 0
    # and the group acts as an account
    network.run("tx", "transfer", "--from", "carol", "--to", group, "--amount", "5", "--asset", "QNX", "--wait")
    pay = json.dumps({"op": "asset.transfer", "asset": "QNX", "to": "carol", "amount": "1.5"})
    place = ("--group", group, "--from")
    proposed = network.run("tx", "group", "propose", "--op", pay, *place, "alice", "--wait")
    assert proposed["proposal"] == "0"
    early = network.run("tx", "group", "execute", "--proposal", "0", *place, "carol", "--wait", code=1)
    assert early["code_name"] == "ASSERT_FAILED"
    assert network.run("tx", "group", "approve", "--proposal", "0", *place, "bob", "--wait")["code"] == 0
    assert "asset.transfer" in text_of(network, capsys, "query", "group", group)
    assert network.run("tx", "group", "execute", "--proposal", "0", *place, "carol", "--wait")["code"] == 0
    assert network.run("query", "group", group, "--proposal", "0")["status"] == "executed"
    assert network.run("query", "account", group)["holdings"]["QNX"] == "3500000"
    assert network.run("query", "account", group)["kind"] == "group"


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("[]", "is no operation"),
        ('{"op": "gov.nothing"}', "there is no operation"),
        ('{"op": "gov.set_param", "group": "stake", "key": "jail_s"}', "value is missing"),
        ('{"op": "gov.set_param", "group": "stake", "key": "jail_s", "value": "1", "x": 1}', "has no field x"),
        ('{"op": "gov.set_param", "group": 1, "key": "jail_s", "value": "1"}', "group is not a name"),
        ('{"op": "gov.upgrade", "version": true, "height": 1, "release": ""}', "version is not a number"),
        ('{"op": "gov.admit", "kind": "node", "identity": "zz"}', "there is no key zz"),
        ('{"op": "gov.admit", "kind": "thing", "identity": "' + "00" * 20 + '"}', "an admission is of"),
        ('{"op": "amm.collect", "pool": "QNX/EUR"}', "the smaller code first"),
        ('{"op": "account.create", "address": "alice", "kind": 1, "keys": [], "thresholds": []}', "cannot be written here"),
        ("{", "is not JSON"),
    ],
)
def test_operations_that_cannot_be_written(network: Network, op: str, words: str) -> None:
    refused = network.run("tx", "gov", "propose", "--op", op, "--from", "alice", code=2)
    assert words in refused["error"]["message"]


def test_what_is_not_there(network: Network) -> None:
    assert "there is no proposal 77" in network.run("query", "proposal", "77", code=2)["error"]["message"]
    assert "there is no group" in network.run("query", "group", "alice", code=2)["error"]["message"]
    assert "--op JSON" in network.run("tx", "gov", "propose", "--from", "alice", code=2)["error"]["hint"]
    assert "cannot read" in network.run("tx", "gov", "propose", "--file", "/nowhere", "--from", "alice", code=2)["error"]["message"]
    weight = network.run("tx", "group", "create", "--member", "alice:x", "--threshold", "1", "--from", "alice", code=2)
    assert "weight" in weight["error"]["message"]


@pytest.mark.parametrize("pair", [(None, None), ("yes", "yes=1"), (None, "yes=1"), (None, "maybe=1000000"), (None, "yes=-1")])
def test_votes_that_are_none(pair: tuple[str | None, str | None]) -> None:
    with pytest.raises(ConfigError):
        read_weights(*pair)
    assert read_weights("veto", None) == (0, 0, 0, 1_000_000)


def test_operations_from_the_command_line_and_a_file_stand_in_that_order(tmp_path: Path) -> None:
    file = tmp_path / "ops.json"
    file.write_text('{"op": "b"}')
    assert read_ops(('{"op": "a"}',), file) == [{"op": "a"}, {"op": "b"}]


def test_the_rpc_refuses_what_is_no_number_and_no_group(network: Network) -> None:
    def get(call: str) -> Any:
        return httpx2.get(f"{network.node}/{call}").json()

    for call in ("gov_proposals?start=-1", "gov_proposals?limit=101", "gov_proposal?proposal=-1", 'gov_group?group="x"'):
        assert get(call)["error"]["code"] == -32602, call
    address = network.run("query", "account", "alice")["address"]
    assert get(f'gov_group?group="{address}"&proposal=-2')["error"]["code"] == -32602
    assert get(f'gov_group?group="{address}"')["result"]["group"] is None
    assert get("gov_proposal?proposal=99")["result"]["proposal"] is None
    assert set(get("gov_overview")["result"]) == {"params", "totals", "open", "breakers", "rule_sets", "height"}
