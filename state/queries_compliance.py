"""Pure reads of restrictions and roles for the RPC, the command line and proofs: who is frozen, sanctioned, authorised, by whom and why.

`in_force` says whether a restriction counts at a time: a freeze whose time is over may still stand in the state until it is swept. See
`state.queries` for the forms. Nothing here writes.
"""

from __future__ import annotations

from typing import Final

from state.marks import ACCOUNT_MARKS, ASSET_MARKS, AUTHORISED, HOLDING_MARKS, MAINTAINED, show_marks
from state.modules.assets import FLAGS
from state.modules.compliance import STATES
from state.modules.freezes import Subject
from state.modules.gate import FLAG_REQUIRE_ACCEPT, FLAG_REQUIRE_AUTH, read_holding
from state.params_compliance import ComplianceParams
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address
from state.schema import account_key, asset_key, decode_record, holding_key
from state.schema_freezes import (
    MARKED_KEY,
    NO_ROLES,
    OF_ROLES,
    OF_SANCTION,
    SUBJECT_START,
    account_freeze_key,
    holding_freeze_key,
    pause_key,
    roles_key,
    sanction_key,
)
from state.view import Reader

Json = dict[str, object]
LEVELS: Final = ("", "freeze", "deep")


def show_compliance_params(params: ComplianceParams) -> Json:
    """JSON-ready compliance parameters."""
    return {
        "authorities": [format_address(address) for address in params.authorities],
        "separate_release": params.separate_release,
    }


def show_restriction(key: bytes, record: Value) -> Json:
    """JSON form of a freeze, a pause, a sanction, the roles of an asset, or how many restrictions there are."""
    if key == MARKED_KEY:
        return {"restrictions": record[0]}
    if key[2] == OF_ROLES:
        names = {name: format_address(who) if who else "" for name, who in record._asdict().items()}
        return {"asset": key[SUBJECT_START:].decode("ascii"), **names}
    ground = {"by": format_address(record.by), "reason": record.reason, "legal_ref": record.legal_ref, "since": record.since_s}
    if key[2] == OF_SANCTION:
        return {"account": format_address(key[SUBJECT_START:]), "list": record.list_id, **ground}
    subject = Subject.from_key(key)
    return {
        "scope": subject.scope.name.lower(),
        "account": format_address(subject.account) if subject.account else "",
        "asset": subject.asset,
        "level": LEVELS[record.level],
        **ground,
        "until": record.until_s,
    }


def _read(reader: Reader, key: bytes) -> Value:
    raw = reader.get(key)
    return None if raw is None else decode_record(key, raw)


def _show_freeze(reader: Reader, key: bytes, time_s: int) -> Json | None:
    record = _read(reader, key)
    return None if record is None else {**show_restriction(key, record), "in_force": not record.is_over(time_s)}


def get_account_status(reader: Reader, account: bytes, time_s: int) -> Json | None:
    """What restricts an account as a whole; None if there is no such account."""
    record = _read(reader, account_key(account))
    if record is None:
        return None
    sanction = _read(reader, sanction_key(account))
    return {
        "account": format_address(account),
        "marks": show_marks(ACCOUNT_MARKS, record[4]),
        "freeze": _show_freeze(reader, account_freeze_key(account), time_s),
        "sanction": None if sanction is None else show_restriction(sanction_key(account), sanction),
    }


def get_holding_status(reader: Reader, account: bytes, code: str, time_s: int) -> Json | None:
    """What restricts an account's holding of an asset, whether it holds any or not; None if there is no such asset."""
    asset = _read(reader, asset_key(code))
    if asset is None:
        return None
    balance, held, marks = read_holding(_read(reader, holding_key(account, code)))
    found: Json = {
        "account": format_address(account),
        "asset": code,
        "balance": str(balance),
        "held": str(held),
        "available": str(balance - held),
        "marks": show_marks(HOLDING_MARKS, marks),
        "freeze": _show_freeze(reader, holding_freeze_key(account, code.encode("ascii")), time_s),
    }
    if asset[2] & FLAG_REQUIRE_AUTH:
        found["state"] = STATES[2 if marks & AUTHORISED else 1 if marks & MAINTAINED else 0]
    if asset[2] & FLAG_REQUIRE_ACCEPT:
        found["accepted"] = "accepted" in show_marks(HOLDING_MARKS, marks)
    return found


def get_asset_powers(reader: Reader, code: str, time_s: int) -> Json | None:
    """An asset's flags, who has its roles, and its pause; None if there is no such asset."""
    asset = _read(reader, asset_key(code))
    if asset is None:
        return None
    raw = code.encode("ascii")
    roles = _read(reader, roles_key(raw)) or NO_ROLES
    return {
        "asset": code,
        "issuer": format_address(asset[3]),
        "flags": [name for name, bit in FLAGS.items() if asset[2] & bit],
        "marks": show_marks(ASSET_MARKS, asset[5]),
        "roles": {name: format_address(who) if who else "" for name, who in roles._asdict().items()},
        "pause": _show_freeze(reader, pause_key(raw), time_s),
    }


def read_state(text: str) -> int:
    """The number of a state of authorisation by its name. Raises `MalformedError`."""
    if text not in STATES:
        raise MalformedError(f"a state is one of {', '.join(STATES)}")
    return STATES.index(text)
