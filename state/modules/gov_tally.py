"""What happens to a proposal by itself: the vote begins, it is counted, deposits go back or are burned, time runs out.

Every step follows from dates and records alone, so it makes no difference whether the sweep or an operation takes it, or how late. No
operation goes in here.
"""

from __future__ import annotations

from bisect import insort

from state.codes import Code
from state.events_gov import DEPOSIT_BURNED, PROPOSAL_CLOSED, PROPOSAL_REFUNDED, VOTE_BEGAN
from state.modules.claims import give_back
from state.modules.operation import GOVERNANCE_ADDRESS, OpContext
from state.modules.staking_pool import read_stake_params
from state.params_gov import GovParams
from state.primitives.errors import OperationFailed
from state.primitives.limits import PPM, PROPOSALS_CLOSED_PER_BLOCK_MAX
from state.schema import GOV_PARAMS_KEY, supply_key
from state.schema_gov import (
    NO_TOTALS,
    OPEN_KEY,
    TOTALS_KEY,
    Proposal,
    Rules,
    Status,
    Totals,
    proposal_key,
    voters_key,
)
from state.schema_staking import VALIDATORS_KEY, pool_key, validator_key
from state.view import View

_OPEN = (Status.DEPOSIT, Status.VOTING, Status.PASSED)


def read_gov_params(view: View) -> GovParams:
    """The group; the defaults if none was ever stored."""
    record = view.get(GOV_PARAMS_KEY)
    return GovParams() if record is None else GovParams.from_record(record)


def get_totals(view: View) -> Totals:
    """How many proposals there were, and what became of their deposits."""
    totals: Totals = view.get(TOTALS_KEY) or NO_TOTALS
    return totals


def require_proposal(context: OpContext, number: int) -> Proposal:
    """A proposal, or fail with 1101."""
    record: Proposal | None = context.view.get(proposal_key(number))
    if record is None:
        raise OperationFailed(Code.PROPOSAL_NOT_FOUND, f"there is no proposal {number}")
    return record


def put_proposal(view: View, number: int, record: Proposal) -> None:
    """Write a proposal."""
    view.put(proposal_key(number), record)


def put_open(context: OpContext, number: int, due_s: int | None) -> None:
    """Set when a proposal's phase ends, or take it off the list of open ones."""
    view = context.view
    entries = [entry for entry in view.get(OPEN_KEY) or () if entry[1] != number]
    if due_s is not None:
        insort(entries, (due_s, number))
    view.put(OPEN_KEY, tuple(entries) or None)


def get_voters(view: View) -> tuple[tuple[bytes, int], ...]:
    """(owner, voting power) of the set as it was last told, sorted by owner."""
    powers: dict[bytes, int] = {}
    for validator in view.get(VALIDATORS_KEY) or ():
        power: int = view.get(pool_key(validator)).power
        if power:
            owner: bytes = view.get(validator_key(validator)).owner
            powers[owner] = powers.get(owner, 0) + power
    return tuple(sorted(powers.items()))


def begin_vote(context: OpContext, number: int, record: Proposal) -> Proposal:
    """Fix who votes, with what power and under which rules; the proposal then."""
    view = context.view
    params = read_gov_params(view)
    voters = get_voters(view)
    power = sum(weight for _, weight in voters)
    if record.is_expedited:
        voting_s, delay_s, threshold_ppm = params.voting_expedited_s, params.delay_expedited_s, params.threshold_expedited_ppm
    else:
        voting_s, delay_s, threshold_ppm = params.voting_s, params.delay_s, params.threshold_ppm
    due_s = context.time_s + voting_s
    view.put(voters_key(number), voters)
    put_open(context, number, due_s)
    context.emit(VOTE_BEGAN, number, context.height - 1, power, due_s)
    return record._replace(
        status=Status.VOTING,
        due_s=due_s,
        snapshot_height=context.height - 1,
        power=power,
        rules=Rules(params.quorum_ppm, threshold_ppm, params.veto_ppm, delay_s, params.execute_s),
    )


