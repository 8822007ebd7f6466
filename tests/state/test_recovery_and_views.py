"""Recovery of a holder, jurisdictions, views of regulators, the list of privileged acts."""

from __future__ import annotations

from typing import Any

import pytest

from state import marks
from state.audit import audit_state
from state.codes import Code
from state.modules.compliance_table import OPERATIONS
from state.modules.gate import FLAG_FREEZABLE, FLAG_REQUIRE_AUTH, FLAGS_OPEN
from state.modules.operation import AMM_ADDRESS
from state.modules.views import may_view
from state.schema import account_key, asset_key, decode_record, encode_record, holding_key
from state.schema_accounts import allowlist_key, change_key, grants_key, policy_key
from state.schema_freezes import NO_ROLES, roles_key
from state.schema_kyc import ACTS_KEY, act_key, view_key
from state.transaction import call
from state.view import View
from tests.state import examples_account
from tests.state.authorisation_world import WHO, PairWorld
from tests.state.kyc_world import ADDRESS, DAY, EVIDENCE, LEI_SOUTH, RICH, KycWorld, op
from tests.state.ledger_world import SIGNERS, entry, key_of, pay

ALICE, BOB, BANK, AUTH, DAVE, NEW = (ADDRESS[name] for name in ("alice", "bob", "bank", "auth", "dave", "north"))


def recover(world: KycWorld, *, sender: str = "auth", old: bytes = ALICE, new: str = "dave", assets: Any = ()) -> int:
    operation = op("comp.recover_holder", old=old, new=ADDRESS.get(new, new), assets=assets)
    signers = ((sender, 0), (new, 0)) if sender != new else ((sender, 0),)
    code = world.do(sender, operation, signers=signers).code
    world.audit()
    return code


def freeze(scope: int, account: bytes, asset: str = "", level: int = 1) -> Any:
    fields = {"reason": "theft", "legal_ref": "case 1", "until": 0}
    return call("comp.freeze", scope=scope, account=account, asset=asset, level=level, **fields)


def edit(world: KycWorld, key: bytes, record: Any) -> None:
    world.db[key] = encode_record(key, record)


def test_all_that_is_free_moves_and_the_old_account_gets_the_new_keys() -> None:
    world = KycWorld()
    edit(world, holding_key(ALICE, "EUR"), (RICH, 400, marks.AUTHORISED))
    assert world.do("auth", freeze(1, ALICE)).code == Code.OK
    assert recover(world) == Code.OK
    assert world.read(holding_key(DAVE, "QNX")) == (RICH,)
    assert world.read(holding_key(DAVE, "BIG")) == (RICH,)
    assert world.read(holding_key(DAVE, "EUR")) == (RICH - 400, 0, marks.AUTHORISED)
    assert world.read(holding_key(ALICE, "EUR")) == (400, 400, marks.AUTHORISED)
    assert world.read(holding_key(ALICE, "QNX")) is None
    old, new = world.read(account_key(ALICE)), world.read(account_key(DAVE))
    assert (old[2], old[3], old[4]) == (new[2], new[3], marks.DEBIT_FROZEN)
    act = world.read(act_key(world.read(ACTS_KEY)[0] - 1))
    assert (act.code, act.actor, act.subject, act.evidence) == (171, AUTH, ALICE, EVIDENCE)
    # who had the old keys can do nothing, the holder acts for both accounts
    assert world.check(world.raw("alice", pay("bob", 1))).code == Code.BAD_SIGNATURE
    assert world.do("auth", call("comp.unfreeze", scope=1, account=ALICE, asset="", reason="found", legal_ref="case 1")).code == Code.OK
    edit(world, holding_key(ALICE, "EUR"), (400,))
    SIGNERS["alice as dave"] = SIGNERS["dave"]
    draft = world.tx("dave", pay("bob", 1), pay("bob", 400, "EUR", as_account=ALICE), signers=())
    from state.transaction import Draft

    signed = Draft.load(draft.raw).sign(DAVE, 0, key_of("dave")).sign(ALICE, 0, key_of("dave")).encode()
    assert world.apply(signed)[0].code == Code.OK


def test_what_is_in_a_pool_stays_the_holders() -> None:
    world = KycWorld()
    pool = {"a": "EUR", "b": "QNX", "fee_ppm": 3_000, "amount_a": 10**9, "amount_b": 10**9, "members": ()}
    assert world.do("alice", call("amm.create", **pool)).code == Code.OK
    assert recover(world) == Code.OK
    draft = world.tx("dave", call("amm.close", pool="EUR/QNX", as_account=ALICE), signers=())
    from state.transaction import Draft

    signed = Draft.load(draft.raw).sign(DAVE, 0, key_of("dave")).sign(ALICE, 0, key_of("dave")).encode()
    assert world.apply(signed)[0].code == Code.OK
    assert world.balance(ALICE, "EUR") == 10**9
    assert recover(world) == Code.OK  # and again: what came out moves now
    assert world.balance(DAVE, "EUR") == RICH


