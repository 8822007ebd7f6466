"""Bits in the records of accounts, assets and holdings, so that one look tells whether any rule beyond the plain ones concerns them.

A record whose marks are zero takes the short way through `state.modules.gate` and `state.admission`; a bit says that a further
record or rule has to be asked. No rule goes in here. Source: ledger rules, section 1.5.
"""

from __future__ import annotations

from typing import Final

# of an account
DEBIT_FROZEN: Final = 1  # receives, does not pay
DEEP_FROZEN: Final = 2  # receives nothing, pays to the issuer only
SANCTIONED: Final = 4  # nothing at all, fees included
CLOSED: Final = 8  # for ever
LIMITED: Final = 16  # velocity or balance limits of its own
ALLOW_LISTED: Final = 32  # pays only to those on its list
GOVERNED_KEYS: Final = 64  # classes, times or a waiting change of its keys: `account policy`
DELEGATING: Final = 128  # has given session keys or delegations: `account grants`
UNFREEZABLE: Final = 256  # a root account: never frozen, never sanctioned
STATUTORY_ONLY: Final = 512  # a regulator: acts by statutory operations only, and on its own keys

FREEZE_MARKS: Final = DEBIT_FROZEN | DEEP_FROZEN

# of an asset
PAUSED: Final = 1  # nothing moves
GUARDED: Final = 2  # holders need an authorisation or must accept, or the asset has limits: ask the holding's own marks
TRAVEL_RULE: Final = 4  # payments above a threshold carry travel data
DESTROYED: Final = 8  # for ever: the code is never used again

# of a holding
HOLDING_FROZEN: Final = 1
HOLDING_DEEP_FROZEN: Final = 2
HOLDING_FREEZE_MARKS: Final = HOLDING_FROZEN | HOLDING_DEEP_FROZEN
AUTHORISED: Final = 4  # by the issuer, where the asset requires it
MAINTAINED: Final = 8  # no new value, but what is under way may end
ACCEPTED: Final = 16  # by the holder, where the asset requires it
HOLDING_LIMITED: Final = 32  # limits of this holding
OVERDRAWN: Final = 64  # has a credit line: `state.modules.treasury_moves` is asked when it runs short
RESERVE: Final = 128  # of a dealer of the asset's central bank: interest and the reserve requirement follow it
TREASURY_MARKS: Final = OVERDRAWN | RESERVE

ACCOUNT_MARKS: Final = {
    "debit_frozen": DEBIT_FROZEN,
    "deep_frozen": DEEP_FROZEN,
    "sanctioned": SANCTIONED,
    "closed": CLOSED,
    "limited": LIMITED,
    "allow_listed": ALLOW_LISTED,
    "governed_keys": GOVERNED_KEYS,
    "delegating": DELEGATING,
    "unfreezable": UNFREEZABLE,
    "statutory_only": STATUTORY_ONLY,
}
ASSET_MARKS: Final = {"paused": PAUSED, "guarded": GUARDED, "travel_rule": TRAVEL_RULE, "destroyed": DESTROYED}
HOLDING_MARKS: Final = {
    "frozen": HOLDING_FROZEN,
    "deep_frozen": HOLDING_DEEP_FROZEN,
    "authorised": AUTHORISED,
    "maintained": MAINTAINED,
    "accepted": ACCEPTED,
    "limited": HOLDING_LIMITED,
    "credit_line": OVERDRAWN,
    "reserve": RESERVE,
}


def show_marks(names: dict[str, int], marks: int) -> list[str]:
    """The names of the bits that are set, in the order of their table."""
    return [name for name, bit in names.items() if marks & bit]
