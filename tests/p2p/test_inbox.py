"""Events on the way to a handler: order, turns, and bounds when the handler is slow."""

from __future__ import annotations

import random
import tracemalloc

import trio
from trio.testing import wait_all_tasks_blocked

from p2p.channels import CHANNELS, CONSENSUS
from p2p.events import Inbound, LinkEvent, PeerDown, PeerInfo, PeerUp
from p2p.frames import FRAME_COST_BYTES, FrameReader, encode_frame
from p2p.inbox import Inbox


class Window:
    """Counts what was delivered."""

    def __init__(self) -> None:
        self.delivered = 0

    def on_delivered(self, channel: int, cost: int) -> None:
        assert channel == CONSENSUS
        self.delivered += cost


def message(peer: str, number: int) -> Inbound:
    return Inbound(peer, CONSENSUS, b"%d" % number, 0)


def describe(event: LinkEvent) -> tuple[str, str]:
    if isinstance(event, PeerUp):
        return event.peer.id, "up"
    if isinstance(event, PeerDown):
        return event.peer_id, "down"
    return event.peer_id, event.payload.decode()


async def test_a_fast_handler_gets_events_at_once(nursery: trio.Nursery) -> None:
    inbox, window = Inbox(CONSENSUS, 4), Window()
    nursery.start_soon(inbox.run)
    for number in range(100):
        inbox.put("a", message("a", number), window, 10)
        assert describe(inbox.receive.receive_nowait()) == ("a", str(number))
    assert (window.delivered, inbox.waiting) == (1000, 0)


async def test_peers_take_turns_behind_a_slow_handler(nursery: trio.Nursery) -> None:
    inbox, flood, quiet = Inbox(CONSENSUS, 2), Window(), Window()
    nursery.start_soon(inbox.run)
    for number in range(50):
        inbox.put("flood", message("flood", number), flood, 1)
    inbox.put("quiet", message("quiet", 0), quiet, 1)
    assert flood.delivered == 2
    assert inbox.waiting == 49
    seen = [describe(await inbox.receive.receive()) for _ in range(51)]
    assert ("quiet", "0") in seen[:6]
    assert [text for peer, text in seen if peer == "flood"] == [str(number) for number in range(50)]
    await wait_all_tasks_blocked()
    assert (flood.delivered, quiet.delivered, inbox.waiting) == (50, 1, 0)


async def test_a_peer_keeps_its_order_under_any_timing(nursery: trio.Nursery) -> None:
    chance = random.Random(3)
    inbox, window = Inbox(CONSENSUS, 3), Window()
    nursery.start_soon(inbox.run)
    sent: dict[str, int] = {"a": 0, "b": 0, "c": 0}
    got: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    while sum(map(len, got.values())) < 600:
        if chance.random() < 0.55 and sum(sent.values()) < 600:
            peer = chance.choice("abc")
            inbox.put(peer, message(peer, sent[peer]), window, 1)
            sent[peer] += 1
        elif chance.random() < 0.3:
            await wait_all_tasks_blocked()
        else:
            try:
                event = inbox.receive.receive_nowait()
            except trio.WouldBlock:
                await wait_all_tasks_blocked()
                continue
            assert isinstance(event, Inbound)
            got[event.peer_id].append(int(event.payload))
    assert all(numbers == list(range(len(numbers))) for numbers in got.values())
    await wait_all_tasks_blocked()
    assert window.delivered == 600


async def test_up_messages_down_in_order(nursery: trio.Nursery) -> None:
    inbox = Inbox(CONSENSUS, 1)
    nursery.start_soon(inbox.run)
    up = PeerUp(PeerInfo("a"))
    inbox.put("a", up)
    inbox.put("a", message("a", 1))
    inbox.put("a", message("a", 2))
    inbox.put_down(up, PeerDown("a", "gone"))
    assert [describe(await inbox.receive.receive())[1] for _ in range(4)] == ["up", "1", "2", "down"]


async def test_visits_that_nobody_saw_leave_nothing(nursery: trio.Nursery) -> None:
    inbox, window = Inbox(CONSENSUS, 1), Window()
    nursery.start_soon(inbox.run)
    first = PeerUp(PeerInfo("a", moniker="first"))
    inbox.put("a", first)  # in the handler's queue: seen
    inbox.put("a", message("a", 1), window, 1)
    await wait_all_tasks_blocked()  # being handed over: seen
    inbox.put_down(first, PeerDown("a", "first"))
    for _ in range(1000):
        up = PeerUp(PeerInfo("a", moniker="flapping"))
        inbox.put("a", up)
        inbox.put("a", message("a", 2), window, 1)
        inbox.put_down(up, PeerDown("a", "flapping"))
        assert inbox.waiting == 2
    last = PeerUp(PeerInfo("a", moniker="last"))
    inbox.put("a", last)
    events = [await inbox.receive.receive() for _ in range(4)]
    assert [describe(event)[1] for event in events] == ["up", "1", "down", "up"]
    assert events[3] is last
    assert window.delivered == 1


async def test_a_visit_whose_beginning_is_being_handed_over_gets_its_end(nursery: trio.Nursery) -> None:
    inbox = Inbox(CONSENSUS, 1)
    nursery.start_soon(inbox.run)
    inbox.put("b", message("b", 0))
    up = PeerUp(PeerInfo("a"))
    inbox.put("a", up)
    await wait_all_tasks_blocked()
    inbox.put("a", message("a", 1))
    inbox.put_down(up, PeerDown("a", "gone"))
    got = [describe(await inbox.receive.receive()) for _ in range(4)]
    assert got == [("b", "0"), ("a", "up"), ("a", "1"), ("a", "down")]


async def test_what_waits_takes_no_more_memory_than_its_window(nursery: trio.Nursery) -> None:
    """The worst that a peer can send: a window full of empty messages, each an object of ours."""
    inbox, window = Inbox(CONSENSUS, 1), Window()
    nursery.start_soon(inbox.run)
    stream = encode_frame(CONSENSUS, b"", is_last=True) * (CHANNELS[CONSENSUS].window_bytes // FRAME_COST_BYTES)
    reader = FrameReader()
    tracemalloc.start()
    try:
        for start in range(0, len(stream), 65_536):
            for channel, payload, cost in reader.feed(stream[start : start + 65_536]):
                inbox.put("a", Inbound("a", channel, payload, 5), window, cost)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert inbox.waiting > 16_000
    assert held < CHANNELS[CONSENSUS].window_bytes


async def test_without_a_handler_events_vanish_and_windows_open(nursery: trio.Nursery) -> None:
    inbox, window = Inbox(CONSENSUS, 1), Window()
    nursery.start_soon(inbox.run)
    for number in range(3):
        inbox.put("a", message("a", number), window, 1)
    await wait_all_tasks_blocked()
    inbox.receive.close()
    await wait_all_tasks_blocked()
    inbox.put("a", message("a", 9), window, 1)
    await wait_all_tasks_blocked()
    assert (window.delivered, inbox.waiting) == (4, 0)
