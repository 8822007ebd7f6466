"""Key files: what opens, what is refused, and that a crash leaves the old or the new file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node import keystore
from node.keystore import (
    KeySet,
    Role,
    ScryptCost,
    list_key_files,
    new_seed,
    read_key_file,
    read_key_info,
    write_key_file,
)
from state.primitives.errors import KeyFileError, QenexError, WrongPassphraseError
from state.primitives.keys import KeyKind, PrivateKey

CHEAP = ScryptCost(n=16)
PASSPHRASE = b"correct horse battery"


def known(_path: Path) -> bytes:
    return PASSPHRASE


def never(_path: Path) -> bytes:
    raise RuntimeError("no passphrase is needed")


def user(seed: int = 1, kind: KeyKind = KeyKind.ED25519) -> KeySet:
    return KeySet(Role.USER, "alice", (PrivateKey.from_seed(kind, bytes([seed]) * 32),), "qx1somewhere")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "alice.json"


@pytest.mark.parametrize("kind", list(KeyKind))
@pytest.mark.parametrize("passphrase", [PASSPHRASE, None])
def test_round_trip(path: Path, kind: KeyKind, passphrase: bytes | None) -> None:
    write_key_file(path, user(kind=kind), passphrase, cost=CHEAP)
    assert read_key_file(path, known if passphrase else never, role=Role.USER) == user(kind=kind)
    assert path.stat().st_mode & 0o777 == 0o600
    info = read_key_info(path)
    assert info.is_encrypted == (passphrase is not None)
    assert info.keys == (user(kind=kind).key.public_key,)
    assert [found.name for found in list_key_files(path.parent)] == ["alice"]
    assert os.listdir(path.parent) == ["alice.json"]


def test_validator_and_node_roles(tmp_path: Path) -> None:
    ed, pq = (PrivateKey.from_seed(k, new_seed()) for k in (KeyKind.ED25519, KeyKind.MLDSA65))
    write_key_file(tmp_path / "validator.json", KeySet(Role.VALIDATOR, "v", (ed, pq)), None)
    opened = read_key_file(tmp_path / "validator.json", never, role=Role.VALIDATOR)
    assert (opened.key, opened.pq_key) == (ed, pq)
    with pytest.raises(KeyFileError, match="is a validator key, a node key is needed"):
        read_key_file(tmp_path / "validator.json", never, role=Role.NODE)
    with pytest.raises(KeyFileError):
        write_key_file(tmp_path / "wrong.json", KeySet(Role.VALIDATOR, "v", (pq, ed)), None)
    with pytest.raises(KeyFileError):
        write_key_file(tmp_path / "wrong.json", KeySet(Role.NODE, "n", (ed,)), None)


def test_wrong_passphrase(path: Path) -> None:
    write_key_file(path, user(), PASSPHRASE, cost=CHEAP)
    with pytest.raises(WrongPassphraseError):
        read_key_file(path, lambda _: b"not that one")


def test_short_passphrase_is_refused(path: Path) -> None:
    with pytest.raises(KeyFileError, match="8 to 1024 bytes"):
        write_key_file(path, user(), b"short")
    assert not path.exists()


def test_public_parts_are_authenticated(path: Path) -> None:
    write_key_file(path, user(), PASSPHRASE, cost=CHEAP)
    text = path.read_text()
    for old, new in (("alice", "mallo"), ("qx1somewhere", "qx1elsewhere"), ('"n": 16', '"n": 32')):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(WrongPassphraseError):
            read_key_file(path, known)


def loosen(path: Path) -> None:
    path.chmod(0o640)


def link(path: Path) -> None:
    path.rename(path.with_name("real.json"))
    path.symlink_to("real.json")


def turn_into_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def turn_into_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


SPOILERS: list[tuple[Callable[[Path], object], str]] = [
    (Path.unlink, "there is no key file"),
    (loosen, "has mode 0640, not 0600"),
    (lambda path: path.chmod(0o604), "not 0600"),
    (link, "is a symbolic link"),
    (turn_into_directory, "is not a plain file"),
    (turn_into_pipe, "is not a plain file"),
    (lambda path: path.write_bytes(b""), "not a usable key file"),
    (lambda path: path.write_bytes(b"\xff"), "not a usable key file"),
    (lambda path: path.write_bytes(b"{" * 70_000), "at most 65536"),
    (lambda path: path.write_bytes(b"[" * 60_000), "not a usable key file"),
    (lambda path: path.write_text(path.read_text().replace('"format": 1', '"format": 2')), "not a usable key file"),
    (lambda path: path.write_text(path.read_text().replace('"format"', '"extra": 1, "format"')), "unknown field `extra`"),
    (lambda path: path.write_text(path.read_text().replace("ed25519", "ed448")), "unknown key kind"),
    (lambda path: path.write_text(path.read_text().replace('"n": 16', '"n": 1048576').replace('"r": 8', '"r": 16')), "scrypt"),
    (lambda path: path.write_text(path.read_text().replace('"n": 16', '"n": 17')), "scrypt"),
    (lambda path: path.write_text(path.read_text().replace('"salt": "', '"salt": "*')), "not base64"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILERS)
def test_unsafe_or_damaged_files_are_refused(path: Path, spoil: Callable[[Path], object], message: str) -> None:
    write_key_file(path, user(), PASSPHRASE, cost=CHEAP)
    spoil(path)
    with pytest.raises(KeyFileError, match=message):
        read_key_file(path, known)


def test_another_owner_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_key_file(path, user(), None)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(KeyFileError, match="belongs to another user"):
        read_key_info(path)


def test_existing_file_is_kept(path: Path) -> None:
    write_key_file(path, user(1), None)
    with pytest.raises(KeyFileError, match="exists already"):
        write_key_file(path, user(2), None)
    assert read_key_file(path, never) == user(1)
    path.with_name("dangling.json").symlink_to("nowhere")
    with pytest.raises(KeyFileError, match="exists already"):
        write_key_file(path.with_name("dangling.json"), user(2), None)


class Crash(BaseException):
    """Stands for the machine dying at this call."""


@pytest.mark.parametrize("moment", range(8))
def test_crash_while_writing_leaves_old_or_new(path: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    write_key_file(path, user(1), PASSPHRASE, cost=CHEAP)
    calls = 0

    def crashing(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls == moment + 1:
                raise Crash
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "write", "fsync", "close"):
            patch.setattr(keystore.os, name, crashing(getattr(os, name)))
        patch.setattr(Path, "replace", crashing(Path.replace))
        try:
            write_key_file(path, user(2), PASSPHRASE, replace=True, cost=CHEAP)
            crashed = False
        except Crash:
            crashed = True
    assert crashed == (moment < calls)
    assert read_key_file(path, known) in (user(1), user(2))
    write_key_file(path, user(3), PASSPHRASE, replace=True, cost=CHEAP)
    assert read_key_file(path, known) == user(3)
    assert os.listdir(path.parent) == ["alice.json"]


def test_full_disk_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keystore.os, "write", full)
    with pytest.raises(QenexError, match="No space left"):
        write_key_file(path, user(), None)
    assert not path.exists()
