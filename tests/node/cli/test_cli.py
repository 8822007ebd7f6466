"""The command line: stable answers, one line (or one JSON object) for every mistake, exit code 2, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from node.cli.main import main
from node.cli.node import _parse_settings
from state.primitives.errors import ConfigError

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QENEX_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("QENEX_PASSPHRASE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Ran:
    """What one call of the command line gave."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


LIGHT = ("light", "--primary", "http://127.0.0.1:9", "--no-witness", "--trust-height", "1", "--trust-hash", "00" * 32, "--listen")
MISTAKES: list[tuple[tuple[str, ...], str, str]] = [
    (("nonsense",), "CONFIG", "No such command"),
    (("keys", "new"), "CONFIG", "Missing argument"),
    (("keys", "new", "alice", "--kind", "rsa"), "CONFIG", "rsa"),
    (("keys", "new", "../alice", "--no-encrypt"), "CONFIG", "no key name"),
    (("keys", "new", "alice"), "WRONG_PASSPHRASE", "no passphrase was given"),
    (("keys", "new", "alice", "--passphrase-file", "missing"), "CONFIG", "cannot read --passphrase-file"),
    (("keys", "show", "nobody"), "KEY_FILE", "there is no key nobody"),
    (("keys", "show", "./nobody.json"), "KEY_FILE", "there is no key file"),
    (("keys", "import", "a", "--seed-file", "missing"), "CONFIG", "cannot read --seed-file"),
    (("init", "--home", "here", "--bogus"), "CONFIG", "No such option"),
    (("genesis", "check", "missing.json"), "CONFIG", "cannot read missing.json"),
    (("start", "--home", "missing"), "HOME", "no home directory"),
    (("testnet", "status", "--home", "missing"), "HOME", "no local network"),
    (("testnet", "down", "--home", "missing"), "HOME", "no local network"),
    (("testnet", "up", "--validators", "0", "--home", "x"), "GENESIS", "1 to 64"),
    (("testnet", "up", "--validators", "many", "--home", "x"), "CONFIG", "not a valid integer"),
    (("testnet", "up", "--base-port", "65530", "--home", "x"), "GENESIS", "65535"),
    (("testnet", "up", "--block-interval", "61", "--home", "x"), "CONFIG", "60"),
    ((*LIGHT, "nowhere"), "CONFIG", "--listen 'nowhere' is not HOST:PORT"),
    ((*LIGHT, "127.0.0.1:70000"), "CONFIG", "--listen '127.0.0.1:70000' is not HOST:PORT"),
    ((*LIGHT, "nohost.invalid:1"), "CONFIG", "--listen nohost.invalid:1: the name nohost.invalid leads nowhere"),
]


@pytest.mark.parametrize(("arguments", "name", "message"), MISTAKES)
def test_mistakes(run: Any, arguments: tuple[str, ...], name: str, message: str) -> None:
    result = run(*arguments, "--json")
    assert result.code == 2
    assert result.out == ""
    assert set(result.error) == {"code", "name", "message", "hint"}
    assert result.error["name"] == name
    assert message in result.error["message"]
    text = run(*arguments)
    assert text.code == 2
    assert len(text.err.strip().splitlines()) == 1
    assert message in text.err
    assert "Traceback" not in text.err


