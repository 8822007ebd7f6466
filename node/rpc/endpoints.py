"""What each address of the RPC answers: calls in their three spellings, the list of methods, readiness, the WebSocket.

From a request to its response, no more: sockets and tasks are `node.rpc.server`'s, ids, origins and the log `node.rpc.front`'s, what a call
is and may `node.rpc.dispatch`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.websockets import WebSocket

from node.audit.requests import RequestLog
from node.config_sections import RpcConfig
from node.rpc.access import Access
from node.rpc.budget import Budgets, Places, client_of
from node.rpc.caller import Caller
from node.rpc.dispatch import answer_body, answer_uri, encode, encode_error, read_form
from node.rpc.errors import HTTP_STATUS, INTERNAL_ERROR, INVALID_REQUEST, RpcError
from node.rpc.events import RpcBackend
from node.rpc.front import NOTES, AccessLog
from node.rpc.live import LiveRpc
from node.rpc.method import Methods
from node.rpc.openapi import describe_rpc
from node.rpc.roles import Role
from node.rpc.websocket import WebSocketSession

READ_SECONDS_MAX: Final = 10.0
_SWITCHED: Final = 101  # the status that a WebSocket's calls have


class Endpoints:
    """The addresses of one server."""

    def __init__(
        self,
        backend: RpcBackend,
        methods: Methods,
        live: LiveRpc,
        access: Access,
        access_log: AccessLog,
        requests: RequestLog | None = None,
    ) -> None:
        self._backend = backend
        self._methods = methods
        self._live = live
        self._access = access
        self._access_log = access_log
        self._requests = requests
        self._openapi = b""  # made when it is first asked for
        self._sockets = Places(live.config.subscribers_max, live.config.client_subscribers_max)
        self._budgets = Budgets(live.config.client_units_per_s, live.config.client_burst, trio.current_time)
        live.on_change.append(self._follow)

    def _follow(self, config: RpcConfig) -> None:
        self._sockets.set_bounds(config.subscribers_max, config.client_subscribers_max)
        self._budgets.set_bounds(config.client_units_per_s, config.client_burst)

    async def post(self, request: Request) -> Response:
        """JSON-RPC."""
        try:
            body = await _read_body(request, self._live.config.body_bytes_max)
        except RpcError as error:
            return _json(encode_error(None, error))
        caller = self._caller_of(request)
        return _json(await answer_body(self._methods, self._backend, body, caller), caller)

    async def uri(self, request: Request) -> Response:
        """As CometBFT: parameters in the address, or in the form that is posted to it. A name given twice counts once, the first."""
        given = list(request.query_params.multi_items())
        if request.method == "POST":
            try:
                given += read_form(await _read_body(request, self._live.config.body_bytes_max))
            except RpcError as error:
                return _json(encode_error(None, error))
        caller, method = self._caller_of(request), request.path_params["method"]
        return _json(await answer_uri(self._methods, self._backend, method, dict(reversed(given)), caller), caller)

    async def index(self, _request: Request) -> Response:
        """Every method with its parameters, for people."""
        lines = [f"QENEX node {self._backend.version}, chain {self._backend.chain_id}", "", "Methods:"]
        for name, method in self._methods.items():
            lines.append("/" + name + ("?" + "&".join(p.name + "=_" for p in method.params) if method.params else ""))
        return PlainTextResponse("\n".join(lines) + "\n")

    async def openapi(self, _request: Request) -> Response:
        """The same for programs."""
        if not self._openapi:
            self._openapi = encode(describe_rpc(self._methods, self._backend.version))
        return _json(self._openapi)

    async def ready(self, _request: Request) -> Response:
        """For load balancers: 200, or 503 with the reason."""
        reason = self._backend.why_not_ready(self._live.config.ready_age_s_max)
        answer: dict[str, Any] = {"ready": False, "reason": reason} if reason else {"ready": True}
        return _json(encode(answer), status=503 if reason else 200)

    async def websocket(self, socket: WebSocket) -> None:
        """Calls and subscriptions, until either side goes."""
        await socket.receive()  # that it wants to connect: Hypercorn drops a connection whose application ends before
        try:
            self._caller_of(socket).require(Role.PUBLIC, "websocket")
        except RpcError as error:
            await socket.send_denial_response(_json(encode_error(None, error), status=HTTP_STATUS[error.rpc_code]))
            return
        notes = socket.scope[NOTES]
        client = client_of(notes.client)
        if not self._sockets.take(client):
            await socket.close(1013, "too many connections")
            return

        def note(caller: Caller, started: float) -> None:
            self._access_log.write(notes, caller, _SWITCHED, started)

        try:
            await WebSocketSession(self._backend, self._methods, socket, lambda: self._caller_of(socket), note).run()
        finally:
            self._sockets.give_back(client)

    async def unexpected(self, request: Request, _error: Exception) -> Response:
        """A defect of ours; the log has it."""
        caller: Caller | None = request.scope[NOTES].caller
        if caller is not None:
            caller.code = INTERNAL_ERROR
        return _json(encode_error(None, RpcError(INTERNAL_ERROR, "the node could not answer; its log says why")))

    def _caller_of(self, connection: HTTPConnection) -> Caller:
        header, notes = connection.headers.get("authorization"), connection.scope[NOTES]
        spend = self._budgets.spender_of(notes.client)
        caller = Caller(lambda: self._access.identify(header), spend, self._requests, notes.id, notes.client)
        notes.caller = caller
        return caller


def refusing(allowed: str) -> Callable[[Request], Awaitable[Response]]:
    """Answers 405, and which HTTP methods an address has, where the routes do not say it by themselves."""

    async def refuse(_request: Request) -> Response:
        return PlainTextResponse("Method Not Allowed", 405, {"allow": allowed})

    return refuse


async def _read_body(request: Request, bytes_max: int) -> bytes:
    body = bytearray()
    with trio.move_on_after(READ_SECONDS_MAX) as scope:
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise RpcError(INVALID_REQUEST, f"a request has at most {bytes_max} bytes")
        except ClientDisconnect:
            raise RpcError(INVALID_REQUEST, "the client went away") from None
    if scope.cancelled_caught:
        raise RpcError(INVALID_REQUEST, f"the request did not arrive within {READ_SECONDS_MAX:.0f} s")
    return bytes(body)


def _json(body: bytes, caller: Caller | None = None, *, status: int = 200) -> Response:
    """200, or what a request that is one call deserves; 204 for nothing but notifications."""
    if caller is not None and caller.calls == 1 and body[:1] != b"[":
        status = HTTP_STATUS.get(caller.code, status)
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return Response(body, status, headers, media_type="application/json") if body else Response(status_code=204)
