"""One channel's events on their way to its handler: a short queue for all peers, and in front of it what each
peer has waiting.

While the handler keeps up, an event goes straight into the short queue. When that is full, events wait with
their peer, within the peer's window, and peers take turns one event at a time, so a peer that floods does not
silence the others. Nobody waits to put. A handler sees the events of one peer in their order. If a whole visit
of a peer (up, messages, down) was never seen because the handler was busy throughout, it is left out, which
bounds what a flapping peer can leave behind.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

import trio

from p2p.events import LinkEvent, PeerDown, PeerUp


class Source(Protocol):
    """Whose window a message takes."""

    def on_delivered(self, channel: int, cost: int) -> None:
        """The handler's queue has the message now."""
        ...


class _Entry(NamedTuple):
    event: LinkEvent
    source: Source | None
    cost: int


class Inbox:
    """`put` events, `run` in the background; the handler reads `receive`. If the handler closes it, events vanish."""

    def __init__(self, channel: int, events_max: int) -> None:
        self.channel = channel
        self._send, self.receive = trio.open_memory_channel[LinkEvent](events_max)
        self._waiting: dict[str, deque[_Entry]] = {}  # in the order of turns
        self._offered = ""  # the peer whose first entry `run` is handing over right now
        self._wake = trio.Event()

    @property
    def waiting(self) -> int:
        """Events that did not fit into the handler's queue."""
        return sum(len(entries) for entries in self._waiting.values())

    def put(self, peer_id: str, event: LinkEvent, source: Source | None = None, cost: int = 0) -> None:
        """Pass an event on, now or in its turn."""
        if not self._waiting:
            try:
                self._send.send_nowait(event)
            except trio.WouldBlock:
                self._waiting[peer_id] = deque((_Entry(event, source, cost),))
                self._wake.set()
                return
            except trio.BrokenResourceError:
                pass  # no handler any more
            if source is not None:
                source.on_delivered(self.channel, cost)
            return
        entries = self._waiting.get(peer_id)
        if entries is None:
            self._waiting[peer_id] = entries = deque()
        entries.append(_Entry(event, source, cost))

    def put_down(self, up: PeerUp, down: PeerDown) -> None:
        """The end of the visit that began with `up`; nothing at all if the handler has not heard of it yet."""
        entries = self._waiting.get(down.peer_id)
        if entries is not None:
            seen = 1 if self._offered == down.peer_id else 0  # what is being handed over counts as seen
            for index in range(seen, len(entries)):
                if entries[index].event is up:
                    while len(entries) > index:
                        entries.pop()
                    if not entries:
                        del self._waiting[down.peer_id]
                    return
        self.put(down.peer_id, down)

    async def run(self) -> None:
        """Hand waiting events over, in turns, until cancelled."""
        while True:
            while not self._waiting:
                self._wake = trio.Event()
                await self._wake.wait()
            peer_id, entries = next(iter(self._waiting.items()))
            entry = entries[0]
            self._offered = peer_id
            try:
                await self._send.send(entry.event)
            except trio.BrokenResourceError:
                pass  # no handler any more
            finally:
                self._offered = ""
            entries.popleft()
            del self._waiting[peer_id]
            if entries:
                self._waiting[peer_id] = entries  # at the end of the line
            if entry.source is not None:
                entry.source.on_delivered(self.channel, entry.cost)
