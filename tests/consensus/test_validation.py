"""Chain rules K1-K5: what a block must say, and what the chain is after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus.block import Block, Header, compute_consensus_hash, data_hash
from consensus.block_id import EMPTY, BlockID
from consensus.commit import ABSENT, EMPTY_COMMIT, Commit
from consensus.evidence import DuplicateVoteEvidence, evidence_hash
from consensus.proposer import proposer_of
from consensus.validation import ChainTip, make_block, validate_block
from state.params import ConsensusParams
from state.primitives.errors import ConsensusFailure, InvalidBlockError, MalformedError
from state.primitives.hashing import EMPTY_HASH, sha256
from state.validators import ValidatorSet, ValidatorUpdate
from tests.consensus.world import BASE_NS, CHAIN, PREVOTE, FakeVerifier, Scene, make_commit, make_set, make_validator

SET = make_set((1, 1, 1, 1))
PARAMS = ConsensusParams(block_txs_max=3, block_bytes_max=64 * 1024)
GENESIS = ChainTip.at_genesis(CHAIN, 1, BASE_NS, SET, sha256(b"app"), PARAMS)


def next_block(tip: ChainTip, last_commit: Commit = EMPTY_COMMIT, txs: tuple[bytes, ...] = (b"tx",)) -> Block:
    return make_block(tip, tip.last_block_time_ns + 1, txs, last_commit, (), tip.validators.validators[0].address)


def commit_for(tip: ChainTip) -> Commit:
    """The last commit that a block on this tip carries."""
    assert tip.last_validators is not None
    voters = range(len(tip.last_validators))
    return make_commit(tip.last_validators, tip.height, 0, tip.last_block_id, voters, (), tip.last_block_time_ns)[0]


def grow(tip: ChainTip, updates: tuple[ValidatorUpdate, ...] = (), params: ConsensusParams | None = None) -> ChainTip:
    block = next_block(tip, EMPTY_COMMIT if tip.last_validators is None else commit_for(tip))
    validate_block(block, tip, FakeVerifier())
    return tip.advance(block, sha256(tip.app_hash), sha256(b"results"), updates, params)


TIP = grow(GENESIS)
GOOD = next_block(TIP, commit_for(TIP))


def update(name: object, power: int) -> ValidatorUpdate:
    validator = make_validator(name)
    return ValidatorUpdate(validator.ed25519_key, validator.pq_kind, validator.pq_key, power)


def with_header(block: Block = GOOD, **changes: object) -> Block:
    header = replace(block.header, **changes)  # type: ignore[arg-type]
    return Block(header, block.txs, block.evidence, block.last_commit)


def with_commit(commit: Commit) -> Block:
    """A block that carries this commit and hashes it properly."""
    return Block(replace(GOOD.header, last_commit_hash=commit.hash()), GOOD.txs, (), commit)


def with_txs(txs: tuple[bytes, ...]) -> Block:
    return Block(replace(GOOD.header, data_hash=data_hash(txs)), txs, (), GOOD.last_commit)


def with_evidence(block: Block, tip: ChainTip) -> Block:
    scene = Scene()
    item = DuplicateVoteEvidence.of(scene.vote(0, PREVOTE, 0, "A"), scene.vote(0, PREVOTE, 0, None), SET, tip.last_block_time_ns)
    return Block(replace(block.header, evidence_hash=evidence_hash((item,))), block.txs, (item,), block.last_commit)


def test_a_block_that_we_make_is_valid() -> None:
    validate_block(next_block(GENESIS), GENESIS, FakeVerifier())
    validate_block(GOOD, TIP, FakeVerifier())


HASH = b"\x01" * 32
COMMIT = GOOD.last_commit
BAD: dict[str, Callable[[], Block]] = {
    "app version": lambda: with_header(app_version=2),
    "chain id": lambda: with_header(chain_id="test-2"),
    "height above": lambda: with_header(height=3),
    "height below": lambda: with_header(height=1),
    "equal time (F1)": lambda: with_header(time_ns=TIP.last_block_time_ns),
    "earlier time (F1)": lambda: with_header(time_ns=TIP.last_block_time_ns - 1),
    "no last block (K4)": lambda: with_header(last_block_id=EMPTY),
    "other last block (K4)": lambda: with_header(last_block_id=BlockID(HASH, 1, HASH)),
    "other parts of the last block (K4)": lambda: with_header(last_block_id=replace(TIP.last_block_id, parts_total=2)),
    "last commit hash": lambda: with_header(last_commit_hash=HASH),
    "data hash": lambda: with_header(data_hash=HASH),
    "validators hash (K2)": lambda: with_header(validators_hash=HASH),
    "next validators hash (K2)": lambda: with_header(next_validators_hash=HASH),
    "consensus hash": lambda: with_header(consensus_hash=HASH),
    "app hash (K1)": lambda: with_header(app_hash=sha256(TIP.app_hash)),
    "results hash (K1)": lambda: with_header(last_results_hash=EMPTY_HASH),
    "evidence hash": lambda: with_header(evidence_hash=HASH),
    "proposer is nobody (K5)": lambda: with_header(proposer_address=b"x" * 20),
    "transactions not in the hash": lambda: Block(GOOD.header, (b"other",), (), COMMIT),
    "too many transactions": lambda: with_txs((b"a", b"b", b"c", b"d")),
    "too many bytes": lambda: with_txs((bytes(40_000), bytes(30_000))),
    "no last commit (K3)": lambda: with_commit(EMPTY_COMMIT),
    "last commit not in the hash": lambda: Block(GOOD.header, GOOD.txs, (), replace(COMMIT, round=1)),
    "last commit of another height": lambda: with_commit(replace(COMMIT, height=2)),
    "last commit with a forged surplus (K3)": lambda: with_commit(
        replace(COMMIT, signatures=(*COMMIT.signatures[:3], replace(COMMIT.signatures[3], signature=b"f" * 64)))
    ),
    "last commit of two (K3)": lambda: with_commit(replace(COMMIT, signatures=(*COMMIT.signatures[:2], ABSENT, ABSENT))),
    "last commit of three entries (K3)": lambda: with_commit(replace(COMMIT, signatures=COMMIT.signatures[:3])),
    "evidence": lambda: with_evidence(GOOD, TIP),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_k_whatever_is_wrong_with_a_block_is_seen(name: str) -> None:
    with pytest.raises(InvalidBlockError):
        validate_block(BAD[name](), TIP, FakeVerifier())


def test_k1_the_hashes_are_those_after_the_block_before() -> None:
    assert (GENESIS.app_hash, GENESIS.last_results_hash) == (sha256(b"app"), EMPTY_HASH)
    first = next_block(GENESIS)
    assert (first.header.app_hash, first.header.last_results_hash) == (sha256(b"app"), EMPTY_HASH)
    assert (GOOD.header.app_hash, GOOD.header.last_results_hash) == (sha256(sha256(b"app")), sha256(b"results"))


def test_k2_an_update_of_height_h_is_in_force_at_h_plus_2() -> None:
    new = SET.update([update("new", 5)])
    tip = grow(GENESIS, (update("new", 5),))  # block 1 changes the set
    second = next_block(tip, commit_for(tip))
    assert second.header.validators_hash == SET.hash()
    assert second.header.next_validators_hash == new.hash()
    tip = grow(tip)
    third = next_block(tip, commit_for(tip))
    assert third.header.validators_hash == third.header.next_validators_hash == new.hash()
    assert len(third.last_commit.signatures) == 4  # block 2 was decided by the old set
    tip = grow(tip)
    assert len(next_block(tip, commit_for(tip)).last_commit.signatures) == 5


def test_k2_parameters_of_height_h_are_in_force_at_h_plus_1() -> None:
    changed = replace(PARAMS, block_bytes_max=128 * 1024)
    tip = grow(GENESIS, params=changed)
    block = next_block(tip, commit_for(tip))
    assert next_block(GENESIS).header.consensus_hash == compute_consensus_hash(64 * 1024, -1)
    assert block.header.consensus_hash == compute_consensus_hash(128 * 1024, -1)
    assert grow(tip).params == changed


def test_k2_an_update_that_breaks_the_set_is_refused() -> None:
    with pytest.raises(MalformedError):
        grow(GENESIS, (update("stranger", 0),))


def test_k7_priorities_go_on_from_height_to_height_and_through_changes() -> None:
    tip, proposers = GENESIS, []
    for _ in range(8):
        proposers.append(tip.validators.index_of(proposer_of(tip.validators, tip.priorities, 0).address))
        tip = grow(tip)
    assert proposers == [0, 1, 2, 3] * 2
    tip = grow(GENESIS, (update("new", 1),))
    for _ in range(3):
        assert len(tip.priorities) == len(tip.validators)
        known = tip.compute_next_priorities()
        tip = grow(tip, (update("another", 2),))  # what a block does comes too late for them
        assert tip.priorities == known
    assert len(tip.validators) == 6


@pytest.mark.parametrize("initial", [1, 2, 1000, 1 << 40])
def test_k4_a_chain_may_begin_at_any_height(initial: int) -> None:
    genesis = ChainTip.at_genesis(CHAIN, initial, BASE_NS, SET, HASH, PARAMS)
    first = next_block(genesis)
    assert first.header.height == initial
    assert first.header.last_block_id == EMPTY
    assert first.header.last_commit_hash == EMPTY_HASH
    tip = grow(genesis)
    assert (tip.height, grow(tip).height) == (initial, initial + 1)


def test_k4_the_first_block_has_an_empty_last_commit_and_no_evidence() -> None:
    first = next_block(GENESIS)
    full = Block(replace(first.header, last_commit_hash=COMMIT.hash()), first.txs, (), COMMIT)
    for block in (full, with_evidence(first, GENESIS)):
        with pytest.raises(InvalidBlockError):
            validate_block(block, GENESIS, FakeVerifier())


@pytest.mark.parametrize("offset_ns", [0, -1])
def test_f1_no_block_is_made_with_a_time_that_is_not_later(offset_ns: int) -> None:
    with pytest.raises(ConsensusFailure):
        make_block(TIP, TIP.last_block_time_ns + offset_ns, (), COMMIT, (), SET.validators[0].address)


def test_a_header_is_fourteen_fields() -> None:
    assert len(GOOD.header.to_wire()) == 14
    assert Header.from_wire(GOOD.header.to_wire()) == GOOD.header


def test_a_validator_set_of_one_makes_a_chain() -> None:
    tip = ChainTip.at_genesis(CHAIN, 1, BASE_NS, ValidatorSet([make_validator("alone", 9)]), HASH, PARAMS)
    for _ in range(3):
        tip = grow(tip)
    assert tip.height == 3
