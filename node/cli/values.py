"""What values of options may be, beyond what click knows: numbers that the encodings hold, paths that name something.

Bounds of the command line only: what the ledger allows stands in `state.primitives.limits`. No option is made here.
"""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import Any, Final

import click

NUMBER_MAX: Final = (1 << 63) - 1  # whole numbers of the encodings and of the database are int64
COUNT_MAX: Final = 100_000_000  # of what a measurement or a simulation does: more runs for weeks
NUMBER: Final = click.IntRange(0, NUMBER_MAX)
POSITIVE: Final = click.IntRange(1, NUMBER_MAX)
COUNT: Final = click.IntRange(0, COUNT_MAX)
SOME: Final = click.IntRange(1, COUNT_MAX)
TRUST_HOURS: Final = click.IntRange(1, 10 * 366 * 24)  # nobody's keys are trusted for longer than ten years
_NO_NAMES: Final = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP)  # nothing can have such a name, so whoever meets it later is surprised


class FilePath(click.Path):
    """A path that something can have. An empty one is refused: of a shell's variable that is not set it makes the current directory."""

    def __init__(self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(path_type=Path, exists=exists, file_okay=file_okay, dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        if not os.fspath(value):
            self.fail("it is empty", param, ctx)
        try:
            os.lstat(value)
        except OSError as error:
            if error.errno in _NO_NAMES:
                self.fail(f"{os.fspath(value)}: {error.strerror}", param, ctx)
        return super().convert(value, param, ctx)


class Fraction(click.FloatRange):
    """A number in a range; "nan" lies in every range for click."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no number", param, ctx)
        return found
