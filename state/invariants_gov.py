"""Checks of governance on what an operation or an automatic action touched, and of the whole state; they know nothing of the handlers.

I22: the deposits account holds what the open proposals have, and what ever came is held, was refunded or was burned; a tally is the sum of
the votes, each with the power that its voter had when the vote began, which never changes; a proposal that is over stays as it is, and is
executed only after its delay. I24: nobody's vote is touched by another; what governance alone decides, only governance writes. I21: the
last admitted node stays. Source: ledger rules, section 3. Nothing here may change a record, and no arithmetic is shared with the handlers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from state.modules.operation import GOVERNANCE_ADDRESS
from state.primitives.codec import Value
from state.primitives.limits import GROUP_PROPOSALS_OPEN_MAX, PPM, PROPOSALS_OPEN_MAX
from state.schema import ADMISSION, HOLDING, HOLDING_ADDRESS, NODES_KEY, PARAMS
from state.schema_gov import (
    GOV_LETTERS,
    GROUP,
    GROUP_ADDRESS,
    GROUP_KEY_BYTES,
    GROUPS_KEY_BYTES,
    OPEN_KEY,
    PROPOSAL,
    PROPOSAL_NUMBER,
    STAGED_KEY,
    TOTALS_KEY,
    UPGRADES_KEY,
    VOTE,
    VOTER_START,
    VOTERS_KEY_BYTES,
    Group,
    GroupProposal,
    Proposal,
    Status,
)
from state.view import View

_OVER: Final = (
    Status.EXECUTED,
    Status.FAILED,
    Status.REJECTED,
    Status.VETOED,
    Status.UNFUNDED,
    Status.CANCELLED,
    Status.LAPSED,
)
# from which status to which in one step or, when time has passed, in several
_NEXT: Final[dict[int, frozenset[int]]] = {
    Status.DEPOSIT: frozenset({Status.DEPOSIT, Status.VOTING, Status.UNFUNDED, Status.CANCELLED}),
    Status.VOTING: frozenset(Status) - {Status.DEPOSIT, Status.UNFUNDED},
    Status.PASSED: frozenset({Status.PASSED, Status.EXECUTED, Status.FAILED, Status.LAPSED}),
}
_FIXED: Final = ("proposer", "title_hash", "is_expedited", "ops", "start_s")
_OF_VOTE: Final = ("snapshot_height", "power", "rules")


class _Sums:
    """What the records add up to; `add` with sign -1 takes a record away."""

    def __init__(self) -> None:
        self.deposits: int = 0  # of proposals, less what the account holds
        self.books: int = 0  # what came less what went, less what proposals have
        self.tallies: dict[bytes, tuple[int, ...]] = {}  # of votes less that of the proposal
        self.is_touched = False

    def add(self, key: bytes, record: Value, sign: int) -> None:
        """Count one record."""
        tag = key[1]
        if tag == HOLDING:
            if key[HOLDING_ADDRESS] == GOVERNANCE_ADDRESS:
                self.deposits -= sign * record[0]
        elif tag == PROPOSAL:
            held = sign * sum(amount for _, amount in record.deposits)
            self.deposits += held
            self.books -= held
            self._tally(key[PROPOSAL_NUMBER], record.tally, -sign)
        elif key == TOTALS_KEY:
            self.books += sign * (record.deposited - record.refunded - record.burned)
        elif tag == VOTE and len(key) > VOTERS_KEY_BYTES:
            self._tally(key[PROPOSAL_NUMBER], tuple(record.power * part for part in record[1:]), sign)

    def _tally(self, number: bytes, tally: tuple[int, ...], sign: int) -> None:
        old = self.tallies.get(number, (0, 0, 0, 0))
        self.tallies[number] = tuple(o + sign * n for o, n in zip(old, tally, strict=True))

    def find_problem(self) -> str:
        """The first sum that is not zero."""
        if self.deposits:
            return "I22: the deposits of proposals are not what is held"
        if self.books:
            return "I22: deposits are not held, refunded or burned"
        if any(any(tally) for tally in self.tallies.values()):
            return "I22: a tally is not the sum of its votes"
        return ""


def check_gov(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I21, I22 and I24 over the records before (`first`) and now; the empty string if they hold. `account` acts, or None."""
    sums = _Sums()
    values = view.values
    for key, before in first.items():
        after = values[key]
        if before is not None:
            sums.add(key, before, -1)
        if after is not None:
            sums.add(key, after, 1)
        tag = key[1]
        problem = ""
        if tag == PROPOSAL:
            problem = _check_proposal(before, after)
        elif tag == VOTE:
            problem = _check_vote(view, key, before, after, account)
        elif tag == GROUP:
            problem = _check_group(key, before, after)
        elif tag in (ADMISSION, PARAMS) or key in (STAGED_KEY, UPGRADES_KEY):
            problem = _check_decided(key, after, account)
        elif key == OPEN_KEY and (len(after or ()) > PROPOSALS_OPEN_MAX or list(after or ()) != sorted(after or ())):
            problem = "I22: the list of open proposals is out of order"
        if problem:
            return problem
    return sums.find_problem()


