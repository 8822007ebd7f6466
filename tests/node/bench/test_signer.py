"""The measurement of signatures measures both ways, with real records and a real process."""

from __future__ import annotations

from pathlib import Path

from node.bench.signer import run_signer_bench
from state.primitives.keys import KeyKind


def test_both_ways_are_measured(tmp_path: Path) -> None:
    found = run_signer_bench(20, KeyKind.MLDSA44, tmp_path).to_json()
    assert found["signatures"] == 20
    for way in ("local", "remote"):
        assert 0 < found[way]["p50_us"] <= found[way]["p99_us"] <= found[way]["max_us"]
