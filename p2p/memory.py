"""An in-memory network with the interface of `p2p.transport`: for tests, and for simulators that run whole switches.

Streams are bounded pipes, so back-pressure is real; each direction between two nodes can be slow (seconds of delay), dead (bytes
vanish without an error, as behind a cut cable) or cut (the connection breaks, as after a reset). Time is trio's, so
under a `MockClock` it is virtual. Keys are exchanged without proof: nothing here is secure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import trio

from p2p.identity import NodeIdentity
from p2p.transport import Listener, SecureStream
from state.primitives.errors import InsecureLinkError

PIPE_BYTES_MAX: Final = 256 * 1024  # under way in one direction; about what two kernels hold
READ_BYTES: Final = 64 * 1024
_FIRST_PORT: Final = 49152


@dataclass(slots=True)
class Wire:
    """How one direction between two nodes behaves. Change it at any time."""

    delay_seconds: float = 0.0
    is_dead: bool = False


class MemoryNetwork:
    """The wires. Give each switch its own `transport`."""

    def __init__(self) -> None:
        self.listeners: dict[tuple[str, int], _MemoryListener] = {}
        self._wires: dict[tuple[str, str], Wire] = {}
        self._streams: dict[MemoryStream, None] = {}
        self._next_port = _FIRST_PORT

    def transport(self, identity: NodeIdentity, host: str = "") -> MemoryTransport:
        """A node's access; `host` is what others see it come from, its identifier unless given."""
        return MemoryTransport(self, identity, host or identity.id)

    def wire(self, source: str, target: str) -> Wire:
        """The direction from one node identifier to another."""
        return self._wires.setdefault((source, target), Wire())

    def cut(self, first: str, second: str) -> int:
        """Break every connection between two nodes; how many there were. New ones may be made."""
        broken = [stream for stream in self._streams if (stream.own_id, stream.peer_id) == (first, second)]
        for stream in broken:
            stream.shatter()
        return len(broken)

    def take_port(self) -> int:
        """A port that nobody has had."""
        self._next_port += 1
        return self._next_port - 1

    def add(self, *streams: MemoryStream) -> None:
        """Remember open streams."""
        self._streams.update(dict.fromkeys(streams))

    def forget(self, stream: MemoryStream) -> None:
        """A stream is closed."""
        self._streams.pop(stream, None)


class MemoryTransport:
    """See `p2p.transport.Transport`."""

    def __init__(self, network: MemoryNetwork, identity: NodeIdentity, host: str) -> None:
        self._network = network
        self._identity = identity
        self.host = host

    async def listen(self, host: str, port: int) -> list[Listener]:
        """See `Transport`."""
        await trio.lowlevel.checkpoint()
        place = (host, port or self._network.take_port())
        if place in self._network.listeners:
            raise OSError(f"{host}:{place[1]} is taken")
        listener = _MemoryListener(self._network, self._identity, place)
        self._network.listeners[place] = listener
        return [listener]

    async def dial(self, host: str, port: int) -> SecureStream:
        """See `Transport`."""
        await trio.lowlevel.checkpoint()
        listener = self._network.listeners.get((host, port))
        if listener is None:
            raise OSError(f"nobody listens on {host}:{port}")
        theirs = listener.identity
        there = _Pipe(self._network.wire(self._identity.id, theirs.id))
        back = _Pipe(self._network.wire(theirs.id, self._identity.id))
        ours = MemoryStream(self._network, self._identity, theirs, back, there)
        other = MemoryStream(self._network, theirs, self._identity, there, back)
        self._network.add(ours, other)
        try:
            listener.send.send_nowait((other, self.host))
        except (trio.WouldBlock, trio.BrokenResourceError) as error:
            self._network.forget(ours)
            self._network.forget(other)
            raise OSError(f"{host}:{port} does not accept") from error
        return ours


class MemoryStream:
    """See `p2p.transport.SecureStream`."""

    def __init__(
        self, network: MemoryNetwork, own: NodeIdentity, peer: NodeIdentity, inward: _Pipe, outward: _Pipe
    ) -> None:
        self.own_id, self.peer_id = own.id, peer.id
        self._network = network
        self._peer_key = peer.public_key
        self._inward = inward
        self._outward = outward

    async def handshake(self) -> bytes:
        """See `SecureStream`: one small message each way."""
        await self.send_all(b"\x00")
        hello = await self._inward.get(1)
        if not hello:
            raise trio.BrokenResourceError("the peer closed the connection")
        if hello != b"\x00":
            raise InsecureLinkError("not a stream of this network")
        return self._peer_key

    async def send_all(self, data: bytes) -> None:
        """See `SecureStream`."""
        await self._outward.put(data)

    async def receive_some(self) -> bytes:
        """See `SecureStream`."""
        return await self._inward.get(READ_BYTES)

    async def aclose(self) -> None:
        """See `SecureStream`. The peer reads what is under way, then the end."""
        self._outward.close()
        self._inward.shatter()
        self._network.forget(self)
        await trio.lowlevel.checkpoint()

    def shatter(self) -> None:
        """Break both directions at once."""
        self._outward.shatter()
        self._inward.shatter()
        self._network.forget(self)


@dataclass
class _MemoryListener:
    network: MemoryNetwork
    identity: NodeIdentity
    place: tuple[str, int]
    send: trio.MemorySendChannel[tuple[MemoryStream, str]] = field(init=False)
    receive: trio.MemoryReceiveChannel[tuple[MemoryStream, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[tuple[MemoryStream, str]](128)

    @property
    def address(self) -> str:
        return f"{self.place[0]}:{self.place[1]}"

    async def accept(self) -> tuple[SecureStream, str]:
        return await self.receive.receive()

    async def aclose(self) -> None:
        if self.network.listeners.get(self.place) is self:
            del self.network.listeners[self.place]
        self.receive.close()
        await trio.lowlevel.checkpoint()


class _Pipe:
    """One direction of one connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._chunks: deque[tuple[float, bytes]] = deque()  # (readable at, bytes)
        self._size = 0
        self._is_closed = False
        self._is_broken = False
        self._changed = trio.Event()

    async def put(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        for start in range(0, len(data), READ_BYTES):
            while self._size >= PIPE_BYTES_MAX and not (self._is_broken or self._is_closed):
                await self._changed.wait()
            if self._is_broken or self._is_closed:
                raise trio.BrokenResourceError("the connection broke")
            chunk = data[start : start + READ_BYTES]
            self._size += len(chunk)
            if not self._wire.is_dead:
                self._chunks.append((trio.current_time() + self._wire.delay_seconds, chunk))
            self._notify()

    async def get(self, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._chunks or self._chunks[0][0] > trio.current_time():
            if self._is_broken:
                raise trio.BrokenResourceError("the connection broke")
            if self._chunks:
                with trio.move_on_at(self._chunks[0][0]):
                    await self._changed.wait()
            elif self._is_closed:
                return b""
            else:
                await self._changed.wait()
        ready_at, chunk = self._chunks.popleft()
        if len(chunk) > size:
            self._chunks.appendleft((ready_at, chunk[size:]))
            chunk = chunk[:size]
        self._size -= len(chunk)
        self._notify()
        return chunk

    def close(self) -> None:
        if not self._wire.is_dead:
            self._is_closed = True
            self._notify()

    def shatter(self) -> None:
        self._is_broken = True
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
