"""Rows L1, L2, L3 and L7 as blocks meet them: what a block may carry, in which order, how old, how often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from consensus.block import Block
from consensus.evidence import (
    DuplicateVoteEvidence,
    Evidence,
    LightClientAttackEvidence,
    evidence_hash,
    is_expired,
    misbehavior_of,
    order_of,
    size_of,
)
from consensus.history import NoHistory
from consensus.validation import validate_block
from state.misbehavior import MisbehaviorKind
from state.params import ConsensusParams
from state.primitives.errors import InvalidBlockError
from state.primitives.hashing import sha256
from state.primitives.limits import EVIDENCE_BYTES_HARD_MAX
from tests.consensus.evidence_world import A, B, Chain, S
from tests.consensus.world import BASE_NS, FakeVerifier

WINDOW = ConsensusParams(evidence_blocks_max=5, evidence_age_s_max=60)
WORLD = Chain((3, 2, 1, 1)).grow(8)
VOTES, PROPOSALS = WORLD.double_vote(4), WORLD.double_proposal(5, 2)
ATTACK = LightClientAttackEvidence.of(WORLD.forged(7, app_hash=sha256(b"false")), 6, WORLD)


def check(chain: Chain, *evidence: Evidence, after_ns: int = S, is_decided: bool = False) -> None:
    block = chain.next_block(*evidence, after_ns=after_ns)
    validate_block(block, chain.tip, FakeVerifier(), chain, is_decided=is_decided)


def test_all_three_kinds_stand_in_one_block_and_the_ledger_hears_of_each() -> None:
    check(WORLD, VOTES, PROPOSALS, ATTACK)
    found = misbehavior_of((VOTES, PROPOSALS, ATTACK))
    kinds = [MisbehaviorKind.DOUBLE_VOTE, MisbehaviorKind.DOUBLE_PROPOSAL, *[MisbehaviorKind.LIGHT_CLIENT_ATTACK] * 3]
    assert [item.kind for item in found] == kinds
    assert [(item.height, item.time_ns, item.power) for item in found[:2]] == [
        (4, BASE_NS + 4 * S, 2), (5, BASE_NS + 5 * S, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("blocks", "age_s", "expired"),
    [
        (5, 60, False), (6, 60, False), (5, 61, False), (6, 61, True), (5, 10**6, False), (10**6, 60, False), (6, 60.000001, True),
    ],
)  # fmt: skip
def test_l1_only_what_is_too_old_in_blocks_and_in_time_has_expired(blocks: int, age_s: float, expired: bool) -> None:
    assert is_expired(VOTES, WINDOW, VOTES.height + blocks, VOTES.time_ns + round(age_s * S)) is expired


@pytest.mark.parametrize(("blocks", "age_s", "good"), [(5, 61, True), (6, 60, True), (6, 61, False)])
def test_l1_the_age_is_counted_to_the_block_that_carries_it(blocks: int, age_s: int, good: bool) -> None:
    """By the times of two blocks of the chain; no clock is asked."""
    chain = Chain(params=WINDOW).grow(3 + blocks - 1, after_ns=S)
    item = chain.double_vote(3)
    after_ns = age_s * S - (chain.tip.last_block_time_ns - item.time_ns)
    if good:
        check(chain, item, after_ns=after_ns)
    else:
        with pytest.raises(InvalidBlockError, match="expired"):
            check(chain, item, after_ns=after_ns)


def test_l3_what_is_on_the_chain_is_not_punished_again() -> None:
    chain = Chain().grow(4)
    item = chain.double_vote(3)
    chain.add(chain.next_block(item))
    other_votes = chain.double_vote(3, values=(A, None))  # another proof of the same offence
    for again in (item, other_votes):
        with pytest.raises(InvalidBlockError, match="punished before"):
            check(chain, again)
    check(chain, chain.double_vote(3, round_=1))  # another round is another offence


def test_l2_the_order_is_by_height_and_offence_and_nothing_is_there_twice() -> None:
    rounds = sorted((WORLD.double_vote(4, round_=number) for number in range(6)), key=order_of)
    check(WORLD, *rounds)
    wrong: list[Sequence[Evidence]] = [
        rounds[::-1], [rounds[1], rounds[0]], [VOTES, VOTES], [PROPOSALS, VOTES], [VOTES, WORLD.double_vote(4, values=(A, None))]
    ]  # fmt: skip
    for items in wrong:
        with pytest.raises(InvalidBlockError, match="out of order, or twice"):
            check(WORLD, *items)


def test_l3_a_proof_that_accuses_somebody_new_still_counts() -> None:
    chain = Chain((3, 2, 1, 1)).grow(8)

    def attack(*signers: int, common: int = 4) -> LightClientAttackEvidence:
        return LightClientAttackEvidence.of(
            chain.forged(6, app_hash=sha256(b"false"), signers=signers), common, chain
        )

    few, more = attack(0, 1), attack(0, 1, 2)
    early, late = attack(0, 1, 2, common=4), attack(0, 1, common=5)
    with pytest.raises(InvalidBlockError, match="punished before"):
        check(chain, early, late)
    check(chain, attack(0, 1, common=3), early)
    chain.add(chain.next_block(few))
    with pytest.raises(InvalidBlockError, match="punished before"):
        check(chain, attack(0, 1, common=5))
    check(chain, more)
    chain.add(chain.next_block(more))
    for again in (few, more, attack(1, 2, 0, common=3)):
        with pytest.raises(InvalidBlockError, match="punished before"):
            check(chain, again)


BAD: dict[str, Callable[[], Evidence]] = {
    "wrong power (L7)": lambda: replace(VOTES, validator_power=3),
    "wrong total (L7)": lambda: replace(VOTES, total_power=8),
    "wrong time": lambda: replace(VOTES, time_ns=VOTES.time_ns - 1),
    "unknown validator": lambda: Chain((9, 9, 9, 9, 9)).grow(8).double_vote(4, 4),
    "unsigned": lambda: replace(VOTES, vote_a=replace(VOTES.vote_a, signature=bytes(64))),
    "the height itself": lambda: _at_height(9),
    "a height ahead": lambda: _at_height(12),
    "proposals, unsigned": lambda: replace(PROPOSALS, proposal_b=replace(PROPOSALS.proposal_b, signature=bytes(64))),
    "an attack, other power": lambda: replace(ATTACK, total_power=9),
}


def _at_height(height: int) -> Evidence:
    return Chain().grow(12).double_vote(height)


@pytest.mark.parametrize("name", BAD)
def test_a_block_with_bad_evidence_is_refused(name: str) -> None:
    with pytest.raises(InvalidBlockError, match="bad evidence"):
        check(WORLD, BAD[name]())
    with pytest.raises(InvalidBlockError, match="bad evidence"):
        check(WORLD, BAD[name](), is_decided=True)


def test_evidence_of_another_chain_is_refused() -> None:
    tip = replace(WORLD.tip, chain_id="other-1")
    block = WORLD.next_block(VOTES)
    other = Block(replace(block.header, chain_id="other-1"), block.txs, block.evidence, block.last_commit)
    with pytest.raises(InvalidBlockError, match="bad evidence"):
        validate_block(other, tip, FakeVerifier(), WORLD)


def test_the_parameter_bounds_the_bytes_and_zero_forbids_evidence() -> None:
    size = size_of(VOTES)
    for bytes_max, good in ((size, True), (size - 1, False), (0, False)):
        chain = Chain(params=ConsensusParams(evidence_bytes_max=bytes_max)).grow(8)
        if good:
            check(chain, chain.double_vote(4))
        else:
            with pytest.raises(InvalidBlockError, match="more bytes of evidence"):
                check(chain, chain.double_vote(4))


def test_whatever_the_parameter_says_an_announcement_must_hold_it() -> None:
    chain = Chain(params=ConsensusParams(evidence_bytes_max=7 * 1024 * 1024, block_bytes_max=7 * 1024 * 1024)).grow(8)
    count = EVIDENCE_BYTES_HARD_MAX // size_of(chain.double_vote(4)) + 1
    items = sorted((chain.double_vote(4, round_=number) for number in range(count)), key=order_of)
    with pytest.raises(InvalidBlockError, match="more bytes of evidence"):
        check(chain, *items)


def test_evidence_and_transactions_share_the_bytes_of_a_block() -> None:
    chain = Chain(params=ConsensusParams(block_bytes_max=64 * 1024)).grow(8)
    size = size_of(chain.double_vote(4))
    count = 64 * 1024 // size + 1
    items = sorted((chain.double_vote(4, round_=number) for number in range(count)), key=order_of)
    check(chain, *items[:-1])
    with pytest.raises(InvalidBlockError, match="more bytes of transactions and evidence"):
        check(chain, *items)


def test_without_a_history_no_evidence_is_taken() -> None:
    block = WORLD.next_block(VOTES)
    with pytest.raises(InvalidBlockError, match="not kept"):
        validate_block(block, WORLD.tip, FakeVerifier())
    with pytest.raises(InvalidBlockError, match="not kept"):
        validate_block(block, WORLD.tip, FakeVerifier(), NoHistory())


def test_a_decided_block_is_believed_about_heights_that_are_gone_and_about_nothing_else() -> None:
    """A node that began with a snapshot cannot judge what lies before it; it must not vote for it, and must not fail on it."""
    chain = Chain().grow(8)
    old, recent = chain.double_vote(4), chain.double_vote(6)
    chain.base = 5
    with pytest.raises(InvalidBlockError, match="not kept"):
        check(chain, old)
    check(chain, old, recent, is_decided=True)
    with pytest.raises(InvalidBlockError):
        check(chain, replace(recent, time_ns=1), is_decided=True)
    chain.punished[old.offence] = 7
    with pytest.raises(InvalidBlockError, match="punished before"):
        check(chain, old, is_decided=True)


def test_a_header_must_name_its_evidence() -> None:
    block = WORLD.next_block(VOTES)
    bare = Block(replace(block.header, evidence_hash=evidence_hash(())), block.txs, block.evidence, block.last_commit)
    with pytest.raises(InvalidBlockError, match="evidence hash"):
        validate_block(bare, WORLD.tip, FakeVerifier(), WORLD)


def test_the_name_of_a_block_covers_the_post_quantum_signatures_of_its_evidence() -> None:
    """The header does not, and the verdict rests on them: two blocks of one name would split the voters."""
    block = WORLD.next_block(VOTES)
    spoiled = replace(VOTES, vote_a=replace(VOTES.vote_a, pq_signature=bytes(len(VOTES.vote_a.pq_signature))))
    other = Block(block.header, block.txs, (spoiled,), block.last_commit)
    assert other.header.evidence_hash == evidence_hash((spoiled,))
    assert other.block_id() != block.block_id()


def test_votes_for_nil_are_evidence_too() -> None:
    item = WORLD.double_vote(4, values=(None, B))
    assert isinstance(item, DuplicateVoteEvidence)
    check(WORLD, item)
