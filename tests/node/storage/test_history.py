"""Earlier states: values, roots and proofs at every kept height, against a copy of each state; and what pruning takes away."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from node.storage.store import HeightBatch, Store, StoreOptions
from state.primitives.errors import ProofError
from state.proofs import verify_proof
from state.tree_hash import compute_root, key_hash, leaf_hash
from tests.state import ics23_spec

SMALL = StoreOptions(values_max=16, leaves_max=30)
KEYS = [b" k%d" % number for number in range(80)]


def root_of(state: dict[bytes, bytes]) -> bytes:
    return compute_root(sorted((key_hash(key), leaf_hash(key_hash(key), value)) for key, value in state.items()))


def grow(path: Path, heights: int, seed: int) -> tuple[Store, list[dict[bytes, bytes]]]:
    """A store of some heights, the first of them with few keys, and every state it had."""
    chance = random.Random(seed)
    store, state, states = Store.create(path, SMALL), dict[bytes, bytes](), list[dict[bytes, bytes]]()
    for height in range(heights):
        changes: dict[bytes, bytes | None] = {}
        for _ in range(chance.choice((0, 1, 3, 25)) if height else 1):
            key = chance.choice(KEYS)
            changes[key] = None if chance.random() < 0.4 else chance.randbytes(1 + chance.randrange(40))
        if height == 0:
            changes = {KEYS[0]: b"genesis"}
        rows = tuple((letter, height, b"%d" % height) for letter in "bcpe") if height else ()
        store.commit(HeightBatch(height, b"", height_rows=rows), sorted(changes.items()))
        for key, value in changes.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        states.append(dict(state))
    return store, states


@pytest.mark.parametrize("seed", range(3))
def test_proofs_at_every_height(tmp_path: Path, seed: int) -> None:
    store, states = grow(tmp_path / "db", 30, seed)
    for height, past in enumerate(states):
        root = store.root_at(height)
        assert root == root_of(past)
        for key in KEYS:
            assert store.get_at(key, height) == past.get(key)
            if not past:
                with pytest.raises(ProofError, match="empty"):
                    store.prove(key, height)
                continue
            value, proof = store.prove(key, height)
            assert value == past.get(key)
            verify_proof(root, key, value, proof)
            if value is None:
                assert ics23_spec.verify_non_membership(root, key_hash(key), proof)
            else:
                assert ics23_spec.verify_membership(root, key_hash(key), value, proof)
    store.close()


def test_heights_that_are_not_there(tmp_path: Path) -> None:
    store, _ = grow(tmp_path / "db", 5, 1)
    for height in (-1, 5, 1 << 40):
        assert store.root_at(height) is None
        with pytest.raises(ProofError, match="not kept"):
            store.prove(KEYS[0], height)
    store.close()


def test_pruned(tmp_path: Path) -> None:
    store, states = grow(tmp_path / "db", 30, 2)
    root, before = store.root, len(list(store._db.scan(b"u", b"v")))
    assert store.prune(20, limit=5) == 5
    assert store.base_height() == 6
    assert store.prune(20) == 14
    assert (store.prune(20), store.base_height()) == (0, 20)
    store.compact()
    assert len(list(store._db.scan(b"u", b"v"))) < before
    assert [int.from_bytes(key[1:], "big") for key, _ in store._db.scan(b"t", b"u")] == list(range(20, 30))
    store.close()
    store = Store.open(tmp_path / "db", SMALL)
    assert (store.base_height(), store.root) == (20, root)
    for height in range(30):
        for letter in "bcpe":
            assert (store.height_row(letter, height) is None) == (height < 20)
        if height < 20:
            with pytest.raises(ProofError, match="not kept"):
                store.get_at(KEYS[0], height)
            continue
        for key in KEYS:
            value, proof = store.prove(key, height)
            assert value == states[height].get(key)
            verify_proof(root_of(states[height]), key, value, proof)
    assert store.prune(1000) == 9
    assert store.base_height() == 29  # the tip stays
    store.close()
