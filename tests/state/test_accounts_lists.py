"""Allow-lists and their cosigner, closing, regulators, sub-accounts of closed parents, and what a closed account can no longer do."""

from __future__ import annotations

from typing import Any

import pytest

from state import marks
from state.codes import Code
from state.modules.gate import FLAG_REQUIRE_ACCEPT
from state.modules.operation import OpContext
from state.primitives.errors import OperationFailed, TransactionError
from state.primitives.limits import ALLOWED_COUNTERPARTIES_MAX, CLOSE_RECORDS_MAX
from state.schema import asset_key, encode_record, holding_key
from state.schema_accounts import allowlist_key
from state.schema_claims import claims_key
from state.schema_staking import delegator_key
from state.transaction import call
from state.view import View
from tests.state.accounts_world import (
    ADDRESS,
    OWNERS,
    AccountsWorld,
    allow,
    close,
    delegate,
    grant_session,
    send,
    sponsor,
)
from tests.state.ledger_world import FEES, create_account, entry, update_keys

ALICE, BOB, CAROL = ADDRESS["alice"], ADDRESS["bob"], ADDRESS["carol"]
BY_ALICE = (("alice", "alice"),)
BY_BOB = (("bob", "bob"),)
BY_WATCH = (("watch", "watch"),)


@pytest.fixture
def world() -> AccountsWorld:
    return AccountsWorld()


def test_an_account_pays_only_those_on_its_list(world: AccountsWorld) -> None:
    world.ok("alice", allow("bob", "carol"), by=BY_ALICE)
    assert world.record("alice")[4] == marks.ALLOW_LISTED
    assert world.code("alice", send("bob"), by=BY_ALICE) == Code.OK
    assert world.code("alice", send("carol"), by=BY_ALICE) == Code.OK
    for other in ("poor", "bank", "desk", "firm"):  # not even the issuer
        assert world.code("alice", send(other), by=BY_ALICE) == Code.COUNTERPARTY_NOT_ALLOWED
    assert world.code("poor", send("alice"), by=[("poor", "poor")]) == Code.INSUFFICIENT_FUNDS
    assert world.code("bob", send("alice"), by=BY_BOB) == Code.OK  # it is of what goes out
    legs = ((ALICE, "QNX", 0, 5), (ADDRESS["desk"], "QNX", 1, 5))
    assert world.code("alice", call("asset.multi_transfer", legs=legs), by=BY_ALICE) == Code.COUNTERPARTY_NOT_ALLOWED
    legs = ((ALICE, "QNX", 0, 5), (BOB, "QNX", 1, 5))
    assert world.code("alice", call("asset.multi_transfer", legs=legs), by=BY_ALICE) == Code.OK
    # a delegate of the account is bound by its list as well
    world.ok("alice", delegate("bob"), by=BY_ALICE)
    assert world.code("bob", send("desk", as_account=ALICE), by=BY_BOB) == Code.COUNTERPARTY_NOT_ALLOWED
    assert world.code("alice", close("desk"), by=BY_ALICE) == Code.COUNTERPARTY_NOT_ALLOWED
    world.ok("alice", allow(), by=BY_ALICE)
    assert world.read(allowlist_key(ALICE)) is None
    assert world.record("alice")[4] == marks.DELEGATING
    assert world.code("alice", send("desk"), by=BY_ALICE) == Code.OK


def test_the_gate_asks_the_list_whatever_module_debits(world: AccountsWorld) -> None:
    world.ok("alice", allow("bob"), by=BY_ALICE)
    context = OpContext(View(world.db), 1, world.now, ())
    context.debit(ALICE, b"QNX", 1, BOB)
    context.debit(ALICE, b"QNX", 1)  # to a module: pools, stakes
    with pytest.raises(OperationFailed) as caught:
        context.debit(ALICE, b"QNX", 1, CAROL)
    assert caught.value.result == Code.COUNTERPARTY_NOT_ALLOWED


def test_a_cosigner_must_agree_to_every_change_of_the_list(world: AccountsWorld) -> None:
    assert world.code("alice", allow("bob", cosigner="alice"), by=BY_ALICE) == Code.SELF_TRANSFER
    world.ok("alice", allow("bob", cosigner="carol"), by=BY_ALICE)
    wider = allow("bob", "desk", cosigner="carol", approver="carol")
    assert world.code("alice", allow("bob", "desk", cosigner="carol"), by=BY_ALICE) == Code.NO_PERMISSION
    assert world.code("alice", allow(), by=BY_ALICE) == Code.NO_PERMISSION
    assert world.code("alice", allow(cosigner="bob", approver="bob"), by=[*BY_ALICE, *BY_BOB]) == Code.NO_PERMISSION
    assert world.code("alice", wider, by=BY_ALICE) == Code.QUORUM_NOT_MET
    assert world.code("alice", wider, by=[*BY_ALICE, ("carol", "c7")]) == Code.QUORUM_NOT_MET  # below carol's high threshold
    assert world.code("alice", wider, by=[("carol", "c7"), ("carol", "c0")]) == Code.QUORUM_NOT_MET
    agreed = [*BY_ALICE, ("carol", "c7"), ("carol", "c0")]
    assert world.code("alice", wider, by=agreed) == Code.OK
    assert world.code("alice", send("desk"), by=BY_ALICE) == Code.OK
    # to nobody at all, and then away with it
    assert world.code("alice", allow(cosigner="carol", approver="carol"), by=agreed) == Code.OK
    assert world.code("alice", send("bob"), by=BY_ALICE) == Code.COUNTERPARTY_NOT_ALLOWED
    assert world.code("alice", allow(approver="carol"), by=agreed) == Code.OK
    assert world.code("alice", allow("bob", approver="carol"), by=agreed) == Code.NO_PERMISSION  # nobody's agreement is asked
    assert world.code("alice", send("bob"), by=BY_ALICE) == Code.OK


