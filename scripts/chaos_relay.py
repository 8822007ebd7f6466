"""The wires between real nodes: a relay for each ordered pair, whose links can be slow, lossy or cut in one direction.

A link is TCP, so what a network loses or reorders reaches a node as delay: a chunk that is "lost" waits for a retransmission, and what
follows it waits as well. A cut link holds everything until it is healed, as packets that are sent again would; the connection itself may be
given up by the nodes meanwhile. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

import trio

CHUNK_BYTES = 16 * 1024
HELD_BYTES_MAX = 4 * 1024 * 1024
RETRANSMISSION_S = (0.2, 0.6)


@dataclass
class Link:
    """One direction between two nodes."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    is_cut: bool = False


class Relay:
    """Every link of a network of `count` nodes; `ports[i][j]` is where node i dials node j."""

    def __init__(self, count: int, targets: list[int], seed: int) -> None:
        self.count = count
        self.links = {(i, j): Link() for i in range(count) for j in range(count) if i != j}
        self.ports: dict[tuple[int, int], int] = {}
        self.bytes = 0
        self._targets = targets
        self._chance = random.Random(seed)
        self._changed = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            for pair in self.links:
                listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
                self.ports[pair] = listeners[0].socket.getsockname()[1]
                nursery.start_soon(trio.serve_listeners, self._make_handler(pair), listeners)
            task_status.started()

    def change(self, pairs: list[tuple[int, int]] | None = None, **settings: float | bool) -> None:
        """Change these directions, or all."""
        for pair in pairs or list(self.links):
            for name, value in settings.items():
                setattr(self.links[pair], name, value)
        self._changed.set()
        self._changed = trio.Event()

    def heal(self) -> None:
        """All links are perfect again."""
        self.change(delay_s=0.0, jitter_s=0.0, loss=0.0, is_cut=False)

    def _make_handler(self, pair: tuple[int, int]):  # type: ignore[no-untyped-def]
        async def handle(near: trio.SocketStream) -> None:
            try:
                far = await trio.open_tcp_stream("127.0.0.1", self._targets[pair[1]])
            except OSError:
                return
            async with far, trio.open_nursery() as nursery:
                for source, sink, link in ((near, far, self.links[pair]), (far, near, self.links[pair[::-1]])):
                    nursery.start_soon(self._carry, source, sink, link, nursery.cancel_scope)

        return handle

    async def _carry(self, source: trio.SocketStream, sink: trio.SocketStream, link: Link, scope: trio.CancelScope) -> None:
        held: deque[tuple[float, bytes]] = deque()
        news, room = [trio.Event()], [trio.Event()]

        async def deliver() -> None:
            while True:
                while not held:
                    news[0] = trio.Event()
                    await news[0].wait()
                while link.is_cut:
                    await self._changed.wait()
                await trio.sleep_until(held[0][0])
                if link.is_cut:
                    continue
                data = held.popleft()[1]
                room[0].set()
                if not data:
                    scope.cancel()
                    return
                self.bytes += len(data)
                await sink.send_all(data)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(deliver)
                at = 0.0
                while True:
                    data = await source.receive_some(CHUNK_BYTES)
                    wait = link.delay_s + self._chance.uniform(0, link.jitter_s)
                    if self._chance.random() < link.loss:
                        wait += self._chance.uniform(*RETRANSMISSION_S)
                    at = max(at, trio.current_time() + wait)
                    held.append((at, bytes(data)))
                    news[0].set()
                    if not data:
                        return
                    while sum(len(chunk) for _, chunk in held) > HELD_BYTES_MAX:
                        room[0] = trio.Event()
                        await room[0].wait()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            scope.cancel()
