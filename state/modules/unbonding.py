"""Stake on its way out: unbonding entries, redelegation entries, the two queues they stand in, and the sweeps.

An entry's date decides, not the sweep: an entry that is due is not slashed, does not count against the limit and cannot be
cancelled, and its owner may have it paid at once by claiming. So a late sweep has no economic effect (I31). Numbers of a queue are
never used again, so a chain of links never leads to a stranger. No operation goes in here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from state.modules.claims import give_back
from state.modules.operation import UNBONDING_ADDRESS, OpContext
from state.modules.staking_pool import unlist_validator
from state.params import StakeParams
from state.primitives.limits import SWEEP_ENTRIES_MAX
from state.receipts import STAKE_RELEASED
from state.schema_staking import (
    REDELEGATION_QUEUE_KEY,
    UNBONDING_QUEUE_KEY,
    Entry,
    Link,
    incoming_key,
    latest_key,
    link_key,
    redelegation_key,
    unbonding_key,
)
from state.view import View

Entries = tuple[Entry, ...]
_EMPTY_QUEUE: Final = (0, 0)


def append_entry(context: OpContext, queue: bytes, key: bytes, who: Link, amount: int, until_s: int) -> Entry:
    """Add an entry to the record under `key` and to the end of its queue. `who` says whose it is; its link is filled in here."""
    view = context.view
    first, number = view.get(queue) or _EMPTY_QUEUE
    latest = view.get(latest_key(queue, who.validator))
    entry = Entry(number, context.height, amount, amount, until_s)
    view.put(link_key(queue, number), who._replace(before=-1 if latest is None else latest[0], height=context.height))
    view.put(latest_key(queue, who.validator), (number,))
    view.put(queue, (first, number + 1))
    view.put(key, (*get_entries(view, key), entry))
    return entry


def get_entries(view: View, key: bytes) -> Entries:
    """The entries under a key, oldest first."""
    entries: Entries = view.get(key) or ()
    return entries


def replace_entry(view: View, key: bytes, changed: Entry) -> None:
    """Write an entry back, found by its number."""
    view.put(key, tuple(changed if entry.number == changed.number else entry for entry in get_entries(view, key)))


def remove_entry(view: View, key: bytes, number: int) -> None:
    """Take an entry out of its record; its place in the queue stays until the sweep comes by."""
    view.put(key, tuple(entry for entry in get_entries(view, key) if entry.number != number) or None)


def walk_back(view: View, queue: bytes, validator: bytes, height: int) -> Iterator[tuple[int, Link]]:
    """A validator's entries that began at `height` or later, the latest first: (number, link). Some may be gone already."""
    first, _ = view.get(queue) or _EMPTY_QUEUE
    latest = view.get(latest_key(queue, validator))
    number = -1 if latest is None else latest[0]
    while number >= first:
        link: Link = view.get(link_key(queue, number))
        if link.height < height:
            return
        yield number, link
        number = link.before


def find_entry(view: View, key: bytes, number: int) -> Entry | None:
    """The entry with a number, or None."""
    return next((entry for entry in get_entries(view, key) if entry.number == number), None)


def release_due(context: OpContext, params: StakeParams, validator: bytes, account: bytes) -> int:
    """Pay every entry of this pair that is due; what was paid. What a rule keeps from its owner waits as a claim."""
    view = context.view
    key = unbonding_key(validator, account)
    paid = 0
    for entry in get_entries(view, key):
        if entry.until_s <= context.time_s:
            remove_entry(view, key, entry.number)
            paid += entry.balance
    if paid:
        code = params.asset.encode("ascii")
        context.debit(UNBONDING_ADDRESS, code, paid)
        give_back(context, account, code, paid)
        context.emit(STAKE_RELEASED, validator, account, paid)
    unlist_validator(view, account, validator)
    return paid


def forget_due(context: OpContext, key: bytes) -> None:
    """Forget the redelegations under a key that can no longer be slashed."""
    for entry in get_entries(context.view, key):
        if entry.until_s <= context.time_s:
            remove_entry(context.view, key, entry.number)


def incoming_until_s(view: View, validator: bytes, account: bytes) -> int:
    """Until when an account's stake with a validator may not be redelegated on; 0 if it may."""
    record = view.get(incoming_key(validator, account))
    return 0 if record is None else int(record[0])


def sweep_unbondings(context: OpContext, params: StakeParams) -> None:
    """Pay what is due, oldest first, a bounded number per block and always more than the block added."""
    for link in _due_links(context, UNBONDING_QUEUE_KEY):
        release_due(context, params, link.validator, link.account)


def sweep_redelegations(context: OpContext) -> None:
    """Forget what can no longer be slashed, oldest first, a bounded number per block."""
    view = context.view
    for link in _due_links(context, REDELEGATION_QUEUE_KEY):
        forget_due(context, redelegation_key(link.validator, link.destination, link.account))
        if 0 < incoming_until_s(view, link.destination, link.account) <= context.time_s:
            view.put(incoming_key(link.destination, link.account), None)


def _due_links(context: OpContext, queue: bytes) -> Iterator[Link]:
    """Take places off the front of a queue whose entry is due or gone."""
    view = context.view
    record = view.get(queue)
    if record is None or record[0] == record[1]:
        return
    first, following = record
    added = following - (view.original(queue) or _EMPTY_QUEUE)[1]
    stop = min(following, first + SWEEP_ENTRIES_MAX + 2 * added)
    number = first
    while number < stop:
        link: Link = view.get(link_key(queue, number))
        if queue == UNBONDING_QUEUE_KEY:
            key = unbonding_key(link.validator, link.account)
        else:
            key = redelegation_key(link.validator, link.destination, link.account)
        entry = find_entry(view, key, number)
        if entry is not None and entry.until_s > context.time_s:
            break
        yield link
        view.put(link_key(queue, number), None)
        number += 1
    if number != first:
        view.put(queue, (number, following))
