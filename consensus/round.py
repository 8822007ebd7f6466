"""One table: when a round's state changes, to what, and what it asks for. Each row carries its lines of arXiv 1807.04938, Algorithm 1.

`RoundState` is the paper's (step, round, lockedValue, lockedRound, validValue, validRound). `Facts` is what has been seen: proposals,
verdicts, thresholds. A row is a function of both that returns None when it does not apply, else the next state and the effects.
`core.py` evaluates the rows in order until none applies. No message, key or log is known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from consensus.block_id import BlockID
from consensus.messages import Lock, Step
from consensus.vote import Proposal, VoteType


@dataclass(frozen=True, slots=True)
class RoundState:
    """Where this validator is in a height."""

    round: int
    step: Step
    lock: Lock


@dataclass(frozen=True, slots=True)
class CastVote:
    """Vote; `value` None is nil."""

    type: VoteType
    value: BlockID | None


@dataclass(frozen=True, slots=True)
class StartTimeout:
    """Arm the timeout of this step in the current round."""

    step: Step


@dataclass(frozen=True, slots=True)
class EnterRound:
    """Begin a later round (L11)."""

    round: int


@dataclass(frozen=True, slots=True)
class DecideValue:
    """This value is decided in that round."""

    round: int
    value: BlockID


Effect: TypeAlias = CastVote | StartTimeout | EnterRound | DecideValue


class Facts(Protocol):
    """What a row may ask. Every answer only ever goes from unknown to known."""

    def proposals(self, round_: int) -> list[Proposal]:
        """Proposals of the round's proposer, in order of arrival; the first is the one to prevote (B5)."""
        ...

    def is_timely(self, proposal: Proposal) -> bool:
        """Whether a new proposal came within its bounds of time (consensus.md F)."""
        ...

    def verdict(self, value: BlockID) -> bool | None:
        """Whether the block is valid; None while its bytes or its verdict are missing."""
        ...

    def verdict_of(self, proposal: Proposal) -> bool | None:
        """As `verdict`, and False if the proposal states another time than its block (F4)."""
        ...

    def has_block(self, value: BlockID) -> bool:
        """Whether the block's bytes are here."""
        ...

    def has_quorum(self, round_: int, vote_type: VoteType, value: BlockID | None) -> bool:
        """More than 2/3 for exactly this value."""
        ...

    def has_quorum_any(self, round_: int, vote_type: VoteType) -> bool:
        """More than 2/3 voted."""
        ...

    def quorum_value(self, round_: int, vote_type: VoteType) -> BlockID | None:
        """The block with more than 2/3."""
        ...

    def decided_rounds(self) -> list[tuple[int, BlockID]]:
        """Precommit quorums of any round."""
        ...

    def skip_round(self, current_round: int) -> int | None:
        """A later round with more than 1/3 heard."""
        ...

    def first_time(self, row: str, round_: int) -> bool:
        """True once for each row and round: the paper's "for the first time"."""
        ...


Change: TypeAlias = tuple[RoundState, tuple[Effect, ...]]
Row: TypeAlias = Callable[[RoundState, Facts], Change | None]


def decide_l49(state: RoundState, facts: Facts) -> Change | None:
    """L49-54: a quorum of precommits for a block that is here, in any round of the height and at any step (E1)."""
    for round_, value in facts.decided_rounds():
        if facts.has_block(value):
            return replace(state, step=Step.COMMIT), (DecideValue(round_, value),)
    return None


def skip_l55(state: RoundState, facts: Facts) -> Change | None:
    """L55-56: more than 1/3 is in a later round: join it at once (E4)."""
    round_ = facts.skip_round(state.round)
    return None if round_ is None else (state, (EnterRound(round_),))


def prevote_new_l22(state: RoundState, facts: Facts) -> Change | None:
    """L22-27: a new proposal (no proof of lock)."""
    if state.step is not Step.PROPOSE:
        return None
    for proposal in facts.proposals(state.round)[:1]:
        if proposal.pol_round != -1:
            return None
        lock, value = state.lock, proposal.block_id
        if lock.locked_round != -1 and lock.locked_value != value:
            return _prevote(state, None)  # no verdict is needed to keep a lock (C1, D2)
        # a value that was valid before is not judged by the clock again (F3)
        if value not in (lock.locked_value, lock.valid_value) and not facts.is_timely(proposal):
            return _prevote(state, None)
        verdict = facts.verdict_of(proposal)
        return None if verdict is None else _prevote(state, value if verdict else None)
    return None


