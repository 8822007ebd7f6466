"""A sample of the random ledger: nothing is lost, nothing is dropped, and no process differs from another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.state.random_ledger import Failed, RandomLedger, run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_whatever_is_done(seed: int) -> None:
    outcome = run(6_000, seed)
    assert outcome["operations"] == 6_000
    assert outcome["succeeded"] > 500


def test_two_machines_with_other_hash_seeds_zones_and_locales_agree() -> None:
    printed = set()
    for number, (zone, locale) in enumerate((("UTC", "C"), ("Asia/Kathmandu", "tr_TR.UTF-8"), ("America/St_Johns", "de_DE.UTF-8"))):
        env = {**os.environ, "PYTHONHASHSEED": str(number + 1), "TZ": zone, "LC_ALL": locale, "LANG": locale}
        command = [sys.executable, "-m", "tests.state.random_ledger", "--operations", "2000", "--seed", "9", "--trace"]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=True)
        printed.add(done.stdout)
    assert len(printed) == 1


def test_a_planted_loss_is_found() -> None:
    ledger = RandomLedger(4)
    ledger.run_block(200)
    key = next(key for key in sorted(ledger.db) if key[1:2] == b"h")
    del ledger.db[key]
    with pytest.raises(Failed, match="I1"):
        ledger.audit()
