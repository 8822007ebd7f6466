"""I27 and I24 of the compliance records: what a wrong handler, or a wrong gate, would do is found; good changes pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from state import marks
from state.codes import Code
from state.invariants import check_action, check_operation
from state.invariants_limits import audit_kyc, check_rules
from state.machine import BlockExecution
from state.modules import rules, velocity
from state.modules.table import BY_NAME
from state.schema import HOLDING, account_key, asset_key, decode_record, holding_key
from state.schema_kyc import (
    ACTS_KEY,
    AssetRules,
    Bucket,
    Limits,
    Window,
    account_limits_key,
    act_key,
    asset_limits_key,
    asset_rules_key,
    credential_key,
    credentials_key,
    domain_key,
    group_window_key,
    holding_limits_key,
    holding_window_key,
    lei_key,
    threshold_key,
    vasp_key,
)
from state.transaction import Call
from state.view import View
from tests.state.kyc_world import ADDRESS, LEI_SOUTH, RICH, KycWorld, op
from tests.state.ledger_world import pay

ALICE, BOB, AUTH, BANK, NORTH = (ADDRESS[name] for name in ("alice", "bob", "auth", "bank", "north"))
QNX = b"QNX"
HER = holding_window_key(ALICE, QNX)
GROUP = group_window_key(NORTH, QNX)


@pytest.fixture(scope="module")
def world() -> KycWorld:
    """Alice's holding and the group of north are limited: 100 in 1,200 s, 60 at once, 50 more than they have; 40 have moved."""
    world = KycWorld()
    fields = {"per_tx": 60, "in_max": 100, "out_max": 100, "window_s": 1_200}
    assert world.limit("bank", "holding", account=ALICE, max_balance=RICH + 50, **fields).code == Code.OK
    assert world.limit("bank", "account", account=NORTH, max_balance=3 * RICH + 50, **fields).code == Code.OK
    for who in ("alice", "north1"):
        assert world.do(who, pay("bob", 40)).code == Code.OK
        assert world.do("bob", pay(who, 40)).code == Code.OK
    world.certify("alice")
    assert world.op("bob", "domain.set", credentials=((AUTH, "kyc", 0),)).code == Code.OK
    return world


def transfer(view: View, amount: int, payer: str = "alice", payee: str = "bob") -> None:
    """The holdings alone, past the gate."""
    for who, change in ((payer, -amount), (payee, amount)):
        key = holding_key(ADDRESS[who], "QNX")
        record = view.get(key)
        view.put(key, (record[0] + change, *record[1:]))


def found(view: View, payer: str = "alice") -> str:
    return check_operation(view, 0, KycWorld().tx(payer, pay("bob", 5)).calls[0])


def counted(view: View, key: bytes = HER, **changed: Any) -> None:
    """The counter with one more payment of `out`, other fields as given."""
    window: Window = view.get(key)
    out, came = changed.pop("out", 0), changed.pop("came", 0)
    last = window.buckets[-1]
    buckets = (*window.buckets[:-1], Bucket(last.number, last.came_in + came, last.went_out + out))
    view.put(key, window._replace(**{"buckets": buckets, "tx": b"t" * 32, "tx_out": out, "tx_in": came, **changed}))


GOOD: dict[str, Any] = {"out": 5}


@pytest.mark.parametrize(
    ("amount", "changed", "problem"),
    [
        (5, {"out": 5}, ""),
        (60, {"out": 60}, ""),
        (5, None, "I27: a debit of a limited holding was not counted"),
        (5, {"out": 4}, "I27: a debit was not counted"),
        (61, {"out": 61}, "I27: a window is above its limit"),
        (60, {"out": 60, "tx_out": 61}, "I27: a transaction moved more than its limit"),
        (5, {"out": 5, "came": 61, "tx_in": 1}, "I27: a window is above its limit"),
        (5, {"out": 5, "tx_in": 61}, "I27: a transaction moved more than its limit"),
        (5, {"out": 5, "rule": holding_limits_key(BOB, QNX)}, "I27: something is counted by limits that there are not"),
        (5, {"out": 5, "rule": account_limits_key(NORTH, QNX)}, "I27: something is counted by somebody else's limits"),
        (5, {"out": 5, "bucket_s": 7}, "I27: a counter has a wrong form"),
        (5, {"out": 5, "members": tuple(sorted((BOB, ALICE), reverse=True))}, "I27: a counter has a wrong form"),
        (5, {"out": 5, "buckets": (Bucket(9, 0, 5), Bucket(8, 0, 5))}, "I27: a counter has a wrong form"),
        (5, {"out": 5, "buckets": (Bucket(9, 0, 5), Bucket(99, 0, 5))}, "I27: a counter has a wrong form"),
        (-51, {"came": 51}, "I27: a balance is above its limit"),
        (-51, None, "I27: a holding is above its limit"),
        (-50, {"came": 50}, ""),
    ],
)
def test_each_wrong_count_is_named(world: KycWorld, amount: int, changed: dict[str, Any] | None, problem: str) -> None:
    view = View(world.db)
    transfer(view, amount)
    if changed is not None:
        counted(view, **changed)
    assert found(view, "alice" if amount > 0 else "bob") == problem


