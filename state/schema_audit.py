"""Keys and forms of anchors of audit logs. `state.schema` takes the tables in; no rule about what may be stored goes in here.

Every anchor stays, so that one of a year ago can be read and proved however many blocks a node keeps. The name of a log has printable
characters only, so the zero byte after it cannot be part of it. In front of the values stands a number that tells the kind of record.

| digit | key after the digit | record |
|---|---|---|
| 0 | account (32) | names of the logs that it has anchored, in order of their first anchor |
| 0 | account (32), name | `AnchoredLog` |
| 0 | account (32), name, 0, number (8, big-endian) | `Anchor` |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgpack
import msgspec

from state.primitives.codec import Value

ANCHOR: Final = ord("0")
ANCHOR_ACCOUNT: Final = slice(2, 34)
ANCHOR_LIST_KEY_BYTES: Final = 34
_SEPARATOR: Final = b"\x00"


class AnchoredLog(NamedTuple):
    """How many anchors a log has, and how many entries it had at the last one."""

    anchors: int
    entries: int


class Anchor(NamedTuple):
    """That a log had so many entries and this hash of the last one, by the block at `height` and `time_s` at the latest."""

    entries: int
    head: bytes
    height: int
    time_s: int


def anchors_key(account: bytes) -> bytes:
    """Key of the names of an account's logs."""
    return b" 0" + account


def anchored_log_key(account: bytes, log: str) -> bytes:
    """Key of how far a log is anchored."""
    return b" 0" + account + log.encode("ascii")


def anchor_key(account: bytes, log: str, number: int) -> bytes:
    """Key of one anchor, numbered from 0."""
    return anchored_log_key(account, log) + _SEPARATOR + number.to_bytes(8, "big")


def split_anchor_key(key: bytes) -> tuple[str, int | None]:
    """(log, number) that a key of a log or of an anchor names; no number in the first case."""
    log, separator, number = key[ANCHOR_LIST_KEY_BYTES:].partition(_SEPARATOR)
    return log.decode("ascii"), int.from_bytes(number, "big") if separator else None


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)
_PLAIN: Final = 0
_KINDS: Final[dict[int, Callable[..., Value]]] = {1: AnchoredLog, 2: Anchor}
_TAGS: Final[dict[object, int]] = {kind: tag for tag, kind in _KINDS.items()}


def _decode(raw: bytes) -> Value:
    tag, *values = _unpack(raw)
    return tuple(values) if tag == _PLAIN else _KINDS[tag](*values)


def _encode(record: Value) -> bytes:
    return _pack((_TAGS.get(type(record), _PLAIN), *record))


AUDIT_DECODE: Final[dict[int, Callable[[bytes], Value]]] = {ANCHOR: _decode}
AUDIT_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {ANCHOR: _encode}
