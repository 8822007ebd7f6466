"""The core: one height after another, `step(input) -> [output]`. It returns what is to be done and does nothing itself.

It combines three layers: `votes.py` counts, `round.py` transitions, this module checks what comes in, keeps proposals and blocks,
turns effects into outputs and writes the log entry of every input that changed something, first. No clock, key, disk or socket.

A message that no honest validator could have sent raises `InvalidVoteError` (a `RemoteError`) and changes nothing; what is merely
late, early beyond a bound or known is dropped without a word.
"""

from __future__ import annotations

from dataclasses import replace

from consensus import proposer
from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import Commit, PqCommit, Verifier, verify_commit
from consensus.height import CommitBuilder, HeightState, commit_of
from consensus.messages import (
    BlockReceived,
    BlockValidity,
    Broadcast,
    BuildValue,
    CertificateReceived,
    Decide,
    Input,
    Output,
    Persist,
    ProposalReceived,
    ReportEvidence,
    ScheduleTimeout,
    Signed,
    SignProposal,
    SignVote,
    StartHeight,
    Step,
    TimeoutFired,
    ValidateBlock,
    ValueReady,
    VoteReceived,
    WantBlock,
    input_to_wire,
)
from consensus.round import (
    ROWS,
    CastVote,
    Change,
    DecideValue,
    EnterRound,
    RoundState,
    StartTimeout,
    on_timeout,
)
from consensus.vote import Proposal, Vote, VoteType
from consensus.votes import Added, VoteBook
from state.primitives.codec import encode_trusted
from state.primitives.errors import ConsensusFailure, InvalidVoteError
from state.primitives.limits import (
    FUTURE_PROPOSALS_MAX,
    NEXT_HEIGHT_VOTES_PER_VALIDATOR_MAX,
    PROPOSALS_PER_ROUND_MAX,
    VALIDATORS_MAX,
)


