"""`qenex simulate` as it is typed: its JSON, its exit codes, and mistakes."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from node.cli.main import main


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
    code, found = run("--seed", "2", "--seeds", "1", "--faults", "byzantine", "--heights", "3", "--jobs", "1")
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
    ],
)
def test_mistakes(arguments: tuple[str, ...]) -> None:
    code, found = run(*arguments)
    assert code == 2
    assert found["error"]["name"] == "CONFIG"
