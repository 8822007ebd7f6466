"""The network in memory: it must be as bounded and as unkind as a real one."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2p.identity import NodeIdentity
from p2p.memory import PIPE_BYTES_MAX, MemoryNetwork
from p2p.transport import SecureStream
from tests.p2p.harness import IDENTITIES

FIRST, SECOND = IDENTITIES[:2]


async def connect(network: MemoryNetwork, first: NodeIdentity = FIRST) -> tuple[SecureStream, SecureStream]:
    listeners = await network.transport(SECOND).listen("memory", 0)
    port = int(listeners[0].address.rpartition(":")[2])
    ours = await network.transport(first).dial("memory", port)
    theirs, host = await listeners[0].accept()
    assert host == first.id
    return ours, theirs


async def test_both_ends_learn_the_other_key_and_bytes_pass() -> None:
    ours, theirs = await connect(MemoryNetwork())
    keys: dict[str, bytes] = {}

    async def shake(name: str, stream: SecureStream) -> None:
        keys[name] = await stream.handshake()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake, "ours", ours)
        nursery.start_soon(shake, "theirs", theirs)
    assert keys == {"ours": SECOND.public_key, "theirs": FIRST.public_key}
    await ours.send_all(b"hello")
    assert await theirs.receive_some() == b"hello"
    await ours.send_all(b"last words")
    await ours.aclose()
    assert await theirs.receive_some() == b"last words"
    assert await theirs.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await theirs.send_all(b"too late")


async def test_a_wire_is_slow_in_one_direction(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    ours, theirs = await connect(network)
    network.wire(FIRST.id, SECOND.id).delay_seconds = 0.25
    started = trio.current_time()
    await ours.send_all(b"slow")
    assert await theirs.receive_some() == b"slow"
    assert trio.current_time() - started == pytest.approx(0.25)
    await theirs.send_all(b"fast")
    assert await ours.receive_some() == b"fast"
    assert trio.current_time() - started == pytest.approx(0.25)


async def test_a_pipe_is_bounded(nursery: trio.Nursery) -> None:
    ours, theirs = await connect(MemoryNetwork())
    done = trio.Event()

    async def push() -> None:
        await ours.send_all(bytes(4 * PIPE_BYTES_MAX))
        done.set()

    nursery.start_soon(push)
    await wait_all_tasks_blocked()
    assert not done.is_set()
    received = 0
    while received < 4 * PIPE_BYTES_MAX:
        received += len(await theirs.receive_some())
    await done.wait()


async def test_a_dead_wire_swallows_and_a_cut_breaks(nursery: trio.Nursery) -> None:
    network = MemoryNetwork()
    ours, theirs = await connect(network)
    network.wire(FIRST.id, SECOND.id).is_dead = True
    await ours.send_all(b"lost")
    with trio.move_on_after(0.02) as scope:
        await theirs.receive_some()
    assert scope.cancelled_caught
    assert network.cut(FIRST.id, SECOND.id) == 1
    for stream in (ours, theirs):
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    assert network.cut(FIRST.id, SECOND.id) == 0


async def test_places_are_taken_and_given_back() -> None:
    network = MemoryNetwork()
    transport = network.transport(FIRST)
    with pytest.raises(OSError, match="nobody listens"):
        await transport.dial("memory", 1)
    listeners = await transport.listen("memory", 1)
    with pytest.raises(OSError, match="is taken"):
        await transport.listen("memory", 1)
    await listeners[0].aclose()
    listeners = await transport.listen("memory", 1)
    for _ in range(128):
        await network.transport(SECOND).dial("memory", 1)
    with pytest.raises(OSError, match="does not accept"):
        await network.transport(SECOND).dial("memory", 1)
    await listeners[0].aclose()
