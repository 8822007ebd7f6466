"""Governance from the command line, against a real network: four validators admit a fifth, and send it away again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from node.testnet.processes import describe_process
from tests.node.cli.test_cli_network import Network
from tests.node.ports import free_base_port

NOBODY = "00" * 20


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    found = Network(tmp_path_factory.mktemp("user"), free_base_port())
    found.run(
        "testnet", "up", "--validators", "4", "--base-port", str(found.base_port), "--block-interval", "1", "--detach",
    )  # fmt: skip
    yield found
    pids = found.run("testnet", "down")["stopped"]
    assert all(describe_process(pid) == ("", "") for pid in pids)


def gov(network: Network, command: str, *options: str, sender: str = "alice", code: int = 0) -> Any:
    return network.run("tx", "gov", command, *options, "--from", sender, "--wait", code=code)


def wait_until(is_true: Callable[[], Any], seconds: float = 240) -> Any:  # two cores may have much else to do
    deadline = time.monotonic() + seconds
    while not (found := is_true()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found


def status_of(network: Network, number: str) -> str:
    return str(network.run("query", "proposal", number)["status"])


def decide(network: Network, *ops: dict[str, Any]) -> str:
    """An expedited proposal of three owners; its number once it is executed."""
    texts = [part for op in ops for part in ("--op", json.dumps(op))]
    number = str(gov(network, "propose", *texts, "--expedited")["proposal"])
    for owner in ("owner0", "owner1", "owner2"):
        assert network.run("tx", "gov", "vote", number, "--option", "yes", "--from", owner)["code"] == 0  # all in one block or two
    wait_until(lambda: status_of(network, number) == "passed")
    ready = network.run("query", "proposal", number)["ready"]
    wait_until(lambda: time.time() > ready + 0.5)
    assert gov(network, "execute", number, sender="bob")["code"] == 0
    return number


class Fifth:
    """A home made by its operator, and its process."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.home = network.root / "fifth"
        first = network.root / "testnet" / "node0"
        made = network.run("init", "--home", str(self.home), "--moniker", "fifth", "--genesis", str(first / "genesis.json"), "--no-encrypt")
        self.node_id, self.validator = made["node_id"], made["validator_address"]
        self.rpc = f"127.0.0.1:{network.base_port + 61}"
        self.peers = []
        for index in range(4):
            url = f"http://127.0.0.1:{network.base_port + 10 * index + 1}"
            node_id = httpx2.get(f"{url}/status").json()["result"]["node_info"]["id"]
            self.peers.append(f"{node_id}@127.0.0.1:{network.base_port + 10 * index}")
        config = self.home / "config.toml"
        text = config.read_text()
        for old, new in (
            ("127.0.0.1:26656", f"127.0.0.1:{network.base_port + 60}"),
            ("127.0.0.1:26657", self.rpc),
            ("127.0.0.1:26660", ""),
            ("peers = []", f"peers = {json.dumps(self.peers)}"),
        ):
            assert old in text
            text = text.replace(old, new)
        config.write_text(text)
        self.command = [sys.executable, "-m", "node.cli.main", "start", "--home", str(self.home)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "log").open("wb") as log:
            self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=log)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(120) == 0

    def get(self, call: str) -> Any:
        try:
            return httpx2.get(f"http://{self.rpc}/{call}", timeout=240).json()["result"]
        except httpx2.HTTPError:
            return None

    def peer_count(self) -> int:
        found = self.get("net_info")
        return 0 if found is None else int(found["n_peers"])


def height_of(network: Network) -> int:
    return int(httpx2.get(f"{network.node}/status").json()["result"]["sync_info"]["latest_block_height"])


def voters(network: Network) -> set[str]:
    return {row["address"] for row in network.run("query", "validators")["validators"]}


@contextmanager
def paused(network: Network, index: int) -> Iterator[None]:
    """A node that stands still."""
    pid = network.run("testnet", "status")["nodes"][index]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.timeout(480)
def test_a_fifth_validator_is_admitted_votes_and_is_sent_away(network: Network) -> None:
    fifth = Fifth(network)
    network.run("keys", "new", "fifth", "--no-encrypt")
    owner = network.run("keys", "show", "fifth")["account"] or ""
    created = network.run("tx", "create-account", "--from", "alice", "--key", "fifth", "--wait")
    assert created["code"] == 0
    owner = network.run("query", "account", "fifth")["address"]
    network.run("tx", "transfer", "--from", "alice", "--to", "fifth", "--amount", "2000000", "--asset", "QNX", "--wait")
    fifth.start()
    try:
        wait_until(lambda: fifth.get("status"))
        register = ("--keys", str(fifth.home / "keys" / "validator.json"), "--amount", "1000000", "--moniker", "fifth")
        refused = network.run("tx", "stake", "register", "--from", "fifth", *register, "--wait", code=1)
        assert (refused["code_name"], fifth.peer_count()) == ("NO_PERMISSION", 0)
        decide(
            network,
            {"op": "gov.admit", "kind": "node", "identity": fifth.node_id},
            {"op": "gov.admit", "kind": "validator", "identity": "fifth"},
        )
        assert network.run("query", "proof", f"/admission/node/{fifth.node_id}")["proof_ok"]
        assert network.run("query", "proof", f"/admission/validator/{owner}")["exists"]
        wait_until(lambda: fifth.peer_count() == 4)
        height = height_of(network)
        wait_until(lambda: int(fifth.get("status")["sync_info"]["latest_block_height"]) >= height)
        assert network.run("tx", "stake", "register", "--from", "fifth", *register, "--wait")["code"] == 0
        wait_until(lambda: fifth.validator in voters(network))
        with paused(network, 3):  # four of five are needed: without the fifth's votes there would be no block
            start = height_of(network)
            wait_until(lambda: height_of(network) > start + 4)
        assert len(network.run("query", "validators")["registered"]) == 5
        decide(
            network,
            {"op": "gov.remove", "kind": "node", "identity": fifth.node_id},
            {"op": "gov.remove", "kind": "validator", "identity": "fifth"},
        )
        wait_until(lambda: fifth.peer_count() == 0)
        wait_until(lambda: fifth.validator not in voters(network))
        assert not network.run("query", "proof", f"/admission/validator/{owner}")["exists"]
        before, elsewhere = fifth.get("status")["sync_info"]["latest_block_height"], height_of(network)
        wait_until(lambda: height_of(network) > elsewhere + 3)
        assert (fifth.peer_count(), fifth.get("status")["sync_info"]["latest_block_height"]) == (0, before)
    finally:
        fifth.stop()
