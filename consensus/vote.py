"""Votes and proposals: what is signed, and the bytes that both signatures of a validator cover.

Sign bytes are CometBFT's CanonicalVote and CanonicalProposal behind their length. A vote's time is no clock reading: a vote for a
block carries that block's time, a nil vote the previous block's, so all validators sign equal bytes for equal decisions and
a replayed vote is bit-equal. Counting does not belong here (`votes.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Final

from consensus.block_id import EMPTY, BlockID
from consensus.fields import (
    read_bytes,
    read_height,
    read_index,
    read_int,
    read_pol_round,
    read_round,
    read_time,
    read_tuple,
    write_time,
)
from state.primitives.canonical import (
    bytes_field,
    length_delimited,
    message_field,
    sfixed64_field,
    timestamp,
    varint_field,
)
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.hashing import VALIDATOR_ADDRESS_BYTES
from state.primitives.keys import ED25519_SIGNATURE_BYTES, MLDSA_SIGNATURE_BYTES

PQ_SIGNATURE_LENGTHS: Final = tuple(MLDSA_SIGNATURE_BYTES.values())


class VoteType(IntEnum):
    """SignedMsgType of CometBFT, for votes."""

    PREVOTE = 1
    PRECOMMIT = 2


PROPOSAL_TYPE: Final = 32


@lru_cache(maxsize=512)  # every validator signs the same bytes, so a set of 200 encodes once
def vote_sign_bytes(
    chain_id: str, vote_type: int, height: int, round_: int, block_id: BlockID | None, time_ns: int
) -> bytes:
    """CanonicalVote behind its length; `block_id` None for nil."""
    return length_delimited(
        varint_field(1, vote_type)
        + sfixed64_field(2, height)
        + sfixed64_field(3, round_)
        + (b"" if block_id is None or block_id.is_empty else message_field(4, block_id.proto()))
        + message_field(5, timestamp(time_ns))
        + bytes_field(6, chain_id.encode())
    )


@dataclass(frozen=True, slots=True)
class Vote:
    """One validator's prevote or precommit; `block_id` is None for nil. Unsigned while `signature` is empty."""

    type: VoteType
    height: int
    round: int
    block_id: BlockID | None
    time_ns: int
    validator_address: bytes
    validator_index: int
    signature: bytes = b""
    pq_signature: bytes = b""

    def sign_bytes(self, chain_id: str) -> bytes:
        """What both signatures cover."""
        return vote_sign_bytes(chain_id, self.type, self.height, self.round, self.block_id, self.time_ns)

    def with_signatures(self, signature: bytes, pq_signature: bytes) -> Vote:
        """The signed vote."""
        return replace(self, signature=signature, pq_signature=pq_signature)

    def proto(self) -> bytes:
        """Protobuf `Vote`, as evidence contains it."""
        return (
            varint_field(1, self.type)
            + varint_field(2, self.height)
            + varint_field(3, self.round)
            + message_field(4, (self.block_id or EMPTY).proto())
            + message_field(5, timestamp(self.time_ns))
            + bytes_field(6, self.validator_address)
            + varint_field(7, self.validator_index)
            + bytes_field(8, self.signature)
        )

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return (
            int(self.type),
            self.height,
            self.round,
            None if self.block_id is None else self.block_id.to_wire(),
            write_time(self.time_ns),
            self.validator_address,
            self.validator_index,
            self.signature,
            self.pq_signature,
        )

    @classmethod
    def from_wire(cls, value: Value) -> Vote:
        """Inverse of `to_wire` for a signed vote. Raises `MalformedError`."""
        kind, height, round_, block_id, time, address, index, signature, pq_signature = read_tuple(value, 9, "a vote")
        block = None if block_id is None else BlockID.from_wire(block_id)
        if block is not None and block.is_empty:
            raise MalformedError("a nil vote names no block")
        return cls(
            VoteType(read_int(kind, 1, 2, "a vote's type")),
            read_height(height),
            read_round(round_),
            block,
            read_time(time),
            read_bytes(address, (VALIDATOR_ADDRESS_BYTES,), "a validator address"),
            read_index(index),
            read_bytes(signature, (ED25519_SIGNATURE_BYTES,), "an Ed25519 signature"),
            read_bytes(pq_signature, PQ_SIGNATURE_LENGTHS, "an ML-DSA signature"),
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """The proposer's word that `block_id` is its block of this height and round; `pol_round` -1 for a new block."""

    height: int
    round: int
    pol_round: int
    block_id: BlockID
    time_ns: int
    signature: bytes = b""
    pq_signature: bytes = b""

    def sign_bytes(self, chain_id: str) -> bytes:
        """CanonicalProposal behind its length: what both signatures cover."""
        return length_delimited(
            varint_field(1, PROPOSAL_TYPE)
            + sfixed64_field(2, self.height)
            + sfixed64_field(3, self.round)
            + varint_field(4, self.pol_round)
            + message_field(5, self.block_id.proto())
            + message_field(6, timestamp(self.time_ns))
            + bytes_field(7, chain_id.encode())
        )

    def with_signatures(self, signature: bytes, pq_signature: bytes) -> Proposal:
        """The signed proposal."""
        return replace(self, signature=signature, pq_signature=pq_signature)

    def proto(self) -> bytes:
        """Protobuf `Proposal`, as evidence contains it."""
        return (
            varint_field(1, PROPOSAL_TYPE)
            + varint_field(2, self.height)
            + varint_field(3, self.round)
            + varint_field(4, self.pol_round)
            + message_field(5, self.block_id.proto())
            + message_field(6, timestamp(self.time_ns))
            + bytes_field(7, self.signature)
        )

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return (
            self.height,
            self.round,
            self.pol_round,
            self.block_id.to_wire(),
            write_time(self.time_ns),
            self.signature,
            self.pq_signature,
        )

    @classmethod
    def from_wire(cls, value: Value) -> Proposal:
        """Inverse of `to_wire` for a signed proposal. Raises `MalformedError`."""
        height, round_, pol_round, block_id, time, signature, pq_signature = read_tuple(value, 7, "a proposal")
        block = BlockID.from_wire(block_id)
        proposal = cls(
            read_height(height),
            read_round(round_),
            read_pol_round(pol_round),
            block,
            read_time(time),
            read_bytes(signature, (ED25519_SIGNATURE_BYTES,), "an Ed25519 signature"),
            read_bytes(pq_signature, PQ_SIGNATURE_LENGTHS, "an ML-DSA signature"),
        )
        if block.is_empty or proposal.pol_round >= proposal.round:
            raise MalformedError("a proposal names a block and an earlier proof-of-lock round")
        return proposal
