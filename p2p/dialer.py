"""Keeping connected to the addresses we were given: one task for each, with a capped delay that grows and is
never twice the same.

No global list that is walked again and again: an address that does not answer costs one try every few seconds,
whatever the others do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from p2p.defects import unforeseen_is_offence
from p2p.identity import PeerAddress
from p2p.limits import DIAL_FAILURES_UNTOLD, LinkLimits
from p2p.transport import SecureStream, Transport
from state.primitives.errors import DuplicatePeerError, RemoteError, UnreachableError


class Links(Protocol):
    """What the dialer asks about a node before it dials."""

    async def wait_absent(self, peer_id: str) -> None:
        """Return once the node is not connected."""
        ...

    def is_admitted(self, peer_id: str) -> bool:
        """Whether it may be a peer at all."""
        ...

    def banned_for(self, peer_id: str) -> float:
        """Seconds until its ban ends."""
        ...


class Dialer:
    """`keep` an address connected. `serve` takes a stream from its handshake to its end and raises `RemoteError`."""

    def __init__(
        self,
        transport: Transport,
        links: Links,
        serve: Callable[[SecureStream, PeerAddress], Awaitable[None]],
        limits: LinkLimits,
        jitter: Callable[[], float],
        notice: Callable[[str, RemoteError], None],
    ) -> None:
        self._transport = transport
        self._links = links
        self._serve = serve
        self._limits = limits
        self._jitter = jitter
        self._notice = notice
        self.dials = 0
        self._failures: dict[PeerAddress, int] = {}  # in a row

    async def keep(self, address: PeerAddress) -> None:
        """Dial whenever the node is not connected, until cancelled."""
        limits = self._limits
        delay = limits.dial_delay_min
        while True:
            started = trio.current_time()
            await self._links.wait_absent(address.id)
            banned = self._links.banned_for(address.id)
            if self._links.is_admitted(address.id) and not banned:
                await self._dial(address)
            if trio.current_time() - started > limits.stable_seconds:
                delay = limits.dial_delay_min  # it was connected for a good while, whoever dialled
            await trio.sleep(max(banned, min(delay * (0.5 + self._jitter()), limits.dial_delay_max)))
            delay = min(delay * 2, limits.dial_delay_max)

    async def _dial(self, address: PeerAddress) -> None:
        self.dials += 1
        stream: SecureStream | None = None
        try:
            with trio.move_on_after(self._limits.handshake_seconds_max):
                stream = await self._transport.dial(address.host, address.port)
            if stream is None:
                raise UnreachableError(f"no answer within {self._limits.handshake_seconds_max:.0f} s")
            self._failures.pop(address, None)
            with unforeseen_is_offence():
                await self._serve(stream, address)
        except DuplicatePeerError:
            pass  # both sides dialled at once, and theirs stays
        except RemoteError as error:
            self._notice(str(address), error)
        except OSError as error:
            failures = self._failures[address] = self._failures.get(address, 0) + 1
            if failures >= DIAL_FAILURES_UNTOLD:
                self._notice(str(address), UnreachableError(f"nobody answers: {error.strerror or error}"))
