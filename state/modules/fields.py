"""Kinds of operation fields: how each looks on the wire, how it is read, how it is shown.

On the wire a field is a msgpack value of the kind's type, which the C decoder enforces; a handler gets it read: amounts as
integers, everything else unchanged. Reading checks what the type cannot say and needs no state, and refuses with a code of 101
to 104. No rule of the ledger goes in here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from msgspec import Meta

from state.codes import Code
from state.primitives.codec import Value, encode_amount
from state.primitives.errors import MalformedError, TransactionError
from state.primitives.ids import check_asset_code, format_address
from state.primitives.keys import PUBLIC_KEY_BYTES, KeyKind
from state.primitives.limits import (
    ACCOUNT_ADDRESS_BYTES,
    ACCOUNT_KEYS_MAX,
    AMOUNT_BYTES_MAX,
    ASSET_SCALE_MAX,
    AUTHORITIES_MAX,
    DETAILS_CHARS_MAX,
    HEIGHT_MAX,
    KEY_ID_MAX,
    KEY_WEIGHT_MAX,
    LEGS_MAX,
    MINTERS_MAX,
    MONIKER_CHARS_MAX,
    POOL_MEMBERS_MAX,
    PPM,
    REASON_CHARS_MAX,
    TAG_CHARS_MAX,
)

THRESHOLD_COUNT: Final = 4
DEBIT: Final = 0
CREDIT: Final = 1


def malformed(message: str) -> TransactionError:
    """The error for a wrong shape."""
    return TransactionError(Code.MALFORMED, message)


def too_large(message: str) -> TransactionError:
    """The error for something beyond its bound."""
    return TransactionError(Code.TOO_LARGE, message)


class FieldKind(NamedTuple):
    """One kind: its wire type as the decoder understands it, its reader (None: the type says all), writer and JSON form."""

    name: str
    wire: Any
    read: Callable[[Any], Any] | None
    write: Callable[[Any], Any]
    show: Callable[[Any], object]


def read_amount(data: bytes) -> int:
    """The amount of minimal big-endian bytes; anything else is refused with BAD_AMOUNT_ENCODING."""
    if len(data) > AMOUNT_BYTES_MAX or data[:1] == b"\x00":
        raise TransactionError(Code.BAD_AMOUNT_ENCODING, "an amount is at most 80 bytes without leading zeros")
    return int.from_bytes(data, "big")


def _read_optional_32(data: bytes) -> bytes:
    if data and len(data) != 32:
        raise malformed("an optional address or hash has 0 or 32 bytes")
    return data


@lru_cache(maxsize=4096)  # a network has few assets and every transfer names one
def read_code(text: str) -> str:
    """The asset code, checked."""
    try:
        return check_asset_code(text)
    except MalformedError as error:
        raise malformed(error.message) from error


def _read_scale(number: int) -> int:
    if not 0 <= number <= ASSET_SCALE_MAX:
        raise malformed(f"a scale is 0 to {ASSET_SCALE_MAX}")
    return number


def _read_small(number: int) -> int:
    if not 0 <= number <= 0xFFFF:
        raise malformed("a number beyond 65,535")
    return number


def _read_ppm(number: int) -> int:
    if not 0 <= number <= PPM:
        raise malformed("a fraction is 0 to 1,000,000 parts per million")
    return number


def _read_number(number: int) -> int:
    if not 0 <= number <= HEIGHT_MAX:
        raise malformed("a number is not negative and below 2^63")
    return number


def _read_moniker(text: str) -> str:
    if not text or text.strip() != text or not all(" " <= char <= "~" for char in text):
        raise malformed("a moniker is printable ASCII without spaces around it")
    return text


def read_keys(keys: Value) -> Value:
    """Key entries (key id, kind, public key, weight), sorted by id, each id and each public key once."""
    if len(keys) > ACCOUNT_KEYS_MAX:
        raise too_large(f"an account has at most {ACCOUNT_KEYS_MAX} keys")
    last = -1
    for key_id, kind, data, weight in keys:
        if not last < key_id <= KEY_ID_MAX:
            raise malformed("keys are sorted by id, each once")
        if not 1 <= weight <= KEY_WEIGHT_MAX:
            raise malformed(f"a key's weight is 1 to {KEY_WEIGHT_MAX}")
        if kind not in _KEY_BYTES or len(data) != _KEY_BYTES[kind]:
            raise malformed("a public key has the length of its kind")
        last = key_id
    if len({key[2] for key in keys}) != len(keys):
        raise malformed("one public key may not count twice")
    return keys


_KEY_BYTES: Final[dict[int, int]] = {int(kind): size for kind, size in PUBLIC_KEY_BYTES.items()}


def _read_key_ids(ids: Value) -> Value:
    if len(ids) > ACCOUNT_KEYS_MAX:
        raise too_large(f"an account has at most {ACCOUNT_KEYS_MAX} keys")
    last = -1
    for key_id in ids:
        if not last < key_id <= KEY_ID_MAX:
            raise malformed("key ids are sorted, each once")
        last = key_id
    return ids


def read_thresholds(thresholds: Value) -> Value:
    """Four rising weights: low, medium, high, statutory."""
    if len(thresholds) != THRESHOLD_COUNT:
        raise malformed("thresholds are low, medium, high and statutory")
    last = 1
    for threshold in thresholds:
        if not last <= threshold <= ACCOUNT_KEYS_MAX * KEY_WEIGHT_MAX:
            raise malformed("thresholds are positive and do not fall")
        last = threshold
    return thresholds


def _read_optional_thresholds(thresholds: Value) -> Value:
    return read_thresholds(thresholds) if thresholds else thresholds


def _read_minters(minters: Value) -> Value:
    if len(minters) > MINTERS_MAX:
        raise too_large(f"an asset starts with at most {MINTERS_MAX} minters")
    out = []
    last = b""
    for account, allowance in minters:
        if account <= last:
            raise malformed("minters are sorted, each once")
        last = account
        out.append((account, read_amount(allowance)))
    return tuple(out)


def _read_legs(legs: Value) -> Value:
    if len(legs) > LEGS_MAX:
        raise too_large(f"a multi-transfer has at most {LEGS_MAX} legs")
    out = []
    for account, code, direction, amount in legs:
        if direction not in (DEBIT, CREDIT):
            raise malformed("a leg's direction is 0 (debit) or 1 (credit)")
        out.append((account, read_code(code), direction, read_amount(amount)))
    return tuple(out)


@lru_cache(maxsize=4096)
def read_pool(text: str) -> str:
    """The name of a pool, checked: two asset codes, the smaller one first."""
    a, slash, b = text.partition("/")
    if not slash or read_code(a) >= read_code(b):
        raise malformed("a pool is named by its assets, the smaller code first: A/B")
    return text


def _read_optional_pool(text: str) -> str:
    return read_pool(text) if text else text


def _read_optional_code(text: str) -> str:
    return read_code(text) if text else text


def _read_accounts(accounts: Value) -> Value:
    if len(accounts) > AUTHORITIES_MAX:
        raise too_large(f"at most {AUTHORITIES_MAX} accounts")
    if any(one >= other for one, other in pairwise(accounts)):
        raise malformed("accounts are sorted, each once")
    return accounts


def _read_reason(text: str) -> str:
    if not text.strip():
        raise malformed("an act of authority names its reason and its legal ground")
    return text


def _read_path(path: Value) -> Value:
    if len(path) > LEGS_MAX:
        raise too_large("a path is too long")
    for code in path:
        read_code(code)
    return path


def _read_members(members: Value) -> Value:
    if len(members) > POOL_MEMBERS_MAX:
        raise too_large(f"a pool has at most {POOL_MEMBERS_MAX} members")
    if any(one >= other for one, other in pairwise(members)):
        raise malformed("members are sorted, each once")
    return members


def _read_price(price: Value) -> Value:
    numerator, denominator = read_amount(price[0]), read_amount(price[1])
    if numerator and not denominator:
        raise malformed("a price is a fraction; both parts zero mean no bound")
    return numerator, denominator


def _same(value: Any) -> Any:
    return value


def _show_address(address: bytes) -> object:
    return format_address(address) if address else ""


def show_keys(keys: Value) -> object:
    """JSON form of key entries."""
    return [
        {"key_id": key_id, "kind": KeyKind(kind).name.lower(), "public_key": data.hex(), "weight": weight}
        for key_id, kind, data, weight in keys
    ]


def show_thresholds(thresholds: Value) -> object:
    """JSON form of thresholds, or None."""
    return dict(zip(("low", "medium", "high", "statutory"), thresholds, strict=True)) if thresholds else None


def _write_minters(minters: Any) -> Any:
    return tuple((account, encode_amount(allowance)) for account, allowance in minters)


def _write_legs(legs: Any) -> Any:
    return tuple((account, code, direction, encode_amount(amount)) for account, code, direction, amount in legs)


def _show_minters(minters: Value) -> object:
    return [{"account": format_address(account), "allowance": str(allowance)} for account, allowance in minters]


def _show_legs(legs: Value) -> object:
    return [
        {
            "account": format_address(account),
            "asset": code,
            "direction": "credit" if direction else "debit",
            "amount": str(amount),
        }
        for account, code, direction, amount in legs
    ]


def _show_hex(data: bytes) -> object:
    return data.hex()


def _show_members(members: Value) -> object:
    return [format_address(member) for member in members]


def _write_price(price: Any) -> Any:
    return encode_amount(price[0]), encode_amount(price[1])


def _show_price(price: Value) -> object:
    return [str(price[0]), str(price[1])] if price[1] else []


Address: TypeAlias = Annotated[bytes, Meta(min_length=ACCOUNT_ADDRESS_BYTES, max_length=ACCOUNT_ADDRESS_BYTES)]
_Keys: TypeAlias = tuple[tuple[int, int, bytes, int], ...]
_Minters: TypeAlias = tuple[tuple[Address, bytes], ...]
_Legs: TypeAlias = tuple[tuple[Address, str, int, bytes], ...]

ADDRESS: Final = FieldKind("address", Address, None, _same, _show_address)
OPTIONAL_ADDRESS: Final = FieldKind("optional address", bytes, _read_optional_32, _same, _show_address)
OPTIONAL_HASH: Final = FieldKind("optional hash", bytes, _read_optional_32, _same, _show_hex)
AMOUNT: Final = FieldKind("amount", bytes, read_amount, encode_amount, str)
CODE: Final = FieldKind("asset code", str, read_code, _same, _same)
TAG: Final = FieldKind("tag", Annotated[str, Meta(max_length=TAG_CHARS_MAX)], None, _same, _same)
SCALE: Final = FieldKind("scale", int, _read_scale, _same, _same)
SMALL: Final = FieldKind("number", int, _read_small, _same, _same)
KEYS: Final = FieldKind("keys", _Keys, read_keys, _same, show_keys)
KEY_IDS: Final = FieldKind("key ids", tuple[int, ...], _read_key_ids, _same, list)
THRESHOLDS: Final = FieldKind("thresholds", tuple[int, ...], read_thresholds, _same, show_thresholds)
OPTIONAL_THRESHOLDS: Final = FieldKind(
    "optional thresholds", tuple[int, ...], _read_optional_thresholds, _same, show_thresholds
)
MINTERS: Final = FieldKind("minters", _Minters, _read_minters, _write_minters, _show_minters)
LEGS: Final = FieldKind("legs", _Legs, _read_legs, _write_legs, _show_legs)
HASH_20: Final = FieldKind("20 bytes", Annotated[bytes, Meta(min_length=20, max_length=20)], None, _same, _show_hex)
KEY_BYTES: Final = FieldKind("public key", Annotated[bytes, Meta(max_length=max(_KEY_BYTES.values()))], None, _same, _show_hex)
PPM_NUMBER: Final = FieldKind("parts per million", int, _read_ppm, _same, _same)
NUMBER: Final = FieldKind("number", int, _read_number, _same, str)
MONIKER: Final = FieldKind("moniker", Annotated[str, Meta(max_length=MONIKER_CHARS_MAX)], _read_moniker, _same, _same)
DETAILS: Final = FieldKind("details", Annotated[str, Meta(max_length=DETAILS_CHARS_MAX)], None, _same, _same)
POOL: Final = FieldKind("pool", str, read_pool, _same, _same)
OPTIONAL_POOL: Final = FieldKind("optional pool", str, _read_optional_pool, _same, _same)
OPTIONAL_CODE: Final = FieldKind("optional asset code", str, _read_optional_code, _same, _same)
REASON: Final = FieldKind("reason", Annotated[str, Meta(max_length=REASON_CHARS_MAX)], _read_reason, _same, _same)
AUTHORITIES: Final = FieldKind("accounts", tuple[Address, ...], _read_accounts, _same, _show_members)
PATH: Final = FieldKind("path", tuple[str, ...], _read_path, _same, list)
MEMBERS: Final = FieldKind("members", tuple[Address, ...], _read_members, _same, _show_members)
PRICE: Final = FieldKind("price", tuple[bytes, bytes], _read_price, _write_price, _show_price)
