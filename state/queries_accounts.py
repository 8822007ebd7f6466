"""Pure reads of what accounts have beyond their keys: policies, waiting changes, grants, lists. Nothing here writes.

See `state.queries` for the forms; amounts are base units. A grant that has run out may still stand in the state until it is swept: its
own date decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from state.marks import GOVERNED_KEYS
from state.modules.account_policy import DUAL_OFF, KeyClass, find_rule, read_policy
from state.modules.fields import show_keys, show_thresholds
from state.modules.fields_accounts import show_limits, show_rules
from state.modules.operation import Level
from state.modules.table import OPERATIONS
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address, parse_address
from state.primitives.keys import KeyKind
from state.primitives.limits import KEY_ID_MAX
from state.schema import account_key, decode_record
from state.schema_accounts import (
    ALLOWLIST,
    DELEGATION,
    GRANT,
    NAME_START,
    OWN_KEY_BYTES,
    OWNER,
    POLICY,
    SESSION,
    SPONSORSHIP,
    AccountPolicy,
    AllowList,
    Grant,
    KeyChange,
    Usage,
    allowlist_key,
    change_key,
    grant_key,
    grants_key,
    policy_key,
    session_name,
    usage_key,
)
from state.view import Reader, View

Json = dict[str, object]

_KINDS: Final = {SESSION: "session", DELEGATION: "delegation", SPONSORSHIP: "sponsorship"}
_NUMBER_MAX: Final = (1 << 63) - 1


def _read_number(text: str, largest: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) > largest:
        raise MalformedError("a number is made of digits")
    return int(text)


ACCOUNT_PATHS: Final[dict[tuple[str, int], Callable[..., bytes]]] = {
    ("policy", 1): lambda account: policy_key(parse_address(account)),
    ("key-change", 2): lambda account, number: change_key(parse_address(account), _read_number(number, _NUMBER_MAX)),
    ("grants", 1): lambda account: grants_key(parse_address(account)),
    ("session", 2): lambda account, key_id: grant_key(parse_address(account), session_name(_read_number(key_id, KEY_ID_MAX))),
    ("delegate", 2): lambda account, to: grant_key(parse_address(account), DELEGATION + parse_address(to)),
    ("sponsorship", 2): lambda account, who: grant_key(parse_address(account), SPONSORSHIP + parse_address(who)),
    ("allowlist", 1): lambda account: allowlist_key(parse_address(account)),
}


def _level_name(level: int) -> str:
    return "" if level == DUAL_OFF else Level(level).name.lower()


def show_policy(key: bytes, record: Value) -> Json:
    """JSON form of a policy or of a change of keys that waits."""
    account = format_address(key[OWNER])
    if isinstance(record, KeyChange):
        return {
            "account": account,
            "change": int.from_bytes(key[OWN_KEY_BYTES:], "big"),
            "kind": "recovery" if record.is_recovery else "rotation",
            "add": show_keys(record.add),
            "remove": list(record.remove),
            "thresholds": show_thresholds(record.thresholds),
            "settings": _show_settings(record.settings) if record.settings else None,
            "rules": show_rules(record.rules),
            "ready": record.ready_s,
            "until": record.until_s,
        }
    policy: AccountPolicy = record
    return {
        "account": account,
        **_show_settings(policy[:4]),
        "rotation": policy.rotation,
        "recovery": policy.recovery,
        "rules": show_rules(policy.rules),
    }


def _show_settings(settings: tuple[int, ...]) -> Json:
    rotation_delay_s, recovery_delay_s, recovery_weight, dual_from = settings
    return {
        "rotation_delay_s": rotation_delay_s,
        "recovery_delay_s": recovery_delay_s,
        "recovery_weight": recovery_weight,
        "dual_from": _level_name(dual_from),
    }


def _show_name(name: bytes) -> Json:
    kind = _KINDS[name[:1].upper()]
    if kind == "session":
        return {"kind": kind, "key_id": int.from_bytes(name[1:], "big")}
    return {"kind": kind, "who": format_address(name[1:])}


def _operation_name(number: int) -> str:
    row = OPERATIONS.get(number)
    return str(number) if row is None else row.name


def show_grant(key: bytes, record: Value) -> Json:
    """JSON form of a grant, of what was used of it, or of the list of an account's grants."""
    account = format_address(key[OWNER])
    if len(key) == OWN_KEY_BYTES:
        return {"account": account, "grants": [_show_name(name) for name in record]}
    name = {"account": account, **_show_name(key[NAME_START:])}
    if isinstance(record, Usage):
        return {**name, "window": record.window, "fees": str(record.fees), "spent": {a: str(b) for a, b in record.spent}}
    grant: Grant = record
    if grant.public_key:
        name |= {"key_kind": KeyKind(grant.key_kind).name.lower(), "public_key": grant.public_key.hex()}
    return {
        **name,
        "operations": [_operation_name(number) for number in grant.ops],
        "limits": show_limits(grant.limits),
        "counterparties": [format_address(address) for address in grant.counterparties],
        "fee_limit": str(grant.fee_limit),
        "window_s": grant.window_s,
        "granted": grant.granted_s,
        "until": grant.until_s,
    }


