"""Promises beside the other rules of accounts and central banks: lists of counterparties, closing, required reserves."""

from __future__ import annotations

import pytest

from state.codes import Code
from state.primitives.hashing import sha256
from state.schema import asset_key
from tests.state.accounts_world import allow, close
from tests.state.ledger_world import ADDRESS
from tests.state.pending_world import ALL_FLAGS, RICH, PendingWorld, name_of, op, ref
from tests.state.treasury_world import TreasuryWorld


def test_a_payer_cannot_take_a_promise_back_by_changing_whom_he_pays() -> None:
    world = PendingWorld()
    world.ok("alice", "hold.create")
    world.ok("alice", "escrow.create", finish_after=0, hash=sha256(b"x"))
    world.ok("alice", "pay.offer")
    world.ok("carol", "settle.create", legs=((ADDRESS["alice"], ADDRESS["bob"], "EUR", 5),))
    world.ok("alice", "settle.allocate", terms=world.terms("settlement", "carol"))
    assert world.do("alice", allow("carol")).code == Code.OK
    for name, fields in (("hold.create", {}), ("escrow.create", {}), ("pay.offer", {})):
        assert world.do("alice", op(name, ref=ref(1), **fields)).code == Code.COUNTERPARTY_NOT_ALLOWED, name
    world.ok("bob", "hold.post", amount=100)
    world.ok("bob", "escrow.finish", secret=b"x")
    world.ok("bob", "settle.execute")
    world.ok("bob", "pay.accept", terms=world.terms("offer", "alice"))
    assert world.balance("bob", "EUR") == RICH + 100 + 100 + 5 + 500


def test_who_accepts_is_held_to_his_own_list() -> None:
    world = PendingWorld()
    world.ok("alice", "pay.offer")
    assert world.do("bob", allow("carol")).code == Code.OK
    accepted = op("pay.accept", terms=world.terms("offer", "alice"))
    assert world.do("bob", accepted).code == Code.COUNTERPARTY_NOT_ALLOWED


@pytest.mark.parametrize("who", ["alice", "bob", "carol"])
def test_an_account_that_something_open_concerns_is_not_closed(who: str) -> None:
    world = PendingWorld()
    for code in ("PLN", "QNX", "BIG"):
        world.edit(asset_key(code), flags=ALL_FLAGS)
    world.ok("alice", "escrow.create", finish_after=0, hash=sha256(b"x"))
    world.ok("carol", "settle.create", legs=((ADDRESS["alice"], ADDRESS["bob"], "EUR", 5),))
    refused = world.do(who, close("bank"))
    assert refused.code == Code.ACCOUNT_NOT_EMPTY, refused
    world.ok("bob", "escrow.cancel")
    world.ok("carol", "settle.cancel")
    assert world.do(who, close("bank")).code == Code.OK
    world.audit()


def test_what_a_dealer_must_keep_is_not_promised() -> None:
    world = TreasuryWorld(1_000)
    world.set_up()
    assert world.cb("set_reserve_requirement", ratio_ppm=100_000).code == 0
    assert world.cb("report_liabilities", "alice", amount=3_000).code == 0
    assert world.do("alice", op("hold.create", amount=701)).code == Code.INSUFFICIENT_AVAILABLE
    assert world.do("alice", op("hold.create", amount=700)).code == Code.OK
    assert world.do("bob", op("hold.post", hold=name_of("hold", "alice"), amount=700)).code == Code.OK
    assert (world.balance("alice", "EUR"), world.held("alice")) == (300, 0)
    world.audit()