def test_lists_that_are_refused(world: AccountsWorld) -> None:
    many = tuple(i.to_bytes(32, "big") for i in range(ALLOWED_COUNTERPARTIES_MAX + 1))

    def listed(names: Any, cosigner: bytes = b"") -> Any:
        return call("account.set_allowlist", counterparties=names, cosigner=cosigner, approver=b"")

    for names, code in (((BOB, BOB), Code.MALFORMED), (many, Code.TOO_LARGE)):
        with pytest.raises(TransactionError) as caught:
            world.signed("alice", listed(names), by=BY_ALICE)
        assert caught.value.result == code
    assert world.code("alice", listed(many[1:]), by=BY_ALICE) == Code.OK
    assert world.code("bob", listed((), bytes(32)), by=BY_BOB) == Code.ACCOUNT_NOT_FOUND
    fees = next(key[2:34] for key in AccountsWorld(FEES).db if key[1:2] == b"h" and key[2:34] not in ADDRESS.values())
    assert world.code("bob", listed((), fees), by=BY_BOB) == Code.RECIPIENT_IS_MODULE


# Closing


def test_closing_pays_out_and_is_for_ever(world: AccountsWorld) -> None:
    world.ok("bank", send("alice", 7, asset="BND"), by=[("bank", "bank")])
    world.ok("alice", grant_session(), delegate("bob"), by=BY_ALICE)
    world.ok("alice", sponsor("poor"), by=BY_ALICE)
    waiting = world.signed("alice", send("carol"), by=BY_ALICE, seq=world.sequence("alice") + 1)
    lane = world.signed("alice", send("carol"), by=BY_ALICE, lane=5)
    assert world.code("alice", close("bob"), by=BY_ALICE) == Code.NOT_TRANSFERABLE  # of BND, which goes to its issuer only
    receipt = world.ok("alice", send("bank", 7, asset="BND"), close("bob"), by=BY_ALICE, seq=world.sequence("alice"))
    closed = next(event for event in receipt.events if event.type == "account_closed")
    assert dict(closed.attributes)["assets"] == "1"
    assert (world.balance("alice"), world.balance("bob")) == (0, 2_000_000)
    assert world.record("alice")[4] == marks.CLOSED
    sequence = world.sequence("alice")
    assert sequence == 4  # it stays
    assert world.check(waiting).code == Code.SEQ_PAST
    for raw in (lane, world.signed("alice", update_keys((entry(9, "x"),)), by=BY_ALICE)):
        assert world.settle(raw).code == Code.ACCOUNT_CLOSED
    assert world.code("alice", close(), by=BY_ALICE) == Code.ACCOUNT_CLOSED
    assert world.code("bob", send("carol", as_account=ALICE), by=BY_BOB) == Code.QUORUM_NOT_MET
    assert world.code("bob", send("alice"), by=BY_BOB) == Code.ACCOUNT_CLOSED
    again = create_account((entry(0, "alice"),))
    assert world.code("bob", again, by=BY_BOB) == Code.ACCOUNT_EXISTS


def test_a_closed_account_acts_in_nobody_elses_transaction() -> None:
    world = AccountsWorld(FEES)
    world.ok("alice", sponsor("poor"), by=BY_ALICE)
    world.ok("bob", send("poor", 10), by=BY_BOB)
    world.ok("alice", close("bob"), by=BY_ALICE)
    assert world.code("alice", send("carol", as_account=BOB), by=[*BY_ALICE, *BY_BOB], fee_payer=BOB) == Code.ACCOUNT_CLOSED
    assert world.code("bob", send("carol", as_account=ALICE), by=[*BY_ALICE, *BY_BOB]) == Code.ACCOUNT_CLOSED
    assert world.code("poor", send("bob", 1), by=[("poor", "poor")], fee_payer=ALICE) == Code.SPONSOR_NOT_ALLOWED
    assert world.code("bob", send("carol"), by=[*BY_ALICE, *BY_BOB], fee_payer=ALICE) == Code.FEE_PAYER_CANNOT_PAY


