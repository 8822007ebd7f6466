"""What is done with each kind of entry that falls due (see `state.modules.calendar`): one row for each kind, nothing else.

A block settles at most `DUE_ENTRIES_MAX` entries and twice as many as it added, so a backlog always shrinks. An entry whose action
fails is dropped with an event: what it names keeps its own date, and whoever uses it looks at that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from state.automatic import run_action
from state.modules import account_grants, account_keys, escrows, holds, offers, pending, settlements
from state.modules.calendar import take_due
from state.modules.freezes import FREEZE_ENDS, FREEZE_LETTERS, end_freeze
from state.modules.operation import OpContext
from state.modules.treasury_redemption import REDEMPTION_DUE, settle_redemption
from state.primitives.limits import DUE_ENTRIES_MAX
from state.receipts import Event
from state.schema import ACCOUNT, CALENDAR, CALENDAR_KEY, HOLDING
from state.schema_accounts import GRANT, POLICY
from state.schema_claims import CLAIM
from state.schema_pending import ESCROW, HOLD, OFFER, SETTLEMENT
from state.schema_treasury import TREASURY


class Expiry(NamedTuple):
    """One kind. `handler` gets the key that was scheduled; `letters` are those of the records that it may write."""

    number: int
    name: str
    handler: Callable[[OpContext, bytes], None]
    letters: frozenset[int]


ROWS: Final[tuple[Expiry, ...]] = (
    Expiry(FREEZE_ENDS, "freeze ends", end_freeze, FREEZE_LETTERS),
    Expiry(pending.HOLD_DUE, "hold expiry", holds.expire, pending.BOOKS | {HOLDING, HOLD}),
    Expiry(pending.ESCROW_DUE, "escrow expiry", escrows.expire, pending.BOOKS | {HOLDING, ESCROW, CLAIM}),
    Expiry(pending.SETTLEMENT_DUE, "settlement expiry", settlements.expire, pending.BOOKS | {HOLDING, SETTLEMENT}),
    Expiry(pending.OFFER_DUE, "offer expiry", offers.expire, pending.BOOKS | {HOLDING, OFFER}),
    Expiry(pending.FORGET, "forget what is settled", pending.forget, frozenset({HOLD, ESCROW, SETTLEMENT, OFFER})),
    Expiry(REDEMPTION_DUE, "redemption", settle_redemption, frozenset({HOLDING, TREASURY})),
    Expiry(account_keys.EXPIRY_CHANGE, "change of keys lapses", account_keys.lapse_change, frozenset({POLICY})),
    Expiry(account_grants.EXPIRY_GRANT, "grant ends", account_grants.lapse_grant, frozenset({GRANT, ACCOUNT})),
)
EXPIRIES: Final[dict[int, Expiry]] = {row.number: row for row in ROWS}
_CALENDAR: Final = frozenset({CALENDAR})


def settle_due(context: OpContext, events: list[Event]) -> None:
    """Settle what is due, oldest first."""
    view = context.view
    record = view.get(CALENDAR_KEY)
    if record is None:
        return
    before = view.original(CALENDAR_KEY)
    added = max(0, record[2] - (0 if before is None else before[2]))
    for _ in range(DUE_ENTRIES_MAX + 2 * added):
        due = run_action(context, events, "calendar", take_due, None, _CALENDAR)
        if due is None:
            return
        kind, key = due
        row = EXPIRIES[kind]
        run_action(context, events, row.name, lambda c, row=row, key=key: row.handler(c, key), None, row.letters)  # type: ignore[misc]
