"""A local network under load for `drill.py` and `upgrade.py`: four real nodes, transfers to all, and what the chain says in the end.

Only processes of its own network are signalled, by their process id. What is drilled stands in the two scripts.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import trio
from chaos import ASKED_AT_ONCE, RESEND_S, Load, Nodes, ask_status
from killtest import QENEX, compare, height_of, rpc

from node.crash import leaf_of
from node.rpc.client import Client
from state.codes import Code
from state.primitives.errors import ClientError

VALIDATORS = 4
WAIT_S_MAX = 300.0
STOP_S_MAX = 30.0
METAS = 20  # that a node gives at once
DRAIN_S_MAX = 120.0
BATCH = 50  # transfers sent at once
WAITING_MAX = 1_000


class Network(Nodes):
    """The nodes of a network that was just made, each started with a command of its own."""

    def __init__(self, home: Path, base_port: int, interval_s: float) -> None:
        super().__init__(home, VALIDATORS)
        make = [*QENEX, "testnet", "init", "--home", str(home), "--validators", str(VALIDATORS), "--json"]
        make += ["--base-port", str(base_port), "--block-interval", str(interval_s)]
        made = subprocess.run(make, check=True, stdout=subprocess.PIPE)
        self.urls = [node["rpc"] for node in json.loads(made.stdout)["nodes"]]
        self.commands: list[list[str]] = [list(QENEX) for _ in range(VALIDATORS)]

    def home_of(self, index: int) -> Path:
        return self.home / f"node{index}"

    def begin(self, index: int, *arguments: str) -> None:
        """Start a node."""
        with (self.home_of(index) / "drill.log").open("ab") as log:
            command = [*self.commands[index], "start", "--home", str(self.home_of(index)), *arguments]
            # elsewhere, so that the folders of this copy are not what another release imports
            self.running[index] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=self.home)

    def quit(self, index: int) -> None:
        """Stop a node by SIGTERM."""
        child = self.running.pop(index)
        child.send_signal(signal.SIGTERM)
        if code := child.wait(STOP_S_MAX):
            raise SystemExit(f"node{index} ended with exit code {code}; see {self.home_of(index) / 'drill.log'}")

    async def wait(self, what: str, condition: Callable[[], bool], seconds: float = WAIT_S_MAX) -> float:
        """Seconds until something is so."""
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            for index, child in self.running.items():
                if child.poll() is not None:
                    raise SystemExit(f"{what}: node{index} ended with exit code {child.poll()}; see drill.log in its home")
            try:
                if await trio.to_thread.run_sync(condition):
                    return time.monotonic() - started
            except (OSError, RuntimeError):
                pass
            await trio.sleep(0.1)
        raise SystemExit(f"{what}: not within {seconds:.0f} s")

    def is_at_tip(self, index: int) -> bool:
        others = [height_of(self.urls[each]) for each in self.running if each != index]
        return height_of(self.urls[index]) >= max(others) - 1

    def signs(self, index: int, above: int) -> bool:
        """Whether a commit above a height holds the signature of a node's validator, as another node tells it."""
        address = rpc(self.urls[index], "status")["validator_info"]["address"]
        url = self.urls[(index + 1) % VALIDATORS]
        height = height_of(url) - 1
        if height <= above:
            return False
        parts = rpc(url, "commit", height=str(height))["signed_header"]["commit"]["signatures"]
        return any(part["validator_address"] == address and part["block_id_flag"] == 2 for part in parts)

    def headers(self, url: str, low: int, high: int) -> list[dict[str, Any]]:
        """The headers of heights that a node has, lowest first."""
        found: list[dict[str, Any]] = []
        for first in range(low, high + 1, METAS):
            page = rpc(url, "blockchain", minHeight=str(first), maxHeight=str(min(first + METAS - 1, high)))["block_metas"]
            found += [meta["header"] for meta in page]
        return sorted(found, key=lambda header: int(header["height"]))

    def version_of(self, index: int) -> str:
        return str(rpc(self.urls[index], "status")["node_info"]["other"]["qenex_version"])


class SteadyLoad(Load):
    """As `Load`, with more transfers: what waits is asked for all at once."""

    async def _turn(self, client: Client, chain: bytes) -> None:
        now = trio.current_time()
        async with trio.open_nursery() as nursery:
            for tx_hash in list(self.waiting)[: 4 * BATCH]:
                nursery.start_soon(self._look, client, tx_hash)
        again = [raw for raw, last in self.waiting.values() if now - last > RESEND_S][:BATCH]
        fresh = [] if self.is_over or len(self.waiting) > WAITING_MAX else [self.make(chain) for _ in range(BATCH)]
        for raw, outcome in zip([*again, *fresh], await client.send_batch([*again, *fresh]), strict=True) if again or fresh else ():
            if outcome.code in (Code.OK, Code.TX_SEEN):
                self.waiting[outcome.hash] = raw, now
            elif outcome.hash not in self.waiting:
                self.failed += 1

    async def _look(self, client: Client, tx_hash: bytes) -> None:
        try:
            found = await client.call("tx_status", hash=base64.b64encode(tx_hash).decode("ascii"))
        except ClientError:
            return  # the node is going down; another one next time
        if found["status"] == "committed":
            del self.waiting[tx_hash]
            self.acknowledged[tx_hash] = int(found["height"])
            self.failed += int(found["code"]) != 0
        elif found["status"] in ("rejected", "expired"):
            del self.waiting[tx_hash]
            self.failed += 1


