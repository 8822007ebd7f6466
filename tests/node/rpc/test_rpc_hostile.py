"""The RPC server against clients that do not behave: damage behind a call, silence, floods, slow readers, budgets."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest
import structlog
import trio
import trio_websocket

from node.config_sections import RpcConfig
from node.rpc import connections, endpoints
from node.rpc.budget import Budgets
from node.rpc.client import Client
from node.rpc.errors import LIMIT_EXCEEDED, RpcError
from node.rpc.events import EventBus
from node.rpc.method import Method
from node.rpc.methods import METHODS
from node.rpc.server import serve_rpc
from state.primitives.errors import ClientError, StorageCorruptError, StorageError


class Backend:
    """As much of a node as these tests need: a height and a bus."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.height = 0
        self.version = "test"
        self.chain_id = "test-1"
        self.loads = 0
        self.reason = ""

    def base_height(self) -> int:
        return 1

    def load_events(self, height: int) -> Any:
        self.loads += 1
        return LargeEvents(height)

    def why_not_ready(self, age_s_max: int) -> str:
        return self.reason

    def commit(self) -> None:
        self.height += 1
        news, self.bus.news = self.bus.news, trio.Event()
        news.set()


class LargeEvents:
    """A block's events of a megabyte."""

    def __init__(self, height: int) -> None:
        self.height = height

    def matching(self, query: Any, after: int) -> Any:
        yield {"query": query.text, "data": "x" * 1_000_000, "events": {"block.height": [str(self.height)]}}


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[Backend, str]]:
    backend: Any = Backend()
    config = RpcConfig(listen="127.0.0.1:0", **settings)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(120):
            address = await nursery.start(serve_rpc, backend, config, structlog.get_logger())
            yield backend, address
            nursery.cancel_scope.cancel()


async def connect(address: str) -> trio.SocketStream:
    host, port = address.rsplit(":", 1)
    return await trio.open_tcp_stream(host, int(port))


UPGRADE = (
    b"GET /websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def post_bytes(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def frame(text: bytes) -> bytes:
    """A masked text frame, the mask being zeros."""
    return b"\x81" + struct.pack("!B", 0x80 | len(text)) + bytes(4) + text


async def ask(address: str, method: str = "health") -> Any:
    async with httpx2.AsyncClient() as client:
        response = await client.post(f"http://{address}", json={"id": 1, "method": method}, timeout=20)
        assert response.status_code == 200
        return response.json()


def add_method(monkeypatch: pytest.MonkeyPatch, name: str, handler: Callable[..., Awaitable[Any]]) -> None:
    monkeypatch.setitem(METHODS, name, Method(handler))


@pytest.mark.parametrize("error", [StorageError("the disk is gone"), StorageCorruptError("a flipped bit")])
@pytest.mark.parametrize("way", ["post", "uri", "batch", "websocket"])
async def test_damage_that_a_call_meets_ends_the_node(monkeypatch: pytest.MonkeyPatch, error: Exception, way: str) -> None:
    async def meet(_backend: Any) -> Any:
        raise error

    add_method(monkeypatch, "meet", meet)
    call = b'{"id":1,"method":"meet"}'
    requests = {
        "post": post_bytes(call),
        "batch": post_bytes(b"[" + call + b"," + call + b"]"),
        "uri": b"GET /meet HTTP/1.1\r\nHost: x\r\n\r\n",
        "websocket": frame(call),
    }
    with pytest.raises(BaseExceptionGroup) as caught:
        async with serving() as (_, address), await connect(address) as stream:
            if way == "websocket":
                await stream.send_all(UPGRADE)
                assert b"101" in await stream.receive_some(1000)
            await stream.send_all(requests[way])
            with trio.move_on_after(5):
                await trio.sleep_forever()
    assert caught.value.split(type(error))[0] is not None


async def test_a_bug_in_a_handler_is_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumble(_backend: Any) -> Any:
        return {}["nothing"]

    add_method(monkeypatch, "stumble", stumble)
    async with serving() as (_, address), httpx2.AsyncClient() as client:
        response = await client.post(f"http://{address}", json={"id": 1, "method": "stumble"})
        assert response.json()["error"]["code"] == -32603
        assert (await ask(address))["result"] == {}


async def test_a_full_house_lets_the_longest_silent_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "RPC_YIELD_AFTER_S", 0.2)
    async with serving(connections_max=3) as (_, address):
        silent = [await connect(address) for _ in range(3)]
        late = await connect(address)
        with trio.fail_after(120), pytest.raises((trio.BrokenResourceError, ConnectionResetError, AssertionError)):
            assert await late.receive_some(1) != b""  # no place, and nobody silent for long enough
        with trio.fail_after(120):
            while True:  # until one of them has been silent for long enough
                with suppress(httpx2.TransportError):
                    assert (await ask(address))["result"] == {}
                    break
        for stream in [*silent, late]:
            await stream.aclose()


async def test_half_a_request_does_not_hold_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "READ_SECONDS_MAX", 0.2)
    async with serving() as (_, address), await connect(address) as slow:
        await slow.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        answer = b""
        with trio.fail_after(120):
            while b"did not arrive" not in answer:
                chunk = await slow.receive_some(10_000)
                assert chunk
                answer += chunk


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 1000,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
        b"GET /websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /tx_search?query=%00&prove=%ff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::bad HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
    ],
)
async def test_garbage_costs_its_sender_the_connection_at_most(garbage: bytes) -> None:
    async with serving() as (_, address):
        async with await connect(address) as stream:
            with trio.move_on_after(1), suppress(trio.BrokenResourceError):
                await stream.send_all(garbage)
                await stream.send_eof()
                while await stream.receive_some(10_000):
                    continue
        assert (await ask(address))["result"] == {}


