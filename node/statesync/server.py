"""What a running node gives to those who join: snapshots of its state at every so-maniest height, light blocks, proofs.

A snapshot is not a file. The state at a height is read from the latest one through the undo pages, a shard at a time, so it costs no
disk, and it is there as long as the history is. A shard of 10 million accounts takes half a second to read: a thread does it, from the rows
as they are at one moment, one shard at a time, and rests as long as it has worked.

Each question is answered once, in the order in which they come. Few of a peer may wait, more are dropped: a peer that asks a lot waits
for itself.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio

from consensus.light import LightBlock
from node.blame import blamed
from node.network import Network, NetworkEvent, PeerDown, PeerUp
from node.statesync import messages as m
from node.storage.frozen import FrozenStore
from node.storage.store import Store
from node.sync.loop import BlockSource
from node.sync.messages import CertifiedBlock
from node.telemetry.logs import get_log
from node.tips import validators_at
from p2p.channels import SNAPSHOT
from state.primitives.errors import ProofError, StorageCorruptError
from state.primitives.limits import SNAPSHOT_MESSAGE_BYTES_MAX, SNAPSHOT_PEER_QUESTIONS_MAX, SNAPSHOT_ROWS_MAX

REST_S_MAX: Final = 1.0  # after one answer, however long it took
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
        self._questions: dict[str, trio.MemorySendChannel[m.Question]] = {}
        self._chunk_turn, self._turn = trio.Lock(), trio.Lock()  # small answers do not wait for large ones

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            async for event in self._inbound:
                if isinstance(event, PeerUp):
                    self._close(event.peer.id)
                    send, receive = trio.open_memory_channel[m.Question](SNAPSHOT_PEER_QUESTIONS_MAX)
                    self._questions[event.peer.id] = send
                    nursery.start_soon(self._serve, event.peer.id, receive)
                elif isinstance(event, PeerDown):
                    self._close(event.peer_id)
                elif event.peer_id in self._questions:
                    with blamed(self._network, event.peer_id), suppress(trio.WouldBlock):  # it asks for more than it may
                        self._questions[event.peer_id].send_nowait(m.decode_question(event.payload))
            nursery.cancel_scope.cancel()

    def _close(self, peer: str) -> None:
        questions = self._questions.pop(peer, None)
        if questions is not None:
            questions.close()

    async def _serve(self, peer: str, questions: trio.MemoryReceiveChannel[m.Question]) -> None:
        """One peer's questions, in order, until it goes. Of all the time there is, at most half is spent on answers."""
        async with questions:
            async for question in questions:
                is_chunk = question.kind == m.CHUNK
                async with self._chunk_turn if is_chunk else self._turn:
                    began = trio.current_time()
                    with blamed(self._network, peer):
                        answer = await trio.to_thread.run_sync(self.answer, question) if is_chunk else self.answer(question)
                        _LOG.debug("question answered", peer=peer, kind=question.kind, height=question.height, bytes=len(answer))
                        self._network.send(peer, SNAPSHOT, answer)
                        self.served += 1
                    await trio.sleep(min(trio.current_time() - began, REST_S_MAX))

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
        rows = self.read_shard(question)
        answer = None if rows is None else m.encode_chunk(question, rows)
        return answer if rows is not None and answer is not None and m.is_chunk_small_enough(rows, answer) else None

    def read_shard(self, question: m.Question) -> m.Rows | None:
        """The rows of a shard at a snapshot's height, None if they are not kept, or too many. In a thread."""
        height = question.height
        if not self._interval or height < 1 or height % self._interval:
            return None
        rows, size = [], 0
        snapshot = self._store.snapshot(fill_cache=False)
        try:
            if self._store.root_at(height) is None:  # what is still kept now was when the snapshot was taken
                return None
            for _, key, value in FrozenStore(snapshot).shard_rows(question.shard, height):
                rows.append((key, value))
                size += len(key) + len(value)
                if len(rows) > SNAPSHOT_ROWS_MAX or size > SNAPSHOT_MESSAGE_BYTES_MAX:
                    return None
        finally:
            snapshot.close()
        return tuple(rows)

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

