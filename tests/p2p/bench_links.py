"""How fast a link is: megabytes a second of large messages, processor time of small ones. `python -m tests.p2p.bench_links`.

Two switches with real TLS on loopback, first in one process, then in two. Prints one JSON object. Not collected by pytest.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import trio

from p2p.channels import BLOCK, CONSENSUS
from p2p.events import Inbound, PeerUp
from p2p.handshake import PROTOCOL_VERSION, Greeting
from p2p.identity import NodeIdentity, PeerAddress
from p2p.limits import LinkLimits
from p2p.switch import Switch, SwitchSettings
from p2p.tls import TlsStream, make_context

IDENTITIES = (NodeIdentity(b"\x01" * 32), NodeIdentity(b"\x02" * 32))
ADMITTED = frozenset(identity.id for identity in IDENTITIES)
UNLIMITED = LinkLimits(bytes_per_second=1 << 40, messages_per_second=1 << 40)  # the budget of a peer is not what is measured
LARGE_BYTES = 1_000_000
LARGE_COUNT = 400
SMALL_BYTES = 200
SMALL_COUNT = 100_000
STRANGERS = 100


def make_switch(index: int, peers: tuple[PeerAddress, ...] = ()) -> Switch:
    return Switch(
        SwitchSettings("127.0.0.1", 0, peers, ADMITTED, UNLIMITED),
        IDENTITIES[index],
        Greeting(PROTOCOL_VERSION, b"\x07" * 32, "0.1", "bench", "", (), 0),
        now_ns=time.time_ns,
        jitter=lambda: 0.0,
        warn=lambda who, error: print(who, error, file=sys.stderr),
    )


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def push(switch: Switch, peer: str, channel: int, size: int, count: int) -> None:
    payload = bytes(size)
    for number in range(count):
        while not switch.send(peer, channel, payload):
            await trio.sleep(0.001)
        if number % 64 == 63:
            await trio.lowlevel.checkpoint()


async def pull(switch: Switch, channel: int, count: int) -> None:
    async for event in switch.inbound(channel):
        if isinstance(event, Inbound):
            count -= 1
            if not count:
                return


async def up(switch: Switch) -> str:
    async for event in switch.inbound(CONSENSUS):
        if isinstance(event, PeerUp):
            return event.peer.id
    raise AssertionError("no peer")


async def timed(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    started, cpu = time.perf_counter(), cpu_seconds()
    await work()
    return time.perf_counter() - started, cpu_seconds() - cpu


async def one_process() -> dict[str, float]:
    async with trio.open_nursery() as nursery:
        first = make_switch(0)
        address = await nursery.start(first.run)
        second = make_switch(1, (PeerAddress.parse(f"{first.id}@{address}"),))
        await nursery.start(second.run)
        await up(first)
        await up(second)

        async def transfer(channel: int, size: int, count: int) -> None:
            async with trio.open_nursery() as inner:
                inner.start_soon(push, first, second.id, channel, size, count)
                await pull(second, channel, count)

        large = await timed(lambda: transfer(BLOCK, LARGE_BYTES, LARGE_COUNT))
        small = await timed(lambda: transfer(CONSENSUS, SMALL_BYTES, SMALL_COUNT))

        async def echo() -> None:
            for _ in range(5_000):
                first.send(second.id, CONSENSUS, b"ping")
                await pull(second, CONSENSUS, 1)
                second.send(first.id, CONSENSUS, b"pong")
                await pull(first, CONSENSUS, 1)

        lone = await timed(echo)
        nursery.cancel_scope.cancel()
    return {
        "large_mb_per_s": round(LARGE_COUNT * LARGE_BYTES / large[0] / 1e6, 1),
        "small_per_s": round(SMALL_COUNT / small[0]),
        "small_cpu_us_both_ends": round(small[1] / SMALL_COUNT * 1e6, 2),
        "lone_message_cpu_us_both_ends": round(lone[1] / 10_000 * 1e6, 1),
        "round_trip_us": round(lone[0] / 5_000 * 1e6, 1),
    }


async def server() -> None:
    async with trio.open_nursery() as nursery:
        switch = make_switch(0)
        print(await nursery.start(switch.run), flush=True)
        await up(switch)
        large = await timed(lambda: pull(switch, BLOCK, LARGE_COUNT))
        small = await timed(lambda: pull(switch, CONSENSUS, SMALL_COUNT))
        print(json.dumps({"large": large, "small": small}), flush=True)
        nursery.cancel_scope.cancel()


async def victim() -> None:
    """A switch that strangers knock at; the door lets every one of them in, so that the price of one can be measured."""
    async with trio.open_nursery() as nursery:
        switch = make_switch(0)
        switch._door._hosts.admit = lambda host, now: True  # type: ignore[method-assign]
        print(await nursery.start(switch.run), flush=True)
        started = cpu_seconds()
        while sum(switch.refusals().values()) < STRANGERS:
            await trio.sleep(0.01)
        print(json.dumps(cpu_seconds() - started), flush=True)
        nursery.cancel_scope.cancel()


async def strangers() -> dict[str, float]:
    child = subprocess.Popen([sys.executable, "-m", "tests.p2p.bench_links", "victim"], stdout=subprocess.PIPE, text=True)
    if child.stdout is None:
        raise AssertionError("no pipe")
    port = int(child.stdout.readline().strip().rpartition(":")[2])
    context = make_context(NodeIdentity(b"\x03" * 32))
    for _ in range(STRANGERS):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            tls = TlsStream(stream, context, is_server=False)
            await tls.handshake()
            await tls.receive_some()
    seconds = json.loads(await trio.to_thread.run_sync(child.stdout.readline))
    child.wait()
    return {"server_cpu_ms_per_refused_stranger": round(seconds / STRANGERS * 1e3, 2)}


async def two_processes() -> dict[str, float]:
    child = subprocess.Popen([sys.executable, "-m", "tests.p2p.bench_links", "server"], stdout=subprocess.PIPE, text=True)
    if child.stdout is None:
        raise AssertionError("no pipe")
    address = child.stdout.readline().strip()
    async with trio.open_nursery() as nursery:
        switch = make_switch(1, (PeerAddress.parse(f"{IDENTITIES[0].id}@{address}"),))
        await nursery.start(switch.run)
        peer = await up(switch)
        large = await timed(lambda: push(switch, peer, BLOCK, LARGE_BYTES, LARGE_COUNT))
        small = await timed(lambda: push(switch, peer, CONSENSUS, SMALL_BYTES, SMALL_COUNT))
        theirs = json.loads(await trio.to_thread.run_sync(child.stdout.readline))
        nursery.cancel_scope.cancel()
    child.wait()
    return {
        "large_mb_per_s": round(LARGE_COUNT * LARGE_BYTES / theirs["large"][0] / 1e6, 1),
        "large_sender_cpu_s_per_gb": round(large[1] / LARGE_COUNT / LARGE_BYTES * 1e9, 2),
        "large_receiver_cpu_s_per_gb": round(theirs["large"][1] / LARGE_COUNT / LARGE_BYTES * 1e9, 2),
        "small_per_s": round(SMALL_COUNT / theirs["small"][0]),
        "small_sender_cpu_us": round(small[1] / SMALL_COUNT * 1e6, 2),
        "small_receiver_cpu_us": round(theirs["small"][1] / SMALL_COUNT * 1e6, 2),
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["server"]:
        trio.run(server)
    elif sys.argv[1:] == ["victim"]:
        trio.run(victim)
    else:
        parts = {"one_process": one_process, "two_processes": two_processes, "strangers": strangers}
        print(json.dumps({name: trio.run(part) for name, part in parts.items()}, indent=2))
