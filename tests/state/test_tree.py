"""The tree against its definition: any order of inserts, updates and deletes gives the root of the set; paths lead to it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.primitives.errors import LocalError, StorageCorruptError
from state.tree import BUCKETS, SHARDS, Change, Tree, bucket_of, bucket_range
from state.tree_hash import Step, compute_root, inner_hash, key_hash, leaf_hash
from state.tree_pages import build_page


def reference_root(leaves: dict[bytes, bytes], depth: int = 0) -> bytes | None:
    """The definition, as slowly and plainly as possible."""
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


def loader(state: dict[bytes, bytes]) -> Callable[[int], list[tuple[bytes, bytes]]]:
    def load(bucket: int) -> list[tuple[bytes, bytes]]:
        return sorted((kh, leaf_hash(kh, value)) for kh, value in state.items() if bucket_of(kh) == bucket)

    return load


def leaf_changes(changes: dict[bytes, bytes | None]) -> list[Change]:
    return [(kh, None if value is None else leaf_hash(kh, value)) for kh, value in changes.items()]


def apply(state: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> None:
    for kh, value in changes.items():
        if value is None:
            state.pop(kh, None)
        else:
            state[kh] = value


def fold(node: bytes, path: list[Step]) -> bytes:
    for is_right, sibling in path:
        node = inner_hash(sibling, node) if is_right else inner_hash(node, sibling)
    return node


def check_paths(subject: Tree, state: dict[bytes, bytes], asked: list[bytes]) -> None:
    for kh in asked:
        path = subject.path(kh)
        assert (path is None) == (kh not in state)
        if path is not None:
            assert fold(leaf_hash(kh, state[kh]), path) == subject.root
        below = max((other for other in state if other < kh), default=None)
        above = min((other for other in state if other > kh), default=None)
        assert subject.neighbours(kh) == (below, above)


# few distinct first bytes, so that prefixes are shared within and across buckets and shards
hashes = st.builds(
    lambda head, tail: head + tail,
    st.sampled_from([b"\0\0\0", b"\0\0\1", b"\0\0\x40", b"\0\1\0", b"\x80\0\0", b"\xff\xff\xff", b"\xff\xff\xbf"]),
    st.binary(min_size=29, max_size=29) | st.sampled_from([bytes(29), bytes(28) + b"\1", b"\xff" * 29]),
)
steps = st.lists(st.lists(st.tuples(hashes, st.none() | st.binary(min_size=1, max_size=4)), max_size=8), max_size=8)


@given(steps, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_any_history_gives_the_root_of_the_set(
    history: list[list[tuple[bytes, bytes | None]]], chance: random.Random
) -> None:
    state: dict[bytes, bytes] = {}
    load = loader(state)
    subject = Tree.from_hashes([], load)
    for block in history:
        changes = dict(block)
        before_root, before = subject.root, subject
        after, touched = subject.update(leaf_changes(changes))
        assert before.root == before_root
        apply(state, changes)
        subject = after
        assert subject.root == reference_root(state)
        assert subject.root == compute_root(sorted((kh, leaf_hash(kh, v)) for kh, v in state.items()))
        assert list(touched.buckets) == sorted({bucket_of(kh) for kh in changes})
        check_paths(subject, state, sorted({*changes, *state}))
        loaded = list(subject.loaded_buckets())
        assert subject.pages_bytes == sum(len(build_page(load(bucket))) for bucket in loaded)
        subject.forget_pages(bucket for bucket in loaded if chance.random() < 0.5)
        check_paths(subject, state, sorted(state))
    subject.forget_pages(list(subject.loaded_buckets()))
    assert subject.pages_bytes == 0


@given(st.lists(st.tuples(hashes, st.none() | st.binary(min_size=1, max_size=4)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_order_of_changes_does_not_matter(items: list[tuple[bytes, bytes | None]]) -> None:
    changes = leaf_changes(dict(items))
    empty = Tree.from_hashes([], loader({}))
    one = empty.update(changes)[0]
    other = empty
    for change in reversed(changes):
        other = other.update([change])[0]
    assert one.root == other.root == empty.update(reversed(changes))[0].root


def test_reopened_from_bucket_hashes() -> None:
    chance = random.Random(1)
    state = {key_hash(chance.randbytes(8)): chance.randbytes(3) for _ in range(3000)}
    first, touched = Tree.from_hashes([], loader({})).update(leaf_changes(dict(state)))
    hashes = [(bucket, node_hash) for bucket, node_hash in touched.buckets.items() if node_hash is not None]
    again = Tree.from_hashes(hashes, loader(state))
    assert again.root == first.root == reference_root(state)
    assert again.pages_bytes == 0
    assert again.shard_roots == first.shard_roots
    kh = next(iter(state))
    assert again.missing_buckets([kh, bytes(32)]) == [bucket_of(kh)]
    loads: list[int] = []
    watched = Tree.from_hashes(hashes, lambda bucket: loads.append(bucket) or loader(state)(bucket))  # type: ignore[func-returns-value]
    asked = [*sorted(state)[::7], bytes(32)]
    expected = watched.missing_buckets(asked)
    watched.update([(kh, bytes(32)) for kh in reversed(asked)])
    assert loads == expected
    for other in asked:
        assert (watched.path(other) is None) == (other not in state)
    assert loads == expected  # the old version kept what the new one needed
    changed = again.update([(kh, None)])[0]
    check_paths(changed, {k: v for k, v in state.items() if k != kh}, [kh])
    state.pop(kh)
    assert changed.root == reference_root(state) != again.root


def test_rolled_back() -> None:
    chance = random.Random(2)
    keys = [key_hash(b"%d" % number) for number in range(400)]
    state = dict.fromkeys(keys[::2], b"0")
    subject = Tree.from_hashes([], loader({})).update(leaf_changes(dict(state)))[0]
    past, past_roots, past_root = dict(state), subject.shard_roots, subject.root
    undo: dict[bytes, bytes | None] = {}
    for height in range(5):
        changes = {kh: None if chance.random() < 0.3 else b"%d" % height for kh in chance.sample(keys, 60)}
        for kh in changes:
            undo.setdefault(kh, past.get(kh))
        subject = subject.update(leaf_changes(changes))[0]
        apply(state, changes)
    latest_root = subject.root
    for kh in keys:
        own = [item for item in leaf_changes(undo) if item[0][0] == kh[0]]
        view = subject.rolled_back(past_roots, {kh[0]: own})
        assert view.root == past_root
        path = view.path(kh)
        assert (path is None) == (kh not in past)
        if path is not None:
            assert fold(leaf_hash(kh, past[kh]), path) == past_root
    assert subject.root == latest_root == reference_root(state)
    everything = {shard: [item for item in leaf_changes(undo) if item[0][0] == shard] for shard in range(SHARDS)}
    check_paths(subject.rolled_back(past_roots, everything), past, keys)
    kh = next(kh for kh in undo if past.get(kh) != state.get(kh))
    shard, others = kh[0], [item for item in everything[kh[0]] if item[0] != kh]
    with pytest.raises(StorageCorruptError, match="history"):
        subject.rolled_back(past_roots, {shard: others})
    other = next(kh for kh in keys if kh[0] != shard and past_roots[kh[0]] is not None)
    with pytest.raises(LocalError, match="rolled back"):
        subject.rolled_back(past_roots, {shard: everything[shard]}).path(other)


def test_empty_and_single() -> None:
    subject = Tree.from_hashes([], loader({}))
    assert subject.root == hashlib.sha256(b"").digest()
    kh = key_hash(b" key")
    assert subject.neighbours(kh) == (None, None)
    subject = subject.update([(kh, leaf_hash(kh, b"v"))])[0]
    assert subject.root == leaf_hash(kh, b"v")
    assert subject.path(kh) == []
    assert subject.neighbours(kh) == (None, None)
    subject, touched = subject.update([(kh, None)])
    assert touched.buckets == {bucket_of(kh): None}
    assert touched.shards == {kh[0]: (leaf_hash(kh, b"v"), None)}
    assert subject.root == hashlib.sha256(b"").digest()
    assert subject.path(kh) is None
    assert subject.update([])[0].root == subject.root


def test_a_wrong_bucket_is_noticed() -> None:
    kh = key_hash(b" key")
    right, wrong = leaf_hash(kh, b"v"), leaf_hash(kh, b"x")
    subject = Tree.from_hashes([(bucket_of(kh), right)], lambda _: [(kh, wrong)])
    with pytest.raises(StorageCorruptError):
        subject.path(kh)
    with pytest.raises(StorageCorruptError):
        subject.update([(kh, None)])
    gone = Tree.from_hashes([(bucket_of(kh), right)], lambda _: [])
    with pytest.raises(StorageCorruptError):
        gone.path(kh)


def test_buckets_tile_the_keys() -> None:
    assert bucket_range(0)[0] == bytes(3)
    assert bucket_range(BUCKETS - 1)[1] is None
    for bucket in (0, 1, 77, BUCKETS - 2, BUCKETS - 1):
        start, stop = bucket_range(bucket)
        assert bucket_of(start + bytes(29)) == bucket
        assert bucket_of(start + b"\x00" * 29) == bucket
        assert stop is None or bucket_of(stop + bytes(29)) == bucket + 1
        assert stop is None or bucket_of((int.from_bytes(stop, "big") - 1).to_bytes(3, "big") + b"\xff" * 29) == bucket
