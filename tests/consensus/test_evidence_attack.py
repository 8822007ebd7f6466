"""Proof of a light client attack: lunatic, equivocation, amnesia, and the header from ahead; who is accused, and who cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consensus.commit import Flag
from consensus.evidence import LightClientAttackEvidence, LightValidator, verify_evidence
from state.misbehavior import MisbehaviorKind
from state.primitives.errors import InvalidEvidenceError, MalformedError, UnknownHistoryError
from state.primitives.hashing import sha256
from state.validators import ValidatorSet, ValidatorUpdate
from tests.consensus.evidence_world import Chain, S, sign_header, strangers
from tests.consensus.world import BASE_NS, CHAIN, FakeVerifier, make_validator

WORLD = Chain((3, 2, 1, 1)).grow(10)
MEMBERS = WORLD.set.validators
FALSE = {"app_hash": sha256(b"false")}


def check(item: LightClientAttackEvidence, chain: Chain = WORLD, chain_id: str = CHAIN) -> None:
    verify_evidence(item, chain_id, chain, FakeVerifier())


def lunatic(common: int = 4, height: int = 7, **options: Any) -> LightClientAttackEvidence:
    return LightClientAttackEvidence.of(WORLD.forged(height, **{**FALSE, **options}), common, WORLD)


def equivocation(height: int = 6, **options: Any) -> LightClientAttackEvidence:
    """A second block of that height whose derived hashes are true."""
    return LightClientAttackEvidence.of(WORLD.forged(height, data_hash=sha256(b"other"), **options), height, WORLD)


def test_lunatic_accuses_who_signed_and_was_ours_at_the_common_height() -> None:
    item = lunatic(signers=(0, 1))
    check(item)
    assert [found.address for found in item.byzantine] == [member.address for member in MEMBERS[:2]]
    assert item.misbehavior() == tuple(
        (MisbehaviorKind.LIGHT_CLIENT_ATTACK, member.address, 4, BASE_NS + 4 * S, member.power, 7)
        for member in MEMBERS[:2]
    )


@pytest.mark.parametrize("field", ["app_hash", "last_results_hash", "consensus_hash", "next_validators_hash"])
def test_lunatic_each_derived_hash_that_is_false_makes_one(field: str) -> None:
    item = LightClientAttackEvidence.of(WORLD.forged(7, **{field: sha256(b"false")}), 4, WORLD)
    check(item)
    assert len(item.byzantine) == 3


def test_lunatic_with_a_set_made_up_of_strangers_and_some_of_ours() -> None:
    """The forged set may name anybody; accused are ours, with our powers and in our order."""
    members = ValidatorSet([*strangers(2), MEMBERS[0], MEMBERS[1]])
    signers = range(len(members))
    item = LightClientAttackEvidence.of(WORLD.forged(7, members=members, signers=signers), 4, WORLD)
    check(item)
    assert [(found.address, found.power) for found in item.byzantine] == [(m.address, m.power) for m in MEMBERS[:2]]


def test_lunatic_needs_more_than_a_third_of_the_common_set() -> None:
    members = ValidatorSet([*strangers(2, 50), MEMBERS[1]])  # 2 of 7
    block = WORLD.forged(7, members=members, signers=range(3))
    with pytest.raises(InvalidEvidenceError, match="too little of the common set"):
        LightClientAttackEvidence.of(block, 4, WORLD)


def test_lunatic_from_ahead_is_not_later_than_the_chain() -> None:
    tip_ns = WORLD.tip.last_block_time_ns
    item = LightClientAttackEvidence.of(WORLD.forged(50, time_ns=tip_ns, **FALSE), 4, WORLD)
    check(item)
    assert len(item.byzantine) == 3
    with pytest.raises(InvalidEvidenceError, match="may be its next"):
        LightClientAttackEvidence.of(WORLD.forged(11, time_ns=tip_ns + 1, **FALSE), 4, WORLD)


def test_equivocation_accuses_who_signed_both() -> None:
    item = equivocation(signers=(0, 1, 3))
    check(item)
    assert [found.address for found in item.byzantine] == [MEMBERS[index].address for index in (0, 1, 3)]
    assert (item.height, item.total_power) == (6, 7)


def test_amnesia_is_proved_and_nobody_is_punished() -> None:
    item = equivocation(round_=1)
    check(item)
    assert item.byzantine == () == item.misbehavior() == item.pq_signatures


def test_equivocation_waits_for_the_commit_that_everybody_agrees_on() -> None:
    """The commit of the last height is not the same on all nodes (E7): only the next block fixes it."""
    with pytest.raises(UnknownHistoryError):
        equivocation(10)


def test_the_set_changes_between_the_common_height_and_the_attack() -> None:
    """Who has left by then is still accused; who came later is not in the common set."""
    chain = Chain((3, 2, 1, 1)).grow(3)
    new = make_validator("new", 4)
    gone = chain.set.validators[1]
    chain.grow(1, updates=(
        ValidatorUpdate(new.ed25519_key, new.pq_kind, new.pq_key, 4),
        ValidatorUpdate(gone.ed25519_key, gone.pq_kind, gone.pq_key, 0),
    ))  # fmt: skip
    chain.grow(6)
    later = chain.sets[8]
    assert later.by_address(gone.address) is None
    members = ValidatorSet([*later.validators, gone])
    item = LightClientAttackEvidence.of(chain.forged(8, members=members, signers=range(len(members))), 4, chain)
    check(item, chain)
    accused = [found.address for found in item.byzantine]
    assert gone.address in accused
    assert new.address not in accused


def resigned(item: LightClientAttackEvidence, **changes: Any) -> LightClientAttackEvidence:
    """The same attack with another header, signed by the same three."""
    header = replace(item.header, **changes)
    commit, pq_commit = sign_header(WORLD.set, header, (0, 1, 2), item.commit.round)
    return replace(item, header=header, commit=commit, pq_signatures=pq_commit.signatures[:3])


LUNATIC, EQUIVOCATION, AMNESIA = lunatic(), equivocation(), equivocation(round_=1)
FORGED_SIGNATURE = replace(LUNATIC.commit.signatures[1], signature=b"f" * 64)


def with_commit(**changes: Any) -> LightClientAttackEvidence:
    return replace(LUNATIC, commit=replace(LUNATIC.commit, **changes))


def with_entry(index: int, **changes: Any) -> LightClientAttackEvidence:
    parts = list(LUNATIC.commit.signatures)
    parts[index] = replace(parts[index], **changes)
    return with_commit(signatures=tuple(parts))


BAD: dict[str, Callable[[], LightClientAttackEvidence]] = {
    "common height above": lambda: replace(LUNATIC, common_height=8),
    "other chain": lambda: resigned(LUNATIC, chain_id="other-1"),
    "commit of another height": lambda: with_commit(height=6),
    "commit for another header": lambda: replace(LUNATIC, header=replace(LUNATIC.header, data_hash=sha256(b"x"))),
    "commit of another size": lambda: with_commit(signatures=LUNATIC.commit.signatures[:3]),
    "another set": lambda: replace(LUNATIC, validators=(replace(LUNATIC.validators[0], power=4), *LUNATIC.validators[1:])),
    "set out of order": lambda: replace(LUNATIC, validators=LUNATIC.validators[::-1]),
    "a member twice": lambda: replace(LUNATIC, validators=(LUNATIC.validators[0], *LUNATIC.validators[:3])),
    "wrong time": lambda: replace(LUNATIC, time_ns=LUNATIC.time_ns + 1),
    "wrong total (L7)": lambda: replace(LUNATIC, total_power=8),
    "one accused too few": lambda: replace(LUNATIC, byzantine=LUNATIC.byzantine[:2], pq_signatures=LUNATIC.pq_signatures[:2]),
    "one accused too many": lambda: replace(
        LUNATIC, byzantine=(*LUNATIC.byzantine, LightValidator(MEMBERS[3].ed25519_key, 1)),
        pq_signatures=(*LUNATIC.pq_signatures, LUNATIC.pq_signatures[0]),
    ),
    "accused with a wrong power (L7)": lambda: replace(
        LUNATIC, byzantine=(replace(LUNATIC.byzantine[0], power=9), *LUNATIC.byzantine[1:])
    ),
    "accused in another order": lambda: replace(LUNATIC, byzantine=LUNATIC.byzantine[::-1]),
    "no post-quantum signature": lambda: replace(LUNATIC, pq_signatures=()),
    "a post-quantum signature of another": lambda: replace(LUNATIC, pq_signatures=LUNATIC.pq_signatures[::-1]),
    "forged signature": lambda: with_commit(
        signatures=(LUNATIC.commit.signatures[0], FORGED_SIGNATURE, *LUNATIC.commit.signatures[2:])
    ),
    "entry of another validator": lambda: with_entry(0, validator_address=MEMBERS[1].address),
    "entry absent and signed": lambda: with_entry(0, flag=Flag.ABSENT),
    "too little power": lambda: lunatic(signers=(0,)),
    "two thirds and no more": lambda: lunatic(
        members=ValidatorSet([make_validator("x", 3), MEMBERS[0], make_validator("y", 3)]), signers=(0, 1)
    ),
    "lunatic at the common height": lambda: replace(LUNATIC, common_height=7, time_ns=BASE_NS + 7 * S),
    "true hashes and a lower common height": lambda: replace(EQUIVOCATION, common_height=5, time_ns=BASE_NS + 5 * S),
    "the chain's own header": lambda: replace(
        LUNATIC, header=WORLD.blocks[7].header, commit=sign_header(WORLD.set, WORLD.blocks[7].header, (0, 1, 2))[0]
    ),
    "amnesia with an accused": lambda: replace(
        AMNESIA, byzantine=EQUIVOCATION.byzantine, pq_signatures=EQUIVOCATION.pq_signatures
    ),
    "equivocation without one": lambda: replace(EQUIVOCATION, byzantine=(), pq_signatures=()),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_whatever_is_wrong_with_an_attack_is_seen(name: str) -> None:
    with pytest.raises(InvalidEvidenceError):
        check(BAD[name]())


def test_the_controls_of_the_table_are_good() -> None:
    for item in (LUNATIC, EQUIVOCATION, AMNESIA, resigned(LUNATIC, data_hash=sha256(b"x"))):
        check(item)


def test_broken_ed25519_keys_alone_punish_nobody() -> None:
    """Whoever can forge every Ed25519 signature still lacks the ML-DSA halves."""
    forged = tuple(bytes(len(signature)) for signature in LUNATIC.pq_signatures)
    with pytest.raises(InvalidEvidenceError, match="both keys"):
        check(replace(LUNATIC, pq_signatures=forged))


def test_a_forgery_costs_one_signature() -> None:
    """Whoever has none of our keys can make up a set of 200 that signs properly; the accused are looked at first."""

    class Counting(FakeVerifier):
        def verify_classic(self, *args: Any) -> bool:
            self.calls += 1
            return super().verify_classic(*args)

    members = ValidatorSet([*strangers(196, 50), *MEMBERS])
    block = WORLD.forged(7, members=members, signers=range(200), **FALSE)
    item = LightClientAttackEvidence.of(block, 4, WORLD)
    check(item)
    parts = [
        part if members.validators[index].power == 50 else replace(part, signature=bytes(64))
        for index, part in enumerate(block.commit.signatures)
    ]
    verifier = Counting()
    with pytest.raises(InvalidEvidenceError):
        verify_evidence(replace(item, commit=replace(item.commit, signatures=tuple(parts))), CHAIN, WORLD, verifier)
    assert verifier.calls == 1


def test_a_common_height_that_is_not_kept_cannot_be_judged() -> None:
    chain = Chain().grow(10)
    item = LightClientAttackEvidence.of(chain.forged(7, **FALSE), 4, chain)
    chain.base = 5
    with pytest.raises(UnknownHistoryError):
        check(item, chain)
    chain.base = 1
    check(item, chain)


def test_one_forged_header_is_one_offence_of_each_of_the_accused() -> None:
    """Anybody can name another common height, which makes no second offence; nor do fewer signatures make the others innocent."""
    other, fewer = lunatic(5), lunatic(signers=(0, 1))
    for item in (other, fewer):
        check(item)
    assert (other.offence, other.offences) == (LUNATIC.offence, LUNATIC.offences)
    assert other.hash() != LUNATIC.hash()
    assert len(LUNATIC.offences) == 3
    assert fewer.offences == LUNATIC.offences[:2]
    assert fewer.offence != LUNATIC.offence
    assert not set(lunatic(height=8).offences) & set(LUNATIC.offences)


def test_amnesia_does_not_cover_for_equivocation() -> None:
    """The same header with a commit of another round: CometBFT gives both proofs one hash, here the second still counts."""
    assert AMNESIA.hash() == EQUIVOCATION.hash()
    assert not set(AMNESIA.offences) & set(EQUIVOCATION.offences)


def test_from_wire_refuses_an_empty_set() -> None:
    wire = list(LUNATIC.to_wire())
    wire[2] = ()
    with pytest.raises(MalformedError):
        LightClientAttackEvidence.from_wire(tuple(wire))
