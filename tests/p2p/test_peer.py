"""One peer over a stream in memory, with time that only moves when nothing else can happen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2p.channels import BLOCK, CHANNELS, CONSENSUS, CONTROL, MEMPOOL, PROTOCOL_CHANNELS, SYNC
from p2p.events import Inbound, PeerInfo
from p2p.frames import PING, PONG, FrameReader, decode_control, encode_control, encode_frame
from p2p.inbox import Inbox
from p2p.limits import DEFAULT_LIMITS, LinkLimits
from p2p.memory import MemoryNetwork
from p2p.peer import Peer
from p2p.transport import SecureStream
from state.primitives.errors import BadFrameError, MalformedError, PeerTimeoutError, RemoteError
from tests.p2p.harness import IDENTITIES, pass_time

FIRST, SECOND = IDENTITIES[:2]


class Link:
    """Our peer object at one end, a bare stream at the other."""

    def __init__(self, peer: Peer, far: SecureStream, inboxes: dict[int, Inbox]) -> None:
        self.peer = peer
        self.far = far
        self.inboxes = inboxes
        self.frames = FrameReader()
        self.offence: RemoteError | None = None
        self.ended = trio.Event()
        self.ended_at = 0.0

    async def run(self) -> None:
        self.offence = await self.peer.run(b"")
        self.ended_at = trio.current_time()
        self.ended.set()

    async def read(self) -> list[tuple[int, bytes]]:
        """The next messages from our peer object."""
        return [(channel, payload) for channel, payload, _ in self.frames.feed(await self.far.receive_some())]

    async def message(self, channel: int) -> bytes:
        event = await self.inboxes[channel].receive.receive()
        assert isinstance(event, Inbound)
        return event.payload


@asynccontextmanager
async def linked(limits: LinkLimits = DEFAULT_LIMITS) -> AsyncIterator[Link]:
    network = MemoryNetwork()
    listeners = await network.transport(SECOND).listen("memory", 1)
    near = await network.transport(FIRST).dial("memory", 1)
    far, _ = await listeners[0].accept()
    inboxes = {number: Inbox(number, CHANNELS[number].inbound_messages_max) for number in PROTOCOL_CHANNELS}
    link = Link(Peer(PeerInfo(SECOND.id), near, inboxes, lambda: 77, limits), far, inboxes)
    with trio.fail_after(10_000):
        async with trio.open_nursery() as nursery:
            for inbox in inboxes.values():
                nursery.start_soon(inbox.run)
            nursery.start_soon(link.run)
            yield link
            nursery.cancel_scope.cancel()


async def answer_pings(link: Link) -> None:
    while True:
        for channel, payload in await link.read():
            if channel == CONTROL and decode_control(payload)[0] == PING:
                await link.far.send_all(encode_control(PONG, decode_control(payload)[1]))


async def test_messages_and_when_they_came() -> None:
    async with linked() as link:
        await link.far.send_all(encode_frame(BLOCK, b"body", is_last=True))
        assert await link.inboxes[BLOCK].receive.receive() == Inbound(SECOND.id, BLOCK, b"body", 77)
        assert link.peer.send(CONSENSUS, b"vote")
        got: list[tuple[int, bytes]] = []
        while (CONSENSUS, b"vote") not in got:
            got += await link.read()
        assert link.peer.counts[BLOCK].bytes_in == 4
        assert link.peer.counts[CONSENSUS].bytes_out == 4


async def test_pings_are_answered_while_every_handler_sleeps(autojump_clock: MockClock) -> None:
    async with linked() as link:
        for channel in PROTOCOL_CHANNELS:
            row = CHANNELS[channel]
            for _ in range(row.inbound_messages_max + 5):
                await link.far.send_all(encode_frame(channel, b"x", is_last=True))
        await wait_all_tasks_blocked()
        assert all(inbox.waiting == 5 for inbox in link.inboxes.values())
        await link.far.send_all(encode_control(PING, 42))
        got: list[tuple[int, bytes]] = []
        while (PONG, 42) not in [decode_control(payload) for channel, payload in got if channel == CONTROL]:
            got += await link.read()
        assert trio.current_time() < 1


async def test_a_slow_handler_stops_its_own_channel_only(autojump_clock: MockClock) -> None:
    """What made us count windows: with one reader that waits for handlers, a full mempool silenced consensus for ever."""
    async with linked() as link:
        full = encode_frame(MEMPOOL, bytes(30_000), is_last=True)
        for _ in range(CHANNELS[MEMPOOL].window_bytes // 30_256):
            await link.far.send_all(full)
        await wait_all_tasks_blocked()
        assert link.inboxes[MEMPOOL].waiting > 0
        for channel in (CONSENSUS, BLOCK, SYNC):
            await link.far.send_all(encode_frame(channel, b"through", is_last=True))
            assert await link.message(channel) == b"through"
        assert not link.ended.is_set()
        with trio.move_on_after(1):  # nobody reads on once it has been let go
            for _ in range(100):
                await link.far.send_all(full)
        await link.ended.wait()
        assert isinstance(link.offence, BadFrameError)  # it ignored the window


@pytest.mark.parametrize(
    ("garbage", "kind"),
    [
        (b"\x99\x01\x00\x00\x00\x00", BadFrameError),
        (encode_frame(CONTROL, b"\xc1", is_last=True), MalformedError),
        (encode_frame(CONTROL, b"\x91\x01", is_last=True), BadFrameError),
        (encode_control(3, SYNC, 1), BadFrameError),
    ],
)
async def test_garbage_ends_the_peer_with_its_reason(garbage: bytes, kind: type[RemoteError]) -> None:
    async with linked() as link:
        await link.far.send_all(garbage)
        await link.ended.wait()
        assert type(link.offence) is kind
        assert link.peer.reason == link.offence.message


async def test_a_peer_that_hangs_up_or_breaks_has_done_nothing_wrong() -> None:
    async with linked() as link:
        await link.far.aclose()
        await link.ended.wait()
        assert link.offence is None
        assert link.peer.reason in ("the peer closed the connection", "the connection broke")


async def test_a_silent_peer_is_let_go(autojump_clock: MockClock) -> None:
    async with linked() as link:
        await link.ended.wait()
        assert isinstance(link.offence, PeerTimeoutError)
        limits = DEFAULT_LIMITS
        assert limits.silence_seconds_max < link.ended_at <= limits.silence_seconds_max + limits.ping_seconds


async def test_a_peer_that_answers_pings_stays_and_its_distance_is_known(autojump_clock: MockClock) -> None:
    async with linked() as link, trio.open_nursery() as nursery:
        nursery.start_soon(answer_pings, link)
        await trio.sleep(3600)
        assert not link.ended.is_set()
        assert link.peer.round_trip_seconds == 0
        nursery.cancel_scope.cancel()


async def test_a_peer_that_sends_but_never_reads_is_let_go(autojump_clock: MockClock) -> None:
    async with linked() as link, trio.open_nursery() as nursery:

        async def chatter() -> None:
            while True:
                await link.far.send_all(encode_control(PING, 1))
                await pass_time(1)

        nursery.start_soon(chatter)
        while link.peer.send(BLOCK, bytes(1_000_000)):
            pass
        with trio.move_on_after(100):
            await link.ended.wait()
        nursery.cancel_scope.cancel()
        assert isinstance(link.offence, PeerTimeoutError)
        assert "read nothing" in link.offence.message
        assert link.ended_at <= DEFAULT_LIMITS.stall_seconds_max + 2 * DEFAULT_LIMITS.ping_seconds


async def test_our_own_standstill_is_not_held_against_the_peer(mock_clock: MockClock) -> None:
    """A block that takes a minute to execute in this process: the heartbeat wakes late, before anything could be read."""
    async with linked() as link, trio.open_nursery() as nursery:
        nursery.start_soon(answer_pings, link)
        for _ in range(10):
            await wait_all_tasks_blocked()
            mock_clock.jump(60)
        await wait_all_tasks_blocked()
        assert not link.ended.is_set()
        nursery.cancel_scope.cancel()


async def test_a_probe_ends_a_peer_that_does_not_answer(autojump_clock: MockClock) -> None:
    async with linked() as link:
        await link.far.send_all(encode_control(PING, 1))
        await pass_time(1)
        link.peer.probe()
        await link.ended.wait()
        assert link.ended_at == pytest.approx(1 + DEFAULT_LIMITS.probe_seconds_max)
        assert isinstance(link.offence, PeerTimeoutError)


async def test_a_probe_spares_a_peer_that_answers(autojump_clock: MockClock) -> None:
    async with linked() as link, trio.open_nursery() as nursery:
        nursery.start_soon(answer_pings, link)
        for _ in range(3):
            link.peer.probe()
            await trio.sleep(30)
        assert not link.ended.is_set()
        nursery.cancel_scope.cancel()


async def test_more_than_the_budget_is_slowed(autojump_clock: MockClock) -> None:
    limits = replace(DEFAULT_LIMITS, messages_per_second=100)
    async with linked(limits) as link:
        for _ in range(1000):
            await link.far.send_all(encode_control(PING, 1))
        await link.far.send_all(encode_frame(CONSENSUS, b"last", is_last=True))
        assert await link.message(CONSENSUS) == b"last"
        assert 8.5 < trio.current_time() < 10.5


async def test_closing_keeps_the_first_reason() -> None:
    async with linked() as link:
        link.peer.close("first")
        link.peer.close("second")
        await link.ended.wait()
        assert (link.peer.reason, link.offence) == ("first", None)
