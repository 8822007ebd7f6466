"""Swarms of whole nodes: each profile and each cheat, one trace for one seed in any process, and that what breaks is seen."""

from __future__ import annotations

import os
import subprocess
import sys
from random import Random

import pytest

from node.clock import VirtualClock
from node.simulator import swarm_world
from node.simulator.bugs import planted
from node.simulator.byzantine import KINDS
from node.simulator.checkers import Checkers
from node.simulator.keys import SimKeys
from node.simulator.swarm import FAULT_PROFILES, run_swarm
from node.simulator.swarm_node import SwarmNode
from node.simulator.wires import Direction, Wires


@pytest.mark.parametrize("seed", range(5))
def test_all_faults(seed: int) -> None:
    verdict = run_swarm(seed, heights=10)
    assert verdict.is_ok, verdict
    assert verdict.heights >= 10


@pytest.mark.parametrize("profile", FAULT_PROFILES)
def test_each_profile(profile: str) -> None:
    verdict = run_swarm(11, validators=4, heights=8, faults=profile)
    assert verdict.is_ok, verdict
    assert (verdict.faults_drawn > 0) == (profile != "none")


@pytest.mark.parametrize("kind", KINDS)
def test_each_cheat_acts_and_harms_nobody(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SwarmNode] = []

    class Watched(SwarmNode):
        def _make_switch(self):  # type: ignore[no-untyped-def]
            if self.kind:
                made.append(self)
            self.switches = [*getattr(self, "switches", []), super()._make_switch()]
            return self.switches[-1]

    monkeypatch.setattr(swarm_world, "SwarmNode", Watched)
    monkeypatch.setattr(swarm_world.byzantine, "KINDS", (kind,))
    seed = next(s for s in range(100) if run_swarm(s, validators=4, heights=1, faults="byzantine").sometimes.get(f"cheat: {kind}"))
    made.clear()
    verdict = run_swarm(seed, validators=4, heights=8, faults="byzantine")
    assert verdict.is_ok, verdict
    assert made
    if kind not in ("inventing blocks", "forgetting locks", "twins"):
        assert sum(switch.acted for node in made for switch in node.switches) > 0  # type: ignore[attr-defined]
    if kind in ("equivocating", "saying both"):  # twins that hear the same say the same
        assert verdict.sometimes.get("evidence committed"), verdict


@pytest.mark.parametrize("kind", ["naming twice", "crowding out"])
def test_nobody_honest_is_blamed_for_what_a_cheat_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worlds: list[swarm_world.World] = []
    play = swarm_world.World.play

    async def noting(self: swarm_world.World) -> None:
        worlds.append(self)
        await play(self)

    monkeypatch.setattr(swarm_world.World, "play", noting)
    monkeypatch.setattr(swarm_world.byzantine, "KINDS", (kind,))
    seed = next(s for s in range(100) if run_swarm(s, validators=4, heights=1, faults="byzantine").sometimes.get(f"cheat: {kind}"))
    assert run_swarm(seed, validators=4, heights=20, faults="byzantine").is_ok
    honest = {node.name for node in worlds[-1].honest}
    blamed = {accused for reporter, accused, _ in worlds[-1].wires.reports if reporter in honest}
    assert not blamed & honest, worlds[-1].wires.reports


def test_a_masked_fault_is_drawn_and_not_applied() -> None:
    whole = run_swarm(3, validators=4, heights=6)
    none = run_swarm(3, validators=4, heights=6, mask=frozenset(range(10_000)))
    assert none.is_ok
    assert none.trace_hash != whole.trace_hash
    assert "killed in the middle of a write" not in none.sometimes


def test_one_seed_is_one_trace_in_any_process() -> None:
    code = "from node.simulator.swarm import run_swarm; print(run_swarm(4, validators=4, heights=6).trace_hash)"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": text, "TZ": zone}
        ).stdout
        for text, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert hashes == {run_swarm(4, validators=4, heights=6).trace_hash + "\n"}


def test_a_quorum_of_half_is_noticed() -> None:
    with planted("half-is-enough"):
        assert any(not run_swarm(seed, validators=6, heights=10, faults="network").is_ok for seed in range(10))


def test_a_commit_that_is_lost_is_noticed() -> None:
    """A node that comes back below what it reported as committed."""
    checkers = Checkers(SimKeys((1, 1, 1, 1)), "sim-1")
    checkers._reported["node0"] = 7
    checkers.restarted("node0", 6)
    assert checkers.broken


def test_troubles_that_overlap_do_not_undo_each_other() -> None:
    wires = Wires(Random(1), VirtualClock(0))
    for pair in (("a", "b"), ("b", "a")):
        wires.directions[pair] = Direction()
    link = wires.directions[("a", "b")]
    first = wires.disturb([("a", "b")], is_cut=True, loss=0.1)
    second = wires.disturb([("a", "b"), ("b", "a")], is_cut=True, loss=0.2)
    first()
    assert (link.is_cut, link.loss) == (True, 0.2), "the second goes on"
    third = wires.disturb([("a", "b")], delay_s=3.0)
    second()
    assert (link.is_cut, link.loss, link.delay_s) == (False, 0.0, 3.0)
    third()
    assert link == Direction() == wires.directions[("b", "a")]
    again = wires.disturb([("a", "b")], is_cut=True)
    wires.heal()
    again()  # it is over already
    assert link == Direction()
