"""Events of holds, escrows, settlements and offers. The whole table is in `state.receipts`; see `state.event_kinds` for the forms."""

from __future__ import annotations

from typing import Final

from state.event_kinds import ACCOUNT, AMOUNT, BYTES, NUMBER, TEXT, EventKind

HOLD_CREATED: Final = EventKind(
    60,
    "hold_created",
    (
        ("hold", BYTES),
        ("owner", ACCOUNT),
        ("beneficiary", ACCOUNT),
        ("agent", ACCOUNT),
        ("asset", TEXT),
        ("amount", AMOUNT),
        ("expires", NUMBER),
    ),
)
HOLD_POSTED: Final = EventKind(
    61,
    "hold_posted",
    (
        ("hold", BYTES),
        ("owner", ACCOUNT),
        ("beneficiary", ACCOUNT),
        ("asset", TEXT),
        ("amount", AMOUNT),
    ),
)
HOLD_RELEASED: Final = EventKind(
    62, "hold_released", (("hold", BYTES), ("owner", ACCOUNT), ("asset", TEXT), ("amount", AMOUNT), ("reason", NUMBER))
)
ESCROW_CREATED: Final = EventKind(
    63,
    "escrow_created",
    (
        ("escrow", BYTES),
        ("owner", ACCOUNT),
        ("recipient", ACCOUNT),
        ("asset", TEXT),
        ("amount", AMOUNT),
        ("finish_after", NUMBER),
        ("cancel_after", NUMBER),
        ("hash", BYTES),
    ),
)
ESCROW_FINISHED: Final = EventKind(
    64,
    "escrow_finished",
    (
        ("escrow", BYTES),
        ("owner", ACCOUNT),
        ("recipient", ACCOUNT),
        ("asset", TEXT),
        ("amount", AMOUNT),
        ("secret", BYTES),
    ),
)
ESCROW_RETURNED: Final = EventKind(
    65,
    "escrow_returned",
    (("escrow", BYTES), ("owner", ACCOUNT), ("asset", TEXT), ("amount", AMOUNT), ("reason", NUMBER)),
)
SETTLEMENT_CREATED: Final = EventKind(
    66,
    "settlement_created",
    (
        ("settlement", BYTES),
        ("creator", ACCOUNT),
        ("agent", ACCOUNT),
        ("legs", NUMBER),
        ("deadline", NUMBER),
        ("terms", BYTES),
    ),
)
SETTLEMENT_ALLOCATED: Final = EventKind(
    67, "settlement_allocated", (("settlement", BYTES), ("account", ACCOUNT), ("legs", NUMBER))
)
SETTLEMENT_EXECUTED: Final = EventKind(68, "settlement_executed", (("settlement", BYTES), ("legs", NUMBER)))
SETTLEMENT_ENDED: Final = EventKind(69, "settlement_ended", (("settlement", BYTES), ("reason", NUMBER)))
SETTLEMENT_LEG: Final = EventKind(
    72,
    "settlement_leg",
    (("settlement", BYTES), ("sender", ACCOUNT), ("recipient", ACCOUNT), ("asset", TEXT), ("amount", AMOUNT)),
)
_OFFER_SIDES: Final = (
    ("offer", BYTES),
    ("owner", ACCOUNT),
    ("recipient", ACCOUNT),
    ("asset_give", TEXT),
    ("amount_give", AMOUNT),
    ("asset_want", TEXT),
    ("amount_want", AMOUNT),
)
OFFER_MADE: Final = EventKind(73, "offer_made", (*_OFFER_SIDES, ("expires", NUMBER), ("terms", BYTES)))
OFFER_ACCEPTED: Final = EventKind(74, "offer_accepted", _OFFER_SIDES)
OFFER_ENDED: Final = EventKind(
    75, "offer_ended", (("offer", BYTES), ("owner", ACCOUNT), ("recipient", ACCOUNT), ("reason", NUMBER))
)

PENDING_EVENTS: Final = (
    HOLD_CREATED,
    HOLD_POSTED,
    HOLD_RELEASED,
    ESCROW_CREATED,
    ESCROW_FINISHED,
    ESCROW_RETURNED,
    SETTLEMENT_CREATED,
    SETTLEMENT_ALLOCATED,
    SETTLEMENT_EXECUTED,
    SETTLEMENT_ENDED,
    SETTLEMENT_LEG,
    OFFER_MADE,
    OFFER_ACCEPTED,
    OFFER_ENDED,
)
