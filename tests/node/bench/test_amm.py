"""The measurement of swaps: it measures swaps that succeed, and says where the time goes."""

from __future__ import annotations

import json

from click.testing import CliRunner

from node.bench.amm import run_amm
from node.cli.bench import bench


def test_all_swaps_succeed_and_every_stage_is_measured() -> None:
    report = run_amm(300)
    assert (report.swaps, report.failed) == (300, 0)
    assert 0 < report.p50_us <= report.p99_us <= report.max_us
    assert list(report.stages_us) == ["decode", "admission", "operation", "invariants"]


def test_the_command_answers_in_json_and_in_words() -> None:
    found = CliRunner().invoke(bench, ["amm", "--swaps", "50", "--json"], standalone_mode=False)
    assert json.loads(found.output)["swaps"] == 50
    assert "50 swaps, 0 failed" in CliRunner().invoke(bench, ["amm", "--swaps", "50"], standalone_mode=False).output
