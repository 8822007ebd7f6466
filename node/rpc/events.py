"""What subscribers hear: new blocks, headers and transactions, in order, rendered once for all of them.

Nothing is queued. A subscription is a query and the last height it has heard of; committing a block only rings the bell, and each
subscriber's own task renders what it asked for, from memory if it keeps up, from the store if it lags. So a subscriber costs the node no
memory, however slow it is, and no time while a block is committed; and live events and missed ones are one sequence, without gap or
duplicate. Every event carries a cursor, its place in that sequence, after which a later subscription goes on.

Policy for slow readers: one that is more than `RPC_EVENT_BLOCKS_BEHIND_MAX` blocks behind is told so, with the cursor to go on from, and
dropped. One that began with missed blocks, at most `RPC_REPLAY_BLOCKS_MAX`, may be as many more behind until it has caught up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import trio

from consensus.block import Block
from node.executor import CommittedBlock
from node.rpc import shapes
from node.rpc.errors import failed, invalid_params
from node.rpc.query import Query
from state.primitives.hashing import sha256
from state.primitives.limits import RPC_EVENT_BLOCKS_BEHIND_MAX, RPC_EVENT_BLOCKS_KEPT, RPC_REPLAY_BLOCKS_MAX
from state.receipts import Receipt

_CURSOR: Final = re.compile(r"([0-9]{1,18})(?:/([0-9]{1,9}))?")
_TX_PLACE: Final = 2  # of a height's first transaction, after the block and its header
_TXS_AT_ONCE: Final = 100  # compared with a query between two turns of everybody else


Updates = tuple[list[Any], Any]  # changed validators and parameters (or None), as JSON


def _no_updates(_height: int) -> Updates:
    return [], None


class HeightEvents:
    """The events of one height; each is rendered when it is first asked for."""

    def __init__(
        self, block: Block, receipts: tuple[Receipt, ...], app_hash: bytes, updates_at: Callable[[int], Updates]
    ) -> None:
        self._block = block
        self._updates_at = updates_at
        self._receipts = receipts
        self._app_hash = app_hash
        self._rendered: dict[str, msgspec.Raw] = {}
        self._txs: list[tuple[dict[str, list[str]], msgspec.Raw] | None] = [None] * len(receipts)

    def matching(self, query: Query, after: int = -1) -> Iterator[dict[str, Any] | None]:
        """Results for one query, in order, beyond a place in the height: 0 is the block, 1 its header, 2 the first transaction.

        None now and then: a moment to let others work.
        """
        for place, (kind, render) in enumerate((("NewBlock", self._new_block), ("NewBlockHeader", self._new_header))):
            if place <= after:
                continue
            events = shapes.block_event_map(kind, self._block.header)
            if query.matches(events):
                data = self._rendered.get(kind)
                if data is None:
                    data = self._rendered[kind] = msgspec.Raw(msgspec.json.encode(render()))
                yield self._result(query, place, data, events)
        kind_wanted = query.find("tm.event")
        if kind_wanted is not None and kind_wanted.text != "Tx":
            return
        for index in range(max(0, after + 1 - _TX_PLACE), len(self._receipts)):
            if index % _TXS_AT_ONCE == 0:
                yield None
            events, data = self._tx(index)
            if query.matches(events):
                yield self._result(query, _TX_PLACE + index, data, events)

    def _result(self, query: Query, place: int, data: msgspec.Raw, events: dict[str, list[str]]) -> dict[str, Any]:
        cursor = f"{self._block.header.height}/{place}"
        return {"query": query.text, "data": data, "events": events, "cursor": cursor}

    def _new_block(self) -> Any:
        validator_updates, param_updates = self._updates_at(self._block.header.height)
        return {
            "type": "tendermint/event/NewBlock",
            "value": {
                "block": shapes.block(self._block),
                "block_id": shapes.block_id(self._block.block_id()),
                "result_finalize_block": {
                    "events": [],
                    "tx_results": [shapes.tx_result(receipt) for receipt in self._receipts],
                    "validator_updates": validator_updates,
                    "consensus_param_updates": param_updates,
                    "app_hash": shapes.b64(self._app_hash),
                },
            },
        }

    def _new_header(self) -> Any:
        return {"type": "tendermint/event/NewBlockHeader", "value": {"header": shapes.header(self._block.header)}}

    def _tx(self, index: int) -> tuple[dict[str, list[str]], msgspec.Raw]:
        known = self._txs[index]
        if known is None:
            height, raw, receipt = self._block.header.height, self._block.txs[index], self._receipts[index]
            result: dict[str, Any] = {"height": str(height), "tx": shapes.b64(raw), "result": shapes.tx_result(receipt)}
            if index:
                result["index"] = index
            data = {"type": "tendermint/event/Tx", "value": {"TxResult": result}}
            known = shapes.event_map(receipt, sha256(raw), self._block.header), msgspec.Raw(msgspec.json.encode(data))
            self._txs[index] = known
        return known


class RpcBackend(Protocol):
    """What the server and its subscriptions need of whatever answers the methods."""

    version: str
    bus: EventBus

    @property
    def chain_id(self) -> str:
        """The chain's name."""
        ...

    @property
    def height(self) -> int:
        """The last height there are events of."""
        ...

    def base_height(self) -> int:
        """The first one."""
        ...

    def load_events(self, height: int) -> HeightEvents:
        """The events of a height."""
        ...

    def why_not_ready(self, age_s_max: int) -> str:
        """Why requests should go to another node: empty unless it lags, or its last block is older than this."""
        ...


