"""The bytes of evidence: hashes as CometBFT's own Go code gives them, a second encoder written here, and what decoders do with damage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.block import Block
from consensus.evidence import (
    Evidence,
    LightClientAttackEvidence,
    evidence_from_wire,
    evidence_hash,
    evidence_proto,
    evidence_to_wire,
    order_of,
    size_of,
)
from node.compact import CompactBlock
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import MalformedError
from state.primitives.hashing import sha256
from state.primitives.limits import EVIDENCE_BYTES_MAX
from tests.consensus.evidence_world import Chain

WORLD = Chain((3, 2, 1, 1)).grow(8)
ITEMS: dict[str, Evidence] = {
    "votes": WORLD.double_vote(4),
    "a vote for nil": WORLD.double_vote(4, values=(None, WORLD.blocks[3].block_id())),
    "proposals": WORLD.double_proposal(5),
    "lunatic": LightClientAttackEvidence.of(WORLD.forged(7, app_hash=sha256(b"false")), 4, WORLD),
    "equivocation": LightClientAttackEvidence.of(WORLD.forged(6, data_hash=sha256(b"other")), 6, WORLD),
    "amnesia": LightClientAttackEvidence.of(WORLD.forged(6, data_hash=sha256(b"other"), round_=3), 6, WORLD),
}


@pytest.mark.parametrize("name", ITEMS)
def test_wire_round_trip(name: str) -> None:
    item = ITEMS[name]
    wire = evidence_to_wire(item)
    assert evidence_from_wire(decode(encode_trusted(wire))) == item
    assert size_of(item) == len(encode_trusted(wire)) < EVIDENCE_BYTES_MAX


def test_blocks_and_announcements_carry_all_kinds() -> None:
    items = tuple(ITEMS.values())
    block = WORLD.next_block(*items)
    assert Block.from_wire(decode(encode_trusted(block.to_wire()))) == block
    compact = CompactBlock.from_wire(decode(encode_trusted(CompactBlock.of(block).to_wire())))
    assert compact.to_block(block.txs).block_id() == block.block_id()


# a second encoder of protobuf, by the book: fields are (number, value); int is a varint, bytes and lists are delimited


def varint(number: int) -> bytes:
    number %= 1 << 64
    groups = [number >> 7 * place & 127 for place in range(max(1, -(-number.bit_length() // 7)))]
    return bytes([group | 128 for group in groups[:-1]] + groups[-1:])


def message(*fields: tuple[int, Any]) -> bytes:
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number * 8) + varint(value) if value else b""
        elif isinstance(value, list):
            inner = message(*value)
            out += varint(number * 8 + 2) + varint(len(inner)) + inner
        elif value:
            out += varint(number * 8 + 2) + varint(len(value)) + value
    return out


def time_of(time_ns: int) -> list[tuple[int, Any]]:
    return [(1, time_ns // 10**9), (2, time_ns % 10**9)]


def name_of(block_id: Any) -> list[tuple[int, Any]]:
    if block_id is None:
        return [(2, [])]
    return [(1, block_id.hash), (2, [(1, block_id.parts_total), (2, block_id.parts_hash)])]


def vote_of(vote: Any) -> list[tuple[int, Any]]:
    return [
        (1, int(vote.type)), (2, vote.height), (3, vote.round), (4, name_of(vote.block_id)), (5, time_of(vote.time_ns)),
        (6, vote.validator_address), (7, vote.validator_index), (8, vote.signature),
    ]  # fmt: skip


def proposal_of(proposal: Any) -> list[tuple[int, Any]]:
    return [
        (1, 32), (2, proposal.height), (3, proposal.round), (4, proposal.pol_round), (5, name_of(proposal.block_id)),
        (6, time_of(proposal.time_ns)), (7, proposal.signature),
    ]  # fmt: skip


def member_of(member: Any) -> list[tuple[int, Any]]:
    address = sha256(member.ed25519_key)[:20]
    return [(1, address), (2, [(1, member.ed25519_key)]), (3, member.power), (4, member.priority)]


def header_of(header: Any) -> list[tuple[int, Any]]:
    return [
        (1, [(1, 11), (2, header.app_version)]), (2, header.chain_id.encode()), (3, header.height), (4, time_of(header.time_ns)),
        (5, name_of(header.last_block_id)), (6, header.last_commit_hash), (7, header.data_hash), (8, header.validators_hash),
        (9, header.next_validators_hash), (10, header.consensus_hash), (11, header.app_hash), (12, header.last_results_hash),
        (13, header.evidence_hash), (14, header.proposer_address),
    ]  # fmt: skip


def commit_of(commit: Any) -> list[tuple[int, Any]]:
    parts = [
        (4, [(1, int(part.flag)), (2, part.validator_address), (3, time_of(part.time_ns)), (4, part.signature)])
        for part in commit.signatures
    ]
    return [(1, commit.height), (2, commit.round), (3, name_of(commit.block_id)), *parts]


def content_of(item: Any) -> list[tuple[int, Any]]:
    end = [(5, time_of(item.time_ns))]
    if isinstance(item, LightClientAttackEvidence):
        proposer = sorted(item.validators, key=lambda m: (-m.priority, sha256(m.ed25519_key)[:20]))[0]
        members = [*((1, member_of(member)) for member in item.validators), (2, member_of(proposer))]
        block = [(1, [(1, header_of(item.header)), (2, commit_of(item.commit))]), (2, members)]
        accused = [(3, member_of(member)) for member in item.byzantine]
        return [(1, block), (2, item.common_height), *accused, (4, item.total_power), *end]
    powers = [(3, item.total_power), (4, item.validator_power), *end]
    if hasattr(item, "vote_a"):
        return [(1, vote_of(item.vote_a)), (2, vote_of(item.vote_b)), *powers]
    return [(1, proposal_of(item.proposal_a)), (2, proposal_of(item.proposal_b)), *powers, (6, item.validator_address)]


@pytest.mark.parametrize("name", ITEMS)
def test_the_protobuf_form_by_a_second_encoder(name: str) -> None:
    item = ITEMS[name]
    assert item.proto() == message(*content_of(item))


@pytest.mark.parametrize(("name", "kind"), [("votes", 1), ("lunatic", 2), ("proposals", 3)])
def test_the_wrapper_adds_the_post_quantum_signatures_in_field_16(name: str, kind: int) -> None:
    item = ITEMS[name]
    side_car = [(1, signature) for signature in item.pq_signatures]
    assert evidence_proto(item) == message((kind, content_of(item)), (16, side_car))
    assert side_car


def test_the_name_of_an_attack_is_cometbfts() -> None:
    """Its Go code copies 31 bytes of the hash into 32 and appends the height as a signed varint."""
    item = ITEMS["lunatic"]
    assert isinstance(item, LightClientAttackEvidence)
    buffer = bytearray(32 + 1)
    buffer[:31] = item.header.hash()[:31]
    buffer[32] = 4 << 1
    assert item.hash() == sha256(bytes(buffer))


# What types.Evidence.Hash and types.EvidenceList.Hash of cometbft v0.38.17 answer, when its amino JSON decoder reads the same
# evidence from our RPC's JSON. The lunatic's validators have the priorities below, because its bytes contain them.
PRIORITIES = (-7, 12, 12, -(1 << 40))
GOLDEN = {
    "votes": (
        "c1aa4340286cdb63ba168571554616ff479a8e9ad0c35f70017a289388c7fa05",
        "eced2fe87cddc8db70deef1157e3063a874743603c1099a752131de05b1c08a5",
    ),
    "a vote for nil": (
        "c21c3433d43fba5d74c2ac0171a7a8570a5b05655e2d83655254c2561b3aeef4",
        "c1f8063a8c27fd012684d94ebaf77c67f011f0a5b357f69ad1feb3ad6fe7d8ad",
    ),
    "lunatic": (
        "227f1f639b1cea61234c05df9ae8c0f20831f5444f93c04c7560aee0eed27bfa",
        "5217e73340f6f719c45e9078d7e020a45801e37188c64e27856fd0b6c2556295",
    ),
    "equivocation": (
        "36afeb5a254d3dd69eec3da9543528fd0815df149ae128b0934c13bd4a61b0e6",
        "eb4ecafbe87dc4ac2fbc09f4f2ae9737be03b1f5baf545b5b0233ed582dd6d24",
    ),
    "amnesia": (
        "36afeb5a254d3dd69eec3da9543528fd0815df149ae128b0934c13bd4a61b0e6",
        "025fdf3c1faa8ace4ee0475d8340c887b30c6fe47b34b0fb707f1ccce1e0cd20",
    ),
}


def golden_item(name: str) -> Evidence:
    item = ITEMS[name]
    if name == "lunatic" and isinstance(item, LightClientAttackEvidence):
        members, accused = (
            tuple(replace(member, priority=priority) for member, priority in zip(found, PRIORITIES, strict=False))
            for found in (item.validators, item.byzantine)
        )
        return replace(item, validators=members, byzantine=accused)
    return item


@pytest.mark.parametrize("name", GOLDEN)
def test_hashes_are_those_of_cometbft(name: str) -> None:
    """The list's hash covers every byte of the proof."""
    item = golden_item(name)
    assert (item.hash().hex(), evidence_hash((item,)).hex()) == GOLDEN[name]


