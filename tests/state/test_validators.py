"""The validator set: order, hash, updates, and what may never become a set."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.primitives.codec import decode, encode
from state.primitives.errors import MalformedError
from state.primitives.hashing import EMPTY_HASH, sha256
from state.primitives.keys import MLDSA_KEY_BYTES, KeyKind
from state.primitives.limits import POWER_TOTAL_MAX, VALIDATORS_MAX
from state.validators import Validator, ValidatorSet, ValidatorUpdate

PQ_KEY = bytes(MLDSA_KEY_BYTES[KeyKind.MLDSA44])


def validator(name: object, power: int = 1) -> Validator:
    return Validator(sha256(str(name).encode()), KeyKind.MLDSA44, PQ_KEY, power)


def update(name: object, power: int) -> ValidatorUpdate:
    return ValidatorUpdate(sha256(str(name).encode()), KeyKind.MLDSA44, PQ_KEY, power)


def test_the_hash_equals_that_of_go() -> None:
    """Three keys and powers with the hash that Go computed; published with tendermint-rs."""
    members = [
        ("30a33784e793e6a3389e7fdab38bd467da597a7ee55854302000b9ae3f48cb34", 148_151_478_422_287_875),
        ("36fdae99794a91b46f10d630c16d688637a29710b6727d8720c3ecf840704a65", 158_095_448_483_785_107),
        ("b6cd0d56931b4131a0760bb47523ce2344131bad455ccce0c833f951698070f4", 770_561_664_770_006_272),
    ]
    found = ValidatorSet(Validator(bytes.fromhex(key), KeyKind.MLDSA44, PQ_KEY, power) for key, power in members)
    assert found.hash().hex() == "0b406b04ea51e84bccc7a072e561f35f76d511163954477ac8a9c0fc2994dfb4"


def test_order_is_power_descending_then_address_ascending() -> None:
    found = ValidatorSet([validator("a", 1), validator("b", 3), validator("c", 1), validator("d", 2)])
    assert [item.power for item in found.validators] == [3, 2, 1, 1]
    assert found.validators[2].address < found.validators[3].address
    assert found.total_power == 7


@given(st.permutations(range(6)))
def test_the_order_of_arrival_does_not_matter(order: list[int]) -> None:
    members = [validator(n, 1 + n // 2) for n in range(6)]
    assert ValidatorSet(members[n] for n in order).hash() == ValidatorSet(members).hash()


def test_the_post_quantum_key_is_not_in_the_hash_but_in_the_identity() -> None:
    plain = validator("a")
    other = replace(plain, pq_key=b"\x01" + PQ_KEY[1:])
    assert ValidatorSet([plain]).hash() == ValidatorSet([other]).hash() != EMPTY_HASH
    assert ValidatorSet([plain]) != ValidatorSet([other])


def test_lookups_never_reach_around() -> None:
    found = ValidatorSet([validator("a", 2), validator("b", 1)])
    first, second = found.validators
    assert found.by_index(0) is first
    assert [found.by_index(n) for n in (-1, -2, 2, 1 << 64)] == [None] * 4
    assert found.by_address(second.address) is second
    assert found.by_address(b"x" * 20) is None
    assert (found.index_of(second.address), found.index_of(b"")) == (1, -1)
    assert repr(found) == "ValidatorSet(2 validators, power 3)"
    assert len({found, ValidatorSet([validator("b", 1), validator("a", 2)])}) == 1


def test_updates_add_change_and_remove() -> None:
    old = ValidatorSet([validator("a", 5), validator("b", 3)])
    new = old.update([update("c", 4), update("a", 1), update("b", 0)])
    assert new == ValidatorSet([validator("a", 1), validator("c", 4)])
    assert old.update([]) is old
    assert old.total_power == 8


BAD_UPDATES = {
    "same key twice": [update("a", 2), update("a", 3)],
    "removed and added": [update("a", 0), update("a", 3)],
    "removal of a stranger": [update("z", 0)],
    "nobody left": [update("a", 0), update("b", 0)],
    "negative": [update("a", -1)],
    "power too large": [update("a", POWER_TOTAL_MAX + 1)],
    "total too large": [update("a", POWER_TOTAL_MAX)],
    "wrong key length": [ValidatorUpdate(b"short", KeyKind.MLDSA44, PQ_KEY, 1)],
    "wrong second key": [replace(update("c", 1), pq_key=b"")],
    "second key that is none": [replace(update("c", 1), pq_kind=KeyKind.ED25519, pq_key=bytes(32))],
    "too many": [update(n, 1) for n in range(VALIDATORS_MAX - 1)],
}


@pytest.mark.parametrize("name", BAD_UPDATES)
def test_k6_updates_that_break_the_set_are_refused_and_change_nothing(name: str) -> None:
    old = ValidatorSet([validator("a", 5), validator("b", 3)])
    with pytest.raises(MalformedError):
        old.update(BAD_UPDATES[name])
    assert old == ValidatorSet([validator("a", 5), validator("b", 3)])


def test_k6_the_bounds_themselves_are_allowed() -> None:
    assert ValidatorSet([validator("a", POWER_TOTAL_MAX)]).total_power == POWER_TOTAL_MAX
    assert len(ValidatorSet(validator(n) for n in range(VALIDATORS_MAX))) == VALIDATORS_MAX


@pytest.mark.parametrize("members", [[], [validator("a"), validator("a", 2)], [validator(n) for n in range(201)]])
def test_k6_no_set_is_empty_double_or_too_large(members: list[Validator]) -> None:
    with pytest.raises(MalformedError):
        ValidatorSet(members)


@pytest.mark.parametrize("power", [0, -1, POWER_TOTAL_MAX + 1])
def test_a_member_has_power(power: int) -> None:
    with pytest.raises(MalformedError):
        validator("a", power)


def test_stored_form() -> None:
    found = ValidatorSet([validator("a", 5), validator("b", 3), validator("c", 3)])
    assert ValidatorSet.from_wire(decode(encode(found.to_wire()))) == found


GOOD = ValidatorSet([validator("a", 5), validator("b", 3)]).to_wire()
BAD_WIRES = {
    "not a list": b"",
    "empty": (),
    "wrong order": GOOD[::-1],
    "twice the same": (GOOD[0], GOOD[0]),
    "too many": GOOD[:1] * 201,
    "missing field": (GOOD[0][:3],),
    "extra field": ((*GOOD[0], 0),),
    "zero power": ((*GOOD[0][:3], 0),),
    "bool power": ((*GOOD[0][:3], True),),
    "text key": (("a" * 32, *GOOD[0][1:]),),
    "unknown kind": ((GOOD[0][0], 9, *GOOD[0][2:]),),
    "hybrid kind": ((GOOD[0][0], int(KeyKind.HYBRID), *GOOD[0][2:]),),
    "kind of another length": ((GOOD[0][0], int(KeyKind.MLDSA87), *GOOD[0][2:]),),
}


@pytest.mark.parametrize("name", BAD_WIRES)
def test_stored_form_is_strict(name: str) -> None:
    with pytest.raises(MalformedError):
        ValidatorSet.from_wire(BAD_WIRES[name])
