"""Counting: which thresholds the votes of one height have reached, in each round.

A validator's power counts once for each (round, type) and once for each value in it. Conflicting votes are kept, within a bound:
were only the first vote of each validator counted, one equivocator could hide a quorum from part of the network for ever
(consensus.md A, E8). What a threshold leads to is `round.py`'s; whether a vote is genuine was checked before it came here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from consensus import quorum
from consensus.block_id import BlockID
from consensus.vote import Vote, VoteType
from state.primitives.limits import (
    FUTURE_ROUNDS_PER_VALIDATOR_MAX,
    NIL_VOTES_ROUNDS_KEPT,
    VOTE_VALUES_PER_VALIDATOR_MAX,
)
from state.validators import ValidatorSet


class Added(Enum):
    """What became of a vote."""

    COUNTED = 1
    DUPLICATE = 2
    CONFLICT = 3  # counted too, and evidence
    DROPPED = 4  # beyond a bound


@dataclass(slots=True)
class Tally:
    """Votes of one round and type."""

    by_validator: dict[int, list[Vote]] = field(default_factory=dict)  # about VOTE_VALUES_PER_VALIDATOR_MAX each
    power_by_value: dict[BlockID | None, int] = field(default_factory=dict)
    power_any: int = 0

    def votes_for(self, block_id: BlockID | None) -> dict[int, Vote]:
        """Index to vote, for everyone who voted for this value."""
        return {
            index: vote for index, votes in self.by_validator.items() for vote in votes if vote.block_id == block_id
        }

    def first_votes(self) -> dict[int, Vote]:
        """Index to first vote, for everyone of whom one is kept."""
        return {index: votes[0] for index, votes in self.by_validator.items() if votes}


class VoteBook:
    """All votes of one height under one validator set."""

    def __init__(self, validators: ValidatorSet) -> None:
        self.validators = validators
        self._total = validators.total_power
        self._tallies: dict[tuple[int, VoteType], Tally] = {}
        self._senders: dict[int, dict[int, None]] = {}  # round -> validators heard in it, in either type
        self._future: dict[int, list[int]] = {}  # validator -> rounds ahead in which its votes are kept
        self._nil_kept_from = 0  # nil votes of earlier rounds are counted and forgotten

    def add(self, vote: Vote, current_round: int) -> tuple[Added, Vote | None]:
        """Count a genuine vote. (what became of it; with CONFLICT the earlier vote, else None)."""
        index = vote.validator_index
        if self.knows(vote):
            return Added.DUPLICATE, None
        tally = self._tallies.get((vote.round, vote.type))
        earlier = tally.by_validator.get(index, []) if tally is not None else []
        if len(earlier) >= VOTE_VALUES_PER_VALIDATOR_MAX and not (
            tally is not None and quorum.is_honest_share(tally.power_by_value.get(vote.block_id, 0), self._total)
        ):
            return Added.DROPPED, None  # it was reported for the ones that are kept
        if vote.round > current_round and not self._admit_future(index, vote.round, current_round):
            return Added.DROPPED, None
        self._count(vote)
        return (Added.CONFLICT, earlier[0]) if earlier else (Added.COUNTED, None)

    def knows(self, vote: Vote) -> bool:
        """Whether this validator's vote for this value is counted already or of no use; signatures do not matter."""
        if vote.block_id is None and vote.round < self._nil_kept_from:
            return True
        tally = self._tallies.get((vote.round, vote.type))
        known = tally.by_validator.get(vote.validator_index, ()) if tally is not None else ()
        return any(earlier.block_id == vote.block_id for earlier in known)

    def contradicts(self, vote: Vote) -> bool:
        """Whether this validator is known with another value in this round and type, and not yet with this one."""
        tally = self._tallies.get((vote.round, vote.type))
        known = tally.by_validator.get(vote.validator_index, []) if tally is not None else []
        return bool(known) and known[0].validator_address == vote.validator_address and not self.knows(vote)

    def _count(self, vote: Vote) -> None:
        index = vote.validator_index
        power = self.validators.validators[index].power
        tally = self._tallies.setdefault((vote.round, vote.type), Tally())
        votes = tally.by_validator.get(index)
        if votes is None:
            votes = tally.by_validator[index] = []
            tally.power_any += power
        votes.append(vote)
        tally.power_by_value[vote.block_id] = tally.power_by_value.get(vote.block_id, 0) + power
        self._senders.setdefault(vote.round, {})[index] = None

    def _admit_future(self, index: int, round_: int, current_round: int) -> bool:
        """Whether a validator's vote of a round ahead is kept. A flood of rounds costs only the flooder (A6).

        Kept are the nearest rounds and the two highest: whoever entered round R first had a quorum of R-1, so every honest
        validator of that quorum has R-1 or R as its highest, and a node that holds both of each can follow (E4).
        """
        rounds = sorted({round_, *(known for known in self._future.get(index, []) if known > current_round)})
        if len(rounds) > FUTURE_ROUNDS_PER_VALIDATOR_MAX:
            middle = rounds.pop(FUTURE_ROUNDS_PER_VALIDATOR_MAX - 2)
            if middle == round_:
                return False
            self._forget(index, middle)
        self._future[index] = rounds
        return True

    def forget_old_nil(self, current_round: int) -> None:
        """Let go of the nil votes of rounds long over; they stay counted. Votes for blocks are kept: they may still decide (E2)."""
        keep_from = current_round - NIL_VOTES_ROUNDS_KEPT
        for (round_, _), tally in self._tallies.items():
            if self._nil_kept_from <= round_ < keep_from:
                for index, votes in tally.by_validator.items():
                    tally.by_validator[index] = [vote for vote in votes if vote.block_id is not None]
        self._nil_kept_from = max(self._nil_kept_from, keep_from)

    def _forget(self, index: int, round_: int) -> None:
        power = self.validators.validators[index].power
        for vote_type in VoteType:
            tally = self._tallies.get((round_, vote_type))
            if tally is None or index not in tally.by_validator:
                continue
            for vote in tally.by_validator.pop(index):
                tally.power_by_value[vote.block_id] -= power
                if not tally.power_by_value[vote.block_id]:
                    del tally.power_by_value[vote.block_id]
            tally.power_any -= power
            if not tally.by_validator:
                del self._tallies[(round_, vote_type)]
        senders = self._senders.get(round_, {})
        senders.pop(index, None)
        if not senders:
            self._senders.pop(round_, None)

    # thresholds

    def quorum_value(self, round_: int, vote_type: VoteType) -> BlockID | None:
        """The block that more than 2/3 voted for, or None (nil has `has_nil_quorum`)."""
        tally = self._tallies.get((round_, vote_type))
        if tally is not None:
            for value, power in tally.power_by_value.items():
                if value is not None and quorum.is_quorum(power, self._total):
                    return value
        return None

    def has_quorum(self, round_: int, vote_type: VoteType, value: BlockID | None) -> bool:
        """Whether more than 2/3 voted for exactly this value (None is nil)."""
        tally = self._tallies.get((round_, vote_type))
        return tally is not None and quorum.is_quorum(tally.power_by_value.get(value, 0), self._total)

    def has_quorum_any(self, round_: int, vote_type: VoteType) -> bool:
        """Whether more than 2/3 voted at all."""
        tally = self._tallies.get((round_, vote_type))
        return tally is not None and quorum.is_quorum(tally.power_any, self._total)

    def skip_round(self, current_round: int) -> int | None:
        """The highest round ahead in which more than 1/3 were heard, each once for both types together (A3), or None."""
        best: int | None = None
        for round_, senders in self._senders.items():
            if round_ > current_round and (best is None or round_ > best):
                power = sum(self.validators.validators[index].power for index in senders)
                if quorum.is_honest_share(power, self._total):
                    best = round_
        return best

    def decided_rounds(self) -> list[tuple[int, BlockID]]:
        """(round, block) of every precommit quorum, lowest round first."""
        found = [
            (round_, value)
            for round_, vote_type in self._tallies
            if vote_type is VoteType.PRECOMMIT and (value := self.quorum_value(round_, vote_type)) is not None
        ]
        return sorted(found, key=lambda pair: pair[0])

    def tally(self, round_: int, vote_type: VoteType) -> Tally | None:
        """The votes of a round and type, for reading only."""
        return self._tallies.get((round_, vote_type))

    def rounds(self) -> list[int]:
        """Rounds with votes, ascending."""
        return sorted(self._senders)
