"""Proof that a validator voted twice in one height, round and step.

Inner bytes and hash are CometBFT's `DuplicateVoteEvidence`. The two votes stand in one order (by block id), so that the same two votes
have one hash; an offence has one name whichever two votes prove it. What a proof costs its author is the ledger's.
"""

from __future__ import annotations

from dataclasses import dataclass

from consensus.block_id import EMPTY
from consensus.commit import Verifier
from consensus.evidence_common import get_accused, name_offence, require, require_signed
from consensus.fields import read_int, read_time, read_tuple, write_time
from consensus.vote import Vote
from state.misbehavior import Misbehavior, MisbehaviorKind
from state.primitives.canonical import message_field, timestamp, varint_field
from state.primitives.codec import Value
from state.primitives.hashing import sha256
from state.primitives.limits import POWER_TOTAL_MAX
from state.validators import ValidatorSet


@dataclass(frozen=True, slots=True)
class DuplicateVoteEvidence:
    """Two different votes of one validator for one height, round and type; powers and time are of that height."""

    vote_a: Vote
    vote_b: Vote
    total_power: int
    validator_power: int
    time_ns: int

    @classmethod
    def of(cls, first: Vote, second: Vote, validators: ValidatorSet, block_time_ns: int) -> DuplicateVoteEvidence:
        """Evidence of two conflicting votes, in canonical order. `block_time_ns` is the time of that height's block."""
        vote_a, vote_b = sorted((first, second), key=_order)
        validator = validators.by_address(first.validator_address)
        power = 0 if validator is None else validator.power
        return cls(vote_a, vote_b, validators.total_power, power, block_time_ns)

    @property
    def height(self) -> int:
        """When the offence was committed."""
        return self.vote_a.height

    @property
    def offence(self) -> bytes:
        """Name of what was done, whichever votes prove it: 32 bytes."""
        vote = self.vote_a
        return name_offence(
            MisbehaviorKind.DOUBLE_VOTE, vote.validator_address, vote.height, vote.round, int(vote.type)
        )

    @property
    def offences(self) -> tuple[bytes, ...]:
        """What is remembered once it is punished."""
        return (self.offence,)

    @property
    def pq_signatures(self) -> tuple[bytes, ...]:
        """What CometBFT's bytes have no field for."""
        return self.vote_a.pq_signature, self.vote_b.pq_signature

    def misbehavior(self) -> tuple[Misbehavior, ...]:
        """For the ledger."""
        address = self.vote_a.validator_address
        kind = MisbehaviorKind.DOUBLE_VOTE
        return (Misbehavior(kind, address, self.height, self.time_ns, self.validator_power, self.total_power),)

    def verify(self, chain_id: str, validators: ValidatorSet, block_time_ns: int, verifier: Verifier) -> None:
        """Check it against the set of its height and that height's block time (consensus.md L2, L7): chain data only.

        Raises `InvalidEvidenceError`.
        """
        a, b = self.vote_a, self.vote_b
        require(
            (a.height, a.round, a.type, a.validator_address) == (b.height, b.round, b.type, b.validator_address),
            "the two votes are not of one validator, height, round and type",
        )
        require(a.block_id != b.block_id, "the two votes are for the same block")
        require(_order(a) <= _order(b), "the two votes are in the wrong order")
        accused = get_accused(validators, a.validator_address)
        index = validators.index_of(a.validator_address)
        require(a.validator_index == b.validator_index == index, "a vote names a wrong place in the set")
        require(
            (self.validator_power, self.total_power) == (accused.power, validators.total_power),
            "the evidence states a wrong voting power",
        )
        require(self.time_ns == block_time_ns, "the evidence states another time than the block of its height")
        for vote in (a, b):
            require_signed(verifier, accused, vote.sign_bytes(chain_id), vote.signature, vote.pq_signature)

    def proto(self) -> bytes:
        """Protobuf bytes of the inner message."""
        return (
            message_field(1, self.vote_a.proto())
            + message_field(2, self.vote_b.proto())
            + varint_field(3, self.total_power)
            + varint_field(4, self.validator_power)
            + message_field(5, timestamp(self.time_ns))
        )

    def hash(self) -> bytes:
        """CometBFT's name of this proof."""
        return sha256(self.proto())

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return (
            self.vote_a.to_wire(),
            self.vote_b.to_wire(),
            self.total_power,
            self.validator_power,
            write_time(self.time_ns),
        )

    @classmethod
    def from_wire(cls, value: Value) -> DuplicateVoteEvidence:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        vote_a, vote_b, total, power, time = read_tuple(value, 5, "evidence of a double vote")
        return cls(
            Vote.from_wire(vote_a),
            Vote.from_wire(vote_b),
            read_int(total, 1, POWER_TOTAL_MAX, "a total power"),
            read_int(power, 1, POWER_TOTAL_MAX, "a voting power"),
            read_time(time),
        )


def _order(vote: Vote) -> tuple[bytes, int, bytes]:
    block_id = vote.block_id or EMPTY
    return block_id.hash, block_id.parts_total, block_id.parts_hash
