"""What travels on the sync channel: claims, requests, certified blocks. Nothing is verified here beyond its shape.

A block stays the bytes that it came as until it is its turn: taken apart it is larger, and whether it was asked for is seen from its head.

Canonical arrays, the kind first:
  `[1, base, height]` I serve these heights; `[2, height]` send me that block; `[3, height, block, commit, pq_commit]` here it is;
  `[4, height]` I do not have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from consensus.block import Block
from consensus.commit import Commit, PqCommit
from consensus.fields import read_tuple
from state.primitives.codec import decode, decode_first, encode_trusted
from state.primitives.errors import MalformedError
from state.primitives.limits import CERTIFIED_BLOCK_BYTES_MAX, HEIGHT_MAX

STATUS: Final = 1
REQUEST: Final = 2
BLOCK: Final = 3
MISSING: Final = 4
SHORT_MESSAGE_BYTES_MAX: Final = 64  # of all but blocks: a kind and two numbers
_BLOCK_HEAD: Final = bytes((0x95, BLOCK))  # an array of five that begins with the kind


@dataclass(frozen=True, slots=True)
class CertifiedBlock:
    """A block and the proof that it was decided."""

    block: Block
    commit: Commit
    pq_commit: PqCommit

    @property
    def height(self) -> int:
        """Its height."""
        return self.block.header.height


@dataclass(frozen=True, slots=True)
class Status:
    """The peer serves the blocks of `base` to `height`; height 0 and base 1: none yet."""

    base: int
    height: int


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """The peer wants the block of `height`."""

    height: int


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """The peer's block of `height`, as it says; `decode_block` looks into the message when it is its turn."""

    height: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class MissingAnswer:
    """The peer does not have the block of `height`."""

    height: int


Message: TypeAlias = Status | BlockRequest | BlockAnswer | MissingAnswer


def encode_message(message: Status | BlockRequest | MissingAnswer) -> bytes:
    """Bytes of a short message."""
    if isinstance(message, Status):
        return encode_trusted((STATUS, message.base, message.height))
    kind = REQUEST if isinstance(message, BlockRequest) else MISSING
    return encode_trusted((kind, message.height))


def encode_block(certified: CertifiedBlock) -> bytes:
    """Bytes of a `BlockAnswer`."""
    parts = certified.block.to_wire(), certified.commit.to_wire(), certified.pq_commit.to_wire()
    return encode_trusted((BLOCK, certified.height, *parts))


def decode_message(payload: bytes) -> Message:
    """Inverse of the encoders, but for the blocks in answers. Raises `MalformedError`."""
    if payload.startswith(_BLOCK_HEAD):
        height = decode_first(payload, len(_BLOCK_HEAD))
        if type(height) is int and 0 <= height <= HEIGHT_MAX and len(payload) <= CERTIFIED_BLOCK_BYTES_MAX:
            return BlockAnswer(height, payload)
        raise MalformedError("not a block of the sync channel")
    value = decode(payload, bytes_max=SHORT_MESSAGE_BYTES_MAX)
    if type(value) is tuple and value and type(value[0]) is int:
        kind, *rest = value
        if rest and type(rest[0]) is int and 0 <= rest[0] <= HEIGHT_MAX:
            if kind == STATUS and len(rest) == 2 and type(rest[1]) is int and 0 <= rest[1] <= HEIGHT_MAX:
                return Status(rest[0], rest[1])
            if kind == REQUEST and len(rest) == 1:
                return BlockRequest(rest[0])
            if kind == MISSING and len(rest) == 1:
                return MissingAnswer(rest[0])
    raise MalformedError("not a message of the sync channel")


def decode_block(answer: BlockAnswer) -> CertifiedBlock:
    """The certified block of an answer. Raises `MalformedError`, also if it is of another height."""
    value = decode(answer.payload, bytes_max=CERTIFIED_BLOCK_BYTES_MAX)
    _, height, block, commit, pq_commit = read_tuple(value, 5, "an answer with a block")
    certified = CertifiedBlock(Block.from_wire(block), Commit.from_wire(commit), PqCommit.from_wire(pq_commit))
    if certified.height != answer.height or height != answer.height or certified.commit.height != answer.height:
        raise MalformedError("a certified block of another height")
    return certified
