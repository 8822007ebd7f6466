"""Proposals of governance: propose, deposit, vote, cancel, execute.

A proposal gathers its deposit, is voted on by the owners of the validators with the power these had when the vote began, waits for its
delay, and is then executed by anybody, whole or not at all. The parameters of the vote are those of its beginning. A phase ends at its
date, not when the sweep comes by: every operation first brings the proposal up to date (I31). Source: ledger rules, section 6 and I22.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from state.codes import Code
from state.events_gov import (
    PROPOSAL_CREATED,
    PROPOSAL_DEPOSITED,
    PROPOSAL_EXECUTED,
    PROPOSAL_FAILED,
    PROPOSAL_VOTED,
)
from state.modules.gov_fields import open_calls
from state.modules.gov_tally import (
    advance,
    begin_vote,
    close_with,
    get_totals,
    put_open,
    put_proposal,
    read_gov_params,
    require_proposal,
)
from state.modules.operation import GOVERNANCE_ADDRESS, OpContext, Subcalls
from state.modules.staking_pool import read_stake_params
from state.primitives.codec import decode, encode
from state.primitives.errors import OperationFailed, TransactionError
from state.primitives.limits import PPM, PROPOSAL_DEPOSITORS_MAX, PROPOSALS_OPEN_MAX
from state.schema_gov import (
    NO_RULES,
    NO_TALLY,
    OPEN_KEY,
    TOTALS_KEY,
    Proposal,
    Status,
    Vote,
    vote_key,
    voters_key,
)

_OVER: Final = "the proposal is not in that phase any more"


def propose(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.propose: 1104, 508 (too many are open), 501."""
    calls, title_hash, deposit, is_expedited = args
    view = context.view
    params = read_gov_params(view)
    least = max(1, -(-params.deposit_min * params.deposit_initial_ppm // PPM))
    if deposit < least:
        raise OperationFailed(Code.DEPOSIT_TOO_SMALL, f"a proposer brings at least {least}")
    if len(view.get(OPEN_KEY) or ()) >= PROPOSALS_OPEN_MAX:
        raise OperationFailed(Code.ASSERT_FAILED, f"{PROPOSALS_OPEN_MAX} proposals are open")
    totals = get_totals(view)
    number = totals.proposals
    view.put(TOTALS_KEY, totals._replace(proposals=number + 1))
    due_s = context.time_s + params.deposit_s
    record = Proposal(
        Status.DEPOSIT, account, title_hash, bool(is_expedited), encode(calls), (), context.time_s, due_s, 0, 0, 0, 0,
        NO_TALLY, NO_RULES, 0, -1,
    )  # fmt: skip
    context.emit(PROPOSAL_CREATED, number, account, title_hash, int(is_expedited), len(calls))
    put_open(context, number, due_s)
    _add_deposit(context, number, record, account, deposit)


def deposit(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.deposit, while it gathers one: 503, 1101, 1102, 508 (too many depositors), 501, 505."""
    number, amount = args
    if amount == 0:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")
    record = advance(context, number, require_proposal(context, number))
    if record.status != Status.DEPOSIT:
        raise OperationFailed(Code.VOTING_CLOSED, _OVER)
    known = {depositor for depositor, _ in record.deposits}
    if account not in known and len(known) >= PROPOSAL_DEPOSITORS_MAX:
        raise OperationFailed(Code.ASSERT_FAILED, f"a proposal has at most {PROPOSAL_DEPOSITORS_MAX} depositors")
    _add_deposit(context, number, record, account, amount)


def _add_deposit(context: OpContext, number: int, record: Proposal, account: bytes, amount: int) -> None:
    """Take a deposit; the vote begins when there is enough."""
    view = context.view
    code = read_stake_params(view).asset.encode("ascii")
    context.debit(account, code, amount)
    context.give(GOVERNANCE_ADDRESS, code, amount)
    totals = get_totals(view)
    view.put(TOTALS_KEY, totals._replace(deposited=totals.deposited + amount))
    deposits = dict(record.deposits)
    deposits[account] = deposits.get(account, 0) + amount
    record = record._replace(deposits=tuple(sorted(deposits.items())))
    context.emit(PROPOSAL_DEPOSITED, number, account, amount)
    if sum(deposits.values()) >= read_gov_params(view).deposit_min:
        record = begin_vote(context, number, record)
    put_proposal(view, number, record)


def vote(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.vote, the last one counts: 1101, 1102, 1103."""
    number, weights = args
    view = context.view
    record = advance(context, number, require_proposal(context, number))
    if record.status != Status.VOTING:
        raise OperationFailed(Code.VOTING_CLOSED, "there is no vote on the proposal now")
    power = dict(view.get(voters_key(number))).get(account, 0)
    if not power:
        raise OperationFailed(Code.NOT_A_VOTER, "the account owned no validator of the set when the vote began")
    before: Vote | None = view.get(vote_key(number, account))
    new = Vote(power, *weights)
    old = (0, 0, 0, 0) if before is None else before[1:]
    yes, no, abstain, veto = (t + power * (n - o) for t, n, o in zip(record.tally, weights, old, strict=True))
    view.put(vote_key(number, account), new)
    put_proposal(view, number, record._replace(tally=(yes, no, abstain, veto)))
    context.emit(PROPOSAL_VOTED, number, account, power, *weights)


def cancel(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.cancel by the proposer, before the vote ends; deposits go back: 1101, 204, 1102."""
    (number,) = args
    record = require_proposal(context, number)
    if record.proposer != account:
        raise OperationFailed(Code.NO_PERMISSION, "only the proposer may cancel")
    record = advance(context, number, record)
    if record.status not in (Status.DEPOSIT, Status.VOTING):
        raise OperationFailed(Code.VOTING_CLOSED, _OVER)
    close_with(context, number, record, Status.CANCELLED)


def execute(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.execute by anybody, once: 1101, 1106, 508 (not passed), 1105, 708.

    That an operation of the proposal fails is no failure of this one: it is recorded.
    """
    (number,) = args
    record = _require_executable(context, number)
    try:
        calls = open_calls(decode(record.ops))
    except TransactionError as error:  # well formed when it was made: the rules have changed since
        fail(number, context, int(error.result), 0)
        return
    close_with(context, number, record, Status.EXECUTED)
    context.emit(PROPOSAL_EXECUTED, number, account)
    context.subcalls = Subcalls(GOVERNANCE_ADDRESS, calls, partial(fail, number))


def fail(number: int, context: OpContext, code: int, index: int) -> None:
    """Record that an operation of a proposal failed."""
    record = _require_executable(context, number)
    close_with(context, number, record._replace(code=code, op_index=index), Status.FAILED)
    context.emit(PROPOSAL_FAILED, number, code, index)


def _require_executable(context: OpContext, number: int) -> Proposal:
    record = advance(context, number, require_proposal(context, number))
    if record.status in (Status.EXECUTED, Status.FAILED):
        raise OperationFailed(Code.ALREADY_EXECUTED, "the proposal was executed")
    if record.status == Status.LAPSED:
        raise OperationFailed(Code.TOO_LATE, "nobody executed the proposal in time")
    if record.status != Status.PASSED:
        raise OperationFailed(Code.ASSERT_FAILED, "the proposal has not passed")
    if context.time_s < record.ready_s:
        raise OperationFailed(Code.DELAY_NOT_OVER, f"it can be executed in {record.ready_s - context.time_s} s")
    return record