class Core:
    """The consensus state machine of one node. `address` is our validator address, or None for a node that only follows."""

    def __init__(self, chain_id: str, address: bytes | None, verifier: Verifier) -> None:
        self.chain_id = chain_id
        self.address = address
        self.decided = True  # nothing to do before the first StartHeight
        self._verifier = verifier
        self._h: HeightState | None = None
        self._early_votes: dict[bytes, list[Vote]] = {}  # of the next height, by claimed validator
        self._early_proposals: list[ProposalReceived] = []
        self._last_votes: VoteBook | None = None  # of the height before: only double votes are still looked for in it

    # reading

    @property
    def height(self) -> int:
        """The height in progress, or the one just decided; 0 before the first."""
        return 0 if self._h is None else self._h.height

    @property
    def state(self) -> RoundState:
        """Round, step and lock of the height in progress."""
        return self._current().state

    @property
    def view(self) -> HeightState:
        """Everything known of the height in progress, for reading only (gossip, RPC)."""
        return self._current()

    def last_precommits(self) -> tuple[Commit, PqCommit]:
        """The previous height's commit with every late precommit that has come since."""
        return self._current().last_commit()

    # stepping

    def step(self, item: Input) -> list[Output]:
        """Take one input. Raises `InvalidVoteError` or `InvalidCommitError` for what a peer must not send, with nothing changed."""
        out: list[Output] = []
        if isinstance(item, StartHeight):
            self._start_height(item, out)
            return out
        height = self._current()
        if not self._take(height, item, out):
            return out
        out.insert(0, Persist(encode_trusted(input_to_wire(item))))
        self._advance(height, out)
        return out

    def _take(self, h: HeightState, item: Input, out: list[Output]) -> bool:
        """Note an input. False if it changes nothing that a replay needs, and so is not logged."""
        match item:
            case VoteReceived(vote):
                return self._on_vote(h, vote, out)
            case ProposalReceived(proposal, received_ns):
                return self._on_proposal(h, proposal, received_ns, out)
            case BlockReceived(block):
                return not self.decided and self._on_block(h, block, out)
            case BlockValidity(block_id, valid):
                return not self.decided and h.set_verdict(block_id, valid)
            case TimeoutFired():
                return not self.decided and self._on_timeout(h, item, out)
            case Signed(message):
                return self._on_signed(h, message, out)
            case ValueReady():
                return not self.decided and self._on_value(h, item, out)
            case CertificateReceived():
                return not self.decided and self._on_certificate(h, item, out)
            case _:
                raise ConsensusFailure(f"not an input of the core: {type(item).__name__}")

    def _advance(self, h: HeightState, out: list[Output]) -> None:
        """Apply rows of the table until none applies."""
        while not self.decided:
            for row in ROWS:
                change = row(h.state, h)
                if change is not None:
                    self._apply(h, change, out)
                    break
            else:
                return

    def _apply(self, h: HeightState, change: Change, out: list[Output]) -> None:
        h.state = change[0]
        for effect in change[1]:
            match effect:
                case CastVote(vote_type, value):
                    self._cast(h, vote_type, value, out)
                case StartTimeout(step):
                    self._schedule(h, step, out)
                case EnterRound(round_):
                    self._enter_round(h, round_, out)
                case DecideValue(round_, value):
                    commit, pq_commit = commit_of(h.votes, h.height, round_, value)
                    self._decide(h, h.blocks[value], commit, pq_commit, out)

    # heights and rounds

    def _start_height(self, start: StartHeight, out: list[Output]) -> None:
        if self._h is not None and (not self.decided or start.height != self._h.height + 1):
            raise ConsensusFailure(f"height {start.height} cannot start after {self._h.height}")
        own = start.validators.index_of(self.address) if self.address is not None else -1
        late = self._h.decision if self._h is not None else None
        if late is None and start.last_validators is not None and start.last_commit.signatures:
            late = CommitBuilder(start.last_validators, start.last_commit, start.last_pq_commit)
        self._last_votes = None if self._h is None else self._h.votes
        self._h = HeightState(start, own, late)
        self.decided = False
        self._enter_round(self._h, 0, out)
        early_votes = [vote for votes in self._early_votes.values() for vote in votes]
        early_proposals = self._early_proposals
        self._early_votes, self._early_proposals = {}, []
        self._advance(self._h, out)
        early: list[Input] = [*early_proposals, *(VoteReceived(vote) for vote in early_votes)]
        for item in early:
            try:
                out += self.step(item)
            except InvalidVoteError:
                continue  # its sender could not be judged when it came, and is not known any more

    def _enter_round(self, h: HeightState, round_: int, out: list[Output]) -> None:
        """L11-21."""
        h.state = RoundState(round_, Step.PROPOSE, h.state.lock)
        h.votes.forget_old_nil(round_)
        for proposal in h.proposals(round_):  # it came early
            if h.want(proposal.block_id):
                out.append(WantBlock(h.height, proposal.block_id))
        # the proposer's own timeout runs as well: its block may never be ready (B3)
        self._schedule(h, Step.PROPOSE, out)
        if h.may_sign and h.proposer(round_).address == self.address:
            lock = h.state.lock
            if lock.valid_value is not None:
                time_ns = h.time_of(lock.valid_value)
                if h.propose_once(round_):
                    proposal = Proposal(h.height, round_, lock.valid_round, lock.valid_value, time_ns)
                    out.append(SignProposal(proposal, lock))
            else:
                out.append(BuildValue(h.height, round_, h.last_commit()[0]))

    def _schedule(self, h: HeightState, step: Step, out: list[Output]) -> None:
        timeouts = h.start.timeouts
        starts = {Step.PROPOSE: timeouts.propose_ns, Step.PREVOTE: timeouts.prevote_ns}
        delay = timeouts.compute_delay(starts.get(step, timeouts.precommit_ns), h.state.round)
        out.append(ScheduleTimeout(h.height, h.state.round, step, delay))

    def _cast(self, h: HeightState, vote_type: VoteType, value: BlockID | None, out: list[Output]) -> None:
        if not h.may_sign or self.address is None:
            return
        time_ns = h.start.last_block_time_ns if value is None else h.time_of(value)
        vote = Vote(vote_type, h.height, h.state.round, value, time_ns, self.address, h.own_index)
        out.append(SignVote(vote, h.state.lock))

    def _decide(
        self, h: HeightState, block: Block, commit: Commit, pq_commit: PqCommit, out: list[Output]
    ) -> None:
        h.state = replace(h.state, step=Step.COMMIT)
        h.decision = CommitBuilder(h.validators, commit, pq_commit)
        self.decided = True
        out.append(Decide(h.height, commit.round, block, commit, pq_commit))

    # inputs

    def _on_vote(self, h: HeightState, vote: Vote, out: list[Output]) -> bool:
        if vote.height == h.height + 1:
            return self._keep_early_vote(vote)
        if vote.height == h.height - 1:
            self._watch(self._last_votes, vote, out)
            return self._on_late_precommit(h, vote)
        if vote.height != h.height:
            return False
        if self.decided:
            self._watch(h.votes, vote, out)
            return self._on_late_precommit_of_decision(h, vote)
        validator = h.validators.by_index(vote.validator_index)
        if validator is None or validator.address != vote.validator_address:
            raise InvalidVoteError("a vote names a validator that is not at that place in the set")
        if h.votes.knows(vote):
            return False
        sign_bytes = vote.sign_bytes(self.chain_id)
        if not self._verifier.verify(validator, sign_bytes, vote.signature, vote.pq_signature):
            raise InvalidVoteError("a vote is not signed by its validator with both keys")
        return self._count(h, vote, out)

    def _count(self, h: HeightState, vote: Vote, out: list[Output]) -> bool:
        added, earlier = h.votes.add(vote, h.state.round)
        if earlier is not None and vote.validator_index != h.own_index:
            out.append(ReportEvidence(earlier, vote, vote.validator_address))
        if added in (Added.DUPLICATE, Added.DROPPED):
            return False
        value = vote.block_id
        if value is not None and h.has_quorum(vote.round, vote.type, value) and h.want(value):
            out.append(WantBlock(h.height, value))
        return True

    def _watch(self, votes: VoteBook | None, vote: Vote, out: list[Output]) -> None:
        """A vote that comes after the decision still counts as half of a double vote. Nothing to log: it decides nothing."""
        if votes is None or not votes.contradicts(vote):
            return
        validator = votes.validators.validators[vote.validator_index]
        if not self._verifier.verify(validator, vote.sign_bytes(self.chain_id), vote.signature, vote.pq_signature):
            raise InvalidVoteError("a late vote is not signed by its validator with both keys")
        earlier = votes.add(vote, vote.round)[1]
        if earlier is not None and vote.validator_address != self.address:
            out.append(ReportEvidence(earlier, vote, vote.validator_address))

    def _keep_early_vote(self, vote: Vote) -> bool:
        """Votes of the next height wait, unchecked and so unlogged, within a bound, until its set is known."""
        if len(self._early_votes) < VALIDATORS_MAX or vote.validator_address in self._early_votes:
            kept = self._early_votes.setdefault(vote.validator_address, [])
            if len(kept) < NEXT_HEIGHT_VOTES_PER_VALIDATOR_MAX and vote not in kept:
                kept.append(vote)
        return False

    def _on_late_precommit(self, h: HeightState, vote: Vote) -> bool:
        """A precommit of the previous height enriches the commit that our own proposal will carry (E7)."""
        h.add_late_precommit(self.chain_id, vote, self._verifier)
        return False

    def _on_late_precommit_of_decision(self, h: HeightState, vote: Vote) -> bool:
        if h.decision is not None:
            h.decision.add(self.chain_id, vote, self._verifier)
        return False

    def _on_proposal(self, h: HeightState, proposal: Proposal, received_ns: int, out: list[Output]) -> bool:
        if proposal.height == h.height + 1:
            is_known = any(early.proposal == proposal for early in self._early_proposals)
            if not is_known and len(self._early_proposals) < FUTURE_PROPOSALS_MAX:
                self._early_proposals.append(ProposalReceived(proposal, received_ns))
            return False
        known = h.proposals(proposal.round)
        if proposal.height != h.height or h.knows_proposal(proposal) or (self.decided and not known):
            return False
        if h.is_far_proposal(proposal.round):
            return False
        if len(known) >= PROPOSALS_PER_ROUND_MAX and not h.lacks_proposal_of_quorum(proposal):
            return False
        if proposal.block_id.is_empty or not -1 <= proposal.pol_round < proposal.round:
            raise InvalidVoteError("a proposal names a block and an earlier proof-of-lock round")
        sender = h.proposer(proposal.round)
        sign_bytes = proposal.sign_bytes(self.chain_id)
        if not self._verifier.verify(sender, sign_bytes, proposal.signature, proposal.pq_signature):
            raise InvalidVoteError("a proposal is not signed by the proposer of its round with both keys")
        if known and sender.address != self.address:
            out.append(ReportEvidence(known[0], proposal, sender.address))
        timely = h.start.timeouts.is_timely(proposal.time_ns, received_ns, proposal.round)
        h.add_proposal(proposal, timely)
        if self.decided:
            return False  # it came too late for anything but evidence
        is_due = proposal.round <= h.state.round or h.has_quorum(proposal.round, VoteType.PREVOTE, proposal.block_id)
        if is_due and h.want(proposal.block_id):  # of a later round when that begins: inventions must not crowd out what is needed now
            out.append(WantBlock(h.height, proposal.block_id))
        return True

    def _on_block(self, h: HeightState, block: Block, out: list[Output]) -> bool:
        block_id = block.block_id()
        if block_id in h.blocks or not h.is_wanted(block_id):
            return False
        h.add_block(block_id, block)
        if block.header.height != h.height:
            h.set_verdict(block_id, False)
        elif h.verdict(block_id) is None:
            out.append(ValidateBlock(block))
        return True

    def _on_timeout(self, h: HeightState, item: TimeoutFired, out: list[Output]) -> bool:
        if item.height != h.height:
            return False
        change = on_timeout(h.state, item.round, item.step)
        if change is None:
            return False
        self._apply(h, change, out)
        return True

    def _on_value(self, h: HeightState, item: ValueReady, out: list[Output]) -> bool:
        if item.height != h.height or item.round != h.state.round or h.state.step is not Step.PROPOSE:
            return False
        block_id = item.block.block_id()
        if not h.may_sign or h.proposer(item.round).address != self.address:
            return False
        if h.state.lock.valid_value is not None and h.state.lock.valid_value != block_id:
            return False
        if not h.propose_once(item.round):
            return False
        h.want(block_id)
        h.add_block(block_id, item.block)
        h.set_verdict(block_id, True)
        out.append(
            SignProposal(Proposal(h.height, item.round, -1, block_id, item.block.header.time_ns), h.state.lock)
        )
        return True

    def _on_signed(self, h: HeightState, message: Vote | Proposal, out: list[Output]) -> bool:
        """Our own message, trusted because our own signer made it; it counts like anybody's."""
        if isinstance(message, Vote) and (self.decided or message.height == h.height - 1):
            return self._on_signed_late(h, message, out)
        if message.height != h.height or self.decided:
            return False
        if isinstance(message, Proposal):
            if h.knows_proposal(message):
                return False
            h.add_proposal(message, True)
            out.append(Broadcast(message))
            return True
        if h.votes.knows(message):
            return False
        out.append(Broadcast(message))
        self._count(h, message, out)
        return True

    def _on_signed_late(self, h: HeightState, vote: Vote, out: list[Output]) -> bool:
        """Our precommit was signed when the height was decided already: others may still want it for the commit (E7).

        Nothing to log: the signer has it, and the height needs no replay.
        """
        builder = h.decision if vote.height == h.height else h.late
        if builder is not None and builder.add(self.chain_id, vote, self._verifier):
            out.append(Broadcast(vote))
        return False

    def _on_certificate(self, h: HeightState, item: CertificateReceived, out: list[Output]) -> bool:
        block_id = item.block.block_id()
        if item.block.header.height != h.height:
            return False
        verify_commit(
            self.chain_id, h.validators, h.height, block_id, item.commit, item.pq_commit, self._verifier
        )
        self._decide(h, item.block, item.commit, item.pq_commit, out)
        return True

    def _current(self) -> HeightState:
        if self._h is None:
            raise ConsensusFailure("the core has not started a height")
        return self._h


def next_priorities(h: StartHeight) -> tuple[int, ...]:
    """Priorities before the next height's first turn, if the set does not change."""
    return proposer.advance(h.validators, h.proposer_priorities, 1)
