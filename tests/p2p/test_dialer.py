"""Dialling again: how long it waits, when it does not dial at all."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from p2p.dialer import Dialer
from p2p.identity import PeerAddress
from p2p.limits import DEFAULT_LIMITS
from p2p.transport import Listener, SecureStream
from state.primitives.errors import DuplicatePeerError, RemoteError, WrongChainError
from tests.p2p.harness import IDENTITIES, pass_time

ADDRESS = PeerAddress(IDENTITIES[0].id, "nowhere", 1)


class World:
    """A transport and a switch for the dialer, both made of what the test says."""

    def __init__(self, jitter: float | None = 0.5) -> None:
        self.dialled: list[float] = []
        self.notices: list[str] = []
        self.is_up = False
        self.error: RemoteError | None = None
        self.lives_for = 0.0
        self.admitted = True
        self.ban = 0.0
        self.absent = trio.Event()
        self.absent.set()
        chance = random.Random(1)
        self.dialer = Dialer(
            self,
            self,
            self.serve,
            DEFAULT_LIMITS,
            chance.random if jitter is None else lambda: jitter,
            lambda who, error: self.notices.append(error.name),
        )

    async def listen(self, host: str, port: int) -> list[Listener]:
        raise OSError("not here")

    async def dial(self, host: str, port: int) -> SecureStream:
        self.dialled.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if not self.is_up:
            raise ConnectionRefusedError(111, "Connection refused")
        return self  # type: ignore[return-value]

    async def serve(self, stream: SecureStream, address: PeerAddress) -> None:
        await trio.sleep(self.lives_for)
        if self.error is not None:
            raise self.error

    async def wait_absent(self, peer_id: str) -> None:
        await self.absent.wait()

    def is_admitted(self, peer_id: str) -> bool:
        return self.admitted

    def banned_for(self, peer_id: str) -> float:
        return max(0.0, self.ban - trio.current_time())

    def pauses(self) -> list[float]:
        return [later - sooner for sooner, later in zip(self.dialled, self.dialled[1:], strict=False)]


async def test_pauses_double_up_to_a_cap(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()
    nursery.start_soon(world.dialer.keep, ADDRESS)
    await trio.sleep(100)
    expected = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]
    assert world.pauses()[:10] == pytest.approx(expected)
    assert set(world.notices) == {"UNREACHABLE"}


async def test_pauses_are_never_twice_the_same(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World(jitter=None)
    nursery.start_soon(world.dialer.keep, ADDRESS)
    await trio.sleep(300)
    pauses = world.pauses()
    assert max(pauses) <= DEFAULT_LIMITS.dial_delay_max
    assert min(pauses) >= DEFAULT_LIMITS.dial_delay_min / 2
    assert len({round(pause, 3) for pause in pauses if pause < DEFAULT_LIMITS.dial_delay_max}) > 12


async def test_a_connection_that_lasted_starts_the_pauses_anew(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()
    nursery.start_soon(world.dialer.keep, ADDRESS)
    await trio.sleep(60)
    world.is_up, world.lives_for = True, DEFAULT_LIMITS.stable_seconds + 1
    count = len(world.dialled)
    while len(world.dialled) < count + 3:
        await trio.sleep(0.05)
    assert world.pauses()[-1] == pytest.approx(world.lives_for + DEFAULT_LIMITS.dial_delay_min)


async def test_a_connection_that_ends_at_once_does_not(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()
    world.is_up, world.error = True, WrongChainError("another")
    nursery.start_soon(world.dialer.keep, ADDRESS)
    await trio.sleep(120)
    assert world.pauses()[-1] == DEFAULT_LIMITS.dial_delay_max
    assert set(world.notices) == {"WRONG_CHAIN_PEER"}


async def test_while_connected_it_does_not_dial(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()
    world.absent = trio.Event()
    nursery.start_soon(world.dialer.keep, ADDRESS)
    await trio.sleep(1000)
    assert world.dialled == []
    world.absent.set()
    await trio.sleep(0.01)
    assert len(world.dialled) == 1


async def test_a_second_connection_is_no_news(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()
    world.is_up, world.error = True, DuplicatePeerError("theirs stays")
    nursery.start_soon(world.dialer.keep, ADDRESS)
    await pass_time(10)
    assert world.dialled
    assert world.notices == []


async def test_an_address_that_is_silent_for_a_moment_is_no_news(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()
    nursery.start_soon(world.dialer.keep, ADDRESS)
    await pass_time(1.4)
    assert (len(world.dialled), world.notices) == (4, [])
    await pass_time(0.3)
    assert (len(world.dialled), world.notices) == (5, ["UNREACHABLE"])
    world.is_up = True
    await pass_time(5)
    world.is_up = False
    count = len(world.notices)
    await trio.sleep(31)
    assert len(world.notices) == count  # the row was broken


async def test_banned_or_no_longer_admitted_nodes_are_not_dialled(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()
    world.ban = 60.0
    nursery.start_soon(world.dialer.keep, ADDRESS)
    await trio.sleep(59)
    assert world.dialled == []
    world.admitted = False
    await trio.sleep(100)
    assert world.dialled == []
    world.admitted = True
    await trio.sleep(DEFAULT_LIMITS.dial_delay_max + 1)
    assert world.dialled


async def test_an_address_that_never_answers_is_given_up_in_time(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World()

    async def hang(host: str, port: int) -> SecureStream:
        world.dialled.append(trio.current_time())
        await trio.sleep_forever()
        raise AssertionError

    world.dial = hang  # type: ignore[method-assign]
    nursery.start_soon(world.dialer.keep, ADDRESS)
    await trio.sleep(35)
    assert len(world.dialled) == 4
    assert set(world.notices) == {"UNREACHABLE"}
