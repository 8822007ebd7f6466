"""The consensus channel: strict messages, pushes at once, no echo in a full mesh, repair of what got lost, bounds."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from consensus import messages as m
from consensus.block_id import BlockID
from consensus.gossip import RoundSummary, Summary
from consensus.messages import Step
from consensus.vote import Proposal, Vote, VoteType
from node.clock import NS_PER_S, VirtualClock
from node.consensus_gossip import RELAY_DELAY_NS, ConsensusGossip, decode_message, encode_messages, encode_summary
from node.network import CONSENSUS, Inbound, NetworkEvent, PeerInfo, PeerUp
from node.simulator.cluster import Cluster, Witness
from state.params import ConsensusParams
from state.primitives.codec import encode_trusted
from state.primitives.errors import MalformedError, QenexError
from state.primitives.limits import CONSENSUS_MESSAGE_BYTES_MAX, GOSSIP_VOTES_MAX

BLOCK_ID = BlockID(b"\x01" * 32, 1, b"\x02" * 32)


@pytest.fixture(autouse=True)
def _disk_that_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies loses nothing that it has written; only a machine does, and none dies here."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)


def make_vote(index: int, pq_bytes: int = 4627) -> Vote:
    return Vote(VoteType.PREVOTE, 5, 0, BLOCK_ID, 7, b"\x03" * 20, index, b"\x04" * 64, b"\x05" * pq_bytes)


def test_round_trip_and_batches() -> None:
    proposal = Proposal(5, 2, 1, BLOCK_ID, 7, b"\x04" * 64, b"\x05" * 2420)
    votes = [make_vote(index) for index in range(30)]
    payloads = encode_messages([*votes, proposal])
    assert all(len(payload) <= CONSENSUS_MESSAGE_BYTES_MAX for payload in payloads)
    decoded = [decode_message(payload) for payload in payloads]
    assert decoded[0] == proposal
    assert [vote for batch in decoded[1:] if isinstance(batch, list) for vote in batch] == votes
    assert len(payloads) == 1 + -(-30 // GOSSIP_VOTES_MAX)
    assert encode_messages([]) == []
    summary = Summary.from_wire((5, 1, 2, ()))
    assert decode_message(encode_summary(summary)) == summary


def test_messages_are_strict() -> None:
    vote = make_vote(0).to_wire()
    for bad in (
        b"",
        encode_trusted(()),
        encode_trusted((4, 1)),
        encode_trusted((True, ())),
        encode_trusted((2, ())),
        encode_trusted((2, (vote,) * (GOSSIP_VOTES_MAX + 1))),
        encode_trusted((2, (vote[:-1],))),
        encode_trusted((3, vote)),
        encode_trusted((1, (5, 1, 2, ()), 1)),
        encode_messages([make_vote(0)])[0] + b"\x00",
        b"\x00" * (CONSENSUS_MESSAGE_BYTES_MAX + 1),
    ):
        with pytest.raises(MalformedError):
            decode_message(bad)


async def test_nothing_is_sent_twice_in_a_full_mesh(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Each vote and each proposal crosses each link once, from its signer."""
    cluster = Cluster(tmp_path, params=ConsensusParams(block_interval_ms=200))
    crossings: Counter[tuple[object, ...]] = Counter()
    summaries = 0

    def observe(source: str, channel: int, payload: bytes) -> None:
        nonlocal summaries
        if channel == CONSENSUS:
            message = decode_message(payload)
            if isinstance(message, Summary):
                summaries += 1
                return
            for item in message if isinstance(message, list) else [message]:
                crossings[(item.height, item.round, item.to_wire())] += 1

    cluster.network.observe = observe
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(3)
        crossings.clear()
        summaries = 0
        await cluster.until_height(13)
        nursery.cancel_scope.cancel()
    assert max(crossings.values()) == 3
    assert sum(count < 3 for count in crossings.values()) <= 4  # on their way when we stopped looking
    assert 85 <= len(crossings) <= 99  # nine a height: one proposal, four prevotes, four precommits
    assert summaries / (10 * 12) <= 6  # per height and directed link


