"""What staking does by itself in every block: judge before the first transaction, settle after the last.

Each action runs in a sub-transaction of its own and is held to the invariants; one that fails is dropped with an event, and never
the block (end-of-block errors have halted other chains). What the actions do is in `state.modules`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from state.invariants_staking import check_action
from state.modules.operation import OpContext
from state.modules.power import validator_updates
from state.modules.rewards import reward_block
from state.modules.slashing import count_votes, punish_downtime, punish_misbehavior
from state.modules.staking_pool import read_stake_params
from state.modules.unbonding import sweep_redelegations, sweep_unbondings
from state.params import ConsensusParams
from state.primitives.errors import MalformedError, OperationFailed
from state.receipts import ACTION_DROPPED, Event
from state.validators import ValidatorUpdate

if TYPE_CHECKING:
    from state.machine import BlockContext

Result = TypeVar("Result")

# What a wrong handler or action can raise. Storage errors are not among them: those must stop the process.
BUGS: Final = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, MalformedError)


def run_action(
    context: OpContext, events: list[Event], name: str, action: Callable[[OpContext], Result], otherwise: Result
) -> Result:
    """The action's result, its events added to `events`; or `otherwise` and one event when it failed."""
    view = context.view
    mark = view.mark()
    context.events = []
    try:
        result = action(context)
        problem = check_action(view, mark) if len(view.undo) > mark else ""
    except (OperationFailed, *BUGS) as failure:
        problem = type(failure).__name__
    if problem:
        view.rollback(mark)
        result = otherwise
        context.events = [Event(ACTION_DROPPED, (name, problem))]
    view.settle()
    events += context.events
    context.events = []
    return result


def judge_validators(context: OpContext, block: BlockContext, consensus: ConsensusParams, events: list[Event]) -> None:
    """Proved offences and missed votes, before the first transaction."""
    params = read_stake_params(context.view)
    for item in block.misbehavior:
        run_action(
            context,
            events,
            "misbehavior",
            lambda c, item=item: punish_misbehavior(c, params, consensus, block.time_ns, item),  # type: ignore[misc]
            None,
        )
    nobody: tuple[bytes, ...] = ()
    votes, height = block.last_commit, block.height - 1
    missing = run_action(context, events, "missed votes", lambda c: count_votes(c.view, height, votes, params), nobody)
    for validator in missing:
        run_action(context, events, "downtime", lambda c, v=validator: punish_downtime(c, params, v), None)  # type: ignore[misc]


def settle_stake(context: OpContext, block: BlockContext, events: list[Event]) -> tuple[ValidatorUpdate, ...]:
    """After the last transaction: what is due is paid, the rewards are shared out, and what the set is to be told."""
    params = read_stake_params(context.view)
    run_action(context, events, "unbondings", lambda c: sweep_unbondings(c, params), None)
    run_action(context, events, "redelegations", sweep_redelegations, None)
    run_action(context, events, "rewards", lambda c: reward_block(c, params, block.time_ns, block.proposer_address), None)
    nothing: tuple[ValidatorUpdate, ...] = ()
    return run_action(context, events, "validator updates", lambda c: validator_updates(c, params), nothing)
