"""A failing run made smaller: fewer validators, then fewer heights, then fewer faults, as long as it fails in the same way.

Another number of validators is another run of the same seed, which fails or does not; the smallest that does is taken. Faults are numbered
as they are drawn, and a masked fault is drawn and not applied, so a masked run is the same run with less in it. Greedy halving: leave out
half of what is left, then quarters, down to single ones. What to run is the caller's; nothing is printed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from node.simulator.verdict import Verdict

VALIDATORS_MIN: Final = 4  # the smallest cluster in which one may cheat
RUNS_MAX: Final = 400  # an hour of swarms; what is left then is small enough to be read


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is. `validators` 0: by the seed."""

    validators: int
    heights: int


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest run found. `mask` are the faults left out, `kept` how many are left."""

    size: Size
    mask: frozenset[int]
    kept: int
    runs: int
    verdict: Verdict


Run = Callable[[Size, frozenset[int]], Verdict]


def shrink(run: Run, size: Size) -> Shrunk:
    """Find a small size and a large mask with which `run` still fails. Raises `ValueError` if it does not fail as it is."""
    verdict = run(size, frozenset())
    if verdict.is_ok:
        raise ValueError("the run does not fail")
    shrinking = _Shrinking(run, size, verdict)
    shrinking.lessen_validators()
    shrinking.lessen_heights()
    shrinking.lessen_faults()
    return Shrunk(shrinking.size, shrinking.mask, len(shrinking.kept), shrinking.runs, shrinking.verdict)


class _Shrinking:
    """The smallest run so far."""

    def __init__(self, run: Run, size: Size, verdict: Verdict) -> None:
        self.size = size
        self.mask: frozenset[int] = frozenset()
        self.verdict = verdict
        self.runs = 1
        self._run = run
        self._is_safety = bool(verdict.violations)

    @property
    def kept(self) -> list[int]:
        """Faults that are drawn and applied."""
        return [fault for fault in range(self.verdict.faults_drawn) if fault not in self.mask]

    @property
    def is_over(self) -> bool:
        return self.runs >= RUNS_MAX

    def lessen_validators(self) -> None:
        for count in range(VALIDATORS_MIN, self.verdict.validators):
            if self.is_over or self._takes(replace(self.size, validators=count), self.mask):
                return

    def lessen_heights(self) -> None:
        step = self.size.heights // 2
        while step and not self.is_over:
            if step >= self.size.heights or not self._takes(replace(self.size, heights=self.size.heights - step), self.mask):
                step //= 2

    def lessen_faults(self) -> None:
        step = max(1, len(self.kept) // 2)
        while not self.is_over:
            is_smaller = False
            start = 0
            while start < len(self.kept) and not self.is_over:
                # once one is taken, what is drawn may be other faults, and fewer
                if self._takes(self.size, self.mask | frozenset(self.kept[start : start + step])):
                    is_smaller = True
                else:
                    start += step
            if step == 1 and not is_smaller:
                return
            step = max(1, step // 2)

    def _takes(self, size: Size, mask: frozenset[int]) -> bool:
        """Whether a smaller run fails in the same way; then it is the one to go on from."""
        found = self._run(size, mask)
        self.runs += 1
        if not (found.violations if self._is_safety else found.liveness_failures):
            return False
        self.size, self.mask, self.verdict = size, mask, found
        return True
