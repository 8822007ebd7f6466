"""Pure reads of holds, escrows, settlements, offers and claims for the RPC, the command line and proofs. See `state.queries` for the forms.

What is open past its date is shown as expired, whether or not the calendar has come to it. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from state.codes import Code
from state.modules import offers, settlements
from state.modules.pending_fields import show_legs
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address, parse_address
from state.primitives.limits import PENDING_ID_BYTES
from state.schema_claims import CLAIM, CLAIM_LIST_KEY_BYTES, CLAIM_OWNER, claim_key, claims_key
from state.schema_pending import (
    ESCROW,
    HOLD,
    LIST_ACCOUNT,
    LIST_KEY_BYTES,
    OFFER,
    SETTLEMENT,
    Escrow,
    Hold,
    Offer,
    Settled,
    Settlement,
    list_entry_key,
    list_key,
    pending_key,
)
from state.view import Reader, View

Json = dict[str, object]

KINDS: Final = {"hold": HOLD, "escrow": ESCROW, "settlement": SETTLEMENT, "offer": OFFER}
_NAMES: Final = {letter: name for name, letter in KINDS.items()}
_ENDS: Final = {
    Code.PENDING_ALREADY_POSTED: "paid",
    Code.PENDING_ALREADY_VOIDED: "taken_back",
    Code.PENDING_EXPIRED: "expired",
    Code.ALREADY_SETTLED: "settled",
}
CLAIMS_WALKED_MAX: Final = 1_000  # numbers of claims that one call looks at: most of an old account's are taken


def read_id(text: str) -> bytes:
    """The 20 bytes of 40 hex digits. Raises `MalformedError`."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != PENDING_ID_BYTES:
        raise MalformedError(f"{text} is not a name of {2 * PENDING_ID_BYTES} hex digits")
    return found


def read_claim_number(text: str) -> int:
    """The number of a claim. Raises `MalformedError`."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise MalformedError("a claim is named by its number")
    return int(text)


def _address(address: bytes) -> str:
    return format_address(address) if address else ""


def _show_hold(name: bytes, record: Hold) -> Json:
    return {
        "owner": format_address(record.owner),
        "beneficiary": format_address(record.beneficiary),
        "agent": _address(record.agent),
        "asset": record.asset,
        "amount": str(record.amount),
        "expires": record.expires_s,
        "ref": record.ref.hex(),
    }


def _show_escrow(name: bytes, record: Escrow) -> Json:
    return {
        "owner": format_address(record.owner),
        "to": format_address(record.recipient),
        "asset": record.asset,
        "amount": str(record.amount),
        "finish_after": record.finish_after_s,
        "cancel_after": record.cancel_after_s,
        "hash": record.hash.hex(),
        "ref": record.ref.hex(),
    }


def _show_settlement(name: bytes, record: Settlement) -> Json:
    legs = [
        {**leg, "allocated": bool(record.allocated >> i & 1)} for i, leg in enumerate(show_legs(record.legs))
    ]
    return {
        "creator": format_address(record.creator),
        "agent": _address(record.agent),
        "legs": legs,
        "complete": all(leg["allocated"] for leg in legs),
        "deadline": record.deadline_s,
        "terms": settlements.compute_terms(name, record).hex(),
        "ref": record.ref.hex(),
    }


def _show_offer(name: bytes, record: Offer) -> Json:
    return {
        "owner": format_address(record.owner),
        "to": format_address(record.recipient),
        "give_asset": record.give_asset,
        "give_amount": str(record.give_amount),
        "want_asset": record.want_asset,
        "want_amount": str(record.want_amount),
        "expires": record.expires_s,
        "terms": offers.compute_terms(name, record).hex(),
        "ref": record.ref.hex(),
    }


_OPEN: Final[dict[int, Callable[[bytes, Value], Json]]] = {
    HOLD: _show_hold,
    ESCROW: _show_escrow,
    SETTLEMENT: _show_settlement,
    OFFER: _show_offer,
}
_DATES: Final = {HOLD: "expires", ESCROW: "cancel_after", SETTLEMENT: "deadline", OFFER: "expires"}


def show_pending(key: bytes, record: Value) -> Json:
    """JSON form of a hold, an escrow, a settlement or an offer, of what is left of one, or of an account's list."""
    if len(key) == LIST_KEY_BYTES:
        return {"account": format_address(key[LIST_ACCOUNT]), "count": record[1], "first": _show_name(record[0])}
    if len(key) > LIST_KEY_BYTES:
        entry = _show_name(key[LIST_KEY_BYTES:])
        return {"account": format_address(key[LIST_ACCOUNT]), "entry": entry, "next": _show_name(record[1])}
    letter, name = key[1], key[2:]
    shown: Json = {_NAMES[letter]: name.hex()}
    if type(record) is Settled:
        code = Code(record.code)
        return {**shown, "status": _ENDS[code], "code": int(code), "paid": str(record.amount), "forgotten": record.until_s}
    return {**shown, "status": "open", **_OPEN[letter](name, record)}


