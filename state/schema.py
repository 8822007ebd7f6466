"""Every key of the state and the form of the record behind it. No rule about what may be stored goes in here.

A raw key is a space, one letter (or a digit: all letters are taken), and the rest: at most 255 bytes. A value is a canonical msgpack
array and never empty.
In memory a record is a plain tuple with amounts as integers; `DECODE` and `ENCODE` translate, chosen by the letter, so that
each record is decoded at most once and encoded at most once per block. Absent means zero or nothing, never "unknown".

| letter | key after the letter | record |
|---|---|---|
| a | account address (32) | kind, parent (32 or empty), keys ((id, kind, public key, weight), ...), the 4 thresholds, marks |
| n | account address (32) | next sequence of lane 0, of lane 1, ... up to the highest lane used |
| h | account address (32), asset code | balance; or balance, held, marks when one of the two is not zero |
| A | asset code | scale, maximum supply (0: only the global bound), flags, issuer (32), metadata hash (32 or empty), marks |
| s | asset code | supply |
| L | | number of assets |
| L | number (4, big-endian) | asset code, in order of creation |
| m | account address (32), asset code | mint allowance, minted so far |
| c | account address (32), client reference (16) | body hash, intent hash, forgotten at (Unix seconds) |
| u | body hash (32) of an unordered transaction | forgotten at (Unix seconds) |
| q | c or u | first and next number of the queue of what is to be forgotten |
| q | c or u, number (8, big-endian) | forgotten at (Unix seconds), key |
| v V f k d D x X r R w | | staking, see `state.schema_staking` |
| l I i K | | pools, see `state.schema_amm` |
| C | | claims, see `state.schema_claims` |
| y z U Z e | | credentials, domains, limits, travel rule, views, acts, see `state.schema_kyc` |
| M | | freezes, sanctions, roles of assets, see `state.schema_freezes` |
| F J j | | farms, see `state.schema_farm` |
| H E S Y | | holds, escrows, settlements, offers, see `state.schema_pending` |
| B T | | central banks, see `state.schema_treasury` |
| P t W | | policies, grants and allow-lists of accounts, see `state.schema_accounts` |
| Q | | next minute of the calendar, next number in it, entries in all |
| Q | minute (8, big-endian) | number of entries due in that minute |
| Q | minute (8, big-endian), number (4, big-endian) | kind, key of what is due |
| g G o O | | governance, see `state.schema_gov` |
| 0 | | anchors of audit logs, see `state.schema_audit` |
| 1 | | hash of the proposer priorities after the last block, see `consensus.proposer`; none before the first |
| p | name of a group | parameters, see `state.params` |
| b | | tripped breakers, see `state.breakers` |
| N | V, owner (32); or P, p2p node id (20) | since which height it is admitted; present means admitted |
| N | P | the admitted node ids, sorted |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgpack
import msgspec

from state.primitives.codec import Value, decode_amount, encode_amount
from state.primitives.errors import MalformedError, StorageCorruptError
from state.schema_accounts import ACCOUNTS_DECODE, ACCOUNTS_ENCODE
from state.schema_amm import AMM_DECODE, AMM_ENCODE
from state.schema_audit import AUDIT_DECODE, AUDIT_ENCODE
from state.schema_claims import CLAIMS_DECODE, CLAIMS_ENCODE
from state.schema_farm import FARM_DECODE, FARM_ENCODE
from state.schema_freezes import FREEZES_DECODE, FREEZES_ENCODE
from state.schema_gov import GOV_DECODE, GOV_ENCODE
from state.schema_kyc import KYC_DECODE, KYC_ENCODE
from state.schema_pending import PENDING_DECODE, PENDING_ENCODE
from state.schema_staking import STAKING_DECODE, STAKING_ENCODE
from state.schema_treasury import TREASURY_DECODE, TREASURY_ENCODE

ACCOUNT: Final = ord("a")
NONCES: Final = ord("n")
HOLDING: Final = ord("h")
ASSET: Final = ord("A")
SUPPLY: Final = ord("s")
ASSET_LIST: Final = ord("L")
MINTER: Final = ord("m")
CLIENT_REF: Final = ord("c")
UNORDERED: Final = ord("u")
QUEUE: Final = ord("q")
PARAMS: Final = ord("p")
BREAKERS: Final = ord("b")
ADMISSION: Final = ord("N")
CALENDAR: Final = ord("Q")
PRIORITIES: Final = ord("1")

# The hot path builds these keys in place: prefix + address (+ code)
ACCOUNT_PREFIX: Final = b" a"
NONCES_PREFIX: Final = b" n"
HOLDING_PREFIX: Final = b" h"
ASSET_PREFIX: Final = b" A"

HOLDING_ADDRESS: Final = slice(2, 34)
HOLDING_CODE_START: Final = 34

ASSET_LIST_KEY: Final = b" L"
BREAKERS_KEY: Final = b" b"
CALENDAR_KEY: Final = b" Q"
CONSENSUS_PARAMS_KEY: Final = b" pconsensus"
FEE_PARAMS_KEY: Final = b" pfees"
ACCOUNT_PARAMS_KEY: Final = b" paccounts"
STAKE_PARAMS_KEY: Final = b" pstake"
COMPLIANCE_PARAMS_KEY: Final = b" pcompliance"
GOV_PARAMS_KEY: Final = b" pgov"
PRIORITIES_KEY: Final = b" 1"

ADMIT_VALIDATOR: Final = b"V"  # identity: the owner's address
ADMIT_NODE: Final = b"P"  # identity: the p2p node id, 20 bytes
NODES_KEY: Final = b" NP"

CLIENT_REF_QUEUE: Final = b" qc"
UNORDERED_QUEUE: Final = b" qu"


def account_key(address: bytes) -> bytes:
    """Key of an account's policy."""
    return b" a" + address


