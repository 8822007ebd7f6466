"""Credit lines and what is promised meet in one holding: draws and repayments are no payments, and everything held is somebody's."""

from __future__ import annotations

from typing import Any

import pytest

from state.audit import audit_state
from state.modules import offers, settlements
from state.modules.pending import compute_id
from state.schema import decode_record, holding_key
from state.schema_pending import HOLD, OFFER, SETTLEMENT, Leg
from tests.state.ledger_world import ADDRESS, key_names, pay
from tests.state.pending_world import op, ref
from tests.state.treasury_world import RICH, TreasuryWorld

DEBT = 200


@pytest.fixture
def world() -> TreasuryWorld:
    """Alice has spent all of her EUR and 200 more, on a credit line of 500 for which 10 GLD are pledged."""
    made = TreasuryWorld()
    assert made.cb("overdraft", account="alice", limit=500, collateral=(("GLD", 10),)).code == 0
    assert do(made, "alice", pay("carol", RICH + DEBT, "EUR")) == 0
    assert owed(made) == (0, DEBT)
    return made


def do(world: TreasuryWorld, who: str, operation: Any) -> int:
    code = int(world.do(who, operation, signers=key_names(who)).code)
    world.audit()
    return code


def owed(world: TreasuryWorld) -> tuple[int, int]:
    """What alice has of EUR, and what she owes."""
    line = world.line("alice")
    return world.balance("alice", "EUR"), line.debt if line is not None else 0


def id_of(letter: int, who: str) -> bytes:
    return compute_id(letter, ADDRESS[who], ref(0))


def test_a_hold_posted_to_somebody_in_debt_repays(world: TreasuryWorld) -> None:
    assert do(world, "bob", op("hold.create", amount=150, beneficiary=ADDRESS["alice"])) == 0
    assert do(world, "alice", op("hold.post", hold=id_of(HOLD, "bob"), amount=150)) == 0
    assert owed(world) == (0, DEBT - 150)


def test_an_offer_accepted_on_credit_draws_and_one_given_in_debt_repays(world: TreasuryWorld) -> None:
    terms = {"give_asset": "GLD", "give_amount": 3, "want_asset": "EUR", "want_amount": 100, "to": ADDRESS["alice"]}
    assert do(world, "bob", op("pay.offer", **terms)) == 0
    offer = world.read(b" " + bytes([OFFER]) + id_of(OFFER, "bob"))
    assert do(world, "alice", op("pay.accept", offer=id_of(OFFER, "bob"), terms=offers.compute_terms(id_of(OFFER, "bob"), offer))) == 0
    assert owed(world) == (0, DEBT + 100)


def test_a_settlement_pays_into_a_debt_and_out_of_pledged_assets_beside_it(world: TreasuryWorld) -> None:
    legs = (Leg(ADDRESS["alice"], ADDRESS["bob"], "GLD", 5), Leg(ADDRESS["bob"], ADDRESS["alice"], "EUR", 500))
    assert do(world, "carol", op("settle.create", legs=legs)) == 0
    name = id_of(SETTLEMENT, "carol")
    terms = settlements.compute_terms(name, world.read(b" " + bytes([SETTLEMENT]) + name))
    assert do(world, "alice", op("settle.allocate", settlement=name, terms=terms)) == 0
    assert do(world, "bob", op("settle.allocate", settlement=name, terms=terms)) == 0
    assert world.held("alice", "GLD") == 15  # ten pledged, five promised
    assert do(world, "carol", op("settle.execute", settlement=name)) == 0
    assert owed(world) == (300, 0)
    assert world.held("alice", "GLD") == 10


def test_an_audit_misses_nothing_that_is_held(world: TreasuryWorld) -> None:
    records = {key: decode_record(key, raw) for key, raw in world.db.items()}
    key = holding_key(ADDRESS["alice"], "GLD")
    records[key] = (records[key][0], 11, records[key][2])
    assert any("I3" in problem for problem in audit_state(records.items()).problems)
