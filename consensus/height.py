"""What is known of one height: proposals, blocks, verdicts, votes, and the commit of the height before.

It answers the questions of the table (`round.Facts`) and only remembers; nothing here decides, checks a signature of a live message
(late precommits excepted, which decide nothing) or produces an output.
"""

from __future__ import annotations

from consensus import proposer
from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import ABSENT, Commit, CommitSig, Flag, PqCommit, Verifier
from consensus.messages import Lock, StartHeight, Step
from consensus.round import RoundState
from consensus.vote import Proposal, Vote, VoteType
from consensus.votes import VoteBook
from state.primitives.errors import ConsensusFailure, InvalidVoteError
from state.primitives.limits import BLOCKS_PER_HEIGHT_MAX, FUTURE_PROPOSALS_MAX
from state.validators import Validator, ValidatorSet


class CommitBuilder:
    """A commit that late precommits of its round still improve. Entries are only ever added, never replaced."""

    def __init__(self, validators: ValidatorSet, commit: Commit, pq_commit: PqCommit) -> None:
        self.validators = validators
        self._base = commit
        self._signatures = list(commit.signatures)
        self._pq_signatures = list(pq_commit.signatures)

    def add(self, chain_id: str, vote: Vote, verifier: Verifier) -> bool:
        """Add a precommit of this height and round if its validator is absent so far.

        Raises `InvalidVoteError` if its signatures do not verify.
        """
        base, index = self._base, vote.validator_index
        if vote.type is not VoteType.PRECOMMIT or (vote.height, vote.round) != (base.height, base.round):
            return False
        validator = self.validators.by_index(index)
        if validator is None or validator.address != vote.validator_address or self._signatures[index] != ABSENT:
            return False
        if vote.block_id not in (None, base.block_id):
            return False
        if not verifier.verify(validator, vote.sign_bytes(chain_id), vote.signature, vote.pq_signature):
            raise InvalidVoteError("a late precommit is not signed by its validator with both keys")
        self._signatures[index] = to_commit_sig(vote)
        self._pq_signatures[index] = vote.pq_signature
        return True

    def commits(self) -> tuple[Commit, PqCommit]:
        """The commit as it now is, and its side-car."""
        base = self._base
        return (
            Commit(base.height, base.round, base.block_id, tuple(self._signatures)),
            PqCommit(base.height, base.round, tuple(self._pq_signatures)),
        )


