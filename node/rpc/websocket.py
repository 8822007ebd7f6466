"""The WebSocket: the same calls, and subscriptions whose events repeat the id of the call that asked for them.

One task reads; each subscription has one that writes; a lock keeps frames whole. A subscriber that was too slow gets an error and its
subscription ends (`node.rpc.events`). A connection that sends what is no JSON-RPC is told so and stays.
"""

from __future__ import annotations

from typing import Any, Final

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from node.rpc.backend import NodeBackend
from node.rpc.dispatch import answer_call, decode_request, encode, error_response, read_call
from node.rpc.errors import INTERNAL_ERROR, INVALID_REQUEST, RpcError, invalid_params
from node.rpc.events import Subscription
from node.rpc.query import parse_query

SUBSCRIPTIONS_PER_CONNECTION_MAX: Final = 10
SEND_SECONDS_MAX: Final = 10.0


class WebSocketSession:
    """One connection."""

    def __init__(self, backend: NodeBackend, socket: WebSocket) -> None:
        self._backend = backend
        self._socket = socket
        self._subscriptions: dict[str, Subscription] = {}
        self._lock = trio.Lock()

    async def run(self) -> None:
        """Serve until either side closes."""
        await self._socket.accept()
        try:
            async with trio.open_nursery() as nursery:
                await self._read(nursery)
                nursery.cancel_scope.cancel()
        finally:
            for subscription in list(self._subscriptions.values()):
                subscription.close()

    async def _read(self, nursery: trio.Nursery) -> None:
        while True:
            try:
                message = await self._socket.receive()
            except (WebSocketDisconnect, RuntimeError):
                return
            if message["type"] != "websocket.receive":
                return
            data = message.get("text")
            body = data.encode() if data is not None else message.get("bytes") or b""
            try:
                call = decode_request(body)
                if isinstance(call, list):
                    raise RpcError(INVALID_REQUEST, "batches are for POST")
                call_id, method, params, _ = read_call(call)
            except RpcError as error:
                await self._send(error_response(None, error))
                continue
            if method in ("subscribe", "unsubscribe", "unsubscribe_all"):
                try:
                    self._change(method, call_id, params, nursery)
                    await self._send({"jsonrpc": "2.0", "id": call_id, "result": {}})
                except RpcError as error:
                    await self._send(error_response(call_id, error))
            else:
                response = await answer_call(self._backend, call)
                if response is not None:
                    await self._send(response)

    def _change(self, method: str, call_id: Any, params: Any, nursery: trio.Nursery) -> None:
        if method == "unsubscribe_all":
            for subscription in list(self._subscriptions.values()):
                subscription.close()
            self._subscriptions.clear()
            return
        text = params.get("query") if isinstance(params, dict) else params[0] if isinstance(params, list) and params else None
        if not isinstance(text, str):
            raise invalid_params("parameter query is missing; it is a string")
        if method == "unsubscribe":
            known = self._subscriptions.pop(text, None)
            if known is None:
                raise RpcError(INTERNAL_ERROR, "subscription not found")
            known.close()
            return
        if text in self._subscriptions:
            raise RpcError(INTERNAL_ERROR, "already subscribed")
        if len(self._subscriptions) >= SUBSCRIPTIONS_PER_CONNECTION_MAX:
            raise RpcError(INTERNAL_ERROR, f"at most {SUBSCRIPTIONS_PER_CONNECTION_MAX} subscriptions for each connection")
        subscription = self._backend.bus.subscribe(parse_query(text))
        self._subscriptions[text] = subscription
        nursery.start_soon(self._forward, text, call_id, subscription)

    async def _forward(self, text: str, call_id: Any, subscription: Subscription) -> None:
        async for event in subscription.events:
            await self._send({"jsonrpc": "2.0", "id": call_id, "result": event})
        if subscription.is_overrun:
            self._subscriptions.pop(text, None)
            reason = "subscription was cancelled (reason: client is not pulling messages fast enough)"
            await self._send(error_response(call_id, RpcError(INTERNAL_ERROR, reason)))

    async def _send(self, message: dict[str, Any]) -> None:
        with trio.move_on_after(SEND_SECONDS_MAX) as scope:
            async with self._lock:
                if self._socket.application_state is WebSocketState.CONNECTED:
                    try:
                        await self._socket.send_text(encode(message).decode())
                    except (WebSocketDisconnect, RuntimeError):
                        return
        if scope.cancelled_caught:
            await self._socket.close(1008, "too slow")
