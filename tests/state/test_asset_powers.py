"""The powers of issuers: roles, flags, metadata, acceptance, pause, clawback, forced transfer, the end of an asset; codes in order."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.marks import DESTROYED
from state.modules import asset_force, asset_roles, gate
from state.modules.asset_roles import ROLES
from state.modules.assets import FLAGS
from state.modules.gate import FLAGS_OPEN
from state.modules.operation import AMM_ADDRESS, FEES_ADDRESS, Level
from state.modules.table import ROWS
from state.primitives.errors import TransactionError
from state.primitives.limits import AMOUNT_MAX
from state.schema import asset_key, encode_record, holding_key, minter_key
from state.schema_freezes import Roles, roles_key
from state.transaction import Transaction, call
from tests.state.amm_world import amm_op
from tests.state.compliance_world import (
    GROUND,
    RICH,
    ComplianceWorld,
    authorise,
    clawback,
    forced_transfer,
    freeze_account,
    freeze_holding,
    sanction,
    set_role,
)
from tests.state.ledger_world import ADDRESS, create_account, entry, pay
from tests.state.test_modules_assets import burn, create, mint

NOBODY = b"\x0b" * 32
POWERS = tuple(row for row in ROWS if row.name in {o.name for o in (*asset_roles.OPERATIONS, *asset_force.OPERATIONS)})


@pytest.fixture
def world() -> ComplianceWorld:
    return ComplianceWorld()


def code_of(world: ComplianceWorld, sender: str, op: Any, **envelope: Any) -> int:
    code = int(world.do(sender, op, **envelope).code)
    world.audit()
    return code


def role_op(**fields: Any) -> Any:
    return call("asset.set_role", **{"asset": "GLD", "role": 2, "account": ADDRESS["bob"], "allowance": 0, **fields})


def renounce(flag: str, asset: str = "GLD") -> Any:
    return call("asset.renounce_flag", asset=asset, flag=FLAGS[flag])


def accept(asset: str = "GLD", on: int = 1) -> Any:
    return call("asset.accept", asset=asset, on=on)


def pause(asset: str = "GLD") -> Any:
    return call("asset.pause", asset=asset, **GROUND)


def unpause(asset: str = "GLD") -> Any:
    return call("asset.unpause", asset=asset, **GROUND)


def destroy(asset: str) -> Any:
    return call("asset.destroy", asset=asset)


def metadata(asset: str = "GLD") -> Any:
    return call("asset.set_metadata", asset=asset, metadata_hash=b"m" * 32)


# roles


def test_roles_are_appointed_by_the_issuer_and_by_nobody_else(world: ComplianceWorld) -> None:
    assert code_of(world, "freezer", role_op()) == Code.NO_PERMISSION
    assert code_of(world, "bank", role_op()) == Code.OK
    assert world.read(roles_key(b"GLD")).freezer == ADDRESS["bob"]
    assert code_of(world, "freezer", freeze_holding("alice", "GLD")) == Code.NO_PERMISSION
    assert code_of(world, "bob", freeze_holding("alice", "GLD")) == Code.OK
    assert code_of(world, "bank", set_role("GLD", "freezer", "")) == Code.OK
    assert code_of(world, "bob", freeze_holding("carol", "GLD")) == Code.NO_PERMISSION


def test_a_role_that_grants_a_role_cannot_use_it(world: ComplianceWorld) -> None:
    for role in ("minter", "freezer", "unfreezer", "clawback", "compliance"):
        allowance = 2 * RICH if role == "minter" else 0
        assert code_of(world, "bank", set_role("GLD", role, "bank", allowance)) == Code.SAME_KEY_MAKER_CHECKER
    assert code_of(world, "bank", set_role("GLD", "metadata", "bank")) == Code.OK
    for op in (freeze_holding("alice", "GLD"), pause(), clawback("alice", 1), authorise("alice", "GLD", "unauthorised")):
        assert code_of(world, "bank", op) == Code.NO_PERMISSION


def test_who_releases_is_not_who_freezes(world: ComplianceWorld) -> None:
    for role, who in (("freezer", "unfreezer"), ("compliance", "unfreezer"), ("unfreezer", "officer"), ("unfreezer", "freezer")):
        assert code_of(world, "bank", set_role("GLD", role, who)) == Code.SAME_KEY_MAKER_CHECKER


def test_roles_need_the_power_that_was_reserved() -> None:
    world = ComplianceWorld(flags=FLAGS_OPEN)
    for role in ("freezer", "unfreezer", "clawback"):
        assert code_of(world, "bank", set_role("GLD", role, "bob")) == Code.FLAG_IMMUTABLE
    assert code_of(world, "bank", set_role("GLD", "compliance", "officer")) == Code.OK
    assert code_of(world, "clawer", clawback("alice", 1)) == Code.CLAWBACK_NOT_ENABLED
    assert code_of(world, "clawer", forced_transfer("alice", "bob", 1)) == Code.CLAWBACK_NOT_ENABLED
    assert code_of(world, "officer", pause()) == Code.NO_PERMISSION
    assert code_of(world, "officer", freeze_holding("alice", "GLD")) == Code.NO_PERMISSION
    assert code_of(world, "officer", authorise("alice", "GLD", "authorised")) == Code.NO_PERMISSION
    assert code_of(world, "alice", accept()) == Code.ASSERT_FAILED


def test_role_failures_in_order(world: ComplianceWorld) -> None:
    open_asset = create("OPN", flags=FLAGS_OPEN, minters=())
    assert code_of(world, "bank", open_asset) == Code.OK
    steps = [
        ("alice", role_op(asset="NONE", account=NOBODY), Code.ASSET_NOT_FOUND),
        ("alice", role_op(asset="OPN", account=NOBODY), Code.NO_PERMISSION),
        ("bank", role_op(asset="OPN", account=NOBODY), Code.FLAG_IMMUTABLE),
        ("bank", role_op(account=FEES_ADDRESS), Code.RECIPIENT_IS_MODULE),
        ("bank", role_op(account=NOBODY), Code.ACCOUNT_NOT_FOUND),
        ("bank", role_op(account=ADDRESS["unfreezer"]), Code.SAME_KEY_MAKER_CHECKER),
    ]
    for sender, op, code in steps:
        assert code_of(world, sender, op) == code


def test_a_minter_is_stopped_at_what_he_has_minted_and_may_go_on_later(world: ComplianceWorld) -> None:
    world.must("minter", mint("bob", 70, "GLD"))
    event = dict(world.must("bank", set_role("GLD", "minter", "minter", 0)).events[0].attributes)
    assert (event["role"], event["allowance"]) == ("minter", "70")
    assert code_of(world, "minter", mint("bob", 1, "GLD")) == Code.MINT_ALLOWANCE
    world.must("bank", set_role("GLD", "minter", "minter", 100))
    assert code_of(world, "minter", mint("bob", 31, "GLD")) == Code.MINT_ALLOWANCE
    assert code_of(world, "minter", mint("bob", 30, "GLD")) == Code.OK
    world.must("bank", set_role("GLD", "minter", "alice", 5))
    world.must("bank", set_role("GLD", "minter", "alice", 0))
    assert world.read(minter_key(ADDRESS["alice"], "GLD")) is None
    assert code_of(world, "alice", mint("bob", 1, "GLD")) == Code.NO_PERMISSION
    world.must("bank", set_role("GLD", "minter", "bank", 0))  # to take it from oneself is no grant
    assert code_of(world, "bank", mint("bob", 1, "GLD")) == Code.NO_PERMISSION


def test_an_asset_is_handed_over_with_the_new_issuers_signature(world: ComplianceWorld) -> None:
    op = set_role("GLD", "issuer", "carol")
    assert world.check(world.raw("bank", op)).code == Code.QUORUM_NOT_MET
    signers = [("bank", 0), ("carol", 0), ("carol", 7)]
    assert code_of(world, "bank", set_role("GLD", "issuer", "officer"), signers=[("bank", 0), ("officer", 0)]) == 205
    assert code_of(world, "bank", set_role("GLD", "issuer", "minter"), signers=[("bank", 0), ("minter", 0)]) == 205
    assert code_of(world, "bank", op, signers=signers) == Code.OK
    assert world.read(asset_key("GLD"))[3] == ADDRESS["carol"]
    assert code_of(world, "bank", role_op()) == Code.NO_PERMISSION
    assert code_of(world, "carol", role_op()) == Code.OK


# flags


def test_powers_can_be_given_up_and_never_come_back(world: ComplianceWorld) -> None:
    for flag in ("clawback", "require_auth", "require_accept", "pausable", "freezable", "remunerated"):
        assert code_of(world, "bank", renounce(flag)) == Code.OK
        assert code_of(world, "bank", renounce(flag)) == Code.ASSERT_FAILED
    assert world.read(asset_key("GLD"))[2] == FLAGS_OPEN
    assert code_of(world, "clawer", clawback("alice", 1)) == Code.CLAWBACK_NOT_ENABLED
    assert code_of(world, "freezer", pause()) == Code.NO_PERMISSION
    assert code_of(world, "freezer", freeze_holding("alice", "GLD")) == Code.NO_PERMISSION
    assert code_of(world, "alice", pay("reg1", 1, "GLD")) == Code.OK  # whom nobody authorised
    assert "renounce" in "".join(row.name for row in ROWS if row.name.startswith("asset."))
    assert not [row for row in ROWS if "flag" in row.name and row.name != "asset.renounce_flag"]


def test_the_holders_freedoms_stay_while_there_is_a_holder(world: ComplianceWorld) -> None:
    for flag in ("transferable", "tradable", "lockable", "escrowable", "stakeable"):
        assert code_of(world, "bank", renounce(flag)) == Code.FLAG_IMMUTABLE
    world.must("bank", create("NEW", flags=FLAGS_OPEN, minters=((ADDRESS["minter"], 100),)))
    assert code_of(world, "bank", renounce("transferable", "NEW")) == Code.OK
    world.must("minter", mint("bob", 1, "NEW"))
    assert code_of(world, "bob", pay("alice", 1, "NEW")) == Code.NOT_TRANSFERABLE
    assert code_of(world, "bank", renounce("tradable", "NEW")) == Code.FLAG_IMMUTABLE


def test_what_is_frozen_is_released_although_the_power_was_given_up(world: ComplianceWorld) -> None:
    world.must("freezer", freeze_holding("alice", "GLD"))
    world.must("bank", renounce("freezable"))
    assert code_of(world, "alice", pay("bob", 1, "GLD")) == Code.HOLDING_FROZEN
    release = call("comp.unfreeze", scope=2, account=ADDRESS["alice"], asset="GLD", **GROUND)
    assert code_of(world, "unfreezer", release) == Code.OK
    world.must("freezer", pause())
    assert code_of(world, "bank", renounce("pausable")) == Code.ASSET_PAUSED
    world.must("unfreezer", unpause())
    assert code_of(world, "bank", renounce("pausable")) == Code.OK


def test_flags_reach_pools(world: ComplianceWorld) -> None:
    world.must("bank", create("CLS", flags=gate.FLAG_TRANSFERABLE, minters=((ADDRESS["minter"], 10**6),)))
    world.must("minter", mint("alice", 10**6, "CLS"))
    op = amm_op("create", a="CLS", b="GLD", amount_a=10**5, amount_b=10**5)
    assert code_of(world, "alice", op) == Code.ASSET_NOT_TRADABLE


# acceptance and metadata


def test_who_has_not_accepted_receives_nothing(world: ComplianceWorld) -> None:
    world.must("officer", authorise("hybrid", "GLD", "authorised"))
    assert code_of(world, "alice", pay("hybrid", 5, "GLD")) == Code.RECIPIENT_MUST_ACCEPT
    assert code_of(world, "hybrid", accept("NONE")) == Code.ASSET_NOT_FOUND
    assert code_of(world, "hybrid", accept()) == Code.OK
    assert code_of(world, "alice", pay("hybrid", 5, "GLD")) == Code.OK
    assert code_of(world, "hybrid", accept(on=0)) == Code.OK
    assert code_of(world, "alice", pay("hybrid", 5, "GLD")) == Code.RECIPIENT_MUST_ACCEPT
    assert code_of(world, "hybrid", pay("alice", 5, "GLD")) == Code.OK
    world.must("officer", authorise("hybrid", "GLD", "unauthorised"))
    assert world.read(holding_key(ADDRESS["hybrid"], "GLD")) is None


def test_metadata_is_described_by_its_role(world: ComplianceWorld) -> None:
    assert code_of(world, "officer", metadata("NONE")) == Code.ASSET_NOT_FOUND
    assert code_of(world, "bank", metadata()) == Code.NO_PERMISSION
    assert code_of(world, "officer", metadata()) == Code.OK
    assert world.read(asset_key("GLD"))[4] == b"m" * 32


# pause


def test_a_pause_stops_everybody_but_acts_of_authority(world: ComplianceWorld) -> None:
    assert code_of(world, "freezer", pause("NONE")) == Code.ASSET_NOT_FOUND
    assert code_of(world, "alice", pause()) == Code.NO_PERMISSION
    assert code_of(world, "freezer", unpause()) == Code.NO_PERMISSION
    assert code_of(world, "unfreezer", unpause()) == Code.ASSERT_FAILED
    assert code_of(world, "officer", pause()) == Code.OK
    for op in (pay("bob", 1, "GLD"), pay("bank", 1, "GLD")):
        assert code_of(world, "alice", op) == Code.ASSET_PAUSED
    assert code_of(world, "bank", pay("alice", 1, "GLD")) == Code.ASSET_PAUSED
    assert code_of(world, "minter", mint("bob", 1, "GLD")) == Code.ASSET_PAUSED
    assert code_of(world, "clawer", clawback("alice", 1)) == Code.OK
    assert code_of(world, "alice", pay("bob", 1, "SLV")) == Code.OK
    assert code_of(world, "unfreezer", unpause()) == Code.OK
    assert code_of(world, "alice", pay("bob", 1, "GLD")) == Code.OK


# clawback and forced transfer


def hold(world: ComplianceWorld, account: str, amount: int, asset: str = "GLD") -> None:
    """Promise a part of a holding to bob."""
    fields = {"ref": bytes(16), "asset": asset, "amount": amount, "beneficiary": ADDRESS["bob"], "agent": b"", "expires": world.now + 3_600}
    world.must(account, call("hold.create", **fields))


def test_a_clawback_is_exact_and_burns(world: ComplianceWorld) -> None:
    supply = world.supply("GLD")
    receipt = world.must("clawer", clawback("alice", 70))
    assert (world.balance("alice", "GLD"), world.supply("GLD")) == (RICH - 70, supply - 70)
    event = dict(receipt.events[0].attributes)
    assert (receipt.events[0].type, event["amount"], event["reason"], event["legal_ref"]) == (
        "clawback", "70", "court order", "AB 12/34"
    )  # fmt: skip
    assert code_of(world, "clawer", clawback("alice", RICH)) == Code.INSUFFICIENT_FUNDS
    assert world.balance("alice", "GLD") == RICH - 70


def test_all_is_explicit_and_nothing_is_never_a_success(world: ComplianceWorld) -> None:
    assert code_of(world, "clawer", clawback("alice", 0)) == Code.ZERO_AMOUNT
    assert code_of(world, "clawer", clawback("alice", 0, takes_all=True)) == Code.OK
    assert world.balance("alice", "GLD") == 0
    assert code_of(world, "clawer", clawback("alice", 0, takes_all=True)) == Code.ZERO_AMOUNT
    with pytest.raises(TransactionError):
        world.raw("clawer", clawback("alice", 5, takes_all=True))


def test_held_amounts_are_not_clawed_back_silently(world: ComplianceWorld) -> None:
    hold(world, "alice", RICH - 100)
    assert code_of(world, "clawer", clawback("alice", 101)) == Code.INSUFFICIENT_AVAILABLE
    event = dict(world.must("clawer", clawback("alice", 0, takes_all=True)).events[0].attributes)
    assert (event["amount"], event["still_held"]) == ("100", str(RICH - 100))
    assert code_of(world, "clawer", clawback("alice", 0, takes_all=True)) == Code.INSUFFICIENT_AVAILABLE
    assert code_of(world, "clawer", clawback("alice", 1)) == Code.INSUFFICIENT_AVAILABLE
    assert code_of(world, "clawer", forced_transfer("alice", "bob", 1)) == Code.INSUFFICIENT_AVAILABLE


def test_clawback_failures_in_order(world: ComplianceWorld) -> None:
    world.must("bank", create("OPN", flags=FLAGS_OPEN, minters=()))
    fields = {"holder": NOBODY, "all": 0, **GROUND}
    steps = [
        ("alice", call("asset.clawback", asset="NONE", amount=0, **fields), Code.ZERO_AMOUNT),
        ("alice", call("asset.clawback", asset="NONE", amount=1, **fields), Code.ASSET_NOT_FOUND),
        ("alice", call("asset.clawback", asset="OPN", amount=1, **fields), Code.CLAWBACK_NOT_ENABLED),
        ("alice", call("asset.clawback", asset="GLD", amount=1, **fields), Code.NO_PERMISSION),
        ("clawer", call("asset.clawback", asset="GLD", amount=1, **{**fields, "holder": AMM_ADDRESS}), Code.RECIPIENT_IS_MODULE),
        ("clawer", call("asset.clawback", asset="GLD", amount=1, **fields), Code.ACCOUNT_NOT_FOUND),
        ("clawer", clawback("hybrid", 1), Code.INSUFFICIENT_FUNDS),
    ]
    for sender, op, code in steps:
        assert code_of(world, sender, op) == code
    forced = {"to": NOBODY, **GROUND}
    alice = ADDRESS["alice"]
    steps = [
        ("alice", call("asset.forced_transfer", asset="NONE", holder=NOBODY, amount=0, **forced), Code.ZERO_AMOUNT),
        ("alice", call("asset.forced_transfer", asset="NONE", holder=NOBODY, amount=1, **forced), Code.SELF_TRANSFER),
        ("alice", call("asset.forced_transfer", asset="NONE", holder=alice, amount=1, **forced), Code.ASSET_NOT_FOUND),
        ("alice", call("asset.forced_transfer", asset="OPN", holder=alice, amount=1, **forced), Code.CLAWBACK_NOT_ENABLED),
        ("alice", call("asset.forced_transfer", asset="GLD", holder=alice, amount=1, **forced), Code.NO_PERMISSION),
        ("clawer", call("asset.forced_transfer", asset="GLD", holder=AMM_ADDRESS, amount=1, **forced), Code.RECIPIENT_IS_MODULE),
        ("clawer", call("asset.forced_transfer", asset="GLD", holder=alice, amount=1, **forced), Code.ACCOUNT_NOT_FOUND),
        ("clawer", forced_transfer("alice", "hybrid", 1), Code.NOT_AUTHORISED_FOR_ASSET),
        ("clawer", forced_transfer("alice", "bob", RICH + 1), Code.INSUFFICIENT_FUNDS),
        ("clawer", forced_transfer("alice", "bob", 1), Code.OK),
    ]
    for sender, op, code in steps:
        assert code_of(world, sender, op) == code


def test_a_forced_transfer_cannot_overflow() -> None:
    world = ComplianceWorld()
    for name, amount in (("alice", AMOUNT_MAX - 1), ("bob", AMOUNT_MAX - 1)):
        key = holding_key(ADDRESS[name], "GLD")
        world.db[key] = encode_record(key, (amount, *world.read(key)[1:]))
    assert world.do("clawer", forced_transfer("alice", "bob", 2)).code == Code.OVERFLOW_MAX


def test_authority_reaches_the_frozen_and_the_sanctioned(world: ComplianceWorld) -> None:
    world.must("reg1", freeze_account("alice", 2), sanction("bob"))
    world.must("freezer", freeze_holding("alice", "GLD", 2))
    assert code_of(world, "clawer", forced_transfer("alice", "carol", 5)) == Code.OK
    assert code_of(world, "clawer", forced_transfer("bob", "carol", 5)) == Code.OK
    assert code_of(world, "clawer", forced_transfer("carol", "bob", 5)) == Code.ACCOUNT_SANCTIONED
    assert code_of(world, "clawer", clawback("bob", 0, takes_all=True)) == Code.OK
    assert (world.balance("carol", "GLD"), world.balance("bob", "GLD")) == (RICH + 10, 0)


def test_rippled_7704_a_clawback_of_a_position_never_burns_it_for_nothing(world: ComplianceWorld) -> None:
    """rippled #7704, 2026: a clawback from a pool rounded to zero, burned the shares and recovered nothing.

    Here it reaches what an account holds; its position in a pool stays whole, and what comes out of it can be clawed back to the unit.
    """
    world.must("alice", amm_op("create", a="GLD", b="SLV", amount_a=10**8, amount_b=10**8))
    world.must("clawer", clawback("alice", 0, takes_all=True))
    assert code_of(world, "clawer", clawback("alice", 1)) == Code.INSUFFICIENT_FUNDS
    world.must("alice", amm_op("remove", pool="GLD/SLV", shares=10**7))
    back = world.balance("alice", "GLD")
    assert back == 10**7
    supply = world.supply("GLD")
    assert code_of(world, "clawer", clawback("alice", back)) == Code.OK
    assert world.supply("GLD") == supply - back


# the end


def test_a_destroyed_asset_never_comes_back(world: ComplianceWorld) -> None:
    minters = ((ADDRESS["minter"], 100),)
    world.must("bank", create("NEW", flags=FLAGS["clawback"] | FLAGS_OPEN, minters=minters))
    world.must("bank", set_role("NEW", "clawback", "clawer"))
    world.must("minter", mint("minter", 10, "NEW"))
    assert code_of(world, "alice", destroy("NONE")) == Code.ASSET_NOT_FOUND
    assert code_of(world, "alice", destroy("NEW")) == Code.NO_PERMISSION
    assert code_of(world, "bank", destroy("NEW")) == Code.SUPPLY_NOT_ZERO
    world.must("minter", burn(10, "NEW"))
    assert code_of(world, "bank", destroy("NEW")) == Code.OK
    assert world.read(asset_key("NEW"))[5] & DESTROYED
    assert world.read(roles_key(b"NEW")) is None
    assert code_of(world, "minter", mint("minter", 10, "NEW")) == Code.ASSET_NOT_FOUND
    assert code_of(world, "bank", destroy("NEW")) == Code.ASSET_NOT_FOUND
    assert code_of(world, "bank", set_role("NEW", "minter", "bob", 5)) == Code.ASSET_NOT_FOUND
    assert code_of(world, "alice", create("NEW", minters=())) == Code.ASSET_EXISTS


# wrong forms, authorisation of each row


@pytest.mark.parametrize(
    "op",
    [
        lambda: role_op(role=len(ROLES)),
        lambda: role_op(role=0, account=b""),
        lambda: role_op(role=1, account=b"", allowance=5),
        lambda: role_op(allowance=5),
        lambda: call("asset.renounce_flag", asset="GLD", flag=3),
        lambda: call("asset.renounce_flag", asset="GLD", flag=1 << 11),
        lambda: accept(on=2),
        lambda: call("asset.pause", asset="GLD", reason=" ", legal_ref="x"),
        lambda: call("asset.pause", asset="GLD", reason="x", legal_ref=""),
        lambda: call("asset.pause", asset="GLD", reason="x" * 129, legal_ref="x"),
        lambda: call("asset.clawback", asset="GLD", holder=ADDRESS["bob"], amount=0, all=2, **GROUND),
    ],
)
def test_wrong_forms_never_enter_a_block(world: ComplianceWorld, op: Any) -> None:
    with pytest.raises(TransactionError):
        Transaction.decode(world.raw("bank", op()))


MATRIX: dict[str, tuple[str, Any, str]] = {
    "asset.set_role": ("bank", role_op(), "issuer"),
    "asset.renounce_flag": ("bank", renounce("clawback"), "issuer"),
    "asset.accept": ("alice", accept(), ""),
    "asset.set_metadata": ("officer", metadata(), "metadata"),
    "asset.pause": ("freezer", pause(), "freezer"),
    "asset.unpause": ("unfreezer", unpause(), "unfreezer"),
    "asset.clawback": ("clawer", clawback("alice", 5), "clawback"),
    "asset.forced_transfer": ("clawer", forced_transfer("alice", "bob", 5), "clawback"),
    "asset.destroy": ("bank", destroy("NEW"), "issuer"),
}


def test_the_matrix_has_every_row() -> None:
    assert set(MATRIX) == {row.name for row in POWERS}


@pytest.mark.parametrize("name", MATRIX)
def test_without_its_signer_or_its_role_it_fails(name: str) -> None:
    world = ComplianceWorld()
    world.must("bank", create("NEW", minters=()))
    if name == "asset.unpause":
        world.must("officer", pause())
    sender, op, role = MATRIX[name]
    assert world.check(world.raw(sender, op, signers=[])).code == Code.QUORUM_NOT_MET
    assert world.check(world.raw(sender, op, signers=[("hybrid", 0)])).code == Code.UNKNOWN_SIGNER
    if role and role != "issuer":
        roles: Roles = world.read(roles_key(b"GLD"))
        without = encode_record(roles_key(b"GLD"), roles._replace(**{role: b""}))
        kept, world.db[roles_key(b"GLD")] = world.db[roles_key(b"GLD")], without
        assert code_of(world, sender, op) == Code.NO_PERMISSION
        world.db[roles_key(b"GLD")] = kept
    if role:
        assert code_of(world, "hybrid", op) == Code.NO_PERMISSION
    assert code_of(world, sender, op) == Code.OK


def test_one_key_of_several_is_not_enough_for_a_statutory_act(world: ComplianceWorld) -> None:
    """Carol's two small keys pay together; for what is statutory all three must sign."""
    world.must("bank", set_role("GLD", "clawback", "carol"))
    assert {row.level for row in POWERS if row.name in ("asset.clawback", "asset.pause")} == {Level.STATUTORY}
    op = clawback("alice", 5)
    for signers in ([("carol", 7)], [("carol", 0), ("carol", 1)], [("carol", 0), ("carol", 7)]):
        assert world.check(world.raw("carol", op, signers=signers)).code == Code.QUORUM_NOT_MET
    assert code_of(world, "carol", op, signers=[("carol", 0), ("carol", 1), ("carol", 7)]) == Code.OK


def test_every_code_of_the_rows_has_been_met_above() -> None:
    """The rows' codes are those that the tests of this file ask for, in this order."""
    expected = {
        "asset.set_role": (401, 204, 403, 506, 301, 205),
        "asset.renounce_flag": (401, 204, 508, 403, 604),
        "asset.accept": (401, 508),
        "asset.set_metadata": (401, 204),
        "asset.pause": (401, 204),
        "asset.unpause": (401, 204, 508, 205),
        "asset.clawback": (503, 401, 616, 204, 506, 301, 502, 501),
        "asset.forced_transfer": (503, 504, 401, 616, 204, 506, 301, 502, 501, 505),
        "asset.destroy": (401, 204, 406),
    }
    assert {row.name: tuple(map(int, row.codes)) for row in POWERS} == expected


def test_an_account_made_in_the_same_transaction_may_get_a_role(world: ComplianceWorld) -> None:
    made = create_account((entry(0, "fresh"),))
    address = made[2][0]
    world.must("bank", made, role_op(account=address))
    assert world.read(roles_key(b"GLD")).freezer == address
