"""Rebuilding blocks under names and bodies that a hostile proposer chose: two blocks of one header, inventions, sizes that no block has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus import messages as m
from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import Commit, CommitSig, Flag
from consensus.evidence_attack import LightClientAttackEvidence, LightValidator
from consensus.replay import decode_entry
from node.compact import COMPACT_GRACE_NS, LACK, REPEAT_NS, RETRY_NS, WANT_BLOCK, Assembler, CompactBlock, Send
from state.primitives.codec import decode, encode_trusted
from state.primitives.limits import (
    ASSEMBLIES_MAX,
    BLOCK_MESSAGE_BYTES_MAX,
    BLOCK_TXS_HARD_MAX,
    EVIDENCE_PER_BLOCK_MAX,
    TX_BYTES_MAX,
    VALIDATORS_MAX,
)
from tests.node.test_propagation_compact import BLOCK, NAME, TRANSACTIONS, Net, Node, make_block

SIGNED = Commit(6, 0, BlockID(b"\1" * 32, 1, b"\2" * 32), (CommitSig(Flag.COMMIT, bytes(20), BLOCK.header.time_ns, bytes(64)),) * 4)
TRUE = Block(replace(BLOCK.header, last_commit_hash=SIGNED.hash()), TRANSACTIONS, (), SIGNED)
TWIN = Block(TRUE.header, TRANSACTIONS, (), replace(SIGNED, round=1))  # one header, another name


def test_who_has_rebuilt_a_twin_still_gets_the_block_that_is_wanted() -> None:
    liar, honest, other = Node("liar"), Node("h"), Node("o", TRANSACTIONS)
    net = Net(liar, honest, other)
    net.want(other, TWIN, peer="liar")
    net.announce(liar, TWIN)
    net.run()
    assert other.blocks == [TWIN]
    net.want(other, TRUE, peer="h")
    net.announce(honest, TRUE)
    net.run()
    assert other.blocks == [TWIN, TRUE]
    assert other.complaints == honest.complaints == []


def test_who_has_the_true_block_is_not_blamed_by_who_wants_its_twin() -> None:
    """It was asked by the header's hash, answered with its own block, was blamed, and asked again at once, until it was banned."""
    first, second, other = Node("h1"), Node("h2"), Node("o", TRANSACTIONS)
    net = Net(first, second, other)
    first.assembler.add_block(TRUE)
    second.assembler.add_block(TRUE)
    net.want(other, TWIN)  # named by the proposer, to this node alone
    for _ in range(10):
        net.tick(RETRY_NS)
    assert other.complaints == []
    assert set(other.received) == {LACK} and len(other.received) <= 20
    net.want(other, TRUE)
    net.tick(COMPACT_GRACE_NS)
    assert other.blocks == [TRUE]


def test_a_name_that_is_not_the_headers_is_refused() -> None:
    other = Node("o", TRANSACTIONS)
    other.assembler.on_compact("liar", replace(CompactBlock.of(TRUE), block_id=NAME), 0)
    assert [str(error) for _, error in other.assembler.take_complaints()] == ["peer announced a header under another name"]


def test_what_found_no_place_is_fetched_when_it_is_the_most_important() -> None:
    assembler = Assembler({}.get)
    invented = [make_block((b"%d" % number,)).block_id() for number in range(ASSEMBLIES_MAX)]
    for block_id in invented:
        assembler.want(block_id, 7, "", 0)
    assembler.want(NAME, 7, "", 0)
    assert NAME not in assembler._wanted
    assembler.keep_only([NAME, *invented])
    assembler.want(NAME, 7, "", 0)
    assert list(assembler._wanted) == [*invented[:-1], NAME]
    assembler.keep_only([])
    assert assembler.statistics()["wanted"] == 0


def test_a_block_that_consensus_let_go_is_given_to_it_again() -> None:
    assembler = Assembler({}.get)
    assembler.add_block(BLOCK)
    assert assembler.want(NAME, 7, "", 0) == []
    assert assembler.take_blocks() == [BLOCK]


