"""A real node with tokens: a regulator's read is in the log before the answer, the anchor lands on the chain, a log written anew fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import trio

from node.audit.chain import Entry, Head, make_entry, read_line, write_line
from node.audit.journal import Journal, Note, note_path
from node.config import Home, load_config, render_config
from node.config_sections import AuditConfig
from node.rpc.client import Client
from node.rpc.errors import AUDIT_UNAVAILABLE, FORBIDDEN, UNAUTHENTICATED
from node.rpc.roles import Role
from node.rpc.tokens import add_token
from state.primitives.ids import format_address
from tests.node.maintenance.chain import qenex
from tests.node.rpc.live import Live, make_live, running


def entries_of(home: Home) -> list[Entry]:
    return [read_line(line) for line in home.audit_log_file.read_bytes().splitlines(keepends=True)]


def write_anew(home: Home, change: tuple[bytes, bytes]) -> None:
    """What somebody does who has the file, and knows how hashes and the note are made."""
    head, lines = Head(), []
    for line in home.audit_log_file.read_bytes().replace(*change).splitlines():
        old = json.loads(line)
        entry = make_entry(head, old["time_ns"], old["actor"], old["action"], old["detail"])
        head = Head(entry.number, entry.hash)
        lines.append(write_line(entry))
    home.audit_log_file.write_bytes(b"".join(lines))
    note_path(home.audit_log_file).write_bytes(Note(head, sum(map(len, lines))).to_bytes())


def make_network(root: Path) -> tuple[Live, dict[Role, str]]:
    live = make_live(root, 1, access="tokens")
    home = root / "node0"
    (home / "keys" / "anchor.json").write_bytes((root / "keys" / "alice.json").read_bytes())
    (home / "keys" / "anchor.json").chmod(0o600)
    path = home / "config.toml"
    audit = AuditConfig(anchor_key="keys/anchor.json", anchor_interval_s=1)
    path.write_text(render_config(msgspec.structs.replace(load_config(path, environment={}), audit=audit)))
    return live, {role: add_token(home / "rpc_tokens.json", role.value, role, "2026-01-31") for role in Role}


class Asking:
    """Calls with a token."""

    def __init__(self, http: httpx2.AsyncClient, url: str, tokens: dict[Role, str]) -> None:
        self._http, self._url, self._tokens = http, url, tokens

    async def __call__(self, role: Role | None, method: str, **params: Any) -> Any:
        headers = {"x-request-id": f"id-{method}"}
        if role is not None:
            headers["authorization"] = f"Bearer {self._tokens[role]}"
        body = json.dumps({"id": 1, "method": method, "params": params})
        return (await self._http.post(self._url, content=body, headers=headers)).json()


async def test_reads_are_recorded_anchored_and_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live, tokens = make_network(tmp_path / "net")
    home = Home(tmp_path / "net" / "node0")
    alice = format_address(live.sender)
    async with running(live, 1), httpx2.AsyncClient(timeout=60) as http:
        ask = Asking(http, live.url, tokens)
        await _check_who_is_recorded(ask, home, alice)
        await _check_entries_by_rpc(ask, alice)
        monkeypatch.setenv("QENEX_TOKEN", tokens[Role.PUBLIC])
        async with Client(live.url) as client:
            wanted = len(entries_of(home))
            while int(([*(await client.call("audit_anchors", account=alice))["logs"], {"entries": 0}])[0]["entries"]) < wanted:
                await trio.sleep(0.05)
            (log,) = (await client.call("audit_anchors", account=alice))["logs"]
            (first, *_) = (await client.call("audit_anchors", account=alice, log=log["log"]))["anchors"]
            proven = await client.prove(first["path"])
            assert proven.value is not None and bytes.fromhex(first["head"]) in proven.value

        def verify(*options: str) -> Any:
            return qenex("audit", "verify", "--home", home.root, "--rpc", live.url, "--json", *options)

        good = await trio.to_thread.run_sync(verify, "--prove")
        assert (good.code, good.data["problems"]) == (0, []), good
        assert int(good.data["anchored_entries"]) >= wanted and good.data["anchors_checked"] >= 1
        await _check_anchors_by_hand(live, home, tokens, monkeypatch)
        copy = home.audit_log_file.read_bytes()
        (tmp_path / "copy").mkdir()
        other = Home(tmp_path / "copy")
        other.data_dir.mkdir()
        other.audit_log_file.write_bytes(copy)
        write_anew(other, (b"comp_account", b"account"))

        def verify_file(*options: str) -> Any:
            return qenex("audit", "verify", "--file", other.audit_log_file, "--json", *options)

        assert (await trio.to_thread.run_sync(verify_file)).code == 0  # every hash is right
        bad = await trio.to_thread.run_sync(verify_file, "--rpc", live.url, "--account", alice)
        assert bad.code == 1 and "written anew" in " ".join(bad.data["problems"]), bad
        other.audit_log_file.write_bytes(copy)
        write_anew(other, (b'"nonce":"', b'"nonce":"0'))
        bad = await trio.to_thread.run_sync(verify_file, "--rpc", live.url, "--account", alice)
        assert bad.code == 1 and "has anchored no log" in " ".join(bad.data["problems"])
        await _check_that_nothing_is_answered_unrecorded(ask, home, alice)
    found = entries_of(home)
    assert found[-1].action == "node.stop" and found[-1].detail["reason"] == ""
    assert [entry.actor for entry in found if entry.action == "rpc.request" and entry.detail["method"] == "kyc_credentials"] == []
    assert qenex("audit", "verify", "--home", home.root).code == 0


async def _check_who_is_recorded(ask: Asking, home: Home, alice: str) -> None:
    begin, start = entries_of(home)[:2]
    assert (begin.action, start.action, start.actor) == ("log.begin", "node.start", "node")
    assert "result" in await ask(Role.REGULATOR, "comp_account", account=alice)
    last = entries_of(home)[-1]  # before anything else was asked
    assert (last.actor, last.detail["method"], last.detail["accounts"]) == ("token:regulator", "comp_account", alice)
    assert last.detail["request"] == "id-comp_account" and last.detail["address"] == "127.0.0.1"
    count = len(entries_of(home))
    for role, method in ((Role.PUBLIC, "status"), (Role.SUBMIT, "status"), (Role.OPERATOR, "health")):
        assert "result" in await ask(role, method)
    assert len(entries_of(home)) == count
    assert "result" in await ask(Role.OPERATOR, "status")
    assert entries_of(home)[-1].actor == "token:operator"
    for _ in range(5):
        assert (await ask(Role.SUBMIT, "comp_account", account=alice))["error"]["code"] == FORBIDDEN
        assert (await ask(None, "status"))["error"]["code"] == UNAUTHENTICATED
    while len([entry for entry in entries_of(home) if entry.action == "rpc.refused"]) < 2:
        await trio.sleep(0.02)
    refused = [(entry.actor, entry.detail["code"]) for entry in entries_of(home) if entry.action == "rpc.refused"]
    assert sorted(refused) == [("address:127.0.0.1", UNAUTHENTICATED), ("token:submit", FORBIDDEN)]


async def _check_entries_by_rpc(ask: Asking, alice: str) -> None:
    assert (await ask(Role.REGULATOR, "audit_entries"))["error"]["code"] == FORBIDDEN
    found = (await ask(Role.OPERATOR, "audit_entries", actor="token:regulator", action="rpc.request", limit=5))["result"]
    assert [entry["detail"]["accounts"] for entry in found["entries"]] == [alice]
    newest = (await ask(Role.OPERATOR, "audit_entries", limit=1))["result"]["entries"]
    assert newest[0]["detail"]["method"] == "audit_entries"  # this call itself
    before = (await ask(Role.OPERATOR, "audit_entries", before=3, limit=10))["result"]
    assert [entry["number"] for entry in before["entries"]] == ["1", "2"]
    for wrong in ({"limit": 0}, {"limit": 101}, {"before": -1}):
        assert "error" in await ask(Role.OPERATOR, "audit_entries", **wrong)


async def _check_anchors_by_hand(live: Live, home: Home, tokens: dict[Role, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QENEX_TOKEN", tokens[Role.SUBMIT])
    bob = live.root / "keys" / "bob.json"

    def run(*arguments: object) -> Any:
        return qenex(*arguments, "--node", live.url, "--json")

    sent = ("--from", bob, "--home", home.root, "--wait")
    teller = ("tx", "audit", "anchor", "--log", "teller/1", "--entries", "5", "--head", "ab" * 32, *sent)
    assert (await trio.to_thread.run_sync(run, *teller)).code == 0
    again = await trio.to_thread.run_sync(run, *teller)
    assert (again.code, again.data["code_name"]) == (1, "ASSERT_FAILED")  # it has not grown
    assert (await trio.to_thread.run_sync(run, "audit", "anchor", *sent)).code == 0
    address = format_address(live.recipient)
    shown = (await trio.to_thread.run_sync(run, "query", "anchors", address, "--log", "teller/1")).data
    assert shown["logs"][0]["log"] == "teller/1" and len(shown["logs"]) == 2
    assert [(row["entries"], row["head"]) for row in shown["anchors"]] == [("5", "ab" * 32)]
    verified = await trio.to_thread.run_sync(qenex_verify(home, live.url, address))
    assert (verified.code, verified.data["other_logs"]) == (0, ["teller/1 (5 entries)"]), verified


def qenex_verify(home: Home, url: str, account: str) -> Callable[[], Any]:
    return lambda: qenex("audit", "verify", "--home", home.root, "--rpc", url, "--account", account, "--prove", "--json")


async def _check_that_nothing_is_answered_unrecorded(ask: Asking, home: Home, alice: str) -> None:
    kept = home.audit_log_file.rename(home.audit_log_file.with_name("kept"))
    home.audit_log_file.mkdir()
    assert (await ask(Role.REGULATOR, "kyc_credentials", account=alice))["error"]["code"] == AUDIT_UNAVAILABLE
    before = (await ask(Role.PUBLIC, "status"))["result"]["sync_info"]["latest_block_height"]
    while (await ask(Role.PUBLIC, "status"))["result"]["sync_info"]["latest_block_height"] == before:  # the chain goes on
        await trio.sleep(0.02)
    health = (await ask(Role.PUBLIC, "node_health"))["result"]
    assert next(part for part in health["parts"] if part["name"] == "audit")["points"] == 0
    home.audit_log_file.rmdir()
    kept.rename(home.audit_log_file)
    assert "result" in await ask(Role.REGULATOR, "comp_account", account=alice)
    gap = next(entry for entry in entries_of(home) if entry.action == "log.gap")
    assert gap.detail["refused"] == 1 and "AUDIT_LOG_UNAVAILABLE" in str(gap.detail["reason"])


def test_a_damaged_log_does_not_stop_a_node_from_starting_and_renewing_mends_it(tmp_path: Path) -> None:
    live, tokens = make_network(tmp_path / "net")
    home = Home(tmp_path / "net" / "node0")
    journal = Journal.open(home)
    journal.record("os:ann", "rpc.token.revoke", name="x")
    journal.close()
    home.audit_log_file.write_bytes(home.audit_log_file.read_bytes()[:-10])

    async def run() -> None:
        async with running(live, 1), httpx2.AsyncClient(timeout=60) as http:
            ask = Asking(http, live.url, tokens)
            assert (await ask(Role.OPERATOR, "status"))["error"]["code"] == AUDIT_UNAVAILABLE
            assert "result" in await ask(Role.PUBLIC, "status")
            renewed = await trio.to_thread.run_sync(
                lambda: qenex("audit", "renew", "--home", home.root, "--reason", "its end was cut", "--yes", "--json")
            )
            assert renewed.code == 0, renewed
            assert "result" in await ask(Role.OPERATOR, "status")

    trio.run(run)
    found = entries_of(home)
    assert (found[0].action, found[0].detail["reason"]) == ("log.begin", "its end was cut")
    assert {"node.start", "log.gap", "rpc.request", "node.stop"} <= {entry.action for entry in found}
    assert qenex("audit", "verify", "--home", home.root).code == 0
