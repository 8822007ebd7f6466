"""Chaos on real nodes: a schedule of faults from one seed, load beside it, and checks after each heal and at the end.

What is checked: after every heal the height rises within `RISE_S_MAX` and all nodes are at the tip again; at the end all nodes have the
same block at every height, every transfer that any node reported as committed is on all of them at the same height, and no key signed
twice. Only processes of its own network are signalled, by their process id.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
from chaos_relay import Relay
from killtest import QENEX, compare, end_on_signals, stop

from node.keystore import Role, read_key_file
from node.rpc.client import Client
from state.codes import Code
from state.primitives.errors import ClientError
from state.primitives.ids import parse_address
from state.primitives.limits import LANE_UNORDERED
from state.transaction import build, call, sign

RISE_S_MAX = 10.0
AT_TIP_S_MAX = 60.0
FAULT_S = (4.0, 12.0)
CALM_S = (2.0, 5.0)
BATCH = 20
RESEND_S = 12.0
DISK_BYTES = 96 * 1024 * 1024
ASKED_AT_ONCE = 100


class Nodes:
    """The processes: started and stopped by number."""

    def __init__(self, home: Path, count: int) -> None:
        self.home, self.count = home, count
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self.urls: list[str] = []

    def start(self, index: int, offset_ms: int = 0) -> None:
        node = self.home / f"node{index}"
        command = [sys.executable, str(Path(__file__).with_name("chaos_node.py")), str(offset_ms), "start", "--home", str(node)]
        with (node / "chaos.log").open("ab") as log:
            self.running[index] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def send(self, index: int, number: signal.Signals) -> None:
        stop(self.running[index].pid, number)

    def end(self, index: int, number: signal.Signals = signal.SIGKILL) -> int:
        child = self.running.pop(index)
        stop(child.pid, signal.SIGCONT)
        stop(child.pid, number)
        return child.wait(30)

    def end_all(self) -> None:
        for index in list(self.running):
            self.end(index)


class Load:
    """Transfers that can be in any order, sent to any node; those reported committed must never be lost."""

    def __init__(self, nodes: Nodes, chance: random.Random) -> None:
        self.nodes, self.chance = nodes, chance
        keys = nodes.home / "keys"
        self.alice = read_key_file(keys / "alice.json", lambda _: b"", role=Role.USER)
        self.sender = parse_address(self.alice.account)
        self.recipient = parse_address(read_key_file(keys / "bob.json", lambda _: b"", role=Role.USER).account)
        self.waiting: dict[bytes, tuple[bytes, float]] = {}  # hash -> (transaction, last sent)
        self.acknowledged: dict[bytes, int] = {}  # hash -> height
        self.sent = 0
        self.failed = 0
        self.is_over = False

    def make(self, chain: bytes) -> bytes:
        self.sent += 1
        ops = [call("asset.transfer", asset="QNX", to=self.recipient, amount=1, tag="")]
        draft = build(
            chain_id=chain, sender=self.sender, lane=LANE_UNORDERED, seq=0, valid_until=int(time.time()) + 300, ops=ops,
            memo=f"chaos {self.sent}", max_fee=10**12,
        )  # fmt: skip
        return sign(draft, [(self.sender, 0, self.alice.key)])

    async def run(self) -> None:
        chain: bytes | None = None
        while not self.is_over or self.waiting:
            url = self.chance.choice(self.nodes.urls)
            try:
                with trio.move_on_after(3):
                    async with Client(url, timeout_s=3) as client:
                        chain = chain or await client.chain_id()
                        await self._turn(client, chain)
            except (ClientError, OSError):
                pass  # a node that is down; another one next time
            await trio.sleep(0.2)

    async def _turn(self, client: Client, chain: bytes) -> None:
        now = trio.current_time()
        for tx_hash in list(self.waiting)[:200]:
            found = await client.call("tx_status", hash=_base64(tx_hash))
            if found["status"] == "committed":
                del self.waiting[tx_hash]
                self.acknowledged[tx_hash] = int(found["height"])
                self.failed += int(found["code"]) != 0
            elif found["status"] in ("rejected", "expired"):
                del self.waiting[tx_hash]
                self.failed += 1
        again = [raw for raw, last in self.waiting.values() if now - last > RESEND_S][:BATCH]
        fresh = [] if self.is_over or len(self.waiting) > 2_000 else [self.make(chain) for _ in range(BATCH)]
        for raw, outcome in zip([*again, *fresh], await client.send_batch([*again, *fresh]), strict=True) if again or fresh else ():
            if outcome.code in (Code.OK, Code.TX_SEEN):
                self.waiting[outcome.hash] = raw, now
            elif outcome.hash not in self.waiting:
                self.failed += 1


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


Fault = Callable[["Chaos"], Callable[[], None]]  # causes it; the answer undoes it


class Chaos:
    """One run."""

    def __init__(self, nodes: Nodes, relay: Relay, seed: int) -> None:
        self.nodes, self.relay = nodes, relay
        self.chance = random.Random(seed)
        self.rises: list[float] = []
        self.at_tips: list[float] = []
        self.counts: dict[str, int] = {}
        self.problems: list[str] = []

    def pick(self, count: int = 1) -> list[int]:
        return self.chance.sample(range(self.nodes.count), count)

    async def heights(self) -> list[int]:
        found = [-1] * self.nodes.count

        async def ask(index: int) -> None:
            try:
                with trio.move_on_after(2):
                    async with Client(self.nodes.urls[index], timeout_s=2) as client:
                        found[index] = await client.height()
            except (ClientError, OSError):
                return

        async with trio.open_nursery() as nursery:
            for index in range(self.nodes.count):
                nursery.start_soon(ask, index)
        return found

    async def round(self, name: str, fault: Fault) -> None:
        undo = fault(self)
        await trio.sleep(self.chance.uniform(*FAULT_S))
        before = max(await self.heights())
        undo()
        healed = trio.current_time()
        rise = await self._until(lambda heights: max(heights) > before, RISE_S_MAX * 3)
        tip = await self._until(lambda heights: min(heights) >= max(heights) - 2, AT_TIP_S_MAX)
        self.counts[name] = self.counts.get(name, 0) + 1
        self.rises.append(rise)
        self.at_tips.append(trio.current_time() - healed)
        if rise > RISE_S_MAX:
            self.problems.append(f"after {name} the height rose only after {rise:.1f} s")
        if tip >= AT_TIP_S_MAX:
            self.problems.append(f"after {name} not all nodes were at the tip within {AT_TIP_S_MAX:.0f} s: {await self.heights()}")
        heights = await self.heights()
        print(f"{name:22} rise {rise:4.1f} s, all at the tip {self.at_tips[-1]:4.1f} s, heights {heights}", file=sys.stderr)

    async def _until(self, condition: Callable[[list[int]], bool], seconds: float) -> float:
        started = trio.current_time()
        while trio.current_time() - started < seconds:
            if condition(await self.heights()):
                return trio.current_time() - started
            await trio.sleep(0.1)
        return seconds


def slow_links(chaos: Chaos) -> Callable[[], None]:
    chaos.relay.change(delay_s=0.1, jitter_s=0.1)
    return chaos.relay.heal


def lossy_links(chaos: Chaos) -> Callable[[], None]:
    chaos.relay.change(loss=0.1, delay_s=0.02)
    return chaos.relay.heal


def partition(chaos: Chaos) -> Callable[[], None]:
    """Two groups: with five nodes, two and three halt the chain, one and four do not."""
    minority = chaos.pick(chaos.chance.randint(1, chaos.nodes.count // 2))
    cut = [(i, j) for i, j in chaos.relay.links if (i in minority) != (j in minority)]
    chaos.relay.change(cut, is_cut=True)
    return chaos.relay.heal


def one_way(chaos: Chaos) -> Callable[[], None]:
    """Some directions are cut, the others are not."""
    cut = [pair for pair in chaos.relay.links if chaos.chance.random() < 0.3]
    if cut:
        chaos.relay.change(cut, is_cut=True)
    return chaos.relay.heal


def swizzle(chaos: Chaos) -> Callable[[], None]:
    """One node hears everybody and is heard by nobody, another the other way round."""
    mute, deaf = chaos.pick(2)
    chaos.relay.change([(i, j) for i, j in chaos.relay.links if i == mute or j == deaf], is_cut=True)
    return chaos.relay.heal


def pause(chaos: Chaos) -> Callable[[], None]:
    victims = chaos.pick(chaos.chance.randint(1, 2))
    for index in victims:
        chaos.nodes.send(index, signal.SIGSTOP)

    def undo() -> None:
        for index in victims:
            chaos.nodes.send(index, signal.SIGCONT)

    return undo


def kill(chaos: Chaos) -> Callable[[], None]:
    victims = chaos.pick(chaos.chance.randint(1, 2))
    for index in victims:
        chaos.nodes.end(index)

    def undo() -> None:
        for index in victims:
            chaos.nodes.start(index)

    return undo


def wrong_clock(chaos: Chaos) -> Callable[[], None]:
    (victim,) = chaos.pick()
    chaos.nodes.end(victim, signal.SIGTERM)
    chaos.nodes.start(victim, chaos.chance.choice((-3_600_000, -2_000, 2_000, 3_600_000)))

    def undo() -> None:
        chaos.nodes.end(victim, signal.SIGTERM)
        chaos.nodes.start(victim)

    return undo


def full_disk(chaos: Chaos) -> Callable[[], None]:
    """The last node's home is a small disk of its own; it must stop by itself, and start when there is room again."""
    victim = chaos.nodes.count - 1
    filler = chaos.nodes.home / f"node{victim}" / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass

    def undo() -> None:
        code = chaos.nodes.running[victim].poll()
        if code is None:
            chaos.problems.append("a node went on with a full disk")
            chaos.nodes.end(victim)
        else:
            del chaos.nodes.running[victim]
            if code == 0:
                chaos.problems.append("a node with a full disk ended as if all were well")
        filler.unlink()
        chaos.nodes.start(victim)

    return undo


