"""A real signer process at a real network of four: its votes, its death, its new keys."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import trio

from genesis import testnet
from node.config import Home
from node.rpc.client import Client
from node.signer_record import peek_record
from state.primitives.errors import PortInUseError
from tests.node.rpc.live import run_node
from tests.node.signing.network import LAST, POLL_S, Network, run_command, set_of, voters, wait_for_calm, wait_for_vote

KILLS = 20
CALM_S = 40.0


async def require_one_history(network: Network, client: Client) -> None:
    """No block has evidence, and all nodes have the same blocks."""
    height = await client.height()
    for number in range(height - 1, 0, -1):
        assert (await client.call("block", height=str(number)))["block"]["evidence"]["evidence"] == []
    async with Client(network.url(LAST)) as other:
        while await other.height() < height:
            await trio.sleep(POLL_S)
        found = [(await each.call("block", height=str(height)))["block_id"] for each in (client, other)]
    assert found[0] == found[1]


async def test_a_validator_whose_keys_are_elsewhere(tmp_path: Path) -> None:
    network = Network(tmp_path / "net")
    made = network.move_keys()
    address = made["validator"]
    assert not Home(network.home()).validator_key_file.exists()
    async with network.running() as client:
        assert network.nursery is not None
        network.nursery.start_soon(network.load)
        while await client.height() < 2:  # the others go on without it
            await trio.sleep(POLL_S)
        network.start_signer()
        first = await wait_for_vote(client, address)
        network.kill_signer()
        height = await client.height()
        while await client.height() < height + 3:
            await trio.sleep(POLL_S)
        assert address not in await voters(client, height + 2)
        network.start_signer()
        again = await wait_for_vote(client, address, after=height + 2)
        assert again > first
        await require_one_history(network, client)
        async with Client(network.url(LAST)) as own:
            figures = (await own.call("node_metrics"))["metrics"]
        assert figures["qenex_signer_connected"] == 1.0
        assert figures["qenex_signer_seconds_count"] > 2 and figures["qenex_signer_seconds_sum"] > 0
        shown = await run_command("signer", "show", "--home", network.signer_home)
        assert shown["keys"][0]["address"] == address
        assert shown["keys"][0]["height"] >= again


async def test_a_change_of_keys_that_are_elsewhere(tmp_path: Path) -> None:
    """The signer's keys are changed while all run; the node hears of them, and the old ones are set aside in the signer's home."""
    network = Network(tmp_path / "net")
    old = network.move_keys()["validator"]
    home = Home(network.signer_home)
    async with network.running() as client:
        network.start_signer()
        await wait_for_vote(client, old)
        keys = ("--from", f"owner{LAST}", "--keys-home", network.root, "--node", network.url())
        done = await run_command("keys", "rotate-validator", "--home", home.root, *keys)
        assert (done["code"], done["old"], done["running"]) == (0, old, True)
        voted = await wait_for_vote(client, done["new"], after=done["height"])
        for height in range(done["height"], voted + 1):
            assert len({old, done["new"]} & await voters(client, height)) <= 1
        while home.next_key_file.exists():
            await trio.sleep(POLL_S)
        assert (home.keys_dir / "validator.json.retired-1").exists()
        assert peek_record(home.signer_file).address.hex().upper() == done["new"]
        assert old not in await set_of(client, await client.height())
        await network.stop(LAST)  # the node's settings still name the address of before
        await network.start(LAST)
        await wait_for_vote(client, done["new"], after=await client.height())


async def test_a_change_of_keys_without_downtime(tmp_path: Path) -> None:
    """Of a node that holds its own keys, under load: at most two votes are missed, both keys never vote at one height.

    Blocks are not too fast, so that few votes are missed because the machine has other work.
    """
    network = Network(tmp_path / "net", interval_ms=600)
    old = network.manifest.nodes[LAST].validator
    home = Home(network.home())
    out = tmp_path / "operation.json"
    async with network.running() as client:
        assert network.nursery is not None
        network.nursery.start_soon(network.load)
        await wait_for_vote(client, old)
        prepared = await run_command("keys", "rotate-validator", "--home", home.root, "--out", out)
        new = prepared["new"]
        assert prepared["running"] is True
        again = await run_command("keys", "rotate-validator", "--home", home.root, "--out", tmp_path / "2", code=2)
        assert again["error"]["name"] == "KEY_ROTATION"
        await wait_for_calm(client, 3, CALM_S)
        send = ("tx", "stake", "rotate-key", "--from", f"owner{LAST}", "--home", network.root, "--node", network.url(), "--wait")
        done = await run_command(*send, "--operation", out)
        assert done["code"] == 0
        height = done["height"]
        while await client.height() < height + 8:
            await trio.sleep(POLL_S)
        others = [node.validator for node in network.manifest.nodes[:LAST]]
        missed, who = dict.fromkeys((*others, "ours"), 0), []
        for number in range(height, height + 7):
            signed = await voters(client, number)
            found = signed & {old, new}
            assert len(found) <= 1
            assert found <= await set_of(client, number)
            who += sorted(found)
            for name in missed:
                missed[name] += not found if name == "ours" else name not in signed
        assert missed["ours"] <= 2 + max(missed[name] for name in others)  # a busy machine is late with anybody's votes
        assert who[-1] == new and who == sorted(who, key=(old, new).index)
        assert new in await set_of(client, height + 2) and old not in await set_of(client, height + 2)
        while home.next_key_file.exists():
            await trio.sleep(POLL_S)
        await network.stop(LAST)  # and a restart afterwards
        await network.start(LAST)
        height = await client.height()
        await wait_for_vote(client, new, after=height)
        async with Client(network.url(LAST)) as own:
            assert (await own.call("status"))["validator_info"]["address"] == new
        back = await run_command(*send, "--validator", f"node{LAST}", "--keys", home.keys_dir / "validator.json.retired-1", code=1)
        assert back["code_name"] in ("ROTATION_PENDING", "ASSERT_FAILED")  # an old key never comes back
        await require_one_history(network, client)
    assert peek_record(home.data_dir / "signer_record.retired-1").address.hex().upper() == old
    assert peek_record(home.signer_file).address.hex().upper() == new


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    network = Network(tmp_path / "net")
    network.move_keys()
    host, _, port = network.signer_place.partition(":")
    listeners = await trio.open_tcp_listeners(int(port), host=host)
    with pytest.raises(ExceptionGroup) as raised, trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_node, network.home())
    assert raised.group_contains(PortInUseError, match=port)
    for listener in listeners:
        await listener.aclose()


@pytest.mark.drill
async def test_the_signer_killed_twenty_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 at random moments under load: no double signature, the network goes on, the validator votes again each time."""
    monkeypatch.setattr(testnet, "DOWNTIME_BLOCKS", 10_000)  # in a hundred blocks it misses half, and would be jailed for it
    network = Network(tmp_path / "net")
    address = network.move_keys()["validator"]
    chance = random.Random(11)
    missed: list[Any] = []
    async with network.running() as client:
        assert network.nursery is not None
        network.nursery.start_soon(network.load)
        network.start_signer()
        height = await wait_for_vote(client, address)
        for _ in range(KILLS):
            await trio.sleep(chance.uniform(0.05, 1.5))
            network.kill_signer()
            height = await client.height()
            network.start_signer()
            missed.append(await wait_for_vote(client, address, after=height) - height)
        await require_one_history(network, client)
    assert len(missed) == KILLS
