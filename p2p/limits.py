"""Bounds of links, and the three instruments that keep them: a token bucket, a record of hosts, a filter for
log lines.

Time comes in as an argument, in seconds of any clock that does not go back. Nothing here waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """What an operator or a test may set; the defaults are meant for everybody."""

    handshake_seconds_max: float = 10.0  # from TCP to both verdicts; the slowest honest one measured is under 0.1 s
    handshakes_max: int = 64  # unfinished ones of others, at once
    handshakes_per_host_max: int = 16
    inbound_max: int = 200  # peers that dialled us; a full set of validators
    ping_seconds: float = 10.0
    silence_seconds_max: float = 35.0  # three pings unanswered
    stall_seconds_max: float = 30.0  # one chunk of 64 kB not taken: a link of less than 2 kB/s
    probe_seconds_max: float = 3.0  # to answer a ping when somebody claims to be the same peer
    bytes_per_second: int = 64 * 1024 * 1024  # of one peer; a gigabit link is twice that
    messages_per_second: int = 20_000
    dial_delay_min: float = 0.1
    dial_delay_max: float = 10.0
    stable_seconds: float = 10.0  # a connection that lived this long resets the dialling delay


DEFAULT_LIMITS: Final = LinkLimits()

REFUSAL_SECONDS_MAX: Final = 1.0  # spent on telling a peer why it is refused
SETUP_BYTES_MAX: Final = 256 * 1024  # TLS records without any data in a row; a handshake takes about 20 kB
ACCEPT_PAUSE_SECONDS: Final = 0.5  # when the process is out of descriptors

DIAL_FAILURES_UNTOLD: Final = 5  # three seconds: nodes that start together, or one that restarts, are no news

HOSTS_MAX: Final = 4096
HOST_HANDSHAKES_PER_SECOND: Final = 16.0  # at 5 ms of processor each, one host costs at most a twelfth of a core
HOST_HANDSHAKES_BURST: Final = 64.0
HOST_FAILURE_COST: Final = 8.0  # a refused handshake counts as nine: two a second once the burst is gone
HOST_BREAK_COST: Final = 1.0  # one that broke counts as two: it may have cost us a signature, or nothing
HOST_DEBT_MAX: Final = 16.0  # forgiven in a second, so that others behind the same address are not shut out for long

NOTICES_MAX: Final = 1024
NOTICE_SECONDS: Final = 60.0  # the same thing of the same peer is said once in this time
NOTICES_PER_SECOND: Final = 1.0
NOTICES_BURST: Final = 30.0


class TokenBucket:
    """`rate` tokens a second, at most `burst` saved (one second's worth if not given)."""

    def __init__(self, rate: float, now: float, burst: float | None = None) -> None:
        self._rate = rate
        self._burst = rate if burst is None else burst
        self._tokens = self._burst
        self.updated = now

    def take(self, amount: float, now: float, *, debt_max: float | None = None) -> float:
        """Take tokens, into debt if need be; how many seconds the taker must wait to stay within the rate."""
        self._tokens = min(self._burst, self._tokens + (now - self.updated) * self._rate) - amount
        if debt_max is not None:
            self._tokens = max(self._tokens, -debt_max)
        self.updated = now
        return max(0.0, -self._tokens / self._rate)


class Hosts:
    """How much each host has asked of us. An IPv6 host is its /64, which one machine can fill at will."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}  # least recently used first

    def admit(self, host: str, now: float) -> bool:
        """Whether another handshake of this host may begin; counts it if so."""
        bucket = self._bucket(host, now)
        if bucket.take(0, now) > 0:
            return False
        bucket.take(1, now, debt_max=HOST_DEBT_MAX)
        return True

    def charge(self, host: str, cost: float, now: float) -> None:
        """A handshake of this host came to nothing."""
        self._bucket(host, now).take(cost, now, debt_max=HOST_DEBT_MAX)

    def _bucket(self, host: str, now: float) -> TokenBucket:
        key = host_key(host)
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            if len(self._buckets) >= HOSTS_MAX:
                del self._buckets[next(iter(self._buckets))]
            bucket = TokenBucket(HOST_HANDSHAKES_PER_SECOND, now, HOST_HANDSHAKES_BURST)
        self._buckets[key] = bucket
        return bucket


def host_key(host: str) -> str:
    """What counts as one host: an IPv4 address, the first half of an IPv6 address, or whatever else the text is."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


class Notices:
    """Which log lines are worth writing: each (who, code) once a minute, and one a second in all after a burst."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, int], float] = {}  # oldest first
        self._bucket: TokenBucket | None = None
        self.suppressed = 0

    def is_due(self, who: str, code: int, now: float) -> bool:
        """Whether to write this one; if not, it is counted in `suppressed`."""
        if self._bucket is None:
            self._bucket = TokenBucket(NOTICES_PER_SECOND, now, NOTICES_BURST)
        key = (who, code)
        said = self._said.get(key)
        if (said is not None and now - said < NOTICE_SECONDS) or self._bucket.take(0, now) > 0:
            self.suppressed += 1
            return False
        self._bucket.take(1, now)
        self._said.pop(key, None)
        if len(self._said) >= NOTICES_MAX:
            del self._said[next(iter(self._said))]
        self._said[key] = now
        return True

    def take_suppressed(self) -> int:
        """How many were not written since this was last asked."""
        suppressed, self.suppressed = self.suppressed, 0
        return suppressed
