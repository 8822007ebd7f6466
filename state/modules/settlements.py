"""Settlements: payments of several accounts in several assets that are made all at once or not at all (delivery versus payment).

Somebody writes the legs down; each sender sets the amounts of his own legs aside, naming the terms he agrees to; when all have, the
agent executes (anybody, if there is none). Amounts stay in their owners' holdings, as `held`, until then. At the deadline everything
that is not executed is free again. Who has set his part aside is bound until the deadline; who has not may refuse, which ends it for
all. Codes in their order of precedence stand beside each handler. Source: ledger rules, section 1.4 (CIP-56).
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_pending import (
    SETTLEMENT_ALLOCATED,
    SETTLEMENT_CREATED,
    SETTLEMENT_ENDED,
    SETTLEMENT_EXECUTED,
    SETTLEMENT_LEG,
)
from state.modules.fields import NUMBER, OPTIONAL_ADDRESS
from state.modules.gate import require_movable
from state.modules.operation import Level, OpContext, Operation
from state.modules.pending import (
    BOOKS,
    ENDED_EXCHANGE,
    EXECUTED,
    EXPIRED,
    SETTLEMENT_DUE,
    TAKEN_BACK,
    close_pending,
    get_open,
    lock,
    open_pending,
    require_before,
    require_date,
    require_lockable,
    require_new,
    take_locked,
    unlock,
)
from state.modules.pending_fields import HASH, PENDING_ID, REF, SETTLEMENT_LEGS, write_legs
from state.primitives.codec import encode
from state.primitives.errors import OperationFailed
from state.primitives.hashing import sha256
from state.schema import HOLDING
from state.schema_pending import SETTLEMENT, Settlement, pending_key


def compute_terms(settlement: bytes, record: Settlement) -> bytes:
    """What a sender agrees to: SHA-256 over who made it, who executes it, every leg and the deadline; 32 bytes."""
    terms = (settlement, record.creator, record.agent, write_legs(record.legs), record.deadline_s)
    return sha256(b"qenex/settlement/1" + encode(terms))


def _parties(record: Settlement) -> tuple[bytes, ...]:
    return (record.creator, record.agent, *(leg.sender for leg in record.legs))


def create(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """settle.create by anybody: 712, 708, 1107, 301 and 506 of the agent; then leg by leg 503, 504, 401, 615, 506, 301."""
    ref, legs, agent, deadline_s = args
    key = require_new(context, SETTLEMENT, account, ref)
    require_date(context, deadline_s)
    if agent:
        context.require_recipient(agent)
    for sender, to, asset, amount in legs:
        if amount == 0:
            raise OperationFailed(Code.ZERO_AMOUNT, "the amount of a leg is zero")
        if sender == to:
            raise OperationFailed(Code.SELF_TRANSFER, "sender and recipient of a leg are one account")
        require_lockable(context, asset)
        require_movable(context, asset, sender, to)
        context.require_recipient(sender)
        context.require_recipient(to)
    record = Settlement(account, agent, legs, deadline_s, 0, ref)
    open_pending(context, key, record, SETTLEMENT_DUE, deadline_s, _parties(record))
    context.emit(SETTLEMENT_CREATED, key[2:], account, agent, len(legs), deadline_s, compute_terms(key[2:], record))


def _get_settlement(context: OpContext, settlement: bytes) -> tuple[bytes, Settlement]:
    key = pending_key(SETTLEMENT, settlement)
    record: Settlement = get_open(context, key, "settlement")
    return key, record


def own_legs(record: Settlement, account: bytes) -> int:
    """The legs that an account pays, as bits."""
    return sum(1 << i for i, leg in enumerate(record.legs) if leg.sender == account)


def allocate(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """settle.allocate of all of one's own legs: 701, 703, 704, 711, 204, 710, 711, then leg by leg 615, 502, 501."""
    settlement, terms = args
    key, record = _get_settlement(context, settlement)
    require_before(context, record.deadline_s, "settlement")
    own = own_legs(record, account)
    if not own:
        raise OperationFailed(Code.NO_PERMISSION, "the account pays no leg of the settlement")
    if terms != compute_terms(settlement, record):
        raise OperationFailed(Code.SETTLEMENT_MISMATCH, "the settlement has other terms than those agreed to")
    if record.allocated & own:
        raise OperationFailed(Code.ALREADY_SETTLED, "the account has set its legs aside")
    for leg in record.legs:
        if leg.sender == account:
            lock(context, account, leg.recipient, leg.asset, leg.amount)
    context.view.put(key, record._replace(allocated=record.allocated | own))
    context.emit(SETTLEMENT_ALLOCATED, settlement, account, own.bit_count())


