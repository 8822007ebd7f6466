"""What commands on a home put into its audit log: who ran them, what was asked, and whether it failed. Commands do their own work.

An entry is written before the thing is done, so nothing is done that could not be recorded; a failure is a second entry. Blocking.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from node.audit.journal import Journal
from node.config import Home
from state.primitives.errors import QenexError


def command_actor() -> str:
    """The operating system's user that runs this process, `os:NAME`; not what the environment says."""
    user = os.geteuid()
    try:
        return f"os:{pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"os:{user}"


def record_command(home: Home, action: str, **detail: Any) -> int:
    """One entry; its number. Raises `AuditLogUnavailableError` or `AuditLogDamagedError`."""
    journal = Journal.open(home)
    try:
        return journal.record(command_actor(), action, **detail).number
    finally:
        journal.close()


@contextmanager
def recorded(home: Home, action: str, **detail: Any) -> Iterator[None]:
    """Record, then do what is in the block; if that fails, record it. Raises as `record_command`, and what the block raises."""
    entry = record_command(home, action, **detail)
    try:
        yield
    except BaseException as error:
        name, reason = (error.name, error.message) if isinstance(error, QenexError) else (type(error).__name__, str(error))
        with suppress(QenexError):  # what failed first is what the operator must hear of
            record_command(home, "command.failed", command=action, entry=entry, error=name, reason=reason)
        raise
