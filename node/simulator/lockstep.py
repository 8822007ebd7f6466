"""Scenarios in lock-step: for each round and message type a delivery matrix decides who hears whom. Only this reaches the locking rules.

Random loss almost never needs the rules of locking. Here the adversary draws, for each (height, round, type), which of the directed links
carry that kind of message; less than a third of the power is Byzantine (twins: two honest cores with one key, some of which claim proofs of
lock that do not exist or forget their locks; or silent ones); honest validators are killed between any two outputs and start again on what
was durable, one perhaps without its log. Then the network heals: everything ever said is said again, to everybody, and all honest
validators must decide, and the same. One seed is one scenario. Every fault has a number as it is drawn; numbers in `mask` are drawn and
not applied, so a shorter scenario is the same scenario with less in it. What is checked is `node.simulator.rules`'; what a
validator does is `node.simulator.player`'s.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from consensus import messages as m
from consensus import proposer
from consensus.block import Block, data_hash
from consensus.block_id import EMPTY, BlockID
from consensus.commit import EMPTY_COMMIT, EMPTY_PQ_COMMIT, Commit
from consensus.evidence import evidence_hash
from consensus.header import Header
from consensus.timeouts import Timeouts
from consensus.vote import Proposal, Vote
from node.simulator.keys import SimKeys
from node.simulator.player import CHAIN_ID, DRIVER, Habits, Message, Player
from node.simulator.rules import Rules
from node.simulator.verdict import Verdict
from state.params import ConsensusParams
from state.primitives.hashing import sha256

BASE_NS: Final = 1_700_000_000 * 1_000_000_000
MS: Final = 1_000_000
HEAL_ROUNDS: Final = 14
_BLANK: Final = sha256(b"blank")
_POWERS: Final = {
    4: ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1), (3, 2, 2, 2), (10, 10, 10, 1)),
    5: ((1, 1, 1, 1, 1), (4, 3, 3, 2, 2)),
    6: ((1, 1, 1, 1, 1, 1), (2, 2, 2, 1, 1, 1)),
    7: ((1, 1, 1, 1, 1, 1, 1), (5, 4, 4, 3, 3, 2, 2)),
}
_MODES: Final = ("all", "all", "random", "random", "random", "groups", "deaf", "mute", "asymmetric")
SOMETIMES: Final = (
    "round above 1",
    "decided in different rounds",
    "decided a value of an earlier round",
    "lock replaced by a later polka",
    "valid value proposed again",
    "prevoted nil while locked",
    "joined a later round",
    "some decided early, not all",
    "evidence seen",
    "replayed in the middle of a height",
    "abstained without a log",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed draws before the first message."""

    powers: tuple[int, ...]
    twins: tuple[int, ...]
    silent: tuple[int, ...]
    liars: tuple[int, ...]
    amnesiacs: tuple[int, ...]
    rounds: int


def run_lockstep(
    seed: int,
    *,
    validators: int = 0,
    mask: frozenset[int] = frozenset(),
    habits: Habits = DRIVER,
    exceeds: bool = False,
    trace: Callable[[str], None] | None = None,
) -> Verdict:
    """One scenario. `validators` 0: 4 to 7 by the seed. `exceeds`: more than a third cheats, and only accountability is checked."""
    return Scenario(seed, validators, mask, habits, exceeds, trace).play()


