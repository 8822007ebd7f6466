"""Whole clusters of production nodes under virtual time, with faults drawn from one seed: network, disk, clocks, crashes, cheats.

A node here is the production engine (core, driver, log, signer, gossip, propagation, catching up), executor, mempool and evidence pool on
the production store; doubles stand only where the machine was: wires, disk, clock, the key's arithmetic. Two phases: while faults come and
go nothing may break; then the network heals, everybody honest is started again, and all must go on within a bounded (virtual) time.

Deterministic: trio schedules by a seeded generator and a clock that jumps, each part draws from a generator of its own, there is no
thread, and a fault in `mask` is drawn and not applied. At most a third of the power, less one unit, cheats or has a damaged disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import trio
import trio.testing

from node.simulator.swarm_world import FAULT_PROFILES, SOMETIMES, World
from node.simulator.verdict import Verdict
from node.telemetry.logs import silenced

_MEMORY_FOLDER: Final = Path("/dev/shm")


def run_swarm(
    seed: int,
    *,
    validators: int = 0,
    heights: int = 20,
    faults: str = "all",
    mask: frozenset[int] = frozenset(),
    trace: Callable[[str], None] | None = None,
    on_height: Callable[[int], None] | None = None,
) -> Verdict:
    """One swarm. `validators` 0: 4 to 7 by the seed. `on_height` is told of progress. Raises KeyError for an unknown profile of faults."""
    profile = FAULT_PROFILES[faults]
    run: Any = trio._core._run
    was_deterministic, before = run._ALLOW_DETERMINISTIC_SCHEDULING, run._r.getstate()
    run._ALLOW_DETERMINISTIC_SCHEDULING = True
    run._r.seed(seed)
    parent = _MEMORY_FOLDER if _MEMORY_FOLDER.is_dir() else None
    try:
        with tempfile.TemporaryDirectory(prefix="qenex-swarm-", dir=parent) as folder, silenced():
            world = World(seed, validators, heights, profile, mask, Path(folder), trace, on_height)
            clock = trio.testing.MockClock(autojump_threshold=0)
            trio.run(world.play, clock=clock)
            return world.verdict()
    finally:
        run._ALLOW_DETERMINISTIC_SCHEDULING = was_deterministic
        with suppress(ValueError):
            run._r.setstate(before)


__all__ = ["FAULT_PROFILES", "SOMETIMES", "run_swarm"]
