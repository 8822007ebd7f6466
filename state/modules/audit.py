"""Anchors of audit logs: an account says how many entries a log of its own has, and what the hash of the last one is.

The ledger knows nothing of the log. It keeps every anchor with the time of its block, so that whoever has the log can show later that its
first entries were these, and whoever took some away cannot. No reading of logs goes in here.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_audit import AUDIT_ANCHORED
from state.modules.fields import NUMBER, FieldKind, malformed
from state.modules.operation import Level, OpContext, Operation
from state.modules.pending_fields import HASH
from state.primitives.errors import MalformedError, OperationFailed
from state.primitives.limits import ANCHORED_LOGS_MAX, LOG_NAME_CHARS_MAX
from state.schema_audit import ANCHOR, Anchor, AnchoredLog, anchor_key, anchored_log_key, anchors_key


def check_log_name(text: str) -> str:
    """The name of a log: printable ASCII without spaces around it. Raises `MalformedError`."""
    if not 1 <= len(text) <= LOG_NAME_CHARS_MAX or text.strip() != text or not all(" " <= char <= "~" for char in text):
        raise MalformedError(f"the name of a log is 1 to {LOG_NAME_CHARS_MAX} printable ASCII characters, no space at either end")
    return text


def _read_log_name(text: str) -> str:
    try:
        return check_log_name(text)
    except MalformedError as error:
        raise malformed(error.message) from error


def _same(value: Any) -> Any:
    return value


LOG_NAME: Final = FieldKind("log name", str, _read_log_name, _same, _same)


def anchor(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """audit.anchor of one's own log: 508 (one log too many, or the log has not grown)."""
    log, entries, head = args
    view = context.view
    last: AnchoredLog | None = view.get(anchored_log_key(account, log))
    if last is None:
        names = view.get(anchors_key(account)) or ()
        if len(names) == ANCHORED_LOGS_MAX:
            raise OperationFailed(Code.ASSERT_FAILED, f"an account anchors at most {ANCHORED_LOGS_MAX} logs")
        view.put(anchors_key(account), (*names, log))
        last = AnchoredLog(0, 0)
    if entries <= last.entries:
        raise OperationFailed(Code.ASSERT_FAILED, f"the log had {last.entries} entries already")
    view.put(anchor_key(account, log, last.anchors), Anchor(entries, head, context.height, context.time_s))
    view.put(anchored_log_key(account, log), AnchoredLog(last.anchors + 1, entries))
    context.emit(AUDIT_ANCHORED, account, log, last.anchors, entries, head)


OPERATIONS: Final = (
    Operation(
        code=220,
        name="audit.anchor",
        module="audit",
        fields=(("log", LOG_NAME), ("entries", NUMBER), ("head", HASH)),
        level=Level.LOW,
        handler=anchor,
        codes=(Code.ASSERT_FAILED,),
        writes=frozenset({ANCHOR}),
    ),
)
