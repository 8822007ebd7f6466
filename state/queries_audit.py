"""Pure reads of anchors for the RPC, the command line and proofs. See `state.queries` for the forms. Nothing here writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

from state.modules.audit import check_log_name
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address, parse_address
from state.schema_audit import (
    ANCHOR,
    ANCHOR_ACCOUNT,
    ANCHOR_LIST_KEY_BYTES,
    Anchor,
    AnchoredLog,
    anchor_key,
    anchored_log_key,
    anchors_key,
    split_anchor_key,
)
from state.view import Reader, View

Json = dict[str, object]


def _log(text: str) -> str:
    """The name of a log in a path: `%2F` stands for a slash, and so on."""
    return check_log_name(unquote(text))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise MalformedError("an anchor is named by its number, from 0 in each log")
    return int(text)


AUDIT_PATHS: Final[dict[tuple[str, int], Callable[..., bytes]]] = {
    ("anchors", 1): lambda address: anchors_key(parse_address(address)),
    ("anchors", 2): lambda address, log: anchored_log_key(parse_address(address), _log(log)),
    ("anchor", 3): lambda address, log, number: anchor_key(parse_address(address), _log(log), _number(number)),
}


def show_anchors(key: bytes, record: Value) -> Json:
    """JSON form of an account's list of logs, of how far one is anchored, or of an anchor."""
    account = {"account": format_address(key[ANCHOR_ACCOUNT])}
    if len(key) == ANCHOR_LIST_KEY_BYTES:
        return {**account, "logs": list(record)}
    log, number = split_anchor_key(key)
    if number is None:
        return {**account, "log": log, "anchors": str(record.anchors), "entries": str(record.entries)}
    return {**account, "log": log, "number": str(number), **_show(record)}


def _show(record: Anchor) -> Json:
    return {
        "entries": str(record.entries),
        "head": record.head.hex(),
        "height": str(record.height),
        "time": record.time_s,
    }


AUDIT_SHOW: Final[dict[int, Callable[[bytes, Value], Json]]] = {ANCHOR: show_anchors}


def get_anchored_logs(reader: Reader, account: bytes) -> list[Json]:
    """The logs that an account has anchored, each with how far, in order of their first anchor."""
    view = View(reader)
    keys = [anchored_log_key(account, log) for log in view.get(anchors_key(account)) or ()]
    return [show_anchors(key, view.get(key)) for key in keys]


def get_anchors(reader: Reader, account: bytes, log: str, start: int, limit: int) -> list[Json]:
    """`limit` anchors of a log in order, from number `start`, each with the path that proves it. Raises `MalformedError`."""
    view = View(reader)
    last: AnchoredLog = view.get(anchored_log_key(account, check_log_name(log))) or AnchoredLog(0, 0)
    return [
        {
            "number": str(number),
            **_show(view.get(anchor_key(account, log, number))),
            "path": f"/anchor/{format_address(account)}/{quote(log, safe='')}/{number}",
        }
        for number in range(start, min(last.anchors, start + limit))
    ]
