"""What a vote names: the hash of a block's header and the root over the parts of its bytes.

Encoding: `BlockID{1 hash, 2 PartSetHeader{1 total, 2 hash}}` of CometBFT; the canonical form that is signed has the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from state.primitives.canonical import bytes_field, message_field, varint_field
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.hashing import HASH_BYTES
from state.primitives.limits import BLOCK_PART_BYTES, DECODE_BYTES_MAX

PARTS_MAX: Final = DECODE_BYTES_MAX // BLOCK_PART_BYTES + 1


@dataclass(frozen=True, slots=True)
class BlockID:
    """A block's name: `hash` 32 bytes, `parts_total` chunks of 65,536 bytes, `parts_hash` 32 bytes; or all empty (`EMPTY`)."""

    hash: bytes
    parts_total: int
    parts_hash: bytes

    @property
    def is_empty(self) -> bool:
        """Whether this names no block: before the first one, and in a nil vote's encoding."""
        return not self.hash

    def proto(self) -> bytes:
        """Protobuf bytes; an empty one is `12 00`."""
        parts = varint_field(1, self.parts_total) + bytes_field(2, self.parts_hash)
        return bytes_field(1, self.hash) + message_field(2, parts)

    def to_wire(self) -> tuple[Value, ...]:
        """Canonical array."""
        return self.hash, self.parts_total, self.parts_hash

    @classmethod
    def from_wire(cls, value: Value) -> BlockID:
        """Inverse of `to_wire`. Raises `MalformedError` for anything but a full or an empty one."""
        if type(value) is not tuple or len(value) != 3:
            raise MalformedError("a block id has three fields")
        block_hash, total, parts_hash = value
        if type(block_hash) is not bytes or type(parts_hash) is not bytes or type(total) is not int:
            raise MalformedError("a block id has a field of a wrong type")
        if (block_hash, total, parts_hash) == (b"", 0, b""):
            return EMPTY
        if len(block_hash) != HASH_BYTES or len(parts_hash) != HASH_BYTES or not 1 <= total <= PARTS_MAX:
            raise MalformedError("a block id has a hash of a wrong length or an impossible number of parts")
        return cls(block_hash, total, parts_hash)


EMPTY: Final = BlockID(b"", 0, b"")
