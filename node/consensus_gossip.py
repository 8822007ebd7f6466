"""Votes and proposals on the consensus channel: pushed at once by their signer, repaired by everyone else.

Three messages, canonical arrays: `[1, summary]` what I hold of my height (`consensus.gossip.Summary`), `[2, [vote, ...]]`,
`[3, proposal]`. Our own signed messages go to every peer the moment they exist. What others signed is relayed only to peers that
lack it: a peer's summary says so, and has said so for `RELAY_DELAY_NS`, so that in a full mesh, where the signer's own push is on its
way, nothing is sent twice. The same comparison heals lost messages, brings a restarted or late peer up to date within a height,
and gives a peer that is one height behind the precommits that decide it. Peers further behind are `node.sync`'s.

There is one task for what comes in and one for what goes out; none for a vote or a peer. Messages are checked by the core, in the
driver; what no honest peer sends comes back as a report about that peer. No rule of consensus may go in here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import trio

from consensus import messages as m
from consensus.block_id import BlockID
from consensus.gossip import Summary, compute_missing, name_proposal, summarize
from consensus.height import HeightState
from consensus.messages import Step
from consensus.vote import Proposal, Vote
from node.blame import blamed
from node.clock import NS_PER_S, Clock
from node.network import CONSENSUS, Inbound, Network, NetworkEvent, PeerDown, PeerUp
from node.telemetry.logs import get_log
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import MalformedError
from state.primitives.limits import CONSENSUS_MESSAGE_BYTES_MAX, GOSSIP_REPAIR_MAX, GOSSIP_VOTES_MAX

SUMMARY: Final = 1
VOTES: Final = 2
PROPOSAL: Final = 3

ANNOUNCE_INTERVAL_S: Final = 0.02  # changes within this time are told together
REPAIR_INTERVAL_S: Final = 0.1
RELAY_DELAY_NS: Final = NS_PER_S // 20  # a push of the signer itself arrives within this time, normally
RESEND_NS: Final = NS_PER_S  # sent and still not in its summary: lost
QUIET_ANNOUNCE_NS: Final = 2 * NS_PER_S  # a summary may be lost as well

SENT_MAX: Final = 4096  # remembered per peer and height: 200 validators, two types, ten rounds

_P2P_LOG: Final = get_log("p2p")  # said here, once: every protocol hears of every peer

Key: TypeAlias = tuple[int, int, int, int, bytes]
Submit: TypeAlias = Callable[[m.Input, str], Awaitable[None]]


@dataclass(slots=True)
class _Peer:
    summary: Summary | None = None
    missing_since: dict[Key, int] = field(default_factory=dict)
    sent: dict[Key, int] = field(default_factory=dict)


class ConsensusGossip:
    """`run` it; the driver calls `broadcast` and `changed`. `view` is the core's book of its height, None before the first."""

    def __init__(
        self,
        network: Network,
        inbound: trio.MemoryReceiveChannel[NetworkEvent],
        clock: Clock,
        view: Callable[[], HeightState | None],
        submit: Submit,
        heard_of: Callable[[str, BlockID], None],
    ) -> None:
        self._network = network
        self._inbound = inbound
        self._clock = clock
        self._view = view
        self._submit = submit
        self._heard_of = heard_of
        self._peers: dict[str, _Peer] = {}
        self._changed = trio.Event()
        self._announced: Summary | None = None
        self._announced_ns = 0

    def broadcast(self, message: Vote | Proposal) -> None:
        """Push our own message to every peer now."""
        self._network.broadcast(CONSENSUS, encode_messages([message])[0])
        now_ns, key = self._clock.monotonic_ns(), _key(message)
        for peer in self._peers.values():
            peer.sent[key] = now_ns

    def changed(self) -> None:
        """The core has taken a step."""
        self._changed.set()

    def peer_heights(self) -> dict[str, tuple[int, int, int]]:
        """Peer to (height, round, step), as its last summary says."""
        return {
            name: (peer.summary.height, peer.summary.round, int(peer.summary.step))
            for name, peer in self._peers.items()
            if peer.summary is not None
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read and repair until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announce_and_repair)
            task_status.started()
            async for event in self._inbound:
                await self._on_event(event)
            nursery.cancel_scope.cancel()

    # what comes in

    async def _on_event(self, event: NetworkEvent) -> None:
        if isinstance(event, PeerUp):
            peer = event.peer
            _P2P_LOG.debug("peer connected", peer=peer.id, moniker=peer.moniker, dialled=peer.is_outbound, height=peer.height)
            self._peers[peer.id] = _Peer()
            if self._announced is not None:
                self._network.send(peer.id, CONSENSUS, encode_summary(self._announced))
        elif isinstance(event, PeerDown):
            _P2P_LOG.debug("peer gone", peer=event.peer_id, reason=event.reason)
            self._peers.pop(event.peer_id, None)
        else:
            with blamed(self._network, event.peer_id):
                await self._on_message(event)

    async def _on_message(self, event: Inbound) -> None:
        peer = self._peers.get(event.peer_id)
        if peer is None:
            return
        message = decode_message(event.payload)
        if isinstance(message, Summary):
            if peer.summary is None or peer.summary.height != message.height:
                peer.missing_since.clear()
                peer.sent.clear()
            peer.summary = message
            return
        now_ns = self._clock.monotonic_ns()
        if isinstance(message, Proposal):
            self._note_sent(peer, message, now_ns)
            self._heard_of(event.peer_id, message.block_id)
            await self._submit(m.ProposalReceived(message, event.received_ns), event.peer_id)
            return
        for vote in message:
            self._note_sent(peer, vote, now_ns)
            if vote.block_id is not None:
                self._heard_of(event.peer_id, vote.block_id)
            await self._submit(m.VoteReceived(vote), event.peer_id)

    def _note_sent(self, peer: _Peer, message: Vote | Proposal, now_ns: int) -> None:
        """Who sends us a message has it."""
        view = self._view()
        if view is not None and view.height - 1 <= message.height <= view.height + 1:
            if len(peer.sent) > SENT_MAX:
                peer.sent.clear()  # at worst something is sent twice
            peer.sent[_key(message)] = now_ns

    # what goes out

    async def _announce_and_repair(self) -> None:
        while True:
            with trio.move_on_after(REPAIR_INTERVAL_S):
                await self._changed.wait()
            self._changed = trio.Event()
            await trio.sleep(ANNOUNCE_INTERVAL_S)
            view = self._view()
            if view is not None:
                self._announce(view)
                self._repair(view)

    def _announce(self, view: HeightState) -> None:
        now_ns = self._clock.monotonic_ns()
        summary = summarize(view)
        if summary != self._announced or now_ns - self._announced_ns >= QUIET_ANNOUNCE_NS:
            self._announced, self._announced_ns = summary, now_ns
            self._network.broadcast(CONSENSUS, encode_summary(summary))

    def _repair(self, view: HeightState) -> None:
        now_ns = self._clock.monotonic_ns()
        for name, peer in self._peers.items():
            if peer.summary is None or (peer.summary.step is Step.COMMIT and peer.summary.height >= view.height - 1):
                continue  # it has its quorum: no vote of that height helps it, and the next begins when its interval is over
            missing = {_key(message): message for message in compute_missing(view, peer.summary, GOSSIP_REPAIR_MAX)}
            since = peer.missing_since = {key: peer.missing_since.get(key, now_ns) for key in missing}
            due = [
                message
                for key, message in missing.items()
                if now_ns - since[key] >= RELAY_DELAY_NS and now_ns - peer.sent.get(key, -RESEND_NS) >= RESEND_NS
            ]
            for payload in encode_messages(due):
                if not self._network.send(name, CONSENSUS, payload):
                    break  # its queue is full; what it lacks is found again
            else:
                for message in due:
                    peer.sent[_key(message)] = now_ns


