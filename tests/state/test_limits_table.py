"""Limits and jurisdictions reach every operation that moves value: the rows come from the operation table.

Each operation is done once without a rule, and what it moved of whose holdings is noted; then again in a fresh world where exactly
that movement is against a rule. The scenarios are those of `tests.state.gate_scenarios`, so an operation that is new has to be there.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import pytest

from state.codes import Code
from state.invariants_limits import GATE_LETTERS
from state.modules.operation import MODULE_ACCOUNTS
from state.modules.table import BY_NAME, ROWS
from state.primitives.hashing import validator_address
from state.schema import HOLDING, holding_key
from state.schema_claims import claims_key
from tests.state.amm_world import amm_op
from tests.state.compliance_world import ComplianceWorld
from tests.state.gate_scenarios import EXIT, SCENARIOS, WANTED
from tests.state.kyc_world import ADDRESS, DAY, KycWorld, op
from tests.state.ledger_world import call, key_of

VALIDATOR = validator_address(key_of("val").public_key.data)
# what they give is the owner's own, whoever acts
RETURNS = {name for name in WANTED if SCENARIOS[name].expected is EXIT} | {
    "asset.recall", "escrow.cancel", "farm.emergency_exit", "gov.cancel"
}  # fmt: skip
# what is promised stays in place, a proposal may carry nothing, pool shares and stake move without a holding, an injection is for modules,
# a claim is burned where it waits
STILL = {
    "hold.create", "hold.void", "settle.allocate", "cb.redeem_request", "cb.redeem_cancel", "cb.inject", "farm.stake", "farm.unstake",
    "gov.execute", "claim.clawback",
    "stake.undelegate", "stake.cancel_unbond", "stake.redelegate",
}  # fmt: skip
FORCED = tuple(name for name in WANTED if BY_NAME[name].forces)
ASKED = tuple(name for name in WANTED if name not in FORCED)


class Move(NamedTuple):
    """What one operation did to a holding of somebody who is not the asset's issuer."""

    account: bytes
    asset: str
    before: int
    change: int


def prepared(name: str) -> ComplianceWorld:
    world = ComplianceWorld()
    SCENARIOS[name].setup(world)
    return world


def balances(world: ComplianceWorld) -> dict[tuple[bytes, str], int]:
    held = {}
    for key in world.db:
        if key[1] == HOLDING and key[2:34] not in MODULE_ACCOUNTS and key[2:34] != ADDRESS["bank"]:
            held[key[2:34], key[34:].decode()] = world.read(key)[0]
    return held


@cache
def moves_of(name: str) -> tuple[Move, ...]:
    """What a scenario moves when nothing forbids it."""
    world = prepared(name)
    before = balances(world)
    scenario = SCENARIOS[name]
    assert world.do(scenario.actor, scenario.op(world)).code == Code.OK
    after = balances(world)
    keys = sorted(before.keys() | after.keys())
    found = [Move(*key, before.get(key, 0), after.get(key, 0) - before.get(key, 0)) for key in keys]
    return tuple(move for move in found if abs(move.change) > 1)


def limited(name: str, move: Move, scope: str, **fields: Any) -> tuple[ComplianceWorld, int]:
    """The world and the code of the operation with a limit on what it moves."""
    world = prepared(name)
    numbers = {"account": 1, "holding": 2, "asset": 3}
    who = {"account": move.account} if scope != "asset" else {}
    world.must("reg1", op("comp.set_limits", scope=numbers[scope], asset=move.asset, **who, **fields))
    scenario = SCENARIOS[name]
    code = world.do(scenario.actor, scenario.op(world)).code
    world.audit()
    return world, code


def is_parked(world: ComplianceWorld, move: Move) -> bool:
    """Whether it waits as a claim instead."""
    record = world.read(claims_key(move.account))
    key = holding_key(move.account, move.asset)
    return record is not None and record[1] > 0 and (world.read(key) or (0,))[0] <= move.before


def test_every_row_may_write_what_the_gate_writes_and_nothing_else_of_it() -> None:
    assert {row.name for row in ROWS if row.moves_value} <= {row.name for row in ROWS if HOLDING in row.writes}
    assert {chr(letter) for letter in GATE_LETTERS} == {"Z", "Q"}
    assert set(FORCED) == {"asset.clawback", "asset.forced_transfer"}  # acts of authority are not stopped by limits


def test_the_scenarios_move_something() -> None:
    assert {name for name in ASKED if not moves_of(name)} == STILL


@pytest.mark.parametrize("scope", ["holding", "account", "asset"])
@pytest.mark.parametrize("name", ASKED)
def test_nothing_leaves_beyond_a_limit(name: str, scope: str) -> None:
    for move in moves_of(name):
        if move.change < 0:
            assert limited(name, move, scope, out_max=1, window_s=60)[1] == Code.LIMIT_WINDOW
            assert limited(name, move, scope, per_tx=1)[1] == Code.LIMIT_PER_TX
            exact = {"out_max": -move.change, "per_tx": -move.change, "window_s": 60}
            assert limited(name, move, "holding", **exact)[1] == Code.OK


