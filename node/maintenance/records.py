"""Records of the state for people who compare them: what kind, whose, and what it says. Words only; nothing is judged here."""

from __future__ import annotations

from typing import Final

from state.primitives.codec import Value
from state.primitives.errors import MalformedError, StorageCorruptError
from state.queries import describe_record
from state.schema import decode_record

Json = dict[str, object]

# what a letter of `state.schema` stands for
KINDS: Final = {
    "a": "account",
    "n": "sequences",
    "h": "holding",
    "A": "asset",
    "s": "supply",
    "L": "asset_list",
    "m": "minter",
    "c": "client_reference",
    "u": "unordered",
    "q": "queue",
    "p": "parameters",
    "b": "breakers",
    "N": "admission",
    "v": "validator",
    "V": "validators",
    "f": "pool",
    "k": "validator_key",
    "d": "delegation",
    "D": "delegations",
    "x": "unbonding",
    "X": "unbonding_queue",
    "r": "redelegation",
    "R": "redelegation_queue",
    "w": "downtime",
    "l": "amm_pool",
    "I": "amm_pools",
    "i": "amm_position",
    "K": "amm_members",
    "C": "claim",
    "Q": "calendar",
    "H": "hold",
    "E": "escrow",
    "S": "settlement",
    "Y": "offer",
    "F": "farm",
    "J": "farm_position",
    "j": "farm_staker",
    "g": "proposal",
    "G": "governance",
    "o": "vote",
    "O": "group",
    "P": "policy",
    "t": "grant",
    "W": "allow_list",
    "M": "freeze",
    "y": "credential",
    "z": "domain",
    "U": "compliance_rule",
    "Z": "limit_window",
    "e": "oversight",
    "B": "central_bank",
    "T": "treasury",
    "0": "anchor",
    "1": "priorities",
}


def kind_of(key: bytes) -> str:
    """The kind of a record, from its raw key."""
    letter = key[1:2].decode("latin-1")
    return KINDS.get(letter, f"letter {letter!r}")


def describe(key: bytes, raw: bytes | None) -> Json | None:
    """A record in words: as queries show it, else its decoded fields, else its bytes. None for none."""
    if raw is None:
        return None
    try:
        return describe_record(key, raw)
    except (MalformedError, StorageCorruptError, ValueError, TypeError, LookupError, AttributeError):
        pass
    try:
        return {"fields": _plain(decode_record(key, raw))}
    except (StorageCorruptError, MalformedError):
        return {"unreadable": raw.hex()}


def _plain(value: Value) -> object:
    """JSON-ready: bytes as hex, large numbers as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if type(value) is int and not -(1 << 53) < value < 1 << 53:
        return str(value)
    return value


def changed_fields(before: Json | None, after: Json | None) -> Json:
    """The fields that differ, each as [before, after]."""
    one, other = before or {}, after or {}
    names = [*one, *(name for name in other if name not in one)]
    return {name: [one.get(name), other.get(name)] for name in names if one.get(name) != other.get(name)}


def summary(record: Json | None) -> str:
    """One line of a record."""
    return "absent" if record is None else ", ".join(f"{name}={_short(value)}" for name, value in record.items())


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
