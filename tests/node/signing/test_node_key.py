"""`qenex keys rotate-node` on homes without a network: every step, every mistake, and a kill before every call that changes the disk."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from genesis.document import Document, parse
from genesis.testnet import NetworkOptions
from node.audit.journal import Journal
from node.cli import asking
from node.config import Home, load_config, render_config
from node.files import RealFiles
from node.keystore import KeySet, Role, new_seed, read_key_file, read_key_info, unfinished_file, write_key_file
from node.maintenance.shadow import hold_database
from node.node_key import NodeKeys, read_node_keys, retired_file
from node.opening import open_store
from node.testnet import processes
from node.testnet.files import create_network
from p2p.identity import NodeIdentity
from state.primitives.keys import KeyKind, PrivateKey
from tests.node.signing.kills import each_kill
from tests.node.signing.test_commands import files_of, qenex

URL = "http://127.0.0.1:1"
ROTATE = ("keys", "rotate-node")


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pattern") / "net"
    create_network(root, NetworkOptions(validators=1, base_port=29_000, time_ns=10**18, vote_key_kind=KeyKind.MLDSA44))
    return root / "node0"


@pytest.fixture(autouse=True)
def _nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QENEX_NODE", raising=False)


@pytest.fixture
def home(pattern: Path, tmp_path: Path) -> Home:
    shutil.copytree(pattern, tmp_path / "node0")
    return Home(tmp_path / "node0")


def rotate(home: Home, *words: object, code: int = 0) -> dict[str, Any]:
    return qenex(*ROTATE, "--home", home.root, *words, code=code)


def actions(home: Home) -> list[tuple[str, str, str]]:
    """What the audit log has about keys: (step, new, old)."""
    Journal.open(home).close()
    entries = [json.loads(line) for line in home.audit_log_file.read_bytes().splitlines()]
    details = [entry["detail"] for entry in entries if entry["action"] == "key.rotate"]
    assert {detail["role"] for detail in details} <= {"node"}
    return [(detail["step"], detail["address"], detail["old_address"]) for detail in details]


@contextmanager
def answering(monkeypatch: pytest.MonkeyPatch, document: Document, *admitted: str) -> Iterator[list[str]]:
    """A node of that network which admits those ids; the paths that it was asked for."""
    asked: list[str] = []

    class Client:
        async def chain_id(self) -> bytes:
            return document.hash

        async def call(self, method: str, *, path: str) -> dict[str, Any]:
            assert method == "record"
            asked.append(path)
            return {"record": {"since": "1"} if path.removeprefix("/admission/node/") in admitted else None}

    def ask_node(url: str, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        assert url == URL
        return trio.run(ask, Client())

    with monkeypatch.context() as patch:
        patch.setattr(asking, "ask_node", ask_node)
        yield asked


def test_a_change_from_its_beginning_to_its_end(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, document = read_node_keys(home).id, parse(home.genesis_file.read_bytes())
    before = home.node_key_file.read_bytes()
    made = rotate(home, "--out", tmp_path / "admit.json")
    new = made["new"]
    assert (made["step"], made["old"], made["file"]) == ("prepared", old, str(home.next_node_key_file))
    assert json.loads((tmp_path / "admit.json").read_text()) == {"op": "gov.admit", "kind": "node", "identity": new} == made["operation"]
    assert home.node_key_file.read_bytes() == before
    assert stat.S_IMODE(home.next_node_key_file.stat().st_mode) == 0o600
    assert read_node_keys(home) == NodeKeys(old, new, ())
    again = rotate(home, code=2)
    assert (again["code"], again["name"]) == (2319, "KEY_ROTATION")
    assert rotate(home, "--resume", "--out", tmp_path / "admit.json") == made  # the same file, and it says the same
    with answering(monkeypatch, document, old) as asked:
        refused = rotate(home, "--activate", "--node", URL, code=2)
        assert (refused["name"], bool(refused["hint"]), new in refused["message"]) == ("KEY_ROTATION", True, True)
    assert asked == [f"/admission/node/{new}"]
    with answering(monkeypatch, document, old, new):
        done = rotate(home, "--activate", "--node", URL, "--out", tmp_path / "remove.json")
    assert (done["old"], done["new"], done["admitted"]) == (old, new, True)
    assert done["peers"]["old"] == f"{old}@127.0.0.1:29000"
    assert done["peers"]["new"] == f"{new}@127.0.0.1:29000"
    assert json.loads((tmp_path / "remove.json").read_text()) == {"op": "gov.remove", "kind": "node", "identity": old}
    key = read_key_file(home.node_key_file, lambda path: b"", role=Role.NODE)
    assert NodeIdentity(key.key.seed).id == new
    assert read_node_keys(home) == NodeKeys(new, "", (old,))
    assert Path(done["kept"]).read_bytes() == before
    same = rotate(home, "--activate", "--out", tmp_path / "remove.json")
    assert (same["old"], same["new"], same["peers"]) == (old, new, done["peers"])
    gone = rotate(home, "--forget")
    assert (gone["old"], gone["new"]) == ([old], new)
    assert sorted(path.name for path in home.keys_dir.iterdir()) == ["node.json", "validator.json"]
    assert actions(home) == [("prepared", new, old), ("activated", new, old), ("forgotten", new, old)]


def test_a_second_change_before_the_first_is_forgotten(home: Home) -> None:
    ids = [read_node_keys(home).id]
    for _ in range(2):
        ids.append(rotate(home)["new"])
        rotate(home, "--activate")
    assert read_node_keys(home) == NodeKeys(ids[2], "", (ids[1], ids[0]))
    assert sorted(rotate(home, "--forget")["old"]) == sorted(ids[:2])


def test_a_next_key_that_is_discarded(home: Home, tmp_path: Path) -> None:
    before = files_of(home.keys_dir)
    new = rotate(home)["new"]
    gone = rotate(home, "--discard", "--out", tmp_path / "remove.json")
    assert (gone["new"], gone["operation"]) == (new, {"op": "gov.remove", "kind": "node", "identity": new})
    assert json.loads((tmp_path / "remove.json").read_text()) == gone["operation"]
    assert files_of(home.keys_dir) == before
    assert rotate(home)["new"] != new


def test_a_next_key_is_as_encrypted_as_the_present_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    key = PrivateKey.from_seed(KeyKind.MLDSA87, new_seed())
    write_key_file(home.node_key_file, KeySet(Role.NODE, "n", (key,)), b"a good passphrase", replace=True)
    assert rotate(home, code=2)["name"] == "WRONG_PASSPHRASE"
    monkeypatch.setenv("QENEX_PASSPHRASE", "another passphrase")
    assert rotate(home, code=2)["name"] == "WRONG_PASSPHRASE"
    assert not home.next_node_key_file.exists()
    monkeypatch.setenv("QENEX_PASSPHRASE", "a good passphrase")
    new = rotate(home)["new"]
    info = read_key_info(home.next_node_key_file)
    assert (info.is_encrypted, info.name) == (True, "n")
    monkeypatch.setenv("QENEX_PASSPHRASE", "another passphrase")
    for step in ("--resume", "--activate"):  # a start could not open it
        assert rotate(home, step, code=2)["name"] == "WRONG_PASSPHRASE"
    assert read_node_keys(home).next_id == new


def test_the_home_s_own_chain_is_asked(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = rotate(home)["new"]
    document = parse(home.genesis_file.read_bytes())
    config = load_config(home.config_file, environment={})
    open_store(home, config, document).close()
    refused = rotate(home, "--activate", code=2)
    assert (refused["name"], "block 0 in this home" in refused["message"]) == ("KEY_ROTATION", True)
    with answering(monkeypatch, document, new), hold_database(home.db_dir):
        assert rotate(home, "--activate", "--node", URL)["admitted"]  # it knows better; the lock is this process's own
    shutil.rmtree(home.db_dir)
    again = rotate(home)["new"]
    open_store(home, config, replace_admitted(document, again)).close()
    assert rotate(home, "--activate")["admitted"] is True
    assert read_node_keys(home).id == again


def replace_admitted(document: Document, *ids: str) -> Document:
    return msgspec.structs.replace(document, admitted_node_ids=tuple(sorted(ids)))


def test_what_others_have_to_change(home: Home) -> None:
    old = read_node_keys(home).id
    config = load_config(home.config_file, environment={})
    p2p = replace_section(config.p2p, listen="0.0.0.0:26656", peers=(f"{old}@10.0.0.1:26656", f"{'a' * 40}@10.0.0.2:26656"))
    signer = replace_section(config.signer, listen="10.0.0.1:26670", id="a" * 40, validator="B" * 40)
    home.config_file.write_text(render_config(replace_section(config, p2p=p2p, signer=signer)))
    new = rotate(home)["new"]
    peers = rotate(home, "--activate")["peers"]
    assert peers == {
        "setting": "p2p.peers",
        "old": f"{old}@HOST:PORT",
        "new": f"{new}@HOST:PORT",
        "signer": f"{new}@10.0.0.1:26670",
        "own": True,
    }


def replace_section(section: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(section, **changes)


# mistakes


def prepared(home: Home) -> None:
    rotate(home)


def running(home: Home) -> None:
    rotate(home)
    (home.root / processes.PID_FILE).write_text(json.dumps({"pid": os.getpid(), "started": processes.describe_process(os.getpid())[0]}))


def signing(home: Home) -> None:
    rotate(home)
    fcntl.flock(os.open(home.signer_file, os.O_RDWR), fcntl.LOCK_EX)


def copied(home: Home) -> None:
    shutil.copy(home.node_key_file, home.next_node_key_file)


def misnamed(home: Home) -> None:
    rotate(home)
    shutil.copy(home.next_node_key_file, retired_file(home, read_node_keys(home).id))


def damaged(home: Home) -> None:
    home.next_node_key_file.write_bytes(b"{")
    home.next_node_key_file.chmod(0o600)


def of_another_role(home: Home) -> None:
    shutil.copy(home.validator_key_file, home.next_node_key_file)


def open_to_others(home: Home) -> None:
    rotate(home)
    home.next_node_key_file.chmod(0o644)


def a_link(home: Home) -> None:
    home.next_node_key_file.symlink_to(home.node_key_file)


def with_settings(home: Home) -> None:
    rotate(home)
    home.config_file.write_text("moniker = 7")


def with_a_folder_in_the_way(home: Home) -> None:
    rotate(home)
    unfinished_file(home.next_node_key_file).mkdir()


def nothing(home: Home) -> None:
    pass


MISTAKES: list[tuple[str, Callable[[Home], object], tuple[str, ...], str, str]] = [
    ("two steps", prepared, ("--activate", "--discard"), "CONFIG", "steps of their own"),
    ("an operation of nothing", nothing, ("--forget", "--out", "x"), "CONFIG", "no operation"),
    ("no home", lambda home: home.config_file.unlink(), (), "HOME", "config.toml is missing"),
    ("no key", lambda home: home.node_key_file.unlink(), (), "KEY_FILE", "no key file"),
    ("key open to others", lambda home: home.node_key_file.chmod(0o644), (), "KEY_FILE", "mode"),
    ("under way", prepared, (), "KEY_ROTATION", "under way"),
    ("a link in its place", a_link, (), "KEY_ROTATION", "under way"),
    ("nothing to resume", nothing, ("--resume",), "KEY_ROTATION", "there is no"),
    ("nothing to activate", nothing, ("--activate",), "KEY_ROTATION", "there is no"),
    ("nothing to discard", nothing, ("--discard",), "KEY_ROTATION", "there is no"),
    ("nothing to forget", prepared, ("--forget",), "KEY_ROTATION", "no old key"),
    ("runs", running, ("--activate",), "HOME", "is run by process"),
    ("record in use", signing, ("--activate",), "HOME", "in use"),
    ("no genesis", lambda home: home.genesis_file.unlink(), ("--activate",), "HOME", "genesis.json is missing"),
    ("next is the present", copied, ("--activate",), "KEY_ROTATION", "the one in use"),
    ("next is damaged", damaged, ("--activate",), "KEY_FILE", "not a usable key file"),
    ("next is a validator's", of_another_role, ("--activate",), "KEY_FILE", "a node key is needed"),
    ("next is open to others", open_to_others, ("--activate",), "KEY_FILE", "mode"),
    ("next is a link", a_link, ("--resume",), "KEY_FILE", "symbolic link"),
    ("another key under the old one's name", misnamed, ("--activate",), "KEY_ROTATION", "another key than its name says"),
    ("settings are wrong", with_settings, ("--activate",), "CONFIG", "moniker"),
    ("nobody answers", prepared, ("--activate", "--node", URL), "CLIENT", "does not answer"),
    ("no address", prepared, ("--activate", "--node", "nonsense://x"), "CONFIG", "not an RPC address"),
    ("folder in the way", with_a_folder_in_the_way, ("--discard",), "KEY_ROTATION", "cannot change the files"),
]


@pytest.mark.parametrize(("spoil", "words", "name", "message"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_mistakes(
    home: Home, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Home], object], words: tuple[str, ...], name: str, message: str
) -> None:
    monkeypatch.setattr(processes, "is_alive", lambda process: process.pid == os.getpid())
    spoil(home)
    before = files_of(home.keys_dir)
    error = rotate(home, *words, code=2)
    assert (error["name"], bool(error["hint"])) == (name, True), error
    assert message in error["message"]
    assert files_of(home.keys_dir) == before


def test_another_network_is_not_believed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    new = rotate(home)["new"]
    document = parse(home.genesis_file.read_bytes())
    with answering(monkeypatch, replace_admitted(document, "f" * 40), new):
        error = rotate(home, "--activate", "--node", URL, code=2)
    assert (error["name"], "another network" in error["message"]) == ("CONFIG", True)
    with answering(monkeypatch, document):
        rotate(home, "--activate")  # nobody is asked: there is no chain here
        kept = rotate(home, "--forget", "--node", URL, code=2)
    assert kept["name"] == "KEY_ROTATION"  # the old key may still be needed
    assert read_node_keys(home).retired


def test_a_file_that_is_there_already(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "operation.json"
    out.write_text("something else")
    assert rotate(home, "--out", out, code=2)["name"] == "CONFIG"
    assert not home.next_node_key_file.exists()  # before anything is made
    rotate(home)
    for step in ("--resume", "--activate", "--discard"):
        error = rotate(home, step, "--out", out, code=2)
        assert (error["name"], "exists already" in error["message"]) == ("CONFIG", True)
    assert read_node_keys(home).next_id
    assert out.read_text() == "something else"
    unfinished_file(tmp_path / "lost").mkdir()  # in the way of what is written first
    lost = rotate(home, "--resume", "--out", tmp_path / "lost", code=2)
    assert (lost["name"], "--resume" in lost["hint"]) == ("CONFIG", True)


def test_a_full_disk(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    rotate(home)
    for call in ("link", "rename", "sync_folder"):
        with monkeypatch.context() as patch:
            patch.setattr(RealFiles, call, full)
            error = rotate(home, "--activate", code=2)
        assert (error["name"], "No space left" in error["message"], bool(error["hint"])) == ("KEY_ROTATION", True, True)
    rotate(home, "--activate")
    assert not read_node_keys(home).next_id


HOLD = "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"


def test_a_database_in_use_elsewhere(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node whose note of its process is lost, or a tool."""
    new = rotate(home)["new"]
    home.db_dir.mkdir()
    (home.db_dir / "LOCK").touch()
    before = files_of(home.keys_dir)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(home.db_dir / "LOCK")], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with answering(monkeypatch, parse(home.genesis_file.read_bytes()), new):
            for node in ((), ("--node", URL)):
                error = rotate(home, "--activate", *node, code=2)
                assert (error["name"], "in use by another process" in error["message"]) == ("HOME", True)
        child.communicate()
    assert files_of(home.keys_dir) == before


