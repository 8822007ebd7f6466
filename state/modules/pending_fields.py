"""Kinds of fields that only operations on pending things have. See `state.modules.fields`."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta

from state.modules.fields import Address, FieldKind, malformed, read_amount, read_code, too_large
from state.primitives.codec import Value, encode_amount
from state.primitives.ids import format_address
from state.primitives.limits import PENDING_ID_BYTES, PENDING_REF_BYTES, PREIMAGE_BYTES_MAX, SETTLEMENT_LEGS_MAX
from state.schema_pending import Leg

_SettlementLegs: TypeAlias = tuple[tuple[Address, Address, str, bytes], ...]


def _read_legs(legs: Value) -> Value:
    if not legs:
        raise malformed("a settlement has at least one leg")
    if len(legs) > SETTLEMENT_LEGS_MAX:
        raise too_large(f"a settlement has at most {SETTLEMENT_LEGS_MAX} legs")
    return tuple(Leg(sender, to, read_code(asset), read_amount(amount)) for sender, to, asset, amount in legs)


def write_legs(legs: Any) -> Any:
    """Wire form of a settlement's legs: (sender, recipient, asset, amount) each."""
    return tuple((sender, to, asset, encode_amount(amount)) for sender, to, asset, amount in legs)


def show_legs(legs: Value) -> list[dict[str, str]]:
    """JSON form of a settlement's legs."""
    return [
        {"from": format_address(sender), "to": format_address(to), "asset": asset, "amount": str(amount)}
        for sender, to, asset, amount in legs
    ]


def _same(value: Any) -> Any:
    return value


def _show_hex(data: bytes) -> object:
    return data.hex()


def _fixed(size: int) -> Any:
    return Annotated[bytes, Meta(min_length=size, max_length=size)]


REF: Final = FieldKind("16 bytes", _fixed(PENDING_REF_BYTES), None, _same, _show_hex)
PENDING_ID: Final = FieldKind("pending id", _fixed(PENDING_ID_BYTES), None, _same, _show_hex)
HASH: Final = FieldKind("hash", _fixed(32), None, _same, _show_hex)
SECRET: Final = FieldKind("secret", Annotated[bytes, Meta(max_length=PREIMAGE_BYTES_MAX)], None, _same, _show_hex)
SETTLEMENT_LEGS: Final = FieldKind("settlement legs", _SettlementLegs, _read_legs, write_legs, show_legs)
