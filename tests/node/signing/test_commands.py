"""`qenex signer` and `qenex keys rotate-validator` at an operator's mistakes: one line, a code, a hint, and nothing changed."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from genesis.testnet import NetworkOptions
from node.cli.main import main
from node.config import Home
from node.files import RealFiles
from node.keystore import KeySet, Role, read_key_info, write_key_file
from node.signer import Signer
from node.signer_record import peek_record
from node.signing.home import read_signer_home
from node.signing.rotation import check_operation
from node.telemetry.metrics import NodeMetrics
from node.testnet.files import create_network
from state.primitives.errors import ConfigError
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind
from tests.node.signing.keys import make_pair

PLACE = f"{'a' * 40}@127.0.0.1:26670"


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pattern") / "net"
    create_network(root, NetworkOptions(validators=1, base_port=29_000, time_ns=10**18, vote_key_kind=KeyKind.MLDSA44))
    return root / "node0"


@pytest.fixture
def node(pattern: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "node0"
    shutil.copytree(pattern, copied)
    return copied


def qenex(*words: object, code: int = 0) -> dict[str, Any]:
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO())
        found = main([*map(str, words), "--json"])
    assert found == code, errors.getvalue()
    assert "Traceback" not in errors.getvalue()
    answer: dict[str, Any] = json.loads((errors if code else out).getvalue().strip().splitlines()[-1])
    return dict(answer["error"]) if code else answer


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_new_keys_for_a_signer(node: Path, tmp_path: Path) -> None:
    home = tmp_path / "signer"
    made = qenex("signer", "init", "--home", home, "--genesis", node / "genesis.json", "--node", PLACE, "--no-encrypt")
    shown = qenex("signer", "show", "--home", home)
    assert (shown["id"], shown["keys"][0]["address"], shown["node"]) == (made["id"], made["validator"], PLACE)
    assert shown["keys"][0]["height"] == 0
    assert {path.stat().st_mode & 0o777 for path in home.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (home, *home.iterdir()) if path.is_dir()} == {0o700}
    again = qenex("signer", "init", "--home", home, "--genesis", node / "genesis.json", "--node", PLACE, "--no-encrypt", code=2)
    assert (again["name"], bool(again["hint"])) == ("HOME", True)
    both = qenex("signer", "init", "--home", home, "--genesis", node / "genesis.json", "--from-home", node, "--node", PLACE, code=2)
    assert (both["name"], bool(both["hint"])) == ("CONFIG", True)
    no_home = qenex("keys", "rotate-validator", "--home", node / "keys", "--out", tmp_path / "x", code=2)
    assert (no_home["name"], bool(no_home["hint"])) == ("CONFIG", True)


def test_moved_keys_are_in_one_home_only(node: Path, tmp_path: Path) -> None:
    home = tmp_path / "signer"
    record = Home(node).signer_file.read_bytes()
    made = qenex("signer", "init", "--home", home, "--from-home", node, "--node", PLACE, "--no-encrypt")
    assert Home(home).signer_file.read_bytes() == record
    assert not Home(node).validator_key_file.exists()
    assert not Home(node).signer_file.exists()
    assert read_key_info(node / "keys" / "validator.json.moved-1").keys == read_key_info(Home(home).validator_key_file).keys
    assert made["validator"] == peek_record(Home(home).signer_file).address.hex().upper()
    again = qenex("signer", "init", "--home", tmp_path / "second", "--from-home", node, "--node", PLACE, "--no-encrypt", code=2)
    assert again["name"] == "KEY_FILE"


def test_killed_while_moving(node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no instant two homes hold the keys, and they are never lost."""

    class Killed(BaseException):
        pass

    for countdown in range(1, 6):
        copy, home = tmp_path / f"node {countdown}", tmp_path / f"signer {countdown}"
        shutil.copytree(node, copy)
        left = [countdown]

        def count(left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                raise Killed

        with monkeypatch.context() as patch:
            rename, sync = RealFiles.rename, RealFiles.sync_folder
            patch.setattr(RealFiles, "rename", lambda self, old, new: (count(), rename(self, old, new)))  # noqa: B023
            patch.setattr(RealFiles, "sync_folder", lambda self, folder: (sync(self, folder), count()))  # noqa: B023
            try:
                qenex("signer", "init", "--home", home, "--from-home", copy, "--node", PLACE, "--no-encrypt")
            except Killed:
                pass
            else:
                assert countdown == 5
        places = [Home(copy).validator_key_file.exists(), Home(home).validator_key_file.exists()]
        assert sum(places) <= 1
        aside = copy / "keys" / "validator.json.moved-1"
        assert any(places) or aside.exists()


def moved(node: Path, home: Path) -> None:
    qenex("signer", "init", "--home", home, "--from-home", node, "--node", PLACE, "--no-encrypt")


def locked(node: Path, home: Path) -> None:
    keys = Home(node).validator_key_file
    info = json.loads(keys.read_text())
    assert info["role"] == "validator"
    descriptor = os.open(Home(node).signer_file, os.O_RDWR)
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX)


