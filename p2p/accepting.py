"""Accepting connections in a process that may run out of descriptors. Who may come in is not known here."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio

from p2p.limits import ACCEPT_PAUSE_SECONDS

OUT_OF_RESOURCES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

T = TypeVar("T")


async def accept_patiently(accept: Callable[[], Awaitable[T]], on_pause: Callable[[OSError], None]) -> T:
    """The next connection. Without descriptors it pauses and tries again; connections that exist are not touched.

    `on_pause` hears of each pause, twice a second: what it logs has to be bounded there. Any other `OSError` is raised.
    """
    while True:
        try:
            return await accept()
        except OSError as error:
            if error.errno not in OUT_OF_RESOURCES:
                raise
            on_pause(error)
            await trio.sleep(ACCEPT_PAUSE_SECONDS)
