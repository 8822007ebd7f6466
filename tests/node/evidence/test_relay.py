"""A relay that swaps what no hash of the header covers, the ML-DSA signatures of a proof, is found out and asked no more."""

from __future__ import annotations

from dataclasses import replace

from node.compact import WANT_BLOCK, Assembler, CompactBlock, find_mismatch
from tests.consensus.evidence_world import Chain

CHAIN = Chain().grow(6)
GOOD = CHAIN.double_vote(4)
BLOCK = CHAIN.next_block(GOOD)
SPOILED = replace(GOOD, vote_b=replace(GOOD.vote_b, pq_signature=bytes(len(GOOD.vote_b.pq_signature))))


def test_a_relay_that_swaps_post_quantum_signatures_is_found_out() -> None:
    assembler = Assembler(lambda tx_hash: b"tx")
    for peer in ("liar", "honest"):
        assembler.add_peer(peer)
    assembler.want(BLOCK.block_id(), 7, "liar", 0)
    compact = CompactBlock.of(BLOCK)
    forged = replace(compact, evidence=(SPOILED,))
    assert find_mismatch(forged) == ""  # the header's hashes say nothing against it
    sends = assembler.on_compact("liar", forged, 0)
    assert [peer for peer, _ in assembler.take_complaints()] == ["liar"]
    assert assembler.take_blocks() == []
    assert [(send.peer, send.message[0]) for send in sends] == [("honest", WANT_BLOCK)]
    assembler.on_compact("honest", compact, 0)
    assert assembler.take_blocks() == [BLOCK]
    assert assembler.take_complaints() == []
