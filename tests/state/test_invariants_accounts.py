"""The checks of accounts on their own: each planted breach is named, good changes pass, and a broken machine is stopped by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from state import authority as authority_module
from state import marks, signers
from state.authority import Authority, Scope
from state.codes import Code
from state.invariants import check_action, check_operation
from state.invariants_accounts import audit_accounts, check_authority, check_scopes
from state.modules import account_grants, account_keys
from state.schema import account_key, decode_record, holding_key
from state.schema_accounts import (
    ALLOWLIST,
    GRANT,
    POLICY,
    AllowList,
    Grant,
    KeyRule,
    Usage,
    allowlist_key,
    change_key,
    grant_key,
    grants_key,
    policy_key,
    session_name,
    usage_key,
)
from state.transaction import Call, Transaction, call
from state.view import View
from tests.state.accounts_world import (
    ADDRESS,
    DAY,
    NOW,
    OWNERS,
    RULES,
    AccountsWorld,
    confirm,
    delegate,
    grant_session,
    recover,
    send,
    set_policy,
    sponsor,
    veto,
)
from tests.state.ledger_world import FEES, entry, update_keys

FIRM, ALICE, BOB, CAROL = ADDRESS["firm"], ADDRESS["alice"], ADDRESS["bob"], ADDRESS["carol"]
BY_ALICE = (("alice", "alice"),)
BY_BOB = (("bob", "bob"),)
LETTERS = frozenset({POLICY, GRANT, ALLOWLIST, ord("a")})


@pytest.fixture
def world() -> AccountsWorld:
    found = AccountsWorld()
    found.govern()
    found.ok("firm", update_keys((entry(9, "x9"),)), by=OWNERS)
    found.ok("alice", grant_session(), delegate("bob"), by=BY_ALICE)
    return found


def call_of(world: AccountsWorld, sender: str, op: Any) -> Call:
    return Transaction.decode(world.signed(sender, op, by=())).calls[0]


def broken(world: AccountsWorld, sender: str, op: Any, *changes: tuple[bytes, Any], time_s: int | None = None) -> str:
    view = View(world.db)
    for key, record in changes:
        view.put(key, record)
    return check_operation(view, 0, call_of(world, sender, op), time_s=world.now if time_s is None else time_s)


def marked(world: AccountsWorld, account: str, bits: int) -> tuple[bytes, Any]:
    return account_key(ADDRESS[account]), (*world.record(account)[:4], bits)


VETO = veto(1)
GRANTED = Grant(1, b"k" * 32, (23,), (), (), 0, 60, NOW, NOW + 9)


@pytest.mark.parametrize(
    ("sender", "op", "changes"),
    [
        # another's records
        ("bob", VETO, lambda w: [(change_key(FIRM, 1), None), (policy_key(FIRM), w.policy("firm")._replace(rotation=0))]),
        ("bob", call("account.revoke_session", key_id=50), lambda w: [(grant_key(ALICE, session_name(50)), None)]),
        ("bob", grant_session(), lambda w: [(grant_key(ALICE, session_name(51)), GRANTED)]),
        ("bob", call("account.set_allowlist", counterparties=(), cosigner=b"", approver=b""),
         lambda w: [(allowlist_key(ALICE), AllowList(b"", ()))]),
        ("bob", confirm("firm", 1), lambda w: [(policy_key(FIRM), w.policy("firm")._replace(rotation_delay_s=0))]),
        # marks that do not say what there is
        ("alice", grant_session(), lambda w: [marked(w, "alice", 0)]),
        ("bob", grant_session(), lambda w: [marked(w, "bob", marks.DELEGATING)]),
        ("bob", update_keys((entry(1, "y"),)), lambda w: [marked(w, "bob", marks.GOVERNED_KEYS)]),
        ("bob", update_keys((entry(1, "y"),)), lambda w: [marked(w, "bob", marks.ALLOW_LISTED)]),
        ("bob", update_keys((entry(1, "y"),)), lambda w: [marked(w, "bob", marks.STATUTORY_ONLY)]),
        # policies that nobody satisfies, or for keys that are not there
        ("firm", set_policy(), lambda w: [(policy_key(FIRM), w.policy("firm")._replace(
            rules=tuple(KeyRule(i, 2, 0, 0) for i in range(6))))]),
        ("firm", set_policy(), lambda w: [(policy_key(FIRM), w.policy("firm")._replace(rules=(KeyRule(77, 1, 0, 0),)))]),
        ("firm", set_policy(), lambda w: [(policy_key(FIRM), w.policy("firm")._replace(rules=RULES[::-1]))]),
    ],
)  # fmt: skip
def test_each_planted_breach_is_named(world: AccountsWorld, sender: str, op: Any, changes: Callable[[Any], Any]) -> None:
    assert broken(world, sender, op, *changes(world)).startswith("I24")


def test_a_change_may_be_confirmed_in_its_time_only(world: AccountsWorld) -> None:
    record = world.record("firm")
    changes = (
        (change_key(FIRM, 1), None),
        (policy_key(FIRM), world.policy("firm")._replace(rotation=0)),
        (account_key(FIRM), (*record[:2], (*record[2], entry(9, "x9")), *record[3:])),
    )
    op = confirm("firm", 1)
    for time_s, expected in ((NOW + DAY - 1, "I24"), (NOW + DAY, ""), (NOW + 40 * DAY, "I24")):
        assert broken(world, "bob", op, *changes, time_s=time_s).partition(":")[0] == expected
    # a confirmation of one account's change says nothing about another's keys
    other = (account_key(ALICE), (*world.record("alice")[:2], (entry(0, "thief"),), *world.record("alice")[3:]))
    assert broken(world, "bob", op, *changes, other, time_s=NOW + DAY).startswith("I24")


def test_automatic_actions_give_nothing(world: AccountsWorld) -> None:
    view = View(world.db)
    view.put(grant_key(CAROL, session_name(1)), GRANTED)
    assert check_action(view, 0, LETTERS).startswith("I24")
    view = View(world.db)
    view.put(grants_key(ALICE), None)
    assert check_action(view, 0, LETTERS).startswith("I24")  # and the mark stays behind
    view.put(account_key(ALICE), marked(world, "alice", 0)[1])
    assert check_action(view, 0, LETTERS) == ""


def scoped(world: AccountsWorld, op: Any, *changes: tuple[bytes, Any], grant: Grant | None = None, now: int = NOW) -> str:
    """What `check_scopes` says of an operation of bob in alice's name that changed this."""
    key = grant_key(ALICE, b"D" + BOB)
    found: Grant = world.read(key)
    view = View(world.db)
    if grant is not None:
        view.put(key, grant)
        view.settle()
    for changed, record in changes:
        view.put(changed, record)
    held = Authority(BOB)
    held.scopes[ALICE] = Scope(key, found)
    return check_scopes(view, 0, call_of(world, "bob", op), held, now)


