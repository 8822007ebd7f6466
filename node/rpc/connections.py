"""The clients' connections: how many there may be, how long each may make us wait, and how all of them end.

Hypercorn shields what it sends from cancellation. A client that stops reading would hold its task for ever, and with it a node that
must stop; so every chunk has a deadline inside that shield, and the sockets are cut when the server ends. A full house
lets the longest silent connection go, and a client that has its share lets go its own. Clients are served a few at a time, so that a flood
of them leaves turns for the chain. What they ask for is not known here. Bounds: reliability.md rows 27 and 28.
"""

from __future__ import annotations

import socket
import ssl
import struct
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import h11
import trio
import wsproto.utilities
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from node.rpc.budget import Places, client_of
from node.rpc.http1 import Http1Server
from p2p.accepting import accept_patiently
from p2p.limits import Notices
from state.primitives.errors import CorruptError, StorageError
from state.primitives.limits import RPC_READS_AT_ONCE, RPC_SEND_CHUNK_BYTES, RPC_SEND_S_MAX, RPC_YIELD_AFTER_S

# What a client can bring about that goes away or breaks a protocol. Whatever else is raised is a defect: of a library, or of ours.
_CLIENTS_OWN: Final = (
    h11.ProtocolError,
    wsproto.utilities.ProtocolError,
    OSError,
    trio.BrokenResourceError,
    trio.BusyResourceError,
    trio.ClosedResourceError,
)
_ERRORS_SAID_MAX: Final = 3  # of one connection
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: forget what is unsent


class Connection:
    """One client's stream, as Hypercorn uses it."""

    def __init__(self, stream: trio.SocketStream, turns: trio.CapacityLimiter) -> None:
        self.socket = stream.socket
        self.client = ""
        with suppress(OSError):  # it has gone already
            self.client = client_of(stream.socket.getpeername()[0])
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
    """Room for `connections_max` connections, of which one client may have `client_connections_max` (0: all)."""

    def __init__(self, connections_max: int, client_connections_max: int = 0) -> None:
        self._places = Places(connections_max, client_connections_max)
        self._connections: dict[Connection, None] = {}
        self.turned_away = 0

    def __len__(self) -> int:
        return len(self._connections)

    def set_room(self, connections_max: int, client_connections_max: int) -> None:
        """From now on. Who is in stays, also where there are more than that."""
        self._places.set_bounds(connections_max, client_connections_max)

    def enter(self, connection: Connection) -> bool:
        """Whether there is room, if need be that of a connection that has been silent for long: the client's own where it has its share."""
        if not self._places.take(connection.client):
            self.turned_away += 1
            is_own = self._places.is_full_for(connection.client)
            candidates = (one for one in self._connections if not is_own or one.client == connection.client)
            oldest = min(candidates, key=lambda one: one.active_at, default=None)
            if oldest is None or trio.current_time() - oldest.active_at < RPC_YIELD_AFTER_S:
                return False
            self.leave(oldest)
            oldest.cut()
            if not self._places.take(connection.client):
                return False  # the bound was lowered while more were in
        self._connections[connection] = None
        return True

    def leave(self, connection: Connection) -> None:
        """It has ended."""
        if connection in self._connections:
            del self._connections[connection]
            self._places.give_back(connection.client)

    async def cut_all_at_the_end(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Wait until cancelled, then cut everybody off: no client keeps the node from stopping."""
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            for connection in self._connections:
                connection.cut()


class Complaints:
    """Lines about connections, few of them whatever clients do, and without a byte of what a client sent."""

    def __init__(self, log: Any) -> None:
        self.dropped = 0
        self.pauses = 0
        self._log = log
        self._notices = Notices()

    def on_drop(self, group: BaseExceptionGroup[Exception]) -> None:
        """A connection ended with errors: a client's own doing is a warning, a defect an error with its place."""
        self.dropped += 1
        errors = _leaves(group)
        defects = [error for error in errors if not isinstance(error, _CLIENTS_OWN)]
        said = [_describe(error) for error in (defects or errors)[:_ERRORS_SAID_MAX]]
        if not self._notices.is_due(said[0], len(said), trio.current_time()):
            return
        if defects:
            self._log.error("a defect ended a client's connection", errors=said, dropped=self.dropped)
        else:
            self._log.warning("a client was dropped", errors=said, dropped=self.dropped)

    def on_pause(self, error: OSError) -> None:
        """Nobody can be let in for now."""
        self.pauses += 1
        if self._notices.is_due("accept", error.errno or 0, trio.current_time()):
            self._log.warning("no connection can be accepted", reason=error.strerror, pauses=self.pauses)


def _leaves(error: BaseExceptionGroup[Exception] | Exception) -> list[Exception]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _describe(error: Exception) -> str:
    """Type and place; not the text, which may hold what the client sent."""
    place = "nowhere"
    for frame, line in traceback.walk_tb(error.__traceback__):
        place = f"{Path(frame.f_code.co_filename).name}:{line}"
    return f"{type(error).__name__} at {place}"


async def serve_connections(
    app: Any,
    settings: Config,
    listeners: list[trio.SocketListener],
    house: House,
    log: Any,
    tls: Callable[[], ssl.SSLContext | None] = lambda: None,
) -> None:
    """Serve an ASGI application on open listeners until cancelled; `tls` is asked for each new connection.

    TLS lies around a connection, so its deadlines hold for it too. Whatever a connection's protocol raises ends that connection and no
    more: a client must not be able to end the node. Only damage of the node's own storage rises out of here.
    """
    turns = trio.CapacityLimiter(RPC_READS_AT_ONCE)
    context = WorkerContext(None)
    wrapped = ASGIWrapper(app)
    complaints = Complaints(log)

    async def handle(stream: trio.SocketStream) -> None:
        connection = Connection(stream, turns)
        if not house.enter(connection):
            connection.cut()
            return
        try:
            spoken: Any = connection
            if (context_of_tls := tls()) is not None:
                spoken = trio.SSLStream(spoken, context_of_tls, server_side=True, https_compatible=True)
            await Http1Server(wrapped, settings, context, ConnectionState({}), spoken)
        except* (CorruptError, StorageError):
            raise
        except* Exception as group:  # noqa: BLE001  # one supervisor for each stranger
            complaints.on_drop(group)
            connection.cut()
        finally:
            house.leave(connection)

    async def let_in(listener: trio.SocketListener) -> None:
        async with listener:
            while True:
                nursery.start_soon(handle, await accept_patiently(listener.accept, complaints.on_pause))

    async with trio.open_nursery() as nursery:
        await nursery.start(house.cut_all_at_the_end)
        for listener in listeners:
            nursery.start_soon(let_in, listener)


def name_of(listener: trio.SocketListener) -> str:
    """Where it listens, as HOST:PORT."""
    host, port = listener.socket.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
