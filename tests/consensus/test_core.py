"""The core beyond what the transcripts tell: what it refuses, what it bounds, heights, time, and what it writes before it speaks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus import messages as m
from consensus import proposer
from consensus.block_id import EMPTY, BlockID
from consensus.core import Core
from consensus.replay import decode_entry
from consensus.timeouts import Timeouts
from consensus.vote import Proposal, Vote, VoteType
from state.params import ConsensusParams
from state.primitives.errors import ConsensusFailure, InvalidCommitError, InvalidVoteError
from tests.consensus.world import (
    BASE_NS,
    CHAIN,
    MS,
    PRECOMMIT,
    PREVOTE,
    FakeVerifier,
    Scene,
    fake_signatures,
    make_commit,
    of_kind,
    sign_vote,
    spoil,
)

S = 1_000 * MS


def scene_at(own: int | None = 3, **more: object) -> Scene:
    scene = Scene(own=own, **more)  # type: ignore[arg-type]
    scene.start()
    return scene


def decided_scene(own: int | None = 3) -> Scene:
    """A core that has just decided A at height 1 with v0, v1 and v2."""
    scene = scene_at(own, signs=False)
    scene.propose(0, "A")
    scene.give_block("A")
    out = scene.votes((0, 1, 2), PRECOMMIT, 0, "A")
    assert of_kind(out, m.Decide)
    return scene


def next_start(scene: Scene, commit: tuple[m.Commit, m.PqCommit]) -> m.StartHeight:
    priorities = proposer.advance(scene.validators, scene.priorities, 1)
    return m.StartHeight(
        scene.height + 1, scene.validators, priorities, scene.validators, scene.block_id("A"),
        scene.block("A").header.time_ns, *commit, Timeouts.of(scene.params),
    )  # fmt: skip


# A: what is not counted


GOOD = Scene().vote(0, PREVOTE, 0, "A")


def resigned(vote: Vote, **changes: object) -> Vote:
    """The vote with other fields, signed again by v0."""
    scene = Scene()
    return sign_vote(replace(vote, **changes), scene.validators.validators[0])  # type: ignore[arg-type]


FORGERIES = {
    "ed25519 signature": spoil(GOOD),
    "no ed25519 signature": replace(GOOD, signature=b""),
    "post-quantum signature": replace(GOOD, pq_signature=GOOD.pq_signature[:-1] + b"\0"),
    "no post-quantum signature": replace(GOOD, pq_signature=b""),
    "unsigned height": replace(GOOD, round=1),
    "unsigned type": replace(GOOD, type=PRECOMMIT),
    "unsigned value": replace(GOOD, block_id=None),
    "unsigned time": replace(GOOD, time_ns=GOOD.time_ns + 1),
    "index of another": replace(GOOD, validator_index=1),
    "index beyond the set": replace(GOOD, validator_index=4),
    "huge index": replace(GOOD, validator_index=1 << 63),
    "negative index": replace(GOOD, validator_index=-1),
    "last index from behind": replace(GOOD, validator_index=-4),
    "address of another": replace(GOOD, validator_address=Scene().validators.validators[1].address),
    "address of nobody": replace(GOOD, validator_address=b"x" * 20),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a5_a_vote_that_its_validator_did_not_sign_is_refused_and_changes_nothing(name: str) -> None:
    scene = scene_at()
    before = scene.core.state
    with pytest.raises(InvalidVoteError):
        scene.core.step(m.VoteReceived(FORGERIES[name]))
    assert scene.core.state == before
    assert scene.core.view.votes.rounds() == []


def test_a5_votes_and_proposals_of_another_chain_are_refused() -> None:
    scene = scene_at()
    validator = scene.validators.validators[0]
    vote = replace(GOOD, signature=b"", pq_signature=b"")
    foreign = vote.with_signatures(*fake_signatures(validator.ed25519_key, vote.sign_bytes("test-2")))
    with pytest.raises(InvalidVoteError):
        scene.core.step(m.VoteReceived(foreign))
    proposal = scene.proposal(0, "A")
    signatures = fake_signatures(validator.ed25519_key, proposal.sign_bytes("test-2"))
    with pytest.raises(InvalidVoteError):
        scene.core.step(m.ProposalReceived(proposal.with_signatures(*signatures), proposal.time_ns))


def test_a5_the_same_bytes_are_verified_once() -> None:
    scene = scene_at()
    for _ in range(5):
        scene.core.step(m.VoteReceived(GOOD))
    assert scene.verifier.calls == 1


@pytest.mark.parametrize("height", [3, 7, 1 << 62])
def test_a5_votes_of_other_heights_are_dropped_without_a_word(height: int) -> None:
    scene = scene_at()
    assert scene.core.step(m.VoteReceived(resigned(GOOD, height=height))) == []
    assert scene.verifier.calls == 0


@pytest.mark.parametrize(
    "proposal",
    [
        Proposal(1, 1, 1, Scene().block_id("A"), BASE_NS),
        Proposal(1, 1, 7, Scene().block_id("A"), BASE_NS),
        Proposal(1, 1, -2, Scene().block_id("A"), BASE_NS),
        Proposal(1, 1, -1, EMPTY, BASE_NS),
    ],
)
def test_b2_impossible_proposals_are_refused_even_if_signed(proposal: Proposal) -> None:
    scene = scene_at()
    sender = scene.validators.validators[1]
    signed = proposal.with_signatures(*fake_signatures(sender.ed25519_key, proposal.sign_bytes(CHAIN)))
    with pytest.raises(InvalidVoteError):
        scene.core.step(m.ProposalReceived(signed, BASE_NS))


def test_a4_timeouts_are_armed_once() -> None:
    scene = scene_at()
    out = scene.propose(0, "A") + scene.give_block("A")
    out += scene.votes((0, 1, 2), PREVOTE, 0, None) + scene.votes((0, 1, 2), PRECOMMIT, 0, None)
    out += scene.votes((0, 1, 2), PREVOTE, 0, "B") + scene.votes((0, 1, 2), PRECOMMIT, 0, "B")
    armed = [(o.round, o.step) for o in of_kind(out, m.ScheduleTimeout)]
    assert sorted(armed) == [(0, m.Step.PREVOTE), (0, m.Step.PRECOMMIT)]


# B: proposing


def test_b6_everybody_agrees_on_the_proposer_after_a_jump() -> None:
    walker, jumper = Scene((5, 3, 1, 1), own=3), Scene((5, 3, 1, 1), own=3)
    walker.start()
    jumper.start()
    for round_ in range(5):
        walker.votes((0, 1), PRECOMMIT, round_, None)
        walker.timeout(round_, m.Step.PRECOMMIT)
    jumper.votes((0, 1), PRECOMMIT, 5, None)
    assert walker.place == jumper.place == (5, m.Step.PROPOSE)
    assert [walker.core.view.proposer(r) for r in range(12)] == [jumper.core.view.proposer(r) for r in range(12)]


def test_b1_the_value_proposed_again_keeps_its_time() -> None:
    scene = scene_at(own=1)
    scene.propose(0, "A")
    scene.give_block("A")
    scene.votes((0, 2), PREVOTE, 0, "A")
    scene.votes((2, 3), PRECOMMIT, 0, None)
    again = of_kind(scene.timeout(0, m.Step.PRECOMMIT), m.SignProposal)[0].proposal
    assert (again.pol_round, again.time_ns) == (0, scene.block("A").header.time_ns)


def test_b3_a_builder_that_answers_twice_gets_one_proposal() -> None:
    scene = scene_at(own=0, signs=False)
    asked = [*scene.step(m.ValueReady(1, 0, scene.block("A"))), *scene.step(m.ValueReady(1, 0, scene.block("B")))]
    assert [request.proposal.block_id for request in of_kind(asked, m.SignProposal)] == [scene.block_id("A")]


def test_b1_no_built_value_beside_the_one_proposed_again() -> None:
    scene = scene_at(own=1)
    scene.propose(0, "A")
    scene.give_block("A")
    scene.votes((0, 2), PREVOTE, 0, "A")
    scene.votes((2, 3), PRECOMMIT, 0, None)
    scene.signs = False
    assert len(of_kind(scene.timeout(0, m.Step.PRECOMMIT), m.SignProposal)) == 1
    for name in ("A", "B"):
        assert scene.step(m.ValueReady(1, 1, scene.block(name))) == []


def test_lock_values_go_with_every_request_to_sign() -> None:
    scene = scene_at(own=1)
    scene.propose(0, "A")
    scene.give_block("A")
    out = scene.votes((0, 2), PREVOTE, 0, "A")
    a = scene.block_id("A")
    assert of_kind(out, m.SignVote)[0].lock == m.Lock(a, 0, a, 0)


# E: heights


def test_e6_timeouts_grow_to_a_cap_and_start_anew_with_the_height() -> None:
    scene = scene_at(params=ConsensusParams(timeout_max_ms=10_000))
    out = scene.votes((0, 1), PRECOMMIT, 1000, None)
    assert of_kind(out, m.ScheduleTimeout)[0].delay_ns == 10 * S
    decided = decided_scene()
    out = decided.step(next_start(decided, decided.core.view.decision.commits()))  # type: ignore[union-attr]
    assert of_kind(out, m.ScheduleTimeout)[0].delay_ns == 3 * S


def test_e7_late_precommits_enrich_the_commit_of_our_own_proposal() -> None:
    scene = decided_scene(own=1)
    decided = of_kind(scene.log, m.Decide)[0]
    assert [bool(part.signature) for part in decided.commit.signatures] == [True, True, True, False]
    stored = (decided.commit, decided.pq_commit)
    scene.votes((3,), PRECOMMIT, 0, "A")  # after the decision, before the next height
    out = scene.step(next_start(scene, stored))
    commit = of_kind(out, m.BuildValue)[0].last_commit
    assert [bool(part.signature) for part in commit.signatures] == [True] * 4
    assert scene.core.last_precommits()[1].signatures[3] != b""


def test_e7_also_during_the_next_height_and_only_for_its_round() -> None:
    scene = decided_scene(own=1)
    decided = of_kind(scene.log, m.Decide)[0]
    scene.step(next_start(scene, (decided.commit, decided.pq_commit)))
    assert scene.votes((3,), PRECOMMIT, 1, "A") == []
    assert scene.core.last_precommits()[0] == decided.commit
    with pytest.raises(InvalidVoteError):
        scene.core.step(m.VoteReceived(spoil(scene.vote(3, PRECOMMIT, 0, "A"))))
    assert scene.votes((3,), PRECOMMIT, 0, None) == []
    assert scene.core.last_precommits()[0].signatures[3].flag == 3
    scene.votes((3,), PRECOMMIT, 0, "A")  # what is there stays
    assert scene.core.last_precommits()[0].signatures[3].flag == 3


def test_e7_our_own_precommit_signed_after_the_decision_is_still_sent() -> None:
    scene = scene_at(own=3, signs=False)
    scene.propose(0, "A")
    scene.give_block("A")
    scene.votes((0, 1, 2), PREVOTE, 0, "A")
    request = of_kind(scene.log, m.SignVote)[-1]
    assert request.vote.type is PRECOMMIT
    scene.votes((0, 1, 2), PRECOMMIT, 0, "A")
    signed = scene.sign(request)
    assert scene.core.step(m.Signed(signed)) == [m.Broadcast(signed)]
    assert scene.core.step(m.Signed(signed)) == []
    assert scene.core.view.decision is not None
    assert scene.core.view.decision.commits()[0].signatures[3].signature == signed.signature


def test_a_height_begins_only_after_the_one_before_is_decided() -> None:
    scene = scene_at()
    with pytest.raises(ConsensusFailure):
        scene.core.step(replace(scene.start_input(), height=2))
    decided = decided_scene()
    with pytest.raises(ConsensusFailure):
        decided.core.step(replace(decided.start_input(), height=3))
    with pytest.raises(ConsensusFailure):
        Core(CHAIN, None, FakeVerifier()).step(m.VoteReceived(GOOD))


def test_early_messages_of_the_next_height_are_taken_when_it_begins() -> None:
    scene = decided_scene()
    decided = of_kind(scene.log, m.Decide)[0]
    forged = spoil(scene.vote(2, PREVOTE, 1, None, 2))
    for vote in (scene.vote(0, PREVOTE, 1, None, 2), forged, scene.vote(1, PRECOMMIT, 1, None, 2)):
        scene.core.step(m.VoteReceived(vote))
    scene.step(next_start(scene, (decided.commit, decided.pq_commit)))
    assert scene.place == (1, m.Step.PROPOSE)


def test_e8_a_certificate_needs_its_post_quantum_half() -> None:
    scene = scene_at()
    block = scene.block("A")
    commit, pq_commit = make_commit(scene.validators, 1, 0, block.block_id(), (0, 1, 2))
    bare = replace(pq_commit, signatures=(b"",) * 4)
    with pytest.raises(InvalidCommitError):
        scene.core.step(m.CertificateReceived(block, commit, bare))
    other = replace(commit, block_id=BlockID(b"x" * 32, 1, b"y" * 32))
    with pytest.raises(InvalidCommitError):
        scene.core.step(m.CertificateReceived(block, other, pq_commit))
    assert of_kind(scene.core.step(m.CertificateReceived(block, commit, pq_commit)), m.Decide)


def test_a_double_vote_is_reported_with_both_votes_and_never_our_own() -> None:
    scene = scene_at(own=3)
    out = scene.votes((0,), PREVOTE, 0, "A") + scene.votes((0,), PREVOTE, 0, None)
    report = of_kind(out, m.ReportEvidence)[0]
    assert (report.first, report.second) == (scene.vote(0, PREVOTE, 0, "A"), scene.vote(0, PREVOTE, 0, None))
    out = scene.votes((3,), PREVOTE, 0, "A") + scene.votes((3,), PREVOTE, 0, "B")
    assert of_kind(out, m.ReportEvidence) == []


# F: time


PRECISION, DELAY = 505 * MS, 15 * S


@pytest.mark.parametrize(
    ("delay_ns", "timely"),
    [(-PRECISION - 1, False), (-PRECISION, True), (0, True), (DELAY + PRECISION, True), (DELAY + PRECISION + 1, False)],
)
def test_f2_the_edges_of_timely(delay_ns: int, timely: bool) -> None:
    scene = scene_at()
    out = scene.propose(0, "A", delay_ns=delay_ns) + scene.give_block("A")
    assert scene.cast(out) == [(PREVOTE, 0, "A" if timely else None)]


def test_f2_the_bound_grows_with_the_round() -> None:
    scene = scene_at()
    scene.votes((0, 1), PRECOMMIT, 10, None)
    out = scene.propose(10, "A", delay_ns=35 * S) + scene.give_block("A")
    assert scene.cast(out) == [(PREVOTE, 10, "A")]


def test_f3_a_value_with_a_proof_of_lock_is_never_judged_by_the_clock() -> None:
    scene = scene_at()
    scene.votes((0, 1), PRECOMMIT, 1, None)
    scene.votes((0, 1, 2), PREVOTE, 0, "A")
    out = scene.propose(1, "A", 0, delay_ns=3_600 * S) + scene.give_block("A")
    assert scene.cast(out) == [(PREVOTE, 1, "A")]


def test_f3_the_time_of_receipt_is_logged_and_replays_to_the_same_vote() -> None:
    scene = scene_at()
    out = scene.propose(0, "A", delay_ns=16 * S)
    entry = of_kind(out, m.Persist)[0].entry
    assert decode_entry(entry) == m.ProposalReceived(scene.proposal(0, "A"), scene.block("A").header.time_ns + 16 * S)


@pytest.mark.parametrize("offset_ns", [-1, 1, S])
def test_f4_a_proposal_states_the_time_of_its_block(offset_ns: int) -> None:
    scene = scene_at()
    time_ns = scene.block("A").header.time_ns
    proposal = Proposal(1, 0, -1, scene.block_id("A"), time_ns + offset_ns)
    sender = scene.validators.validators[0]
    signed = proposal.with_signatures(*fake_signatures(sender.ed25519_key, proposal.sign_bytes(CHAIN)))
    out = scene.step(m.ProposalReceived(signed, time_ns)) + scene.give_block("A")
    assert scene.cast(out) == [(PREVOTE, 0, None)]


def test_f4_a_second_statement_of_time_does_not_spoil_the_first() -> None:
    scene = scene_at()
    scene.propose(0, "A")
    late = replace(scene.proposal(0, "A"), time_ns=scene.block("A").header.time_ns - 60 * S)
    sender = scene.validators.validators[0]
    signed = late.with_signatures(*fake_signatures(sender.ed25519_key, late.sign_bytes(CHAIN)))
    scene.step(m.ProposalReceived(signed, BASE_NS + S))
    assert scene.cast(scene.give_block("A")) == [(PREVOTE, 0, "A")]


def test_votes_carry_the_time_of_what_they_vote_for() -> None:
    scene = scene_at()
    scene.propose(0, "A")
    out = scene.give_block("A") + scene.votes((0, 1), PREVOTE, 0, None) + scene.timeout(0, m.Step.PREVOTE)
    times = {o.vote.block_id: o.vote.time_ns for o in of_kind(out, m.SignVote)}
    assert times == {scene.block_id("A"): scene.block("A").header.time_ns, None: BASE_NS}


# J: what is written before what is said


def test_j1_every_input_that_counts_is_persisted_before_its_consequences() -> None:
    scene = scene_at(own=1)
    steps = [
        scene.propose(0, "A"),
        scene.give_block("A", None),
        scene.verdict("A", True),
        scene.votes((0,), PREVOTE, 0, "A"),
        scene.votes((2,), PREVOTE, 0, "A"),
        scene.votes((0,), PRECOMMIT, 0, None),
        scene.votes((2,), PRECOMMIT, 0, None),
        scene.timeout(0, m.Step.PRECOMMIT),
    ]
    for out in steps:
        assert isinstance(out[0], m.Persist)
    for out in steps:
        for index, output in enumerate(out):
            if isinstance(output, m.Broadcast):
                before = [decode_entry(entry.entry) for entry in of_kind(out[:index], m.Persist)]
                assert m.Signed(output.message) in before


def test_j1_what_changes_nothing_is_not_logged() -> None:
    scene = scene_at()
    scene.propose(0, "A")
    scene.give_block("A")
    assert scene.propose(0, "A") == []
    assert scene.give_block("A") == []
    assert scene.timeout(0, m.Step.PROPOSE) == []
    scene.votes((0,), PREVOTE, 0, "A")
    assert scene.votes((0,), PREVOTE, 0, "A") == []


def test_the_types_of_votes_are_those_of_the_encoding() -> None:
    assert [int(kind) for kind in VoteType] == [1, 2]
    assert [int(step) for step in m.Step] == [1, 2, 3, 4]
