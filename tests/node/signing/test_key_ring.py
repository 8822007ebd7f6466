"""Two keys of one validator: the set says which votes, and no height is signed with both."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from node.signing.key_ring import KeyRing
from state.primitives.errors import DoubleSignError, SignerRecordError
from state.primitives.keys import CONTEXT_VOTE
from tests.node.signing.keys import make_pair, make_ring, make_set, make_signer, open_signer, request_of, vote


def sign(ring: KeyRing, address: bytes, height: int) -> bool:
    try:
        ring.sign(request_of(vote(address, height)), address)
    except DoubleSignError:
        return False
    return True


def test_each_key_signs_with_itself(tmp_path: Path) -> None:
    ring = make_ring(tmp_path, "old", "new")
    for height, (name, address) in enumerate(zip(("old", "new"), ring.addresses, strict=True), 1):
        request = request_of(vote(address, height))
        signature, pq_signature = ring.sign(request, address)
        key, pq_key = make_pair(name)
        assert key.public_key.verify(request.sign_bytes, signature, b"")
        assert pq_key.public_key.verify(request.sign_bytes, pq_signature, CONTEXT_VOTE)
    ring.close()


def test_the_set_says_which_key_votes(tmp_path: Path) -> None:
    ring = make_ring(tmp_path, "old", "new")
    old, new = ring.addresses
    ring.select(make_set("old", "other"))
    assert ring.address == old
    ring.select(make_set("old", "new"))  # a member that should not be there: the old one goes on
    assert ring.address == old
    ring.select(make_set("new", "other"))
    assert ring.address == new
    ring.select(make_set("other"))  # not a validator for a while
    assert ring.address == new
    ring.close()


def test_every_order_of_heights_and_keys(tmp_path: Path) -> None:
    """Whatever is asked for in whatever order, no height has the signatures of both."""
    steps = list(itertools.product((0, 1), (1, 2, 3)))
    for number, order in enumerate(itertools.permutations(steps, 3)):
        folder = tmp_path / str(number)
        ring = make_ring(folder, "old", "new")
        signed: dict[int, set[int]] = {}
        for key, height in order:
            if sign(ring, ring.addresses[key], height):
                signed.setdefault(height, set()).add(key)
        ring.close()
        assert all(len(keys) == 1 for keys in signed.values()), order
        assert order[0][1] in signed  # the first is always given


def test_the_records_hold_the_rule_over_a_restart(tmp_path: Path) -> None:
    ring = make_ring(tmp_path, "old", "new")
    old, new = ring.addresses
    assert sign(ring, old, 7)
    ring.close()
    ring = KeyRing([open_signer(tmp_path, "old"), open_signer(tmp_path, "new")])
    assert not sign(ring, new, 7)
    assert sign(ring, new, 8)
    assert not sign(ring, old, 8)
    assert not sign(ring, old, 7)  # not even what it has signed: whoever needs it has had it
    ring.close()


def test_the_old_key_goes_only_after_the_new_one_has_signed(tmp_path: Path) -> None:
    ring = make_ring(tmp_path, "old", "new")
    old, new = ring.addresses
    assert sign(ring, old, 7)
    with pytest.raises(SignerRecordError, match="still needed"):
        ring.retire()
    assert sign(ring, new, 8)
    assert ring.retire().address == old
    assert (ring.address, ring.addresses, ring.held) == (new, (old, new), (new,))
    with pytest.raises(SignerRecordError, match="no key"):
        ring.sign(request_of(vote(old, 9)), old)
    with pytest.raises(SignerRecordError, match="next key already"):
        ring.add(make_signer(tmp_path / "again", "new"))
    ring.add(make_signer(tmp_path, "third"))
    with pytest.raises(SignerRecordError, match="next key already"):
        ring.add(make_signer(tmp_path, "fourth"))
    ring.close()


def test_abstaining_binds_both_keys(tmp_path: Path) -> None:
    ring = make_ring(tmp_path, "old", "new")
    ring.abstain_through(9)
    assert not any(sign(ring, address, 9) for address in ring.addresses)
    assert sign(ring, ring.addresses[1], 10)
    ring.close()