def _check_proposal(before: Proposal | None, after: Proposal | None) -> str:
    if after is None:
        return "I22: a proposal vanished"
    problem = check_proposal_alone(after)
    if problem or before is None:
        return problem
    if before.status in _OVER:
        return "" if after == before else "I22: a proposal that was over has changed"
    if after.status not in _NEXT[before.status]:
        return "I22: a proposal took a step that there is not"
    if any(getattr(before, name) != getattr(after, name) for name in _FIXED):
        return "I22: a proposal was altered"
    if before.status != Status.DEPOSIT and any(getattr(before, name) != getattr(after, name) for name in _OF_VOTE):
        return "I22: the terms of a vote changed"
    if before.status == Status.PASSED and before.tally != after.tally:
        return "I22: a vote was counted after its end"
    return ""


def check_proposal_alone(record: Proposal) -> str:
    """What is true of every proposal at any time."""
    held = sum(amount for _, amount in record.deposits)
    if any(amount <= 0 for _, amount in record.deposits) or min(record.tally) < 0:
        return "I22: a proposal is out of range"
    if sum(record.tally) > record.power * PPM:
        return "I22: more was voted than there is power"
    if held and record.status not in (Status.DEPOSIT, Status.VOTING):
        return "I22: a proposal that is decided still holds deposits"
    if record.status in (Status.EXECUTED, Status.FAILED) and not record.ready_s <= record.done_s < record.due_s:
        return "I22: a proposal was executed outside of its time"
    if record.status in (Status.PASSED, Status.EXECUTED, Status.FAILED, Status.LAPSED) and not _has_passed(record):
        return "I22: a proposal passed without the votes for it"
    return ""


def _has_passed(record: Proposal) -> bool:
    yes, no, abstain, veto = record.tally
    quorum, threshold, veto_limit, _, _ = record.rules
    cast = yes + no + abstain + veto
    return (
        cast >= quorum * record.power
        and veto * PPM <= veto_limit * cast
        and yes * PPM > threshold * (cast - abstain)
        and yes > 0
    )


def _check_vote(view: View, key: bytes, before: Value, after: Value, account: bytes | None) -> str:
    if len(key) == VOTERS_KEY_BYTES:
        return "" if before is None and after is not None else "I22: who may vote changed"
    if after is None:
        return "I22: a vote vanished"
    if key[VOTER_START:] != account:
        return "I24: somebody else's vote was touched"
    voters = dict(view.get(key[:VOTERS_KEY_BYTES]) or ())
    if after.power != voters.get(key[VOTER_START:]) or sum(after[1:]) != PPM or min(after[1:]) < 0:
        return "I22: a vote counts for other than its voter's power"
    return ""


def _check_group(key: bytes, before: Value, after: Value) -> str:
    if after is None:
        return "I24: a group or its proposal vanished"
    if len(key) == GROUPS_KEY_BYTES:
        return ""
    if len(key) == GROUP_KEY_BYTES:
        return check_group_alone(after)
    if before is not None and before.status != Status.PASSED and after != before:
        return "I22: a group's proposal that was over has changed"
    if after.status != Status.PASSED and not 0 < after.ready_s <= after.done_s < after.until_s:
        return "I22: a group's proposal was executed outside of its time"
    return ""


def check_group_alone(group: Group) -> str:
    """What is true of every group at any time."""
    if not 1 <= group.threshold <= sum(weight for _, weight in group.members):
        return "I24: a group could never act"
    return "" if len(group.open_numbers) <= GROUP_PROPOSALS_OPEN_MAX else "I22: a group has too many open proposals"


def _check_decided(key: bytes, after: Value, account: bytes | None) -> str:
    """Admissions, and parameters that are to come, are governance's; that they come is the block's."""
    is_automatic = account is None and (key[1] == PARAMS or (key == STAGED_KEY and after is None))
    if account != GOVERNANCE_ADDRESS and not is_automatic:
        return "I24: a decision of governance was made by another"
    return "I21: no node is admitted any more" if key == NODES_KEY and not after else ""


def audit_gov(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """Whole-state audit of I22 over all (key, record); what is wrong, in a stated order."""
    sums = _Sums()
    known = {key: record for key, record in records if key[1] in GOV_LETTERS or key[1] == HOLDING}
    problems = []
    open_numbers = {}
    for key in sorted(known):
        record = known[key]
        sums.add(key, record, 1)
        problem = ""
        if key[1] == PROPOSAL:
            problem = check_proposal_alone(record)
            if record.status not in _OVER:
                open_numbers[int.from_bytes(key[PROPOSAL_NUMBER], "big")] = record.due_s
        elif key[1] == GROUP and isinstance(record, Group):
            problem = check_group_alone(record)
        elif key[1] == GROUP and isinstance(record, GroupProposal):
            if key[:GROUP_KEY_BYTES] not in known:
                problem = f"I22: a proposal of a group that there is not ({key[GROUP_ADDRESS].hex()})"
        elif key[1] == VOTE and len(key) > VOTERS_KEY_BYTES:
            voters = dict(known.get(key[:VOTERS_KEY_BYTES], ()))
            problem = "" if record.power == voters.get(key[VOTER_START:]) else "I22: a vote counts for other than its voter's power"
        if problem:
            problems.append(f"{problem} ({key.hex()})")
    listed = {number: due_s for due_s, number in known.get(OPEN_KEY, ())}
    if listed != open_numbers:
        problems.append("I22: the list of open proposals is not that of the open proposals")
    problem = sums.find_problem()
    return (*problems, problem) if problem else tuple(problems)