@dataclass(frozen=True, slots=True)
class Cursor:
    """What was heard last: a place in a height; None is all of it."""

    height: int
    place: int | None


def parse_cursor(text: str) -> Cursor:
    """`120/3` as events carry it, or `120`: everything of this height was heard. Raises `RpcError`."""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise invalid_params(f"after is a cursor such as 120/3, which events carry, or a height: {text[:40]!r}")
    height, place = match.groups()
    return Cursor(int(height), None if place is None else int(place))


class Subscription:
    """One query of one connection, and the last height it has heard of. `after` is the place it has heard in the first height."""

    def __init__(self, bus: EventBus, query: Query, height: int, after: int = -1, missed: int = 0) -> None:
        self.query = query
        self.height = height
        self._first, self._after = height + 1, after
        self._behind_max = RPC_EVENT_BLOCKS_BEHIND_MAX + missed
        self.is_closed = False
        self.is_overrun = False
        self._bus = bus
        self._waiting: trio.CancelScope | None = None

    async def next_height(self, newest: Callable[[], int], oldest: Callable[[], int]) -> int | None:
        """The next height to tell of, when there is one; None when the subscription is closed or was too slow."""
        while not self.is_closed and newest() <= self.height:
            with trio.CancelScope() as self._waiting:
                await self._bus.news.wait()
        if self.is_closed:
            return None
        behind = newest() - self.height
        if behind <= RPC_EVENT_BLOCKS_BEHIND_MAX:
            self._behind_max = RPC_EVENT_BLOCKS_BEHIND_MAX  # caught up with what it had missed
        if behind > self._behind_max or self.height + 1 < oldest():
            self.is_overrun = True
            self.close()
            return None
        self.height += 1
        return self.height

    def heard_of(self, height: int) -> int:
        """The place up to which a height was heard before this subscription."""
        return self._after if height == self._first else -1

    def close(self) -> None:
        """No more events."""
        if not self.is_closed:
            self.is_closed = True
            self._bus.forget(self)
        if self._waiting is not None:
            self._waiting.cancel()


class EventBus:
    """Rings when a block is committed, keeps the last ones for those who listen, and wakes those who wait for a transaction."""

    def __init__(self) -> None:
        self.news = trio.Event()  # a new one after every block
        self.waiters = 0
        self.updates_at: Callable[[int], Updates] = _no_updates  # whoever knows the sets says so
        self._subscriptions: dict[Subscription, None] = {}
        self._waiters: dict[bytes, list[trio.Event]] = {}
        self._kept: dict[int, HeightEvents] = {}

    def subscribe(self, query: Query, height: int) -> Subscription:
        """A new subscription to what follows `height`; close it."""
        return self._add(Subscription(self, query, height))

    def resume(self, query: Query, cursor: Cursor, newest: int, oldest: int) -> Subscription:
        """A new subscription to what follows a cursor; close it. Raises `RpcError` if that is too far back, or too far ahead.

        A cursor of another node may be a little ahead of us: what it has heard there is not told again when it happens here.
        """
        height = cursor.height if cursor.place is None else cursor.height - 1
        if cursor.height - newest > RPC_EVENT_BLOCKS_BEHIND_MAX:
            raise invalid_params(f"the cursor is of height {cursor.height}, this node is at {newest}")
        missed = max(0, newest - height)
        if missed > RPC_REPLAY_BLOCKS_MAX or (missed and height + 1 < oldest):
            raise failed(
                f"blocks {height + 1} to {newest} were missed; at most {RPC_REPLAY_BLOCKS_MAX}, from {oldest} on, are told again: "
                f"search them, and subscribe after {newest}"
            )
        return self._add(Subscription(self, query, height, -1 if cursor.place is None else cursor.place, missed))

    def _add(self, subscription: Subscription) -> Subscription:
        self._subscriptions[subscription] = None
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """It is closed."""
        self._subscriptions.pop(subscription, None)
        if not self._subscriptions:
            self._kept.clear()

    def events_at(self, height: int, load: Callable[[int], HeightEvents]) -> HeightEvents:
        """The events of a height, from memory or by `load`."""
        found = self._kept.get(height)
        if found is None:
            found = load(height)
            self._keep(height, found)
        return found

    def _keep(self, height: int, events: HeightEvents) -> None:
        self._kept[height] = events
        while len(self._kept) > RPC_EVENT_BLOCKS_KEPT:
            del self._kept[next(iter(self._kept))]

    @contextmanager
    def waiting_for(self, tx_hash: bytes) -> Iterator[trio.Event]:
        """An event that is set when the transaction is in a block."""
        event = trio.Event()
        self._waiters.setdefault(tx_hash, []).append(event)
        self.waiters += 1
        try:
            yield event
        finally:
            self.waiters -= 1
            others = self._waiters.get(tx_hash, [])
            if event in others:
                others.remove(event)
            if not others:
                self._waiters.pop(tx_hash, None)

    def publish_block(self, committed: CommittedBlock) -> None:
        """Tell everybody."""
        if self._waiters:
            for tx in committed.txs:
                for waiter in self._waiters.pop(tx.hash, ()):
                    waiter.set()
        if self._subscriptions:
            events = HeightEvents(committed.block, committed.receipts, committed.app_hash, self.updates_at)
            self._keep(committed.block.header.height, events)
        news, self.news = self.news, trio.Event()
        news.set()
