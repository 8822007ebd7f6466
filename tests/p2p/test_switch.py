"""Switches with real TLS on loopback. Rules here: port 0, an absolute time limit for each test, whoever opens a socket closes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from OpenSSL import SSL

from p2p.channels import BLOCK, CHANNELS, CONSENSUS, MEMPOOL, SYNC
from p2p.events import Inbound, LinkEvent, PeerDown, PeerUp
from p2p.frames import encode_frame
from p2p.handshake import PROTOCOL_VERSION, Greeting
from p2p.identity import NodeIdentity, PeerAddress
from p2p.switch import Switch, SwitchSettings
from p2p.tls import TlsStream, make_context
from state.primitives.errors import MalformedError, QenexError

CHAIN = b"\x07" * 32
IDENTITIES = [NodeIdentity(bytes([number + 1]) * 32) for number in range(5)]
ADMITTED = frozenset(identity.id for identity in IDENTITIES[:4])


@dataclass
class Node:
    switch: Switch
    warnings: list[QenexError] = field(default_factory=list)
    address: str = ""

    async def event(self, kind: type, channel: int = CONSENSUS) -> LinkEvent:
        async for event in self.switch.inbound(channel):
            if isinstance(event, kind):
                return event
        raise AssertionError("the channel ended")


def greeting(chain: bytes = CHAIN, protocol: int = PROTOCOL_VERSION) -> Greeting:
    return Greeting(protocol, chain, "0.1", "test", "", (), 0)


def make_node(index: int, peers: tuple[PeerAddress, ...] = (), port: int = 0, chain: bytes = CHAIN) -> Node:
    warnings: list[QenexError] = []
    switch = Switch(
        SwitchSettings("127.0.0.1", port, peers, ADMITTED),
        IDENTITIES[index],
        greeting(chain),
        now_ns=lambda: 5,
        jitter=lambda: 0.0,
        warn=lambda _who, error: warnings.append(error),
    )
    return Node(switch, warnings)


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for node in nodes:
                node.address = await nursery.start(node.switch.run)
            yield
            nursery.cancel_scope.cancel()


def address_of(node: Node) -> PeerAddress:
    return PeerAddress.parse(f"{node.switch.id}@{node.address}")


async def wait_for(predicate: object) -> None:
    while not predicate():  # type: ignore[operator]
        await trio.sleep(0.01)


async def test_two_nodes_on_all_channels() -> None:
    first = make_node(0)
    async with running(first):
        second = make_node(1, (address_of(first),))
        async with running(second):
            up = await first.event(PeerUp)
            assert isinstance(up, PeerUp)
            assert (up.peer.id, up.peer.moniker, up.peer.is_outbound) == (second.switch.id, "test", False)
            await second.event(PeerUp)
            for channel in (SYNC, CONSENSUS, BLOCK, MEMPOOL):
                big = bytes([channel]) * min(CHANNELS[channel].message_bytes_max, 3_000_000)
                assert first.switch.send(second.switch.id, channel, big)
                second.switch.broadcast(channel, b"small")
                found = await second.event(Inbound, channel)
                assert isinstance(found, Inbound)
                assert (found.payload, found.peer_id, found.received_ns) == (big, first.switch.id, 5)
                answer = await first.event(Inbound, channel)
                assert isinstance(answer, Inbound)
                assert answer.payload == b"small"
        down = await first.event(PeerDown)
        assert isinstance(down, PeerDown)
        assert down.peer_id == second.switch.id
        assert first.switch.peers() == ()
        assert not first.switch.send(second.switch.id, SYNC, b"x")
    assert first.warnings == second.warnings == []


async def test_votes_overtake_a_block() -> None:
    first = make_node(0)
    async with running(first):
        second = make_node(1, (address_of(first),))
        async with running(second):
            await first.event(PeerUp)
            for _ in range(4):
                assert first.switch.send(second.switch.id, BLOCK, bytes(7_000_000))
            assert first.switch.send(second.switch.id, CONSENSUS, b"vote")
            await second.event(Inbound, CONSENSUS)
            blocks_before_the_vote = second.switch.inbound(BLOCK).statistics().current_buffer_used
            assert blocks_before_the_vote <= 2  # 28 MB were queued first; one event is PeerUp
            for _ in range(4):
                await second.event(Inbound, BLOCK)


async def test_both_dial_at_once_and_keep_one_link() -> None:
    first, probe = make_node(0), make_node(1)
    async with running(first, probe):
        port = int(probe.address.rpartition(":")[2])
        first_address = address_of(first)
        second_address = address_of(probe)
    first = make_node(0, (second_address,), first_address.port)
    second = make_node(1, (first_address,), port)
    async with running(first, second):
        await first.event(PeerUp)
        await second.event(PeerUp)
        for number in range(20):
            first.switch.send(second.switch.id, CONSENSUS, b"%d" % number)
            second.switch.send(first.switch.id, CONSENSUS, b"%d" % number)
            await trio.sleep(0.02)
        assert len(first.switch.peers()) == len(second.switch.peers()) == 1
        lower_is_first = first.switch.id < second.switch.id
        assert first.switch.peers()[0].is_outbound == lower_is_first
        assert second.switch.peers()[0].is_outbound != lower_is_first


async def test_four_nodes_in_full_mesh() -> None:
    nodes = [make_node(0)]
    async with running(nodes[0]), trio.open_nursery() as nursery:
        for index in range(1, 4):
            node = make_node(index, tuple(address_of(other) for other in nodes))
            node.address = await nursery.start(node.switch.run)
            nodes.append(node)
        await wait_for(lambda: all(len(node.switch.peers()) == 3 for node in nodes))
        nodes[2].switch.broadcast(MEMPOOL, b"hello")
        for node in (nodes[0], nodes[1], nodes[3]):
            found = await node.event(Inbound, MEMPOOL)
            assert isinstance(found, Inbound)
            assert found.payload == b"hello"
        nursery.cancel_scope.cancel()


async def test_strangers_are_refused() -> None:
    first = make_node(0)
    async with running(first):
        stranger = make_node(4, (address_of(first),))
        wrong_chain = make_node(1, (address_of(first),), chain=b"\x08" * 32)
        async with running(stranger, wrong_chain):
            await wait_for(lambda: {"NOT_ADMITTED", "WRONG_CHAIN_PEER"} <= {error.name for error in first.warnings})
            assert first.switch.peers() == ()


async def test_dialled_address_with_another_key() -> None:
    first = make_node(0)
    async with running(first):
        wrong = PeerAddress(IDENTITIES[2].id, "127.0.0.1", address_of(first).port)
        second = make_node(1, (wrong,))
        async with running(second):
            await wait_for(lambda: any(error.name == "NOT_ADMITTED" for error in second.warnings))


async def test_our_own_key_is_refused() -> None:
    first = make_node(0)
    async with running(first):
        twin = make_node(0)
        twin.switch._settings = SwitchSettings("127.0.0.1", 0, (), ADMITTED)
        stream = await trio.open_tcp_stream("127.0.0.1", address_of(first).port)
        async with stream:
            tls = TlsStream(stream, make_context(IDENTITIES[0]), is_server=False)
            await tls.handshake()
            assert await tls.receive_some() == b""
        await wait_for(lambda: bool(first.warnings))
        assert [error.name for error in first.warnings] == ["NOT_ADMITTED"]


async def test_reconnects_when_the_other_side_comes_back() -> None:
    first = make_node(0)
    async with running(first):
        address = address_of(first)
    second = make_node(1, (address,))
    async with running(second):
        for _ in range(3):
            first = make_node(0, port=address.port)
            async with running(first):
                await second.event(PeerUp)
            await second.event(PeerDown)


async def test_garbage_before_tls_and_inside_it() -> None:
    first = make_node(0)
    async with running(first):
        port = address_of(first).port
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(500), b"\x16\x03\x01" + b"\xff" * 400):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(garbage)
                while await stream.receive_some(100):
                    pass
        for data in (b"HELLO, WORLD", b"QENEX1\xff\xff", b"QENEX1\x00\x01\xc0", b"QENEX1\x00\x02\x93\x01"):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                tls = TlsStream(stream, make_context(IDENTITIES[1]), is_server=False)
                await tls.handshake()
                await tls.send_all(data)
                if len(data) == 10 and data[-1] == 1:
                    continue  # an unfinished greeting: closing is enough
                while await tls.receive_some():
                    pass
        second = make_node(1, (address_of(first),))
        async with running(second):
            await first.event(PeerUp)
        names = {error.name for error in first.warnings}
        assert {"INSECURE_LINK", "BAD_FRAME", "MALFORMED"} <= names


async def test_a_peer_that_sends_bad_frames_is_banned() -> None:
    first = make_node(0)
    async with running(first):
        for bad in (
            encode_frame(0x99, b"x", is_last=True),
            bytes((CONSENSUS, 1)) + b"\xff\xff\xff\xff",
            encode_frame(CONSENSUS, bytes(32 * 1024), is_last=False) * 3,
        ):
            node = make_node(1)
            stream = await trio.open_tcp_stream("127.0.0.1", address_of(first).port)
            async with stream:
                tls = TlsStream(stream, make_context(IDENTITIES[1]), is_server=False)
                await tls.handshake()
                body = greeting().encode()
                await tls.send_all(b"QENEX1" + len(body).to_bytes(2, "big") + body + bad)
                while await tls.receive_some():
                    pass
            assert node.warnings == []
            first.switch._scores._bans.clear()
        names = [error.name for error in first.warnings]
        assert names == ["BAD_FRAME", "FRAME_TOO_LARGE", "FRAME_TOO_LARGE"]
        first.switch._scores._bans[IDENTITIES[1].id] = trio.current_time() + 100
        second = make_node(1, (address_of(first),))
        async with running(second):
            await wait_for(lambda: "PEER_BANNED" in [error.name for error in first.warnings])
            assert first.switch.peers() == ()


async def test_reported_peers_are_disconnected_and_decay() -> None:
    first = make_node(0)
    async with running(first):
        second = make_node(1, (address_of(first),))
        async with running(second):
            await first.event(PeerUp)
            first.switch.report(second.switch.id, MalformedError("once"))
            assert len(first.switch.peers()) == 1
            first.switch.report(second.switch.id, MalformedError("twice"))
            down = await first.event(PeerDown)
            assert isinstance(down, PeerDown)
            assert down.reason == "banned: twice"


async def test_removed_from_the_list() -> None:
    first = make_node(0)
    async with running(first):
        second = make_node(1, (address_of(first),))
        async with running(second):
            await first.event(PeerUp)
            first.switch.set_admitted([IDENTITIES[0].id])
            down = await first.event(PeerDown)
            assert isinstance(down, PeerDown)
            assert down.reason == "no longer admitted"


async def test_full_queue_says_no() -> None:
    first = make_node(0)
    async with running(first):
        second = make_node(1, (address_of(first),))
        async with running(second):
            await first.event(PeerUp)
            accepted = 0
            while first.switch.send(second.switch.id, BLOCK, bytes(7_000_000)):
                accepted += 1
            assert accepted <= 5
            counts = first.switch.statistics()[second.switch.id][BLOCK]
            assert counts.dropped == 1


async def test_half_open_connections_are_capped_and_time_out(autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock  # real sockets: the clock jumps only while nothing else can happen
    first = make_node(0)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            first.address = await nursery.start(first.switch.run)
            streams = [await trio.open_tcp_stream("127.0.0.1", address_of(first).port) for _ in range(20)]
            refused = 0
            for stream in streams:
                async with stream:
                    assert await stream.receive_some(10) == b""
                refused += 1
            assert refused == 20
            assert [error.name for error in first.warnings].count("HANDSHAKE_TIMEOUT") <= 16
            assert first.switch._handshakes == {}
            nursery.cancel_scope.cancel()


async def test_a_tls_1_2_client_and_a_classical_group_are_refused() -> None:
    first = make_node(0)
    async with running(first):
        port = address_of(first).port
        context = make_context(IDENTITIES[1])
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            tls = TlsStream(stream, context, is_server=False)
            try:
                await tls.handshake()
            except (QenexError, trio.BrokenResourceError):
                pass
            else:
                raise AssertionError("TLS 1.2 was accepted")
        await wait_for(lambda: bool(first.warnings))
        assert first.warnings[0].name == "INSECURE_LINK"
