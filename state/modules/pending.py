"""What holds, escrows, settlements and offers have in common: their names, amounts held in place, their end, and the lists of accounts.

Something pending is open until it is settled, once, by being paid, taken back or expired; then a small record answers for a while whoever
asks again (702, 703, 704, 711) and is forgotten through the calendar. It is expired from the second of its date on, whether or not
the calendar has come to it. Held amounts stay in their owner's holding. No operation goes in here. Source: ledger rules, section 1.4.
"""

from __future__ import annotations

from typing import Final

from state.codes import Code
from state.modules.calendar import schedule
from state.modules.gate import (
    FLAG_LOCKABLE,
    require_debit,
    require_flag,
    require_movable,
    require_payment,
)
from state.modules.operation import OpContext
from state.modules.treasury_books import free_held, hold_in_place
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.primitives.hashing import sha256
from state.primitives.limits import PENDING_ID_BYTES, PENDING_KEEP_S, PENDING_S_MAX
from state.schema import ASSET_PREFIX, CALENDAR
from state.schema_pending import PENDING_LIST, Settled, list_entry_key, list_key, pending_key

# kinds of calendar entries
HOLD_DUE: Final = 20
ESCROW_DUE: Final = 21
SETTLEMENT_DUE: Final = 22
OFFER_DUE: Final = 23
FORGET: Final = 24

# what every operation on something pending writes beside its own record and holdings
BOOKS: Final = frozenset({PENDING_LIST, CALENDAR})

# what may answer whoever asks for something that has ended: what can be paid out, and what is settled in one step
ENDED_PAYMENT: Final = (
    Code.PENDING_NOT_FOUND,
    Code.PENDING_ALREADY_POSTED,
    Code.PENDING_ALREADY_VOIDED,
    Code.PENDING_EXPIRED,
)
ENDED_EXCHANGE: Final = (
    Code.PENDING_NOT_FOUND,
    Code.PENDING_ALREADY_VOIDED,
    Code.PENDING_EXPIRED,
    Code.ALREADY_SETTLED,
)

PAID: Final = int(Code.PENDING_ALREADY_POSTED)
TAKEN_BACK: Final = int(Code.PENDING_ALREADY_VOIDED)
EXPIRED: Final = int(Code.PENDING_EXPIRED)
EXECUTED: Final = int(Code.ALREADY_SETTLED)
_ENDS: Final = {PAID: "was paid", TAKEN_BACK: "was taken back", EXPIRED: "has expired", EXECUTED: "is settled"}


def compute_id(letter: int, creator: bytes, ref: bytes) -> bytes:
    """The name of what `creator` makes with a reference of 16 bytes: 20 bytes that nobody else's record can have."""
    return sha256(b"qenex/pending/1" + bytes((letter,)) + creator + ref)[:PENDING_ID_BYTES]


def require_new(context: OpContext, letter: int, creator: bytes, ref: bytes) -> bytes:
    """The key of a new record, or fail with 712 while the last one of this reference is remembered."""
    key = pending_key(letter, compute_id(letter, creator, ref))
    if context.view.get(key) is not None:
        raise OperationFailed(Code.PENDING_EXISTS, "the account has used this reference before")
    return key


def require_date(context: OpContext, due_s: int) -> None:
    """Fail unless a date is ahead and not too far: 708, 1107."""
    if due_s <= context.time_s:
        raise OperationFailed(Code.TOO_LATE, f"the date has passed: it is {context.time_s}")
    if due_s > context.time_s + PENDING_S_MAX:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"a date is at most {PENDING_S_MAX // 86_400} days ahead")


def get_open(context: OpContext, key: bytes, what: str) -> Value:
    """An open record, whatever its date: 701, or the code of how it ended (702, 703, 704, 711)."""
    record = context.view.get(key)
    if record is None:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"there is no such {what}")
    if type(record) is Settled:
        raise OperationFailed(record.code, f"the {what} {_ENDS[record.code]}")
    return record


def require_of(owner: bytes, found: str, holder: bytes, asset: str, what: str) -> None:
    """Fail with 701 unless what is open is the holder's, and of this asset."""
    if owner != holder or found != asset:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"there is no such {what} of the holder in {asset}")