PAID = (holding_key(ALICE, "QNX"), (1_000_000 - 60,))
USED = (usage_key(grant_key(ALICE, b"D" + BOB)), Usage(0, 0, (("QNX", 60),)))


def test_what_was_spent_by_a_grant_stands_in_it(world: AccountsWorld) -> None:
    op = send("carol", 60, as_account=ALICE)
    key = grant_key(ALICE, b"D" + BOB)
    grant: Grant = world.read(key)
    assert scoped(world, op, PAID, USED) == ""
    assert scoped(world, op, PAID)  # not counted
    assert scoped(world, op, PAID, (USED[0], Usage(0, 0, (("QNX", 59),))))  # counted wrongly
    assert scoped(world, op, (PAID[0], (1_000_000 - 101,)), (USED[0], Usage(0, 0, (("QNX", 101),))))  # beyond one transaction
    assert scoped(world, op, PAID, (USED[0], Usage(0, 0, (("QNX", 251),))))
    assert scoped(world, op, (PAID[0], (1_000_000, 60, 0)), USED) == ""  # holding counts as spending
    assert scoped(world, op, (PAID[0], (1_000_000, 60, 0)))
    assert scoped(world, op, (holding_key(ALICE, "BND"), None), USED) == ""
    assert scoped(world, call("asset.burn", as_account=ALICE, asset="QNX", amount=1))  # not in the scope
    assert scoped(world, op, PAID, USED, grant=grant._replace(ops=(24,)))
    assert scoped(world, op, PAID, USED, grant=grant._replace(limits=()))
    assert scoped(world, op, PAID, USED, now=grant.until_s + 1)
    assert scoped(world, update_keys((entry(1, "z"),)))[:0] == ""


def test_an_ended_grant_and_a_foreign_one_are_not_there(world: AccountsWorld) -> None:
    op = send("carol", 60, as_account=ALICE)
    held = Authority(BOB)
    held.scopes[ALICE] = Scope(grant_key(CAROL, b"D" + BOB), GRANTED)
    assert check_scopes(View(world.db), 0, call_of(world, "bob", op), held, NOW).startswith("I24")
    held = Authority(BOB)
    held.recovering = (ALICE,)
    assert check_scopes(View(world.db), 0, call_of(world, "bob", op), held, NOW).startswith("I24")
    rescue = recover(entry(1, "z"), as_account=ALICE)
    assert check_scopes(View(world.db), 0, call_of(world, "bob", rescue), held, NOW) == ""


def signed(world: AccountsWorld, sender: str, op: Any, by: Any, **envelope: Any) -> Transaction:
    return Transaction.decode(world.signed(sender, op, by=by, **envelope))


