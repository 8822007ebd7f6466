"""Catching up, the driver half: one loop that always runs, beside consensus and never instead of it.

Consensus does not wait for this loop, so a network that starts all at once needs nobody to be ahead (consensus.md M2); and the loop
does not end, so a node that was stopped for a minute is fetched to the tip like one that was never there (section 3, row 7).

A fetched block goes to the consensus driver: the core verifies it with the validator set of its height from our own state and
with every signature of its commit, both kinds, and decides it like any other. Peers that lie are
reported to the switch and ignored by the plan (`node.sync.scheduler`).

Serving is bounded: `SYNC_PEER_REQUESTS_MAX` questions of a peer may wait, more are dropped; one block at a time is read and sent
for each peer, when its queue has room.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import trio

from node.blame import blamed
from node.clock import NS_PER_S, Clock
from node.network import SYNC, Inbound, Network, NetworkEvent, PeerDown, PeerUp
from node.sync.messages import (
    BlockAnswer,
    BlockRequest,
    CertifiedBlock,
    MissingAnswer,
    Status,
    decode_block,
    decode_message,
    encode_block,
    encode_message,
)
from node.sync.scheduler import Complaint, Fault, Scheduler
from node.telemetry.logs import get_log
from p2p.defects import unforeseen_is_offence
from state.primitives.errors import (
    InvalidBlockError,
    InvalidCommitError,
    PeerTimeoutError,
    QenexError,
    RemoteError,
)
from state.primitives.limits import SYNC_PEER_REQUESTS_MAX

_LOG: Final = get_log("sync")
TICK_S: Final = 0.1
SEND_RETRY_S: Final = 0.05
SEND_ATTEMPTS_MAX: Final = 100  # 5 s; the asker gives up after 10
STATUS_MIN_INTERVAL_S: Final = 0.1  # a fast chain does not announce each height
_ERRORS: Final[dict[Fault, type[RemoteError]]] = {
    Fault.TIMED_OUT: PeerTimeoutError,
    Fault.INVALID: InvalidCommitError,
}


class BlockSource(Protocol):
    """Decided blocks in the store."""

    @property
    def base(self) -> int:
        """The lowest height that is still kept."""
        ...

    @property
    def height(self) -> int:
        """The highest decided height; 0 for none."""
        ...

    def certified(self, height: int) -> CertifiedBlock | None:
        """The block of a height with its commit and post-quantum commit, or None."""
        ...


class Decider(Protocol):
    """Where certified blocks go: the consensus driver."""

    async def decide_certified(self, certified: CertifiedBlock) -> None:
        """Check every signature against our own validator set and decide the block; returns when it is durable.

        Does nothing if the height is not the next one (any more). Raises `InvalidCommitError`.
        """
        ...


class SyncLoop:
    """Owns the plan and the questions of peers. `run` it for the life of the node; `decided` must be called after each height."""

    def __init__(
        self,
        network: Network,
        inbound: trio.MemoryReceiveChannel[NetworkEvent],
        source: BlockSource,
        decider: Decider,
        clock: Clock,
        warn: Callable[[str, QenexError], None],
    ) -> None:
        self._network = network
        self._inbound = inbound
        self._source = source
        self._decider = decider
        self._clock = clock
        self._warn = warn
        self._plan = Scheduler[BlockAnswer](source.height)
        self._questions: dict[str, trio.MemorySendChannel[int]] = {}
        self._changed = trio.Event()

    @property
    def catching_up(self) -> bool:
        """Whether a peer in good standing claims at least two blocks that we lack."""
        return self._plan.is_catching_up(self._clock.monotonic_ns())

    @property
    def best_height(self) -> int:
        """The highest height that a peer in good standing claims."""
        return self._plan.best_height(self._clock.monotonic_ns())

    def height_of(self, peer: str) -> int:
        """What a peer claims to have decided; 0 if it has not said."""
        return self._plan.height_of(peer)

    def statistics(self) -> dict[str, int]:
        """Gauges of the plan and of serving."""
        return {**self._plan.statistics(), "peers_served": len(self._questions)}

    def decided(self, height: int) -> None:
        """A height is durable in the store."""
        self._plan.applied(height)
        self._changed.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read, ask, apply, serve, announce: until cancelled."""
        async with trio.open_nursery() as nursery:
            for part in (self._ask, self._apply, self._announce):
                nursery.start_soon(part)
            task_status.started()
            async for event in self._inbound:
                self._on_event(event, nursery)
            nursery.cancel_scope.cancel()

    # reading

    def _on_event(self, event: NetworkEvent, nursery: trio.Nursery) -> None:
        if isinstance(event, PeerUp):
            self._close_questions(event.peer.id)
            send, receive = trio.open_memory_channel[int](SYNC_PEER_REQUESTS_MAX)
            self._questions[event.peer.id] = send
            nursery.start_soon(self._serve, event.peer.id, receive)
            self._network.send(event.peer.id, SYNC, self._status())
        elif isinstance(event, PeerDown):
            self._close_questions(event.peer_id)
            self._plan.remove_peer(event.peer_id)
            self._changed.set()
        else:
            with blamed(self._network, event.peer_id):
                self._on_message(event)

    def _on_message(self, event: Inbound) -> None:
        peer, now_ns = event.peer_id, self._clock.monotonic_ns()
        if peer not in self._questions:
            return  # its connection is gone; what it left in the queue has no owner
        message = decode_message(event.payload)
        complaints: list[Complaint] = []
        if isinstance(message, BlockRequest):
            with suppress(trio.WouldBlock):  # it asks for more than it may; its own plan will ask again
                self._questions[peer].send_nowait(message.height)
            return
        if isinstance(message, Status):
            complaints = self._plan.set_peer(peer, message.base, message.height, now_ns)
        elif isinstance(message, BlockAnswer):
            complaints = self._plan.block(peer, message.height, message, len(event.payload), now_ns)
        else:
            complaints = self._plan.missing(peer, message.height, now_ns)
        self._complain(complaints)
        self._changed.set()

    def _close_questions(self, peer: str) -> None:
        questions = self._questions.pop(peer, None)
        if questions is not None:
            questions.close()

    def _complain(self, complaints: list[Complaint]) -> None:
        for complaint in complaints:
            kind = _ERRORS.get(complaint.fault, InvalidBlockError)
            error = kind(f"while catching up, the peer {complaint.fault.value}")
            self._warn(complaint.peer, error)
            self._network.report(complaint.peer, error)

    # asking

    async def _ask(self) -> None:
        looked_ns = -NS_PER_S
        while True:
            now_ns = self._clock.monotonic_ns()
            if now_ns - looked_ns >= TICK_S * NS_PER_S:  # not with every message: each look goes over all peers
                looked_ns = now_ns
                self._complain(self._plan.expire(now_ns))
            for request in self._plan.requests(now_ns):
                if not self._network.send(request.peer, SYNC, encode_message(BlockRequest(request.height))):
                    self._plan.not_sent(request)
                else:
                    _LOG.debug("block asked for", height=request.height, peer=request.peer)
            with trio.move_on_after(TICK_S):
                await self._changed.wait()
            self._changed = trio.Event()

    # applying

    async def _apply(self) -> None:
        while True:
            taken = self._plan.take()
            if taken is None:
                with trio.move_on_after(TICK_S):
                    await self._changed.wait()
                continue
            height, peer, answer = taken
            try:
                with unforeseen_is_offence():
                    certified = decode_block(answer)
                await self._decider.decide_certified(certified)
            except RemoteError as error:
                self._warn(peer, error)
            if self._source.height >= height:
                _LOG.debug("block applied", height=height, peer=peer)
                self._plan.applied(self._source.height)
            else:
                self._complain(self._plan.invalid(height, self._clock.monotonic_ns()))

    # serving

    async def _serve(self, peer: str, questions: trio.MemoryReceiveChannel[int]) -> None:
        """One peer's questions, in order, until it goes."""
        async with questions:
            async for height in questions:
                certified = self._source.certified(height)
                payload = encode_message(MissingAnswer(height)) if certified is None else encode_block(certified)
                for _ in range(SEND_ATTEMPTS_MAX):
                    if peer not in self._questions or self._network.send(peer, SYNC, payload):
                        break
                    await trio.sleep(SEND_RETRY_S)

    async def _announce(self) -> None:
        announced = -1
        while True:
            if self._source.height != announced:
                announced = self._source.height
                self._network.broadcast(SYNC, self._status())
            await trio.sleep(STATUS_MIN_INTERVAL_S)

    def _status(self) -> bytes:
        return encode_message(Status(self._source.base, self._source.height))
