"""What ended a node is said once, shortly, and gives the exit code that the command line would."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from node import failing
from node.cli.output import EXIT_FAILED, EXIT_MISTAKE, EXIT_UPGRADE
from node.config import Home
from node.failing import Failures
from node.stop_deadline import StopDeadline
from state.primitives.errors import ConfigError, QenexError, StorageError, UpgradeRequiredError


class Deadline(StopDeadline):
    """Only remembers how it was started."""

    def __init__(self) -> None:
        super().__init__(60)
        self.starts: list[tuple[int, str]] = []

    def start(self, exit_code: int = 0, said: str = "") -> None:
        self.starts.append((exit_code, said))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []

    class Log:
        def error(self, event: str, **fields: object) -> None:
            found.append({"event": event, **fields})

    monkeypatch.setattr(failing, "get_log", lambda _: Log())
    return found


async def fail(error: BaseException) -> None:
    raise error


async def test_a_failure_is_said_once_and_at_once(tmp_path: Path, lines: list[dict[str, object]]) -> None:
    deadline = Deadline()
    failures, error = Failures(Home(tmp_path), deadline), RuntimeError("x" * 1_000_000)
    with pytest.raises(RuntimeError):
        await failures.watch(fail, error)
    assert deadline.starts == [(EXIT_FAILED, "")]
    assert failures.report(BaseExceptionGroup("", [BaseExceptionGroup("", [error]), KeyboardInterrupt()])) == EXIT_FAILED
    (line,) = lines
    assert len(str(line)) < 1_000
    trace = (tmp_path / "data" / "failure.txt").read_text()
    assert line["trace"] == str(tmp_path / "data" / "failure.txt") and len(trace) <= failing.TRACE_TEXT_MAX


async def test_an_error_of_ours_needs_no_traceback(tmp_path: Path, lines: list[dict[str, object]]) -> None:
    failures = Failures(Home(tmp_path), Deadline())
    assert failures.report(BaseExceptionGroup("", [StorageError("the disk is gone")])) == EXIT_FAILED
    assert lines == [{"event": "node failed", "errors": ["StorageError: the disk is gone"], "trace": ""}]


async def test_where_the_file_cannot_be_written_the_end_of_it_is_on_the_terminal(
    tmp_path: Path, lines: list[dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").write_text("no folder")
    Failures(Home(tmp_path), Deadline()).meet(RuntimeError("x" * 1_000_000 + "the end"))
    said = capsys.readouterr().err
    assert "the end" in said and len(said) <= failing.TRACE_ON_TERMINAL_MAX
    assert lines[0]["trace"] == "could not be kept"


@pytest.mark.parametrize(("error", "code"), [(ConfigError("no", hint="yes"), EXIT_MISTAKE), (UpgradeRequiredError("no"), EXIT_UPGRADE)])
async def test_a_mistake_is_the_command_lines_to_say(
    tmp_path: Path, lines: list[dict[str, object]], error: QenexError, code: int
) -> None:
    deadline = Deadline()
    failures = Failures(Home(tmp_path), deadline)
    failures.meet(ExceptionGroup("", [error]))
    ((found, said),) = deadline.starts  # for the deadline's thread, if the command line never comes to it
    assert found == code and error.name in said
    with pytest.raises(type(error)):
        failures.report(ExceptionGroup("", [error]))
    assert lines == []


async def test_parts_that_end_because_others_did_have_not_failed(tmp_path: Path, lines: list[dict[str, object]]) -> None:
    deadline = Deadline()
    failures = Failures(Home(tmp_path), deadline)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(failures.watch, trio.sleep_forever)
        nursery.cancel_scope.cancel()
    assert (lines, deadline.starts) == ([], [])
    assert failures.report(BaseExceptionGroup("", [KeyboardInterrupt()])) == 0
