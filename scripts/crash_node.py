"""`qenex start` that kills itself with SIGKILL at one of its persistence steps: `crash_node.py STEP MODE start --home HOME`.

The steps are every write, fsync, rename, link and unlink of the log, the signer's record, the evidence file and the database's batches,
counted in the order in which they happen. STEP is such a number, or a kind of step and a number among its kind: `file write_at:3`.
MODE: `before`, `after`, or `torn` (half of a write; as `before` where a step has no halves). STEP 0 only counts. The name of the step goes
to standard error. The switch is here and not in the product.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from node import keystore
from node.cli.main import main
from node.files import RealFiles
from node.storage import leveldb

DATABASE_STEP = "database batch"
FILE_STEPS = ("write", "write_at", "truncate", "sync", "sync_data", "sync_folder", "rename", "link", "remove")
KEYSTORE_STEPS = ("write", "fsync", "rename", "replace", "link")  # of `os`: the evidence file and the pid file


class FailPoint:
    """Counts steps, or those of one kind; at the chosen one the process ends."""

    def __init__(self, step: int, mode: str, kind: str = "") -> None:
        self.count = 0
        self.step = step
        self.mode = mode
        self.kind = kind

    @classmethod
    def parse(cls, step: str, mode: str) -> FailPoint:
        """From the command line."""
        kind, _, number = step.rpartition(":")
        return cls(int(number), mode, kind)

    def wrap(self, name: str, function: Callable[..., Any], halve: Callable[..., Any] | None) -> Callable[..., Any]:
        """The function, with a point before it and one after it."""

        def step(*arguments: Any, **named: Any) -> Any:
            is_counted = self.kind in ("", name)
            self.count += is_counted
            is_chosen = is_counted and self.count == self.step
            if is_chosen and self.mode != "after":
                if self.mode == "torn" and halve is not None:
                    halve(*arguments)
                self.end(name)
            result = function(*arguments, **named)
            if is_chosen:
                self.end(name)
            return result

        return step

    def end(self, name: str) -> None:
        """SIGKILL: nothing is flushed, nothing is told."""
        os.write(2, f"\nfail point {self.step} {self.mode} {name}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def _halve_write(_files: RealFiles, descriptor: int, data: bytes) -> None:
    os.write(descriptor, data[: len(data) // 2])


def _halve_write_at(_files: RealFiles, descriptor: int, data: bytes, offset: int) -> None:
    os.pwrite(descriptor, data[: len(data) // 2], offset)


_HALVES = {"write": _halve_write, "write_at": _halve_write_at}


def kinds() -> list[str]:
    """The kinds of steps."""
    return [*(f"file {name}" for name in FILE_STEPS), *(f"keystore {name}" for name in KEYSTORE_STEPS), DATABASE_STEP]


def missing_targets() -> list[str]:
    """Functions that this wraps and that are not there, or not what the node uses, any more."""
    missing = [f"RealFiles.{name}" for name in FILE_STEPS if not hasattr(RealFiles, name)]
    for module in ("wal", "signer"):
        source = (Path(str(keystore.__file__)).parent / f"{module}.py").read_text(encoding="utf-8")
        calls = ("os.write(", "os.pwrite(", "os.fsync(", "os.fdatasync(", "os.ftruncate(")
        missing += [f"{module}: {name}" for name in calls if name in source]
    if not hasattr(leveldb.LevelDb, "_write"):
        missing.append("LevelDb._write")
    return missing


def install(point: FailPoint) -> None:
    """Put the points in."""
    for name in FILE_STEPS:
        setattr(RealFiles, name, point.wrap(f"file {name}", getattr(RealFiles, name), _HALVES.get(name)))
    namespace = SimpleNamespace(**{name: getattr(os, name) for name in dir(os)})
    for name in KEYSTORE_STEPS:
        setattr(namespace, name, point.wrap(f"keystore {name}", getattr(os, name), None))
    keystore.os = namespace  # type: ignore[attr-defined]
    write = leveldb.LevelDb._write
    leveldb.LevelDb._write = point.wrap(DATABASE_STEP, write, None)  # type: ignore[method-assign]


if __name__ == "__main__":
    install(FailPoint.parse(sys.argv[1], sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
