"""The commands: what each leaves in the log of its home, what `qenex audit` says and with which exit code, and mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from node.audit.chain import Entry, read_line
from node.audit.commands import command_actor, record_command, recorded
from node.audit.journal import Journal, make_fact, note_path
from node.config import Home
from state.primitives.errors import ConfigError
from tests.node.maintenance.chain import make_home, qenex


def entries_of(home: Path) -> list[Entry]:
    return [read_line(line) for line in Home(home).audit_log_file.read_bytes().splitlines(keepends=True)]


def last(home: Path, *actions: str) -> list[dict[str, Any]]:
    """The details of the last entries, which must be of these actions and of this user."""
    found = entries_of(home)[-len(actions) :]
    assert [entry.action for entry in found] == list(actions)
    assert all(entry.actor == command_actor() for entry in found)
    return [entry.detail for entry in found]


async def test_commands_on_a_home_leave_an_entry(tmp_path: Path) -> None:
    home = await make_home(tmp_path / "net", 3)
    assert not Home(home).audit_log_file.exists()  # made by the first that has something to say
    assert qenex("rpc", "token", "new", "--home", home, "--role", "regulator", "--name", "desk").code == 0
    assert last(home, "rpc.token.new") == [{"name": "desk", "role": "regulator", "account": None}]
    assert qenex("rpc", "token", "revoke", "--home", home, "--name", "desk").code == 0
    assert last(home, "rpc.token.revoke") == [{"name": "desk"}]
    assert qenex("rpc", "token", "revoke", "--home", home, "--name", "desk").code == 2
    _, failed = last(home, "rpc.token.revoke", "command.failed")
    assert (failed["command"], failed["entry"], failed["error"]) == ("rpc.token.revoke", len(entries_of(home)) - 1, "CONFIG")
    assert qenex("audit", "state", home).code == 0
    assert last(home, "state.audit")[0]["clean"] is True
    assert qenex("export", tmp_path / "state", "--home", home).code == 0
    assert last(home, "state.export") == [{"file": str(tmp_path / "state"), "height": None}]
    assert qenex("export", tmp_path / "state", "--home", home).code == 2
    last(home, "state.export", "command.failed")
    assert qenex("reindex", "--home", home).code == 0
    assert last(home, "index.remake") == [{"backend": "sqlite"}]
    assert qenex("prune", "--home", home, "--retain", "2").code == 0
    assert last(home, "prune") == [{"retain": 2, "height": 3}]
    assert qenex("rollback", "--home", home, "--yes").code == 0
    assert last(home, "rollback") == [{"from_height": 3, "to_height": 2}]
    new = tmp_path / "new"
    assert qenex("init", "--home", new, "--no-validator", "--no-encrypt").code == 0
    assert last(new, "home.init")[0]["chain_id"] == ""
    assert qenex("genesis", "install", "--home", new, "--genesis", home / "genesis.json").code == 0
    assert len(str(last(new, "genesis.install")[0]["genesis_sha256"])) == 64
    assert qenex("import", tmp_path / "state", "--home", new).code == 0
    assert last(new, "state.import") == [{"file": str(tmp_path / "state"), "trust_hash": ""}]
    for where in (home, new):
        assert qenex("audit", "verify", "--home", where).code == 0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a log of 41 entries."""
    assert qenex("init", "--home", tmp_path / "home", "--no-validator", "--no-encrypt").code == 0
    made = tmp_path / "home"
    (made / "genesis.json").write_text("{}")
    journal = Journal.open(Home(made))
    journal.record_facts([make_fact("token:desk", "log.level", {"module": str(number), "level": "x"}) for number in range(39)])
    journal.close()
    return made


def test_what_cannot_be_recorded_is_not_done(home: Path) -> None:
    log = Home(home).audit_log_file
    log.rename(log.with_name("kept"))
    log.mkdir()
    for command in (("rpc", "token", "new", "--role", "operator", "--name", "x"), ("audit", "list"), ("audit", "verify")):
        ran = qenex(*command, "--home", home, "--json")
        assert (ran.code, ran.error["code"]) == (2, 2230), ran
    assert not Home(home).tokens_file.exists()


def test_a_failure_that_cannot_be_recorded_does_not_hide_the_failure(home: Path) -> None:
    with pytest.raises(ConfigError, match="the first"), recorded(Home(home), "rpc.token.revoke", name="x"):
        shutil.rmtree(Home(home).data_dir)
        Home(home).data_dir.write_text("")
        raise ConfigError("the first")


def test_the_actor_is_not_what_the_environment_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody")
    assert record_command(Home(home), "rpc.token.revoke", name="x") == 42
    assert entries_of(home)[-1].actor.startswith("os:") and "somebody" not in entries_of(home)[-1].actor


