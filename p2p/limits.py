"""Token buckets and the bounds of connecting. Time comes in as an argument, in seconds."""

from __future__ import annotations

from typing import Final

HANDSHAKE_SECONDS_MAX: Final = 10.0  # the slowest honest handshake measured is under 0.1 s
HANDSHAKES_MAX: Final = 64
HANDSHAKES_PER_HOST_MAX: Final = 16
PING_SECONDS: Final = 10.0
SILENCE_SECONDS_MAX: Final = 35.0  # three pings unanswered
BYTES_PER_SECOND: Final = 64 * 1024 * 1024  # per peer, inbound; a gigabit link is twice that
MESSAGES_PER_SECOND: Final = 20_000
DIAL_DELAY_MIN: Final = 0.1
DIAL_DELAY_MAX: Final = 10.0
STABLE_SECONDS: Final = 10.0  # a connection that lived this long resets the dialling delay


class TokenBucket:
    """`rate` tokens a second, at most one second's worth saved."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._updated = now

    def take(self, amount: float, now: float) -> float:
        """Take tokens; how many seconds the taker must wait to stay within the rate."""
        self._tokens = min(self._rate, self._tokens + (now - self._updated) * self._rate) - amount
        self._updated = now
        return max(0.0, -self._tokens / self._rate)