@pytest.mark.parametrize(
    ("op", "code"),
    [
        (close("alice"), Code.SELF_TRANSFER),
        (call("account.close", beneficiary=bytes(32)), Code.ACCOUNT_NOT_FOUND),
        (close(), Code.ACCOUNT_NOT_EMPTY),
        (close("bob"), Code.OK),
    ],
)
def test_failures_of_closing(world: AccountsWorld, op: Any, code: Code) -> None:
    assert world.code("alice", op, by=BY_ALICE) == code


def test_an_account_that_is_not_empty_stays_open(world: AccountsWorld) -> None:
    def refused(key: bytes, record: Any) -> None:
        other = AccountsWorld()
        before = other.db.get(key)
        other.db[key] = encode_record(key, record)
        raw = other.signed("alice", close("bob"), by=BY_ALICE)
        assert other.apply(raw)[0].code == Code.ACCOUNT_NOT_EMPTY, key
        other.db[key] = encode_record(key, record) if before is None else before

    refused(holding_key(ALICE, "QNX"), (1_000_000, 5, 0))
    refused(delegator_key(ALICE), (bytes(20),))
    refused(claims_key(ALICE), (1, 1))
    refused(b" I", (CLOSE_RECORDS_MAX,))
    assert world.code("bank", close("bob"), by=[("bank", "bank")]) == Code.ACCOUNT_NOT_EMPTY  # it issues assets
    world.ok("alice", allow("bob"), by=BY_ALICE)
    world.db[claims_key(ALICE)] = encode_record(claims_key(ALICE), (3, 0))
    assert world.code("alice", close("bob"), by=BY_ALICE) == Code.OK


def test_shares_of_a_pool_keep_an_account_open() -> None:
    from tests.state.amm_world import AmmWorld, amm_op

    world = AmmWorld()
    first = amm_op("create", a="EUR", b="QNX", amount_a=10**6, amount_b=10**6)
    assert world.do("alice", first).code == Code.OK
    assert world.do("alice", close("bob")).code == Code.ACCOUNT_NOT_EMPTY
    assert world.do("carol", close("bob")).code == Code.OK


def test_a_deposit_on_a_proposal_keeps_an_account_open() -> None:
    from tests.state.gov_world import GovWorld

    world = GovWorld()
    world.propose()
    assert world.do("alice", close("bob")).code == Code.ACCOUNT_NOT_EMPTY
    assert world.do("bob", close("alice")).code == Code.OK


def test_what_a_payment_needs_is_needed_for_closing_too(world: AccountsWorld) -> None:
    key = asset_key("QNX")
    record = list(world.read(key))
    record[2] |= FLAG_REQUIRE_ACCEPT
    record[5] |= marks.GUARDED
    world.db[key] = encode_record(key, tuple(record))
    assert world.code("alice", close("bob"), by=BY_ALICE) == Code.RECIPIENT_MUST_ACCEPT


# Regulators and sub-accounts


def test_a_regulator_acts_by_statutory_operations_and_on_its_own_keys(world: AccountsWorld) -> None:
    assert world.record("watch")[4] == marks.STATUTORY_ONLY
    legs = ((BOB, "QNX", 1, 1), (ADDRESS["watch"], "QNX", 0, 1))
    for op in (send("bob"), call("claim.take", claim=0), call("asset.multi_transfer", legs=legs)):
        assert world.code("watch", op, by=BY_WATCH) == Code.NO_PERMISSION
    assert world.code("watch", call("asset.burn", asset="QNX", amount=1), by=BY_WATCH) == Code.NO_PERMISSION  # no minter
    world.ok("watch", update_keys((entry(9, "w9"),)), by=BY_WATCH)
    world.ok("watch", delegate("bob"), by=BY_WATCH)
    assert world.code("bob", send("carol", as_account=ADDRESS["watch"]), by=BY_BOB) == Code.NO_PERMISSION
    assert world.code("bob", send("watch", 3), by=BY_BOB) == Code.OK  # it may hold what its fees need


def test_a_regulator_opened_later_is_marked_too(world: AccountsWorld) -> None:
    from state.modules.accounts import AccountKind, new_account_address

    keys = (entry(0, "r2"),)
    world.ok("alice", create_account(keys, kind=AccountKind.REGULATOR), by=BY_ALICE)
    address = new_account_address(keys, (1, 1, 1, 1), kind=AccountKind.REGULATOR)
    assert world.read(b" a" + address)[4] == marks.STATUTORY_ONLY


def test_a_closed_parent_opens_no_sub_accounts(world: AccountsWorld) -> None:
    sub = create_account((entry(0, "s"),), kind=3, parent=ADDRESS["firm"])
    world.ok("firm", close("bob"), by=OWNERS)
    assert world.code("bob", sub, by=[*BY_BOB, *OWNERS]) == Code.ACCOUNT_CLOSED
