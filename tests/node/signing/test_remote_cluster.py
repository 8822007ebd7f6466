"""Whole nodes whose votes are signed elsewhere, in one process and virtual time: signers and nodes killed, links cut, logs lost."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import structlog
import trio
import trio.testing

from consensus.commit import Flag
from node.look_back import find_unknown_commit
from node.signer import Signer
from node.signing.key_ring import KeyRing
from node.signing.remote import RemoteSettings, RemoteSigner
from node.signing.service import SignerService
from node.simulator.cluster import CHAIN_ID, Cluster, SimNode, Witness
from p2p.identity import NodeIdentity, PeerAddress
from p2p.memory import MemoryNetwork
from state.params import ConsensusParams
from state.primitives.errors import DoubleSignError, QenexError, SignerRecordError
from state.primitives.hashing import sha256, validator_address
from tests.node.signing.keys import CHAIN

BUSY = ConsensusParams(block_interval_ms=50)
WIRE_S = 0.003
PAUSE_S = 4.0
CALM = ConsensusParams(block_interval_ms=200)


class Elsewhere:
    """The signer of one node of a cluster: its record on disk, its process, and the node's side of it."""

    def __init__(self, cluster: Cluster, index: int, network: MemoryNetwork) -> None:
        self.node: SimNode = cluster.nodes[index]
        self.path = self.node.directory / "elsewhere"
        self.network = network
        self.own, self.theirs = (NodeIdentity(sha256(b"%s %d" % (name, index))) for name in (b"node", b"signer"))
        for wire in (network.wire(self.own.id, self.theirs.id), network.wire(self.theirs.id, self.own.id)):
            wire.delay_seconds = WIRE_S
        Signer.create(self.path, CHAIN, self.node.key, self.node.pq_key).close()
        self.place = (f"node{index}", 1)
        self.remote = self.make_remote()
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        self._node_scope = trio.CancelScope()

    def make_remote(self) -> RemoteSigner:
        address = validator_address(self.node.key.public_key.data)
        settings = RemoteSettings(*self.place, self.theirs.id, CHAIN, (address,), 2.0)
        remote = RemoteSigner(settings, self.network.transport(self.own), self.warn)
        store = self.node.store

        def judge(record: Any) -> None:
            if find_unknown_commit(record, store.height - 1, store.commit) is not None:
                raise SignerRecordError("the record is older than the chain")

        remote.judge = judge
        return remote

    def warn(self, who: str, error: QenexError) -> None:
        self.node.warnings.append((who, error))

    async def run_node_side(self, nursery: trio.Nursery) -> None:
        """As a node that starts does; the engine is given the new one."""
        self.remote = self.node.elsewhere = self.make_remote()
        self._node_scope = trio.CancelScope()

        async def run(*, task_status: trio.TaskStatus[str]) -> None:
            with self._node_scope:
                await self.remote.run(task_status=task_status)

        await nursery.start(run)

    def kill_node_side(self) -> None:
        self._node_scope.cancel()

    def start(self, nursery: trio.Nursery) -> None:
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        nursery.start_soon(self._run, self._scope)

    async def kill(self) -> None:
        self._scope.cancel()
        self.network.cut(self.theirs.id, self.own.id)
        await self._ended.wait()

    async def _run(self, scope: trio.CancelScope) -> None:
        log: Any = structlog.get_logger()
        with scope:
            ring = KeyRing([Signer.open(self.path, CHAIN, self.node.key, self.node.pq_key)])
            try:
                node = PeerAddress(self.own.id, *self.place)
                await SignerService(ring, CHAIN_ID, CHAIN, self.network.transport(self.theirs), node, log).run()
            finally:
                ring.close()
                self._ended.set()


def votes_in_chain(node: SimNode, address: bytes, first: int, last: int) -> int:
    """In how many of these heights' commits, as later blocks hold them, the address has voted for the block."""
    commits = [node.store.blocks[height + 1].block.last_commit for height in range(first, last + 1)]
    return sum(any(part.validator_address == address and part.flag is Flag.COMMIT for part in commit.signatures) for commit in commits)


