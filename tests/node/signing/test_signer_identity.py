"""`qenex signer rotate-identity`: on a home alone, at mistakes and kills; and a real node that lets the new key in and the old one not."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from pathlib import Path

import pytest
import trio

from genesis.testnet import NetworkOptions
from node.audit.journal import Journal
from node.config import Home
from node.config_sections import RemoteSignerConfig
from node.keystore import Role, read_key_file
from node.node_key import NodeKeys, read_node_keys
from node.rpc.client import Client
from node.signing.home import open_identity
from node.testnet.files import create_network
from p2p.identity import NodeIdentity
from state.primitives.keys import KeyKind
from tests.node.rpc.live import no_passphrase
from tests.node.signing.kills import each_kill
from tests.node.signing.network import LAST, POLL_S, Network, run_command, voters, wait_for_vote
from tests.node.signing.test_commands import files_of, qenex

PLACE = f"{'a' * 40}@127.0.0.1:26670"
ROTATE = ("signer", "rotate-identity")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    create_network(tmp_path / "net", NetworkOptions(validators=1, base_port=29_000, time_ns=10**18, vote_key_kind=KeyKind.MLDSA44))
    genesis = tmp_path / "net" / "node0" / "genesis.json"
    qenex("signer", "init", "--home", tmp_path / "signer", "--genesis", genesis, "--node", PLACE, "--no-encrypt")
    return Home(tmp_path / "signer")


def steps(home: Home) -> list[tuple[str, str, str, str]]:
    Journal.open(home).close()
    entries = [json.loads(line) for line in home.audit_log_file.read_bytes().splitlines()]
    details = [entry["detail"] for entry in entries if entry["action"] == "key.rotate"]
    return [(detail["role"], detail["step"], detail["address"], detail["old_address"]) for detail in details]


def test_a_change_from_its_beginning_to_its_end(home: Home) -> None:
    old, voting, record = read_node_keys(home).id, home.validator_key_file.read_bytes(), home.signer_file.read_bytes()
    made = qenex(*ROTATE, "--home", home.root)
    new = made["new"]
    assert (made["step"], made["old"], made["node"]) == ("prepared", old, PLACE)
    assert stat.S_IMODE(home.next_node_key_file.stat().st_mode) == 0o600
    assert qenex(*ROTATE, "--home", home.root) == made  # it is shown again, not made again
    assert qenex("signer", "show", "--home", home.root)["id"] == old
    done = qenex(*ROTATE, "--home", home.root, "--activate")
    assert (done["step"], done["old"], done["new"]) == ("activated", old, new)
    assert qenex(*ROTATE, "--home", home.root, "--activate") == done
    assert qenex("signer", "show", "--home", home.root)["id"] == new == NodeIdentity(open_identity(home, no_passphrase)).id
    assert qenex(*ROTATE, "--home", home.root, "--forget")["old"] == [old]
    assert read_node_keys(home) == NodeKeys(new, "", ())
    assert (home.validator_key_file.read_bytes(), home.signer_file.read_bytes()) == (voting, record)
    assert steps(home) == [("signer", step, new, old) for step in ("prepared", "activated", "forgotten")]


def test_a_next_key_that_is_discarded(home: Home) -> None:
    old = read_node_keys(home).id
    new = qenex(*ROTATE, "--home", home.root)["new"]
    gone = qenex(*ROTATE, "--home", home.root, "--discard")
    assert (gone["step"], gone["old"], gone["new"]) == ("discarded", old, new)
    assert read_node_keys(home) == NodeKeys(old, "", ())


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("--activate",), "KEY_ROTATION"),
        (("--discard",), "KEY_ROTATION"),
        (("--forget",), "KEY_ROTATION"),
        (("--activate", "--forget"), "CONFIG"),
    ],
)
def test_mistakes(home: Home, words: tuple[str, ...], name: str) -> None:
    before = files_of(home.keys_dir)
    refused = qenex(*ROTATE, "--home", home.root, *words, code=2)
    assert (refused["name"], bool(refused["hint"])) == (name, True)
    assert files_of(home.keys_dir) == before


def test_a_home_of_a_node_is_refused(home: Home) -> None:
    node = home.root.parent / "net" / "node0"
    before = files_of(node)
    assert qenex(*ROTATE, "--home", node, code=2)["name"] == "HOME"
    assert files_of(node) == before


def test_a_signer_that_runs_is_left_alone(home: Home) -> None:
    qenex(*ROTATE, "--home", home.root)
    before = files_of(home.keys_dir)
    descriptor = os.open(home.signer_file, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # as a signer holds it
        refused = qenex(*ROTATE, "--home", home.root, "--activate", code=2)
    finally:
        os.close(descriptor)
    assert (refused["name"], refused["hint"]) == ("HOME", "stop the signer first")
    assert files_of(home.keys_dir) == before


@pytest.mark.parametrize("step", ["", "--activate"])
def test_killed_at_any_call(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A start finds a whole key, and the same command goes on."""
    old = read_node_keys(home).id
    if step:
        qenex(*ROTATE, "--home", home.root)
    words = (*ROTATE, *([step] if step else []))
    for copy, is_killed in each_kill(home, tmp_path, monkeypatch, lambda each: qenex(*words, "--home", each.root)):
        found = NodeIdentity(read_key_file(copy.node_key_file, no_passphrase, role=Role.NODE).key.seed).id
        assert found in {old, read_node_keys(copy).next_id or read_node_keys(copy).id}
        assert step or found == old
        again = qenex(*words, "--home", copy.root)
        assert again["old"] == old
        assert read_node_keys(copy).id == (again["new"] if step else old), is_killed


async def test_a_node_lets_the_new_key_in_and_the_old_one_not(tmp_path: Path) -> None:
    network = Network(tmp_path / "net")
    moved = network.move_keys()
    address, rotate = moved["validator"], (*ROTATE, "--home", network.signer_home)
    async with network.running() as client:
        network.start_signer()
        first = await wait_for_vote(client, address)
        new = (await run_command(*rotate))["new"]
        assert (await run_command(*rotate, "--activate", code=2))["error"]["name"] == "HOME"
        network.kill_signer()
        assert (await run_command(*rotate, "--activate"))["new"] == new
        network.start_signer()  # the node knows the old key only
        height = await client.height()
        while await client.height() < height + 4:
            await trio.sleep(POLL_S)
        assert address not in await voters(client, height + 3)
        await network.stop(LAST)
        network.change(LAST, signer=RemoteSignerConfig(listen=network.signer_place, id=new, validator=address))
        await network.start(LAST)
        assert await wait_for_vote(client, address, after=height + 3) > first
        async with Client(network.url(LAST)) as own:
            assert (await own.call("node_metrics"))["metrics"]["qenex_signer_connected"] == 1.0
        assert (await run_command(*rotate, "--forget"))["old"] == [moved["id"]]
