"""The block channel between running nodes: strict messages, hostile peers, bodies that only one node has, slow readers."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from consensus.block_id import EMPTY, BlockID
from node.compact import COMPACT, HAVE, LACK, TXS, WANT_BLOCK, WANT_TXS, CompactBlock
from node.network import BLOCK
from node.propagation import decode_message
from node.simulator.cluster import Cluster
from state.params import ConsensusParams
from state.primitives.codec import encode_trusted
from state.primitives.errors import MalformedError
from state.primitives.hashing import sha256
from state.primitives.limits import BLOCK_MESSAGE_BYTES_MAX, PROPAGATION_QUEUE_MAX

BUSY = ConsensusParams(block_interval_ms=100)
NAME = BlockID(b"\x07" * 32, 1, b"\x08" * 32)
KEY = NAME.to_wire()


@pytest.fixture(autouse=True)
def _disk_that_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies loses nothing that it has written; only a machine does, and none dies here."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)


def test_messages_are_strict() -> None:
    for good in (
        (LACK, KEY),
        (WANT_BLOCK, KEY),
        (HAVE, KEY),
        (WANT_TXS, KEY, (0, 5)),
        (TXS, KEY, (0,), (b"tx",)),
    ):
        kind, fields = decode_message(encode_trusted(good))
        assert (kind, *fields) == (good[0], NAME, *good[2:])
    assert decode_message(encode_trusted((COMPACT, 1, 2))) == (COMPACT, (1, 2))
    for bad in (
        (),
        (LACK,),
        (LACK, KEY[:-1]),
        (LACK, KEY[0]),
        (LACK, EMPTY.to_wire()),
        (LACK, KEY, 1),
        (WANT_TXS, KEY),
        (WANT_TXS, KEY, (True,)),
        (WANT_TXS, KEY, b""),
        (TXS, KEY, (0,), ()),
        (TXS, KEY, (0,), (1,)),
        (7, KEY),
        ("1", KEY),
    ):
        with pytest.raises(MalformedError):
            decode_message(encode_trusted(bad))
    with pytest.raises(MalformedError):
        decode_message(bytes(BLOCK_MESSAGE_BYTES_MAX + 1))


async def test_each_body_crosses_each_link_at_most_once(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Transactions that everybody has are never sent; those that one node has go once to each other node."""
    cluster = Cluster(tmp_path, params=BUSY)
    kinds: Counter[int] = Counter()
    bodies: Counter[bytes] = Counter()

    def observe(source: str, channel: int, payload: bytes) -> None:
        if channel == BLOCK:
            kind, fields = decode_message(payload)
            kinds[kind] += 1
            if kind == TXS:
                bodies.update(fields[2])

    cluster.network.observe = observe
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(2)
        kinds.clear()  # before, not everybody was linked
        for number in range(20):
            for node in cluster.nodes:
                node.add_tx(b"everybody's %d" % number)
        await cluster.until(lambda: not any(node.pool for node in cluster.nodes), 5)
        assert kinds[TXS] == kinds[WANT_TXS] == 0
        for number in range(20):
            cluster.nodes[3].add_tx(b"mine %d" % number)
        await cluster.until(lambda: not cluster.nodes[3].pool, 5)
        await cluster.until_height(cluster.nodes[3].height, timeout_s=5)
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert kinds[WANT_TXS] == 3
    assert set(bodies.values()) == {3}
    assert kinds[LACK] == kinds[WANT_BLOCK] == 0
    assert cluster.network.reports == []


async def test_hostile_peer_changes_nothing(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Garbage, invented blocks, bodies of other blocks, endless questions: reported, bounded, and the chain goes on."""
    cluster = Cluster(tmp_path, params=BUSY)
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(2)
        stranger = cluster.network.add("stranger")
        for node in cluster.nodes:
            cluster.network.connect("stranger", node.name)
        for number in range(10):
            for node in cluster.nodes:
                node.add_tx(bytes([number + 1]) * 20_000)
        for round_ in range(20):
            last = cluster.nodes[0].store.blocks[cluster.nodes[0].height].block
            compact = CompactBlock.of(last).to_wire()
            key, unknown = last.block_id().to_wire(), replace(NAME, hash=sha256(b"%d" % round_)).to_wire()
            for message in (
                (COMPACT, *compact),
                (COMPACT, *compact[:4], compact[4] + NAME.hash),
                (COMPACT, *compact[:4], bytes(32 * round_)),
                (COMPACT, unknown, *compact[1:]),
                (COMPACT, None, None, None, None, None),
                (TXS, key, tuple(range(round_)), (b"x",) * round_),
                (WANT_TXS, key, tuple(range(10))),
                (WANT_TXS, key, (0,) * 1000),
                (WANT_TXS, unknown, (1, 2, 3)),
                (WANT_BLOCK, key),
                (HAVE, unknown),
                (LACK, key),
            ):
                stranger.broadcast(BLOCK, encode_trusted(message))
            stranger.broadcast(BLOCK, b"\xc1" * round_)
            await cluster.until_height(cluster.nodes[0].height + 1, timeout_s=10)
        for node in cluster.nodes:
            assert node.engine is not None
            statistics = node.engine.propagation.statistics()
            assert statistics["queued"] <= PROPAGATION_QUEUE_MAX
            assert statistics["wanted"] <= 2
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert {peer for _, peer, _ in cluster.network.reports} == {"stranger"}
    assert all(c.commit.round == 0 for h, c in cluster.nodes[0].store.blocks.items() if h > 2)


async def test_proposer_that_keeps_the_bodies(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """It announces and answers nothing: the round fails, the next proposer's block is decided, nobody is stuck."""
    cluster = Cluster(tmp_path, params=ConsensusParams(block_interval_ms=100, timeout_propose_ms=1500))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.until_height(2)
        keeper = cluster.nodes[0]
        assert keeper.engine is not None
        keeper.engine.propagation._assembler.on_want_txs = lambda *question: []  # type: ignore[method-assign]
        for number in range(5):
            keeper.add_tx(b"kept %d" % number)
        await cluster.until_height(10, timeout_s=60)
        rounds = [cluster.nodes[1].store.blocks[height].commit.round for height in range(3, 11)]
        nursery.cancel_scope.cancel()
    cluster.check_agreement()
    assert max(rounds) >= 1
    assert all(not c.block.txs for c in cluster.nodes[1].store.blocks.values())
