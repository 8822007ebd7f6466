"""Real nodes in one process on virtual time: agreement, stopped nodes, restarts, lost messages, partitions, skewed clocks."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing

from node.simulator.cluster import Cluster, Witness
from state.params import ConsensusParams
from state.primitives.errors import DoubleSignError

BUSY = ConsensusParams(block_interval_ms=100)


@pytest.fixture(autouse=True)
def _disk_that_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies loses nothing that it has written; only a machine does, and none dies here."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)


def crash_directories(cluster: Cluster) -> list[Path]:
    return [path for node in cluster.nodes for path in node.directory.glob("crash-*")]


async def test_four_nodes_decide_in_step_with_the_interval(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(25)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert cluster.network.reports == []
    assert crash_directories(cluster) == []
    blocks = cluster.nodes[0].store.blocks
    assert all(blocks[height].commit.round == 0 for height in range(2, 25))
    times = [blocks[height].block.header.time_ns for height in range(5, 25)]
    gaps_ms = [(later - earlier) // 1_000_000 for earlier, later in pairwise(times)]
    assert all(100 <= gap <= 110 for gap in gaps_ms), gaps_ms
    # late precommits are in the next block's commit: all four, not just the three that decided
    assert all(all(part.signature for part in blocks[height].block.last_commit.signatures) for height in range(5, 25))


async def test_one_stopped_the_others_go_on(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(5)
        await cluster.nodes[3].kill()
        await cluster.until_height(17, 0, 1, 2, timeout_s=120)
        behind = cluster.nodes[3].height
        assert behind < 10
        await cluster.restart(3)
        tip = cluster.nodes[0].height
        await cluster.until_height(tip, 3, timeout_s=5)
        await cluster.until_height(tip + 6, timeout_s=30)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert cluster.network.reports == []
    last = cluster.nodes[0].store.blocks[tip + 6].block.last_commit
    assert all(part.signature for part in last.signatures)  # it signs again


async def test_two_stopped_halt_and_one_back_resumes(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(5)
        await cluster.nodes[3].kill()
        await cluster.nodes[2].kill()
        await cluster.pass_time(2)
        halted = cluster.nodes[0].height
        await cluster.pass_time(60)
        assert cluster.nodes[0].height == halted
        await cluster.restart(2)
        await cluster.until_height(halted + 5, 0, 1, 2, timeout_s=120)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()


async def test_whole_network_restarts_without_anyone_ahead(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        for height in (4, 8, 12):
            await cluster.until_height(height)
            for node in cluster.nodes:
                await node.kill()
            for index in range(4):
                await cluster.restart(index)
        await cluster.until_height(16)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()


async def test_messages_get_lost(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    cluster = Cluster(tmp_path, params=BUSY, seed=7)
    Witness(cluster.network)
    cluster.network.loss_percent = 20
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(20, timeout_s=120)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    # a real link loses nothing in the middle; here an answer may be lost, and then its peer looks slow
    assert all("did not answer in time" in str(error) for _, _, error in cluster.network.reports)


async def test_a_line_of_nodes(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """No two ends are linked: votes, proposals and blocks are relayed."""
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    cluster.groups = ((0, 1), (1, 2), (2, 3))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(15, timeout_s=60)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()


async def test_partition_and_heal(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(4)
        cluster.partition((0, 1), (2, 3))
        await cluster.pass_time(30)
        halves = [node.height for node in cluster.nodes]
        assert max(halves) <= min(halves) + 1
        cluster.partition()
        await cluster.until_height(max(halves) + 3, timeout_s=15)
        cluster.partition((0, 1, 2), (3,))
        await cluster.until_height(max(halves) + 12, 0, 1, 2, timeout_s=60)
        cluster.partition()
        await cluster.until_height(cluster.nodes[0].height, 3, timeout_s=5)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()


async def test_clocks_within_and_beyond_precision(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Two clocks 400 ms off change nothing; one far ahead loses only its own proposals."""
    second = 1_000_000_000
    cluster = Cluster(tmp_path, params=BUSY, skews_ns=(0, 400_000_000, 0, 5 * second))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(12, timeout_s=120)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    blocks = cluster.nodes[0].store.blocks
    own = cluster.nodes[3].signer
    assert own is not None
    assert all(blocks[height].block.header.proposer_address != own.address for height in range(1, 13))
    times = [blocks[height].block.header.time_ns for height in range(1, 13)]
    assert times == sorted(set(times))


