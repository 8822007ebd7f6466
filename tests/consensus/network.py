"""A network of cores in one loop of one process: seeded delays, loss, repetition, cuts, crashes, twins. No task, no clock, no disk.

Two phases. Until `calm_ns` links lose, repeat and cut, and nodes crash; after it they only delay, and everybody honest must reach the
target height. A crash keeps what was written before the last thing that left the node, and a random part of the rest. At most a
third of the power is faulty: a twin pair (two honest cores with one key), or nodes that lost their log and must abstain.
What the driver, the log and the signer of the node do is done here in its simplest form; the real ones have tests of their own.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from consensus import messages as m
from consensus.block import Block, BlockID
from consensus.commit import EMPTY_COMMIT, EMPTY_PQ_COMMIT, Commit, PqCommit
from consensus.core import Core
from consensus.evidence import DuplicateProposalEvidence, DuplicateVoteEvidence
from consensus.gossip import compute_missing, summarize
from consensus.replay import decode_entry
from consensus.timeouts import Timeouts
from consensus.validation import ChainTip, make_block, validate_block
from consensus.vote import Proposal, Vote
from state.params import ConsensusParams
from state.primitives.errors import InvalidBlockError
from state.primitives.hashing import sha256
from tests.consensus.world import BASE_NS, CHAIN, MS, FakeVerifier, make_set, sign_proposal, sign_vote

S = 1_000 * MS
PARAMS = ConsensusParams(
    timeout_propose_ms=400, timeout_prevote_ms=150, timeout_precommit_ms=150, timeout_delta_ms=100, timeout_max_ms=5_000
)


@dataclass(frozen=True)
class Faults:
    """What may happen until the network is calm."""

    loss: float = 0.0
    repeat: float = 0.0
    cut: float = 0.0  # of a directed link, for all votes of one height, round and type
    crash: float = 0.0  # of one node, each half second
    lose_log: bool = False  # a crash may take the log with it
    twins: bool = False
    slow_ms: int = 20


@dataclass
class Certified:
    block: Block
    commit: Commit
    pq_commit: PqCommit


@dataclass
class Node:
    """One core with its disk: the store, the log, the signer's record."""

    name: int
    index: int  # of its key
    core: Core
    tip: ChainTip
    store: dict[int, Certified] = field(default_factory=dict)
    log: list[bytes] = field(default_factory=list)
    synced: int = 0
    signed: dict[tuple[int, int, int], Vote | Proposal] = field(default_factory=dict)
    refused: int = 0
    damaged_height: int = 0  # its log does not tell all of this height, whatever was written since
    life: int = 0  # counts restarts: events of an earlier life are void
    alive: bool = True


