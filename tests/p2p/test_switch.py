"""Switches with real TLS on loopback."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from dataclasses import replace

import pytest
import trio
from OpenSSL import SSL

from p2p.channels import BLOCK, CHANNELS, CONSENSUS, MEMPOOL, PROTOCOL_CHANNELS, SYNC
from p2p.events import Inbound, PeerDown, PeerUp
from p2p.frames import encode_frame
from p2p.handshake import MAGIC, PROTOCOL_VERSION, Introduction, encode_greeting, encode_verdict
from p2p.identity import PeerAddress
from p2p.limits import DEFAULT_LIMITS
from p2p.scores import Scores
from p2p.switch import parse_peers
from p2p.tls import TlsStream, make_context
from state.primitives.errors import MalformedError, PortInUseError, QenexError, RefusedByPeerError
from tests.p2p.harness import (
    ADMITTED,
    IDENTITIES,
    STRANGER,
    Node,
    greeting,
    make_node,
    read_all,
    running,
    start,
    tls_client,
    wait_for,
)

FIRST, SECOND, THIRD, FOURTH = IDENTITIES[:4]


async def test_two_nodes_on_all_channels() -> None:
    first = make_node(FIRST)
    async with running(first) as nursery:
        second = make_node(SECOND, (first.place,))
        stop = await start(second, nursery)
        up = (await first.event(PeerUp)).peer
        assert (up.id, up.moniker, up.version, up.is_outbound) == (second.id, "test", "0.1", False)
        assert (up.address, up.height, up.capabilities) == (second.address, 12, ("compact",))
        assert (await second.event(PeerUp)).peer.is_outbound
        for channel in PROTOCOL_CHANNELS:
            big = bytes([channel]) * CHANNELS[channel].message_bytes_max
            assert first.switch.send(second.id, channel, big)
            second.switch.broadcast(channel, b"small")
            assert await second.event(Inbound, channel) == Inbound(first.id, channel, big, 5)
            assert (await first.event(Inbound, channel)).payload == b"small"
        counts = first.switch.statistics()[second.id][SYNC]
        assert (counts.messages_out, counts.bytes_out) == (1, CHANNELS[SYNC].message_bytes_max)
        assert (counts.messages_in, counts.bytes_in, counts.dropped) == (1, 5, 0)
        await wait_for(lambda: first.switch.round_trips())
        assert 0 < first.switch.round_trips()[second.id] < 5
        gauges = first.switch.gauges()
        assert (gauges["peers"], gauges["peers_inbound"], gauges["handshakes_pending"]) == (1, 1, 0)
        stop()
        assert (await first.event(PeerDown)).peer_id == second.id
        assert first.switch.peers() == ()
        assert first.switch.round_trips() == {}
        assert not first.switch.send(second.id, SYNC, b"x")
    assert first.warnings == second.warnings == []


async def test_four_nodes_in_full_mesh() -> None:
    nodes = [make_node(FIRST)]
    async with running(nodes[0]) as nursery:
        for identity in (SECOND, THIRD, FOURTH):
            node = make_node(identity, tuple(other.place for other in nodes))
            await start(node, nursery)
            nodes.append(node)
        for node in nodes:
            await node.met(*(other for other in nodes if other is not node))
        for channel in PROTOCOL_CHANNELS:
            for sender in nodes:
                sender.switch.broadcast(channel, b"from " + sender.id.encode(), except_=(nodes[0].id,))
            for node in nodes[1:]:
                senders = {(await node.event(Inbound, channel)).peer_id for _ in range(3)}
                assert senders == {other.id for other in nodes} - {node.id}
    assert [node.warnings for node in nodes] == [[], [], [], []]


async def test_votes_overtake_a_block() -> None:
    first = make_node(FIRST)
    async with running(first) as nursery:
        second = make_node(SECOND, (first.place,))
        await start(second, nursery)
        await first.met(second)
        for _ in range(7):
            assert first.switch.send(second.id, BLOCK, bytes(4_000_000))
        assert first.switch.send(second.id, CONSENSUS, b"vote")
        await second.event(Inbound, CONSENSUS)
        before = second.switch.inbound(BLOCK).statistics().current_buffer_used
        assert before <= 2  # 28 MB were queued first; one event is PeerUp
        for _ in range(7):
            await second.event(Inbound, BLOCK)


async def test_a_handler_that_sleeps_stops_only_its_channel() -> None:
    """The sender's queue of that channel fills; votes pass in both directions; nothing is lost when the handler wakes."""
    first = make_node(FIRST)
    async with running(first) as nursery:
        second = make_node(SECOND, (first.place,))
        await start(second, nursery)
        await first.met(second)
        sent = 0
        with trio.move_on_after(5):
            while True:
                if first.switch.send(second.id, BLOCK, b"%d" % sent + bytes(1_000_000)):
                    sent += 1
                elif first.switch.gauges()["outbound_bytes"] > 31_000_000 and second.switch.gauges()["inbound_waiting"]:
                    break
                await trio.sleep(0.001)
        for number in range(50):
            assert first.switch.send(second.id, CONSENSUS, b"%d" % number)
            assert (await second.event(Inbound)).payload == b"%d" % number
            assert second.switch.send(first.id, CONSENSUS, b"%d" % number)
            assert (await first.event(Inbound)).payload == b"%d" % number
        assert first.switch.statistics()[second.id][BLOCK].dropped > 0
        for number in range(sent):
            event = await second.event(Inbound, BLOCK)
            assert event.payload[: len(b"%d" % number)] == b"%d" % number
    assert first.warnings == second.warnings == []