def require_before(context: OpContext, due_s: int, what: str) -> None:
    """Fail with 704 from the second `due_s` on."""
    if context.time_s >= due_s:
        raise OperationFailed(Code.PENDING_EXPIRED, f"the {what} expired at {due_s}")


def require_lockable(context: OpContext, asset: str) -> None:
    """Fail unless the issuer allows amounts to be held: 401, 615."""
    require_flag(context, asset, FLAG_LOCKABLE, Code.NOT_TRANSFERABLE, "amounts of it to be held")


def lock(context: OpContext, owner: bytes, payee: bytes, asset: str, amount: int) -> None:
    """Hold `amount` > 0 of an owner's holding for a payee: 401, 615, 506, 301, the codes of the gate, 502, 501.

    A freeze forbids it as it forbids paying; limits are counted when it is paid. A dealer's required reserve cannot be promised, and a
    credit line is not drawn upon for it.
    """
    require_lockable(context, asset)
    require_payment(context, owner, payee, asset, amount)
    require_debit(context, owner, asset.encode("ascii"), 0, payee)
    hold_in_place(context, owner, asset, amount)


def unlock(context: OpContext, owner: bytes, asset: str, amount: int) -> None:
    """Let an owner have back what is held; no rule can keep it from him, because it never left him."""
    free_held(context, owner, asset, amount)


def take_locked(context: OpContext, owner: bytes, payee: bytes, asset: str, amount: int, *, held: int) -> None:
    """Take `amount` of what was held for a payee; the rest of `held` is the owner's again: 615, the gate's codes."""
    unlock(context, owner, asset, held)
    require_movable(context, asset, owner, payee)
    context.debit(owner, asset.encode("ascii"), amount, named_payee(context, asset, payee))


def named_payee(context: OpContext, asset: str, payee: bytes) -> bytes:
    """Whom the gate is told that a promise is paid to: the issuer, whom also who is frozen may pay; else nobody in particular.

    The owner's own list of whom he pays was asked when he promised. It must not be asked again, or he could take a promise back by
    changing it. Travel data, too, is that of the transaction in which he promised.
    """
    return payee if payee == context.view.values[ASSET_PREFIX + asset.encode("ascii")][3] else b""


def open_pending(context: OpContext, key: bytes, record: Value, kind: int, due_s: int, parties: tuple[bytes, ...]) -> None:
    """Write a new record, have it looked at when it falls due, and list it for everybody it concerns."""
    context.view.put(key, record)
    schedule(context, kind, due_s, key)
    for party in dict.fromkeys(parties):
        if party:
            _enlist(context, party, key[1:])


def close_pending(context: OpContext, key: bytes, code: int, amount: int, parties: tuple[bytes, ...]) -> None:
    """Replace a record by what is left of it: how it ended, and how much of it was paid."""
    until_s = context.time_s + PENDING_KEEP_S
    context.view.put(key, Settled(code, amount, until_s))
    schedule(context, FORGET, until_s, key)
    for party in dict.fromkeys(parties):
        if party:
            _delist(context, party, key[1:])


def forget(context: OpContext, key: bytes) -> None:
    """Delete what is left of a record, when its time has come. A new record under the same name stays."""
    record = context.view.get(key)
    if type(record) is Settled and record.until_s <= context.time_s:
        context.view.put(key, None)


def _enlist(context: OpContext, account: bytes, name: bytes) -> None:
    view = context.view
    first, count = view.get(list_key(account)) or (b"", 0)
    if first:
        _, after = view.get(list_entry_key(account, first))
        view.put(list_entry_key(account, first), (name, after))
    view.put(list_entry_key(account, name), (b"", first))
    view.put(list_key(account), (name, count + 1))


def _delist(context: OpContext, account: bytes, name: bytes) -> None:
    view = context.view
    first, count = view.get(list_key(account))
    before, after = view.get(list_entry_key(account, name))
    view.put(list_entry_key(account, name), None)
    if before:
        view.put(list_entry_key(account, before), (view.get(list_entry_key(account, before))[0], after))
    else:
        first = after
    if after:
        view.put(list_entry_key(account, after), (before, view.get(list_entry_key(account, after))[1]))
    view.put(list_key(account), (first, count - 1) if count > 1 else None)
