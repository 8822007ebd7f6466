"""I26 and what goes with it find what a wrong handler would do; the handlers are replaced by wrong writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from state import marks
from state.codes import Code
from state.invariants import check_action, check_operation
from state.invariants_compliance import audit_compliance
from state.machine import BlockExecution
from state.modules import compliance, gate
from state.modules.operation import ESCROWS_ADDRESS, OpContext
from state.modules.table import BY_NAME, OPERATIONS
from state.schema import account_key, asset_key, decode_record, holding_key, supply_key
from state.schema_freezes import (
    MARKED_KEY,
    Freeze,
    Roles,
    account_freeze_key,
    holding_freeze_key,
    pause_key,
    roles_key,
    sanction_key,
)
from state.transaction import Call
from state.view import View
from tests.state.compliance_world import (
    RICH,
    ComplianceWorld,
    freeze_account,
    freeze_asset,
    freeze_holding,
    sanction,
)
from tests.state.ledger_world import ADDRESS, NOW, pay

ALICE, BOB, CAROL, BANK = (ADDRESS[name] for name in ("alice", "bob", "carol", "bank"))
Act = Callable[[OpContext], None]
GLD = b"GLD"


def move(source: bytes, to: bytes, amount: int = 5, code: bytes = GLD) -> Act:
    """What a handler would do that asks no rule."""

    def act(context: OpContext) -> None:
        context.take(source, code, amount)
        context.give(to, code, amount)

    return act


@pytest.fixture(scope="module")
def world() -> ComplianceWorld:
    """Alice is deep-frozen, bob sanctioned, carol's GLD frozen for ever and her SLV until a minute from the start; QNX is paused."""
    world = ComplianceWorld()
    world.must("reg1", freeze_account("alice", 2), sanction("bob"))
    world.must("freezer", freeze_holding("carol", "GLD"), freeze_holding("carol", "SLV", 2, NOW + 60), freeze_asset("QNX"))
    return world


def found(world: ComplianceWorld, act: Act, *, forces: bool = False, time_s: int | None = NOW + 10) -> str:
    """What the checks say to an operation that everybody has signed and that does this."""
    view = View(world.db)
    act(OpContext(view, world.height + 1, world.now, ()))
    row = replace(
        BY_NAME["asset.transfer"],
        writes=frozenset(b"haAMs"),
        moves_value=False,
        forces=forces,
        authorities=lambda account, args: tuple((who, 1) for who in ADDRESS.values()),
        touches=frozenset({"escrows", "claims"}),
        marks=-1,
    )
    return check_operation(view, 0, Call(row, ALICE, ()), time_s=time_s)


HYBRID, MINTER = ADDRESS["hybrid"], ADDRESS["minter"]
ENTERS = "I26: something reached a frozen or unauthorised holder"
LEAVES = "I26: something left a frozen or unauthorised holder, and not to the issuer"


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (move(MINTER, BANK), ""),
        (move(ALICE, MINTER), LEAVES),
        (move(ALICE, BANK), ""),
        (move(MINTER, ALICE), ENTERS),
        (move(BANK, ALICE), ENTERS),
        (move(BOB, BANK), "I26: a sanctioned or closed account's holding changed"),
        (move(BANK, BOB), "I26: a sanctioned or closed account's holding changed"),
        (move(CAROL, MINTER), LEAVES),
        (move(CAROL, BANK), ""),
        (move(MINTER, CAROL), ""),
        (move(MINTER, HYBRID), ENTERS),  # whom nobody authorised
        (move(CAROL, MINTER, code=b"SLV"), LEAVES),
        (move(MINTER, CAROL, code=b"SLV"), ENTERS),
        (move(MINTER, BANK, code=b"QNX"), "I26: a paused asset moved"),
    ],
)
def test_nothing_passes_a_restriction(world: ComplianceWorld, act: Act, expected: str) -> None:
    assert found(world, act) == expected
    view = View(world.db)
    act(OpContext(view, world.height + 1, world.now, ()))
    problem = check_action(view, 0, frozenset(b"haAMs"), time_s=NOW + 10)
    assert problem.startswith("I24") or problem == expected  # nobody acts, so people's losses are found before


def test_an_end_counts_to_the_second_and_without_a_time_it_is_held_against_nobody(world: ComplianceWorld) -> None:
    act = move(CAROL, MINTER, code=b"SLV")
    assert found(world, act, time_s=NOW + 59) == LEAVES
    assert found(world, act, time_s=NOW + 60) == ""
    assert found(world, act, time_s=None) == ""


