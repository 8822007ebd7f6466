"""Which block to ask which peer for: the pure half of catching up.

Time and messages come in as arguments, requests and complaints go out as values; no network, no verification, no clock. The
driver (`node.sync.loop`) owns one `Scheduler` for the life of the process: there is no mode to enter and none to leave
(consensus.md section 3, row 7).

What it holds a peer to (consensus.md M1): its height never goes down; it serves what it claims; it answers in time; what it
serves verifies. A peer that breaks one of these is `disgraced`: its claims count for nothing until the time is over or it
connects again, so an inflated height neither keeps the node asking nor keeps it `catching_up`. Slowness is no lie: a late peer is
out for a second, then two, then four, and is asked for one block at a time until it serves again.

One honest peer is enough: what a disgraced peer owed is asked of others at once, and what is merely overdue (`OVERDUE_NS`) is asked of
another peer while the first may still answer.

A block is kept only if it was asked of that very peer, each question being good for one answer however late, and only within the window.
The bytes of what is kept and what may be expected of the open requests stay within `SYNC_BUFFER_BYTES_MAX`; a block that does
not fit all the same is dropped and asked for again. Only the next height is always let in, or nothing would ever move: that is the
bound, the buffer and one block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, TypeVar

from state.primitives.limits import (
    SYNC_BUFFER_BYTES_MAX,
    SYNC_OWED_HEIGHTS_MAX,
    SYNC_PEER_REQUESTS_MAX,
    SYNC_WINDOW_BLOCKS_MAX,
)

Item = TypeVar("Item")

NS_PER_S: Final = 1_000_000_000
REQUEST_TIMEOUT_NS: Final = 10 * NS_PER_S  # a 7 MiB block over a 10 Mbit/s line takes 6 s
OVERDUE_NS: Final = NS_PER_S  # then somebody else is asked as well
DISGRACE_NS: Final = 60 * NS_PER_S  # then it may try again; the switch's own score bans sooner
SLOW_DISGRACE_NS: Final = NS_PER_S  # after the first late answer; doubles up to the above
ESTIMATE_BYTES_MIN: Final = SYNC_BUFFER_BYTES_MAX // SYNC_WINDOW_BLOCKS_MAX  # of a block, before any is known: a full window fits
NEAR_GRACE_NS: Final = NS_PER_S // 2  # one block behind is normal for as long as its votes still travel


class Fault(Enum):
    """Why a peer was disgraced."""

    HEIGHT_LOWERED = "lowered its height"
    BASE_RAISED = "raised its base above its height"
    NOT_SERVED = "does not have a block that it claimed"
    TIMED_OUT = "did not answer in time"
    UNSOLICITED = "sent a block that was not asked for"
    INVALID = "sent a block that its validators did not certify"


@dataclass(frozen=True, slots=True)
class Request:
    """Ask `peer` for the certified block of `height`."""

    peer: str
    height: int


@dataclass(frozen=True, slots=True)
class Complaint:
    """`peer` broke a rule."""

    peer: str
    fault: Fault


@dataclass(slots=True)
class _Asked:
    first_ns: int
    last_ns: int  # the same peer is asked again only if there is no other
    times: int = 0


@dataclass(slots=True)
class _Peer:
    base: int
    height: int
    open: dict[int, _Asked] = field(default_factory=dict)
    owed: dict[int, int] = field(default_factory=dict)  # answers that nobody waits for, by height; longest owed first
    disgraced_until_ns: int = -1
    lied: bool = False  # why it was disgraced last: for a lie, or for being late
    served: int = 0
    late: int = 0  # late answers since it last served
    requests_max: int = SYNC_PEER_REQUESTS_MAX

    def owe(self, height: int, answers: int) -> None:
        """So many questions about a height may be answered after all."""
        if answers > 0:
            self.owed[height] = self.owed.pop(height, 0) + answers
            if len(self.owed) > SYNC_OWED_HEIGHTS_MAX:
                del self.owed[next(iter(self.owed))]

    def settle(self, height: int) -> bool:
        """Whether an answer about a height was owed; it is not any more."""
        answers = self.owed.pop(height, 0)
        self.owe(height, answers - 1)
        return answers > 0

    def close(self, height: int) -> bool:
        """Whether a question about a height is open; it is not any more, and those that went before it may be answered too."""
        asked = self.open.pop(height, None)
        if asked is not None:
            self.owe(height, asked.times - 1)
        return asked is not None


@dataclass(slots=True)
class _Received(Generic[Item]):
    peer: str
    item: Item
    size: int


class Scheduler(Generic[Item]):
    """The plan for the heights above `height`, the last one decided here."""

    def __init__(self, height: int) -> None:
        self.height = height
        self._peers: dict[str, _Peer] = {}
        self._received: dict[int, _Received[Item]] = {}
        self._received_bytes = 0
        self._applied_bytes = 0  # of the last block that verified: what the next ones will be like
        self._taken: int | None = None
        self._near_since_ns = -1  # since when a peer is exactly one ahead

    # what peers say

    def set_peer(self, peer: str, base: int, height: int, now_ns: int) -> list[Complaint]:
        """A peer's claim: it serves the blocks from `base` to `height`."""
        known = self._peers.get(peer)
        if known is None:
            known = self._peers[peer] = _Peer(base, height)
        lowered = height < known.height
        known.base, known.height = base, height
        if lowered:
            return self._disgrace(peer, Fault.HEIGHT_LOWERED, now_ns)
        if base > height + 1:
            return self._disgrace(peer, Fault.BASE_RAISED, now_ns)
        return []

    def height_of(self, peer: str) -> int:
        """What a peer claims to have decided; 0 if it has not said."""
        known = self._peers.get(peer)
        return 0 if known is None else known.height

    def remove_peer(self, peer: str) -> None:
        """It has gone; what it owed is asked of others. A new connection starts with a clean sheet."""
        self._peers.pop(peer, None)

    def block(self, peer: str, height: int, item: Item, size: int, now_ns: int) -> list[Complaint]:
        """A connected peer's answer of `size` bytes; verified later, by whoever takes it."""
        known = self._peers.get(peer)
        if known is None:
            return [Complaint(peer, Fault.UNSOLICITED)]  # it has claimed nothing, so it was asked for nothing
        in_time = known.close(height)
        if not in_time and not known.settle(height):
            return self._disgrace(peer, Fault.UNSOLICITED, now_ns)
        is_kept = self._keep(peer, known, height, item, size, now_ns)
        if in_time or is_kept:  # what comes late and is of no use shows nothing
            known.served += 1
            known.late = 0
            known.requests_max = min(2 * known.requests_max, SYNC_PEER_REQUESTS_MAX)
        return []

    def _keep(self, name: str, peer: _Peer, height: int, item: Item, size: int, now_ns: int) -> bool:
        if not self.height < height <= self.height + SYNC_WINDOW_BLOCKS_MAX or height in self._received:
            return False
        if height != self.height + 1 and self._received_bytes + size > SYNC_BUFFER_BYTES_MAX:
            return False
        if peer.lied and self._is_disgraced(peer, now_ns):
            return False
        self._received[height] = _Received(name, item, size)
        self._received_bytes += size
        return True

    def missing(self, peer: str, height: int, now_ns: int) -> list[Complaint]:
        """A peer's answer that it has no such block."""
        known = self._peers.get(peer)
        if known is None:
            return []
        if not known.close(height):
            known.settle(height)
            return []
        if height < known.base:
            return []  # pruned since we asked, and it has said so
        return self._disgrace(peer, Fault.NOT_SERVED, now_ns)

    # what to do

    def requests(self, now_ns: int) -> list[Request]:
        """Requests to send now, each already counted as sent."""
        target = self.target(now_ns)
        if target <= self.height:
            return []
        waiting = self._waiting(now_ns)
        estimate = self._estimate_bytes()
        expected = {height for peer in self._peers.values() for height in peer.open if height > self.height}
        reserved = self._received_bytes + len(expected - self._received.keys()) * estimate
        wanted: list[Request] = []
        for height in range(self.height + 1, min(target, self.height + SYNC_WINDOW_BLOCKS_MAX) + 1):
            if height in self._received or height == self._taken or waiting.get(height, False):
                continue
            is_new = height not in expected
            if is_new and height != self.height + 1 and reserved + estimate > SYNC_BUFFER_BYTES_MAX:
                continue
            peer = self._choose(height, now_ns)
            if peer is None or (height in waiting and not self._is_prompt(self._peers[peer], now_ns)):
                continue
            asked = self._peers[peer].open.setdefault(height, _Asked(now_ns, now_ns))
            asked.last_ns = now_ns
            asked.times += 1
            reserved += estimate if is_new else 0
            wanted.append(Request(peer, height))
        return wanted

    def not_sent(self, request: Request) -> None:
        """The request could not be sent: its queue is full. It is planned again."""
        known = self._peers.get(request.peer)
        if known is not None:
            known.close(request.height)

    def expire(self, now_ns: int) -> list[Complaint]:
        """Complaints about answers that are overdue."""
        late = [
            name
            for name, peer in self._peers.items()
            if any(now_ns - asked.first_ns >= REQUEST_TIMEOUT_NS for asked in peer.open.values())
        ]
        return [complaint for name in late for complaint in self._disgrace(name, Fault.TIMED_OUT, now_ns)]

    def take(self) -> tuple[int, str, Item] | None:
        """(height, peer, item) of the next height, if it is here; then settle it with `applied` or `invalid`."""
        received = self._received.get(self.height + 1)
        if received is None or self._taken is not None:
            return None
        self._taken = self.height + 1
        return self._taken, received.peer, received.item

    def applied(self, height: int) -> None:
        """`height` is decided here, by this loop or by the votes of consensus."""
        if height <= self.height:
            return
        self.height = height
        self._near_since_ns = -1
        if self._taken is not None and self._taken <= height:
            self._applied_bytes = self._received[self._taken].size
            self._taken = None
        for old in [known for known in self._received if known <= height]:
            self._drop(old)

    def invalid(self, height: int, now_ns: int) -> list[Complaint]:
        """The item taken for `height` does not verify: everything from its peer is thrown away."""
        received = self._received.get(height)
        self._taken = None
        return [] if received is None else self._disgrace(received.peer, Fault.INVALID, now_ns)

    # what is true

    def target(self, now_ns: int) -> int:
        """The height to fetch up to now; our own height if there is nothing to fetch.

        Two ahead is behind at once; one ahead only when it lasts, since its votes usually arrive by themselves.
        """
        best = max((p.height for p in self._peers.values() if not self._is_disgraced(p, now_ns)), default=0)
        if best != self.height + 1:
            self._near_since_ns = -1
            return max(best, self.height)
        if self._near_since_ns < 0:
            self._near_since_ns = now_ns
        return best if now_ns - self._near_since_ns >= NEAR_GRACE_NS else self.height

    def best_height(self, now_ns: int) -> int:
        """The highest claim of a peer in good standing, 0 without peers. One that was late counts only if it has ever served."""
        return max(
            (
                peer.height
                for peer in self._peers.values()
                if not self._is_disgraced(peer, now_ns) and (peer.late == 0 or peer.served > 0)
            ),
            default=0,
        )

    def is_catching_up(self, now_ns: int) -> bool:
        """Whether a peer in good standing claims two or more blocks that we lack."""
        return self.best_height(now_ns) >= self.height + 2

    def statistics(self) -> dict[str, int]:
        """Gauges: peers known, requests open, blocks and bytes waiting to be applied."""
        return {
            "peers": len(self._peers),
            "open_requests": sum(len(peer.open) for peer in self._peers.values()),
            "received_blocks": len(self._received),
            "received_bytes": self._received_bytes,
        }

    # within

    def _waiting(self, now_ns: int) -> dict[int, bool]:
        """Heights asked for and not overdue; True if a prompt peer was asked, so that there is no reason to ask another."""
        waiting: dict[int, bool] = {}
        for peer in self._peers.values():
            is_prompt = self._is_prompt(peer, now_ns)
            for height, asked in peer.open.items():
                if now_ns - asked.last_ns < OVERDUE_NS:
                    waiting[height] = waiting.get(height, False) or is_prompt
        return waiting

    def _estimate_bytes(self) -> int:
        """What an answer may be expected to take: as much as the largest that waits or the last that was applied."""
        return max(ESTIMATE_BYTES_MIN, self._applied_bytes, *(received.size for received in self._received.values()))

    def _choose(self, height: int, now_ns: int) -> str | None:
        """The peer with the fewest open requests that claims the height; among equals the one that served least.

        A peer that is not prompt comes last, and one with overdue answers is asked for nothing but the next height.
        """
        best: tuple[bool, int, int, str] | None = None
        for name, peer in self._peers.items():
            if not peer.base <= height <= peer.height or self._is_disgraced(peer, now_ns):
                continue
            has_room = len(peer.open) < peer.requests_max and not self._is_overdue(peer, now_ns)
            if has_room or height == self.height + 1:
                rank = (not self._is_prompt(peer, now_ns), len(peer.open), peer.served, name)
                best = rank if best is None else min(best, rank)
        return None if best is None else best[-1]

    def _is_overdue(self, peer: _Peer, now_ns: int) -> bool:
        return any(now_ns - asked.last_ns >= OVERDUE_NS for asked in peer.open.values())

    def _is_prompt(self, peer: _Peer, now_ns: int) -> bool:
        return peer.late == 0 and not self._is_overdue(peer, now_ns)

    def _is_disgraced(self, peer: _Peer, now_ns: int) -> bool:
        return peer.disgraced_until_ns > now_ns

    def _disgrace(self, name: str, fault: Fault, now_ns: int) -> list[Complaint]:
        peer = self._peers.get(name)
        if peer is not None:
            time_ns = DISGRACE_NS
            peer.lied = fault is not Fault.TIMED_OUT
            if fault is Fault.TIMED_OUT:
                time_ns = min(SLOW_DISGRACE_NS << min(peer.late, 10), DISGRACE_NS)
                peer.late += 1
                peer.requests_max = 1
            peer.disgraced_until_ns = now_ns + time_ns
            for height in list(peer.open):
                peer.owe(height, peer.open.pop(height).times)
            if fault is Fault.TIMED_OUT:
                return [Complaint(name, fault)]  # what it served before is as good as anybody's
        for height in [known for known, received in self._received.items() if received.peer == name]:
            if height != self._taken:
                self._drop(height)
        return [Complaint(name, fault)]

    def _drop(self, height: int) -> None:
        self._received_bytes -= self._received.pop(height).size
