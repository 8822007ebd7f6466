"""The root of the tree of errors and its three branches, which say who broke the rule. The leaves, and why, are in `errors`."""

from __future__ import annotations

from typing import ClassVar


class QenexError(Exception):
    """Root of every error that this project raises on purpose.

    `message` is one sentence in plain words; `hint` says what to do, or is empty.
    """

    code: ClassVar[int] = 2000
    name: ClassVar[str] = "ERROR"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def to_json(self) -> dict[str, object]:
        """The machine-readable form: `{"code", "name", "message", "hint"}`."""
        return {"code": self.code, "name": self.name, "message": self.message, "hint": self.hint}


class LocalError(QenexError):
    """We or our operator broke a rule: a wrong setting, a wrong call, a broken promise of our own code."""

    code = 2001
    name = "LOCAL"


class RemoteError(QenexError):
    """A peer or a client broke a rule. Never a reason to stop the process."""

    code = 2002
    name = "REMOTE"


class CorruptError(QenexError):
    """Stored bytes are not what was stored. The process must not go on with them."""

    code = 2003
    name = "CORRUPT"
