"""Pieces of transactions as people write them: `NAME:WEIGHT` for a key, `ACCOUNT:ASSET:AMOUNT` for a leg, four thresholds.

Reading text only; nothing is asked of a node here, so scales come as arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from node.cli.amounts import parse_amount
from node.cli.options import find_key_file, resolve_address
from node.keystore import Role, parse_key_kind, read_key_info
from state.primitives.errors import ConfigError
from state.primitives.keys import PUBLIC_KEY_BYTES, PublicKey
from state.primitives.limits import KEY_WEIGHT_MAX

LEG_DEBIT: Final = 0
LEG_CREDIT: Final = 1

KeyRow = tuple[int, int, bytes, int]  # key id, kind, public key, weight


class LegText(NamedTuple):
    """One leg as written: `alice:QNX:-1.5` pays, `bob:QNX:1.5` receives."""

    account: str
    asset: str
    amount: str
    direction: int


def parse_key_rows(texts: Sequence[str], home: Path | None, first_id: int = 0) -> tuple[KeyRow, ...]:
    """Keys written `NAME`, `NAME:WEIGHT` or `KIND=HEX:WEIGHT`, numbered from `first_id`. Raises `ConfigError`."""
    rows: list[KeyRow] = []
    for number, text in enumerate(texts, first_id):
        name, colon, weight_text = text.rpartition(":")
        if not colon:
            name, weight_text = text, "1"
        if not weight_text.isascii() or not weight_text.isdecimal() or not 1 <= int(weight_text) <= KEY_WEIGHT_MAX:
            raise ConfigError(f"{text!r}: a key's weight is 1 to {KEY_WEIGHT_MAX}", hint="write NAME or NAME:WEIGHT")
        key = _public_key(name, home)
        rows.append((number, int(key.kind), key.data, int(weight_text)))
    return tuple(rows)


def parse_thresholds(text: str) -> tuple[int, int, int, int]:
    """`1,2,2,3`: low, medium, high, statutory. Raises `ConfigError`."""
    parts = text.split(",")
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise ConfigError(f"--thresholds {text}: four whole numbers are needed", hint="low,medium,high,statutory, such as 1,2,2,3")
    low, medium, high, statutory = (int(part) for part in parts)
    if not 1 <= low <= medium <= high <= statutory:
        raise ConfigError(f"--thresholds {text}: thresholds are positive and do not fall")
    return low, medium, high, statutory


def parse_leg(text: str) -> LegText:
    """`ACCOUNT:ASSET:AMOUNT`, the amount negative for the side that pays. Raises `ConfigError`."""
    parts = text.split(":")
    if len(parts) != 3 or not all(parts):
        raise ConfigError(f"--leg {text} is not of the form ACCOUNT:ASSET:AMOUNT", hint="such as alice:QNX:-1.5 and bob:QNX:1.5")
    account, asset, amount = parts
    direction = LEG_DEBIT if amount.startswith("-") else LEG_CREDIT
    return LegText(account, asset, amount.removeprefix("-"), direction)


def resolve_legs(
    legs: Sequence[LegText], scales: Mapping[str, int], home: Path | None, *, base_units: bool
) -> tuple[tuple[bytes, str, int, int], ...]:
    """Legs as the ledger wants them: (account, asset, direction, amount). Raises `ConfigError` unless each asset sums to zero."""
    found: list[tuple[bytes, str, int, int]] = []
    sums: dict[str, int] = {}
    for leg in legs:
        amount = parse_amount(leg.amount, scales[leg.asset], leg.asset, base_units=base_units)
        found.append((resolve_address(leg.account, home), leg.asset, leg.direction, amount))
        sums[leg.asset] = sums.get(leg.asset, 0) + (amount if leg.direction == LEG_CREDIT else -amount)
    for asset, total in sums.items():
        if total:
            raise ConfigError(f"the legs of {asset} do not sum to zero", hint="what some pay, others receive")
    return tuple(found)


def _public_key(name: str, home: Path | None) -> PublicKey:
    kind_text, equals, hex_text = name.partition("=")
    if not equals:
        info = read_key_info(find_key_file(name, home))
        if info.role is not Role.USER:
            raise ConfigError(f"{name} is a {info.role.value} key, an account's key is needed")
        return info.keys[0]
    kind = parse_key_kind(kind_text)
    try:
        data = bytes.fromhex(hex_text)
    except ValueError:
        data = b""
    if len(data) != PUBLIC_KEY_BYTES[kind]:
        raise ConfigError(f"{kind_text}=...: a public key of this kind has {2 * PUBLIC_KEY_BYTES[kind]} hex digits")
    return PublicKey(kind, data)
