"""What a stranger's bytes bring to light in our own code: told as that stranger's offence, since it must not end the node.

The text of the exception stays out of it: it may be the stranger's bytes. Where it happened is what a report of the defect needs.
"""

from __future__ import annotations

import traceback
from typing import Final

import trio

from state.primitives.errors import CorruptError, HandlingError, LocalError

FRAMES_SHOWN: Final = 4
OURS: Final = (LocalError, CorruptError, MemoryError)  # these end the node, whoever set them off
LINK_ENDS: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


def describe_defect(error: BaseException) -> HandlingError:
    """The offence, with the kind of the exception and the last places in our code."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]
    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return HandlingError(f"a defect: {type(error).__name__} in {places}", hint="report it to the makers of this program")
