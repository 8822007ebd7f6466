"""Switches on a network in memory, with virtual time: who stays connected to whom, and when."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2p.channels import BLOCK, CONSENSUS, PROTOCOL_CHANNELS
from p2p.events import Inbound, PeerDown, PeerUp
from p2p.identity import PeerAddress
from p2p.limits import DEFAULT_LIMITS
from p2p.memory import MemoryNetwork
from p2p.scores import BAN_SECONDS
from state.primitives.errors import MalformedError
from tests.p2p.harness import ADMITTED, HIGHER, IDENTITIES, LOWER, Node, make_node, pass_time, running, start, wait_for

VIRTUAL = 100_000.0


def pair(network: MemoryNetwork, **options: object) -> tuple[Node, Node]:
    """Two nodes that dial each other; the first has the lower identifier."""
    places = [PeerAddress(LOWER.id, "memory", 1), PeerAddress(HIGHER.id, "memory", 2)]
    lower = make_node(LOWER, (places[1],), port=1, network=network, **options)  # type: ignore[arg-type]
    higher = make_node(HIGHER, (places[0],), port=2, network=network, **options)  # type: ignore[arg-type]
    return lower, higher


async def settled(*nodes: Node) -> None:
    """All of them know all others, and stay with that."""
    for node in nodes:
        await node.met(*(other for other in nodes if other is not node))


@pytest.mark.parametrize("seed", range(25))
async def test_both_dial_at_once_and_keep_the_same_link(seed: int, autojump_clock: MockClock) -> None:
    chance, network = random.Random(seed), MemoryNetwork()
    for source, target in ((LOWER, HIGHER), (HIGHER, LOWER)):
        network.wire(source.id, target.id).delay_seconds = chance.choice([0.0, 0.001, 0.01, 0.05])
    lower, higher = pair(network, jitter=chance.random)
    async with running(lower, higher, seconds=VIRTUAL):
        await settled(lower, higher)
        await trio.sleep(30)
        link = lower.switch.peers(), higher.switch.peers()
        assert [len(peers) for peers in link] == [1, 1]
        assert link[0][0].is_outbound != link[1][0].is_outbound  # one connection, seen from its two ends
        assert len(network._streams) == 2
        for number in range(10):
            lower.switch.send(HIGHER.id, CONSENSUS, b"%d" % number)
        assert [(await higher.event(Inbound)).payload for _ in range(10)] == [b"%d" % number for number in range(10)]
        dials = lower.switch.gauges()["dials"], higher.switch.gauges()["dials"]
        await trio.sleep(600)
        assert dials == (lower.switch.gauges()["dials"], higher.switch.gauges()["dials"])
        assert lower.warnings == higher.warnings == []


async def test_when_both_are_under_way_the_lower_one_dials(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    for source, target in ((LOWER, HIGHER), (HIGHER, LOWER)):
        network.wire(source.id, target.id).delay_seconds = 0.05
    lower, higher = pair(network)
    async with running(lower, higher, seconds=VIRTUAL):
        await settled(lower, higher)
        await pass_time(5)
        assert lower.switch.peers()[0].is_outbound
        assert not higher.switch.peers()[0].is_outbound


@pytest.mark.parametrize("seed", range(10))
async def test_every_channel_reads_up_messages_down(seed: int, autojump_clock: MockClock) -> None:
    """Links that break all the time, handlers of different speed: the story of a peer is always well told."""
    chance, network = random.Random(seed), MemoryNetwork()
    lower, higher = pair(network, jitter=chance.random)
    stories: dict[int, list[object]] = {channel: [] for channel in PROTOCOL_CHANNELS}

    async def read(channel: int, pause: float) -> None:
        async for event in lower.switch.inbound(channel):
            stories[channel].append(event)
            await trio.sleep(pause)

    async def chatter() -> None:
        number = 0
        while True:
            for channel in PROTOCOL_CHANNELS:
                higher.switch.broadcast(channel, b"%d" % number)
            number += 1
            await trio.sleep(0.02)

    async with running(lower, higher, seconds=VIRTUAL) as nursery:
        for position, channel in enumerate(PROTOCOL_CHANNELS):
            nursery.start_soon(read, channel, 0.05 * position)
        nursery.start_soon(chatter)
        for _ in range(20):
            await trio.sleep(chance.random() * 3)
            network.cut(LOWER.id, HIGHER.id)
        await trio.sleep(60)
    for story in stories.values():
        is_up, last = False, -1
        assert story
        for event in story:
            if isinstance(event, PeerUp):
                assert not is_up
                is_up = True
            elif isinstance(event, PeerDown):
                assert is_up
                is_up = False
            else:
                assert isinstance(event, Inbound)
                assert is_up
                assert int(event.payload) > last
                last = int(event.payload)


async def test_a_dead_cable_is_noticed_and_repaired(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    lower, higher = pair(network)
    async with running(lower, higher, seconds=VIRTUAL):
        await settled(lower, higher)
        wires = [network.wire(LOWER.id, HIGHER.id), network.wire(HIGHER.id, LOWER.id)]
        await trio.sleep(100)
        cut_at = trio.current_time()
        for wire in wires:
            wire.is_dead = True
        await wait_for(lambda: not lower.switch.peers() and not higher.switch.peers())
        assert trio.current_time() - cut_at < DEFAULT_LIMITS.silence_seconds_max + 2 * DEFAULT_LIMITS.ping_seconds
        await trio.sleep(600)
        for wire in wires:
            wire.is_dead = False
        healed_at = trio.current_time()
        await settled(lower, higher)
        assert trio.current_time() - healed_at < DEFAULT_LIMITS.handshake_seconds_max + DEFAULT_LIMITS.dial_delay_max


async def test_a_restarted_node_replaces_its_former_self(autojump_clock: MockClock) -> None:
    """Its machine lost power: the others were never told, and hold a connection to nobody."""
    network = MemoryNetwork()
    for dialler, other in ((HIGHER, LOWER), (LOWER, HIGHER)):
        keeper = make_node(other, port=1, network=network)
        place = PeerAddress(other.id, "memory", 1)
        async with running(keeper, seconds=VIRTUAL) as nursery:
            stop = await start(make_node(dialler, (place,), network=network), nursery)
            await keeper.event(PeerUp)
            network.wire(dialler.id, other.id).is_dead = True  # its farewell does not arrive
            await wait_all_tasks_blocked()
            stop()
            await wait_all_tasks_blocked()
            network.wire(dialler.id, other.id).is_dead = False
            assert len(keeper.switch.peers()) == 1
            again = make_node(dialler, (place,), network=network)
            await start(again, nursery)
            await again.event(PeerUp)
            assert (await keeper.event(PeerDown)).peer_id == dialler.id
            assert (await keeper.event(PeerUp)).peer.id == dialler.id
            assert trio.current_time() < 2 * DEFAULT_LIMITS.handshake_seconds_max


async def test_a_stale_link_of_the_dialling_side_is_probed(autojump_clock: MockClock) -> None:
    """The lower node dialled; the higher one lost power and dials back: the stale link would win the tie if nobody asked it."""
    network = MemoryNetwork()
    lower, higher = pair(network)
    async with running(lower, seconds=VIRTUAL) as nursery:
        stop = await start(higher, nursery)
        await settled(lower, higher)
        await pass_time(20)
        network.wire(HIGHER.id, LOWER.id).is_dead = True
        await wait_all_tasks_blocked()
        stop()
        await wait_all_tasks_blocked()
        network.wire(HIGHER.id, LOWER.id).is_dead = False
        assert len(lower.switch.peers()) == 1
        restarted_at = trio.current_time()
        again = make_node(HIGHER, higher.switch._settings.peers, port=2, network=network)
        await start(again, nursery)
        await settled(lower, again)
        await again.event(PeerUp)
        assert trio.current_time() - restarted_at < DEFAULT_LIMITS.probe_seconds_max + 5


async def test_a_ban_ends_and_the_peer_comes_back(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    lower, higher = pair(network)
    async with running(lower, higher, seconds=VIRTUAL):
        await settled(lower, higher)
        lower.switch.report(HIGHER.id, MalformedError("once"))
        assert len(lower.switch.peers()) == 1
        lower.switch.report(HIGHER.id, MalformedError("twice"))
        assert (await lower.event(PeerDown)).reason == "banned: twice"
        banned_at = trio.current_time()
        await trio.sleep(BAN_SECONDS - 1)
        assert lower.switch.peers() == higher.switch.peers() == ()
        await settled(lower, higher)
        assert trio.current_time() - banned_at < BAN_SECONDS + 2 * DEFAULT_LIMITS.dial_delay_max
        assert "PEER_BANNED" in lower.names


async def test_reports_of_nodes_that_are_not_admitted_are_forgotten(autojump_clock: MockClock) -> None:
    lower, _ = pair(MemoryNetwork())
    async with running(lower, seconds=VIRTUAL):
        for number in range(100):
            lower.switch.report(f"{number:040x}", MalformedError("x"))
        assert lower.switch.scores.to_wire(trio.current_time()) == ()
        assert lower.switch.refusals() == {MalformedError.code: 100}
        assert len(lower.warnings) < 100


async def test_the_list_of_admitted_nodes_can_change(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    lower, higher = pair(network)
    async with running(lower, higher, seconds=VIRTUAL):
        await settled(lower, higher)
        lower.switch.set_admitted([LOWER.id])
        assert (await lower.event(PeerDown)).reason == "no longer admitted"
        await trio.sleep(300)
        assert lower.switch.peers() == higher.switch.peers() == ()
        lower.switch.set_admitted(ADMITTED)
        await settled(lower, higher)


async def test_disconnected_by_hand_it_comes_back(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    lower, higher = pair(network)
    async with running(lower, higher, seconds=VIRTUAL):
        await settled(lower, higher)
        await lower.event(PeerUp)
        higher.switch.set_height(99)
        lower.switch.disconnect(HIGHER.id, "by hand")
        lower.switch.disconnect("nobody", "by hand")
        assert (await lower.event(PeerDown)).reason == "by hand"
        assert (await lower.event(PeerUp)).peer.height == 99


async def test_places_for_those_who_dial_us_are_counted(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    hub = make_node(IDENTITIES[0], port=1, network=network, limits=replace(DEFAULT_LIMITS, inbound_max=2))
    place = PeerAddress(IDENTITIES[0].id, "memory", 1)
    others = [make_node(identity, (place,), network=network) for identity in IDENTITIES[1:4]]
    async with running(hub, seconds=VIRTUAL) as nursery:
        stops = [await start(node, nursery) for node in others]
        await wait_for(lambda: len(hub.switch.peers()) == 2 and "TOO_MANY_PEERS" in hub.names)
        await trio.sleep(60)
        assert len(hub.switch.peers()) == 2
        inside = [peer.id for peer in hub.switch.peers()]
        outside = next(node for node in others if node.id not in inside)
        stops[[node.id for node in others].index(inside[0])]()
        await hub.met(outside)
        assert len(hub.switch.peers()) == 2


async def test_many_comings_and_goings_leave_nothing_behind(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    lower, higher = pair(network)

    async def drain(node: Node, channel: int) -> None:
        async for _ in node.switch.inbound(channel):
            pass

    async with running(lower, higher, seconds=VIRTUAL) as nursery:
        for channel in PROTOCOL_CHANNELS:
            nursery.start_soon(drain, lower, channel)
            nursery.start_soon(drain, higher, channel)
        await settled(lower, higher)
        await pass_time(5)
        tasks, streams = trio.lowlevel.current_statistics().tasks_living, len(network._streams)
        for _ in range(80):
            network.cut(LOWER.id, HIGHER.id)
            await trio.sleep(0.05)
            await settled(lower, higher)
        await trio.sleep(60)
        await settled(lower, higher)
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert len(network._streams) == streams
        assert lower.switch.gauges()["inbound_waiting"] == 0
        assert len(lower.switch._gone) == 1


async def test_a_flapping_peer_and_a_handler_that_never_wakes(autojump_clock: MockClock) -> None:
    """Nobody reads the channel of blocks: what waits there stays bounded, and the other channels are told everything."""
    network = MemoryNetwork()
    lower, higher = pair(network)
    ups = 0

    async def count() -> None:
        nonlocal ups
        async for event in lower.switch.inbound(CONSENSUS):
            ups += isinstance(event, PeerUp)

    async with running(lower, higher, seconds=VIRTUAL) as nursery:
        nursery.start_soon(count)
        for _ in range(60):
            await settled(lower, higher)
            higher.switch.broadcast(BLOCK, b"x")
            await trio.sleep(0.01)
            network.cut(LOWER.id, HIGHER.id)
            await wait_all_tasks_blocked()
        assert ups >= 60
        assert lower.switch.gauges()["inbound_waiting"] <= 4 * 40
