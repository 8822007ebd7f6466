"""The block channel: announcements out, bodies in, for the assembler of `node.compact`.

Messages are canonical arrays, the kind first (numbers in `node.compact`), then the block's whole name `id` (hash, number and root of its
parts): a compact block; `[2, id, [index, ...]]` send me these bodies; `[3, id, [index, ...], [body, ...]]` here they are; `[4, id]` I do
not have it; `[5, id]` send me its announcement; `[6, id]` I have it. A proposer pushes the announcement of its new block to every peer;
all else is asked for.

Answers wait in a bounded queue for each peer while the peer's own queue in the switch is full; beyond the bound they are dropped, and the
peer asks again or asks another. Nothing here waits for a peer. What a block means is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import trio

from consensus.block import Block
from consensus.block_id import BlockID
from node.blame import blamed
from node.clock import Clock
from node.compact import COMPACT, HAVE, LACK, TXS, WANT_BLOCK, WANT_TXS, Assembler, CompactBlock, Send
from node.network import BLOCK, Inbound, Network, NetworkEvent, PeerDown, PeerUp
from state.primitives.codec import Value, decode, encode_trusted
from state.primitives.errors import MalformedError
from state.primitives.limits import (
    ASSEMBLIES_MAX,
    BLOCK_MESSAGE_BYTES_MAX,
    BLOCK_TXS_HARD_MAX,
    BLOCKS_HEARD_MAX,
    PROPAGATION_QUEUE_MAX,
)

TICK_S: Final = 0.05

SubmitBlock: TypeAlias = Callable[[Block], Awaitable[None]]


class Propagation:
    """`run` it; the driver calls `want_block`, `add_block` and `decided`, consensus gossip calls `heard_of`.

    `missing` is what consensus lacks at any moment, the most important first: what found no place is fetched in the end.
    """

    def __init__(
        self,
        network: Network,
        inbound: trio.MemoryReceiveChannel[NetworkEvent],
        clock: Clock,
        find_tx: Callable[[bytes], bytes | None],
        submit: SubmitBlock,
        missing: Callable[[], tuple[int, Sequence[BlockID]]],
    ) -> None:
        self._network = network
        self._inbound = inbound
        self._clock = clock
        self._submit = submit
        self._missing = missing
        self._assembler = Assembler(find_tx)
        self._queues: dict[str, deque[bytes]] = {}
        self._heard: dict[BlockID, str] = {}  # the peer that first spoke of it
        self._finished: deque[Block] = deque()
        self._work = trio.Event()

    # for the driver

    def want_block(self, height: int, block_id: BlockID) -> None:
        """Consensus needs this block."""
        peer = self._heard.get(block_id, "")
        self._after(self._assembler.want(block_id, height, peer, self._clock.monotonic_ns()))

    def add_block(self, block: Block) -> None:
        """A whole block that peers may ask for."""
        self._assembler.add_block(block)

    def announce(self, block_id: BlockID) -> None:
        """Push the announcement of our own new block to every peer."""
        message = self._assembler.announcement(block_id)
        if message is not None:
            self._network.broadcast(BLOCK, encode_trusted(message))

    def heard_of(self, peer: str, block_id: BlockID) -> None:
        """A peer spoke of this block, so it may have it. The first of each peer's last few is remembered."""
        if block_id not in self._heard:
            while len(self._heard) >= BLOCKS_HEARD_MAX:
                del self._heard[next(iter(self._heard))]
            self._heard[block_id] = peer

    def decided(self, height: int) -> None:
        """A height is over."""
        self._assembler.forget_below(height + 1)

    def statistics(self) -> dict[str, int]:
        """Gauges of the assembler and of the answers that wait."""
        return {**self._assembler.statistics(), "queued": sum(len(queue) for queue in self._queues.values())}

    # the tasks

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read, answer, ask and hand over until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            task_status.started()
            async for event in self._inbound:
                self._on_event(event)
                await self._hand_over()
            nursery.cancel_scope.cancel()

    async def _tick(self) -> None:
        while True:
            with trio.move_on_after(TICK_S):
                await self._work.wait()
            self._work = trio.Event()
            self._reconcile()
            self._after(self._assembler.tick(self._clock.monotonic_ns()))
            for peer, queue in self._queues.items():
                self._flush(peer, queue)
            await self._hand_over()

    def _reconcile(self) -> None:
        height, missing = self._missing()
        self._assembler.keep_only(missing)
        for block_id in missing[:ASSEMBLIES_MAX]:
            if self._assembler.get_block(block_id) is None:  # else it is on its way to consensus
                self.want_block(height, block_id)

    async def _hand_over(self) -> None:
        while self._finished:
            await self._submit(self._finished.popleft())

    def _on_event(self, event: NetworkEvent) -> None:
        if isinstance(event, PeerUp):
            self._queues[event.peer.id] = deque()
            self._assembler.add_peer(event.peer.id)
        elif isinstance(event, PeerDown):
            if self._queues.pop(event.peer_id, None) is not None:
                self._after(self._assembler.remove_peer(event.peer_id, self._clock.monotonic_ns()))
        elif event.peer_id in self._queues:
            with blamed(self._network, event.peer_id):
                self._after(self._on_message(event))

    def _on_message(self, event: Inbound) -> list[Send]:
        peer, now_ns = event.peer_id, self._clock.monotonic_ns()
        kind, fields = decode_message(event.payload)
        if kind == COMPACT:
            return self._assembler.on_compact(peer, CompactBlock.from_wire(fields), now_ns)
        block_id = fields[0]
        if kind == WANT_TXS:
            if len(self._queues[peer]) >= PROPAGATION_QUEUE_MAX:
                return []  # it has not taken its last answers yet
            return self._assembler.on_want_txs(peer, block_id, fields[1])
        if kind == TXS:
            return self._assembler.on_txs(peer, block_id, fields[1], fields[2], now_ns)
        if kind == LACK:
            return self._assembler.on_lack(peer, block_id, now_ns)
        if kind == WANT_BLOCK:
            if len(self._queues[peer]) >= PROPAGATION_QUEUE_MAX:
                return []
            return self._assembler.on_want_block(peer, block_id, now_ns)
        self._assembler.on_have(peer, block_id)
        return []

    def _after(self, sends: list[Send]) -> None:
        """Queue what the assembler wants sent, and pick up what else has come out of it."""
        for send in sends:
            queue = self._queues.get(send.peer)
            if queue is not None and len(queue) < PROPAGATION_QUEUE_MAX:
                queue.append(encode_trusted(send.message))
                self._flush(send.peer, queue)
        for peer, error in self._assembler.take_complaints():
            self._network.report(peer, error)
        finished = self._assembler.take_blocks()
        if finished:
            self._finished += finished
            self._work.set()

    def _flush(self, peer: str, queue: deque[bytes]) -> None:
        while queue and self._network.send(peer, BLOCK, queue[0]):
            queue.popleft()


