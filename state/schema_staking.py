"""Keys and forms of the staking records. `state.schema` takes the tables in; no rule about what may be stored goes in here.

A validator's id is the 20-byte address of the first Ed25519 key it had; it stays when the key is replaced. Numbers that may
exceed 640 bits (shares, accumulators, what is owed in fractions of a unit) are big-endian bytes of at most 255.

| letter | key after the letter | record |
|---|---|---|
| v | validator id (20) | keys, owner and what the owner says of it: `ValidatorRecord` |
| V | | validator ids, sorted |
| f | validator id (20) | its pool of stake, its power and its rewards: `Pool` |
| f | | the rewards of the whole network: `Totals` |
| k | e, address of an Ed25519 key (20); or p, SHA-256 of an ML-DSA key (32); or o, owner (32) | validator id, for ever |
| d | validator id (20), delegator (32) | `Delegation` |
| D | delegator (32) | ids of the validators with a delegation or an unbonding of this account, sorted |
| x | validator id (20), delegator (32) | unbonding entries: `Entry`, oldest first |
| X | | first and next number of the queue of unbondings |
| X | number (8, big-endian) | `Link`: validator id, account, empty, the validator's entry before this one, start height |
| X | validator id (20) | number of the validator's latest unbonding |
| r | source id (20), destination id (20), delegator (32) | redelegation entries: `Entry`, oldest first |
| r | destination id (20), delegator (32) | until when (Unix seconds) stake that came by redelegation may not be redelegated on |
| R | | first and next number of the queue of redelegations |
| R | number (8, big-endian) | `Link`: source id, account, destination id, the source's entry before this one, start height |
| R | source id (20) | number of the source's latest redelegation |
| w | validator id (20) | length of the window that is counted in, votes missed in it |
| w | validator id (20), part (2, big-endian) | 1,024 heights of the window: a bit set for each missed vote |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgpack
import msgspec

from state.primitives.codec import Value

VALIDATOR: Final = ord("v")
VALIDATORS: Final = ord("V")
POOL: Final = ord("f")
CONSENSUS_KEY: Final = ord("k")
DELEGATION: Final = ord("d")
DELEGATOR: Final = ord("D")
UNBONDING: Final = ord("x")
UNBONDING_QUEUE: Final = ord("X")
REDELEGATION: Final = ord("r")
REDELEGATION_QUEUE: Final = ord("R")
WINDOW: Final = ord("w")

STAKING_LETTERS: Final = frozenset(
    {
        VALIDATOR,
        VALIDATORS,
        POOL,
        CONSENSUS_KEY,
        DELEGATION,
        DELEGATOR,
        UNBONDING,
        UNBONDING_QUEUE,
        REDELEGATION,
        REDELEGATION_QUEUE,
        WINDOW,
    }
)

VALIDATORS_KEY: Final = b" V"
TOTALS_KEY: Final = b" f"
UNBONDING_QUEUE_KEY: Final = b" X"
REDELEGATION_QUEUE_KEY: Final = b" R"

ID: Final = slice(2, 22)  # the validator's id in the keys of v, f, d, x
DELEGATOR_OF: Final = slice(22, 54)  # the account in the keys of d and x
POOL_KEY_BYTES: Final = 22
ENTRIES_KEY_BYTES: Final = 2 + 20 + 20 + 32  # of redelegation entries


class ValidatorRecord(NamedTuple):
    """What a validator is. `told_keys` are (Ed25519, ML-DSA kind, ML-DSA) while the set still has the keys before these, else ()."""

    ed25519_key: bytes
    pq_kind: int
    pq_key: bytes
    owner: bytes
    commission_ppm: int
    min_self_bond: int
    moniker: str
    details: str
    start_height: int
    commission_s: int  # when the commission was last changed
    rotated_s: int  # when the keys were last replaced
    told_keys: tuple[bytes, int, bytes] | tuple[()]


class Pool(NamedTuple):
    """A validator's stake. `power` is what the validator set was last told.

    Rewards are in 2^-640 units: `acc` per share, `carry` what the shares did not divide, `ref` the network's accumulator when this
    one was last brought up to date, `commission` what the owner is owed. `lag_from` and `lag_until` are the blocks between which
    the power was last above what the stake was worth, because a block may only change so much.
    """

    tokens: int
    shares: int
    is_jailed: bool
    jailed_until_s: int
    is_tombstoned: bool
    power: int
    acc: int
    carry: int
    ref: int
    commission: int
    lag_from: int
    lag_until: int


class Totals(NamedTuple):
    """Rewards of the network in 2^-640 units per unit of power, the power told in all, and where the inflation stands."""

    acc: int
    carry: int
    power: int
    minted_ns: int  # up to when the inflation was minted; 0: not running
    mint_carry: int


class Delegation(NamedTuple):
    """An account's shares of a pool, the accumulator at its last settlement, and what it is owed in 2^-640 units."""

    shares: int
    ref: int
    owed: int


class Entry(NamedTuple):
    """Stake on its way out: number in its queue, height and amount at its start, what is left of it, when it is free."""

    number: int
    height: int
    initial: int
    balance: int  # of redelegations: what may still be slashed
    until_s: int


class Link(NamedTuple):
    """An entry's place in its queue and in the chain of its validator's entries; `before` is -1 at the chain's start."""

    validator: bytes
    account: bytes
    destination: bytes
    before: int
    height: int


def validator_key(validator: bytes) -> bytes:
    """Key of a validator's record."""
    return b" v" + validator


def pool_key(validator: bytes) -> bytes:
    """Key of a validator's pool."""
    return b" f" + validator


