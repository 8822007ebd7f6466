"""Snapshots of running nodes: made by the node's own process while blocks go on, brought into another home, which then catches up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import trio

from node.backup import task
from node.backup.task import TICKET, SnapshotMaker
from node.maintenance.opening import open_stopped
from node.rpc.client import Client
from state.primitives.errors import ClientError, SnapshotError
from tests.node.maintenance.chain import Ran, qenex
from tests.node.rpc.live import make_live, run_node, running, wait_for_height

WAIT_S = 120.0


async def create(live: Any, *options: object) -> Ran:
    """The command, on the first node, beside it."""
    command = ("snapshot", "create", "--home", live.root / "node0", "--node", live.url, "--json", *options)
    return await trio.to_thread.run_sync(qenex, *command)


async def test_a_running_node_is_copied_and_the_copy_catches_up(tmp_path: Path) -> None:
    """Three of four validators run; the fourth begins with the first one's snapshot, without having been there."""
    live = make_live(tmp_path / "net", 4)
    backup = tmp_path / "backup"
    async with running(live, 3), Client(live.url) as client:
        outcome = await client.send(await live.transfer(client, 5), wait_s=WAIT_S)
        assert outcome.code == 0
        await wait_for_height(client, outcome.height + 2)
        first = await create(live)
        assert first.code == 0, first.err
        await wait_for_height(client, int(first.data["height"]) + 3)  # it is made beside the first
        carried = await create(live, "--to", backup)
        assert carried.code == 0, carried.err
        assert Path(carried.data["path"]).parent == backup
        assert not (live.root / "node0" / "snapshots" / carried.data["name"]).exists()
        await wait_for_height(client, int(carried.data["height"]) + 3)
        second = await create(live)
        assert second.data["first_block"] == str(int(first.data["height"]) + 1)
        assert int(second.data["height"]) > int(first.data["height"])
        again = await create(live, "--height", second.data["height"])
        assert (again.code, again.error["name"]) == (2, "SNAPSHOT")
        assert "exists already" in again.error["message"]
        await _refuse_strangers(live, client)

        home, middle = live.root / "node3", int(second.data["height"]) - 1
        (home / "keys" / "validator.json").rename(tmp_path / "validator.json")
        back = await trio.to_thread.run_sync(
            qenex, "snapshot", "restore", second.data["path"], "--home", home, "--to-height", middle, "--json"
        )
        assert back.code == 0, back.err
        header = (await client.call("header", height=str(middle + 1)))["header"]
        assert back.data["app_hash"] == header["app_hash"]
        assert back.data["height"] == str(middle)
        async with trio.open_nursery() as nursery:
            await nursery.start(run_node, home)
            url = f"http://127.0.0.1:{int(live.url.rpartition(':')[2]) + 30}"
            async with Client(url) as other:
                await wait_for_height(other, await client.height())
                top = str(await other.height())
                found = [(await each.call("header", height=top))["header"]["app_hash"] for each in (client, other)]
                assert found[0] == found[1]
            nursery.cancel_scope.cancel()
    with open_stopped(live.root / "node3", read_only=True) as node:
        assert node.store.base_height() == int(first.data["height"])


async def _refuse_strangers(live: Any, client: Client) -> None:
    """Where no tokens are asked for, the port alone is not enough: who asks must be able to write into the home."""
    ticket = live.root / "node0" / "snapshots" / TICKET
    assert not ticket.exists()
    for text in ("", "guess"):
        with pytest.raises(ClientError, match="ticket is not the home's"):
            await client.call("snapshot_create", ticket=text)
    ticket.write_text("once")
    with pytest.raises(ClientError, match="heights are 0 to"):
        await client.call("snapshot_create", height="-5", ticket="once")
    with pytest.raises(ClientError, match="unknown parameter"):
        await client.call("snapshot_create", to="/tmp")
    number = (await client.call("snapshot_create", base=str(1 << 61), ticket="once"))["number"]
    with pytest.raises(ClientError, match="ticket"):
        await client.call("snapshot_create", ticket="once")
    with trio.fail_after(WAIT_S):
        while (status := await client.call("snapshot_status"))["running"] is not None:
            await trio.sleep(0.02)
    assert status["last"]["number"] == number


class Log:
    """Takes what is logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str, **_fields: Any) -> None:
        self.lines.append(text)

    warning = info


async def test_one_at_a_time_and_a_stop_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one is refused while one is made; the node's stop ends it at once, and no part of it stays."""
    from tests.node.maintenance.chain import Chain, make_home

    chain = Chain(await make_home(tmp_path, 3))
    folder = tmp_path / "snapshots"
    maker = SnapshotMaker(chain.store.snapshot, chain.opened.document, folder, "1", Log(), needs_ticket=False)
    monkeypatch.setattr(task, "REST_MAX_S", 0.02)
    monkeypatch.setattr(task, "REST_FACTOR", 10**9)
    async with trio.open_nursery() as nursery:
        await nursery.start(maker.run)
        assert maker.start(None, 0, "") == 1
        with pytest.raises(SnapshotError, match="being made already"):
            maker.start(None, 0, "")
        with trio.fail_after(WAIT_S):
            while not folder.is_dir() or not list(folder.iterdir()):
                await trio.sleep(0.01)
        assert maker.status()["running"]["stage"] in ("starting", "state")
        started = time.monotonic()
        nursery.cancel_scope.cancel()
    assert time.monotonic() - started < 1
    assert list(folder.iterdir()) == []
    chain.close()


async def test_what_fails_is_the_answer_and_ends_nothing(tmp_path: Path) -> None:
    from tests.node.maintenance.chain import Chain, make_home

    chain, log = Chain(await make_home(tmp_path, 3)), Log()
    maker = SnapshotMaker(chain.store.snapshot, chain.opened.document, tmp_path / "no" / "folder", "1", log, needs_ticket=False)
    async with trio.open_nursery() as nursery:
        await nursery.start(maker.run)
        for height, name in ((None, "SNAPSHOT"), (77, "STORAGE")):
            number = maker.start(height, 0, "")
            with trio.fail_after(WAIT_S):
                while maker.status()["running"]:
                    await trio.sleep(0.01)
            last = maker.status()["last"]
            assert (last["number"], last["error"]["name"]) == (number, name)
        assert log.lines == ["no snapshot was made"] * 2
        nursery.cancel_scope.cancel()
    chain.close()
