"""The tree against its definition: any order of inserts, updates and deletes gives the root of the set; paths lead to it."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import tree
from state.primitives.errors import StorageCorruptError
from state.tree import Tree, inner_hash, key_hash, leaf_hash


def reference_root(leaves: dict[bytes, bytes], depth: int = 0) -> bytes | None:
    """state.md section 1, as slowly and plainly as possible."""
    if not leaves:
        return hashlib.sha256(b"").digest() if depth == 0 else None
    if len(leaves) == 1:
        ((kh, value),) = leaves.items()
        return hashlib.sha256(b"\x00\x20" + kh + b"\x20" + hashlib.sha256(value).digest()).digest()
    halves: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})
    for kh, value in leaves.items():
        halves[int.from_bytes(kh, "big") >> (255 - depth) & 1][kh] = value
    left, right = (reference_root(half, depth + 1) if half else None for half in halves)
    if left is None or right is None:
        return left or right
    return hashlib.sha256(b"\x01" + left + right).digest()


# few distinct first bytes, so that prefixes are shared within and across buckets
hashes = st.builds(
    lambda head, tail: head + tail,
    st.sampled_from([b"\0\0\0", b"\0\0\1", b"\0\1\0", b"\x80\0\0", b"\xff\xff\xff", b"\xff\xff\xfe"]),
    st.binary(min_size=29, max_size=29) | st.sampled_from([bytes(29), bytes(28) + b"\1", b"\xff" * 29]),
)
steps = st.lists(st.lists(st.tuples(hashes, st.none() | st.binary(min_size=1, max_size=4)), max_size=8), max_size=8)


@given(steps, st.integers(0, 20))
@settings(max_examples=150, deadline=None)
def test_any_history_gives_the_root_of_the_set(history: list[list[tuple[bytes, bytes | None]]], kept: int) -> None:
    state: dict[bytes, bytes] = {}

    def load(prefix: int) -> list[tuple[bytes, bytes]]:
        return sorted((kh, leaf_hash(kh, v)) for kh, v in state.items() if int.from_bytes(kh[:2], "big") == prefix)

    subject = Tree([], load, kept)
    for block in history:
        changes = dict(block)
        subject.update(
            (kh, None if value is None else leaf_hash(kh, value)) for kh, value in changes.items()
        )
        for kh, value in changes.items():
            if value is None:
                state.pop(kh, None)
            else:
                state[kh] = value
        assert subject.root == reference_root(state)
        assert subject.root == tree.compute_root(sorted((kh, leaf_hash(kh, v)) for kh, v in state.items()))
        for kh in {*changes, *state}:
            path = subject.path(kh)
            assert (path is None) == (kh not in state)
            if path is not None:
                node = leaf_hash(kh, state[kh])
                for is_right, sibling in path:
                    node = inner_hash(sibling, node) if is_right else inner_hash(node, sibling)
                assert node == subject.root
            below = max((other for other in state if other < kh), default=None)
            above = min((other for other in state if other > kh), default=None)
            assert subject.neighbours(kh) == (below, above)


def test_reopened_from_bucket_hashes() -> None:
    chance = random.Random(1)
    state = {key_hash(chance.randbytes(8)): chance.randbytes(3) for _ in range(3000)}

    def load(prefix: int) -> list[tuple[bytes, bytes]]:
        return sorted((kh, leaf_hash(kh, v)) for kh, v in state.items() if int.from_bytes(kh[:2], "big") == prefix)

    first = Tree([], load, 1000)
    touched = first.update((kh, leaf_hash(kh, value)) for kh, value in state.items())
    assert first.loaded_leaves <= 1001
    roots = [(prefix, node_hash) for prefix, node_hash in touched.items() if node_hash is not None]
    again = Tree(roots, load, 1000)
    assert again.root == first.root == reference_root(state)
    kh = next(iter(state))
    state_before = dict(state)
    again.update([(kh, None)])
    state.pop(kh)
    assert again.root == reference_root(state) != reference_root(state_before)


def test_empty_and_single() -> None:
    subject = Tree([], lambda _: [], 10)
    assert subject.root == hashlib.sha256(b"").digest()
    kh = key_hash(b" key")
    subject.update([(kh, leaf_hash(kh, b"v"))])
    assert subject.root == leaf_hash(kh, b"v")
    assert subject.path(kh) == []
    assert subject.neighbours(kh) == (None, None)
    subject.update([(kh, None)])
    assert subject.root == hashlib.sha256(b"").digest()
    assert subject.path(kh) is None


def test_a_wrong_bucket_is_noticed() -> None:
    kh = key_hash(b" key")
    prefix = int.from_bytes(kh[:2], "big")
    subject = Tree([(prefix, leaf_hash(kh, b"v"))], lambda _: [(kh, leaf_hash(kh, b"x"))], 10)
    with pytest.raises(StorageCorruptError):
        subject.path(kh)
