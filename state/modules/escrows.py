"""Escrows: an amount that leaves its owner now and arrives later, at a time, against a secret, or both; else it goes back.

From `finish_after` until `cancel_after` anybody may finish it with the secret: it goes to the recipient. From `cancel_after` on it goes
back, by whoever asks or by the calendar. A freeze keeps it from the recipient, never from its owner: what he may not receive waits as
a claim. Codes in their order of precedence stand beside each handler. Source: ledger rules, section 1.4 (XLS-85).
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_pending import ESCROW_CREATED, ESCROW_FINISHED, ESCROW_RETURNED
from state.modules.claims import give_back
from state.modules.fields import ADDRESS, AMOUNT, CODE, NUMBER, OPTIONAL_HASH, malformed
from state.modules.gate import FLAG_ESCROWABLE, require_debit, require_flag, require_movable, require_payment
from state.modules.operation import CLAIMS, ESCROWS, ESCROWS_ADDRESS, Level, OpContext, Operation
from state.modules.pending import (
    BOOKS,
    ENDED_PAYMENT,
    ESCROW_DUE,
    EXPIRED,
    PAID,
    TAKEN_BACK,
    close_pending,
    get_open,
    named_payee,
    open_pending,
    require_date,
    require_new,
    require_of,
)
from state.modules.pending_fields import PENDING_ID, REF, SECRET
from state.primitives.errors import OperationFailed
from state.primitives.hashing import sha256
from state.schema import HOLDING
from state.schema_claims import CLAIM
from state.schema_pending import ESCROW, Escrow, pending_key


def _parties(record: Escrow) -> tuple[bytes, ...]:
    return record.owner, record.recipient


def _check_create(args: tuple[Any, ...]) -> None:
    finish_after_s, cancel_after_s, secret_hash = args[4:]
    if not finish_after_s and not secret_hash:
        raise malformed("an escrow waits for a time, a secret, or both")
    if finish_after_s >= cancel_after_s:
        raise malformed("an escrow can be finished before it can be cancelled")


def create(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """escrow.create of one's own holding: 503, 504, 712, 708, 1107, 401, 615, 506, 301, 501, 505."""
    ref, to, asset, amount, finish_after_s, cancel_after_s, secret_hash = args
    if amount == 0:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")
    if account == to:
        raise OperationFailed(Code.SELF_TRANSFER, "owner and recipient are one account")
    key = require_new(context, ESCROW, account, ref)
    require_date(context, cancel_after_s)
    require_flag(context, asset, FLAG_ESCROWABLE, Code.NOT_TRANSFERABLE, "escrows of it")
    require_payment(context, account, to, asset, amount)
    code = asset.encode("ascii")
    context.debit(account, code, amount)  # not to the issuer yet, even if it is for him
    context.give(ESCROWS_ADDRESS, code, amount)
    record = Escrow(account, to, asset, amount, finish_after_s, cancel_after_s, secret_hash, ref)
    open_pending(context, key, record, ESCROW_DUE, cancel_after_s, _parties(record))
    context.emit(ESCROW_CREATED, key[2:], account, to, asset, amount, finish_after_s, cancel_after_s, secret_hash)


def _get_escrow(context: OpContext, escrow: bytes) -> tuple[bytes, Escrow]:
    key = pending_key(ESCROW, escrow)
    record: Escrow = get_open(context, key, "escrow")
    return key, record


