"""What subscribers hear: new blocks, headers and transactions, through a bounded buffer for each.

Policy for slow readers: a subscriber whose buffer of `BUFFER_EVENTS` is full is told so and dropped; it never slows the node, and it can
catch up with `tx_search` from the last height it saw. Publishing does nothing that waits and renders an event only for those who asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio

from node.executor import CommittedBlock
from node.rpc import shapes
from node.rpc.query import Query

BUFFER_EVENTS: Final = 1_000
WAITERS_MAX: Final = 10_000


class Subscription:
    """One query of one connection. `events` ends when the subscriber was too slow."""

    def __init__(self, query: Query, forget: Callable[[Subscription], None]) -> None:
        self.query = query
        self.is_overrun = False
        self._send, self.events = trio.open_memory_channel[dict[str, Any]](BUFFER_EVENTS)
        self._forget = forget

    def offer(self, data: dict[str, Any], events: dict[str, list[str]]) -> None:
        """Queue an event."""
        try:
            self._send.send_nowait({"query": self.query.text, "data": data, "events": events})
        except trio.WouldBlock:
            self.is_overrun = True
            self.close()
        except trio.BrokenResourceError:
            self.close()

    def close(self) -> None:
        """No more events."""
        self._forget(self)
        self._send.close()


class EventBus:
    """Publishes each committed block to subscriptions, and wakes those who wait for a transaction."""

    def __init__(self) -> None:
        self._subscriptions: dict[Subscription, None] = {}
        self._waiters: dict[bytes, trio.Event] = {}

    def subscribe(self, query: Query) -> Subscription:
        """A new subscription; close it."""
        subscription = Subscription(query, self._drop)
        self._subscriptions[subscription] = None
        return subscription

    def _drop(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription, None)

    def waiter(self, tx_hash: bytes) -> trio.Event:
        """Set when the transaction is in a block."""
        return self._waiters.setdefault(tx_hash, trio.Event())

    def publish_block(self, committed: CommittedBlock) -> None:
        """Tell everybody."""
        if self._waiters:
            for tx in committed.txs:
                waiter = self._waiters.pop(tx.hash, None)
                if waiter is not None:
                    waiter.set()
            while len(self._waiters) > WAITERS_MAX:
                del self._waiters[next(iter(self._waiters))]
        if not self._subscriptions:
            return
        height = committed.block.header.height
        block_events = {"tm.event": ["NewBlock"], "block.height": [str(height)]}
        self._publish(block_events, lambda: _new_block(committed))
        self._publish({"tm.event": ["NewBlockHeader"], "block.height": [str(height)]}, lambda: _new_header(committed))
        wants_txs = [s for s in self._subscriptions if _may_want_txs(s.query)]
        if not wants_txs:
            return
        for index, (tx, receipt) in enumerate(zip(committed.txs, committed.receipts, strict=True)):
            events = shapes.event_map(receipt, tx, height)
            data: dict[str, Any] | None = None
            for subscription in wants_txs:
                if subscription.query.matches(events):
                    data = data or _tx(height, index, tx.raw, receipt)
                    subscription.offer(data, events)

    def _publish(self, events: dict[str, list[str]], render: Callable[[], dict[str, Any]]) -> None:
        data: dict[str, Any] | None = None
        for subscription in list(self._subscriptions):
            if subscription.query.matches(events):
                data = data or render()
                subscription.offer(data, events)


def _may_want_txs(query: Query) -> bool:
    kind = query.find("tm.event")
    return kind is None or kind.text == "Tx"


def _new_block(committed: CommittedBlock) -> dict[str, Any]:
    return {
        "type": "tendermint/event/NewBlock",
        "value": {
            "block": shapes.block(committed.block),
            "block_id": shapes.block_id(committed.block_id),
            "result_finalize_block": {
                "events": [],
                "tx_results": [shapes.tx_result(receipt) for receipt in committed.receipts],
                "validator_updates": [],
                "consensus_param_updates": None,
                "app_hash": shapes.b64(committed.app_hash),
            },
        },
    }


def _new_header(committed: CommittedBlock) -> dict[str, Any]:
    return {"type": "tendermint/event/NewBlockHeader", "value": {"header": shapes.header(committed.block.header)}}


def _tx(height: int, index: int, raw: bytes, receipt: Any) -> dict[str, Any]:
    result: dict[str, Any] = {"height": str(height), "tx": shapes.b64(raw), "result": shapes.tx_result(receipt)}
    if index:
        result["index"] = index
    return {"type": "tendermint/event/Tx", "value": {"TxResult": result}}