def show_allowlist(key: bytes, record: Value) -> Json:
    """JSON form of whom an account may pay."""
    found: AllowList = record
    return {
        "account": format_address(key[OWNER]),
        "cosigner": format_address(found.cosigner) if found.cosigner else "",
        "counterparties": [format_address(address) for address in found.counterparties],
    }


ACCOUNT_SHOW: Final[dict[int, Callable[[bytes, Value], Json]]] = {
    POLICY: show_policy,
    GRANT: show_grant,
    ALLOWLIST: show_allowlist,
}


def _read(reader: Reader, key: bytes) -> Value:
    raw = reader.get(key)
    return None if raw is None else decode_record(key, raw)


def _show(reader: Reader, key: bytes) -> Json | None:
    record = _read(reader, key)
    return None if record is None else ACCOUNT_SHOW[key[1]](key, record)


def get_policy(reader: Reader, account: bytes) -> Json | None:
    """An account's keys with their classes and times, its delays, its waiting changes, its list; None if there is no account."""
    record = _read(reader, account_key(account))
    if record is None:
        return None
    policy = read_policy(View(reader), account, record[4])
    keys = []
    for key, shown in zip(record[2], show_keys(record[2]), strict=True):  # type: ignore[call-overload]
        rule = find_rule(policy, key[0])
        times = {"valid_from": rule.valid_from, "valid_until": rule.valid_until}
        keys.append({**shown, "class": KeyClass(rule.key_class).name.lower(), **times})
    waiting = [change_key(account, number) for number in (policy.rotation, policy.recovery) if number]
    return {
        "account": format_address(account),
        "is_governed": bool(record[4] & GOVERNED_KEYS),
        "keys": keys,
        "thresholds": show_thresholds(record[3]),
        **_show_settings(policy[:4]),
        "waiting": [_show(reader, key) for key in waiting],
        "allowlist": _show(reader, allowlist_key(account)),
    }


def get_grants(reader: Reader, account: bytes, time_s: int) -> list[Json]:
    """Every session key and delegation of an account, with what is used of its running window and whether it has run out."""
    return [get_grant(reader, account, name, time_s) or {} for name in _read(reader, grants_key(account)) or ()]


def get_grant(reader: Reader, account: bytes, name: bytes, time_s: int) -> Json | None:
    """One grant by its name (`state.schema_accounts`), or None."""
    key = grant_key(account, name)
    grant: Grant | None = _read(reader, key)
    if grant is None:
        return None
    usage: Usage | None = _read(reader, usage_key(key))
    window = max(0, time_s - grant.granted_s) // grant.window_s
    if usage is None or usage.window != window:
        usage = Usage(window, 0, ())
    used = {"fees": str(usage.fees), "spent": {asset: str(amount) for asset, amount in usage.spent}}
    return {**show_grant(key, grant), "used": used, "has_ended": grant.until_s < time_s}


def get_sessions(reader: Reader, account: bytes) -> list[Json]:
    """(key id, public key) of an account's session keys: what a signer needs to find its own."""
    names = [name for name in _read(reader, grants_key(account)) or () if name[:1] == SESSION]
    found = [(name, _read(reader, grant_key(account, name))) for name in names]
    return [{**_show_name(name), "public_key": grant.public_key.hex()} for name, grant in found]
