"""`qenex config` and `qenex log`: what holds and where it comes from, a check that is a start's, levels of a running node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from node.cli.log import parse_duration
from node.cli.main import main
from node.config import setting_keys
from node.rpc.roles import Role
from node.rpc.tokens import add_token
from node.telemetry.logs import current_levels
from state.primitives.errors import ConfigError
from tests.node.rpc.live import make_live, running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QENEX_HOME", str(tmp_path / "user"))
    root = tmp_path / "node0"
    assert main(["init", "--home", str(root), "--no-encrypt"]) == 0
    (root / "genesis.json").write_text("{}")
    return root


def rewrite(home: Path, old: str, new: str) -> None:
    text = (home / "config.toml").read_text()
    assert old in text
    (home / "config.toml").write_text(text.replace(old, new, 1))


def test_show(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "config.toml").write_text('[rpc]\nclient_burst = 5\n[index]\ndsn = "password=hush"\n[alerts]\nwebhook_url = "https://h/hush"\n')
    monkeypatch.setenv("QENEX_LOG_LEVELS", "p2p=debug")
    monkeypatch.setenv("QENEX_RPC_CLIENT_BURST", "6")
    capsys.readouterr()
    assert main(["config", "show", "--home", str(home), "--set", "log.level=error", "--json"]) == 0
    out = capsys.readouterr().out
    rows = {row["setting"]: (row["value"], row["from"]) for row in json.loads(out)["settings"]}
    assert tuple(rows) == setting_keys()
    assert rows["rpc.client_burst"] == ("6", "the environment variable QENEX_RPC_CLIENT_BURST")
    assert rows["log.levels"] == ('["p2p=debug"]', "the environment variable QENEX_LOG_LEVELS")
    assert rows["log.level"] == ('"error"', "--set log.level")
    assert rows["index.dsn"] == rows["alerts.webhook_url"] == ("(not shown)", "the file")
    assert rows["mempool.txs_max"] == ("100000", "default")
    assert "hush" not in out
    assert main(["config", "show", "--home", str(home)]) == 0
    assert "hush" not in capsys.readouterr().out


def test_check(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--home", str(home)]) == 0
    assert "no mistake" in capsys.readouterr().out
    before = sorted(path.name for path in home.rglob("*"))
    cases = [
        ('level = "info"', 'level = "loud"', "log.level"),
        ('level = "loud"', "level = ", "not TOML"),
        ("level = ", 'level = "info"', ""),
        ('tls_cert = ""', 'tls_cert = "none.pem"', "go together"),
        ('tls_key = ""', 'tls_key = "none.pem"', "none.pem"),
        ('tls_cert = "none.pem"\n', 'tls_cert = ""\n', "go together"),
        ('tls_key = "none.pem"\n', 'tls_key = ""\n', ""),
        ('rules = ""', 'rules = "none.json"', "none.json"),
        ('rules = "none.json"', 'rules = ""', ""),
        ('access = "open"', 'access = "tokens"', "rpc_tokens.json"),
        ('access = "tokens"', 'access = "open"', ""),
        ('webhook_url = ""', 'webhook_url = "https://h/hush"', "webhook_secret_file"),
    ]
    for old, new, says in cases:
        rewrite(home, old, new)
        code = main(["config", "check", "--home", str(home), "--json"])
        found = capsys.readouterr()
        assert code == (2 if says else 0), (new, found.err)
        if says:
            error = json.loads(found.err)["error"]
            assert says in error["message"] and "hush" not in found.err, error
    assert sorted(path.name for path in home.rglob("*")) == before


MISTAKES = [
    ("config", "show", "--home", "missing"),
    ("config", "check", "--home", "missing"),
    ("config", "reload", "--home", "missing"),
    ("config", "reload", "--node", "ftp://x"),
    ("config", "reload", "--node", "http://127.0.0.1:1"),
    ("log", "level", "--node", "http://127.0.0.1:1"),
    ("log", "level", "consenus"),
    ("log", "level", "consensus", "loud"),
    ("log", "level", "consensus", "debug", "--for", "10"),
    ("log", "level", "consensus", "debug", "--for", "0m"),
    ("log", "level", "consensus", "debug", "--for", "25h"),
    ("log", "level", "consensus", "--for", "10m"),
]


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_mistakes_are_one_line(home: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["hint"] or error["message"]
    assert "defect" not in error["message"]


def test_a_home_that_nobody_runs_is_not_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "reload", "--home", str(home)]) == 2
    assert "no node runs" in capsys.readouterr().err
    rewrite(home, 'level = "info"', 'level = "loud"')
    assert main(["config", "reload", "--home", str(home)]) == 2
    assert "log.level" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7_200)])
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "1.5m", "-1m", "1d", "1m\n", "9999999s", "１m"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ConfigError, match="--for"):
        parse_duration(text)


async def test_levels_of_a_running_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    live = make_live(tmp_path / "net", 1)
    monkeypatch.setenv("QENEX_NODE", live.url)

    async def run(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = await trio.to_thread.run_sync(main, [*arguments, "--json"])
        found = capsys.readouterr()
        return code, json.loads(next(line for line in reversed((found.out + found.err).splitlines()) if line.startswith("{")))

    async with running(live, 1):
        code, answer = await run("log", "level", "consensus", "debug")
        assert (code, "operator" in answer["error"]["message"]) == (2, True)
        monkeypatch.setenv("QENEX_TOKEN", add_token(live.root / "node0" / "rpc_tokens.json", "ops", Role.OPERATOR, "2026-01-31"))
        code, answer = await run("log", "level", "consensus", "error", "--for", "10m")
        assert [(row["module"], row["level"], row["by"]) for row in answer["levels"]] == [("consensus", "error", "operator")]
        assert answer["levels"][0]["until"].endswith("Z")
        assert current_levels()["consensus"] == "error"
        code, answer = await run("log", "level")
        assert {row["module"]: row["level"] for row in answer["levels"]} == current_levels()
        code, answer = await run("log", "level", "all", "default")
        assert {row["by"] for row in answer["levels"]} == {"settings"}
        code, answer = await run("config", "reload")
        assert (code, answer["applied"], answer["needs_restart"]) == (0, [], [])
