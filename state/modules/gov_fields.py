"""Fields of governance: operations inside an operation, divided votes, members of a group, who is admitted.

A carried operation is read when the proposal is made, by its own row, so that what is voted on is well formed; on the wire and in the
state it is `[code, acting account (always empty), [field, ...]]`, as in an envelope. No rule of the ledger goes in here.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from state.codes import Code
from state.modules.fields import Address, FieldKind, malformed, too_large
from state.modules.operation import GOVERNANCE_ADDRESS, Operation
from state.primitives.codec import Value, decode, encode
from state.primitives.errors import TransactionError
from state.primitives.ids import format_address
from state.primitives.limits import (
    ACCOUNT_ADDRESS_BYTES,
    GROUP_MEMBERS_MAX,
    GROUP_WEIGHT_MAX,
    NODE_ID_BYTES,
    PARAM_KEY_CHARS_MAX,
    PARAM_VALUE_CHARS_MAX,
    PPM,
    PROPOSAL_BYTES_MAX,
    PROPOSAL_OPS_MAX,
)

OPTIONS: Final = ("yes", "no", "abstain", "veto")
VALIDATOR: Final = "validator"
NODE: Final = "node"
_IDENTITY_BYTES: Final = {VALIDATOR: ACCOUNT_ADDRESS_BYTES, NODE: NODE_ID_BYTES}

# of no use to a group, which has no keys, or a way to nest without end
_NOT_FOR_GROUPS: Final = frozenset({"group.create", "group.propose", "group.execute", "gov.execute"})
_NO_GROUP_MODULES: Final = frozenset({"account"})


def find_row(code: int) -> Operation:
    """The row of an operation, or 103. The table is made of the modules, so it is asked only when something is read."""
    from state.modules.table import OPERATIONS

    row = OPERATIONS.get(code)
    if row is None:
        raise TransactionError(Code.UNKNOWN_OP_OR_FIELD, f"there is no operation {code}")
    return row


def _read_calls(wire: Value) -> tuple[tuple[int, bytes, Value], ...]:
    if not wire:
        raise malformed("a proposal has at least one operation")
    if len(wire) > PROPOSAL_OPS_MAX:
        raise too_large(f"a proposal has at most {PROPOSAL_OPS_MAX} operations")
    calls = []
    size = 0
    for code, account, fields in wire:
        if account:
            raise malformed("who acts in a proposal is not named in its operations")
        raw = fields if isinstance(fields, msgspec.Raw) else msgspec.Raw(encode(fields))
        size += len(bytes(raw))
        if size > PROPOSAL_BYTES_MAX:
            raise too_large(f"the operations of a proposal have at most {PROPOSAL_BYTES_MAX} bytes")
        find_row(code).read(raw)
        calls.append((code, account, decode(bytes(raw))))
    return tuple(calls)


def _read_governed(wire: Value) -> Value:
    calls = _read_calls(wire)
    for code, _, _ in calls:
        if not find_row(code).is_governed:
            raise malformed(f"{find_row(code).name} cannot stand in a proposal of governance")
    _require_alone(calls, GOVERNANCE_ADDRESS)
    return calls


def _read_grouped(wire: Value) -> Value:
    calls = _read_calls(wire)
    for code, _, _ in calls:
        row = find_row(code)
        if row.name in _NOT_FOR_GROUPS or row.module in _NO_GROUP_MODULES:
            raise malformed(f"{row.name} cannot stand in a proposal of a group")
    return calls


def _require_alone(calls: Value, account: bytes) -> None:
    for row, args in open_calls(calls):
        if row.authorities is not None and any(other != account for other, _ in row.authorities(account, args)):
            raise malformed(f"{row.name} needs somebody who does not act in a proposal")


def check_group_calls(group: bytes, calls: Value) -> None:
    """Refuse (101) operations that need anybody's authorisation but the group's."""
    _require_alone(calls, group)


def open_calls(calls: Value) -> tuple[tuple[Operation, tuple[Any, ...]], ...]:
    """Carried operations as (row, fields as the handler wants them)."""
    return tuple((find_row(code), find_row(code).read(msgspec.Raw(encode(fields)))) for code, _, fields in calls)


def show_calls(calls: Value) -> list[object]:
    """JSON form of carried operations."""
    return [{"op": row.name, **row.show(args)} for row, args in open_calls(calls)]


def codes_of(calls: Value) -> tuple[int, ...]:
    """The numbers of carried operations and of those that these carry."""
    out: list[int] = []
    for row, args in open_calls(calls):
        out.append(row.code)
        if row.carried is not None:
            out += row.carried(args)
    return tuple(out)


def _read_weights(weights: Value) -> Value:
    if len(weights) != len(OPTIONS) or min(weights) < 0 or sum(weights) != PPM:
        raise malformed("a vote divides 1,000,000 parts among yes, no, abstain and veto")
    return weights


def _show_weights(weights: Value) -> object:
    return {name: ppm for name, ppm in zip(OPTIONS, weights, strict=True) if ppm}


def _read_group_members(members: Value) -> Value:
    if not members:
        raise malformed("a group has at least one member")
    if len(members) > GROUP_MEMBERS_MAX:
        raise too_large(f"a group has at most {GROUP_MEMBERS_MAX} members")
    last = b""
    for account, weight in members:
        if account <= last:
            raise malformed("members are sorted, each once")
        if not 1 <= weight <= GROUP_WEIGHT_MAX:
            raise malformed(f"a member's weight is 1 to {GROUP_WEIGHT_MAX}")
        last = account
    return members


def show_group_members(members: Value) -> object:
    """JSON form of a group's members."""
    return [{"account": format_address(account), "weight": weight} for account, weight in members]


def _read_kind(text: str) -> str:
    if text not in _IDENTITY_BYTES:
        raise malformed("an admission is of a validator or of a node")
    return text


def check_identity(args: tuple[Any, ...]) -> None:
    """A validator's owner is an account of 32 bytes, a node an id of 20 (101)."""
    kind, identity = args[:2]
    if len(identity) != _IDENTITY_BYTES[kind]:
        raise malformed(f"the identity of a {kind} has {_IDENTITY_BYTES[kind]} bytes")


def _show_identity(identity: bytes) -> object:
    return format_address(identity) if len(identity) == 32 else identity.hex()


def _same(value: Any) -> Any:
    return value


_Calls = tuple[tuple[int, bytes, msgspec.Raw], ...]
_Members = tuple[tuple[Address, int], ...]

GOVERNED_CALLS: Final = FieldKind("operations of governance", _Calls, _read_governed, _same, show_calls)
GROUP_CALLS: Final = FieldKind("operations of a group", _Calls, _read_grouped, _same, show_calls)
WEIGHTS: Final = FieldKind("divided vote", tuple[int, ...], _read_weights, _same, _show_weights)
GROUP_MEMBERS: Final = FieldKind("members with weights", _Members, _read_group_members, _same, show_group_members)
KIND: Final = FieldKind("kind of admission", str, _read_kind, _same, _same)
IDENTITY: Final = FieldKind("identity", Annotated[bytes, Meta(max_length=32)], None, _same, _show_identity)
KEY_TEXT: Final = FieldKind("name", Annotated[str, Meta(min_length=1, max_length=PARAM_KEY_CHARS_MAX)], None, _same, _same)
VALUE_TEXT: Final = FieldKind("value", Annotated[str, Meta(max_length=PARAM_VALUE_CHARS_MAX)], None, _same, _same)
NAME: Final = FieldKind("name", Annotated[str, Meta(max_length=PARAM_KEY_CHARS_MAX)], None, _same, _same)
