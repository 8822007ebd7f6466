"""Proof that a validator signed two different proposals for one height and round (consensus.md L5). Ours: CometBFT has no such kind.

Whose turn the round was is not asked: it follows from priorities that are not chain data of a past height, and nobody honest signs two
proposals for one round, in turn or not. What a proof costs its author is the ledger's.
"""

from __future__ import annotations

from dataclasses import dataclass

from consensus.commit import Verifier
from consensus.evidence_common import get_accused, name_offence, require, require_signed
from consensus.fields import read_bytes, read_int, read_time, read_tuple, write_time
from consensus.vote import Proposal
from state.misbehavior import Misbehavior, MisbehaviorKind
from state.primitives.canonical import bytes_field, message_field, timestamp, varint_field
from state.primitives.codec import Value
from state.primitives.hashing import VALIDATOR_ADDRESS_BYTES, sha256
from state.primitives.limits import POWER_TOTAL_MAX
from state.validators import ValidatorSet


@dataclass(frozen=True, slots=True)
class DuplicateProposalEvidence:
    """Two different proposals of one validator for one height and round; powers and time are of that height."""

    proposal_a: Proposal
    proposal_b: Proposal
    total_power: int
    validator_power: int
    time_ns: int
    validator_address: bytes

    @classmethod
    def of(
        cls, first: Proposal, second: Proposal, address: bytes, validators: ValidatorSet, block_time_ns: int
    ) -> DuplicateProposalEvidence:
        """Evidence of two conflicting proposals, in canonical order. `block_time_ns` is the time of that height's block."""
        proposal_a, proposal_b = sorted((first, second), key=_order)
        validator = validators.by_address(address)
        power = 0 if validator is None else validator.power
        return cls(proposal_a, proposal_b, validators.total_power, power, block_time_ns, address)

    @property
    def height(self) -> int:
        """When the offence was committed."""
        return self.proposal_a.height

    @property
    def offence(self) -> bytes:
        """Name of what was done, whichever proposals prove it: 32 bytes."""
        return name_offence(
            MisbehaviorKind.DOUBLE_PROPOSAL, self.validator_address, self.height, self.proposal_a.round
        )

    @property
    def offences(self) -> tuple[bytes, ...]:
        """What is remembered once it is punished."""
        return (self.offence,)

    @property
    def pq_signatures(self) -> tuple[bytes, ...]:
        """What the protobuf form has no field for."""
        return self.proposal_a.pq_signature, self.proposal_b.pq_signature

    def misbehavior(self) -> tuple[Misbehavior, ...]:
        """For the ledger."""
        kind = MisbehaviorKind.DOUBLE_PROPOSAL
        return (
            Misbehavior(
                kind, self.validator_address, self.height, self.time_ns, self.validator_power, self.total_power
            ),
        )

    def verify(self, chain_id: str, validators: ValidatorSet, block_time_ns: int, verifier: Verifier) -> None:
        """Check it against the set of its height and that height's block time (L2, L7). Raises `InvalidEvidenceError`."""
        a, b = self.proposal_a, self.proposal_b
        require((a.height, a.round) == (b.height, b.round), "the two proposals are not of one height and round")
        require(_order(a) != _order(b), "the two proposals are the same")
        require(_order(a) < _order(b), "the two proposals are in the wrong order")
        accused = get_accused(validators, self.validator_address)
        require(
            (self.validator_power, self.total_power) == (accused.power, validators.total_power),
            "the evidence states a wrong voting power",
        )
        require(self.time_ns == block_time_ns, "the evidence states another time than the block of its height")
        for proposal in (a, b):
            require_signed(
                verifier, accused, proposal.sign_bytes(chain_id), proposal.signature, proposal.pq_signature
            )

    def proto(self) -> bytes:
        """Protobuf bytes of the inner message."""
        return (
            message_field(1, self.proposal_a.proto())
            + message_field(2, self.proposal_b.proto())
            + varint_field(3, self.total_power)
            + varint_field(4, self.validator_power)
            + message_field(5, timestamp(self.time_ns))
            + bytes_field(6, self.validator_address)
        )

    def hash(self) -> bytes:
        """Name of this proof."""
        return sha256(self.proto())

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return (
            self.proposal_a.to_wire(),
            self.proposal_b.to_wire(),
            self.total_power,
            self.validator_power,
            write_time(self.time_ns),
            self.validator_address,
        )

    @classmethod
    def from_wire(cls, value: Value) -> DuplicateProposalEvidence:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        first, second, total, power, time, address = read_tuple(value, 6, "evidence of a double proposal")
        return cls(
            Proposal.from_wire(first),
            Proposal.from_wire(second),
            read_int(total, 1, POWER_TOTAL_MAX, "a total power"),
            read_int(power, 1, POWER_TOTAL_MAX, "a voting power"),
            read_time(time),
            read_bytes(address, (VALIDATOR_ADDRESS_BYTES,), "a validator address"),
        )


def _order(proposal: Proposal) -> tuple[bytes, int, bytes, int, int]:
    block_id = proposal.block_id
    return block_id.hash, block_id.parts_total, block_id.parts_hash, proposal.pol_round, proposal.time_ns