async def test_lost_pushes_are_repaired(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Nothing that a signer pushes itself arrives at node 3 for a while: it lives on what the others relay."""
    cluster = Cluster(tmp_path, params=ConsensusParams(block_interval_ms=200))
    Witness(cluster.network)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(3)
        cluster.partition((0, 1, 2), (2, 3))
        started = cluster.nodes[3].height
        await cluster.until_height(started + 8, timeout_s=20)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    blocks = cluster.nodes[0].store.blocks
    assert all(blocks[height].commit.round == 0 for height in range(started + 1, started + 8))


@pytest.mark.parametrize(("step", "is_served"), [(Step.COMMIT, False), (Step.PRECOMMIT, True)])
async def test_a_peer_that_waits_for_its_next_height_needs_no_votes_of_this_one(
    step: Step, is_served: bool, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """One height behind and decided: it waits for its block interval. The precommits it lacks decided nothing."""
    cluster = Cluster(tmp_path, params=ConsensusParams(block_interval_ms=2_000))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(2)
        peer = cluster.network.add("peer")
        cluster.network.connect("peer", "node0")
        decided = cluster.nodes[0].height - 1
        held = RoundSummary(0, (), 0b1111, True, 0, step is Step.COMMIT)
        peer.send("node0", CONSENSUS, encode_summary(Summary(decided, 0, step, (held,))))
        await trio.sleep(10 * RELAY_DELAY_NS / NS_PER_S)  # of virtual time: ten times what a repair waits
        assert cluster.nodes[0].height == decided + 1
        nursery.cancel_scope.cancel()
    served = set()
    with suppress(trio.WouldBlock):
        while True:
            event = peer.channel(CONSENSUS).receive_nowait()
            message = decode_message(event.payload) if isinstance(event, Inbound) else None
            served |= {(vote.height, vote.validator_index) for vote in message} if isinstance(message, list) else set()
    assert any(height == decided for height, _ in served) is is_served


async def test_garbage_is_reported_and_harmless(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Malformed bytes, votes of strangers, wrong signatures, far heights and rounds: a report or silence, never an end."""
    cluster = Cluster(tmp_path, params=ConsensusParams(block_interval_ms=200))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(3)
        stranger = cluster.network.add("stranger")
        for node in cluster.nodes:
            cluster.network.connect("stranger", node.name)
        validators = cluster.genesis.tip.validators
        for height in range(1, 12):
            for round_ in (0, 1, 2**31 - 1):
                for index in (0, 3, 4, 199):
                    address = validators.validators[index % 4].address
                    vote = Vote(
                        VoteType.PRECOMMIT, height, round_, BLOCK_ID, 7, address, index, b"\x04" * 64, b"\x05" * 2420
                    )
                    stranger.broadcast(CONSENSUS, encode_messages([vote])[0])
                proposal = Proposal(height, round_, -1, BLOCK_ID, 7, b"\x04" * 64, b"\x05" * 2420)
                stranger.broadcast(CONSENSUS, encode_messages([proposal])[0])
        huge = Summary(2**62, 2**31 - 1, Step.COMMIT, ())
        stranger.broadcast(CONSENSUS, encode_summary(huge))
        for payload in (b"", b"\xc1", b"\x93\x01", bytes(70_000)):
            stranger.broadcast(CONSENSUS, payload)
        await cluster.until_height(12, timeout_s=20)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert {peer for _, peer, _ in cluster.network.reports} == {"stranger"}
    assert {type(error).__name__ for _, _, error in cluster.network.reports} <= {
        "MalformedError",
        "TooLargeError",
        "InvalidVoteError",
    }


async def test_f2_a_proposal_came_when_its_message_came(autojump_clock: trio.testing.MockClock) -> None:
    """However long it waited to be handled: whether it was timely is judged by the network's part alone."""
    heard: list[m.Input] = []

    async def submit(item: m.Input, peer: str) -> None:
        heard.append(item)

    send, receive = trio.open_memory_channel[NetworkEvent](4)
    gossip = ConsensusGossip(Silence(), receive, VirtualClock(10**18), lambda: None, submit, lambda peer, block_id: None)
    send.send_nowait(PeerUp(PeerInfo("p")))
    proposal = Proposal(5, 0, -1, BLOCK_ID, 7, b"\x04" * 64, b"\x05" * 2420)
    send.send_nowait(Inbound("p", CONSENSUS, encode_messages([proposal])[0], 123))
    async with trio.open_nursery() as nursery:
        await trio.sleep(100)
        await nursery.start(gossip.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert heard == [m.ProposalReceived(proposal, 123)]


class Silence:
    """A network on which nothing goes out."""

    def send(self, peer_id: str, channel: int, payload: bytes) -> bool:
        return True

    def broadcast(self, channel: int, payload: bytes, except_: Collection[str] = ()) -> None:
        return

    def report(self, peer_id: str, error: QenexError) -> None:
        raise AssertionError(error)
