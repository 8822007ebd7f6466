"""One node of a swarm: the production parts, wired as `node.wiring` wires them, on the simulated machine. See `node.simulator.swarm`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import trio

from consensus.block import Block
from consensus.commit import Commit
from consensus.messages import Lock
from node.clock import VirtualClock
from node.engine import Edges, Engine
from node.evidence.gossip import EvidenceGossip
from node.evidence.pool import EvidencePool
from node.executor import CommittedBlock, LedgerExecutor, load_state
from node.mempool.gossip import MempoolGossip
from node.mempool.mempool import ACCOUNT_TXS_MAX, Mempool
from node.mempool.pool import Pool
from node.network import BLOCK, CONSENSUS, SYNC
from node.signer import SignRequest
from node.simulator.byzantine import Cheat, spoil_block
from node.simulator.disk import FULL, Disk, Killed, MemoryDatabase, SimSigner, SimWal
from node.simulator.wires import WireSwitch
from node.source import StoreSource
from node.storage.store import Store, StoreOptions
from node.workers import InlineChecker
from p2p.channels import EVIDENCE, MEMPOOL
from state.primitives.errors import QenexError
from state.schema import decode_record
from state.view import RecordCache

if TYPE_CHECKING:
    from node.simulator.swarm_world import World

EPOCH_NS: Final = 1_700_000_000 * 1_000_000_000
CHAIN_ID: Final = "sim-1"


async def run_inline(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a thread would do, here and now."""
    await trio.lowlevel.checkpoint()
    return function(*arguments)


class InventiveExecutor(LedgerExecutor):
    """Builds blocks that break a rule, now and then."""

    spoil: Callable[[Block], Block]

    async def build_value(self, height: int, round_: int, last_commit: Commit) -> Block:
        """See `LedgerExecutor`."""
        return self.spoil(await super().build_value(height, round_, last_commit))


