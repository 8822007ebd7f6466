"""The door: floods, loiterers, and a process without descriptors."""

from __future__ import annotations

import errno
from dataclasses import replace

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2p.limits import ACCEPT_PAUSE_SECONDS, DEFAULT_LIMITS, HOST_HANDSHAKES_BURST, LinkLimits
from p2p.listener import Doorkeeper, Visit, describe_timeout
from p2p.transport import SecureStream
from state.primitives.errors import BadFrameError, DuplicatePeerError, RemoteError
from tests.p2p.harness import pass_time


class Stream:
    """A stream that only knows whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    async def handshake(self) -> bytes:
        await trio.sleep_forever()
        return b""

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self) -> bytes:
        await trio.sleep_forever()
        return b""

    async def aclose(self) -> None:
        self.is_closed = True
        await trio.lowlevel.checkpoint()


class World:
    """A listener whose visitors the test makes, and what became of them."""

    def __init__(self, limits: LinkLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.send, self.receive = trio.open_memory_channel[tuple[Stream, str] | OSError](10_000)
        self.notices: list[tuple[str, str]] = []
        self.visits: list[Visit] = []
        self.failed: list[str] = []
        self.error: RemoteError | None = None
        self.is_closed = False
        self.door = Doorkeeper(self.serve, limits, lambda who, error: self.notices.append((who, error.name)))
        self.address = "test:1"

    async def accept(self) -> tuple[SecureStream, str]:
        item = await self.receive.receive()
        if isinstance(item, OSError):
            raise item
        return item

    async def aclose(self) -> None:
        self.is_closed = True
        await trio.lowlevel.checkpoint()

    async def serve(self, stream: SecureStream, visit: Visit) -> None:
        self.visits.append(visit)
        try:
            with visit.scope:
                if self.error is not None:
                    raise self.error
                await stream.handshake()
            self.failed.append(visit.host)
            raise describe_timeout(visit.scope, self.limits.handshake_seconds_max)
        finally:
            await stream.aclose()

    async def visit(self, host: str) -> Stream:
        stream = Stream()
        await self.send.send((stream, host))
        await wait_all_tasks_blocked()
        return stream


async def test_loiterers_of_one_host_give_way_to_newer_ones(nursery: trio.Nursery) -> None:
    world = World()
    nursery.start_soon(world.door.run, world, nursery)
    bound = DEFAULT_LIMITS.handshakes_per_host_max
    streams = [await world.visit("a") for _ in range(bound + 3)]
    assert world.door.pending == bound
    assert [stream.is_closed for stream in streams] == [True] * 3 + [False] * bound
    assert world.notices == [("a", "HANDSHAKE_TIMEOUT")] * 3


async def test_the_greediest_host_gives_way_when_all_places_are_taken(nursery: trio.Nursery) -> None:
    world = World(replace(DEFAULT_LIMITS, handshakes_max=10, handshakes_per_host_max=8))
    nursery.start_soon(world.door.run, world, nursery)
    modest = [await world.visit(f"host-{number}") for number in range(3)]
    greedy = [await world.visit("greedy") for _ in range(7)]
    newcomers = [await world.visit(f"new-{number}") for number in range(4)]
    assert world.door.pending == 10
    assert not any(stream.is_closed for stream in modest + newcomers)
    assert [stream.is_closed for stream in greedy] == [True] * 4 + [False] * 3


async def test_who_says_nothing_is_closed_at_the_deadline(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()
    nursery.start_soon(world.door.run, world, nursery)
    stream = await world.visit("a")
    await trio.sleep(DEFAULT_LIMITS.handshake_seconds_max - 0.1)
    assert not stream.is_closed
    await pass_time(0.2)
    assert stream.is_closed
    assert world.door.pending == 0


async def test_a_host_that_keeps_failing_is_slowed_and_others_are_not(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()
    world.error = BadFrameError("garbage")
    nursery.start_soon(world.door.run, world, nursery)
    for _ in range(500):
        await world.visit("flood")
        await trio.sleep(0.01)
    served = len(world.visits)
    assert served <= HOST_HANDSHAKES_BURST / 9 + 5 * 2 + 2
    assert world.door.turned_away == 500 - served
    world.error = None
    assert not (await world.visit("honest")).is_closed
    await pass_time(2)
    assert not (await world.visit("flood")).is_closed  # it is forgiven soon


async def test_a_second_connection_of_a_peer_is_not_the_hosts_fault(nursery: trio.Nursery) -> None:
    world = World()
    world.error = DuplicatePeerError("again")
    nursery.start_soon(world.door.run, world, nursery)
    for _ in range(50):
        await world.visit("a")
    assert (len(world.visits), world.door.turned_away, world.door.pending) == (50, 0, 0)


async def test_a_visitor_that_passed_takes_no_place(nursery: trio.Nursery) -> None:
    world = World()
    nursery.start_soon(world.door.run, world, nursery)
    for _ in range(60):
        await world.visit("a")
        world.door.passed(world.visits[-1])
        assert world.door.pending == 0


async def test_out_of_descriptors_it_pauses_and_goes_on(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()
    nursery.start_soon(world.door.run, world, nursery)
    for code in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
        await world.send.send(OSError(code, "no more"))
    stream = Stream()
    await world.send.send((stream, "a"))
    started = trio.current_time()
    while not world.visits:
        await trio.sleep(0.05)
    assert trio.current_time() - started <= 4 * ACCEPT_PAUSE_SECONDS + 0.1
    assert world.door.pauses == 4
    assert {who for who, _ in world.notices} == {"ourselves"}


async def test_the_listener_is_closed_with_the_door() -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.door.run, world, nursery)
        await world.visit("a")
        nursery.cancel_scope.cancel()
    assert world.is_closed
