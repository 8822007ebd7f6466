"""An authority reaches everything a holder has: holds, escrows, settlements, offers, pools, farms, stakes, claims; codes in their order."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.codes import Code
from state.machine import BlockExecution
from state.modules import recall as recall_module
from state.modules.amm_math import compute_shares_above, compute_withdrawal
from state.modules.gate import read_holding
from state.modules.operation import AMM_ADDRESS, CLAIMS_ADDRESS, FARMS_ADDRESS, TREASURY_ADDRESS, UNBONDING_ADDRESS
from state.modules.recall import PLACE_KINDS, read_place, show_place
from state.modules.table import BY_NAME, OPERATIONS
from state.primitives.errors import TransactionError
from state.primitives.limits import POOL_RESERVE_MIN
from state.schema import BREAKERS_KEY, account_key, encode_record, holding_key
from state.schema_amm import SWITCHES_KEY, Switches, pool_key, position_key
from state.schema_claims import claims_key
from state.schema_farm import farm_position_key
from state.schema_kyc import ACTS_KEY, act_key
from state.schema_pending import Leg
from state.schema_staking import unbonding_key
from state.transaction import call
from tests.state import gate_scenarios as scenes
from tests.state.amm_world import amm_op
from tests.state.compliance_world import (
    GROUND,
    RICH,
    ComplianceWorld,
    clawback,
    clawback_claim,
    freeze_account,
    recall,
    sanction,
    set_role,
    unfreeze,
)
from tests.state.farm_world import TIERS, farm_op
from tests.state.ledger_world import ADDRESS, pay
from tests.state.pending_world import op as pending_op

ALICE = ADDRESS["alice"]


class Engagement(NamedTuple):
    """How alice comes into one, its place, the asset, and how much of the asset a recall brings back at once."""

    setup: Callable[[ComplianceWorld], None]
    place: str
    asset: str
    amount: int


def _id(kind: str) -> str:
    return f"{kind}/{scenes._named(kind).hex()}"


def _offered(world: ComplianceWorld) -> None:
    sides = {"give_asset": "GLD", "give_amount": 5, "want_asset": "SLV", "want_amount": 7}
    world.must("alice", scenes.promise(world, "pay.offer", to=ADDRESS["bob"], **sides))


ENGAGEMENTS = {
    "hold": Engagement(scenes._promised("hold.create", beneficiary=ADDRESS["bob"]), _id("hold"), "GLD", 5),
    "escrow": Engagement(scenes._promised("escrow.create", to=ADDRESS["bob"]), _id("escrow"), "GLD", 5),
    "settlement": Engagement(scenes._allocated, _id("settlement"), "GLD", 5),
    "offer": Engagement(_offered, _id("offer"), "GLD", 5),
    "pool": Engagement(scenes._position, "pool/GLD/SLV", "GLD", 10**7),
    "farm": Engagement(scenes._staked(), "farm/0", "GLD", 10**6),
    "stake": Engagement(scenes._stake, f"stake/{scenes._validator().hex()}", "QNX", 5_000),
}


@pytest.fixture
def world() -> ComplianceWorld:
    return ComplianceWorld()


def code_of(world: ComplianceWorld, sender: str, *ops: Any) -> int:
    return world.do(sender, *ops).code


def free(world: ComplianceWorld, who: str, asset: str) -> int:
    balance, held, _ = read_holding(world.read(holding_key(ADDRESS[who], asset)))
    return balance - held


def test_every_kind_of_place_has_an_example() -> None:
    assert tuple(ENGAGEMENTS) == PLACE_KINDS


@pytest.mark.parametrize("kind", ENGAGEMENTS)
def test_it_comes_home_and_is_clawed_back(world: ComplianceWorld, kind: str) -> None:
    setup, place, asset, amount = ENGAGEMENTS[kind]
    setup(world)
    before, supply = free(world, "alice", asset), world.supply(asset)
    receipt = world.must("clawer", recall("alice", place, asset))
    event = next(event for event in receipt.events if event.type == "recalled")
    said = dict(event.attributes)
    assert (said["place"], said["amount"], said["reason"], said["legal_ref"]) == (place, str(amount), "court order", "AB 12/34")
    if kind == "stake":  # it stays within reach of a slash for its time
        assert world.balance(UNBONDING_ADDRESS) == amount
        world.now += 200
        world.apply()
    rewards = free(world, "alice", asset) - before - amount
    assert rewards >= 0
    assert not rewards or kind == "stake"
    world.must("clawer", clawback("alice", before + amount, asset))
    assert free(world, "alice", asset) == rewards
    assert asset == "QNX" or world.supply(asset) == supply - before - amount  # of QNX every block makes some
    assert code_of(world, "clawer", recall("alice", place, asset)) in (701, 703)
    world.audit()


@pytest.mark.parametrize("kind", [kind for kind in ENGAGEMENTS if kind != "stake"])
def test_recall_and_clawback_are_one_transaction(world: ComplianceWorld, kind: str) -> None:
    setup, place, asset, amount = ENGAGEMENTS[kind]
    setup(world)
    have = free(world, "alice", asset)
    assert code_of(world, "clawer", recall("alice", place, asset), clawback("alice", have + amount + 1, asset)) == Code.INSUFFICIENT_FUNDS
    assert free(world, "alice", asset) == have  # undone as a whole
    world.must("clawer", recall("alice", place, asset), clawback("alice", have + amount, asset))
    assert free(world, "alice", asset) == 0
    assert world.read(ACTS_KEY)[0] == 2


@pytest.mark.parametrize("status", ["deep_frozen", "sanctioned", "closed", "holding_deep_frozen", "unauthorised", "paused"])
@pytest.mark.parametrize("kind", ENGAGEMENTS)
def test_what_a_rule_keeps_from_the_holder_is_clawed_back_as_a_claim(world: ComplianceWorld, kind: str, status: str) -> None:
    setup, place, asset, amount = ENGAGEMENTS[kind]
    setup(world)
    before = free(world, "alice", asset)
    world.restrict(status, "alice", asset)
    world.must("clawer", recall("alice", place, asset))
    if kind == "stake":
        world.now += 200
        world.apply()
    if kind in ("hold", "settlement", "offer"):  # it never left her
        assert free(world, "alice", asset) == before + amount
        return
    assert free(world, "alice", asset) == before
    supply = world.supply(asset)
    claims = range(world.read(claims_key(ALICE))[0])
    burned = 0
    for number in claims:
        receipt = world.do("clawer", clawback_claim("alice", number, asset))
        burned += int(dict(receipt.events[0].attributes)["amount"]) if receipt.code == 0 else 0
    assert burned >= amount
    assert asset == "QNX" or world.supply(asset) == supply - burned  # of QNX every block makes some
    assert free(world, "alice", asset) == before
    if kind != "pool" or status in ("deep_frozen", "sanctioned", "closed"):
        assert world.balance(CLAIMS_ADDRESS, asset) == 0
    assert code_of(world, "clawer", clawback_claim("alice", 0, asset)) == Code.PENDING_NOT_FOUND
    world.audit()


def test_of_a_pool_both_sides_are_the_holder_s(world: ComplianceWorld) -> None:
    scenes._position(world)
    before = {code: world.balance("alice", code) for code in ("GLD", "SLV")}
    world.must("freezer", call("asset.pause", asset="SLV", **GROUND))  # the other side's rules are asked for the other side alone
    world.must("clawer", recall("alice", "pool/GLD/SLV"))
    assert world.balance("alice", "GLD") == before["GLD"] + 10**7
    assert (world.balance("alice", "SLV"), world.balance(CLAIMS_ADDRESS, "SLV")) == (before["SLV"], 10**7)
    assert world.read(position_key(ALICE, "GLD/SLV")) is None


def test_the_last_shares_leave_a_pool_its_minimum(world: ComplianceWorld) -> None:
    world.must("alice", amm_op("create", a="GLD", b="SLV", amount_a=POOL_RESERVE_MIN * 2, amount_b=10**11))
    world.must("clawer", recall("alice", "pool/GLD/SLV"))
    pool = world.read(pool_key("GLD/SLV"))
    assert POOL_RESERVE_MIN <= pool.reserve_a < POOL_RESERVE_MIN + pool.reserve_a // 1000 + 2
    assert world.read(position_key(ALICE, "GLD/SLV")).shares > 0
    assert code_of(world, "clawer", recall("alice", "pool/GLD/SLV")) == Code.BELOW_MIN_RESERVES
    world.must("alice", amm_op("close", pool="GLD/SLV"))
    assert world.balance(AMM_ADDRESS, "GLD") == 0


def test_the_protocol_is_paid_once_as_in_a_withdrawal(world: ComplianceWorld) -> None:
    """Found by random operations: it was paid before the pool's minimum was looked at, and again when the shares were burned."""
    scenes._position(world)
    key = pool_key("GLD/SLV")
    pool = world.read(key)
    world.db[key] = encode_record(key, pool._replace(is_protocol_on=True, k_last=pool.reserve_a * pool.reserve_b))
    for path in (("GLD", "SLV"), ("SLV", "GLD")):
        world.must("carol", amm_op("swap_in", path=path, amount_in=10**7, min_out=1))
    other = copy.deepcopy(world)
    world.must("clawer", recall("alice", "pool/GLD/SLV"))
    shares = other.read(position_key(ALICE, "GLD/SLV")).shares
    other.must("alice", amm_op("remove", pool="GLD/SLV", shares=shares))
    paid = world.read(position_key(TREASURY_ADDRESS, "GLD/SLV")).shares
    assert paid == other.read(position_key(TREASURY_ADDRESS, "GLD/SLV")).shares > 0
    assert world.read(key) == other.read(key)
    assert world.balance("alice", "GLD") == other.balance("alice", "GLD")


