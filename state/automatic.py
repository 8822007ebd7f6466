"""Running what the ledger does by itself, before the first and after the last transaction of a block.

Each action runs in a sub-transaction of its own and is held to the invariants; one that fails is dropped with an event, and never the
block (end-of-block errors have halted other chains). What the actions do is in `state.modules`; nothing of it goes in here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from state.invariants import check_action
from state.modules.operation import OpContext
from state.primitives.errors import MalformedError, OperationFailed
from state.receipts import ACTION_DROPPED, Event

Result = TypeVar("Result")

# What a wrong handler or action can raise. Storage errors are not among them: those must stop the process.
BUGS: Final = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, MalformedError)


def run_action(
    context: OpContext,
    events: list[Event],
    name: str,
    action: Callable[[OpContext], Result],
    otherwise: Result,
    letters: frozenset[int],
) -> Result:
    """The action's result, its events added to `events`; or `otherwise` and one event when it failed.

    `letters` are those of the records that it may write.
    """
    view = context.view
    mark = view.mark()
    context.events = []
    context.tx = context.call = None
    context.authority = None
    try:
        result = action(context)
        problem = check_action(view, mark, letters, time_s=context.time_s) if len(view.undo) > mark else ""
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
