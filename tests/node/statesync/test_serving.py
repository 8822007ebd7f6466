"""Serving those who join costs the node little: large reads are not on its loop, and few questions of a peer wait."""

from __future__ import annotations

import threading

import pytest
import trio

from node.network import Inbound, NetworkEvent, PeerDown, PeerUp
from node.statesync import messages as m
from node.statesync.server import SnapshotServer
from p2p.channels import SNAPSHOT
from p2p.events import PeerInfo
from state.primitives.errors import QenexError
from state.primitives.limits import SNAPSHOT_PEER_QUESTIONS_MAX

SECONDS_MAX = 30.0


class Net:
    """A network that keeps what is sent and who is reported."""

    def __init__(self) -> None:
        self.send_event, self.inbound = trio.open_memory_channel[NetworkEvent](1000)
        self.sent: list[tuple[str, bytes]] = []
        self.reported: list[str] = []

    def up(self, peer: str) -> None:
        self.send_event.send_nowait(PeerUp(PeerInfo(peer)))

    def say(self, peer: str, payload: bytes) -> None:
        self.send_event.send_nowait(Inbound(peer, SNAPSHOT, payload, 0))

    def send(self, peer: str, channel: int, payload: bytes) -> bool:
        assert channel == SNAPSHOT
        self.sent.append((peer, payload))
        return True

    def report(self, peer: str, error: QenexError) -> None:
        self.reported.append(peer)

    async def until(self, count: int) -> None:
        with trio.fail_after(SECONDS_MAX):
            while len(self.sent) < count:
                await trio.sleep(0.01)


def make_server(net: Net, monkeypatch: pytest.MonkeyPatch, gate: threading.Event) -> tuple[SnapshotServer, list[bool]]:
    """A server whose chunks take as long as the gate is closed; which answers were made on the loop."""
    nobody: object = None
    server = SnapshotServer(net, net.inbound, nobody, nobody, 10)  # type: ignore[arg-type]
    on_loop: list[bool] = []

    def answer(question: m.Question) -> bytes:
        on_loop.append(threading.current_thread() is threading.main_thread())
        if question.kind == m.CHUNK and not on_loop[-1]:
            assert gate.wait(SECONDS_MAX)
        return question.encode()

    monkeypatch.setattr(server, "answer", answer)
    return server, on_loop


async def test_a_chunk_is_read_beside_the_loop_and_others_do_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    net, gate = Net(), threading.Event()
    server, on_loop = make_server(net, monkeypatch, gate)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        net.up("joiner")
        net.up("other")
        net.say("joiner", m.Question(m.CHUNK, 10, 1).encode())
        net.say("other", m.Question(m.LIGHT, 3).encode())
        await net.until(1)
        assert net.sent == [("other", m.Question(m.LIGHT, 3).encode())]
        gate.set()
        await net.until(2)
        assert sorted(on_loop) == [False, True]
        nursery.cancel_scope.cancel()


async def test_few_questions_of_a_peer_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    net, gate = Net(), threading.Event()
    server, on_loop = make_server(net, monkeypatch, gate)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        net.up("greedy")
        for shard in range(50):
            net.say("greedy", m.Question(m.CHUNK, 10, shard).encode())
        net.up("other")
        net.say("other", m.Question(m.LIGHT, 3).encode())
        await net.until(1)
        gate.set()
        await net.until(1 + SNAPSHOT_PEER_QUESTIONS_MAX)
        net.say("other", m.Question(m.CHUNK, 10, 99).encode())
        with trio.fail_after(SECONDS_MAX):
            while ("other", m.Question(m.CHUNK, 10, 99).encode()) not in net.sent:
                await trio.sleep(0.01)
        assert sum(peer == "greedy" for peer, _ in net.sent) <= SNAPSHOT_PEER_QUESTIONS_MAX + 1
        assert len(on_loop) == len(net.sent)
        nursery.cancel_scope.cancel()


async def test_answers_and_peers_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    net, gate = Net(), threading.Event()
    server, _ = make_server(net, monkeypatch, gate)
    question = m.Question(m.LIGHT, 3)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        net.say("stranger", question.encode())
        net.up("liar")
        net.say("liar", m.encode_missing(question))
        net.up("gone")
        net.send_event.send_nowait(PeerDown("gone", "it left"))
        net.say("gone", question.encode())
        net.up("honest")
        net.say("honest", question.encode())
        await net.until(1)
        assert net.sent == [("honest", question.encode())]
        assert net.reported == ["liar"]
        nursery.cancel_scope.cancel()
