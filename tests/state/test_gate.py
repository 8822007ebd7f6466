"""The gate: which marks keep value in or out, in which order of codes, and what is held stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state import marks
from state.codes import Code
from state.modules import gate
from state.modules.claims import give_back
from state.modules.operation import CLAIMS_ADDRESS, ESCROWS_ADDRESS, OpContext
from state.primitives.errors import OperationFailed
from state.primitives.limits import AMOUNT_MAX
from state.schema import account_key, asset_key, decode_record, encode_record, holding_key
from state.schema_claims import claim_key, claims_key
from state.view import View, encode_changes
from tests.state.ledger_world import ADDRESS, World, call, pay

ALICE, BOB, BANK = ADDRESS["alice"], ADDRESS["bob"], ADDRESS["bank"]
QNX = b"QNX"


class Marked(World):
    """A ledger on which marks are set by hand."""

    def edit(self, key: bytes, **marked: int) -> None:
        """Set the marks of an account or asset record, or (balance, held, marks) of a holding."""
        record = list(decode_record(key, self.db[key])) if key in self.db else [0]
        if key[1:2] == b"h":
            record = [record[0], marked.get("held", 0), marked.get("marks", 0)]
        else:
            record[-1] = marked["marks"]
            record[2] = marked.get("flags", record[2])
        self.db[key] = encode_record(key, tuple(record))


# (what is marked, of whom, marks, flags of the asset) -> code of alice paying bob, of bob paying alice, of alice paying the issuer
TABLE = [
    ("account", ALICE, marks.CLOSED, 1, (303, 303, 303)),
    ("account", ALICE, marks.SANCTIONED, 1, (603, 603, 603)),
    ("account", ALICE, marks.DEEP_FROZEN, 1, (602, 602, 0)),
    ("account", ALICE, marks.DEBIT_FROZEN, 1, (601, 0, 0)),
    ("asset", b"", marks.PAUSED, 1, (604, 604, 604)),
    ("holding", ALICE, marks.HOLDING_FROZEN, 1, (606, 0, 0)),
    ("holding", ALICE, marks.HOLDING_DEEP_FROZEN, 1, (606, 606, 0)),
    ("asset", b"", marks.GUARDED, 1 | gate.FLAG_REQUIRE_AUTH, (605, 605, 0)),
    ("asset", b"", marks.GUARDED, 1 | gate.FLAG_REQUIRE_ACCEPT, (507, 507, 0)),
]


@pytest.mark.parametrize(("what", "who", "bits", "flags", "expected"), TABLE)
def test_each_mark_keeps_value_where_it_is(what: str, who: bytes, bits: int, flags: int, expected: tuple[int, ...]) -> None:
    for (payer, payee), code in zip((("alice", "bob"), ("bob", "alice"), ("alice", "bank")), expected, strict=True):
        world = Marked()
        key = {"account": account_key(who), "asset": asset_key("QNX"), "holding": holding_key(who, "QNX")}[what]
        world.edit(key, marks=bits, flags=flags) if what == "asset" else world.edit(key, marks=bits)
        assert world.do(payer, pay(payee, 10)).code == code, (payer, payee)


def test_authorised_holders_pay_each_other_and_maintained_ones_only_get_their_own_back() -> None:
    world = Marked()
    world.edit(asset_key("QNX"), marks=marks.GUARDED, flags=1 | gate.FLAG_REQUIRE_AUTH)
    world.edit(holding_key(ALICE, "QNX"), marks=marks.AUTHORISED)
    world.edit(holding_key(BOB, "QNX"), marks=marks.MAINTAINED)
    assert world.do("alice", pay("bob", 1)).code == Code.NOT_AUTHORISED_FOR_ASSET
    context = OpContext(View(world.db), 1, world.now, ())
    context.credit(BOB, QNX, 5, is_return=True)
    with pytest.raises(OperationFailed):
        context.credit(BOB, QNX, 5)


def test_what_is_held_cannot_be_spent_and_the_code_says_so() -> None:
    world = Marked()
    world.edit(holding_key(ALICE, "QNX"), held=400_000)
    assert world.do("alice", pay("bob", 600_001)).code == Code.INSUFFICIENT_AVAILABLE
    assert world.do("alice", pay("bob", 1_000_001)).code == Code.INSUFFICIENT_FUNDS
    assert world.do("alice", pay("bob", 600_000)).code == Code.OK
    assert world.balance("alice") == 400_000


def test_a_sanctioned_account_pays_no_fee_and_so_is_refused_before_the_block() -> None:
    from tests.state.ledger_world import FEES

    world = Marked(FEES)
    world.edit(account_key(ALICE), marks=marks.SANCTIONED)
    assert world.check(world.raw("alice", pay("bob", 1))).code == Code.FEE_PAYER_CANNOT_PAY


def test_what_cannot_be_given_back_waits_as_a_claim_and_is_taken_later() -> None:
    world = Marked()
    world.edit(account_key(ALICE), marks=marks.DEEP_FROZEN)
    supply = world.supply()
    view = View(world.db)
    context = OpContext(view, 1, world.now, ())
    context.take(BOB, QNX, 70)
    context.give(ESCROWS_ADDRESS, QNX, 70)
    context.take(ESCROWS_ADDRESS, QNX, 70)
    assert give_back(context, ALICE, QNX, 70) is False
    view.settle()
    for key, value in encode_changes(view.changed_records()):
        world.db[key] = value or b""
    assert decode_record(claim_key(ALICE, 0), world.db[claim_key(ALICE, 0)]) == ("QNX", 70, 602, world.now)
    assert world.balance(CLAIMS_ADDRESS) == 70
    assert world.do("alice", call("claim.take", claim=0)).code == Code.ACCOUNT_DEEP_FROZEN
    world.edit(account_key(ALICE), marks=0)
    assert world.do("bob", call("claim.take", claim=0)).code == Code.PENDING_NOT_FOUND
    assert world.do("alice", call("claim.take", claim=0)).code == Code.OK
    assert world.do("alice", call("claim.take", claim=0)).code == Code.PENDING_NOT_FOUND
    assert (world.balance("alice"), world.balance(CLAIMS_ADDRESS), world.total()) == (1_000_070, 0, supply)
    assert decode_record(claims_key(ALICE), world.db[claims_key(ALICE)]) == (1, 0)


@given(st.integers(0, AMOUNT_MAX), st.integers(0, AMOUNT_MAX), st.integers(0, 127))
def test_a_holding_has_one_form_for_each_content(balance: int, held: int, bits: int) -> None:
    view = View({})
    key = holding_key(ALICE, "QNX")
    gate.put_holding(view, key, balance, held, bits)
    record = view.get(key)
    assert gate.read_holding(record) == (balance, held, bits)
    if record is not None:
        raw = encode_record(key, record)
        assert decode_record(key, raw) == record
        assert (raw[:1] == b"\x91") == (not held and not bits)
