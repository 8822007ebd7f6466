"""The wires of a swarm: every pair of nodes linked, each direction with its own delay, loss, duplicates, disorder and cuts.

Troubles overlap: a direction is as bad as all that go on make it, and as good as new when the last one is over.
One task carries everything, in the order of virtual time, and draws from one generator. A cut direction holds what is sent until it is
healed; what is lost is lost. Inboxes are bounded: a node that does not read makes its messages wait. What a message means is not known.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from node.clock import VirtualClock
from node.network import Inbound, NetworkEvent, PeerDown, PeerInfo, PeerUp
from p2p.channels import PROTOCOL_CHANNELS
from state.primitives.errors import QenexError

INBOX_EVENTS_MAX: Final = 2_048
UNDER_WAY_MAX: Final = 4_096  # of one direction; then `send` answers False, as the switch does
RETRY_S: Final = 0.005


@dataclass(slots=True)
class Direction:
    """From one node to another. Delays in seconds."""

    delay_s: float = 0.005
    jitter_s: float = 0.002
    loss: float = 0.0
    duplicates: float = 0.0
    disorder: float = 0.0
    is_cut: bool = False
    under_way: int = 0
    last_s: float = 0.0

    def calm(self) -> None:
        """No trouble at all; what is under way stays so."""
        for name, value in _CALM.items():
            setattr(self, name, value)


_CALM: Final = {
    item.name: item.default for item in dataclasses.fields(Direction) if item.name not in ("under_way", "last_s")
}


@dataclass(frozen=True, slots=True, eq=False)
class _Trouble:
    pairs: frozenset[tuple[str, str]]
    settings: dict[str, float | bool]


@dataclass(order=True, slots=True)
class _Parcel:
    at_s: float
    number: int
    source: str
    target: str
    channel: int
    payload: bytes
    incarnation: int


class Wires:
    """`run` it; `add` and `remove` nodes."""

    def __init__(self, chance: random.Random, clock: VirtualClock) -> None:
        self.switches: dict[str, WireSwitch] = {}
        self.directions: dict[tuple[str, str], Direction] = {}
        self.reports: list[tuple[str, str, QenexError]] = []
        self.bytes = 0
        self.messages = 0
        self.digest = hashlib.sha256()
        self.trace: Callable[[str], None] | None = None
        self.queue_max = 0
        self._chance = chance
        self._clock = clock
        self._heap: list[_Parcel] = []
        self._held: list[_Parcel] = []
        self._troubles: list[_Trouble] = []
        self._number = 0
        self._wake = trio.Event()
        self._scope: trio.CancelScope | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry until cancelled."""
        task_status.started()
        while True:
            if not self._heap:
                self._wake = trio.Event()
                await self._wake.wait()
                continue
            wait = self._heap[0].at_s - trio.current_time()
            if wait > 0:
                with trio.move_on_after(wait) as self._scope:
                    self._wake = trio.Event()
                    await self._wake.wait()
                self._scope = None
                continue
            self._arrive(heapq.heappop(self._heap))

    def _arrive(self, parcel: _Parcel) -> None:
        direction = self.directions[(parcel.source, parcel.target)]
        switch = self.switches.get(parcel.target)
        if switch is None or switch.incarnation != parcel.incarnation or parcel.source not in switch.peers:
            direction.under_way -= 1
            return
        if direction.is_cut:
            self._held.append(parcel)
            return
        event = Inbound(parcel.source, parcel.channel, parcel.payload, self._clock_of(parcel.target))
        try:
            switch.inboxes[parcel.channel][0].send_nowait(event)
        except trio.WouldBlock:
            parcel.at_s = trio.current_time() + RETRY_S
            heapq.heappush(self._heap, parcel)
            return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        direction.under_way -= 1

    def _clock_of(self, target: str) -> int:
        return self.switches[target].clock.now_ns()

    def send(self, source: WireSwitch, target: str, channel: int, payload: bytes) -> bool:
        """Put something on the way."""
        direction = self.directions.get((source.name, target))
        other = self.switches.get(target)
        if direction is None or other is None or target not in source.peers:
            return False
        if direction.under_way >= UNDER_WAY_MAX:
            return False
        chance, now = self._chance, trio.current_time()
        self.bytes += len(payload)
        self.messages += 1
        self._note(source.name, target, channel, payload)
        if direction.loss and chance.random() < direction.loss:
            return True
        copies = 2 if direction.duplicates and chance.random() < direction.duplicates else 1
        for _ in range(copies):
            at_s = now + direction.delay_s + chance.random() * direction.jitter_s
            if not (direction.disorder and chance.random() < direction.disorder):
                at_s = direction.last_s = max(at_s, direction.last_s)
            else:
                at_s += chance.random() * 4 * (direction.delay_s + direction.jitter_s)
            self._number += 1
            direction.under_way += 1
            heapq.heappush(self._heap, _Parcel(at_s, self._number, source.name, target, channel, payload, other.incarnation))
        self.queue_max = max(self.queue_max, direction.under_way)
        self._wake.set()
        return True

    def _note(self, source: str, target: str, channel: int, payload: bytes) -> None:
        line = f"{trio.current_time():.6f} {source}>{target} {channel} {hashlib.sha256(payload).hexdigest()[:12]}"
        self.digest.update(line.encode())
        if self.trace is not None:
            self.trace(line)

    def add(self, switch: WireSwitch) -> None:
        """A node is there: it is linked with all others."""
        self.switches[switch.name] = switch
        for name, other in self.switches.items():
            if name == switch.name:
                continue
            for pair in ((switch.name, name), (name, switch.name)):
                self.directions.setdefault(pair, Direction())
            switch.link(other)
            other.link(switch)

    def remove(self, switch: WireSwitch) -> None:
        """A node is gone; what is under way to it is lost."""
        if self.switches.get(switch.name) is switch:
            del self.switches[switch.name]
            for other in self.switches.values():
                other.unlink(switch.name)

    def disturb(self, pairs: Iterable[tuple[str, str]], **settings: float | bool) -> Callable[[], None]:
        """These directions get these qualities, until the answer is called. Of two values for one quality the later one counts."""
        trouble = _Trouble(frozenset(pairs), settings)
        self._troubles.append(trouble)
        self._settle()

        def over() -> None:
            if trouble in self._troubles:
                self._troubles.remove(trouble)
                self._settle()
                self.release()

        return over

    def heal(self) -> None:
        """Every direction is perfect again, and what was held is on its way."""
        self._troubles.clear()
        self._settle()
        self.release()

    def _settle(self) -> None:
        for pair, direction in self.directions.items():
            direction.calm()
            for trouble in self._troubles:
                if pair in trouble.pairs:
                    for name, value in trouble.settings.items():
                        setattr(direction, name, value)

    def release(self) -> None:
        """Directions that are not cut any more go on with what they held."""
        held, self._held = self._held, []
        for parcel in held:
            parcel.at_s = trio.current_time()
            heapq.heappush(self._heap, parcel)
        self._wake.set()


