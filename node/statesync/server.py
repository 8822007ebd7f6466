"""What a running node gives to those who join: snapshots of its state at every so-maniest height, light blocks, proofs.

A snapshot is not a file. The state at a height is read from the latest one through the undo pages, a shard at a time, so it costs no
disk, no block waits for it, and it is there as long as the history is. A shard is read in one go, because the state must not move
meanwhile. Each question is answered once, in the order in which they come: a peer that asks a lot waits for itself.
"""

from __future__ import annotations

from typing import Final

import trio

from consensus.light import LightBlock
from node.network import Inbound, Network, NetworkEvent
from node.statesync import messages as m
from node.storage.store import Store
from node.sync.loop import BlockSource
from node.sync.messages import CertifiedBlock
from node.telemetry.logs import get_log
from node.tips import validators_at
from p2p.channels import SNAPSHOT
from state.primitives.errors import MalformedError, ProofError, StorageCorruptError
from state.primitives.limits import SNAPSHOT_MESSAGE_BYTES_MAX

_LOG: Final = get_log("statesync")


class SnapshotServer:
    """`run` it for the life of the node. `interval` 0: no snapshots, but light blocks and proofs."""

    def __init__(
        self,
        network: Network,
        inbound: trio.MemoryReceiveChannel[NetworkEvent],
        store: Store,
        source: BlockSource,
        interval: int,
    ) -> None:
        self._network = network
        self._inbound = inbound
        self._store = store
        self._source = source
        self._interval = interval
        self.served = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled."""
        task_status.started()
        async for event in self._inbound:
            if not isinstance(event, Inbound):
                continue
            try:
                message = m.decode_message(event.payload)
                if not isinstance(message, m.Question):
                    raise MalformedError("an answer that nobody asked for")
                answer = self.answer(message)
                _LOG.debug("question answered", peer=event.peer_id, kind=message.kind, height=message.height, bytes=len(answer))
                self._network.send(event.peer_id, SNAPSHOT, answer)
                self.served += 1
            except MalformedError as error:
                self._network.report(event.peer_id, error)
            await trio.lowlevel.checkpoint()

    def answer(self, question: m.Question) -> bytes:
        """The answer to one question."""
        found = _ANSWERS[question.kind](self, question)
        return m.encode_missing(question) if found is None else found

    def newest_height(self) -> int:
        """The height of the newest snapshot, two below the tip at least; 0 if there is none."""
        if not self._interval:
            return 0
        height = (self._store.height - 2) // self._interval * self._interval
        return height if height >= max(1, self._source.base) and self._store.tip_at(height) is not None else 0

    def _offer(self, question: m.Question) -> bytes | None:
        height = self.newest_height()
        tip = self._store.tip_at(height) if height else None
        if tip is None:
            return None
        return m.encode_offer(question, m.Offer(height, tip, tuple(self._store.shard_roots_at(height)), self._store.height))

    def _chunk(self, question: m.Question) -> bytes | None:
        if not self._interval or question.height < 1 or question.height % self._interval or self._store.root_at(question.height) is None:
            return None
        rows = self._store.shard_at(question.shard, question.height)
        answer = m.encode_chunk(question, rows)
        return answer if len(answer) <= SNAPSHOT_MESSAGE_BYTES_MAX else None

    def _light(self, question: m.Question) -> bytes | None:
        certified = self._certified(question.height)
        if certified is None:
            return None
        block = certified.block
        try:
            validators = validators_at(self._store, question.height)
        except StorageCorruptError:
            return None
        return m.encode_light(question, LightBlock(block.header, certified.commit, certified.pq_commit, validators))

    def _proof(self, question: m.Question) -> bytes | None:
        try:
            return m.encode_proof(question, *self._store.prove(question.key, question.height))
        except ProofError:
            return None

    def _block(self, question: m.Question) -> bytes | None:
        certified = self._certified(question.height)
        return None if certified is None else m.encode_certified(question, certified)

    def _certified(self, height: int) -> CertifiedBlock | None:
        return self._source.certified(height) if 1 <= height <= self._store.height else None


_ANSWERS = {
    m.OFFER: SnapshotServer._offer,
    m.CHUNK: SnapshotServer._chunk,
    m.LIGHT: SnapshotServer._light,
    m.PROOF: SnapshotServer._proof,
    m.BLOCK: SnapshotServer._block,
}

