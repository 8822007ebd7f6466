"""The event of an anchored audit log: number 220. Nothing else goes in here."""

from __future__ import annotations

from typing import Final

from state.event_kinds import ACCOUNT, BYTES, NUMBER, TEXT, EventKind

AUDIT_ANCHORED: Final = EventKind(
    220,
    "audit_anchored",
    (("account", ACCOUNT), ("log", TEXT), ("number", NUMBER), ("entries", NUMBER), ("head", BYTES)),
)

AUDIT_EVENTS: Final = (AUDIT_ANCHORED,)