def test_what_may_not_move_stays_where_the_holder_reaches_it() -> None:
    world = KycWorld()
    record = world.read(asset_key("EUR"))
    edit(world, asset_key("EUR"), (*record[:5], marks.PAUSED))
    edit(world, holding_key(ALICE, "BIG"), (RICH, 0, marks.OVERDRAWN))
    assert recover(world) == Code.OK
    assert (world.balance(ALICE, "EUR"), world.balance(ALICE, "BIG"), world.balance(ALICE)) == (RICH, RICH, 0)


def test_a_frozen_holding_and_an_unauthorised_one_stay_and_their_rules_with_them() -> None:
    world = KycWorld(flags=FLAGS_OPEN | FLAG_FREEZABLE | FLAG_REQUIRE_AUTH)
    for code in ("EUR", "BIG"):
        edit(world, roles_key(code.encode()), NO_ROLES._replace(freezer=ADDRESS["south"], compliance=ADDRESS["south"]))
        authorise = call("comp.authorise", asset=code, account=ALICE, state=2, reason="known", legal_ref="list 1")
        assert world.do("south", authorise).code == Code.OK
    assert world.do("south", freeze(2, ALICE, "EUR", 2)).code == Code.OK
    edit(world, holding_key(BOB, "EUR"), (RICH,))
    assert recover(world, old=BOB) == Code.OK
    assert (world.balance(BOB, "EUR"), world.balance(DAVE, "EUR"), world.balance(DAVE)) == (RICH, 0, RICH)
    assert recover(world) == Code.OK
    assert (world.balance(ALICE, "EUR"), world.balance(DAVE, "BIG")) == (RICH, 2 * RICH)
    assert world.read(holding_key(DAVE, "BIG")) == (2 * RICH, 0, marks.AUTHORISED)
    assert world.do("auth", freeze(1, DAVE, level=2)).code == Code.OK
    assert recover(world, old=ADDRESS["carol"]) == Code.ACCOUNT_DEEP_FROZEN


def test_who_may_recover_whom() -> None:
    world = KycWorld()
    assert recover(world, sender="bank") == Code.NO_PERMISSION
    assert recover(world, old=b"n" * 32) == Code.ACCOUNT_NOT_FOUND
    assert recover(world, old=AMM_ADDRESS) == Code.RECIPIENT_IS_MODULE
    assert recover(world, assets=("NONE",)) == Code.ASSET_NOT_FOUND
    for bits, code in (
        (marks.CLOSED, Code.ACCOUNT_CLOSED),
        (marks.SANCTIONED, Code.ACCOUNT_SANCTIONED),
        (marks.UNFREEZABLE, Code.NO_PERMISSION),
    ):
        for who, names in ((ALICE, "old"), (DAVE, "new")):
            if bits == marks.UNFREEZABLE and names == "new":
                continue
            fresh = KycWorld()
            edit(fresh, account_key(who), (*fresh.read(account_key(who))[:4], bits))
            assert recover(fresh) == code
    full = KycWorld()
    edit(full, holding_key(DAVE, "QNX"), ((1 << 640) - 1,))
    raw = full.raw("auth", op("comp.recover_holder", old=ALICE, new=DAVE), signers=(("auth", 0), ("dave", 0)))
    assert full.apply(raw)[0].code == Code.OVERFLOW_MAX
    assert recover(world, assets=("QNX",)) == Code.OK
    assert (world.balance(ALICE), world.balance(ALICE, "EUR")) == (0, RICH)
    # the new account's own signature is needed, and so is the authority's
    raw = world.raw("auth", op("comp.recover_holder", old=BOB, new=DAVE))
    assert world.check(raw).code == Code.QUORUM_NOT_MET
    with pytest.raises(Exception, match="another account"):
        world.raw("auth", op("comp.recover_holder", old=BOB, new=BOB))


def test_a_network_with_too_many_assets_asks_for_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from state.modules import recovery

    monkeypatch.setattr(recovery, "RECOVERY_ASSETS_MAX", 3)
    world = KycWorld()
    assert recover(world) == Code.ASSERT_FAILED
    assert recover(world, assets=("EUR", "QNX")) == Code.OK