FAULTS: dict[str, Fault] = {
    "slow links": slow_links,
    "lossy links": lossy_links,
    "partition": partition,
    "one-way links": one_way,
    "mute and deaf": swizzle,
    "pause": pause,
    "kill": kill,
    "wrong clock": wrong_clock,
}


async def run(nodes: Nodes, relay: Relay, seed: int, minutes: float, faults: dict[str, Fault]) -> dict[str, Any]:
    async with trio.open_nursery() as nursery:
        chaos = Chaos(nodes, relay, seed)
        await nursery.start(relay.run)
        point_at_relay(nodes, relay)
        for index in range(nodes.count):
            nodes.start(index)
        if await chaos._until(lambda heights: min(heights) >= 1, 60) >= 60:
            raise SystemExit("the network did not start; see chaos.log in its homes")
        load = Load(nodes, random.Random(seed + 1))
        nursery.start_soon(load.run)
        started = trio.current_time()
        order: list[str] = []
        while trio.current_time() - started < minutes * 60:
            if not order:
                order = list(faults)
                chaos.chance.shuffle(order)
            name = order.pop()
            await chaos.round(name, faults[name])
            await trio.sleep(chaos.chance.uniform(*CALM_S))
        load.is_over = True
        with trio.move_on_after(60):
            while load.waiting:
                await trio.sleep(0.2)
        lost = await count_lost(nodes, load)
        verdict = await trio.to_thread.run_sync(compare, nodes.urls, nodes.home)
        nursery.cancel_scope.cancel()
    if load.waiting:
        chaos.problems.append(f"{len(load.waiting)} transfers were neither committed nor refused")
    is_ok = verdict["ok"] and not chaos.problems and not lost and bool(load.acknowledged)
    return {
        "validators": nodes.count,
        "minutes": round((trio.current_time() - started) / 60, 1),
        "rounds": sum(chaos.counts.values()),
        "faults": chaos.counts,
        "rise_s_max": round(max(chaos.rises), 1),
        "at_tip_s_max": round(max(chaos.at_tips), 1),
        "transfers_sent": load.sent,
        "acknowledged": len(load.acknowledged),
        "lost": lost,
        "failed": load.failed,
        "relayed_bytes": relay.bytes,
        "problems": chaos.problems,
        **verdict,
        "ok": is_ok,
    }


