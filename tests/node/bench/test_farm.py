"""The measurement of farms: it measures operations that succeed, and says where the time goes."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from node.bench.farm import run_farm
from node.bench.in_machine import Actor, make_ledger
from node.cli.bench import bench
from state.primitives.errors import ConfigError


def test_all_operations_succeed_and_every_stage_is_measured() -> None:
    report = run_farm(400)
    assert (report.operations, report.failed) == (400, 0)
    assert 0 < report.p50_us <= report.p99_us <= report.max_us
    assert list(report.stages_us) == ["decode", "admission", "operation", "invariants"]


def test_the_command_answers_in_json_and_in_words() -> None:
    found = CliRunner().invoke(bench, ["farm", "--operations", "50", "--json"], standalone_mode=False)
    assert json.loads(found.output)["operations"] == 50
    assert "50 operations, 0 failed" in CliRunner().invoke(bench, ["farm", "--operations", "50"], standalone_mode=False).output


def test_a_ledger_that_cannot_be_made_says_why() -> None:
    with pytest.raises(ConfigError, match="there is no asset NONE"):
        make_ledger(Actor(), ("AAA",), 1, [("farm.create", ("NONE", "AAA", 0, 1_800_000_009, 1, ((0, 1),), 0, 0, ""))])