# kills


def killed(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: object
) -> Iterator[tuple[Home, Path, bool]]:
    """As `each_kill`, and where the operation goes."""

    def run(copy: Home) -> None:
        rotate(copy, *words, *(() if "--forget" in words else ("--out", copy.root.with_suffix(".json"))))

    for copy, is_killed in each_kill(home, tmp_path, monkeypatch, run):
        yield copy, copy.root.with_suffix(".json"), is_killed


def check_clean(home: Home, *names: str) -> None:
    assert sorted(path.name for path in home.keys_dir.iterdir()) == sorted((*names, "node.json", "validator.json"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.keys_dir.iterdir()} == {0o600}


def test_killed_while_making(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = read_node_keys(home).id
    for copy, out, _ in killed(home, tmp_path, monkeypatch):
        assert read_node_keys(copy).id == old
        made = rotate(copy, "--out", out, *(("--resume",) if read_node_keys(copy).next_id else ()))
        assert json.loads(out.read_text())["identity"] == made["new"] == read_node_keys(copy).next_id
        assert ("prepared", made["new"], old) in actions(copy)
        rotate(copy, "--activate")
        check_clean(copy, f"node.json.retired-{old}")


def test_killed_while_activating(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = read_node_keys(home).id, rotate(home)["new"]
    for copy, out, _ in killed(home, tmp_path, monkeypatch, "--activate"):
        keys = read_node_keys(copy)  # at every instant there is a whole key
        assert keys.id in (old, new)
        assert new in (keys.id, keys.next_id)
        assert keys.id == old or old in keys.retired
        done = rotate(copy, "--activate", "--out", out)
        assert (done["old"], done["new"]) == (old, new)
        assert json.loads(out.read_text()) == {"op": "gov.remove", "kind": "node", "identity": old}
        assert ("activated", new, old) in actions(copy)
        check_clean(copy, f"node.json.retired-{old}")
        assert read_key_info(retired_file(copy, old)).keys == read_key_info(home.node_key_file).keys


def test_killed_while_activating_and_discarded(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = read_node_keys(home).id, rotate(home)["new"]
    for copy, _, _ in killed(home, tmp_path, monkeypatch, "--activate"):
        if read_node_keys(copy).id == new:
            continue
        rotate(copy, "--discard")
        check_clean(copy)
        assert read_node_keys(copy) == NodeKeys(old, "", ())


def test_killed_while_discarding(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = read_node_keys(home).id
    rotate(home)
    os.link(home.next_node_key_file, unfinished_file(home.next_node_key_file))  # as a kill while making leaves it
    for copy, _, is_killed in killed(home, tmp_path, monkeypatch, "--discard"):
        if is_killed and read_node_keys(copy).next_id:
            rotate(copy, "--discard")
        check_clean(copy)
        assert read_node_keys(copy) == NodeKeys(old, "", ())


def test_killed_while_forgetting(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        rotate(home)
        rotate(home, "--activate")
    for copy, _, _ in killed(home, tmp_path, monkeypatch, "--forget"):
        if read_node_keys(copy).retired:
            rotate(copy, "--forget")
        check_clean(copy)
        assert read_node_keys(copy).id == read_node_keys(home).id
