"""The kinds of events of credentials, domains, limits, travel rule, recovery and views: numbers 120 to 139. Nothing else goes in here."""

from __future__ import annotations

from typing import Final

from state.event_kinds import ACCOUNT, AMOUNT, BYTES, NUMBER, TEXT, EventKind

CREDENTIAL_ISSUED: Final = EventKind(
    120,
    "credential_issued",
    (
        ("subject", ACCOUNT),
        ("issuer", ACCOUNT),
        ("type", TEXT),
        ("tier", NUMBER),
        ("jurisdiction", TEXT),
        ("expires", NUMBER),
        ("evidence", BYTES),
    ),
)
_CREDENTIAL: Final = (("subject", ACCOUNT), ("issuer", ACCOUNT), ("type", TEXT))
CREDENTIAL_ACCEPTED: Final = EventKind(121, "credential_accepted", _CREDENTIAL)
CREDENTIAL_REVOKED: Final = EventKind(122, "credential_revoked", (*_CREDENTIAL, ("by", ACCOUNT)))
DOMAIN_SET: Final = EventKind(123, "domain_set", (("domain", TEXT), ("owner", ACCOUNT), ("credentials", NUMBER)))
DOMAIN_DELETED: Final = EventKind(124, "domain_deleted", (("domain", TEXT), ("owner", ACCOUNT)))
LIMITS_SET: Final = EventKind(
    125,
    "limits_set",
    (
        ("asset", TEXT),
        ("scope", TEXT),
        ("account", ACCOUNT),
        ("tier", NUMBER),
        ("per_tx", AMOUNT),
        ("window", NUMBER),
        ("in_max", AMOUNT),
        ("out_max", AMOUNT),
        ("max_balance", AMOUNT),
        ("by", ACCOUNT),
    ),
)
LIMITS_CLEARED: Final = EventKind(
    126, "limits_cleared", (("asset", TEXT), ("scope", TEXT), ("account", ACCOUNT), ("tier", NUMBER), ("by", ACCOUNT))
)
JURISDICTIONS_SET: Final = EventKind(
    127, "jurisdictions_set", (("asset", TEXT), ("only", NUMBER), ("jurisdictions", TEXT), ("by", ACCOUNT))
)
TRAVEL_THRESHOLD_SET: Final = EventKind(
    128, "travel_threshold_set", (("asset", TEXT), ("jurisdiction", TEXT), ("amount", AMOUNT), ("by", ACCOUNT))
)
TRAVEL_THRESHOLD_CLEARED: Final = EventKind(
    129, "travel_threshold_cleared", (("asset", TEXT), ("jurisdiction", TEXT), ("by", ACCOUNT))
)
VASP_REGISTERED: Final = EventKind(
    130, "vasp_registered", (("institution", ACCOUNT), ("lei", TEXT), ("keys", NUMBER), ("by", ACCOUNT))
)
HOLDER_RECOVERED: Final = EventKind(
    131, "holder_recovered", (("old", ACCOUNT), ("new", ACCOUNT), ("by", ACCOUNT), ("evidence", BYTES))
)
HOLDING_RECOVERED: Final = EventKind(
    132, "holding_recovered", (("old", ACCOUNT), ("new", ACCOUNT), ("asset", TEXT), ("amount", AMOUNT))
)
_VIEW: Final = (("regulator", ACCOUNT), ("scope", TEXT), ("account", ACCOUNT), ("asset", TEXT))
VIEW_GRANTED: Final = EventKind(133, "view_granted", (*_VIEW, ("until", NUMBER), ("by", ACCOUNT)))
VIEW_REVOKED: Final = EventKind(134, "view_revoked", (*_VIEW, ("by", ACCOUNT)))
POOL_DOMAIN_SET: Final = EventKind(135, "pool_domain_set", (("pool", TEXT), ("account", ACCOUNT), ("domain", TEXT)))
TRAVEL_ATTESTED: Final = EventKind(
    136,
    "travel_attested",
    (
        ("payer", ACCOUNT),
        ("payee", ACCOUNT),
        ("asset", TEXT),
        ("amount", AMOUNT),
        ("originator", TEXT),
        ("beneficiary", TEXT),
        ("payload", BYTES),
    ),
)

KYC_EVENTS: Final = (
    CREDENTIAL_ISSUED,
    CREDENTIAL_ACCEPTED,
    CREDENTIAL_REVOKED,
    DOMAIN_SET,
    DOMAIN_DELETED,
    LIMITS_SET,
    LIMITS_CLEARED,
    JURISDICTIONS_SET,
    TRAVEL_THRESHOLD_SET,
    TRAVEL_THRESHOLD_CLEARED,
    VASP_REGISTERED,
    HOLDER_RECOVERED,
    HOLDING_RECOVERED,
    VIEW_GRANTED,
    VIEW_REVOKED,
    POOL_DOMAIN_SET,
    TRAVEL_ATTESTED,
)
