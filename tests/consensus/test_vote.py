"""Sign bytes of votes and proposals against published figures, and their wire forms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus.block_id import EMPTY, BlockID
from consensus.vote import Proposal, Vote, VoteType, vote_sign_bytes
from state.primitives.canonical import GO_ZERO_TIME_NS
from state.primitives.errors import MalformedError
from tests.consensus.world import PREVOTE, Scene

S = 1_000_000_000
ZERO_TIME = "2a0b088092b8c398feffffff01"
ONE_ONE = "110100000000000000" + "190100000000000000"

# (chain id, type, height, round) -> bytes; nil block, Go's zero time. Published with CometBFT (types/vote_test.go).
EMPTY_VOTES = [
    ("", 0, 0, 0, "0d" + ZERO_TIME),
    ("", 2, 1, 1, "21" + "0802" + ONE_ONE + ZERO_TIME),
    ("", 1, 1, 1, "21" + "0801" + ONE_ONE + ZERO_TIME),
    ("", 0, 1, 1, "1f" + ONE_ONE + ZERO_TIME),
    ("test_chain_id", 0, 1, 1, "2e" + ONE_ONE + ZERO_TIME + "320d" + b"test_chain_id".hex()),
]


@pytest.mark.parametrize(("chain", "vote_type", "height", "round_", "expected"), EMPTY_VOTES)
def test_sign_bytes_of_empty_votes_equal_gos(chain: str, vote_type: int, height: int, round_: int, expected: str) -> None:
    assert vote_sign_bytes(chain, vote_type, height, round_, None, GO_ZERO_TIME_NS).hex() == expected


def test_sign_bytes_of_a_full_prevote_equal_gos() -> None:
    """Published with tendermint-rs, made by Go."""
    block_id = BlockID(b"DEADBEEFDEADBEEFBAFBAFBAFBAFBAFA", 1_000_000, b"0022446688AACCEE1133557799BBDDFF")
    time_ns = 1_514_170_801 * S + 234_000_000
    vote = Vote(PREVOTE, 12345, 2, block_id, time_ns, bytes.fromhex("a3b2ccdd7186f1685f21f248 2af4fb3446a84b35"), 56789)
    assert vote.sign_bytes("test_chain_id").hex() == (
        "7c0801113930000000000000190200000000000000224a0a20"
        + b"DEADBEEFDEADBEEFBAFBAFBAFBAFBAFA".hex()
        + "122608c0843d1220"
        + b"0022446688AACCEE1133557799BBDDFF".hex()
        + "2a0b08b1d381d20510809dca6f320d"
        + b"test_chain_id".hex()
    )


def test_sign_bytes_of_a_proposal_equal_gos() -> None:
    """Published with tendermint-rs, made by Go: a proof-of-lock round of -1 takes ten bytes."""
    block_hash = bytes.fromhex("DEADBEEFDEADBEEFBAFBAFBAFBAFBAFA" * 2)
    parts_hash = bytes.fromhex("0022446688AACCEE1133557799BBDDFF" * 2)
    proposal = Proposal(12345, 23456, -1, BlockID(block_hash, 65535, parts_hash), 1_518_332_962 * S + 765_000_000)
    assert proposal.sign_bytes("test_chain_id").hex() == (
        "8801"
        "0820113930000000000000" + "19a05b000000000000" + "20ffffffffffffffffff01" + "2a4a0a20" + block_hash.hex()
        + "122608ffff031220" + parts_hash.hex() + "320c08a2d8ffd30510c0f2e3ec02" + "3a0d" + b"test_chain_id".hex()
    )  # fmt: skip


def test_a_proposals_bytes_are_never_a_votes() -> None:
    scene = Scene()
    proposal = scene.proposal(1, "A")
    votes = {scene.vote(0, vote_type, 1, "A").sign_bytes("c") for vote_type in VoteType}
    assert proposal.sign_bytes("c") not in votes
    assert len(votes) == 2


def test_every_signed_field_changes_the_bytes() -> None:
    vote = Scene().vote(0, PREVOTE, 1, "A")
    other = Scene().block_id("B")
    variants = [
        vote, replace(vote, type=VoteType.PRECOMMIT), replace(vote, height=2), replace(vote, round=2),
        replace(vote, block_id=other), replace(vote, block_id=None), replace(vote, time_ns=vote.time_ns + 1),
        replace(vote, block_id=replace(vote.block_id or EMPTY, parts_total=2)),
    ]  # fmt: skip
    assert len({item.sign_bytes("c") for item in variants}) == len(variants)
    assert vote.sign_bytes("c") != vote.sign_bytes("d")
    # address, index and signatures are bound by the set and by verification, not by the bytes
    assert replace(vote, validator_index=3).sign_bytes("c") == vote.sign_bytes("c")


def test_j4_equal_decisions_have_equal_bytes_for_all_signers() -> None:
    scene = Scene()
    assert len({scene.vote(index, PREVOTE, 3, "A").sign_bytes("c") for index in range(4)}) == 1
    assert len({scene.vote(index, PREVOTE, 3, None).sign_bytes("c") for index in range(4)}) == 1


def test_an_empty_block_id_has_the_bytes_of_the_encoding() -> None:
    assert EMPTY.proto().hex() == "1200"
    assert EMPTY.is_empty


def test_the_protobuf_vote_writes_what_go_writes() -> None:
    """Field by field: a nil vote still has its empty block id and its time."""
    vote = Vote(PREVOTE, 3, 0, None, 0, b"a" * 20, 0, b"s" * 64, b"ignored")
    expected = "0801" + "1003" + "22021200" + "2a00" + "3214" + "61" * 20 + "4240" + "73" * 64
    assert vote.proto().hex() == expected


@pytest.mark.parametrize("pol_round", [5, 6, 1 << 40])
def test_b2_a_proposal_from_the_wire_names_an_earlier_round(pol_round: int) -> None:
    wire = list(Scene().proposal(5, "A").to_wire())
    wire[2] = pol_round
    with pytest.raises(MalformedError):
        Proposal.from_wire(tuple(wire))
