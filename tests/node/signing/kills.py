"""A process that dies before any call that may change the disk, for tests of what a home looks like then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from node.config import Home

CALLS: Final = ("open", "write", "pwrite", "fsync", "fdatasync", "link", "rename", "replace", "unlink", "mkdir", "truncate", "ftruncate")
LEAST: Final = 4  # calls of any command here: fewer, and they are not seen
MOST: Final = 200


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, countdown: int) -> Iterator[None]:
    """Before the n-th call the process is dead: that one and every later one do not happen."""
    left = [countdown]
    is_open = os.open

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if call is is_open and not arguments[1] & (os.O_CREAT | os.O_TRUNC):
                return call(*arguments, **options)
            left[0] -= 1
            if left[0] <= 0:
                raise Killed
            return call(*arguments, **options)

        return counted

    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield


def each_kill(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[Home], object]
) -> Iterator[tuple[Home, bool]]:
    """A copy of a home for each call that `run` makes, killed before it, and at the end one in which it was not killed: False."""
    for countdown in range(1, MOST):
        copy = Home(tmp_path / f"copy-{countdown}")
        shutil.copytree(home.root, copy.root)
        with dying(monkeypatch, countdown):
            try:
                run(copy)
            except Killed:
                is_killed = True
            else:
                is_killed = False
        yield copy, is_killed
        shutil.rmtree(copy.root)
        if not is_killed:
            assert countdown > LEAST
            return
    raise AssertionError("it never ends")
