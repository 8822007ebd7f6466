"""Blocks: their bytes and their names.

A block's name is its header's hash and the root over the 65,536-byte parts of its protobuf bytes, which are CometBFT's (but for what
`evidence.py` adds to proofs of offences). Headers stand in `header.py`; whether a block is valid is `validation.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from consensus.block_id import BlockID
from consensus.commit import Commit
from consensus.evidence import Evidence, evidence_from_wire, evidence_proto, evidence_to_wire
from consensus.fields import read_list, read_tuple
from consensus.header import BLOCK_PROTOCOL, Header
from state.primitives import merkle
from state.primitives.canonical import bytes_field, message_field, varint_field
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.hashing import sha256
from state.primitives.limits import (
    BLOCK_PART_BYTES,
    BLOCK_TXS_HARD_MAX,
    EVIDENCE_PER_BLOCK_MAX,
    TX_BYTES_MAX,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A header with what it commits to."""

    header: Header
    txs: tuple[bytes, ...]
    evidence: tuple[Evidence, ...]
    last_commit: Commit
    _id: BlockID | None = field(default=None, init=False, repr=False, compare=False)

    def proto(self) -> bytes:
        """Protobuf bytes of CometBFT's `Block`."""
        data = b"".join(message_field(1, tx) for tx in self.txs)
        evidence = b"".join(message_field(1, evidence_proto(item)) for item in self.evidence)
        return (
            message_field(1, self.header.proto())
            + message_field(2, data)
            + message_field(3, evidence)
            + message_field(4, self.last_commit.proto())
        )

    def block_id(self) -> BlockID:
        """The block's name; computed once."""
        if self._id is None:
            data = self.proto()
            parts = [data[start : start + BLOCK_PART_BYTES] for start in range(0, len(data), BLOCK_PART_BYTES)]
            block_id = BlockID(self.header.hash(), len(parts), merkle.root(parts))
            object.__setattr__(self, "_id", block_id)
            return block_id
        return self._id

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        evidence = tuple(evidence_to_wire(item) for item in self.evidence)
        return self.header.to_wire(), self.txs, evidence, self.last_commit.to_wire()

    @classmethod
    def from_wire(cls, value: Value) -> Block:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        header, txs, evidence, last_commit = read_tuple(value, 4, "a block")
        for tx in read_list(txs, BLOCK_TXS_HARD_MAX, "a block's transactions"):
            if type(tx) is not bytes or not 0 < len(tx) <= TX_BYTES_MAX:
                raise MalformedError("a block has a transaction of a wrong size")
        found = read_list(evidence, EVIDENCE_PER_BLOCK_MAX, "a block's evidence")
        return cls(
            Header.from_wire(header),
            txs,
            tuple(evidence_from_wire(item) for item in found),
            Commit.from_wire(last_commit),
        )


def data_hash(txs: Iterable[bytes]) -> bytes:
    """Root over the transactions' hashes."""
    return merkle.root([sha256(tx) for tx in txs])


def compute_consensus_hash(block_bytes_max: int, gas_max: int) -> bytes:
    """SHA-256 of `HashedParams{1 max_bytes, 2 max_gas}`."""
    return sha256(varint_field(1, block_bytes_max) + varint_field(2, gas_max))


def results_hash(results: Sequence[tuple[int, bytes, int, int]]) -> bytes:
    """`last_results_hash` of (code, data, gas wanted, gas used) for each transaction of the previous block."""
    return merkle.root(
        [
            varint_field(1, code) + bytes_field(2, data) + varint_field(5, wanted) + varint_field(6, used)
            for code, data, wanted, used in results
        ]
    )


__all__ = ["BLOCK_PROTOCOL", "Block", "BlockID", "Header", "compute_consensus_hash", "data_hash", "results_hash"]
