"""Credentials and domains: issue, accept, revoke, renew; membership is what holds at the moment of use."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.modules.credentials import OPERATIONS
from state.modules.domains import require_member
from state.modules.operation import AMM_ADDRESS, OpContext
from state.modules.standing import find_jurisdiction, find_standing
from state.primitives.errors import OperationFailed
from state.primitives.limits import CREDENTIALS_MAX
from state.schema_kyc import credential_key, credentials_key, domain_key
from state.view import View
from tests.state.kyc_world import ADDRESS, DAY, EVIDENCE, KycWorld, op

ALICE, BOB, AUTH, BANK = ADDRESS["alice"], ADDRESS["bob"], ADDRESS["auth"], ADDRESS["bank"]


def membership(world: KycWorld, who: str, domain: str = "retail", later_s: int = 0) -> int:
    """0, or the code with which membership is refused."""
    context = OpContext(View(world.db), world.height + 1, world.now + later_s, ())
    try:
        require_member(context, domain, ADDRESS[who])
    except OperationFailed as failure:
        return failure.result
    return 0


def test_a_credential_is_issued_accepted_renewed_and_revoked() -> None:
    world = KycWorld()
    assert world.op("auth", "kyc.issue", subject=ALICE, tier=2, jurisdiction="CH").code == Code.OK
    record = world.read(credential_key(ALICE, AUTH, "kyc"))
    assert (record.tier, record.jurisdiction, record.evidence_hash, record.accepted_s) == (2, "CH", EVIDENCE, 0)
    assert world.read(credentials_key(ALICE)) is None
    assert world.op("alice", "kyc.accept", issuer=AUTH).code == Code.OK
    assert world.op("alice", "kyc.accept", issuer=AUTH).code == Code.ALREADY_SETTLED
    assert world.read(credentials_key(ALICE)) == ((AUTH, "kyc"),)
    assert world.op("auth", "kyc.issue", subject=ALICE, tier=3, jurisdiction="DE").code == Code.OK
    renewed = world.read(credential_key(ALICE, AUTH, "kyc"))
    assert (renewed.tier, renewed.jurisdiction) == (3, "DE")
    assert renewed.accepted_s > 0
    assert world.op("auth", "kyc.revoke", subject=ALICE, issuer=AUTH).code == Code.OK
    assert world.read(credential_key(ALICE, AUTH, "kyc")) is None
    assert world.read(credentials_key(ALICE)) is None


def test_each_code_of_each_row() -> None:
    world = KycWorld()
    assert world.op("auth", "kyc.issue", subject=AMM_ADDRESS).code == Code.RECIPIENT_IS_MODULE
    assert world.op("auth", "kyc.issue", subject=b"n" * 32).code == Code.ACCOUNT_NOT_FOUND
    assert world.op("auth", "kyc.issue", subject=ALICE, expires=world.now).code == Code.TOO_LATE
    assert world.op("alice", "kyc.accept", issuer=AUTH).code == Code.CREDENTIAL_MISSING
    assert world.op("auth", "kyc.issue", subject=ALICE, expires=world.now + 1).code == Code.OK
    assert world.op("alice", "kyc.accept", issuer=AUTH).code == Code.CREDENTIAL_EXPIRED
    assert world.op("bob", "kyc.revoke", subject=ALICE, issuer=AUTH).code == Code.NO_PERMISSION
    assert world.op("alice", "kyc.revoke", subject=ALICE, issuer=BANK).code == Code.CREDENTIAL_MISSING
    assert world.op("alice", "kyc.revoke", subject=ALICE, issuer=AUTH).code == Code.OK  # the subject may drop it too
    accepted = ((AUTH, "kyc", 1),)
    assert world.op("alice", "domain.delete").code == Code.CREDENTIAL_MISSING
    assert world.op("alice", "domain.set", credentials=accepted).code == Code.OK
    assert world.op("bob", "domain.set", credentials=accepted).code == Code.NO_PERMISSION
    assert world.op("bob", "domain.delete").code == Code.NO_PERMISSION
    assert world.op("alice", "domain.delete").code == Code.OK
    assert world.op("alice", "domain.delete").code == Code.CREDENTIAL_MISSING


def test_nobody_fills_anothers_list_and_ones_own_is_bounded() -> None:
    world = KycWorld()
    kinds = [f"k{number:02}" for number in range(CREDENTIALS_MAX + 1)]
    for kind in kinds:
        assert world.do("bob", op("kyc.issue", subject=ALICE, type=kind)).code == Code.OK
    assert world.read(credentials_key(ALICE)) is None
    assert world.do("alice", *(op("kyc.accept", issuer=BOB, type=kind) for kind in kinds[:-1])).code == Code.OK
    assert world.op("alice", "kyc.accept", issuer=BOB, type=kinds[-1]).code == Code.ASSERT_FAILED
    assert world.op("alice", "kyc.revoke", subject=ALICE, issuer=BOB, type=kinds[3]).code == Code.OK
    assert world.op("alice", "kyc.accept", issuer=BOB, type=kinds[-1]).code == Code.OK


def test_membership_is_what_holds_at_the_moment_of_use() -> None:
    """Expiry, revocation, renewal, a changed domain: nothing was stored that could be stale."""
    world = KycWorld()
    assert membership(world, "alice") == Code.CREDENTIAL_MISSING  # no such domain
    world.op("bob", "domain.set", credentials=((AUTH, "kyc", 2),))
    assert membership(world, "alice") == Code.CREDENTIAL_MISSING
    world.op("auth", "kyc.issue", subject=ALICE, tier=2, expires=world.now + DAY)
    assert membership(world, "alice") == Code.CREDENTIAL_MISSING  # not accepted
    world.op("alice", "kyc.accept", issuer=AUTH)
    assert membership(world, "alice") == 0
    end = world.read(credential_key(ALICE, AUTH, "kyc")).expires_s
    assert membership(world, "alice", later_s=end - world.now - 1) == 0
    assert membership(world, "alice", later_s=end - world.now) == Code.CREDENTIAL_EXPIRED
    world.op("auth", "kyc.issue", subject=ALICE, tier=1)
    assert membership(world, "alice") == Code.CREDENTIAL_MISSING  # the tier is too low now
    world.op("bob", "domain.set", credentials=((AUTH, "kyc", 1),))
    assert membership(world, "alice") == 0
    world.op("bob", "domain.delete")
    assert membership(world, "alice") == Code.CREDENTIAL_MISSING
    world.op("bob", "domain.set", credentials=tuple(sorted(((AUTH, "kyc", 1), (BANK, "vip", 0)))))
    assert membership(world, "alice") == 0
    world.op("alice", "kyc.revoke", subject=ALICE, issuer=AUTH)
    assert membership(world, "alice") == Code.CREDENTIAL_MISSING
    world.certify("alice", issuer="bank", kind="vip", tier=0)
    assert membership(world, "alice") == 0


def test_the_name_of_a_deleted_domain_is_not_taken_over() -> None:
    """Who could take the name could let himself into everything that it guards."""
    world = KycWorld()
    world.op("bob", "domain.set", credentials=((AUTH, "kyc", 1),))
    world.op("bob", "domain.delete")
    assert world.read(domain_key("retail")).owner == BOB
    world.certify("alice", issuer="alice")
    assert world.op("alice", "domain.set", credentials=((ALICE, "kyc", 0),)).code == Code.NO_PERMISSION
    assert membership(world, "alice") == Code.CREDENTIAL_MISSING


def test_tier_and_jurisdiction_are_what_the_authority_attests() -> None:
    world = KycWorld(authorities=("auth", "north"))

    def standing(who: str, later_s: int = 0) -> tuple[int, str]:
        return find_standing(View(world.db), ADDRESS[who], world.now + later_s)

    assert standing("alice") == (0, "")
    world.certify("alice", issuer="bank", tier=9, jurisdiction="KP")  # anybody may say anything
    assert standing("alice") == (0, "")
    world.certify("alice", tier=0, jurisdiction="FR")
    assert standing("alice") == (0, "FR")
    world.certify("alice", issuer="north", tier=3, jurisdiction="DE", for_s=100)
    assert standing("alice") == (3, "DE")
    assert standing("alice", 100) == (0, "FR")
    world.certify("south", tier=1, jurisdiction="SG")
    view = View(world.db)
    assert find_jurisdiction(view, ADDRESS["south1"], world.now) == "SG"  # of the head of its group
    assert find_jurisdiction(view, ADDRESS["north1"], world.now) == "ZZ"
    assert standing("south1") == (0, "")


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("kyc.issue", {"subject": ALICE, "type": "KYC"}),
    ("kyc.issue", {"subject": ALICE, "type": ""}),
    ("kyc.issue", {"subject": ALICE, "type": "a" * 33}),
    ("kyc.issue", {"subject": ALICE, "tier": 256}),
    ("kyc.issue", {"subject": ALICE, "tier": -1}),
    ("kyc.issue", {"subject": ALICE, "jurisdiction": "ch"}),
    ("kyc.issue", {"subject": ALICE, "jurisdiction": "CHE"}),
    ("kyc.issue", {"subject": ALICE, "evidence_hash": b"short"}),
    ("domain.set", {"credentials": ()}),
    ("domain.set", {"credentials": ((AUTH, "b", 0), (AUTH, "a", 0))}),
    ("domain.set", {"credentials": ((AUTH, "a", 0), (AUTH, "a", 1))}),
    ("domain.set", {"credentials": ((b"short", "a", 0),)}),
    ("domain.set", {"domain": "Retail", "credentials": ((AUTH, "a", 0),)}),
    ("domain.set", {"credentials": tuple((AUTH, f"k{number:02}", 0) for number in range(17))}),
]


@pytest.mark.parametrize(("name", "fields"), WRONG)
def test_wrong_fields_never_enter_a_block(name: str, fields: dict[str, Any]) -> None:
    from state.primitives.errors import TransactionError

    with pytest.raises(TransactionError) as caught:
        KycWorld().raw("alice", op(name, **fields))
    assert caught.value.result in (Code.MALFORMED, Code.TOO_LARGE)


SOME: dict[str, dict[str, Any]] = {
    "kyc.issue": {"subject": ALICE},
    "kyc.accept": {"issuer": AUTH},
    "kyc.revoke": {"subject": ALICE, "issuer": AUTH},
    "domain.set": {"credentials": ((AUTH, "kyc", 0),)},
    "domain.delete": {},
}


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_an_operation_without_its_signer_is_refused(row: Any) -> None:
    world = KycWorld()
    raw = world.raw("bob", op(row.name, as_account=ALICE, **SOME[row.name]))
    assert world.check(raw).code == Code.QUORUM_NOT_MET
