"""What a peer needs next: pure comparison of what it says it has with what we have.

Each node tells its peers a `Summary`: height, round, step, and for each round of the height which validators' votes and which
proposals it holds. `compute_missing` answers with messages, most urgent first. Sending, timing and repetition are the caller's.
A validator that voted twice is one bit. So where we hold a quorum for one value and the peer has heard all its voters and yet claims
no quorum, someone told it something else: then all votes of that value are sent, whatever the bits say (consensus.md E8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consensus.commit import Commit, Flag, PqCommit
from consensus.fields import read_bytes, read_height, read_int, read_list, read_round, read_tuple
from consensus.height import HeightState
from consensus.messages import Step
from consensus.vote import Proposal, Vote, VoteType
from state.primitives.codec import Value, encode_trusted
from state.primitives.errors import MalformedError
from state.primitives.hashing import sha256
from state.primitives.limits import PROPOSALS_PER_ROUND_MAX, VALIDATORS_MAX

PROPOSAL_NAME_BYTES: Final = 16  # nobody can make two proposals of one name
PROPOSALS_TOLD_MAX: Final = PROPOSALS_PER_ROUND_MAX + 1  # one more may have a quorum behind it
SUMMARY_ROUNDS_MAX: Final = 32  # rounds of one height that are told of: the latest
BITMAP_BYTES_MAX: Final = (VALIDATORS_MAX + 7) // 8


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """What is held of one round. Bitmaps are integers, bit i for validator i; `*_quorum`: more than 2/3 for one value.

    `proposals` are names of proposals (`name_proposal`).
    """

    round: int
    proposals: tuple[bytes, ...]
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
            tuple(
                read_bytes(item, (PROPOSAL_NAME_BYTES,), "the name of a proposal")
                for item in read_list(proposals, PROPOSALS_TOLD_MAX, "a round's proposals")
            ),
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
            RoundSummary(
                round_, tuple(map(name_proposal, view.proposals(round_)))[:PROPOSALS_TOLD_MAX], bits[0], quorums[0], bits[1], quorums[1]
            )
        )
    return Summary(view.height, view.state.round, view.state.step, tuple(items))


def compute_missing(view: HeightState, peer: Summary, limit: int) -> list[Vote | Proposal]:
    """Messages the peer lacks and we have, the most urgent first.

    At most `limit`; or, where the peer was told something else than we were, all the votes of one quorum: a part of them, the same one
    each time, might never hold the one that it needs.
    """
    held = {item.round: item for item in peer.rounds}
    if peer.height == view.height - 1:
        # it is about to decide what we have decided: the precommits do it; blocks come by the sync channel
        commit, pq_commit = view.last_commit()
        item = held.get(commit.round, _nothing(commit.round))
        votes = {vote.validator_index: vote for vote in votes_of(commit, pq_commit)}
        decisive = {index: vote for index, vote in votes.items() if vote.block_id is not None}
        return _limited([], *_missing_of(votes, decisive, item.precommits, item.precommit_quorum), limit)
    out: list[Vote | Proposal] = []
    if peer.height != view.height:
        return out
    untold = min(held) if len(held) == SUMMARY_ROUNDS_MAX else 0  # a summary is silent about rounds before this one
    for round_ in _urgent_rounds(view, peer.round, untold):
        item = held.get(round_, _nothing(round_))
        out += [proposal for proposal in view.proposals(round_) if name_proposal(proposal) not in item.proposals]
        for vote_type, known, has_quorum in (
            (VoteType.PRECOMMIT, item.precommits, item.precommit_quorum),
            (VoteType.PREVOTE, item.prevotes, item.prevote_quorum),
        ):
            missing, hidden = _missing_votes(view, round_, vote_type, known, has_quorum)
            out = _limited(out, missing, hidden, limit)
        if len(out) >= limit:
            break
    return out


def name_proposal(proposal: Proposal) -> bytes:
    """Tells proposals of one round apart by all that makes them different: two blocks may have one header, one block two times."""
    told = encode_trusted((proposal.block_id.to_wire(), proposal.pol_round, proposal.time_ns))
    return sha256(told)[:PROPOSAL_NAME_BYTES]


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


def _urgent_rounds(view: HeightState, peer_round: int, oldest: int) -> list[int]:
    """Decided rounds first, then the peer's own, then its proof-of-lock rounds, and the rest from the latest down to `oldest`."""
    rounds: dict[int, None] = {round_: None for round_, _ in view.decided_rounds()}
    rounds[peer_round] = None
    for proposal in view.proposals(peer_round):
        if proposal.pol_round >= 0:
            rounds[proposal.pol_round] = None
    for round_ in sorted({*view.votes.rounds(), *view.proposal_rounds()}, reverse=True):
        if round_ >= oldest:
            rounds[round_] = None
    return list(rounds)


def _missing_votes(
    view: HeightState, round_: int, vote_type: VoteType, known: int, has_quorum: bool
) -> tuple[list[Vote], list[Vote]]:
    tally = view.votes.tally(round_, vote_type)
    if tally is None:
        return [], []
    decisive: dict[int, Vote] = {}
    if _has_any_quorum(view, round_, vote_type):
        decisive = tally.votes_for(view.quorum_value(round_, vote_type))
    return _missing_of(tally.first_votes(), decisive, known, has_quorum)


def _missing_of(
    votes: dict[int, Vote], decisive: dict[int, Vote], known: int, has_quorum: bool
) -> tuple[list[Vote], list[Vote]]:
    """(votes of validators that the peer has not heard; votes of a quorum that someone hides from it, else nothing).

    Of a validator that the peer has not heard it gets the vote that makes our quorum, if there is one.
    """
    missing = [decisive.get(index, vote) for index, vote in votes.items() if not known >> index & 1]
    is_hidden = not has_quorum and all(known >> index & 1 for index in decisive)
    return missing, list(decisive.values()) if is_hidden else []


def _limited(
    out: list[Vote | Proposal], missing: list[Vote], hidden: list[Vote], limit: int
) -> list[Vote | Proposal]:
    """What has room, and then a hidden quorum as a whole."""
    return [*[*out, *missing][: max(limit, len(out))], *hidden]


def _nothing(round_: int) -> RoundSummary:
    return RoundSummary(round_, (), 0, False, 0, False)


def _has_any_quorum(view: HeightState, round_: int, vote_type: VoteType) -> bool:
    return view.quorum_value(round_, vote_type) is not None or view.has_quorum(round_, vote_type, None)


def _write_bits(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "big")


def _read_bits(value: Value) -> int:
    if type(value) is not bytes or len(value) > BITMAP_BYTES_MAX or value[:1] == b"\0":
        raise MalformedError("a bitmap has at most 25 bytes and no leading zero")
    return int.from_bytes(value, "big")
