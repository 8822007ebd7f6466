"""`qenex keys rotate-validator --discard`: only keys that nobody knows of are deleted, whatever happens meanwhile."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from genesis.document import parse
from genesis.testnet import NetworkOptions
from node.cli import asking
from node.config import Home
from node.keystore import read_key_file, read_key_info, unfinished_file
from node.signer import Signer
from node.signing.key_files import address_of, open_ring
from node.signing.rotation import prepare_next
from node.testnet.files import create_network
from state.primitives.keys import KeyKind
from tests.node.rpc.live import no_passphrase
from tests.node.signing.keys import request_of, vote
from tests.node.signing.kills import each_kill
from tests.node.signing.test_commands import files_of, qenex

DISCARD = ("keys", "rotate-validator", "--discard", "--home")


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with next keys."""
    root = tmp_path_factory.mktemp("pattern") / "net"
    create_network(root, NetworkOptions(validators=1, base_port=29_000, time_ns=10**18, vote_key_kind=KeyKind.MLDSA44))
    qenex("keys", "rotate-validator", "--home", root / "node0", "--out", root / "operation.json")
    return root / "node0"


@pytest.fixture
def home(pattern: Path, tmp_path: Path) -> Home:
    shutil.copytree(pattern, tmp_path / "node0")
    return Home(tmp_path / "node0")


@pytest.fixture
def network(home: Home, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the node that is asked knows: `chain`, `catching_up`, `validator`."""
    known: dict[str, Any] = {"chain": parse(home.genesis_file.read_bytes()).hash, "catching_up": False, "validator": None}

    class Client:
        async def chain_id(self) -> bytes:
            return bytes(known["chain"])

        async def call(self, method: str, **params: str) -> dict[str, Any]:
            if method == "status":
                return {"sync_info": {"catching_up": known["catching_up"]}}
            assert (method, params) == ("stake_validator", {"validator": next_address(home)})
            return {"validator": known["validator"]}

    def ask_node(url: str, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        return trio.run(ask, Client())

    monkeypatch.setattr(asking, "ask_node", ask_node)
    return known


def next_address(home: Home) -> str:
    return address_of(read_key_info(home.next_key_file)).hex().upper()


def voting_files(home: Home) -> dict[str, bytes]:
    found = files_of(home.keys_dir) | {name: data for name, data in files_of(home.data_dir).items() if name.startswith("signer")}
    assert found
    return found


def test_next_keys_are_gone_and_others_can_be_made(home: Home, network: dict[str, Any]) -> None:
    new = next_address(home)
    done = qenex(*DISCARD, home.root)
    assert (done["new"], done["discarded"]) == (new, True)
    assert sorted(voting_files(home)) == ["node.json", "signer_record", "validator.json"]
    entry = json.loads(home.audit_log_file.read_bytes().splitlines()[-1])
    assert entry["action"] == "key.rotate"
    assert entry["detail"] == {"role": "validator", "step": "discarded", "address": new, "old_address": done["old"]}
    again = qenex(*DISCARD, home.root, code=2)
    assert (again["name"], bool(again["hint"])) == ("KEY_ROTATION", True)
    assert prepare_next(home, network["chain"], no_passphrase, is_resumed=False).address.hex().upper() == done["old"]


def taken(home: Home, network: dict[str, Any]) -> None:
    fcntl.flock(os.open(home.next_signer_file, os.O_RDWR), fcntl.LOCK_EX)


def told(home: Home, network: dict[str, Any]) -> None:
    network["validator"] = {"moniker": "node0"}


def behind(home: Home, network: dict[str, Any]) -> None:
    network["catching_up"] = True


def elsewhere(home: Home, network: dict[str, Any]) -> None:
    network["chain"] = b"x" * 32


def signed(home: Home, network: dict[str, Any]) -> None:
    keys = read_key_file(home.next_key_file, no_passphrase)
    with closing(Signer.open(home.next_signer_file, network["chain"], keys.key, keys.pq_key)) as signer:
        signer.sign(request_of(vote(signer.address, 5)))


def half_taken_over(home: Home, network: dict[str, Any]) -> None:
    home.signer_file.rename(home.data_dir / "signer_record.retired-1")


def without_a_key(home: Home, network: dict[str, Any]) -> None:
    home.validator_key_file.rename(home.keys_dir / "validator.json.retired-1")


def a_linked_record(home: Home, network: dict[str, Any]) -> None:
    home.next_signer_file.unlink()
    home.next_signer_file.symlink_to(home.signer_file)


MISTAKES: list[tuple[str, Callable[[Home, dict[str, Any]], object], str, str]] = [
    ("a process has them", taken, "KEY_ROTATION", "has taken the next keys"),
    ("the ledger has them", told, "KEY_ROTATION", "the ledger has the keys"),
    ("the node is behind", behind, "CONFIG", "catching up"),
    ("another network's node", elsewhere, "CONFIG", "another network"),
    ("they have signed", signed, "KEY_ROTATION", "have signed"),
    ("they are being taken over", half_taken_over, "KEY_ROTATION", "being ended"),
    ("they are being taken over, earlier", without_a_key, "KEY_FILE", "no key file"),
    ("the record is a link", a_linked_record, "KEY_ROTATION", "cannot open"),
]


@pytest.mark.parametrize(("spoil", "name", "message"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_refused(
    home: Home, network: dict[str, Any], spoil: Callable[[Home, dict[str, Any]], object], name: str, message: str
) -> None:
    spoil(home, network)
    before = voting_files(home)
    error = qenex(*DISCARD, home.root, code=2)
    assert (error["name"], bool(error["hint"])) == (name, True), error
    assert message in error["message"]
    assert voting_files(home) == before


def test_without_a_node_nothing_is_deleted(home: Home) -> None:
    before = voting_files(home)
    assert qenex(*DISCARD, home.root, "--node", "http://127.0.0.1:1", code=2)["name"] == "CLIENT"
    for words in (("--resume",), ("--out", home.root / "x"), ("--from", "owner0")):
        assert qenex(*DISCARD, home.root, *words, code=2)["name"] == "CONFIG"
    assert voting_files(home) == before


def test_killed_while_discarding(
    home: Home, network: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.link(home.next_key_file, unfinished_file(home.next_key_file))  # as a kill while making leaves it

    def run(copy: Home) -> None:
        qenex(*DISCARD, copy.root)

    for copy, _ in each_kill(home, tmp_path, monkeypatch, run):
        if copy.next_signer_file.exists():
            run(copy)
        assert sorted(voting_files(copy)) == ["node.json", "signer_record", "validator.json"]
        ring = open_ring(copy, network["chain"], lambda path: read_key_file(path, no_passphrase))
        assert ring is not None and len(ring.addresses) == 1
        ring.close()
