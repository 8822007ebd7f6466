"""The crash matrix: every persistence step of a validator, times the modes, on a real network of four under load.

First the steps by their number from the start on, then each kind of step so many times, whenever it comes: a node that catches up writes
hardly anything but batches, and the steps of voting come later.

The victim is one of four; the others go on. It is started with a fail point (`crash_node.py`), ends by SIGKILL at that step, and is started
with the next. So each start has to cope with what the step before left behind, and nobody mends anything. At the end all nodes have the
same blocks, every transfer that was reported committed is everywhere, and no block carries evidence.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import trio
from chaos import Load, Nodes, count_lost
from crash_node import kinds
from killtest import QENEX, bring_up, compare, end_on_signals, height_of

STEP_SECONDS_MAX = 20.0
KIND_SECONDS_MAX = 90.0  # the steps of voting come when the victim has caught up, beside other work late
MENDING = ("file truncate", "file sync")  # a start does these after a torn write, if more of that height's log than its title was whole
MENDING_TRIES = 4  # for each kill: a torn title is removed, not cut off


class Matrix:
    """One run on a network that is up."""

    def __init__(self, nodes: Nodes, victim: int) -> None:
        self.nodes, self.victim = nodes, victim
        self.seen: Counter[str] = Counter()
        self.problems: list[str] = []
        self.kills = 0
        self.not_reached = 0
        self.table: dict[str, dict[str, int]] = {}  # kind -> mode -> kills of the second part
        self.not_in_a_start: list[str] = []

    async def run(self, steps: int, modes: list[str], each: int, chosen: list[str]) -> None:
        await self.run_numbers(steps, modes)
        if each:
            for kind in chosen:
                await (self.run_mending if kind in MENDING else self.run_kind)(kind, modes, each)
                print(f"{kind}: {self.table.get(kind, 'does not happen in a start')}, {self.kills} kills", file=sys.stderr)

    async def run_kind(self, kind: str, modes: list[str], each: int) -> None:
        """Every mode so many times. A kind that does not come the first time is not one of a running node."""
        for mode in modes:
            for number in range(1, each + 1):
                if await self.kill_at(f"{kind}:{number}", mode, KIND_SECONDS_MAX):
                    self.count(kind, mode)
                elif kind not in self.table:
                    self.not_reached -= 1
                    self.not_in_a_start.append(kind)
                    return

    def count(self, kind: str, mode: str) -> int:
        """One kill more."""
        counts = self.table.setdefault(kind, {})
        counts[mode] = counts.get(mode, 0) + 1
        return counts[mode]

    async def run_mending(self, kind: str, modes: list[str], each: int) -> None:
        """A write is torn, and the start after it, which has it to mend, is killed while it does."""
        for mode in modes:
            done = tries = 0
            while done < each and tries < each * MENDING_TRIES:
                tries += 1
                if not await self.kill_at(f"file write:{1 + tries % 4}", "torn", KIND_SECONDS_MAX):
                    continue
                if await self.kill_at(f"{kind}:1", mode):
                    done = self.count(kind, mode)
                else:
                    self.not_reached -= 1  # there was nothing to mend
        if kind not in self.table:
            self.not_in_a_start.append(kind)

    async def run_numbers(self, steps: int, modes: list[str]) -> None:
        for mode in modes:
            for step in range(1, steps + 1):
                await self.kill_at(str(step), mode)
                if step % 10 == 0:
                    heights = [await trio.to_thread.run_sync(height_of, url) for url in self.nodes.urls]
                    print(f"{mode} {step}/{steps}: {self.kills} kills, heights {heights}", file=sys.stderr)

    async def kill_at(self, step: str, mode: str, seconds_max: float = STEP_SECONDS_MAX) -> bool:
        """Whether the step came within its time, and the node died there."""
        home = self.nodes.home / f"node{self.victim}"
        command = [sys.executable, str(Path(__file__).with_name("crash_node.py")), step, mode, "start", "--home", str(home)]
        log = home / "crash.log"
        with log.open("wb") as file:
            child = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
        try:
            with trio.move_on_after(seconds_max) as scope:
                while child.poll() is None:
                    await trio.sleep(0.02)
        finally:  # also when the script is stopped
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                child.wait()
        if scope.cancelled_caught:
            self.not_reached += 1
            return False
        text = log.read_text(errors="replace")
        found = re.search(r"fail point \d+ \w+ (.+)", text)
        if child.returncode == -signal.SIGKILL and found:
            self.kills += 1
            self.seen[found.group(1)] += 1
            return True
        self.problems.append(f"step {step} {mode}: the node ended by itself with {child.returncode}: {text[-400:]}")
        return False


async def run(nodes: Nodes, steps: int, modes: list[str], each: int, chosen: list[str], seed: int) -> dict[str, Any]:
    victim = nodes.count - 1
    urls, nodes.urls = nodes.urls, nodes.urls[:-1]
    matrix, load = Matrix(nodes, victim), Load(nodes, random.Random(seed))
    started = time.monotonic()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load.run)
        await matrix.run(steps, modes, each, chosen)
        nodes.start(victim)
        back = time.monotonic()
        nodes.urls = urls
        while time.monotonic() - back < 60:
            try:
                heights = [await trio.to_thread.run_sync(height_of, url) for url in urls]
            except OSError:
                heights = [0]
            if len(heights) == len(urls) and min(heights) >= max(heights) - 1:
                break
            await trio.sleep(0.1)
        else:
            matrix.problems.append(f"the victim did not come back to the tip: {heights}")
        recovery = time.monotonic() - back
        load.is_over = True
        with trio.move_on_after(30):
            while load.waiting:
                await trio.sleep(0.1)
        lost = await count_lost(nodes, load)
        verdict = await trio.to_thread.run_sync(compare, urls, nodes.home)
        nursery.cancel_scope.cancel()
    is_ok = verdict["ok"] and not matrix.problems and not lost and matrix.kills > 0 and bool(load.acknowledged)
    return {
        "steps": steps, "modes": modes, "each": each, "kills": matrix.kills, "not_reached": matrix.not_reached, "kinds": dict(matrix.seen),
        "each_kind": matrix.table, "not_in_a_start": matrix.not_in_a_start,
        "seconds": round(time.monotonic() - started, 1), "recovery_s": round(recovery, 2), "acknowledged": len(load.acknowledged),
        "lost": lost, "problems": matrix.problems, **verdict, "ok": is_ok,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--modes", default="before,after,torn")
    parser.add_argument("--each", type=int, default=3, help="then each kind of step so many times in each mode; 0: not")
    parser.add_argument("--kinds", default=",".join(kinds()), help="the kinds of steps of that second part")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base-port", type=int, default=31656)
    options = parser.parse_args()
    chosen = options.kinds.split(",")
    if unknown := set(chosen) - set(kinds()):
        parser.error(f"there is no kind of step {', '.join(sorted(unknown))}; there are: {', '.join(kinds())}")
    end_on_signals()
    with tempfile.TemporaryDirectory(prefix="qenex-crashmatrix-") as folder:
        home = Path(folder) / "net"
        bring_up(home, "--base-port", str(options.base_port), "--block-interval", "0.5")
        nodes = Nodes(home, 4)
        try:
            status = subprocess.run([*QENEX, "testnet", "status", "--home", str(home), "--json"], check=True, capture_output=True)
            found = json.loads(status.stdout)["nodes"]
            nodes.urls = [node["rpc"] for node in found]
            subprocess.run(["kill", "-9", str(found[-1]["pid"])], check=True)
            verdict = trio.run(run, nodes, options.steps, options.modes.split(","), options.each, chosen, options.seed)
        finally:
            nodes.end_all()
            subprocess.run([*QENEX, "testnet", "down", "--home", str(home)], check=False, stdout=sys.stderr)
    print(json.dumps(verdict))
    return 0 if verdict["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