def encode_summary(summary: Summary) -> bytes:
    """Bytes of a summary message."""
    return encode_trusted((SUMMARY, summary.to_wire()))


def encode_messages(messages: list[Vote | Proposal]) -> list[bytes]:
    """Bytes of proposals, one each, and of votes, `GOSSIP_VOTES_MAX` together."""
    payloads = [encode_trusted((PROPOSAL, item.to_wire())) for item in messages if isinstance(item, Proposal)]
    votes = [item.to_wire() for item in messages if isinstance(item, Vote)]
    for start in range(0, len(votes), GOSSIP_VOTES_MAX):
        payloads.append(encode_trusted((VOTES, votes[start : start + GOSSIP_VOTES_MAX])))
    return payloads


def decode_message(payload: bytes) -> Summary | Proposal | list[Vote]:
    """Inverse of the encoders. Raises `MalformedError`."""
    value = decode(payload, bytes_max=CONSENSUS_MESSAGE_BYTES_MAX)
    if type(value) is tuple and len(value) == 2 and type(value[0]) is int:
        kind, body = value
        if kind == SUMMARY:
            return Summary.from_wire(body)
        if kind == PROPOSAL:
            return Proposal.from_wire(body)
        if kind == VOTES and type(body) is tuple and 0 < len(body) <= GOSSIP_VOTES_MAX:
            return [Vote.from_wire(item) for item in body]
    raise MalformedError("not a message of the consensus channel")


def _key(message: Vote | Proposal) -> Key:
    if isinstance(message, Proposal):
        return message.height, message.round, 0, 0, name_proposal(message)
    value = b"" if message.block_id is None else message.block_id.hash + message.block_id.parts_hash
    return message.height, message.round, int(message.type), message.validator_index, value
