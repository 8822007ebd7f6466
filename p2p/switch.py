"""All links of a node: who is connected, admitted, banned; and what protocols see of it.

Protocols get one inbound channel each (`inbound`), carrying the comings and goings of peers in order with their
messages, and send with `send` and `broadcast`, which never wait. A node only talks to admitted keys, and there
is one connection for each key. When two nodes dial each other at once, the connection dialled by the lower
identifier stays, on both sides; a second connection dialled by the same side replaces the first, since a node
that dials again has lost it. Who claims to be a peer that we hold for connected makes us ask the latter for a
sign of life. No protocol's messages are known here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import trio

from p2p.channels import CHANNELS, PROTOCOL_CHANNELS
from p2p.defects import LINK_ENDS
from p2p.dialer import Dialer
from p2p.events import Inbound, LinkEvent, PeerDown, PeerInfo, PeerUp
from p2p.handshake import Greeting
from p2p.identity import NodeIdentity, PeerAddress
from p2p.inbox import Inbox
from p2p.introduction import Introduced, Judge, introduce
from p2p.limits import DEFAULT_LIMITS, LinkLimits, Notices
from p2p.listener import Doorkeeper, Visit, describe_timeout
from p2p.outbound import ChannelCounts
from p2p.peer import Peer, is_sendable
from p2p.scores import Scores
from p2p.transport import SecureStream, TcpTransport, Transport
from state.primitives.errors import (
    DuplicatePeerError,
    MessageTooLargeError,
    NotAdmittedError,
    PeerBannedError,
    PortInUseError,
    QenexError,
    RefusedByPeerError,
    RemoteError,
    TooManyPeersError,
)


@dataclass(frozen=True, slots=True)
class SwitchSettings:
    """`peers` are addresses to keep connected to; `admitted` the identifiers that may connect at all."""

    host: str
    port: int
    peers: tuple[PeerAddress, ...]
    admitted: frozenset[str]
    limits: LinkLimits = DEFAULT_LIMITS


class Switch:
    """See the module. `warn(who, error)` hears of refused and punished peers, not of each one
    (`p2p.limits.Notices`); `jitter()` gives a number in [0, 1); `scores` are those remembered from before.
    `transport` is TCP with TLS unless another is given.
    """

    def __init__(
        self,
        settings: SwitchSettings,
        identity: NodeIdentity,
        greeting: Greeting,
        *,
        now_ns: Callable[[], int],
        jitter: Callable[[], float],
        warn: Callable[[str, QenexError], None],
        scores: Scores | None = None,
        transport: Transport | None = None,
    ) -> None:
        self._settings = settings
        self._limits = settings.limits
        self._admitted = settings.admitted
        self._id = identity.id
        self._greeting = greeting
        self._now_ns = now_ns
        self._warn = warn
        self.on_banned: Callable[[str, QenexError], None] | None = None  # hears of each ban, and of what it is for
        self._transport = TcpTransport(identity) if transport is None else transport
        self._notices = Notices()
        self._refusals: dict[int, int] = {}
        self._peers: dict[str, Peer] = {}
        self._gone: dict[str, trio.Event] = {}
        self._inboxes = {number: Inbox(number, CHANNELS[number].inbound_messages_max) for number in PROTOCOL_CHANNELS}
        self.scores = Scores() if scores is None else scores
        self._door = Doorkeeper(self._serve_visit, self._limits, self._notice)
        self._kept: dict[PeerAddress, trio.CancelScope] = {}  # addresses that are dialled, while it runs
        self._nursery: trio.Nursery | None = None
        self._dialer = Dialer(self._transport, self, self._serve_dialled, self._limits, jitter, self._notice)

    # for protocols

    @property
    def id(self) -> str:
        """Our own identifier."""
        return self._id

    def inbound(self, channel: int) -> trio.MemoryReceiveChannel[LinkEvent]:
        """The events of one channel; it has one reader."""
        return self._inboxes[channel].receive

    def send(self, peer_id: str, channel: int, payload: bytes) -> bool:
        """Queue a message for a peer. False if its queue is full, it is not connected, or the message is beyond
        the channel's bound."""
        peer = self._peers.get(peer_id)
        return peer is not None and self._check_size(channel, payload) and peer.send(channel, payload)

    def broadcast(self, channel: int, payload: bytes, except_: Collection[str] = ()) -> None:
        """Queue a message for every peer; those whose queues are full do without."""
        if self._check_size(channel, payload):
            for peer_id, peer in self._peers.items():
                if peer_id not in except_:
                    peer.send(channel, payload)

    def report(self, peer_id: str, error: QenexError) -> None:
        """A peer broke a rule: its score rises; beyond the bound it is disconnected and banned for a while."""
        self._notice(peer_id, error)
        self._penalise(peer_id, error)

    def peers(self) -> tuple[PeerInfo, ...]:
        """Connected peers."""
        return tuple(peer.info for peer in self._peers.values())

    # for operators

    def statistics(self) -> dict[str, dict[int, ChannelCounts]]:
        """Traffic for each peer and channel."""
        return {peer_id: peer.counts for peer_id, peer in self._peers.items()}

    def round_trips(self) -> dict[str, float]:
        """Seconds from ping to pong, for each peer that has answered one."""
        return {
            peer_id: peer.round_trip_seconds
            for peer_id, peer in self._peers.items()
            if peer.round_trip_seconds is not None
        }

    def gauges(self) -> dict[str, int]:
        """Numbers for metrics."""
        queued = [peer.queued(channel) for peer in self._peers.values() for channel in PROTOCOL_CHANNELS]
        return {
            "peers": len(self._peers),
            "peers_inbound": sum(not peer.info.is_outbound for peer in self._peers.values()),
            "handshakes_pending": self._door.pending,
            "handshakes_accepted": self._door.accepted,
            "handshakes_turned_away": self._door.turned_away,
            "accept_pauses": self._door.pauses,
            "dials": self._dialer.dials,
            "inbound_waiting": sum(inbox.waiting for inbox in self._inboxes.values()),
            "outbound_messages": sum(messages for messages, _ in queued),
            "outbound_bytes": sum(size for _, size in queued),
        }

    def refusals(self) -> dict[int, int]:
        """How often each error code refused or punished a peer, also where no line was logged."""
        return dict(self._refusals)

    def set_height(self, height: int) -> None:
        """What later greetings say."""
        self._greeting = replace(self._greeting, height=height)

    def set_admitted(self, admitted: Iterable[str]) -> None:
        """Replace the list of admitted nodes; those that are no longer on it are disconnected."""
        self._admitted = frozenset(admitted)
        for peer_id, peer in self._peers.items():
            if peer_id not in self._admitted:
                peer.close("no longer admitted")

    def set_peers(self, peers: Iterable[PeerAddress]) -> None:
        """Replace the addresses to keep connected to. One that is gone is dialled no more, and what we dialled there ends."""
        wanted = tuple(address for address in peers if address.id != self._id)
        for address in [address for address in self._kept if address not in wanted]:
            self._kept.pop(address).cancel()
            peer = self._peers.get(address.id)
            if peer is not None and peer.info.is_outbound:
                peer.close("no longer among the addresses to keep connected to")
        for address in dict.fromkeys(wanted):
            if self._nursery is not None and address not in self._kept:
                scope = self._kept[address] = trio.CancelScope()
                self._nursery.start_soon(self._keep, address, scope)

    def set_inbound_max(self, inbound_max: int) -> None:
        """How many that dialled us there may be from now on. Who is connected stays."""
        self._limits = replace(self._limits, inbound_max=inbound_max)

    def disconnect(self, peer_id: str, reason: str) -> None:
        """End a peer's connection; it may come back."""
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.close(reason)

    # for the dialer

    def is_admitted(self, peer_id: str) -> bool:
        """Whether a node may be a peer of ours."""
        return peer_id in self._admitted and peer_id != self._id

    def banned_for(self, peer_id: str) -> float:
        """Seconds until a node's ban ends; 0 if there is none."""
        return self.scores.banned_for(peer_id, trio.current_time())

    async def wait_absent(self, peer_id: str) -> None:
        """Return once a node is not connected."""
        while peer_id in self._peers:
            await self._gone[peer_id].wait()

    # running

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and dial until cancelled. Started with the address listened on. Raises `PortInUseError`."""
        host, port = self._settings.host, self._settings.port
        try:
            listeners = await self._transport.listen(host, port)
        except OSError as error:
            raise PortInUseError(
                f"cannot listen for peers on {host}:{port}: {error.strerror or error}",
                hint="another program uses the port; stop it or set [p2p] listen in config.toml",
            ) from error
        if not self._greeting.address:
            self._greeting = replace(self._greeting, address=listeners[0].address)
        async with trio.open_nursery() as nursery:
            for inbox in self._inboxes.values():
                nursery.start_soon(inbox.run)
            for listener in listeners:
                nursery.start_soon(self._door.run, listener, nursery)
            self._nursery = nursery
            self.set_peers(self._settings.peers)
            task_status.started(listeners[0].address)

    async def _keep(self, address: PeerAddress, scope: trio.CancelScope) -> None:
        with scope:
            await self._dialer.keep(address)

    # one connection

    async def _serve_visit(self, stream: SecureStream, visit: Visit) -> None:
        try:
            introduced = await self._introduce(stream, None, visit.scope)
            if introduced is not None:
                self._door.passed(visit)
                await self._host(stream, introduced, is_outbound=False)
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()

    async def _serve_dialled(self, stream: SecureStream, address: PeerAddress) -> None:
        try:
            deadline = trio.current_time() + self._limits.handshake_seconds_max
            introduced = await self._introduce(stream, address, trio.CancelScope(deadline=deadline))
            if introduced is not None:
                await self._host(stream, introduced, is_outbound=True)
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()

    async def _introduce(
        self, stream: SecureStream, dialled: PeerAddress | None, scope: trio.CancelScope
    ) -> Introduced | None:
        """None if the connection broke. Raises `RemoteError`."""

        def check_key(peer_id: str) -> None:
            if dialled is not None and peer_id != dialled.id:
                raise NotAdmittedError(f"{dialled.place} answers with the key of {peer_id}")
            self._check_key(peer_id)

        def check_peer(peer_id: str, _: Greeting) -> None:
            self._check_place(peer_id, is_outbound=dialled is not None)

        introduced = None
        try:
            with scope:
                introduced = await introduce(stream, self._greeting, Judge(check_key, check_peer, self._penalise))
        except LINK_ENDS:
            return None
        if introduced is None:
            raise describe_timeout(scope, self._limits.handshake_seconds_max)
        return introduced

    def _check_key(self, peer_id: str) -> None:
        if peer_id == self._id:
            raise NotAdmittedError("this is our own key: the node dialled itself, or its key was copied")
        if peer_id not in self._admitted:
            raise NotAdmittedError(f"the key of {peer_id} is not admitted")
        banned = self.banned_for(peer_id)
        if banned:
            raise PeerBannedError(f"{peer_id} is banned for another {banned:.0f} s")

    def _check_place(self, peer_id: str, *, is_outbound: bool) -> None:
        known = self._peers.get(peer_id)
        if known is not None:
            if known.info.is_outbound != is_outbound and known.info.is_outbound == (self._id < peer_id):
                known.probe()
                raise DuplicatePeerError(f"{peer_id} is connected already")
        elif not is_outbound:
            inbound = sum(not peer.info.is_outbound for peer in self._peers.values())
            if inbound >= self._limits.inbound_max:
                raise TooManyPeersError(f"{inbound} peers have dialled us already")

    async def _host(self, stream: SecureStream, introduced: Introduced, *, is_outbound: bool) -> None:
        """A peer from its introduction to its end. Raises `RemoteError` if there is no place for it after all."""
        peer_id, theirs = introduced.peer_id, introduced.greeting
        while True:
            self._check_key(peer_id)  # a list may have been replaced, a ban spoken, while the verdicts were under way
            self._check_place(peer_id, is_outbound=is_outbound)
            known = self._peers.get(peer_id)
            if known is None:
                break
            if known.info.is_outbound == is_outbound:  # else both dialled at once, which is no news
                self._notice(peer_id, DuplicatePeerError("connected again; the older connection gives way"))
            known.close("replaced by a newer connection")
            await self._gone[peer_id].wait()
        info = PeerInfo(
            peer_id, theirs.address, theirs.moniker, theirs.version, is_outbound, theirs.height, theirs.capabilities
        )
        peer = Peer(info, stream, self._inboxes, self._now_ns, self._limits)
        gone = trio.Event()
        self._peers[peer_id], self._gone[peer_id] = peer, gone
        up = PeerUp(info)
        for inbox in self._inboxes.values():
            inbox.put(peer_id, up)
        offence = None
        try:
            offence = await peer.run(introduced.rest)
        finally:
            del self._peers[peer_id], self._gone[peer_id]
            down = PeerDown(peer_id, peer.reason)
            for inbox in self._inboxes.values():
                inbox.put_down(up, down)
            gone.set()
        if offence is not None:
            self.report(peer_id, offence)

    # errors

    def _penalise(self, peer_id: str, error: QenexError) -> None:
        if peer_id in self._admitted and self.scores.penalise(peer_id, error, trio.current_time()):
            self.disconnect(peer_id, f"banned: {error.message}")
            if self.on_banned is not None:
                self.on_banned(peer_id, error)

    def _notice(self, who: str, error: QenexError) -> None:
        self._refusals[error.code] = self._refusals.get(error.code, 0) + 1
        # each reason for which a peer refuses us is worth a line of its own
        subject = f"{who} {error.message}" if isinstance(error, RefusedByPeerError) else who
        if self._notices.is_due(subject, error.code, trio.current_time()):
            suppressed = self._notices.take_suppressed()
            if suppressed and not error.hint:
                error.hint = f"{suppressed} refusals before this one were not logged"
            self._warn(who, error)

    def _check_size(self, channel: int, payload: bytes) -> bool:
        if is_sendable(channel, payload):
            return True
        name = CHANNELS[channel].name
        self._notice("ourselves", MessageTooLargeError(f"a message of {len(payload)} bytes for channel {name} was not sent"))
        return False


def parse_peers(texts: Sequence[str]) -> tuple[PeerAddress, ...]:
    """Addresses of a configuration. Raises `MalformedError`."""
    return tuple(PeerAddress.parse(text) for text in texts)


__all__ = ["Inbound", "PeerDown", "PeerInfo", "PeerUp", "RemoteError", "Switch", "SwitchSettings", "parse_peers"]
