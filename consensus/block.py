"""Headers and blocks: their bytes, their hashes, their names.

The header's hash is the RFC 6962 root over its 14 encoded fields; a block's name adds the root over the 65,536-byte parts of its
protobuf bytes. All are CometBFT's, so its light clients verify our headers. Whether a block is valid is `validation.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from consensus.block_id import BlockID
from consensus.commit import Commit
from consensus.evidence import DuplicateVoteEvidence
from consensus.fields import read_bytes, read_height, read_int, read_list, read_time, read_tuple, write_time
from state.primitives import merkle
from state.primitives.canonical import bytes_field, message_field, timestamp, varint_field
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.hashing import HASH_BYTES, VALIDATOR_ADDRESS_BYTES, sha256
from state.primitives.limits import (
    BLOCK_PART_BYTES,
    BLOCK_TXS_HARD_MAX,
    CHAIN_ID_BYTES_MAX,
    EVIDENCE_PER_BLOCK_MAX,
    TX_BYTES_MAX,
)

BLOCK_PROTOCOL = 11  # CometBFT's; Go clients refuse any other


@dataclass(frozen=True, slots=True)
class Header:
    """The 14 fields that name a block. `app_hash` and `last_results_hash` are those *after* the previous block (consensus.md K1)."""

    app_version: int
    chain_id: str
    height: int
    time_ns: int
    last_block_id: BlockID
    last_commit_hash: bytes
    data_hash: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    consensus_hash: bytes
    app_hash: bytes
    last_results_hash: bytes
    evidence_hash: bytes
    proposer_address: bytes
    _hash: bytes = field(default=b"", init=False, repr=False, compare=False)

    def _tail(self) -> tuple[bytes, ...]:
        return (
            self.last_commit_hash,
            self.data_hash,
            self.validators_hash,
            self.next_validators_hash,
            self.consensus_hash,
            self.app_hash,
            self.last_results_hash,
            self.evidence_hash,
            self.proposer_address,
        )

    def _version(self) -> bytes:
        return varint_field(1, BLOCK_PROTOCOL) + varint_field(2, self.app_version)

    def hash(self) -> bytes:
        """32 bytes; computed once."""
        if not self._hash:
            leaves = [
                self._version(),
                bytes_field(1, self.chain_id.encode()),
                varint_field(1, self.height),
                timestamp(self.time_ns),
                self.last_block_id.proto(),
                *(bytes_field(1, item) for item in self._tail()),
            ]
            object.__setattr__(self, "_hash", merkle.root(leaves))
        return self._hash

    def proto(self) -> bytes:
        """Protobuf bytes, as the block contains them."""
        out = (
            message_field(1, self._version())
            + bytes_field(2, self.chain_id.encode())
            + varint_field(3, self.height)
            + message_field(4, timestamp(self.time_ns))
            + message_field(5, self.last_block_id.proto())
        )
        for number, item in enumerate(self._tail(), start=6):
            out += bytes_field(number, item)
        return out

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return (
            self.app_version,
            self.chain_id,
            self.height,
            write_time(self.time_ns),
            self.last_block_id.to_wire(),
            *self._tail(),
        )

    @classmethod
    def from_wire(cls, value: Value) -> Header:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        app_version, chain_id, height, time, last_block_id, *tail = read_tuple(value, 14, "a header")
        hashes = [read_bytes(item, (HASH_BYTES,), "a header hash") for item in tail[:-1]]
        hashes.append(read_bytes(tail[-1], (VALIDATOR_ADDRESS_BYTES,), "a proposer address"))
        if type(chain_id) is not str or not 0 < len(chain_id.encode()) <= CHAIN_ID_BYTES_MAX:
            raise MalformedError("a header has a chain id of 1 to 50 bytes")
        return cls(
            read_int(app_version, 0, (1 << 63) - 1, "an app version"),
            chain_id,
            read_height(height),
            read_time(time),
            BlockID.from_wire(last_block_id),
            *hashes,
        )


@dataclass(frozen=True, slots=True)
class Block:
    """A header with what it commits to."""

    header: Header
    txs: tuple[bytes, ...]
    evidence: tuple[DuplicateVoteEvidence, ...]
    last_commit: Commit
    _id: BlockID | None = field(default=None, init=False, repr=False, compare=False)

    def proto(self) -> bytes:
        """Protobuf bytes of CometBFT's `Block`."""
        data = b"".join(message_field(1, tx) for tx in self.txs)
        evidence = b"".join(message_field(1, message_field(1, item.proto())) for item in self.evidence)
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
        evidence = tuple(item.to_wire() for item in self.evidence)
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
            tuple(DuplicateVoteEvidence.from_wire(item) for item in found),
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


__all__ = ["Block", "BlockID", "Header", "compute_consensus_hash", "data_hash", "results_hash"]
