"""Rebuilding blocks: from the mempool, from peers, against peers that lie or withhold."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from consensus.block import Block, Header, data_hash
from consensus.block_id import EMPTY, BlockID
from consensus.commit import EMPTY_COMMIT
from consensus.evidence import evidence_hash
from node.compact import (
    ANSWER_TIMEOUT_NS,
    COMPACT,
    COMPACT_GRACE_NS,
    HAVE,
    LACK,
    RETRY_NS,
    TXS,
    WANT_BLOCK,
    WANT_TXS,
    Assembler,
    CompactBlock,
    Send,
)
from state.primitives.errors import InvalidBlockError, MalformedError
from state.primitives.hashing import sha256
from state.primitives.limits import (
    ASSEMBLIES_MAX,
    BLOCK_BATCH_BYTES,
    BLOCKS_SERVED_MAX,
)


def make_block(txs: tuple[bytes, ...], height: int = 7, app_hash: bytes = b"\x05" * 32) -> Block:
    header = Header(
        app_version=1,
        chain_id="test-1",
        height=height,
        time_ns=1_700_000_000_000_000_000,
        last_block_id=EMPTY,
        last_commit_hash=EMPTY_COMMIT.hash(),
        data_hash=data_hash(txs),
        validators_hash=b"\x01" * 32,
        next_validators_hash=b"\x02" * 32,
        consensus_hash=b"\x03" * 32,
        app_hash=app_hash,
        last_results_hash=b"\x04" * 32,
        evidence_hash=evidence_hash(()),
        proposer_address=b"\x06" * 20,
    )
    return Block(header, txs, (), EMPTY_COMMIT)


TRANSACTIONS = tuple(b"transaction %d" % number for number in range(10))
BLOCK = make_block(TRANSACTIONS)
NAME = BLOCK.block_id()
KEY = NAME.to_wire()


class Node:
    """One assembler, its mempool and what it finished."""

    def __init__(self, name: str, pool: tuple[bytes, ...] = ()) -> None:
        self.name = name
        self.pool = {sha256(tx): tx for tx in pool}
        self.assembler = Assembler(self.pool.get)
        self.blocks: list[Block] = []
        self.complaints: list[tuple[str, str]] = []
        self.received: list[int] = []
        self.silent = False


class Net:
    """Delivers at once; a silent node hears everything and says nothing."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.queue: deque[tuple[str, Send]] = deque()
        self.now_ns = 0
        for node in nodes:
            for other in nodes:
                if other is not node:
                    node.assembler.add_peer(other.name)

    def post(self, node: Node, sends: list[Send]) -> None:
        if not node.silent:
            self.queue += [(node.name, send) for send in sends]

    def run(self) -> None:
        while self.queue:
            sender, send = self.queue.popleft()
            self.deliver(sender, send)
        for node in self.nodes.values():
            node.blocks += node.assembler.take_blocks()
            node.complaints += [(peer, error.message) for peer, error in node.assembler.take_complaints()]

    def deliver(self, sender: str, send: Send) -> None:
        node = self.nodes[send.peer]
        kind, *rest = send.message
        node.received.append(kind)
        assembler = node.assembler
        if kind == COMPACT:
            self.post(node, assembler.on_compact(sender, CompactBlock.from_wire(tuple(rest)), self.now_ns))
            return
        block_id = BlockID.from_wire(rest.pop(0))
        if kind == WANT_TXS:
            self.post(node, assembler.on_want_txs(sender, block_id, *rest))
        elif kind == TXS:
            self.post(node, assembler.on_txs(sender, block_id, *rest, self.now_ns))
        elif kind == LACK:
            self.post(node, assembler.on_lack(sender, block_id, self.now_ns))
        elif kind == WANT_BLOCK:
            self.post(node, assembler.on_want_block(sender, block_id, self.now_ns))
        elif kind == HAVE:
            assembler.on_have(sender, block_id)

    def tick(self, passed_ns: int) -> None:
        self.now_ns += passed_ns
        for node in self.nodes.values():
            self.post(node, node.assembler.tick(self.now_ns))
        self.run()

    def want(self, node: Node, block: Block = BLOCK, peer: str = "") -> None:
        self.post(node, node.assembler.want(block.block_id(), block.header.height, peer, self.now_ns))

    def announce(self, node: Node, block: Block = BLOCK) -> None:
        node.assembler.add_block(block)
        compact = (COMPACT, *CompactBlock.of(block).to_wire())
        self.post(node, [Send(name, compact) for name in self.nodes if name != node.name])


