"""The RPC's connections against what protocol libraries would do for a client: HTTP/2, compression, errors nobody thought of."""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import trio
from hypercorn.protocol.h11 import H11Protocol
from trio.testing import MockClock

from node.config_sections import RpcConfig
from node.rpc import budget, connections
from node.rpc.budget import Places
from node.rpc.server import serve_rpc
from p2p.limits import ACCEPT_PAUSE_SECONDS
from state.primitives.errors import StorageCorruptError
from tests.node.rpc.test_rpc_hostile import UPGRADE, Backend, ask, connect, serving

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def h2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + struct.pack("!I", stream) + payload


SETTINGS = h2_frame(4, 0, 0, b"")
# more streams than the library that keeps their order holds, which says so with an error of its own
PRIORITIES = PREFACE + SETTINGS + b"".join(h2_frame(2, 0, 2 * n + 1, struct.pack("!IB", 0, 15)) for n in range(1100))
DEPENDS_ON_ITSELF = PREFACE + SETTINGS + h2_frame(2, 0, 1, struct.pack("!IB", 0x80000001, 15))
HALF_A_REQUEST = PREFACE + SETTINGS + h2_frame(1, 5, 1, b"\x86")
H2C = (
    b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
)


async def exchange(address: str, data: bytes) -> bytes:
    """What comes back until the server closes; within the time that a client may be silent it must."""
    answer = b""
    async with await connect(address) as stream:
        with trio.fail_after(20), suppress(trio.BrokenResourceError):
            await stream.send_all(data)
            while chunk := await stream.receive_some(10_000):
                answer += chunk
    return answer


@pytest.mark.parametrize("data", [PRIORITIES, DEPENDS_ON_ITSELF, HALF_A_REQUEST], ids=["priorities", "circle", "half"])
async def test_http_2_is_not_spoken(data: bytes) -> None:
    async with serving() as (_, address):
        answer = await exchange(address, data)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 505 ")
        assert (await ask(address))["result"] == {}


async def test_a_polite_client_of_http_2_is_told() -> None:
    async with serving() as (_, address):
        assert (await exchange(address, PREFACE)).startswith(b"HTTP/1.1 505 ")
        assert (await exchange(address, b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 505 ")


async def test_an_upgrade_to_http_2_is_answered_in_http_1() -> None:
    async with serving() as (_, address):
        answer = await exchange(address, H2C)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"{}}")


class Lines:
    """A log that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        return

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(("error", event, fields))


@asynccontextmanager
async def serving_lines(lines: Lines) -> AsyncIterator[str]:
    backend: Any = Backend()
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_rpc, backend, RpcConfig(listen="127.0.0.1:0"), lines)
        nursery.cancel_scope.cancel()


GET = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class _OfALibraryError(Exception):
    pass


async def test_whatever_a_connection_raises_ends_it_alone_and_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real = H11Protocol.handle

    async def stumble(http: H11Protocol, event: Any) -> None:
        if b"secret" in getattr(event, "data", b""):
            raise _OfALibraryError(event.data)
        await real(http, event)

    monkeypatch.setattr(H11Protocol, "handle", stumble)
    lines = Lines()
    async with serving_lines(lines) as address:
        for _ in range(5):
            assert await exchange(address, b"secret" * 1_000) == b""
        assert (await exchange(address, GET)).endswith(b"{}}")
    ((level, _, fields),) = lines.lines  # the same thing is said once a minute
    assert level == "error"
    assert fields["errors"][0].startswith("_OfALibraryError at test_connections.py:")
    assert "secret" not in str(lines.lines) and len(str(lines.lines)) < 300


async def test_damage_behind_a_connection_ends_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumble(_http: H11Protocol, _event: Any) -> None:
        raise StorageCorruptError("a flipped bit")

    monkeypatch.setattr(H11Protocol, "handle", stumble)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with serving_lines(Lines()) as address:
            await exchange(address, GET)
            await trio.sleep_forever()
    assert caught.value.split(StorageCorruptError)[0] is not None


async def test_a_client_that_breaks_the_protocol_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumble(_http: H11Protocol, _event: Any) -> None:
        raise trio.BrokenResourceError("gone")

    monkeypatch.setattr(H11Protocol, "handle", stumble)
    lines = Lines()
    async with serving_lines(lines) as address:
        assert await exchange(address, GET) == b""
    assert [(level, fields["dropped"]) for level, _, fields in lines.lines] == [("warning", 1)]


OFFERS_TO_DEFLATE = UPGRADE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n")


async def test_nothing_is_inflated() -> None:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (squeeze.compress(bytes(64_000_000)) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
    async with serving() as (_, address):
        async with await connect(address) as stream:
            await stream.send_all(OFFERS_TO_DEFLATE)
            with trio.fail_after(20):
                answer = await stream.receive_some(1_000)
                assert answer.startswith(b"HTTP/1.1 101 ")
                assert b"sec-websocket-extensions" not in answer.lower()
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(b"\xc1" + struct.pack("!BH", 0x80 | 126, len(bomb)) + bytes(4) + bomb)
                    told = b""
                    while chunk := await stream.receive_some(1_000):
                        told += chunk
                    _, _, close = told.partition(b"\x88")
                    assert not close or struct.unpack("!H", close[1:3]) == (1002,)  # a protocol error
        assert (await ask(address))["result"] == {}


async def test_a_message_without_end_is_not_kept() -> None:
    async with serving(body_bytes_max=65_536) as (_, address):
        async with await connect(address) as stream:
            await stream.send_all(UPGRADE)
            assert b"101" in await stream.receive_some(1_000)
            piece = struct.pack("!BQ", 0x80 | 127, 100_000) + bytes(4) + b"x" * 100_000
            await stream.send_all(b"\x01" + piece)
            with trio.fail_after(20), pytest.raises(trio.BrokenResourceError):
                while True:
                    await stream.send_all(b"\x00" + piece)
        assert (await ask(address))["result"] == {}


async def test_out_of_descriptors_it_pauses_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    lines, real, refusals = Lines(), trio.SocketListener.accept, [errno.EMFILE, errno.ENFILE] * 10

    async def accept(listener: trio.SocketListener) -> trio.SocketStream:
        if refusals:
            number = refusals.pop()
            raise OSError(number, "no more")
        return await real(listener)

    monkeypatch.setattr(trio.SocketListener, "accept", accept)
    started = trio.current_time()
    async with serving_lines(lines) as address:
        while refusals:
            await trio.sleep(ACCEPT_PAUSE_SECONDS)
        assert trio.current_time() - started >= 19 * ACCEPT_PAUSE_SECONDS
        assert (await exchange(address, GET)).endswith(b"{}}")
    assert [fields["reason"] for _, _, fields in lines.lines] == ["no more"] * 2  # each kind once a minute


async def connect_from(host: str, address: str) -> trio.SocketStream:
    """From another loopback address: another client, where the machine's own are not let off."""
    sock = trio.socket.socket()
    await sock.bind((host, 0))
    to, port = address.rsplit(":", 1)
    await sock.connect((to, int(port)))
    return trio.SocketStream(sock)


async def is_served(stream: trio.SocketStream, request: bytes, status: bytes = b"200") -> bool:
    with trio.fail_after(60):
        try:
            await stream.send_all(request)
            return (await stream.receive_some(1_000)).startswith(b"HTTP/1.1 " + status)
        except trio.BrokenResourceError:
            return False


KEPT = b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_one_client_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "is_of_this_machine", lambda client: False)
    async with serving(connections_max=10, client_connections_max=3) as (_, address), AsyncExitStack() as stack:
        served = []
        for _ in range(5):
            stream = await stack.enter_async_context(await connect_from("127.0.0.2", address))
            served.append(await is_served(stream, KEPT))
        assert served == [True] * 3 + [False] * 2
        assert await is_served(await stack.enter_async_context(await connect_from("127.0.0.3", address)), KEPT)


