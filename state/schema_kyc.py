"""Keys and forms of credentials, domains, compliance rules, window counters, views and the audit list of privileged acts.

`state.schema` takes the tables in; no rule about what may be stored goes in here. Amounts are minimal big-endian bytes; in front of
the values stands a number that tells the kind of record, because one letter has several.

| letter | key after the letter | record |
|---|---|---|
| y | subject (32), issuer (32), type | what an issuer says of a subject: `Credential` |
| y | subject (32) | the credentials that the subject has accepted: ((issuer, type), ...), sorted |
| z | name | a domain: `Domain` |
| U | R, asset code | which rules an asset has: `AssetRules` |
| U | A, account (32), asset code | limits of an account and its sub-accounts together: `Limits` |
| U | H, account (32), asset code | limits of one holding: `Limits` |
| U | D, asset code | limits of all who hold an asset: `Limits` |
| U | T, tier (1), asset code | limits of those of a tier: `Limits` |
| U | V, jurisdiction (0 or 2 letters), "/", asset code | threshold of the travel rule: `Threshold` |
| U | I, account (32) | an institution with a key for attestations: `Vasp` |
| U | L, legal entity identifier | the account that bears it |
| Z | H or A, account (32), asset code | what was moved in the window, of a holding or of a group: `Window` |
| Z | T, hash of an attestation (32) | until when (Unix seconds) it may not be used again |
| e | V, regulator (32), scope (1), account (32) or asset code or nothing | what a regulator may see: `View` |
| e | A | number of privileged acts |
| e | A, number (8, big-endian) | a privileged act: `Act` |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgpack
import msgspec

from state.primitives.codec import Value

CREDENTIAL: Final = ord("y")
DOMAIN: Final = ord("z")
RULE: Final = ord("U")
WINDOW: Final = ord("Z")
OVERSIGHT: Final = ord("e")

SUBJECT: Final = slice(2, 34)
CREDENTIAL_ISSUER: Final = slice(34, 66)
CREDENTIAL_TYPE_START: Final = 66
CREDENTIAL_LIST_KEY_BYTES: Final = 34
PART: Final = slice(2, 3)  # the letter after the letter, of U, Z and e
RULE_ACCOUNT: Final = slice(3, 35)
RULE_ACCOUNT_CODE_START: Final = 35
ACTS_KEY: Final = b" eA"


class Credential(NamedTuple):
    """What an issuer says. `accepted_s` is zero until its subject agrees to bear it; `jurisdiction` may be empty."""

    tier: int
    jurisdiction: str
    expires_s: int
    evidence_hash: bytes
    issued_s: int
    accepted_s: int


class Domain(NamedTuple):
    """Whose domain it is, and which credentials make a member: (issuer, type, lowest tier). None: nobody is one, it was deleted."""

    owner: bytes
    credentials: tuple[tuple[bytes, str, int], ...]


class AssetRules(NamedTuple):
    """How many limits of groups and thresholds there are of an asset, for which tiers, and whom it keeps out by jurisdiction.

    `is_only`: the jurisdictions are the only ones that may hold it; else they are the ones that may not.
    """

    limits: int
    tiers: tuple[int, ...]
    thresholds: int
    is_only: bool
    jurisdictions: tuple[str, ...]
    set_by: bytes  # who named the jurisdictions


class Limits(NamedTuple):
    """Zero means: no such limit. `in_max` and `out_max` are for any `window_s` seconds."""

    per_tx: int
    in_max: int
    out_max: int
    max_balance: int
    window_s: int
    set_by: bytes


class Threshold(NamedTuple):
    """From this amount on a payment carries travel data."""

    amount: int
    set_by: bytes


class Vasp(NamedTuple):
    """An institution's legal entity identifier and the keys ((id, kind, public key, weight), ...) that attest for it."""

    lei: str
    keys: tuple[tuple[int, int, bytes, int], ...]


class Bucket(NamedTuple):
    """What came in and went out in one part of a window; `number` times the bucket's seconds is when it began."""

    number: int
    came_in: int
    went_out: int


class Window(NamedTuple):
    """What counts of a holding or a group. `rule` is the key of the limits that it was counted by.

    `tx` is the body hash of the last transaction that moved something, with what it moved. `members` are the accounts of the group,
    besides its head, that have received since their balances count.
    """

    rule: bytes
    bucket_s: int
    buckets: tuple[Bucket, ...]
    tx: bytes
    tx_in: int
    tx_out: int
    members: tuple[bytes, ...]


class View(NamedTuple):
    """What a regulator was granted to see, by whom, until when (Unix seconds)."""

    granted_by: bytes
    since_s: int
    until_s: int


class Act(NamedTuple):
    """A privileged act: operation `code` by `actor`, concerning `subject` and `asset` where it has them, for a reason kept elsewhere."""

    height: int
    time_s: int
    code: int
    actor: bytes
    subject: bytes
    asset: str
    evidence: bytes
    tx: bytes