class HeightState:
    """Everything seen in one height. `state` is the paper's state; the core replaces it."""

    def __init__(self, start: StartHeight, own_index: int, late: CommitBuilder | None) -> None:
        self.start = start
        self.height = start.height
        self.validators = start.validators
        self.own_index = own_index
        self.state = RoundState(0, Step.PROPOSE, Lock())
        self.votes = VoteBook(start.validators)
        self.blocks: dict[BlockID, Block] = {}
        self.decision: CommitBuilder | None = None
        self.late = late
        self._verdicts: dict[BlockID, bool] = {}
        self._wanted: dict[BlockID, None] = {}
        self._proposals: dict[int, list[Proposal]] = {}
        self._untimely: dict[tuple[int, BlockID, int], None] = {}
        self._proposed: dict[int, None] = {}
        self._fired: dict[tuple[str, int], None] = {}
        self._proposers: dict[int, Validator] = {}

    @property
    def may_sign(self) -> bool:
        """Whether we are a validator of this height that has not lost its memory of it."""
        return self.own_index >= 0 and not self.start.abstain

    def proposer(self, round_: int) -> Validator:
        """Whose turn a round is (B6)."""
        known = self._proposers.get(round_)
        if known is None:
            known = proposer.proposer_of(self.validators, self.start.proposer_priorities, round_)
            self._proposers[round_] = known
        return known

    def last_commit(self) -> tuple[Commit, PqCommit]:
        """The previous height's commit, as rich as it is now."""
        return (self.start.last_commit, self.start.last_pq_commit) if self.late is None else self.late.commits()

    def add_late_precommit(self, chain_id: str, vote: Vote, verifier: Verifier) -> bool:
        """A precommit of the previous height."""
        return self.late is not None and self.late.add(chain_id, vote, verifier)

    # remembering

    def knows_proposal(self, proposal: Proposal) -> bool:
        """Whether an equal proposal is here; signatures do not count, since ML-DSA's differ each time."""
        return any(
            (known.block_id, known.pol_round, known.time_ns)
            == (proposal.block_id, proposal.pol_round, proposal.time_ns)
            for known in self._proposals.get(proposal.round, ())
        )

    def lacks_proposal_of_quorum(self, proposal: Proposal) -> bool:
        """Whether a quorum prevoted this block in this round, and no proposal that is here names it: one is enough to lock it (L36)."""
        if any(known.block_id == proposal.block_id for known in self._proposals.get(proposal.round, ())):
            return False
        return self.has_quorum(proposal.round, VoteType.PREVOTE, proposal.block_id)

    def is_far_proposal(self, round_: int) -> bool:
        """Whether a round is too far ahead to keep proposals of it (A6)."""
        return round_ > self.state.round + FUTURE_PROPOSALS_MAX

    def add_proposal(self, proposal: Proposal, timely: bool) -> None:
        """Remember a proposal of its round's proposer."""
        self._proposals.setdefault(proposal.round, []).append(proposal)
        if not timely:
            self._untimely[(proposal.round, proposal.block_id, proposal.time_ns)] = None

    def propose_once(self, round_: int) -> bool:
        """True the first time we are about to sign a proposal for this round."""
        if round_ in self._proposed:
            return False
        self._proposed[round_] = None
        return True

    def add_block(self, block_id: BlockID, block: Block) -> None:
        """Keep a block. Of too many the oldest goes that nothing binds us to; a quorum for it would ask for it again."""
        self.blocks[block_id] = block
        if len(self.blocks) > BLOCKS_PER_HEIGHT_MAX:
            lock = self.state.lock
            bound = [lock.locked_value, lock.valid_value, block_id]
            bound += [proposal.block_id for proposal in self.proposals(self.state.round)]
            oldest = next(known for known in self.blocks if known not in bound)
            del self.blocks[oldest]
            self._wanted.pop(oldest, None)

    def want(self, block_id: BlockID) -> bool:
        """Note that a block is needed. True if it has to be fetched and was not wanted before."""
        if block_id in self._wanted:
            return False
        self._wanted[block_id] = None
        return block_id not in self.blocks

    def is_wanted(self, block_id: BlockID) -> bool:
        """Whether a block was named by a proposal or by a quorum."""
        return block_id in self._wanted

    def missing_blocks(self) -> list[BlockID]:
        """Wanted blocks that are not here, the most important first: decided, behind a quorum, proposed in this round, others."""
        missing = [block_id for block_id in self._wanted if block_id not in self.blocks]
        if len(missing) < 2:
            return missing
        decided = [value for _, value in self.decided_rounds()]
        locked = [self.quorum_value(round_, VoteType.PREVOTE) for round_ in self.votes.rounds()]
        proposed = [proposal.block_id for proposal in self.proposals(self.state.round)]
        return sorted(missing, key=lambda value: (value not in decided, value not in locked, value not in proposed))

    def set_verdict(self, block_id: BlockID, valid: bool) -> bool:
        """Remember a verdict; False if there was one already, which stands."""
        if block_id in self._verdicts or block_id not in self.blocks:
            return False
        self._verdicts[block_id] = valid
        return True

    def time_of(self, value: BlockID) -> int:
        """The time that votes for this block carry."""
        block = self.blocks.get(value)
        if block is None:
            raise ConsensusFailure("a vote for a block that is not here")
        return block.header.time_ns

    def proposal_rounds(self) -> list[int]:
        """Rounds with proposals, ascending."""
        return sorted(self._proposals)

    # facts for the table

    def proposals(self, round_: int) -> list[Proposal]:
        """See `Facts`."""
        return self._proposals.get(round_, [])

    def is_timely(self, proposal: Proposal) -> bool:
        """See `Facts`."""
        return (proposal.round, proposal.block_id, proposal.time_ns) not in self._untimely

    def verdict(self, value: BlockID) -> bool | None:
        """See `Facts`. The verdict on a block that was let go is kept, and counts when it is here again."""
        return self._verdicts.get(value) if value in self.blocks else None

    def verdict_of(self, proposal: Proposal) -> bool | None:
        """See `Facts`."""
        block = self.blocks.get(proposal.block_id)
        if block is not None and block.header.time_ns != proposal.time_ns:
            return False
        return self.verdict(proposal.block_id)

    def has_block(self, value: BlockID) -> bool:
        """See `Facts`."""
        return value in self.blocks

    def has_quorum(self, round_: int, vote_type: VoteType, value: BlockID | None) -> bool:
        """See `Facts`."""
        return self.votes.has_quorum(round_, vote_type, value)

    def has_quorum_any(self, round_: int, vote_type: VoteType) -> bool:
        """See `Facts`."""
        return self.votes.has_quorum_any(round_, vote_type)

    def quorum_value(self, round_: int, vote_type: VoteType) -> BlockID | None:
        """See `Facts`."""
        return self.votes.quorum_value(round_, vote_type)

    def decided_rounds(self) -> list[tuple[int, BlockID]]:
        """See `Facts`."""
        return self.votes.decided_rounds()

    def skip_round(self, current_round: int) -> int | None:
        """See `Facts`."""
        return self.votes.skip_round(current_round)

    def first_time(self, row: str, round_: int) -> bool:
        """See `Facts`."""
        key = (row, round_)
        if key in self._fired:
            return False
        self._fired[key] = None
        return True


def to_commit_sig(vote: Vote) -> CommitSig:
    """A precommit's entry in a commit."""
    flag = Flag.NIL if vote.block_id is None else Flag.COMMIT
    return CommitSig(flag, vote.validator_address, vote.time_ns, vote.signature)


def commit_of(votes: VoteBook, height: int, round_: int, value: BlockID) -> tuple[Commit, PqCommit]:
    """The commit that a precommit quorum for `value` proves, with nil votes of the others; a vote for a third block is left out."""
    tally = votes.tally(round_, VoteType.PRECOMMIT)
    if tally is None:
        raise ConsensusFailure("a decision without precommits")
    chosen = {**tally.votes_for(None), **tally.votes_for(value)}
    signatures: list[CommitSig] = []
    pq_signatures: list[bytes] = []
    for index in range(len(votes.validators)):
        vote = chosen.get(index)
        signatures.append(ABSENT if vote is None else to_commit_sig(vote))
        pq_signatures.append(b"" if vote is None else vote.pq_signature)
    return Commit(height, round_, value, tuple(signatures)), PqCommit(height, round_, tuple(pq_signatures))