async def test_strangers_and_other_chains_are_refused_and_hear_why() -> None:
    first = make_node(FIRST)
    async with running(first) as nursery:
        stranger = make_node(STRANGER, (first.place,), admitted=ADMITTED | {STRANGER.id})
        wrong_chain = make_node(SECOND, (first.place,), chain=b"\x08" * 32)
        await start(stranger, nursery)
        await start(wrong_chain, nursery)
        await wait_for(lambda: {"NOT_ADMITTED", "WRONG_CHAIN_PEER"} <= set(first.names))
        await wait_for(lambda: stranger.names == ["REFUSED_BY_PEER"])
        assert "NOT_ADMITTED" in stranger.warnings[0][1].message
        await wait_for(lambda: wrong_chain.names)
        assert wrong_chain.names[0] in ("REFUSED_BY_PEER", "WRONG_CHAIN_PEER")
        for node in (first, stranger, wrong_chain):
            assert node.switch.peers() == ()
            with pytest.raises(trio.WouldBlock):  # nobody has ever been up, on either side
                node.switch.inbound(CONSENSUS).receive_nowait()
        assert first.switch.scores.score(SECOND.id, trio.current_time()) > 0
        assert first.switch.scores.score(STRANGER.id, trio.current_time()) == 0


async def test_another_protocol_version_is_refused() -> None:
    first = make_node(FIRST)
    async with running(first):
        async with tls_client(first.port, SECOND) as tls:
            await tls.send_all(MAGIC + encode_greeting(greeting(protocol=PROTOCOL_VERSION + 1)))
            await tls.receive_some()
        await wait_for(lambda: first.names == ["PROTOCOL_VERSION"])


async def test_a_stranger_learns_nothing_about_us() -> None:
    first = make_node(FIRST)
    async with running(first):
        async with tls_client(first.port, STRANGER) as tls:
            words = await read_all(tls)
        assert words == MAGIC + encode_verdict(2411)


async def test_dialled_address_with_another_key() -> None:
    first = make_node(FIRST)
    async with running(first) as nursery:
        second = make_node(SECOND, (PeerAddress(THIRD.id, "127.0.0.1", first.port),))
        await start(second, nursery)
        await wait_for(lambda: "NOT_ADMITTED" in second.names)
        assert f"answers with the key of {FIRST.id}" in second.warnings[0][1].message
        assert first.switch.peers() == second.switch.peers() == ()


async def test_our_own_key_is_refused_and_never_dialled() -> None:
    first = make_node(FIRST, (PeerAddress(FIRST.id, "127.0.0.1", 1),))
    async with running(first):
        async with tls_client(first.port, FIRST) as tls:
            assert await read_all(tls) == MAGIC + encode_verdict(2411)
        await wait_for(lambda: first.names == ["NOT_ADMITTED"])
        assert "own key" in first.warnings[0][1].message
        assert first.switch.gauges()["dials"] == 0


