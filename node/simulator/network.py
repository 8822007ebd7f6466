"""A network inside one process: `node.network.Network` for each of several nodes, with latency, loss, cuts and bounded queues.

Time is trio's, so under a `MockClock` it is virtual and free. Chance comes from one seeded generator. A link delivers each
channel's messages in order; a cut link loses what is under way, as a broken connection would. Nothing here knows what a message means.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Final

import trio

from node.clock import NS_PER_S, Clock
from node.network import BLOCK, CONSENSUS, SYNC, Inbound, NetworkEvent, PeerDown, PeerInfo, PeerUp
from p2p.channels import EVIDENCE
from state.primitives.errors import QenexError

CHANNELS: Final = (SYNC, CONSENSUS, BLOCK, EVIDENCE)
LINK_MESSAGES_MAX: Final = 256  # then `send` answers False, as the switch does
INBOUND_EVENTS_MAX: Final = 1024


class SimNetwork:
    """The wires. `run` it in a nursery; `add` nodes, `connect` and `cut` them as the test wants."""

    def __init__(self, clock: Clock, *, seed: int = 0, latency_ns: int = 5_000_000) -> None:
        self.clock = clock
        self.latency_ns = latency_ns
        self.loss_percent = 0
        self.random = random.Random(seed)
        self.switches: dict[str, SimSwitch] = {}
        self.links: dict[tuple[str, str], int] = {}  # directed, to its incarnation
        self.reports: list[tuple[str, str, QenexError]] = []  # (reporter, peer, error)
        self.sent_bytes = 0
        self.observe: Callable[[str, int, bytes], None] = _ignore  # sees all that is sent, before any loss
        self._incarnation = 0
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry messages until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def add(self, name: str) -> SimSwitch:
        """A new switch without links; a former one of that name is cut off first."""
        self.isolate(name)
        switch = self.switches[name] = SimSwitch(self, name)
        return switch

    def connect(self, first: str, second: str) -> None:
        """Link two nodes in both directions."""
        if (first, second) in self.links or self._nursery is None:
            return
        self._incarnation += 1
        for source, target in ((first, second), (second, first)):
            self.links[(source, target)] = self._incarnation
            self.switches[source].links[target] = {}
            for channel in CHANNELS:
                send, receive = trio.open_memory_channel[tuple[int, bytes]](LINK_MESSAGES_MAX)
                self.switches[source].links[target][channel] = send
                self._nursery.start_soon(self._carry, source, target, channel, self._incarnation, receive)
            self.switches[source].emit(PeerUp(PeerInfo(target)))

    def cut(self, first: str, second: str) -> None:
        """Break the link between two nodes; what is under way is lost."""
        for source, target in ((first, second), (second, first)):
            if self.links.pop((source, target), None) is not None:
                for send in self.switches[source].links.pop(target).values():
                    send.close()
                self.switches[source].emit(PeerDown(target, "cut"))

    def isolate(self, name: str) -> None:
        """Break every link of a node."""
        for source, target in list(self.links):
            if source == name:
                self.cut(source, target)

    def connect_all(self) -> None:
        """Link every pair."""
        for first in self.switches:
            for second in self.switches:
                if first < second:
                    self.connect(first, second)

    async def _carry(
        self,
        source: str,
        target: str,
        channel: int,
        incarnation: int,
        queue: trio.MemoryReceiveChannel[tuple[int, bytes]],
    ) -> None:
        async for deliver_at_ns, payload in queue:
            await trio.sleep(max(0, deliver_at_ns - self.clock.monotonic_ns()) / NS_PER_S)
            if self.links.get((source, target)) != incarnation:
                return
            if self.random.randrange(100) < self.loss_percent:
                continue
            self.sent_bytes += len(payload)
            inbound = Inbound(source, channel, payload, self.clock.now_ns())
            try:
                await self.switches[target].inboxes[channel][0].send(inbound)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return


class SimSwitch:
    """One node's end: what `p2p.switch.Switch` is to a real node."""

    def __init__(self, network: SimNetwork, name: str) -> None:
        self.name = name
        self.network = network
        self.links: dict[str, dict[int, trio.MemorySendChannel[tuple[int, bytes]]]] = {}
        self.inboxes = {channel: trio.open_memory_channel[NetworkEvent](INBOUND_EVENTS_MAX) for channel in CHANNELS}

    def channel(self, channel: int) -> trio.MemoryReceiveChannel[NetworkEvent]:
        """The reader's end of a channel."""
        return self.inboxes[channel][1]

    def emit(self, event: NetworkEvent) -> None:
        """Give an event to every channel's reader."""
        for send, _ in self.inboxes.values():
            try:
                send.send_nowait(event)
            except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                continue  # a dead node reads nothing

    def send(self, peer_id: str, channel: int, payload: bytes) -> bool:
        """See `Network`."""
        link = self.links.get(peer_id)
        if link is None:
            return False
        self.network.observe(self.name, channel, payload)
        try:
            link[channel].send_nowait((self.network.clock.monotonic_ns() + self.network.latency_ns, payload))
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    def broadcast(self, channel: int, payload: bytes, except_: Collection[str] = ()) -> None:
        """See `Network`."""
        for peer in list(self.links):
            if peer not in except_:
                self.send(peer, channel, payload)

    def report(self, peer_id: str, error: QenexError) -> None:
        """See `Network`: noted for the test."""
        self.network.reports.append((self.name, peer_id, error))


def _ignore(source: str, channel: int, payload: bytes) -> None:
    """No witness."""
