"""Limits at work: how much a holding, or a group of accounts, may move in one transaction and in any window, and how much it may hold.

The gate calls `count_debit` and `count_credit` where a mark says so; they refuse, or write down what moved. A window of w seconds is
counted in parts of w/12 seconds, rounded up: what moved in the running part and the twelve before it. So no w seconds ever see more
than the limit, and what moved counts for at most one part longer than it had to; a record has at most 13 parts. Another window goes on
from the same record: each old part counts as of its end, so a shorter one starts afresh only when the running part is over.

Which limits count: those of the holding itself; and those of the group, which are the ones set for its head, else those of the
head's tier, else those of the asset. A group is an account without a parent and all sub-accounts below it: they are counted together,
so opening another sub-account gains nothing. An asset's issuer is not limited in its own asset. Value of its own that comes back to an
account (`is_return`) counts in no window, but a balance is a balance. No operation goes in here. Source: ledger rules, 1.5 and I27.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from state.codes import Code
from state.marks import GUARDED, HOLDING_LIMITED
from state.modules.standing import find_head, find_standing
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.primitives.limits import GROUP_MEMBERS_MAX, LIMIT_WINDOW_BUCKETS
from state.schema import HOLDING_PREFIX
from state.schema_kyc import (
    AssetRules,
    Bucket,
    Limits,
    Window,
    account_limits_key,
    asset_limits_key,
    asset_rules_key,
    group_window_key,
    holding_limits_key,
    holding_window_key,
    tier_limits_key,
)
from state.view import View

if TYPE_CHECKING:
    from state.modules.operation import OpContext

_NO_WINDOW: Final = Window(b"", 0, (), b"", 0, 0, ())


class Bound(NamedTuple):
    """Limits that count for a movement: where they stand, where the movement is counted, and the head of the group (else empty)."""

    rule: bytes
    limits: Limits
    key: bytes
    head: bytes


def compute_bucket_s(window_s: int) -> int:
    """Seconds of one part of a window; zero without a window."""
    return -(-window_s // LIMIT_WINDOW_BUCKETS)


def compute_buckets(record: Window, bucket_s: int, time_s: int) -> tuple[Bucket, ...]:
    """The parts that still count, in parts of `bucket_s`: when that has changed, each old part stands where it ended."""
    if not bucket_s:
        return ()
    now = time_s // bucket_s
    if record.bucket_s == bucket_s:
        return tuple([bucket for bucket in record.buckets if bucket.number >= now - LIMIT_WINDOW_BUCKETS])
    moved: dict[int, Bucket] = {}
    for number, came_in, went_out in record.buckets:
        place = min(now, ((number + 1) * record.bucket_s - 1) // bucket_s)
        old = moved.get(place, Bucket(place, 0, 0))
        moved[place] = Bucket(place, old.came_in + came_in, old.went_out + went_out)
    return tuple(moved[place] for place in sorted(moved) if place >= now - LIMIT_WINDOW_BUCKETS)


def find_group_rule(view: View, rules: AssetRules, head: bytes, code: bytes, time_s: int) -> bytes | None:
    """The key of the limits of a group: its head's own, else its tier's, else the asset's; None without any."""
    own = account_limits_key(head, code)
    if view.values[own] is not None:
        return own
    if rules.tiers:
        tier, _ = find_standing(view, head, time_s)
        if tier in rules.tiers:
            return tier_limits_key(tier, code)
    every = asset_limits_key(code)
    return every if view.values[every] is not None else None


def find_bounds(view: View, address: bytes, code: bytes, asset: Value, marks: int, time_s: int) -> tuple[Bound, ...]:
    """The limits that count for a movement of an account, those of the holding first; 609 if its group is too deep to be found."""
    if address == asset[3]:
        return ()
    bounds = []
    if marks & HOLDING_LIMITED:
        rule = holding_limits_key(address, code)
        bounds.append(Bound(rule, view.values[rule], holding_window_key(address, code), b""))
    rules: AssetRules | None = view.values[asset_rules_key(code)] if asset[5] & GUARDED else None
    if rules is not None and rules.limits:
        head = find_head(view, address)
        if head is None:
            raise OperationFailed(Code.LIMIT_PER_TX, "a sub-account so deep cannot hold an asset with limits")
        found = find_group_rule(view, rules, head, code, time_s)
        if found is not None:
            bounds.append(Bound(found, view.values[found], group_window_key(head, code), head))
    return tuple(bounds)