async def count_lost(nodes: Nodes, load: Load) -> int:
    """Acknowledged transfers that some node does not have, or has elsewhere."""
    lost: set[bytes] = set()
    known = list(load.acknowledged.items())
    for url in nodes.urls:
        for first in range(0, len(known), ASKED_AT_ONCE):
            part = known[first : first + ASKED_AT_ONCE]
            answers = await trio.to_thread.run_sync(ask_status, url, [tx_hash for tx_hash, _ in part])
            for (tx_hash, height), found in zip(part, answers, strict=True):
                if found["status"] != "committed" or int(found["height"]) != height:
                    lost.add(tx_hash)
    return len(lost)


def ask_status(url: str, hashes: list[bytes]) -> list[dict[str, Any]]:
    """What a node says of many transactions, in one request; again, if it is asked too much."""
    calls = [{"id": number, "method": "tx_status", "params": {"hash": _base64(tx_hash)}} for number, tx_hash in enumerate(hashes)]
    request = urllib.request.Request(url, json.dumps(calls).encode(), {"content-type": "application/json"})
    for _ in range(100):
        with urllib.request.urlopen(request, timeout=30) as response:
            answers = json.load(response)
        if isinstance(answers, list) and all("result" in answer for answer in answers):
            return [answer["result"] for answer in answers]
        time.sleep(0.2)
    raise SystemExit(f"{url} does not answer: {str(answers)[:200]}")


