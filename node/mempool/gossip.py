"""Spreading transactions: announce hashes, pull bodies, so that a body crosses each link once.

Messages on the MEMPOOL channel, canonical arrays: `[1, hashes]` I have these; `[2, hashes]` send me those; `[3, bodies]` here they are.
Hashes travel as one byte string. A hash that a peer announced is asked of that peer; if it does not deliver in time, of the next peer
that announced it. What is asked at once is bounded for each peer, so that nobody uses up what others need; announcements beyond that are
forgotten, and the block that carries the transaction will bring it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from node.blame import blamed
from node.network import Inbound, Network, NetworkEvent, PeerDown, PeerUp
from p2p.channels import MEMPOOL
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import MalformedError
from state.primitives.hashing import HASH_BYTES
from state.primitives.limits import TX_BYTES_MAX

ANNOUNCE: Final = 1
WANT: Final = 2
BODIES: Final = 3

HASHES_MAX: Final = 1_000  # in one message
BODIES_BYTES: Final = 512 * 1024
OFFERED_MAX: Final = 50_000  # to a new peer, of what waits here
REQUESTED_MAX: Final = 10_000  # asked of one peer and not here yet: more than it can deliver within the time
REQUEST_SECONDS: Final = 2.0
FLUSH_SECONDS: Final = 0.02
OFFERS_MAX: Final = 3  # further peers remembered for one hash


@dataclass(slots=True)
class _Request:
    peer: str
    asked_s: float
    offers: list[str]  # who else announced it


class MempoolGossip:
    """`get` finds a waiting body, `submit` admits bodies from a peer. `added` must be called for every admitted hash."""

    def __init__(
        self,
        network: Network,
        inbound: trio.MemoryReceiveChannel[NetworkEvent],
        get: Callable[[bytes], bytes | None],
        waiting: Callable[[int], list[bytes]],
        submit: Callable[[Sequence[bytes], str], Awaitable[object]],
    ) -> None:
        self._network = network
        self._inbound = inbound
        self._get = get
        self._waiting = waiting
        self._submit = submit
        self._peers: dict[str, None] = {}
        self._fresh: list[tuple[bytes, str]] = []
        self._requested: dict[bytes, _Request] = {}
        self._asked: Counter[str] = Counter()  # how many of them each peer is asked for
        self._wake = trio.Event()

    def added(self, hashes: list[bytes], source: str) -> None:
        """These are in the pool now and came from `source` ("" for a client)."""
        self._fresh += [(tx_hash, source) for tx_hash in hashes]
        self._wake.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Announce, ask, answer, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announce)
            nursery.start_soon(self._ask_again)
            task_status.started()
            async for event in self._inbound:
                if isinstance(event, PeerUp):
                    self._peers[event.peer.id] = None
                    self._offer_everything(event.peer.id)
                elif isinstance(event, PeerDown):
                    self._peers.pop(event.peer_id, None)
                else:
                    with blamed(self._network, event.peer_id):
                        await self._on_message(event)

    def _offer_everything(self, peer: str) -> None:
        hashes = self._waiting(OFFERED_MAX)
        for start in range(0, len(hashes), HASHES_MAX):
            self._network.send(peer, MEMPOOL, encode_trusted((ANNOUNCE, b"".join(hashes[start : start + HASHES_MAX]))))

    async def _announce(self) -> None:
        while True:
            await self._wake.wait()
            await trio.sleep(0)  # a batch that is being admitted now goes into the same message
            fresh, self._fresh = self._fresh, []
            self._wake = trio.Event()
            for peer in self._peers:
                hashes = [tx_hash for tx_hash, source in fresh if source != peer]
                for start in range(0, len(hashes), HASHES_MAX):
                    message = encode_trusted((ANNOUNCE, b"".join(hashes[start : start + HASHES_MAX])))
                    self._network.send(peer, MEMPOOL, message)
            await trio.sleep(FLUSH_SECONDS)

    async def _on_message(self, event: Inbound) -> None:
        value = decode(event.payload, bytes_max=len(event.payload))
        if type(value) is not tuple or len(value) != 2 or type(value[0]) is not int:
            raise MalformedError("a mempool message is a kind and its content")
        kind, content = value
        if kind == ANNOUNCE:
            self._on_announce(event.peer_id, _read_hashes(content))
        elif kind == WANT:
            self._on_want(event.peer_id, _read_hashes(content))
        elif kind == BODIES:
            await self._on_bodies(event.peer_id, content)
        else:
            raise MalformedError(f"a mempool message of unknown kind {kind}")

    def _on_announce(self, peer: str, hashes: list[bytes]) -> None:
        wanted: list[bytes] = []
        for tx_hash in hashes:
            if self._get(tx_hash) is not None:
                continue
            known = self._requested.get(tx_hash)
            if known is None:
                if self._note_request(tx_hash, peer, []):
                    wanted.append(tx_hash)
            elif len(known.offers) < OFFERS_MAX and peer != known.peer and peer not in known.offers:
                known.offers.append(peer)
        if wanted:
            self._network.send(peer, MEMPOOL, encode_trusted((WANT, b"".join(wanted))))

    def _note_request(self, tx_hash: bytes, peer: str, offers: list[str]) -> bool:
        """Whether this peer may be asked for one more."""
        if self._asked[peer] >= REQUESTED_MAX:
            return False
        self._asked[peer] += 1
        self._requested[tx_hash] = _Request(peer, trio.current_time(), offers)
        return True

    def _forget_request(self, tx_hash: bytes) -> list[str]:
        """It is here, or late; who else announced it."""
        request = self._requested.pop(tx_hash, None)
        if request is None:
            return []
        self._asked[request.peer] -= 1
        if not self._asked[request.peer]:
            del self._asked[request.peer]
        return request.offers

    def _on_want(self, peer: str, hashes: list[bytes]) -> None:
        """Nothing is put together that the peer's queue has no room for: it asks again."""
        bodies: list[bytes] = []
        size = 0
        for tx_hash in dict.fromkeys(hashes):  # each once: a short question has no endless answer
            raw = self._get(tx_hash)
            if raw is None:
                continue
            if bodies and size + len(raw) > BODIES_BYTES:
                if not self._network.send(peer, MEMPOOL, encode_trusted((BODIES, bodies))):
                    return
                bodies, size = [], 0
            bodies.append(raw)
            size += len(raw) + 5
        if bodies:
            self._network.send(peer, MEMPOOL, encode_trusted((BODIES, bodies)))

    async def _on_bodies(self, peer: str, bodies: object) -> None:
        if type(bodies) is not tuple or any(type(raw) is not bytes or len(raw) > TX_BYTES_MAX for raw in bodies):
            raise MalformedError("transaction bodies are a list of bytes")
        results = await self._submit(bodies, peer)
        if isinstance(results, list):
            for result in results:
                self._forget_request(result.hash)

    async def _ask_again(self) -> None:
        while True:
            await trio.sleep(REQUEST_SECONDS / 2)
            deadline = trio.current_time() - REQUEST_SECONDS
            late = [tx_hash for tx_hash, request in self._requested.items() if request.asked_s < deadline]
            again: dict[str, list[bytes]] = {}
            for tx_hash in late:
                offers = [peer for peer in self._forget_request(tx_hash) if peer in self._peers]
                if offers and self._get(tx_hash) is None and self._note_request(tx_hash, offers[0], offers[1:]):
                    again.setdefault(offers[0], []).append(tx_hash)
            for peer, hashes in again.items():
                for start in range(0, len(hashes), HASHES_MAX):
                    self._network.send(peer, MEMPOOL, encode_trusted((WANT, b"".join(hashes[start : start + HASHES_MAX]))))


def _read_hashes(content: object) -> list[bytes]:
    if type(content) is not bytes or len(content) % HASH_BYTES or not 0 < len(content) <= HASHES_MAX * HASH_BYTES:
        raise MalformedError(f"1 to {HASHES_MAX} transaction hashes are one byte string")
    return [content[start : start + HASH_BYTES] for start in range(0, len(content), HASH_BYTES)]
