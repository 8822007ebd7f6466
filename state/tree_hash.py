"""The bytes that the state's root is made of: how a leaf, a branching point and a whole set are hashed.

    leaf(kh, value) = sha256(00 20 kh 20 sha256(value))      inner(l, r) = sha256(01 l r)      empty = sha256("")

with `kh = sha256(raw key)`: what ICS-23's `tendermintSpec` verifies with kh as the key. The tree is a crit-bit tree over kh, most
significant bit first, left 0, so the root depends on the set of (key, value) alone. Incremental updates are in `state.tree`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Final, TypeAlias

from state.primitives.hashing import EMPTY_HASH

INNER_PREFIX: Final = b"\x01"
_LEAF_PREFIX: Final = b"\x00\x20"
_VALUE_PREFIX: Final = b"\x20"

Leaves: TypeAlias = Sequence[tuple[bytes, bytes]]  # (kh, leaf hash), sorted by kh
Step: TypeAlias = tuple[bool, bytes]  # (whether the node is the right child, hash of its sibling)


def key_hash(key: bytes) -> bytes:
    """Where a raw key lives."""
    return sha256(key).digest()


def leaf_hash(kh: bytes, value: bytes) -> bytes:
    """Hash of a leaf."""
    return sha256(_LEAF_PREFIX + kh + _VALUE_PREFIX + sha256(value).digest()).digest()


def inner_hash(left: bytes, right: bytes) -> bytes:
    """Hash of a branching point."""
    return sha256(INNER_PREFIX + left + right).digest()


def compute_root(leaves: Leaves) -> bytes:
    """The root over a whole set, sorted by kh without doubles: the definition that every incremental update must equal."""
    return _hash_range(leaves, split_bits(leaves), 0, len(leaves)) if leaves else EMPTY_HASH


def split_bits(leaves: Leaves) -> list[int]:
    """For each leaf but the first, the number of the first bit in which it differs from the leaf before it."""
    numbers = [int.from_bytes(kh, "big") for kh, _ in leaves]
    return [256 - (low ^ high).bit_length() for low, high in pairwise(numbers)]


def _hash_range(leaves: Leaves, bits: list[int], start: int, end: int) -> bytes:
    if end - start == 1:
        return leaves[start][1]
    # the branching point of a range is where its leaves differ first, and that place is unique
    middle = bits.index(min(bits[start : end - 1]), start) + 1
    left, right = _hash_range(leaves, bits, start, middle), _hash_range(leaves, bits, middle, end)
    return sha256(INNER_PREFIX + left + right).digest()
