"""Planted bugs: the classic mistakes of Tendermint implementations, each put in for a run, to prove that the simulator sees them.

A bug replaces a function of the code under test while a `with planted(name)` lasts, or changes a validator's `Habits`; the product has
no switch for any of them. `budget` is the number of scenarios within which it must be caught: about three times the worst of the measured
seeds (docs/simulation.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from consensus import core, height, proposer, quorum, votes
from consensus import round as table
from consensus.block_id import BlockID
from consensus.messages import Lock, Step
from consensus.round import CastVote, Change, Facts, RoundState
from consensus.vote import Vote, VoteType
from consensus.votes import Added, VoteBook
from node import signer
from node.simulator.player import DRIVER, Habits

# (object, attribute, what replaces it)
Patch = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """One mistake. `rule` is the line of consensus.md or of the paper that it breaks."""

    name: str
    rule: str
    text: str
    budget: int
    patches: Callable[[], list[Patch]] = list
    habits: Habits = DRIVER


def _with_row(name: str, row: Callable[[RoundState, Facts], Change | None]) -> list[Patch]:
    old = getattr(table, name)
    return [(core, "ROWS", tuple(row if known is old else known for known in table.ROWS))]


def _unlock_on_nil_polka() -> list[Patch]:
    def row(state: RoundState, facts: Facts) -> Change | None:
        change = table.precommit_nil_l44(state, facts)
        return None if change is None else (replace(change[0], lock=Lock()), change[1])

    return _with_row("precommit_nil_l44", row)


def _forget_lock() -> list[Patch]:
    def row(state: RoundState, facts: Facts) -> Change | None:
        change = table.lock_l36(state, facts)
        if change is None:
            return None
        return replace(change[0], lock=replace(change[0].lock, locked_value=None, locked_round=-1)), change[1]

    return _with_row("lock_l36", row)


def _prevote_against_lock() -> list[Patch]:
    def row(state: RoundState, facts: Facts) -> Change | None:
        change = table.prevote_new_l22(replace(state, lock=Lock()), facts)
        return None if change is None else (replace(change[0], lock=state.lock), change[1])

    return _with_row("prevote_new_l22", row)


def _no_proof_of_lock() -> list[Patch]:
    def row(state: RoundState, facts: Facts) -> Change | None:
        if state.step is not Step.PROPOSE:
            return None
        for proposal in facts.proposals(state.round)[:1]:
            verdict = facts.verdict_of(proposal)
            if 0 <= proposal.pol_round < state.round and verdict is not None:
                value = proposal.block_id if verdict else None
                return replace(state, step=Step.PREVOTE), (CastVote(VoteType.PREVOTE, value),)
        return None

    return _with_row("prevote_old_l28", row)


def _any_polka_is_proof() -> list[Patch]:
    def row(state: RoundState, facts: Facts) -> Change | None:
        if state.step is not Step.PROPOSE:
            return None
        for proposal in facts.proposals(state.round)[:1]:
            verdict = facts.verdict_of(proposal)
            is_old = 0 <= proposal.pol_round < state.round
            if is_old and verdict is not None and facts.has_quorum_any(proposal.pol_round, VoteType.PREVOTE):
                value = proposal.block_id if verdict else None
                return replace(state, step=Step.PREVOTE), (CastVote(VoteType.PREVOTE, value),)
        return None

    return _with_row("prevote_old_l28", row)


def _no_wait_for_prevotes() -> list[Patch]:
    return _with_row("wait_prevotes_l34", lambda state, facts: None)


def _no_wait_for_precommits() -> list[Patch]:
    return _with_row("wait_precommits_l47", lambda state, facts: None)


def _decide_this_round_only() -> list[Patch]:
    def row(state: RoundState, facts: Facts) -> Change | None:
        change = table.decide_l49(state, facts)
        if change is None or getattr(change[1][0], "round", state.round) != state.round:
            return None
        return change

    return _with_row("decide_l49", row)


def _first_vote_only() -> list[Patch]:
    honest = VoteBook.add

    def add(self: VoteBook, vote: Vote, current_round: int) -> tuple[Added, Vote | None]:
        tally = self.tally(vote.round, vote.type)
        if tally is not None and tally.by_validator.get(vote.validator_index):
            return Added.DUPLICATE, None
        return honest(self, vote, current_round)

    return [(votes.VoteBook, "add", add)]


def _count_duplicates() -> list[Patch]:
    return [(votes.VoteBook, "knows", lambda self, vote: False)]


def _two_thirds_is_enough() -> list[Patch]:
    return [(quorum, "is_quorum", lambda power, total: 3 * power >= 2 * total)]


def _half_is_enough() -> list[Patch]:
    return [(quorum, "is_quorum", lambda power, total: 2 * power > total)]


def _count_heads() -> list[Patch]:
    def is_most(self: VoteBook, heads: int) -> bool:
        return 3 * heads > 2 * len(self.validators)

    def quorum_value(self: VoteBook, round_: int, vote_type: VoteType) -> BlockID | None:
        tally = self.tally(round_, vote_type)
        for value in tally.power_by_value if tally is not None else ():
            if value is not None and tally is not None and is_most(self, len(tally.votes_for(value))):
                return value
        return None

    def has_quorum(self: VoteBook, round_: int, vote_type: VoteType, value: BlockID | None) -> bool:
        tally = self.tally(round_, vote_type)
        return tally is not None and is_most(self, len(tally.votes_for(value)))

    def has_quorum_any(self: VoteBook, round_: int, vote_type: VoteType) -> bool:
        tally = self.tally(round_, vote_type)
        return tally is not None and is_most(self, len(tally.by_validator))

    return [(VoteBook, replacement.__name__, replacement) for replacement in (quorum_value, has_quorum, has_quorum_any)]


def _same_proposer_in_every_round() -> list[Patch]:
    honest = proposer.proposer_of
    return [(proposer, "proposer_of", lambda members, priorities, round_: honest(members, priorities, 0))]


def _propose_anew() -> list[Patch]:
    honest = core.Core._enter_round

    def enter(self: core.Core, h: height.HeightState, round_: int, out: list[Any]) -> None:
        lock = h.state.lock
        h.state = replace(h.state, lock=replace(lock, valid_value=None, valid_round=-1))
        honest(self, h, round_, out)
        h.state = replace(h.state, lock=lock)

    return [(core.Core, "_enter_round", enter)]


def _signer_without_promises() -> list[Patch]:
    return [(signer, "_check_promise", lambda *_: None)]


def _stale_timeouts_fire() -> list[Patch]:
    honest = table.on_timeout
    return [(core, "on_timeout", lambda state, round_, step: honest(state, state.round, step))]


BUGS: Final[dict[str, Bug]] = {
    bug.name: bug
    for bug in (
        Bug("unlock-on-nil-polka", "D2, L44", "a quorum of nil prevotes releases the lock", 6_000, _unlock_on_nil_polka),
        Bug("forgotten-lock", "L36", "a quorum of prevotes does not lock", 8_000, _forget_lock),
        Bug("prevote-against-lock", "C1, L22", "a new proposal is prevoted whatever is locked", 8_000, _prevote_against_lock),
        Bug("no-proof-of-lock", "C2, L28", "a proposal's proof of lock is not asked for", 20_000, _no_proof_of_lock),
        Bug("any-polka-is-proof", "C2, L28", "any quorum of prevotes proves any lock", 40_000, _any_polka_is_proof),
        Bug("no-wait-for-prevotes", "D5, L34", "split prevotes start no timeout", 500, _no_wait_for_prevotes),
        Bug("no-wait-for-precommits", "E3, L47", "split precommits start no timeout", 500, _no_wait_for_precommits),
        Bug("decide-this-round-only", "E1, L49", "a quorum of an earlier round decides nothing", 2_000, _decide_this_round_only),
        Bug("first-vote-only", "E8", "of conflicting votes only the first counts", 2_000, _first_vote_only),
        Bug("count-duplicates", "A2", "a vote counts as often as it comes", 500, _count_duplicates),
        Bug("two-thirds-is-enough", "A1", ">= in place of >", 6_000, _two_thirds_is_enough),
        Bug("half-is-enough", "A1", "a majority is a quorum", 2_000, _half_is_enough),
        Bug("count-heads", "A1", "validators are counted, not their power", 6_000, _count_heads),
        Bug("same-proposer", "B6", "every round has the first round's proposer", 500, _same_proposer_in_every_round),
        Bug("propose-anew", "B1, L15", "the valid value is not proposed again", 3_000, _propose_anew),
        Bug("stale-timeouts-fire", "E5, L57", "a timeout of an earlier round counts for this one", 500, _stale_timeouts_fire),
        Bug("send-before-fsync", "J1", "messages leave before log and record are durable", 500, habits=Habits(syncs_before_sending=False)),
        Bug("no-replay", "J2", "the log is not read after a restart", 3_000, habits=Habits(replays_log=False)),
        Bug("lock-not-replayed", "J2", "a replay restores votes but no lock", 20_000, habits=Habits(replays_locks=False)),
        Bug(
            "sign-without-log", "J8", "who lost its log goes on signing, and its signer forgets locks as well", 120_000,
            _signer_without_promises, Habits(abstains_without_log=False),
        ),
        Bug("no-stored-signature", "J3", "what was signed before a crash cannot be sent", 20_000, habits=Habits(repeats_signatures=False)),
    )
}


@contextmanager
def planted(name: str) -> Iterator[Bug]:
    """Put a bug in for the time of the block. Raises KeyError for an unknown name."""
    bug = BUGS[name]
    undo: list[Patch] = []
    try:
        for target, attribute, replacement in bug.patches():
            undo.append((target, attribute, getattr(target, attribute)))
            setattr(target, attribute, replacement)
        yield bug
    finally:
        for target, attribute, original in reversed(undo):
            setattr(target, attribute, original)
