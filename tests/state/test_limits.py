"""Limits: per transaction, in any window, of a balance; of a holding, a group, a tier, everybody; on every path of value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import marks
from state.codes import Code
from state.modules.claims import give_back
from state.modules.operation import AMM_ADDRESS, OpContext
from state.modules.velocity import compute_bucket_s, compute_buckets
from state.primitives.errors import OperationFailed
from state.primitives.limits import (
    AMOUNT_MAX,
    GROUP_DEPTH_MAX,
    GROUP_MEMBERS_MAX,
    LIMIT_WINDOW_BUCKETS,
    LIMIT_WINDOW_S_MAX,
)
from state.schema import account_key, asset_key, encode_record, holding_key
from state.schema_freezes import NO_ROLES, roles_key
from state.schema_kyc import (
    Bucket,
    Window,
    asset_rules_key,
    group_window_key,
    holding_limits_key,
    holding_window_key,
)
from state.view import View
from tests.state.kyc_world import ADDRESS, DAY, RICH, KycWorld, op
from tests.state.ledger_world import call, pay

ALICE, BOB, BANK, AUTH = ADDRESS["alice"], ADDRESS["bob"], ADDRESS["bank"], ADDRESS["auth"]
WINDOW = {"window_s": 1_200}


def paid(world: KycWorld, payer: str, payee: str, amount: int, asset: str = "QNX") -> int:
    code = world.do(payer, pay(payee, amount, asset)).code
    world.audit()
    return code


def test_a_holding_is_limited_per_transaction_in_a_window_and_in_its_balance() -> None:
    world = KycWorld()
    fields = {"per_tx": 60, "out_max": 100, "in_max": 90, "max_balance": RICH + 50, **WINDOW}
    assert world.limit("bank", "holding", account=ALICE, **fields).code == Code.OK
    assert paid(world, "alice", "bob", 61) == Code.LIMIT_PER_TX
    assert paid(world, "alice", "bob", 60) == Code.OK
    assert paid(world, "alice", "bob", 41) == Code.LIMIT_WINDOW
    assert paid(world, "alice", "bob", 40) == Code.OK
    assert paid(world, "alice", "bob", 1) == Code.LIMIT_WINDOW
    assert paid(world, "bob", "alice", 61) == Code.LIMIT_PER_TX
    assert paid(world, "bob", "alice", 60) == Code.OK
    assert paid(world, "bob", "alice", 31) == Code.LIMIT_WINDOW
    assert paid(world, "bob", "alice", 30) == Code.OK
    assert paid(world, "alice", "bank", 1) == Code.LIMIT_WINDOW  # paying to the issuer counts too
    assert paid(world, "bob", "carol", 10**6) == Code.OK  # nobody else is concerned
    world.now += 1_300
    assert paid(world, "bob", "alice", 60) == Code.OK
    assert paid(world, "bob", "alice", 1) == Code.LIMIT_BALANCE
    assert world.op("bank", "comp.clear_limits", scope=2, account=ALICE).code == Code.OK
    assert paid(world, "alice", "bob", 10**6) == Code.OK
    assert world.read(holding_key(ALICE, "QNX")) == (RICH - 100 + 90 + 60 - 10**6,)
    assert world.read(holding_window_key(ALICE, b"QNX")) is None


def test_a_transaction_is_counted_as_one_however_it_is_cut() -> None:
    world = KycWorld()
    world.limit("bank", "holding", account=ALICE, per_tx=100)
    assert world.do("alice", *(pay("bob", 30) for _ in range(4))).code == Code.LIMIT_PER_TX
    assert world.do("alice", *(pay("bob", 30) for _ in range(3))).code == Code.OK
    assert world.do("alice", pay("bob", 100)).code == Code.OK


def test_no_window_sees_more_than_its_limit_and_what_moved_is_forgotten() -> None:
    world = KycWorld()
    world.limit("bank", "holding", account=ALICE, out_max=100, **WINDOW)
    start = world.now
    assert paid(world, "alice", "bob", 100) == Code.OK
    while True:
        world.now += 50
        if paid(world, "alice", "bob", 100) == Code.OK:
            break
    assert 1_200 < world.now - start <= 1_200 + 1_200 // LIMIT_WINDOW_BUCKETS + 101
    assert len(world.read(holding_window_key(ALICE, b"QNX")).buckets) == 1


def test_a_group_is_counted_together_whatever_its_sub_accounts() -> None:
    world = KycWorld()
    assert world.limit("auth", "account", account=ADDRESS["north1"], per_tx=1).code == Code.ASSERT_FAILED
    assert world.limit("auth", "account", account=ADDRESS["north"], out_max=100, per_tx=80, **WINDOW).code == Code.OK
    assert paid(world, "north1", "bob", 50) == Code.OK
    assert paid(world, "deep", "bob", 51) == Code.LIMIT_WINDOW
    assert paid(world, "deep", "bob", 30) == Code.OK
    assert paid(world, "north2", "bob", 21) == Code.LIMIT_WINDOW
    assert paid(world, "north", "bob", 20) == Code.OK
    assert paid(world, "north2", "bob", 1) == Code.LIMIT_WINDOW
    assert paid(world, "south1", "bob", 10**6) == Code.OK
    window = world.read(group_window_key(ADDRESS["north"], b"QNX"))
    assert sum(bucket.went_out for bucket in window.buckets) == 100
    assert world.read(asset_key("QNX"))[5] & marks.GUARDED
    assert world.op("auth", "comp.clear_limits", scope=1, account=ADDRESS["north"]).code == Code.OK
    assert world.read(asset_key("QNX"))[5] == 0
    assert paid(world, "north2", "bob", 10**6) == Code.OK


def test_the_balance_of_a_group_is_that_of_all_its_accounts_that_received() -> None:
    world = KycWorld()
    world.limit("auth", "account", account=ADDRESS["south"], max_balance=2 * RICH + 100)
    assert paid(world, "bob", "south1", 60) == Code.OK
    assert paid(world, "bob", "south", 41) == Code.LIMIT_BALANCE
    assert paid(world, "bob", "south", 40) == Code.OK
    assert paid(world, "south1", "bob", 30) == Code.OK
    assert paid(world, "bob", "south", 31) == Code.LIMIT_BALANCE
    assert paid(world, "bob", "south", 30) == Code.OK
    assert world.read(group_window_key(ADDRESS["south"], b"QNX")).members == (ADDRESS["south1"],)


def test_the_limits_of_an_account_go_before_those_of_its_tier_and_those_before_the_assets() -> None:
    world = KycWorld()
    world.limit("bank", "asset", "EUR", per_tx=10)
    world.limit("bank", "tier", "EUR", tier=2, per_tx=20)
    assert paid(world, "alice", "bob", 11, "EUR") == Code.LIMIT_PER_TX
    assert paid(world, "alice", "bob", 10, "EUR") == Code.OK
    assert paid(world, "bank", "bank", 11, "EUR") == Code.SELF_TRANSFER
    for who in ("alice", "bob"):
        world.certify(who, tier=2, for_s=500)
    assert paid(world, "alice", "bob", 21, "EUR") == Code.LIMIT_PER_TX
    assert paid(world, "alice", "bob", 20, "EUR") == Code.OK
    assert paid(world, "alice", "carol", 20, "EUR") == Code.LIMIT_PER_TX  # she is of no tier
    world.limit("bank", "account", "EUR", account=ALICE, per_tx=30)
    world.limit("bank", "account", "EUR", account=BOB, per_tx=40)
    assert paid(world, "alice", "bob", 31, "EUR") == Code.LIMIT_PER_TX
    assert paid(world, "alice", "bob", 30, "EUR") == Code.OK
    world.op("bank", "comp.clear_limits", scope=1, account=ALICE, asset="EUR")
    world.op("bank", "comp.clear_limits", scope=1, account=BOB, asset="EUR")
    assert paid(world, "alice", "bob", 20, "EUR") == Code.OK
    world.now += 600  # the credentials are over: back to everybody's
    assert paid(world, "alice", "bob", 20, "EUR") == Code.LIMIT_PER_TX
    world.op("bank", "comp.clear_limits", scope=3, asset="EUR")
    assert paid(world, "alice", "bob", 20, "EUR") == Code.OK  # limits of a tier they are not of any more
    assert world.read(asset_key("EUR"))[5] & marks.GUARDED
    world.op("bank", "comp.clear_limits", scope=4, tier=2, asset="EUR")
    assert (world.read(asset_key("EUR"))[5], world.read(asset_rules_key(b"EUR"))) == (0, None)


def test_the_issuer_is_not_limited_in_its_own_asset() -> None:
    world = KycWorld()
    world.limit("auth", "asset", per_tx=5, max_balance=10)
    assert paid(world, "bank", "bob", 6) == Code.LIMIT_PER_TX  # bob is
    assert paid(world, "bank", "bob", 5) == Code.LIMIT_BALANCE
    assert world.do("bank", call("asset.mint", asset="QNX", to=BANK, amount=10**6, ref="")).code == Code.OK
    assert world.do("bank", call("asset.mint", asset="QNX", to=BOB, amount=5, ref="")).code == Code.LIMIT_BALANCE
    assert world.do("bank", call("asset.mint", asset="QNX", to=ADDRESS["dave"], amount=5, ref="")).code == Code.OK
    assert world.do("bank", call("asset.mint", asset="QNX", to=ADDRESS["dave"], amount=5, ref="")).code == Code.OK
    assert world.do("bank", call("asset.mint", asset="QNX", to=ADDRESS["dave"], amount=1, ref="")).code == Code.LIMIT_BALANCE


def test_what_comes_back_counts_in_no_window_but_a_balance_is_a_balance() -> None:
    world = KycWorld()
    world.limit("bank", "holding", account=ALICE, in_max=5, per_tx=5, max_balance=RICH, **WINDOW)
    view = View(world.db)
    context = OpContext(view, 1, world.now, ())
    context.take(ALICE, b"QNX", 1_000)
    context.give(AMM_ADDRESS, b"QNX", 1_000)
    context.take(AMM_ADDRESS, b"QNX", 999)
    assert give_back(context, ALICE, b"QNX", 999)
    assert view.get(holding_window_key(ALICE, b"QNX")) is None
    context.take(AMM_ADDRESS, b"QNX", 1)
    context.give(ALICE, b"QNX", 1)
    context.take(BOB, b"QNX", 1)
    assert not give_back(context, ALICE, b"QNX", 1)  # it waits as a claim
    assert view.get(b" C" + ALICE) == (1, 1)


def test_what_the_authority_has_set_only_the_authority_changes() -> None:
    world = KycWorld()
    assert world.limit("alice", "asset", per_tx=5).code == Code.NO_PERMISSION
    assert world.limit("bank", "asset", "NONE", per_tx=5).code == Code.ASSET_NOT_FOUND
    assert world.limit("bank", "asset", per_tx=5).code == Code.OK
    assert world.limit("auth", "asset", per_tx=6).code == Code.OK
    assert world.limit("bank", "asset", per_tx=5).code == Code.NO_PERMISSION
    assert world.op("bank", "comp.clear_limits", scope=3).code == Code.NO_PERMISSION
    assert world.op("auth", "comp.clear_limits", scope=3).code == Code.OK
    assert world.op("auth", "comp.clear_limits", scope=3).code == Code.PENDING_NOT_FOUND
    assert world.limit("auth", "holding", account=AMM_ADDRESS, per_tx=5).code == Code.RECIPIENT_IS_MODULE
    assert world.limit("auth", "holding", account=b"n" * 32, per_tx=5).code == Code.ACCOUNT_NOT_FOUND
    assert world.limit("auth", "asset", out_max=5, window_s=LIMIT_WINDOW_S_MAX + 1).code == Code.PARAM_OUT_OF_RANGE
    role = KycWorld()
    role.db[roles_key(b"QNX")] = encode_record(roles_key(b"QNX"), NO_ROLES._replace(compliance=ALICE))
    assert role.limit("alice", "asset", per_tx=5).code == Code.OK
    alone = KycWorld(authorities=())
    assert alone.limit("auth", "asset", per_tx=5).code == Code.NO_PERMISSION
    assert alone.limit("bank", "asset", per_tx=5).code == Code.OK


WRONG: list[dict[str, Any]] = [
    {"scope": 0, "per_tx": 1},
    {"scope": 5, "per_tx": 1},
    {"scope": 1, "per_tx": 1},
    {"scope": 2, "per_tx": 1},
    {"scope": 3, "account": ALICE, "per_tx": 1},
    {"scope": 4, "account": ALICE, "per_tx": 1},
    {"scope": 3, "tier": 1, "per_tx": 1},
    {"scope": 3},
    {"scope": 3, "window_s": 60},
    {"scope": 3, "window_s": 60, "per_tx": 1},
    {"scope": 3, "out_max": 5},
    {"scope": 3, "in_max": 5, "per_tx": 1},
]


@pytest.mark.parametrize("fields", WRONG)
def test_fields_that_contradict_each_other_never_enter_a_block(fields: dict[str, Any]) -> None:
    from state.primitives.errors import TransactionError

    with pytest.raises(TransactionError) as caught:
        KycWorld().raw("bank", op("comp.set_limits", **fields))
    assert caught.value.result == Code.MALFORMED


def test_a_limit_set_on_a_holding_of_nothing_waits_for_the_holder() -> None:
    world = KycWorld()
    dave = ADDRESS["dave"]
    world.limit("bank", "holding", account=dave, max_balance=10)
    assert world.read(holding_key(dave, "QNX")) == (0, 0, marks.HOLDING_LIMITED)
    assert paid(world, "bob", "dave", 11) == Code.LIMIT_BALANCE
    assert paid(world, "bob", "dave", 10) == Code.OK
    assert paid(world, "dave", "bob", 10) == Code.OK
    assert world.read(holding_key(dave, "QNX")) == (0, 0, marks.HOLDING_LIMITED)
    world.op("bank", "comp.clear_limits", scope=2, account=dave)
    assert world.read(holding_key(dave, "QNX")) is None


def test_a_changed_limit_goes_on_counting_what_moved() -> None:
    world = KycWorld()
    world.limit("bank", "holding", account=ALICE, out_max=100, window_s=DAY)
    assert paid(world, "alice", "bob", 90) == Code.OK
    world.limit("bank", "holding", account=ALICE, out_max=50, window_s=DAY)
    assert paid(world, "alice", "bob", 1) == Code.LIMIT_WINDOW
    assert paid(world, "bob", "alice", 1) == Code.OK
    world.limit("bank", "holding", account=ALICE, out_max=100, window_s=2 * DAY)
    assert paid(world, "alice", "bob", 11) == Code.LIMIT_WINDOW
    assert paid(world, "alice", "bob", 10) == Code.OK
    world.limit("bank", "holding", account=ALICE, out_max=100, window_s=60)
    assert paid(world, "alice", "bob", 1) == Code.LIMIT_WINDOW  # the part of 4 hours is not over
    world.now += 4 * 3_600 + 70
    assert paid(world, "alice", "bob", 100) == Code.OK


def test_a_group_beyond_its_bounds_is_refused() -> None:
    world = KycWorld()
    world.limit("auth", "asset", max_balance=RICH * 100)
    view = View(world.db)
    head = ADDRESS["south"]
    sub = (3, head, ((0, 1, bytes(32), 1),), (1, 1, 1, 1), 0)
    members = [bytes([1, number]) * 16 for number in range(GROUP_MEMBERS_MAX + 1)]
    context = OpContext(view, 1, world.now, ())
    for member in members:
        view.put(account_key(member), sub)
    for member in members[:-1]:
        context.credit(member, b"QNX", 5)
    with pytest.raises(OperationFailed, match="at most 64 sub-accounts"):
        context.credit(members[-1], b"QNX", 5)
    context.debit(members[3], b"QNX", 5)  # one that is empty again makes room
    context.credit(members[-1], b"QNX", 5)
    chain = ADDRESS["south"]
    for number in range(GROUP_DEPTH_MAX + 1):
        deeper = bytes([2, number]) * 16
        view.put(account_key(deeper), (3, chain, *sub[2:]))
        chain = deeper
    with pytest.raises(OperationFailed, match="so deep") as caught:
        context.credit(chain, b"QNX", 5)
    assert caught.value.result == Code.LIMIT_PER_TX


moves = st.lists(st.tuples(st.integers(0, 400), st.integers(0, AMOUNT_MAX // 3)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, AMOUNT_MAX), st.integers(1, 2_000), moves)
def test_no_interval_of_the_window_ever_sees_more_than_the_limit(limit: int, window_s: int, tries: list[tuple[int, int]]) -> None:
    """The slow and obvious way: every payment that went through, and every interval that ends with one."""
    world = KycWorld()
    view = View(world.db)
    view.put(holding_key(ALICE, "QNX"), (AMOUNT_MAX, 0, marks.HOLDING_LIMITED))
    from state.schema_kyc import Limits

    view.put(holding_limits_key(ALICE, b"QNX"), Limits(0, 0, limit, 0, window_s, BANK))
    now = world.now
    done: list[tuple[int, int]] = []
    for wait_s, amount in tries:
        now += wait_s
        context = OpContext(view, 1, now, ())
        mark = view.mark()
        try:
            context.debit(ALICE, b"QNX", amount)
        except OperationFailed as failure:
            view.rollback(mark)
            assert failure.result in (Code.LIMIT_WINDOW, Code.INSUFFICIENT_FUNDS)
            longest_s = (LIMIT_WINDOW_BUCKETS + 1) * compute_bucket_s(window_s)
            recent = sum(a for t, a in done if t > now - longest_s) + amount
            assert recent > limit or amount > view.get(holding_key(ALICE, "QNX"))[0]
            continue
        done.append((now, amount))
        assert sum(a for t, a in done if t > now - window_s) <= limit
    record = view.get(holding_window_key(ALICE, b"QNX"))
    if record is not None:
        assert len(record.buckets) <= LIMIT_WINDOW_BUCKETS + 1
        raw = encode_record(holding_window_key(ALICE, b"QNX"), record)
        from state.schema import decode_record

        assert decode_record(holding_window_key(ALICE, b"QNX"), raw) == record


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**9), st.lists(st.integers(0, 12), max_size=13, unique=True))
def test_other_parts_of_a_window_lose_nothing_that_still_counts(old_s: int, new_s: int, now: int, ages: list[int]) -> None:
    newest = now // old_s
    buckets = tuple(Bucket(newest - age, 1, 2) for age in sorted(ages, reverse=True) if newest >= age)
    found = compute_buckets(Window(b"", old_s, buckets, b"", 0, 0, ()), new_s, now)
    assert [bucket.number for bucket in found] == sorted({bucket.number for bucket in found})
    assert all(now // new_s - LIMIT_WINDOW_BUCKETS <= bucket.number <= now // new_s for bucket in found)
    # whatever happened within the last twelve new parts is still there
    sure = [bucket for bucket in buckets if bucket.number * old_s >= (now // new_s - LIMIT_WINDOW_BUCKETS) * new_s]
    assert sum(bucket.came_in for bucket in found) >= len(sure)
