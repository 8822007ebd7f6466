"""Preconditions: what a sender wants to be true, else nothing is done and 201 is the answer.

They are evaluated after the fee and the nonce, before the first operation, and so see exactly the state that the operations
would start from. On the wire a precondition is [kind, field, ...]. No operation goes in here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from state.codes import Code
from state.modules.fields import (
    ADDRESS,
    AMOUNT,
    CODE,
    NUMBER,
    OPTIONAL_HASH,
    POOL,
    PRICE,
    FieldKind,
    malformed,
    too_large,
)
from state.modules.operation import OpContext
from state.primitives.codec import Value, decode
from state.primitives.errors import MalformedError, OperationFailed, TransactionError
from state.primitives.hashing import sha256
from state.primitives.limits import HEIGHT_MAX, LANE_ORDERED_MAX, PRECONDITIONS_MAX, STATE_KEY_BYTES_MAX
from state.schema import ENCODE, encode_record, holding_key, nonces_key
from state.schema_amm import Pool, pool_key


def _read_height(number: int) -> int:
    if not 0 <= number <= HEIGHT_MAX:
        raise malformed("a height is below 2^63")
    return number


def _read_lane(number: int) -> int:
    if not 0 <= number <= LANE_ORDERED_MAX:
        raise malformed(f"an ordered lane is 0 to {LANE_ORDERED_MAX}")
    return number


def _read_sequence(number: int) -> int:
    if number < 0:
        raise malformed("a sequence is not negative")
    return number


def _same(value: Any) -> Any:
    return value


def _read_record_key(key: bytes) -> bytes:
    if not 2 <= len(key) <= STATE_KEY_BYTES_MAX or key[:1] != b" " or key[1] not in ENCODE:
        raise malformed("not a raw key of the state")
    return key


_RECORD_KEY: Final = FieldKind("raw key", bytes, _read_record_key, _same, lambda key: key.hex())
_HEIGHT: Final = FieldKind("height", int, _read_height, _same, _same)
_LANE: Final = FieldKind("lane", int, _read_lane, _same, _same)
_SEQUENCE: Final = FieldKind("sequence", int, _read_sequence, _same, _same)


def next_sequence(nonces: Value, lane: int) -> int:
    """The sequence that a lane expects, from an account's record of sequences (None: none used yet)."""
    return nonces[lane] if nonces is not None and lane < len(nonces) else 0


def _balance(context: OpContext, account: bytes, code: str) -> int:
    holding = context.view.get(holding_key(account, code))
    return holding[0] if holding is not None else 0


def is_height_between(context: OpContext, args: tuple[Any, ...]) -> bool:
    """The block's height is within both bounds."""
    return bool(args[0] <= context.height <= args[1])


def is_balance_at_least(context: OpContext, args: tuple[Any, ...]) -> bool:
    """An account holds this much of an asset, or more."""
    return bool(_balance(context, args[0], args[1]) >= args[2])


def is_balance_at_most(context: OpContext, args: tuple[Any, ...]) -> bool:
    """An account holds this much of an asset, or less."""
    return bool(_balance(context, args[0], args[1]) <= args[2])


def is_sequence(context: OpContext, args: tuple[Any, ...]) -> bool:
    """An account's lane expects this sequence next."""
    account, lane, sequence = args
    return bool(next_sequence(context.view.get(nonces_key(account)), lane) == sequence)


def is_time_between(context: OpContext, args: tuple[Any, ...]) -> bool:
    """The block's time is within both bounds (Unix seconds)."""
    return bool(args[0] <= context.time_s <= args[1])


def is_pool_price_between(context: OpContext, args: tuple[Any, ...]) -> bool:
    """A pool is there, and its price (units of its second asset for one of its first, as a fraction) is within both bounds."""
    name, low, high = args
    pool: Pool | None = context.view.get(pool_key(name))
    if pool is None or not pool.reserve_a:
        return False
    return all(
        denominator == 0 or sign * (pool.reserve_b * denominator - numerator * pool.reserve_a) >= 0
        for sign, (numerator, denominator) in ((1, low), (-1, high))
    )


