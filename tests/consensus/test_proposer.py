"""Whose turn it is: the golden sequence, fairness, and divisions that go toward zero."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.proposer import (
    advance,
    hash_priorities,
    initial_priorities,
    proposer_of,
    truncate_divide,
    update_priorities,
)
from state.primitives.hashing import sha256
from state.validators import ValidatorSet
from tests.consensus.world import make_set, make_validator


def sequence(validators: ValidatorSet, turns: int) -> list[int]:
    """The powers of the proposers of the first turns."""
    start = initial_priorities(validators)
    return [proposer_of(validators, start, turn).power for turn in range(turns)]


def pair_of_one_and_three(*, lower_is_lighter: bool) -> ValidatorSet:
    """Powers 1 and 3, with a say over whose address is lower."""
    for name in range(100):
        light, heavy = make_validator(f"light {name}", 1), make_validator(f"heavy {name}", 3)
        if (light.address < heavy.address) is lower_is_lighter:
            return ValidatorSet([light, heavy])
    raise AssertionError("no such addresses")


def test_k7_golden_sequence_of_one_and_three() -> None:
    """p2, p1, p2, p2 and again: in the second turn both stand at 2, and the lower address is p1's."""
    assert sequence(pair_of_one_and_three(lower_is_lighter=True), 12) == [3, 1, 3, 3] * 3


def test_k7_a_tie_goes_to_the_lower_address() -> None:
    assert sequence(pair_of_one_and_three(lower_is_lighter=False), 12) == [3, 3, 1, 3] * 3


def test_k7_equal_powers_take_turns_by_address() -> None:
    validators = make_set((1, 1, 1, 1))
    start = initial_priorities(validators)
    assert [proposer_of(validators, start, turn) for turn in range(8)] == [*validators.validators] * 2


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(7, 2, 3), (-7, 2, -3), (7, -2, -3), (-7, -2, 3), (-1, 2, 0), (0, 5, 0), (-6, 3, -2), (1 << 62, 3, (1 << 62) // 3)],
)
def test_k7_division_is_toward_zero(numerator: int, denominator: int, expected: int) -> None:
    assert truncate_divide(numerator, denominator) == expected


def test_k7_a_newcomer_starts_at_minus_nine_eighths_of_the_total() -> None:
    old = make_set((10, 10))
    new = ValidatorSet([*old.validators, make_validator("new", 80)])
    # 5, -5 and -(100 + 12); their average, -37 and a third, is floored, as Go's big.Int does, and taken off
    assert new.validators[0].power == 80
    assert update_priorities(old, (5, -5), new) == (-74, 43, 33)


def test_k7_leaving_and_coming_back_gains_nothing() -> None:
    pair = make_set((1, 1, 1))
    start = initial_priorities(pair)
    leaver = proposer_of(pair, start, 0)
    after = advance(pair, start, 1)
    smaller = ValidatorSet(v for v in pair.validators if v is not leaver)
    without = update_priorities(pair, after, smaller)
    back = update_priorities(smaller, without, pair)
    order = [proposer_of(pair, back, turn) for turn in range(3)]
    assert order[2] is leaver


def test_k7_an_unchanged_set_keeps_its_priorities() -> None:
    validators = make_set((3, 2, 1))
    assert update_priorities(validators, (4, -1, -3), make_set((3, 2, 1))) == (4, -1, -3)


def test_k7_priorities_far_apart_are_drawn_together() -> None:
    old = make_set((1_000_000, 1, 1))
    new = ValidatorSet([old.validators[1], make_validator("x", 1)])
    priorities = update_priorities(old, advance(old, initial_priorities(old), 7), new)
    assert max(priorities) - min(priorities) <= 2 * new.total_power + 1


def test_the_hash_is_over_the_canonical_array() -> None:
    assert hash_priorities((-3, 0, 3)) == sha256(bytes.fromhex("93fd0003"))
    assert hash_priorities([-3, 0, 3]) == hash_priorities((-3, 0, 3)) != hash_priorities((0, -3, 3))


def test_b6_a_round_is_so_many_turns_on_a_copy() -> None:
    validators = make_set((5, 3, 2, 1))
    start = initial_priorities(validators)
    walked = [proposer_of(validators, start, round_) for round_ in range(20)]
    assert [proposer_of(validators, advance(validators, start, turn), 0) for turn in range(20)] == walked
    assert start == initial_priorities(validators)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=7))
def test_everybody_proposes_in_proportion_to_power(powers: list[int]) -> None:
    validators = make_set(powers)
    start = initial_priorities(validators)
    total = validators.total_power
    turns = Counter(proposer_of(validators, start, turn).address for turn in range(total))
    assert turns == {v.address: v.power for v in validators.validators}
    assert advance(validators, start, total) == start


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=6), st.lists(st.integers(1, 1 << 40), min_size=1, max_size=6))
def test_k7_priorities_stay_bounded_and_centred_across_changes(old_powers: list[int], new_powers: list[int]) -> None:
    old, new = make_set(old_powers), make_set(new_powers)
    priorities = update_priorities(old, advance(old, initial_priorities(old), 5), new)
    priorities = advance(new, priorities, 3)
    assert abs(sum(priorities)) < len(new)
    assert max(map(abs, priorities)) <= 3 * new.total_power