async def test_who_is_refused_does_not_count_as_a_peer_for_a_moment() -> None:
    """The dialler likes our greeting; only our verdict can make it a peer."""
    first = make_node(FIRST)
    async with running(first):
        first.switch.scores.penalise(SECOND.id, MalformedError("once"), trio.current_time())
        first.switch.scores.penalise(SECOND.id, MalformedError("twice"), trio.current_time())
        async with tls_client(first.port, SECOND) as tls:
            introduction = Introduction(greeting())
            await tls.send_all(introduction.open() + introduction.accept())
            with pytest.raises(RefusedByPeerError, match="PEER_BANNED"):
                while data := await tls.receive_some():
                    introduction.feed(data)
        assert first.switch.peers() == ()


async def test_reconnects_when_the_other_side_comes_back() -> None:
    first = make_node(FIRST)
    async with running(first):
        place = first.place
    second = make_node(SECOND, (place,))
    async with running(second):
        for _ in range(3):
            first = make_node(FIRST, port=place.port)
            async with running(first):
                await second.event(PeerUp)
            assert (await second.event(PeerDown)).peer_id == first.id


async def test_addresses_that_are_taken_away_and_given_while_it_runs() -> None:
    first, other = make_node(FIRST), make_node(THIRD)
    async with running(first, other) as nursery:
        second = make_node(SECOND, (first.place,))
        await start(second, nursery)
        await second.met(first)
        second.switch.set_peers((other.place, other.place, first.place))
        await second.met(other)
        assert {peer.id for peer in second.switch.peers()} == {first.id, other.id}  # who stays is not disturbed
        second.switch.set_peers((other.place,))
        assert (await first.event(PeerDown)).peer_id == second.id
        dials = second.switch.gauges()["dials"]
        second.switch.disconnect(other.id, "to be dialled again")
        await other.event(PeerDown)
        await wait_for(lambda: second.switch.gauges()["dials"] > dials)
        assert first.id not in {peer.id for peer in second.switch.peers()}


async def test_a_bound_that_is_lowered_while_it_runs() -> None:
    first = make_node(FIRST)
    async with running(first) as nursery:
        second, third = make_node(SECOND, (first.place,)), make_node(THIRD, (first.place,))
        await start(second, nursery)
        await first.met(second)
        first.switch.set_inbound_max(1)
        await start(third, nursery)
        await wait_for(lambda: first.switch.refusals())
        assert [peer.id for peer in first.switch.peers()] == [second.id]
        first.switch.set_inbound_max(2)
        await third.met(first)


async def test_garbage_before_tls() -> None:
    first = make_node(FIRST)
    async with running(first) as nursery:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(500), b"\x16\x03\x01" + b"\xff" * 400, b"\x80" * 100_000):
            stream = await trio.open_tcp_stream("127.0.0.1", first.port)
            async with stream:
                try:
                    await stream.send_all(garbage)
                    while await stream.receive_some(100):
                        pass
                except trio.BrokenResourceError:
                    pass  # closed on us, as it should be
        second = make_node(SECOND, (first.place,))
        await start(second, nursery)
        await first.met(second)
        assert set(first.names) == {"INSECURE_LINK"}
        assert first.switch.refusals() == {2410: 4}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (b"HELLO, WORLD", "BAD_FRAME"),
        (MAGIC + b"\xff\xff", "BAD_FRAME"),
        (MAGIC + b"\x00\x01\xc0", "MALFORMED"),
        (MAGIC + b"\x00\x02\x93\x01", "MALFORMED"),
        (MAGIC + encode_verdict(0), "BAD_FRAME"),
        (MAGIC + encode_greeting(greeting()) * 2, "BAD_FRAME"),
    ],
)
async def test_garbage_inside_tls(words: bytes, name: str) -> None:
    first = make_node(FIRST)
    async with running(first):
        async with tls_client(first.port, SECOND) as tls:
            await tls.send_all(words)
            await tls.receive_some()
        await wait_for(lambda: first.names == [name])
        scores, now = first.switch.scores, trio.current_time()
        assert scores.score(SECOND.id, now) > 0 or scores.banned_for(SECOND.id, now) > 0