def decode_message(payload: bytes) -> tuple[int, tuple[Value, ...]]:
    """(kind, fields of the right shape, the block's name first); a compact block's parts are left to its own reader.

    Raises `MalformedError`.
    """
    value = decode(payload, bytes_max=BLOCK_MESSAGE_BYTES_MAX)
    if type(value) is not tuple or len(value) < 2 or type(value[0]) is not int:
        raise MalformedError("not a message of the block channel")
    kind, fields = value[0], value[1:]
    if kind == COMPACT:
        return kind, fields
    block_id, rest = BlockID.from_wire(fields[0]), fields[1:]
    if block_id.is_empty:
        raise MalformedError("a message of the block channel names no block")
    is_name = kind in (LACK, WANT_BLOCK, HAVE) and not rest
    is_question = kind == WANT_TXS and len(rest) == 1 and _is_list(rest[0], int)
    is_answer = kind == TXS and len(rest) == 2 and _is_list(rest[0], int) and _is_list(rest[1], bytes) and len(rest[0]) == len(rest[1])
    if is_name or is_question or is_answer:
        return kind, (block_id, *rest)
    raise MalformedError("not a message of the block channel")


def _is_list(value: Value, kind: type) -> bool:
    return type(value) is tuple and len(value) <= BLOCK_TXS_HARD_MAX and all(type(item) is kind for item in value)
