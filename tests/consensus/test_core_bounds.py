"""What the core keeps of one height is bounded (A6), whatever comes; and what was let go is asked for again when it counts."""

from __future__ import annotations

from dataclasses import replace

from consensus import messages as m
from consensus import proposer
from consensus.vote import Proposal
from state.primitives.limits import (
    BLOCKS_PER_HEIGHT_MAX,
    FUTURE_PROPOSALS_MAX,
    NEXT_HEIGHT_VOTES_PER_VALIDATOR_MAX,
    PROPOSALS_PER_ROUND_MAX,
    VALIDATORS_MAX,
)
from tests.consensus.test_core import decided_scene, scene_at
from tests.consensus.world import BASE_NS, MS, PRECOMMIT, PREVOTE, Scene, of_kind, sign_proposal


def test_a6_a_flood_of_future_rounds_leaves_the_next_round_usable() -> None:
    scene = scene_at()
    for round_ in range(10**6, 10**6 + 500):
        scene.votes((0,), PREVOTE, round_, None)
    assert len(scene.core.view.votes.rounds()) <= 4
    scene.votes((1, 2), PREVOTE, 1, None)
    assert scene.place == (1, m.Step.PROPOSE)


def test_a6_a_flood_of_double_votes_is_reported_within_a_bound_and_then_not_logged() -> None:
    scene = scene_at()
    outputs = []
    for n in range(200):
        outputs.append(scene.votes((0,), PREVOTE, 0, f"A{n}"))
    flat = [output for out in outputs for output in out]
    assert len(of_kind(flat, m.ReportEvidence)) == 3
    assert all(out == [] for out in outputs[4:])


def test_a6_proposals_far_ahead_are_not_kept() -> None:
    scene = scene_at()
    assert scene.step(m.ProposalReceived(scene.proposal(FUTURE_PROPOSALS_MAX + 1, "A"), BASE_NS)) == []
    assert scene.step(m.ProposalReceived(scene.proposal(FUTURE_PROPOSALS_MAX, "A"), BASE_NS)) != []


def test_a6_votes_of_the_next_height_wait_within_a_bound() -> None:
    scene = decided_scene()
    early = [scene.vote(0, PREVOTE, round_, None, 2) for round_ in range(100)]
    strangers = [replace(early[0], validator_address=n.to_bytes(20, "big")) for n in range(2 * VALIDATORS_MAX)]
    for vote in [*early, *strangers]:
        assert scene.core.step(m.VoteReceived(vote)) == []
    kept = scene.core._early_votes
    assert len(kept) == VALIDATORS_MAX
    assert sum(map(len, kept.values())) <= NEXT_HEIGHT_VOTES_PER_VALIDATOR_MAX + VALIDATORS_MAX - 1


def test_a6_early_proposals_wait_once_each_within_a_bound() -> None:
    scene = decided_scene()
    proposals = [replace(scene.proposal(0, "A"), height=2, round=round_) for round_ in range(40)]
    for proposal in [*proposals[:1] * 40, *proposals]:
        assert scene.core.step(m.ProposalReceived(proposal, BASE_NS)) == []
    assert len(scene.core._early_proposals) == FUTURE_PROPOSALS_MAX


def test_a6_blocks_of_many_failed_rounds_make_room_but_not_the_bound_one() -> None:
    """A height of fifty rounds, each with its own block, still decides; the locked block is never let go."""
    scene = scene_at(own=3)
    scene.propose(0, "A")
    scene.give_block("A")
    scene.votes((0, 1), PREVOTE, 0, "A")
    assert scene.lock == ("A", 0, "A", 0)
    for round_ in range(1, 50):
        scene.votes((0, 1), PRECOMMIT, round_, None)
        if proposer.proposer_of(scene.validators, scene.priorities, round_) is scene.validators.validators[3]:
            continue
        name = f"B{round_}"
        scene.propose(round_, name)
        scene.give_block(name)
    view = scene.core.view
    assert len(view.blocks) <= BLOCKS_PER_HEIGHT_MAX
    assert scene.block_id("A") in view.blocks
    out = scene.votes((0, 1, 2), PRECOMMIT, 2, "B2")  # long gone: it is asked for again, and decides
    assert of_kind(out, m.WantBlock) == [m.WantBlock(1, scene.block_id("B2"))]
    assert of_kind(scene.give_block("B2", None), m.Decide)[0].round == 2


def test_a6_a_block_that_nobody_named_is_not_kept() -> None:
    scene = scene_at()
    assert scene.give_block("A", None) == []
    assert scene.core.view.blocks == {}


def test_a6_proposals_of_a_block_with_a_quorum_are_not_kept_without_end() -> None:
    """A proposer that says the same block with another time again and again: beyond the bound one proposal of it is enough."""
    scene = scene_at(own=1)
    scene.propose(0, "A")
    scene.give_block("A")
    scene.votes((0, 2), PREVOTE, 0, "A")
    block, sender = scene.block("A"), proposer.proposer_of(scene.validators, scene.priorities, 0)
    out: list[m.Output] = []
    for late in range(1, 100):
        other = Proposal(1, 0, -1, block.block_id(), block.header.time_ns + late)
        out += scene.step(m.ProposalReceived(sign_proposal(other, sender), BASE_NS + 1000 * MS))
    assert len(scene.core.view.proposals(0)) == PROPOSALS_PER_ROUND_MAX
    assert len(of_kind(out, m.ReportEvidence)) == PROPOSALS_PER_ROUND_MAX - 1
    assert len(of_kind(out, m.Persist)) == PROPOSALS_PER_ROUND_MAX - 1