def test_signatures_are_counted_again(world: AccountsWorld) -> None:
    view = View(world.db)
    rotate = update_keys((entry(8, "x8"),))
    for keys, is_good in ((("f0", "f1"), True), (("f0",), False), (("f0", "f2"), False), (("f4", "f5"), False), (("f0", "f3"), True)):
        tx = signed(world, "firm", rotate, [("firm", key) for key in keys])
        assert (check_authority(view, tx, Authority(FIRM), 0, NOW) == "") is is_good, keys
    rescue = recover(entry(8, "x8"), as_account=FIRM)
    for keys, is_good in ((("f4", "f5"), True), (("f4",), False), (("f0", "f1"), False)):
        tx = signed(world, "alice", rescue, [*BY_ALICE, *[("firm", key) for key in keys]])
        held = Authority(ALICE)
        held.recovering = (FIRM,)
        assert (check_authority(view, tx, held, 0, NOW) == "") is is_good, keys
    sub = recover(entry(8, "x8"), as_account=ADDRESS["desk"])
    held = Authority(FIRM)
    held.recovering = (ADDRESS["desk"],)
    assert check_authority(view, signed(world, "firm", sub, OWNERS), held, 0, NOW) == ""
    assert check_authority(view, signed(world, "firm", sub, OWNERS[:1]), held, 0, NOW).startswith("I24")


def test_a_fee_by_a_grant_is_counted_and_within_it() -> None:
    world = AccountsWorld(FEES)
    world.ok("alice", sponsor("bob"), by=BY_ALICE)
    key = grant_key(ALICE, b"F" + BOB)
    tx = signed(world, "bob", send("carol"), BY_BOB, fee_payer=ALICE)
    held = Authority(BOB)
    held.fee_scope = Scope(key, world.read(key))
    for fees, is_good in ((None, False), (4, False), (5, True), (20, True), (21, False)):
        view = View(world.db)
        if fees is not None:
            view.put(usage_key(key), Usage(0, fees, ()))
        assert (check_authority(view, tx, held, 5, world.now) == "") is is_good, fees


# A machine with a planted bug: the checks stop it, with 203, and nothing happens


def test_a_machine_that_forgets_to_count_is_stopped(world: AccountsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.may_trip = True
    monkeypatch.setattr(authority_module.Authority, "spend", lambda self, context, start, call: None)
    raw = world.signed("bob", send("carol", 60, as_account=ALICE), by=BY_BOB)
    assert world.apply(Transaction.decode(raw))[0].code == Code.INVARIANT_VIOLATION
    assert world.balance("alice") == 1_000_000


def test_signers_that_let_a_scope_be_exceeded_are_stopped(world: AccountsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.may_trip = True
    monkeypatch.setattr(signers, "_is_within", lambda grant, calls, account: True)
    steal = call("account.update_keys", as_account=ALICE, add=(entry(0, "thief"),), remove=(), thresholds=())
    raw = world.signed("bob", steal, by=BY_BOB)
    assert world.apply(Transaction.decode(raw))[0].code == Code.INVARIANT_VIOLATION
    assert world.record("alice")[2] == (entry(0, "alice"),)


def test_signers_that_count_no_weight_are_stopped(world: AccountsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Incident 5: a loop over signers that says yes too early."""
    world.may_trip = True
    monkeypatch.setattr(signers._Signing, "reaches", lambda self, level: True)
    raw = world.signed("bob", send("bob", 60, as_account=ALICE), by=BY_BOB)
    assert world.apply(Transaction.decode(raw))[0].code == Code.INVARIANT_VIOLATION
    assert world.balance("alice") == 1_000_000


def test_a_confirmation_that_ignores_the_delay_is_stopped(world: AccountsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    original = account_keys._find_change
    world.may_trip = True
    monkeypatch.setattr(
        account_keys,
        "_find_change",
        lambda context, account, record, number: (
            (found := original(context, account, record, number))[0],
            found[1]._replace(ready_s=0),
        ),
    )
    raw = world.signed("bob", confirm("firm", 1), by=BY_BOB)
    assert world.apply(Transaction.decode(raw))[0].code == Code.INVARIANT_VIOLATION
    assert 9 not in [key[0] for key in world.record("firm")[2]]


def test_a_grant_in_anothers_name_is_stopped(world: AccountsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    original = account_grants._put_listed
    world.may_trip = True
    monkeypatch.setattr(
        account_grants, "_put_listed", lambda context, account, name, grant: original(context, CAROL, name, grant)
    )
    raw = world.signed("bob", grant_session(), by=BY_BOB)
    assert world.apply(Transaction.decode(raw))[0].code == Code.INVARIANT_VIOLATION
    assert world.read(grants_key(CAROL)) is None


def test_the_audit_finds_what_does_not_fit(world: AccountsWorld) -> None:
    records = {key: decode_record(key, raw) for key, raw in world.db.items()}
    assert audit_accounts(records.items()) == ()
    spoiled: list[tuple[bytes, Any]] = [
        (grant_key(ALICE, session_name(50)), None),
        (grants_key(ALICE), (b"D" + BOB,)),
        (grants_key(ALICE), None),
        (policy_key(FIRM), None),
        (change_key(FIRM, 2), records[change_key(FIRM, 1)]),
        (allowlist_key(BOB), AllowList(b"", ())),
        (policy_key(bytes(32)), records[policy_key(FIRM)]),
        marked(world, "carol", marks.GOVERNED_KEYS),
        marked(world, "watch", 0),
    ]
    for key, record in spoiled:
        changed = {**records, key: record}
        if record is None:
            del changed[key]
        assert audit_accounts(changed.items()), key