class SwarmNode:
    """`run` it until it is killed or fails; its `disk` outlives it. `kind` names how it cheats, "" if it is honest."""

    def __init__(self, world: World, name: str, index: int, disk: Disk, kind: str) -> None:
        self.world = world
        self.name = name
        self.index = index
        self.disk = disk
        self.kind = kind
        self.clock = VirtualClock(EPOCH_NS)
        self.height = 0
        self.app_hash = b""
        self.failure = ""
        self.is_running = False
        self.starts = 0
        self.stopped_ms = 0
        self._chance = world.random(f"node {name}")
        self._scope: trio.CancelScope | None = None
        self._mempool: Mempool | None = None
        self._engine: Engine | None = None
        self._switch: WireSwitch | None = None
        self._after_kill: Callable[[], object] | None = None
        self._doom: tuple[str, str, int] | None = None

    # faults

    def kill(self, then: Callable[[], object] | None = None) -> None:
        """As SIGKILL would: at the next moment it waits. `then` is done to its disk."""
        if self._scope is not None:
            self._after_kill = then
            self._scope.cancel()

    def doom(self, what: str, fate: str, writes: int) -> None:
        """The so-maniest write of that kind from now on meets this fate."""
        self._doom = what, fate, writes

    def spare(self) -> None:
        """No further fault of the disk or the clock; a damaged clock is set right."""
        self._doom = None
        self.clock.skew_ns = 0

    def _fate(self, what: str) -> str:
        if self._doom is None or self._doom[0] != what:
            return ""
        _, fate, writes = self._doom
        if writes > 1:
            self._doom = what, fate, writes - 1
            return ""
        self._doom = None
        self.world.note("disk full" if fate == FULL else "killed in the middle of a write")
        self.world.log(f"{self.name} {what} {fate}")
        return fate

    # running

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the disk, take part until killed or failed."""
        if self.is_running:
            task_status.started()
            return
        self.is_running = True
        self.starts += 1
        is_injected = False
        try:
            with trio.CancelScope() as self._scope:
                await self._serve(task_status)
        except* Killed:
            is_injected = True
        except* QenexError as group:
            is_injected = self._is_excused(group)
            if not is_injected and not self.kind:
                self.failure = _describe(group)
        finally:
            self._scope = None
            if self._switch is not None:
                self.world.wires.remove(self._switch)
            self.is_running = False
            self.stopped_ms = int(trio.current_time() * 1000)
            self._mempool = None
            if self._after_kill is not None:
                self._after_kill()
                self._after_kill = None

    def _is_excused(self, group: BaseExceptionGroup[QenexError]) -> bool:
        """A disk that was made to fail, and nothing else."""
        leaves: list[BaseException] = [group]
        while any(isinstance(leaf, BaseExceptionGroup) for leaf in leaves):
            leaves = [inner for leaf in leaves for inner in (leaf.exceptions if isinstance(leaf, BaseExceptionGroup) else (leaf,))]
        return all("simulated disk is full" in str(leaf) or "no space left" in str(leaf).lower() for leaf in leaves)

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        world, disk = self.world, self.disk
        disk.fate = self._fate
        store = Store(MemoryDatabase(disk), StoreOptions(values_max=2_000, leaves_max=20_000))
        store._check_root()
        state = load_state(store)
        self.height, self.app_hash = state.height, store.root
        if not self.kind:
            world.checkers.restarted(self.name, state.height)
        signer = SimSigner(world.keys, self.index, disk, self._on_signed)
        position = disk.record.log_position if disk.record.height == state.height + 1 else 0
        if position and self.starts > 1:
            world.note("restarted within a height")
        wal = SimWal.open(disk.folder / "wal", CHAIN_ID.encode(), state.height + 1, signed_position=position)
        assert_type: Any = wal
        assert_type.disk = disk
        switch = self._switch = self._make_switch()
        records = RecordCache(store, state.height)
        verifier = world.keys
        kind = InventiveExecutor if self.kind == "inventing blocks" else LedgerExecutor
        executor = kind(store, world.chain_hash, records, state, signer.address, verifier, self.clock, run_inline)
        if isinstance(executor, InventiveExecutor):
            executor.spoil = lambda block: spoil_block(block, self._chance) if self._chance.random() < 0.7 else block
        pool = Pool(5_000, 4_000_000, ACCOUNT_TXS_MAX)

        def on_added(hashes: list[bytes], source: str) -> None:
            gossip.added(hashes, source)
            engine.notify_txs()

        mempool = Mempool(
            pool, records, world.chain_hash, InlineChecker(), self.clock, lambda h: store.tx_location(h) is not None, on_added
        )
        executor.attach(mempool)
        gossip = MempoolGossip(switch, switch.channel(MEMPOOL), pool.get, pool.hashes, mempool.submit)
        edges = Edges(
            switch, switch.channel(CONSENSUS), switch.channel(BLOCK), switch.channel(SYNC), StoreSource(store), executor, pool.get,
            wal, signer, self.clock, verifier, disk.folder, self._warn,
        )  # fmt: skip
        engine = Engine(edges, state)
        if self.kind:
            driver: Any = engine.driver
            driver._require_alone = driver._look_for_ours = driver._require_innocent = _ignore  # a cheat does not mind contradicting itself
        evidence = EvidencePool(
            disk.folder / "evidence", CHAIN_ID, signer.address, executor.history, lambda: executor.state.tip, verifier, self._warn
        )
        executor.attach_evidence(evidence)
        evidence_gossip = EvidenceGossip(switch, switch.channel(EVIDENCE), evidence, engine.sync.height_of)
        executor.on_committed.append(lambda committed: self._on_committed(committed, executor))
        self._mempool, self._engine = mempool, engine
        async with trio.open_nursery() as nursery:
            await nursery.start(engine.run)
            await nursery.start(gossip.run)
            await nursery.start(evidence_gossip.run)
            if self.kind == "forgetting locks":
                nursery.start_soon(self._forget_locks)
            world.wires.add(switch)
            task_status.started()

    def _make_switch(self) -> WireSwitch:
        world, number = self.world, self.starts
        if self.kind:
            return Cheat(world.wires, self.name, self.clock, number, world.keys, self.index, self.kind, self._chance)
        return WireSwitch(world.wires, self.name, self.clock, number)

    async def _forget_locks(self) -> None:
        while True:
            await trio.sleep(0.3)
            engine = self._engine
            if engine is not None and engine.driver.core.height and not engine.driver.core.decided:
                view: Any = engine.driver.core.view
                view.state = type(view.state)(view.state.round, view.state.step, Lock())

    async def submit(self, raw: bytes) -> None:
        """A client sends it a transaction."""
        if self._mempool is not None:
            await self._mempool.submit([raw])

    def _on_signed(self, request: SignRequest, pq_signature: bytes) -> None:
        if not self.kind:
            self.world.checkers.signed(self.index, request, pq_signature)

    def _warn(self, who: str, error: QenexError) -> None:
        self.world.log(f"{self.name} warns {error.name}")

    def _on_committed(self, committed: CommittedBlock, executor: LedgerExecutor) -> None:
        height = committed.block.header.height
        self.height, self.app_hash = height, committed.app_hash
        world = self.world
        world.log(f"{self.name} commits {height} round {committed.commit.round} {committed.app_hash.hex()[:12]}")
        if self.kind:
            return
        tip = executor.state.tip
        if tip.last_validators is not None:
            pq_commit = executor.state.last_pq_commit
            world.checkers.committed(self.name, committed.block, committed.commit, pq_commit, tip.last_validators, committed.app_hash)
        if committed.block.evidence:
            world.note("evidence committed")
        if len(tip.next_validators) < len(world.keys.validators):
            world.note("validator slashed out of the set")
        if committed.txs:
            world.note("transfers committed")
        if self._engine is not None and self._engine.catching_up:
            world.note("caught up from peers")

    def find_imbalance(self) -> str:
        """Conservation over the whole state: what is held against the supply."""
        held = supply = 0
        for key, value in self.disk.rows.items():
            if key[:3] == b"s h":
                held += decode_record(key[1:], value)[0]
            elif key[:3] == b"s s":
                supply += decode_record(key[1:], value)[0]
        return "" if held == supply else f"{held} held of a supply of {supply}"


def _ignore(*_: object) -> None:
    return


def _describe(group: BaseException) -> str:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return f"{type(group).__name__}: {group}"