def test_a6_beyond_the_bound_the_proposal_that_a_quorum_wants_is_still_taken() -> None:
    scene = scene_at(own=1)
    scene.propose(0, "B")
    scene.propose(0, "C")
    scene.timeout(0, m.Step.PROPOSE)
    scene.votes((0, 2, 3), PREVOTE, 0, "A")
    scene.propose(0, "A")
    scene.give_block("A")
    assert scene.lock == ("A", 0, "A", 0)


def fail_round(scene: Scene, round_: int) -> None:
    scene.votes((0, 2, 3), PRECOMMIT, round_, None)
    scene.timeout(round_, m.Step.PRECOMMIT)


def is_own_turn(scene: Scene, round_: int) -> bool:
    return proposer.proposer_of(scene.validators, scene.priorities, round_).address == scene.core.address


def fill_with_other_blocks(scene: Scene) -> int:
    """Rounds fail, each with a block of its own, until A was let go; the next round of somebody else."""
    round_ = 0
    while scene.block_id("A") in scene.core.view.blocks or is_own_turn(scene, round_):
        fail_round(scene, round_)
        round_ += 1
        if not is_own_turn(scene, round_) and scene.block_id("A") in scene.core.view.blocks:
            scene.propose(round_, chr(ord("B") + round_))
            scene.give_block(chr(ord("B") + round_))
    assert scene.place[0] == round_
    return round_


def test_a6_a_block_that_was_let_go_and_is_proposed_again_is_asked_for_again() -> None:
    """With its verdict known it was voted for without its bytes, which ended the node."""
    scene = scene_at(own=1)
    scene.propose(0, "A")
    scene.give_block("A")
    round_ = fill_with_other_blocks(scene)
    if scene.core.view.proposals(round_):  # the one that pushed A out
        fail_round(scene, round_)
        round_ += 1
        while is_own_turn(scene, round_):
            fail_round(scene, round_)
            round_ += 1
    out = scene.propose(round_, "A")
    assert of_kind(out, m.WantBlock) == [m.WantBlock(1, scene.block_id("A"))]
    assert not of_kind(out, m.SignVote)
    out = scene.give_block("A", None)  # it was judged already
    assert [request.vote.block_id for request in of_kind(out, m.SignVote)] == [scene.block_id("A")]


def test_a6_a_block_that_was_let_go_and_is_proposed_with_a_proof_of_lock() -> None:
    scene = scene_at(own=1)
    scene.propose(0, "A")
    scene.give_block("A")
    round_ = fill_with_other_blocks(scene) + 1
    fail_round(scene, round_ - 1)
    while is_own_turn(scene, round_):
        fail_round(scene, round_)
        round_ += 1
    scene.votes((0, 2, 3), PREVOTE, 0, "A")  # late: what the proposal stands on
    scene.propose(round_, "A", pol_round=0)
    out = scene.give_block("A", None)
    assert [request.vote.block_id for request in of_kind(out, m.SignVote)] == [scene.block_id("A")]


def test_a6_the_block_of_an_early_proposal_that_was_let_go_is_asked_for_when_its_round_begins() -> None:
    scene = scene_at(own=1)
    early = next(round_ for round_ in range(FUTURE_PROPOSALS_MAX, 0, -1) if not is_own_turn(scene, round_))
    scene.propose(early, "A")
    scene.give_block("A")
    for name in range(BLOCKS_PER_HEIGHT_MAX):  # blocks of other rounds, by cheats: one round may name two
        round_ = next(r for r in range(early) if len(scene.core.view.proposals(r)) < PROPOSALS_PER_ROUND_MAX and not is_own_turn(scene, r))
        scene.propose(round_, chr(ord("B") + name))
        scene.give_block(chr(ord("B") + name))
    assert scene.block_id("A") not in scene.core.view.blocks
    out: list[m.Output] = []
    for index in (0, 2):
        out += scene.step(m.VoteReceived(scene.vote(index, PREVOTE, early, None)))
    assert scene.place[0] == early
    assert of_kind(out, m.WantBlock) == [m.WantBlock(1, scene.block_id("A"))]


def test_a6_inventions_of_coming_rounds_are_not_wanted_before_those_rounds() -> None:
    """One validator of four named eight blocks that do not exist, and the block under way made room for them."""
    scene = scene_at(own=3)
    out = scene.propose(0, "A")
    names = iter("BCDEFGHIJKLMNOPQ")
    for round_ in range(1, FUTURE_PROPOSALS_MAX + 1):
        if proposer.proposer_of(scene.validators, scene.priorities, round_) is scene.validators.validators[1]:
            out += scene.propose(round_, next(names)) + scene.propose(round_, next(names))
    assert of_kind(out, m.WantBlock) == [m.WantBlock(1, scene.block_id("A"))]
    assert scene.core.view.missing_blocks() == [scene.block_id("A")]


def test_a6_what_is_missing_is_named_by_its_importance() -> None:
    scene = scene_at(own=3)
    for name in ("A", "B"):
        scene.propose(0, name)
    scene.votes((0, 1, 2), PRECOMMIT, 1, "F")
    scene.votes((0, 1, 2), PREVOTE, 0, "E")
    scene.timeout(0, m.Step.PROPOSE)
    fail = [scene.timeout(0, step) for step in (m.Step.PREVOTE, m.Step.PRECOMMIT)]
    assert fail and scene.place[0] == 1
    scene.propose(1, "D")
    assert [scene.names[block_id] for block_id in scene.core.view.missing_blocks()] == ["F", "E", "D", "A", "B"]