async def test_a_subscriber_that_does_not_read_is_dropped_and_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "RPC_SEND_S_MAX", 0.5)
    async with serving() as (backend, address):
        host, port = address.rsplit(":", 1)
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await trio.to_thread.run_sync(raw.connect, (host, int(port)))
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
        await stream.send_all(UPGRADE)
        with trio.fail_after(120):
            assert b"101" in await stream.receive_some(1000)
        await stream.send_all(frame(b'{"id":1,"method":"subscribe","params":{"query":"tm.event=\'NewBlock\'"}}'))
        with trio.fail_after(120):
            while not backend.bus._subscriptions:
                await trio.sleep(0.01)
        for _ in range(20):
            backend.commit()
        with trio.fail_after(120):
            while backend.bus._subscriptions:
                await trio.sleep(0.05)
        assert backend.loads < 20  # nothing is rendered for one who does not take it
        assert (await ask(address))["result"] == {}
        await stream.aclose()


async def test_a_subscriber_far_behind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as (backend, address), trio_websocket.open_websocket_url(f"ws://{address}/websocket") as ws:
        await ws.send_message('{"id":1,"method":"subscribe","params":{"query":"tm.event=\'NewBlock\'"}}')
        assert json.loads(await ws.get_message())["result"] == {}
        backend.height += 101  # as many blocks between two turns of its task
        backend.commit()
        with trio.fail_after(120):
            answer = json.loads(await ws.get_message())
        assert "not pulling messages fast enough" in answer["error"]["data"]


async def test_what_is_told_again_is_paid_for() -> None:
    async with serving(client_units_per_s=1, client_burst=500) as (backend, address):
        backend.height = 1_000
        async with trio_websocket.open_websocket_url(f"ws://{address}/websocket") as ws:
            codes = []
            for number in range(3):
                params = {"query": f"block.height > {number}", "after": "800/0"}
                await ws.send_message(json.dumps({"id": number, "method": "subscribe", "params": params}))
                while "id" not in (answer := json.loads(await ws.get_message())) or answer["id"] != number:
                    continue
                codes.append(answer.get("error", {}).get("code"))
                await ws.send_message('{"id":"stop","method":"unsubscribe_all"}')
                while json.loads(await ws.get_message())["id"] != "stop":
                    continue
    assert codes == [None, None, LIMIT_EXCEEDED]


async def test_stopping_does_not_wait_for_clients() -> None:
    async with AsyncExitStack() as stack:
        with trio.fail_after(120):
            async with serving() as (_, address):
                for number in range(20):
                    stream = await stack.enter_async_context(await connect(address))
                    await stream.send_all(UPGRADE if number % 2 else b"POST / HTTP/1.1\r\n")
                assert (await ask(address))["result"] == {}


async def test_a_client_that_asks_too_much() -> None:
    async with serving(client_units_per_s=1, client_burst=10) as (_, address):
        answers = [await ask(address) for _ in range(8)]
        codes = [answer.get("error", {}).get("code") for answer in answers]
        assert codes[:4] == [None] * 4
        assert LIMIT_EXCEEDED in codes


async def test_our_client_slows_down_when_told(autojump_clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client("http://127.0.0.1:1")
    answers = [{"error": {"code": LIMIT_EXCEEDED, "data": "more than 1 unit per second"}}] * 3 + [{"result": {"a": 1}}]

    async def post(_method: str, _params: Any) -> Any:
        return answers.pop(0)

    monkeypatch.setattr(client, "_post", post)
    assert await client.call("health") == {"a": 1}
    assert trio.current_time() > 0.7
    answers += [{"error": {"code": LIMIT_EXCEEDED, "data": "more than 1 unit per second"}}] * 20
    with pytest.raises(ClientError, match="more than 1"):
        await client.call("health")


async def test_no_places_for_subscribers() -> None:
    async with serving(subscribers_max=0) as (_, address), await connect(address) as stream:
        await stream.send_all(UPGRADE)
        assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 403")


def test_budgets() -> None:
    now = 0.0
    budgets = Budgets(10, 30, lambda: now)
    spend = budgets.spender_of("10.0.0.1")
    spend(30)
    with pytest.raises(RpcError) as caught:
        spend(1)
    assert caught.value.rpc_code == LIMIT_EXCEEDED
    budgets.spender_of("10.0.0.2")(30)  # another client's bucket
    now = 1.0
    spend(10)
    with pytest.raises(RpcError):
        spend(1)
    now = 1_000.0
    spend(30)  # never more than the burst
    with pytest.raises(RpcError):
        spend(1)
    assert budgets.refused == 3


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "10.0.0.1", False),
    ],
)
def test_who_is_one_client(first: str, second: str, same: bool) -> None:
    budgets = Budgets(1, 5, lambda: 0.0)
    budgets.spender_of(first)(5)
    if same:
        with pytest.raises(RpcError):
            budgets.spender_of(second)(5)
    else:
        budgets.spender_of(second)(5)


def test_budgets_are_bounded_and_can_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.rpc.budget.RPC_CLIENTS_KNOWN_MAX", 10)
    budgets = Budgets(1, 5, lambda: 0.0)
    for number in range(100):
        budgets.spender_of(f"10.0.0.{number}")(1)
    assert len(budgets._buckets) == 10
    for _ in range(1000):
        Budgets(0, 1, lambda: 0.0).spender_of("10.0.0.1")(1000)
