"""Asking peers that are slow, silent, or answer what nobody asked: who is blamed, who is given up, and who is not."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from node.network import Inbound, NetworkEvent, PeerDown, PeerUp
from node.statesync import messages as m
from node.statesync.desk import ANSWER_SECONDS_MAX, LATE_MAX, OWED_MAX, Desk
from p2p.channels import SNAPSHOT
from p2p.events import PeerInfo
from state.primitives.errors import ClientError, MalformedError, PeerTimeoutError, QenexError


class Net:
    """A network that keeps who is reported; nobody answers by itself."""

    def __init__(self) -> None:
        self.events, self.inbound = trio.open_memory_channel[NetworkEvent](1000)
        self.reported: list[tuple[str, type[QenexError]]] = []

    async def tell(self, event: NetworkEvent) -> None:
        await self.events.send(event)
        await trio.testing.wait_all_tasks_blocked()

    async def answer(self, peer: str, question: m.Question) -> None:
        await self.tell(Inbound(peer, SNAPSHOT, m.encode_proof(question, b"value", b"proof"), 0))

    def send(self, peer: str, channel: int, payload: bytes) -> bool:
        return True

    def report(self, peer: str, error: QenexError) -> None:
        self.reported.append((peer, type(error)))


QUESTIONS = [m.Question(m.PROOF, height, 0, b"key") for height in range(1, 60)]


async def ask_in_vain(desk: Desk, peer: str, question: m.Question) -> None:
    with pytest.raises(ClientError):
        await desk.ask(peer, question)


async def test_a_late_answer_is_let_pass_once(autojump_clock: trio.testing.MockClock) -> None:
    net = Net()
    desk = Desk(net, net.inbound)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.run)
        await net.tell(PeerUp(PeerInfo("slow")))
        await ask_in_vain(desk, "slow", QUESTIONS[0])
        await net.answer("slow", QUESTIONS[0])
        assert net.reported == [("slow", PeerTimeoutError)]
        assert "slow" in desk.peers
        await net.answer("slow", QUESTIONS[0])
        assert net.reported[1:] == [("slow", MalformedError)]
        assert "slow" not in desk.peers
        nursery.cancel_scope.cancel()


async def test_who_is_late_time_after_time_is_given_up_while_there_are_others(autojump_clock: trio.testing.MockClock) -> None:
    net = Net()
    desk = Desk(net, net.inbound)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.run)
        await net.tell(PeerUp(PeerInfo("slow")))
        for question in QUESTIONS[: 2 * OWED_MAX]:
            await ask_in_vain(desk, "slow", question)
        assert "slow" in desk.peers  # there is nobody else
        await net.answer("slow", QUESTIONS[2 * OWED_MAX - 1])
        assert {kind for _, kind in net.reported} == {PeerTimeoutError}
        await net.tell(PeerUp(PeerInfo("silent")))
        for question in QUESTIONS[: LATE_MAX - 1]:
            await ask_in_vain(desk, "silent", question)
        nursery.start_soon(ask_and_hear, desk, QUESTIONS[40])
        await trio.testing.wait_all_tasks_blocked()
        await net.answer("silent", QUESTIONS[40])
        assert "silent" in desk.peers
        for question in QUESTIONS[41 : 41 + LATE_MAX]:
            assert "silent" in desk.peers
            await ask_in_vain(desk, "silent", question)
        assert list(desk.peers) == ["slow"]
        began = trio.current_time()
        await ask_in_vain(desk, "silent", QUESTIONS[0])
        assert trio.current_time() - began < ANSWER_SECONDS_MAX
        await net.tell(PeerDown("silent", "it left"))
        await net.tell(PeerUp(PeerInfo("silent")))
        assert "silent" in desk.peers
        nursery.cancel_scope.cancel()


async def ask_and_hear(desk: Desk, question: m.Question) -> None:
    assert await desk.ask("silent", question) == (b"value", b"proof")
