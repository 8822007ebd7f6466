"""Kinds of fields that only operations on accounts have: rules of keys, and what grants allow. See `state.modules.fields`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, TypeAlias

from state.modules.account_policy import HIGHEST_LEVEL, KeyClass
from state.modules.fields import Address, FieldKind, malformed, read_amount, read_code, too_large
from state.primitives.codec import Value, encode_amount
from state.primitives.ids import format_address
from state.primitives.limits import (
    ACCOUNT_KEYS_MAX,
    ALLOWED_COUNTERPARTIES_MAX,
    KEY_ID_MAX,
    SCOPE_ASSETS_MAX,
    SCOPE_COUNTERPARTIES_MAX,
    SCOPE_OPS_MAX,
    TIME_NS_MAX,
)
from state.schema_accounts import KeyRule, Limit

_TIME_S_MAX: Final = TIME_NS_MAX // 1_000_000_000
_OPERATION_NUMBER_MAX: Final = 0xFFFF


def _read_rules(rules: Value) -> Value:
    if len(rules) > ACCOUNT_KEYS_MAX:
        raise too_large(f"an account has at most {ACCOUNT_KEYS_MAX} keys")
    last = -1
    for key_id, key_class, valid_from, valid_until in rules:
        if not last < key_id <= KEY_ID_MAX:
            raise malformed("rules are sorted by key id, each once")
        if key_class not in HIGHEST_LEVEL:
            raise malformed("an unknown class of key")
        if not 0 <= valid_from <= _TIME_S_MAX or not 0 <= valid_until <= _TIME_S_MAX:
            raise malformed("a time of a key is out of range")
        if valid_until and valid_until < valid_from:
            raise malformed("a key ends before it begins")
        last = key_id
    return tuple(KeyRule(*rule) for rule in rules)


def _read_ops(ops: Value) -> Value:
    if len(ops) > SCOPE_OPS_MAX:
        raise too_large(f"a grant names at most {SCOPE_OPS_MAX} kinds of operation")
    last = 0
    for number in ops:
        if not last < number <= _OPERATION_NUMBER_MAX:
            raise malformed("numbers of operations are sorted, each once")
        last = number
    return ops


def _read_limits(limits: Value) -> Value:
    if len(limits) > SCOPE_ASSETS_MAX:
        raise too_large(f"a grant limits at most {SCOPE_ASSETS_MAX} assets")
    out = []
    last = ""
    for code, per_tx, per_window in limits:
        if read_code(code) <= last:
            raise malformed("limits are sorted by asset, each once")
        last = code
        limit = Limit(code, read_amount(per_tx), read_amount(per_window))
        if not 0 < limit.per_tx <= limit.per_window:
            raise malformed("the limit of a transaction is above zero and not above that of a window")
        out.append(limit)
    return tuple(out)


def _read_sorted(addresses: Value, most: int) -> Value:
    if len(addresses) > most:
        raise too_large(f"at most {most} accounts are named")
    if any(one >= other for one, other in pairwise(addresses)):
        raise malformed("accounts are sorted, each once")
    return addresses


def _same(value: Any) -> Any:
    return value


def _write_rules(rules: Any) -> Any:
    return tuple(tuple(map(int, rule)) for rule in rules)


def show_rules(rules: Value) -> object:
    """JSON form of the rules of keys."""
    return [
        {
            "key_id": rule.key_id,
            "class": KeyClass(rule.key_class).name.lower(),
            "valid_from": rule.valid_from,
            "valid_until": rule.valid_until,
        }
        for rule in rules
    ]


def _write_limits(limits: Any) -> Any:
    return tuple((code, encode_amount(one), encode_amount(many)) for code, one, many in limits)


def show_limits(limits: Value) -> object:
    """JSON form of limits, in base units."""
    return [{"asset": code, "per_tx": str(one), "per_window": str(many)} for code, one, many in limits]


def _show_addresses(addresses: Value) -> object:
    return [format_address(address) for address in addresses]


def _read_key_id(number: int) -> int:
    if not 0 <= number <= KEY_ID_MAX:
        raise malformed("a key id is below 2^32")
    return number


_Addresses: TypeAlias = tuple[Address, ...]

KEY_ID: Final = FieldKind("key id", int, _read_key_id, _same, _same)
RULES: Final = FieldKind("rules of keys", tuple[tuple[int, int, int, int], ...], _read_rules, _write_rules, show_rules)
OPS: Final = FieldKind("operations", tuple[int, ...], _read_ops, _same, list)
LIMITS: Final = FieldKind("limits", tuple[tuple[str, bytes, bytes], ...], _read_limits, _write_limits, show_limits)
COUNTERPARTIES: Final = FieldKind(
    "counterparties", _Addresses, lambda value: _read_sorted(value, SCOPE_COUNTERPARTIES_MAX), _same, _show_addresses
)
ALLOWED: Final = FieldKind(
    "allowed accounts", _Addresses, lambda value: _read_sorted(value, ALLOWED_COUNTERPARTIES_MAX), _same, _show_addresses
)
