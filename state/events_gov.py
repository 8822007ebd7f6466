"""The kinds of events of governance and of groups: numbers 140 to 159. Nothing else goes in here."""

from __future__ import annotations

from typing import Final

from state.event_kinds import ACCOUNT, AMOUNT, BYTES, NUMBER, TEXT, EventKind

PROPOSAL_CREATED: Final = EventKind(
    140,
    "proposal_created",
    (("proposal", NUMBER), ("proposer", ACCOUNT), ("title", BYTES), ("expedited", NUMBER), ("operations", NUMBER)),
)
PROPOSAL_DEPOSITED: Final = EventKind(
    141, "proposal_deposited", (("proposal", NUMBER), ("account", ACCOUNT), ("amount", AMOUNT))
)
VOTE_BEGAN: Final = EventKind(
    142, "vote_began", (("proposal", NUMBER), ("snapshot_height", NUMBER), ("power", NUMBER), ("until", NUMBER))
)
PROPOSAL_VOTED: Final = EventKind(
    143,
    "proposal_voted",
    (
        ("proposal", NUMBER),
        ("voter", ACCOUNT),
        ("power", NUMBER),
        ("yes_ppm", NUMBER),
        ("no_ppm", NUMBER),
        ("abstain_ppm", NUMBER),
        ("veto_ppm", NUMBER),
    ),
)
PROPOSAL_CLOSED: Final = EventKind(144, "proposal_closed", (("proposal", NUMBER), ("status", TEXT), ("ready", NUMBER)))
PROPOSAL_REFUNDED: Final = EventKind(
    145, "proposal_refunded", (("proposal", NUMBER), ("account", ACCOUNT), ("amount", AMOUNT))
)
DEPOSIT_BURNED: Final = EventKind(146, "deposit_burned", (("proposal", NUMBER), ("amount", AMOUNT)))
PROPOSAL_EXECUTED: Final = EventKind(147, "proposal_executed", (("proposal", NUMBER), ("account", ACCOUNT)))
PROPOSAL_FAILED: Final = EventKind(148, "proposal_failed", (("proposal", NUMBER), ("code", NUMBER), ("operation", NUMBER)))
PARAM_SET: Final = EventKind(149, "param_set", (("group", TEXT), ("key", TEXT), ("value", TEXT)))
ADMITTED: Final = EventKind(150, "admitted", (("kind", TEXT), ("identity", BYTES)))
ADMISSION_REMOVED: Final = EventKind(151, "admission_removed", (("kind", TEXT), ("identity", BYTES)))
UPGRADE_PLANNED: Final = EventKind(
    152, "upgrade_planned", (("version", NUMBER), ("height", NUMBER), ("release", TEXT), ("build_hash", BYTES))
)
RULES_BEGAN: Final = EventKind(153, "rules_began", (("version", NUMBER), ("height", NUMBER)))
BREAKER_SET: Final = EventKind(
    154, "breaker_set", (("module", TEXT), ("function", TEXT), ("until", NUMBER), ("account", ACCOUNT))
)
BREAKER_RESET: Final = EventKind(155, "breaker_reset", (("module", TEXT), ("function", TEXT), ("account", ACCOUNT)))
_TERMS: Final = (("members", NUMBER), ("threshold", NUMBER), ("min_delay_s", NUMBER))
GROUP_SET: Final = EventKind(156, "group_set", (("group", ACCOUNT), ("account", ACCOUNT), *_TERMS))
GROUP_EXECUTED: Final = EventKind(
    157, "group_executed", (("group", ACCOUNT), ("proposal", NUMBER), ("code", NUMBER), ("operation", NUMBER))
)
GROUP_PROPOSED: Final = EventKind(
    158,
    "group_proposed",
    (("group", ACCOUNT), ("proposal", NUMBER), ("member", ACCOUNT), ("title", BYTES), ("operations", NUMBER)),
)
GROUP_APPROVED: Final = EventKind(
    159,
    "group_approved",
    (
        ("group", ACCOUNT),
        ("proposal", NUMBER),
        ("member", ACCOUNT),
        ("on", NUMBER),
        ("weight", NUMBER),
        ("ready", NUMBER),
    ),
)

GOV_EVENTS: Final = (
    PROPOSAL_CREATED,
    PROPOSAL_DEPOSITED,
    VOTE_BEGAN,
    PROPOSAL_VOTED,
    PROPOSAL_CLOSED,
    PROPOSAL_REFUNDED,
    DEPOSIT_BURNED,
    PROPOSAL_EXECUTED,
    PROPOSAL_FAILED,
    PARAM_SET,
    ADMITTED,
    ADMISSION_REMOVED,
    UPGRADE_PLANNED,
    RULES_BEGAN,
    BREAKER_SET,
    BREAKER_RESET,
    GROUP_SET,
    GROUP_EXECUTED,
    GROUP_PROPOSED,
    GROUP_APPROVED,
)
