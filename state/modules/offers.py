"""Offers between two accounts: what one gives, held until then, for what he wants of the other; both move at once.

Either side may be nothing: a request for payment gives nothing, a gift wants nothing. Who accepts names the terms he has read, so that
nobody can be given others. Who made an offer may take it back at any time; the other may refuse it. Codes in their order of precedence
stand beside each handler. Source: ledger rules, section 6 (Provenance's payments).
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_pending import OFFER_ACCEPTED, OFFER_ENDED, OFFER_MADE
from state.modules.fields import ADDRESS, AMOUNT, NUMBER, OPTIONAL_CODE, malformed
from state.modules.gate import require_movable, require_payment
from state.modules.operation import Level, OpContext, Operation
from state.modules.pending import (
    BOOKS,
    ENDED_EXCHANGE,
    EXECUTED,
    EXPIRED,
    OFFER_DUE,
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
from state.modules.pending_fields import HASH, PENDING_ID, REF
from state.primitives.codec import encode, encode_amount
from state.primitives.errors import OperationFailed
from state.primitives.hashing import sha256
from state.schema import HOLDING
from state.schema_pending import OFFER, Offer, pending_key


def compute_terms(offer: bytes, record: Offer) -> bytes:
    """What who accepts agrees to: SHA-256 over both accounts, both sides and the date; 32 bytes."""
    sides = (record.give_asset, encode_amount(record.give_amount), record.want_asset, encode_amount(record.want_amount))
    return sha256(b"qenex/offer/1" + encode((offer, record.owner, record.recipient, *sides, record.expires_s)))


def _parties(record: Offer) -> tuple[bytes, ...]:
    return record.owner, record.recipient


def _check_offer(args: tuple[Any, ...]) -> None:
    _, _, give_asset, give_amount, want_asset, want_amount, _ = args
    if bool(give_asset) != bool(give_amount) or bool(want_asset) != bool(want_amount):
        raise malformed("a side of an offer is an asset and an amount above zero, or neither")


def offer(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """pay.offer of one's own: 503 (both sides nothing), 504, 803, 712, 708, 1107, then of each side 401, 615, 506, 301; 502, 501."""
    ref, to, give_asset, give_amount, want_asset, want_amount, expires_s = args
    if not give_amount and not want_amount:
        raise OperationFailed(Code.ZERO_AMOUNT, "the offer is of nothing for nothing")
    if account == to:
        raise OperationFailed(Code.SELF_TRANSFER, "both sides of the offer are one account")
    if give_asset == want_asset:
        raise OperationFailed(Code.SAME_ASSET, "both sides of the offer are one asset")
    key = require_new(context, OFFER, account, ref)
    require_date(context, expires_s)
    context.require_recipient(to)
    if want_amount:
        require_movable(context, want_asset, to, account)
    if give_amount:
        lock(context, account, to, give_asset, give_amount)
    record = Offer(account, to, give_asset, give_amount, want_asset, want_amount, expires_s, ref)
    open_pending(context, key, record, OFFER_DUE, expires_s, _parties(record))
    sides = (give_asset, give_amount, want_asset, want_amount)
    context.emit(OFFER_MADE, key[2:], account, to, *sides, expires_s, compute_terms(key[2:], record))


def _get_offer(context: OpContext, name: bytes) -> tuple[bytes, Offer]:
    key = pending_key(OFFER, name)
    record: Offer = get_open(context, key, "offer")
    return key, record


def accept(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """pay.accept of an offer to oneself: 701, 703, 704, 711, 204, 710, then as payments both ways: 615, 501, 505."""
    name, terms = args
    key, record = _get_offer(context, name)
    require_before(context, record.expires_s, "offer")
    owner = record.owner
    if account != record.recipient:
        raise OperationFailed(Code.NO_PERMISSION, "the offer is made to another account")
    if terms != compute_terms(name, record):
        raise OperationFailed(Code.SETTLEMENT_MISMATCH, "the offer has other terms than those agreed to")
    if record.give_amount:
        take_locked(context, owner, account, record.give_asset, record.give_amount, held=record.give_amount)
    if record.want_amount:
        require_payment(context, account, owner, record.want_asset, record.want_amount)
        want = record.want_asset.encode("ascii")
        context.debit(account, want, record.want_amount, owner)
        context.credit(owner, want, record.want_amount)
    if record.give_amount:
        context.credit(account, record.give_asset.encode("ascii"), record.give_amount)
    close_pending(context, key, EXECUTED, record.give_amount, _parties(record))
    sides = (record.give_asset, record.give_amount, record.want_asset, record.want_amount)
    context.emit(OFFER_ACCEPTED, name, owner, account, *sides)


def cancel(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """pay.cancel by either side: 701, 703, 704, 711, 204."""
    (name,) = args
    key, record = _get_offer(context, name)
    if account not in _parties(record):
        raise OperationFailed(Code.NO_PERMISSION, "only the two accounts of an offer may end it")
    _release(context, key, record, EXPIRED if context.time_s >= record.expires_s else TAKEN_BACK)


def recall(context: OpContext, holder: bytes, name: bytes, asset: str) -> int:
    """End by authority an offer in which a holder gives an asset; what is free again: 701, 703, 704, 711."""
    key, record = _get_offer(context, name)
    require_of(record.owner, record.give_asset, holder, asset, "offer")
    _release(context, key, record, TAKEN_BACK)
    return record.give_amount


def expire(context: OpContext, key: bytes) -> None:
    """What the calendar does with an offer that falls due."""
    record = context.view.get(key)
    if type(record) is Offer and context.time_s >= record.expires_s:
        _release(context, key, record, EXPIRED)


def _release(context: OpContext, key: bytes, record: Offer, reason: int) -> None:
    if record.give_amount:
        unlock(context, record.owner, record.give_asset, record.give_amount)
    close_pending(context, key, reason, 0, _parties(record))
    context.emit(OFFER_ENDED, key[2:], record.owner, record.recipient, reason)


_WRITES: Final = frozenset({HOLDING, OFFER}) | BOOKS

OPERATIONS: Final = (
    Operation(
        code=70,
        name="pay.offer",
        module="pay",
        fields=(
            ("ref", REF),
            ("to", ADDRESS),
            ("give_asset", OPTIONAL_CODE),
            ("give_amount", AMOUNT),
            ("want_asset", OPTIONAL_CODE),
            ("want_amount", AMOUNT),
            ("expires", NUMBER),
        ),
        level=Level.MEDIUM,
        handler=offer,
        codes=(
            Code.ZERO_AMOUNT,
            Code.SELF_TRANSFER,
            Code.SAME_ASSET,
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
        check=_check_offer,
    ),
    Operation(
        code=71,
        name="pay.accept",
        module="pay",
        fields=(("offer", PENDING_ID), ("terms", HASH)),
        level=Level.MEDIUM,
        handler=accept,
        codes=(
            *ENDED_EXCHANGE,
            Code.NO_PERMISSION,
            Code.SETTLEMENT_MISMATCH,
            Code.NOT_TRANSFERABLE,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=_WRITES,
        work=2,
        moves_value=True,
    ),
    Operation(
        code=72,
        name="pay.cancel",
        module="pay",
        fields=(("offer", PENDING_ID),),
        level=Level.MEDIUM,
        handler=cancel,
        codes=(*ENDED_EXCHANGE, Code.NO_PERMISSION),
        writes=_WRITES,
        work=2,
    ),
)
