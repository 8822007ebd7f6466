"""The travel rule: which payments carry data, whose attestation is good, for what, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.marks import TRAVEL_RULE
from state.modules.operation import AMM_ADDRESS
from state.modules.travel import DOMAIN, attestation_message
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind
from state.receipts import Receipt
from state.schema import asset_key
from state.schema_kyc import attested_key
from tests.state.kyc_world import ADDRESS, LEI_NORTH, LEI_SOUTH, KycWorld, op
from tests.state.ledger_world import CHAIN, call, entry, key_of, pay

PAYLOAD = sha256(b"who pays whom")
KEYS = {"north": (entry(1, "att north"),), "south": (entry(1, "att south"), entry(2, "att pq", 1, KeyKind.MLDSA87))}
SIGNING = {1: ("att south", KeyKind.ED25519), 2: ("att pq", KeyKind.MLDSA87), 9: ("stranger", KeyKind.ED25519)}


@pytest.fixture
def world() -> KycWorld:
    world = KycWorld()
    for name, lei in (("north", LEI_NORTH), ("south", LEI_SOUTH)):
        assert world.op("auth", "comp.register_vasp", institution=ADDRESS[name], lei=lei, keys=KEYS[name]).code == Code.OK
    assert world.op("bank", "comp.set_travel_threshold", amount=1_000).code == Code.OK
    return world


def attest(world: KycWorld, *, key_id: int = 1, valid_until: int | None = None, **changed: Any) -> tuple[Any, ...]:
    """Travel data for north1 paying south1 5,000 QNX, with the attestation of one key over fields of which some are changed."""
    until = world.now + 300 if valid_until is None else valid_until
    fields = {
        "chain_id": CHAIN,
        "payload_hash": PAYLOAD,
        "payer": ADDRESS["north1"],
        "payee": ADDRESS["south1"],
        "code": b"QNX",
        "amount": 5_000,
        "valid_until": until,
        **changed,
    }
    name, kind = SIGNING[key_id]
    signature = key_of(name, kind).sign(attestation_message(**fields), DOMAIN)
    return ("ivms101", PAYLOAD, LEI_NORTH, LEI_SOUTH, (key_id, signature), "")


def send(world: KycWorld, travel: Any, amount: int = 5_000, payer: str = "north1", payee: str = "south1") -> Receipt:
    receipt = world.do(payer, pay(payee, amount), travel=travel)
    world.audit()
    return receipt


def test_from_the_threshold_on_between_institutions_data_and_attestation_are_needed(world: KycWorld) -> None:
    assert send(world, None, 999).code == Code.OK
    assert send(world, None, 1_000).code == Code.TRAVEL_DATA_REQUIRED
    assert send(world, None, 10**6, "north1", "north2").code == Code.OK  # inside of one institution
    assert send(world, None, 10**6, "deep", "north").code == Code.OK
    travel = attest(world)
    receipt = send(world, travel)
    assert receipt.code == Code.OK
    (event,) = (e for e in receipt.events if e.type == "travel_attested")
    assert dict(event.attributes)["beneficiary"] == LEI_SOUTH
    assert send(world, attest(world, key_id=2)).code == Code.OK


def test_an_attestation_is_for_one_payment_and_one_use(world: KycWorld) -> None:
    """What another ledger had and lost: bound to chain, payload, both parties, asset, amount and validity."""
    for changed in (
        {"chain_id": b"x" * 32},
        {"payload_hash": b"x" * 32},
        {"payer": ADDRESS["north2"]},
        {"payee": ADDRESS["south"]},
        {"code": b"EUR"},
        {"amount": 4_999},
        {"valid_until": world.now + 299},
    ):
        assert send(world, attest(world, **changed)).code == Code.ATTESTATION_INVALID, changed
    travel, until = attest(world), world.now + 300
    assert send(world, travel).code == Code.OK
    again = world.do("north1", pay("south1", 5_000), travel=travel, valid_until=until)
    assert again.code == Code.ATTESTATION_INVALID
    twice = world.do("north1", pay("south1", 5_000), pay("south1", 5_000), travel=attest(world))
    assert (twice.code, twice.op_index) == (Code.ATTESTATION_INVALID, 1)


def test_a_used_attestation_is_forgotten_when_its_transaction_can_come_no_more(world: KycWorld) -> None:
    travel, until = attest(world), world.now + 300
    message = attestation_message(CHAIN, PAYLOAD, ADDRESS["north1"], ADDRESS["south1"], b"QNX", 5_000, until)
    assert send(world, travel).code == Code.OK
    assert world.read(attested_key(sha256(message))) == (until,)
    world.now = until
    world.apply()
    assert world.read(attested_key(sha256(message))) == (until,)
    world.now = until + 120
    world.apply()
    assert world.read(attested_key(sha256(message))) is None


def test_whose_data_and_whose_key(world: KycWorld) -> None:
    scheme, payload, north, south, attestation, _ = attest(world)
    assert send(world, (scheme, payload, north, south, (), "")).code == Code.ATTESTATION_INVALID
    assert send(world, (scheme, payload, north, south, (7, attestation[1]), "")).code == Code.ATTESTATION_INVALID
    assert send(world, (scheme, payload, north, south, (1, b"x" * 64), "")).code == Code.ATTESTATION_INVALID
    assert send(world, (scheme, payload, north, north, attestation, "")).code == Code.TRAVEL_DATA_REQUIRED
    assert send(world, (scheme, payload, south, south, attestation, "")).code == Code.TRAVEL_DATA_REQUIRED
    assert send(world, attest(world, payer=ADDRESS["alice"]), payer="alice").code == Code.TRAVEL_DATA_REQUIRED
    stranger = attest(world, key_id=9)
    assert send(world, (*stranger[:4], (1, stranger[4][1]), "")).code == Code.ATTESTATION_INVALID


def test_the_lower_threshold_of_both_jurisdictions_counts() -> None:
    world = KycWorld()
    world.op("bank", "comp.set_travel_threshold", jurisdiction="US", amount=3_000)
    assert send(world, None, 10**6, "alice", "bob").code == Code.OK  # of no known jurisdiction: no threshold
    world.certify("alice", jurisdiction="US")
    assert send(world, None, 2_999, "alice", "bob").code == Code.OK
    assert send(world, None, 3_000, "alice", "bob").code == Code.TRAVEL_DATA_REQUIRED
    assert send(world, None, 3_000, "bob", "alice").code == Code.TRAVEL_DATA_REQUIRED
    world.op("bank", "comp.set_travel_threshold", jurisdiction="DE", amount=0)  # every payment
    world.certify("bob", jurisdiction="DE")
    assert send(world, None, 1, "alice", "bob").code == Code.TRAVEL_DATA_REQUIRED
    assert world.op("bank", "comp.clear_travel_threshold", jurisdiction="DE").code == Code.OK
    assert send(world, None, 1, "alice", "bob").code == Code.OK
    assert world.op("bank", "comp.clear_travel_threshold", jurisdiction="DE").code == Code.PENDING_NOT_FOUND
    assert world.read(asset_key("QNX"))[5] & TRAVEL_RULE
    assert world.op("bank", "comp.clear_travel_threshold", jurisdiction="US").code == Code.OK
    assert world.read(asset_key("QNX"))[5] == 0


def test_many_payers_at_once_are_no_way_around(world: KycWorld) -> None:
    def legs(*rows: tuple[str, int]) -> Any:
        return call(
            "asset.multi_transfer",
            legs=tuple((ADDRESS[name], "QNX", int(amount > 0), abs(amount)) for name, amount in rows),
        )

    assert world.do("north1", legs(("north1", -900), ("south1", 900))).code == Code.OK
    assert world.do("north1", legs(("north1", -1_000), ("south1", 1_000))).code == Code.TRAVEL_DATA_REQUIRED
    assert world.do("north1", legs(("north1", -1_000), ("south1", 500), ("south1", 500))).code == Code.TRAVEL_DATA_REQUIRED
    assert world.do("north1", legs(("north1", -1_000), ("north2", 1_000))).code == Code.OK


def test_who_registers_an_institution_and_who_changes_its_keys(world: KycWorld) -> None:
    south, north = ADDRESS["south"], ADDRESS["north"]
    new = (entry(5, "att new"),)

    def register(sender: str, institution: bytes, lei: str = LEI_SOUTH, keys: Any = new) -> int:
        return world.op(sender, "comp.register_vasp", institution=institution, lei=lei, keys=keys).code

    assert register("south", south) == Code.OK  # its keys, the same identifier
    assert register("south", south, "5493006MHB84DD0ZWV18") == Code.NO_PERMISSION
    assert register("north", south) == Code.NO_PERMISSION
    assert register("alice", ADDRESS["alice"]) == Code.NO_PERMISSION
    assert register("auth", north) == Code.ACCOUNT_EXISTS
    assert register("auth", AMM_ADDRESS) == Code.RECIPIENT_IS_MODULE
    assert register("auth", b"n" * 32) == Code.ACCOUNT_NOT_FOUND
    assert register("auth", ADDRESS["south1"]) == Code.ASSERT_FAILED
    assert register("auth", south, "5493006MHB84DD0ZWV18") == Code.OK
    assert register("auth", north, LEI_SOUTH) == Code.OK  # it is free now


@pytest.mark.parametrize("lei", ["5493001KJTIIGC8Y1R13", "5493001KJTIIGC8Y1R1", "5493001kjtiigc8y1r12", "", "5493001KJTIIGC8Y1R1X"])
def test_an_identifier_with_wrong_check_digits_never_enters_a_block(lei: str) -> None:
    from state.primitives.errors import TransactionError

    with pytest.raises(TransactionError):
        KycWorld().raw("auth", op("comp.register_vasp", institution=ADDRESS["south"], lei=lei, keys=KEYS["south"]))


def test_thresholds_are_made_by_issuer_and_authority() -> None:
    world = KycWorld()
    assert world.op("alice", "comp.set_travel_threshold", amount=5).code == Code.NO_PERMISSION
    assert world.op("bank", "comp.set_travel_threshold", amount=5, asset="NONE").code == Code.ASSET_NOT_FOUND
    assert world.op("auth", "comp.set_travel_threshold", amount=5).code == Code.OK
    assert world.op("bank", "comp.set_travel_threshold", amount=6).code == Code.NO_PERMISSION
    assert world.op("bank", "comp.clear_travel_threshold").code == Code.NO_PERMISSION
    assert world.op("bank", "comp.clear_travel_threshold", asset="NONE").code == Code.ASSET_NOT_FOUND
