"""The WebSocket: the same calls, and subscriptions whose events repeat the id of the call that asked for them.

One task reads; each subscription has one that writes; a lock keeps messages whole. Nothing is buffered here beyond the message that is
being sent: who does not read makes his own tasks wait, until the connection's deadline cuts it off (`node.rpc.connections`) or his
subscription is too far behind and ends with an error (`node.rpc.events`). A connection that sends what is no JSON-RPC is told so and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from node.rpc.caller import Caller
from node.rpc.dispatch import answer_call, decode_request, encode_error, encode_result, read_call
from node.rpc.errors import INTERNAL_ERROR, INVALID_REQUEST, RpcError, invalid_params
from node.rpc.events import RpcBackend, Subscription, parse_cursor
from node.rpc.method import Methods
from node.rpc.params import Kind, Param, read_params
from node.rpc.query import parse_query
from node.rpc.roles import Role
from state.primitives.limits import RPC_BYTES_PER_UNIT, RPC_REPLAY_BLOCKS_MAX

SUBSCRIPTIONS_PER_CONNECTION_MAX: Final = 10
Note = Callable[[Caller, float], None]  # a call was answered that began at this time
_QUERY: Final = (Param("query", Kind.TEXT),)
_SUBSCRIBE: Final = (*_QUERY, Param("after", Kind.TEXT, ""))


class WebSocketSession:
    """One connection."""

    def __init__(self, backend: RpcBackend, methods: Methods, socket: WebSocket, make_caller: Callable[[], Caller], note: Note) -> None:
        self._make_caller = make_caller
        self._note = note
        self._methods = methods
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
            self._close_all()

    async def _read(self, nursery: trio.Nursery) -> None:
        while True:
            try:
                message = await self._socket.receive()
            except (WebSocketDisconnect, RuntimeError):
                return
            if message["type"] != "websocket.receive":
                return
            text = message.get("text")
            answer = await self._answer(text.encode() if text is not None else message.get("bytes") or b"", nursery)
            if answer:
                await self._send(answer)

    async def _answer(self, body: bytes, nursery: trio.Nursery) -> bytes:
        call_id: Any = None
        caller, started = self._make_caller(), trio.current_time()
        try:
            caller.spend(1 + len(body) // RPC_BYTES_PER_UNIT)
            call = decode_request(body)
            if isinstance(call, list):
                raise RpcError(INVALID_REQUEST, "batches are for POST")
            call_id, method, params, _ = read_call(call)
            change = self._CHANGES.get(method)
            if change is None:
                return await answer_call(self._methods, self._backend, call, caller)
            caller.note(method)
            caller.require(Role.PUBLIC, method)
            await caller.record(Role.PUBLIC, method, [param.name for param in _SUBSCRIBE], params)
            change(self, caller, call_id, params, nursery)
        except RpcError as error:
            caller.code = error.rpc_code
            return encode_error(call_id, error)
        finally:
            self._note(caller, started)
        return encode_result(call_id, {})

    def _subscribe(self, caller: Caller, call_id: Any, params: Any, nursery: trio.Nursery) -> None:
        text, after = read_params(_SUBSCRIBE, params, is_uri=False).values()
        if text in self._subscriptions:
            raise RpcError(INTERNAL_ERROR, "already subscribed")
        if len(self._subscriptions) >= SUBSCRIPTIONS_PER_CONNECTION_MAX:
            raise RpcError(INTERNAL_ERROR, f"at most {SUBSCRIPTIONS_PER_CONNECTION_MAX} subscriptions for each connection")
        query, bus = parse_query(text), self._backend.bus
        if after:
            cursor, newest = parse_cursor(after), self._backend.height
            caller.spend(min(max(0, newest - cursor.height), RPC_REPLAY_BLOCKS_MAX))  # each block that is told again is a unit
            subscription = bus.resume(query, cursor, newest, self._backend.base_height())
        else:
            subscription = bus.subscribe(query, self._backend.height)
        self._subscriptions[text] = subscription
        nursery.start_soon(self._forward, call_id, subscription)

    def _unsubscribe(self, _caller: Caller, _call_id: Any, params: Any, _nursery: trio.Nursery) -> None:
        known = self._subscriptions.pop(read_params(_QUERY, params, is_uri=False)["query"], None)
        if known is None:
            raise RpcError(INTERNAL_ERROR, "subscription not found")
        known.close()

    def _unsubscribe_all(self, _caller: Caller, _call_id: Any, params: Any, _nursery: trio.Nursery) -> None:
        if params:
            raise invalid_params("unsubscribe_all has no parameters")
        self._close_all()

    def _close_all(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.close()
        self._subscriptions.clear()

    _CHANGES: Final = {"subscribe": _subscribe, "unsubscribe": _unsubscribe, "unsubscribe_all": _unsubscribe_all}

    async def _forward(self, call_id: Any, subscription: Subscription) -> None:
        backend, bus = self._backend, self._backend.bus
        caller = self._make_caller()
        while (height := await subscription.next_height(lambda: backend.height, backend.base_height)) is not None:
            try:
                caller.require(Role.PUBLIC, "subscribe")
            except RpcError as error:  # his token was revoked meanwhile
                subscription.close()
                self._subscriptions.pop(subscription.query.text, None)
                await self._send(encode_error(call_id, error))
                break
            for result in bus.events_at(height, backend.load_events).matching(subscription.query, subscription.heard_of(height)):
                if subscription.is_closed:
                    break
                if result is None:
                    await trio.lowlevel.checkpoint()
                else:
                    await self._send(encode_result(call_id, result))
        if subscription.is_overrun:
            self._subscriptions.pop(subscription.query.text, None)
            reason = (
                "subscription was cancelled (reason: client is not pulling messages fast enough); "
                f"to go on, subscribe after {subscription.height}"
            )
            await self._send(encode_error(call_id, RpcError(INTERNAL_ERROR, reason)))

    async def _send(self, message: bytes) -> None:
        async with self._lock:
            if self._socket.application_state is WebSocketState.CONNECTED:
                try:
                    await self._socket.send_text(message.decode())
                except (WebSocketDisconnect, RuntimeError):
                    return  # the reader learns of it as well, and ends the session