def finish(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """escrow.finish by anybody: 701 to 704, 708, 707, 706, then as a payment of the owner: 615, the gate's, 505.

    The owner's freezes are asked as well: what he may not pay, his escrow does not pay for him.
    """
    escrow, secret = args
    key, record = _get_escrow(context, escrow)
    if context.time_s >= record.cancel_after_s:
        raise OperationFailed(Code.TOO_LATE, f"since {record.cancel_after_s} the escrow can only go back")
    if context.time_s < record.finish_after_s:
        raise OperationFailed(Code.TOO_EARLY, f"the escrow can be finished from {record.finish_after_s} on")
    if (sha256(secret) != record.hash) if record.hash else bool(secret):
        raise OperationFailed(Code.WRONG_SECRET, "the secret is not that of the escrow's hash")
    code = record.asset.encode("ascii")
    require_movable(context, record.asset, record.owner, record.recipient)
    require_debit(context, record.owner, code, 0, named_payee(context, record.asset, record.recipient))
    context.take(ESCROWS_ADDRESS, code, record.amount)
    context.credit(record.recipient, code, record.amount)
    close_pending(context, key, PAID, record.amount, _parties(record))
    context.emit(ESCROW_FINISHED, escrow, record.owner, record.recipient, record.asset, record.amount, secret)


def cancel(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """escrow.cancel by anybody from `cancel_after` on, by the recipient at any time: 701 to 704, 707."""
    (escrow,) = args
    key, record = _get_escrow(context, escrow)
    is_expired = context.time_s >= record.cancel_after_s
    if not is_expired and account != record.recipient:
        raise OperationFailed(Code.TOO_EARLY, f"until {record.cancel_after_s} only the recipient may give the escrow back")
    _return(context, key, record, EXPIRED if is_expired else TAKEN_BACK)


def recall(context: OpContext, holder: bytes, escrow: bytes, asset: str) -> int:
    """Give a holder's escrow back to him by authority, whatever its date; what went back: 701 to 704."""
    key, record = _get_escrow(context, escrow)
    require_of(record.owner, record.asset, holder, asset, "escrow")
    _return(context, key, record, TAKEN_BACK)
    return record.amount


def expire(context: OpContext, key: bytes) -> None:
    """What the calendar does with an escrow that falls due."""
    record = context.view.get(key)
    if type(record) is Escrow and context.time_s >= record.cancel_after_s:
        _return(context, key, record, EXPIRED)


def _return(context: OpContext, key: bytes, record: Escrow, reason: int) -> None:
    code = record.asset.encode("ascii")
    context.take(ESCROWS_ADDRESS, code, record.amount)
    give_back(context, record.owner, code, record.amount)
    close_pending(context, key, reason, 0, _parties(record))
    context.emit(ESCROW_RETURNED, key[2:], record.owner, record.asset, record.amount, reason)


_WRITES: Final = frozenset({HOLDING, ESCROW}) | BOOKS

OPERATIONS: Final = (
    Operation(
        code=63,
        name="escrow.create",
        module="escrow",
        fields=(
            ("ref", REF),
            ("to", ADDRESS),
            ("asset", CODE),
            ("amount", AMOUNT),
            ("finish_after", NUMBER),
            ("cancel_after", NUMBER),
            ("hash", OPTIONAL_HASH),
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
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=_WRITES,
        work=2,
        moves_value=True,
        check=_check_create,
        touches=frozenset({ESCROWS}),
    ),
    Operation(
        code=64,
        name="escrow.finish",
        module="escrow",
        fields=(("escrow", PENDING_ID), ("secret", SECRET)),
        level=Level.LOW,
        handler=finish,
        codes=(
            *ENDED_PAYMENT,
            Code.TOO_LATE,
            Code.TOO_EARLY,
            Code.WRONG_SECRET,
            Code.NOT_TRANSFERABLE,
        ),
        writes=_WRITES,
        work=2,
        moves_value=True,
        touches=frozenset({ESCROWS}),
    ),
    Operation(
        code=65,
        name="escrow.cancel",
        module="escrow",
        fields=(("escrow", PENDING_ID),),
        level=Level.MEDIUM,
        handler=cancel,
        codes=(*ENDED_PAYMENT, Code.TOO_EARLY),
        writes=_WRITES | {CLAIM},
        work=2,
        moves_value=True,
        touches=frozenset({ESCROWS, CLAIMS}),
    ),
)
