"""A real network of four: one node gets a new key, is let in under its new id, and every validator signs again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from genesis import testnet
from node.config import Home
from node.keystore import Role, read_key_file
from node.node_key import read_node_keys
from node.rpc.client import Client
from node.testnet.watch import ask
from state.primitives.ids import parse_address
from state.transaction import call
from tests.node.rpc.live import no_passphrase
from tests.node.signing.network import LAST, POLL_S, Network, run_command, voters

VOTING_S = 5  # the least that genesis allows


async def decide(network: Network, client: Client, file: Path) -> None:
    """A proposal of the file's operation, by the command that the answer names; three owners vote, anybody has it executed."""
    send = ("--from", "alice", "--home", network.root, "--node", network.url())
    number = int((await run_command("tx", "gov", "propose", "--file", file, "--expedited", *send, "--wait"))["proposal"])
    for name in ("owner0", "owner1", "owner2"):
        key = read_key_file(network.root / "keys" / f"{name}.json", no_passphrase, role=Role.USER)
        account = parse_address(key.account)
        vote = call("gov.vote", proposal=number, weights=(1_000_000, 0, 0, 0))
        outcome = await client.send(await client.sign_operations([vote], account, [(account, 0, key.key)]))
        assert outcome.code == 0, outcome
    found: dict[str, Any] = {"status": "voting"}
    while found["status"] == "voting":
        await trio.sleep(POLL_S)
        found = (await client.call("gov_proposal", proposal=str(number)))["proposal"]
    assert found["status"] == "passed"
    while time.time() <= found["ready"]:
        await trio.sleep(POLL_S)
    assert (await run_command("tx", "gov", "execute", number, *send, "--wait"))["code"] == 0


async def peers_of(network: Network, number: int) -> set[str]:
    async with Client(network.url(number)) as client:
        return {peer["node_info"]["id"] for peer in (await client.call("net_info"))["peers"]}


async def wait_for_all(client: Client, network: Network) -> None:
    """The next height that every validator has signed."""
    everybody = {node.validator for node in network.manifest.nodes}
    height = await client.height()
    while True:
        height += 1
        while await client.height() < height + 1:
            await trio.sleep(POLL_S)
        if await voters(client, height) == everybody:
            return


async def test_a_node_gets_a_new_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testnet, "VOTING_EXPEDITED_S", VOTING_S)
    monkeypatch.setattr(testnet, "DELAY_EXPEDITED_S", 0)
    monkeypatch.delenv("QENEX_NODE", raising=False)
    network = Network(tmp_path / "net")
    home, rotate = Home(network.home()), ("keys", "rotate-node", "--home", network.home())
    old = network.manifest.nodes[LAST].node_id
    admit, remove = tmp_path / "admit.json", tmp_path / "remove.json"
    async with network.running() as client:
        made = await run_command(*rotate, "--out", admit)
        new = made["new"]
        assert made["old"] == old
        running = await run_command(*rotate, "--activate", "--node", network.url(), code=2)
        assert running["error"]["name"] == "HOME"
        early = await run_command(*rotate, "--forget", code=2)
        assert early["error"]["name"] == "KEY_ROTATION"
        await wait_for_all(client, network)
        await network.stop(LAST)
        for where in ((), ("--node", network.url())):  # its own chain says so, and another node does
            refused = await run_command(*rotate, "--activate", *where, code=2)
            assert (refused["error"]["name"], new in refused["error"]["message"]) == ("KEY_ROTATION", True)
        await decide(network, client, admit)
        done = await run_command(*rotate, "--activate", "--node", network.url(), "--out", remove)
        assert (done["new"], done["admitted"]) == (new, True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(decide, network, client, remove)  # the vote takes its time
            await network.start(LAST)
            for number in range(LAST):
                while new not in await peers_of(network, number):
                    await trio.sleep(POLL_S)
                assert old not in await peers_of(network, number)
            await wait_for_all(client, network)
            async with Client(network.url(LAST)) as own:
                assert (await own.call("status"))["node_info"]["id"] == new
            assert (await ask(network.manifest.nodes[LAST], network.root)).p2p.partition("@")[0] == new
        assert (await run_command(*rotate, "--forget", "--node", network.url()))["old"] == [old]
        nodes = (await client.call("record", path="/nodes"))["record"]["nodes"]
        assert new in nodes and old not in nodes
        await wait_for_all(client, network)
        assert new in await peers_of(network, 0)
    assert read_node_keys(home).retired == ()
    assert json.loads(remove.read_text())["identity"] == old
