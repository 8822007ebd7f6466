"""Light-client verification: what may be trusted from what, and until when.

The verdicts of tendermint-rs's 41 model-based files (99 steps) were compared once by hand and are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from consensus.block import compute_consensus_hash
from consensus.block_id import BlockID
from consensus.commit import EMPTY_COMMIT, PqCommit
from consensus.light import CLOCK_DRIFT_NS, LightBlock, Trust, verify_light_block, verify_next
from consensus.validation import ChainTip, make_block
from state.params import ConsensusParams
from state.primitives.errors import InvalidCommitError
from state.primitives.hashing import sha256
from state.validators import ValidatorSet, ValidatorUpdate
from tests.consensus.world import BASE_NS, CHAIN, FakeVerifier, make_commit, make_set, make_validator

S = 1_000_000_000
PERIOD = 1_000_000 * S
NOW = BASE_NS + 100 * S
TRUST = Trust(PERIOD)


def swap(name: object, power: int) -> ValidatorUpdate:
    validator = make_validator(name)
    return ValidatorUpdate(validator.ed25519_key, validator.pq_kind, validator.pq_key, power)


@cache
def chain() -> tuple[LightBlock, ...]:
    """Ten heights, a second apart, from four equal validators; from block 3 on each block swaps one of them for a newcomer."""
    tip = ChainTip.at_genesis(CHAIN, 1, BASE_NS, make_set((1, 1, 1, 1)), sha256(b"app"), ConsensusParams())
    blocks, last_commit = [], EMPTY_COMMIT
    for height in range(1, 11):
        block = make_block(tip, BASE_NS + height * S, (), last_commit, (), tip.validators.validators[0].address)
        voters = range(len(tip.validators))
        commit, pq = make_commit(tip.validators, height, 0, block.block_id(), voters, (), block.header.time_ns)
        blocks.append(LightBlock(block.header, commit, pq, tip.validators))
        leaver, newcomer = height - 3, height + 1
        updates = (swap(leaver, 0), swap(newcomer, 1)) if height >= 3 else ()
        tip = tip.advance(block, sha256(tip.app_hash), sha256(b""), updates, None)
        last_commit = commit
    return tuple(blocks)


def at(height: int) -> LightBlock:
    return chain()[height - 1]


def check(trusted: LightBlock, new: LightBlock, trust: Trust = TRUST, now_ns: int = NOW, chain_id: str = CHAIN) -> None:
    verify_next(trusted, new, chain_id, trust, now_ns, FakeVerifier())


def with_voters(height: int, voters: tuple[int, ...], nil: tuple[int, ...] = ()) -> LightBlock:
    """The block of that height with a commit of these."""
    block = at(height)
    made = make_commit(block.validators, height, 0, block.commit.block_id, voters, nil, block.header.time_ns)
    return LightBlock(block.header, *made, block.validators)


def forged(block: LightBlock, validators: ValidatorSet | None = None, **changes: object) -> LightBlock:
    """Another header at the same height, honestly signed by `validators`."""
    signers = validators or block.validators
    header = replace(block.header, validators_hash=signers.hash(), **changes)  # type: ignore[arg-type]
    name = BlockID(header.hash(), 1, bytes(32))
    return LightBlock(header, *make_commit(signers, header.height, 0, name, range(len(signers)), (), header.time_ns), signers)


def test_every_next_header_is_accepted() -> None:
    for height in range(1, 10):
        check(at(height), at(height + 1))


@pytest.mark.parametrize(("trusted", "new", "shared"), [(1, 4, 4), (1, 5, 3), (1, 6, 2), (1, 7, 1), (5, 9, 0), (2, 10, 0)])
def test_a_skip_needs_more_than_a_third_of_the_old_power(trusted: int, new: int, shared: int) -> None:
    old, young = at(trusted).validators, at(new).validators
    assert len([v for v in old.validators if v in young.validators]) == shared
    if shared >= 2:
        check(at(trusted), at(new))
    else:
        with pytest.raises(InvalidCommitError, match="in between"):
            check(at(trusted), at(new))


def test_a_skip_may_ask_for_more_than_a_third() -> None:
    check(at(1), at(5), Trust(PERIOD, 2, 3))
    with pytest.raises(InvalidCommitError, match="in between"):
        check(at(1), at(6), Trust(PERIOD, 2, 3))


def test_only_those_who_signed_count_for_a_skip() -> None:
    old = {validator.address for validator in at(1).validators.validators}
    shared = [index for index, validator in enumerate(at(6).validators.validators) if validator.address in old]
    strangers = tuple(index for index in range(4) if index not in shared)
    check(at(1), with_voters(6, (*strangers, *shared)))
    with pytest.raises(InvalidCommitError):
        check(at(1), with_voters(6, (*strangers, shared[0]), (shared[1],)))


def test_an_address_in_the_commit_proves_nothing_for_a_skip() -> None:
    """The addresses in a commit are not signed: naming the trusted validators there does not make them signers."""
    block = at(10)
    named = zip(block.commit.signatures, at(2).validators.validators, strict=True)
    parts = tuple(replace(part, validator_address=old.address) for part, old in named)
    with pytest.raises(InvalidCommitError):
        check(at(2), replace(block, commit=replace(block.commit, signatures=parts)))


BAD: dict[str, Callable[[], None]] = {
    "same height": lambda: check(at(2), at(2)),
    "lower height": lambda: check(at(3), at(2)),
    "other chain": lambda: check(at(1), at(2), chain_id="test-2"),
    "header of another chain": lambda: check(at(1), forged(at(2), chain_id="test-2")),
    "adjacent with validators nobody announced": lambda: check(at(1), forged(at(2), make_set((1, 1, 1)))),
    "adjacent with a changed next set is another header": lambda: check(
        at(1), replace(at(2), header=replace(at(2).header, next_validators_hash=bytes(32)))
    ),
    "validators that are not the header's": lambda: check(at(1), replace(at(2), validators=make_set((1, 1, 1)))),
    "same validators with other powers": lambda: check(at(1), replace(at(2), validators=make_set((1, 1, 1, 2)))),
    "commit of another block": lambda: check(at(1), replace(at(2), commit=at(3).commit, pq_commit=at(3).pq_commit)),
    "two of four signed": lambda: check(at(1), with_voters(2, (0, 1))),
    "two signed, two nil": lambda: check(at(1), with_voters(2, (0, 1), (2, 3))),
    "side-car of another block": lambda: check(at(1), replace(at(2), pq_commit=at(3).pq_commit)),
    "side-car spoiled": lambda: check(at(1), replace(at(2), pq_commit=PqCommit(2, 0, (b"x" * 2420,) * 4))),
    "not later": lambda: check(at(1), forged(at(2), time_ns=at(1).header.time_ns)),
    "from the future": lambda: check(at(1), at(2), now_ns=at(2).header.time_ns - CLOCK_DRIFT_NS),
    "trust has run out": lambda: check(at(1), at(2), now_ns=at(1).header.time_ns + PERIOD),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_whatever_is_wrong_with_a_header_is_seen(name: str) -> None:
    with pytest.raises(InvalidCommitError):
        BAD[name]()


def test_the_edges_of_time() -> None:
    check(at(1), at(2), now_ns=at(2).header.time_ns - CLOCK_DRIFT_NS + 1)
    check(at(1), at(2), now_ns=at(1).header.time_ns + PERIOD - 1)


def test_without_the_side_car_only_ed25519_is_checked_and_whoever_needs_more_says_so() -> None:
    bare = replace(at(2), pq_commit=None)
    check(at(1), bare)
    with pytest.raises(InvalidCommitError, match="post-quantum"):
        check(at(1), bare, Trust(PERIOD, needs_pq=True))
    check(at(1), at(2), Trust(PERIOD, needs_pq=True))


def test_a_first_header_is_checked_against_itself() -> None:
    verify_light_block(at(4), CHAIN, FakeVerifier())
    with pytest.raises(InvalidCommitError):
        verify_light_block(replace(at(4), header=replace(at(4).header, app_hash=bytes(32))), CHAIN, FakeVerifier())
    assert at(4).header.consensus_hash == compute_consensus_hash(ConsensusParams().block_bytes_max, -1)
