"""The measurement of a mixture: every kind succeeds and is measured by itself."""

from __future__ import annotations

import json

from click.testing import CliRunner

from node.bench.ledger import run_ledger
from node.cli.bench import bench


def test_every_kind_succeeds_and_is_measured() -> None:
    report = run_ledger(1_500)
    assert (report.operations, report.failed) == (1_500, 0)
    assert set(report.by_operation) == {
        "asset.transfer", "asset.multi_transfer", "amm.swap_in", "hold.create", "escrow.create", "escrow.finish", "pay.offer",
        "pay.cancel", "stake.delegate", "farm.stake", "farm.exit",
    }  # fmt: skip
    assert sum(row["count"] for row in report.by_operation.values()) == 1_500
    assert all(0 < row["p50_us"] <= row["p99_us"] for row in report.by_operation.values())
    assert list(report.stages_us) == ["decode", "admission", "operation", "invariants"]


def test_the_command_answers_in_json_and_in_words() -> None:
    found = CliRunner().invoke(bench, ["ledger", "--transactions", "100", "--json"], standalone_mode=False)
    assert json.loads(found.output)["operations"] == 100
    assert "100 transactions, 0 failed" in CliRunner().invoke(bench, ["ledger", "--transactions", "100"], standalone_mode=False).output
