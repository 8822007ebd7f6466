"""`qenex start` that kills itself with SIGKILL at one of its persistence steps: `crash_node.py STEP MODE start --home HOME`.

The steps are every write, fsync, rename, link and unlink of the log, the signer's record, the evidence file and the database's batches,
counted in the order in which they happen. MODE: `before`, `after`, or `torn` (half of a write; as `before` where a step has no
halves). STEP 0 only counts. The name of the step goes to standard error. The switch is here and not in the product.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from node import keystore, signer, wal
from node.cli.main import main
from node.storage import leveldb

WRAPPED = {
    wal: ("write", "fdatasync", "fsync", "ftruncate"),
    signer: ("write", "pwrite", "fdatasync", "fsync", "link"),
    keystore: ("fsync", "write", "rename", "replace", "link"),
}


class FailPoint:
    """Counts steps; at the chosen one the process ends."""

    def __init__(self, step: int, mode: str) -> None:
        self.count = 0
        self.step = step
        self.mode = mode

    def wrap(self, name: str, function: Callable[..., Any], halve: Callable[..., Any] | None) -> Callable[..., Any]:
        """The function, with a point before it and one after it."""

        def step(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            is_chosen = self.count == self.step
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


def _halve(descriptor: int, data: Any, *place: int) -> None:
    half = bytes(data)[: len(data) // 2]
    os.pwrite(descriptor, half, *place) if place else os.write(descriptor, half)


def missing_targets() -> list[str]:
    """Functions that this wraps and that are not used any more."""
    sources = {module: Path(str(module.__file__)).read_text(encoding="utf-8") for module in WRAPPED}
    needed = {(wal, "write"), (wal, "fdatasync"), (signer, "pwrite"), (signer, "fdatasync")}
    missing = [f"{module.__name__}.os.{name}" for module, name in needed if f"os.{name}(" not in sources[module]]
    if not hasattr(leveldb.LevelDb, "_write"):
        missing.append("LevelDb._write")
    return missing


def install(point: FailPoint) -> None:
    """Put the points in."""
    for module, names in WRAPPED.items():
        short = module.__name__.rpartition(".")[2]
        namespace = SimpleNamespace(**{name: getattr(os, name) for name in dir(os)})
        for name in names:
            halve = _halve if name in ("write", "pwrite") else None
            setattr(namespace, name, point.wrap(f"{short} {name}", getattr(os, name), halve))
        module.os = namespace  # type: ignore[attr-defined]
    write = leveldb.LevelDb._write
    leveldb.LevelDb._write = point.wrap("database batch", write, None)  # type: ignore[method-assign]


if __name__ == "__main__":
    install(FailPoint(int(sys.argv[1]), sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
