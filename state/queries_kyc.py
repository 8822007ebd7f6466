"""Pure reads of credentials, domains, limits, travel rule, views and acts for the RPC, the command line and proofs. Nothing here writes.

What counts now (membership, the limits of an account, what is left of them) is found by the functions that the gate itself asks. See
`state.queries` for the forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from state.codes import Code
from state.modules.domains import require_member
from state.modules.fields import show_keys
from state.modules.gate import read_holding
from state.modules.kyc_fields import (
    check_credential_type,
    check_domain_name,
    check_jurisdiction,
    check_lei,
    show_accepted,
)
from state.modules.operation import OpContext
from state.modules.rules import Scope
from state.modules.standing import UNKNOWN, find_head, find_jurisdiction, find_standing
from state.modules.table import OPERATIONS
from state.modules.velocity import Bound, compute_bucket_s, compute_buckets, find_bounds
from state.modules.views import ViewScope, may_view
from state.primitives.codec import Value
from state.primitives.errors import MalformedError, OperationFailed
from state.primitives.ids import check_asset_code, format_address, parse_address
from state.primitives.limits import CREDENTIAL_TIER_MAX
from state.schema import ASSET_PREFIX, HOLDING_PREFIX
from state.schema_kyc import (
    ACTS_KEY,
    CREDENTIAL,
    CREDENTIAL_ISSUER,
    CREDENTIAL_LIST_KEY_BYTES,
    CREDENTIAL_TYPE_START,
    DOMAIN,
    OVERSIGHT,
    RULE,
    RULE_ACCOUNT,
    RULE_ACCOUNT_CODE_START,
    SUBJECT,
    WINDOW,
    Act,
    Credential,
    Domain,
    Limits,
    Window,
    account_limits_key,
    act_key,
    asset_limits_key,
    asset_rules_key,
    credential_key,
    credentials_key,
    domain_key,
    group_window_key,
    holding_limits_key,
    holding_window_key,
    lei_key,
    threshold_key,
    tier_limits_key,
    vasp_key,
    view_key,
)
from state.view import Reader, View

Json = dict[str, object]
_NOTHING: Final = Window(b"", 0, (), b"", 0, 0, ())


def _read_tier(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 4) or int(text) > CREDENTIAL_TIER_MAX:
        raise MalformedError(f"a tier is 0 to {CREDENTIAL_TIER_MAX}")
    return int(text)


def _read_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise MalformedError("an entry is named by its number")
    return int(text)


def _code(text: str) -> bytes:
    return check_asset_code(text).encode("ascii")


def _limits_path(scope: str, who: str, code: str) -> bytes:
    if scope == "tier":
        return tier_limits_key(_read_tier(who), _code(code))
    if scope not in ("account", "holding"):
        raise MalformedError("limits are of an account, a holding, a tier or an asset")
    return (account_limits_key if scope == "account" else holding_limits_key)(parse_address(who), _code(code))


def _window_path(scope: str, who: str, code: str) -> bytes:
    if scope not in ("account", "holding"):
        raise MalformedError("a window is of an account or a holding")
    return (group_window_key if scope == "account" else holding_window_key)(parse_address(who), _code(code))


def _view_path(regulator: str, scope: str, target: str = "") -> bytes:
    if scope == "network" and not target:
        return view_key(parse_address(regulator), ViewScope.NETWORK, b"")
    if scope == "account" and target:
        return view_key(parse_address(regulator), ViewScope.ACCOUNT, parse_address(target))
    if scope == "asset" and target:
        return view_key(parse_address(regulator), ViewScope.ASSET, _code(target))
    raise MalformedError("a view is /view/REGULATOR/network, /view/REGULATOR/account/ADDRESS or /view/REGULATOR/asset/CODE")


def _asset_limits_path(scope: str, code: str) -> bytes:
    if scope != "asset":
        raise MalformedError("limits are of an account, a holding, a tier or an asset")
    return asset_limits_key(_code(code))


KYC_PATHS: Final[dict[tuple[str, int], Callable[..., bytes]]] = {
    ("credential", 3): lambda subject, issuer, kind: credential_key(
        parse_address(subject), parse_address(issuer), check_credential_type(kind)
    ),
    ("credentials", 1): lambda subject: credentials_key(parse_address(subject)),
    ("domain", 1): lambda name: domain_key(check_domain_name(name)),
    ("rules", 1): lambda code: asset_rules_key(_code(code)),
    ("limits", 2): _asset_limits_path,
    ("limits", 3): _limits_path,
    ("window", 3): _window_path,
    ("threshold", 1): lambda code: threshold_key("", _code(code)),
    ("threshold", 2): lambda code, jurisdiction: threshold_key(check_jurisdiction(jurisdiction), _code(code)),
    ("vasp", 1): lambda address: vasp_key(parse_address(address)),
    ("lei", 1): lambda lei: lei_key(check_lei(lei)),
    ("view", 2): _view_path,
    ("view", 3): _view_path,
    ("acts", 0): lambda: ACTS_KEY,
    ("act", 1): lambda number: act_key(_read_number(number)),
}


def show_credential(key: bytes, record: Value) -> Json:
    """JSON form of a credential, or of the list of those that a subject has accepted."""
    subject = format_address(key[SUBJECT])
    if len(key) == CREDENTIAL_LIST_KEY_BYTES:
        return {"subject": subject, "credentials": [{"issuer": format_address(issuer), "type": kind} for issuer, kind in record]}
    return {
        "subject": subject,
        "issuer": format_address(key[CREDENTIAL_ISSUER]),
        "type": key[CREDENTIAL_TYPE_START:].decode("ascii"),
        "tier": record.tier,
        "jurisdiction": record.jurisdiction,
        "expires": record.expires_s,
        "evidence_hash": record.evidence_hash.hex(),
        "issued": record.issued_s,
        "accepted": record.accepted_s,
    }


def show_domain(key: bytes, record: Value) -> Json:
    """JSON form of a domain; without credentials it was deleted."""
    accepts = show_accepted(record.credentials)
    return {"domain": key[2:].decode("ascii"), "owner": format_address(record.owner), "credentials": accepts}


def show_limits(record: Limits) -> Json:
    """JSON form of limits; an empty text means none."""
    numbers = {name: str(getattr(record, name) or "") for name in ("per_tx", "in_max", "out_max", "max_balance")}
    return {**numbers, "window_s": record.window_s, "set_by": format_address(record.set_by)}


def _describe_limits_key(key: bytes) -> Json:
    part = key[2:3]
    if part in (b"A", b"H"):
        who = {"account": format_address(key[RULE_ACCOUNT])}
        return {"scope": "account" if part == b"A" else "holding", **who, "asset": key[RULE_ACCOUNT_CODE_START:].decode("ascii")}
    if part == b"T":
        return {"scope": "tier", "tier": key[3], "asset": key[4:].decode("ascii")}
    return {"scope": "asset", "asset": key[3:].decode("ascii")}


def show_rule(key: bytes, record: Value) -> Json:
    """JSON form of a compliance rule."""
    part = key[2:3]
    if part == b"R":
        listed = {"only": record.is_only, "jurisdictions": list(record.jurisdictions)}
        counts = {"limits": record.limits, "tiers": list(record.tiers), "thresholds": record.thresholds}
        return {"asset": key[3:].decode("ascii"), **counts, **listed}
    if part == b"V":
        jurisdiction, _, code = key[3:].partition(b"/")
        rest = {"amount": str(record.amount), "set_by": format_address(record.set_by)}
        return {"asset": code.decode("ascii"), "jurisdiction": jurisdiction.decode("ascii"), **rest}
    if part == b"I":
        return {"institution": format_address(key[3:]), "lei": record.lei, "keys": show_keys(record.keys)}
    if part == b"L":
        return {"lei": key[3:].decode("ascii"), "institution": format_address(record[0])}
    return {**_describe_limits_key(key), **show_limits(record)}


def show_window(key: bytes, record: Value) -> Json:
    """JSON form of a counter, or of an attestation that was used."""
    if key[2:3] == b"T":
        return {"attestation": key[3:].hex(), "until": record[0]}
    return {
        "scope": "account" if key[2:3] == b"A" else "holding",
        "account": format_address(key[RULE_ACCOUNT]),
        "asset": key[RULE_ACCOUNT_CODE_START:].decode("ascii"),
        "counted_by": _describe_limits_key(record.rule),
        "part_s": record.bucket_s,
        "parts": [
            {"begins": part.number * record.bucket_s, "in": str(part.came_in), "out": str(part.went_out)} for part in record.buckets
        ],
        "members": [format_address(member) for member in record.members],
    }


def show_oversight(key: bytes, record: Value) -> Json:
    """JSON form of a view, of the number of acts, or of one."""
    if key == ACTS_KEY:
        return {"acts": record[0]}
    if key[:3] == ACTS_KEY:
        return show_act(int.from_bytes(key[3:], "big"), record)
    scope, target = ViewScope(key[35]), key[36:]
    return {
        "regulator": format_address(key[3:35]),
        "scope": scope.name.lower(),
        "account": format_address(target) if scope is ViewScope.ACCOUNT else "",
        "asset": target.decode("ascii") if scope is ViewScope.ASSET else "",
        "granted_by": format_address(record.granted_by),
        "since": record.since_s,
        "until": record.until_s,
    }


def show_act(number: int, record: Act) -> Json:
    """JSON form of a privileged act."""
    row = OPERATIONS.get(record.code)
    return {
        "act": number,
        "operation": str(record.code) if row is None else row.name,
        "actor": format_address(record.actor),
        "subject": format_address(record.subject) if record.subject else "",
        "asset": record.asset,
        "evidence_hash": record.evidence.hex(),
        "height": record.height,
        "time": record.time_s,
        "body_hash": record.tx.hex(),
    }


KYC_SHOW: Final[dict[int, Callable[[bytes, Value], Json]]] = {
    CREDENTIAL: show_credential,
    DOMAIN: show_domain,
    RULE: show_rule,
    WINDOW: show_window,
    OVERSIGHT: show_oversight,
}


def get_credentials(reader: Reader, subject: bytes, time_s: int) -> Json:
    """What an account bears, and what it is for the rules: tier, jurisdiction, head of its group."""
    view = View(reader)
    shown = []
    for issuer, kind in view.get(credentials_key(subject)) or ():
        key = credential_key(subject, issuer, kind)
        record: Credential = view.get(key)
        shown.append({**show_credential(key, record), "valid": record.expires_s > time_s})
    tier, _ = find_standing(view, subject, time_s)
    jurisdiction = find_jurisdiction(view, subject, time_s)
    return {
        "account": format_address(subject),
        "head": format_address(find_head(view, subject) or subject),
        "tier": tier,
        "jurisdiction": "" if jurisdiction == UNKNOWN else jurisdiction,
        "credentials": shown,
    }


def get_credential(reader: Reader, subject: bytes, issuer: bytes, kind: str, time_s: int) -> Json | None:
    """One credential, accepted or not; None if there is none."""
    key = credential_key(subject, issuer, check_credential_type(kind))
    record: Credential | None = View(reader).get(key)
    if record is None:
        return None
    return {**show_credential(key, record), "valid": record.accepted_s > 0 and record.expires_s > time_s}


def get_domain(reader: Reader, name: str) -> Json | None:
    """A domain; None if there never was one of this name."""
    record: Domain | None = View(reader).get(domain_key(check_domain_name(name)))
    return None if record is None else show_domain(domain_key(name), record)


def find_membership(reader: Reader, name: str, account: bytes, time_s: int) -> Json:
    """Whether an account is a member of a domain now, by the code that using it would give."""
    code, log = int(Code.OK), ""
    try:
        require_member(OpContext(View(reader), 0, time_s, ()), check_domain_name(name), account)
    except OperationFailed as failure:
        code, log = int(failure.result), failure.message
    return {"account": format_address(account), "member": code == Code.OK, "code": code, "code_name": Code(code).name, "log": log}


def _left(limit: int, moved: int) -> str:
    return str(max(0, limit - moved)) if limit else ""


def get_limits(reader: Reader, account: bytes, code: str, time_s: int) -> Json | None:
    """The limits that count for an account's next movement of an asset, and what is left of them; None if there is no such asset."""
    view = View(reader)
    raw = check_asset_code(code).encode("ascii")
    asset = view.get(ASSET_PREFIX + raw)
    if asset is None:
        return None
    marks = read_holding(view.get(HOLDING_PREFIX + account + raw))[2]
    try:
        bounds: tuple[Bound, ...] = find_bounds(view, account, raw, asset, marks, time_s)
        problem = ""
    except OperationFailed as failure:
        bounds, problem = (), failure.message
    shown = []
    for bound in bounds:
        window: Window = view.get(bound.key) or _NOTHING
        buckets = compute_buckets(window, compute_bucket_s(bound.limits.window_s), time_s)
        came_in, went_out = sum(b.came_in for b in buckets), sum(b.went_out for b in buckets)
        shown.append(
            {
                **_describe_limits_key(bound.rule),
                **show_limits(bound.limits),
                "counted_on": format_address(bound.head or account),
                "in": str(came_in),
                "in_left": _left(bound.limits.in_max, came_in),
                "out": str(went_out),
                "out_left": _left(bound.limits.out_max, went_out),
            }
        )
    return {"account": format_address(account), "asset": code, "scale": asset[0], "limits": shown, "problem": problem}


def get_acts(reader: Reader, start: int, limit: int) -> list[Json]:
    """`limit` privileged acts in order, from number `start`."""
    view = View(reader)
    (count,) = view.get(ACTS_KEY) or (0,)
    return [show_act(number, view.get(act_key(number))) for number in range(start, min(count, start + limit))]


def get_view(reader: Reader, regulator: bytes, time_s: int, account: bytes, code: str) -> Json:
    """Whether a regulator may see an account or an asset now (naming neither: everything)."""
    asset = check_asset_code(code) if code else ""
    may = may_view(View(reader), regulator, time_s, account=account, asset=asset)
    shown = format_address(account) if account else ""
    return {"regulator": format_address(regulator), "account": shown, "asset": asset, "may_view": may}


SCOPE_NAMES: Final = tuple(scope.name.lower() for scope in Scope)
