"""Groups: accounts without keys that act when enough of their members approve.

A member proposes operations, members approve by weight, and after the group's delay anybody has them executed as the group's account,
whole or not at all. A group changes itself in the same way; that voids what was proposed under its former members. The emergency
committee of governance is a group. Open proposals are few and have a last moment, so nothing has to be swept.
Source: ledger rules, section 6 (`group.create`).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from state.codes import Code
from state.events_gov import (
    GROUP_APPROVED,
    GROUP_EXECUTED,
    GROUP_PROPOSED,
    GROUP_SET,
)
from state.modules.accounts import AccountKind
from state.modules.fields import malformed
from state.modules.gov_fields import check_group_calls, open_calls
from state.modules.operation import OpContext, Subcalls
from state.primitives.codec import decode, encode
from state.primitives.errors import OperationFailed, TransactionError
from state.primitives.hashing import sha256
from state.primitives.limits import (
    GROUP_DELAY_S_MAX,
    GROUP_PROPOSAL_S_MAX,
    GROUP_PROPOSALS_OPEN_MAX,
)
from state.schema import account_key
from state.schema_gov import (
    GROUPS_KEY,
    Group,
    GroupProposal,
    Status,
    group_key,
    group_proposal_key,
)
from state.view import View

# a threshold that no keys reach: admission counts the weight of signatures, and a group has none
_NO_KEYS: Final = ((), (1, 1, 1, 1))


def group_address(number: int) -> bytes:
    """Address of the group created as number `number`, from 0; no key can sign for it."""
    return sha256(b"qenex/group/1" + number.to_bytes(8, "big"))


def put_group(view: View, members: tuple[tuple[bytes, int], ...], threshold: int, min_delay_s: int) -> bytes:
    """Write a new group and its account; its address."""
    (number,) = view.get(GROUPS_KEY) or (0,)
    address = group_address(number)
    view.put(GROUPS_KEY, (number + 1,))
    view.put(group_key(address), Group(members, threshold, min_delay_s, 0, 0, ()))
    view.put(account_key(address), (int(AccountKind.GROUP), b"", *_NO_KEYS, 0))
    return address


def check_terms(members: tuple[tuple[bytes, int], ...], threshold: int, min_delay_s: int) -> None:
    """Refuse (101) a group that could never act."""
    if not 1 <= threshold <= sum(weight for _, weight in members):
        raise malformed("the threshold is at least one, and all members together reach it")
    if min_delay_s > GROUP_DELAY_S_MAX:
        raise malformed(f"a group waits for at most {GROUP_DELAY_S_MAX} s")


def check_create(args: tuple[Any, ...]) -> None:
    """See `check_terms`."""
    check_terms(*args)


def _require_accounts(context: OpContext, members: tuple[tuple[bytes, int], ...]) -> None:
    for member, _ in members:
        context.require_recipient(member)


def create(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """group.create: 506, 301."""
    members, threshold, min_delay_s = args
    _require_accounts(context, members)
    address = put_group(context.view, members, threshold, min_delay_s)
    context.emit(GROUP_SET, address, account, len(members), threshold, min_delay_s)


def update(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """group.update by the group itself; open proposals are void: 204, 506, 301."""
    members, threshold, min_delay_s = args
    view = context.view
    record: Group | None = view.get(group_key(account))
    if record is None:
        raise OperationFailed(Code.NO_PERMISSION, "only a group changes itself, by a proposal")
    _require_accounts(context, members)
    if account in {member for member, _ in members}:
        raise OperationFailed(Code.SELF_TRANSFER, "a group is no member of itself")
    view.put(
        group_key(account),
        record._replace(
            members=members, threshold=threshold, min_delay_s=min_delay_s, version=record.version + 1, open_numbers=()
        ),
    )
    context.emit(GROUP_SET, account, account, len(members), threshold, min_delay_s)


def _require_group(context: OpContext, address: bytes) -> Group:
    record: Group | None = context.view.get(group_key(address))
    if record is None:
        raise OperationFailed(Code.ACCOUNT_NOT_FOUND, "there is no such group")
    return record


def _require_member(group: Group, account: bytes) -> None:
    if account not in dict(group.members):
        raise OperationFailed(Code.NOT_A_VOTER, "the account is not a member of the group")


def check_propose(args: tuple[Any, ...]) -> None:
    """Nobody but the group may be needed for what it proposes (101)."""
    check_group_calls(args[0], args[1])


def propose(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """group.propose by a member, who thereby approves: 301, 1103, 508 (too many are open)."""
    address, calls, title_hash = args
    view = context.view
    group = _require_group(context, address)
    _require_member(group, account)
    # what nobody executed in time gives way
    open_numbers = tuple(n for n in group.open_numbers if context.time_s < view.get(group_proposal_key(address, n)).until_s)
    if len(open_numbers) >= GROUP_PROPOSALS_OPEN_MAX:
        raise OperationFailed(Code.ASSERT_FAILED, f"{GROUP_PROPOSALS_OPEN_MAX} proposals of the group are open")
    number, start_s = group.proposals, context.time_s
    record = GroupProposal(
        Status.PASSED, account, title_hash, encode(calls), (), group.version, start_s, start_s + GROUP_PROPOSAL_S_MAX, 0, 0, 0, -1
    )
    view.put(group_key(address), group._replace(proposals=number + 1, open_numbers=(*open_numbers, number)))
    context.emit(GROUP_PROPOSED, address, number, account, title_hash, len(calls))
    _approve(context, address, number, group, record, account, is_on=True)


def approve(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """group.approve, or with on 0 take an approval back: 301, 1103, 1101, 1106, 1102."""
    address, number, is_on = args
    group = _require_group(context, address)
    _require_member(group, account)
    record = _require_open(context, address, number, group)
    _approve(context, address, number, group, record, account, is_on=bool(is_on))


def _approve(
    context: OpContext, address: bytes, number: int, group: Group, record: GroupProposal, account: bytes, *, is_on: bool
) -> None:
    approvals = [member for member in record.approvals if member != account]
    if is_on:
        approvals.append(account)
    weights = dict(group.members)
    weight = sum(weights[member] for member in approvals)
    ready_s = 0
    if weight >= group.threshold:  # the delay counts from the moment in which the threshold was reached
        ready_s = record.ready_s or context.time_s + group.min_delay_s
    context.view.put(
        group_proposal_key(address, number), record._replace(approvals=tuple(sorted(approvals)), ready_s=ready_s)
    )
    context.emit(GROUP_APPROVED, address, number, account, int(is_on), weight, ready_s)


def _require_open(context: OpContext, address: bytes, number: int, group: Group) -> GroupProposal:
    record: GroupProposal | None = context.view.get(group_proposal_key(address, number))
    if record is None:
        raise OperationFailed(Code.PROPOSAL_NOT_FOUND, f"the group has no proposal {number}")
    if record.status != Status.PASSED:
        raise OperationFailed(Code.ALREADY_EXECUTED, "the proposal was executed")
    if record.version != group.version or context.time_s >= record.until_s:
        raise OperationFailed(Code.VOTING_CLOSED, "the proposal is void: too old, or of a group that has changed since")
    return record


def execute(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """group.execute by anybody, once: 301, 1101, 1106, 1102, 508 (not approved), 1105.

    That an operation of the proposal fails is no failure of this one: it is recorded.
    """
    address, number = args
    record = _require_approved(context, address, number)
    try:
        calls = open_calls(decode(record.ops))
    except TransactionError as error:  # well formed when it was made: the rules have changed since
        fail(address, number, context, int(error.result), 0)
        return
    _close(context, address, number, record._replace(status=Status.EXECUTED))
    context.emit(GROUP_EXECUTED, address, number, 0, -1)
    context.subcalls = Subcalls(address, calls, partial(fail, address, number))


def fail(address: bytes, number: int, context: OpContext, code: int, index: int) -> None:
    """Record that an operation of a proposal failed."""
    record = _require_approved(context, address, number)
    _close(context, address, number, record._replace(status=Status.FAILED, code=code, op_index=index))
    context.emit(GROUP_EXECUTED, address, number, code, index)


def _require_approved(context: OpContext, address: bytes, number: int) -> GroupProposal:
    record = _require_open(context, address, number, _require_group(context, address))
    if not record.ready_s:
        raise OperationFailed(Code.ASSERT_FAILED, "the approvals do not reach the threshold")
    if context.time_s < record.ready_s:
        raise OperationFailed(Code.DELAY_NOT_OVER, f"it can be executed in {record.ready_s - context.time_s} s")
    return record


def _close(context: OpContext, address: bytes, number: int, record: GroupProposal) -> None:
    group = _require_group(context, address)
    view = context.view
    view.put(group_key(address), group._replace(open_numbers=tuple(n for n in group.open_numbers if n != number)))
    view.put(group_proposal_key(address, number), record._replace(done_s=context.time_s))
