"""Keys and forms of what is promised and not yet done: holds, escrows, settlements, offers. No rule about what may be stored goes in here.

A record is named by 20 bytes that follow from who made it and his reference (`state.modules.pending.compute_id`). What is settled leaves a
small record, `Settled`, for a bounded time. Each account has a list of what is open and concerns it, newest first.

| letter | key after the letter | record |
|---|---|---|
| H | id (20) | `Hold` or `Settled` |
| E | id (20) | `Escrow` or `Settled` |
| S | id (20) | `Settlement` or `Settled` |
| Y | id (20) | `Offer` or `Settled` |
| Y | account (32) | first of its list (letter and id), how many it has |
| Y | account (32), letter, id (20) | the one before and the one after in the account's list; empty at its ends |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgpack
import msgspec

from state.primitives.codec import Value, decode_amount, encode_amount

HOLD: Final = ord("H")
ESCROW: Final = ord("E")
SETTLEMENT: Final = ord("S")
OFFER: Final = ord("Y")
PENDING_LIST: Final = ord("Y")

PENDING_LETTERS: Final = frozenset({HOLD, ESCROW, SETTLEMENT, OFFER})
PENDING_KEY_BYTES: Final = 22
LIST_KEY_BYTES: Final = 34
LIST_ACCOUNT: Final = slice(2, 34)


class Hold(NamedTuple):
    """An amount of the owner's holding that the beneficiary, or the agent for him, may post until it expires. Times in Unix seconds."""

    owner: bytes
    beneficiary: bytes
    agent: bytes  # empty: none
    asset: str
    amount: int
    expires_s: int
    ref: bytes


class Escrow(NamedTuple):
    """An amount that the recipient gets from `finish_after_s` on, against the secret if there is a hash; else it goes back."""

    owner: bytes
    recipient: bytes
    asset: str
    amount: int
    finish_after_s: int
    cancel_after_s: int
    hash: bytes  # SHA-256 of the secret; empty: none
    ref: bytes


class Leg(NamedTuple):
    """One payment of a settlement."""

    sender: bytes
    recipient: bytes
    asset: str
    amount: int


class Settlement(NamedTuple):
    """Payments that are made all at once or not at all. Bit i of `allocated`: the sender of leg i has set its amount aside."""

    creator: bytes
    agent: bytes  # the only one who may execute it; empty: anybody
    legs: tuple[Leg, ...]
    deadline_s: int
    allocated: int
    ref: bytes


class Offer(NamedTuple):
    """What its owner gives (held) for what he wants of one other account. One of the two may be nothing: no asset, amount zero."""

    owner: bytes
    recipient: bytes
    give_asset: str
    give_amount: int
    want_asset: str
    want_amount: int
    expires_s: int
    ref: bytes


class Settled(NamedTuple):
    """What is left of a record: the code that answers whoever asks again, what was paid of it, and when it is forgotten (Unix seconds)."""

    code: int
    amount: int
    until_s: int


Pending = Hold | Escrow | Settlement | Offer


def pending_key(letter: int, pending_id: bytes) -> bytes:
    """Key of a hold, an escrow, a settlement or an offer."""
    return bytes((32, letter)) + pending_id


def list_key(account: bytes) -> bytes:
    """Key of the list of what is open and concerns an account."""
    return b" Y" + account


def list_entry_key(account: bytes, name: bytes) -> bytes:
    """Key of an entry of an account's list; `name` is letter and id."""
    return b" Y" + account + name


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)
_SETTLED_FIELDS: Final = len(Settled._fields)


def _codec(
    make: Callable[..., Value], amounts: tuple[int, ...]
) -> tuple[Callable[[bytes], Value], Callable[[Value], bytes]]:
    """Decoder and encoder of a record, its wide numbers at `amounts`, or of what is left of it."""

    def decode(raw: bytes) -> Value:
        values = list(_unpack(raw))
        if len(values) == _SETTLED_FIELDS:
            return Settled(values[0], decode_amount(values[1]), values[2])
        for position in amounts:
            values[position] = decode_amount(values[position])
        return make(*values)

    def encode(record: Value) -> bytes:
        if type(record) is Settled:
            return _pack((record.code, encode_amount(record.amount), record.until_s))
        values = list(record)
        for position in amounts:
            values[position] = encode_amount(values[position])
        return _pack(values)

    return decode, encode


_hold: Final = _codec(Hold, (4,))
_escrow: Final = _codec(Escrow, (3,))
_offer: Final = _codec(Offer, (3, 5))
_settlement: Final = _codec(Settlement, ())
_LEGS_AT: Final = Settlement._fields.index("legs")
_ENTRY_FIELDS: Final = 2


def _decode_settlement(raw: bytes) -> Value:
    record = _settlement[0](raw)
    if type(record) is Settled:
        return record
    legs = tuple(Leg(sender, to, asset, decode_amount(amount)) for sender, to, asset, amount in record[_LEGS_AT])
    return record._replace(legs=legs)


def _encode_settlement(record: Value) -> bytes:
    if type(record) is Settled:
        return _settlement[1](record)
    legs = tuple((leg.sender, leg.recipient, leg.asset, encode_amount(leg.amount)) for leg in record.legs)
    return _pack([*record[:_LEGS_AT], legs, *record[_LEGS_AT + 1 :]])


def _decode_offer(raw: bytes) -> Value:
    values = _unpack(raw)
    return values if len(values) == _ENTRY_FIELDS else _offer[0](raw)


def _encode_offer(record: Value) -> bytes:
    return _pack(record) if len(record) == _ENTRY_FIELDS else _offer[1](record)


PENDING_DECODE: Final[dict[int, Callable[[bytes], Value]]] = {
    HOLD: _hold[0],
    ESCROW: _escrow[0],
    SETTLEMENT: _decode_settlement,
    OFFER: _decode_offer,
}
PENDING_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {
    HOLD: _hold[1],
    ESCROW: _escrow[1],
    SETTLEMENT: _encode_settlement,
    OFFER: _encode_offer,
}