def compute_verdict(record: Proposal) -> Status:
    """What a vote comes to; all in whole numbers."""
    yes, no, abstain, veto = record.tally
    rules = record.rules
    cast = yes + no + abstain + veto  # each is power times parts per million
    if not cast or cast < record.power * rules.quorum_ppm:
        return Status.REJECTED
    if veto * PPM > cast * rules.veto_ppm:
        return Status.VETOED
    return Status.PASSED if yes * PPM > (yes + no + veto) * rules.threshold_ppm else Status.REJECTED


def advance(context: OpContext, number: int, record: Proposal) -> Proposal:
    """The proposal as it is at this time, its phases ended by their dates."""
    while record.status in _OPEN and context.time_s >= record.due_s:
        record = _end_phase(context, number, record)
    return record


def _end_phase(context: OpContext, number: int, record: Proposal) -> Proposal:
    if record.status == Status.DEPOSIT:
        return close_with(context, number, record, Status.UNFUNDED)
    if record.status == Status.PASSED:
        return close_with(context, number, record, Status.LAPSED)
    verdict = compute_verdict(record)
    if verdict != Status.PASSED:
        return close_with(context, number, record, verdict)
    ready_s = record.due_s + record.rules.delay_s
    due_s = ready_s + record.rules.execute_s
    put_open(context, number, due_s)
    context.emit(PROPOSAL_CLOSED, number, Status.PASSED.name.lower(), ready_s)
    passed = _pay_back(context, number, record._replace(status=Status.PASSED, ready_s=ready_s, due_s=due_s))
    put_proposal(context.view, number, passed)
    return passed


def close_with(context: OpContext, number: int, record: Proposal, status: Status) -> Proposal:
    """Take a proposal off the list for good; its deposits are burned or go back."""
    put_open(context, number, None)
    context.emit(PROPOSAL_CLOSED, number, status.name.lower(), 0)
    record = record._replace(status=status, done_s=context.time_s)
    if status in (Status.VETOED, Status.UNFUNDED):
        record = _burn(context, number, record)
    elif status in (Status.REJECTED, Status.CANCELLED):
        record = _pay_back(context, number, record)
    put_proposal(context.view, number, record)
    return record


def _pay_back(context: OpContext, number: int, record: Proposal) -> Proposal:
    """Every deposit to its owner, or into a claim of his if he may not receive it now."""
    view = context.view
    code = read_stake_params(view).asset.encode("ascii")
    for account, amount in record.deposits:
        context.take(GOVERNANCE_ADDRESS, code, amount)
        give_back(context, account, code, amount)
        totals = get_totals(view)
        view.put(TOTALS_KEY, totals._replace(refunded=totals.refunded + amount))
        context.emit(PROPOSAL_REFUNDED, number, account, amount)
    return record._replace(deposits=())


def _burn(context: OpContext, number: int, record: Proposal) -> Proposal:
    amount = sum(part for _, part in record.deposits)
    view = context.view
    asset = read_stake_params(view).asset
    context.take(GOVERNANCE_ADDRESS, asset.encode("ascii"), amount)
    supply: int = view.get(supply_key(asset))[0] - amount
    view.put(supply_key(asset), (supply,) if supply else None)
    totals = get_totals(view)
    view.put(TOTALS_KEY, totals._replace(burned=totals.burned + amount))
    context.emit(DEPOSIT_BURNED, number, amount)
    return record._replace(deposits=())


def get_due(view: View, time_s: int) -> tuple[int, ...]:
    """Proposals whose phase is over, the longest overdue first, as many as one block takes."""
    entries = view.values[OPEN_KEY]
    if entries is None or entries[0][0] > time_s:
        return ()
    return tuple(number for due_s, number in entries[:PROPOSALS_CLOSED_PER_BLOCK_MAX] if due_s <= time_s)
