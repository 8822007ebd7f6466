"""RFC 6962 Merkle trees over lists: roots and proofs.

Used for transactions, validators, commits, results and block parts. The tree of the state is `state.tree`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256 as _sha256

from state.primitives.hashing import EMPTY_HASH, HASH_BYTES

PROOF_AUNTS_MAX = 100  # CometBFT's bound; 2^100 leaves


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256 of 00 and the leaf."""
    return _sha256(b"\x00" + leaf).digest()


def inner_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of 01 and both children."""
    return _sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Root of a list of leaves; SHA-256 of nothing for an empty list."""
    return root_of_hashes([_sha256(b"\x00" + leaf).digest() for leaf in leaves])


def root_of_hashes(hashes: Sequence[bytes]) -> bytes:
    """Root of a list of leaf hashes.

    Pairing neighbours level by level, with an odd last node passed up, is the split at the largest power of two.
    """
    if not hashes:
        return EMPTY_HASH
    level = list(hashes)
    while len(level) > 1:
        paired = [
            _sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)
        ]
        if len(level) & 1:
            paired.append(level[-1])
        level = paired
    return level[0]


@dataclass(frozen=True, slots=True)
class Proof:
    """That a leaf is number `index` of `total`; `aunts` lead from the leaf to the root, 32 bytes each."""

    total: int
    index: int
    leaf_hash: bytes
    aunts: tuple[bytes, ...]

    def verify(self, root_hash: bytes, leaf: bytes) -> bool:
        """Whether `leaf` is at `index` in the list with root `root_hash`. Never raises."""
        if not 0 <= self.index < self.total or len(self.aunts) > PROOF_AUNTS_MAX:
            return False
        if len(self.leaf_hash) != HASH_BYTES or any(len(aunt) != HASH_BYTES for aunt in self.aunts):
            return False
        if leaf_hash(leaf) != self.leaf_hash:
            return False
        return self._compute_root() == root_hash

    def _compute_root(self) -> bytes | None:
        node, index, last = self.leaf_hash, self.index, self.total - 1
        aunts = iter(self.aunts)
        while last > 0:
            if index & 1 or index < last:
                aunt = next(aunts, None)
                if aunt is None:
                    return None
                node = inner_hash(aunt, node) if index & 1 else inner_hash(node, aunt)
            index >>= 1
            last >>= 1
        return node if next(aunts, None) is None else None


def proofs(leaves: Sequence[bytes]) -> tuple[bytes, list[Proof]]:
    """Root of the list and the proof of every leaf."""
    hashes = [leaf_hash(leaf) for leaf in leaves]
    aunts: list[list[bytes]] = [[] for _ in leaves]
    level, members = hashes, [[i] for i in range(len(hashes))]
    while len(level) > 1:
        next_level, next_members = [], []
        for i in range(0, len(level) - 1, 2):
            for leaf_index in members[i]:
                aunts[leaf_index].append(level[i + 1])
            for leaf_index in members[i + 1]:
                aunts[leaf_index].append(level[i])
            next_level.append(inner_hash(level[i], level[i + 1]))
            next_members.append(members[i] + members[i + 1])
        if len(level) & 1:
            next_level.append(level[-1])
            next_members.append(members[-1])
        level, members = next_level, next_members
    root_hash = level[0] if level else EMPTY_HASH
    total = len(hashes)
    return root_hash, [Proof(total, i, hashes[i], tuple(aunts[i])) for i in range(total)]
