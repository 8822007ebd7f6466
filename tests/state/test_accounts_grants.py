"""Session keys, delegates, sponsors: what each may do, its limits, its end; and that nobody goes beyond what was granted."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.marks import DELEGATING, GOVERNED_KEYS
from state.primitives.errors import TransactionError
from state.primitives.limits import GRANT_S_MAX, GRANTS_MAX, LANE_UNORDERED
from state.schema_accounts import grant_key, grants_key, session_name, usage_key
from state.transaction import call
from tests.state.accounts_world import (
    ADDRESS,
    DAY,
    NOW,
    OWNERS,
    AccountsWorld,
    close,
    delegate,
    grant_session,
    number,
    send,
    set_policy,
    sponsor,
)
from tests.state.ledger_world import FEES, KeyKind, create_account, entry, pay, update_keys

ALICE, BOB, CAROL, DESK = ADDRESS["alice"], ADDRESS["bob"], ADDRESS["carol"], ADDRESS["desk"]
BY_ALICE = (("alice", "alice"),)
BY_BOB = (("bob", "bob"),)
BOT = (("alice", "bot"),)
PAY = number("asset.transfer")


@pytest.fixture
def world() -> AccountsWorld:
    found = AccountsWorld()
    found.ok("alice", grant_session(), by=BY_ALICE)
    found.ok("alice", delegate("bob"), by=BY_ALICE)
    return found


def test_grants_are_listed_and_mark_the_account(world: AccountsWorld) -> None:
    assert world.record("alice")[4] == DELEGATING
    assert world.read(grants_key(ALICE)) == (b"D" + BOB, session_name(50))
    world.ok("alice", call("account.revoke_session", key_id=50), by=BY_ALICE)
    world.ok("alice", call("account.revoke_delegation", to=BOB), by=BY_ALICE)
    assert world.record("alice")[4] == 0
    assert not [key for key in world.db if key[1:2] == b"t"]
    for op in (call("account.revoke_session", key_id=50), call("account.revoke_delegation", to=BOB)):
        assert world.code("alice", op, by=BY_ALICE) == Code.PENDING_NOT_FOUND


@pytest.mark.parametrize("who", ["session", "delegate"])
def test_a_scope_lets_through_what_it_names_and_nothing_else(who: str, world: AccountsWorld) -> None:
    is_session = who == "session"
    sender, by, as_account = ("alice", BOT, b"") if is_session else ("bob", BY_BOB, ALICE)
    assert world.code(sender, send("carol", 100, as_account=as_account), by=by) == Code.OK
    assert (world.balance("alice"), world.balance("bob")) == (999_900, 1_000_000)
    assert world.code(sender, send("carol", 101, as_account=as_account), by=by) == Code.LIMIT_PER_TX
    two = (send("carol", 60, as_account=as_account), send("carol", 41, as_account=as_account))
    assert world.code(sender, *two, by=by) == Code.LIMIT_PER_TX  # the limit is of the transaction, not of an operation
    assert world.code(sender, send("carol", 100, as_account=as_account), by=by) == Code.OK
    assert world.code(sender, send("carol", 51, as_account=as_account), by=by) == Code.LIMIT_WINDOW
    assert world.code(sender, send("carol", 50, as_account=as_account), by=by) == Code.OK
    assert world.code(sender, send("carol", 1, as_account=as_account), by=by) == Code.LIMIT_WINDOW
    world.later(3600)
    assert world.code(sender, send("carol", 1, as_account=as_account), by=by) == Code.OK
    for op in (
        update_keys((entry(9, "x"),)),
        grant_session(key=(entry(51, "bot2"),)),
        delegate("carol"),
        sponsor("carol"),
        close("bob"),
        call("account.revoke_session", key_id=50),
        call("asset.burn", asset="QNX", amount=1),
        create_account((entry(0, "n"),)),
        set_policy(rules=(), recovery_weight=0),
    ):
        assert world.code(sender, (op[0], as_account, op[2]), by=by) == Code.QUORUM_NOT_MET, op
        # not even beside something that is allowed
        both = (send("carol", 1, as_account=as_account), (op[0], as_account, op[2]))
        assert world.code(sender, *both, by=by) == Code.QUORUM_NOT_MET, op
    assert world.balance("alice") == 1_000_000 - 251


def test_the_asset_must_be_named(world: AccountsWorld) -> None:
    world.ok("bank", grant_session(limits=(("QNX", 5, 5),)), by=[("bank", "bank")])
    assert world.code("bank", send("alice", 1, asset="BND"), by=[("bank", "bot")]) == Code.NO_PERMISSION
    world.ok("bank", grant_session(limits=()), by=[("bank", "bank")])
    assert world.code("bank", send("alice", 1), by=[("bank", "bot")]) == Code.NO_PERMISSION
    assert world.balance("alice") == 1_000_000


@pytest.mark.parametrize("kind", ["session", "delegate"])
def test_counterparties(kind: str) -> None:
    world = AccountsWorld()
    named = tuple(sorted((CAROL, DESK)))
    op = grant_session(counterparties=named) if kind == "session" else delegate("bob", counterparties=named)
    world.ok("alice", op, by=BY_ALICE)
    sender, by, as_account = ("alice", BOT, b"") if kind == "session" else ("bob", BY_BOB, ALICE)
    assert world.code(sender, send("carol", as_account=as_account), by=by) == Code.OK
    assert world.code(sender, send("poor", as_account=as_account), by=by) == Code.COUNTERPARTY_NOT_ALLOWED
    assert world.code("alice", send("poor"), by=BY_ALICE) == Code.OK  # the owner is not bound


def test_legs_of_a_multi_transfer_are_held_to_the_scope() -> None:
    world = AccountsWorld()
    multi = number("asset.multi_transfer")
    world.ok("alice", delegate("bob", ops=(multi,), counterparties=(CAROL,)), by=BY_ALICE)

    def legs(amount: int, payee: bytes) -> Any:
        return call("asset.multi_transfer", legs=((ALICE, "QNX", 0, amount), (payee, "QNX", 1, amount)))

    assert world.code("bob", legs(100, CAROL), by=BY_BOB) == Code.OK
    assert world.code("bob", legs(101, CAROL), by=BY_BOB) == Code.LIMIT_PER_TX
    assert world.code("bob", legs(1, DESK), by=BY_BOB) == Code.COUNTERPARTY_NOT_ALLOWED
    assert world.code("bob", legs(100, BOB), by=BY_BOB) == Code.COUNTERPARTY_NOT_ALLOWED
    assert world.code("carol", legs(1, CAROL), by=[("carol", "c7")]) == Code.QUORUM_NOT_MET


def test_a_delegate_moves_its_own_sequence_and_pays_its_own_fee() -> None:
    world = AccountsWorld(FEES)
    world.ok("alice", delegate("bob"), by=BY_ALICE)
    before = world.balance("alice"), world.balance("bob"), world.sequence("alice"), world.sequence("bob")
    receipt = world.ok("bob", send("carol", 10, as_account=ALICE), by=BY_BOB)
    assert receipt.fee > 0
    after = world.balance("alice"), world.balance("bob"), world.sequence("alice"), world.sequence("bob")
    assert after == (before[0] - 10, before[1] - receipt.fee, before[2], before[3] + 1)
    # the one who delegated does not pay fees unasked
    assert world.code("bob", send("carol", 1, as_account=ALICE), by=BY_BOB, fee_payer=ALICE) == Code.SPONSOR_NOT_ALLOWED


def test_delegations_do_not_chain() -> None:
    world = AccountsWorld()
    world.ok("alice", delegate("bob"), by=BY_ALICE)
    world.ok("bob", delegate("carol"), by=BY_BOB)
    world.ok("bob", grant_session(), by=BY_BOB)
    assert world.code("carol", send("poor", as_account=ALICE), by=[("carol", "c7")]) == Code.QUORUM_NOT_MET
    assert world.code("bob", send("poor", as_account=ALICE), by=[("bob", "bot")]) == Code.QUORUM_NOT_MET
    # the delegate acts as the sender, not by signing along
    assert world.code("carol", send("poor", as_account=ALICE), by=[("carol", "c7"), *BY_BOB]) == Code.UNKNOWN_SIGNER


def test_a_delegate_needs_the_weight_that_the_operation_asks_for() -> None:
    world = AccountsWorld()
    world.ok("alice", delegate("carol"), by=BY_ALICE)
    assert world.code("carol", send("bob", as_account=ALICE), by=[("carol", "c0")]) == Code.QUORUM_NOT_MET
    assert world.code("carol", send("bob", as_account=ALICE), by=[("carol", "c0"), ("carol", "c1")]) == Code.OK
    world.govern(dual_from=1)
    world.ok("alice", delegate("firm"), by=BY_ALICE)
    assert world.code("firm", send("bob", as_account=ALICE), by=OWNERS) == Code.QUORUM_NOT_MET  # two-person control holds here too
    assert world.code("firm", send("bob", as_account=ALICE), by=[("firm", "f0"), ("firm", "f3")]) == Code.OK


def test_grants_end(world: AccountsWorld) -> None:
    world.later(10 * DAY)
    assert world.code("alice", send("carol"), by=BOT) == Code.OK
    assert world.code("bob", send("carol", as_account=ALICE), by=BY_BOB) == Code.OK
    world.later(1)  # the sweep has not come yet: its own date decides
    assert world.code("alice", send("carol"), by=BOT) == Code.KEY_EXPIRED
    assert world.code("bob", send("carol", as_account=ALICE), by=BY_BOB) == Code.QUORUM_NOT_MET
    world.later(120)
    world.sweep()
    assert not [key for key in world.db if key[1:2] == b"t"]
    assert world.record("alice")[4] == 0
    assert world.code("alice", send("carol"), by=[("alice", "bot")]) == Code.UNKNOWN_SIGNER


def test_a_renewed_grant_outlives_the_calendar_entry_of_the_old_one(world: AccountsWorld) -> None:
    world.later(9 * DAY)
    world.ok("alice", grant_session(valid_until=NOW + 30 * DAY, limits=(("QNX", 7, 7),)), by=BY_ALICE)
    world.later(2 * DAY)
    world.sweep()
    assert world.code("alice", send("carol", 7), by=BOT) == Code.OK
    assert world.code("alice", send("carol", 1), by=BOT) == Code.LIMIT_WINDOW


def test_revoking_is_immediate(world: AccountsWorld) -> None:
    raw = world.signed("alice", send("carol"), by=BOT, seq=world.sequence("alice") + 1)
    acting = world.signed("bob", send("carol", as_account=ALICE), by=BY_BOB)
    ops = (call("account.revoke_session", key_id=50), call("account.revoke_delegation", to=BOB))
    world.ok("alice", *ops, by=BY_ALICE)
    assert world.check(raw).code == Code.UNKNOWN_SIGNER
    assert world.check(acting).code == Code.QUORUM_NOT_MET


def test_two_session_keys_do_not_add_up(world: AccountsWorld) -> None:
    world.ok("alice", grant_session(key=(entry(51, "bot2"),)), by=BY_ALICE)
    assert world.code("alice", send("carol"), by=[*BOT, ("alice", "bot2")]) == Code.QUORUM_NOT_MET
    # a session key beside the owner's changes nothing
    assert world.code("alice", update_keys((entry(9, "x"),)), by=[*BY_ALICE, *BOT]) == Code.OK


def test_a_session_key_does_not_lend_its_account_to_others_transactions(world: AccountsWorld) -> None:
    """With nothing in its scope to do, a session key starts no transaction in which others act and its account pays the fee."""
    assert world.code("alice", send("carol", as_account=BOB), by=[*BOT, *BY_BOB]) == Code.QUORUM_NOT_MET
    # but it signs for its account in the transaction of another
    assert world.code("bob", send("carol", 5, as_account=ALICE), by=[*BOT, *BY_BOB]) == Code.OK


@pytest.mark.parametrize(
    ("op", "code"),
    [
        (grant_session(ops=(number("account.update_keys"),)), Code.SCOPE_TOO_WIDE),
        (grant_session(ops=(number("account.create"),)), Code.SCOPE_TOO_WIDE),
        (grant_session(ops=(number("account.revoke_session"),)), Code.SCOPE_TOO_WIDE),
        (grant_session(ops=(number("asset.mint"),)), Code.SCOPE_TOO_WIDE),
        (grant_session(ops=(number("asset.create"),)), Code.SCOPE_TOO_WIDE),
        (grant_session(ops=(number("amm.repair"),)), Code.SCOPE_TOO_WIDE),
        (grant_session(ops=(65_000,)), Code.SCOPE_TOO_WIDE),
        (grant_session(valid_until=NOW + GRANT_S_MAX + 1), Code.SCOPE_TOO_WIDE),
        (grant_session(valid_until=NOW - 1), Code.TOO_LATE),
        (grant_session(key=(entry(0, "bot"),)), Code.ASSERT_FAILED),
        (grant_session(key=(entry(9, "alice"),)), Code.ASSERT_FAILED),
        (grant_session(key=(entry(9, "x", 1, KeyKind.MLDSA44),)), Code.NO_PERMISSION),
        (grant_session(ops=tuple(sorted((PAY, number("amm.swap_in"), number("stake.delegate"))))), Code.OK),
        (delegate("alice"), Code.SELF_TRANSFER),
        (delegate("bob", ops=(number("account.delegate"),)), Code.SCOPE_TOO_WIDE),
        (delegate("bob", valid_until=NOW - 1), Code.TOO_LATE),
        (sponsor("alice"), Code.SELF_TRANSFER),
        (sponsor("bob", ops=(65_000,)), Code.SCOPE_TOO_WIDE),
        (sponsor("bob", valid_until=NOW - 1), Code.TOO_LATE),
        (sponsor("bob", ops=(number("account.update_keys"),)), Code.OK),
    ],
)
def test_failures_of_granting(op: Any, code: Code) -> None:
    assert AccountsWorld().code("alice", op, by=BY_ALICE) == code


def test_to_whom_nothing_can_be_granted() -> None:
    world = AccountsWorld()
    fees = next(key[2:34] for key in world.db if key[1:2] == b"h" and key[2:34] not in ADDRESS.values())
    for op in (delegate("bob"), sponsor("bob")):
        for who, code in ((fees, Code.RECIPIENT_IS_MODULE), (bytes(32), Code.ACCOUNT_NOT_FOUND)):
            assert world.code("alice", (op[0], b"", (who, *op[2][1:])), by=BY_ALICE) == code


@pytest.mark.parametrize(
    "op",
    [
        {"key": ()},
        {"key": (entry(50, "bot", 2),)},
        {"key": (entry(50, "bot"), entry(51, "b2"))},
        {"ops": ()},
        {"ops": (23, 23)},
        {"ops": (24, 23)},
        {"limits": (("QNX", 0, 5),)},
        {"limits": (("QNX", 6, 5),)},
        {"limits": (("QNX", 5, 5), ("QNX", 5, 5))},
        {"limits": (("QNX", 5, 5), ("BND", 5, 5))},
        {"window_s": 59},
        {"window_s": 10**9},
        {"counterparties": (BOB, BOB)},
    ],
)
def test_malformed_grants(op: dict[str, Any]) -> None:
    with pytest.raises(TransactionError) as caught:
        AccountsWorld().signed("alice", grant_session(**op), by=BY_ALICE)
    assert caught.value.result == Code.MALFORMED
    if "key" not in op:
        with pytest.raises(TransactionError):
            AccountsWorld().signed("alice", delegate("bob", **op), by=BY_ALICE)
    with pytest.raises(TransactionError):
        AccountsWorld().signed("alice", sponsor("bob", limit=0), by=BY_ALICE)


def test_grants_are_bounded() -> None:
    world = AccountsWorld()
    ops = [grant_session(key=(entry(100 + i, f"bot{i}"),)) for i in range(GRANTS_MAX)]
    world.ok("alice", *ops, by=BY_ALICE)
    assert world.code("alice", grant_session(), by=BY_ALICE) == Code.ASSERT_FAILED
    assert world.code("alice", delegate("bob"), by=BY_ALICE) == Code.ASSERT_FAILED
    assert world.code("alice", ops[3], by=BY_ALICE) == Code.OK  # one that is there is replaced
    with pytest.raises(TransactionError) as caught:
        world.signed("alice", grant_session(ops=tuple(range(1, 34))), by=BY_ALICE)
    assert caught.value.result == Code.TOO_LARGE


def test_a_new_key_may_not_take_the_number_of_a_session_key(world: AccountsWorld) -> None:
    assert world.code("alice", update_keys((entry(50, "x"),)), by=BY_ALICE) == Code.ASSERT_FAILED


# Fees: of session keys, of sponsors


def test_a_session_key_spends_no_fees_beyond_what_it_was_given() -> None:
    world = AccountsWorld(FEES)
    fee = 5  # of one transfer with one signature
    world.ok("alice", grant_session(fee_limit=2 * fee), by=BY_ALICE)
    assert world.ok("alice", send("carol", 1), by=BOT).fee == fee
    assert world.code("alice", send("carol", 101), by=BOT) == Code.LIMIT_PER_TX  # failing costs a fee as well
    assert world.code("alice", send("carol", 1), by=BOT) == Code.SPONSOR_NOT_ALLOWED
    world.later(3600)
    assert world.code("alice", send("carol", 1), by=BOT) == Code.OK
    world.ok("alice", grant_session(), by=BY_ALICE)
    assert world.code("alice", send("carol", 1), by=BOT) == Code.SPONSOR_NOT_ALLOWED
    assert world.code("alice", send("carol", 1), by=[*BOT, *BY_BOB], fee_payer=BOB) == Code.OK


def test_a_sponsor_pays_without_signing_within_its_allowance() -> None:
    world = AccountsWorld(FEES)
    assert world.code("poor", send("bob", 0), by=[("poor", "poor")], fee_payer=ALICE) == Code.SPONSOR_NOT_ALLOWED
    world.ok("alice", sponsor("poor", ops=(PAY,), limit=11), by=BY_ALICE)
    assert world.record("alice")[4] == 0  # it concerns no signature of the account
    before = world.balance("alice")
    by = [("poor", "poor")]
    assert world.code("poor", send("bob", 1), by=by, fee_payer=ALICE) == Code.INSUFFICIENT_FUNDS
    assert world.balance("alice") == before - 5
    world.ok("bob", send("poor", 7), by=BY_BOB)
    assert world.code("poor", send("bob", 1), by=by, fee_payer=ALICE) == Code.OK
    assert world.read(usage_key(grant_key(ALICE, b"F" + ADDRESS["poor"]))).fees == 10
    assert world.code("poor", send("bob", 1), by=by, fee_payer=ALICE) == Code.SPONSOR_NOT_ALLOWED
    world.later(3600)
    assert world.code("poor", send("bob", 1), by=by, fee_payer=ALICE) == Code.OK
    assert world.code("poor", update_keys((entry(9, "x"),)), by=by, fee_payer=ALICE) == Code.SPONSOR_NOT_ALLOWED
    assert world.code("bob", send("poor", 1), by=BY_BOB, fee_payer=ALICE) == Code.SPONSOR_NOT_ALLOWED
    world.ok("alice", call("account.revoke_sponsor", who=ADDRESS["poor"]), by=BY_ALICE)
    assert world.code("poor", send("bob", 1), by=by, fee_payer=ALICE) == Code.SPONSOR_NOT_ALLOWED
    gone = call("account.revoke_sponsor", who=ADDRESS["poor"])
    assert world.code("alice", gone, by=BY_ALICE) == Code.PENDING_NOT_FOUND


def test_a_sponsorship_ends_and_pays_nothing_but_fees() -> None:
    world = AccountsWorld(FEES)
    world.ok("alice", sponsor("bob"), by=BY_ALICE)
    assert world.code("bob", send("carol", 1, as_account=ALICE), by=BY_BOB, fee_payer=ALICE) == Code.QUORUM_NOT_MET
    world.later(10 * DAY + 1)
    assert world.code("bob", send("carol", 1), by=BY_BOB, fee_payer=ALICE) == Code.SPONSOR_NOT_ALLOWED
    world.later(120)
    assert world.sweep() == ["sponsorship_ended"]


def test_a_fee_payer_consents_with_keys_that_count() -> None:
    """Recovery keys and session keys of a fee payer do not pay other people's fees."""
    world = AccountsWorld(FEES)
    world.govern()
    firm = ADDRESS["firm"]
    for keys, code in ((("f4", "f5"), Code.SPONSOR_NOT_ALLOWED), (("f2",), Code.OK)):
        by = [*BY_BOB, *[("firm", key) for key in keys]]
        assert world.code("bob", send("carol"), by=by, fee_payer=firm) == code
    world.ok("firm", grant_session(ops=(PAY,), fee_limit=1000), by=OWNERS)
    assert world.code("bob", send("carol"), by=[*BY_BOB, ("firm", "bot")], fee_payer=firm) == Code.SPONSOR_NOT_ALLOWED


