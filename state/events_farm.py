"""Events of farms; rows of the event table of `state.receipts`. Amounts of pool shares are amounts too."""

from __future__ import annotations

from typing import Final

from state.event_kinds import ACCOUNT, AMOUNT, NUMBER, TEXT, EventKind

FARM_CREATED: Final = EventKind(
    160,
    "farm_created",
    (
        ("farm", NUMBER),
        ("sponsor", ACCOUNT),
        ("stake", TEXT),
        ("tiers", NUMBER),
        ("max_stakers", NUMBER),
        ("min_stake", AMOUNT),
    ),
)
FARM_FUNDED: Final = EventKind(
    161,
    "farm_funded",
    (
        ("farm", NUMBER),
        ("sponsor", ACCOUNT),
        ("reward", TEXT),
        ("amount", AMOUNT),
        ("budget", AMOUNT),
        ("start", NUMBER),
        ("end", NUMBER),
    ),
)
FARM_STAKED: Final = EventKind(
    162,
    "farm_staked",
    (
        ("farm", NUMBER),
        ("account", ACCOUNT),
        ("position", NUMBER),
        ("stake", TEXT),
        ("amount", AMOUNT),
        ("tier", NUMBER),
        ("locked_until", NUMBER),
    ),
)
_BACK: Final = (
    ("farm", NUMBER),
    ("account", ACCOUNT),
    ("position", NUMBER),
    ("stake", TEXT),
    ("amount", AMOUNT),
)
FARM_UNSTAKED: Final = EventKind(163, "farm_unstaked", _BACK)
FARM_CLAIMED: Final = EventKind(
    164,
    "farm_claimed",
    (("farm", NUMBER), ("account", ACCOUNT), ("position", NUMBER), ("reward", TEXT), ("amount", AMOUNT)),
)
FARM_EMERGENCY: Final = EventKind(165, "farm_emergency_exit", _BACK)
FARM_FORFEITED: Final = EventKind(
    166,
    "farm_forfeited",
    (("farm", NUMBER), ("account", ACCOUNT), ("position", NUMBER), ("reward", TEXT), ("amount", AMOUNT)),
)
FARM_REFUNDED: Final = EventKind(
    167, "farm_refunded", (("farm", NUMBER), ("sponsor", ACCOUNT), ("reward", TEXT), ("amount", AMOUNT))
)

FARM_EVENTS: Final = (
    FARM_CREATED,
    FARM_FUNDED,
    FARM_STAKED,
    FARM_UNSTAKED,
    FARM_CLAIMED,
    FARM_EMERGENCY,
    FARM_FORFEITED,
    FARM_REFUNDED,
)
