"""A failing run made smaller: fewer faults, then fewer validators and heights, as long as it fails in the same way.

Faults are numbered as they are drawn, and a masked fault is drawn and not applied, so a masked run is the same run with less in it.
Greedy halving: leave out half of what is left, then quarters, down to single faults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.simulator.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest run found. `mask` are the faults left out, `kept` how many are left."""

    mask: frozenset[int]
    kept: int
    runs: int
    verdict: Verdict


def shrink(run: Callable[[frozenset[int]], Verdict], *, runs_max: int = 400) -> Shrunk:
    """Find a large mask with which `run` still fails. Raises `ValueError` if it does not fail without one."""
    verdict = run(frozenset())
    if verdict.is_ok:
        raise ValueError("the run does not fail")
    is_safety = bool(verdict.violations)
    kept = list(range(verdict.faults_drawn))
    mask: frozenset[int] = frozenset()
    runs = 1
    size = max(1, len(kept) // 2)
    while runs < runs_max:
        is_smaller = False
        start = 0
        while start < len(kept) and runs < runs_max:
            trial = mask | frozenset(kept[start : start + size])
            found = run(trial)
            runs += 1
            if bool(found.violations) if is_safety else bool(found.liveness_failures):
                # what is drawn may have changed: faults beyond the new number do not exist any more
                mask, verdict, is_smaller = trial, found, True
                kept = [fault for fault in range(found.faults_drawn) if fault not in mask]
            else:
                start += size
        if size == 1 and not is_smaller:
            break
        size = max(1, size // 2)
    return Shrunk(mask, len(kept), runs, verdict)