def test_scopes_in_lanes_and_unordered(world: AccountsWorld) -> None:
    """Each lane is a sequence of its own, and an unordered transaction is used once, whoever signs."""
    assert world.code("alice", send("carol"), by=BOT, lane=7) == Code.OK
    assert (world.sequence("alice", 7), world.sequence("alice", 0)) == (1, 2)
    raw = world.signed("alice", send("carol"), by=BOT, lane=LANE_UNORDERED)
    assert world.settle(raw).code == Code.OK
    assert world.check(raw).code == Code.TX_SEEN
    reference = {"client_ref": b"r" * 16}
    raw = world.signed("bob", send("carol", as_account=ALICE), by=BY_BOB, **reference)
    assert world.settle(raw).code == Code.OK
    again = world.signed("bob", send("carol", as_account=ALICE), by=BY_BOB, **reference)
    other = world.signed("bob", send("carol", 2, as_account=ALICE), by=BY_BOB, **reference)
    assert (world.check(again).code, world.check(other).code) == (Code.TX_SEEN, Code.CLIENT_REF_REUSED_DIFFERENT)


def test_governed_and_delegating_together() -> None:
    world = AccountsWorld()
    world.govern()
    world.ok("firm", grant_session(), by=OWNERS)
    assert world.record("firm")[4] == GOVERNED_KEYS | DELEGATING
    assert world.code("firm", send("bob", 100), by=[("firm", "bot")]) == Code.OK
    assert world.code("firm", send("bob", 101), by=[("firm", "f2")]) == Code.OK


def test_what_a_session_draws_on_a_credit_line_counts_as_spent() -> None:
    """A line fills the holding while it is emptied: the debt is what was spent."""
    from tests.state.treasury_world import RICH, TreasuryWorld

    world = TreasuryWorld()
    assert world.cb("overdraft", account="carol", limit=500).code == Code.OK
    rest = pay(BOB, RICH - 10, "EUR")
    grant = delegate("alice", limits=(("EUR", 100, 250),))
    keys = [("carol", 0), ("carol", 1), ("carol", 7)]
    assert world.do("carol", rest, grant, signers=keys).code == Code.OK
    over = pay(BOB, 101, "EUR", as_account=CAROL)
    assert world.do("alice", over, signers=[("alice", 0)]).code == Code.LIMIT_PER_TX
    for amount, code in ((100, Code.OK), (100, Code.OK), (51, Code.LIMIT_WINDOW), (50, Code.OK)):
        op = pay(BOB, amount, "EUR", as_account=CAROL)
        assert world.do("alice", op, signers=[("alice", 0)]).code == code
    line = world.line("carol")
    assert line is not None
    assert line.debt == 240
    world.audit()