def nonces_key(address: bytes) -> bytes:
    """Key of an account's sequences."""
    return b" n" + address


def holding_key(address: bytes, code: str) -> bytes:
    """Key of what an account holds of an asset."""
    return b" h" + address + code.encode("ascii")


def asset_key(code: str) -> bytes:
    """Key of an asset's definition."""
    return b" A" + code.encode("ascii")


def supply_key(code: str) -> bytes:
    """Key of an asset's supply."""
    return b" s" + code.encode("ascii")


def asset_number_key(number: int) -> bytes:
    """Key of the code of the asset created as number `number`, from 0."""
    return ASSET_LIST_KEY + number.to_bytes(4, "big")


def minter_key(address: bytes, code: str) -> bytes:
    """Key of an account's allowance to mint an asset."""
    return b" m" + address + code.encode("ascii")


def client_ref_key(address: bytes, client_ref: bytes) -> bytes:
    """Key of a client reference that an account has used."""
    return b" c" + address + client_ref


def unordered_key(body_hash: bytes) -> bytes:
    """Key of an unordered transaction that was applied."""
    return b" u" + body_hash


def queue_entry_key(queue: bytes, number: int) -> bytes:
    """Key of one entry of a queue."""
    return queue + number.to_bytes(8, "big")


def calendar_minute_key(minute: int) -> bytes:
    """Key of how many entries a minute of the calendar has."""
    return CALENDAR_KEY + minute.to_bytes(8, "big")


def calendar_entry_key(minute: int, number: int) -> bytes:
    """Key of one entry of the calendar."""
    return CALENDAR_KEY + minute.to_bytes(8, "big") + number.to_bytes(4, "big")


def admission_key(kind: bytes, identity: bytes) -> bytes:
    """Key of an admission; `kind` is `ADMIT_VALIDATOR` or `ADMIT_NODE`."""
    return b" N" + kind + identity


_pack: Final = msgspec.msgpack.Encoder().encode  # the same bytes as our codec for arrays of int, bytes, str and bool


_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)


def _decode_amount(raw: bytes) -> Value:
    if raw[:2] != b"\x91\xc4" or raw[2] != len(raw) - 3:
        raise ValueError("not an array of one amount")
    return (int.from_bytes(raw[3:], "big"),)


