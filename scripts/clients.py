"""Many RPC clients beside a running load: what they see, what they cost the network, and what slow readers cost in memory.

Four real nodes; a load of transfers goes through the last three. Four phases of equal length, on the first node: the load alone; clients
that each ask once in `--every` seconds and wait for the answer; the load alone again; subscribers to all transactions that never read.
Blocks are compared with the mean of the two phases of load alone. Memory is what the kernel says the first node has for itself, looked at
six times while the readers are there; what it grew in the phase before, of load alone, is taken off.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from killtest import QENEX, bring_up, end_on_signals, rpc

QUESTIONS = (
    ("status", {}), ("block", {}), ("validators", {}), ("abci_query", {"path": "/supply/QNX", "prove": True}), ("commit", {}),
    ("block_results", {}), ("num_unconfirmed_txs", {}), ("tx_search", {"per_page": "5"}), ("net_info", {}),
    ("abci_info", {}),
)  # fmt: skip
SUBSCRIPTION = "tm.event = 'Tx'"


@dataclass
class Phase:
    """What was counted in one phase."""

    seconds: float = 0.0
    blocks: int = 0
    transfers: int = 0
    height: int = 1  # when it began
    memory: tuple[int, int] = (0, 0)  # of the first node, at both ends
    asked: int = 0
    errors: list[str] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        ordered = sorted(self.latencies_ms)
        data: dict[str, Any] = {
            "seconds": round(self.seconds, 1), "blocks": self.blocks, "blocks_per_s": round(self.blocks / self.seconds, 3),
            "transfers_per_s": round(self.transfers / self.seconds, 1), "memory_mib": [round(item / 2**20, 1) for item in self.memory],
        }  # fmt: skip
        if ordered:
            data |= {"asked": self.asked, "errors": len(self.errors)}
            data |= {f"p{part}_ms": round(ordered[min(len(ordered) - 1, len(ordered) * part // 100)], 1) for part in (50, 95, 99)}
            data["max_ms"] = round(ordered[-1], 1)
        return data


async def ask(stream: trio.SocketStream, method: str, params: dict[str, Any]) -> str:
    """One request on a kept connection; "" or what was wrong with the answer."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    head = f"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    await stream.send_all(head.encode() + body)
    data = b""
    while b"\r\n\r\n" not in data:
        part = await stream.receive_some(65_536)
        if not part:
            return f"{method}: the connection was closed"
        data += part
    header, _, rest = data.partition(b"\r\n\r\n")
    lines = header.decode("latin-1").lower().split("\r\n")
    if " 200 " not in lines[0] + " ":
        return f"{method}: {lines[0]}"
    length = next(int(line.split(":", 1)[1]) for line in lines if line.startswith("content-length:"))
    while len(rest) < length:
        rest += await stream.receive_some(65_536)
    answer = json.loads(rest)
    return f"{method}: {answer['error']}" if "error" in answer else ""


async def run_client(port: int, number: int, every: float, phase: Phase, ready: trio.Event) -> None:
    """Ask, wait for the rest of the interval, ask again."""
    chance = random.Random(number)
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await ready.wait()
        await trio.sleep(chance.random() * every)
        while True:
            begun = trio.current_time()
            method, params = chance.choice(QUESTIONS)
            if method == "tx_search":  # of a block that is there
                params = {**params, "query": f"tx.height = {chance.randint(max(1, phase.height - 20), phase.height)}"}
            problem = await ask(stream, method, params)
            phase.asked += 1
            phase.latencies_ms.append((trio.current_time() - begun) * 1000)
            if problem:
                phase.errors.append(problem)
            await trio.sleep(max(0.0, begun + every - trio.current_time()))


async def open_reader(port: int) -> trio.SocketStream:
    """A subscriber that never reads its events; its receive buffer is as small as the system allows."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4_096)
    await stream.send_all(
        b"GET /websocket HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some(4_096)
    if b" 101 " not in data:
        raise SystemExit(f"a subscriber was refused: {data[:200]!r}")
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"query": SUBSCRIPTION}}).encode()
    mask = bytes(4)  # a mask of zeros leaves the bytes as they are
    await stream.send_all(b"\x81" + bytes((0x80 | 126,)) + len(call).to_bytes(2, "big") + mask + call)
    return stream


def count_blocks(url: str) -> tuple[int, float]:
    status = rpc(url, "status")["sync_info"]
    return int(status["latest_block_height"]), time.monotonic()


def count_transfers(url: str, low: int, high: int) -> int:
    total = 0
    for start in range(low + 1, high + 1, 20):
        metas = rpc(url, "blockchain", minHeight=str(start), maxHeight=str(min(start + 19, high)))["block_metas"]
        total += sum(int(meta["num_txs"]) for meta in metas)
    return total


def read_anonymous_bytes(pid: int) -> int:
    """Memory of a process that is its own: not files that it has mapped."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"process {pid} has gone")


