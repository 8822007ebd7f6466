"""Proof that a validator voted twice in one height, round and step.

Bytes are CometBFT's `DuplicateVoteEvidence`; the evidence hash is over these inner messages, not over the `Evidence` wrapper. The two
votes stand in one order (by block id), so that the same offence has one hash. What a proof costs its author is the ledger's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.block_id import EMPTY
from consensus.commit import Verifier
from consensus.fields import read_int, read_time, read_tuple, write_time
from consensus.vote import Vote
from state.primitives import merkle
from state.primitives.canonical import message_field, timestamp, varint_field
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
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

    def verify(self, chain_id: str, validators: ValidatorSet, block_time_ns: int, verifier: Verifier) -> None:
        """Check it against the set of its height and that height's block time (consensus.md L2, L7): chain data only.

        Raises `MalformedError`.
        """
        a, b = self.vote_a, self.vote_b
        if (a.height, a.round, a.type, a.validator_address) != (b.height, b.round, b.type, b.validator_address):
            raise MalformedError("the two votes are not of one validator, height, round and type")
        if a.block_id == b.block_id:
            raise MalformedError("the two votes are for the same block")
        if _order(a) > _order(b):
            raise MalformedError("the two votes are in the wrong order")
        validator = validators.by_address(a.validator_address)
        if validator is None or validators.index_of(a.validator_address) != a.validator_index:
            raise MalformedError("the accused was not a validator at that height")
        if a.validator_index != b.validator_index:
            raise MalformedError("the two votes name different places in the set")
        if (self.validator_power, self.total_power) != (validator.power, validators.total_power):
            raise MalformedError("the evidence states a wrong voting power")
        if self.time_ns != block_time_ns:
            raise MalformedError("the evidence states another time than the block of its height")
        for vote in (a, b):
            if not verifier.verify(validator, vote.sign_bytes(chain_id), vote.signature, vote.pq_signature):
                raise MalformedError("a vote of the evidence is not signed by the accused")

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
        """Identity of the offence."""
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


def evidence_hash(evidence: Sequence[DuplicateVoteEvidence]) -> bytes:
    """What headers carry."""
    return merkle.root([item.proto() for item in evidence])
