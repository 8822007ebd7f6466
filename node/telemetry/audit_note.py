"""The word that `qenex audit state` leaves in a home: when, of which state, whether it was clean. A running node says how old it is."""

from __future__ import annotations

import msgspec

from node.config import Home
from node.keystore import write_private_file


class AuditNote(msgspec.Struct, frozen=True, kw_only=True):
    """One audit. `height` is text, as everywhere in JSON."""

    time_s: int
    height: str
    app_hash: str
    clean: bool


def write_audit_note(home: Home, note: AuditNote) -> None:
    """Replace the note of a home. Raises `KeyFileError` if it cannot be written."""
    write_private_file(home.audit_file, msgspec.json.encode(note), replace=True)


def read_audit_time(home: Home) -> float | None:
    """When the state of a home was last audited and clean, in seconds since 1970; None if never, or if the note is not readable."""
    try:
        note = msgspec.json.decode(home.audit_file.read_bytes(), type=AuditNote)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return note.time_s if note.clean else None
