"""One validator of a lock-step scenario: a production core with its log, its signer and its replay, in memory.

It executes outputs in the driver's order and nothing else: what is appended becomes durable before a signature or a message leaves. A crash
loses what was not durable; a restart replays the log through `consensus.replay` and `node.unanswered`, as the driver does. The
`Habits` are the places where a planted bug may change the driver's part; the defaults are the driver's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast

from consensus import messages as m
from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import Commit
from consensus.core import Core
from consensus.replay import decode_entry
from consensus.vote import Proposal, Vote, VoteType
from node.signer import Signer, SignerRecord, SignRequest, Step
from node.simulator.keys import SimKeys
from node.unanswered import Unanswered
from state.primitives.errors import DoubleSignError, RemoteError
from state.primitives.keys import PrivateKey

CHAIN_ID: Final = "sim-1"
Message = Proposal | Vote


@dataclass(frozen=True, slots=True)
class Habits:
    """How the driver behaves. Everything is true of the production driver."""

    syncs_before_sending: bool = True
    replays_log: bool = True
    replays_locks: bool = True
    abstains_without_log: bool = True
    repeats_signatures: bool = True
    resends_after_restart: bool = True


DRIVER: Final = Habits()


class MemorySigner(Signer):
    """The production signer on a record in memory; `durable` is what a crash leaves."""

    def __init__(self, keys: SimKeys, index: int, durable: SignerRecord) -> None:
        key, pq_key = keys.pair(index)
        super().__init__(Path("memory"), -1, cast(PrivateKey, key), cast(PrivateKey, pq_key), durable)
        self.durable = durable

    def _write(self, record: SignerRecord) -> None:
        self.durable = record


class World(Protocol):
    """What surrounds a player."""

    def send(self, player: Player, message: Message) -> None:
        """It says something to everybody."""
        ...

    def build(self, player: Player, height: int, round_: int, last_commit: Commit) -> Block:
        """Its own block."""
        ...

    def fetch(self, player: Player, block_id: BlockID) -> Block | None:
        """A block by its name."""
        ...

    def is_valid(self, block: Block) -> bool:
        """The ledger's verdict."""
        ...

    def decided(self, player: Player, decision: m.Decide) -> None:
        """A height is final for it."""
        ...

    def twist(self, player: Player, message: Message) -> Message:
        """What a Byzantine validator signs in place of this."""
        ...

    def interrupts(self, player: Player) -> bool:
        """Whether it is killed now, before its next output."""
        ...

    def note(self, player: Player, what: str) -> None:
        """One of the hard parts was reached."""
        ...