def test_a_header_with_evidence_is_named_as_cometbft_names_it() -> None:
    """types.Block.ValidateBasic takes the block that this is from, and Block.Hash says the same."""
    items = sorted((ITEMS["votes"], ITEMS["equivocation"]), key=order_of)
    header = WORLD.next_block(*items).header
    assert header.hash().hex() == "dcc8a6b2d123abaaaa688bb6cfcbe2059e32268561f9fdf2d1dc50b6629803bc"
    assert header.evidence_hash.hex() == "66b844ce402c771c78c7a18cbddb9ed5a9e72785b1e1c0ac33b0e23eab15cda6"


# damage

ENCODED = [encode_trusted(evidence_to_wire(item)) for item in ITEMS.values()]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ENCODED), st.data())
def test_damaged_bytes_are_refused_or_are_other_evidence(raw: bytes, data: st.DataObject) -> None:
    """Whatever a stranger sends: an error of ours, or a value that encodes to exactly these bytes."""
    place = data.draw(st.integers(0, len(raw) - 1))
    action = data.draw(st.sampled_from(("set", "cut", "drop", "insert")))
    byte = data.draw(st.integers(0, 255))
    changed = {
        "set": raw[:place] + bytes((byte,)) + raw[place + 1 :],
        "cut": raw[:place],
        "drop": raw[:place] + raw[place + 1 :],
        "insert": raw[:place] + bytes((byte,)) + raw[place:],
    }[action]
    try:
        item = evidence_from_wire(decode(changed, bytes_max=EVIDENCE_BYTES_MAX))
    except MalformedError:
        return
    assert encode_trusted(evidence_to_wire(item)) == changed
    item.proto()
    item.hash()


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary(max_size=64) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=8).map(tuple),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(SHAPES, st.integers(-1, 5))
def test_any_shape_is_refused(shape: Any, kind: int) -> None:
    for value in (shape, (kind, shape), (kind,), (kind, (shape,) * 5), (kind, (shape,) * 6), (kind, (shape,) * 8)):
        with pytest.raises(MalformedError):
            evidence_from_wire(value)


def test_lists_beyond_their_bounds_are_refused() -> None:
    kind, content = evidence_to_wire(ITEMS["lunatic"])
    for place in (2, 4, 7):
        fields = list(content)  # type: ignore[arg-type]
        fields[place] = fields[place] * 201
        with pytest.raises(MalformedError):
            evidence_from_wire((kind, tuple(fields)))