def test_what_is_maintained_may_come_back_and_no_more(world: ComplianceWorld) -> None:
    view = View(world.db)
    key = holding_key(HYBRID, "GLD")
    context = OpContext(view, 1, world.now, ())
    move(MINTER, ESCROWS_ADDRESS, 7)(context)
    gate.put_holding(view, key, 0, 0, marks.MAINTAINED)
    view.settle()
    row = replace(BY_NAME["asset.transfer"], touches=frozenset({"escrows"}), authorities=lambda a, b: ((MINTER, 1),))
    for source, expected in ((ESCROWS_ADDRESS, ""), (MINTER, ENTERS)):
        mark = view.mark()
        move(source, HYBRID, 5)(context)
        assert check_operation(view, mark, Call(row, ALICE, ()), time_s=NOW) == expected
        view.rollback(mark)


def burn(source: bytes, amount: int) -> Act:
    def act(context: OpContext) -> None:
        context.take(source, GLD, amount)
        context.view.put(supply_key("GLD"), (context.view.get(supply_key("GLD"))[0] - amount,))

    return act


def both(*acts: Act) -> Act:
    def act(context: OpContext) -> None:
        for one in acts:
            one(context)

    return act


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (burn(ALICE, 5), ""),
        (burn(BOB, 5), ""),
        (move(ALICE, MINTER), ""),
        (move(BOB, CAROL), ""),
        (move(MINTER, ALICE), ENTERS),
        (move(MINTER, BOB), "I26: a sanctioned or closed account's holding changed"),
        (both(burn(ALICE, 5), burn(CAROL, 5)), "I26: an act of authority took from other than one holder"),
        (both(move(ALICE, MINTER), move(ALICE, BANK)), "I26: an act of authority took from other than one holder"),
        (both(move(ALICE, CAROL), burn(MINTER, 5)), "I26: an act of authority took from other than one holder"),
        (move(BOB, MINTER, 5, b"QNX"), ""),
    ],
)
def test_an_act_of_authority_takes_from_one_and_gives_to_one(world: ComplianceWorld, act: Act, expected: str) -> None:
    assert found(world, act, forces=True) == expected


def put(key: bytes, record: object) -> Act:
    return lambda context: context.view.put(key, record)


def mark_account(address: bytes, bits: int) -> Act:
    def act(context: OpContext) -> None:
        record = context.view.get(account_key(address))
        context.view.put(account_key(address), (*record[:4], bits))

    return act


FREEZE = Freeze(1, BANK, "x", "y", NOW, 0)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (mark_account(ALICE, marks.DEBIT_FROZEN), "I26: an account's marks are not those"),
        (mark_account(ALICE, 0), "I26: an account's marks are not those"),
        (mark_account(MINTER, marks.SANCTIONED), "I26: an account's marks are not those"),
        (put(account_freeze_key(ALICE), None), "I26: an account's marks are not those"),
        (put(account_freeze_key(MINTER), FREEZE), "I26: an account's marks are not those"),
        (put(sanction_key(BOB), None), "I26: an account's marks are not those"),
        (put(holding_freeze_key(CAROL, GLD), None), "I26: a holding's marks are not those"),
        (put(holding_freeze_key(CAROL, GLD), FREEZE._replace(level=2)), "I26: a holding's marks are not those"),
        (put(holding_key(CAROL, "GLD"), (RICH, 0, marks.AUTHORISED)), "I26: a holding's marks are not those"),
        (put(pause_key(b"QNX"), None), "I26: an asset's mark is not that"),
        (put(pause_key(b"GLD"), FREEZE), "I26: an asset's mark is not that"),
        (put(MARKED_KEY, (1,)), "I26: the number of restrictions is wrong"),
        (put(MARKED_KEY, None), "I26: the number of restrictions is wrong"),
    ],
)
def test_marks_and_records_go_together(world: ComplianceWorld, act: Act, expected: str) -> None:
    assert found(world, act).startswith(expected)


def change_asset(**fields: object) -> Act:
    names = ("scale", "max_supply", "flags", "issuer", "metadata", "marks")

    def act(context: OpContext) -> None:
        record = context.view.get(asset_key("GLD"))
        context.view.put(asset_key("GLD"), tuple(fields.get(name, value) for name, value in zip(names, record, strict=True)))

    return act


