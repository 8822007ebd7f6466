"""Keys and forms of what accounts have beyond their keys. `state.schema` takes the tables in; no rule about them goes in here.

| letter | key after the letter | record |
|---|---|---|
| P | account (32) | `AccountPolicy`: delays, recovery weight, level of dual control, changes under way, rules of single keys |
| P | account (32), number (8, big-endian) | `KeyChange`: a change of keys that waits |
| t | account (32) | names of its session keys and delegations, sorted |
| t | account (32), name of a grant | `Grant` |
| t | account (32), name of a grant in small letters | `Usage`: what was used of it in its running window |
| W | account (32) | `AllowList`: who must agree to changes, whom the account may pay |

The name of a grant is S and the key id (4, big-endian) of a session key, D and the address of a delegate, F and the address of
somebody whose fees are paid. Every account that the bits in its record (`state.marks`) do not say it of has none of these but F.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgpack
import msgspec

from state.primitives.codec import Value, decode_amount, encode_amount

POLICY: Final = ord("P")
GRANT: Final = ord("t")
ALLOWLIST: Final = ord("W")

OWNER: Final = slice(2, 34)  # whose record it is
NAME_START: Final = 34
OWN_KEY_BYTES: Final = 34  # policies, lists of grants, allow-lists

SESSION: Final = b"S"
DELEGATION: Final = b"D"
SPONSORSHIP: Final = b"F"


class KeyRule(NamedTuple):
    """What is special about one key: its class (`state.modules.account_policy`), from when to when it signs (Unix seconds)."""

    key_id: int
    key_class: int
    valid_from: int
    valid_until: int  # the last second; 0: no end


class AccountPolicy(NamedTuple):
    """What is asked of an account's keys beyond their weight."""

    rotation_delay_s: int  # from a change of keys by their owners to its confirmation; 0: changes are done at once
    recovery_delay_s: int
    recovery_weight: int  # of recovery keys; 0: there is no recovery
    dual_from: int  # the level from which a maker and a checker must sign; 4: none
    next_change: int
    rotation: int  # number of the waiting change by the owners; 0: none
    recovery: int  # and of that by recovery keys
    rules: tuple[KeyRule, ...]  # by key id; a key without one is an owner's, without end


class KeyChange(NamedTuple):
    """A change of keys that waits. `settings` are the first four fields of the policy, or empty: they and the rules stay."""

    is_recovery: int  # 1: every key but those for recovery is replaced by `add`
    add: Value  # key entries
    remove: tuple[int, ...]
    thresholds: tuple[int, ...]  # or empty: they stay
    settings: tuple[int, ...]
    rules: tuple[KeyRule, ...]
    ready_s: int  # it may be confirmed from here
    until_s: int  # to here


class Limit(NamedTuple):
    """How much of an asset a grant may spend: in one transaction, in one window."""

    asset: str
    per_tx: int
    per_window: int


class Grant(NamedTuple):
    """What an account lets somebody do. Session keys have a key; who pays another's fees limits the fees only."""

    key_kind: int
    public_key: bytes
    ops: tuple[int, ...]  # numbers of operations, sorted
    limits: tuple[Limit, ...]  # by asset; of others nothing may be spent
    counterparties: tuple[bytes, ...]  # sorted; empty: anybody
    fee_limit: int  # per window, of the fee asset
    window_s: int
    granted_s: int
    until_s: int


class Usage(NamedTuple):
    """What was used of a grant in its window number `window`, counted from when it was granted."""

    window: int
    fees: int
    spent: tuple[tuple[str, int], ...]  # by asset


class AllowList(NamedTuple):
    """Whom an account may pay."""

    cosigner: bytes  # must authorise every change of the list; empty: nobody else
    counterparties: tuple[bytes, ...]  # sorted


def policy_key(account: bytes) -> bytes:
    """Key of an account's policy."""
    return b" P" + account


def change_key(account: bytes, number: int) -> bytes:
    """Key of a change of keys that waits."""
    return b" P" + account + number.to_bytes(8, "big")


def grants_key(account: bytes) -> bytes:
    """Key of the names of an account's session keys and delegations."""
    return b" t" + account


def session_name(key_id: int) -> bytes:
    """Name of a session key among an account's grants."""
    return SESSION + key_id.to_bytes(4, "big")


def grant_key(account: bytes, name: bytes) -> bytes:
    """Key of a grant."""
    return b" t" + account + name


def usage_key(grant: bytes) -> bytes:
    """Key of what was used of a grant, from the grant's own."""
    return grant[:NAME_START] + grant[NAME_START : NAME_START + 1].lower() + grant[NAME_START + 1 :]


def allowlist_key(account: bytes) -> bytes:
    """Key of whom an account may pay."""
    return b" W" + account


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)


def _decode_policy(raw: bytes) -> Value:
    values = _unpack(raw)
    if len(values) == len(KeyChange._fields) and type(values[1]) is tuple:
        change = KeyChange(*values)
        return change._replace(rules=tuple(KeyRule(*rule) for rule in change.rules))
    policy = AccountPolicy(*values)
    return policy._replace(rules=tuple(KeyRule(*rule) for rule in policy.rules))


def _is_usage(values: Value) -> bool:
    return len(values) == len(Usage._fields) and type(values[0]) is int


def _decode_grant(raw: bytes) -> Value:
    values = _unpack(raw)
    if type(values[0]) is bytes:
        return values
    if _is_usage(values):
        window, fees, spent = values
        return Usage(window, decode_amount(fees), tuple((asset, decode_amount(amount)) for asset, amount in spent))
    grant = Grant(*values)
    limits = tuple(Limit(asset, decode_amount(one), decode_amount(many)) for asset, one, many in grant.limits)
    return grant._replace(limits=limits, fee_limit=decode_amount(grant.fee_limit))


def _encode_grant(record: Value) -> bytes:
    if isinstance(record, Usage):
        spent = tuple((asset, encode_amount(amount)) for asset, amount in record.spent)
        return _pack((record.window, encode_amount(record.fees), spent))
    if isinstance(record, Grant):
        limits = tuple((asset, encode_amount(one), encode_amount(many)) for asset, one, many in record.limits)
        values = record._replace(limits=limits, fee_limit=encode_amount(record.fee_limit))  # type: ignore[arg-type]
        return _pack(tuple(values))
    return _pack(record)


def _decode_allowlist(raw: bytes) -> Value:
    return AllowList(*_unpack(raw))


ACCOUNTS_DECODE: Final[dict[int, Callable[[bytes], Value]]] = {
    POLICY: _decode_policy,
    GRANT: _decode_grant,
    ALLOWLIST: _decode_allowlist,
}
ACCOUNTS_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {POLICY: _pack, GRANT: _encode_grant, ALLOWLIST: _pack}