def test_wire_form() -> None:
    compact = CompactBlock.of(BLOCK)
    assert CompactBlock.from_wire(compact.to_wire()) == compact
    assert compact.to_block(TRANSACTIONS) == BLOCK
    good = compact.to_wire()
    for bad in (None, (), good[:3], (*good[:3], good[3][:-1]), (*good[:3], "x"), (*good[:2], None, good[3])):
        with pytest.raises(MalformedError):
            CompactBlock.from_wire(bad)


@pytest.mark.parametrize("proposal_first", [True, False])
def test_from_the_mempool_nothing_is_asked(proposal_first: bool) -> None:
    proposer, other = Node("p"), Node("o", TRANSACTIONS)
    net = Net(proposer, other)
    if proposal_first:
        net.want(other, peer="p")
    net.announce(proposer)
    net.run()
    if not proposal_first:
        net.want(other, peer="p")
        net.run()
    assert other.blocks == [BLOCK]
    assert other.received == [COMPACT]
    assert other.assembler.get_block(NAME) == BLOCK


def test_only_what_is_lacking_is_asked() -> None:
    proposer, other = Node("p"), Node("o", TRANSACTIONS[:7])
    net = Net(proposer, other)
    net.want(other, peer="p")
    net.announce(proposer)
    sender, send = net.queue.popleft()
    net.deliver(sender, send)
    assert net.queue[0][1].message == (WANT_TXS, KEY, (7, 8, 9))
    net.run()
    assert other.blocks == [BLOCK]


def test_large_bodies_come_in_batches() -> None:
    txs = tuple(bytes([number]) * 100_000 for number in range(1, 11))
    block = make_block(txs)
    proposer, other = Node("p"), Node("o")
    net = Net(proposer, other)
    net.want(other, block, peer="p")
    net.announce(proposer, block)
    net.run()
    assert other.blocks == [block]
    assert other.received == [COMPACT] + [TXS] * 5
    assert 2 * 100_000 <= BLOCK_BATCH_BYTES < 3 * 100_000


def test_withheld_bodies_are_asked_of_another() -> None:
    proposer, helper, other = Node("p"), Node("h", TRANSACTIONS), Node("o")
    net = Net(proposer, helper, other)
    net.want(helper, peer="p")
    net.want(other, peer="p")
    net.announce(proposer)
    proposer.silent = True
    net.run()
    assert helper.blocks == [BLOCK]
    assert other.blocks == []
    net.tick(ANSWER_TIMEOUT_NS)
    assert other.blocks == [BLOCK]
    assert other.complaints == []  # slow is not wrong


def test_announcement_lost_is_asked_for() -> None:
    proposer, other = Node("p"), Node("o", TRANSACTIONS)
    net = Net(proposer, other)
    proposer.assembler.add_block(BLOCK)
    net.want(other, peer="p")
    net.tick(COMPACT_GRACE_NS)
    assert other.blocks == [BLOCK]


def test_nobody_has_it_then_somebody_does() -> None:
    first, second, other = Node("a"), Node("b"), Node("o", TRANSACTIONS)
    net = Net(first, second, other)
    net.want(other)
    for _ in range(5):
        net.tick(RETRY_NS)
    assert other.received.count(LACK) >= 2
    second.assembler.add_block(BLOCK)
    for _ in range(3):
        net.tick(RETRY_NS)
    assert other.blocks == [BLOCK]


def test_wrong_lists_are_refused_before_anything_is_fetched() -> None:
    compact = CompactBlock.of(BLOCK)
    lies = (
        replace(compact, tx_hashes=compact.tx_hashes[:-1]),
        replace(compact, tx_hashes=compact.tx_hashes[::-1]),
        replace(compact, tx_hashes=(*compact.tx_hashes, b"\x00" * 32)),
        replace(compact, header=replace(compact.header, last_commit_hash=b"\x09" * 32)),
        replace(compact, header=replace(compact.header, evidence_hash=b"\x09" * 32)),
    )
    for lie in lies:
        other = Node("o", TRANSACTIONS)
        net = Net(other, Node("liar"))
        net.want(other, peer="liar")
        net.post(net.nodes["liar"], [Send("o", (COMPACT, *lie.to_wire()))])
        net.run()
        assert other.blocks == []
        assert [peer for peer, _ in other.complaints] == ["liar"]
        assert net.nodes["liar"].received == []


