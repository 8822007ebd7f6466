"""The whole-state audit: clean on sound states, and each planted fault is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from state.audit import audit_state
from state.modules.operation import CLAIMS_ADDRESS
from state.primitives.codec import Value
from state.schema import (
    CALENDAR_KEY,
    account_key,
    calendar_entry_key,
    calendar_minute_key,
    decode_record,
    holding_key,
    minter_key,
    supply_key,
)
from state.schema_amm import pool_key
from state.schema_claims import claim_key, claims_key
from state.schema_staking import delegation_key
from tests.state.amm_world import AmmWorld
from tests.state.ledger_world import ADDRESS, World, pay

ALICE = ADDRESS["alice"]
State = dict[bytes, Value]


@pytest.fixture(scope="module")
def sound() -> State:
    world = AmmWorld()
    assert world.amm("alice", "create", a="EUR", b="QNX", amount_a=10**9, amount_b=10**9).code == 0
    assert world.amm("bob", "swap_in", path=("EUR", "QNX"), amount_in=10**6).code == 0
    assert world.do("alice", pay("bob", 5)).code == 0
    state: State = {key: decode_record(key, raw) for key, raw in world.db.items()}
    # a claim and an entry of the calendar, as give_back and schedule leave them
    state[holding_key(CLAIMS_ADDRESS, "QNX")] = (7,)
    state[supply_key("QNX")] = (state[supply_key("QNX")][0] + 7,)
    state[claims_key(ALICE)] = (1, 1)
    state[claim_key(ALICE, 0)] = ("QNX", 7, 602, 1)
    state[CALENDAR_KEY] = (5, 0, 1)
    state[calendar_minute_key(9)] = (1,)
    state[calendar_entry_key(9, 0)] = (1, b"key")
    return state


def test_a_sound_state_is_clean_and_every_unit_is_found(sound: State) -> None:
    audit = audit_state(sound.items())
    assert audit.problems == ()
    assert audit.records == len(sound)
    assert audit.supplies == audit.holdings
    assert {"QNX", "EUR", "BIG", "BTC", "BND"} == set(audit.supplies)


def _set(key: bytes, record: Value) -> Callable[[State], None]:
    return lambda state: state.__setitem__(key, record)


def _change(key: bytes, position: int, value: Any) -> Callable[[State], None]:
    def plant(state: State) -> None:
        record = state[key]
        changed = (*record[:position], value, *record[position + 1 :])
        state[key] = type(record)(*changed) if hasattr(record, "_fields") else changed

    return plant


FAULTS = [
    (_set(holding_key(ALICE, "EUR"), (10**31,)), "I1: EUR was not conserved"),
    (_set(holding_key(ALICE, "EUR"), (10**30 - 10**9, 10**30, 0)), "I3: a holding is out of range"),
    (_set(holding_key(ADDRESS["poor"], "EUR"), (0,)), "I3: a holding is out of range"),
    (_set(supply_key("BND"), (1_001,)), "I4: the supply of BND is out of range"),
    (_set(minter_key(ADDRESS["bank"], "QNX"), (5, 6)), "I4: more minted than allowed"),
    (_change(account_key(ALICE), 3, (1, 1, 1, 9)), "I24: a policy that cannot be satisfied"),
    (_change(pool_key("EUR/QNX"), 0, 10**9), "amm: I6: the pools' account does not hold the reserves"),
    (_set(claims_key(ALICE), (1, 2)), "claim: I5: an account's count of claims is wrong"),
    (_set(claim_key(ALICE, 0), ("QNX", 8, 602, 1)), "claim: I5: the account of claims does not hold the claims"),
    (_set(CALENDAR_KEY, (5, 0, 2)), "I31: the calendar does not have the entries that it counts"),
    (_set(delegation_key(b"v" * 20, ALICE), (1, 0, 0)), "stake: the records contradict each other"),
]


@pytest.mark.parametrize(("plant", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_a_planted_fault_is_named(sound: State, plant: Callable[[State], None], words: str) -> None:
    state = dict(sound)
    plant(state)
    problems = audit_state(state.items()).problems
    assert any(problem.startswith(words) for problem in problems), problems


def test_the_smallest_ledger_is_clean() -> None:
    world = World()
    assert audit_state((key, decode_record(key, raw)) for key, raw in world.db.items()).problems == ()
