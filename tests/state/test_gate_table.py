"""One rule that reaches everything: every operation that moves value against every restriction, of who acts and of whom it concerns.

The rows come from the operation table, so a new operation is missed by name (see `tests.state.gate_scenarios`). For restrictions of one
asset, each asset of the operation is restricted alone: who may not touch one must not get at it by way of the other.
"""

from __future__ import annotations

import pytest

from state.codes import Code
from state.modules.table import BY_NAME, ROWS
from tests.state.compliance_world import ComplianceWorld, freeze_account, freeze_asset, freeze_holding
from tests.state.gate_scenarios import ACCOUNT_WIDE, EXEMPT, SCENARIOS, STATUSES, WANTED, Scenario, concerns_value

KNOWN = tuple(name for name in WANTED if name in SCENARIOS)  # what is missing is named by the first test


def prepared(scenario: Scenario) -> ComplianceWorld:
    world = ComplianceWorld()
    scenario.setup(world)
    return world


def perform(world: ComplianceWorld, scenario: Scenario) -> int:
    receipt = world.do(scenario.actor, scenario.op(world))
    world.audit()
    return receipt.code


def test_every_operation_that_concerns_value_has_its_scenario() -> None:
    missing = sorted(set(WANTED) - set(SCENARIOS))
    assert missing == [], f"add a scenario for {missing} to tests/state/gate_scenarios.py"
    assert set(SCENARIOS) <= {row.name for row in ROWS if concerns_value(row)}
    assert set(EXEMPT) <= set(BY_NAME)


@pytest.mark.parametrize("name", KNOWN)
def test_without_a_restriction_it_succeeds(name: str) -> None:
    assert perform(prepared(SCENARIOS[name]), SCENARIOS[name]) == Code.OK


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", KNOWN)
def test_a_restricted_actor_gets_the_code_of_his_restriction(name: str, status: str) -> None:
    scenario = SCENARIOS[name]
    for asset in scenario.assets[:1] if status in ACCOUNT_WIDE else scenario.assets:
        world = prepared(scenario)
        world.restrict(status, scenario.actor, asset)
        assert perform(world, scenario) == scenario.expected[status], asset


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", [name for name in KNOWN if SCENARIOS[name].others])
def test_whom_it_concerns_is_asked_too(name: str, status: str) -> None:
    scenario = SCENARIOS[name]
    for account, expected in scenario.others:
        world = prepared(scenario)
        world.restrict(status, account, scenario.assets[0])
        assert perform(world, scenario) == expected[status], account


@pytest.mark.parametrize("name", [name for name in KNOWN if SCENARIOS[name].expected["deep_frozen"]])
def test_what_is_over_binds_nobody_swept_or_not(name: str) -> None:
    scenario = SCENARIOS[name]
    world = prepared(scenario)
    until = world.now + 4
    world.must("reg1", freeze_account(scenario.actor, 2, until))
    world.must("freezer", *(freeze_holding(scenario.actor, asset, 2, until) for asset in scenario.assets))
    world.must("freezer", *(freeze_asset(asset, until) for asset in scenario.assets))
    assert world.now == until - 1
    assert perform(world, scenario) == Code.ACCOUNT_DEEP_FROZEN
    assert perform(world, scenario) == Code.OK