def prevote_old_l28(state: RoundState, facts: Facts) -> Change | None:
    """L28-33: a proposal with a proof of lock of an earlier round, once that quorum is here (C2, C3)."""
    if state.step is not Step.PROPOSE:
        return None
    for proposal in facts.proposals(state.round)[:1]:
        pol_round, value = proposal.pol_round, proposal.block_id
        if not 0 <= pol_round < state.round or not facts.has_quorum(pol_round, VoteType.PREVOTE, value):
            return None
        lock = state.lock
        if lock.locked_round > pol_round and lock.locked_value != value:
            return _prevote(state, None)
        verdict = facts.verdict_of(proposal)
        return None if verdict is None else _prevote(state, value if verdict else None)
    return None


def lock_l36(state: RoundState, facts: Facts) -> Change | None:
    """L36-43: a quorum of prevotes for a valid proposal of this round: lock it (in step prevote); it becomes the valid value (D1, D3)."""
    if state.step not in (Step.PREVOTE, Step.PRECOMMIT):
        return None
    value = facts.quorum_value(state.round, VoteType.PREVOTE)
    if value is None or not facts.verdict(value):
        return None
    if all(proposal.block_id != value for proposal in facts.proposals(state.round)):
        return None
    if not facts.first_time("L36", state.round):
        return None
    lock = replace(state.lock, valid_value=value, valid_round=state.round)
    if state.step is Step.PREVOTE:
        lock = replace(lock, locked_value=value, locked_round=state.round)
        return replace(state, step=Step.PRECOMMIT, lock=lock), (CastVote(VoteType.PRECOMMIT, value),)
    return replace(state, lock=lock), ()


def precommit_nil_l44(state: RoundState, facts: Facts) -> Change | None:
    """L44-46: a quorum of nil prevotes. The lock stays: it is never released to nil (D2)."""
    if state.step is Step.PREVOTE and facts.has_quorum(state.round, VoteType.PREVOTE, None):
        return replace(state, step=Step.PRECOMMIT), (CastVote(VoteType.PRECOMMIT, None),)
    return None


def wait_prevotes_l34(state: RoundState, facts: Facts) -> Change | None:
    """L34-35: a quorum prevoted, for whatever: wait a little for more (D5)."""
    if (
        state.step is Step.PREVOTE
        and facts.has_quorum_any(state.round, VoteType.PREVOTE)
        and facts.first_time("L34", state.round)
    ):
        return state, (StartTimeout(Step.PREVOTE),)
    return None


def wait_precommits_l47(state: RoundState, facts: Facts) -> Change | None:
    """L47-48: a quorum precommitted, for whatever, at any step (E3)."""
    if facts.has_quorum_any(state.round, VoteType.PRECOMMIT) and facts.first_time("L47", state.round):
        return state, (StartTimeout(Step.PRECOMMIT),)
    return None


# In this order: a decision before everything (E1), a skip before work in a round that is over
ROWS: Final[tuple[Row, ...]] = (
    decide_l49,
    skip_l55,
    prevote_new_l22,
    prevote_old_l28,
    lock_l36,
    precommit_nil_l44,
    wait_prevotes_l34,
    wait_precommits_l47,
)


def on_timeout(state: RoundState, round_: int, step: Step) -> Change | None:
    """L57-67: a timeout of the current round, if it still applies; any other is stale (E5)."""
    if round_ != state.round:
        return None
    if step is Step.PROPOSE and state.step is Step.PROPOSE:
        return _prevote(state, None)
    if step is Step.PREVOTE and state.step is Step.PREVOTE:
        return replace(state, step=Step.PRECOMMIT), (CastVote(VoteType.PRECOMMIT, None),)
    if step is Step.PRECOMMIT and state.step is not Step.COMMIT:
        return state, (EnterRound(round_ + 1),)
    return None


def _prevote(state: RoundState, value: BlockID | None) -> Change:
    return replace(state, step=Step.PREVOTE), (CastVote(VoteType.PREVOTE, value),)
