"""Keys and forms of what waits for its owner. `state.schema` takes the tables in; no rule about what may be stored goes in here.

| letter | key after the letter | record |
|---|---|---|
| C | owner (32) | numbers given out so far, how many wait |
| C | owner (32), number (8, big-endian) | asset code, amount, code of what kept it from its owner, since when (Unix seconds) |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgpack
import msgspec

from state.primitives.codec import Value, decode_amount, encode_amount

CLAIM: Final = ord("C")
CLAIM_OWNER: Final = slice(2, 34)
CLAIM_LIST_KEY_BYTES: Final = 34


def claims_key(owner: bytes) -> bytes:
    """Key of how many claims an account has."""
    return b" C" + owner


def claim_key(owner: bytes, number: int) -> bytes:
    """Key of one claim."""
    return b" C" + owner + number.to_bytes(8, "big")


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)


def _decode(raw: bytes) -> Value:
    values = _unpack(raw)
    return values if len(values) == 2 else (values[0], decode_amount(values[1]), *values[2:])


def _encode(record: Value) -> bytes:
    return _pack(record if len(record) == 2 else (record[0], encode_amount(record[1]), *record[2:]))


CLAIMS_DECODE: Final[dict[int, Callable[[bytes], Value]]] = {CLAIM: _decode}
CLAIMS_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {CLAIM: _encode}
