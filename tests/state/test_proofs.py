"""Every proof verifies with a verifier that shares no code with the tree, and no mutation of it does, with either verifier."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from node.storage.store import HeightBatch, Store
from state.primitives.errors import ProofError
from state.proofs import verify_proof
from state.tree import key_hash
from tests.state import ics23_spec


@pytest.fixture(params=[1, 2, 3, 5, 20, 300])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    subject = Store.create(tmp_path / "db")
    chance = random.Random(request.param)
    changes = [(b" h%d" % i, chance.randbytes(1 + i % 40)) for i in range(request.param)]
    subject.commit(HeightBatch(1, b"tip"), changes)
    return subject


def keys_of(store: Store) -> list[bytes]:
    return [key for key, _ in store.state_keys(b" ")]


def test_existence_and_absence(store: Store) -> None:
    for key in keys_of(store):
        value, proof = store.prove(key)
        assert value is not None
        verify_proof(store.root, key, value, proof)
        assert ics23_spec.verify_membership(store.root, key_hash(key), value, proof)
        assert not ics23_spec.verify_membership(store.root, key_hash(key), value + b"x", proof)
        assert not ics23_spec.verify_non_membership(store.root, key_hash(key), proof)
        with pytest.raises(ProofError):
            verify_proof(store.root, key, value + b"x", proof)
        with pytest.raises(ProofError):
            verify_proof(store.root, key, None, proof)
    for number in range(200):
        key = b" absent%d" % number
        value, proof = store.prove(key)
        assert value is None
        verify_proof(store.root, key, None, proof)
        assert ics23_spec.verify_non_membership(store.root, key_hash(key), proof)
        with pytest.raises(ProofError):
            verify_proof(store.root, key, b"v", proof)
        with pytest.raises(ProofError):
            verify_proof(bytes(32), key, None, proof)


def test_neighbours_cannot_be_skipped(tmp_path: Path) -> None:
    """A proof of absence between leaves that are not neighbours would hide the ones between them."""
    from state.proofs import absence_proof, decode_proof, existence_proof

    store = Store.create(tmp_path / "db")
    store.commit(HeightBatch(1, b""), [(b" h%d" % i, b"v%d" % i) for i in range(12)])
    keys = sorted(keys_of(store), key=key_hash)
    proofs = {}
    for key in keys:
        found = decode_proof(store.prove(key)[1])
        proofs[key] = existence_proof(key_hash(key), found.value, found.path)  # type: ignore[union-attr]
    accepted = 0
    for i, left in enumerate([None, *keys]):
        for right in [*keys[i:], None]:
            inside = [key for key in keys if (left is None or key_hash(key) > key_hash(left))
                      and (right is None or key_hash(key) < key_hash(right))]  # fmt: skip
            if not inside:
                continue
            for hidden in inside:
                forged = absence_proof(
                    key_hash(hidden),
                    None if left is None else proofs[left],
                    None if right is None else proofs[right],
                ).encode()
                with pytest.raises(ProofError):
                    verify_proof(store.root, hidden, None, forged)
                accepted += ics23_spec.verify_non_membership(store.root, key_hash(hidden), forged)
    assert accepted == 0


def test_no_mutation_verifies(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db")
    store.commit(HeightBatch(1, b""), [(b" h%d" % i, b"value %d" % i) for i in range(9)])
    chance = random.Random(4)
    for key in (b" h3", b" absent"):
        value, proof = store.prove(key)
        mutants = [proof[:i] + bytes((proof[i] ^ 1 << chance.randrange(8),)) + proof[i + 1 :] for i in range(len(proof))]
        mutants += [proof[:i] for i in range(len(proof))]
        mutants += [proof[:i] + proof[i + 1 :] for i in range(len(proof))]
        mutants += [proof + b"\0", proof + proof, b"", b"\x0a\x00", b"\xff" * 40]
        for _ in range(2000):
            start, end = sorted((chance.randrange(len(proof)), chance.randrange(len(proof))))
            mutants.append(proof[:start] + proof[end:])
            mutants.append(proof[:end] + proof[start:end] + proof[end:])
        for mutant in mutants:
            if mutant == proof:
                continue
            with pytest.raises(ProofError):
                verify_proof(store.root, key, value, mutant)
