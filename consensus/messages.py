"""The two closed sets of the core: what it is told (inputs) and what it asks for (outputs).

The contract of durability. Outputs are executed in order. A `Persist` must be on disk, fsynced, before any *later* output of
the same or a later step leaves the machine (`SignVote`, `SignProposal`, `Broadcast`, `Decide`); several consecutive ones may
share one fsync. No output returns a value: what a signature or a verdict becomes comes back as an input. So feeding the logged
inputs to a new core replays the old one. No logic goes in here but the form of log entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import Commit, PqCommit
from consensus.timeouts import Timeouts
from consensus.vote import Proposal, Vote
from state.primitives.codec import Value
from state.validators import ValidatorSet


class Step(IntEnum):
    """Where in a round the core is; COMMIT is after the decision."""

    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3
    COMMIT = 4


# inputs


@dataclass(frozen=True, slots=True)
class StartHeight:
    """Begin `height`, after the one before is durable. Not logged: it follows from the store.

    `proposer_priorities` are those of round 0 of this height, in the order of the set. `last_commit` is the stored commit of the
    previous height (empty at the first), to which late precommits are added until our own proposal is built. `abstain`: sign
    nothing in this height (the log was damaged or the signer's record was lost).
    """

    height: int
    validators: ValidatorSet
    proposer_priorities: tuple[int, ...]
    last_validators: ValidatorSet | None
    last_block_id: BlockID
    last_block_time_ns: int
    last_commit: Commit
    last_pq_commit: PqCommit
    timeouts: Timeouts
    abstain: bool = False


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """A peer's proposal; `received_ns` is the wall clock when its message arrived, not when it was handled (consensus.md F2)."""

    proposal: Proposal
    received_ns: int


@dataclass(frozen=True, slots=True)
class VoteReceived:
    """A peer's vote."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class BlockReceived:
    """A whole block, rebuilt and equal to its name."""

    block: Block


@dataclass(frozen=True, slots=True)
class BlockValidity:
    """The verdict that `ValidateBlock` asked for. Given once for a block, remembered, never asked again (C4)."""

    block_id: BlockID
    valid: bool


@dataclass(frozen=True, slots=True)
class TimeoutFired:
    """A scheduled timeout is over."""

    height: int
    round: int
    step: Step


@dataclass(frozen=True, slots=True)
class Signed:
    """Our vote or proposal with both signatures: what `SignVote` or `SignProposal` became."""

    message: Vote | Proposal


@dataclass(frozen=True, slots=True)
class ValueReady:
    """Our own block: what `BuildValue` became."""

    height: int
    round: int
    block: Block


@dataclass(frozen=True, slots=True)
class CertificateReceived:
    """A decided block of this height with its proof, from a peer."""

    block: Block
    commit: Commit
    pq_commit: PqCommit


Input: TypeAlias = (
    StartHeight
    | ProposalReceived
    | VoteReceived
    | BlockReceived
    | BlockValidity
    | TimeoutFired
    | Signed
    | ValueReady
    | CertificateReceived
)


# outputs


@dataclass(frozen=True, slots=True)
class Persist:
    """Append this entry to the log. Durable before anything after it leaves the machine."""

    entry: bytes


@dataclass(frozen=True, slots=True)
class SignProposal:
    """Ask the signer for both signatures. The lock is what its record must hold, too."""

    proposal: Proposal
    lock: Lock


@dataclass(frozen=True, slots=True)
class SignVote:
    """Ask the signer for both signatures. The lock is what its record must hold, too."""

    vote: Vote
    lock: Lock


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send our signed vote or proposal to every peer."""

    message: Vote | Proposal


@dataclass(frozen=True, slots=True)
class ScheduleTimeout:
    """Give `TimeoutFired(height, round, step)` after the delay, on the monotonic clock."""

    height: int
    round: int
    step: Step
    delay_ns: int


@dataclass(frozen=True, slots=True)
class BuildValue:
    """Build our block for this height and round on top of `last_commit`; answer with `ValueReady`.

    Late precommits in `last_commit` are not logged: a replay may ask with fewer. What was built is logged with `ValueReady`, so
    only a block that nobody has seen can come out differently.
    """

    height: int
    round: int
    last_commit: Commit


@dataclass(frozen=True, slots=True)
class WantBlock:
    """This block is needed: fetch it from peers and give it as `BlockReceived`."""

    height: int
    block_id: BlockID


@dataclass(frozen=True, slots=True)
class ValidateBlock:
    """Check the block against the chain and the ledger; answer with `BlockValidity`."""

    block: Block


@dataclass(frozen=True, slots=True)
class Decide:
    """The block of this height is final: apply it, make it durable, then `StartHeight` the next."""

    height: int
    round: int
    block: Block
    commit: Commit
    pq_commit: PqCommit


@dataclass(frozen=True, slots=True)
class ReportEvidence:
    """A validator signed two different votes for one height, round and type, or two proposals for one height and round.

    Nobody is reported for what has our own signature: whoever runs the core sees that in its books, and must stop.
    """

    first: Vote | Proposal
    second: Vote | Proposal  # of the same type
    address: bytes  # of the accused: proposals do not name their signer


Output: TypeAlias = (
    Persist
    | SignProposal
    | SignVote
    | Broadcast
    | ScheduleTimeout
    | BuildValue
    | WantBlock
    | ValidateBlock
    | Decide
    | ReportEvidence
)


@dataclass(frozen=True, slots=True)
class Lock:
    """What binds a validator across rounds of one height: locked and valid value with their rounds (-1 and None: none)."""

    locked_value: BlockID | None = None
    locked_round: int = -1
    valid_value: BlockID | None = None
    valid_round: int = -1


# log entries: [kind, fields...]
_PROPOSAL, _VOTE, _BLOCK, _VALIDITY, _TIMEOUT, _SIGNED_VOTE, _SIGNED_PROPOSAL, _VALUE, _CERTIFICATE = range(1, 10)


def input_to_wire(item: Input) -> tuple[Value, ...]:
    """The log entry of an input as a canonical array. `StartHeight` has none."""
    match item:
        case ProposalReceived(proposal, received_ns):
            return _PROPOSAL, proposal.to_wire(), received_ns
        case VoteReceived(vote):
            return _VOTE, vote.to_wire()
        case BlockReceived(block):
            return _BLOCK, block.to_wire()
        case BlockValidity(block_id, valid):
            return _VALIDITY, block_id.to_wire(), valid
        case TimeoutFired(height, round_, step):
            return _TIMEOUT, height, round_, int(step)
        case Signed(message):
            return (_SIGNED_VOTE if isinstance(message, Vote) else _SIGNED_PROPOSAL), message.to_wire()
        case ValueReady(height, round_, block):
            return _VALUE, height, round_, block.to_wire()
        case CertificateReceived(block, commit, pq_commit):
            return _CERTIFICATE, block.to_wire(), commit.to_wire(), pq_commit.to_wire()
        case StartHeight():
            return ()


INPUT_KINDS: Final = {
    "proposal": _PROPOSAL,
    "vote": _VOTE,
    "block": _BLOCK,
    "validity": _VALIDITY,
    "timeout": _TIMEOUT,
    "signed_vote": _SIGNED_VOTE,
    "signed_proposal": _SIGNED_PROPOSAL,
    "value": _VALUE,
    "certificate": _CERTIFICATE,
}