def full(node: Path, home: Path) -> None:
    home.mkdir()
    (home / "something").write_text("here")


def under_way(node: Path, home: Path) -> None:
    qenex("keys", "rotate-validator", "--home", node, "--out", home.with_suffix(".json"))


MISTAKES: list[tuple[str, Callable[[Path, Path], object], str, str]] = [
    ("not empty", full, "HOME", "not empty"),
    ("in use", locked, "SIGNER_RECORD", "in use"),
    ("no record", lambda node, home: Home(node).signer_file.unlink(), "SIGNER_RECORD", "missing"),
    ("no keys", lambda node, home: Home(node).validator_key_file.unlink(), "KEY_FILE", "no key file"),
    ("open to others", lambda node, home: Home(node).validator_key_file.chmod(0o644), "KEY_FILE", "mode"),
    ("no genesis", lambda node, home: Home(node).genesis_file.unlink(), "HOME", "missing"),
    ("being changed", under_way, "KEY_ROTATION", "being changed"),
]


@pytest.mark.parametrize(("spoil", "name", "message"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_moving_refused(node: Path, tmp_path: Path, spoil: Callable[[Path, Path], object], name: str, message: str) -> None:
    home = tmp_path / "signer"
    spoil(node, home)
    before = files_of(node)
    error = qenex("signer", "init", "--home", home, "--from-home", node, "--node", PLACE, "--no-encrypt", code=2)
    assert (error["name"], bool(error["hint"])) == (name, True)
    assert message in error["message"]
    assert files_of(node) == before


@pytest.mark.parametrize("place", ["", "x@127.0.0.1:1", f"{'a' * 40}@127.0.0.1", f"{'A' * 40}@127.0.0.1:1"])
def test_a_node_that_is_no_node(node: Path, tmp_path: Path, place: str) -> None:
    before = files_of(node)
    for words in (("--from-home", node), ("--genesis", node / "genesis.json")):
        error = qenex("signer", "init", "--home", tmp_path / "s", *words, "--node", place, "--no-encrypt", code=2)
        assert (error["name"], bool(error["hint"])) == ("CONFIG", True)
    assert files_of(node) == before


SPOILED: list[tuple[str, Callable[[Path], object], str]] = [
    ("no settings", lambda home: (home / "signer.toml").unlink(), "HOME"),
    ("not TOML", lambda home: (home / "signer.toml").write_text("node = "), "CONFIG"),
    ("not UTF-8", lambda home: (home / "signer.toml").write_bytes(b"\xff"), "CONFIG"),
    ("another key", lambda home: (home / "signer.toml").write_text('peer = "x"'), "CONFIG"),
    ("no genesis", lambda home: (home / "genesis.json").unlink(), "GENESIS"),
    ("no identity", lambda home: (home / "keys" / "node.json").unlink(), "KEY_FILE"),
    ("no keys", lambda home: (home / "keys" / "validator.json").unlink(), "KEY_FILE"),
    ("open to others", lambda home: (home / "keys" / "validator.json").chmod(0o640), "KEY_FILE"),
    ("no record", lambda home: (home / "data" / "signer_record").unlink(), "SIGNER_RECORD"),
    ("record damaged", lambda home: (home / "data" / "signer_record").write_bytes(b"x" * 100), "SIGNER_RECORD"),
    ("a node's home", lambda home: (home / "signer.toml").rename(home / "config.toml"), "HOME"),
]


@pytest.mark.parametrize(("spoil", "name"), [row[1:] for row in SPOILED], ids=[row[0] for row in SPOILED])
def test_starting_refused(node: Path, tmp_path: Path, spoil: Callable[[Path], object], name: str) -> None:
    home = tmp_path / "signer"
    moved(node, home)
    spoil(home)
    error = qenex("signer", "start", "--home", home, code=2)
    assert (error["name"], bool(error["hint"])) == (name, True)
    qenex("start", "--home", home, code=2)  # nor is it a node's


def test_an_encrypted_signer_asks_for_its_passphrase(node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "signer"
    moved(node, home)
    pair = make_pair("old")
    write_key_file(Home(home).validator_key_file, KeySet(Role.VALIDATOR, "v", pair), b"a good passphrase", replace=True)
    assert qenex("signer", "start", "--home", home, code=2)["name"] == "WRONG_PASSPHRASE"
    monkeypatch.setenv("QENEX_PASSPHRASE", "another passphrase")
    assert qenex("signer", "start", "--home", home, code=2)["name"] == "WRONG_PASSPHRASE"


def test_next_keys_are_as_encrypted_as_the_present_ones(node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(node)
    chain = read_record_chain(home)
    pair = make_pair("old")
    write_key_file(home.validator_key_file, KeySet(Role.VALIDATOR, "v", pair), b"a good passphrase", replace=True)
    home.signer_file.unlink()
    Signer.create(home.signer_file, chain, *pair).close()
    out = tmp_path / "operation.json"
    assert qenex("keys", "rotate-validator", "--home", node, "--out", out, code=2)["name"] == "WRONG_PASSPHRASE"
    assert not home.next_key_file.exists()
    monkeypatch.setenv("QENEX_PASSPHRASE", "a good passphrase")
    done = qenex("keys", "rotate-validator", "--home", node, "--out", out)
    assert done["running"] is False
    assert read_key_info(home.next_key_file).is_encrypted
    assert qenex("keys", "rotate-validator", "--home", node, "--out", tmp_path / "2", code=2)["name"] == "KEY_ROTATION"
    again = qenex("keys", "rotate-validator", "--home", node, "--out", tmp_path / "3", "--resume")
    assert again["new"] == done["new"]
    assert qenex("keys", "rotate-validator", "--home", node, code=2)["name"] == "CONFIG"


def read_record_chain(home: Home) -> bytes:
    return peek_record(home.signer_file).chain_id


def test_an_operation_that_was_altered_is_not_sent(node: Path, tmp_path: Path) -> None:
    out = tmp_path / "operation.json"
    qenex("keys", "rotate-validator", "--home", node, "--out", out)
    data, chain = json.loads(out.read_text()), read_record_chain(Home(node))
    fields = check_operation(data, chain)
    assert fields["validator"] == peek_record(Home(node).signer_file).address
    assert fields["ed25519_key"] == read_key_info(Home(node).next_key_file).keys[0].data
    other = make_pair("other")
    altered: list[dict[str, Any]] = [
        {**data, "validator": "11" * 20},
        {**data, "ed25519_key": other[0].public_key.data.hex()},
        {**data, "pq_key": other[1].public_key.data.hex()},
        {**data, "pq_kind": 2},
        {**data, "pq_kind": "x"},
        {**data, "op": "asset.transfer"},
        {**data, "proof": {**data["proof"], "pq": "00"}},
        {**data, "proof": {**data["proof"], "ed25519": "zz"}},
        {**data, "proof": 7},
        {},
    ]
    for item in altered:
        with pytest.raises(ConfigError):
            check_operation(item, chain)
    with pytest.raises(ConfigError, match="another network"):
        check_operation(data, sha256(b"another"))
    for text in ("", "{", "[" * 100_000, "null"):
        out.write_text(text)
        words = ("--operation", out, "--from", "nobody", "--home", tmp_path)
        assert qenex("tx", "stake", "rotate-key", *words, code=2)["hint"]


def test_a_signer_home_is_read_back(node: Path, tmp_path: Path) -> None:
    moved(node, tmp_path / "signer")
    found = read_signer_home(tmp_path / "signer")
    assert found.config.node == PLACE
    assert found.config.redial_ms_max == 1_000
    assert found.document.hash == read_record_chain(found.home)


def test_figures_of_the_signer() -> None:
    metrics = NodeMetrics("c")
    metrics.observe_signature(0.004)
    metrics.count_signer_refusal(2311)
    metrics.set("signer_connected", 1)
    found = metrics.read()
    assert found["qenex_signer_seconds_sum"] == 0.004
    assert found['qenex_signer_refusals_total{code="2311"}'] == 1.0
    assert found["qenex_signer_connected"] == 1.0
