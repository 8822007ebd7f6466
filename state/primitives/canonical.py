"""The protobuf subset that consensus bytes are made of: varints, sfixed64, length-delimited fields.

Proto3 rules: zero scalars and empty bytes are omitted; non-nullable sub-messages are always written, even when empty.
Message layouts do not belong here; they stand with their types. Source: encoding of CometBFT block protocol 11.
"""

from __future__ import annotations

from state.primitives.errors import MalformedError

NS_PER_S = 1_000_000_000
GO_ZERO_TIME_NS = -62_135_596_800 * NS_PER_S  # Go's zero time, 0001-01-01T00:00:00Z

_VARINT, _FIXED64, _BYTES = 0, 1, 2


def uvarint(number: int) -> bytes:
    """Base-128 varint of a number in [0, 2^64)."""
    if 0 <= number < 0x80:
        return bytes((number,))
    if not 0 <= number < 1 << 64:
        raise MalformedError(f"{number} does not fit an unsigned 64-bit varint")
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(field: int, wire_type: int) -> bytes:
    """Key of a field."""
    return uvarint(field << 3 | wire_type)


def varint_field(field: int, number: int) -> bytes:
    """An int32, int64, uint32, uint64 or enum field; omitted if zero; negative numbers take ten bytes."""
    if number == 0:
        return b""
    if number < 0:
        if number < -(1 << 63):
            raise MalformedError(f"{number} does not fit 64 bits")
        number += 1 << 64
    return tag(field, _VARINT) + uvarint(number)


def sfixed64_field(field: int, number: int) -> bytes:
    """A little-endian signed 64-bit field; omitted if zero."""
    if number == 0:
        return b""
    if not -(1 << 63) <= number < 1 << 63:
        raise MalformedError(f"{number} does not fit 64 bits")
    return tag(field, _FIXED64) + number.to_bytes(8, "little", signed=True)


def bytes_field(field: int, data: bytes) -> bytes:
    """A bytes or string field; omitted if empty."""
    return message_field(field, data) if data else b""


def message_field(field: int, data: bytes) -> bytes:
    """A sub-message (or a repeated bytes element): always written, even when empty."""
    return tag(field, _BYTES) + uvarint(len(data)) + data


def length_delimited(data: bytes) -> bytes:
    """`data` behind its length, as sign bytes are."""
    return uvarint(len(data)) + data


def timestamp(time_ns: int) -> bytes:
    """google.protobuf.Timestamp: 1 seconds, 2 nanos (nanos count forward, also before 1970)."""
    seconds, nanos = divmod(time_ns, NS_PER_S)
    return varint_field(1, seconds) + varint_field(2, nanos)
