"""What ended the node: said once, as soon as a part fails, and made into the exit code.

The other parts may sit in threads that cannot be given up (a compaction, a snapshot, the index), so the process can outlive its consensus
by minutes. So the failure is said when it happens, and the deadline of a stop runs from there. An operator's mistake is nobody's failure:
it is raised, for the command line to say. How parts are run is `node.app`'s; what is kept of a consensus failure is `node.crash`'s.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import trio

from node.config import Home
from node.keystore import write_private_file
from node.stop_deadline import StopDeadline
from node.telemetry.logs import get_log
from state.primitives.errors import ConfigError, KeyFileError, PortInUseError, QenexError, UpgradeRequiredError

EXIT_FAILURE: Final = 1
EXIT_MISTAKE: Final = 2  # as the command line's
EXIT_UPGRADE: Final = 3  # as the command line's
ERRORS_SAID_MAX: Final = 5
ERROR_TEXT_MAX: Final = 300  # characters: an error's text may hold a message of megabytes
TRACE_TEXT_MAX: Final = 16_000  # characters of one error's, the newest calls
TRACE_ON_TERMINAL_MAX: Final = 2_000  # where no file could be written


class Failures:
    """Of one process. `watch` runs a part, `report` is asked when everything has ended."""

    def __init__(self, home: Home, deadline: StopDeadline) -> None:
        self._home = home
        self._deadline = deadline
        self._met: list[BaseException] = []

    async def watch(self, run: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> None:
        """Run a part. That it failed is known when it has ended, however long the others take."""
        try:
            await run(*arguments, **options)
        except BaseException as error:
            self.meet(error)
            raise

    def meet(self, error: BaseException) -> None:
        """A part has ended with this: say what was not said yet, and give the rest of the node its time to stop."""
        leaves = [leaf for leaf in _leaves(error) if not _is_end(leaf) and not any(leaf is known for known in self._met)]
        if not leaves:
            return
        self._met += leaves
        mistake = _mistake_in(leaves)
        if mistake is not None:
            self._deadline.start(_exit_code_of(mistake), f"{mistake.name}: {mistake.message} - {mistake.hint}")
            return
        said = [_cut(f"{type(leaf).__name__}: {leaf}", ERROR_TEXT_MAX) for leaf in leaves[:ERRORS_SAID_MAX]]
        get_log("app").error("node failed", errors=said, trace=self._keep_traces(leaves))
        self._deadline.start(EXIT_FAILURE)

    def report(self, group: BaseExceptionGroup[BaseException]) -> int:
        """The exit code for what ended the node; an operator's mistake is raised again as itself."""
        leaves = _leaves(group)
        mistake = _mistake_in(leaves)
        if mistake is not None:
            raise mistake from None
        if all(_is_end(leaf) for leaf in leaves):
            return 0
        self.meet(group)
        return EXIT_FAILURE

    def _keep_traces(self, leaves: list[BaseException]) -> str:
        """Where the traceback of the defects among these lies, "" if there is none. Errors of ours name what is wrong by themselves."""
        traces = [
            "".join(traceback.format_exception(leaf, chain=False))[-TRACE_TEXT_MAX:]
            for leaf in leaves[:ERRORS_SAID_MAX]
            if not isinstance(leaf, QenexError)
        ]
        if not traces:
            return ""
        path = self._home.failure_file
        try:
            write_private_file(path, "\n".join(traces).encode("utf-8", "backslashreplace"), replace=True)
        except KeyFileError:  # a full disk is a likely reason to be here
            with suppress(OSError):
                sys.stderr.write(traces[0][-TRACE_ON_TERMINAL_MAX:])
            return "could not be kept"
        return str(path)


def _mistake_in(leaves: list[BaseException]) -> QenexError | None:
    return next((leaf for leaf in leaves if isinstance(leaf, PortInUseError | ConfigError | UpgradeRequiredError)), None)


def _exit_code_of(mistake: QenexError) -> int:
    return EXIT_UPGRADE if isinstance(mistake, UpgradeRequiredError) else EXIT_MISTAKE


def _is_end(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | trio.Cancelled)


def _cut(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else text[:length_max] + " ..."


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
