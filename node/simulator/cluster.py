"""Networks of real nodes in one process: real core, log, signer, gossip, propagation and catching up; a ledger that only hashes.

A node's disk is its directory (log, signer's record) and its `SimStore`, which outlive a `kill`; everything else dies with it. The
checks of every run are in `check_agreement`: one block for each height on all nodes, and no key ever signed two things for one height,
round and step, as far as the wire has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from consensus.block import Block
from consensus.commit import EMPTY_COMMIT, EMPTY_PQ_COMMIT, Commit, HybridVerifier, PqCommit
from consensus.header import Header
from consensus.messages import ReportEvidence
from consensus.validation import ChainTip, make_block, validate_block
from consensus.vote import Proposal, Vote
from node.clock import Clock, VirtualClock
from node.consensus_gossip import decode_message
from node.engine import Edges, Engine
from node.evidence.gossip import EvidenceGossip
from node.evidence.pool import EvidencePool
from node.network import BLOCK, CONSENSUS, SYNC
from node.roles import ChainState
from node.signer import Signer
from node.signing.voter import VoteSigner
from node.simulator.network import SimNetwork, SimSwitch
from node.sync.messages import CertifiedBlock
from node.wal import Wal
from p2p.channels import EVIDENCE
from state.params import ConsensusParams
from state.primitives.errors import ConsensusFailure, InvalidBlockError, QenexError
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind, PrivateKey
from state.validators import Validator, ValidatorSet

CHAIN_ID: Final = "sim-1"
GENESIS_NS: Final = 1_700_000_000 * 1_000_000_000


@dataclass
class SimStore:
    """A node's durable chain."""

    genesis: ChainState
    state: ChainState
    blocks: dict[int, CertifiedBlock] = field(default_factory=dict)
    base: int = 1
    punished: dict[bytes, int] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """See `node.sync.loop.BlockSource` and `consensus.history.ChainHistory`."""
        return self.state.height

    def header(self, height: int) -> Header | None:
        """See `ChainHistory`."""
        found = self.blocks.get(height)
        return None if found is None else found.block.header

    def validators(self, height: int) -> ValidatorSet | None:
        """See `ChainHistory`: the set never changes here."""
        return self.state.tip.validators if height in self.blocks else None

    def commit(self, height: int) -> Commit | None:
        """See `ChainHistory`."""
        found = self.blocks.get(height + 1)
        return None if found is None else found.block.last_commit

    def is_punished(self, offence: bytes) -> bool:
        """See `ChainHistory`."""
        return offence in self.punished

    def certified(self, height: int) -> CertifiedBlock | None:
        """See `node.sync.loop.BlockSource`."""
        return self.blocks.get(height)


class SimExecutor:
    """A ledger whose state is the hash of its history."""

    def __init__(self, store: SimStore, clock: Clock, address: bytes, pool: dict[bytes, bytes]) -> None:
        self.store = store
        self.clock = clock
        self.address = address
        self.pool = pool
        self.reports: list[ReportEvidence] = []
        self.evidence: EvidencePool | None = None

    async def build_value(self, height: int, round_: int, last_commit: Commit) -> Block:
        """See `Executor`."""
        await trio.lowlevel.checkpoint()
        tip = self.store.state.tip
        if height != tip.height + 1:
            raise ConsensusFailure(f"asked to build height {height} on {tip.height}")
        time_ns = max(self.clock.now_ns(), tip.last_block_time_ns + 1)
        evidence = () if self.evidence is None else self.evidence.take(tip.params.evidence_bytes_max, height, time_ns)
        return make_block(tip, time_ns, tuple(self.pool.values()), last_commit, evidence, self.address)

    async def validate(self, block: Block) -> bool:
        """See `Executor`."""
        await trio.lowlevel.checkpoint()
        try:
            validate_block(block, self.store.state.tip, HybridVerifier(), self.store)
        except InvalidBlockError:
            return False
        return True

    async def commit(self, block: Block, commit: Commit, pq_commit: PqCommit) -> ChainState:
        """See `Executor`."""
        await trio.lowlevel.checkpoint()
        tip = self.store.state.tip
        app_hash = sha256(tip.app_hash + block.header.hash())
        new = tip.advance(block, app_hash, sha256(b"results" + app_hash), (), None)
        state = ChainState(new, commit, pq_commit, bool(block.txs))
        self.store.blocks[new.height] = CertifiedBlock(block, commit, pq_commit)
        self.store.state = state
        for item in block.evidence:
            self.store.punished |= dict.fromkeys(item.offences, new.height)
        if self.evidence is not None:
            self.evidence.decided()
        for tx in block.txs:
            self.pool.pop(sha256(tx), None)
        return state

    def has_pending_txs(self) -> bool:
        """See `Executor`."""
        return bool(self.pool)

    def add_evidence(self, report: ReportEvidence) -> None:
        """See `Executor`."""
        self.reports.append(report)
        if self.evidence is not None:
            self.evidence.report(report)