@given(st.integers(POOL_RESERVE_MIN, 10**60), st.integers(1_000, 10**60))
def test_one_share_more_would_leave_less_than_the_minimum(reserve: int, supply: int) -> None:
    most = compute_shares_above(reserve, POOL_RESERVE_MIN, supply)
    assert reserve - compute_withdrawal(most, reserve, reserve, supply)[0] >= POOL_RESERVE_MIN
    assert reserve - compute_withdrawal(most + 1, reserve, reserve, supply)[0] < POOL_RESERVE_MIN
    assert compute_shares_above(POOL_RESERVE_MIN - 1, POOL_RESERVE_MIN, supply) == 0


def test_rippled_7704_shares_that_are_worth_nothing_are_not_burned(world: ComplianceWorld) -> None:
    """rippled #7704, 2026: a clawback from a pool rounded to zero, burned the shares and recovered nothing."""
    world.must("bob", amm_op("create", a="GLD", b="SLV", amount_a=10**5, amount_b=10**11))
    world.must("alice", amm_op("add", pool="GLD/SLV", max_a=1, max_b=10**6))
    world.must("bob", amm_op("swap_in", path=("SLV", "GLD"), amount_in=10**11, min_out=1))  # now a share is worth less GLD
    shares = world.read(position_key(ALICE, "GLD/SLV"))
    assert code_of(world, "clawer", recall("alice", "pool/GLD/SLV")) == Code.ZERO_OUTPUT
    assert world.read(position_key(ALICE, "GLD/SLV")) == shares


