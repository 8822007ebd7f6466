"""Keys and forms of the records of central banks. `state.schema` takes the tables in; no rule about what may be stored goes in here.

Every asset has its own; its central bank is its issuer. Numbers that may exceed 64 bits are minimal big-endian bytes.

| letter | key after the letter | record |
|---|---|---|
| B | a, asset code | what was issued, redeemed, accrued, drawn; the policy rate; reserve ratios: `Bank` |
| B | d, asset code | the asset's dealers, sorted |
| B | l, asset code | the accounts with a credit line in the asset, sorted |
| T | d, account address (32), asset code | a dealer: tier, limits, liabilities, interest: `Dealer` |
| T | r, number (8, big-endian), asset code | a redemption that waits for the central bank: `Redemption` |
| T | c, account address (32), asset code | a credit line: limit, debt, collateral: `CreditLine` |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgpack
import msgspec

from state.primitives.codec import Value

BANK: Final = ord("B")
TREASURY: Final = ord("T")
TREASURY_LETTERS: Final = frozenset({BANK, TREASURY})

BANK_PREFIX: Final = b" Ba"
DEALERS_PREFIX: Final = b" Bd"
LINES_PREFIX: Final = b" Bl"
DEALER_PREFIX: Final = b" Td"
REDEMPTION_PREFIX: Final = b" Tr"
LINE_PREFIX: Final = b" Tc"

PREFIX_BYTES: Final = 3
OF_ADDRESS: Final = slice(3, 35)  # in the keys of dealers and credit lines
OF_ASSET_START: Final = 35
REDEMPTION_NUMBER: Final = slice(3, 11)
REDEMPTION_ASSET_START: Final = 11


class Bank(NamedTuple):
    """What the central bank of an asset has done. `issued`, `redeemed` and `accrued` only grow; `drawn` is the sum of all debts.

    `acc` is the sum of rate times seconds up to `acc_s`, in parts per million and year: what one unit held since the beginning has
    earned, in units of one part in `UNIT`. `rate_ppm` is in force; `next_ppm` from `next_s` on (zero: no change is announced).
    `period` periods were accrued, the last one at `period_s`. `requests` counts redemptions; `ratios` are (tier, parts per million).
    """

    issued: int
    redeemed: int
    accrued: int
    drawn: int
    acc: int
    acc_s: int
    rate_ppm: int
    next_ppm: int
    next_s: int
    period: int
    period_s: int
    requests: int
    ratios: tuple[tuple[int, int], ...]


class Dealer(NamedTuple):
    """A dealer. `base` is what he holds, as interest counts it; `ref` the bank's `acc` up to which `owed` is counted, in `UNIT`s.

    Limits of zero are none. `used` counts what he got in the window that began at `window_start_s`. One that is not active was
    dismissed and waits for the rest of his interest.
    """

    issue_max: int
    window_max: int
    used: int
    liabilities: int
    base: int
    ref: int
    owed: int
    tier: int
    window_s: int
    window_start_s: int
    reported_s: int
    is_active: bool


class Redemption(NamedTuple):
    """An amount that is held in its dealer's holding until it is burned or freed, at `until_s` at the latest."""

    amount: int
    dealer: bytes
    ref: str
    since_s: int
    until_s: int


class CreditLine(NamedTuple):
    """What an account may overdraw. `collateral` is (asset code, amount), held in its own holdings; `drawn_s` is since when it owes."""

    limit: int
    debt: int
    since_s: int
    drawn_s: int
    collateral: tuple[tuple[str, int], ...]


NO_BANK: Final = Bank(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ())


def bank_key(asset: str) -> bytes:
    """Key of what the central bank of an asset has done."""
    return BANK_PREFIX + asset.encode("ascii")


def dealers_key(asset: str) -> bytes:
    """Key of the list of an asset's dealers."""
    return DEALERS_PREFIX + asset.encode("ascii")


def lines_key(asset: str) -> bytes:
    """Key of the list of accounts with a credit line in an asset."""
    return LINES_PREFIX + asset.encode("ascii")


def dealer_key(address: bytes, asset: str) -> bytes:
    """Key of a dealer."""
    return DEALER_PREFIX + address + asset.encode("ascii")


def redemption_key(number: int, asset: str) -> bytes:
    """Key of a redemption by its number, from 0 in each asset."""
    return REDEMPTION_PREFIX + number.to_bytes(8, "big") + asset.encode("ascii")


def line_key(address: bytes, asset: str) -> bytes:
    """Key of an account's credit line."""
    return LINE_PREFIX + address + asset.encode("ascii")


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)
_BANK_WIDE: Final = 5  # so many wide numbers come first
_DEALER_WIDE: Final = 7
_LINE_WIDE: Final = 2


def _from_bytes(data: Value) -> int:
    if type(data) is not bytes or data[:1] == b"\x00":
        raise ValueError("not minimal big-endian bytes")
    return int.from_bytes(data, "big")


def _to_bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) >> 3, "big")


def _widen(values: Value, wide: int) -> tuple[Value, ...]:
    return (*(_from_bytes(value) for value in values[:wide]), *values[wide:])


def _narrow(record: Value, wide: int) -> tuple[Value, ...]:
    return (*(_to_bytes(number) for number in record[:wide]), *record[wide:])


def _decode_bank(raw: bytes) -> Value:
    values = _unpack(raw)
    return values if type(values[-1]) is bytes else Bank(*_widen(values, _BANK_WIDE))  # else a list of addresses


def _encode_bank(record: Value) -> bytes:
    return _pack(_narrow(record, _BANK_WIDE) if type(record) is Bank else record)


def _decode_treasury(raw: bytes) -> Value:
    values = _unpack(raw)
    if len(values) == len(Dealer._fields):
        return Dealer(*_widen(values, _DEALER_WIDE))
    if type(values[2]) is str:
        return Redemption(*_widen(values, 1))
    line = CreditLine(*_widen(values, _LINE_WIDE))
    return line._replace(collateral=tuple((code, _from_bytes(amount)) for code, amount in line.collateral))


def _encode_treasury(record: Value) -> bytes:
    if type(record) is Dealer:
        return _pack(_narrow(record, _DEALER_WIDE))
    if type(record) is Redemption:
        return _pack(_narrow(record, 1))
    pledged = tuple((code, _to_bytes(amount)) for code, amount in record.collateral)
    return _pack(_narrow(record._replace(collateral=pledged), _LINE_WIDE))


TREASURY_DECODE: Final[dict[int, Callable[[bytes], Value]]] = {BANK: _decode_bank, TREASURY: _decode_treasury}
TREASURY_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {BANK: _encode_bank, TREASURY: _encode_treasury}
