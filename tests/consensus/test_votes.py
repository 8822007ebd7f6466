"""Counting: what a pile of votes amounts to, in whatever order and however often they come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.vote import Vote, VoteType
from consensus.votes import Added, VoteBook
from state.primitives.limits import (
    FUTURE_ROUNDS_PER_VALIDATOR_MAX,
    NIL_VOTES_ROUNDS_KEPT,
    VOTE_VALUES_PER_VALIDATOR_MAX,
)
from tests.consensus.world import PRECOMMIT, PREVOTE, Scene

SCENE = Scene((1, 1, 1, 1))
LETTERS = (None, "A", "B", "C")


def vote(index: int, vote_type: VoteType, round_: int, value: str | None, scene: Scene = SCENE) -> Vote:
    return scene.vote(index, vote_type, round_, value)


def book(scene: Scene = SCENE) -> VoteBook:
    return VoteBook(scene.validators)


def give(votes: VoteBook, *items: Vote, current: int = 0) -> list[Added]:
    return [votes.add(item, current)[0] for item in items]


def thresholds(votes: VoteBook) -> list[object]:
    """Everything the table may ask."""
    found: list[object] = [votes.skip_round(0), votes.decided_rounds()]
    for round_ in range(3):
        for vote_type in VoteType:
            found += [votes.has_quorum_any(round_, vote_type), votes.quorum_value(round_, vote_type)]
            found.append(votes.has_quorum(round_, vote_type, None))
    return found


@pytest.mark.parametrize(
    ("powers", "voters", "expected"),
    [
        ((1, 1, 1), (0, 1), False),
        ((1, 1, 1), (0, 1, 2), True),
        ((1, 1, 1, 1), (0, 1), False),
        ((1, 1, 1, 1), (1, 2, 3), True),
        ((1,) * 6, (0, 1, 2, 3), False),
        ((1,) * 7, (0, 1, 2, 3, 4), True),
        ((1,) * 9, (0, 1, 2, 3, 4, 5), False),
        ((1,) * 10, (0, 1, 2, 3, 4, 5, 6), True),
        ((1000, 1, 1, 1), (1, 2, 3), False),
        ((1000, 1, 1, 1), (0,), True),
    ],
)
def test_a1_a_quorum_is_more_than_two_thirds_of_the_power(
    powers: tuple[int, ...], voters: tuple[int, ...], expected: bool
) -> None:
    scene = Scene(powers)
    votes = book(scene)
    give(votes, *(vote(index, PREVOTE, 0, "A", scene) for index in voters))
    assert votes.has_quorum(0, PREVOTE, scene.block_id("A")) is expected
    assert votes.has_quorum_any(0, PREVOTE) is expected
    assert (votes.quorum_value(0, PREVOTE) == scene.block_id("A")) is expected


def test_a2_a_vote_counts_once() -> None:
    votes = book()
    first = vote(0, PREVOTE, 0, "A")
    assert give(votes, first, first, first) == [Added.COUNTED, Added.DUPLICATE, Added.DUPLICATE]
    give(votes, vote(1, PREVOTE, 0, "A"))
    assert not votes.has_quorum_any(0, PREVOTE)


def test_a2_the_same_vote_with_another_signature_is_the_same_vote() -> None:
    votes = book()
    first = vote(0, PREVOTE, 0, "A")
    assert give(votes, first, first.with_signatures(b"x" * 64, b"y" * 2420)) == [Added.COUNTED, Added.DUPLICATE]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(VoteType), st.integers(0, 2), st.sampled_from((None, "A", "B"))),
        max_size=24,
    ),
    st.randoms(use_true_random=False),
)
def test_a2_any_order_and_any_repetition_gives_the_same_thresholds(
    items: list[tuple[int, VoteType, int, str | None]], chance: random.Random
) -> None:
    plain = book()
    give(plain, *(vote(*item) for item in items))
    shuffled = items + [item for item in items if chance.random() < 0.5]
    chance.shuffle(shuffled)
    other = book()
    give(other, *(vote(*item) for item in shuffled))
    assert thresholds(other) == thresholds(plain)


def test_a3_a_skip_counts_each_sender_once_for_both_types() -> None:
    votes = book()
    give(votes, vote(0, PREVOTE, 1, None), vote(0, PRECOMMIT, 1, None))
    assert votes.skip_round(0) is None
    give(votes, vote(2, PRECOMMIT, 1, "A"))
    assert votes.skip_round(0) == 1
    assert votes.skip_round(1) is None


def test_a3_the_highest_round_with_enough_power_wins() -> None:
    votes = book()
    give(votes, *(vote(index, PREVOTE, round_, None) for index in (0, 1) for round_ in (2, 5)), vote(2, PREVOTE, 9, None))
    assert votes.skip_round(0) == 5


def test_a6_a_flood_of_rounds_costs_only_the_flooder() -> None:
    votes = book()
    flood = [1_000_000 + n for n in range(50)] + [1_000_000 - n for n in range(1, 50)] + list(range(2, 40))
    give(votes, *(vote(3, PREVOTE, round_, None) for round_ in flood))
    kept = votes.rounds()
    assert len(kept) == FUTURE_ROUNDS_PER_VALIDATOR_MAX
    assert kept == [2, 3, 1_000_048, 1_000_049]
    give(votes, vote(0, PRECOMMIT, 1, None), vote(1, PREVOTE, 1, None))
    assert votes.skip_round(0) == 1


def test_a6_the_rounds_that_matter_are_kept() -> None:
    """v0 walked from round 1 to 50; v1 jumped to 50. A node in round 0 must still hear them both there."""
    votes = book()
    give(votes, *(vote(0, PREVOTE, round_, None) for round_ in range(1, 51)))
    give(votes, vote(1, PREVOTE, 50, None))
    assert votes.skip_round(0) == 50
    slow = book()
    give(slow, *(vote(0, PREVOTE, round_, None) for round_ in range(50, 0, -1)))
    give(slow, vote(1, PREVOTE, 2, None))
    assert slow.skip_round(0) == 2


def test_a6_forgotten_votes_are_not_counted_any_more() -> None:
    votes = book()
    give(votes, *(vote(index, PRECOMMIT, round_, "A") for index in range(4) for round_ in (10, 11, 12, 13, 14)))
    for round_ in (10, 11, 13, 14):
        assert votes.has_quorum(round_, PRECOMMIT, SCENE.block_id("A"))
    assert votes.tally(12, PRECOMMIT) is None
    assert not votes.has_quorum_any(12, PRECOMMIT)
    # they may come again, once we are nearer
    assert give(votes, vote(0, PRECOMMIT, 12, "A"), current=11) == [Added.COUNTED]


def test_a6_forgetting_one_validator_takes_its_power_out_of_the_round() -> None:
    votes = book()
    give(votes, vote(1, PREVOTE, 3, None), vote(2, PREVOTE, 3, None))
    give(votes, *(vote(0, PREVOTE, round_, "A") for round_ in (1, 2, 3, 4, 5)))  # round 3 is the middle one
    assert not votes.has_quorum_any(3, PREVOTE)
    assert votes.skip_round(0) == 3
    tally = votes.tally(3, PREVOTE)
    assert tally is not None
    assert (tally.power_any, tally.power_by_value) == (2, {None: 2})


def test_a6_conflicting_values_are_bounded() -> None:
    scene = Scene((1, 1, 1, 1))
    votes = book(scene)
    names = [f"A{n}" for n in range(20)]
    found = [votes.add(vote(0, PREVOTE, 0, name, scene), 0) for name in names]
    assert [added for added, _ in found].count(Added.CONFLICT) == VOTE_VALUES_PER_VALIDATOR_MAX - 1
    assert {added for added, _ in found[VOTE_VALUES_PER_VALIDATOR_MAX:]} == {Added.DROPPED}
    assert all(earlier is None for added, earlier in found if added is Added.DROPPED)


def test_e8_a_value_that_others_stand_behind_is_counted_beyond_the_bound() -> None:
    scene = Scene((1, 1, 1, 1))
    votes = book(scene)
    for n in range(10):
        votes.add(vote(0, PREVOTE, 0, f"B{n}", scene), 0)
    give(votes, vote(1, PREVOTE, 0, "A", scene), vote(2, PREVOTE, 0, "A", scene))
    assert votes.add(vote(0, PREVOTE, 0, "A", scene), 0)[0] is Added.CONFLICT
    assert votes.quorum_value(0, PREVOTE) == scene.block_id("A")


def test_e8_an_equivocator_counts_once_for_any_and_once_for_each_value() -> None:
    votes = book()
    give(votes, *(vote(0, PREVOTE, 0, value) for value in LETTERS), vote(1, PREVOTE, 0, "A"))
    assert not votes.has_quorum_any(0, PREVOTE)
    give(votes, vote(2, PREVOTE, 0, "A"))
    assert votes.quorum_value(0, PREVOTE) == SCENE.block_id("A")


def test_e2_nil_votes_of_old_rounds_are_let_go_and_stay_counted() -> None:
    votes = book()
    give(votes, *(vote(index, PRECOMMIT, 0, value) for index, value in enumerate((None, None, "A"))))
    votes.forget_old_nil(NIL_VOTES_ROUNDS_KEPT + 1)
    assert votes.has_quorum_any(0, PRECOMMIT)
    tally = votes.tally(0, PRECOMMIT)
    assert tally is not None
    assert list(tally.first_votes()) == [2]
    assert give(votes, vote(0, PRECOMMIT, 0, None), vote(3, PRECOMMIT, 0, None)) == [Added.DUPLICATE] * 2
    # precommits for the block still decide
    give(votes, vote(0, PRECOMMIT, 0, "A"), vote(1, PRECOMMIT, 0, "A"))
    assert votes.decided_rounds() == [(0, SCENE.block_id("A"))]


def test_a1_power_any_after_forgetting_counts_nobody_twice() -> None:
    votes = book()
    give(votes, vote(0, PREVOTE, 0, None), vote(1, PREVOTE, 0, None))
    votes.forget_old_nil(NIL_VOTES_ROUNDS_KEPT + 1)
    give(votes, vote(0, PREVOTE, 0, "A"), vote(1, PREVOTE, 0, "A"))
    assert not votes.has_quorum_any(0, PREVOTE)