@pytest.mark.parametrize("empty_blocks", [True, False])
async def test_lone_transaction_is_final_at_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, empty_blocks: bool
) -> None:
    """Interval 0, idle network: nothing but the messages' own way (5 ms each) stands between a transaction and finality."""
    params = ConsensusParams(block_interval_ms=0, empty_blocks=empty_blocks, heartbeat_interval_ms=60_000)
    cluster = Cluster(tmp_path, params=params)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(1)
        for number in range(8):
            await cluster.pass_time(2.6)
            began = trio.current_time()
            tx = b"transaction %d" % number
            cluster.nodes[number % 4].add_tx(tx)
            await cluster.pass_time(0.010)  # the mempool's announcement and pull
            for node in cluster.nodes:
                node.add_tx(tx)
            await cluster.until(lambda: not any(node.pool for node in cluster.nodes), 5)
            assert trio.current_time() - began <= 0.080  # 25 ms, or 50 more just after an empty block
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    rounds = [certified.commit.round for certified in cluster.nodes[0].store.blocks.values()]
    assert rounds == [0] * len(rounds)


async def test_idle_network_without_empty_blocks(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The heartbeat, the one block that makes the last state provable, and nothing else; no round ever times out."""
    params = ConsensusParams(block_interval_ms=0, empty_blocks=False, heartbeat_interval_ms=30_000)
    cluster = Cluster(tmp_path, params=params)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(1)
        await cluster.pass_time(29)
        assert [node.height for node in cluster.nodes] == [1] * 4
        await cluster.pass_time(2)
        assert [node.height for node in cluster.nodes] == [2] * 4
        for node in cluster.nodes:
            node.add_tx(b"transaction")
        await cluster.pass_time(0.5)
        assert [node.height for node in cluster.nodes] == [3] * 4
        await cluster.pass_time(1)
        assert [node.height for node in cluster.nodes] == [4] * 4
        await cluster.pass_time(20)
        assert [node.height for node in cluster.nodes] == [4] * 4
        nursery.cancel_scope.cancel()
    assert all(c.commit.round == 0 for c in cluster.nodes[0].store.blocks.values())


async def test_transaction_that_reaches_only_one_node(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Its node begins the height alone; the others follow its vote, and its turn to propose comes."""
    params = ConsensusParams(block_interval_ms=0, empty_blocks=False, heartbeat_interval_ms=600_000)
    cluster = Cluster(tmp_path, params=params)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(1)
        await cluster.pass_time(5)
        cluster.nodes[2].add_tx(b"mine alone")
        await cluster.until(lambda: not cluster.nodes[2].pool, 30)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()


async def test_bodies_travel_to_nodes_without_them(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    cluster = Cluster(tmp_path, params=BUSY)
    txs = [bytes([number]) * 50_000 for number in range(1, 41)]  # 2 MB in one block
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        for tx in txs:
            cluster.nodes[1].add_tx(tx)
        await cluster.until(lambda: not cluster.nodes[1].pool, 30)
        await cluster.until_height(cluster.nodes[1].height, timeout_s=5)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    found = [len(certified.block.txs) for certified in cluster.nodes[0].store.blocks.values()]
    assert max(found) == 40
    assert cluster.network.reports == []


async def test_the_same_key_in_two_processes_stops(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """A copied home: as soon as the copy's vote contradicts ours, the node that sees it ends with an error."""
    cluster = Cluster(tmp_path, params=BUSY)
    cluster.tolerated = (BaseExceptionGroup,)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(3)
        victim = cluster.nodes[0]
        await cluster.until(lambda: not victim.running or _contradict(cluster), 30)
        await cluster.until(lambda: not victim.running, 10)
        nursery.cancel_scope.cancel()
    assert isinstance(victim.failure, BaseExceptionGroup)
    assert victim.failure.subgroup(DoubleSignError) is not None
    assert crash_directories(cluster) != []


def _contradict(cluster: Cluster) -> bool:
    """Give node 0 a vote of its own key for something else, in the round it is in."""
    from consensus.block_id import BlockID
    from consensus.vote import Vote, VoteType
    from node.consensus_gossip import encode_messages
    from node.network import CONSENSUS
    from node.simulator.cluster import CHAIN_ID
    from state.primitives.keys import CONTEXT_VOTE

    node = cluster.nodes[0]
    assert node.engine is not None
    assert node.signer is not None
    view = node.engine.driver.core.view
    index = view.validators.index_of(node.signer.address)
    vote = Vote(VoteType.PREVOTE, view.height + 1, 0, BlockID(b"x" * 32, 1, b"y" * 32), 1, node.signer.address, index)
    sign_bytes = vote.sign_bytes(CHAIN_ID)
    signed = vote.with_signatures(node.key.sign(sign_bytes, b""), node.pq_key.sign(sign_bytes, CONTEXT_VOTE))
    switch = cluster.nodes[1].switch
    assert switch is not None
    switch.send("node0", CONSENSUS, encode_messages([signed])[0])
    return True