def test_wrong_body_is_refused_and_asked_of_another() -> None:
    proposer, liar, other = Node("p"), Node("liar"), Node("o")
    net = Net(proposer, liar, other)
    proposer.assembler.add_block(BLOCK)
    net.want(other, peer="liar")
    net.post(liar, [Send("o", (COMPACT, *CompactBlock.of(BLOCK).to_wire()))])
    sender, send = net.queue.popleft()
    net.deliver(sender, send)
    assert net.queue.popleft()[1].peer == "liar"
    net.post(liar, [Send("o", (TXS, KEY, (0,), (b"something else",)))])
    net.run()
    assert other.blocks == [BLOCK]
    assert other.complaints == [("liar", "peer sent a transaction that is not the block's")]


def test_same_header_under_another_identity() -> None:
    """The header does not cover the last commit's round; the part set does."""
    liar, honest, other = Node("liar"), Node("h"), Node("o", TRANSACTIONS)
    net = Net(liar, honest, other)
    honest.assembler.add_block(BLOCK)
    twisted = replace(CompactBlock.of(BLOCK), last_commit=replace(EMPTY_COMMIT, round=3))
    net.want(other, peer="liar")
    net.post(net.nodes["liar"], other.assembler.on_compact("liar", twisted, 0))
    net.queue.clear()
    for _ in range(3):
        net.tick(ANSWER_TIMEOUT_NS)
    assert other.blocks == [BLOCK]
    assert other.blocks[0].last_commit.round == 0
    assert other.complaints == [("liar", "peer announced a block under another identity")]


def test_peer_goes_while_it_is_asked() -> None:
    proposer, helper, other = Node("p"), Node("h"), Node("o")
    net = Net(proposer, helper, other)
    helper.assembler.add_block(BLOCK)
    net.want(other, peer="p")
    sends = other.assembler.on_compact("p", CompactBlock.of(BLOCK), 0)
    assert [send.peer for send in sends] == ["p"]
    net.post(other, other.assembler.remove_peer("p", 0))
    net.run()
    assert other.blocks == [BLOCK]


def test_indices_beyond_the_end() -> None:
    node = Node("n")
    node.assembler.add_block(BLOCK)
    assert node.assembler.on_want_txs("x", NAME, (0, 10)) == []
    assert isinstance(node.assembler.take_complaints()[0][1], InvalidBlockError)
    other = replace(NAME, hash=b"\x00" * 32)
    assert node.assembler.on_want_txs("x", other, (0,)) == [Send("x", (LACK, other.to_wire()))]
    other = Node("o")
    other.assembler.add_peer("p")
    other.assembler.want(BLOCK.block_id(), 7, "p", 0)
    other.assembler.on_compact("p", CompactBlock.of(BLOCK), 0)
    for index in (-1, 10, 2**31, 2**63):
        other.assembler.on_txs("p", NAME, (index,), (b"x",), 0)
    assert len(other.assembler.take_complaints()) == 4


def test_bounds_and_forgetting() -> None:
    node = Node("n")
    blocks = [make_block((b"%d" % number,), height=7 + number % 3) for number in range(20)]
    for block in blocks:
        node.assembler.want(block.block_id(), block.header.height, "", 0)
    assert node.assembler.statistics()["wanted"] == ASSEMBLIES_MAX
    for block in blocks:
        node.assembler.add_block(block)
    assert node.assembler.statistics() == {"wanted": 0, "served": BLOCKS_SERVED_MAX, "missing_txs": 0}
    for number in range(50):  # one early announcement for each peer
        node.assembler.on_compact("x", CompactBlock.of(make_block((b"early %d" % number,))), 0)
    assert len(node.assembler._early) == 1
    node.assembler.forget_below(20)
    assert node.assembler.statistics()["served"] == 0
    assert len(node.assembler._early) == 0


def test_empty_block() -> None:
    proposer, other = Node("p"), Node("o")
    net = Net(proposer, other)
    block = make_block(())
    net.want(other, block, peer="p")
    net.announce(proposer, block)
    net.run()
    assert other.blocks == [block]
