"""Keys and forms of freezes, sanctions and the roles of assets. `state.schema` takes the tables in; no rule goes in here.

| letter | key after the letter | record |
|---|---|---|
| M | | how many freezes, sanctions, pauses and assets with required authorisation there are; absent: nobody is restricted |
| M | a, account address (32) | freeze of an account: level, by whom (32), reason, legal reference, since, until (Unix seconds; 0: no end) |
| M | h, account address (32), asset code | freeze of a holding, the same |
| M | p, asset code | pause of an asset, the same |
| M | s, account address (32) | sanction: list, by whom (32), reason, legal reference, since |
| M | r, asset code | roles: freezer, unfreezer, clawback, compliance, metadata (32 or empty each) |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgpack
import msgspec

from state.primitives.codec import Value

FREEZES: Final = ord("M")
MARKED_KEY: Final = b" M"
OF_ACCOUNT: Final = ord("a")
OF_HOLDING: Final = ord("h")
OF_ASSET: Final = ord("p")
OF_SANCTION: Final = ord("s")
OF_ROLES: Final = ord("r")
SUBJECT_START: Final = 3  # where address or asset code begin
SUBJECT_CODE_START: Final = 35  # of a holding

LEVEL_DEBIT: Final = 1  # receives, does not pay
LEVEL_DEEP: Final = 2  # neither


class Freeze(NamedTuple):
    """A freeze or a pause; times in Unix seconds, `until_s` 0 means no end."""

    level: int
    by: bytes
    reason: str
    legal_ref: str
    since_s: int
    until_s: int

    def is_over(self, time_s: int) -> bool:
        """Whether its time is over, swept already or not."""
        return 0 < self.until_s <= time_s


class Sanction(NamedTuple):
    """Why an account may do nothing at all."""

    list_id: str
    by: bytes
    reason: str
    legal_ref: str
    since_s: int


class Roles(NamedTuple):
    """Who may use the issuer's powers; empty: nobody."""

    freezer: bytes = b""
    unfreezer: bytes = b""
    clawback: bytes = b""
    compliance: bytes = b""
    metadata: bytes = b""


NO_ROLES: Final = Roles()


def account_freeze_key(address: bytes) -> bytes:
    """Key of the freeze of an account."""
    return b" Ma" + address


def holding_freeze_key(address: bytes, code: bytes) -> bytes:
    """Key of the freeze of a holding."""
    return b" Mh" + address + code


def pause_key(code: bytes) -> bytes:
    """Key of the pause of an asset."""
    return b" Mp" + code


def sanction_key(address: bytes) -> bytes:
    """Key of the sanction of an account."""
    return b" Ms" + address


def roles_key(code: bytes) -> bytes:
    """Key of the roles of an asset."""
    return b" Mr" + code


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)


def _decode(raw: bytes) -> Value:
    values = _unpack(raw)
    if len(values) == 1:
        return values
    if len(values) == len(Freeze._fields):
        return Freeze(*values)
    return Sanction(*values) if type(values[0]) is str else Roles(*values)


FREEZES_DECODE: Final[dict[int, Callable[[bytes], Value]]] = {FREEZES: _decode}
FREEZES_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {FREEZES: _pack}
