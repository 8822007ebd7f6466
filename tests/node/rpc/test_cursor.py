"""Subscriptions that go on where another one ended: on a real node with a reader that keeps disconnecting, and at every bound."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio_websocket
from hypothesis import given
from hypothesis import strategies as st

from node.maintenance.inspect import make_backend
from node.maintenance.opening import open_stopped
from node.rpc import events as events_module
from node.rpc.client import Client
from node.rpc.errors import INTERNAL_ERROR, INVALID_PARAMS, RpcError
from node.rpc.events import Cursor, EventBus, parse_cursor
from node.rpc.query import parse_query
from state.primitives.errors import ClientError
from tests.node.maintenance.chain import make_home
from tests.node.rpc.live import Live, make_live, running, wait_for_height

TXS = 40
ALL = parse_query("block.time EXISTS")  # blocks, headers and transactions


async def test_a_reader_that_disconnects_misses_nothing_and_hears_nothing_twice(tmp_path: Path) -> None:
    async with running(make_live(tmp_path / "net", 1), 1) as live, Client(live.url) as client:
        await wait_for_height(client, 2)
        heard: list[tuple[str, Any]] = []
        start = str(await client.height())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_transfers, live)
            cursor, txs, length = start, 0, 1
            while txs < TXS:
                # each time the connection is cut without a word, with events under way, after one more event than the time before
                async with trio_websocket.open_websocket_url(live.url.replace("http", "ws") + "/websocket") as socket:
                    params = {"query": ALL.text, "after": cursor}
                    await socket.send_message(json.dumps({"id": 1, "method": "subscribe", "params": params}))
                    assert json.loads(await socket.get_message())["result"] == {}
                    for _ in range(length):
                        result = json.loads(await socket.get_message())["result"]
                        cursor = result["cursor"]
                        heard.append((cursor, result["data"]))
                        txs += result["data"]["type"] == "tendermint/event/Tx"
                    if txs % 2:
                        socket._stream.socket.close()
                length += 1
        last = int(cursor.partition("/")[0])
        expected = []
        for height in range(int(start) + 1, last + 1):
            block = (await client.call("block", height=str(height)))["block"]
            expected += [(f"{height}/0", ""), (f"{height}/1", "")]
            expected += [(f"{height}/{index + 2}", tx) for index, tx in enumerate(block["data"]["txs"])]
        got = [(place, data["value"]["TxResult"]["tx"] if "TxResult" in data["value"] else "") for place, data in heard]
        assert got == expected[: len(got)]
        assert len(expected) - len(got) < 60  # the rest of the last block
        # our own client goes on the same way
        async with client.follow("tm.event = 'Tx'", after=start) as stream:
            first = await anext(stream)
        async with client.follow("tm.event = 'Tx'", after=stream.cursor) as stream:
            second = await anext(stream)
        assert [first["value"]["TxResult"]["tx"], second["value"]["TxResult"]["tx"]] == [tx for _, tx in expected if tx][:2]
        with pytest.raises(ClientError, match="is a cursor such as"):
            async with client.follow(after="nonsense"):
                pass


async def send_transfers(live: Live) -> None:
    async with Client(live.url) as client:
        for number in range(TXS):
            raw = await live.transfer(client, amount=number + 1)
            await client.call("broadcast_tx_commit", tx=base64.b64encode(raw).decode())


@pytest.mark.parametrize(
    ("text", "cursor"),
    [
        ("120/3", Cursor(120, 3)),
        ("120", Cursor(120, None)),
        ("0/0", Cursor(0, 0)),
        *((text, None) for text in ("", "/", "1/", "/1", "-1/0", "1/-1", "1/2/3", " 1", "x", "1" * 19, "1/" + "1" * 10, "\u0661")),
    ],
)
def test_cursors(text: str, cursor: Cursor | None) -> None:
    if cursor is None:
        with pytest.raises(RpcError) as caught:
            parse_cursor(text)
        assert caught.value.rpc_code == INVALID_PARAMS
    else:
        assert parse_cursor(text) == cursor


@given(st.text(max_size=30))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        assert parse_cursor(text).height >= 0
    except RpcError:
        return


@pytest.mark.parametrize(
    ("cursor", "code"),
    [
        (Cursor(5_000, 1), 0),
        (Cursor(5_000, None), 0),
        (Cursor(5_100, 0), 0),  # heard from a node that is ahead
        (Cursor(5_101, 0), INVALID_PARAMS),
        (Cursor(4_001, 0), 0),
        (Cursor(4_000, None), 0),
        (Cursor(4_000, 0), INTERNAL_ERROR),
        (Cursor(0, 0), INTERNAL_ERROR),
    ],
)
def test_how_far_back_a_cursor_may_be(cursor: Cursor, code: int) -> None:
    bus = EventBus()
    if code:
        with pytest.raises(RpcError) as caught:
            bus.resume(ALL, cursor, 5_000, 1)
        assert caught.value.rpc_code == code
        assert not bus._subscriptions
    else:
        subscription = bus.resume(ALL, cursor, 5_000, 1)
        assert subscription.height == cursor.height - (cursor.place is not None)
        subscription.close()


def test_blocks_that_are_pruned_are_not_told_again() -> None:
    bus = EventBus()
    with pytest.raises(RpcError, match="from 4900 on, are told again: search them, and subscribe after 5000"):
        bus.resume(ALL, Cursor(4_800, 0), 5_000, 4_900)
    assert bus.resume(ALL, Cursor(4_899, None), 5_000, 4_900).height == 4_899
    assert bus.resume(ALL, Cursor(5_000, None), 5_000, 5_001).height == 5_000


async def test_one_who_began_behind_may_be_behind_until_he_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "RPC_EVENT_BLOCKS_BEHIND_MAX", 3)
    bus = EventBus()
    subscription = bus.resume(ALL, Cursor(10, None), 20, 1)  # ten blocks were missed

    async def next_of(newest: int) -> int | None:
        return await subscription.next_height(lambda: newest, lambda: 1)

    for height in range(11, 18):
        assert await next_of(height + 10) == height  # the chain grows as fast as he reads, and not faster
    for height in range(18, 28):
        assert await next_of(27) == height
    assert await next_of(30) == 28
    assert await next_of(32) is None  # caught up once: now the usual bound holds
    assert subscription.is_overrun
    slow = bus.resume(ALL, Cursor(10, None), 20, 1)
    assert await slow.next_height(lambda: 24, lambda: 1) is None
    assert slow.is_overrun


async def test_places_within_a_height(tmp_path: Path) -> None:
    await make_home(tmp_path / "net", 3)
    with open_stopped(tmp_path / "net" / "node0", read_only=True) as node:
        backend = make_backend(node, "stopped", "00" * 20, "1")
        found = backend.load_events(3)
        everything = [result["cursor"] for result in found.matching(ALL) if result is not None]
        assert everything == [f"3/{place}" for place in range(len(everything))]
        assert len(everything) > 3
        for after in range(-1, len(everything) + 1):
            rest = [result["cursor"] for result in found.matching(ALL, after) if result is not None]
            assert rest == everything[after + 1 :]


async def test_a_cursor_ahead_of_the_node_waits_without_repeating() -> None:
    bus = EventBus()
    subscription = bus.resume(ALL, Cursor(12, 4), 10, 1)
    height = 10
    with trio.move_on_after(0.05) as scope:
        await subscription.next_height(lambda: height, lambda: 1)
    assert scope.cancelled_caught
    height = 12
    assert await subscription.next_height(lambda: height, lambda: 1) == 12
    assert (subscription.heard_of(12), subscription.heard_of(13)) == (4, -1)