async def impostor(node: Node, data: bytes) -> None:
    """A proper introduction with the second key, and then `data`."""
    async with tls_client(node.port, SECOND) as tls:
        introduction = Introduction(greeting())
        await tls.send_all(introduction.open() + introduction.accept())
        while not introduction.is_accepted:
            introduction.feed(await tls.receive_some())
        with suppress(trio.BrokenResourceError):  # it may hang up while we talk
            await tls.send_all(data)
        await read_all(tls)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encode_frame(0x99, b"x", is_last=True), "BAD_FRAME"),
        (bytes((CONSENSUS, 1)) + b"\xff\xff\xff\xff", "FRAME_TOO_LARGE"),
        (encode_frame(CONSENSUS, bytes(32 * 1024), is_last=False) * 3, "FRAME_TOO_LARGE"),
        (encode_frame(MEMPOOL, b"", is_last=True) * 20_000, "BAD_FRAME"),
    ],
    ids=["channel", "frame", "message", "window"],
)
async def test_a_peer_that_breaks_the_rules_is_banned_and_nobody_else_notices(data: bytes, name: str) -> None:
    first = make_node(FIRST)
    banned: list[tuple[str, str]] = []
    first.switch.on_banned = lambda peer, error: banned.append((peer, error.name))
    async with running(first) as nursery:
        third = make_node(THIRD, (first.place,))
        await start(third, nursery)
        await first.met(third)
        await impostor(first, data)
        await wait_for(lambda: first.names == [name])
        assert banned == [(SECOND.id, name)]
        assert first.switch.banned_for(SECOND.id) > 0
        second = make_node(SECOND, (first.place,))
        await start(second, nursery)
        await wait_for(lambda: "PEER_BANNED" in first.names)
        assert [peer.id for peer in first.switch.peers()] == [third.id]
        third.switch.broadcast(CONSENSUS, b"still here")
        while (event := await first.event(Inbound)).payload != b"still here":
            pass
        assert event.peer_id == third.id


async def test_a_full_queue_says_no_and_so_does_an_oversize_message() -> None:
    first = make_node(FIRST)
    async with running(first) as nursery:
        second = make_node(SECOND, (first.place,))
        await start(second, nursery)
        await first.met(second)
        accepted = 0
        while first.switch.send(second.id, BLOCK, bytes(4_000_000)):
            accepted += 1
        assert accepted == CHANNELS[BLOCK].outbound_bytes_max // 4_000_000
        assert first.switch.statistics()[second.id][BLOCK].dropped == 1
        assert not first.switch.send(second.id, CONSENSUS, bytes(CHANNELS[CONSENSUS].message_bytes_max + 1))
        first.switch.broadcast(CONSENSUS, bytes(CHANNELS[CONSENSUS].message_bytes_max + 1))
        assert first.names == ["MESSAGE_TOO_LARGE"]
        assert len(first.switch.peers()) == 1


async def test_half_open_connections_keep_nobody_out() -> None:
    first = make_node(FIRST)
    async with running(first) as nursery:
        streams = [await trio.open_tcp_stream("127.0.0.1", first.port) for _ in range(60)]
        await wait_for(lambda: first.switch.gauges()["handshakes_accepted"] == 60)
        assert first.switch.gauges()["handshakes_pending"] <= DEFAULT_LIMITS.handshakes_per_host_max
        second = make_node(SECOND, (first.place,))
        await start(second, nursery)
        await first.met(second)
        for stream in streams:
            await stream.aclose()
        await wait_for(lambda: first.switch.gauges()["handshakes_pending"] == 0)


@pytest.mark.parametrize("after_tls", [False, True])
async def test_one_byte_at_a_time_meets_the_deadline(after_tls: bool) -> None:
    first = make_node(FIRST, limits=replace(DEFAULT_LIMITS, handshake_seconds_max=0.3))
    async with running(first):
        started = trio.current_time()
        stream = await trio.open_tcp_stream("127.0.0.1", first.port)
        tls = TlsStream(stream, make_context(SECOND), is_server=False)
        async with stream:
            if after_tls:
                await tls.handshake()
            words = MAGIC + encode_greeting(greeting()) if after_tls else b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
            try:
                for byte in words + bytes(1000):
                    await (tls if after_tls else stream).send_all(bytes([byte]))
                    await trio.sleep(0.05)
            except trio.BrokenResourceError:
                pass
        assert trio.current_time() - started < 3
        await wait_for(lambda: first.names == ["HANDSHAKE_TIMEOUT"])
        assert first.switch.gauges()["handshakes_pending"] == 0


