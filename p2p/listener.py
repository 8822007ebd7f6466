"""The door: who may begin a handshake. It knows hosts and counts, not keys.

Unfinished handshakes are bounded, for each host and in all. When a bound is met the oldest unfinished one gives
way, since an honest handshake takes milliseconds and one that holds its place is waiting for nothing good; a
host that keeps failing is slowed to two handshakes a second (`p2p.limits`), which bounds the processor time
that strangers can take. When the process is out of file descriptors the door pauses and tries again; links that
exist are not touched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio

from p2p.accepting import accept_patiently
from p2p.defects import unforeseen_is_offence
from p2p.limits import HOST_BREAK_COST, HOST_FAILURE_COST, Hosts, LinkLimits, host_key
from p2p.transport import Listener, SecureStream
from state.primitives.errors import DuplicatePeerError, HandshakeTimeoutError, RemoteError, TooManyPeersError

# what costs no processor time is not charged to the host: neither waiting for words, nor what an admitted peer may do
_FREE_OF_CHARGE: Final = (DuplicatePeerError, TooManyPeersError, HandshakeTimeoutError)


class Visit:
    """One connection of somebody else's making, until it has been introduced. `scope` bounds its introduction."""

    def __init__(self, host: str, deadline: float) -> None:
        self.host = host
        self.scope = trio.CancelScope(deadline=deadline)
        self.is_pending = True


Serve: TypeAlias = Callable[[SecureStream, Visit], Awaitable[None]]


class Doorkeeper:
    """`run` one for each listener. `serve` takes a visit from its handshake to its end and calls `passed` in
    between."""

    def __init__(self, serve: Serve, limits: LinkLimits, notice: Callable[[str, RemoteError], None]) -> None:
        self._serve = serve
        self._limits = limits
        self._notice = notice
        self._pending: dict[Visit, None] = {}  # oldest first
        self._hosts = Hosts()
        self.accepted = 0
        self.turned_away = 0
        self.pauses = 0

    @property
    def pending(self) -> int:
        """Unfinished handshakes."""
        return len(self._pending)

    async def run(self, listener: Listener, nursery: trio.Nursery) -> None:
        """Accept until cancelled."""
        try:
            while True:
                stream, host = await accept_patiently(listener.accept, self._on_pause)
                if not self._hosts.admit(host, trio.current_time()):
                    self.turned_away += 1
                    self._notice(host, TooManyPeersError("too many handshakes of this host"))
                    await stream.aclose()
                    continue
                self.accepted += 1
                nursery.start_soon(self._receive, stream, self._make_visit(host))
        finally:
            with trio.CancelScope(shield=True):
                await listener.aclose()

    def _on_pause(self, error: OSError) -> None:
        self.pauses += 1
        self._notice("ourselves", TooManyPeersError(f"no connection can be accepted: {error.strerror}"))

    def passed(self, visit: Visit) -> None:
        """The visitor takes no place at the door any more: it has become a peer, or has gone."""
        visit.is_pending = False
        self._pending.pop(visit, None)

    def _make_visit(self, host: str) -> Visit:
        limits = self._limits
        same_host = [visit for visit in self._pending if host_key(visit.host) == host_key(host)]
        if len(same_host) >= limits.handshakes_per_host_max:
            self._evict(same_host[0])
        elif len(self._pending) >= limits.handshakes_max:
            counts: dict[str, int] = {}
            for visit in self._pending:
                counts[visit.host] = counts.get(visit.host, 0) + 1
            self._evict(max(self._pending, key=lambda visit: counts[visit.host]))  # the oldest of the greediest host
        visit = Visit(host, trio.current_time() + limits.handshake_seconds_max)
        self._pending[visit] = None
        return visit

    def _evict(self, visit: Visit) -> None:
        del self._pending[visit]
        visit.scope.cancel()

    async def _receive(self, stream: SecureStream, visit: Visit) -> None:
        cost = HOST_BREAK_COST
        try:
            with unforeseen_is_offence():
                await self._serve(stream, visit)
        except RemoteError as error:
            cost = 0.0 if isinstance(error, _FREE_OF_CHARGE) else HOST_FAILURE_COST
            if not isinstance(error, DuplicatePeerError):  # both dialled at once: no news
                self._notice(visit.host, error)
        if visit.is_pending:
            self._hosts.charge(visit.host, cost, trio.current_time())
            self.passed(visit)


def describe_timeout(scope: trio.CancelScope, seconds: float) -> HandshakeTimeoutError:
    """Why an introduction was cut short."""
    if trio.current_time() < scope.deadline:
        return HandshakeTimeoutError("an unfinished introduction gave way to newer ones")
    return HandshakeTimeoutError(f"no introduction within {seconds:.0f} s")
