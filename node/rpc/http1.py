"""What is spoken on a client's connection: HTTP/1.1 and WebSocket, by Hypercorn's protocol, and nothing else that Hypercorn could.

It would speak HTTP/2 with whoever begins it, and offer to inflate what a WebSocket sends. No client of ours needs either, and both spend
memory and time of the node before a bound of ours is asked: 60 kB inflate to 60 MB, and HTTP/2 has a flow control of its own, which is one
more way not to read. Sources: RFC 9110, 7.8 (an upgrade that is not wanted is ignored) and 15.6.6 (505); RFC 6455, 9.1 (extensions). Who
may connect, and for how long, is `node.rpc.connections`'.
"""

from __future__ import annotations

from typing import Any, Final, cast

import h11
import hypercorn.config
import trio
from hypercorn.events import Closed, Event
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

IDLE_SECONDS_MAX: Final = 30
HANDSHAKE_SECONDS_MAX: Final = 10.0
HEADERS_BYTES_MAX: Final = 64 * 1024
PING_SECONDS: Final = 20.0
_VERSIONS: Final = (b"1.0", b"1.1")
_EXTENSIONS: Final = b"sec-websocket-extensions"


class _OtherVersionError(Exception):
    """The request is of a version that is not spoken here."""


class Http1(H11Protocol):
    """Hypercorn's HTTP/1.1, kept to it."""

    async def handle(self, event: Event) -> None:
        """See Hypercorn."""
        try:
            await super().handle(event)
        except _OtherVersionError:
            await self._send_error_response(505)
            await self.send(Closed())
        else:
            if isinstance(self.stream, WSStream) and self.stream.buffer.length > self.stream.buffer.max_length:
                await self.send(Closed())  # he has been told 1009; Hypercorn would keep whatever else he sends of the message

    async def _check_protocol(self, event: h11.Request) -> None:
        # in the place of what would go over to HTTP/2: by the preface, which is a request of version 2.0, or by an upgrade to h2c
        if event.http_version not in _VERSIONS:
            raise _OtherVersionError

    async def _create_stream(self, request: h11.Request) -> None:
        headers = [(name, value) for name, value in request.headers if name != _EXTENSIONS]
        if len(headers) < len(request.headers):  # what the client offers and nobody sees, nobody accepts
            request = h11.Request(
                method=request.method, target=request.target, headers=headers, http_version=request.http_version
            )
        await super()._create_stream(request)


class Http1Server(TCPServer):
    """Hypercorn's server of one connection, with `Http1` in it whatever the client asks for."""

    async def run(self) -> None:
        """Serve until either side ends it."""
        is_tls = isinstance(self.stream, trio.SSLStream)
        try:
            if is_tls:
                with trio.fail_after(self.config.ssl_handshake_timeout):
                    await self.stream.do_handshake()
            socket = self.stream.transport_stream.socket if is_tls else cast(Any, self.stream).socket
            ends = [parse_socket_addr(socket.family, name) for name in (socket.getpeername(), socket.getsockname())]
        except (OSError, trio.BrokenResourceError, trio.TooSlowError):
            await self.stream.aclose()  # it does not speak TLS, or has gone already
            return
        try:
            async with TaskGroup() as tasks:
                self._task_group = tasks
                http = Http1(
                    self.app, self.config, self.context, tasks, ConnectionState({}), is_tls, ends[0], ends[1], self.protocol_send
                )
                self.protocol = cast(ProtocolWrapper, http)
                await self.idle_task.restart(tasks, self._idle_timeout)
                await self._read_data()
        finally:
            await self._close()


class _ErrorLog:
    """Hypercorn's logger: what an application raised is worth a line of ours, the rest is not."""

    def __init__(self, log: Any, event: str) -> None:
        self._log = log
        self._event = event

    async def exception(self, *_args: Any, **_kwargs: Any) -> None:
        self._log.error(self._event, exc_info=True)

    async def _nothing(self, *_args: Any, **_kwargs: Any) -> None:
        return

    access = critical = error = warning = info = debug = log = _nothing


def make_settings(log: Any, event: str) -> hypercorn.config.Config:
    """Hypercorn's settings; `event` is what the log says of an application that raised."""
    settings = hypercorn.config.Config()
    settings.logger_class = lambda _: _ErrorLog(log, event)  # type: ignore[assignment, return-value]
    settings.keep_alive_timeout = IDLE_SECONDS_MAX
    settings.ssl_handshake_timeout = HANDSHAKE_SECONDS_MAX
    settings.websocket_ping_interval = PING_SECONDS
    settings.h11_max_incomplete_size = HEADERS_BYTES_MAX
    return settings