def seconds_of(header: dict[str, Any]) -> float:
    """The time of a header."""
    return datetime.fromisoformat(header["time"][:26].rstrip("Z") + "+00:00").timestamp()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Stages:
    """What was done, with its seconds."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, str]] = []

    def add(self, what: str, seconds: float, note: str = "") -> None:
        self.rows.append((what, seconds, note))
        say(f"{what}: {seconds:.1f} s {note}".rstrip())

    def table(self) -> str:
        width = max(len(what) for what, _, _ in self.rows)
        return "\n".join(f"{what:<{width}}  {seconds:8.1f} s  {note}".rstrip() for what, seconds, note in self.rows)

    def to_json(self) -> list[dict[str, Any]]:
        return [{"stage": what, "seconds": round(seconds, 2), "note": note} for what, seconds, note in self.rows]


@asynccontextmanager
async def under_load(network: Network, seed: int) -> AsyncIterator[Load]:
    """All nodes run, transfers go to all of them; at the end of the block what waits is waited for."""
    async with trio.open_nursery() as nursery:
        for index in range(VALIDATORS):
            network.begin(index)
        await network.wait("the first block", lambda: min(map(height_of, network.urls)) >= 1)
        load = SteadyLoad(network, random.Random(seed))
        nursery.start_soon(load.run)
        yield load
        load.is_over = True
        with trio.move_on_after(DRAIN_S_MAX):
            while load.waiting:
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()


def earliest_of(url: str) -> int:
    """The lowest height whose block a node has."""
    return int(rpc(url, "status")["sync_info"]["earliest_block_height"])


def count_lost(network: Network, load: Load) -> int:
    """Acknowledged transfers that some node does not have, or has elsewhere. A restored node has its blocks from its snapshot on; that what
    was before is in its state, the equal app hashes say."""
    lost: set[bytes] = set()
    for url in network.urls:
        low = earliest_of(url)
        known = [item for item in load.acknowledged.items() if item[1] >= low]
        for first in range(0, len(known), ASKED_AT_ONCE):
            part = known[first : first + ASKED_AT_ONCE]
            for (tx_hash, height), found in zip(part, ask_status(url, [tx_hash for tx_hash, _ in part]), strict=True):
                if found["status"] != "committed" or int(found["height"]) != height:
                    lost.add(tx_hash)
    return len(lost)


async def judge(network: Network, load: Load, gap_s_max: float) -> dict[str, Any]:
    """What the chain says: lost transfers, differing blocks and app hashes, missing heights, the longest pause between two blocks."""

    def look() -> dict[str, Any]:
        top = min(map(height_of, network.urls))
        lowest = [earliest_of(url) for url in network.urls]
        longest = network.urls[lowest.index(min(lowest))]
        headers = network.headers(longest, 1, top)
        hashes = {int(header["height"]): header["app_hash"] for header in headers}
        differing = sum(
            hashes.get(int(header["height"])) != header["app_hash"]
            for url, low in zip(network.urls, lowest, strict=True)
            for header in network.headers(url, low, top)
        )
        times = [seconds_of(header) for header in headers]
        gaps = [(later - earlier, place + 2) for place, (earlier, later) in enumerate(itertools.pairwise(times))]
        gap, at = max(gaps)
        return {
            "heights": top,
            "missing_heights": top - len(headers),
            "differing_app_hashes": differing,
            "gap_s_max": round(gap, 2),
            "gap_before_height": at,
            "gap_s_mean": round((times[-1] - times[0]) / (len(times) - 1), 2),
        }

    found = await trio.to_thread.run_sync(look)
    lost = await trio.to_thread.run_sync(count_lost, network, load)
    whole = [url for url in network.urls if earliest_of(url) <= 1]
    blocks = await trio.to_thread.run_sync(compare, whole, network.home)
    is_ok = (
        not lost and not load.waiting and bool(load.acknowledged) and blocks["ok"]
        and not found["missing_heights"] and not found["differing_app_hashes"] and found["gap_s_max"] <= gap_s_max
    )  # fmt: skip
    return {
        "transfers_sent": load.sent,
        "acknowledged": len(load.acknowledged),
        "lost": lost,
        "neither_committed_nor_refused": len(load.waiting),
        "failed": load.failed,
        **found,
        "gap_s_bound": gap_s_max,
        "differing_blocks": blocks["differing_blocks"],
        "double_votes": blocks["double_votes"],
        "ok": is_ok,
    }


def run_on(network: Network, work: Callable[..., Awaitable[dict[str, Any]]], *arguments: Any) -> dict[str, Any]:
    """What the work on a network comes to; its processes are ended whatever happens. Raises what went wrong first, by itself."""
    try:
        return trio.run(work, network, *arguments)
    except BaseExceptionGroup as group:
        raise leaf_of(group) from None
    finally:
        network.end_all()


def report(stages: Stages, verdict: dict[str, Any], as_json: bool) -> int:
    """Print it; the exit code."""
    if as_json:
        print(json.dumps({**verdict, "stages": stages.to_json()}))
    else:
        print(stages.table())
        print("\n".join(f"{name}: {value}" for name, value in verdict.items()))
    return 0 if verdict["ok"] else 1
