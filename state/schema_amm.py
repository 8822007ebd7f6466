"""Keys and forms of the records of pools. `state.schema` takes the tables in; no rule about what may be stored goes in here.

A pool is named by its two assets, `A/B`, the smaller code first; there is one pool of two assets. Numbers that may exceed 64 bits are
minimal big-endian bytes.

| letter | key after the letter | record |
|---|---|---|
| l | pool | reserves, shares, fee, accumulated prices: `Pool` |
| l | | until when each function of all pools is switched off: `Switches` |
| I | | number of pools |
| I | number (4, big-endian) | pool, in order of creation |
| i | account address (32), pool | an account's shares of a pool, and what they cost: `Position` |
| K | pool | accounts that may use a pool, sorted, or the name of the domain whose members may; absent: everybody |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgpack
import msgspec

from state.primitives.codec import Value

POOL: Final = ord("l")
POOL_LIST: Final = ord("I")
POSITION: Final = ord("i")
MEMBERS: Final = ord("K")

AMM_LETTERS: Final = frozenset({POOL, POOL_LIST, POSITION, MEMBERS})

POOL_PREFIX: Final = b" l"
SWITCHES_KEY: Final = b" l"
POOL_LIST_KEY: Final = b" I"
SWITCHES_KEY_BYTES: Final = 2

POSITION_ADDRESS: Final = slice(2, 34)
POSITION_POOL_START: Final = 34


class Switches(NamedTuple):
    """Until when (Unix seconds) a function is switched off; zero or past: it is on."""

    trade_s: int
    deposit_s: int
    withdraw_s: int


class Pool(NamedTuple):
    """A pool. An empty one (closed) has no reserves and no shares but the locked ones.

    `k_last` is the product of the reserves after the last deposit or withdrawal while the protocol's fee is on, else zero. `price_a`
    is the price of one unit of a in units of b, in 2^-640 units, times the seconds it held, summed up to `price_s`; `price_b` the
    same of b in a.
    """

    reserve_a: int
    reserve_b: int
    supply: int
    k_last: int
    price_a: int
    price_b: int
    price_s: int
    fee_ppm: int
    is_protocol_on: bool
    switches: Switches
    creator: bytes
    start_height: int


class Position(NamedTuple):
    """Shares of a pool. The rest is for people: what was put in for them, and their part of sqrt(k) then.

    `root` has 64 fractional bits; `moment` is the sum of each part of `root` times the second in which it came, so that
    `moment // root` is when the position began on average.
    """

    shares: int
    basis_a: int
    basis_b: int
    root: int
    moment: int


NO_POSITION: Final = Position(0, 0, 0, 0, 0)
ALL_ON: Final = Switches(0, 0, 0)


def pool_key(pool: str) -> bytes:
    """Key of a pool."""
    return POOL_PREFIX + pool.encode("ascii")


def pool_number_key(number: int) -> bytes:
    """Key of the pool created as number `number`, from 0."""
    return POOL_LIST_KEY + number.to_bytes(4, "big")


def position_key(address: bytes, pool: str) -> bytes:
    """Key of an account's position in a pool."""
    return b" i" + address + pool.encode("ascii")


def members_key(pool: str) -> bytes:
    """Key of a pool's members."""
    return b" K" + pool.encode("ascii")


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)
_POOL_WIDE: Final = 6  # so many wide numbers come first
_SWITCHES_AT: Final = Pool._fields.index("switches")


def _from_bytes(data: Value) -> int:
    if type(data) is not bytes or data[:1] == b"\x00":
        raise ValueError("not minimal big-endian bytes")
    return int.from_bytes(data, "big")


def _to_bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) >> 3, "big")


def _decode_pool(raw: bytes) -> Value:
    values = _unpack(raw)
    if len(values) == len(Switches._fields):
        return Switches(*values)
    values = [*(_from_bytes(value) for value in values[:_POOL_WIDE]), *values[_POOL_WIDE:]]
    values[_SWITCHES_AT] = Switches(*values[_SWITCHES_AT])
    return Pool(*values)


def _encode_pool(record: Value) -> bytes:
    if len(record) == len(Switches._fields):
        return _pack(record)
    return _pack([*(_to_bytes(number) for number in record[:_POOL_WIDE]), *record[_POOL_WIDE:]])


AMM_DECODE: Final[dict[int, Callable[[bytes], Value]]] = {
    POOL: _decode_pool,
    POOL_LIST: _unpack,
    POSITION: lambda raw: Position(*(_from_bytes(value) for value in _unpack(raw))),
    MEMBERS: _unpack,
}
AMM_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {
    POOL: _encode_pool,
    POOL_LIST: _pack,
    POSITION: lambda record: _pack([_to_bytes(number) for number in record]),
    MEMBERS: _pack,
}
