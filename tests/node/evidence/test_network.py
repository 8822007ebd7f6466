"""Four nodes of which one signs twice: the proof is in a block within five heights, on every honest node, and nobody else is hurt."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from consensus.block_id import BlockID
from consensus.evidence import DuplicateProposalEvidence, DuplicateVoteEvidence, Evidence
from consensus.vote import Proposal, Vote, VoteType
from node.consensus_gossip import encode_messages
from node.network import CONSENSUS
from node.simulator.cluster import CHAIN_ID, Cluster, SimNode
from node.simulator.network import SimSwitch
from state.params import ConsensusParams
from state.primitives.errors import DoubleSignError, InvalidEvidenceError
from state.primitives.keys import CONTEXT_VOTE

BUSY = ConsensusParams(block_interval_ms=100)
HONEST = (0, 1, 2)


@pytest.fixture(autouse=True)
def _disk_that_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)


def punished(node: SimNode) -> list[tuple[int, Evidence]]:
    """(height of the block, proof) of everything on this node's chain."""
    return [(height, item) for height, found in node.store.blocks.items() for item in found.block.evidence]


def sign(node: SimNode, message: Vote | Proposal) -> Vote | Proposal:
    """With the node's key, past its signer."""
    sign_bytes = message.sign_bytes(CHAIN_ID)
    return message.with_signatures(node.key.sign(sign_bytes, b""), node.pq_key.sign(sign_bytes, CONTEXT_VOTE))


def contradict(node: SimNode, make: Callable[[Vote | Proposal], Vote | Proposal | None], *peers: str) -> None:
    """From now on the node follows what it sends to these peers with the opposite."""
    assert node.switch is not None and node.engine is not None
    engine, switch = node.engine, node.switch
    honest = engine.broadcast

    def broadcast(message: Vote | Proposal) -> None:
        honest(message)
        other = make(message)
        if other is not None:
            for peer in peers:
                switch.send(peer, CONSENSUS, encode_messages([sign(node, other)])[0])

    engine.broadcast = broadcast  # type: ignore[method-assign]


def vote_for_nil(message: Vote | Proposal) -> Vote | None:
    if not isinstance(message, Vote) or message.block_id is None:
        return None
    return replace(message, block_id=None, time_ns=message.time_ns - 1)


def propose_another(message: Vote | Proposal) -> Proposal | None:
    if not isinstance(message, Proposal):
        return None
    return replace(message, block_id=BlockID(b"\x11" * 32, 1, b"\x22" * 32))


@pytest.mark.parametrize(
    ("make", "kind"), [(vote_for_nil, DuplicateVoteEvidence), (propose_another, DuplicateProposalEvidence)]
)
async def test_a_double_signer_is_on_the_chain_within_five_heights(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    make: Callable[[Vote | Proposal], Vote | Proposal | None],
    kind: type[Evidence],
) -> None:
    """Only one node is told the second message; gossip takes the proof to the others."""
    cluster = Cluster(tmp_path, params=BUSY)
    cluster.tolerated = (BaseExceptionGroup,)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(3)
        cheat = cluster.nodes[3]
        assert cheat.signer is not None
        contradict(cheat, make, "node1")
        await cluster.until(lambda: all(punished(cluster.nodes[index]) for index in HONEST), 60)
        await cluster.until_height(cluster.nodes[0].height + 3, *HONEST)
        assert all(cluster.nodes[index].running for index in HONEST)
        # failed before: a node that had not heard the second message itself went on with a key that somebody else uses
        await cluster.until(lambda: not cheat.running, 30)
        failure = cheat.failure
        await cluster.restart(3)  # once the proof is on the chain, the node is free to follow
        await cluster.until_height(cluster.nodes[0].height + 3)
        assert cheat.running
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert isinstance(failure, BaseExceptionGroup)
    assert failure.subgroup(DoubleSignError) is not None
    found = punished(cluster.nodes[0])
    assert all(isinstance(item, kind) for _, item in found)
    assert all(height - item.height <= 5 for height, item in found)
    assert {accused.address for _, item in found for accused in item.misbehavior()} == {cheat.signer.address}
    assert len({item.offence for _, item in found}) == len(found)  # each offence once
    assert not any(isinstance(error, InvalidEvidenceError) for _, _, error in cluster.network.reports)


