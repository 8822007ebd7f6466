"""Processes of a local network: starting, finding and stopping them, and never another one.

A node's process writes `HOME/node.pid` (`claim_home`): its number and when it was started. A number is signalled only if the
process behind it still has that start time and is a `qenex start`, so a recycled number is left alone. Stopping is SIGTERM,
then SIGKILL after a grace. Nothing here speaks to a node.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.keystore import write_private_file
from state.primitives.errors import HomeError, LocalError

PID_FILE: Final = "node.pid"
LOG_FILE: Final = "node.log"
NODE_COMMAND: Final = (sys.executable, "-P", "-m", "node.cli.main")  # -P: a folder called node in the working directory is not ours
GRACE_S: Final = 10.0  # a node flushes and closes its store in well under a second
_POLL_S: Final = 0.05
_PID_BYTES_MAX: Final = 4_096
_PR_SET_PDEATHSIG: Final = 1
_NODE_COMMAND: Final = re.compile(r"(qenex|node[./]cli[./]main).* start( |$)")
_OWN_SETTINGS: Final = ("QENEX_MONIKER", "QENEX_RPC_LISTEN", "QENEX_P2P_LISTEN", "QENEX_P2P_PEERS", "QENEX_METRICS_LISTEN")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process: its number and its start, which together never mean another one."""

    pid: int
    started: str


def describe_process(pid: int) -> tuple[str, str]:
    """(start time, command line) of a live process, or ("", ""). A zombie is not alive."""
    stat_path = Path(f"/proc/{pid}/stat")
    if stat_path.exists():
        try:
            fields = stat_path.read_text().rpartition(")")[2].split()
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except (OSError, UnicodeDecodeError):
            return "", ""
        return ("", "") if fields[0] in "ZX" else (fields[19], command)
    if Path("/proc/self/stat").exists():
        return "", ""
    found = subprocess.run(
        ["ps", "-o", "stat=,lstart=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=6)
    return ("", "") if len(found) < 7 or found[0].startswith("Z") else (" ".join(found[1:6]), found[6])


def find_node(home: Path) -> ProcessId | None:
    """The live process that runs this home, or None."""
    try:
        with (home / PID_FILE).open("rb") as file:
            record = json.loads(file.read(_PID_BYTES_MAX))
        found = ProcessId(int(record["pid"]), str(record["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.pid > 1 and is_alive(found) else None


def is_alive(process: ProcessId) -> bool:
    """Whether this very process still runs, and is a node."""
    return _still_there(process) and _NODE_COMMAND.search(describe_process(process.pid)[1]) is not None


def _still_there(process: ProcessId) -> bool:
    """As `is_alive` for a process known to be a node: one on its way out has lost its command line before it is gone."""
    return bool(process.started) and describe_process(process.pid)[0] == process.started


@contextmanager
def claim_home(home: Path) -> Iterator[None]:
    """Say in the home that this process runs it. Raises `HomeError` if another one does."""
    other = find_node(home)
    if other is not None and other.pid != os.getpid():
        raise HomeError(f"{home} is run by process {other.pid} already", hint=f"stop it first: kill {other.pid}")
    path = home / PID_FILE
    started, _ = describe_process(os.getpid())
    write_private_file(path, json.dumps({"pid": os.getpid(), "started": started}).encode() + b"\n", replace=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


class Children:
    """The node processes that this process started. `stop` ends every one of them; it may be called twice."""

    def __init__(self, command: Sequence[str] = NODE_COMMAND) -> None:
        self._command = tuple(command)
        self._running: dict[int, tuple[subprocess.Popen[bytes], Path]] = {}

    def start(self, index: int, home: Path, *, outlive_us: bool) -> int:
        """Start the node of a home; returns its process number. Its output goes to HOME/node.log.

        `outlive_us`: whether it goes on when this process ends (else Linux ends it even if we are killed).
        """
        command = [*self._command, "start", "--home", str(home.resolve())]
        environment = {name: value for name, value in os.environ.items() if name not in _OWN_SETTINGS}
        descriptor = os.open(home / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal reaches only us; we then stop the nodes in order
                preexec_fn=None if outlive_us else _follow_parent(),
            )
        except OSError as error:
            raise LocalError(f"cannot start node{index}: {error.strerror}") from error
        finally:
            os.close(descriptor)
        self._running[index] = (process, home)
        return process.pid

    def ended(self) -> list[tuple[int, int]]:
        """(index, exit code) of nodes that have ended since the last call; a negative code is a signal."""
        found: list[tuple[int, int]] = []
        for index, (process, _) in list(self._running.items()):
            code = process.poll()
            if code is not None:
                found.append((index, code))
                del self._running[index]
        return found

    def pid(self, index: int) -> int | None:
        """The process number of a node that runs."""
        entry = self._running.get(index)
        return None if entry is None else entry[0].pid

    def release(self) -> None:
        """Forget the nodes: they go on without us."""
        for process, _ in self._running.values():
            process.returncode = 0  # no warning about a process that we leave on purpose
        self._running.clear()

    def stop(self, grace_s: float = GRACE_S) -> None:
        """SIGTERM to all, SIGKILL to those that are still there after the grace. Waits until none is left."""
        processes = [process for process, _ in self._running.values()]
        for process in processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + grace_s
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


def stop_nodes(homes: Sequence[Path], grace_s: float = GRACE_S) -> list[int]:
    """Stop the nodes that run these homes, whoever started them; returns the numbers of those that were there."""
    found = [(home, process) for home in homes if (process := find_node(home)) is not None]
    for _, process in found:
        _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    for home, process in found:
        if not _wait_gone(process, deadline):
            _signal(process.pid, signal.SIGKILL)
            _wait_gone(process, time.monotonic() + grace_s)
        (home / PID_FILE).unlink(missing_ok=True)
    return [process.pid for _, process in found]


def last_log_line(home: Path) -> str:
    """The last line that a node wrote, for a message about why it ended."""
    try:
        with (home / LOG_FILE).open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 8_192))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _follow_parent() -> Callable[[], None] | None:
    """Linux: ask the kernel to end the child when we are killed. Elsewhere: nothing."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise LocalError(f"process {pid} belongs to another user", hint="stop it as that user") from error


def _wait_gone(process: ProcessId, deadline: float) -> bool:
    while _still_there(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True