def _decode_holding(raw: bytes) -> Value:
    if raw[:1] == b"\x91":
        return _decode_amount(raw)
    balance, held, marks = _unpack(raw)
    return decode_amount(balance), decode_amount(held), marks


def _encode_holding(record: Value) -> bytes:
    if len(record) > 1:
        balance, held, marks = record
        return _pack((encode_amount(balance), encode_amount(held), marks))
    return _encode_amount(record)


def _encode_amount(record: Value) -> bytes:
    balance: int = record[0]
    size = (balance.bit_length() + 7) >> 3
    return b"\x91\xc4" + size.to_bytes(1, "big") + balance.to_bytes(size, "big")


def _with_amounts(positions: tuple[int, ...]) -> tuple[Callable[[bytes], Value], Callable[[Value], bytes]]:
    """Decoder and encoder of a record whose values at `positions` are amounts."""

    def decode(raw: bytes) -> Value:
        record = list(_unpack(raw))
        for position in positions:
            record[position] = decode_amount(record[position])
        return tuple(record)

    def encode(record: Value) -> bytes:
        values = list(record)
        for position in positions:
            amount: int = values[position]
            values[position] = amount.to_bytes((amount.bit_length() + 7) >> 3, "big")
        return _pack(values)

    return decode, encode


_asset = _with_amounts((1,))
_minter = _with_amounts((0, 1))

# letter -> bytes to record, record to bytes
DECODE: Final[dict[int, Callable[[bytes], Value]]] = {
    ACCOUNT: _unpack,
    NONCES: _unpack,
    HOLDING: _decode_holding,
    ASSET: _asset[0],
    SUPPLY: _decode_amount,
    ASSET_LIST: _unpack,
    MINTER: _minter[0],
    CLIENT_REF: _unpack,
    UNORDERED: _unpack,
    QUEUE: _unpack,
    PARAMS: _unpack,
    BREAKERS: _unpack,
    ADMISSION: _unpack,
    CALENDAR: _unpack,
    PRIORITIES: _unpack,
    **STAKING_DECODE,
    **AMM_DECODE,
    **CLAIMS_DECODE,
    **FREEZES_DECODE,
    **FARM_DECODE,
    **PENDING_DECODE,
    **TREASURY_DECODE,
    **KYC_DECODE,
    **ACCOUNTS_DECODE,
    **GOV_DECODE,
    **AUDIT_DECODE,
}
ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {
    ACCOUNT: _pack,
    NONCES: _pack,
    HOLDING: _encode_holding,
    ASSET: _asset[1],
    SUPPLY: _encode_amount,
    ASSET_LIST: _pack,
    MINTER: _minter[1],
    CLIENT_REF: _pack,
    UNORDERED: _pack,
    QUEUE: _pack,
    PARAMS: _pack,
    BREAKERS: _pack,
    ADMISSION: _pack,
    CALENDAR: _pack,
    PRIORITIES: _pack,
    **STAKING_ENCODE,
    **AMM_ENCODE,
    **CLAIMS_ENCODE,
    **FREEZES_ENCODE,
    **FARM_ENCODE,
    **PENDING_ENCODE,
    **TREASURY_ENCODE,
    **KYC_ENCODE,
    **ACCOUNTS_ENCODE,
    **GOV_ENCODE,
    **AUDIT_ENCODE,
}


def decode_record(key: bytes, raw: bytes) -> Value:
    """The record stored as `raw` under `key`. Raises `StorageCorruptError` if it cannot be one of ours."""
    try:
        return DECODE[key[1]](raw)
    except (LookupError, ValueError, TypeError, MalformedError, msgpack.exceptions.UnpackException) as error:
        raise StorageCorruptError(f"the record under {key!r} is not readable: {error}") from error


def encode_record(key: bytes, record: Value) -> bytes:
    """The stored form of a record under `key`."""
    return ENCODE[key[1]](record)
