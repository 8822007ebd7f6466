"""Operations inside an operation: what a passed proposal does, in a sub-transaction of its own.

The handler of the outer operation takes for granted that they will succeed and hands them over; they run after it, each one held to the
invariants like any other. When one fails, everything since before the outer handler is undone and the handler's other way is
taken, which records the failure: so a proposal is executed whole or not at all, and never halts anything. No rule of
governance goes in here.
"""

from __future__ import annotations

from typing import NamedTuple

from state.automatic import BUGS
from state.breakers import is_paused, trip_for_violation
from state.codes import Code
from state.invariants import check_operation, find_module
from state.modules.gate import require_acting
from state.modules.operation import OpContext, Subcalls
from state.primitives.errors import OperationFailed
from state.receipts import BREAKER_TRIPPED, Event
from state.schema import ACCOUNT_PREFIX, BREAKERS_KEY
from state.transaction import Call


class Outcome(NamedTuple):
    """How the operations ended: the code, which one failed, and the invariant it broke, if any."""

    code: int
    position: int
    problem: str


def run_subcalls(context: OpContext, outer: Call, start: int, events: int, subcalls: Subcalls) -> str:
    """Do them, or undo everything since `start` and record the failure; the invariant that the recording broke, if any.

    `events` is how many events there were before the outer operation.
    """
    view = context.view
    authority, context.authority = context.authority, None  # the grants of who executes are no bounds to who decided
    outcome = _run(context, subcalls)
    context.call, context.authority = outer, authority
    if outcome.code == Code.OK:
        return ""
    view.rollback(start)
    del context.events[events:]
    subcalls.on_failure(context, outcome.code, outcome.position)
    problem = check_operation(view, start, outer, time_s=context.time_s)
    if authority is not None and not problem:
        authority.spend(context, start, outer)  # what it had counted was undone with the rest
    if problem or not outcome.problem:
        return problem
    operation = subcalls.calls[outcome.position][0]
    module = find_module(outcome.problem, operation)
    trip_for_violation(view, module, operation, context.height, context.time_s)
    context.events.append(Event(BREAKER_TRIPPED, (module, operation.code, outcome.problem)))
    return ""


def _run(context: OpContext, subcalls: Subcalls) -> Outcome:
    view = context.view
    for index, (operation, args) in enumerate(subcalls.calls):
        mark = view.mark()
        call = context.call = Call(operation, subcalls.account, args)
        if is_paused(view.values[BREAKERS_KEY], operation, subcalls.account, context.time_s):
            return Outcome(Code.MODULE_PAUSED, index, "")
        try:
            account = view.values[ACCOUNT_PREFIX + subcalls.account]
            if account is not None and account[4]:
                require_acting(context, operation, subcalls.account)
            operation.handler(context, subcalls.account, args)
            problem = check_operation(view, mark, call, time_s=context.time_s)
        except OperationFailed as failure:
            return Outcome(failure.result, index, "")
        except BUGS as bug:
            problem = f"a handler failed: {type(bug).__name__}"
        if problem:
            return Outcome(Code.INVARIANT_VIOLATION, index, problem)
    return Outcome(Code.OK, -1, "")
