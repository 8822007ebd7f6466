"""The running node's side: groups, waiting for durability, a log that cannot be written, and what callers do."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from node.audit import journal as journal_module
from node.audit import life, requests, writer
from node.audit.chain import Entry, read_line
from node.audit.journal import Journal
from node.audit.requests import OTHERS, RequestLog, find_subjects, hash_params
from node.audit.verify import verify
from node.audit.writer import AuditWriter
from node.config import Home
from node.config_sections import Config
from node.rpc.access import Identity
from node.rpc.caller import Caller
from node.rpc.errors import AUDIT_UNAVAILABLE, FORBIDDEN, UNAUTHENTICATED, RpcError
from node.rpc.roles import Role
from node.telemetry.alerts import Alert
from node.telemetry.rules import DEFAULT_RULES
from state.primitives.errors import AuditLogUnavailableError, DoubleSignError, QenexError, StateDivergenceError
from state.primitives.ids import format_address

ALICE = format_address(bytes(range(32)))


class Log:
    """Who is warned, and told."""

    def __init__(self) -> None:
        self.warned: list[QenexError] = []
        self.said: list[str] = []

    def warn(self, _who: str, error: QenexError) -> None:
        self.warned.append(error)

    def info(self, text: str, **_fields: Any) -> None:
        self.said.append(text)


def make(home: Path, log: Log | None = None) -> AuditWriter:
    log = log or Log()
    times = iter(range(1_000, 10**9))
    return AuditWriter(Journal(Home(home).audit_log_file), lambda: next(times), log.warn, log)


@asynccontextmanager
async def running(made: AuditWriter) -> AsyncIterator[None]:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(made.run)
            yield
            nursery.cancel_scope.cancel()


def entries_of(home: Path) -> list[Entry]:
    return [read_line(line) for line in Home(home).audit_log_file.read_bytes().splitlines(keepends=True)]


def disk_is_full(patch: pytest.MonkeyPatch) -> None:
    def write(_descriptor: int, _data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(journal_module.os, "write", write)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.sleep(0.01)


async def test_a_record_is_durable_when_it_comes_back_and_many_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, syncs = make(tmp_path), []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (syncs.append(descriptor), real(descriptor)))
    made.note("node", "log.level", module="before", level="x")

    async def record(number: int) -> None:
        await made.record("token:desk", "log.level", module=str(number), level="x")
        assert any(entry.detail.get("module") == str(number) for entry in entries_of(tmp_path))

    async with running(made):
        assert [entry.action for entry in entries_of(tmp_path)] == ["log.begin", "log.level"]  # noted before, there before it has started
        syncs.clear()
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(record, number)
        assert len(syncs) < 20
    assert made.head.entries == 102
    made.close()
    assert verify(Home(tmp_path).audit_log_file).problems == ()


async def test_a_full_disk_refuses_keeps_notes_and_tells_of_the_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.02)
    monkeypatch.setattr(writer, "NOTES_MAX", 3)
    log = Log()
    made = make(tmp_path, log)
    async with running(made):
        with monkeypatch.context() as patch:
            disk_is_full(patch)
            for _ in range(2):
                with pytest.raises(AuditLogUnavailableError, match="No space left"):
                    await made.record("token:desk", "log.level", module="x", level="refused")
            assert made.is_failing and len(log.warned) == 1  # said once, not each time
            for number in range(5):
                made.note("node", "log.level", module=str(number), level="noted")
            assert made.statistics() == {"waiting": 0, "notes": 3, "refused": 2, "lost": 2}
        await until(lambda: not made.is_failing)
        await made.record("token:desk", "log.level", module="x", level="again")
    found = entries_of(tmp_path)[1:]
    assert [entry.action for entry in found] == ["log.gap", *["log.level"] * 4]
    assert (found[0].detail["refused"], found[0].detail["lost"]) == (2, 2)
    assert "AUDIT_LOG_UNAVAILABLE" in str(found[0].detail["reason"])
    assert [entry.detail["module"] for entry in found[1:]] == ["0", "1", "2", "x"]
    assert log.said == ["the audit log is written again"]
    assert made.statistics() == {"waiting": 0, "notes": 0, "refused": 0, "lost": 0}


async def test_a_log_that_disappears_is_noticed_without_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PROBE_S", 0.02)
    log = Log()
    made = make(tmp_path, log)
    async with running(made):
        Home(tmp_path).audit_log_file.unlink()
        await until(lambda: made.is_failing)
    assert log.warned[0].code == 2231


async def test_a_request_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RECORD_S_MAX", 0.05)
    made = make(tmp_path)  # nobody runs it
    with pytest.raises(AuditLogUnavailableError, match="not written fast enough"):
        await made.record("token:desk", "log.level", module="x", level="y")
    assert made.refused == 1


async def test_what_was_noted_last_is_written_at_the_end(tmp_path: Path) -> None:
    made = make(tmp_path)
    life.note_start(made, Config(), "0.1.0", 7)
    async with running(made):
        pass
    life.note_end(made, 9, BaseExceptionGroup("", [StateDivergenceError("another hash"), DoubleSignError("twice")]))
    made.close()
    found = [(entry.action, entry.detail.get("reason", "")) for entry in entries_of(tmp_path)[2:]]
    assert found == [("state.divergence", "another hash"), ("signer.refused", "twice"), ("node.stop", "STATE_DIVERGENCE: another hash")]
    made.note("node", "node.stop", reason="", height=9)
    made.close()
    assert entries_of(tmp_path)[-1].number == 6


async def test_alerts_bans_and_convictions(tmp_path: Path) -> None:
    made = make(tmp_path)
    critical = next(rule for rule in DEFAULT_RULES if rule.severity == "critical")
    warning = next(rule for rule in DEFAULT_RULES if rule.severity == "warning")
    tell = life.note_alert(made)
    for alert in (Alert(warning, "firing", 1, 1, 1), Alert(critical, "firing", 42.5, 1, 1), Alert(critical, "resolved", 0, 1, 2)):
        tell(alert)
    life.note_ban(made)("ab" * 20, DoubleSignError("x"))
    evidence = SimpleNamespace(misbehavior=lambda: [SimpleNamespace(address=b"\x01" * 20)] * 2)
    block: Any = SimpleNamespace(block=SimpleNamespace(evidence=[evidence], header=SimpleNamespace(height=5)))
    life.note_convictions(made, block, (b"\x01" * 20,))
    made.close()
    assert [entry.action for entry in entries_of(tmp_path)[1:]] == ["alert.firing", "alert.resolved", "peer.banned", "validator.convicted"]
    assert entries_of(tmp_path)[-1].detail == {"validator": "01" * 20, "height": 5, "own": True}


# callers


async def test_who_is_recorded(tmp_path: Path) -> None:
    made = make(tmp_path)
    log = RequestLog(made, lambda: 0.0)
    async with running(made):
        for name, role in (("", Role.OPERATOR), ("pub", Role.PUBLIC), ("sub", Role.SUBMIT), ("reg", Role.REGULATOR), ("op", Role.OPERATOR)):
            caller = Caller(lambda name=name, role=role: Identity(name, role), lambda units: None, log, f"id-{name}", "10.0.0.7")
            caller.require(Role.PUBLIC, "account")
            await caller.record(Role.PUBLIC, "account", ("address",), {"address": ALICE})
            await caller.record(None, "health", (), None)  # needs no role: says nothing of anybody
    found = entries_of(tmp_path)[1:]
    assert [entry.actor for entry in found] == ["token:reg", "token:op"]
    assert found[0].detail == {
        "role": "regulator", "method": "account", "params_sha256": hash_params({"address": ALICE}), "accounts": ALICE, "assets": "",
        "request": "id-reg", "address": "10.0.0.7",
    }  # fmt: skip


async def test_what_cannot_be_recorded_is_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path)
    caller = Caller(lambda: Identity("reg", Role.REGULATOR), lambda units: None, RequestLog(made, lambda: 0.0), "", "")
    caller.require(Role.REGULATOR, "comp_acts")
    async with running(made):
        disk_is_full(monkeypatch)
        with pytest.raises(RpcError, match="must be recorded") as caught:
            await caller.record(Role.REGULATOR, "comp_acts", (), None)
        assert caught.value.rpc_code == AUDIT_UNAVAILABLE
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("params", "names", "accounts", "assets"),
    [
        ({"account": ALICE, "asset": "QNX"}, (), [ALICE], ["QNX"]),
        ([ALICE, "EUR"], ("account", "asset"), [ALICE], ["EUR"]),
        ({"path": f"/holding/{ALICE}/EUR"}, (), [ALICE], ["EUR"]),
        ({"pool": "EUR/QNX"}, (), [], ["EUR", "QNX"]),
        ({"query": f"transfer.sender = '{ALICE}'"}, (), [ALICE], []),
        ({"asset": '"QNX"', "account": f'"{ALICE}"'}, (), [ALICE], ["QNX"]),
        ({"asset": "lower", "address": "nothing", "x": [1, None, {"y": "z"}]}, (), [], []),
        (None, (), [], []),
        ("text", (), [], []),
        ([ALICE] * 2_000, (), [ALICE], []),
    ],
)
def test_whom_a_call_is_about(params: Any, names: tuple[str, ...], accounts: list[str], assets: list[str]) -> None:
    assert find_subjects(params, names) == (accounts, assets)


def test_the_order_of_parameters_does_not_count() -> None:
    assert hash_params({"a": 1, "b": 2}) == hash_params({"b": 2, "a": 1}) != hash_params({"a": 1})


def refusals(home: Path) -> list[tuple[str, Any]]:
    return [(entry.actor, entry.detail["suppressed"]) for entry in entries_of(home) if entry.action == "rpc.refused"]


def test_refusals_are_counted_and_not_each_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, now = make(tmp_path), 0.0
    log = RequestLog(made, lambda: now)

    def refuse(identity: Identity | None) -> None:
        def identify() -> Identity:
            if identity is None:
                raise RpcError(UNAUTHENTICATED, "the token is not known here")
            return identity

        with pytest.raises(RpcError):
            Caller(identify, lambda units: None, log, "id", "10.0.0.7").require(Role.OPERATOR, "audit_entries")

    for _ in range(50):
        refuse(None)
        refuse(Identity("desk", Role.PUBLIC))
    now += requests.WINDOW_S
    refuse(None)
    refuse(None)
    made.close()
    assert refusals(tmp_path) == [("address:10.0.0.7", 0), ("token:desk", 0), ("address:10.0.0.7", 49)]
    log.flush()
    made.close()
    assert refusals(tmp_path)[3:] == [("token:desk", 48)]  # with the entry itself 49 that had none
    log.flush(is_last=True)
    made.close()
    assert refusals(tmp_path)[4:] == [("address:10.0.0.7", 0)]
    last = entries_of(tmp_path)[2].detail
    assert (last["code"], last["method"], last["request"]) == (FORBIDDEN, "audit_entries", "id")
    monkeypatch.setattr(requests, "CALLERS_MAX", 3)
    for number in range(20):
        log.refuse(f"address:{number}", "status", UNAUTHENTICATED, "", "")
    log.flush(is_last=True)
    made.close()
    assert refusals(tmp_path)[5:] == [*((f"address:{number}", 0) for number in range(3)), (OTHERS, 0), (OTHERS, 15)]
    assert json.loads(json.dumps(entries_of(tmp_path)[-1].detail))["code"] == UNAUTHENTICATED