def is_record(context: OpContext, args: tuple[Any, ...]) -> bool:
    """The record under a raw key of the state has this hash of its stored form; an empty hash: there is none."""
    key, wanted = args
    record = context.view.get(key)
    return bool((b"" if record is None else sha256(encode_record(key, record))) == wanted)


@dataclass(frozen=True, slots=True)
class Precondition:
    """One row of the table of kinds."""

    number: int
    name: str
    fields: tuple[tuple[str, FieldKind], ...]
    holds: Callable[[OpContext, tuple[Any, ...]], bool]
    decoder: msgspec.msgpack.Decoder[tuple[Any, ...]] = field(init=False)

    def __post_init__(self) -> None:
        wire = tuple[(int, *(kind.wire for _, kind in self.fields))]  # type: ignore[misc, valid-type]
        object.__setattr__(self, "decoder", msgspec.msgpack.Decoder(wire))


_BALANCE_FIELDS: Final = (("account", ADDRESS), ("asset", CODE), ("amount", AMOUNT))
PRECONDITIONS: Final[dict[int, Precondition]] = {
    row.number: row
    for row in (
        Precondition(1, "height_between", (("low", _HEIGHT), ("high", _HEIGHT)), is_height_between),
        Precondition(2, "balance_at_least", _BALANCE_FIELDS, is_balance_at_least),
        Precondition(3, "balance_at_most", _BALANCE_FIELDS, is_balance_at_most),
        Precondition(4, "sequence_is", (("account", ADDRESS), ("lane", _LANE), ("seq", _SEQUENCE)), is_sequence),
        Precondition(5, "time_between", (("low", NUMBER), ("high", NUMBER)), is_time_between),
        Precondition(
            6, "pool_price_between", (("pool", POOL), ("low", PRICE), ("high", PRICE)), is_pool_price_between
        ),
        Precondition(7, "record_is", (("key", _RECORD_KEY), ("hash", OPTIONAL_HASH)), is_record),
    )
}
BY_NAME: Final[dict[str, Precondition]] = {row.name: row for row in PRECONDITIONS.values()}


def read_preconditions(items: Sequence[msgspec.Raw]) -> tuple[tuple[Precondition, tuple[Any, ...]], ...]:
    """(row, field values) of each. Raises `TransactionError` with 101 to 104."""
    if len(items) > PRECONDITIONS_MAX:
        raise too_large(f"a transaction has at most {PRECONDITIONS_MAX} preconditions")
    out = []
    for item in items:
        data = bytes(item)
        try:
            values = decode(data)
        except MalformedError as error:
            raise malformed(error.message) from error
        if type(values) is not tuple or not values or type(values[0]) is not int:
            raise malformed("a precondition is [kind, field, ...]")
        row = PRECONDITIONS.get(values[0])
        if row is None or len(values) != len(row.fields) + 1:
            raise TransactionError(Code.UNKNOWN_OP_OR_FIELD, "an unknown precondition")
        try:
            _, *wire = row.decoder.decode(data)
        except ValueError as error:
            raise malformed(f"{row.name}: {error}") from error
        args = tuple(
            value if kind.read is None else kind.read(value) for (_, kind), value in zip(row.fields, wire, strict=True)
        )
        out.append((row, args))
    return tuple(out)


def write_precondition(name: str, **args: Any) -> tuple[Value, ...]:
    """Wire form of a precondition, for clients."""
    row = BY_NAME.get(name)
    if row is None or sorted(args) != sorted(field_name for field_name, _ in row.fields):
        raise TransactionError(Code.UNKNOWN_OP_OR_FIELD, f"no precondition {name} with these fields")
    return (row.number, *(kind.write(args[field_name]) for field_name, kind in row.fields))


def apply_preconditions(
    context: OpContext, preconditions: tuple[tuple[Precondition, tuple[Any, ...]], ...]
) -> None:
    """Fail with 201 at the first that does not hold."""
    for row, args in preconditions:
        if not row.holds(context, args):
            raise OperationFailed(Code.PRECONDITION_FAILED, f"{row.name} does not hold")