def test_a_group_is_checked_as_one(world: KycWorld) -> None:
    for out, problem in ((5, ""), (4, "I27: a debit was not counted"), (61, "I27: a window is above its limit")):
        view = View(world.db)
        transfer(view, 5, "north2")
        counted(view, GROUP, out=out)
        assert found(view, "north2") == problem
    view = View(world.db)
    transfer(view, 60, "bob", "north2")
    counted(view, GROUP, came=60, members=tuple(sorted((ADDRESS["north1"], ADDRESS["north2"]))))
    assert found(view, "bob") == "I27: a balance is above its limit"


def test_a_limit_that_went_down_is_no_breach_until_something_moves(world: KycWorld) -> None:
    view = View(world.db)
    view.put(holding_limits_key(ALICE, QNX), Limits(5, 5, 5, 5, 1_200, BANK))
    view.settle()
    view.put(holding_key(ALICE, "QNX"), view.get(holding_key(ALICE, "QNX")))
    counted(view)
    assert check_operation(view, 0, Call(replace(BY_NAME["asset.transfer"], moves_value=False), ALICE, ())) == ""


def test_the_gates_records_are_for_rows_that_write_holdings_only(world: KycWorld) -> None:
    view = View(world.db)
    counted(view, out=1)
    call = KycWorld().tx("alice", op("kyc.accept", issuer=BANK)).calls[0]
    assert check_operation(view, 0, call) == "I2: an operation wrote a record that is not its own"
    assert check_action(view, 0, frozenset({ord("y")})).startswith("I2")
    assert check_action(view, 0, frozenset({HOLDING})) == ""
    counted(view, out=90)
    assert check_action(view, 0, frozenset({HOLDING})) == "I27: a window is above its limit"


CREDENTIAL = credential_key(ALICE, AUTH, "kyc")
OTHER = credential_key(BOB, AUTH, "kyc")


def kyc(world: KycWorld, actor: str, *changes: tuple[bytes, Any]) -> str:
    view = View(world.db)
    for key, change in changes:
        view.put(key, change(view.get(key)) if callable(change) else change)
    return check_operation(view, 0, Call(replace(BY_NAME["domain.set"], writes=frozenset(b"yz")), ADDRESS[actor], ()))


def test_wrong_changes_of_credentials_and_domains(world: KycWorld) -> None:
    read = world.read
    record, domain = read(CREDENTIAL), read(domain_key("retail"))
    assert kyc(world, "carol", (CREDENTIAL, None)) == "I24: somebody else's credential was touched"
    assert kyc(world, "alice", (CREDENTIAL, record._replace(tier=9))) == "I24: a credential changed without its issuer"
    accepted = record._replace(accepted_s=5)
    assert kyc(world, "auth", (OTHER, accepted)) == "I24: a credential was accepted without its subject"
    assert kyc(world, "auth", (CREDENTIAL, None)) == "I24: the credentials that are accepted are not those that are listed"
    assert kyc(world, "auth", (CREDENTIAL, None), (credentials_key(ALICE), None)) == ""
    assert kyc(world, "auth", (CREDENTIAL, record._replace(tier=9))) == ""
    wrong = ((AUTH, "kyc"), (AUTH, "gold"))
    assert kyc(world, "alice", (credentials_key(ALICE), wrong)) == "I24: a list of credentials has a wrong form"
    missing = tuple(sorted(wrong))
    assert kyc(world, "alice", (credentials_key(ALICE), missing)) == "I24: a list has a credential that its subject has not accepted"
    assert kyc(world, "alice", (domain_key("retail"), domain._replace(credentials=()))) == "I24: somebody else's domain was touched"
    assert kyc(world, "bob", (domain_key("retail"), None)) == "I24: somebody else's domain was touched"
    assert kyc(world, "bob", (domain_key("retail"), domain._replace(owner=ALICE))) == "I24: somebody else's domain was touched"


