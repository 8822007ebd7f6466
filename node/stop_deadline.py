"""A stop that takes too long is ended: a compaction, a slow disk or a defect must not keep a process that was asked to stop or has failed.

Nothing is lost by it: whatever was reported is durable, and a start copes with a kill at any instant. So the exit code is that of the
stop: 0 where it was asked for, and that of the failure where a part has failed, for a supervisor starts again only what has ended. The
thread is a daemon and is there only between the beginning of the stop and the end.
"""

from __future__ import annotations

import os
import threading

from node.telemetry.logs import get_log


class StopDeadline:
    """`start` it when the stop begins, `cancel` it when everything is closed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._exit_code = 0
        self._said = ""
        self._is_running = False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def start(self, exit_code: int = 0, said: str = "") -> None:
        """From now on the process has so many seconds; then it ends with this code, and with these words if nobody has said them.

        It has no more of them if a stop has begun already. A failure on the way makes the exit code its own; the first one's stays.
        """
        if not self._exit_code:
            self._exit_code, self._said = exit_code, said
        if not self._is_running:
            self._is_running = True
            self._timer.start()

    def cancel(self) -> None:
        """The process ends by itself."""
        self._timer.cancel()

    def _end(self) -> None:
        log = get_log("app")
        if self._said:
            log.error(self._said)
        log.warning("stopping took too long and was cut off; nothing is lost", seconds=self._seconds, exit_code=self._exit_code)
        os._exit(self._exit_code)
