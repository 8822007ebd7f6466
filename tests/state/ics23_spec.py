"""A verifier of ICS-23 proofs under `tendermintSpec`, written from the specification alone. It shares no code with the product."""

from __future__ import annotations

import hashlib
from typing import Any

Message = dict[int, list[Any]]


def parse(data: bytes) -> Message:
    """A protobuf message: field number to values (int for varints, bytes for the rest)."""
    out: Message = {}
    place = 0

    def varint() -> int:
        nonlocal place
        result = shift = 0
        while True:
            byte = data[place]
            place += 1
            result |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return result
            if shift > 63:
                raise ValueError("varint too long")

    while place < len(data):
        tag = varint()
        if tag % 8 == 0:
            out.setdefault(tag // 8, []).append(varint())
        elif tag % 8 == 2:
            size = varint()
            if place + size > len(data):
                raise ValueError("cut off")
            out.setdefault(tag // 8, []).append(data[place : place + size])
            place += size
        else:
            raise ValueError("wire type")
    return out


def one(message: Message, number: int, default: Any) -> Any:
    values = message.get(number, [default])
    return values[-1]


def length_prefixed(data: bytes) -> bytes:
    size, out = len(data), bytearray()
    while size >= 128:
        out.append(size % 128 + 128)
        size //= 128
    out.append(size)
    return bytes(out) + data


def existence_root(data: bytes) -> tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]]]:
    """(key, value, computed root, inner (prefix, suffix) from the leaf up)."""
    proof = parse(data)
    key, value = one(proof, 1, b""), one(proof, 2, b"")
    leaf = parse(one(proof, 3, b""))
    assert one(leaf, 1, 0) == 1, "leaf hash must be SHA256"
    assert one(leaf, 2, 0) == 0, "key must not be hashed again"
    assert one(leaf, 3, 0) == 1, "value must be hashed"
    assert one(leaf, 4, 0) == 1, "lengths must be varints"
    assert one(leaf, 5, b"") == b"\x00", "leaf prefix"
    assert key and value
    node = hashlib.sha256(b"\x00" + length_prefixed(key) + length_prefixed(hashlib.sha256(value).digest())).digest()
    inner: list[tuple[bytes, bytes]] = []
    for item in proof.get(4, []):
        step = parse(item)
        prefix, suffix = one(step, 2, b""), one(step, 3, b"")
        assert one(step, 1, 0) == 1
        assert not prefix.startswith(b"\x00")
        assert 1 <= len(prefix) <= 33
        assert len(suffix) % 32 == 0
        node = hashlib.sha256(prefix + node + suffix).digest()
        inner.append((prefix, suffix))
    return key, value, node, inner


def is_left_most(steps: list[tuple[bytes, bytes]]) -> bool:
    return all(len(prefix) == 1 and len(suffix) == 32 for prefix, suffix in steps)


def is_right_most(steps: list[tuple[bytes, bytes]]) -> bool:
    return all(len(prefix) == 33 and len(suffix) == 0 for prefix, suffix in steps)


def verify_membership(root: bytes, kh: bytes, value: bytes, proof: bytes) -> bool:
    try:
        found_key, found_value, computed, _ = existence_root(parse(proof)[1][0])
    except (ValueError, KeyError, IndexError, AssertionError, TypeError):
        return False
    return (found_key, found_value, computed) == (kh, value, root)


def verify_non_membership(root: bytes, kh: bytes, proof: bytes) -> bool:
    try:
        message = parse(parse(proof)[2][0])
        if one(message, 1, b"") != kh:
            return False
        left = existence_root(message[2][0]) if 2 in message else None
        right = existence_root(message[3][0]) if 3 in message else None
    except (ValueError, KeyError, IndexError, AssertionError, TypeError):
        return False
    if left is None and right is None:
        return False
    if left is not None and (left[2] != root or not left[0] < kh):
        return False
    if right is not None and (right[2] != root or not kh < right[0]):
        return False
    if left is None:
        assert right is not None
        return is_left_most(right[3])
    if right is None:
        return is_right_most(left[3])
    a, b = list(left[3]), list(right[3])
    while a and b and a[-1] == b[-1]:
        a.pop()
        b.pop()
    if not a or not b:
        return False
    top_left, top_right = a.pop(), b.pop()
    # the left path turns left here and the right path right, at the same branching point
    if not (is_left_most([top_left]) and is_right_most([top_right])):
        return False
    return is_right_most(a) and is_left_most(b)
