"""Every proof verifies with a verifier that shares no code with the tree, and no mutation of it does, with either verifier."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage.store import HeightBatch, Store
from state.primitives.canonical import bytes_field, message_field, varint_field
from state.primitives.errors import ProofError
from state.proofs import Existence, decode_proof, verify_proof
from state.tree_hash import inner_hash, key_hash, leaf_hash
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
    from state.proofs import absence_proof, existence_proof

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
        mutants = [
            proof[:i] + bytes((proof[i] ^ 1 << chance.randrange(8),)) + proof[i + 1 :] for i in range(len(proof))
        ]
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


Fields = list[tuple[int, "int | bytes | Fields"]]  # type: ignore[misc]


def fields_of(data: bytes, nested: dict[int, object]) -> Fields:
    """A message as fields, those in `nested` opened up."""
    out: Fields = []
    place = 0
    while place < len(data):
        tag, place = data[place], place + 1
        size = shift = 0
        while True:
            byte, place = data[place], place + 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if tag & 7 == 0:
            out.append((tag >> 3, size))
            continue
        body, place = data[place : place + size], place + size
        deeper = nested.get(tag >> 3)
        out.append((tag >> 3, fields_of(body, deeper) if isinstance(deeper, dict) else body))
    return out


def bytes_of(fields: Fields) -> bytes:
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint_field(number, value)
        else:
            out += message_field(number, value if isinstance(value, bytes) else bytes_of(value))
    return out


def variants(fields: Fields) -> Iterator[Fields]:
    """Every field at every depth dropped, doubled, emptied, renamed, swapped with the next."""
    for index, (number, value) in enumerate(fields):
        before, after = fields[:index], fields[index + 1 :]
        yield before + after
        yield [*before, (number, value), (number, value), *after]
        yield [*before, (number, b""), *after]
        yield [*before, (number, 7), *after]
        yield [*before, (number + 1, value), *after]
        yield [*before, *after[:1], (number, value), *after[1:]]
        if isinstance(value, list):
            for changed in variants(value):
                yield [*before, (number, changed), *after]


EXISTENCE: dict[int, object] = {3: {}, 4: {}}
COMMITMENT: dict[int, object] = {1: EXISTENCE, 2: {2: EXISTENCE, 3: EXISTENCE}}


def test_no_field_can_be_dropped_doubled_or_moved(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db")
    store.commit(HeightBatch(1, b""), [(b" h%d" % i, b"value %d" % i) for i in range(20)])
    for key in (b" h3", b" absent"):
        value, proof = store.prove(key)
        fields = fields_of(proof, COMMITMENT)
        assert bytes_of(fields) == proof
        mutants = [mutant for mutant in map(bytes_of, variants(fields)) if mutant != proof]
        assert len(mutants) > 100
        for mutant in mutants:
            with pytest.raises(ProofError):
                verify_proof(store.root, key, value, mutant)
        for other in (b" h4", b" other"):  # and none of them proves anything else
            for claimed in (None, b"value 4", value):
                for mutant in [proof, *mutants]:
                    with pytest.raises(ProofError):
                        verify_proof(store.root, other, claimed, mutant)
    store.close()


def step(prefix: bytes, suffix: bytes, hash_op: int = 1) -> bytes:
    return message_field(4, varint_field(1, hash_op) + bytes_field(2, prefix) + bytes_field(3, suffix))


def test_steps_that_broke_other_verifiers() -> None:
    """Both children filled, a leaf as an inner node, other hashes and lengths: what ICS-23 verifiers were fooled with."""
    kh, value, sibling = key_hash(b" key"), b"v", bytes(range(32))
    leaf = varint_field(1, 1) + varint_field(3, 1) + varint_field(4, 1) + bytes_field(5, b"\x00")
    root = inner_hash(leaf_hash(kh, value), sibling)

    def proof(*steps: bytes, leaf_op: bytes = leaf) -> bytes:
        return message_field(
            1, bytes_field(1, kh) + bytes_field(2, value) + message_field(3, leaf_op) + b"".join(steps)
        )

    verify_proof(root, b" key", value, proof(step(b"\x01", sibling)))
    wrong = [
        step(b"\x01" + sibling, sibling), step(b"\x00", sibling), step(b"\x01", sibling[:31]), step(b"\x01", sibling + b"\0"),
        step(b"\x01", sibling * 2), step(b"\x01" + sibling[:3], sibling), step(b"", sibling), step(b"\x01", b""),
        step(b"\x01", sibling, 2), step(b"\x01", sibling, 0),
    ]  # fmt: skip
    for bad in wrong:
        with pytest.raises(ProofError):
            verify_proof(root, b" key", value, proof(bad))
    for leaf_op in (b"", leaf + varint_field(2, 1), leaf[:-1] + b"\x01", varint_field(1, 1) + leaf[2:4]):
        with pytest.raises(ProofError):
            verify_proof(root, b" key", value, proof(step(b"\x01", sibling), leaf_op=leaf_op))
    deep = proof(*[step(b"\x01", sibling)] * 128)
    found = decode_proof(deep)
    assert isinstance(found, Existence)
    verify_proof(found.root(), b" key", value, deep)
    with pytest.raises(ProofError, match="too many"):
        decode_proof(proof(*[step(b"\x01", sibling)] * 129))


@given(st.binary(max_size=300), st.binary(max_size=40), st.none() | st.binary(max_size=40), st.binary(max_size=33))
def test_any_bytes_are_refused_and_nothing_else_is_raised(
    proof: bytes, key: bytes, value: bytes | None, root: bytes
) -> None:
    for data in (proof, message_field(1, proof), message_field(2, proof), message_field(2, message_field(2, proof))):
        with pytest.raises(ProofError):
            verify_proof(root, key, value, data)
