"""Events of the issuer's and the authority's powers: rows of the event table, taken in by `state.receipts`. Nothing else goes in here.

Every act upon somebody else says by whom, why and on what legal ground.
"""

from __future__ import annotations

from typing import Final

from state.event_kinds import ACCOUNT, AMOUNT, BYTES, NUMBER, TEXT, EventKind

_GROUND: Final = (("by", ACCOUNT), ("reason", TEXT), ("legal_ref", TEXT))
_WHAT: Final = (("scope", TEXT), ("account", ACCOUNT), ("asset", TEXT))

ROLE_SET: Final = EventKind(
    15,
    "role_set",
    (("asset", TEXT), ("issuer", ACCOUNT), ("role", TEXT), ("account", ACCOUNT), ("allowance", AMOUNT)),
)
FLAG_RENOUNCED: Final = EventKind(16, "flag_renounced", (("asset", TEXT), ("issuer", ACCOUNT), ("flag", TEXT)))
ASSET_ACCEPTED: Final = EventKind(17, "asset_accepted", (("asset", TEXT), ("account", ACCOUNT), ("on", NUMBER)))
METADATA_SET: Final = EventKind(18, "metadata_set", (("asset", TEXT), ("account", ACCOUNT), ("metadata_hash", BYTES)))
CLAWED_BACK: Final = EventKind(
    19,
    "clawback",
    (("asset", TEXT), ("holder", ACCOUNT), ("amount", AMOUNT), ("still_held", AMOUNT), *_GROUND),
)
FORCED_TRANSFER: Final = EventKind(
    20,
    "forced_transfer",
    (("asset", TEXT), ("holder", ACCOUNT), ("recipient", ACCOUNT), ("amount", AMOUNT), *_GROUND),
)
ASSET_DESTROYED: Final = EventKind(21, "asset_destroyed", (("asset", TEXT), ("issuer", ACCOUNT)))
FROZEN: Final = EventKind(22, "frozen", (*_WHAT, ("level", NUMBER), *_GROUND, ("until", NUMBER)))
UNFROZEN: Final = EventKind(23, "unfrozen", (*_WHAT, *_GROUND))
FREEZE_ENDED: Final = EventKind(24, "freeze_ended", _WHAT)
SANCTIONED: Final = EventKind(25, "sanctioned", (("account", ACCOUNT), ("list", TEXT), *_GROUND))
UNSANCTIONED: Final = EventKind(26, "unsanctioned", (("account", ACCOUNT), ("list", TEXT), *_GROUND))
AUTHORISED: Final = EventKind(27, "authorised", (("asset", TEXT), ("account", ACCOUNT), ("state", TEXT), *_GROUND))
AUTHORITIES_SET: Final = EventKind(28, "authorities_set", (("authorities", NUMBER), ("separate_release", NUMBER)))
RECALLED: Final = EventKind(
    29,
    "recalled",
    (("asset", TEXT), ("holder", ACCOUNT), ("place", TEXT), ("amount", AMOUNT), *_GROUND),
)
CLAIM_CLAWED_BACK: Final = EventKind(
    30,
    "claim_clawback",
    (("asset", TEXT), ("owner", ACCOUNT), ("claim", NUMBER), ("amount", AMOUNT), *_GROUND),
)

ASSET_EVENTS: Final = (
    ROLE_SET,
    FLAG_RENOUNCED,
    ASSET_ACCEPTED,
    METADATA_SET,
    CLAWED_BACK,
    FORCED_TRANSFER,
    ASSET_DESTROYED,
    FROZEN,
    UNFROZEN,
    FREEZE_ENDED,
    SANCTIONED,
    UNSANCTIONED,
    AUTHORISED,
    AUTHORITIES_SET,
    RECALLED,
    CLAIM_CLAWED_BACK,
)
