"""Freezes, sanctions, authorisations: who may, who releases, when it ends, what is given back; incidents that cannot happen here."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.initial import GenesisState, genesis_changes
from state.machine import apply_block
from state.modules import compliance
from state.modules.acts import ground_hash
from state.modules.operation import CLAIMS_ADDRESS, FEES_ADDRESS, GOVERNANCE_ADDRESS, MODULE_ACCOUNTS, OpContext
from state.modules.staking_pool import get_delegation, read_stake_params, settle_pool, take_stake, value_of
from state.modules.table import BY_NAME, ROWS
from state.params import FeeParams, Params
from state.params_compliance import ComplianceParams
from state.primitives.errors import GenesisError, MalformedError, OperationFailed, TransactionError
from state.primitives.limits import AUTHORITIES_MAX
from state.queries import describe_record, simulate
from state.queries_compliance import get_account_status, get_asset_powers, get_holding_status
from state.schema import CALENDAR_KEY, COMPLIANCE_PARAMS_KEY, account_key, holding_key
from state.schema_claims import claim_key
from state.schema_freezes import MARKED_KEY, account_freeze_key, holding_freeze_key, pause_key, roles_key, sanction_key
from state.schema_kyc import ACTS_KEY, act_key
from state.transaction import Transaction, call
from state.view import View, encode_changes
from tests.state.amm_world import amm_op
from tests.state.compliance_world import (
    GROUND,
    RICH,
    ComplianceWorld,
    authorise,
    clawback,
    freeze_account,
    freeze_asset,
    freeze_holding,
    sanction,
    set_role,
    unfreeze,
    unsanction,
)
from tests.state.gate_scenarios import SCENARIOS
from tests.state.ledger_world import ADDRESS, World, entry, genesis_state, pay, update_keys
from tests.state.test_asset_powers import NOBODY, code_of
from tests.state.test_modules_assets import create

VALIDATOR = SCENARIOS["stake.delegate"].op(ComplianceWorld.__new__(ComplianceWorld))[2][0]


@pytest.fixture
def world() -> ComplianceWorld:
    return ComplianceWorld()


def delegate(amount: int) -> Any:
    return call("stake.delegate", validator=VALIDATOR, amount=amount)


def undelegate(amount: int) -> Any:
    return call("stake.undelegate", validator=VALIDATOR, amount=amount)


# who may, and who releases


def test_accounts_are_frozen_by_the_authority_alone(world: ComplianceWorld) -> None:
    for sender in ("alice", "bank", "freezer", "officer"):
        assert code_of(world, sender, freeze_account("bob")) == Code.NO_PERMISSION
        assert code_of(world, sender, sanction("bob")) == Code.NO_PERMISSION
    assert code_of(world, "reg1", freeze_holding("bob", "GLD")) == Code.NO_PERMISSION
    assert code_of(world, "reg1", freeze_asset("GLD")) == Code.NO_PERMISSION
    assert code_of(world, "reg1", freeze_account("bob")) == Code.OK
    assert code_of(world, "alice", unfreeze("bob")) == Code.NO_PERMISSION
    assert code_of(world, "reg1", unfreeze("bob")) == Code.OK


def test_who_restricted_does_not_release_where_that_is_the_rule() -> None:
    world = ComplianceWorld(separate_release=True)
    world.must("reg1", freeze_account("bob"), sanction("alice"))
    assert code_of(world, "reg1", unfreeze("bob")) == Code.SAME_KEY_MAKER_CHECKER
    assert code_of(world, "reg1", unsanction("alice")) == Code.SAME_KEY_MAKER_CHECKER
    assert code_of(world, "reg2", unfreeze("bob")) == Code.OK
    assert code_of(world, "reg2", unsanction("alice")) == Code.OK


def test_a_freezer_who_becomes_the_releaser_does_not_release_his_own(world: ComplianceWorld) -> None:
    world.must("freezer", freeze_holding("alice", "GLD"), freeze_asset("SLV"))
    for asset in ("GLD", "SLV"):
        world.must("bank", set_role(asset, "freezer", "hybrid"), set_role(asset, "unfreezer", "freezer"))
    assert code_of(world, "freezer", unfreeze("alice", "GLD")) == Code.SAME_KEY_MAKER_CHECKER
    assert code_of(world, "freezer", unfreeze(asset="SLV")) == Code.SAME_KEY_MAKER_CHECKER
    assert code_of(world, "freezer", call("asset.unpause", asset="SLV", **GROUND)) == Code.SAME_KEY_MAKER_CHECKER
    world.must("bank", set_role("GLD", "unfreezer", ""))
    assert code_of(world, "officer", unfreeze("alice", "GLD")) == Code.OK  # without a releaser, who freezes releases too


def test_roots_are_never_restricted(world: ComplianceWorld) -> None:
    for op in (freeze_account("reg2"), sanction("reg1")):
        assert code_of(world, "reg1", op) == Code.NO_PERMISSION
    for module in MODULE_ACCOUNTS:
        subject = {"account": module, "asset": "", "level": 1, "until": 0}
        assert code_of(world, "reg1", call("comp.freeze", scope=1, **subject, **GROUND)) == Code.RECIPIENT_IS_MODULE
        assert code_of(world, "freezer", call("comp.freeze", scope=2, **{**subject, "asset": "GLD"}, **GROUND)) == 506
        assert code_of(world, "reg1", call("comp.sanction", account=module, list_id="x", **GROUND)) == Code.RECIPIENT_IS_MODULE
    assert code_of(world, "freezer", freeze_holding("bank", "GLD")) == Code.NO_PERMISSION


def test_failures_in_order(world: ComplianceWorld) -> None:
    past = world.now - 10
    fields = {"level": 1, **GROUND}
    steps = [
        ("alice", call("comp.freeze", scope=2, account=NOBODY, asset="NONE", until=past, **fields), Code.ASSET_NOT_FOUND),
        ("alice", call("comp.freeze", scope=2, account=NOBODY, asset="GLD", until=past, **fields), Code.NO_PERMISSION),
        ("freezer", call("comp.freeze", scope=2, account=NOBODY, asset="GLD", until=past, **fields), Code.ACCOUNT_NOT_FOUND),
        ("reg1", call("comp.freeze", scope=1, account=NOBODY, asset="", until=past, **fields), Code.ACCOUNT_NOT_FOUND),
        ("reg1", freeze_account("bob", until=past), Code.TOO_LATE),
        ("reg1", freeze_account("bob", 2), Code.OK),
        ("reg2", freeze_account("bob", 1), Code.ASSERT_FAILED),
        ("alice", unfreeze("bob", "NONE"), Code.ASSET_NOT_FOUND),
        ("alice", unfreeze("bob", "GLD"), Code.NO_PERMISSION),
        ("unfreezer", unfreeze("bob", "GLD"), Code.ASSERT_FAILED),
        ("reg1", unfreeze("alice"), Code.ASSERT_FAILED),
        ("reg1", call("comp.sanction", account=NOBODY, list_id="x", **GROUND), Code.ACCOUNT_NOT_FOUND),
        ("reg1", sanction("bob"), Code.OK),
        ("reg1", sanction("bob"), Code.ASSERT_FAILED),
        ("alice", unsanction("bob"), Code.NO_PERMISSION),
        ("reg1", unsanction("alice"), Code.ASSERT_FAILED),
        ("alice", authorise("bob", "NONE", "authorised"), Code.ASSET_NOT_FOUND),
        ("bank", authorise("bob", "GLD", "authorised"), Code.NO_PERMISSION),
        ("officer", call("comp.authorise", asset="GLD", account=FEES_ADDRESS, state=2, **GROUND), Code.RECIPIENT_IS_MODULE),
        ("officer", call("comp.authorise", asset="GLD", account=NOBODY, state=2, **GROUND), Code.ACCOUNT_NOT_FOUND),
    ]
    for sender, op, code in steps:
        assert code_of(world, sender, op) == code, (sender, op)


@pytest.mark.parametrize(
    "fields",
    [
        {"scope": 0},
        {"scope": 4},
        {"account": b""},
        {"asset": "GLD"},
        {"level": 0},
        {"level": 3},
        {"reason": ""},
        {"legal_ref": "  "},
        {"scope": 2},
        {"scope": 3, "asset": "GLD"},
        {"scope": 3, "account": b"", "asset": "GLD", "level": 2},
    ],
)
def test_wrong_forms_never_enter_a_block(world: ComplianceWorld, fields: dict[str, Any]) -> None:
    good = {"scope": 1, "account": ADDRESS["bob"], "asset": "", "level": 1, "until": 0, **GROUND}
    with pytest.raises(TransactionError):
        world.raw("reg1", call("comp.freeze", **{**good, **fields}))
    if "level" not in fields:
        del good["level"], good["until"]
        with pytest.raises(TransactionError):
            world.raw("reg1", call("comp.unfreeze", **{**good, **fields}))
    with pytest.raises(TransactionError):
        world.raw("officer", call("comp.authorise", asset="GLD", account=ADDRESS["bob"], state=3, **GROUND))


# times


@pytest.mark.parametrize("late_s", [0, 1, 59, 3_600])
def test_a_freeze_ends_by_itself_to_the_second(late_s: int) -> None:
    world = ComplianceWorld()
    until = world.now + 100
    world.must("reg1", freeze_account("alice", 2, until))
    world.must("freezer", freeze_holding("bob", "GLD", 2, until), freeze_asset("SLV", until))
    world.now = until - 1
    assert world.do("alice", pay("carol", 1, "QNX")).code == Code.ACCOUNT_DEEP_FROZEN
    world.now = until - 1
    assert world.do("carol", pay("bob", 1, "GLD")).code == Code.HOLDING_FROZEN
    world.now = until - 1
    assert world.do("carol", pay("bob", 1, "SLV")).code == Code.ASSET_PAUSED
    world.now = until + late_s
    txs = [world.raw("alice", pay("carol", 1, "QNX")), world.raw("carol", pay("bob", 1, "GLD"), pay("bob", 1, "SLV"))]
    assert [receipt.code for receipt in world.apply(*txs)] == [0, 0]
    world.now = until + 120
    world.apply()
    for key in (account_freeze_key(ADDRESS["alice"]), holding_freeze_key(ADDRESS["bob"], b"GLD"), pause_key(b"SLV"), CALENDAR_KEY):
        assert world.read(key) is None
    assert world.read(account_key(ADDRESS["alice"]))[4] == 0
    assert world.last is not None
    world.audit()


def test_a_freeze_that_is_made_longer_does_not_end_with_the_first(world: ComplianceWorld) -> None:
    until = world.now + 100
    world.must("reg1", freeze_account("alice", 1, until))
    assert code_of(world, "reg2", freeze_account("alice", 2, until - 10)) == Code.ASSERT_FAILED
    world.must("reg2", freeze_account("alice", 2, until + 1_000))
    world.now = until + 200
    world.apply()
    assert code_of(world, "alice", pay("bob", 1)) == Code.ACCOUNT_DEEP_FROZEN
    world.must("reg1", freeze_account("alice", 2))
    assert code_of(world, "reg1", freeze_account("alice", 2, until + 5_000)) == Code.ASSERT_FAILED
    world.now = until + 5_000
    world.apply()
    assert code_of(world, "alice", pay("bob", 1)) == Code.ACCOUNT_DEEP_FROZEN
    world.must("reg2", unfreeze("alice"))
    assert code_of(world, "alice", pay("bob", 1)) == Code.OK


def test_what_is_over_is_not_released_again_and_may_be_made_anew(world: ComplianceWorld) -> None:
    until = world.now + 5
    world.must("reg1", freeze_account("alice", 2, until))
    world.now = until
    assert code_of(world, "reg1", unfreeze("alice")) == Code.ASSERT_FAILED
    assert code_of(world, "reg1", freeze_account("alice", 1)) == Code.OK
    world.now = until + 600
    world.apply()
    assert code_of(world, "alice", pay("bob", 1)) == Code.ACCOUNT_FROZEN
    assert world.read(MARKED_KEY) == (4,)  # three assets that ask for authorisation, one freeze


# what a restriction means


def test_a_frozen_account_pays_its_issuer_and_nobody_else(world: ComplianceWorld) -> None:
    world.must("reg1", freeze_account("alice", 2))
    assert code_of(world, "alice", pay("bob", 1, "GLD")) == Code.ACCOUNT_DEEP_FROZEN
    assert code_of(world, "alice", pay("bank", 1, "GLD")) == Code.OK
    legs = ((ADDRESS["alice"], "GLD", 0, 5), (ADDRESS["bank"], "GLD", 1, 5))
    assert code_of(world, "alice", call("asset.multi_transfer", legs=legs)) == Code.OK
    split = ((ADDRESS["alice"], "GLD", 0, 5), (ADDRESS["bank"], "GLD", 1, 3), (ADDRESS["bob"], "GLD", 1, 2))
    assert code_of(world, "alice", call("asset.multi_transfer", legs=split)) == Code.ACCOUNT_DEEP_FROZEN


def test_a_frozen_issuer_does_not_pay_out(world: ComplianceWorld) -> None:
    world.must("reg1", freeze_account("bank", 1))
    assert code_of(world, "bank", pay("alice", 1, "GLD")) == Code.ACCOUNT_FROZEN
    assert code_of(world, "bank", set_role("GLD", "freezer", "bob")) == Code.ACCOUNT_FROZEN
    assert code_of(world, "alice", pay("bank", 1, "GLD")) == Code.OK


def test_a_frozen_account_still_changes_its_keys_and_a_sanctioned_one_does_nothing(world: ComplianceWorld) -> None:
    rotate = update_keys((entry(9, "k9"),))
    world.must("reg1", freeze_account("alice", 2))
    assert code_of(world, "alice", rotate) == Code.OK
    world.must("reg1", sanction("bob"))
    assert code_of(world, "bob", rotate) == Code.ACCOUNT_SANCTIONED
    assert code_of(world, "bob", pay("bank", 1, "GLD")) == Code.ACCOUNT_SANCTIONED


def test_a_sanctioned_account_does_not_even_pay_a_fee() -> None:
    world = ComplianceWorld(fees=FeeParams(asset="QNX", base_default=10))
    world.must("reg1", sanction("bob"), fee_payer=ADDRESS["alice"], signers=[("reg1", 0), ("alice", 0)])
    balance = world.balance("bob")
    assert world.check(world.raw("bob", pay("bank", 1, "GLD"))).code == Code.FEE_PAYER_CANNOT_PAY
    raw = world.raw("bob", pay("bank", 1, "GLD"), fee_payer=ADDRESS["alice"], signers=[("alice", 0), ("bob", 0)])
    assert world.apply(raw)[0].code == Code.ACCOUNT_SANCTIONED
    assert world.balance("bob") == balance


def test_one_transaction_sees_what_it_has_frozen_itself(world: ComplianceWorld) -> None:
    both = [("reg1", 0), ("alice", 0)]
    acting = pay("bob", 1, "GLD", as_account=ADDRESS["alice"])
    assert code_of(world, "reg1", acting, signers=both) == Code.OK
    receipt = world.do("reg1", freeze_account("alice"), acting, signers=both)
    assert (receipt.code, receipt.op_index) == (Code.ACCOUNT_FROZEN, 1)
    world.must("reg1", freeze_account("alice"))
    assert world.do("reg2", unfreeze("alice"), acting, signers=[("reg2", 0), ("alice", 0)]).code == Code.OK


def test_every_privileged_act_says_by_whom_why_and_on_what_ground(world: ComplianceWorld) -> None:
    acts = [
        ("reg1", freeze_account("alice")),
        ("reg2", unfreeze("alice")),
        ("freezer", freeze_holding("alice", "GLD")),
        ("unfreezer", unfreeze("alice", "GLD")),
        ("freezer", freeze_asset("GLD")),
        ("unfreezer", unfreeze(asset="GLD")),
        ("reg1", sanction("alice")),
        ("reg2", unsanction("alice")),
        ("officer", authorise("alice", "GLD", "maintained")),
        ("freezer", call("asset.pause", asset="GLD", **GROUND)),
        ("unfreezer", call("asset.unpause", asset="GLD", **GROUND)),
        ("clawer", clawback("alice", 1)),
    ]
    for sender, op in acts:
        (event,) = world.must(sender, op).events
        found = dict(event.attributes)
        assert found["reason"] == "court order", event
        assert found["legal_ref"] == "AB 12/34"
        assert found["by"]
    acted = {op[0] for _, op in acts} | {BY_NAME["asset.forced_transfer"].code, BY_NAME["comp.set_authorities"].code}
    assert {row.code for row in ROWS if row.name.startswith("comp.") and row.code in range(180, 186)} <= acted


# what is given back meanwhile


def test_an_unbonding_of_a_frozen_account_waits_as_a_claim(world: ComplianceWorld) -> None:
    world.must("alice", delegate(5_000))
    world.must("alice", undelegate(2_000))
    held = world.balance("alice")
    world.must("reg1", freeze_account("alice", 2))
    world.now += 200
    world.apply()
    assert world.balance(CLAIMS_ADDRESS) >= 2_000
    assert world.read(claim_key(ADDRESS["alice"], 0))[2] == Code.ACCOUNT_DEEP_FROZEN
    assert code_of(world, "alice", call("claim.take", claim=0)) == Code.ACCOUNT_DEEP_FROZEN
    world.must("reg2", unfreeze("alice"))
    assert code_of(world, "alice", call("claim.take", claim=0)) == Code.OK
    assert world.balance("alice") >= held + 2_000


def test_stake_of_a_frozen_account_is_slashed_like_any_other(world: ComplianceWorld) -> None:
    """Its rewards could not be paid to it: the slash would have been dropped, and stake at risk would have escaped (GHSA-86h5)."""
    world.must("alice", delegate(5_000))
    world.apply()
    world.must("reg1", freeze_account("alice", 2))
    view = View(world.db)
    context = OpContext(view, world.height + 1, world.now, ())
    pool = settle_pool(view, VALIDATOR)
    worth = value_of(pool, get_delegation(view, VALIDATOR, ADDRESS["alice"]).shares)
    take_stake(context, read_stake_params(view), VALIDATOR, ADDRESS["alice"], worth)  # all of it, so that its rewards are paid
    assert get_delegation(view, VALIDATOR, ADDRESS["alice"]).shares == 0
    assert view.get(holding_key(CLAIMS_ADDRESS, "QNX"))[0] > 0


# the authority itself


def govern(world: ComplianceWorld, accounts: tuple[bytes, ...], separate: int = 0) -> int:
    view = View(world.db)
    context = OpContext(view, world.height + 1, world.now, ())
    try:
        compliance.set_authorities(context, GOVERNANCE_ADDRESS, (accounts, separate))
    except OperationFailed as failure:
        return failure.result
    view.settle()
    for key, value in encode_changes(view.changed_records()):
        world.db[key] = value or b""
    return int(Code.OK)


def test_governance_names_the_authority(world: ComplianceWorld) -> None:
    alice, bob = sorted((ADDRESS["alice"], ADDRESS["bob"]))
    assert code_of(world, "reg1", call("comp.set_authorities", accounts=(alice,), separate_release=0)) == Code.NO_PERMISSION
    assert govern(world, (alice,), 1) == Code.PARAM_OUT_OF_RANGE
    assert govern(world, (FEES_ADDRESS,)) == Code.RECIPIENT_IS_MODULE
    assert govern(world, (NOBODY,)) == Code.ACCOUNT_NOT_FOUND
    for op, release, code in (
        (sanction("carol"), unsanction("carol"), Code.ACCOUNT_SANCTIONED),
        (freeze_account("carol", 2), unfreeze("carol"), Code.ACCOUNT_DEEP_FROZEN),
        (freeze_account("carol", 1), unfreeze("carol"), Code.ACCOUNT_FROZEN),
    ):
        world.must("reg1", op)
        assert govern(world, (ADDRESS["carol"],)) == code
        world.must("reg1", release)
    assert govern(world, (alice, bob), 1) == Code.OK
    assert code_of(world, "reg1", freeze_account("carol")) == Code.NO_PERMISSION
    assert code_of(world, "alice", freeze_account("reg1")) == Code.OK
    assert code_of(world, "bob", freeze_account("alice")) == Code.NO_PERMISSION
    assert code_of(world, "alice", unfreeze("reg1")) == Code.SAME_KEY_MAKER_CHECKER
    with pytest.raises(TransactionError):
        world.raw("reg1", call("comp.set_authorities", accounts=(alice,), separate_release=2))
    with pytest.raises(TransactionError):
        world.raw("reg1", call("comp.set_authorities", accounts=(bob, alice), separate_release=0))
    too_many = tuple(bytes([i]) * 32 for i in range(AUTHORITIES_MAX + 1))
    with pytest.raises(TransactionError):
        world.raw("reg1", call("comp.set_authorities", accounts=too_many, separate_release=0))


@pytest.mark.parametrize(
    "record",
    [(), ((), 1), ([], False), ((b"x",), False), ((b"x" * 32,), True), ((b"y" * 32, b"x" * 32), False), ((bytes(32),) * 17, False)],
)
def test_wrong_parameters_are_refused(record: Any) -> None:
    with pytest.raises(MalformedError):
        ComplianceParams.from_record(record)


def test_genesis_names_accounts_that_are_there() -> None:
    base = genesis_state()
    state = GenesisState(
        Params(stake=base.params.stake, compliance=ComplianceParams((NOBODY,))), base.accounts, base.assets, (), base.validators
    )
    with pytest.raises(GenesisError, match="compliance authority"):
        genesis_changes(state)


# each row without its signer or its role

MATRIX: dict[str, tuple[str, Any]] = {
    "comp.freeze": ("reg1", freeze_account("alice")),
    "comp.unfreeze": ("reg2", unfreeze("bob")),
    "comp.authorise": ("officer", authorise("alice", "GLD", "maintained")),
    "comp.sanction": ("reg1", sanction("alice")),
    "comp.unsanction": ("reg2", unsanction("carol")),
}


@pytest.mark.parametrize("name", MATRIX)
def test_without_its_signer_or_its_role_it_fails(world: ComplianceWorld, name: str) -> None:
    world.must("reg1", freeze_account("bob"), sanction("carol"))
    sender, op = MATRIX[name]
    assert world.check(world.raw(sender, op, signers=[])).code == Code.QUORUM_NOT_MET
    assert world.check(world.raw(sender, op, signers=[("hybrid", 0)])).code == Code.UNKNOWN_SIGNER
    assert code_of(world, "hybrid", op) == Code.NO_PERMISSION
    tx = Transaction.decode(world.raw(sender, op))
    assert simulate(world.db, world.context(), tx).code == Code.OK
    assert code_of(world, sender, op) == Code.OK


def test_every_code_of_the_rows_has_been_met_above() -> None:
    expected = {
        "comp.freeze": (401, 204, 506, 301, 708, 508),
        "comp.unfreeze": (401, 204, 508, 205),
        "comp.authorise": (401, 204, 506, 301),
        "comp.sanction": (204, 506, 301, 508),
        "comp.unsanction": (204, 508, 205),
        "comp.set_authorities": (204, 1107, 506, 301, 603, 602, 601),
    }
    assert {row.name: tuple(map(int, row.codes)) for row in compliance.OPERATIONS} == expected
    assert set(MATRIX) | {"comp.set_authorities"} == set(expected)


# incidents


def test_cosmos_4j93_a_module_account_is_never_a_recipient_nor_a_subject(world: ComplianceWorld) -> None:
    """Cosmos GHSA-4j93: blocked addresses could be credited, and the chain stopped."""
    for module in MODULE_ACCOUNTS:
        assert code_of(world, "bob", pay(module, 1)) == Code.RECIPIENT_IS_MODULE
        forced = call("asset.forced_transfer", asset="GLD", holder=ADDRESS["alice"], to=module, amount=1, **GROUND)
        assert code_of(world, "clawer", forced) == Code.RECIPIENT_IS_MODULE


def test_stellar_2017_a_clawback_twice_in_one_transaction_takes_once(world: ComplianceWorld) -> None:
    supply = world.supply("GLD")
    op = clawback("alice", 0, takes_all=True)
    receipt = world.do("clawer", op, op)
    assert (receipt.code, receipt.op_index) == (Code.ZERO_AMOUNT, 1)
    assert (world.balance("alice", "GLD"), world.supply("GLD")) == (RICH, supply)


def test_xls_73_a_holder_does_not_get_around_a_freeze_by_way_of_a_pool(world: ComplianceWorld) -> None:
    """XLS-73: who was deauthorised for one asset deposited and withdrew the other one."""
    world.must("bob", amm_op("create", a="GLD", b="SLV", amount_a=10**8, amount_b=10**8))
    world.must("alice", amm_op("add", pool="GLD/SLV", max_a=10**7, max_b=10**7))
    world.must("freezer", freeze_holding("alice", "GLD"))
    for op in (
        amm_op("add_single", pool="GLD/SLV", asset="SLV", amount=10**6),
        amm_op("remove_single", pool="GLD/SLV", asset="SLV", shares=10**5),
        amm_op("remove", pool="GLD/SLV", shares=10**5),
        amm_op("swap_in", path=("SLV", "GLD"), amount_in=10**5),
        amm_op("swap_in", path=("GLD", "SLV"), amount_in=10**5),
    ):
        assert code_of(world, "alice", op) == Code.HOLDING_FROZEN


# what is told


def test_queries_say_what_restricts_and_whether_it_counts(world: ComplianceWorld) -> None:
    until = world.now + 50
    world.must("reg1", freeze_account("alice", 2, until), sanction("bob"))
    world.must("freezer", freeze_holding("alice", "GLD"), freeze_asset("SLV"))
    status: Any = get_account_status(world.db, ADDRESS["alice"], world.now)
    assert (status["marks"], status["freeze"]["level"], status["freeze"]["in_force"]) == (["debit_frozen", "deep_frozen"], "deep", True)
    later: Any = get_account_status(world.db, ADDRESS["alice"], until)
    assert later["freeze"]["in_force"] is False
    bob: Any = get_account_status(world.db, ADDRESS["bob"], world.now)
    assert (bob["freeze"], bob["sanction"]["list"]) == (None, "UN 1267")
    holding: Any = get_holding_status(world.db, ADDRESS["alice"], "GLD", world.now)
    assert (holding["state"], holding["accepted"], holding["freeze"]["reason"]) == ("authorised", True, "court order")
    powers: Any = get_asset_powers(world.db, "SLV", world.now)
    assert powers["pause"]["scope"] == "asset"
    assert powers["roles"]["clawback"]
    assert len(powers["flags"]) == 11
    assert get_account_status(world.db, NOBODY, 0) is get_holding_status(world.db, NOBODY, "NONE", 0) is get_asset_powers(world.db, "NO", 0)
    for key in (
        account_freeze_key(ADDRESS["alice"]),
        sanction_key(ADDRESS["bob"]),
        pause_key(b"SLV"),
        roles_key(b"GLD"),
        MARKED_KEY,
        COMPLIANCE_PARAMS_KEY,
        holding_freeze_key(ADDRESS["alice"], b"GLD"),
    ):
        assert describe_record(key, world.db[key])


def test_nobody_is_restricted_where_nothing_was_ever_reserved() -> None:
    world = World()
    assert MARKED_KEY not in world.db
    world.do("bank", create("GRD", flags=64, minters=()))
    assert MARKED_KEY in world.db
    world.do("bank", call("asset.renounce_flag", asset="GRD", flag=64))
    assert MARKED_KEY not in world.db


def test_every_privileged_act_is_on_record_with_its_ground() -> None:
    """I27: who did what to whom, in which asset, on what ground; entries are numbered and stay."""
    world = ComplianceWorld()
    acts: list[tuple[int, str, str, str]] = []

    def did(sender: str, operation: Any, code: int, subject: str = "", asset: str = "") -> None:
        world.must(sender, operation)
        acts.append((code, sender, subject, asset))

    did("reg1", freeze_account("alice"), 180, "alice")
    did("reg1", unfreeze("alice"), 181, "alice")
    did("reg1", sanction("alice"), 183, "alice")
    did("reg1", unsanction("alice"), 184, "alice")
    did("freezer", freeze_holding("bob", "GLD"), 180, "bob", "GLD")
    did("unfreezer", unfreeze("bob", "GLD"), 181, "bob", "GLD")
    did("clawer", clawback("bob", 5), 31, "bob", "GLD")
    did("officer", authorise("bob", "GLD", "authorised"), 182, "bob", "GLD")
    assert world.read(ACTS_KEY) == (len(acts),)
    for number, (code, sender, subject, asset) in enumerate(acts):
        entry = world.read(act_key(number))
        assert (entry.code, entry.actor, entry.asset) == (code, ADDRESS[sender], asset)
        assert entry.subject == (ADDRESS[subject] if subject else b"")
        assert entry.evidence == ground_hash(GROUND["legal_ref"])
    world.audit()


def test_an_act_without_its_entry_is_reverted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compliance, "record_act", lambda *_args, **_fields: 0)
    world = ComplianceWorld()
    raw = world.raw("reg1", freeze_account("alice"))
    receipt = apply_block(world.db, world.context(), (raw,)).receipts[0]
    assert (receipt.code, receipt.log) == (Code.INVARIANT_VIOLATION, "I27: a privileged act without its entry")