class WireSwitch:
    """One node's end: what `p2p.switch.Switch` is to a real node."""

    def __init__(self, wires: Wires, name: str, clock: VirtualClock, incarnation: int) -> None:
        self.wires = wires
        self.name = name
        self.clock = clock
        self.incarnation = incarnation
        self.peers: dict[str, None] = {}
        self.inboxes = {
            channel: trio.open_memory_channel[NetworkEvent](INBOX_EVENTS_MAX) for channel in PROTOCOL_CHANNELS
        }

    def channel(self, channel: int) -> trio.MemoryReceiveChannel[NetworkEvent]:
        """The reader's end of a channel."""
        return self.inboxes[channel][1]

    def link(self, other: WireSwitch) -> None:
        """A peer has come."""
        self.peers[other.name] = None
        self._tell(PeerUp(PeerInfo(other.name)))

    def unlink(self, name: str) -> None:
        """A peer has gone."""
        if self.peers.pop(name, 0) is None:
            self._tell(PeerDown(name, "gone"))

    def _tell(self, event: NetworkEvent) -> None:
        for send, _ in self.inboxes.values():
            try:
                send.send_nowait(event)
            except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                continue

    def send(self, peer_id: str, channel: int, payload: bytes) -> bool:
        """See `node.network.Network`."""
        return self.wires.send(self, peer_id, channel, payload)

    def broadcast(self, channel: int, payload: bytes, except_: Collection[str] = ()) -> None:
        """See `node.network.Network`."""
        for peer in list(self.peers):
            if peer not in except_:
                self.send(peer, channel, payload)

    def report(self, peer_id: str, error: QenexError) -> None:
        """See `node.network.Network`."""
        self.wires.reports.append((self.name, peer_id, error))