def test_wrong_rules(world: KycWorld) -> None:
    """Each of comp.set_limits' writes left out, or done to the wrong record."""

    def problem(*changes: tuple[bytes, Any], actor: bytes = BANK) -> str:
        view = View(world.db)
        (number,) = view.get(ACTS_KEY)
        act = view.get(act_key(0))._replace(actor=BANK, code=rules.SET_LIMITS)
        view.put(act_key(number), act)
        view.put(ACTS_KEY, (number + 1,))
        limits = Limits(5, 0, 0, 0, 0, BANK)
        view.put(asset_limits_key(QNX), limits)
        view.put(asset_rules_key(QNX), view.get(asset_rules_key(QNX))._replace(limits=2))
        for key, change in changes:
            view.put(key, change(view.get(key)) if callable(change) else change)
        return check_rules(view, dict(reversed(view.undo)), actor)

    (number,) = world.read(ACTS_KEY)
    assert problem() == ""
    assert problem((act_key(number), None)) == "I27: a privileged act without its entry"
    assert problem(actor=ALICE) == "I27: a privileged act without its entry"
    assert problem((act_key(0), None)) == "I27: a privileged act without its entry"
    assert problem((ACTS_KEY, (number,))) == "I27: the entries of privileged acts are not numbered"
    assert problem((asset_rules_key(QNX), AssetRules(1, (), 0, False, (), b""))) == "I27: an asset's rules are not those that there are"
    assert problem((threshold_key("US", QNX), Limits(5, 0, 0, 0, 0, BANK))) == "I27: an asset's rules are not those that there are"
    assert problem((asset_key("QNX"), lambda r: (*r[:5], 0))) == "I27: an asset is not marked as its rules ask"
    assert problem((asset_key("QNX"), lambda r: (*r[:5], r[5] | marks.PAUSED))) == "I4: an asset's definition changed"
    assert problem((holding_key(BOB, "QNX"), (5,))) == "I24: a rule moved value"
    assert problem((account_key(BOB), lambda r: (*r[:4], 8))) == "I24: an account changed without a recovery"
    view = View(world.db)
    view.put(asset_limits_key(QNX), Limits(5, 0, 0, 0, 0, BANK))
    assert check_rules(view, dict(reversed(view.undo)), None) == "I27: a rule changed by itself"


def test_the_audit_finds_every_record_that_is_wrong(world: KycWorld) -> None:
    records = {key: decode_record(key, raw) for key, raw in world.db.items()}
    assert audit_kyc(records.items()) == ()
    (number,) = records[ACTS_KEY]
    window = records[HER]
    for key, wrong, words in (
        (CREDENTIAL, records[CREDENTIAL]._replace(accepted_s=0), "accepted and not listed"),
        (credentials_key(ALICE), ((AUTH, "gold"),), "listed credential is missing"),
        (asset_rules_key(QNX), records[asset_rules_key(QNX)]._replace(limits=7), "rules are not those"),
        (asset_key("QNX"), (*records[asset_key("QNX")][:5], 0), "not marked as its rules ask"),
        (holding_key(BOB, "QNX"), (5, 0, marks.HOLDING_LIMITED), "marked as limited and is not"),
        (holding_limits_key(b"n" * 32, QNX), records[holding_limits_key(ALICE, QNX)], "bears no mark"),
        (HER, window._replace(buckets=(Bucket(9, 0, 0), Bucket(9, 0, 0))), "a wrong form"),
        (ACTS_KEY, (number + 1,), "not numbered"),
        (vasp_key(NORTH), records.get(vasp_key(NORTH)) or _vasp(), "identifier is not its own"),
        (lei_key(LEI_SOUTH), (NORTH,), "without its institution"),
    ):
        assert any(words in problem for problem in audit_kyc({**records, key: wrong}.items())), words


def _vasp() -> Any:
    from state.schema_kyc import Vasp

    return Vasp(LEI_SOUTH, ())


def test_a_gate_that_forgets_to_count_is_reverted_and_the_module_stopped(world: KycWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(*args: Any) -> None:
        return None

    monkeypatch.setattr("state.modules.gate.count_debit", forgetful)
    execution = BlockExecution(world.db, world.context())
    receipt = execution.deliver(world.tx("alice", pay("bob", 5)))
    assert (receipt.code, receipt.log) == (Code.INVARIANT_VIOLATION, "I27: a debit of a limited holding was not counted")
    assert [event.type for event in execution.finish([receipt]).events] == ["breaker_tripped"]


def test_a_gate_that_lets_too_much_through_is_reverted(world: KycWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(velocity, "_require_window", lambda *args: None)
    receipt = BlockExecution(world.db, world.context()).deliver(world.tx("alice", pay("bob", 60), pay("bob", 0 + 1)))
    assert receipt.code == Code.LIMIT_PER_TX
    first = BlockExecution(world.db, world.context())
    assert first.deliver(world.tx("alice", pay("bob", 60))).code == Code.OK
    second = first.deliver(world.tx("alice", pay("bob", 50), seq=world.next_seq("alice") + 1))
    assert (second.code, second.log) == (Code.INVARIANT_VIOLATION, "I27: a window is above its limit")
