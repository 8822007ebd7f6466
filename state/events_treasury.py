"""The events of central banks' operations. `state.receipts` takes the rows in; no rule goes in here."""

from __future__ import annotations

from typing import Final

from state.event_kinds import ACCOUNT, AMOUNT, NUMBER, TEXT, EventKind

DEALER_APPOINTED: Final = EventKind(
    180,
    "dealer_appointed",
    (
        ("asset", TEXT),
        ("dealer", ACCOUNT),
        ("tier", NUMBER),
        ("issue_max", AMOUNT),
        ("window_max", AMOUNT),
        ("window_s", NUMBER),
    ),
)
DEALER_DISMISSED: Final = EventKind(181, "dealer_dismissed", (("asset", TEXT), ("dealer", ACCOUNT)))
ISSUED: Final = EventKind(
    182,
    "issued",
    (
        ("asset", TEXT),
        ("issuer", ACCOUNT),
        ("dealer", ACCOUNT),
        ("amount", AMOUNT),
        ("facility", TEXT),
        ("ref", TEXT),
    ),
)
LIQUIDITY_INJECTED: Final = EventKind(
    183,
    "liquidity_injected",
    (
        ("asset", TEXT),
        ("issuer", ACCOUNT),
        ("amount", AMOUNT),
        ("dealers", NUMBER),
        ("facility", TEXT),
        ("ref", TEXT),
    ),
)
REDEMPTION_REQUESTED: Final = EventKind(
    184,
    "redemption_requested",
    (
        ("asset", TEXT),
        ("dealer", ACCOUNT),
        ("request", NUMBER),
        ("amount", AMOUNT),
        ("expires", NUMBER),
        ("ref", TEXT),
    ),
)
REDEEMED: Final = EventKind(
    185, "redeemed", (("asset", TEXT), ("dealer", ACCOUNT), ("request", NUMBER), ("amount", AMOUNT), ("ref", TEXT))
)
REDEMPTION_FREED: Final = EventKind(
    186,
    "redemption_freed",
    (("asset", TEXT), ("dealer", ACCOUNT), ("request", NUMBER), ("amount", AMOUNT), ("reason", TEXT)),
)
RATE_ANNOUNCED: Final = EventKind(187, "rate_announced", (("asset", TEXT), ("rate_ppm", NUMBER), ("effective_from", NUMBER)))
INTEREST_PAID: Final = EventKind(
    188, "interest_paid", (("asset", TEXT), ("dealer", ACCOUNT), ("period", NUMBER), ("amount", AMOUNT))
)
ACCRUED: Final = EventKind(
    189, "accrued", (("asset", TEXT), ("period", NUMBER), ("amount", AMOUNT), ("dealers", NUMBER), ("until", NUMBER))
)
RESERVE_RATIO_SET: Final = EventKind(
    190, "reserve_ratio_set", (("asset", TEXT), ("tier", NUMBER), ("ratio_ppm", NUMBER))
)
LIABILITIES_REPORTED: Final = EventKind(
    191, "liabilities_reported", (("asset", TEXT), ("dealer", ACCOUNT), ("amount", AMOUNT), ("required", AMOUNT))
)
CREDIT_LINE_SET: Final = EventKind(
    192, "credit_line_set", (("asset", TEXT), ("account", ACCOUNT), ("limit", AMOUNT), ("collateral", TEXT))
)
CREDIT_LINE_CLOSED: Final = EventKind(
    193, "credit_line_closed", (("asset", TEXT), ("account", ACCOUNT), ("debt", AMOUNT))
)
CREDIT_DRAWN: Final = EventKind(
    194, "credit_drawn", (("asset", TEXT), ("account", ACCOUNT), ("amount", AMOUNT), ("debt", AMOUNT))
)
CREDIT_REPAID: Final = EventKind(
    195, "credit_repaid", (("asset", TEXT), ("account", ACCOUNT), ("amount", AMOUNT), ("debt", AMOUNT))
)

TREASURY_EVENTS: Final = (
    DEALER_APPOINTED,
    DEALER_DISMISSED,
    ISSUED,
    LIQUIDITY_INJECTED,
    REDEMPTION_REQUESTED,
    REDEEMED,
    REDEMPTION_FREED,
    RATE_ANNOUNCED,
    INTEREST_PAID,
    ACCRUED,
    RESERVE_RATIO_SET,
    LIABILITIES_REPORTED,
    CREDIT_LINE_SET,
    CREDIT_LINE_CLOSED,
    CREDIT_DRAWN,
    CREDIT_REPAID,
)
