"""A rolling upgrade, small: four validators, one after the other goes on as another release, and the chain does not wait for it.

`scripts/upgrade` does it with two installed releases in processes of their own. That a release with other rules comes into force at a
height is in `test_upgrade.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from genesis import testnet
from node import opening, wiring
from node.rpc.client import Client
from tests.node.rpc.live import Live, make_live, run_node, wait_for_height

VALIDATORS = 4
UPGRADED = (1, 0)  # in this order; all four are the script's
WAIT_S = 240.0
NEW = "9.9.9"


class Running:
    """Nodes that can be stopped one at a time."""

    def __init__(self, live: Live, nursery: trio.Nursery) -> None:
        self.live, self.nursery = live, nursery
        self.scopes: dict[int, tuple[trio.CancelScope, trio.Event]] = {}
        base = int(live.url.rpartition(":")[2])
        self.urls = [f"http://127.0.0.1:{base + 10 * index}" for index in range(VALIDATORS)]

    async def start(self, index: int) -> None:
        self.scopes[index] = await self.nursery.start(self._run, index)

    async def _run(self, index: int, *, task_status: trio.TaskStatus[Any]) -> None:
        ended = trio.Event()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(run_node, self.live.root / f"node{index}")
                task_status.started((scope, ended))
        ended.set()

    async def stop(self, index: int) -> None:
        scope, ended = self.scopes.pop(index)
        scope.cancel()
        await ended.wait()


async def test_one_after_the_other_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testnet, "DOWNTIME_BLOCKS", 10_000)  # ten blocks a second: on a busy machine half of 100 is missed at once
    live = make_live(tmp_path, VALIDATORS)
    old, outcomes = opening.VERSION, []
    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as nursery:
            nodes = Running(live, nursery)
            for index in range(VALIDATORS):
                await nodes.start(index)
            for index in UPGRADED:
                async with Client(nodes.urls[(index + 1) % VALIDATORS]) as other:
                    await nodes.stop(index)
                    monkeypatch.setattr(opening, "VERSION", NEW)
                    monkeypatch.setattr(wiring, "VERSION", NEW)
                    outcomes.append(await other.send(await live.transfer(other), wait_s=WAIT_S))  # while one is away
                    before = await other.height()
                    await nodes.start(index)
                    async with Client(nodes.urls[index]) as client:
                        status = await client.call("status")
                        assert status["node_info"]["other"]["qenex_version"] == NEW
                        await _until_it_signs(other, status["validator_info"]["address"], before)
                        await wait_for_height(client, outcomes[-1].height)
                        peers = (await client.call("net_info"))["peers"]
                        assert old in {peer["node_info"]["other"]["qenex_version"] for peer in peers} <= {NEW, old}
            await _compare(nodes, outcomes)
            nursery.cancel_scope.cancel()


async def _until_it_signs(client: Client, address: str, above: int) -> None:
    while True:
        height = await client.height()
        if height > above:
            parts = (await client.call("commit", height=str(height)))["signed_header"]["commit"]["signatures"]
            if any(part["validator_address"] == address and part["block_id_flag"] == 2 for part in parts):
                return
        await trio.sleep(0.02)


async def _compare(nodes: Running, outcomes: list[Any]) -> None:
    """Every transfer, and one app hash for each height, on all nodes."""
    assert [outcome.code for outcome in outcomes] == [0] * len(UPGRADED)
    top, seen = outcomes[-1].height, []
    for url in nodes.urls:
        async with Client(url) as client:
            await wait_for_height(client, top)
            for outcome in outcomes:
                assert (await client.wait(outcome.hash)).height == outcome.height
            metas = (await client.call("blockchain", minHeight=str(max(1, top - 19)), maxHeight=str(top)))["block_metas"]
            seen.append([(meta["header"]["height"], meta["header"]["app_hash"], meta["block_id"]["hash"]) for meta in metas])
    assert len(seen[0]) == min(20, top)
    assert all(found == seen[0] for found in seen)
