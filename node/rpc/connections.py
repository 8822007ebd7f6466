"""The clients' connections: how many there may be, how long each may make us wait, and how all of them end.

Hypercorn shields what it sends from cancellation. A client that stops reading would hold its task for ever, and with it a node that
must stop; so every chunk has a deadline inside that shield, and the sockets are cut when the server ends. A full house
lets the longest silent connection go. Clients are served a few at a time, so that a flood of them leaves turns for the chain. What they
ask for is not known here. Bounds: reliability.md rows 27 and 28.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Any, Final

import h11
import trio
import wsproto.utilities
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from node.rpc.live import LiveRpc
from state.primitives.limits import RPC_READS_AT_ONCE, RPC_SEND_CHUNK_BYTES, RPC_SEND_S_MAX, RPC_YIELD_AFTER_S

# What the protocol libraries may raise at a hostile client beyond what they handle themselves: the client goes, the node stays.
_PROTOCOL_ERRORS: Final = (
    h11.ProtocolError,
    wsproto.utilities.ProtocolError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    trio.BrokenResourceError,
    trio.BusyResourceError,
    trio.ClosedResourceError,
)
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: forget what is unsent


class Connection:
    """One client's stream, as Hypercorn uses it."""

    def __init__(self, stream: trio.SocketStream, turns: trio.CapacityLimiter) -> None:
        self.socket = stream.socket
        self.active_at = trio.current_time()
        self._stream = stream
        self._turns = turns

    async def send_all(self, data: bytes) -> None:
        """Send everything. A client that does not take a chunk in time is cut off: `trio.BrokenResourceError`."""
        view = memoryview(data)
        for start in range(0, len(view), RPC_SEND_CHUNK_BYTES):
            with trio.move_on_after(RPC_SEND_S_MAX) as scope:
                await self._stream.send_all(view[start : start + RPC_SEND_CHUNK_BYTES])
            if scope.cancelled_caught:
                self.cut()
                raise trio.BrokenResourceError("the client does not read")
            self.active_at = trio.current_time()

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.SocketStream`; TLS asks."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, bytes_max: int | None = None) -> bytes:
        """What the client says next, when it is its turn."""
        data = await self._stream.receive_some(bytes_max)
        async with self._turns:
            await trio.lowlevel.checkpoint()
        self.active_at = trio.current_time()
        return bytes(data)

    async def send_eof(self) -> None:
        """See `trio.SocketStream`."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """See `trio.SocketStream`."""
        await self._stream.aclose()

    def cut(self) -> None:
        """End it now, whoever is sending or receiving."""
        with suppress(OSError):  # closed already
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.close()


class House:
    """Room for `connections_max` connections."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        self._connections: dict[Connection, None] = {}
        self.turned_away = 0

    def __len__(self) -> int:
        return len(self._connections)

    def set_room(self, connections_max: int) -> None:
        """From now on. Who is in stays, also where there are more than that."""
        self._connections_max = connections_max

    def enter(self, connection: Connection) -> bool:
        """Whether there is room, if need be that of a connection that has been silent for long."""
        if len(self._connections) >= self._connections_max:
            oldest = min(self._connections, key=lambda one: one.active_at)
            self.turned_away += 1
            if trio.current_time() - oldest.active_at < RPC_YIELD_AFTER_S:
                return False
            self.leave(oldest)
            oldest.cut()
        self._connections[connection] = None
        return True

    def leave(self, connection: Connection) -> None:
        """It has ended."""
        self._connections.pop(connection, None)

    async def cut_all_at_the_end(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Wait until cancelled, then cut everybody off: no client keeps the node from stopping."""
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            for connection in self._connections:
                connection.cut()


async def serve_connections(
    app: Any,
    settings: Config,
    listeners: list[trio.SocketListener],
    live: LiveRpc,
    log: Any,
) -> None:
    """Serve an ASGI application on open listeners until cancelled. TLS lies around a connection, so its deadlines hold for it too."""
    house = House(live.config.connections_max)
    live.on_change.append(lambda config: house.set_room(config.connections_max))
    turns = trio.CapacityLimiter(RPC_READS_AT_ONCE)
    context = WorkerContext(None)
    wrapped = ASGIWrapper(app)

    async def handle(stream: trio.SocketStream) -> None:
        connection = Connection(stream, turns)
        if not house.enter(connection):
            connection.cut()
            return
        try:
            spoken: Any = connection
            if live.tls is not None:
                spoken = trio.SSLStream(spoken, live.tls, server_side=True, https_compatible=True)
            await TCPServer(wrapped, settings, context, ConnectionState({}), spoken)
        except* _PROTOCOL_ERRORS as group:
            log.warning("an RPC client was dropped", errors=[repr(error) for error in group.exceptions])
            connection.cut()
        finally:
            house.leave(connection)

    async with trio.open_nursery() as nursery:
        await nursery.start(house.cut_all_at_the_end)
        await trio.serve_listeners(handle, listeners, handler_nursery=nursery)
