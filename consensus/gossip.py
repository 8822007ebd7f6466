"""What a peer needs next: pure comparison of what it says it has with what we have.

Each node tells its peers a `Summary`: height, round, step, and for each round of the height which validators' votes and how many
proposals it holds. `compute_missing` answers with messages, most urgent first, at most `limit`. Sending, timing and repetition are
the caller's. A validator that voted twice is one bit, so where a quorum stands behind one value and the peer does not claim that
quorum, all votes of that value are sent whatever the bits say: no equivocator can hide a quorum for ever (consensus.md E8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consensus.commit import Commit, Flag, PqCommit
from consensus.fields import read_height, read_int, read_list, read_round, read_tuple
from consensus.height import HeightState
from consensus.messages import Step
from consensus.vote import Proposal, Vote, VoteType
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.limits import PROPOSALS_PER_ROUND_MAX, VALIDATORS_MAX

SUMMARY_ROUNDS_MAX: Final = 32  # rounds of one height that are told of: the latest
BITMAP_BYTES_MAX: Final = (VALIDATORS_MAX + 7) // 8


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """What is held of one round. Bitmaps are integers, bit i for validator i; `*_quorum`: more than 2/3 for one value."""

    round: int
    proposals: int
    prevotes: int
    prevote_quorum: bool
    precommits: int
    precommit_quorum: bool

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return (
            self.round,
            self.proposals,
            _write_bits(self.prevotes),
            self.prevote_quorum,
            _write_bits(self.precommits),
            self.precommit_quorum,
        )

    @classmethod
    def from_wire(cls, value: Value) -> RoundSummary:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        round_, proposals, prevotes, prevote_quorum, precommits, precommit_quorum = read_tuple(value, 6, "a round")
        if type(prevote_quorum) is not bool or type(precommit_quorum) is not bool:
            raise MalformedError("a quorum is there or not")
        return cls(
            read_round(round_),
            read_int(proposals, 0, PROPOSALS_PER_ROUND_MAX, "a number of proposals"),
            _read_bits(prevotes),
            prevote_quorum,
            _read_bits(precommits),
            precommit_quorum,
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """Where a node is and what it holds of that height."""

    height: int
    round: int
    step: Step
    rounds: tuple[RoundSummary, ...]

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return self.height, self.round, int(self.step), tuple(item.to_wire() for item in self.rounds)

    @classmethod
    def from_wire(cls, value: Value) -> Summary:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        height, round_, step, rounds = read_tuple(value, 4, "a summary")
        items = read_list(rounds, SUMMARY_ROUNDS_MAX, "a summary's rounds")
        return cls(
            read_height(height),
            read_round(round_),
            Step(read_int(step, 1, 4, "a step")),
            tuple(RoundSummary.from_wire(item) for item in items),
        )


def summarize(view: HeightState) -> Summary:
    """What we tell our peers."""
    votes = view.votes
    rounds = sorted({*votes.rounds(), *view.proposal_rounds()})[-SUMMARY_ROUNDS_MAX:]
    items: list[RoundSummary] = []
    for round_ in rounds:
        bits: list[int] = []
        quorums: list[bool] = []
        for vote_type in VoteType:
            tally = votes.tally(round_, vote_type)
            bits.append(sum(1 << index for index in tally.by_validator) if tally is not None else 0)
            quorums.append(_has_any_quorum(view, round_, vote_type))
        items.append(
            RoundSummary(round_, len(view.proposals(round_)), bits[0], quorums[0], bits[1], quorums[1])
        )
    return Summary(view.height, view.state.round, view.state.step, tuple(items))


def compute_missing(view: HeightState, peer: Summary, limit: int) -> list[Vote | Proposal]:
    """Messages the peer lacks and we have, at most `limit`, the most urgent first."""
    if peer.height == view.height - 1:
        # it is about to decide what we have decided: the precommits do it; blocks come by the sync channel
        commit, pq_commit = view.last_commit()
        known = {item.round: item.precommits for item in peer.rounds}.get(commit.round, 0)
        out: list[Vote | Proposal] = []
        out += [vote for vote in votes_of(commit, pq_commit) if not known >> vote.validator_index & 1]
        return out[:limit]
    if peer.height != view.height:
        return []
    held = {item.round: item for item in peer.rounds}
    out = []
    for round_ in _urgent_rounds(view, peer.round):
        item = held.get(round_, RoundSummary(round_, 0, 0, False, 0, False))
        out += view.proposals(round_)[item.proposals :]
        out += _missing_votes(view, round_, VoteType.PRECOMMIT, item.precommits, item.precommit_quorum)
        out += _missing_votes(view, round_, VoteType.PREVOTE, item.prevotes, item.prevote_quorum)
        if len(out) >= limit:
            break
    return out[:limit]


def votes_of(commit: Commit, pq_commit: PqCommit) -> list[Vote]:
    """The precommits that a commit was made of."""
    return [
        Vote(
            VoteType.PRECOMMIT,
            commit.height,
            commit.round,
            commit.block_id if part.flag is Flag.COMMIT else None,
            part.time_ns,
            part.validator_address,
            index,
            part.signature,
            pq_commit.signatures[index],
        )
        for index, part in enumerate(commit.signatures)
        if part.flag is not Flag.ABSENT and index < len(pq_commit.signatures) and pq_commit.signatures[index]
    ]


def _urgent_rounds(view: HeightState, peer_round: int) -> list[int]:
    """Decided rounds first, then the peer's own, then proof-of-lock rounds and the rest from the latest down."""
    rounds: dict[int, None] = {round_: None for round_, _ in view.decided_rounds()}
    rounds[peer_round] = None
    for proposal in view.proposals(peer_round):
        if proposal.pol_round >= 0:
            rounds[proposal.pol_round] = None
    for round_ in sorted({*view.votes.rounds(), *view.proposal_rounds()}, reverse=True):
        rounds[round_] = None
    return list(rounds)


def _missing_votes(view: HeightState, round_: int, vote_type: VoteType, known: int, has_quorum: bool) -> list[Vote]:
    tally = view.votes.tally(round_, vote_type)
    if tally is None:
        return []
    missing = [vote for index, vote in tally.first_votes().items() if not known >> index & 1]
    if not has_quorum and _has_any_quorum(view, round_, vote_type):
        decisive = tally.votes_for(view.quorum_value(round_, vote_type)).values()
        missing += [vote for vote in decisive if vote not in missing]
    return missing


def _has_any_quorum(view: HeightState, round_: int, vote_type: VoteType) -> bool:
    return view.quorum_value(round_, vote_type) is not None or view.has_quorum(round_, vote_type, None)


def _write_bits(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "big")


def _read_bits(value: Value) -> int:
    if type(value) is not bytes or len(value) > BITMAP_BYTES_MAX or value[:1] == b"\0":
        raise MalformedError("a bitmap has at most 25 bytes and no leading zero")
    return int.from_bytes(value, "big")
