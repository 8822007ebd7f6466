"""Spreading transactions over a network that is a list: who is told, who is asked, what liars and silence lead to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.testing

from node.mempool.gossip import (
    ANNOUNCE,
    BODIES,
    BODIES_BYTES,
    HASHES_MAX,
    OFFERS_MAX,
    REQUEST_SECONDS,
    REQUESTED_MAX,
    WANT,
    MempoolGossip,
)
from node.network import Inbound, NetworkEvent, PeerDown, PeerInfo, PeerUp
from p2p.channels import MEMPOOL
from state.primitives.codec import decode, encode
from state.primitives.errors import QenexError
from state.primitives.hashing import sha256
from state.primitives.limits import TX_BYTES_MAX


@dataclass
class Result:
    hash: bytes
    code: int = 0


class FakeNetwork:
    def __init__(self) -> None:
        self.sent: list[tuple[str, int, Any]] = []
        self.reported: list[tuple[str, str]] = []

    def send(self, peer_id: str, channel: int, payload: bytes) -> bool:
        assert channel == MEMPOOL
        kind, content = decode(payload, bytes_max=len(payload), items_max=1_000_000)
        self.sent.append((peer_id, kind, content))
        return True

    def broadcast(self, channel: int, payload: bytes, except_: Collection[str] = ()) -> None:
        raise AssertionError("mempool messages differ from peer to peer")

    def report(self, peer_id: str, error: QenexError) -> None:
        self.reported.append((peer_id, error.message))

    def take(self) -> list[tuple[str, int, Any]]:
        sent, self.sent = self.sent, []
        return sent


class Bed:
    """One gossip with its pool; what it admits it announces, as the node does."""

    def __init__(self) -> None:
        self.network = FakeNetwork()
        self.pool: dict[bytes, bytes] = {}
        self.submitted: list[tuple[list[bytes], str]] = []
        self.send, receive = trio.open_memory_channel[NetworkEvent](100)
        self.gossip = MempoolGossip(self.network, receive, self.pool.get, self.waiting, self.submit)

    def waiting(self, limit: int) -> list[bytes]:
        return list(self.pool)[:limit]

    async def submit(self, raws: Sequence[bytes], source: str) -> list[Result]:
        self.submitted.append((list(raws), source))
        for raw in raws:
            self.pool[sha256(raw)] = raw
        hashes = [sha256(raw) for raw in raws]
        if hashes:
            self.gossip.added(hashes, source)
        return [Result(tx_hash) for tx_hash in hashes]

    def put(self, *raws: bytes, source: str = "") -> list[bytes]:
        """Admitted from a client, or from a peer."""
        hashes = [sha256(raw) for raw in raws]
        self.pool.update(zip(hashes, raws, strict=True))
        self.gossip.added(hashes, source)
        return hashes

    async def up(self, *peers: str) -> None:
        for peer in peers:
            await self.send.send(PeerUp(PeerInfo(peer)))
        await self.settle()

    async def hear(self, peer: str, message: Any) -> None:
        payload = message if isinstance(message, bytes) else encode(message)
        await self.send.send(Inbound(peer, MEMPOOL, payload, 0))
        await self.settle()

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()

    async def silence(self, clock: trio.testing.MockClock) -> None:
        """Long enough that what was asked for is late."""
        for _ in range(4):
            clock.jump(REQUEST_SECONDS / 2)
            await self.settle()


@asynccontextmanager
async def running(*peers: str) -> AsyncIterator[Bed]:
    bed = Bed()
    async with trio.open_nursery() as nursery:
        await nursery.start(bed.gossip.run)
        await bed.up(*peers)
        yield bed
        nursery.cancel_scope.cancel()


RAWS = [b"transaction %d" % number for number in range(5)]
HASHES = [sha256(raw) for raw in RAWS]


async def test_a_new_transaction_is_announced_to_all_but_its_source(mock_clock: trio.testing.MockClock) -> None:
    async with running("a", "b", "c") as bed:
        bed.put(RAWS[0], source="b")
        bed.put(RAWS[1])
        await bed.settle()
        both = HASHES[0] + HASHES[1]
        assert bed.network.take() == [("a", ANNOUNCE, both), ("b", ANNOUNCE, HASHES[1]), ("c", ANNOUNCE, both)]


async def test_announcements_close_to_each_other_share_a_message(mock_clock: trio.testing.MockClock) -> None:
    async with running("a") as bed:
        bed.put(RAWS[0])
        await bed.settle()
        bed.network.take()
        bed.put(RAWS[1])
        bed.put(RAWS[2])
        await bed.settle()
        assert bed.network.take() == []
        mock_clock.jump(0.03)
        await bed.settle()
        assert bed.network.take() == [("a", ANNOUNCE, HASHES[1] + HASHES[2])]


async def test_a_new_peer_is_told_everything_that_waits(mock_clock: trio.testing.MockClock) -> None:
    async with running() as bed:
        raws = [b"%d" % number for number in range(HASHES_MAX + 1)]
        bed.pool.update((sha256(raw), raw) for raw in raws)
        await bed.up("a")
        sizes = [(peer, kind, len(content)) for peer, kind, content in bed.network.take()]
        assert sizes == [("a", ANNOUNCE, 32 * HASHES_MAX), ("a", ANNOUNCE, 32)]


async def test_a_peer_that_is_gone_is_told_nothing(mock_clock: trio.testing.MockClock) -> None:
    async with running("a", "b") as bed:
        await bed.send.send(PeerDown("a", "test"))
        await bed.send.send(PeerDown("never seen", "test"))
        await bed.settle()
        bed.put(RAWS[0])
        await bed.settle()
        assert [peer for peer, _, _ in bed.network.take()] == ["b"]


async def test_what_is_unknown_is_asked_of_the_first_that_has_it(mock_clock: trio.testing.MockClock) -> None:
    async with running("a", "b") as bed:
        bed.pool[HASHES[0]] = RAWS[0]
        await bed.hear("a", (ANNOUNCE, HASHES[0] + HASHES[1]))
        assert bed.network.take() == [("a", WANT, HASHES[1])]
        await bed.hear("b", (ANNOUNCE, HASHES[1] + HASHES[2]))
        assert bed.network.take() == [("b", WANT, HASHES[2])]
        await bed.hear("a", (ANNOUNCE, HASHES[0]))
        assert bed.network.take() == []


async def test_bodies_are_admitted_and_announced_onwards(mock_clock: trio.testing.MockClock) -> None:
    async with running("a", "b") as bed:
        await bed.hear("a", (ANNOUNCE, HASHES[0]))
        bed.network.take()
        await bed.hear("a", (BODIES, (RAWS[0],)))
        assert bed.submitted == [([RAWS[0]], "a")]
        assert bed.network.take() == [("b", ANNOUNCE, HASHES[0])]
        await bed.silence(mock_clock)
        assert bed.network.take() == []
        assert bed.gossip._requested == {}


async def test_wanted_bodies_are_sent_as_far_as_they_are_here(mock_clock: trio.testing.MockClock) -> None:
    async with running("a") as bed:
        bed.pool.update(zip(HASHES[:2], RAWS[:2], strict=True))
        await bed.hear("a", (WANT, HASHES[2] + HASHES[1] + HASHES[0]))
        assert bed.network.take() == [("a", BODIES, (RAWS[1], RAWS[0]))]
        await bed.hear("a", (WANT, HASHES[4]))
        assert bed.network.take() == []


async def test_many_bodies_are_several_messages(mock_clock: trio.testing.MockClock) -> None:
    async with running("a") as bed:
        raws = [bytes((number,)) * 60_000 for number in range(20)]
        hashes = [sha256(raw) for raw in raws]
        bed.pool.update(zip(hashes, raws, strict=True))
        await bed.hear("a", (WANT, b"".join(hashes)))
        messages = [content for _, kind, content in bed.network.take() if kind == BODIES]
        assert [raw for bodies in messages for raw in bodies] == raws
        assert len(messages) == 3
        assert all(sum(map(len, bodies)) <= BODIES_BYTES for bodies in messages)


async def test_silence_makes_us_ask_the_next_one(mock_clock: trio.testing.MockClock) -> None:
    async with running("a", "b", "c") as bed:
        for peer in ("a", "b", "b", "c"):
            await bed.hear(peer, (ANNOUNCE, HASHES[0]))
        assert bed.network.take() == [("a", WANT, HASHES[0])]
        await bed.silence(mock_clock)
        assert bed.network.take() == [("b", WANT, HASHES[0])]
        await bed.silence(mock_clock)
        assert bed.network.take() == [("c", WANT, HASHES[0])]
        await bed.silence(mock_clock)
        assert bed.network.take() == []
        # nobody is left: it is forgotten, and may be announced again
        await bed.hear("a", (ANNOUNCE, HASHES[0]))
        assert bed.network.take() == [("a", WANT, HASHES[0])]


async def test_what_came_meanwhile_is_not_asked_again(mock_clock: trio.testing.MockClock) -> None:
    async with running("a", "b") as bed:
        await bed.hear("a", (ANNOUNCE, HASHES[0]))
        await bed.hear("b", (ANNOUNCE, HASHES[0]))
        bed.network.take()
        bed.pool[HASHES[0]] = RAWS[0]  # from a client
        await bed.silence(mock_clock)
        assert bed.network.take() == []
        assert bed.gossip._requested == {}


async def test_what_we_remember_of_offers_is_bounded(mock_clock: trio.testing.MockClock) -> None:
    peers = [f"p{number}" for number in range(OFFERS_MAX + 3)]
    async with running(*peers) as bed:
        for peer in peers:
            await bed.hear(peer, (ANNOUNCE, HASHES[0]))
        assert len(bed.gossip._requested[HASHES[0]].offers) == OFFERS_MAX


async def test_a_peer_that_announces_what_is_not_there_takes_nothing_from_others(mock_clock: trio.testing.MockClock) -> None:
    """One peer's inventions filled what was kept for all: honest announcements were passed over."""
    async with running("liar", "honest") as bed:
        for first in range(0, REQUESTED_MAX + 5 * HASHES_MAX, HASHES_MAX):
            invented = b"".join(b"?" * 28 + number.to_bytes(4, "big") for number in range(first, first + HASHES_MAX))
            await bed.hear("liar", (ANNOUNCE, invented))
        assert len(bed.gossip._requested) == REQUESTED_MAX
        bed.network.take()
        await bed.hear("honest", (ANNOUNCE, HASHES[0]))
        assert bed.network.take() == [("honest", WANT, HASHES[0])]
        await bed.hear("honest", (BODIES, (RAWS[0],)))
        assert len(bed.gossip._requested) == REQUESTED_MAX
        await bed.silence(mock_clock)  # what was not delivered is forgotten, and the peer may be asked again
        assert bed.gossip._requested == {} and not bed.gossip._asked
        await bed.hear("liar", (ANNOUNCE, HASHES[1]))
        assert ("liar", WANT, HASHES[1]) in bed.network.take()