def test_an_announcement_is_made_once_and_sent_to_each_peer_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Block] = []
    make = CompactBlock.of

    def counting(block: Block) -> CompactBlock:
        made.append(block)
        return make(block)

    monkeypatch.setattr(CompactBlock, "of", counting)
    assembler = Assembler({}.get)
    assembler.add_block(BLOCK)
    for peer in ("a", "b"):
        sent = [assembler.on_want_block(peer, NAME, now_ns) for now_ns in range(0, REPEAT_NS + 1, REPEAT_NS // 10)]
        assert [len(sends) for sends in sent] == [1, *[0] * 9, 1]
    assert made == [BLOCK]


@pytest.mark.parametrize("body", [b"", bytes(TX_BYTES_MAX + 1)])
def test_a_body_of_a_size_that_no_block_has_is_refused(body: bytes) -> None:
    """Such a block was rebuilt, judged and logged, and the log could not be read at the next start."""
    block = make_block((b"good", body))
    assembler = Assembler({}.get)
    assembler.add_peer("p")
    assembler.want(block.block_id(), 7, "p", 0)
    assembler.on_compact("p", CompactBlock.of(block), 0)
    assembler.on_txs("p", block.block_id(), (0, 1), block.txs, 0)
    assert assembler.take_blocks() == []
    assert [str(error) for _, error in assembler.take_complaints()] == ["peer sent a transaction of a size that no block has"]


@pytest.mark.parametrize("body", [b"x", bytes(TX_BYTES_MAX)])
def test_a_block_that_was_rebuilt_is_read_back_from_the_log(body: bytes) -> None:
    block = make_block((body,))
    assembler = Assembler({}.get)
    assembler.want(block.block_id(), 7, "p", 0)
    assembler.on_compact("p", CompactBlock.of(block), 0)
    assembler.on_txs("p", block.block_id(), (0,), block.txs, 0)
    (rebuilt,) = assembler.take_blocks()
    assert decode_entry(encode_trusted(m.input_to_wire(m.BlockReceived(rebuilt)))) == m.BlockReceived(block)


def test_bodies_are_held_up_to_the_size_that_the_name_states() -> None:
    bodies = tuple(bytes([number]) * TX_BYTES_MAX for number in range(1, 33))
    block = make_block(bodies)
    named = BlockID(block.header.hash(), 5, block.block_id().parts_hash)  # 320 KiB; the bodies are 8 MiB
    other = Node("o")
    for peer in ("liar", "h"):
        other.assembler.add_peer(peer)
    other.assembler.want(named, 7, "liar", 0)
    other.assembler.on_compact("liar", replace(CompactBlock.of(block), block_id=named), 0)
    assert other.assembler.on_txs("liar", named, (0,), bodies[:1], 0) == []
    assert other.assembler.take_complaints() == []
    sends = other.assembler.on_txs("liar", named, (1,), bodies[1:2], 0)
    assert [str(error) for _, error in other.assembler.take_complaints()] == ["peer announced a block under another identity"]
    assert sends == [Send("h", (WANT_BLOCK, named.to_wire()))]
    (assembly,) = other.assembler._wanted.values()
    assert (assembly.held_bytes, assembly.txs, assembly.compact) == (0, [], None)
    for number, body in enumerate(bodies):  # what comes now was not asked for
        assert other.assembler.on_txs("liar", named, (number,), (body,), 0) == []
    assert assembly.txs == []


def test_a_body_twice_counts_once() -> None:
    block = make_block((bytes(1 << 16), b"x"))
    assembler = Assembler({}.get)
    assembler.want(block.block_id(), 7, "p", 0)
    assembler.on_compact("p", CompactBlock.of(block), 0)
    for _ in range(10):
        assembler.on_txs("p", block.block_id(), (0,), block.txs[:1], 0)
    assembler.on_txs("p", block.block_id(), (1,), block.txs[1:], 0)
    assert assembler.take_blocks() == [block]
    assert assembler.take_complaints() == []


def test_an_answer_without_a_body_costs_its_sender_and_no_search() -> None:
    searched: list[bytes] = []
    assembler = Assembler(lambda tx_hash: searched.append(tx_hash))  # type: ignore[func-returns-value]
    assembler.add_peer("p")
    assembler.want(BLOCK.block_id(), 7, "p", 0)
    assembler.on_compact("p", CompactBlock.of(BLOCK), 0)
    assert len(searched) == len(TRANSACTIONS)
    assembler.on_txs("p", NAME, (), (), 0)
    assembler.on_txs("p", NAME, (3,), TRANSACTIONS[3:4], 0)
    assert len(searched) == len(TRANSACTIONS)
    assert [str(error) for _, error in assembler.take_complaints()] == ["peer answered with no transaction"]


def test_the_largest_block_that_can_be_rebuilt_is_read_back() -> None:
    """As many bodies as a list of hashes may name, beside as much evidence as an announcement may carry."""
    validators = tuple(LightValidator(bytes([index]) * 32, 1) for index in range(VALIDATORS_MAX))
    signature = CommitSig(Flag.COMMIT, bytes(20), BLOCK.header.time_ns, bytes(64))
    commit = Commit(1, 0, BLOCK.block_id(), (signature,) * VALIDATORS_MAX)
    attack = LightClientAttackEvidence(BLOCK.header, commit, validators, 1, validators, 1, BLOCK.header.time_ns, ())
    txs = tuple(number.to_bytes(3, "big") for number in range(BLOCK_TXS_HARD_MAX))
    largest = Block(BLOCK.header, txs, (attack,) * EVIDENCE_PER_BLOCK_MAX, commit)
    announced = encode_trusted(CompactBlock.of(largest).to_wire())
    assert len(announced) < BLOCK_MESSAGE_BYTES_MAX and decode(announced)
    entry = encode_trusted(m.input_to_wire(m.BlockReceived(largest)))
    assert decode_entry(entry) == m.BlockReceived(largest)
