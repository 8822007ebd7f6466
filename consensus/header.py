"""Headers: the 14 fields that name a block, their bytes and their hash.

The hash is the RFC 6962 root over the encoded fields, CometBFT's, so that its light clients verify our headers. What else belongs to a
block stands in `block.py`; whether a header is right is `validation.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.block_id import BlockID
from consensus.fields import read_bytes, read_height, read_int, read_time, read_tuple, write_time
from state.primitives import merkle
from state.primitives.canonical import bytes_field, message_field, timestamp, varint_field
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.hashing import HASH_BYTES, VALIDATOR_ADDRESS_BYTES
from state.primitives.limits import CHAIN_ID_BYTES_MAX

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
