"""`qenex simulate` as it is typed: its JSON, its exit codes, and mistakes."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from node.cli.main import main
from node.simulator.bugs import planted
from node.simulator.lockstep import run_lockstep
from node.simulator.rules import Rules


def run(*arguments: str) -> tuple[int, Any]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["simulate", *arguments, "--json"])
    return code, json.loads(out.getvalue() or err.getvalue())


def test_a_small_sweep() -> None:
    code, found = run("--seeds", "2", "--heights", "6", "--validators", "4", "--jobs", "1")
    assert code == 0
    named = ["seeds", "scenarios", "violations", "liveness_failures", "sometimes", "seeds_per_s", "trace_hash"]
    assert list(found) == [*named, "per_height"]
    assert all(found["per_height"][what] > 0 for what in ("cpu_ms", "bytes", "messages"))
    assert (found["seeds"], found["scenarios"], found["violations"]) == (2, 202, 0)
    again = run("--seeds", "2", "--heights", "6", "--validators", "4", "--jobs", "2")[1]
    assert again["trace_hash"] == found["trace_hash"]
    assert again["per_height"]["bytes"] == found["per_height"]["bytes"]


def test_nothing_but_the_answer_is_printed_where_nodes_have_something_to_say() -> None:
    """The nodes of this seed see double signatures; their warnings once stood before the JSON."""
    code, found = run("--seed", "0", "--seeds", "1", "--faults", "byzantine", "--heights", "3", "--jobs", "1")
    assert (code, found["violations"]) == (0, 0)
    assert found["sometimes"]["evidence committed"] > 0


def test_scenarios_alone_cost_no_heights() -> None:
    assert "per_height" not in run("--lockstep", "20", "--jobs", "1")[1]


def test_a_planted_bug() -> None:
    code, found = run("--bug", "half-is-enough", "--jobs", "1", "--shrink")
    assert code == 0
    assert (found["bug"], found["caught"]) == ("half-is-enough", True)
    assert found["after"] >= 1


def test_bugs_are_listed() -> None:
    code, found = run("--list-bugs")
    assert code == 0
    assert len(found) >= 14
    assert all(bug["budget"] and bug["text"] for bug in found)


def test_one_seed_watched() -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        assert main(["simulate", "--seed", "3", "--lockstep", "1", "--trace"]) == 0
    assert "prevote" in out.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--bug", "nope"),
        ("--faults", "nope"),
        ("--validators", "3"),
        ("--validators", "9", "--lockstep", "5"),
        ("--trace",),
        ("--shrink",),
        ("--mask", "1,x", "--seed", "1"),
        ("--seeds", "-1"),
        ("--lockstep", "0"),
        ("--seeds", "0"),
        ("--seed", "1", "--seeds", "0", "--lockstep", "0"),
        ("--accountability", "--lockstep", "0"),
        ("--faults", "all", "--lockstep", "3"),
        ("--faults", "all", "--accountability"),
        ("--faults", "all", "--bug", "half-is-enough"),
        ("--faults", "all", "--lockstep", "1", "--seed", "3", "--trace"),
        ("--mask", "-5", "--seed", "1"),
        ("--mask", "1,\u0663", "--seed", "1"),
        ("--mask", "9" * 30, "--seed", "1"),
    ],
)
def test_mistakes(arguments: tuple[str, ...]) -> None:
    code, found = run(*arguments)
    assert code == 2
    assert found["error"]["name"] == "CONFIG"


def replayed(command: str) -> Any:
    """What a printed command gives, typed as it stands."""
    code, found = run(*command.split()[2:])
    assert code == 1
    return found


LOCKSTEP_OPTIONS = [("--lockstep", "1"), ("--validators", "7", "--lockstep", "1"), ("--validators", "4", "--lockstep", "1")]
SWARM_OPTIONS = [
    ("--faults", "network", "--validators", "6", "--heights", "8"),
    ("--faults", "network", "--heights", "7"),
    ("--validators", "6", "--heights", "6"),
]


@pytest.mark.parametrize("options", LOCKSTEP_OPTIONS)
def test_the_replay_of_a_shrunk_scenario_is_that_run(options: tuple[str, ...]) -> None:
    """It left --validators out, so that it was another scenario."""
    with planted("half-is-enough"):
        code, found = next(ran for seed in range(400) if (ran := run("--seed", str(seed), "--trace", *options))[0])
        code, found = run("--seed", str(found["seed"]), "--shrink", *options)
        assert code == 1
        assert replayed(found["replay"])["trace_hash"] == found["shrunk"]["trace_hash"]
        assert found["shrunk"]["validators"] <= found["validators"]


def test_the_replay_of_a_broken_accusation_is_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rules, "culprits", lambda self: dict.fromkeys(self._honest, "nothing"))
    seed = next(seed for seed in range(250, 500) if run_lockstep(seed, validators=4, exceeds=True).violations)
    code, found = run("--seed", str(seed), "--accountability", "--validators", "4", "--shrink")
    assert code == 1
    assert "--accountability" in found["replay"]
    assert replayed(found["replay"])["trace_hash"] == found["shrunk"]["trace_hash"]


@pytest.mark.parametrize("options", SWARM_OPTIONS)
def test_the_replay_of_a_shrunk_swarm_is_that_run(options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A swarm with a planted bug, made smaller in all that it has: validators, heights, faults."""
    monkeypatch.setattr("node.simulator.shrink.RUNS_MAX", 12)
    with planted("half-is-enough"):
        seed = next(seed for seed in range(40) if run("--seed", str(seed), "--mask", ",", *options)[0])
        code, found = run("--seed", str(seed), "--shrink", *options)
        assert code == 1
        assert replayed(found["replay"])["trace_hash"] == found["shrunk"]["trace_hash"]


def test_a_planted_bug_that_was_caught_can_be_watched() -> None:
    code, found = run("--bug", "half-is-enough", "--validators", "5", "--jobs", "1", "--shrink")
    assert code == 0
    shown = replayed(found["replay"])
    assert shown["trace_hash"] == found["shrunk"]["trace_hash"]
    assert shown["violations"] or shown["liveness_failures"]


def test_a_run_that_nothing_can_be_left_out_of_is_replayed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list of faults is no value of an option."""
    monkeypatch.setattr("node.simulator.shrink.RUNS_MAX", 1)
    with planted("half-is-enough"):
        seed = next(seed for seed in range(400) if not run_lockstep(seed, validators=4).is_ok)
        _, found = run("--seed", str(seed), "--lockstep", "1", "--validators", "4", "--shrink")
        assert found["replay"] == f"qenex simulate --seed {seed} --validators 4 --lockstep 1 --trace"
        assert replayed(found["replay"])["trace_hash"] == found["trace_hash"]


def test_a_sweep_says_how_to_run_what_failed() -> None:
    with planted("half-is-enough"):
        code, found = run("--lockstep", "100", "--validators", "6", "--jobs", "1")
        assert code == 1
        for failure in found["failures"][:3]:
            shown = replayed(failure["replay"])
            assert failure["message"] in [*shown["violations"], *shown["liveness_failures"]]