@pytest.mark.parametrize(
    ("act", "signers", "expected"),
    [
        (change_asset(scale=3), (BANK,), "I4: an asset's definition changed"),
        (change_asset(max_supply=3), (BANK,), "I4: an asset's definition changed"),
        (put(asset_key("GLD"), None), (BANK,), "I4: an asset's definition changed"),
        (change_asset(flags=1 << 11), (BANK,), "I26: an issuer got a power"),
        (change_asset(flags=2047 & ~gate.FLAG_CLAWBACK), (ALICE,), "I24: an asset changed without its issuer's"),
        (change_asset(flags=2047 & ~gate.FLAG_CLAWBACK), (BANK,), ""),
        (change_asset(issuer=CAROL), (CAROL,), "I24: an asset changed without its issuer's"),
        (change_asset(issuer=CAROL), (BANK,), "I24: an asset was handed to an issuer who did not sign"),
        (change_asset(issuer=CAROL), (BANK, CAROL), ""),
        (change_asset(metadata=b"m" * 32), (BANK,), "I24: an asset's description changed without its role"),
        (change_asset(metadata=b"m" * 32), (ADDRESS["officer"],), ""),
    ],
)
def test_what_may_change_of_an_asset(world: ComplianceWorld, act: Act, signers: tuple[bytes, ...], expected: str) -> None:
    view = View(world.db)
    act(OpContext(view, 1, world.now, ()))
    row = replace(BY_NAME["asset.set_metadata"], authorities=lambda a, b: tuple((who, 1) for who in signers))
    problem = check_operation(view, 0, Call(row, MINTER, ()), time_s=NOW)
    assert problem.startswith(expected) if expected else problem == ""


@pytest.mark.parametrize(
    ("name", "who", "bits", "expected"),
    [
        ("asset.transfer", ALICE, 0, "I2: an operation wrote a record"),
        ("account.update_keys", ALICE, 0, "I24: an account's marks changed"),  # nobody releases himself
        ("account.update_keys", MINTER, marks.UNFREEZABLE, "I24: an account's marks changed"),
        ("account.update_keys", MINTER, marks.LIMITED, ""),
        ("comp.sanction", MINTER, marks.DEBIT_FROZEN, "I24: an account's marks changed"),
        ("comp.sanction", MINTER, marks.LIMITED, "I24: an account's marks changed"),
    ],
)
def test_marks_change_by_the_operations_that_are_for_it(world: ComplianceWorld, name: str, who: bytes, bits: int, expected: str) -> None:
    view = View(world.db)
    mark_account(who, bits)(OpContext(view, 1, world.now, ()))
    acting = who if name.startswith("account") else ADDRESS["reg1"]
    problem = check_operation(view, 0, Call(BY_NAME[name], acting, ()), time_s=NOW)
    assert problem.startswith(expected) if expected else problem == ""


def test_the_audit_finds_every_record_that_is_wrong(world: ComplianceWorld) -> None:
    records = {key: decode_record(key, raw) for key, raw in world.db.items()}
    assert audit_compliance(records.items()) == ()
    account = records[account_key(MINTER)]
    for key, wrong in (
        (account_key(MINTER), (*account[:4], marks.SANCTIONED)),
        (sanction_key(MINTER), FREEZE),
        (account_freeze_key(MINTER), FREEZE),
        (account_freeze_key(b"\x01" * 32), FREEZE),  # of no account
        (holding_freeze_key(MINTER, b"NONE"), FREEZE),
        (pause_key(b"NONE"), FREEZE),
        (MARKED_KEY, (9,)),
    ):
        assert audit_compliance({**records, key: wrong}.items()), key
    assert audit_compliance({key: record for key, record in records.items() if key != MARKED_KEY}.items())
    assert audit_compliance({**records, roles_key(b"SLV"): Roles()}.items()) == ()


def test_a_handler_that_forgets_the_rule_is_reverted_and_its_module_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ComplianceWorld()
    world.must("reg1", freeze_account("alice", 2))
    row = BY_NAME["asset.transfer"]
    monkeypatch.setitem(OPERATIONS, row.code, replace(row, handler=lambda c, a, args: move(a, args[1], args[2])(c)))
    execution = BlockExecution(world.db, world.context())
    receipt = execution.deliver(world.tx("alice", pay("bob", 5, "GLD")))
    assert (receipt.code, receipt.log) == (Code.INVARIANT_VIOLATION, LEAVES)
    assert execution.view.get(b" b")[0][0] == "asset"


def test_a_release_that_leaves_a_mark_is_reverted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ComplianceWorld()
    monkeypatch.setattr(compliance, "_change_marks", lambda *args, **kwargs: None)
    execution = BlockExecution(world.db, world.context())
    assert execution.deliver(world.tx("reg1", sanction("alice"))).code == Code.INVARIANT_VIOLATION
