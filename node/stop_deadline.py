"""A stop that was asked for and takes too long is ended: a compaction, a slow disk or a defect must not keep the process.

Nothing is lost by it: whatever was reported is durable, and a start copes with a kill at any instant. So the exit code is that of a
stop. The thread is a daemon and is there only between the request and the end.
"""

from __future__ import annotations

import os
import threading

from node.telemetry.logs import get_log


class StopDeadline:
    """`start` it when the stop begins, `cancel` it when everything is closed."""

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, _end, (seconds,))
        self._timer.daemon = True

    def start(self) -> None:
        """From now on the process has so many seconds."""
        self._timer.start()

    def cancel(self) -> None:
        """The process ends by itself."""
        self._timer.cancel()


def _end(seconds: float) -> None:
    get_log("app").warning("stopping took too long and was cut off; nothing is lost", seconds=seconds)
    os._exit(0)
