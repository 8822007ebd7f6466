"""Commits: their bytes, and that every signature in one is looked at (K3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus.block_id import EMPTY, BlockID
from consensus.commit import ABSENT, EMPTY_COMMIT, Commit, CommitSig, Flag, HybridVerifier, PqCommit, verify_commit
from consensus.vote import Vote
from state.primitives import merkle
from state.primitives.errors import InvalidCommitError, MalformedError
from state.primitives.keys import CONTEXT_TX, CONTEXT_VOTE, KeyKind, PrivateKey
from state.validators import Validator, ValidatorSet
from tests.consensus.world import BASE_NS, CHAIN, PRECOMMIT, FakeVerifier, make_commit, make_set

SET = make_set((1, 1, 1, 1))
NAME = BlockID(b"h" * 32, 1, b"p" * 32)
OTHER = BlockID(b"i" * 32, 1, b"p" * 32)
GOOD, GOOD_PQ = make_commit(SET, 5, 2, NAME, (0, 1, 2), (3,))


def check(commit: Commit = GOOD, pq: PqCommit | None = GOOD_PQ, validators: ValidatorSet = SET, height: int = 5) -> None:
    verify_commit(CHAIN, validators, height, NAME, commit, pq, FakeVerifier())


def with_part(index: int, part: CommitSig) -> Commit:
    parts = list(GOOD.signatures)
    parts[index] = part
    return replace(GOOD, signatures=tuple(parts))


def with_pq(index: int, signature: bytes) -> PqCommit:
    parts = list(GOOD_PQ.signatures)
    parts[index] = signature
    return replace(GOOD_PQ, signatures=tuple(parts))


def with_entries(*places: int) -> tuple[Commit, PqCommit]:
    """The commit with these of its entries, in this order."""
    parts, pq_parts = GOOD.signatures, GOOD_PQ.signatures
    return (
        replace(GOOD, signatures=tuple(parts[place] for place in places)),
        replace(GOOD_PQ, signatures=tuple(pq_parts[place] for place in places)),
    )


def test_the_bytes_of_a_commit() -> None:
    """By hand: flag, address, time always, signature; an absent entry has Go's zero time."""
    assert ABSENT.proto().hex() == "08011a0b088092b8c398feffffff01"
    part = CommitSig(Flag.COMMIT, b"a" * 20, 1_000_000_001, b"s" * 64)
    assert part.proto().hex() == "0802" + "1214" + "61" * 20 + "1a0408011001" + "2240" + "73" * 64
    commit = Commit(5, 0, NAME, (part, ABSENT))
    assert commit.hash() == merkle.root([part.proto(), ABSENT.proto()])
    assert commit.proto().startswith(bytes.fromhex("0805" + "1a48" + "0a20" + "68" * 32))
    assert EMPTY_COMMIT.proto().hex() == "1a021200"


def test_a_good_commit() -> None:
    check()
    check(pq=None)
    check(*make_commit(SET, 5, 2, NAME, (0, 1, 2)))
    check(*make_commit(SET, 5, 2, NAME, (0, 1, 2, 3)))