async def test_a_short_question_has_no_endless_answer(mock_clock: trio.testing.MockClock) -> None:
    async with running("a") as bed:
        bed.pool[HASHES[0]] = RAWS[0]
        await bed.hear("a", (WANT, HASHES[0] * HASHES_MAX))
        assert [(kind, bodies) for _, kind, bodies in bed.network.take()] == [(BODIES, (RAWS[0],))]


MALFORMED: list[tuple[Any, str]] = [
    (b"", "decode"),
    (b"\xff", "decode"),
    ((), "a kind and its content"),
    ((ANNOUNCE,), "a kind and its content"),
    (("1", b""), "a kind and its content"),
    ((True, HASHES[0]), "a kind and its content"),
    ((9, b""), "unknown kind 9"),
    ((ANNOUNCE, b""), "hashes"),
    ((ANNOUNCE, b"x" * 31), "hashes"),
    ((ANNOUNCE, bytes(32) * (HASHES_MAX + 1)), "hashes"),
    ((WANT, (HASHES[0],)), "hashes"),
    ((BODIES, b"body"), "bodies"),
    ((BODIES, ("text",)), "bodies"),
    ((BODIES, (bytes(TX_BYTES_MAX + 1),)), "bodies"),
]


@pytest.mark.parametrize(("message", "reason"), MALFORMED)
async def test_malformed_messages_are_reported(message: Any, reason: str, mock_clock: trio.testing.MockClock) -> None:
    async with running("a") as bed:
        await bed.hear("a", message)
        assert len(bed.network.reported) == 1
        peer, text = bed.network.reported[0]
        assert peer == "a"
        assert reason == "decode" or reason in text
        assert (bed.network.sent, bed.submitted) == ([], [])
        await bed.hear("a", (ANNOUNCE, HASHES[0]))  # it goes on
        assert bed.network.take() == [("a", WANT, HASHES[0])]