def address_owner_key(address: bytes) -> bytes:
    """Key of the validator that has or had the Ed25519 key with this address."""
    return b" ke" + address


def pq_owner_key(digest: bytes) -> bytes:
    """Key of the validator that has or had the ML-DSA key with this SHA-256."""
    return b" kp" + digest


def operator_key(owner: bytes) -> bytes:
    """Key of the validator that an account has registered."""
    return b" ko" + owner


def delegation_key(validator: bytes, delegator: bytes) -> bytes:
    """Key of a delegation."""
    return b" d" + validator + delegator


def delegator_key(delegator: bytes) -> bytes:
    """Key of the list of an account's validators."""
    return b" D" + delegator


def unbonding_key(validator: bytes, delegator: bytes) -> bytes:
    """Key of an account's unbonding entries from a validator."""
    return b" x" + validator + delegator


def redelegation_key(source: bytes, destination: bytes, delegator: bytes) -> bytes:
    """Key of an account's redelegation entries between two validators."""
    return b" r" + source + destination + delegator


def incoming_key(destination: bytes, delegator: bytes) -> bytes:
    """Key of the time until which an account may not redelegate from a validator."""
    return b" r" + destination + delegator


def link_key(queue: bytes, number: int) -> bytes:
    """Key of one place of a queue."""
    return queue + number.to_bytes(8, "big")


def latest_key(queue: bytes, validator: bytes) -> bytes:
    """Key of the number of a validator's latest entry in a queue."""
    return queue + validator


def window_key(validator: bytes) -> bytes:
    """Key of a validator's count of missed votes."""
    return b" w" + validator


def window_part_key(validator: bytes, part: int) -> bytes:
    """Key of one part of a validator's missed votes."""
    return b" w" + validator + part.to_bytes(2, "big")


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)


def _from_bytes(data: Value) -> int:
    if type(data) is not bytes or data[:1] == b"\x00":
        raise ValueError("not minimal big-endian bytes")
    return int.from_bytes(data, "big")


def _to_bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) >> 3, "big")


def _decode_with(make: Callable[..., Value], positions: tuple[int, ...]) -> Callable[[Value], Value]:
    def decode(values: Value) -> Value:
        values = list(values)
        for position in positions:
            values[position] = _from_bytes(values[position])
        return make(*values)

    return decode


def _encode_with(positions: tuple[int, ...]) -> Callable[[Value], list[Value]]:
    def encode(record: Value) -> list[Value]:
        values = list(record)
        for position in positions:
            values[position] = _to_bytes(values[position])
        return values

    return encode


_VALIDATOR_WIDE: Final = (5,)
_POOL_WIDE: Final = (0, 1, 6, 7, 8, 9)
_TOTALS_WIDE: Final = (0, 1, 3, 4)
_DELEGATION_WIDE: Final = (0, 1, 2)
_ENTRY_WIDE: Final = (2, 3)

_read_validator: Final = _decode_with(ValidatorRecord, _VALIDATOR_WIDE)
_write_validator: Final = _encode_with(_VALIDATOR_WIDE)
_read_pool: Final = _decode_with(Pool, _POOL_WIDE)
_write_pool: Final = _encode_with(_POOL_WIDE)
_read_totals: Final = _decode_with(Totals, _TOTALS_WIDE)
_write_totals: Final = _encode_with(_TOTALS_WIDE)
_read_delegation: Final = _decode_with(Delegation, _DELEGATION_WIDE)
_write_delegation: Final = _encode_with(_DELEGATION_WIDE)
_read_entry: Final = _decode_with(Entry, _ENTRY_WIDE)
_write_entry: Final = _encode_with(_ENTRY_WIDE)


def _decode_pool(raw: bytes) -> Value:
    values = _unpack(raw)
    return _read_totals(values) if len(values) == len(Totals._fields) else _read_pool(values)


def _encode_pool(record: Value) -> bytes:
    return _pack(_write_totals(record) if len(record) == len(Totals._fields) else _write_pool(record))


def _decode_entries(raw: bytes) -> Value:
    return tuple(_read_entry(entry) if type(entry) is tuple else entry for entry in _unpack(raw))


def _encode_entries(record: Value) -> bytes:
    return _pack([_write_entry(entry) if isinstance(entry, tuple) else entry for entry in record])


def _decode_queue(raw: bytes) -> Value:
    values = _unpack(raw)
    return Link(*values) if len(values) == len(Link._fields) else values


STAKING_DECODE: Final[dict[int, Callable[[bytes], Value]]] = {
    VALIDATOR: lambda raw: _read_validator(_unpack(raw)),
    VALIDATORS: _unpack,
    POOL: _decode_pool,
    CONSENSUS_KEY: _unpack,
    DELEGATION: lambda raw: _read_delegation(_unpack(raw)),
    DELEGATOR: _unpack,
    UNBONDING: _decode_entries,
    UNBONDING_QUEUE: _decode_queue,
    REDELEGATION: _decode_entries,
    REDELEGATION_QUEUE: _decode_queue,
    WINDOW: _unpack,
}
STAKING_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {
    VALIDATOR: lambda record: _pack(_write_validator(record)),
    VALIDATORS: _pack,
    POOL: _encode_pool,
    CONSENSUS_KEY: _pack,
    DELEGATION: lambda record: _pack(_write_delegation(record)),
    DELEGATOR: _pack,
    UNBONDING: _encode_entries,
    UNBONDING_QUEUE: _pack,
    REDELEGATION: _encode_entries,
    REDELEGATION_QUEUE: _pack,
    WINDOW: _pack,
}