def execute(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """settle.execute, all debits and then all credits: 701, 703, 704, 711, 204, 709, then as payments: 615, the gate's, 505."""
    (settlement,) = args
    key, record = _get_settlement(context, settlement)
    require_before(context, record.deadline_s, "settlement")
    if record.agent not in (b"", account):
        raise OperationFailed(Code.NO_PERMISSION, "only its agent executes the settlement")
    if record.allocated != (1 << len(record.legs)) - 1:
        missing = len(record.legs) - record.allocated.bit_count()
        raise OperationFailed(Code.SETTLEMENT_INCOMPLETE, f"{missing} of {len(record.legs)} legs are not set aside")
    for sender, to, asset, amount in record.legs:
        take_locked(context, sender, to, asset, amount, held=amount)
    for sender, to, asset, amount in record.legs:
        context.credit(to, asset.encode("ascii"), amount)
        context.emit(SETTLEMENT_LEG, settlement, sender, to, asset, amount)
    close_pending(context, key, EXECUTED, 0, _parties(record))
    context.emit(SETTLEMENT_EXECUTED, settlement, len(record.legs))


def cancel(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """settle.cancel by the agent, by its maker or a payer who has set nothing aside, by any of them late: 701, 703, 704, 711, 204."""
    (settlement,) = args
    key, record = _get_settlement(context, settlement)
    is_expired = context.time_s >= record.deadline_s
    is_bound = bool(own_legs(record, account) & record.allocated) and account != record.agent
    if account not in _parties(record) or (is_bound and not is_expired):
        raise OperationFailed(Code.NO_PERMISSION, "who has set his legs aside, or has nothing to do with it, cannot cancel it")
    _release(context, key, record, EXPIRED if is_expired else TAKEN_BACK)


def recall(context: OpContext, holder: bytes, settlement: bytes, asset: str) -> int:
    """End by authority a settlement for which a holder has set some of an asset aside; what of it is free again: 701, 703, 704, 711."""
    key, record = _get_settlement(context, settlement)
    bound = [leg.amount for i, leg in enumerate(record.legs) if record.allocated >> i & 1 and (leg.sender, leg.asset) == (holder, asset)]
    if not bound:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"the holder has set no {asset} aside for this settlement")
    _release(context, key, record, TAKEN_BACK)
    return sum(bound)


def expire(context: OpContext, key: bytes) -> None:
    """What the calendar does with a settlement that falls due."""
    record = context.view.get(key)
    if type(record) is Settlement and context.time_s >= record.deadline_s:
        _release(context, key, record, EXPIRED)


def _release(context: OpContext, key: bytes, record: Settlement, reason: int) -> None:
    for i, leg in enumerate(record.legs):
        if record.allocated >> i & 1:
            unlock(context, leg.sender, leg.asset, leg.amount)
    close_pending(context, key, reason, 0, _parties(record))
    context.emit(SETTLEMENT_ENDED, key[2:], reason)


_WRITES: Final = frozenset({HOLDING, SETTLEMENT}) | BOOKS

OPERATIONS: Final = (
    Operation(
        code=66,
        name="settle.create",
        module="settle",
        fields=(
            ("ref", REF),
            ("legs", SETTLEMENT_LEGS),
            ("agent", OPTIONAL_ADDRESS),
            ("deadline", NUMBER),
        ),
        level=Level.MEDIUM,
        handler=create,
        codes=(
            Code.PENDING_EXISTS,
            Code.TOO_LATE,
            Code.PARAM_OUT_OF_RANGE,
            Code.ZERO_AMOUNT,
            Code.SELF_TRANSFER,
            Code.ASSET_NOT_FOUND,
            Code.NOT_TRANSFERABLE,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
        ),
        writes=frozenset({SETTLEMENT}) | BOOKS,
        work=4,
    ),
    Operation(
        code=67,
        name="settle.allocate",
        module="settle",
        fields=(("settlement", PENDING_ID), ("terms", HASH)),
        level=Level.MEDIUM,
        handler=allocate,
        codes=(
            *ENDED_EXCHANGE,
            Code.NO_PERMISSION,
            Code.SETTLEMENT_MISMATCH,
            Code.NOT_TRANSFERABLE,
            Code.INSUFFICIENT_AVAILABLE,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=frozenset({HOLDING, SETTLEMENT}),
        work=4,
        moves_value=True,
    ),
    Operation(
        code=68,
        name="settle.execute",
        module="settle",
        fields=(("settlement", PENDING_ID),),
        level=Level.LOW,
        handler=execute,
        codes=(
            *ENDED_EXCHANGE,
            Code.NO_PERMISSION,
            Code.SETTLEMENT_INCOMPLETE,
            Code.NOT_TRANSFERABLE,
        ),
        writes=_WRITES,
        work=8,
        moves_value=True,
    ),
    Operation(
        code=69,
        name="settle.cancel",
        module="settle",
        fields=(("settlement", PENDING_ID),),
        level=Level.MEDIUM,
        handler=cancel,
        codes=(*ENDED_EXCHANGE, Code.NO_PERMISSION),
        writes=_WRITES,
        work=4,
    ),
)
