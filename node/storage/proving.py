"""Proofs from what the store found: each is folded to its root before it leaves, so that damage is an error here and not a wrong answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.storage.trees import Paths
from state.primitives.errors import ProofError, StorageCorruptError
from state.proofs import Existence, absence_proof, existence_proof

_HINT: Final = "the database is damaged: restore it from a snapshot or join again as a new node"


def existence_from(kh: bytes, value: bytes, paths: Paths, root: bytes) -> bytes:
    """The encoded proof that a key has a value."""
    if not paths or paths[0][0] != kh:
        raise StorageCorruptError(f"the state has a value for {kh.hex()} but the tree does not", hint=_HINT)
    return _checked(kh, value, paths, 0, root).encode()


def absence_from(kh: bytes, paths: Paths, value_of: Callable[[bytes], bytes | None], root: bytes) -> bytes:
    """The encoded proof that a key is absent, from the paths of its neighbours and their values."""
    if not paths:
        raise ProofError("the state is empty: there is nothing to prove against")
    left = right = None
    for index, (side, _) in enumerate(paths):
        if side == kh:
            raise StorageCorruptError(f"the tree has a leaf {kh.hex()} but the state has no value", hint=_HINT)
        value = value_of(side)
        if value is None:
            raise StorageCorruptError(f"the tree has a leaf {side.hex()} but the state has no value", hint=_HINT)
        found = _checked(side, value, paths, index, root)
        left, right = (found, right) if side < kh else (left, found)
    return absence_proof(kh, left, right).encode()


def _checked(kh: bytes, value: bytes, paths: Paths, index: int, root: bytes) -> Existence:
    found = existence_proof(kh, value, paths[index][1])
    if found.root() != root:
        raise StorageCorruptError(f"the path of {kh.hex()} does not lead to the state's root", hint=_HINT)
    return found
