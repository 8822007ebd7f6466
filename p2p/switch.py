"""All links of a node: listening, dialling, who is admitted, who is banned; and what protocols see of it.

Protocols get one inbound channel each (`inbound`), carrying the comings and goings of peers in order with their messages, and send with
`send` and `broadcast`, which never wait. A node only talks to admitted keys; one connection for each key. When two nodes dial each
other at once, the connection dialled by the lower identifier stays, on both sides.
No protocol's messages are known here.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import trio

from p2p.channels import CHANNELS, PROTOCOL_CHANNELS
from p2p.events import Inbound, LinkEvent, PeerDown, PeerInfo, PeerUp
from p2p.frames import FrameReader
from p2p.handshake import GREETING_BYTES_MAX, Greeting, check_greeting
from p2p.identity import NodeIdentity, PeerAddress, node_id_of
from p2p.limits import (
    DIAL_DELAY_MAX,
    DIAL_DELAY_MIN,
    HANDSHAKE_SECONDS_MAX,
    HANDSHAKES_MAX,
    HANDSHAKES_PER_HOST_MAX,
    STABLE_SECONDS,
)
from p2p.peer import ChannelCounts, Peer
from p2p.scores import Scores
from p2p.tls import TlsStream, make_context
from state.primitives.errors import (
    BadFrameError,
    DuplicatePeerError,
    HandshakeTimeoutError,
    NotAdmittedError,
    PeerBannedError,
    PortInUseError,
    QenexError,
    RemoteError,
)

_LINK_ENDS: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)
_EMFILE_PAUSE: Final = 0.5


@dataclass(frozen=True, slots=True)
class SwitchSettings:
    """`peers` are addresses to keep connected to; `admitted` the identifiers that may connect at all."""

    host: str
    port: int
    peers: tuple[PeerAddress, ...]
    admitted: frozenset[str]


class Switch:
    """See the module. `warn(who, error)` hears of every refused or punished peer; `jitter()` gives a number in [0, 1)."""

    def __init__(
        self,
        settings: SwitchSettings,
        identity: NodeIdentity,
        greeting: Greeting,
        *,
        now_ns: Callable[[], int],
        jitter: Callable[[], float],
        warn: Callable[[str, QenexError], None],
    ) -> None:
        self._settings = settings
        self._admitted = settings.admitted
        self._identity = identity
        self._greeting = greeting
        self._context = make_context(identity)
        self._now_ns = now_ns
        self._jitter = jitter
        self._warn = warn
        self._peers: dict[str, Peer] = {}
        self._scores = Scores()
        self._handshakes: dict[str, int] = {}
        self._channels = {
            number: trio.open_memory_channel[LinkEvent](CHANNELS[number].inbound_messages_max)
            for number in PROTOCOL_CHANNELS
        }
        self._changed: dict[str, trio.Event] = {}  # dialled identifier -> its connection has ended

    # for protocols

    @property
    def id(self) -> str:
        """Our own identifier."""
        return self._identity.id

    def inbound(self, channel: int) -> trio.MemoryReceiveChannel[LinkEvent]:
        """The events of one channel; it has one reader."""
        return self._channels[channel][1]

    def send(self, peer_id: str, channel: int, payload: bytes) -> bool:
        """Queue a message for a peer. False if its queue is full or it is not connected."""
        peer = self._peers.get(peer_id)
        return peer is not None and peer.send(channel, payload)

    def broadcast(self, channel: int, payload: bytes, except_: Collection[str] = ()) -> None:
        """Queue a message for every peer; those whose queues are full do without."""
        for peer_id, peer in self._peers.items():
            if peer_id not in except_:
                peer.send(channel, payload)

    def report(self, peer_id: str, error: QenexError) -> None:
        """A peer broke a rule."""
        self._warn(peer_id, error)
        if self._scores.penalise(peer_id, error, trio.current_time()):
            peer = self._peers.get(peer_id)
            if peer is not None:
                peer.close(f"banned: {error.message}")

    def peers(self) -> tuple[PeerInfo, ...]:
        """Connected peers."""
        return tuple(peer.info for peer in self._peers.values())

    def statistics(self) -> dict[str, dict[int, ChannelCounts]]:
        """Traffic for each peer and channel."""
        return {peer_id: peer.counts for peer_id, peer in self._peers.items()}

    def set_height(self, height: int) -> None:
        """What later greetings say."""
        self._greeting = replace(self._greeting, height=height)

    def set_admitted(self, admitted: Iterable[str]) -> None:
        """Replace the list of admitted nodes; those that are no longer on it are disconnected."""
        self._admitted = frozenset(admitted)
        for peer_id, peer in self._peers.items():
            if peer_id not in self._admitted:
                peer.close("no longer admitted")

    # running

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and dial until cancelled. Started with the address listened on. Raises `PortInUseError`."""
        host, port = self._settings.host, self._settings.port
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            raise PortInUseError(
                f"cannot listen for peers on {host}:{port}: {error.strerror or error}",
                hint="another program uses the port; stop it or set [p2p] listen in config.toml",
            ) from error
        name = listeners[0].socket.getsockname()
        if not self._greeting.address:
            self._greeting = replace(self._greeting, address=f"{name[0]}:{name[1]}")
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, nursery)
            for address in self._settings.peers:
                if address.id != self.id:
                    nursery.start_soon(self._keep_dialling, address)
            task_status.started(f"{name[0]}:{name[1]}")

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED):
                        raise
                    await trio.sleep(_EMFILE_PAUSE)
                    continue
                host = _host_of(stream)
                if (
                    sum(self._handshakes.values()) >= HANDSHAKES_MAX
                    or self._handshakes.get(host, 0) >= HANDSHAKES_PER_HOST_MAX
                ):
                    await trio.aclose_forcefully(stream)
                    continue
                self._handshakes[host] = self._handshakes.get(host, 0) + 1
                nursery.start_soon(self._serve_inbound, stream, host)

    async def _serve_inbound(self, stream: trio.SocketStream, host: str) -> None:
        try:
            await self._serve(stream, None, host)
        except RemoteError as error:
            self._warn(host, error)

    async def _keep_dialling(self, address: PeerAddress) -> None:
        delay = DIAL_DELAY_MIN
        while True:
            if address.id in self._peers:
                await self._changed.setdefault(address.id, trio.Event()).wait()
            started = trio.current_time()
            banned = self._scores.banned_for(address.id, started)
            if address.id in self._admitted and not banned and address.id not in self._peers:
                try:
                    stream = await trio.open_tcp_stream(address.host, address.port)
                    await self._serve(stream, address, address.host)
                except RemoteError as error:
                    if not isinstance(error, DuplicatePeerError):
                        self._warn(str(address), error)
                except OSError:
                    pass  # nobody is there yet
            if trio.current_time() - started > STABLE_SECONDS:
                delay = DIAL_DELAY_MIN
            await trio.sleep(max(banned, delay * (0.5 + self._jitter())))
            delay = min(delay * 2, DIAL_DELAY_MAX)

    # one connection

    async def _serve(self, raw: trio.SocketStream, dialled: PeerAddress | None, host: str) -> None:
        """From TCP to the end of the peer. Raises only `RemoteError`."""
        tls = TlsStream(raw, self._context, is_server=dialled is None)
        try:
            try:
                with trio.move_on_after(HANDSHAKE_SECONDS_MAX) as deadline:
                    info, frames, early = await self._introduce(tls, dialled)
            finally:
                if dialled is None:
                    self._handshakes[host] -= 1
                    if not self._handshakes[host]:
                        del self._handshakes[host]
            if deadline.cancelled_caught:
                raise HandshakeTimeoutError(f"no greeting within {HANDSHAKE_SECONDS_MAX:.0f} s")
            await self._run_peer(info, tls, frames, early)
        except _LINK_ENDS:
            return
        finally:
            with trio.CancelScope(shield=True):
                await tls.aclose()

    async def _introduce(
        self, tls: TlsStream, dialled: PeerAddress | None
    ) -> tuple[PeerInfo, FrameReader, list[tuple[int, bytes]]]:
        peer_id = node_id_of(await tls.handshake())
        if dialled is not None and peer_id != dialled.id:
            raise NotAdmittedError(f"{dialled.host}:{dialled.port} answered with the key of {peer_id}")
        self._check_admitted(peer_id)
        await tls.send_all(_frame_greeting(self._greeting))
        data = bytearray()
        while (size := _greeting_size(data)) is None or len(data) < size:
            received = await tls.receive_some()
            if not received:
                raise trio.BrokenResourceError("the peer closed the connection")
            data += received
        theirs = Greeting.decode(bytes(data[_GREETING_HEAD:size]))
        check_greeting(self._greeting, theirs)
        frames = FrameReader()
        early = frames.feed(bytes(data[size:]))
        info = PeerInfo(peer_id, theirs.address, theirs.moniker, theirs.version, dialled is not None)
        return info, frames, early

    def _check_admitted(self, peer_id: str) -> None:
        if peer_id == self.id:
            raise NotAdmittedError("this is our own key: the node dialled itself, or its key was copied")
        if peer_id not in self._admitted:
            raise NotAdmittedError(f"the key of {peer_id} is not admitted")
        banned = self._scores.banned_for(peer_id, trio.current_time())
        if banned:
            raise PeerBannedError(f"{peer_id} is banned for another {banned:.0f} s")

    async def _run_peer(
        self, info: PeerInfo, tls: TlsStream, frames: FrameReader, early: list[tuple[int, bytes]]
    ) -> None:
        known = self._peers.get(info.id)
        if known is not None:
            if known.info.is_outbound != info.is_outbound and self._is_preferred(known.info):
                raise DuplicatePeerError(f"{info.id} is connected already")
            known.close("replaced by a newer connection")
            del self._peers[info.id]
            await self._tell(PeerDown(info.id, "replaced by a newer connection"))
        peer = Peer(info, tls, lambda channel: self._channels[channel][0], self._now_ns)
        self._peers[info.id] = peer
        # the same task tells of the coming, the messages and the going, so they stay in order for each peer
        try:
            await self._tell(PeerUp(info))
            await peer.run(frames, early)
        except* _LINK_ENDS:
            peer.reason = "the connection broke"
        except* RemoteError as group:
            for error in group.exceptions:
                if isinstance(error, RemoteError):
                    peer.reason = error.message
                    self.report(info.id, error)
        finally:
            if self._peers.get(info.id) is peer:
                del self._peers[info.id]
                self._changed.pop(info.id, trio.Event()).set()
                with trio.CancelScope(shield=True):
                    with trio.move_on_after(1):
                        await self._tell(PeerDown(info.id, peer.reason))

    def _is_preferred(self, info: PeerInfo) -> bool:
        """Whether a connection was dialled by the lower identifier."""
        return info.is_outbound == (self.id < info.id)

    async def _tell(self, event: PeerUp | PeerDown) -> None:
        for send, _ in self._channels.values():
            await send.send(event)


_MAGIC: Final = b"QENEX1"
_GREETING_HEAD: Final = len(_MAGIC) + 2  # and the length of the greeting


def _frame_greeting(greeting: Greeting) -> bytes:
    data = greeting.encode()
    return _MAGIC + len(data).to_bytes(2, "big") + data


def _greeting_size(data: bytearray) -> int | None:
    """Where the greeting ends, when that is known. Raises `BadFrameError`."""
    if not _MAGIC.startswith(data[: len(_MAGIC)]):
        raise BadFrameError("the peer does not speak our protocol")
    if len(data) < _GREETING_HEAD:
        return None
    size = int.from_bytes(data[len(_MAGIC) : _GREETING_HEAD], "big")
    if size > GREETING_BYTES_MAX:
        raise BadFrameError(f"a greeting of {size} bytes")
    return _GREETING_HEAD + size


def _host_of(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "unknown"


def parse_peers(texts: Sequence[str]) -> tuple[PeerAddress, ...]:
    """Addresses of a configuration. Raises `MalformedError`."""
    return tuple(PeerAddress.parse(text) for text in texts)


__all__ = ["Inbound", "PeerDown", "PeerInfo", "PeerUp", "Switch", "SwitchSettings", "parse_peers"]