BAD: dict[str, Callable[[], None]] = {
    "other height": lambda: check(height=6),
    "claims another height": lambda: check(replace(GOOD, height=6)),
    "other block": lambda: check(replace(GOOD, block_id=OTHER)),
    "other round": lambda: check(replace(GOOD, round=3), replace(GOOD_PQ, round=3)),
    "too few entries": lambda: check(*with_entries(0, 1, 2)),
    "too many entries": lambda: check(*with_entries(0, 1, 2, 3, 3)),
    "no entries": lambda: check(*with_entries()),
    "two swapped": lambda: check(*with_entries(1, 0, 2, 3)),
    "one twice": lambda: check(with_part(3, GOOD.signatures[0]), with_pq(3, GOOD_PQ.signatures[0])),
    "swapped address": lambda: check(with_part(0, replace(GOOD.signatures[0], validator_address=SET.validators[1].address))),
    "surplus signature forged": lambda: check(with_part(3, replace(GOOD.signatures[3], signature=b"f" * 64))),
    "surplus post-quantum signature forged": lambda: check(pq=with_pq(3, b"f" * 2420)),
    "surplus signature missing its second half": lambda: check(pq=with_pq(3, b"")),
    "nil counted as a vote for the block": lambda: check(with_part(3, replace(GOOD.signatures[3], flag=Flag.COMMIT))),
    "a vote for the block called nil": lambda: check(with_part(0, replace(GOOD.signatures[0], flag=Flag.NIL))),
    "time changed": lambda: check(with_part(0, replace(GOOD.signatures[0], time_ns=BASE_NS + 1))),
    "absent with an address": lambda: check(with_part(3, replace(GOOD.signatures[3], flag=Flag.ABSENT)), with_pq(3, b"")),
    "absent with a post-quantum signature": lambda: check(with_part(3, ABSENT)),
    "two of four": lambda: check(*make_commit(SET, 5, 2, NAME, (0, 1))),
    "two of four and two nil": lambda: check(*make_commit(SET, 5, 2, NAME, (0, 1), (2, 3))),
    "side-car of another height": lambda: check(pq=replace(GOOD_PQ, height=4)),
    "side-car of another round": lambda: check(pq=replace(GOOD_PQ, round=1)),
    "side-car of another size": lambda: check(pq=replace(GOOD_PQ, signatures=GOOD_PQ.signatures[:3])),
    "other set": lambda: check(validators=make_set((1, 1, 1, 1, 1))),
    "heavier set": lambda: check(*make_commit(make_set((9, 1, 1, 1)), 5, 2, NAME, (1, 2, 3)), validators=make_set((9, 1, 1, 1))),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_k3_whatever_is_wrong_with_a_commit_is_seen(name: str) -> None:
    with pytest.raises(InvalidCommitError):
        BAD[name]()


def test_k3_all_signatures_are_verified_not_just_two_thirds() -> None:
    verifier = FakeVerifier()
    verify_commit(CHAIN, SET, 5, NAME, GOOD, GOOD_PQ, verifier)
    assert verifier.calls == 4


def test_k3_a_set_of_another_order_refuses_it() -> None:
    """Index-aligned: the same four validators with other powers stand in another order."""
    powers = ValidatorSet(
        Validator(v.ed25519_key, v.pq_kind, v.pq_key, 4 - index) for index, v in enumerate(reversed(SET.validators))
    )
    with pytest.raises(InvalidCommitError):
        check(validators=powers)


def test_an_absent_entry_reads_back_as_absent() -> None:
    assert CommitSig.from_wire((1,)) is ABSENT
    for wire in ((1, b"a" * 20, (0, 0), b"s" * 64), (2,), (True,), (4, b"a" * 20, (0, 0), b"s" * 64)):
        with pytest.raises(MalformedError):
            CommitSig.from_wire(wire)


def test_a_commit_of_height_zero_is_the_empty_one() -> None:
    assert Commit.from_wire(EMPTY_COMMIT.to_wire()) == EMPTY_COMMIT
    for commit in (replace(GOOD, height=0), replace(GOOD, block_id=EMPTY), replace(GOOD, signatures=())):
        with pytest.raises(MalformedError):
            Commit.from_wire(commit.to_wire())


# with real keys


@pytest.fixture(scope="module", params=[KeyKind.MLDSA44, KeyKind.MLDSA65, KeyKind.MLDSA87])
def real(request: pytest.FixtureRequest) -> tuple[Validator, Vote, PrivateKey, PrivateKey]:
    kind: KeyKind = request.param
    key = PrivateKey.from_seed(KeyKind.ED25519, b"e" * 32)
    pq_key = PrivateKey.from_seed(kind, b"q" * 32)
    validator = Validator(key.public_key.data, kind, pq_key.public_key.data, 7)
    return validator, Vote(PRECOMMIT, 3, 1, NAME, BASE_NS, validator.address, 0), key, pq_key


def test_a_vote_counts_only_if_both_signatures_verify(real: tuple[Validator, Vote, PrivateKey, PrivateKey]) -> None:
    validator, vote, key, pq_key = real
    data = vote.sign_bytes(CHAIN)
    classic, pq = key.sign(data, b""), pq_key.sign(data, CONTEXT_VOTE)
    verifier = HybridVerifier()
    assert verifier.verify(validator, data, classic, pq)
    assert verifier.verify_classic(validator, data, classic)
    for bad in (b"", classic[:-1], bytes(64), classic[:32] + bytes(32)):
        assert not verifier.verify(validator, data, bad, pq)
        assert not verifier.verify_classic(validator, data, bad)
    for bad in (b"", pq[:-1], bytes(len(pq)), pq_key.sign(data, CONTEXT_TX), pq_key.sign(data, b"")):
        assert not verifier.verify(validator, data, classic, bad)
    assert not verifier.verify(validator, vote.sign_bytes("other"), classic, pq)
    assert not verifier.verify(validator, data, pq[:64], classic)


def test_a_commit_with_real_signatures(real: tuple[Validator, Vote, PrivateKey, PrivateKey]) -> None:
    validator, vote, key, pq_key = real
    data = vote.sign_bytes(CHAIN)
    part = CommitSig(Flag.COMMIT, validator.address, BASE_NS, key.sign(data, b""))
    commit = Commit(3, 1, NAME, (part,))
    pq = PqCommit(3, 1, (pq_key.sign(data, CONTEXT_VOTE),))
    validators = ValidatorSet([validator])
    verify_commit(CHAIN, validators, 3, NAME, commit, pq, HybridVerifier())
    verify_commit(CHAIN, validators, 3, NAME, commit, None, HybridVerifier())
    with pytest.raises(InvalidCommitError):
        verify_commit("test-2", validators, 3, NAME, commit, pq, HybridVerifier())