def test_keys_round_trip(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QENEX_PASSPHRASE", PASSPHRASE)
    made = run("keys", "new", "alice", "--json").data
    assert made["account"].startswith("qx1")
    assert made["encrypted"]
    assert run("keys", "show", "alice", "--json").data == made
    assert run("keys", "list", "--json").data == {"keys": [made]}
    seed = run("keys", "export", "alice", "--yes", "--json").data["seed"]
    (tmp_path / "seed").write_text(seed + "\n")
    again = run("keys", "import", "twin", "--seed-file", "seed", "--no-encrypt", "--json").data
    assert (again["account"], again["keys"], again["encrypted"]) == (made["account"], made["keys"], False)
    assert run("keys", "new", "alice").code == 2
    monkeypatch.setenv("QENEX_PASSPHRASE", "something else")
    wrong = run("keys", "export", "alice", "--yes", "--json")
    assert (wrong.code, wrong.error["name"]) == (2, "WRONG_PASSPHRASE")
    (tmp_path / "secret").write_text(PASSPHRASE + "\n")
    assert run("keys", "export", "alice", "--yes", "--passphrase-file", "secret", "--json").data["seed"] == seed


@pytest.mark.parametrize("kind", ["ed25519", "mldsa87", "hybrid"])
def test_every_kind_of_key(run: Any, kind: str) -> None:
    made = run("keys", "new", "k", "--kind", kind, "--no-encrypt", "--json").data
    assert made["keys"][0]["kind"] == kind


def test_ceremony_of_two_operators(run: Any, tmp_path: Path) -> None:
    account = run("keys", "new", "bank", "--no-encrypt", "--json").data["account"]
    for moniker in ("a", "b"):
        made = run("init", "--home", moniker, "--moniker", moniker, "--no-encrypt", "--json")
        assert made.code == 0
        assert len(made.data["node_id"]) == 40
        arguments = ("--chain-id", "two-1", "--owner", "bank", "--bonded", "1000", "--out", f"{moniker}.entry")
        assert run("genesis", "entry", "--home", moniker, *arguments).code == 0
    draft(tmp_path / "draft.json", account, run("keys", "show", "bank", "--json").data["keys"][0]["public_key"])
    collected = run("genesis", "collect", "--draft", "draft.json", "--out", "genesis.json", "b.entry", "a.entry", "--json").data
    assert collected["validators"] == 2
    assert run("genesis", "check", "genesis.json", "--json").data["hash"] == collected["hash"]
    assert run("genesis", "install", "--home", "a", "--genesis", "genesis.json", "--json").data["hash"] == collected["hash"]
    assert (tmp_path / "a" / "data" / "signer_record").exists()
    again = run("genesis", "install", "--home", "a", "--genesis", "genesis.json", "--json")
    assert (again.code, again.error["name"]) == (2, "HOME")
    assert run("init", "--home", "a", "--no-encrypt", "--json").error["name"] == "HOME"


def draft(path: Path, account: str, public_key: str) -> None:
    from genesis.document import parse
    from genesis.testnet import NetworkOptions, plan_network
    from state.primitives.hashing import sha256

    plan = plan_network(NetworkOptions(validators=1, time_ns=10**18, chain_id="two-1"), lambda label: sha256(label.encode()))
    tree = json.loads(plan.document.to_json())
    entry = tree["accounts"][0]
    entry["address"], entry["keys"][0]["public_key"] = account, public_key
    tree["accounts"], tree["validators"] = [entry], []
    tree["assets"][0].update(issuer=account, minters=[])
    tree["holdings"] = [{"account": account, "asset": "QNX", "amount": "5"}]
    tree["stake"]["power_unit"] = "1"
    tree["compliance"]["authorities"] = []
    path.write_text(json.dumps(tree))
    parse(path.read_bytes(), is_draft=True)


def test_start_refuses_an_incomplete_home(run: Any, tmp_path: Path) -> None:
    assert run("init", "--home", "a", "--no-encrypt").code == 0
    result = run("start", "--home", "a", "--json")
    assert (result.code, result.error["name"]) == (2, "HOME")
    assert "genesis.json is missing" in result.error["message"]


def test_settings_of_one_run() -> None:
    assert _parse_settings(("rpc.listen=127.0.0.1:0", "moniker=a=b")) == {"rpc.listen": "127.0.0.1:0", "moniker": "a=b"}
    with pytest.raises(ConfigError):
        _parse_settings(("rpc.listen",))


def test_a_defect_is_one_line_and_exit_1(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr("node.keystore.list_key_files", broken)
    result = run("keys", "list", "--json")
    assert result.code == 1
    assert result.error["message"] == "this is a defect: ValueError: two lines"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), BaseExceptionGroup("", [BaseExceptionGroup("", [KeyboardInterrupt()])])])
def test_ctrl_c_is_one_line_also_out_of_an_event_loop(run: Any, monkeypatch: pytest.MonkeyPatch, stop: BaseException) -> None:
    """Failed before: a command that was waiting for a node ended with the traceback of a group."""

    def waiting(*_: object) -> None:
        raise stop

    monkeypatch.setattr("node.keystore.list_key_files", waiting)
    result = run("keys", "list", "--json")
    assert result.code == 2
    assert result.error["message"] == "interrupted"


def test_version(run: Any) -> None:
    assert run("version", "--json").data["block_protocol"] == 11


def test_help_is_fast_and_loads_no_heavy_module() -> None:
    code = (
        "import sys; from node.cli.main import main; main(['--help']); "
        "print([m for m in ('trio', 'rich', 'plyvel', 'starlette', 'cryptography', 'structlog') if m in sys.modules])"
    )
    start = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
    assert "testnet" in out
    assert time.perf_counter() - start < 5  # 0.05 s on an idle machine; the bound only catches a hang