@dataclass
class Player:
    """`index` is its place in the set; twins share one. `start` begins a height; `give` hands over an input."""

    name: int
    index: int
    keys: SimKeys
    world: World
    habits: Habits = DRIVER
    timeouts: list[m.TimeoutFired] = field(default_factory=list)
    log: list[bytes] = field(default_factory=list)
    is_running: bool = True
    is_silent: bool = False
    decision: m.Decide | None = None
    sent: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.address = self.keys.validators.validators[self.index].address
        self.signer = MemorySigner(self.keys, self.index, SignerRecord(CHAIN_ID.encode(), self.address))
        self.core = Core(CHAIN_ID, self.address, self.keys)
        self._pending: list[bytes] = []
        self._is_log_lost = False
        self._refused_height = 0

    # the driver's part

    def start(self, item: m.StartHeight) -> None:
        """Begin a height with an empty log."""
        self.log, self._pending, self._is_log_lost = [], [], False
        self.timeouts.clear()
        self.decision = None
        self.sent = []
        self._run(self.core.step(item))

    def give(self, item: m.Input) -> None:
        """One input, and what follows from it."""
        if not self.is_running or self.core.height == 0:
            return
        before = self.core.state.lock
        try:
            outputs = self.core.step(item)
        except RemoteError:
            return  # a peer that lies; the switch would punish it
        self._watch(before)
        self._run(outputs)

    def _run(self, outputs: list[m.Output]) -> None:
        waiting: list[m.Input] = []
        while True:
            for output in outputs:
                if self.world.interrupts(self):
                    self.crash(loses_log=False)
                    return
                answer = self._execute(output)
                if answer is not None:
                    waiting.append(answer)
            if not waiting or not self.is_running:
                return
            before = self.core.state.lock
            outputs = self.core.step(waiting.pop(0))
            self._watch(before)

    def _execute(self, output: m.Output) -> m.Input | None:
        match output:
            case m.Persist(entry):
                self._pending.append(entry)
            case m.SignVote(message, lock) | m.SignProposal(message, lock):
                self._sync()
                return self._sign(message, lock)
            case m.Broadcast(message):
                self._sync()
                self.sent.append(message)
                if not self.is_silent:
                    self.world.send(self, message)
            case m.ScheduleTimeout(height, round_, step):
                self.timeouts.append(m.TimeoutFired(height, round_, step))
            case m.BuildValue(height, round_, last_commit):
                return m.ValueReady(height, round_, self.world.build(self, height, round_, last_commit))
            case m.WantBlock(_, block_id):
                block = self.world.fetch(self, block_id)
                return None if block is None else m.BlockReceived(block)
            case m.ValidateBlock(block):
                return m.BlockValidity(block.block_id(), self.world.is_valid(block))
            case m.Decide():
                self._sync()
                self.decision = output
                self.world.decided(self, output)
            case m.ReportEvidence():
                self.world.note(self, "evidence seen")
        return None

    def _sync(self) -> None:
        if self.habits.syncs_before_sending:
            self.log += self._pending
            self._pending = []

    def _sign(self, message: Message, lock: m.Lock) -> m.Input | None:
        message = self.world.twist(self, message)
        if message.height <= self._refused_height:
            return None
        is_vote = isinstance(message, Vote)
        if is_vote and message.block_id is None and int(message.type) == 1 and lock.locked_value is not None:
            self.world.note(self, "prevoted nil while locked")
        if not is_vote and message.pol_round >= 0:  # type: ignore[union-attr]
            self.world.note(self, "valid value proposed again")
        step = Step(int(message.type) + 1) if isinstance(message, Vote) else Step.PROPOSE
        if (message.height, message.round, int(step)) < self.signer.record.moment:
            return None
        request = SignRequest(
            message.height,
            message.round,
            step,
            message.sign_bytes(CHAIN_ID),
            lock.locked_value.hash if lock.locked_value else b"",
            lock.locked_round,
            lock.valid_value.hash if lock.valid_value else b"",
            lock.valid_round,
            len(self.log),
        )
        try:
            if (message.height, message.round, int(step)) == self.signer.record.moment and not self.habits.repeats_signatures:
                raise DoubleSignError("signed already")
            signature, pq_signature = self.signer.sign(request)
        except DoubleSignError:
            self._refused_height = message.height
            self.world.note(self, "the signer refused")
            return None
        return m.Signed(message.with_signatures(signature, pq_signature))

    def _watch(self, before: m.Lock) -> None:
        now = self.core.state.lock if self.core.height else before
        if before.locked_value is not None and now.locked_value not in (None, before.locked_value):
            self.world.note(self, "lock replaced by a later polka")

    # faults

    @property
    def has_lost_log(self) -> bool:
        """Whether its log of this height is gone."""
        return self._is_log_lost

    def crash(self, *, loses_log: bool) -> None:
        """Everything that is not durable is gone; with `loses_log` the log as well."""
        self.is_running = False
        self._pending = []
        if not self.habits.syncs_before_sending:
            self.signer.durable = SignerRecord(CHAIN_ID.encode(), self.address)  # it was to be written later, with the log
        if loses_log:
            self.log = []
            self._is_log_lost = True
        self.timeouts.clear()

    def restart(self, item: m.StartHeight) -> None:
        """Start again on what is durable, in the height `item` begins."""
        self.is_running = True
        durable = self.signer.durable
        self.signer = MemorySigner(self.keys, self.index, durable)
        self._refused_height = 0
        signed_here = durable.height == item.height and durable.signature != b""
        must_abstain = self._is_log_lost and signed_here and self.habits.abstains_without_log
        if must_abstain:
            self.world.note(self, "abstained without a log")
        start = m.StartHeight(
            item.height, item.validators, item.proposer_priorities, item.last_validators, item.last_block_id,
            item.last_block_time_ns, item.last_commit, item.last_pq_commit, item.timeouts, must_abstain,
        )  # fmt: skip
        self.core = Core(CHAIN_ID, self.address, self.keys)
        left = Unanswered()
        left.add_outputs(self.core.step(start))
        for entry in self.log if self.habits.replays_log else ():
            logged = decode_entry(entry)
            left.add_input(logged)
            left.add_outputs(self.core.step(logged))
            if not self.habits.replays_locks and self.core.height:
                self.forget_lock()
        if self.log:
            self.world.note(self, "replayed in the middle of a height")
        if self.habits.resends_after_restart:
            for message in self._own_messages():
                self.sent.append(message)
                if not self.is_silent:
                    self.world.send(self, message)
        self._run(left.take())

    def forget_lock(self) -> None:
        """What an amnesiac does."""
        view: Any = self.core.view
        view.state = type(view.state)(view.state.round, view.state.step, m.Lock())

    def _own_messages(self) -> list[Message]:
        """What gossip would send again: our messages in the core's books."""
        view = self.core.view
        found: list[Message] = []
        for round_ in view.proposal_rounds():
            if view.proposer(round_).address == self.address:
                found += view.proposals(round_)
        for round_ in view.votes.rounds():
            for vote_type in VoteType:
                tally = view.votes.tally(round_, vote_type)
                found += tally.by_validator.get(self.index, []) if tally is not None else []
        return found