class Measurement:
    """One network, its load, and the phases."""

    def __init__(self, home: Path, options: argparse.Namespace) -> None:
        out = subprocess.run([*QENEX, "testnet", "status", "--home", str(home), "--json"], check=True, capture_output=True).stdout
        nodes = json.loads(out)["nodes"]
        self.urls = [node["rpc"] for node in nodes]
        self.pid = nodes[0]["pid"]
        self.port = int(self.urls[0].rpartition(":")[2])
        self.home, self.options = home, options
        self.memory: list[int] = []

    async def measure(self) -> dict[str, Any]:
        """All phases, one after the other."""
        options, phases = self.options, {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.send_load)
            await trio.sleep(options.warm_up)
            phases["load alone"] = await self.take(Phase())
            phases["clients"] = await self.with_clients()
            phases["load alone again"] = await self.take(Phase())
            phases["slow readers"] = await self.with_readers()
            nursery.cancel_scope.cancel()
        quiet = sum(phases[name].blocks / phases[name].seconds for name in ("load alone", "load alone again")) / 2
        ratios = {name: round(phases[name].blocks / phases[name].seconds / quiet, 3) for name in ("clients", "slow readers")}
        usual = phases["load alone again"].memory
        growth = self.memory[-1] - self.memory[0] - (usual[1] - usual[0])
        has_load = all(phase.transfers >= options.rate * phase.seconds / 2 for phase in phases.values())  # else nothing is compared
        errors = [error for phase in phases.values() for error in phase.errors]
        return {
            "clients": options.clients, "every_s": options.every, "readers": options.readers, "load_per_s": options.rate,
            "phases": {name: phase.to_json() for name, phase in phases.items()}, "blocks_against_load_alone": ratios,
            "readers_memory_mib": [round(item / 2**20, 1) for item in self.memory], "readers_growth_mib": round(growth / 2**20, 1),
            "errors": errors[:10], "ok": not errors and has_load and min(ratios.values()) >= 0.9 and growth < 64 * 2**20,
        }  # fmt: skip

    async def take(self, phase: Phase) -> Phase:
        """Count the blocks of a phase."""
        url = self.urls[1]
        low, begun = await trio.to_thread.run_sync(count_blocks, url)
        phase.height, before = low, read_anonymous_bytes(self.pid)
        await trio.sleep(self.options.seconds)
        high, ended = await trio.to_thread.run_sync(count_blocks, url)
        phase.blocks, phase.seconds, phase.memory = high - low, ended - begun, (before, read_anonymous_bytes(self.pid))
        phase.transfers = await trio.to_thread.run_sync(count_transfers, url, low, high)
        print(json.dumps(phase.to_json()), file=sys.stderr)
        return phase

    async def with_clients(self) -> Phase:
        phase, ready = Phase(), trio.Event()
        async with trio.open_nursery() as nursery:
            for number in range(self.options.clients):
                nursery.start_soon(run_client, self.port, number, self.options.every, phase, ready)
            ready.set()
            await self.take(phase)
            nursery.cancel_scope.cancel()
        return phase

    async def with_readers(self) -> Phase:
        phase = Phase()
        self.memory.append(read_anonymous_bytes(self.pid))
        async with contextlib.AsyncExitStack() as stack, trio.open_nursery() as nursery:
            for _ in range(self.options.readers):
                await stack.enter_async_context(await open_reader(self.port))
            self.memory.append(read_anonymous_bytes(self.pid))
            nursery.start_soon(self.watch_memory)
            await self.take(phase)
            nursery.cancel_scope.cancel()
        self.memory.append(read_anonymous_bytes(self.pid))
        return phase

    async def watch_memory(self) -> None:
        while True:
            await trio.sleep(self.options.seconds / 6)
            self.memory.append(read_anonymous_bytes(self.pid))

    async def send_load(self) -> None:
        """Transfers for longer than the phases: the bound on what is on its way holds the load at about the rate."""
        count = int(2 * self.options.rate * (4 * self.options.seconds + self.options.warm_up + 60))
        words = [word for url in self.urls[1:] for word in ("--node", url)]
        command = [*QENEX, "bench", "load", "--home", str(self.home), "--txs", str(count), "--accounts", "200", "--json", *words]
        command += ["--batch", "25", "--in-flight", str(max(25, int(self.options.rate * 1.5)))]
        await trio.run_process(command, capture_stdout=True, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between the questions of one client")
    parser.add_argument("--readers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60, help="of each of the four phases")
    parser.add_argument("--rate", type=float, default=100, help="about so many transfers a second in the background")
    parser.add_argument("--warm-up", type=float, default=15)
    parser.add_argument("--base-port", type=int, default=30656)
    options = parser.parse_args()
    end_on_signals()
    with tempfile.TemporaryDirectory(prefix="qenex-clients-") as folder:
        home = Path(folder) / "net"
        with raised_bounds():
            bring_up(home, "--accounts", "200", "--base-port", str(options.base_port))
        try:
            verdict = trio.run(Measurement(home, options).measure)
        finally:
            subprocess.run([*QENEX, "testnet", "down", "--home", str(home)], check=False, stdout=sys.stderr)
    print(json.dumps(verdict))
    return 0 if verdict["ok"] else 1


@contextlib.contextmanager
def raised_bounds() -> Any:
    """The nodes take so many subscribers, and so much from one address: all clients here share one."""
    wanted = {"QENEX_RPC_SUBSCRIBERS_MAX": "1000", "QENEX_RPC_CLIENT_UNITS_PER_S": "0"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


if __name__ == "__main__":
    sys.exit(main())
