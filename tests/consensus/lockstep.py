"""One height in lock-step under a random delivery matrix for each round and type: the adversary that locking rules are made for.

Random loss almost never needs the rules of locking; here every round and message type draws who hears whom. One validator may be a pair
of twins: two honest cores with one key, which contradict each other. What was not delivered is delivered when the network heals;
then everybody honest must decide, and all the same. Nothing is lost for ever, nothing is ever late at a healed node.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from consensus import messages as m
from consensus.block import Block, BlockID
from consensus.core import Core
from consensus.vote import Proposal, Vote
from tests.consensus.world import BASE_NS, CHAIN, MS, FakeVerifier, Scene, make_block, sign_proposal, sign_vote

VALIDATORS = 4
HEAL_ROUNDS = 12


@dataclass
class Player:
    """One core. `index` is its validator's place; twins share one."""

    name: int
    index: int
    core: Core
    timeouts: list[m.TimeoutFired] = field(default_factory=list)
    decided: BlockID | None = None


class Game:
    """`play` it. The answer is what the honest decided; it raises AssertionError if they did not, or not the same."""

    def __init__(self, seed: int, *, twins: bool, rounds: int = 5) -> None:
        self.chance = random.Random(seed)
        self.rounds = rounds
        self._scene = Scene((1,) * VALIDATORS)
        self._blocks: dict[BlockID, Block] = {}
        places = [*range(VALIDATORS)]
        if twins:
            places.append(self.chance.randrange(VALIDATORS))
        verifier = FakeVerifier()
        addresses = [validator.address for validator in self._scene.validators.validators]
        self.players = [Player(n, index, Core(CHAIN, addresses[index], verifier)) for n, index in enumerate(places)]
        self.honest = [player for player in self.players if places.count(player.index) == 1]
        self._outbox: list[tuple[Player, Vote | Proposal]] = []
        self._held: list[tuple[Player, Vote | Proposal]] = []  # (receiver, message)
        self._matrices: dict[tuple[int, int], list[list[bool]]] = {}
        self.seen: dict[str, int] = {}

    def play(self) -> BlockID:
        """The adversary's rounds, then the healing."""
        for player in self.players:
            self._give(player, self._scene.start_input())
        for _ in range(self.rounds):
            self._round(healed=False)
        early = sum(player.decided is not None for player in self.honest)
        self.seen["some decided early, not all"] = int(0 < early < len(self.honest))
        held, self._held = self._held, []
        self.chance.shuffle(held)
        for receiver, message in held:
            self._deliver(receiver, message)
        for _ in range(HEAL_ROUNDS):
            if all(player.decided is not None for player in self.honest):
                break
            self._round(healed=True)
        decided = [player.decided for player in self.honest if player.decided is not None]
        assert len(set(decided)) <= 1, "fork: two decisions for one height"
        assert len(decided) == len(self.honest), f"stall: {len(decided)} of {len(self.honest)} decided after healing"
        return decided[0]

    def _round(self, *, healed: bool) -> None:
        for step in (m.Step.PROPOSE, m.Step.PREVOTE, m.Step.PRECOMMIT):
            self._exchange(healed)
            for player in self.players:
                due = [item for item in player.timeouts if item.step is step]
                player.timeouts = [item for item in player.timeouts if item.step is not step]
                for item in due:
                    self._give(player, item)
        self._exchange(healed)

    def _exchange(self, healed: bool) -> None:
        """Deliver what was said until nobody says more."""
        while self._outbox:
            outbox, self._outbox = self._outbox, []
            self.chance.shuffle(outbox)
            for sender, message in outbox:
                for receiver in self.players:
                    if receiver.index == sender.index:
                        continue
                    if healed or self._hears(sender, receiver, message):
                        self._deliver(receiver, message)
                    else:
                        self._held.append((receiver, message))

    def _hears(self, sender: Player, receiver: Player, message: Vote | Proposal) -> bool:
        key = (message.round, 0 if isinstance(message, Proposal) else int(message.type))
        if key not in self._matrices:
            self._matrices[key] = self._draw()
        return self._matrices[key][sender.name][receiver.name]

    def _draw(self) -> list[list[bool]]:
        size, chance = len(self.players), self.chance
        mode = chance.choice(("all", "all", "random", "random", "random", "groups", "deaf", "mute"))
        alone = chance.randrange(size)
        likely = chance.choice((0.3, 0.5, 0.7, 0.85))
        group = [chance.randrange(2) for _ in range(size)]

        def hears(sender: int, receiver: int) -> bool:
            if mode == "random":
                return chance.random() < likely
            if mode == "groups":
                return group[sender] == group[receiver]
            if mode == "deaf":
                return receiver != alone
            return mode == "all" or sender != alone

        return [[hears(sender, receiver) for receiver in range(size)] for sender in range(size)]

    def _deliver(self, receiver: Player, message: Vote | Proposal) -> None:
        if isinstance(message, Vote):
            self._give(receiver, m.VoteReceived(message))
        else:
            self._give(receiver, m.ProposalReceived(message, message.time_ns))

    def _give(self, player: Player, item: m.Input) -> None:
        queue = [item]
        while queue:
            for output in player.core.step(queue.pop(0)):
                answer = self._execute(player, output)
                if answer is not None:
                    queue.append(answer)

    def _execute(self, player: Player, output: m.Output) -> m.Input | None:
        validator = self._scene.validators.validators[player.index]
        match output:
            case m.SignVote(vote):
                return m.Signed(sign_vote(vote, validator))
            case m.SignProposal(proposal):
                if proposal.pol_round >= 0:
                    self.seen["proposed again"] = 1
                return m.Signed(sign_proposal(proposal, validator))
            case m.Broadcast(message):
                self._outbox.append((player, message))
            case m.ScheduleTimeout(height, round_, step):
                player.timeouts.append(m.TimeoutFired(height, round_, step))
            case m.BuildValue(_, round_):
                name = f"{round_}/{player.name}"
                made = make_block(name, 1, BASE_NS + (1_000 + round_) * MS, self._scene.validators)
                header = replace(made.header, proposer_address=validator.address)
                block = Block(header, made.txs, (), made.last_commit)
                self._blocks[block.block_id()] = block
                return m.ValueReady(1, round_, block)
            case m.WantBlock(_, block_id):
                return m.BlockReceived(self._blocks[block_id])
            case m.ValidateBlock(block):
                return m.BlockValidity(block.block_id(), True)
            case m.Decide(_, round_, block):
                player.decided = block.block_id()
                if round_:
                    self.seen["decided in a later round"] = 1
        return None