async def test_out_of_descriptors_links_go_on_and_the_door_opens_again() -> None:
    first = make_node(FIRST)
    async with running(first) as nursery:
        second = make_node(SECOND, (first.place,))
        await start(second, nursery)
        await first.met(second)
        sockets = [trio.socket.socket() for _ in range(12)]
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (sockets[-1].fileno() + 3, limits[1]))
        fillers: list[int] = []
        with suppress(OSError):
            while True:
                fillers.append(os.open(os.devnull, os.O_RDONLY))
        os.close(fillers.pop())
        try:
            for connecting in sockets:
                await connecting.connect(("127.0.0.1", first.port))
            await wait_for(lambda: first.switch.gauges()["accept_pauses"])
            for number in range(20):
                assert first.switch.send(second.id, CONSENSUS, b"%d" % number)
                assert (await second.event(Inbound)).payload == b"%d" % number
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for filler in fillers:
                os.close(filler)
            for connecting in sockets:
                connecting.close()
        third = make_node(THIRD, (first.place,))
        await start(third, nursery)
        with trio.fail_after(5):
            await first.met(second, third)
        assert first.names.count("TOO_MANY_PEERS") == 1


async def test_a_tls_1_2_client_and_a_classical_group_are_refused() -> None:
    first = make_node(FIRST)
    async with running(first):
        old, classical = make_context(SECOND), make_context(SECOND)
        old.set_min_proto_version(SSL.TLS1_2_VERSION)
        old.set_max_proto_version(SSL.TLS1_2_VERSION)
        assert SSL._lib.SSL_CTX_set1_curves_list(classical._context, b"X25519") == 1
        for context in (old, classical):
            stream = await trio.open_tcp_stream("127.0.0.1", first.port)
            async with stream:
                with pytest.raises((QenexError, trio.BrokenResourceError)):
                    await TlsStream(stream, context, is_server=False).handshake()
        await wait_for(lambda: first.switch.refusals().get(2410) == 2)
        assert first.switch.peers() == ()


async def test_a_flood_of_refusals_is_a_few_lines() -> None:
    first = make_node(FIRST)
    async with running(first):
        for number in range(200):
            first.switch.report(IDENTITIES[2 + number % 3].id, MalformedError("x"))
        assert first.names == ["MALFORMED"] * 3
        assert first.switch.refusals() == {2710: 200}
        first.switch.report(SECOND.id, MalformedError("y"))
        assert first.warnings[-1][1].hint == "197 refusals before this one were not logged"


async def test_a_port_in_use() -> None:
    first = make_node(FIRST)
    async with running(first):
        second = make_node(SECOND, port=first.port)
        with pytest.raises(PortInUseError) as caught:
            await second.switch.run()
        assert str(first.port) in caught.value.message
        assert caught.value.hint


async def test_ipv6() -> None:
    first = make_node(FIRST)
    first.switch._settings = replace(first.switch._settings, host="::1")
    async with running(first) as nursery:
        assert first.address.startswith("[::1]:")
        second = make_node(SECOND, (first.place,))
        await start(second, nursery)
        await first.met(second)


async def test_scores_from_before_are_in_force() -> None:
    old = Scores()
    old.penalise(SECOND.id, MalformedError("x"), 0.0)
    old.penalise(SECOND.id, MalformedError("x"), 0.0)
    async with running() as nursery:
        first = make_node(FIRST, scores=Scores.from_wire(old.to_wire(1.0), trio.current_time(), 10.0))
        await start(first, nursery)
        assert 45 < first.switch.banned_for(SECOND.id) < 50


def test_addresses_of_a_configuration() -> None:
    text = f"{FIRST.id}@127.0.0.1:26656"
    assert [str(address) for address in parse_peers([text])] == [text]
    with pytest.raises(MalformedError):
        parse_peers([text, "nonsense"])
