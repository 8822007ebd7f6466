"""Holds: an amount set aside for somebody, who takes all or a part of it before it expires; the rest is free again.

The payer cannot take a hold back before its date, so the beneficiary can rely on it. It stays in the payer's holding, as `held`, and
lends nothing to the other side. Codes in their order of precedence stand beside each handler. Source: ledger rules, section 1.4.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_pending import HOLD_CREATED, HOLD_POSTED, HOLD_RELEASED
from state.modules.fields import ADDRESS, AMOUNT, CODE, NUMBER, OPTIONAL_ADDRESS
from state.modules.operation import Level, OpContext, Operation
from state.modules.pending import (
    BOOKS,
    ENDED_PAYMENT,
    EXPIRED,
    HOLD_DUE,
    PAID,
    TAKEN_BACK,
    close_pending,
    get_open,
    lock,
    open_pending,
    require_before,
    require_date,
    require_new,
    require_of,
    take_locked,
    unlock,
)
from state.modules.pending_fields import PENDING_ID, REF
from state.primitives.errors import OperationFailed
from state.schema import HOLDING
from state.schema_pending import HOLD, Hold, pending_key


def _parties(record: Hold) -> tuple[bytes, ...]:
    return record.owner, record.beneficiary, record.agent


def create(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """hold.create of one's own holding: 503, 504, 712, 708, 1107, 401, 615, 506, 301 (also of the agent), 502, 501."""
    ref, asset, amount, beneficiary, agent, expires_s = args
    if amount == 0:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")
    if account == beneficiary:
        raise OperationFailed(Code.SELF_TRANSFER, "payer and beneficiary are one account")
    key = require_new(context, HOLD, account, ref)
    require_date(context, expires_s)
    if agent:
        context.require_recipient(agent)
    lock(context, account, beneficiary, asset, amount)
    record = Hold(account, beneficiary, agent, asset, amount, expires_s, ref)
    open_pending(context, key, record, HOLD_DUE, expires_s, _parties(record))
    context.emit(HOLD_CREATED, key[2:], account, beneficiary, agent, asset, amount, expires_s)


def _get_hold(context: OpContext, hold: bytes) -> tuple[bytes, Hold]:
    key = pending_key(HOLD, hold)
    record: Hold = get_open(context, key, "hold")
    return key, record


def post(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """hold.post by any party, all or a part: 503, 701 to 704, 204, 705, then as a payment: 615, the gate's, 505."""
    hold, amount = args
    if amount == 0:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")
    key, record = _get_hold(context, hold)
    require_before(context, record.expires_s, "hold")
    if account not in _parties(record):
        raise OperationFailed(Code.NO_PERMISSION, "only payer, beneficiary and agent may post a hold")
    if amount > record.amount:
        raise OperationFailed(Code.EXCEEDS_PENDING, f"the hold is of {record.amount}, {amount} were to be posted")
    take_locked(context, record.owner, record.beneficiary, record.asset, amount, held=record.amount)
    context.credit(record.beneficiary, record.asset.encode("ascii"), amount)
    close_pending(context, key, PAID, amount, _parties(record))
    context.emit(HOLD_POSTED, hold, record.owner, record.beneficiary, record.asset, amount)
    if amount < record.amount:
        context.emit(HOLD_RELEASED, hold, record.owner, record.asset, record.amount - amount, PAID)


def void(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """hold.void by beneficiary or agent, or by the payer too once it has expired: 701 to 704, 204.

    An expired hold is freed by its date, and soon after by the calendar; this is for who does not want to wait for that.
    """
    (hold,) = args
    key, record = _get_hold(context, hold)
    is_expired = context.time_s >= record.expires_s
    if account not in _parties(record) or (account == record.owner and not is_expired):
        raise OperationFailed(Code.NO_PERMISSION, "only beneficiary and agent may void a hold, the payer when it has expired")
    _release(context, key, record, EXPIRED if is_expired else TAKEN_BACK)


def recall(context: OpContext, holder: bytes, hold: bytes, asset: str) -> int:
    """End a holder's hold by authority, whatever its date; what is free again: 701 to 704."""
    key, record = _get_hold(context, hold)
    require_of(record.owner, record.asset, holder, asset, "hold")
    _release(context, key, record, TAKEN_BACK)
    return record.amount


def expire(context: OpContext, key: bytes) -> None:
    """What the calendar does with a hold that falls due."""
    record = context.view.get(key)
    if type(record) is Hold and context.time_s >= record.expires_s:
        _release(context, key, record, EXPIRED)


def _release(context: OpContext, key: bytes, record: Hold, code: int) -> None:
    unlock(context, record.owner, record.asset, record.amount)
    close_pending(context, key, code, 0, _parties(record))
    context.emit(HOLD_RELEASED, key[2:], record.owner, record.asset, record.amount, code)


_WRITES: Final = frozenset({HOLDING, HOLD}) | BOOKS

OPERATIONS: Final = (
    Operation(
        code=60,
        name="hold.create",
        module="hold",
        fields=(
            ("ref", REF),
            ("asset", CODE),
            ("amount", AMOUNT),
            ("beneficiary", ADDRESS),
            ("agent", OPTIONAL_ADDRESS),
            ("expires", NUMBER),
        ),
        level=Level.MEDIUM,
        handler=create,
        codes=(
            Code.ZERO_AMOUNT,
            Code.SELF_TRANSFER,
            Code.PENDING_EXISTS,
            Code.TOO_LATE,
            Code.PARAM_OUT_OF_RANGE,
            Code.ASSET_NOT_FOUND,
            Code.NOT_TRANSFERABLE,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.INSUFFICIENT_AVAILABLE,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=_WRITES,
        work=2,
        moves_value=True,
    ),
    Operation(
        code=61,
        name="hold.post",
        module="hold",
        fields=(("hold", PENDING_ID), ("amount", AMOUNT)),
        level=Level.MEDIUM,
        handler=post,
        codes=(
            Code.ZERO_AMOUNT,
            *ENDED_PAYMENT,
            Code.NO_PERMISSION,
            Code.EXCEEDS_PENDING,
            Code.NOT_TRANSFERABLE,
        ),
        writes=_WRITES,
        work=2,
        moves_value=True,
    ),
    Operation(
        code=62,
        name="hold.void",
        module="hold",
        fields=(("hold", PENDING_ID),),
        level=Level.MEDIUM,
        handler=void,
        codes=(*ENDED_PAYMENT, Code.NO_PERMISSION),
        writes=_WRITES,
        work=2,
        moves_value=True,
    ),
)