class SimNode:
    """One node: its keys, its disk, and, while it runs, its engine."""

    def __init__(self, cluster: Cluster, index: int, directory: Path) -> None:
        self.cluster = cluster
        self.index = index
        self.name = f"node{index}"
        self.directory = directory
        self.key, self.pq_key = cluster.keys[index]
        self.store = SimStore(cluster.genesis, cluster.genesis)
        self.pool: dict[bytes, bytes] = {}
        self.engine: Engine | None = None
        self.executor: SimExecutor | None = None
        self.switch: SimSwitch | None = None
        self.signer: Signer | None = None
        self.elsewhere: VoteSigner | None = None  # signs in place of the signer here
        self.warnings: list[tuple[str, QenexError]] = []
        self.failure: BaseException | None = None
        self.prepare: Callable[[SimNode, Wal, Signer], None] | None = None  # plants faults before a start
        self._scope: trio.CancelScope | None = None
        self._stopped = trio.Event()
        signer = Signer.create(self.record, CHAIN_ID.encode(), self.key, self.pq_key)
        signer.close()

    @property
    def record(self) -> Path:
        """The signer's record."""
        return self.directory / "signer_record"

    @property
    def log(self) -> Path:
        """The directory of the consensus log."""
        return self.directory / "wal"

    @property
    def height(self) -> int:
        """The last decided height."""
        return self.store.height

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._scope is not None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the disk, run the engine until killed or until it fails; `failure` says which."""
        cluster = self.cluster
        self.failure = None
        self._stopped = trio.Event()
        signer = Signer.open(self.record, CHAIN_ID.encode(), self.key, self.pq_key)
        next_height = self.store.height + 1
        signed = signer.record.log_position if signer.record.height == next_height and self.elsewhere is None else 0
        wal = Wal.open(self.log, CHAIN_ID.encode(), next_height, signed_position=signed)
        if self.prepare is not None:
            self.prepare(self, wal, signer)
        switch = self.switch = cluster.network.add(self.name)
        clock = cluster.clock_of(self.index)
        executor = self.executor = SimExecutor(self.store, clock, signer.address, self.pool)
        edges = Edges(
            switch,
            switch.channel(CONSENSUS),
            switch.channel(BLOCK),
            switch.channel(SYNC),
            self.store,
            executor,
            self.pool.get,
            wal,
            self.elsewhere or signer,
            clock,
            HybridVerifier(),
            self.directory,
            lambda who, error: self.warnings.append((who, error)),
        )
        self.signer = signer
        self.engine = Engine(edges, self.store.state)
        executor.evidence = EvidencePool(
            self.directory / "evidence",
            CHAIN_ID,
            signer.address,
            self.store,
            lambda: self.store.state.tip,
            HybridVerifier(),
            edges.warn,
        )
        evidence = EvidenceGossip(switch, switch.channel(EVIDENCE), executor.evidence, self.engine.sync.height_of)
        self.engine.on_decided.append(lambda state, certified: cluster.progress())
        try:
            with trio.CancelScope() as self._scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.engine.run)
                    await nursery.start(evidence.run)
                    for other in cluster.nodes:
                        if other.running and other is not self and cluster.may_connect(self.index, other.index):
                            cluster.network.connect(self.name, other.name)
                    task_status.started()
        except cluster.tolerated as error:
            self.failure = error
        finally:
            self._scope = None
            signer.close()
            wal.close()
            cluster.network.isolate(self.name)
            self._stopped.set()
            cluster.progress()

    async def kill(self) -> None:
        """Stop at once, as `kill -9` would: nothing is flushed."""
        if self._scope is not None:
            self._scope.cancel()
        await self._stopped.wait()

    def add_tx(self, tx: bytes) -> None:
        """A transaction reaches this node's mempool."""
        self.pool[sha256(tx)] = tx
        if self.engine is not None:
            self.engine.notify_txs()


