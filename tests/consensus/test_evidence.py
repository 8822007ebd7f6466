"""Proof of a double vote: one order, one hash, and nothing in it that the chain does not say itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus.evidence import DuplicateVoteEvidence
from state.primitives.errors import InvalidEvidenceError
from tests.consensus.world import BASE_NS, CHAIN, PRECOMMIT, PREVOTE, FakeVerifier, Scene, make_set, sign_vote, spoil

SCENE = Scene((3, 2, 1, 1))
A, B, NIL = (SCENE.vote(1, PRECOMMIT, 2, value) for value in ("A", "B", None))
GOOD = DuplicateVoteEvidence.of(A, B, SCENE.validators, BASE_NS)


def check(item: DuplicateVoteEvidence, time_ns: int = BASE_NS) -> None:
    item.verify(CHAIN, SCENE.validators, time_ns, FakeVerifier())


def test_l2_both_orders_are_one_offence() -> None:
    assert DuplicateVoteEvidence.of(B, A, SCENE.validators, BASE_NS) == GOOD
    check(GOOD)
    assert (GOOD.total_power, GOOD.validator_power) == (7, 2)


def test_l2_a_nil_vote_conflicts_and_stands_first() -> None:
    item = DuplicateVoteEvidence.of(A, NIL, SCENE.validators, BASE_NS)
    assert item.vote_a == NIL
    check(item)


def test_the_hash_ignores_the_post_quantum_signatures() -> None:
    """ML-DSA is hedged: two signatures of one vote differ, and must not make two offences."""
    again = replace(GOOD, vote_a=replace(GOOD.vote_a, pq_signature=b"other"))
    assert again.hash() == GOOD.hash()
    assert len(GOOD.hash()) == 32


def by(index: int, **changes: object) -> Callable[[], DuplicateVoteEvidence]:
    """Evidence whose second vote is another, properly signed one."""
    vote = replace(GOOD.vote_b, **changes)  # type: ignore[arg-type]
    return lambda: replace(GOOD, vote_b=sign_vote(vote, SCENE.validators.validators[index]))


BAD: dict[str, Callable[[], DuplicateVoteEvidence]] = {
    "same vote": lambda: replace(GOOD, vote_b=GOOD.vote_a),
    "same block, other signature": lambda: replace(GOOD, vote_b=spoil(GOOD.vote_a)),
    "wrong order": lambda: replace(GOOD, vote_a=GOOD.vote_b, vote_b=GOOD.vote_a),
    "other height": by(1, height=2),
    "other round": by(1, round=1),
    "other type": by(1, type=PREVOTE),
    "other validator": by(0, validator_address=SCENE.validators.validators[0].address, validator_index=0),
    "other index": by(1, validator_index=0),
    "signed by another": by(2),
    "first unsigned": lambda: replace(GOOD, vote_a=spoil(GOOD.vote_a)),
    "second unsigned": lambda: replace(GOOD, vote_b=spoil(GOOD.vote_b)),
    "without post-quantum half": lambda: replace(GOOD, vote_b=replace(GOOD.vote_b, pq_signature=b"")),
    "wrong power": lambda: replace(GOOD, validator_power=3),
    "wrong total": lambda: replace(GOOD, total_power=8),
    "wrong time": lambda: replace(GOOD, time_ns=BASE_NS + 1),
}


@pytest.mark.parametrize("name", BAD)
def test_l2_l7_whatever_is_wrong_with_evidence_is_seen(name: str) -> None:
    with pytest.raises(InvalidEvidenceError):
        check(BAD[name]())


def test_the_accused_was_a_validator_at_that_height() -> None:
    with pytest.raises(InvalidEvidenceError):
        GOOD.verify(CHAIN, make_set((1,)), BASE_NS, FakeVerifier())
    moved = replace(GOOD, vote_a=replace(GOOD.vote_a, validator_index=-1), vote_b=replace(GOOD.vote_b, validator_index=-1))
    with pytest.raises(InvalidEvidenceError):
        check(moved)


def test_the_time_comes_from_the_chain_not_from_the_reporter() -> None:
    with pytest.raises(InvalidEvidenceError):
        check(GOOD, BASE_NS + 1)