def _open(context: OpContext, bound: Bound) -> Window:
    """The counter as it is now: what no longer counts is gone, and a transaction before this one is forgotten."""
    record: Window = context.view.values[bound.key] or _NO_WINDOW
    bucket_s = compute_bucket_s(bound.limits.window_s)
    buckets = compute_buckets(record, bucket_s, context.time_s)
    tx = b"" if context.tx is None else context.tx.body_hash
    if not tx or tx != record.tx:
        return Window(bound.rule, bucket_s, buckets, tx, 0, 0, record.members)
    return Window(bound.rule, bucket_s, buckets, tx, record.tx_in, record.tx_out, record.members)


def _add(window: Window, time_s: int, came_in: int, went_out: int) -> Window:
    """With an amount added to the running part; a side without limit is not counted."""
    if not (came_in or went_out) or not window.bucket_s:
        return window
    number = time_s // window.bucket_s
    before, last = window.buckets[:-1], window.buckets[-1] if window.buckets else None
    if last is None or last.number != number:
        before, last = window.buckets, Bucket(number, 0, 0)
    return window._replace(buckets=(*before, Bucket(number, last.came_in + came_in, last.went_out + went_out)))


def _require_per_tx(limits: Limits, moved: int, amount: int) -> None:
    if limits.per_tx and moved + amount > limits.per_tx:
        raise OperationFailed(Code.LIMIT_PER_TX, f"{moved + amount} in one transaction, the limit is {limits.per_tx}")


def _require_window(limit: int, moved: int, amount: int, window_s: int) -> None:
    if limit and moved + amount > limit:
        raise OperationFailed(Code.LIMIT_WINDOW, f"{moved + amount} within {window_s} s, the limit is {limit}")


def count_debit(context: OpContext, address: bytes, code: bytes, asset: Value, marks: int, amount: int) -> None:
    """Refuse a debit beyond a limit, or count it: 609, 610. Zero only asks the other rules: a promise counts when it is paid."""
    if not amount:
        return
    bounds = find_bounds(context.view, address, code, asset, marks, context.time_s)
    windows = [_open(context, bound) for bound in bounds]
    for bound, window in zip(bounds, windows, strict=True):
        _require_per_tx(bound.limits, window.tx_out, amount)
    for bound, window in zip(bounds, windows, strict=True):
        moved = sum(bucket.went_out for bucket in window.buckets)
        _require_window(bound.limits.out_max, moved, amount, bound.limits.window_s)
    for bound, window in zip(bounds, windows, strict=True):
        after = window._replace(tx_out=window.tx_out + amount) if bound.limits.per_tx else window
        after = _add(after, context.time_s, 0, amount if bound.limits.out_max else 0)
        if after is not window:
            context.view.put(bound.key, after)


def count_credit(
    context: OpContext, address: bytes, code: bytes, asset: Value, marks: int, amount: int, is_return: bool
) -> None:
    """Refuse a credit beyond a limit, or count it: 609, 610, 611. What comes back is held to the balance only."""
    bounds = find_bounds(context.view, address, code, asset, marks, context.time_s)
    windows = [_open(context, bound) for bound in bounds]
    if not is_return:
        for bound, window in zip(bounds, windows, strict=True):
            _require_per_tx(bound.limits, window.tx_in, amount)
        for bound, window in zip(bounds, windows, strict=True):
            moved = sum(bucket.came_in for bucket in window.buckets)
            _require_window(bound.limits.in_max, moved, amount, bound.limits.window_s)
    counted = []
    for bound, window in zip(bounds, windows, strict=True):
        limits, after = bound.limits, window
        if limits.max_balance:
            after = _require_balance(context.view, bound, window, address, code, amount)
        if not is_return:
            if limits.per_tx:
                after = after._replace(tx_in=after.tx_in + amount)
            after = _add(after, context.time_s, amount if limits.in_max else 0, 0)
        if after is not window:
            counted.append((bound.key, after))
    for key, after in counted:
        context.view.put(key, after)


def _require_balance(view: View, bound: Bound, window: Window, address: bytes, code: bytes, amount: int) -> Window:
    """The counter with the account among those whose balances count, or 611."""
    values, members = view.values, window.members
    if bound.head:
        if address != bound.head and address not in members:
            held = [member for member in members if values[HOLDING_PREFIX + member + code] is not None]
            if len(held) >= GROUP_MEMBERS_MAX:
                raise OperationFailed(Code.LIMIT_BALANCE, f"at most {GROUP_MEMBERS_MAX} sub-accounts hold an asset limited by balance")
            members = tuple(sorted((*held, address)))
        owners: tuple[bytes, ...] = (bound.head, *members)
    else:
        owners = (address,)
    total = amount
    for owner in owners:
        holding = values[HOLDING_PREFIX + owner + code]
        total += 0 if holding is None else holding[0]
    if total > bound.limits.max_balance:
        raise OperationFailed(Code.LIMIT_BALANCE, f"{total} would be held, the limit is {bound.limits.max_balance}")
    return window if members == window.members else window._replace(members=members)