async def test_two_instances_with_one_key_stop_and_are_proved(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A careless operator's second home: at its turn the key proposes two blocks. Both instances end, the others have the proof."""
    cluster = Cluster(tmp_path, params=BUSY)
    cluster.tolerated = (BaseExceptionGroup,)
    twin = SimNode(cluster, 3, tmp_path / "second")
    twin.name = "second"
    twin.pool[b"x" * 32] = b"only the second instance knows this"
    cluster.nodes.append(twin)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until(lambda: all(punished(cluster.nodes[index]) for index in HONEST), 120)
        await cluster.until(lambda: not twin.running and not cluster.nodes[3].running, 30)
        assert all(cluster.nodes[index].running for index in HONEST)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    found = punished(cluster.nodes[0])
    assert any(isinstance(item, DuplicateProposalEvidence) for _, item in found)
    assert all(height - item.height <= 5 for height, item in found)
    for instance in (twin, cluster.nodes[3]):
        assert isinstance(instance.failure, BaseExceptionGroup)
        ends = instance.failure.subgroup(DoubleSignError)
        assert ends is not None
        assert "its key is used by two instances" in str(leaf(ends))


def leaf(error: BaseException) -> BaseException:
    return leaf(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def test_a_node_that_was_away_follows_blocks_with_evidence(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Catching up judges evidence as well, from its own chain."""
    cluster = Cluster(tmp_path, params=BUSY)
    cluster.tolerated = (BaseExceptionGroup,)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(3)
        await cluster.nodes[2].kill()
        contradict(cluster.nodes[3], vote_for_nil, "node0", "node1")
        await cluster.until(lambda: bool(punished(cluster.nodes[0])) and bool(punished(cluster.nodes[1])), 120)
        await cluster.restart(2)
        await cluster.until(lambda: bool(punished(cluster.nodes[2])), 60)
        assert cluster.nodes[2].running
        nursery.cancel_scope.cancel()
    cluster.check_agreement()


async def test_a_pending_proof_survives_the_end_of_its_node(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """L6: two of four are down, so nothing is decided; the only witness is killed and started again before anything can be."""
    cluster = Cluster(tmp_path, params=BUSY)
    cluster.tolerated = (BaseExceptionGroup,)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(3)
        witness, cheat = cluster.nodes[0], cluster.nodes[3]
        for index in (1, 2):
            await cluster.nodes[index].kill()
        await cluster.pass_time(5)
        view = witness.engine.driver.core.view  # type: ignore[union-attr]
        assert cheat.signer is not None
        place = view.validators.index_of(cheat.signer.address)
        for value in (None, BlockID(b"\x11" * 32, 1, b"\x22" * 32)):
            vote = Vote(VoteType.PREVOTE, view.height, view.state.round, value, 1, cheat.signer.address, place)
            assert isinstance(cheat.switch, SimSwitch)
            cheat.switch.send("node0", CONSENSUS, encode_messages([sign(cheat, vote)])[0])
        await cluster.pass_time(1)
        assert witness.executor is not None and witness.executor.evidence is not None
        assert witness.executor.evidence.statistics()["reports"] == 1
        await witness.kill()
        await cheat.kill()
        for index in (0, 1, 2):
            await cluster.restart(index)
        await cluster.until(lambda: all(punished(cluster.nodes[index]) for index in HONEST), 120)
        nursery.cancel_scope.cancel()
    found = punished(cluster.nodes[1])
    assert len(found) == 1 and found[0][0] - found[0][1].height <= 5
    assert witness.executor.evidence.statistics() == {"pending": 0, "bytes": 0, "reports": 0}
