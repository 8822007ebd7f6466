"""The world of one swarm: nodes, faults that come and go, transfers, and what is asked at the end. See `node.simulator.swarm`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import trio

from consensus.validation import ChainTip
from node.clock import VirtualClock
from node.executor import write_genesis
from node.simulator import byzantine
from node.simulator.checkers import Checkers
from node.simulator.disk import FULL, KILL_AFTER, KILL_BEFORE, KILL_TORN, Disk, MemoryDatabase
from node.simulator.keys import PQ_KIND, SimKeys
from node.simulator.swarm_node import SwarmNode
from node.simulator.verdict import Verdict
from node.simulator.wires import Wires
from node.storage.store import Store, StoreOptions
from state.initial import GenesisAccount, GenesisAsset, GenesisHolding, GenesisState, GenesisValidator, genesis_changes
from state.params import ConsensusParams, Params, StakeParams
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind, PrivateKey
from state.primitives.limits import LANE_UNORDERED
from state.transaction import build, call, sign

CHAIN_ID: Final = "sim-1"
EPOCH_NS: Final = 1_700_000_000 * 1_000_000_000
STAKE: Final = 1_000
HEAL_HEIGHTS: Final = 3
HEAL_SECONDS_MAX: Final = 240.0
CHAOS_SECONDS_PER_HEIGHT: Final = 4.0
PARAMS: Final = ConsensusParams(
    block_interval_ms=200, timeout_propose_ms=900, timeout_prevote_ms=400, timeout_precommit_ms=400, timeout_delta_ms=200,
    timeout_max_ms=6_000, vote_key_kind=PQ_KIND, evidence_blocks_max=1_000, evidence_age_s_max=3_600,
)  # fmt: skip
SMALL: Final = StoreOptions(values_max=2_000, leaves_max=20_000)

NETWORK: Final = ("delay", "loss", "disorder", "partition", "one way", "mute and deaf", "pause")
CRASHES: Final = ("crash", "crash at a write")
DAMAGE: Final = ("lost log", "flipped bit in the log", "full disk")
CLOCKS: Final = ("clock step", "clock skew")
FAULT_PROFILES: Final[dict[str, frozenset[str]]] = {
    "none": frozenset(),
    "network": frozenset(NETWORK),
    "crash": frozenset(CRASHES),
    "disk": frozenset((*CRASHES, *DAMAGE)),
    "clock": frozenset(CLOCKS),
    "byzantine": frozenset(("byzantine",)),
    "all": frozenset((*NETWORK, *CRASHES, *DAMAGE, *CLOCKS, "byzantine")),
}
SOMETIMES: Final = (
    "decided in round 1 or later",
    "killed in the middle of a write",
    "restarted within a height",
    "log lost",
    "log damaged",
    "disk full",
    "caught up from peers",
    "evidence committed",
    "validator slashed out of the set",
    "partitioned without a quorum",
    "transfers committed",
    *(f"cheat: {kind}" for kind in byzantine.KINDS),
)


@dataclass
class _Fault:
    """A fault that goes on: how it ends."""

    name: str
    undo: Callable[[], None]
    ends_at: float


@dataclass
class World:
    """`play` it once, then ask for the `verdict`."""

    seed: int
    validators: int
    heights: int
    profile: frozenset[str]
    mask: frozenset[int]
    folder: Path
    trace: Callable[[str], None] | None = None
    on_height: Callable[[int], None] | None = None
    sometimes: dict[str, int] = field(default_factory=dict)
    faults_drawn: int = 0
    stuck: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        plan = self.random("plan")
        count = self.validators or plan.choice((4, 4, 4, 5, 6, 7))
        self.keys = SimKeys((STAKE,) * count)
        self.checkers = Checkers(self.keys, CHAIN_ID)
        self.genesis_state = _make_genesis(self.keys)
        self.genesis_tip = ChainTip.at_genesis(CHAIN_ID, 1, EPOCH_NS, self.keys.validators, b"", PARAMS)
        self.chain_hash = sha256(b"swarm")
        self.wires = Wires(self.random("wires"), VirtualClock(EPOCH_NS))
        self.wires.trace = self.trace
        self.active = {name for name in sorted(self.profile) if self.profile == {name} or plan.random() < 0.6}
        self.is_healed = False
        self.nodes: list[SwarmNode] = []
        self._draw_nodes(plan, count)
        self._faults: list[_Fault] = []
        self._chance = self.random("faults")
        self._txs = self.random("transfers")
        self._made = 0
        self._nursery: trio.Nursery | None = None

    def random(self, name: str) -> Random:
        """A generator of its own for each part."""
        return Random(int.from_bytes(sha256(f"{self.seed}/{name}".encode())[:8], "big"))

    def note(self, what: str) -> None:
        """One of the hard parts was reached."""
        self.sometimes[what] = self.sometimes.get(what, 0) + 1

    def log(self, line: str) -> None:
        """A line of the trace."""
        text = f"{trio.current_time():.6f} {line}"
        self.wires.digest.update(text.encode())
        if self.trace is not None:
            self.trace(text)

    def _draw_nodes(self, plan: Random, count: int) -> None:
        """Who cheats, who has a damaged disk or a wrong clock: together less than a third."""
        spare = (count - 1) // 3
        order = list(range(count))
        plan.shuffle(order)
        kinds: dict[int, str] = {}
        self.fragile: list[int] = []
        for index in order[:spare]:
            kind = plan.choice(byzantine.KINDS)
            is_cheat = plan.random() < 0.7
            if "byzantine" in self.active and is_cheat and self._is_applied(self._draw_fault()):
                kinds[index] = kind
                self.note(f"cheat: {kind}")
            elif self.active & {*DAMAGE, *CLOCKS}:
                self.fragile.append(index)
        for index in range(count):
            self.nodes.append(SwarmNode(self, f"node{index}", index, self._make_disk(f"node{index}", index), kinds.get(index, "")))
        for index, kind in kinds.items():
            if kind == "twins":
                name = f"twin{index}"
                self.nodes.append(SwarmNode(self, name, index, self._make_disk(name, index), kind))
        self.honest = [node for node in self.nodes if not node.kind]

    def _make_disk(self, name: str, index: int) -> Disk:
        disk = Disk(self.folder / name, self.keys, index, CHAIN_ID.encode())
        disk.folder.mkdir()
        store = Store(MemoryDatabase(disk), SMALL)
        write_genesis(store, self.genesis_tip, genesis_changes(self.genesis_state), self.keys.validators)
        store.close()
        return disk

    # faults

    def _draw_fault(self) -> int:
        self.faults_drawn += 1
        return self.faults_drawn - 1

    def _is_applied(self, fault: int) -> bool:
        return fault not in self.mask

    async def play(self) -> None:
        """Faults, then the healing."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await nursery.start(self.wires.run)
            for node in self.nodes:
                await nursery.start(node.run)
            nursery.start_soon(self._send_transfers)
            if self.active - {"byzantine"}:
                await self._cause_faults()
            else:
                await self._until(lambda: self.best() >= self.heights, self.heights * CHAOS_SECONDS_PER_HEIGHT)
            await self._heal()
            nursery.cancel_scope.cancel()
        self._look_back()

    def best(self) -> int:
        """The highest height that an honest node has decided."""
        return max(node.height for node in self.honest)

    async def _cause_faults(self) -> None:
        names = sorted(self.active - {"byzantine"})
        deadline = trio.current_time() + self.heights * CHAOS_SECONDS_PER_HEIGHT
        while trio.current_time() < deadline and self.best() < self.heights - HEAL_HEIGHTS:
            await trio.sleep(self._chance.uniform(0.1, 2.5))
            self._end_faults(trio.current_time())
            self._start_again()
            name = self._chance.choice(names)
            number, draw = self._draw_fault(), Random(self._chance.getrandbits(64))
            lasts = self._chance.choice((0.3, 0.6, 1.0, 2.0, 4.0))
            if self._is_applied(number):
                undo = self._cause(name, draw)
                self.log(f"fault {number} {name}")
                self._faults.append(_Fault(name, undo, trio.current_time() + lasts))

    def _cause(self, name: str, draw: Random) -> Callable[[], None]:
        disturb, pairs = self.wires.disturb, sorted(self.wires.directions)
        if name == "delay":
            return disturb(pairs, delay_s=draw.uniform(0.01, 0.3), jitter_s=draw.uniform(0.0, 0.3))
        if name == "loss":
            return disturb(pairs, loss=draw.uniform(0.0, 0.3))
        if name == "disorder":
            return disturb(pairs, disorder=draw.uniform(0.0, 0.5), duplicates=draw.uniform(0.0, 0.5))
        if name == "partition":
            group = {node.name for node in self.nodes if draw.random() < 0.5}
            if 3 * max(len(group), len(self.nodes) - len(group)) <= 2 * len(self.nodes):
                self.note("partitioned without a quorum")
            return disturb([(a, b) for a, b in pairs if (a in group) != (b in group)], is_cut=True)
        if name == "one way":
            return disturb([pair for pair in pairs if draw.random() < 0.3], is_cut=True)
        if name == "mute and deaf":
            mute, deaf = draw.choice(self.nodes).name, draw.choice(self.nodes).name
            return disturb([(a, b) for a, b in pairs if a == mute or b == deaf], is_cut=True)
        if name == "pause":
            paused = draw.choice(self.nodes).name
            return disturb([pair for pair in pairs if paused in pair], is_cut=True)
        return self._cause_local(name, draw)

    def _cause_local(self, name: str, draw: Random) -> Callable[[], None]:
        victim = draw.choice(self.honest)
        if name == "crash":
            victim.kill()
        elif name == "crash at a write":
            what = draw.choice(("log", "record", "database"))
            victim.doom(what, draw.choice((KILL_BEFORE, KILL_AFTER, KILL_TORN)), draw.randrange(1, 6))
        elif self.fragile:
            weak = self.nodes[draw.choice(self.fragile)]
            if name == "lost log":
                weak.kill(lambda: self._lose_log(weak))
            elif name == "flipped bit in the log":
                weak.kill(lambda: self._flip_bit(weak, draw))
            elif name == "full disk":
                weak.doom(draw.choice(("log", "record", "database")), FULL, draw.randrange(1, 4))
            elif name == "clock step":
                weak.clock.skew_ns += draw.choice((-1, 1)) * draw.choice((10**8, 10**9, 3_600 * 10**9))
            elif name == "clock skew":
                weak.clock.skew_ns = draw.randrange(-3 * 10**9, 3 * 10**9)
        return _nothing

    def _lose_log(self, node: SwarmNode) -> None:
        node.disk.lose_log()
        self.note("log lost")

    def _flip_bit(self, node: SwarmNode, draw: Random) -> None:
        if node.disk.flip_log_bit(draw.randrange):
            self.note("log damaged")

    def _end_faults(self, now: float) -> None:
        for fault in [fault for fault in self._faults if fault.ends_at <= now]:
            self._faults.remove(fault)
            fault.undo()
            self.log(f"over: {fault.name}")

    def _start_again(self, *, everybody: bool = False) -> None:
        for node in self.nodes:
            if not node.is_running and self._nursery is not None and (everybody or self._chance.random() < 0.5):
                self.log(f"start {node.name}")
                self._nursery.start_soon(node.run)

    # healing

    async def _heal(self) -> None:
        self._end_faults(float("inf"))
        self.is_healed = True
        for node in self.nodes:
            node.spare()
        self.wires.heal()
        self._start_again(everybody=True)
        wanted = max(self.best() + HEAL_HEIGHTS, self.heights)
        begun = self.best()
        self.log(f"healed at {begun}")
        allowed = HEAL_SECONDS_MAX + (wanted - begun) * CHAOS_SECONDS_PER_HEIGHT
        done = await self._until(lambda: all(node.height >= wanted for node in self.honest), allowed)
        if not done:
            heights = {node.name: node.height for node in self.nodes}
            self.stuck.append(f"not everybody reached height {wanted} within {allowed:.0f} s after the healing: {heights}")

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = trio.current_time() + seconds
        while trio.current_time() < deadline:
            if self.on_height is not None:
                self.on_height(self.best())
            if condition():
                return True
            if self.is_healed:
                self._start_again(everybody=True)
            await trio.sleep(0.1)
        return condition()

    # transfers

    async def _send_transfers(self) -> None:
        while True:
            await trio.sleep(self._txs.uniform(0.05, 0.5))
            node = self._txs.choice(self.nodes)
            if node.is_running:
                await node.submit(self._make_transfer())

    def _make_transfer(self) -> bytes:
        self._made += 1
        sender, recipient = self._txs.sample(range(len(ACCOUNTS)), 2)
        draft = build(
            chain_id=self.chain_hash, sender=ACCOUNTS[sender].address, lane=LANE_UNORDERED, seq=0, max_fee=0, memo=str(self._made),
            valid_until=EPOCH_NS // 10**9 + int(trio.current_time()) + 500,
            ops=[call("asset.transfer", asset="QNX", to=ACCOUNTS[recipient].address, amount=self._txs.randrange(1, 100), tag="")],
        )  # fmt: skip
        return sign(draft, [(ACCOUNTS[sender].address, 0, KEYS[sender])])

    # the end

    def _look_back(self) -> None:
        for height, rounds in self.checkers.rounds.items():
            if height and max(rounds) > 0:
                self.note("decided in round 1 or later")
        for node in self.honest:
            problem = node.find_imbalance()
            if problem:
                self.checkers.broken.append(f"{node.name}: {problem}")
            if node.failure:
                self.checkers.broken.append(f"{node.name} failed: {node.failure}")

    def verdict(self) -> Verdict:
        """What it came to."""
        figures = {
            "bytes": self.wires.bytes,
            "messages": self.wires.messages,
            "queue_max": self.wires.queue_max,
            "transfers": self._made,
            "virtual_ms": max((node.stopped_ms for node in self.nodes), default=0),
        }
        digest = hashlib.sha256(self.wires.digest.digest())
        for node in self.honest:
            digest.update(f"{node.name} {node.height} {node.app_hash.hex()}".encode())
        return Verdict(
            self.seed, 1, tuple(self.checkers.broken), tuple(self.stuck), self.sometimes, digest.hexdigest(), self.best(),
            self.faults_drawn, figures, len(self.keys.validators.validators),
        )  # fmt: skip


def _nothing() -> None:
    return


KEYS: Final = tuple(PrivateKey.from_seed(KeyKind.ED25519, sha256(b"swarm account %d" % index)) for index in range(6))
ACCOUNTS: Final = tuple(GenesisAccount(((0, int(KeyKind.ED25519), key.public_key.data, 1),)) for key in KEYS)


def _make_genesis(keys: SimKeys) -> GenesisState:
    members = keys.validators.validators
    owners = [
        GenesisAccount(((0, int(KeyKind.ED25519), PrivateKey.from_seed(KeyKind.ED25519, sha256(b"owner" + m.address)).public_key.data, 1),))
        for m in members
    ]
    return GenesisState(
        params=Params(consensus=PARAMS, stake=StakeParams("QNX", 1)),
        accounts=(*ACCOUNTS, *owners),
        assets=(GenesisAsset("QNX", ACCOUNTS[0].address, 6),),
        holdings=tuple(GenesisHolding(account.address, "QNX", 10**9) for account in ACCOUNTS),
        validators=tuple(
            GenesisValidator(m.ed25519_key, int(m.pq_kind), m.pq_key, owner.address, m.power)
            for m, owner in zip(members, owners, strict=True)
        ),
    )