NO_RULES: Final = AssetRules(0, (), 0, False, (), b"")


def credential_key(subject: bytes, issuer: bytes, kind: str) -> bytes:
    """Key of a credential."""
    return b" y" + subject + issuer + kind.encode("ascii")


def credentials_key(subject: bytes) -> bytes:
    """Key of the list of credentials that a subject has accepted."""
    return b" y" + subject


def domain_key(name: str) -> bytes:
    """Key of a domain."""
    return b" z" + name.encode("ascii")


def asset_rules_key(code: bytes) -> bytes:
    """Key of which rules an asset has."""
    return b" UR" + code


def account_limits_key(address: bytes, code: bytes) -> bytes:
    """Key of the limits of an account and its sub-accounts."""
    return b" UA" + address + code


def holding_limits_key(address: bytes, code: bytes) -> bytes:
    """Key of the limits of one holding."""
    return b" UH" + address + code


def asset_limits_key(code: bytes) -> bytes:
    """Key of the limits of all who hold an asset."""
    return b" UD" + code


def tier_limits_key(tier: int, code: bytes) -> bytes:
    """Key of the limits of those of a tier."""
    return b" UT" + tier.to_bytes(1, "big") + code


def threshold_key(jurisdiction: str, code: bytes) -> bytes:
    """Key of a threshold; the empty jurisdiction is for those that have none of their own."""
    return b" UV" + jurisdiction.encode("ascii") + b"/" + code


def vasp_key(institution: bytes) -> bytes:
    """Key of an institution's attestation keys."""
    return b" UI" + institution


def lei_key(lei: str) -> bytes:
    """Key of who bears a legal entity identifier."""
    return b" UL" + lei.encode("ascii")


def holding_window_key(address: bytes, code: bytes) -> bytes:
    """Key of what a limited holding has moved."""
    return b" ZH" + address + code


def group_window_key(head: bytes, code: bytes) -> bytes:
    """Key of what a group has moved; its head is the account without a parent."""
    return b" ZA" + head + code


def attested_key(message_hash: bytes) -> bytes:
    """Key of an attestation that was used."""
    return b" ZT" + message_hash


def view_key(regulator: bytes, scope: int, target: bytes) -> bytes:
    """Key of a regulator's view; `target` is an account, an asset code or empty, as the scope says."""
    return b" eV" + regulator + scope.to_bytes(1, "big") + target


def act_key(number: int) -> bytes:
    """Key of a privileged act."""
    return ACTS_KEY + number.to_bytes(8, "big")


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)


def _from_bytes(data: Value) -> int:
    if type(data) is not bytes or data[:1] == b"\x00":
        raise ValueError("not minimal big-endian bytes")
    return int.from_bytes(data, "big")


def _to_bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) >> 3, "big")


_PLAIN: Final = 0
# tag in front of the values -> kind of record, how many amounts come first
_KINDS: Final[dict[int, tuple[Callable[..., Value], int]]] = {
    1: (Credential, 0),
    2: (Domain, 0),
    3: (AssetRules, 0),
    4: (Limits, 4),
    5: (Threshold, 1),
    6: (Vasp, 0),
    8: (View, 0),
    9: (Act, 0),
}
_WINDOW_TAG: Final = 7
_TAGS: Final = {kind: (tag, wide) for tag, (kind, wide) in _KINDS.items()}


def _decode(raw: bytes) -> Value:
    tag, *values = _unpack(raw)
    if tag == _PLAIN:
        return tuple(values)
    if tag == _WINDOW_TAG:
        rule, bucket_s, buckets, tx, tx_in, tx_out, members = values
        read = tuple(Bucket(number, _from_bytes(came_in), _from_bytes(out)) for number, came_in, out in buckets)
        return Window(rule, bucket_s, read, tx, _from_bytes(tx_in), _from_bytes(tx_out), members)
    kind, wide = _KINDS[tag]
    return kind(*(_from_bytes(value) for value in values[:wide]), *values[wide:])


def _encode(record: Value) -> bytes:
    if type(record) is Window:
        buckets = tuple((number, _to_bytes(came_in), _to_bytes(out)) for number, came_in, out in record.buckets)
        rest = (record.tx, _to_bytes(record.tx_in), _to_bytes(record.tx_out), record.members)
        return _pack((_WINDOW_TAG, record.rule, record.bucket_s, buckets, *rest))
    tag, wide = _TAGS.get(type(record), (_PLAIN, 0))
    return _pack((tag, *(_to_bytes(number) for number in record[:wide]), *record[wide:]))


KYC_LETTERS: Final = (CREDENTIAL, DOMAIN, RULE, WINDOW, OVERSIGHT)
KYC_DECODE: Final[dict[int, Callable[[bytes], Value]]] = dict.fromkeys(KYC_LETTERS, _decode)
KYC_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = dict.fromkeys(KYC_LETTERS, _encode)
