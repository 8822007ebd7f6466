"""Proof of a double proposal (L5): one order, one hash, one offence, and nothing in it that the chain does not say itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus.evidence import DuplicateProposalEvidence
from consensus.vote import Proposal
from state.misbehavior import MisbehaviorKind
from state.primitives.errors import InvalidEvidenceError
from state.primitives.hashing import sha256
from tests.consensus.evidence_world import A, B, Chain
from tests.consensus.world import BASE_NS, CHAIN, FakeVerifier, sign_proposal

WORLD = Chain().grow(4)
GOOD = WORLD.double_proposal(3)
MEMBERS = WORLD.set.validators


def check(item: DuplicateProposalEvidence, chain_id: str = CHAIN) -> None:
    item.verify(chain_id, WORLD.set, WORLD.blocks[3].header.time_ns, FakeVerifier())


def test_l5_two_proposals_of_one_round_are_an_offence_in_whatever_order() -> None:
    check(GOOD)
    again = DuplicateProposalEvidence.of(
        GOOD.proposal_b, GOOD.proposal_a, GOOD.validator_address, WORLD.set, GOOD.time_ns
    )
    assert again == GOOD
    assert (GOOD.proposal_a.block_id, GOOD.proposal_b.block_id) == (A, B)
    assert (GOOD.validator_power, GOOD.total_power) == (2, 7)


@pytest.mark.parametrize("changes", [{"pol_round": 0}, {"time_ns": BASE_NS + 1}])
def test_l5_the_same_block_under_another_word_is_a_second_proposal_too(changes: dict[str, int]) -> None:
    first, second = WORLD.proposal(3, 1, A), WORLD.proposal(3, 1, A, **changes)
    check(DuplicateProposalEvidence.of(first, second, MEMBERS[1].address, WORLD.set, GOOD.time_ns))


def with_b(index: int = 1, **changes: object) -> Callable[[], DuplicateProposalEvidence]:
    """Evidence whose second proposal is another, properly signed one."""
    other = replace(GOOD.proposal_b, **changes)  # type: ignore[arg-type]
    return lambda: replace(GOOD, proposal_b=sign_proposal(other, MEMBERS[index]))


def spoiled(proposal: Proposal) -> Proposal:
    return replace(proposal, signature=bytes((proposal.signature[0] ^ 1,)) + proposal.signature[1:])


BAD: dict[str, Callable[[], DuplicateProposalEvidence]] = {
    "the same twice": lambda: replace(GOOD, proposal_b=GOOD.proposal_a),
    "the same, signed again": lambda: replace(GOOD, proposal_b=replace(GOOD.proposal_a, pq_signature=b"again")),
    "wrong order": lambda: replace(GOOD, proposal_a=GOOD.proposal_b, proposal_b=GOOD.proposal_a),
    "other height": with_b(height=2),
    "other round": with_b(round=2),
    "signed by another": with_b(2),
    "first unsigned": lambda: replace(GOOD, proposal_a=spoiled(GOOD.proposal_a)),
    "second unsigned": lambda: replace(GOOD, proposal_b=spoiled(GOOD.proposal_b)),
    "without post-quantum half": lambda: replace(GOOD, proposal_b=replace(GOOD.proposal_b, pq_signature=b"")),
    "another accused": lambda: replace(GOOD, validator_address=MEMBERS[0].address, validator_power=3),
    "a stranger accused": lambda: replace(GOOD, validator_address=b"s" * 20),
    "wrong power (L7)": lambda: replace(GOOD, validator_power=3),
    "wrong total (L7)": lambda: replace(GOOD, total_power=8),
    "wrong time": lambda: replace(GOOD, time_ns=GOOD.time_ns + 1),
}


@pytest.mark.parametrize("name", BAD)
def test_l5_whatever_is_wrong_with_it_is_seen(name: str) -> None:
    with pytest.raises(InvalidEvidenceError):
        check(BAD[name]())


def test_l5_proposals_of_another_chain_prove_nothing() -> None:
    with pytest.raises(InvalidEvidenceError):
        check(GOOD, "other-1")


def test_one_offence_whatever_proves_it() -> None:
    other = WORLD.proposal(3, 1, A, time_ns=BASE_NS + 5)
    again = DuplicateProposalEvidence.of(GOOD.proposal_b, other, GOOD.validator_address, WORLD.set, GOOD.time_ns)
    assert again.offence == GOOD.offence
    assert again.hash() != GOOD.hash() == sha256(GOOD.proto())
    assert WORLD.double_proposal(2).offence != GOOD.offence
    assert WORLD.double_proposal(3, 2).offence != GOOD.offence
    (found,) = GOOD.misbehavior()
    assert found == (MisbehaviorKind.DOUBLE_PROPOSAL, MEMBERS[1].address, 3, GOOD.time_ns, 2, 7)
