"""Classes and times of keys, delayed changes, veto, recovery, revocation, two-person control: what each lets through and what not."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.marks import GOVERNED_KEYS
from state.modules.account_policy import DUAL_OFF, KeyClass
from state.primitives.errors import TransactionError
from state.primitives.limits import KEY_CHANGE_KEEP_S, KEY_DELAY_S_MAX, RECOVERY_DELAY_S
from state.schema_accounts import KeyRule, change_key
from state.transaction import Draft, call
from tests.state.accounts_world import (
    ADDRESS,
    DAY,
    NOW,
    OWNERS,
    RULES,
    AccountsWorld,
    confirm,
    grant_session,
    recover,
    revoke,
    send,
    set_policy,
    veto,
)
from tests.state.ledger_world import ADDRESS as ADDRESS_OF_KYC  # it grows with the worlds that are imported
from tests.state.ledger_world import KeyKind, entry, key_of, update_keys

FIRM = ADDRESS["firm"]
DESK = ADDRESS["desk"]
RECOVERY = (("firm", "f4"), ("firm", "f5"))


@pytest.fixture
def world() -> AccountsWorld:
    found = AccountsWorld()
    found.govern()
    return found


def test_a_policy_is_set_at_once_where_none_was_and_marks_the_account() -> None:
    world = AccountsWorld()
    assert world.record("firm")[4] == 0
    assert world.policy("firm") is None
    receipt = world.govern()
    assert [event.type for event in receipt.events] == ["keys_updated", "account_policy_set"]
    assert world.record("firm")[4] == GOVERNED_KEYS
    assert world.policy("firm") == (DAY, 3 * DAY, 2, DUAL_OFF, 1, 0, 0, RULES)


@pytest.mark.parametrize(
    ("op", "keys", "code"),
    [
        (send("bob"), ("f0",), Code.OK),  # an owner pays
        (send("bob"), ("f2",), Code.OK),  # an operator pays
        (send("bob"), ("f3",), Code.OK),  # a checker counts as well where no two are asked for
        (send("bob"), ("f4", "f5"), Code.QUORUM_NOT_MET),  # recovery keys do not
        (update_keys((entry(9, "x9"),)), ("f0", "f2"), Code.QUORUM_NOT_MET),  # an operator does not count for keys
        (update_keys((entry(9, "x9"),)), ("f0", "f3"), Code.OK),
        (update_keys((entry(9, "x9"),)), ("f4", "f5"), Code.QUORUM_NOT_MET),
        (recover(entry(9, "x9")), ("f0", "f1"), Code.NO_PERMISSION),  # owners do not block the recovery slot
        (recover(entry(9, "x9")), ("f4",), Code.QUORUM_NOT_MET),
        (recover(entry(9, "x9")), ("f4", "f5"), Code.OK),
    ],
)
def test_what_each_class_of_key_may_do(world: AccountsWorld, op: Any, keys: tuple[str, ...], code: Code) -> None:
    assert world.code("firm", op, by=[("firm", key) for key in keys]) == code


def test_recovery_keys_do_nothing_else_in_the_same_transaction(world: AccountsWorld) -> None:
    for ops in ((recover(entry(9, "x9")), send("bob")), (recover(entry(9, "x9")), update_keys((entry(9, "x9"),)))):
        assert world.code("firm", *ops, by=RECOVERY) == Code.QUORUM_NOT_MET
    helped = recover(entry(9, "x9"), as_account=FIRM)
    assert world.code("alice", helped, send("bob", as_account=FIRM), by=[("alice", "alice"), *RECOVERY]) == Code.QUORUM_NOT_MET


def test_a_key_signs_only_within_its_time() -> None:
    world = AccountsWorld()
    rules = (KeyRule(2, KeyClass.OPERATOR, NOW + 100, NOW + 200), *RULES[1:])
    world.govern(rules=rules)
    for later, code in ((0, Code.KEY_EXPIRED), (100, Code.OK), (100, Code.OK), (1, Code.KEY_EXPIRED)):
        world.later(later)
        assert world.code("firm", send("bob"), by=[("firm", "f2")]) == code
    # a signature out of time is a failure, not ignored, even where others suffice
    assert world.code("firm", send("bob"), by=[("firm", "f0"), ("firm", "f2")]) == Code.KEY_EXPIRED


def test_precedence_of_the_codes_about_signers() -> None:
    world = AccountsWorld()
    world.govern(rules=(KeyRule(2, KeyClass.OPERATOR, 0, NOW + 10), *RULES[1:]))
    raw = world.signed("firm", update_keys((entry(9, "x"),)), by=[("firm", "f2")])
    world.later(11)
    assert world.check(raw).code == Code.KEY_EXPIRED  # before the weight is asked
    draft = Draft.load(world.signed("firm", send("bob"), by=[("firm", "f2")]))
    unknown = draft.attach(FIRM, 1, bytes(64)).attach(FIRM, 99, bytes(64))
    assert world.check(unknown.encode()).code == Code.KEY_EXPIRED  # the first signature that is at fault is told
    assert world.check(draft.attach(FIRM, 0, bytes(64)).attach(bytes(32), 0, bytes(64)).encode()).code == Code.UNKNOWN_SIGNER
    twice = Draft(draft.body, (draft.auth[0], draft.auth[0]))
    assert world.check(twice.encode()).code == Code.DUPLICATE_SIGNATURE


def test_a_change_waits_and_anybody_confirms_it(world: AccountsWorld) -> None:
    receipt = world.ok("firm", update_keys((entry(9, "x9"),), (1,)), by=OWNERS)
    assert dict(receipt.events[0].attributes)["ready"] == str(NOW + DAY)
    before = world.record("firm")
    assert world.policy("firm").rotation == 1
    assert world.code("bob", confirm("firm", 1), by=[("bob", "bob")]) == Code.TOO_EARLY
    world.later(DAY - 1)
    assert world.code("bob", confirm("firm", 1), by=[("bob", "bob")]) == Code.TOO_EARLY
    assert world.record("firm") == before
    world.later(1)
    assert world.code("bob", confirm("firm", 2), by=[("bob", "bob")]) == Code.PENDING_NOT_FOUND
    assert world.code("bob", confirm("firm", 1), by=[("bob", "bob")]) == Code.OK
    assert [key[0] for key in world.record("firm")[2]] == [0, 2, 3, 4, 5, 9]
    assert world.policy("firm").rotation == 0
    assert world.code("bob", confirm("firm", 1), by=[("bob", "bob")]) == Code.PENDING_NOT_FOUND
    assert world.code("firm", send("bob"), by=[("firm", "x9")]) == Code.OK


def test_one_change_waits_at_a_time(world: AccountsWorld) -> None:
    world.ok("firm", update_keys((entry(9, "x9"),)), by=OWNERS)
    assert world.code("firm", update_keys((entry(8, "x8"),)), by=OWNERS) == Code.ROTATION_PENDING
    assert world.code("firm", set_policy(rotation_delay_s=0), by=OWNERS) == Code.ROTATION_PENDING
    assert world.code("firm", call("account.close", beneficiary=ADDRESS["bob"]), by=OWNERS) == Code.ROTATION_PENDING


def test_delays_themselves_change_only_after_the_delay_in_force(world: AccountsWorld) -> None:
    world.ok("firm", set_policy(rotation_delay_s=0, recovery_delay_s=1), by=OWNERS)
    assert world.policy("firm").rotation_delay_s == DAY
    world.later(DAY)
    world.ok("bob", confirm("firm", 1), by=[("bob", "bob")])
    assert world.policy("firm")[:2] == (0, 1)


@pytest.mark.parametrize("by", [OWNERS, RECOVERY])
def test_a_veto_ends_a_change(world: AccountsWorld, by: Any) -> None:
    world.ok("firm", update_keys((entry(9, "thief"),), (0, 1)[:1]), by=OWNERS)
    assert world.code("firm", veto(7), by=by) == Code.PENDING_NOT_FOUND
    assert world.code("firm", veto(1), by=by[:1]) == Code.QUORUM_NOT_MET
    assert world.code("firm", veto(1), by=by) == Code.OK
    world.later(2 * DAY)
    assert world.code("bob", confirm("firm", 1), by=[("bob", "bob")]) == Code.PENDING_NOT_FOUND
    assert world.policy("firm").rotation == 0
    assert world.policy("firm").next_change == 2  # numbers are not used again


def test_a_change_that_nobody_confirms_lapses(world: AccountsWorld) -> None:
    world.ok("firm", update_keys((entry(9, "x9"),)), by=OWNERS)
    late = world.signed("bob", confirm("firm", 1), by=[("bob", "bob")], valid_until=NOW + DAY)
    assert world.check(late).code == Code.OK
    world.later(DAY + KEY_CHANGE_KEEP_S + 1)  # the sweep has not come yet: its own date decides
    assert world.code("bob", confirm("firm", 1), by=[("bob", "bob")]) == Code.TOO_LATE
    world.later(61)
    assert world.sweep() == ["keys_lapsed"]
    assert world.read(change_key(FIRM, 1)) is None
    assert world.policy("firm").rotation == 0
    assert world.code("firm", update_keys((entry(9, "x9"),)), by=OWNERS) == Code.OK


def test_recovery_replaces_all_keys_but_its_own_after_the_longer_delay(world: AccountsWorld) -> None:
    world.ok("firm", grant_session(), by=OWNERS)
    world.ok("firm", update_keys((entry(9, "thief"),)), by=OWNERS)
    world.ok("firm", recover(entry(20, "new0"), entry(21, "new1"), thresholds=(1, 1, 2, 2)), by=RECOVERY)
    assert world.code("firm", recover(entry(20, "new0")), by=RECOVERY) == Code.ROTATION_PENDING
    world.later(3 * DAY - 1)
    assert world.code("bob", confirm("firm", 2), by=[("bob", "bob")]) == Code.TOO_EARLY
    world.later(1)
    receipt = world.ok("bob", confirm("firm", 2), by=[("bob", "bob")])
    assert [event.type for event in receipt.events] == ["keys_updated", "session_ended", "keys_recovered"]
    assert [key[0] for key in world.record("firm")[2]] == [4, 5, 20, 21]
    assert world.record("firm")[3:] == ((1, 1, 2, 2), GOVERNED_KEYS)
    assert world.policy("firm") == (DAY, 3 * DAY, 2, DUAL_OFF, 3, 0, 0, RULES[2:])
    assert world.code("bob", confirm("firm", 1), by=[("bob", "bob")]) == Code.PENDING_NOT_FOUND  # the thief's change went with it
    assert world.code("firm", send("bob"), by=[("firm", "new0")]) == Code.OK
    assert world.code("firm", send("bob"), by=[("firm", "f0")]) == Code.UNKNOWN_SIGNER


def test_owners_veto_a_recovery(world: AccountsWorld) -> None:
    world.ok("alice", recover(entry(20, "new0"), as_account=FIRM), by=[("alice", "alice"), *RECOVERY])
    assert world.policy("firm").recovery == 1
    assert world.code("firm", veto(1), by=OWNERS) == Code.OK
    world.later(3 * DAY)
    assert world.code("bob", confirm("firm", 1), by=[("bob", "bob")]) == Code.PENDING_NOT_FOUND


def test_a_parent_recovers_its_sub_account_and_vetoes_its_changes() -> None:
    world = AccountsWorld()
    take = recover(entry(5, "new"), as_account=DESK)
    assert world.code("bob", take, by=[("bob", "bob")]) == Code.QUORUM_NOT_MET
    assert world.code("firm", take, by=OWNERS[:1]) == Code.QUORUM_NOT_MET
    assert world.code("firm", take, send("bob", as_account=DESK), by=OWNERS) == Code.QUORUM_NOT_MET
    world.ok("firm", take, by=OWNERS)
    assert world.policy("desk").recovery == 1
    world.later(RECOVERY_DELAY_S - 1)
    assert world.code("bob", confirm("desk", 1), by=[("bob", "bob")]) == Code.TOO_EARLY
    world.later(1)
    world.ok("bob", confirm("desk", 1), by=[("bob", "bob")])
    assert world.record("desk")[2] == (entry(5, "new"),)
    world.ok("desk", set_policy(rules=(), recovery_weight=0), by=[("desk", "new")])
    world.ok("desk", update_keys((entry(6, "other"),)), by=[("desk", "new")])
    assert world.code("firm", veto(2, as_account=DESK), by=OWNERS) == Code.OK


def test_a_parent_of_nobody_and_a_plain_account_recover_nothing() -> None:
    world = AccountsWorld()
    assert world.code("alice", recover(entry(5, "new")), by=[("alice", "alice")]) == Code.NO_PERMISSION
    stranger = recover(entry(5, "new"), as_account=ADDRESS["bob"])
    assert world.code("alice", stranger, by=[("alice", "alice")]) == Code.QUORUM_NOT_MET


def test_revoking_is_immediate_and_never_locks_out(world: AccountsWorld) -> None:
    assert world.code("firm", revoke(77), by=OWNERS) == Code.ASSERT_FAILED
    world.ok("firm", revoke(2), by=OWNERS)
    assert world.code("firm", send("bob"), by=[("firm", "f2")]) == 111
    assert [rule.key_id for rule in world.policy("firm").rules] == [3, 4, 5]
    world.ok("firm", revoke(3), by=OWNERS)
    assert world.code("firm", revoke(0), by=OWNERS) == Code.WOULD_LOCK_OUT
    world.ok("firm", revoke(4), by=OWNERS)  # a stolen recovery key goes even if the other alone does not suffice
    assert world.code("firm", recover(entry(9, "x")), by=[("firm", "f5")]) == Code.QUORUM_NOT_MET


def test_a_revoked_key_does_not_come_back_with_a_waiting_change(world: AccountsWorld) -> None:
    """A change is a difference: it does not carry the list of keys that was in force when it was proposed."""
    world.ok("firm", update_keys((entry(9, "x9"),)), by=OWNERS)
    world.ok("firm", revoke(2), by=OWNERS)
    world.later(DAY)
    world.ok("bob", confirm("firm", 1), by=[("bob", "bob")])
    assert [key[0] for key in world.record("firm")[2]] == [0, 1, 3, 4, 5, 9]
    # one that would add the very key that is revoked is dropped
    world.ok("firm", update_keys((entry(2, "x9"),), (9,)), by=OWNERS)
    receipt = world.ok("firm", revoke(9), by=OWNERS)
    assert [event.type for event in receipt.events] == ["keys_updated", "keys_vetoed", "key_revoked"]
    assert world.policy("firm").rotation == 0


def test_a_change_is_judged_again_when_it_is_confirmed(world: AccountsWorld) -> None:
    world.ok("firm", update_keys((), (1,)), by=OWNERS)  # f0 and the checker would remain for the high threshold
    world.ok("firm", revoke(3), by=OWNERS)
    world.later(DAY)
    assert world.code("bob", confirm("firm", 1), by=[("bob", "bob")]) == Code.WOULD_LOCK_OUT
    world.ok("firm", veto(1), by=OWNERS)
    world.ok("firm", update_keys((), (2,)), by=OWNERS)
    world.ok("firm", revoke(2), by=OWNERS)
    world.later(DAY)
    assert world.code("bob", confirm("firm", 2), by=[("bob", "bob")]) == Code.ASSERT_FAILED


def test_a_key_kind_that_the_network_no_longer_admits_is_refused_at_confirmation(world: AccountsWorld) -> None:
    world.ok("firm", update_keys((entry(9, "x9", 1, KeyKind.HYBRID),)), by=OWNERS)
    world.db[b" paccounts"] = b"\x91\x91\x01"
    world.later(DAY)
    assert world.code("bob", confirm("firm", 1), by=[("bob", "bob")]) == Code.NO_PERMISSION
    assert world.code("bob", confirm("watch", 1), by=[("bob", "bob")]) == Code.PENDING_NOT_FOUND


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"rules": (KeyRule(0, KeyClass.OPERATOR, 0, 0), *RULES)}, "one owner and a checker reach 2: fine"),
        ({"rules": tuple(KeyRule(i, KeyClass.OPERATOR, 0, 0) for i in (0, 1, 2))}, "a gap"),
        ({"rules": tuple(KeyRule(i, KeyClass.RECOVERY, 0, 0) for i in range(6))}, "a gap"),
        ({"rules": (*(KeyRule(i, KeyClass.OWNER, NOW + 5, 0) for i in (0, 1)), *RULES)}, "a gap"),
        ({"recovery_weight": 3}, "a gap"),
        ({"dual_from": 1, "rules": RULES[:1] + RULES[2:]}, "a gap"),  # no checker
        ({"dual_from": 2}, ""),
        ({"thresholds": (1, 1, 4, 4)}, "a gap"),
        # owners' keys that end are fine only with recovery keys that do not
        ({"rules": (*(KeyRule(i, KeyClass.OWNER, 0, NOW + DAY) for i in (0, 1)), *RULES)}, ""),
        (
            {
                "rules": (*(KeyRule(i, KeyClass.OWNER, 0, NOW + DAY) for i in (0, 1)), *RULES),
                "recovery_weight": 0,
                "thresholds": (1, 1, 2, 2),
            },
            "a gap",
        ),
    ],
)
def test_no_policy_locks_its_owners_out(fields: dict[str, Any], why: str) -> None:
    world = AccountsWorld()
    expected = Code.WOULD_LOCK_OUT if why == "a gap" else Code.OK
    assert world.code("firm", set_policy(**fields), by=OWNERS) == expected


def test_policies_that_contradict_themselves_are_malformed() -> None:
    world = AccountsWorld()
    for fields in (
        {"add": (entry(9, "x"),), "remove": (9,)},
        {"remove": (2,)},
        {"rotation_delay_s": KEY_DELAY_S_MAX + 1},
        {"recovery_delay_s": KEY_DELAY_S_MAX + 1},
        {"recovery_delay_s": DAY},
        {"dual_from": 5},
        {"recovery_weight": 1 << 40},
        {"rules": (KeyRule(2, KeyClass.SESSION, 0, 0),)},
        {"rules": (KeyRule(2, 9, 0, 0),)},
        {"rules": (KeyRule(2, 1, 5, 4),)},
        {"rules": (KeyRule(2, 1, -1, 0),)},
        {"rules": (KeyRule(2, 1, 0, 0), KeyRule(2, 2, 0, 0))},
    ):
        with pytest.raises(TransactionError) as caught:
            world.signed("firm", set_policy(**fields), by=OWNERS)
        assert caught.value.result == Code.MALFORMED, fields
    with pytest.raises(TransactionError) as caught:
        world.signed("firm", set_policy(rules=tuple(KeyRule(i, 1, 0, 0) for i in range(33))), by=OWNERS)
    assert caught.value.result == Code.TOO_LARGE
    with pytest.raises(TransactionError):
        world.signed("firm", recover(), by=OWNERS)
    assert world.code("firm", set_policy(rules=(*RULES, KeyRule(6, 1, 0, 0))), by=OWNERS) == Code.ASSERT_FAILED


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        (("f2",), Code.SAME_KEY_MAKER_CHECKER),
        (("f0",), Code.SAME_KEY_MAKER_CHECKER),
        (("f0", "f1"), Code.SAME_KEY_MAKER_CHECKER),  # two makers
        (("f0", "f2"), Code.SAME_KEY_MAKER_CHECKER),
        (("f3",), Code.SAME_KEY_MAKER_CHECKER),  # a checker alone
        (("f3", "f4"), Code.SAME_KEY_MAKER_CHECKER),
        (("f2", "f3"), Code.OK),
        (("f0", "f3"), Code.OK),
    ],
)
def test_two_person_control(keys: tuple[str, ...], code: Code) -> None:
    world = AccountsWorld()
    world.govern(dual_from=1)
    sequence = world.sequence("firm")
    assert world.code("firm", send("bob"), by=[("firm", key) for key in keys]) == code
    assert world.sequence("firm") == sequence + 1  # in the block: fee and sequence, and nothing else
    assert world.balance("firm") == 1_000_000 - (code == Code.OK)


def test_two_person_control_below_its_level_asks_for_one() -> None:
    world = AccountsWorld()
    world.govern(dual_from=2)
    assert world.code("firm", send("bob"), by=[("firm", "f2")]) == Code.OK
    assert world.code("firm", update_keys((entry(9, "x"),)), by=OWNERS) == Code.SAME_KEY_MAKER_CHECKER
    assert world.code("firm", update_keys((entry(9, "x"),)), by=[("firm", "f0"), ("firm", "f3")]) == Code.OK
    # an operator is no maker of what operators may not do
    keys = [("firm", "f2"), ("firm", "f3")]
    assert world.code("firm", update_keys((entry(8, "x"),)), by=keys) == Code.QUORUM_NOT_MET


def test_the_failing_operation_is_named_and_those_before_it_are_undone() -> None:
    world = AccountsWorld()
    world.govern(dual_from=2, rotation_delay_s=0)
    receipt = world.settle(world.signed("firm", send("bob"), update_keys((entry(9, "x"),)), by=OWNERS))
    assert (receipt.code, receipt.op_index) == (Code.SAME_KEY_MAKER_CHECKER, 1)
    assert world.balance("bob") == 1_000_000


def test_keys_of_all_kinds_and_numbers_survive_their_record(world: AccountsWorld) -> None:
    big = (entry(2**32 - 1, "big", 65_535, KeyKind.HYBRID),)
    world.ok("firm", update_keys(big), by=OWNERS)
    change = world.read(change_key(FIRM, 1))
    assert change.add == big
    assert change.ready_s == NOW + DAY
    assert key_of("big", KeyKind.HYBRID).public_key.data == change.add[0][2]


def test_recovery_by_an_authority_leaves_nothing_of_the_old_keys_behind() -> None:
    """What the old keys had waiting could otherwise be confirmed by anybody, later, over the new ones."""
    from state.audit import audit_state
    from state.schema import decode_record
    from tests.state.accounts_world import allow, delegate
    from tests.state.kyc_world import KycWorld, op

    world = KycWorld()
    alice, dave = ADDRESS["alice"], ADDRESS_OF_KYC["dave"]
    governed = set_policy(rules=(), recovery_weight=0)
    for sender, *ops in (
        ("alice", allow("bob"), grant_session(key=(entry(50, "bot"),)), delegate("bob"), governed),
        ("alice", update_keys((entry(0, "thief"),))),
        ("dave", set_policy(add=(entry(1, "d1"),), rules=(KeyRule(1, KeyClass.OPERATOR, 0, 0),), recovery_weight=0)),
    ):
        assert world.do(sender, *ops).code == Code.OK
    rescue = op("comp.recover_holder", old=alice, new=dave, assets=("QNX",))
    assert world.do("auth", rescue, signers=(("auth", 0), ("dave", 0))).code == Code.OK
    records = [(key, decode_record(key, raw)) for key, raw in world.db.items()]
    assert audit_state(records).problems == ()
    assert world.read(change_key(alice, 1)) is None
    policy = world.read(b" P" + alice)
    assert (policy.rotation, policy.next_change, policy.rules) == (0, 2, (KeyRule(1, KeyClass.OPERATOR, 0, 0),))
    assert world.read(b" a" + alice)[4] == GOVERNED_KEYS
    world.now += 2 * DAY
    assert world.do("bob", call("account.confirm_keys", account=alice, change=1)).code == Code.PENDING_NOT_FOUND