@pytest.mark.parametrize("scope", ["holding", "account", "asset"])
@pytest.mark.parametrize("name", ASKED)
def test_nothing_comes_in_beyond_a_limit(name: str, scope: str) -> None:
    """One's own that comes back counts in no window, but a balance is a balance: it is refused, or waits as a claim."""
    for move in moves_of(name):
        if move.change > 0:
            world, code = limited(name, move, scope, max_balance=max(1, move.before))
            assert code == Code.LIMIT_BALANCE or (code == Code.OK and is_parked(world, move))
            world, code = limited(name, move, scope, in_max=1, window_s=60)
            assert code == (Code.OK if name in RETURNS or is_parked(world, move) else Code.LIMIT_WINDOW)


@pytest.mark.parametrize("name", ASKED)
def test_a_jurisdiction_reaches_both_sides(name: str) -> None:
    """Who is of a blocked one gets his own back, and can pay the issuer; nothing else comes or goes."""
    for move in moves_of(name):
        world = prepared(name)
        who = next(name for name, address in ADDRESS.items() if address == move.account)
        fields = {"subject": move.account, "tier": 1, "jurisdiction": "KP", "expires": world.now + DAY}
        world.must("reg1", op("kyc.issue", **fields))
        world.must(who, op("kyc.accept", issuer=ADDRESS["reg1"]))
        world.must("reg1", op("comp.set_jurisdictions", asset=move.asset, jurisdictions=("KP",)))
        scenario = SCENARIOS[name]
        code = world.do(scenario.actor, scenario.op(world)).code
        is_free = move.change > 0 and (name in RETURNS or is_parked(world, move))
        assert code == (Code.OK if is_free else Code.JURISDICTION_BLOCKED)


@pytest.mark.parametrize("name", FORCED)
def test_acts_of_authority_go_through_whatever_the_limits(name: str) -> None:
    for move in moves_of(name):
        assert limited(name, move, "holding", out_max=1, in_max=1, max_balance=1, window_s=60)[1] == Code.OK


def test_an_unbonding_that_a_rule_keeps_from_its_owner_does_not_stop_the_others() -> None:
    world = KycWorld()
    for who in ("alice", "bob"):
        assert world.do(who, call("stake.delegate", validator=VALIDATOR, amount=10**6)).code == Code.OK
        assert world.do(who, call("stake.undelegate", validator=VALIDATOR, amount=10**5)).code == Code.OK
    assert world.limit("auth", "holding", "QNX", account=ADDRESS["alice"], max_balance=1).code == Code.OK
    before, hers = world.balance("bob"), world.balance("alice")
    world.now += 30 * DAY
    world.apply()
    assert (world.balance("bob"), world.balance("alice")) == (before + 10**5, hers)
    assert world.read(claims_key(ADDRESS["alice"])) == (1, 1)
    assert world.op("bank", "comp.clear_limits", scope=2, account=ADDRESS["alice"]).code == Code.NO_PERMISSION
    assert world.op("auth", "comp.clear_limits", scope=2, account=ADDRESS["alice"]).code == Code.OK
    assert world.do("alice", call("claim.take", claim=0)).code == Code.OK
    assert world.balance("alice") == hers + 10**5
    world.audit()


def test_pools_of_a_domain() -> None:
    world = KycWorld()
    members = (ADDRESS["bank"],)
    everything = 10**9
    assert world.do("bank", amm_op("create", amount_a=everything, amount_b=everything, members=members)).code == Code.OK
    swap = amm_op("swap_in", path=("QNX", "EUR"), amount_in=10**6)
    assert world.do("alice", swap).code == Code.CREDENTIAL_MISSING
    assert world.do("bank", amm_op("set_domain")).code == Code.CREDENTIAL_MISSING  # there is no such domain
    assert world.op("bank", "domain.set", credentials=((ADDRESS["auth"], "kyc", 1),)).code == Code.OK
    assert world.do("alice", amm_op("set_domain")).code == Code.NO_PERMISSION
    assert world.do("alice", amm_op("set_domain", pool="BIG/QNX")).code == Code.POOL_NOT_FOUND
    assert world.do("bank", amm_op("set_domain")).code == Code.OK
    assert world.do("alice", swap).code == Code.CREDENTIAL_MISSING
    world.certify("alice", for_s=100)
    assert world.do("alice", swap).code == Code.OK
    assert world.do("alice", amm_op("add", max_a=10**6, max_b=10**6)).code == Code.OK
    world.now += 100
    assert world.do("alice", swap).code == Code.CREDENTIAL_EXPIRED
    assert world.do("alice", amm_op("add", max_a=10**6, max_b=10**6)).code == Code.CREDENTIAL_EXPIRED
    assert world.do("alice", amm_op("remove", shares=10**5)).code == Code.OK  # unusable, not lost
    assert world.op("bank", "domain.delete").code == Code.OK
    assert world.do("bank", swap).code == Code.CREDENTIAL_MISSING
    assert world.do("bank", amm_op("set_members", members=members)).code == Code.OK
    assert world.do("bank", swap).code == Code.OK