def test_a_pool_whose_withdrawals_are_switched_off_gives_nothing(world: ComplianceWorld) -> None:
    scenes._position(world)
    world.db[SWITCHES_KEY] = encode_record(SWITCHES_KEY, Switches(0, 0, world.now + 1_000))
    assert code_of(world, "clawer", recall("alice", "pool/GLD/SLV")) == Code.MODULE_PAUSED


def test_what_a_stake_has_earned_stays_its_owner_s_but_a_lock_costs_it(world: ComplianceWorld) -> None:
    scenes._farm()(world)
    world.must("alice", farm_op("stake", amount=10**6))
    world.now += 10
    world.must("clawer", recall("alice", "farm/0"))
    assert world.read(farm_position_key(ALICE, 0)).amount == 0
    got = world.balance("alice", "SLV")
    world.must("alice", farm_op("claim", positions=(0,)))
    assert world.balance("alice", "SLV") > got
    assert world.balance("alice", "GLD") == RICH

    other = ComplianceWorld()
    terms = {"lock_tiers": TIERS, "budget": 10**9, "end": other.now + 1_000}
    other.must("bob", farm_op("create", stake_asset="GLD", reward_asset="SLV", **terms))
    other.must("alice", farm_op("stake", amount=10**6, tier=1))
    other.now += 10
    receipt = other.must("clawer", recall("alice", "farm/0"))
    assert "farm_forfeited" in [event.type for event in receipt.events]
    assert other.read(farm_position_key(ALICE, 0)) is None
    assert other.balance("alice", "GLD") == RICH


def test_staked_shares_come_back_as_shares_and_then_as_assets(world: ComplianceWorld) -> None:
    scenes._staked("GLD/SLV", "SLV")(world)
    before = world.balance("alice", "GLD")
    assert code_of(world, "clawer", recall("alice", "farm/0", "QNX")) == Code.PENDING_NOT_FOUND
    world.must("clawer", recall("alice", "farm/0"), recall("alice", "pool/GLD/SLV"), clawback("alice", before + 10**7))
    assert world.balance("alice", "GLD") == 0
    assert world.read(position_key(ALICE, "GLD/SLV")) is None