async def test_its_votes_are_in_the_blocks(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    elsewhere = Elsewhere(cluster, 0, MemoryNetwork())
    async with trio.open_nursery() as nursery:
        await elsewhere.run_node_side(nursery)
        elsewhere.start(nursery)
        await elsewhere.remote.wait_ready()
        await cluster.start(nursery)
        await cluster.until_height(16)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert votes_in_chain(cluster.nodes[1], elsewhere.remote.address, 2, 14) >= 10
    proposers = {cluster.nodes[1].store.blocks[height].block.header.proposer_address for height in range(1, 15)}
    assert elsewhere.remote.address in proposers  # its proposals are signed there as well
    assert elsewhere.node.warnings == []


async def test_the_signer_killed_again_and_again(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """At any moment: the network goes on, nothing is signed twice, and the validator votes again each time.

    Twenty times with real processes: test_signer_process.py.
    """
    cluster = Cluster(tmp_path, params=CALM)
    Witness(cluster.network)
    elsewhere = Elsewhere(cluster, 0, MemoryNetwork())
    chance = random.Random(20)
    node = cluster.nodes[1]
    async with trio.open_nursery() as nursery:
        await elsewhere.run_node_side(nursery)
        elsewhere.start(nursery)
        await elsewhere.remote.wait_ready()
        await cluster.start(nursery)
        for number in range(8):
            cluster.nodes[number % 4].add_tx(b"tx %d" % number)
            await trio.sleep(chance.uniform(0.01, 0.4))
            await elsewhere.kill()
            height = node.height
            await trio.sleep(chance.choice((0.0, 0.3)))
            elsewhere.start(nursery)
            with trio.fail_after(60):
                await elsewhere.remote.wait_ready()
            back = node.height
            await cluster.until_height(max(height, back) + 3)
            assert votes_in_chain(node, elsewhere.remote.address, back + 1, back + 2) >= 1
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert not [error for _, error in elsewhere.node.warnings if isinstance(error, DoubleSignError | SignerRecordError)]


async def test_all_signers_away_at_once(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Before the first height, and later in the middle of one: nothing is decided, and when they are back the network goes on by itself."""
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    network = MemoryNetwork()
    signers = [Elsewhere(cluster, index, network) for index in range(4)]
    async with trio.open_nursery() as nursery:
        for signer in signers:
            await signer.run_node_side(nursery)
        await cluster.start(nursery)
        await trio.sleep(PAUSE_S)
        assert {node.height for node in cluster.nodes} == {0}
        for times in range(2):
            for signer in signers:
                signer.start(nursery)
            await cluster.until_height(3 * (times + 1))
            for signer in signers:
                await signer.kill()
                await trio.sleep(0.013 * times)
            await trio.sleep(PAUSE_S)  # what is under way arrives
            heights = [node.height for node in cluster.nodes]
            await trio.sleep(PAUSE_S)
            assert [node.height for node in cluster.nodes] == heights
        nursery.cancel_scope.cancel()
    cluster.check_agreement()


async def test_a_node_killed_while_its_signer_lives(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """With its log it goes on in the very height; every signature that it broadcasts again is the one of before."""
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    elsewhere = Elsewhere(cluster, 0, MemoryNetwork())
    chance = random.Random(7)
    async with trio.open_nursery() as nursery:
        await elsewhere.run_node_side(nursery)
        elsewhere.start(nursery)
        await cluster.start(nursery)
        for _ in range(6):
            await trio.sleep(chance.uniform(0.01, 0.4))
            await elsewhere.node.kill()
            elsewhere.kill_node_side()
            await trio.sleep(chance.choice((0.0, 0.2)))
            await elsewhere.run_node_side(nursery)
            await cluster.restart(0)
            with trio.fail_after(60):
                await elsewhere.remote.wait_ready()
        await cluster.until_height(cluster.nodes[1].height + 6)
        last = cluster.nodes[1].height - 1
        assert votes_in_chain(cluster.nodes[1], elsewhere.remote.address, last - 3, last) >= 2
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert not [error for _, error in elsewhere.node.warnings if isinstance(error, DoubleSignError)]


async def test_a_log_that_was_lost_is_not_signed_past(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The node's log of the height is gone, the signer's record is not: nothing more is signed in that height, and all in the next."""
    cluster = Cluster(tmp_path, params=BUSY)
    witness = Witness(cluster.network)
    elsewhere = Elsewhere(cluster, 0, MemoryNetwork())
    node, address = elsewhere.node, elsewhere.remote.address
    async with trio.open_nursery() as nursery:
        await elsewhere.run_node_side(nursery)
        elsewhere.start(nursery)
        await elsewhere.remote.wait_ready()
        await cluster.start(nursery)
        await cluster.until_height(3)
        await cluster.nodes[1].kill()  # the other two decide nothing without us
        with trio.fail_after(60):
            while elsewhere.remote.record is None or elsewhere.remote.record.height <= node.height:
                await trio.sleep(0.001)  # until it has signed in the height in progress
        await node.kill()
        elsewhere.kill_node_side()
        height = elsewhere.remote.record.height
        for path in node.log.glob("*.log"):
            path.unlink()
        seen = {key for key in witness.seen if key[0] == address and key[1] == height}
        await elsewhere.run_node_side(nursery)
        await cluster.restart(0)
        await elsewhere.remote.wait_ready()
        await trio.sleep(PAUSE_S)
        assert node.height + 1 == height
        assert {key for key in witness.seen if key[0] == address and key[1] == height} == seen
        await cluster.restart(1)  # now the others can decide that height
        await cluster.until_height(height + 4)
        assert votes_in_chain(cluster.nodes[1], address, height + 1, height + 3) >= 1
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert [error for _, error in node.warnings if "does not have" in error.message]


async def test_a_record_older_than_the_chain_is_turned_away(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Restored from a backup: the node does not use it, and follows."""
    cluster = Cluster(tmp_path, params=BUSY)
    Witness(cluster.network)
    elsewhere = Elsewhere(cluster, 0, MemoryNetwork())
    async with trio.open_nursery() as nursery:
        await elsewhere.run_node_side(nursery)
        elsewhere.start(nursery)
        await cluster.start(nursery)
        await cluster.until_height(5)
        backup = elsewhere.path.read_bytes()
        await cluster.until_height(9)
        await elsewhere.kill()
        await trio.testing.wait_all_tasks_blocked()
        elsewhere.path.write_bytes(backup)
        elsewhere.start(nursery)
        height = cluster.nodes[1].height
        await cluster.until_height(height + 5)
        assert not elsewhere.remote.is_connected
        assert votes_in_chain(cluster.nodes[1], elsewhere.remote.address, height + 1, height + 3) == 0
        nursery.cancel_scope.cancel()
    assert [error for _, error in elsewhere.node.warnings if isinstance(error, SignerRecordError)]