class Cluster:
    """`count` validators of equal power. Make it, `start` it in a nursery, wait with `until`, cancel the nursery."""

    def __init__(
        self,
        directory: Path,
        count: int = 4,
        *,
        params: ConsensusParams | None = None,
        seed: int = 0,
        skews_ns: tuple[int, ...] = (),
        pq_kind: KeyKind = KeyKind.MLDSA44,
    ) -> None:
        self.keys = [
            (
                PrivateKey.from_seed(KeyKind.ED25519, sha256(b"ed%d" % index)),
                PrivateKey.from_seed(pq_kind, sha256(b"pq%d" % index)),
            )
            for index in range(count)
        ]
        validators = ValidatorSet(
            Validator(key.public_key.data, pq_kind, pq.public_key.data, 10) for key, pq in self.keys
        )
        chosen = ConsensusParams(block_interval_ms=0) if params is None else params
        tip = ChainTip.at_genesis(CHAIN_ID, 1, GENESIS_NS, validators, sha256(b"genesis"), chosen)
        self.genesis = ChainState(tip, EMPTY_COMMIT, EMPTY_PQ_COMMIT)
        self.skews_ns = skews_ns or (0,) * count
        self.network = SimNetwork(VirtualClock(GENESIS_NS), seed=seed)
        self.groups: tuple[tuple[int, ...], ...] = ()
        self.tolerated: tuple[type[BaseException], ...] = ()
        self._progress = trio.Event()
        self._nursery: trio.Nursery | None = None
        self.nodes = [SimNode(self, index, directory / f"node{index}") for index in range(count)]

    def clock_of(self, index: int) -> Clock:
        """A node's clocks; the wall clock may be skewed."""
        return VirtualClock(GENESIS_NS, self.skews_ns[index])

    def may_connect(self, first: int, second: int) -> bool:
        """Whether no partition is between two nodes."""
        return not self.groups or any(first in group and second in group for group in self.groups)

    async def start(self, nursery: trio.Nursery, *indices: int) -> None:
        """Start the network and these nodes (all, if none is named)."""
        self._nursery = nursery
        await nursery.start(self.network.run)
        for index in indices or range(len(self.nodes)):
            await nursery.start(self.nodes[index].run)

    async def restart(self, index: int) -> None:
        """Start a stopped node again on its disk."""
        if self._nursery is None:
            raise ConsensusFailure("the cluster was not started")
        await self._nursery.start(self.nodes[index].run)

    def partition(self, *groups: tuple[int, ...]) -> None:
        """Only links within a group remain; no groups: everybody is linked again."""
        self.groups = groups
        running = [node for node in self.nodes if node.running]
        for first in running:
            for second in running:
                if first.index < second.index:
                    if self.may_connect(first.index, second.index):
                        self.network.connect(first.name, second.name)
                    else:
                        self.network.cut(first.name, second.name)

    def progress(self) -> None:
        """Something has happened that `until` may be waiting for."""
        self._progress.set()
        self._progress = trio.Event()

    async def pass_time(self, seconds: float) -> None:
        """Let virtual time pass: for what must *not* happen, or for a network that should be idle."""
        await trio.sleep(seconds)

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait for a condition; it is looked at after each decision and each end of a node."""
        with trio.fail_after(timeout_s):
            while not condition():
                await self._progress.wait()

    async def until_height(self, height: int, *indices: int, timeout_s: float = 60) -> None:
        """Wait until these nodes (all running ones, if none is named) have decided a height."""
        chosen = [self.nodes[index] for index in indices] if indices else self.nodes
        await self.until(lambda: all(node.height >= height for node in chosen if node.running or indices), timeout_s)

    def check_agreement(self) -> None:
        """Raise `ConsensusFailure` if two nodes decided different blocks for one height."""
        decided: dict[int, bytes] = {}
        for node in self.nodes:
            for height, certified in node.store.blocks.items():
                block_hash = certified.block.header.hash()
                if decided.setdefault(height, block_hash) != block_hash:
                    raise ConsensusFailure(f"fork at height {height}")


class Witness:
    """Reads every consensus message that is sent and refuses a second signature for one height, round and step."""

    def __init__(self, network: SimNetwork) -> None:
        self.seen: dict[tuple[object, ...], bytes] = {}
        self.signatures: dict[tuple[object, ...], bytes] = {}
        network.observe = self.observe

    def observe(self, source: str, channel: int, payload: bytes) -> None:
        """One message on the wire."""
        if channel != CONSENSUS:
            return
        message = decode_message(payload)
        items = [message] if isinstance(message, Proposal) else message
        for item in items if isinstance(items, list) else []:
            who: object = item.validator_address if isinstance(item, Vote) else "proposer"
            step = int(item.type) if isinstance(item, Vote) else 0
            key = who, item.height, item.round, step
            sign_bytes = item.sign_bytes(CHAIN_ID)
            if self.seen.setdefault(key, sign_bytes) != sign_bytes:
                raise ConsensusFailure(f"two signatures for {key[1:]}")
            if self.signatures.setdefault(key, item.pq_signature) != item.pq_signature:
                raise ConsensusFailure(f"signed twice: {key[1:]}")
