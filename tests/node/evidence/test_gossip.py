"""Gossip of proofs: to whom each goes, what becomes of what comes in, and who is reported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from consensus.evidence import Evidence, evidence_from_wire, evidence_to_wire
from node.evidence.gossip import RESEND_S, TURN_S, EvidenceGossip
from node.network import Inbound, NetworkEvent, PeerDown, PeerInfo, PeerUp
from p2p.channels import CHANNELS, EVIDENCE
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import InvalidEvidenceError, MalformedError, QenexError
from state.primitives.limits import EVIDENCE_BYTES_MAX
from tests.consensus.evidence_world import Chain
from tests.node.evidence.test_pool import Bench


class Wire:
    """A network that writes down what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Evidence]] = []
        self.reports: list[tuple[str, QenexError]] = []
        self.full = False

    def send(self, peer_id: str, channel: int, payload: bytes) -> bool:
        assert channel == EVIDENCE
        if not self.full:
            self.sent.append((peer_id, evidence_from_wire(decode(payload))))
        return not self.full

    def broadcast(self, channel: int, payload: bytes, except_: Collection[str] = ()) -> None:
        raise AssertionError

    def report(self, peer_id: str, error: QenexError) -> None:
        self.reports.append((peer_id, error))


class Stage:
    """Gossip of one node; `heights` is what its peers say they have."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.wire = Wire()
        self.heights: dict[str, int] = {}
        self.send, receive = trio.open_memory_channel[NetworkEvent](100)
        self.gossip = EvidenceGossip(self.wire, receive, self.bench.pool, lambda peer: self.heights.get(peer, 0))

    async def connect(self, peer: str, height: int) -> None:
        self.heights[peer] = height
        await self.send.send(PeerUp(PeerInfo(peer)))
        await self.settle()

    async def hear(self, peer: str, payload: bytes) -> None:
        await self.send.send(Inbound(peer, EVIDENCE, payload, 0))
        await self.settle()

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()

    def take_sent(self) -> list[tuple[str, Evidence]]:
        sent, self.wire.sent = self.wire.sent, []
        return sent


@asynccontextmanager
async def playing() -> AsyncIterator[Stage]:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        await nursery.start(stage.gossip.run)
        yield stage
        nursery.cancel_scope.cancel()


def encoded(item: Evidence) -> bytes:
    return encode_trusted(evidence_to_wire(item))


async def test_a_proof_goes_to_every_peer_once() -> None:
    async with playing() as stage:
        await stage.connect("a", 6)
        await stage.connect("b", 6)
        item = stage.bench.chain.double_vote(4)
        stage.bench.pool.add(item)
        await stage.settle()
        assert stage.take_sent() == [("a", item), ("b", item)]
        await stage.connect("c", 6)
        assert stage.take_sent() == [("c", item)]


async def test_a_peer_that_is_behind_gets_it_when_it_has_grown(autojump_clock: trio.testing.MockClock) -> None:
    async with playing() as stage:
        item = stage.bench.chain.double_vote(4)
        stage.bench.pool.add(item)
        await stage.connect("a", 3)
        await trio.sleep(60 * TURN_S)
        assert stage.take_sent() == []
        stage.heights["a"] = 4
        await trio.sleep(2 * TURN_S)
        assert stage.take_sent() == [("a", item)]


async def test_what_comes_in_is_kept_and_passed_on_but_not_back() -> None:
    async with playing() as stage:
        await stage.connect("a", 6)
        await stage.connect("b", 6)
        item = stage.bench.chain.double_proposal(5)
        await stage.hear("a", encoded(item))
        assert stage.bench.pool.pending() == [item]
        assert stage.take_sent() == [("b", item)]
        await stage.hear("b", encoded(item))  # its own crossed ours
        assert stage.take_sent() == []
        assert stage.wire.reports == []


async def test_a_pending_proof_is_sent_again_after_a_while_and_not_once_it_is_punished(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with playing() as stage:
        await stage.connect("a", 6)
        item = stage.bench.chain.double_vote(4)
        stage.bench.pool.add(item)
        await trio.sleep(2 * RESEND_S + 5)
        assert stage.take_sent() == [("a", item)] * 3
        stage.bench.chain.add(stage.bench.chain.next_block(item))
        stage.bench.pool.decided()
        await trio.sleep(2 * RESEND_S + 5)
        assert stage.take_sent() == []
        assert stage.gossip._told == {"a": {}}


async def test_a_full_link_gets_it_on_a_later_turn(autojump_clock: trio.testing.MockClock) -> None:
    async with playing() as stage:
        await stage.connect("a", 6)
        stage.wire.full = True
        stage.bench.pool.add(stage.bench.chain.double_vote(4))
        await trio.sleep(5 * TURN_S)
        assert stage.take_sent() == []
        stage.wire.full = False
        await trio.sleep(2 * TURN_S)
        assert len(stage.take_sent()) == 1


async def test_a_peer_that_reconnects_gets_everything_again() -> None:
    async with playing() as stage:
        await stage.connect("a", 6)
        stage.bench.pool.add(stage.bench.chain.double_vote(4))
        await stage.settle()
        await stage.send.send(PeerDown("a", "gone"))
        await stage.settle()
        stage.take_sent()
        await stage.connect("a", 6)
        assert len(stage.take_sent()) == 1


WORLD = Chain((1,) * 4).grow(6)
BAD = {
    "no array": (b"\xc0", MalformedError),
    "not canonical": (encoded(WORLD.double_vote(4)) + b"\x00", MalformedError),
    "unknown kind": (encode_trusted((9, ())), MalformedError),
    "wrong power": (encoded(replace(WORLD.double_vote(4), total_power=9)), InvalidEvidenceError),
    "wrong time": (encoded(replace(WORLD.double_proposal(4), time_ns=1)), InvalidEvidenceError),
    "too long": (b"\xc6" + (EVIDENCE_BYTES_MAX + 1).to_bytes(4, "big") + bytes(EVIDENCE_BYTES_MAX + 1), MalformedError),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_peer_that_makes_something_up_is_reported_and_it_goes_no_further(name: str) -> None:
    payload, kind = BAD[name]
    async with playing() as stage:
        await stage.connect("a", 6)
        await stage.connect("b", 6)
        await stage.hear("a", payload)
        ((peer, error),) = stage.wire.reports
        assert (peer, isinstance(error, kind)) == ("a", True)
        assert len(stage.bench.pool) == 0
        assert stage.take_sent() == []


async def test_what_we_cannot_judge_yet_costs_its_sender_nothing() -> None:
    async with playing() as stage:
        await stage.connect("a", 9)
        await stage.hear("a", encoded(Chain((1,) * 4).grow(9).double_vote(8)))
        assert stage.wire.reports == []
        assert len(stage.bench.pool) == 0


async def test_a_message_from_a_peer_that_has_just_gone_is_taken() -> None:
    async with playing() as stage:
        await stage.hear("gone", encoded(WORLD.double_vote(4)))
        assert len(stage.bench.pool) == 1


def test_the_largest_proof_fits_the_channel() -> None:
    assert CHANNELS[EVIDENCE].message_bytes_max >= EVIDENCE_BYTES_MAX