def test_a_recalled_stake_is_still_slashed_and_its_validator_loses_its_power(world: ComplianceWorld) -> None:
    scenes._stake(world)
    place = f"stake/{scenes._validator().hex()}"
    world.must("clawer", recall("alice", place, "QNX"))
    (entry,) = world.read(unbonding_key(scenes._validator(), ALICE))
    assert (entry.balance, entry.until_s) == (5_000, world.now - 1 + 100)
    world.must("reg1", freeze_account("alice"))  # else she could take her way back in
    assert code_of(world, "alice", call("stake.cancel_unbond", validator=scenes._validator(), entry=entry.number)) == Code.ACCOUNT_FROZEN


def test_a_settlement_ends_for_all_and_everybody_has_his_own_again(world: ComplianceWorld) -> None:
    legs = (Leg(ALICE, ADDRESS["bob"], "GLD", 5), Leg(ADDRESS["bob"], ALICE, "SLV", 7))
    world.must("alice", scenes.promise(world, "settle.create", legs=legs))
    world.must("alice", scenes._allocate(world))
    world.must("bob", scenes._allocate(world))
    assert free(world, "bob", "SLV") == RICH - 7
    assert code_of(world, "clawer", recall("bob", _id("settlement"))) == Code.PENDING_NOT_FOUND  # bob gives no GLD in it
    world.must("clawer", recall("alice", _id("settlement")))
    assert (free(world, "alice", "GLD"), free(world, "bob", "SLV")) == (RICH, RICH)
    assert code_of(world, "bob", pending_op("settle.execute", settlement=scenes._named("settlement"))) == Code.PENDING_ALREADY_VOIDED


@pytest.mark.parametrize("kind", ENGAGEMENTS)
def test_only_who_may_claw_back_recalls_and_only_what_is_the_holder_s(kind: str) -> None:
    world = ComplianceWorld()
    setup, place, asset, _ = ENGAGEMENTS[kind]
    setup(world)
    for sender in ("alice", "bank", "freezer", "reg1", "officer"):
        assert code_of(world, sender, recall("alice", place, asset)) == Code.NO_PERMISSION
    other = "SLV" if asset == "QNX" or kind != "pool" else "QNX"
    assert code_of(world, "clawer", recall("carol", place, asset)) == Code.PENDING_NOT_FOUND
    assert code_of(world, "clawer", recall("alice", place, other)) == Code.PENDING_NOT_FOUND
    world.must("bank", set_role(asset, "clawback", "carol"))
    assert code_of(world, "clawer", recall("alice", place, asset)) == Code.NO_PERMISSION


def test_failures_in_order(world: ComplianceWorld) -> None:
    scenes._promised("hold.create", beneficiary=ADDRESS["bob"])(world)
    nobody = bytes(32)
    fields = {"holder": nobody, "place": read_place("farm/0"), **GROUND}
    claim = {"holder": nobody, "claim": 0, **GROUND}
    for sender, asset, holder, expected in (
        ("alice", "NONE", nobody, Code.ASSET_NOT_FOUND),
        ("alice", "OPN", nobody, Code.CLAWBACK_NOT_ENABLED),
        ("alice", "GLD", nobody, Code.NO_PERMISSION),
        ("clawer", "GLD", AMM_ADDRESS, Code.RECIPIENT_IS_MODULE),
        ("clawer", "GLD", nobody, Code.ACCOUNT_NOT_FOUND),
        ("clawer", "GLD", ALICE, Code.PENDING_NOT_FOUND),
    ):
        if asset == "OPN":
            world.must("bank", call("asset.create", code="OPN", scale=0, max_supply=0, flags=1, minters=(), metadata_hash=b""))
        for name, rest in (("asset.recall", fields), ("claim.clawback", claim)):
            assert code_of(world, sender, call(name, **{**rest, "asset": asset, "holder": holder})) == expected, name
    place = _id("hold")
    world.must("clawer", recall("alice", place))
    assert code_of(world, "clawer", recall("alice", place)) == Code.PENDING_ALREADY_VOIDED
    scenes._stake(world)
    for _ in range(7):
        world.must("alice", call("stake.undelegate", validator=scenes._validator(), amount=10))
    assert code_of(world, "clawer", recall("alice", f"stake/{scenes._validator().hex()}", "QNX")) == Code.UNBONDING_LIMIT