def _show_name(name: bytes) -> str:
    """`hold/...`: kind and id of an entry of a list."""
    return f"{_NAMES[name[0]]}/{name[1:].hex()}" if name else ""


def show_claim(key: bytes, record: Value) -> Json:
    """JSON form of a claim, or of how many an account has."""
    owner = format_address(key[CLAIM_OWNER])
    if len(key) == CLAIM_LIST_KEY_BYTES:
        return {"owner": owner, "numbers": record[0], "waiting": record[1]}
    asset, amount, reason, since_s = record
    return {
        "owner": owner,
        "claim": int.from_bytes(key[CLAIM_LIST_KEY_BYTES:], "big"),
        "asset": asset,
        "amount": str(amount),
        "reason": reason,
        "reason_name": Code(reason).name,
        "since": since_s,
    }


def get_pending(reader: Reader, kind: str, name: bytes, time_s: int) -> Json | None:
    """A hold, an escrow, a settlement or an offer as it is at a time; None if there is none, or not any more."""
    key = pending_key(KINDS[kind], name)
    record = View(reader).get(key)
    if record is None:
        return None
    shown = show_pending(key, record)
    date = shown.get(_DATES[key[1]])
    if isinstance(date, int) and time_s >= date:
        shown["status"] = "expired"
    return shown


def get_pending_of(reader: Reader, account: bytes, time_s: int, start: str, limit: int) -> tuple[list[Json], str]:
    """What is open and concerns an account, newest first, from the entry `start` (`hold/...`; empty: the first); and the next entry.

    Raises `MalformedError` for an entry that is not in the list, such as one that was settled meanwhile.
    """
    view = View(reader)
    head = view.get(list_key(account))
    name: bytes = head[0] if head is not None else b""
    if start:
        kind, _, text = start.partition("/")
        name = _read_name(kind, text)
        if view.get(list_entry_key(account, name)) is None:
            raise MalformedError(f"{start} is not in the account's list, or not any more")
    found: list[Json] = []
    while name and len(found) < limit:
        shown = get_pending(reader, _NAMES[name[0]], name[1:], time_s)
        if shown is not None:
            found.append({"kind": _NAMES[name[0]], **shown})
        name = view.get(list_entry_key(account, name))[1]
    return found, _show_name(name)


def get_claims(reader: Reader, owner: bytes, start: int, limit: int) -> tuple[list[Json], int | None]:
    """The claims of an account from number `start`, oldest first; and the number to go on from, None if that was all."""
    view = View(reader)
    numbers, _ = view.get(claims_key(owner)) or (0, 0)
    found: list[Json] = []
    number = start
    while number < numbers and len(found) < limit and number < start + CLAIMS_WALKED_MAX:
        record = view.get(claim_key(owner, number))
        if record is not None:
            found.append(show_claim(claim_key(owner, number), record))
        number += 1
    return found, number if number < numbers else None


PENDING_PATHS: Final[dict[tuple[str, int], Callable[..., bytes]]] = {
    ("hold", 1): lambda text: pending_key(HOLD, read_id(text)),
    ("escrow", 1): lambda text: pending_key(ESCROW, read_id(text)),
    ("settlement", 1): lambda text: pending_key(SETTLEMENT, read_id(text)),
    ("offer", 1): lambda text: pending_key(OFFER, read_id(text)),
    ("pending", 1): lambda address: list_key(parse_address(address)),
    ("pending", 3): lambda address, kind, text: list_entry_key(parse_address(address), _read_name(kind, text)),
    ("claims", 1): lambda address: claims_key(parse_address(address)),
    ("claim", 2): lambda address, number: claim_key(parse_address(address), read_claim_number(number)),
}


def _read_name(kind: str, text: str) -> bytes:
    if kind not in KINDS:
        raise MalformedError(f"a kind is one of {', '.join(KINDS)}")
    return bytes((KINDS[kind],)) + read_id(text)


PENDING_SHOW: Final[dict[int, Callable[[bytes, Value], Json]]] = {
    HOLD: show_pending,
    ESCROW: show_pending,
    SETTLEMENT: show_pending,
    OFFER: show_pending,
    CLAIM: show_claim,
}
