"""Headers and blocks against published figures."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

import consensus.header
from consensus.block import Block, Header, compute_consensus_hash, data_hash, results_hash
from consensus.block_id import EMPTY, BlockID
from consensus.commit import EMPTY_COMMIT
from consensus.evidence import DuplicateVoteEvidence, evidence_hash
from state.primitives import merkle
from state.primitives.hashing import EMPTY_HASH, sha256
from tests.consensus.world import BASE_NS, PREVOTE, Scene, make_block, make_commit, make_set

NAMES = (
    "last_commit_hash", "data_hash", "validators_hash", "next_validators_hash", "consensus_hash", "app_hash",
    "last_results_hash", "evidence_hash",
)  # fmt: skip
# The header of CometBFT's own test (types/block_test.go), 2019-10-13T16:14:44Z
GO_HEADER = Header(
    2,
    "chainId",
    3,
    1_570_983_284 * 1_000_000_000,
    BlockID(bytes(32), 6, bytes(32)),
    *(sha256(name.encode()) for name in NAMES),
    sha256(b"proposer_address")[:20],
)


def test_the_header_hash_equals_gos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consensus.header, "BLOCK_PROTOCOL", 1)  # the figure was made with block version 1
    assert replace(GO_HEADER).hash().hex().upper() == "F740121F553B5418C3EFBD343C2DBFE9E007BB67B0D020A0741374BAB65242A4"


def test_the_consensus_hash_equals_gos() -> None:
    found = compute_consensus_hash(22_020_096, -1).hex().upper()
    assert found == "048091BC7DDC283F77BFBF91D73C44DA58C3DF8A9CBC867405D8B7F3DAADA22F"


def test_every_field_of_a_header_changes_its_hash() -> None:
    seen = {replace(GO_HEADER).hash()}
    for item in fields(Header):
        if not item.init:
            continue
        value = getattr(GO_HEADER, item.name)
        changed = value + 1 if type(value) is int else "other" if type(value) is str else b"\x01" * len(value or b"") \
            if type(value) is bytes else replace(value, parts_total=7)  # fmt: skip
        seen.add(replace(GO_HEADER, **{item.name: changed}).hash())
    assert len(seen) == 15


def test_lists_of_nothing() -> None:
    assert data_hash(()) == results_hash(()) == evidence_hash(()) == EMPTY_COMMIT.hash() == EMPTY_HASH
    assert EMPTY_HASH.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_data_hash_is_over_hashes_of_transactions() -> None:
    assert data_hash((b"a", b"b")) == merkle.root([sha256(b"a"), sha256(b"b")])


def test_results_are_code_data_and_gas() -> None:
    assert results_hash(((0, b"", 0, 0),)) == merkle.root([b""])
    assert results_hash(((5, b"x", 7, 300),)) == merkle.root([bytes.fromhex("08051201782807" + "30ac02")])


def test_a_small_block_is_one_part() -> None:
    block = make_block("A", 1, BASE_NS, make_set((1,)))
    data = block.proto()
    assert block.block_id() == BlockID(block.header.hash(), 1, merkle.root([data]))
    assert block.block_id() is block.block_id()


@pytest.mark.parametrize(("size", "parts"), [(60_000, 1), (65_536, 2), (130_000, 2), (200_000, 4)])
def test_k8_parts_are_65536_bytes_of_the_protobuf_block(size: int, parts: int) -> None:
    base = make_block("A", 1, BASE_NS, make_set((1,)))
    block = Block(base.header, (bytes(size),), (), EMPTY_COMMIT)
    data = block.proto()
    chunks = [data[start : start + 65_536] for start in range(0, len(data), 65_536)]
    assert len(chunks) == parts
    assert block.block_id() == BlockID(block.header.hash(), parts, merkle.root(chunks))


def test_the_protobuf_of_a_block_has_its_four_fields() -> None:
    """An empty block still writes its empty data, evidence and commit."""
    base = make_block("A", 1, BASE_NS, make_set((1,)))
    block = Block(base.header, (), (), EMPTY_COMMIT)
    header = block.header.proto()
    assert block.proto()[-len("1200" + "1a00" + "22041a021200") // 2 :].hex() == "12001a0022041a021200"
    assert header in block.proto()


def test_evidence_in_a_block_is_wrapped_and_hashed_bare() -> None:
    scene = Scene()
    first, second = scene.vote(0, PREVOTE, 0, "A"), scene.vote(0, PREVOTE, 0, "B")
    item = DuplicateVoteEvidence.of(first, second, scene.validators, BASE_NS)
    base = scene.block("A")
    block = Block(base.header, (), (item,), EMPTY_COMMIT)
    inner = item.proto()
    assert b"\x0a" + _varint(len(inner)) + inner in block.proto()
    assert evidence_hash((item,)) == merkle.root([inner])


def _varint(number: int) -> bytes:
    out = b""
    while number >= 128:
        out, number = out + bytes((number & 127 | 128,)), number >> 7
    return out + bytes((number,))


def test_a_block_with_a_commit_names_other_bytes_than_without() -> None:
    validators = make_set((1, 1, 1, 1))
    commit, _ = make_commit(validators, 1, 0, BlockID(b"h" * 32, 1, b"p" * 32), (0, 1, 2))
    one = make_block("A", 2, BASE_NS, validators, commit)
    bare = Block(one.header, one.txs, (), EMPTY_COMMIT)
    assert one.block_id().hash == bare.block_id().hash
    assert one.block_id() != bare.block_id()
    assert one.block_id() != EMPTY
