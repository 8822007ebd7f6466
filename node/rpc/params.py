"""Parameters of a call: which there are, of which type, and how they are written in POST and in a URI.

POST: integers as strings or numbers, bytes as base64 (`abci_query`'s data as hex). URI: integers bare or quoted, texts quoted as in JSON,
bare, or as 0xHEX of their UTF-8, bytes as 0xHEX or as a quoted string of text, lists as in POST. Anything unknown or of a wrong type is
refused by name. No method is known here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import msgspec

from node.rpc.errors import RpcError, invalid_params

_INT_TEXT_MAX: Final = 20


class Kind(Enum):
    """Types of parameters."""

    INT = "an integer"
    BOOL = "true or false"
    TEXT = "a string"
    BYTES = "base64 (in a URI: 0x and hex)"
    HEX = "hex (in a URI: 0x and hex)"
    BYTES_LIST = "a list of base64 strings"


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter; `default` is what a missing one means, `...` makes it required."""

    name: str
    kind: Kind
    default: Any = ...


def read_params(rows: tuple[Param, ...], given: Any, *, is_uri: bool) -> dict[str, Any]:
    """Typed arguments by name. `given` is an object, a list in order, or nothing. Raises `RpcError`."""
    if given is None:
        given = {}
    if isinstance(given, list):
        if len(given) > len(rows):
            raise invalid_params(f"at most {len(rows)} parameters are expected")
        given = {row.name: value for row, value in zip(rows, given, strict=False)}
    if not isinstance(given, Mapping):
        raise invalid_params("params is an object or a list")
    known = {row.name for row in rows}
    for name in given:
        if name not in known:
            raise invalid_params(f"unknown parameter {name!r}; known: {', '.join(sorted(known)) or 'none'}")
    out: dict[str, Any] = {}
    for row in rows:
        value = given.get(row.name)
        if value is None or (is_uri and value == ""):
            if row.default is ...:
                raise invalid_params(f"parameter {row.name} is missing; it is {row.kind.value}")
            out[row.name] = row.default
        else:
            out[row.name] = _read(row, value, is_uri=is_uri)
    return out


def _read(row: Param, value: Any, *, is_uri: bool) -> Any:
    try:
        if is_uri:
            return _read_uri(row.kind, value)
        return _read_post(row.kind, value)
    except (ValueError, binascii.Error):
        raise _wrong(row) from None


def _read_post(kind: Kind, value: Any) -> Any:
    if kind is Kind.INT:
        return _read_int(value)
    if kind is Kind.BOOL and isinstance(value, bool):
        return value
    if kind is Kind.BYTES_LIST and isinstance(value, list):
        return [_read_post(Kind.BYTES, item) for item in value]
    if not isinstance(value, str):
        raise ValueError
    if kind is Kind.TEXT:
        return value
    if kind is Kind.BYTES:
        return base64.b64decode(value, validate=True)
    if kind is Kind.HEX:
        return bytes.fromhex(value)
    raise ValueError


def _read_uri(kind: Kind, value: str) -> Any:
    is_quoted = len(value) >= 2 and value[0] == value[-1] == '"'
    text = _unquote(value) if is_quoted else value
    is_hex = value[:2] in ("0x", "0X")
    if kind is Kind.INT:
        return _read_int(text)
    if kind is Kind.BOOL and value in ("true", "false"):
        return value == "true"
    if kind is Kind.TEXT:
        return bytes.fromhex(value[2:]).decode() if is_hex else text
    if kind is Kind.BYTES_LIST:
        return _read_post(kind, _decode_json(value))
    if kind in (Kind.BYTES, Kind.HEX):
        if is_hex:
            return bytes.fromhex(value[2:])
        if is_quoted:
            return text.encode()
    raise ValueError


def _unquote(value: str) -> str:
    text = _decode_json(value)
    if not isinstance(text, str):
        raise ValueError
    return text


def _decode_json(value: str) -> Any:
    try:
        return msgspec.json.decode(value.encode())
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError from error


def _read_int(value: Any) -> int:
    if type(value) is int and abs(value) < 1 << 63:
        return value
    if isinstance(value, str) and len(value) <= _INT_TEXT_MAX and value.lstrip("-").isascii() and value.lstrip("-").isdigit():
        number = int(value)
        if abs(number) < 1 << 63:
            return number
    raise ValueError


def _wrong(row: Param) -> RpcError:
    return invalid_params(f"parameter {row.name} must be {row.kind.value}")
