"""Asking peers: one question at a time for each, an answer within a time, and the peer's name on whatever is wrong with it.

Slowness is no lie: a late answer is let pass, once for each question. But a peer that is late time after time is asked no more while there
are others, since each time costs whoever waits for it ten seconds.
"""

from __future__ import annotations

import trio

from consensus.light import LightBlock
from node.network import Network, NetworkEvent, PeerDown, PeerUp
from node.statesync import messages as m
from node.sync.messages import CertifiedBlock
from p2p.channels import SNAPSHOT
from p2p.defects import unforeseen_is_offence
from state.primitives.errors import ClientError, MalformedError, PeerTimeoutError, QenexError, RemoteError

ANSWER_SECONDS_MAX = 10.0
LATE_MAX = 3  # answers in a row that are not there in time
OWED_MAX = 16  # questions of one peer of which an answer is no offence any more, but of no use either


class Desk:
    """`run` it while joining."""

    def __init__(self, network: Network, inbound: trio.MemoryReceiveChannel[NetworkEvent]) -> None:
        self.peers: dict[str, None] = {}
        self.bytes = 0
        self._network = network
        self._inbound = inbound
        self._waiting: dict[str, tuple[m.Question, trio.MemorySendChannel[m.Content]]] = {}
        self._locks: dict[str, trio.Lock] = {}
        self._owed: dict[str, list[m.Question]] = {}  # given up, oldest first
        self._late: dict[str, int] = {}  # answers in a row that were not there in time
        self._changed = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until cancelled."""
        task_status.started()
        async for event in self._inbound:
            if isinstance(event, PeerUp):
                self.peers[event.peer.id] = None
                self._owed[event.peer.id] = []
                self._late[event.peer.id] = 0
                self._changed.set()
                self._changed = trio.Event()
            elif isinstance(event, PeerDown):
                for known in (self.peers, self._owed, self._late):
                    known.pop(event.peer_id, None)
            else:
                self.bytes += len(event.payload)
                try:
                    with unforeseen_is_offence():
                        self._take(event.peer_id, m.decode_message(event.payload))
                except RemoteError as error:
                    self.blame(event.peer_id, error)

    def _take(self, peer: str, message: m.Question | tuple[m.Question, m.Content]) -> None:
        if isinstance(message, m.Question):
            return  # others join as well; we have nothing to give yet
        question, content = message
        asked = self._waiting.get(peer)
        if asked is None or asked[0] != question:
            owed = self._owed.get(peer, [])
            if question not in owed:
                raise MalformedError("an answer that nobody asked for")
            owed.remove(question)
            return
        del self._waiting[peer]
        self._late[peer] = 0
        asked[1].send_nowait(content)

    async def wait_for_peers(self, count: int, seconds: float) -> bool:
        """Whether so many peers are there within the time."""
        with trio.move_on_after(seconds):
            while len(self.peers) < count:
                await self._changed.wait()
        return len(self.peers) >= count

    def blame(self, peer: str, error: QenexError) -> None:
        """It has sent what no honest peer sends: it is asked no more, and the switch hears of it."""
        self.peers.pop(peer, None)
        self._network.report(peer, error)

    async def ask(self, peer: str, question: m.Question) -> m.Content:
        """A peer's answer. Raises `ClientError` if it has none, does not give it in time, or is gone."""
        lock = self._locks.setdefault(peer, trio.Lock())
        async with lock:
            send, receive = trio.open_memory_channel[m.Content](1)
            self._waiting[peer] = question, send
            try:
                if peer not in self.peers or not self._network.send(peer, SNAPSHOT, question.encode()):
                    raise ClientError(f"peer {peer} is gone")
                with trio.move_on_after(ANSWER_SECONDS_MAX):
                    content = await receive.receive()
                    if content is None:
                        raise ClientError(f"peer {peer} does not have it")
                    return content
            finally:
                self._waiting.pop(peer, None)
        self._network.report(peer, PeerTimeoutError("a question about a snapshot was not answered"))
        self._note_late(peer, question)
        raise ClientError(f"peer {peer} does not answer")


    def _note_late(self, peer: str, question: m.Question) -> None:
        if peer not in self._late:
            return  # it has gone meanwhile
        self._late[peer] += 1
        self._owed[peer] = [*self._owed[peer], question][-OWED_MAX:]
        if self._late[peer] >= LATE_MAX and len(self.peers) > 1:
            self.peers.pop(peer, None)


class PeerProvider:
    """See `node.light.provider.Provider`: a peer, over its link."""

    def __init__(self, desk: Desk, peer: str, latest: int) -> None:
        self.url = peer
        self._desk = desk
        self._latest = latest

    async def latest_height(self) -> int:
        """See `Provider`."""
        return self._latest

    async def light_block(self, height: int) -> LightBlock:
        """See `Provider`."""
        found = await self._desk.ask(self.url, m.Question(m.LIGHT, height))
        if not isinstance(found, LightBlock) or found.header.height != height:
            raise ClientError(f"peer {self.url} answers with another block")
        return found

    async def certified(self, height: int) -> CertifiedBlock:
        """A whole block with its commit."""
        found = await self._desk.ask(self.url, m.Question(m.BLOCK, height))
        if not isinstance(found, CertifiedBlock):
            raise ClientError(f"peer {self.url} answers with another block")
        return found

    async def state(self, path: str, data: bytes, height: int) -> tuple[bytes | None, bytes, int]:
        """See `Provider`: `path` is always /store/key here."""
        found = await self._desk.ask(self.url, m.Question(m.PROOF, height, 0, data))
        if not isinstance(found, tuple) or len(found) != 2:
            raise ClientError(f"peer {self.url} gives no proof")
        value, proof = found
        if not isinstance(proof, bytes) or not (value is None or isinstance(value, bytes)):
            raise ClientError(f"peer {self.url} gives no proof")
        return value, proof, height

    async def report(self, evidence: bytes) -> None:
        """See `Provider`: a joining node has nobody to tell yet but its operator."""
