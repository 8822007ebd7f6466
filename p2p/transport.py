"""What a switch needs of the world: somewhere to listen, a way to dial, streams that know whose key is at the
other end.

Two implementations: TCP with TLS here, `p2p.memory` for tests and simulators. Who may connect, and what is
said, is decided elsewhere.
"""

from __future__ import annotations

import socket
from typing import Final, Protocol

import trio

from p2p.identity import NodeIdentity
from p2p.tls import TlsStream, make_context

# Bytes the kernel may hold unsent. What is in its buffer can no longer be overtaken: with megabytes there, a vote behind a block on
# a link of 10 Mbit/s would wait for seconds, whatever the priorities up here.
UNSENT_BYTES_MAX: Final = 128 * 1024
BACKLOG: Final = 128


class SecureStream(Protocol):
    """An ordered stream whose other end has proved a node key. One task may send and one receive."""

    async def handshake(self) -> bytes:
        """The peer's public key. Raises `InsecureLinkError`, `trio.BrokenResourceError`."""
        ...

    async def send_all(self, data: bytes) -> None:
        """Raises `trio.BrokenResourceError`."""
        ...

    async def receive_some(self) -> bytes:
        """Some bytes; none at the end. Raises `trio.BrokenResourceError`."""
        ...

    async def aclose(self) -> None:
        """Close at once."""
        ...


class Listener(Protocol):
    """A place where others can dial us."""

    @property
    def address(self) -> str:
        """`host:port`."""
        ...

    async def accept(self) -> tuple[SecureStream, str]:
        """The next stream, its handshake not begun, and the host it comes from. Raises `OSError`."""
        ...

    async def aclose(self) -> None:
        """Stop listening."""
        ...


class Transport(Protocol):
    """How streams come to be."""

    async def listen(self, host: str, port: int) -> list[Listener]:
        """At least one. Raises `OSError`."""
        ...

    async def dial(self, host: str, port: int) -> SecureStream:
        """A stream, its handshake not begun. Raises `OSError`."""
        ...


class TcpTransport:
    """TCP and TLS with our identity."""

    def __init__(self, identity: NodeIdentity) -> None:
        self._context = make_context(identity)

    async def listen(self, host: str, port: int) -> list[Listener]:
        """See `Transport`."""
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
        return [_TcpListener(listener, self) for listener in listeners]

    async def dial(self, host: str, port: int) -> SecureStream:
        """See `Transport`."""
        try:
            stream = await trio.open_tcp_stream(host, port)
        except UnicodeError as error:  # a name that no encoding for names accepts
            raise OSError(f"{host!r} is not the name of a host") from error
        return self.secure(stream, is_server=False)

    def secure(self, stream: trio.SocketStream, *, is_server: bool) -> SecureStream:
        """TLS on a connected socket."""
        try:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
        except OSError:
            pass  # it has been reset already; the handshake will say so
        return TlsStream(stream, self._context, is_server=is_server)


class _TcpListener:
    def __init__(self, listener: trio.SocketListener, transport: TcpTransport) -> None:
        self._listener = listener
        self._transport = transport
        name = listener.socket.getsockname()
        self.address = f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    async def accept(self) -> tuple[SecureStream, str]:
        stream = await self._listener.accept()
        try:
            host = str(stream.socket.getpeername()[0])
        except OSError:
            host = "unknown"  # gone already
        return self._transport.secure(stream, is_server=True), host

    async def aclose(self) -> None:
        await self._listener.aclose()
