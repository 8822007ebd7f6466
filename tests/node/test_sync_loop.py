"""A node that was away catches up, with lying peers around it and one honest one; serving is bounded; messages are strict."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from node.network import SYNC, Inbound, PeerUp
from node.simulator.cluster import Cluster
from node.simulator.network import SimSwitch
from node.sync.messages import (
    BlockAnswer,
    BlockRequest,
    CertifiedBlock,
    MissingAnswer,
    Status,
    decode_block,
    decode_message,
    encode_block,
    encode_message,
)
from node.sync.scheduler import REQUEST_TIMEOUT_NS
from state.params import ConsensusParams
from state.primitives.codec import encode_trusted
from state.primitives.errors import MalformedError
from state.primitives.limits import SYNC_PEER_REQUESTS_MAX

BUSY = ConsensusParams(block_interval_ms=250)
Lie = Callable[["Liar", str, int], None]


@pytest.fixture(autouse=True)
def _disk_that_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies loses nothing that it has written; only a machine does, and none dies here."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)


class Liar:
    """A peer that claims blocks and answers as its lie says."""

    def __init__(self, cluster: Cluster, name: str, lie: Lie, claim: int) -> None:
        self.cluster = cluster
        self.name = name
        self.lie = lie
        self.claim = claim
        self.switch: SimSwitch = cluster.network.add(name)
        self.asked = 0

    async def run(self) -> None:
        async for event in self.switch.channel(SYNC):
            if isinstance(event, PeerUp):
                self.say(event.peer.id, encode_message(Status(1, self.claim)))
            elif isinstance(event, Inbound):
                message = decode_message(event.payload)
                if isinstance(message, BlockRequest):
                    self.asked += 1
                    self.lie(self, event.peer_id, message.height)

    def say(self, peer: str, payload: bytes) -> None:
        self.switch.send(peer, SYNC, payload)

    def real(self, height: int) -> CertifiedBlock:
        blocks = self.cluster.nodes[0].store.blocks
        return blocks[min(height, len(blocks))]


def silent(liar: Liar, peer: str, height: int) -> None:
    """Serves nothing."""


def refuses(liar: Liar, peer: str, height: int) -> None:
    liar.say(peer, encode_message(MissingAnswer(height)))


def lowers_its_height(liar: Liar, peer: str, height: int) -> None:
    liar.say(peer, encode_message(Status(1, 3)))


def closes_midway(liar: Liar, peer: str, height: int) -> None:
    liar.cluster.network.cut(liar.name, peer)


def other_app_hash(liar: Liar, peer: str, height: int) -> None:
    certified = liar.real(height)
    header = replace(certified.block.header, app_hash=b"\x66" * 32)
    liar.say(peer, encode_block(replace(certified, block=replace(certified.block, header=header))))


def forged_surplus_signature(liar: Liar, peer: str, height: int) -> None:
    """Two thirds are genuine; the fourth signature is not."""
    certified = liar.real(height)
    first = certified.commit.signatures[0]
    parts = (replace(first, signature=bytes(64)), *certified.commit.signatures[1:])
    liar.say(peer, encode_block(replace(certified, commit=replace(certified.commit, signatures=parts))))


def missing_post_quantum_half(liar: Liar, peer: str, height: int) -> None:
    certified = liar.real(height)
    pq_commit = replace(certified.pq_commit, signatures=(b"",) * 4)
    liar.say(peer, encode_block(replace(certified, pq_commit=pq_commit)))


def other_height(liar: Liar, peer: str, height: int) -> None:
    parts = liar.real(height + 1)
    wire = parts.block.to_wire(), parts.commit.to_wire(), parts.pq_commit.to_wire()
    liar.say(peer, encode_trusted((3, height, *wire)))


def garbage(liar: Liar, peer: str, height: int) -> None:
    liar.say(peer, b"\x00" * 1000)
    liar.say(peer, encode_trusted((3, height, None, None, None)))


LIES: tuple[Lie, ...] = (
    silent,
    refuses,
    lowers_its_height,
    closes_midway,
    other_app_hash,
    forged_surplus_signature,
    missing_post_quantum_half,
    other_height,
    garbage,
)


async def catch_up_among(cluster: Cluster, lies: tuple[Lie, ...], claim: int, nursery: trio.Nursery) -> list[Liar]:
    """Node 3 was away for 20 heights; it comes back linked to node 0 and to liars. The chain goes on meanwhile."""
    await cluster.start(nursery)
    await cluster.until_height(3)
    await cluster.nodes[3].kill()
    await cluster.until_height(23, 0, 1, 2)
    cluster.groups = ((0, 1, 2), (0, 3))
    liars = [Liar(cluster, f"liar{number}", lie, claim) for number, lie in enumerate(lies)]
    for liar in liars:
        nursery.start_soon(liar.run)
    await nursery.start(cluster.nodes[3].run)
    for liar in liars:
        cluster.network.connect("node3", liar.name)
    return liars


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
async def test_each_lie(tmp_path: Path, autojump_clock: trio.testing.MockClock, lie: Lie) -> None:
    cluster = Cluster(tmp_path, params=BUSY)
    async with trio.open_nursery() as nursery:
        liars = await catch_up_among(cluster, (lie,), 10_000, nursery)
        target = cluster.nodes[0].height
        await cluster.until_height(target, 3, timeout_s=REQUEST_TIMEOUT_NS / 1e9 + 5)
        await cluster.pass_time(REQUEST_TIMEOUT_NS / 1e9 if lie is silent else 0.2)
        engine = cluster.nodes[3].engine
        assert engine is not None
        assert not engine.catching_up  # an inflated claim does not keep it so
        assert engine.sync.best_height <= cluster.nodes[0].height
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert liars[0].asked > 0
    blamed = {peer for reporter, peer, _ in cluster.network.reports if reporter == "node3"}
    assert blamed == (set() if lie is closes_midway else {"liar0"})


async def test_all_lies_at_once(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    cluster = Cluster(tmp_path, params=BUSY)
    async with trio.open_nursery() as nursery:
        await catch_up_among(cluster, LIES, 26, nursery)
        assert cluster.nodes[3].engine is not None
        await cluster.pass_time(0.05)
        assert cluster.nodes[3].engine.catching_up
        await cluster.until_height(cluster.nodes[0].height, 3, timeout_s=30)
        await cluster.until_height(cluster.nodes[0].height + 10, timeout_s=30)
        assert not cluster.nodes[3].engine.catching_up
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert "node0" not in {peer for reporter, peer, _ in cluster.network.reports if reporter == "node3"}


async def test_catching_up_is_fast_and_honest(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """80 heights over 5 ms links: parallel requests, not one round trip for each."""
    cluster = Cluster(tmp_path, params=ConsensusParams(block_interval_ms=10))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, 0, 1, 2)
        await cluster.until_height(80, 0, 1, 2, timeout_s=600)  # every fourth proposer is away
        began = trio.current_time()
        await cluster.restart(3)
        late = cluster.nodes[3]
        await cluster.until_height(80, 3, timeout_s=20)
        assert trio.current_time() - began < 0.3
        assert late.engine is not None
        await cluster.pass_time(1)
        assert not late.engine.catching_up
        assert cluster.nodes[0].height - late.height <= 1
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert cluster.network.reports == []


async def test_nobody_serves_a_block_that_all_lack(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """A pruned peer says so, and one that has the block is asked."""
    cluster = Cluster(tmp_path, params=BUSY)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, 0, 1, 2)
        await cluster.until_height(30, 0, 1, 2)
        for index in (0, 1):
            store = cluster.nodes[index].store
            store.base = 25
            for height in range(1, 25):
                del store.blocks[height]
        await cluster.restart(3)
        await cluster.until_height(30, 3, timeout_s=30)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()


async def test_serving_is_bounded(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """A peer that asks for a thousand blocks at once gets what it may ask for, and the node's memory stays as it is."""
    cluster = Cluster(tmp_path, params=BUSY)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(5)
        asker = cluster.network.add("asker")
        cluster.network.connect("asker", "node0")
        for _ in range(1000):
            asker.send("node0", SYNC, encode_message(BlockRequest(2)))
        await cluster.pass_time(1)
        events = asker.channel(SYNC).statistics().current_buffer_used
        assert SYNC_PEER_REQUESTS_MAX <= events <= 256 + 20
        nursery.cancel_scope.cancel()


