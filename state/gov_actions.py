"""What governance does by itself in every block: proposals whose phase is over, breakers that are over, parameters that come into force.

How an action is run is in `state.automatic`, what it does in `state.modules`.
"""

from __future__ import annotations

from typing import Final

from state.automatic import run_action
from state.breakers import forget_breakers
from state.modules.gov_params import apply_staged
from state.modules.gov_tally import advance, get_due, require_proposal
from state.modules.operation import OpContext
from state.receipts import Event
from state.schema import BREAKERS, BREAKERS_KEY, HOLDING, PARAMS, SUPPLY
from state.schema_claims import CLAIM
from state.schema_gov import GOVERNANCE, PROPOSAL, STAGED_KEY, UPGRADES_KEY

_PROPOSAL: Final = frozenset({HOLDING, SUPPLY, CLAIM, PROPOSAL, GOVERNANCE})
_PARAMS: Final = frozenset({PARAMS, GOVERNANCE})
_BREAKERS: Final = frozenset({BREAKERS})


def settle_governance(context: OpContext, events: list[Event]) -> None:
    """After the last transaction: end the phases that are over, oldest first, a bounded number."""
    time_s = context.time_s
    for number in get_due(context.view, time_s):
        run_action(context, events, "proposal", lambda c, n=number: _advance(c, n), None, _PROPOSAL)  # type: ignore[misc]
    if context.view.values[BREAKERS_KEY] is not None:
        run_action(context, events, "breakers", lambda c: forget_breakers(c.view, time_s), None, _BREAKERS)


def finish_governance(context: OpContext, events: list[Event]) -> None:
    """Last of all: what was decided in this block is in force in the next one."""
    values = context.view.values
    if values[STAGED_KEY] is not None or values[UPGRADES_KEY] is not None:
        run_action(context, events, "parameters", apply_staged, None, _PARAMS)


def _advance(context: OpContext, number: int) -> None:
    advance(context, number, require_proposal(context, number))
