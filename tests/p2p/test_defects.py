"""A defect of ours that somebody's bytes bring to light ends that connection, and nothing else; our own failures still end the node."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from p2p import introduction
from p2p.channels import CONSENSUS
from p2p.defects import describe_defect
from p2p.events import Inbound
from p2p.frames import FrameReader
from p2p.handshake import Greeting
from p2p.memory import MemoryNetwork
from state.primitives.errors import HandlingError, StorageError
from tests.p2p.harness import IDENTITIES, Node, make_node, running, start, wait_for

FIRST, SECOND, THIRD = IDENTITIES[:3]
MARK = b"these bytes find it"
ODD = b"\x08" * 32


class Defect(KeyError):
    """Nobody expects it."""


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = FrameReader.feed

    def failing(self: FrameReader, data: bytes) -> Any:
        if MARK in data:
            raise Defect("\x1b[31m" + "x" * 10_000)
        return feed(self, data)

    monkeypatch.setattr(FrameReader, "feed", failing)


async def still_works(first: Node, third: Node) -> None:
    third.switch.broadcast(CONSENSUS, b"still here")
    while (await first.event(Inbound)).payload != b"still here":
        pass


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("is_dialled", [False, True])
async def test_a_connected_peer(is_dialled: bool) -> None:
    network = MemoryNetwork()
    first, second, third = (make_node(identity, network=network) for identity in (FIRST, SECOND, THIRD))
    async with running(second if is_dialled else first) as nursery:
        if is_dialled:
            first = make_node(FIRST, (second.place,), network=network)
            await start(first, nursery)
        else:
            second = make_node(SECOND, (first.place,), network=network)
            await start(second, nursery)
        third = make_node(THIRD, (first.place,), network=network)
        await start(third, nursery)
        await first.met(second, third)
        second.switch.send(FIRST.id, CONSENSUS, MARK)
        await wait_for(lambda: "HANDLING" in first.names)
        (offence,) = [error for _, error in first.warnings if isinstance(error, HandlingError)]
        assert "Defect in failing" in offence.message and len(offence.message) < 500 and "\x1b" not in offence.message
        assert first.switch.scores.score(SECOND.id, trio.current_time()) > 0
        await still_works(first, third)


async def test_a_stranger_at_the_door_and_one_that_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    check = introduction.check_greeting

    def failing(ours: Greeting, theirs: Greeting) -> None:
        if theirs.genesis_hash == ODD:
            raise Defect("unforeseen")
        check(ours, theirs)

    monkeypatch.setattr(introduction, "check_greeting", failing)
    network = MemoryNetwork()
    first, second = make_node(FIRST, network=network), make_node(SECOND, chain=ODD, network=network)
    async with running(first, second) as nursery:
        second.switch.set_peers((first.place,))
        await wait_for(lambda: "HANDLING" in first.names)  # at the door
        third = make_node(THIRD, (second.place, first.place), network=network)
        await start(third, nursery)
        await first.met(third)
        await wait_for(lambda: "HANDLING" in third.names)  # it dialled
        await still_works(first, third)
        assert [peer.id for peer in first.switch.peers()] == [THIRD.id]


async def test_our_own_failure_ends_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = FrameReader.feed

    def failing(self: FrameReader, data: bytes) -> Any:
        if MARK in data:
            raise StorageError("the disk is gone")
        return feed(self, data)

    monkeypatch.setattr(FrameReader, "feed", failing)
    network = MemoryNetwork()
    first = make_node(FIRST, network=network)
    with pytest.RaisesGroup(StorageError, flatten_subgroups=True):
        async with running(first) as nursery:
            second = make_node(SECOND, (first.place,), network=network)
            await start(second, nursery)
            await first.met(second)
            second.switch.send(FIRST.id, CONSENSUS, MARK)
            await trio.sleep_forever()


def test_what_is_told_names_the_places() -> None:
    def deep(levels: int) -> None:
        if not levels:
            raise Defect("secret")
        deep(levels - 1)

    try:
        deep(50)
    except Defect as error:
        told = describe_defect(error)
    assert told.message.startswith("a defect: Defect in deep:") and "secret" not in told.message
    assert told.message.count("deep:") == 4 and told.hint