def test_messages_are_strict() -> None:
    for good in (Status(1, 9), BlockRequest(4), MissingAnswer(4)):
        assert decode_message(encode_message(good)) == good
    for bad in (
        b"",
        b"\xc0",
        encode_trusted(()),
        encode_trusted((1, 5)),
        encode_trusted((1, -1, 5)),
        encode_trusted((1, 1, 2**63)),
        encode_trusted((2, True)),
        encode_trusted((2, "4")),
        encode_trusted((3, 4, 1, 2)),
        encode_trusted((9, 1)),
        encode_trusted((1, 1, 2)) + b"\x00",
    ):
        with pytest.raises(MalformedError):
            decode_message(bad)
    with pytest.raises(MalformedError):
        decode_block(BlockAnswer(4, encode_trusted((3, 4, 1, 2, 3))))


def test_a_block_is_not_taken_apart_before_its_turn() -> None:
    answer = decode_message(encode_trusted((3, 4, None, None, None)))
    assert answer == BlockAnswer(4, encode_trusted((3, 4, None, None, None)))
    for height in (b"", b"\xc0", b"\xcf", b"\xff", b"\xdd\xff\xff\xff\xff", b"\x81\x01\x01"):
        with pytest.raises(MalformedError):
            decode_message(b"\x95\x03" + height)
    tracemalloc.start()
    answer = decode_message(b"\x95\x03\x04" + b"\x93\x00\x00\x00" * 1_000_000)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20  # what waits is what was counted
    tracemalloc.stop()
    assert isinstance(answer, BlockAnswer)
    with pytest.raises(MalformedError):
        decode_block(answer)
