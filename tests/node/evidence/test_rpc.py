"""Evidence in JSON, and handed in: CometBFT's names of fields, and an answer in words to everything that is not taken."""

from __future__ import annotations

import base64
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from consensus.evidence import Evidence, LightClientAttackEvidence, evidence_to_wire
from node.rpc import shapes
from node.rpc.errors import RpcError
from node.rpc.transactions import broadcast_evidence
from state.primitives.codec import encode_trusted
from state.primitives.hashing import sha256
from tests.consensus.evidence_world import Chain
from tests.node.evidence.test_pool import Bench


async def hand_in(bench: Bench, item: Evidence | bytes) -> Any:
    backend: Any = SimpleNamespace(executor=SimpleNamespace(evidence=bench.pool))
    raw = item if isinstance(item, bytes) else encode_trusted(evidence_to_wire(item))
    return await broadcast_evidence(backend, raw)


async def test_a_good_proof_is_taken_and_named_by_its_hash() -> None:
    bench = Bench()
    item = bench.chain.double_vote(4)
    for _ in range(2):  # who sends it twice hears the same
        assert await hand_in(bench, item) == {"hash": base64.b64encode(item.hash()).decode()}
    assert bench.pool.pending() == [item]


async def test_what_is_not_taken_is_answered_in_words() -> None:
    bench = Bench(own=3)
    chain = bench.chain
    done = chain.double_vote(5)
    chain.add(chain.next_block(done))
    for item, words in (
        (done, "punished before"),
        (chain.double_vote(4, 3), "it accuses this node"),
        (Chain((1,) * 4).grow(9).double_vote(9), "not decided yet"),
        (replace(chain.double_vote(4), total_power=9), "INVALID_EVIDENCE: the evidence states a wrong voting power"),
        (b"\xc0", "MALFORMED"),
        (b"", "MALFORMED"),
    ):
        with pytest.raises(RpcError) as caught:
            await hand_in(bench, item)
        assert words in str(caught.value.__dict__)
    assert len(bench.pool) == 0


def test_votes_in_json() -> None:
    item = Chain().grow(5).double_vote(4, values=(None, Chain().grow(5).blocks[4].block_id()))
    found = shapes.evidence(item)
    assert found["type"] == "tendermint/DuplicateVoteEvidence"
    value = found["value"]
    assert set(value) == {"vote_a", "vote_b", "TotalVotingPower", "ValidatorPower", "Timestamp"}
    assert (value["TotalVotingPower"], value["ValidatorPower"]) == ("7", "2")
    nil, vote = value["vote_a"], value["vote_b"]
    assert nil["block_id"] == {"hash": "", "parts": {"total": 0, "hash": ""}}
    assert (vote["type"], vote["height"], vote["round"], vote["validator_index"]) == (1, "4", 0, 1)
    assert base64.b64decode(vote["signature"]) == item.vote_b.signature
    assert base64.b64decode(vote["pq_signature"]) == item.vote_b.pq_signature


def test_proposals_in_json() -> None:
    item = Chain().grow(5).double_proposal(4)
    found = shapes.evidence(item)
    assert found["type"] == "qenex/DuplicateProposalEvidence"
    assert found["value"]["validator_address"] == item.validator_address.hex().upper()
    assert (found["value"]["proposal_a"]["Type"], found["value"]["proposal_a"]["pol_round"]) == (32, -1)


def test_an_attack_in_json() -> None:
    chain = Chain().grow(8)
    item = LightClientAttackEvidence.of(chain.forged(7, app_hash=sha256(b"false")), 4, chain)
    found = shapes.evidence(item)
    assert found["type"] == "tendermint/LightClientAttackEvidence"
    value = found["value"]
    assert set(value) == {
        "ConflictingBlock", "CommonHeight", "ByzantineValidators", "TotalVotingPower", "Timestamp", "pq_signatures",
    }  # fmt: skip
    block = value["ConflictingBlock"]
    assert set(block) == {"signed_header", "validator_set"}
    assert block["signed_header"]["header"]["height"] == "7"
    assert len(block["validator_set"]["validators"]) == 4
    assert block["validator_set"]["proposer"]["address"] == min(v.address for v in item.validators).hex().upper()
    assert (value["CommonHeight"], len(value["ByzantineValidators"])) == ("4", 3)


def test_a_block_shows_its_evidence() -> None:
    chain = Chain().grow(5)
    items = (chain.double_vote(3), chain.double_proposal(4))
    found = shapes.block(chain.next_block(*items))
    assert found["evidence"]["evidence"] == [shapes.evidence(item) for item in items]