class Scenario:
    """See the module. `play` it once."""

    def __init__(
        self,
        seed: int,
        validators: int,
        mask: frozenset[int],
        habits: Habits,
        exceeds: bool,
        trace: Callable[[str], None] | None,
    ) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.faults_drawn = 0
        self.sometimes: dict[str, int] = {}
        self._mask = mask
        self._trace = trace
        self._digest = hashlib.sha256()
        self._exceeds = exceeds
        plan = self.plan = self._draw_plan(validators)
        self.keys = SimKeys(plan.powers)
        places = [*range(len(plan.powers)), *plan.twins]
        self.players = [Player(name, index, self.keys, self, habits) for name, index in enumerate(places)]
        for player in self.players:
            player.is_silent = player.index in plan.silent
        self.honest = [player for player in self.players if player.index not in plan.twins + plan.silent]
        self.rules = Rules(self.keys, [player.index for player in self.honest])
        self.start_input = self._make_start()
        self._blocks: dict[BlockID, Block] = {}
        self._outbox: list[tuple[Player, Message]] = []
        self._said: list[tuple[Player, Message]] = []
        self._held: list[tuple[Player, Message]] = []  # receiver, message
        self._matrices: dict[tuple[int, int], tuple[int, list[list[bool]]]] = {}
        self._good_rounds: dict[int, bool] = {}
        self._is_healed = False

    def play(self) -> Verdict:
        """The adversary's rounds, then the healing."""
        for player in self.players:
            player.start(self.start_input)
        for _ in range(self.plan.rounds):
            self._round()
        early = sum(player.decision is not None for player in self.honest)
        if 0 < early < len(self.honest):
            self.note(self.players[0], "some decided early, not all")
        stuck: tuple[str, ...] = ()
        if not self._exceeds:
            self._heal()
            missing = [player.name for player in self.honest if player.decision is None]
            if missing and not (self._may_stall() and any(player.has_lost_log for player in self.players)):
                stuck = (f"validators {missing} of {len(self.players)} did not decide within {HEAL_ROUNDS} rounds after the healing",)
        violations = tuple(self.rules.accountability() if self._exceeds else self.rules.broken)
        rounds = {player.decision.round for player in self.honest if player.decision is not None}
        if len(rounds) > 1:
            self.note(self.players[0], "decided in different rounds")
        if self._exceeds and self.rules.is_forked:
            self.note(self.players[0], "fork by more than a third")
        return Verdict(
            self.seed, 1, violations, stuck, self.sometimes, self._digest.hexdigest(), 1, self.faults_drawn,
            validators=len(self.plan.powers),
        )  # fmt: skip

    # the seed's plan

    def _draw_plan(self, validators: int) -> Plan:
        chance = self.chance
        powers = chance.choice(_POWERS[validators or chance.choice((4, 4, 4, 4, 4, 5, 6, 7))])
        total, cheats, power = sum(powers), list(range(len(powers))), 0
        chance.shuffle(cheats)
        twins: list[int] = []
        silent: list[int] = []
        for index in cheats:
            if self._exceeds:
                if 3 * power > total:
                    break
            elif 3 * (power + powers[index]) >= total or chance.random() < 0.25:
                continue
            is_kept = self._is_applied(self._draw_fault())
            power += powers[index]
            kind = twins if self._exceeds or chance.random() < 0.8 else silent
            if is_kept:
                kind.append(index)
        liars = tuple(index for index in twins if self._draw_trait(0.5))
        amnesiacs = tuple(index for index in twins if self._draw_trait(0.4))
        return Plan(powers, tuple(twins), tuple(silent), liars, amnesiacs, chance.choice((3, 4, 5, 5, 6)))

    def _draw_trait(self, likely: float) -> bool:
        has_it = self.chance.random() < likely
        return self._is_applied(self._draw_fault()) and has_it

    def _make_start(self) -> m.StartHeight:
        members = self.keys.validators
        return m.StartHeight(
            1, members, proposer.initial_priorities(members), None, EMPTY, BASE_NS, EMPTY_COMMIT, EMPTY_PQ_COMMIT,
            Timeouts.of(ConsensusParams()),
        )  # fmt: skip

    def _draw_fault(self) -> int:
        self.faults_drawn += 1
        return self.faults_drawn - 1

    def _is_applied(self, fault: int) -> bool:
        return fault not in self._mask

    # time

    def _round(self) -> None:
        for step in (m.Step.PROPOSE, m.Step.PREVOTE, m.Step.PRECOMMIT):
            self._exchange()
            if not self._is_healed:
                self._maybe_crash()
            for player in self.players:
                due = [item for item in player.timeouts if item.step is step]
                player.timeouts = [item for item in player.timeouts if item.step is not step]
                for item in due:
                    self._give(player, item)
        self._exchange()

    def _heal(self) -> None:
        self._is_healed = True
        for player in self.players:
            if not player.is_running:
                player.restart(self.start_input)
        # also to who said it: a validator without its log learns its own votes from its peers
        again = [(receiver, message) for _, message in self._said for receiver in self.players]
        self.chance.shuffle(again)
        for receiver, message in again:
            self._deliver(receiver, message)
        for _ in range(HEAL_ROUNDS):
            if all(player.decision is not None for player in self.honest):
                return
            self._round()

    def _maybe_crash(self) -> None:
        chance = self.chance
        for player in self.honest:
            if not player.is_running:
                if chance.random() < 0.6:
                    player.restart(self.start_input)
                    self._log(f"restart {player.name}")
            elif player.decision is None and chance.random() < 0.04:
                fault = self._draw_fault()
                loses_log = chance.random() < 0.6 and not any(other.has_lost_log for other in self.players)
                if self._is_applied(fault):
                    player.crash(loses_log=loses_log)
                    self._log(f"crash {player.name} {loses_log}")

    def _may_stall(self) -> bool:
        """Whether too few are left to decide: whoever lost its log abstains, by rule, and cheats need not help."""
        powers, plan = self.plan.powers, self.plan
        absent = {*plan.twins, *plan.silent, *(player.index for player in self.players if player.has_lost_log)}
        return 3 * sum(powers[index] for index in absent) >= sum(powers)

    def _exchange(self) -> None:
        """Deliver what was said until nobody says more."""
        while self._outbox:
            outbox, self._outbox = self._outbox, []
            self.chance.shuffle(outbox)
            for sender, message in outbox:
                hears = None if self._is_healed else self._hearing(message)
                for receiver in self.players:
                    if receiver.index != sender.index and (hears is None or hears[sender.name][receiver.name]):
                        self._deliver(receiver, message)
                        if not self._is_healed and self.chance.random() < 0.05:
                            self._deliver(receiver, message)

    def _hearing(self, message: Message) -> list[list[bool]] | None:
        key = (message.round, 0 if isinstance(message, Proposal) else int(message.type))
        found = self._matrices.get(key)
        if found is None:
            found = self._matrices[key] = self._draw_fault(), self._draw_matrix(message.round)
        fault, matrix = found
        return matrix if self._is_applied(fault) else None

    def _draw_matrix(self, round_: int) -> list[list[bool]]:
        size, chance = len(self.players), self.chance
        # what was spoiled in one round does harm in a later one that goes well: three good draws in a row are too rare
        is_good = self._good_rounds.setdefault(round_, chance.random() < 0.35)
        mode = "all" if is_good and chance.random() < 0.9 else chance.choice(_MODES)
        alone, other = chance.randrange(size), chance.randrange(size)
        likely = chance.choice((0.3, 0.5, 0.7, 0.85))
        group = [chance.randrange(2) for _ in range(size)]
        names = range(size)
        if mode == "random":
            return [[chance.random() < likely for _ in names] for _ in names]
        if mode == "groups":
            return [[group[sender] == group[receiver] for receiver in names] for sender in names]
        if mode == "deaf":
            return [[receiver != alone for receiver in names] for _ in names]
        if mode == "mute":
            return [[sender != alone] * size for sender in names]
        if mode == "asymmetric":
            return [[sender != alone and receiver != other for receiver in names] for sender in names]
        return [[True] * size for _ in names]

    def _deliver(self, receiver: Player, message: Message) -> None:
        if not receiver.is_running:
            return
        if isinstance(message, Vote):
            self.rules.heard(receiver.name, message)
            item: m.Input = m.VoteReceived(message)
        else:
            item = m.ProposalReceived(message, message.time_ns)
        if receiver.index in self.plan.amnesiacs and receiver.decision is None and self.chance.random() < 0.1:
            receiver.forget_lock()
        if self._give(receiver, item):
            self.note(receiver, "joined a later round")
            if receiver.core.state.round > 1:
                self.note(receiver, "round above 1")
        if self._trace is not None:
            self._trace(f"{receiver.name} <- {_show(message)}: {receiver.core.state.round} {receiver.core.state.step.name}")

    def _give(self, player: Player, item: m.Input) -> bool:
        """Whether it went to another round."""
        before = player.core.state.round
        player.give(item)
        now = player.core.state.round
        if now > before and player in self.honest:
            self.rules.entered(player.name, before, now)
        return now > before

    # the world of the players

    def send(self, player: Player, message: Message) -> None:
        """See `player.World`."""
        self._outbox.append((player, message))
        self._said.append((player, message))
        self.rules.said(player.index, message)
        if isinstance(message, Vote):
            self.rules.heard(player.name, message)
        self._log(f"{player.name} {_show(message)}")

    def build(self, player: Player, height: int, round_: int, last_commit: Commit) -> Block:
        """See `player.World`."""
        members = self.keys.validators
        txs = (f"{round_}/{player.name}".encode(),)
        header = Header(
            1, CHAIN_ID, height, BASE_NS + (1_000 + round_) * MS, EMPTY, last_commit.hash(), data_hash(txs), members.hash(),
            members.hash(), _BLANK, _BLANK, _BLANK, evidence_hash(()), player.address,
        )  # fmt: skip
        block = Block(header, txs, (), last_commit)
        self._blocks[block.block_id()] = block
        self.rules.proposed(block)
        return block

    def fetch(self, player: Player, block_id: BlockID) -> Block | None:
        """See `player.World`."""
        return self._blocks.get(block_id)

    def is_valid(self, block: Block) -> bool:
        """See `player.World`."""
        return True

    def twist(self, player: Player, message: Message) -> Message:
        """See `player.World`."""
        if player.index in self.plan.liars and isinstance(message, Proposal) and message.pol_round < 0 < message.round:
            return replace(message, pol_round=self.chance.randrange(message.round))
        return message

    def interrupts(self, player: Player) -> bool:
        """See `player.World`."""
        if self._is_healed or player not in self.honest or self.chance.random() >= 0.002:
            return False
        is_applied = self._is_applied(self._draw_fault())
        if is_applied:
            self._log(f"kill {player.name}")
        return is_applied

    def decided(self, player: Player, decision: m.Decide) -> None:
        """See `player.World`."""
        self._log(f"{player.name} decides {decision.round} {decision.block.header.hash().hex()[:8]}")
        if player.index in self.plan.twins + self.plan.silent:
            return
        if decision.round < player.core.state.round:
            self.note(player, "decided a value of an earlier round")
        self.rules.decided(player.name, decision.block, decision.commit, decision.pq_commit)

    def note(self, player: Player, what: str) -> None:
        """See `player.World`."""
        if player in self.honest or not player.index:
            self.sometimes[what] = self.sometimes.get(what, 0) + 1

    def _log(self, line: str) -> None:
        self._digest.update(line.encode())
        if self._trace is not None:
            self._trace(line)


def _show(message: Message) -> str:
    if isinstance(message, Proposal):
        return f"proposal {message.round} pol {message.pol_round} {message.block_id.hash.hex()[:8]}"
    value = "nil" if message.block_id is None else message.block_id.hash.hex()[:8]
    return f"{message.type.name.lower()} {message.round} {value}"