async def test_a_client_that_has_its_share_lets_go_its_own_longest_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "is_of_this_machine", lambda client: False)
    monkeypatch.setattr(connections, "RPC_YIELD_AFTER_S", 0)
    async with serving(connections_max=10, client_connections_max=2) as (_, address), AsyncExitStack() as stack:
        other = await stack.enter_async_context(await connect_from("127.0.0.3", address))
        assert await is_served(other, KEPT)  # the longest silent of all
        streams = [await stack.enter_async_context(await connect_from("127.0.0.2", address)) for _ in range(2)]
        assert [await is_served(stream, KEPT) for stream in streams] == [True, True]
        third = await stack.enter_async_context(await connect_from("127.0.0.2", address))
        assert await is_served(third, KEPT)
        assert [await is_served(stream, KEPT) for stream in (*streams, third, other)] == [False, True, True, True]


async def test_one_client_leaves_places_for_others_subscribers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "is_of_this_machine", lambda client: False)
    async with serving(subscribers_max=5, client_subscribers_max=2) as (_, address), AsyncExitStack() as stack:
        opened = []
        for host in ("127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.3"):
            stream = await stack.enter_async_context(await connect_from(host, address))
            opened.append(await is_served(stream, UPGRADE, b"101"))
        assert opened == [True, True, False, True]


async def test_a_proxy_on_this_machine_has_no_share() -> None:
    async with serving(connections_max=10, client_connections_max=2, client_subscribers_max=1) as (_, address), AsyncExitStack() as stack:
        for request, status in [(KEPT, b"200")] * 3 + [(UPGRADE, b"101")] * 3:
            assert await is_served(await stack.enter_async_context(await connect(address)), request, status)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("2001:db8::1", False), ("", False)],
)
def test_who_is_on_this_machine(host: str, is_local: bool) -> None:
    assert budget.is_of_this_machine(budget.client_of(host)) is is_local


def test_places() -> None:
    places = Places(3, 2)
    assert [places.take("a"), places.take("a"), places.take("a"), places.take("b"), places.take("c")] == [True, True, False, True, False]
    places.give_back("a")
    assert places.take("c")
    places.set_bounds(5, 0)
    assert [places.take("a"), places.take("a")] == [True, True]