def point_at_relay(nodes: Nodes, relay: Relay) -> None:
    """Every node dials the others through the relay."""
    for index in range(nodes.count):
        path = nodes.home / f"node{index}" / "config.toml"
        text = path.read_text()
        for other in range(nodes.count):
            if other != index:
                text = re.sub(rf"(@[0-9.]+:){relay._targets[other]}\b", rf"\g<1>{relay.ports[(index, other)]}", text)
        path.write_text(text)


def mount_disk(node: Path) -> bool:
    """Put a home on a small disk of its own. False if this user may not."""
    keep = node.with_suffix(".before")
    node.rename(keep)
    node.mkdir(mode=0o700)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(node)], check=False, capture_output=True
    )
    for path in keep.iterdir():
        subprocess.run(["mv", str(path), str(node)], check=True)
    keep.rmdir()
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--validators", type=int, default=5, choices=range(4, 8))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base-port", type=int, default=30656)
    parser.add_argument("--only", choices=[*FAULTS, "full disk"], action="append", help="only these faults")
    options = parser.parse_args()
    end_on_signals()
    with tempfile.TemporaryDirectory(prefix="qenex-chaos-") as folder:
        home = Path(folder) / "net"
        make = [*QENEX, "testnet", "init", "--home", str(home), "--validators", str(options.validators), "--json"]
        make += ["--base-port", str(options.base_port), "--block-interval", "0.5"]
        made = subprocess.run(make, check=True, stdout=subprocess.PIPE)
        nodes = Nodes(home, options.validators)
        nodes.urls = [node["rpc"] for node in json.loads(made.stdout)["nodes"]]
        targets = [options.base_port + 10 * index for index in range(options.validators)]
        faults = dict(FAULTS)
        small = home / f"node{options.validators - 1}"
        has_disk = os.geteuid() == 0 and mount_disk(small)
        if has_disk:
            faults["full disk"] = full_disk
        else:
            print("full disk: left out, a small disk needs the right to mount one", file=sys.stderr)
        if options.only:
            faults = {name: fault for name, fault in faults.items() if name in options.only}
        try:
            relay = Relay(options.validators, targets, options.seed)
            verdict = trio.run(run, nodes, relay, options.seed, options.minutes, faults)
        finally:
            nodes.end_all()
            if has_disk:
                subprocess.run(["umount", "-l", str(small)], check=False)
    verdict["full_disk_tried"] = has_disk
    print(json.dumps(verdict))
    return 0 if verdict["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
