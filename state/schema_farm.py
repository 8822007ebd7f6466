"""Keys and forms of the records of farms. `state.schema` takes the tables in; no rule about what may be stored goes in here.

A farm has a number, from 0; a position has a number among its owner's. What is staked is an asset, or shares of a pool (`A/B`). Numbers
that may exceed 64 bits are minimal big-endian bytes.

| letter | key after the letter | record |
|---|---|---|
| F | | number of farms |
| F | farm (8, big-endian) | terms and totals: `Farm` |
| F | farm (8, big-endian), asset code | one reward asset of a farm: `Campaign` |
| J | owner (32) | position numbers given out so far, numbers of the open ones, rising |
| J | owner (32), number (8, big-endian) | what the owner has staked, and what he is owed: `FarmPosition` |
| j | farm (8, big-endian), owner (32) | number of positions that the owner has in the farm |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgpack
import msgspec

from state.primitives.codec import Value

FARM: Final = ord("F")
FARM_POSITION: Final = ord("J")
FARM_STAKER: Final = ord("j")

FARM_LETTERS: Final = frozenset({FARM, FARM_POSITION, FARM_STAKER})

FARM_LIST_KEY: Final = b" F"
FARM_KEY_BYTES: Final = 10
FARM_NUMBER: Final = slice(2, 10)
CAMPAIGN_CODE_START: Final = 10
POSITION_OWNER: Final = slice(2, 34)
POSITION_NUMBER_START: Final = 34
POSITION_LIST_KEY_BYTES: Final = 34
STAKER_OWNER_START: Final = 10


class Tier(NamedTuple):
    """For how long a stake is locked, and how much each of its units weighs then."""

    seconds: int
    weight_ppm: int


class Farm(NamedTuple):
    """A farm. `amount` and `weight` are the sums over its positions; `rewards` the asset codes of its campaigns, in order of their funding.

    `domain` is that of who may stake, empty: everybody. `stakers` is the number of accounts with positions, `max_stakers` 0 for no
    bound. Nothing is staked or funded from `end_s` on.
    """

    amount: int
    weight: int
    min_stake: int
    sponsor: bytes
    stake: str
    tiers: tuple[Tier, ...]
    rewards: tuple[str, ...]
    domain: str
    max_stakers: int
    stakers: int
    end_s: int
    start_height: int


class Campaign(NamedTuple):
    """One reward asset of a farm: what came in, what became of it, the schedule that runs, and the accumulator.

    In base units: `funded` came in; `paid` went to stakers, `refunded` to the sponsor; `unallocated` fell to nobody; `budget -
    released` is still to come. `acc` is what one unit of weight has earned, in 2^-640 units, settled up to `settled_s`; `carry` is what
    could not be divided, in the same units.
    """

    funded: int
    paid: int
    refunded: int
    unallocated: int
    budget: int
    released: int
    acc: int
    carry: int
    start_s: int
    end_s: int
    settled_s: int


class Due(NamedTuple):
    """Of one campaign to one position, in 2^-640 units: what was earned up to the last look, and weight times `acc` then."""

    owed: int
    debt: int


class FarmPosition(NamedTuple):
    """A stake. `lot` is what belongs to staked pool shares beside their number (see `state.schema_amm.Position`), else empty.

    `dues` are in the order of the farm's `rewards`; those that were added later than the last look are missing.
    """

    amount: int
    weight: int
    lot: tuple[int, ...]
    dues: tuple[Due, ...]
    farm: int
    tier: int
    start_s: int
    locked_s: int  # until then it cannot be taken out, nor what it has earned


NO_DUE: Final = Due(0, 0)


def farm_key(farm: int) -> bytes:
    """Key of a farm."""
    return b" F" + farm.to_bytes(8, "big")


def campaign_key(farm: int, code: str) -> bytes:
    """Key of a farm's campaign in one reward asset."""
    return b" F" + farm.to_bytes(8, "big") + code.encode("ascii")


def farm_positions_key(owner: bytes) -> bytes:
    """Key of the list of an account's positions in farms."""
    return b" J" + owner


def farm_position_key(owner: bytes, number: int) -> bytes:
    """Key of one position."""
    return b" J" + owner + number.to_bytes(8, "big")


def staker_key(farm: int, owner: bytes) -> bytes:
    """Key of how many positions an account has in a farm."""
    return b" j" + farm.to_bytes(8, "big") + owner


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)
_FARM_WIDE: Final = 3  # so many wide numbers come first
_CAMPAIGN_WIDE: Final = 8
_STAKE_AT: Final = Farm._fields.index("stake")
_TIERS_AT: Final = Farm._fields.index("tiers")


def _from_bytes(data: Value) -> int:
    if type(data) is not bytes or data[:1] == b"\x00":
        raise ValueError("not minimal big-endian bytes")
    return int.from_bytes(data, "big")


def _to_bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) >> 3, "big")


def _decode_farm(raw: bytes) -> Value:
    values = _unpack(raw)
    if len(values) == 1:
        return values
    if type(values[_STAKE_AT]) is str:  # of a campaign it is an amount
        values = [*(_from_bytes(value) for value in values[:_FARM_WIDE]), *values[_FARM_WIDE:]]
        values[_TIERS_AT] = tuple(Tier(*tier) for tier in values[_TIERS_AT])
        return Farm(*values)
    return Campaign(*(_from_bytes(value) for value in values[:_CAMPAIGN_WIDE]), *values[_CAMPAIGN_WIDE:])


def _encode_farm(record: Value) -> bytes:
    if len(record) == 1:
        return _pack(record)
    wide = _FARM_WIDE if type(record) is Farm else _CAMPAIGN_WIDE
    return _pack([*(_to_bytes(number) for number in record[:wide]), *record[wide:]])


def _decode_position(raw: bytes) -> Value:
    values = _unpack(raw)
    if len(values) == 2:
        return values
    amount, weight, lot, dues, *rest = values
    return FarmPosition(
        _from_bytes(amount),
        _from_bytes(weight),
        tuple(_from_bytes(value) for value in lot),
        tuple(Due(_from_bytes(owed), _from_bytes(debt)) for owed, debt in dues),
        *rest,
    )


def _encode_position(record: Value) -> bytes:
    if len(record) == 2:
        return _pack(record)
    amount, weight, lot, dues, *rest = record
    return _pack(
        [
            _to_bytes(amount),
            _to_bytes(weight),
            [_to_bytes(value) for value in lot],
            [[_to_bytes(owed), _to_bytes(debt)] for owed, debt in dues],
            *rest,
        ]
    )


FARM_DECODE: Final[dict[int, Callable[[bytes], Value]]] = {
    FARM: _decode_farm,
    FARM_POSITION: _decode_position,
    FARM_STAKER: _unpack,
}
FARM_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {
    FARM: _encode_farm,
    FARM_POSITION: _encode_position,
    FARM_STAKER: _pack,
}
