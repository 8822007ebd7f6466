"""Events of accounts: their keys, what they let others do, their end. See `state.event_kinds`."""

from __future__ import annotations

from typing import Final

from state.event_kinds import ACCOUNT, AMOUNT, NUMBER, TEXT, EventKind

KEYS_PROPOSED: Final = EventKind(
    3, "keys_proposed", (("account", ACCOUNT), ("change", NUMBER), ("recovery", NUMBER), ("ready", NUMBER), ("until", NUMBER))
)
KEYS_VETOED: Final = EventKind(4, "keys_vetoed", (("account", ACCOUNT), ("change", NUMBER)))
KEYS_RECOVERED: Final = EventKind(5, "keys_recovered", (("account", ACCOUNT), ("change", NUMBER)))
KEY_REVOKED: Final = EventKind(6, "key_revoked", (("account", ACCOUNT), ("key_id", NUMBER)))
KEYS_LAPSED: Final = EventKind(7, "keys_lapsed", (("account", ACCOUNT), ("change", NUMBER)))
ACCOUNT_CLOSED: Final = EventKind(8, "account_closed", (("account", ACCOUNT), ("beneficiary", ACCOUNT), ("assets", NUMBER)))
ALLOWLIST_SET: Final = EventKind(
    9, "allowlist_set", (("account", ACCOUNT), ("counterparties", NUMBER), ("cosigner", ACCOUNT))
)
POLICY_SET: Final = EventKind(
    200,
    "account_policy_set",
    (
        ("account", ACCOUNT),
        ("rotation_delay", NUMBER),
        ("recovery_delay", NUMBER),
        ("recovery_weight", NUMBER),
        ("dual_from", NUMBER),
    ),
)
SESSION_GRANTED: Final = EventKind(201, "session_granted", (("account", ACCOUNT), ("key_id", NUMBER), ("until", NUMBER)))
DELEGATION_GRANTED: Final = EventKind(
    202, "delegation_granted", (("account", ACCOUNT), ("delegate", ACCOUNT), ("until", NUMBER))
)
SPONSORSHIP_GRANTED: Final = EventKind(
    203, "sponsorship_granted", (("account", ACCOUNT), ("who", ACCOUNT), ("limit", AMOUNT), ("until", NUMBER))
)
SESSION_ENDED: Final = EventKind(204, "session_ended", (("account", ACCOUNT), ("key_id", NUMBER), ("reason", TEXT)))
DELEGATION_ENDED: Final = EventKind(
    205, "delegation_ended", (("account", ACCOUNT), ("delegate", ACCOUNT), ("reason", TEXT))
)
SPONSORSHIP_ENDED: Final = EventKind(
    206, "sponsorship_ended", (("account", ACCOUNT), ("who", ACCOUNT), ("reason", TEXT))
)

ACCOUNT_EVENTS: Final = (
    KEYS_PROPOSED,
    KEYS_VETOED,
    KEYS_RECOVERED,
    KEY_REVOKED,
    KEYS_LAPSED,
    ACCOUNT_CLOSED,
    ALLOWLIST_SET,
    POLICY_SET,
    SESSION_GRANTED,
    DELEGATION_GRANTED,
    SPONSORSHIP_GRANTED,
    SESSION_ENDED,
    DELEGATION_ENDED,
    SPONSORSHIP_ENDED,
)
