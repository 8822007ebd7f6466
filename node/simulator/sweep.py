"""Many seeds in several processes: what they come to together, whatever the number of processes.

A part is a range of seeds of one generator; parts are handed out and added up in order, so the trace hash of a sweep does not depend on who
ran what. Workers end with their parent. Running one seed is the generators' (`lockstep`, `swarm`); printing is the command's.
"""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from node.simulator.bugs import planted
from node.simulator.lockstep import SOMETIMES as LOCKSTEP_SOMETIMES
from node.simulator.lockstep import run_lockstep
from node.simulator.swarm import SOMETIMES as SWARM_SOMETIMES
from node.simulator.swarm import run_swarm
from node.simulator.verdict import Verdict

LOCKSTEP: Final = "lockstep"
SWARM: Final = "swarm"
LOCKSTEP_PART: Final = 200
SWARM_PART: Final = 2
LOCKSTEP_ENOUGH: Final = 20_000  # scenarios after which each hard part must have been reached
SWARM_ENOUGH: Final = 200  # seeds
_PR_SET_PDEATHSIG: Final = 1
_FAILURES_KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class Part:
    """A range of seeds of one generator. `validators` 0: by the seed."""

    generator: str
    first: int
    count: int
    validators: int
    heights: int
    faults: str
    bug: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What a part came to, and the processor time it took: the only figure that differs from run to run."""

    verdicts: list[Verdict]
    cpu_s: float


@dataclass
class Failure:
    """A run that went wrong, with what is needed to run it again."""

    generator: str
    seed: int
    kind: str
    message: str


@dataclass
class Totals:
    """What a sweep came to."""

    seeds: int = 0
    scenarios: int = 0
    violations: int = 0
    liveness_failures: int = 0
    sometimes: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    never_reached: list[str] = field(default_factory=list)
    seconds: float = 0.0
    swarm_heights: int = 0
    swarm_figures: dict[str, int] = field(default_factory=dict)
    swarm_cpu_s: float = 0.0
    _digest: Any = field(default_factory=hashlib.sha256)

    @property
    def trace_hash(self) -> str:
        """Of all traces, in the order of the seeds."""
        return str(self._digest.hexdigest())

    @property
    def per_height(self) -> dict[str, float]:
        """What a height of a swarm costs all its nodes together: processor time, and what they send. Empty without swarms."""
        if not self.swarm_heights:
            return {}
        sent = {what: round(self.swarm_figures.get(what, 0) / self.swarm_heights) for what in ("bytes", "messages")}
        return {"cpu_ms": round(1000 * self.swarm_cpu_s / self.swarm_heights, 1), **sent}

    def add(self, part: Part, done: Done) -> None:
        """What one part came to; parts come in order."""
        if part.generator == SWARM:
            self.swarm_cpu_s += done.cpu_s
            self.swarm_heights += sum(verdict.heights for verdict in done.verdicts)
            for verdict in done.verdicts:
                for what, amount in verdict.figures.items():
                    self.swarm_figures[what] = self.swarm_figures.get(what, 0) + amount
        for verdict in done.verdicts:
            self.scenarios += 1
            self.seeds += part.generator == SWARM
            self.violations += len(verdict.violations)
            self.liveness_failures += len(verdict.liveness_failures)
            self._digest.update(bytes.fromhex(verdict.trace_hash))
            for what, times in verdict.sometimes.items():
                self.sometimes[what] = self.sometimes.get(what, 0) + times
            for kind, messages in (("safety", verdict.violations), ("liveness", verdict.liveness_failures)):
                if messages and len(self.failures) < _FAILURES_KEPT:
                    self.failures.append(Failure(part.generator, verdict.seed, kind, messages[0]))


def run_part(part: Part, on_height: Callable[[int], None] | None = None) -> Done:
    """Every seed of a part. With a bug it stops at the first that is caught."""
    started = time.process_time()
    return Done(_run_seeds(part, on_height), time.process_time() - started)


def _run_seeds(part: Part, on_height: Callable[[int], None] | None) -> list[Verdict]:
    if part.bug:
        with planted(part.bug) as bug:
            verdicts = []
            for seed in range(part.first, part.first + part.count):
                verdicts.append(run_lockstep(seed, validators=part.validators, habits=bug.habits))
                if not verdicts[-1].is_ok:
                    break
            return verdicts
    seeds = range(part.first, part.first + part.count)
    if part.generator == LOCKSTEP:
        return [run_lockstep(seed, validators=part.validators, exceeds=part.faults == "accountability") for seed in seeds]
    return [
        run_swarm(seed, validators=part.validators, heights=part.heights, faults=part.faults, on_height=on_height) for seed in seeds
    ]


def make_parts(generator: str, first: int, count: int, validators: int, heights: int, faults: str, bug: str = "") -> list[Part]:
    """The parts of a range of seeds."""
    size = LOCKSTEP_PART if generator == LOCKSTEP else SWARM_PART
    return [
        Part(generator, start, min(size, first + count - start), validators, heights, faults, bug)
        for start in range(first, first + count, size)
    ]


def run_sweep(
    parts: list[Part], jobs: int, on_part: Callable[[Part, Totals], None], on_height: Callable[[int], None] | None = None
) -> Totals:
    """Run parts in `jobs` processes and add them up. `on_height` is told of the progress of swarms, in this process only."""
    totals = Totals()
    started = time.monotonic()
    for part, done in _run_parts(parts, jobs, on_height):
        totals.add(part, done)
        totals.seconds = time.monotonic() - started
        on_part(part, totals)
    counts = {name: sum(part.count for part in parts if part.generator == name) for name in (LOCKSTEP, SWARM)}
    if counts[LOCKSTEP] >= LOCKSTEP_ENOUGH and all(part.faults != "accountability" for part in parts):
        totals.never_reached += [what for what in LOCKSTEP_SOMETIMES if not totals.sometimes.get(what)]
    if counts[SWARM] >= SWARM_ENOUGH and any(part.generator == SWARM and part.faults == "all" for part in parts):
        totals.never_reached += [what for what in SWARM_SOMETIMES if not totals.sometimes.get(what)]
    return totals


def hunt(bug: str, first: int, budget: int, validators: int, jobs: int) -> tuple[int, str]:
    """(scenarios until a planted bug was caught, why); (0, "") if it was not within `budget`."""
    tried = 0
    for _, done in _run_parts(make_parts(LOCKSTEP, first, budget, validators, 1, "all", bug), jobs):
        tried += len(done.verdicts)
        last = done.verdicts[-1]
        if not last.is_ok:
            return tried, (last.violations + last.liveness_failures)[0]
    return 0, ""


def _run_parts(
    parts: list[Part], jobs: int, on_height: Callable[[int], None] | None = None
) -> Iterator[tuple[Part, Done]]:
    if jobs <= 1 or len(parts) <= 1:
        for part in parts:
            yield part, run_part(part, on_height)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(jobs, len(parts)), initializer=_end_with_parent) as pool:
        yield from zip(parts, pool.imap(run_part, parts), strict=True)


def _end_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
