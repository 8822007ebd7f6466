"""What a stranger's bytes bring to light in our own code: told as that stranger's offence, since it must not end the node.

The text of the exception stays out of it: it may be the stranger's bytes. Where it happened is what a report of the defect needs.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from state.primitives.errors import CorruptError, HandlingError, LocalError, RemoteError

FRAMES_SHOWN: Final = 4
LINK_ENDS: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)
# told by their own names, or ours: these last end the node, whoever set them off
_FORESEEN: Final = (RemoteError, LocalError, CorruptError, MemoryError, *LINK_ENDS)


@contextmanager
def unforeseen_is_offence() -> Iterator[None]:
    """Raises `HandlingError` for what nobody foresaw in the block; all else as it is."""
    try:
        yield
    except _FORESEEN:
        raise
    except ExceptionGroup as group:
        if group.subgroup(_FORESEEN) is not None:
            raise
        raise describe_defect(group) from group
    except Exception as error:
        raise describe_defect(error) from error


def describe_defect(error: Exception) -> HandlingError:
    """The offence, with the kind of the exception and the last places in our code."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]
    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return HandlingError(f"a defect: {type(error).__name__} in {places}", hint="report it to the makers of this program")
