"""What `qenex start` says to an operator's mistake: one line, exit code 2, nothing left running and nothing changed."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from genesis.testnet import NetworkOptions
from node.cli.main import main
from node.testnet.files import create_network

BASE_PORT = 29_000  # never listened on: every start of this file is refused first


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pattern") / "net"
    create_network(root, NetworkOptions(validators=1, base_port=BASE_PORT, time_ns=10**18))
    return root / "node0"


@pytest.fixture
def home(pattern: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "node0"
    shutil.copytree(pattern, copied)
    return copied


class Done(NamedTuple):
    """What a start gave."""

    returncode: int
    stderr: str


def start(home: Path, *arguments: str, **environment: str) -> Done:
    """In this process: every mistake of this kind is found before anything is set up or started."""
    err = io.StringIO()
    with redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO())
        for name, value in environment.items():
            patch.setenv(name, value)
        code = main(["start", "--home", str(home), *arguments])
    return Done(code, err.getvalue())


def start_process(home: Path, *arguments: str) -> Done:
    """In a process of its own: it gets as far as listening."""
    done = subprocess.run(
        [sys.executable, "-m", "node.cli.main", "start", "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=240,
        check=False,
    )
    return Done(done.returncode, done.stderr)


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        text = (home / name).read_text()
        assert old in text
        (home / name).write_text(text.replace(old, new, 1))

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda home: (home / name).unlink()


def other_network(home: Path) -> None:
    document = json.loads((home / "genesis.json").read_text())
    document["chain_id"] = "another-1"
    (home / "genesis.json").write_text(json.dumps(document))


def damage(name: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        (home / name).write_bytes(b"\0" * (home / name).stat().st_size)

    return change


def loosen(name: str) -> Callable[[Path], None]:
    return lambda home: (home / name).chmod(0o644)


def db_of_another_format(home: Path) -> None:
    (home / "data" / "db").mkdir(parents=True)
    (home / "data" / "db" / "CURRENT").write_text("not a manifest")


def name_signer(home: Path) -> None:
    for key, value in (("id", "a" * 40), ("validator", "A" * 40)):
        edit("config.toml", f'{key} = ""', f'{key} = "{value}"')(home)
    path = home / "config.toml"
    head, _, section = path.read_text().partition("[signer]")
    path.write_text(head + "[signer]" + section.replace('listen = ""', 'listen = "127.0.0.1:1"', 1))


MISTAKES: list[tuple[str, Callable[[Path], object], str, str]] = [
    ("no config", remove("config.toml"), "HOME", "config.toml is missing"),
    ("no genesis", remove("genesis.json"), "HOME", "genesis.json is missing"),
    ("bad key", edit("config.toml", "listen = ", "lisen = "), "CONFIG", "unknown key rpc.lisen"),
    ("bad value", edit("config.toml", 'level = "info"', 'level = "loud"'), "CONFIG", 'log.level = "loud"'),
    ("not TOML", edit("config.toml", "[rpc]", "[rpc"), "CONFIG", "is not TOML"),
    ("genesis altered", edit("genesis.json", '"bonded": "1', '"bonded": "2'), "SIGNER_RECORD", "belongs to another chain"),
    ("genesis broken", edit("genesis.json", '"format": 1', '"format": 2'), "GENESIS", "format"),
    ("wrong network", other_network, "SIGNER_RECORD", "belongs to another chain"),
    ("no node key", remove("keys/node.json"), "KEY_FILE", "there is no key file"),
    ("key open to others", loosen("keys/validator.json"), "KEY_FILE", "mode 0644, not 0600"),
    ("key damaged", damage("keys/validator.json"), "KEY_FILE", "not a usable key file"),
    ("no signer record", remove("data/signer_record"), "SIGNER_RECORD", "is missing, but its key is present"),
    ("signer record damaged", damage("data/signer_record"), "SIGNER_RECORD", "is damaged"),
    ("half a signer", edit("config.toml", 'id = ""', f'id = "{"a" * 40}"'), "CONFIG", "[signer] listen is missing"),
    ("keys here and elsewhere", name_signer, "CONFIG", "names a signer elsewhere"),
    ("database damaged", db_of_another_format, "STORAGE", "db"),
]


@pytest.mark.parametrize(("spoil", "name", "message"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_mistake(home: Path, spoil: Callable[[Path], object], name: str, message: str) -> None:
    spoil(home)
    done = start(home, "--json")
    assert done.returncode == 2, done.stderr
    error = json.loads(done.stderr.strip().splitlines()[-1])["error"]
    assert error["name"].startswith(name)
    assert message in error["message"]
    assert error["hint"]
    assert "Traceback" not in done.stderr
    assert not (home / "node.pid").exists()


def test_port_in_use(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listens = ("rpc.listen", "p2p.listen", "metrics.listen")
        for setting in listens:
            others = [f"--set={key}=127.0.0.1:0" for key in listens if key != setting]
            done = start_process(home, "--json", f"--set={setting}=127.0.0.1:{port}", *others)
            assert done.returncode == 2, done.stderr
            error = json.loads(done.stderr.strip().splitlines()[-1])["error"]
            assert error["name"] == "PORT_IN_USE"
            assert str(port) in error["message"]
            assert error["hint"]


@pytest.mark.parametrize("section", ["rpc", "p2p", "metrics"])
def test_an_address_that_is_none_of_this_machine(home: Path, section: str) -> None:
    """It was told as a port that another program uses."""
    nowhere, elsewhere = "the name nohost.invalid leads nowhere", "192.0.2.1 is no address of this machine"
    for host, why in (("nohost.invalid", nowhere), ("192.0.2.1", elsewhere)):
        done = start(home, "--json", f"--set={section}.listen={host}:5000")
        error = json.loads(done.stderr.strip().splitlines()[-1])["error"]
        assert (done.returncode, error["name"]) == (2, "CONFIG")
        assert error["message"].startswith(f"[{section}] listen = {host}:5000: {why}")


@pytest.mark.parametrize("place", ["node.keystore", "node.files"])
def test_a_read_only_disk(home: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The first thing that is written says so: the process's file, or the consensus log."""
    real_open = os.open

    def refuse(path: str, flags: int, *rest: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system")
        return real_open(path, flags, *rest)

    fake = SimpleNamespace(**{name: getattr(os, name) for name in dir(os)})
    fake.open = refuse
    monkeypatch.setattr(f"{place}.os", fake)
    done = start(home)
    assert done.returncode == 2
    assert "Read-only file system" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_wrong_or_no_passphrase(tmp_path: Path, pattern: Path) -> None:
    home = tmp_path / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QENEX_PASSPHRASE", "correct horse")
        assert main(["init", "--home", str(home), "--no-validator"]) == 0
    shutil.copy(pattern / "genesis.json", home / "genesis.json")
    silent = start(home, "--json")
    assert silent.returncode == 2
    assert json.loads(silent.stderr)["error"]["name"] == "WRONG_PASSPHRASE"
    wrong = start(home, QENEX_PASSPHRASE="incorrect horse")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error 2112 WRONG_PASSPHRASE: the passphrase does not open")
    assert len(wrong.stderr.splitlines()) == 1


def test_environment_is_checked(home: Path) -> None:
    done = start(home, "--json", QENEX_LOG_LEVL="info")
    assert done.returncode == 2
    assert "QENEX_LOG_LEVEL" in json.loads(done.stderr)["error"]["hint"]