def test_jurisdictions_keep_value_out_and_let_it_go_to_the_issuer_only() -> None:
    world = KycWorld()
    for who, where in (("alice", "KP"), ("bob", "CH")):
        world.certify(who, jurisdiction=where)
    assert world.op("alice", "comp.set_jurisdictions", jurisdictions=("KP",)).code == Code.NO_PERMISSION
    assert world.op("bank", "comp.set_jurisdictions", asset="NONE").code == Code.ASSET_NOT_FOUND
    assert world.op("bank", "comp.set_jurisdictions", jurisdictions=("KP",)).code == Code.OK
    assert world.do("bob", pay("alice", 1)).code == Code.JURISDICTION_BLOCKED
    assert world.do("alice", pay("bob", 1)).code == Code.JURISDICTION_BLOCKED
    assert world.do("alice", pay("bank", 1)).code == Code.OK
    assert world.do("bob", pay("carol", 1)).code == Code.OK
    assert world.op("auth", "comp.set_jurisdictions", only=1, jurisdictions=("CH", "FR")).code == Code.OK
    assert world.do("bob", pay("carol", 1)).code == Code.JURISDICTION_BLOCKED  # she has none
    assert world.op("bank", "comp.set_jurisdictions").code == Code.NO_PERMISSION
    assert world.op("auth", "comp.set_jurisdictions", only=1, jurisdictions=("CH", "ZZ")).code == Code.OK
    assert world.do("bob", pay("carol", 1)).code == Code.OK
    assert world.do("bob", pay("alice", 1)).code == Code.JURISDICTION_BLOCKED
    world.now += 2 * DAY  # what was attested is over
    assert world.do("bob", pay("alice", 1)).code == Code.OK
    assert world.op("auth", "comp.set_jurisdictions").code == Code.OK
    assert world.read(asset_key("QNX"))[5] == 0


def test_views_are_granted_by_who_may_show_and_end_by_themselves() -> None:
    world = KycWorld()
    regulator = BOB

    def may(later_s: int = 0, **asked: Any) -> bool:
        return may_view(View(world.db), regulator, world.now + later_s, **asked)

    def act(sender: str, name: str, **fields: Any) -> int:
        return world.op(sender, f"comp.{name}_view", regulator=regulator, **fields).code

    until = world.now + DAY
    assert act("alice", "grant", scope=1, account=ALICE, until=until) == Code.OK
    assert (may(account=ALICE), may(account=BANK), may(asset="QNX"), may()) == (True, False, False, False)
    assert not may(until - world.now, account=ALICE)
    assert act("alice", "grant", scope=1, account=BANK) == Code.NO_PERMISSION
    assert act("alice", "grant", scope=2, asset="QNX") == Code.NO_PERMISSION
    assert act("bank", "grant", scope=2, asset="NONE") == Code.ASSET_NOT_FOUND
    assert act("bank", "grant", scope=2, asset="QNX", until=world.now) == Code.TOO_LATE
    assert act("bank", "grant", scope=2, asset="QNX") == Code.OK
    assert (may(asset="QNX"), may(asset="EUR")) == (True, False)
    assert act("bank", "grant", scope=0) == Code.NO_PERMISSION
    assert act("auth", "grant", scope=0) == Code.OK
    assert (may(), may(account=BANK), may(asset="EUR")) == (True, True, True)
    assert world.op("auth", "comp.grant_view", regulator=AMM_ADDRESS).code == Code.RECIPIENT_IS_MODULE
    assert world.op("auth", "comp.grant_view", regulator=b"n" * 32).code == Code.ACCOUNT_NOT_FOUND
    assert world.op("auth", "comp.grant_view", regulator=BOB, scope=1, account=b"n" * 32).code == Code.ACCOUNT_NOT_FOUND
    assert act("bank", "revoke", scope=0) == Code.NO_PERMISSION
    assert act("auth", "revoke", scope=0) == Code.OK
    assert act("auth", "revoke", scope=0) == Code.PENDING_NOT_FOUND
    assert act("bank", "revoke", scope=2, asset="NONE") == Code.ASSET_NOT_FOUND
    assert act("bank", "revoke", scope=2, asset="QNX") == Code.OK
    assert (may(), may(asset="QNX"), may(account=ALICE)) == (False, False, True)
    assert world.read(view_key(BOB, 1, ALICE)).granted_by == ALICE


