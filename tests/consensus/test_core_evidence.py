"""What the core reports (B5, L5, L6): contradicting votes and proposals, in time and late, and never its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus import messages as m
from state.primitives.errors import InvalidVoteError
from state.primitives.limits import VOTE_VALUES_PER_VALIDATOR_MAX
from tests.consensus.world import BASE_NS, MS, PRECOMMIT, PREVOTE, Scene, make_commit, of_kind, sign_proposal, spoil


def scene_at(own: int | None = 1) -> Scene:
    scene = Scene(own=own)
    scene.start()
    return scene


def decided_scene(own: int | None = 1) -> Scene:
    """Height 1 is decided in round 0; v3 has prevoted A and precommitted nothing."""
    scene = scene_at(own)
    scene.propose(0, "A")
    scene.give_block("A")
    scene.votes((0, 2, 3), PREVOTE, 0, "A")
    scene.votes((0, 2), PRECOMMIT, 0, "A")
    if not scene.core.decided:
        scene.votes((1,), PRECOMMIT, 0, "A")
    assert scene.core.decided
    return scene


def next_height(scene: Scene) -> None:
    commit, pq_commit = make_commit(scene.validators, 1, 0, scene.block_id("A"), (0, 1, 2))
    start = replace(
        scene.start_input(), height=2, last_validators=scene.validators, last_block_id=scene.block_id("A"),
        last_commit=commit, last_pq_commit=pq_commit,
    )  # fmt: skip
    scene.core.step(start)


def reports(outputs: list[m.Output]) -> list[m.ReportEvidence]:
    return of_kind(outputs, m.ReportEvidence)


def test_l5_two_proposals_of_one_round_are_reported_with_their_proposer() -> None:
    scene = scene_at()
    assert reports(scene.propose(0, "A")) == []
    (found,) = reports(scene.propose(0, "B"))
    first, second = scene.proposal(0, "A"), scene.proposal(0, "B")
    assert found == m.ReportEvidence(first, second, scene.validators.validators[0].address)
    assert reports(scene.propose(0, "B")) == []  # known
    assert reports(scene.propose(1, "B")) == []  # another round


def test_l5_another_pol_round_or_time_for_the_same_block_is_a_second_proposal() -> None:
    scene = scene_at()
    scene.propose(2, "A", 0)
    (found,) = reports(scene.propose(2, "A", 1))
    assert (found.first, found.second) == (scene.proposal(2, "A", 0), scene.proposal(2, "A", 1))


def test_l5_two_proposals_that_waited_for_their_height() -> None:
    scene = decided_scene()
    pair = [scene.proposal(0, value) for value in ("B", "C")]
    sender = scene.validators.validators[0]
    pair = [sign_proposal(replace(proposal, height=2), sender) for proposal in pair]
    for proposal in pair:
        assert scene.core.step(m.ProposalReceived(proposal, BASE_NS)) == []
    start = replace(scene.start_input(), height=2, proposer_priorities=scene.priorities)
    (found,) = reports(scene.core.step(start))
    assert [found.first, found.second] == pair


def test_l5_a_second_proposal_after_the_decision() -> None:
    scene = decided_scene()
    (found,) = reports(scene.propose(0, "B"))
    assert found.address == scene.validators.validators[0].address
    assert scene.propose(0, "B") == []
    assert scene.propose(0, "C") == []  # beyond the bound, as before the decision


def test_l6_our_own_second_proposal_is_not_reported() -> None:
    scene = scene_at(own=0)
    scene.propose(0, "A")
    assert reports(scene.propose(0, "B")) == []
    assert len(scene.core.view.proposals(0)) == 2  # and so whoever runs the core can see it


@pytest.mark.parametrize("value", ["B", None])
def test_a_double_prevote_that_comes_after_the_decision(value: str | None) -> None:
    scene = decided_scene()
    (found,) = reports(scene.votes((3,), PREVOTE, 0, value))
    assert (found.first, found.second) == (scene.vote(3, PREVOTE, 0, "A"), scene.vote(3, PREVOTE, 0, value))
    assert found.address == scene.validators.validators[3].address
    assert scene.votes((3,), PREVOTE, 0, value) == []


def test_a_double_vote_that_comes_in_the_next_height() -> None:
    scene = decided_scene()
    next_height(scene)
    scene.height = 2  # only for what is started; the votes are of height 1
    late = [scene.vote(index, kind, 0, "B", 1) for index, kind in ((0, PRECOMMIT), (3, PREVOTE))]
    for vote in late:
        (found,) = reports(scene.core.step(m.VoteReceived(vote)))
        assert found.second == vote
        assert scene.core.step(m.VoteReceived(vote)) == []


def test_a_late_vote_that_contradicts_nothing_is_not_looked_at() -> None:
    scene = decided_scene()
    calls = scene.verifier.calls
    assert scene.votes((0, 2, 3), PREVOTE, 0, "A") == []
    assert scene.votes((3,), PREVOTE, 5, "B") == []  # nothing is known of it in that round
    assert scene.verifier.calls == calls


def test_a_forged_late_vote_is_its_senders_fault() -> None:
    scene = decided_scene()
    with pytest.raises(InvalidVoteError):
        scene.core.step(m.VoteReceived(spoil(scene.vote(3, PREVOTE, 0, "B"))))
    assert reports(scene.votes((3,), PREVOTE, 0, "B")) != []
    wrong_name = replace(scene.vote(3, PREVOTE, 0, "C"), validator_address=b"x" * 20)
    assert scene.core.step(m.VoteReceived(wrong_name)) == []


def test_late_double_votes_are_bounded_for_each_validator() -> None:
    scene = decided_scene()
    found = [report for n in range(50) for report in reports(scene.votes((3,), PREVOTE, 0, f"B{n}"))]
    assert len(found) == VOTE_VALUES_PER_VALIDATOR_MAX - 1


def test_l6_our_own_late_double_vote_is_seen_and_not_reported() -> None:
    scene = decided_scene()
    assert reports(scene.votes((1,), PREVOTE, 0, "B")) == []
    tally = scene.core.view.votes.tally(0, PREVOTE)
    assert tally is not None
    assert len(tally.by_validator[1]) == 2


def test_nothing_of_it_is_logged_after_the_decision() -> None:
    """A decided height is not replayed; the log must not grow from what comes late."""
    scene = decided_scene()
    out = scene.votes((3,), PREVOTE, 0, "B") + scene.propose(0, "B", delay_ns=10 * MS)
    assert len(reports(out)) == 2
    assert of_kind(out, m.Persist) == []