@pytest.mark.parametrize(
    "text",
    ["", "hold", "hold/", "vault/1", "hold/" + "0" * 39, "hold/" + "A" * 40, "pool/EUR", "pool/B/A", "farm/", "farm/-1", "farm/01",
     "farm/9223372036854775808", "farm/\u0661", "stake/" + "g" * 40, "Hold/" + "0" * 40, " hold/" + "0" * 40],
)  # fmt: skip
def test_a_place_has_one_form(text: str) -> None:
    with pytest.raises(TransactionError) as caught:
        read_place(text)
    assert caught.value.result == Code.MALFORMED


@pytest.mark.parametrize("text", ["hold/" + "0a" * 20, "pool/EUR/USD", "farm/0", "farm/9223372036854775807", "stake/" + "ff" * 20])
def test_a_place_reads_as_it_was_written(text: str) -> None:
    assert show_place(read_place(text)) == text


def test_each_act_has_its_entry(world: ComplianceWorld) -> None:
    scenes._parked(world)
    scenes._promised("hold.create", beneficiary=ADDRESS["bob"])(world)
    (first,) = world.read(ACTS_KEY)
    world.must("clawer", recall("alice", _id("hold")), clawback_claim("alice", 0, "QNX"))
    acts = [world.read(act_key(number)) for number in range(first, first + 2)]
    assert [(act.code, act.actor, act.subject, act.asset) for act in acts] == [
        (BY_NAME["asset.recall"].code, ADDRESS["clawer"], ALICE, "GLD"),
        (BY_NAME["claim.clawback"].code, ADDRESS["clawer"], ALICE, "QNX"),
    ]


def _wrong(name: str, **changed: Any) -> Any:
    """A handler that does more or less than its operation says."""
    row = BY_NAME[name]

    def handler(context: Any, account: bytes, args: tuple[Any, ...]) -> None:
        row.handler(context, account, args)
        for step in changed.values():
            step(context, args)

    return row.code, replace(row, handler=handler)


def _gives_to_bob(context: Any, args: tuple[Any, ...]) -> None:
    context.take(FARMS_ADDRESS, b"SLV", 5)
    context.give(ADDRESS["bob"], b"SLV", 5)


def test_a_handler_that_gives_it_to_another_is_reverted_and_its_module_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ComplianceWorld()
    scenes._staked()(world)
    monkeypatch.setitem(OPERATIONS, *_wrong("asset.recall", more=_gives_to_bob))
    execution = BlockExecution(world.db, world.context())
    receipt = execution.deliver(world.tx("clawer", recall("alice", "farm/0")))
    assert (receipt.code, receipt.log) == (Code.INVARIANT_VIOLATION, "I26: an act of authority moved what is another's")
    assert [name for name, *_ in execution.view.get(BREAKERS_KEY)] == ["recall"]  # only what broke has stopped


@pytest.mark.parametrize("name", ["asset.recall", "claim.clawback"])
def test_a_handler_that_forgets_the_role_is_reverted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = ComplianceWorld()
    scenes._parked(world)
    scenes._promised("escrow.create", to=ADDRESS["bob"])(world)
    monkeypatch.setattr(recall_module, "require_power", lambda *_args: None)
    op = recall("alice", _id("escrow")) if name == "asset.recall" else clawback_claim("alice", 0, "QNX")
    receipt = BlockExecution(world.db, world.context()).deliver(world.tx("freezer", op))
    assert (receipt.code, receipt.log) == (Code.INVARIANT_VIOLATION, "I24: somebody reached beyond a holding without the role")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(tuple(ENGAGEMENTS)), st.sampled_from(["", "freeze", "sanction", "recall", "pay"])), max_size=6))
def test_whatever_comes_before_nothing_is_lost(steps: list[tuple[str, str]]) -> None:
    """Recalls in any order, of anything, whether it is there or not: each asset is conserved and the audit finds nothing."""
    world = ComplianceWorld()
    for kind, before in steps:
        setup, place, asset, _ = ENGAGEMENTS[kind]
        with suppress(AssertionError):  # there is one already, or she is frozen
            setup(world)
        if before == "freeze":
            world.do("reg1", freeze_account("alice", 2))
        elif before == "sanction":
            world.do("reg1", sanction("alice"))
        elif before == "pay":
            world.do("reg2", unfreeze("alice"))
            world.do("alice", pay("bob", 5, asset))
        totals = {code: world.supply(code) for code in ("GLD", "SLV")}
        receipt = world.do("clawer", recall("alice", place, asset))
        assert receipt.code in (0, 701, 703, 810, 1003), receipt.log
        assert totals == {code: world.supply(code) for code in ("GLD", "SLV")}
        assert totals == {code: world.total(code) for code in totals}
    world.audit()
    assert world.read(account_key(ALICE)) is not None