@pytest.mark.parametrize("scope", [{"scope": 3}, {"scope": 0, "asset": "QNX"}, {"scope": 1}, {"scope": 2}, {"scope": 2, "account": ALICE}])
def test_a_view_without_its_target_never_enters_a_block(scope: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="view"):
        KycWorld().raw("auth", op("comp.grant_view", regulator=BOB, **scope))


SOME: dict[str, dict[str, Any]] = {
    "comp.set_limits": {"scope": 3, "per_tx": 5},
    "comp.clear_limits": {"scope": 3},
    "comp.set_jurisdictions": {"jurisdictions": ("KP",)},
    "comp.set_travel_threshold": {"amount": 5},
    "comp.clear_travel_threshold": {},
    "comp.register_vasp": {"institution": ADDRESS["south"], "lei": LEI_SOUTH, "keys": (entry(0, "att"),)},
    "comp.recover_holder": {"old": ALICE, "new": DAVE},
    "comp.grant_view": {"regulator": BOB},
    "comp.revoke_view": {"regulator": BOB},
}


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_an_operation_without_its_signer_is_refused_and_a_stranger_has_no_role(row: Any) -> None:
    world = KycWorld()
    raw = world.raw("bob", op(row.name, as_account=AUTH, **SOME[row.name]))
    assert world.check(raw).code == Code.QUORUM_NOT_MET
    signers = (("alice", 0), ("dave", 0)) if row.authorities else None
    assert world.do("alice", op(row.name, **SOME[row.name]), signers=signers).code == Code.NO_PERMISSION


def test_each_privileged_act_leaves_its_entry() -> None:
    world = KycWorld()
    names = [
        "comp.set_limits", "comp.clear_limits", "comp.set_jurisdictions", "comp.set_travel_threshold", "comp.clear_travel_threshold",
        "comp.register_vasp", "comp.grant_view", "comp.revoke_view", "comp.recover_holder",
    ]  # fmt: skip
    assert sorted(names) == sorted(SOME)
    for number, name in enumerate(names):
        signers = (("auth", 0), ("dave", 0)) if name == "comp.recover_holder" else None
        assert world.do("auth", op(name, **SOME[name]), signers=signers).code == Code.OK
        world.audit()
        act = world.read(act_key(number))
        assert (act.actor, act.code, act.time_s) == (AUTH, op(name, **SOME[name])[0], world.now - 1)
        assert len(act.tx) == 32
    assert world.read(ACTS_KEY) == (len(names),)


RECOVERY = {"old": WHO["ann"], "new": WHO["ben"], "evidence_hash": EVIDENCE, "assets": ()}


def test_nothing_that_the_old_keys_gave_away_outlives_a_recovery() -> None:
    """A session key, a delegate, a list of whom she may pay and a waiting change, all made with the stolen keys."""
    world = PairWorld()
    world.done("ann", call("account.set_policy", **examples_account._POLICY))
    world.done("ann", call("account.update_keys", **examples_account._UPDATE))
    examples_account._granted(world)
    examples_account._listed(world)
    ann = WHO["ann"]
    kept = (change_key(ann, 1), grants_key(ann), allowlist_key(ann))
    assert all(world.read(key) is not None for key in kept)
    world.done("cat", call("comp.recover_holder", **RECOVERY), others=("ben",))
    assert [world.read(key) for key in kept] == [None] * 3
    policy = world.read(policy_key(ann))
    assert (policy.rules, policy.rotation, policy.recovery_weight) == ((), 0, 0)
    assert policy.next_change == 2  # numbers of changes are not used twice
    old, new = world.read(account_key(ann)), world.read(account_key(WHO["ben"]))
    assert (old[2], old[3], old[4]) == (new[2], new[3], marks.GOVERNED_KEYS)
    assert audit_state((key, decode_record(key, raw)) for key, raw in world.db.items()).problems == ()


def test_the_classes_of_the_new_keys_go_with_them() -> None:
    """A recovery key of the new account is no owner's key of the old one."""
    world = PairWorld()
    world.done("ben", call("account.set_policy", **{**examples_account._POLICY, "add": (entry(2, "ben2"), entry(3, "ben3"))}))
    world.done("ben", call("account.update_keys", **examples_account._UPDATE))
    world.done("cat", call("comp.recover_holder", **RECOVERY), others=("ben",))
    old, new = world.read(policy_key(WHO["ann"])), world.read(policy_key(WHO["ben"]))
    assert old == new._replace(rotation=0, recovery=0, next_change=1)
    assert new.rotation == 1
    assert world.read(account_key(WHO["ann"]))[4] == marks.GOVERNED_KEYS
    assert audit_state((key, decode_record(key, raw)) for key, raw in world.db.items()).problems == ()