def test_list(home: Path) -> None:
    found = qenex("audit", "list", "--home", home, "--last", "2", "--json").data["entries"]
    shown = [(entry["number"], entry["actor"], entry["detail"]["module"]) for entry in found]
    assert shown == [(40, "token:desk", "37"), (41, "token:desk", "38")]
    assert found[0]["time"].endswith("Z")
    assert qenex("audit", "list", "--home", home, "--action", "home.*", "--json").data["entries"][0]["number"] == 2
    text = qenex("audit", "list", "--home", home, "--before", "3").out.splitlines()
    assert text[0].split() == ["number", "time", "actor", "action", "detail"] and len(text) == 3
    assert "moniker=node" in text[2]


def test_verify_and_its_exit_codes(home: Path, tmp_path: Path) -> None:
    log = Home(home).audit_log_file
    good = qenex("audit", "verify", "--home", home, "--json")
    assert (good.code, good.data["good"], good.data["entries"]) == (0, True, "41")
    assert qenex("audit", "verify", "--home", home).out.splitlines()[-1] == "good"
    log.write_bytes(log.read_bytes().replace(b'"module":"20"', b'"module":"21"'))
    bad = qenex("audit", "verify", "--home", home, "--json")
    assert (bad.code, bad.data["good"], bad.data["first_bad"]) == (1, False, "23")
    assert "the first entry that is wrong: 23" in qenex("audit", "verify", "--home", home).out
    refused = qenex("audit", "anchor", "--home", home, "--from", "x", "--json")
    assert (refused.code, refused.error["name"]) == (2, "AUDIT_LOG_DAMAGED")
    nowhere = tmp_path / "none"
    for mistake in (("--home", nowhere), ("--file", nowhere), ("--home", home, "--prove"), ("--home", home, "--account", "x")):
        assert qenex("audit", "verify", *mistake).code == 2
    assert "--account" in qenex("audit", "verify", "--home", home, "--rpc", "127.0.0.1:1", "--json").error["hint"]
    address = "qx1qxg83utgeydjphpynd58rdd872j703nuk2avjrvcv03v4wkz79lsv57emd"
    gone = qenex("audit", "verify", "--home", home, "--rpc", "127.0.0.1:1", "--account", address, "--json")
    assert (gone.code, gone.error["name"]) == (2, "CLIENT")


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_export_can_be_checked_alone_and_is_recorded(home: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "cut"
    options = ("audit", "export", "--home", home, "--from", "10", "--to", "20", "--format", kind)
    done = qenex(*options, "--out", out, "--json")
    assert (done.code, done.data["entries"], done.data["first"], done.data["last"]) == (0, 11, "10", "20"), done
    assert last(home, "audit.export") == [{"first": 10, "last": 20, "format": kind, "file": str(out)}]
    checked = qenex("audit", "verify", "--file", out, "--json")
    assert (checked.code, checked.data["is_cut"], checked.data["first"], checked.data["entries"]) == (0, True, "10", "20")
    again = qenex(*options, "--out", out, "--json")
    assert (again.code, again.error["name"]) == (2, "CONFIG")
    last(home, "audit.export", "command.failed")
    out.write_bytes(out.read_bytes().replace(b"token:desk", b"token:dusk", 1))
    assert qenex("audit", "verify", "--file", out).code == 1
    assert qenex("audit", "export", "--home", home, "--from", "yesterday").code == 2
    assert qenex("audit", "export", "--home", home, "--from", "900").code == 2
    assert qenex("audit", "export", "--home", home, "--json").code == 2
    assert qenex("audit", "export", "--home", home, "--out", tmp_path / "no" / "folder").code == 2


def test_renew(home: Path) -> None:
    assert qenex("audit", "renew", "--home", home, "--reason", "a drill").code == 2  # nobody to ask
    done = qenex("audit", "renew", "--home", home, "--reason", "a drill", "--yes", "--json")
    assert (done.code, done.data["previous"]["previous_entries"]) == (0, 41)
    assert json.loads(Home(home).audit_log_file.read_text())["detail"]["reason"] == "a drill"
    assert qenex("audit", "verify", "--home", home).code == 0
    assert (note_path(Path(done.data["kept_as"]))).exists()  # so an end that was missing is missing still
    kept = qenex("audit", "verify", "--file", done.data["kept_as"], "--json")
    assert (kept.code, kept.data["entries"]) == (0, "41")
    note_path(Path(done.data["kept_as"])).unlink()  # a copy need not have one
    assert qenex("audit", "verify", "--file", done.data["kept_as"]).code == 0


def test_the_bench_says_what_it_measured() -> None:
    data = qenex("bench", "audit", "--entries", "600", "--json").data
    assert data["entries"] == 600 and data["verify_per_second"] > 0 and data["bytes"] > 600 * 300