class Network:
    """`run` it to a height; then look at `nodes`, `evidence` and `rounds`."""

    def __init__(self, seed: int, powers: tuple[int, ...], faults: Faults, calm_ns: int = 20 * S) -> None:
        self.chance = random.Random(seed)
        self.faults = faults
        self.calm_ns = calm_ns
        self.now_ns = 0
        self.validators = make_set(powers)
        self.verifier = FakeVerifier()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._cuts: dict[tuple[int, int, int, int, int], bool] = {}
        self.spoken: dict[tuple[int, int, int, int], bytes] = {}
        self.evidence: list[DuplicateVoteEvidence | DuplicateProposalEvidence] = []
        self.rounds: dict[int, int] = {}  # round of decision -> how often
        self.seen: dict[str, int] = {}  # sometimes-assertions: what this run has reached
        genesis = ChainTip.at_genesis(CHAIN, 1, BASE_NS, self.validators, sha256(b"genesis"), PARAMS)
        places = list(range(len(powers)))
        if faults.twins:
            places.append(len(powers) - 1)  # the weakest validator has two nodes
        self.nodes = [Node(name, index, self._core(index), genesis) for name, index in enumerate(places)]
        self.honest = [node for node in self.nodes if places.count(node.index) == 1]
        self._side = {node.name: node.name - len(powers) + 1 for node in self.nodes if node not in self.honest}
        for node in self.nodes:
            self._later(self.chance.randrange(50 * MS), node, lambda node=node: self._start_height(node))
            self._later(self.chance.randrange(100 * MS), node, lambda node=node: self._gossip(node))
        if faults.crash:
            self._at(500 * MS, self._maybe_crash)

    # running

    def run(self, height: int, until_ns: int = 400 * S) -> None:
        """Until every honest node has decided `height`. Raises AssertionError if time runs out."""
        while any(node.tip.height < height for node in self.honest):
            assert self._events, "nothing is left to happen"
            self.now_ns, _, event = heapq.heappop(self._events)
            assert self.now_ns <= until_ns, f"heights {[node.tip.height for node in self.nodes]} at the end of time"
            event()
        self.check()

    def check(self) -> None:
        """Agreement, valid chains, nobody honest refused by its own record, only the guilty reported."""
        for height in range(1, max(node.tip.height for node in self.honest) + 1):
            assert len({node.store[height].block.block_id() for node in self.honest if height in node.store}) == 1
        assert all(node.refused == 0 for node in self.honest)
        guilty = {self.validators.validators[node.index].address for node in self.nodes if node not in self.honest}
        assert {accused.address for item in self.evidence for accused in item.misbehavior()} <= guilty

    def _at(self, delay_ns: int, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now_ns + delay_ns, self._count, event))

    def _later(self, delay_ns: int, node: Node, event: Callable[[], None]) -> None:
        """In this life of the node only."""
        life = node.life
        self._at(delay_ns, lambda: event() if node.alive and node.life == life else None)

    @property
    def calm(self) -> bool:
        return self.now_ns >= self.calm_ns

    # nodes

    def _core(self, index: int) -> Core:
        return Core(CHAIN, self.validators.validators[index].address, self.verifier)

    def _start_input(self, node: Node, abstain: bool) -> m.StartHeight:
        tip, last = node.tip, node.store.get(node.tip.height)
        commit, pq_commit = (EMPTY_COMMIT, EMPTY_PQ_COMMIT) if last is None else (last.commit, last.pq_commit)
        return m.StartHeight(
            tip.height + 1, tip.validators, tip.priorities, tip.last_validators, tip.last_block_id,
            tip.last_block_time_ns, commit, pq_commit, Timeouts.of(tip.params), abstain,
        )  # fmt: skip

    def _start_height(self, node: Node) -> None:
        self._step(node, self._start_input(node, False))

    def _step(self, node: Node, item: m.Input) -> None:
        queue = [item]
        while queue:
            for output in node.core.step(queue.pop(0)):
                answer = self._execute(node, output)
                if answer is not None:
                    queue.append(answer)

    def _execute(self, node: Node, output: m.Output) -> m.Input | None:
        match output:
            case m.Persist(entry):
                node.log.append(entry)
            case m.SignVote(message, _) | m.SignProposal(message, _):
                node.synced = len(node.log)
                return self._sign(node, message)
            case m.Broadcast(message):
                node.synced = len(node.log)
                self._note_spoken(node, message)
                for peer in self.nodes:
                    self._send(node, peer, message)
            case m.ScheduleTimeout(height, round_, step, delay_ns):
                self._later(delay_ns, node, lambda: self._step(node, m.TimeoutFired(height, round_, step)))
            case m.BuildValue(height, round_, last_commit):
                self._later(self._delay(), node, lambda: self._build(node, height, round_, last_commit))
            case m.WantBlock(height, block_id):
                self._later(self._delay(), node, lambda: self._fetch(node, height, block_id))
            case m.ValidateBlock(block):
                self._later(self.chance.randrange(5 * MS), node, lambda: self._validate(node, block))
            case m.ReportEvidence(first, second, address):
                found = self._prove(first, second, address)
                found.verify(CHAIN, self.validators, self.now_ns, self.verifier)
                self.evidence.append(found)
            case m.Decide():
                self._decide(node, output)
        return None

    def _prove(
        self, first: Vote | Proposal, second: Vote | Proposal, address: bytes
    ) -> DuplicateVoteEvidence | DuplicateProposalEvidence:
        if isinstance(first, Proposal):
            assert isinstance(second, Proposal)
            return DuplicateProposalEvidence.of(first, second, address, self.validators, self.now_ns)
        assert isinstance(second, Vote)
        return DuplicateVoteEvidence.of(first, second, self.validators, self.now_ns)

    def _sign(self, node: Node, message: Vote | Proposal) -> m.Input | None:
        step = 1 if isinstance(message, Proposal) else int(message.type) + 1
        moment = (message.height, message.round, step)
        known = node.signed.get(moment)
        if known is not None:
            same = known.sign_bytes(CHAIN) == message.sign_bytes(CHAIN)
            node.refused += not same
            return m.Signed(known) if same else None
        if node.signed and moment < max(node.signed):
            node.refused += 1
            return None
        validator = self.validators.validators[node.index]
        signed = sign_proposal(message, validator) if isinstance(message, Proposal) else sign_vote(message, validator)
        node.signed[moment] = signed
        if isinstance(message, Proposal) and message.pol_round >= 0:
            self.seen["proposed again"] = 1
        return m.Signed(signed)

    def _note_spoken(self, node: Node, message: Vote | Proposal) -> None:
        if node in self.honest:
            kind = 0 if isinstance(message, Proposal) else int(message.type)
            key = (node.index, message.height, message.round, kind)
            assert self.spoken.setdefault(key, message.sign_bytes(CHAIN)) == message.sign_bytes(CHAIN), key

    def _build(self, node: Node, height: int, round_: int, last_commit: Commit) -> None:
        if node.tip.height + 1 == height:
            time_ns = max(BASE_NS + self.now_ns, node.tip.last_block_time_ns + 1)
            tx = f"{height}/{round_}/{node.name}/{self.chance.random()}".encode()
            block = make_block(node.tip, time_ns, (tx,), last_commit, (), self.validators.validators[node.index].address)
            self._step(node, m.ValueReady(height, round_, block))

    def _validate(self, node: Node, block: Block) -> None:
        if node.tip.height + 1 != block.header.height:
            return
        try:
            validate_block(block, node.tip, self.verifier)
            valid = True
        except InvalidBlockError:
            valid = False
        assert valid, "an honest proposer made an invalid block"
        self._step(node, m.BlockValidity(block.block_id(), valid))

    def _fetch(self, node: Node, height: int, block_id: BlockID) -> None:
        if node.core.decided or node.core.height != height or block_id in node.core.view.blocks:
            return
        peer = self.chance.choice(self.nodes)
        if peer is not node and peer.alive and self._passes(node, peer, None):
            block = peer.core.view.blocks.get(block_id) if peer.core.height == height else None
            certified = peer.store.get(height)
            if certified is not None and certified.block.block_id() == block_id:
                block = certified.block
            if block is not None:
                self._later(self._delay(), node, lambda: self._step(node, m.BlockReceived(block)))
                return
        self._later(self._delay(), node, lambda: self._fetch(node, height, block_id))

    def _decide(self, node: Node, decision: m.Decide) -> None:
        if decision.height != node.tip.height + 1:
            raise AssertionError("decided twice")
        app_hash = sha256(node.tip.app_hash + decision.block.header.hash())
        node.store[decision.height] = Certified(decision.block, decision.commit, decision.pq_commit)
        node.tip = node.tip.advance(decision.block, app_hash, sha256(app_hash), (), None)
        node.log, node.synced = [], 0
        self.rounds[decision.round] = self.rounds.get(decision.round, 0) + 1
        if decision.round != node.core.state.round:
            self.seen["decided another round than its own"] = 1
        self._later(self.chance.randrange(60 * MS), node, lambda: self._start_height(node))

    # links

    def _delay(self) -> int:
        return 1 * MS + int(self.chance.expovariate(1) * self.faults.slow_ms * MS)

    def _passes(self, sender: Node, receiver: Node, message: Vote | Proposal | None) -> bool:
        if self._side and not self._sees(sender, receiver):
            return False
        if self.calm:
            return True
        if self.faults.cut and isinstance(message, Vote):
            link = (sender.name, receiver.name, message.height, message.round, int(message.type))
            if self._cuts.setdefault(link, self.chance.random() < self.faults.cut):
                return False
        return self.chance.random() >= self.faults.loss

    def _sees(self, sender: Node, receiver: Node) -> bool:
        """A twin is seen by one half of the others; twins do not see each other."""
        twin, other = (sender, receiver) if sender.name in self._side else (receiver, sender)
        if twin.name not in self._side:
            return True
        return other.name not in self._side and other.name % 2 == self._side[twin.name]

    def _send(self, sender: Node, receiver: Node, message: Vote | Proposal) -> None:
        if sender is receiver:
            return
        copies = 1 + (not self.calm and self.chance.random() < self.faults.repeat)
        for _ in range(copies):
            if self._passes(sender, receiver, message):
                self._later(self._delay(), receiver, lambda: self._receive(receiver, message))

    def _receive(self, node: Node, message: Vote | Proposal) -> None:
        if not node.core.height:
            return
        if isinstance(message, Vote):
            self._step(node, m.VoteReceived(message))
        else:
            self._step(node, m.ProposalReceived(message, BASE_NS + self.now_ns))

    def _gossip(self, node: Node) -> None:
        """Repair: what a peer says it lacks; a certified block for one that is behind."""
        self._later(100 * MS + self.chance.randrange(100 * MS), node, lambda: self._gossip(node))
        peer = self.chance.choice(self.nodes)
        if peer is node or not peer.alive or not node.core.height or not peer.core.height:
            return
        for message in compute_missing(node.core.view, summarize(peer.core.view), 64):
            self._send(node, peer, message)
        behind = node.tip.height - peer.tip.height
        certified = node.store.get(peer.tip.height + 1)
        if certified is not None and (behind >= 2 or self.chance.random() < 0.1) and self._passes(node, peer, None):
            item = m.CertificateReceived(certified.block, certified.commit, certified.pq_commit)
            self._later(self._delay(), peer, lambda: self._step(peer, item))

    # crashes

    def _maybe_crash(self) -> None:
        if self.calm:
            return
        self._at(500 * MS, self._maybe_crash)
        if self.chance.random() < self.faults.crash and all(node.alive for node in self.nodes):
            node = self.chance.choice(self.honest)
            node.alive = False
            node.life += 1
            self._at(self.chance.randrange(2 * S), lambda: self._restart(node))

    def _restart(self, node: Node) -> None:
        node.alive = True
        node.core = self._core(node.index)
        kept = self.chance.randint(node.synced, len(node.log))
        entries = node.log[:kept]
        height = node.tip.height + 1
        if self.faults.lose_log and self.chance.random() < 0.5 and self._may_damage(node, height):
            entries = []
            if node.signed and max(node.signed)[0] == height:
                node.damaged_height = height
                self.seen["abstained"] = 1
        abstain = node.damaged_height == height
        node.log, node.synced = [], 0
        outputs = node.core.step(self._start_input(node, abstain))
        for entry in entries:
            outputs += node.core.step(decode_entry(entry))
        node.log = [output.entry for output in outputs if isinstance(output, m.Persist)]
        assert node.log == entries
        node.synced = len(entries)
        self._later(0, node, lambda: self._gossip(node))
        for output in outputs:
            answer = None
            match output:
                case m.Persist() | m.Broadcast() | m.ReportEvidence():
                    continue
                case m.SignVote(vote) if node.core.view.votes.knows(vote):
                    continue
                case m.SignProposal(proposal) if node.core.view.knows_proposal(proposal):
                    continue
                case _:
                    answer = self._execute(node, output)
            if answer is not None:
                self._step(node, answer)


    def _may_damage(self, node: Node, height: int) -> bool:
        """Less than a third may abstain in one height, or it waits for ever, as it should."""
        damaged = [other for other in self.honest if other.damaged_height == height or other is node]
        power = sum(self.validators.validators[other.index].power for other in damaged)
        return 3 * power < self.validators.total_power


def make_network(seed: int, *, twins: bool = False, lose_log: bool = False) -> Network:
    """A network whose size, powers and faults all follow from the seed. Each class of fault is on or off, at its own rate."""
    chance = random.Random(f"shape {seed}")
    size = chance.randint(4, 7)
    powers = tuple(chance.choice(((1,) * size, tuple(chance.randint(2, 4) for _ in range(size)))))
    weakest = min(powers)
    if 3 * weakest >= sum(powers):
        powers = (1,) * size

    def rate(high: float) -> float:
        return chance.random() * high if chance.random() < 0.5 else 0.0

    faults = Faults(
        loss=rate(0.3), repeat=rate(0.5), cut=rate(0.6), crash=rate(0.7), lose_log=lose_log, twins=twins,
        slow_ms=chance.choice((5, 20, 60)),
    )  # fmt: skip
    if lose_log and not faults.crash:
        faults = Faults(crash=0.5, lose_log=True, slow_ms=faults.slow_ms)
    return Network(seed, powers, faults)

