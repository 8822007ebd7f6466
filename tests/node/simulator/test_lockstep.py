"""Lock-step scenarios: nothing breaks, the hard parts are reached, planted bugs are caught, a fork convicts, runs can be shrunk."""

from __future__ import annotations

from collections import Counter

import pytest

from node.simulator.bugs import BUGS, planted
from node.simulator.lockstep import SOMETIMES, run_lockstep
from node.simulator.rules import Rules
from node.simulator.shrink import Size, shrink
from node.simulator.sweep import Totals, hunt, make_parts, run_sweep
from node.simulator.verdict import Verdict

KNOWN_SEEDS = (615, 2_000_982)  # failed once: a validator without its log has to learn its own votes from its peers


@pytest.mark.parametrize("hundred", range(8))
def test_no_fork_and_no_stall(hundred: int) -> None:
    for seed in (*KNOWN_SEEDS, *range(100 * hundred, 100 * hundred + 100)):
        verdict = run_lockstep(seed)
        assert verdict.is_ok, (seed, verdict)


def test_sometimes_the_hard_parts_are_reached() -> None:
    counts: Counter[str] = Counter()
    for seed in range(1_200):
        counts.update(run_lockstep(seed).sometimes)
    assert [what for what in SOMETIMES if not counts[what]] == []


def test_one_seed_is_one_trace() -> None:
    for seed in (1, 2, 3):
        first, second = [], []
        assert run_lockstep(seed, trace=first.append) == run_lockstep(seed, trace=second.append)
        assert first == second
        assert first


# what takes thousands of scenarios from the first seed is looked for from where it is known to be seen soon
HUNTED_FROM = {"lock-not-replayed": 1_000_000, "sign-without-log": 1_700}


@pytest.mark.parametrize("name", BUGS)
def test_planted_bugs_are_caught(name: str) -> None:
    after, why = hunt(name, HUNTED_FROM.get(name, 0), BUGS[name].budget, 0, 1)
    assert 0 < after <= BUGS[name].budget
    assert why


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_leaves_nothing_behind(name: str) -> None:
    before = run_lockstep(7)
    with planted(name):
        pass
    assert run_lockstep(7) == before


def test_a_fork_convicts_a_third_and_nobody_honest() -> None:
    forks = 0
    for seed in range(1_500):
        verdict = run_lockstep(seed, exceeds=True)
        assert verdict.violations == ()
        forks += verdict.sometimes.get("fork by more than a third", 0)
    assert forks


def test_an_accusation_of_the_honest_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rules, "culprits", lambda self: dict.fromkeys(self._honest, "nothing"))
    assert any(run_lockstep(seed, exceeds=True).violations for seed in range(1_500))


@pytest.mark.parametrize("name", ["forgotten-lock", "first-vote-only", "unlock-on-nil-polka"])
def test_a_failing_run_is_made_smaller(name: str) -> None:
    after, _ = hunt(name, 0, BUGS[name].budget, 0, 1)
    with planted(name) as bug:
        whole = run_lockstep(after - 1, habits=bug.habits)
        def run(size: Size, mask: frozenset[int]) -> Verdict:
            return run_lockstep(after - 1, validators=size.validators, mask=mask, habits=bug.habits)

        small = shrink(run, Size(0, 1))
        assert not small.verdict.is_ok
        assert small.kept < whole.faults_drawn
        assert small.verdict.validators <= whole.validators
        assert run(small.size, small.mask) == small.verdict


def test_what_does_not_fail_cannot_be_made_smaller() -> None:
    with pytest.raises(ValueError, match="does not fail"):
        shrink(lambda size, mask: run_lockstep(1, mask=mask), Size(0, 1))


def test_validators_heights_and_faults_are_all_made_fewer() -> None:
    """As long as it fails in the same way: a run that stands still instead of forking is another failure."""
    tried = []

    def run(size: Size, mask: frozenset[int]) -> Verdict:
        tried.append(size)
        count = size.validators or 7
        is_broken = count >= 5 and size.heights >= 3 and 2 not in mask
        return Verdict(1, 1, ("a fork",) if is_broken else (), ("stuck",), {}, "", size.heights, 10, {}, count)

    small = shrink(run, Size(0, 20))
    assert (small.size, small.mask, small.kept) == (Size(5, 3), frozenset({*range(10)} - {2}), 1)
    assert small.runs == len(tried)
    assert all(size.heights >= 1 for size in tried)


def test_a_sweep_is_the_same_with_any_number_of_processes() -> None:
    def sweep(jobs: int) -> Totals:
        return run_sweep(make_parts("lockstep", 0, 400, 0, 1, "all"), jobs, lambda part, totals: None)

    one, two = sweep(1), sweep(2)
    assert one.trace_hash == two.trace_hash
    assert (one.scenarios, one.sometimes) == (two.scenarios, two.sometimes)
