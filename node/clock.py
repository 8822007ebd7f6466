"""The two clocks of the process, injected so that tests and the simulator own time.

The wall clock only dates proposals (consensus.md F1, F2); timeouts and delays use the monotonic clock, so that a stepped wall
clock cannot fire or hold a timeout (F5). Times are int nanoseconds. Nothing but reading clocks may go in here.
"""

from __future__ import annotations

import time
from typing import Protocol

import trio

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """What the node knows about time."""

    def now_ns(self) -> int:
        """Wall clock: nanoseconds since the Unix epoch."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary moment; never steps, and is the time that `sleep_until_ns` of this module uses."""
        ...


class SystemClock:
    """The machine's wall clock and trio's monotonic one."""

    def now_ns(self) -> int:
        """See `Clock`."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """See `Clock`."""
        return trio_now_ns()


class VirtualClock:
    """Both clocks driven by trio's (a `MockClock` in tests), the wall clock starting at `epoch_ns` and shifted by `skew_ns`."""

    def __init__(self, epoch_ns: int, skew_ns: int = 0) -> None:
        self.epoch_ns = epoch_ns
        self.skew_ns = skew_ns

    def now_ns(self) -> int:
        """See `Clock`."""
        return self.epoch_ns + self.skew_ns + trio_now_ns()

    def monotonic_ns(self) -> int:
        """See `Clock`."""
        return trio_now_ns()


def trio_now_ns() -> int:
    """Trio's clock in nanoseconds; a float of seconds keeps about 100 ns on a machine that has been up for years."""
    return round(trio.current_time() * NS_PER_S)


async def sleep_until_ns(deadline_ns: int) -> None:
    """Wait until the monotonic clock has reached `deadline_ns`; a past deadline is a checkpoint."""
    await trio.sleep(max(0, deadline_ns - trio_now_ns()) / NS_PER_S)
