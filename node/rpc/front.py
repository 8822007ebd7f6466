"""What every request passes first: its id, whether a web page of elsewhere sent it, its line in the log. Methods are not known here.

A browser sends a foreign page's POST before it asks whether the page may read the answer, and a WebSocket without asking at all. So a
request that names an origin which is neither this server's nor in `[rpc] cors_origins` is refused, not only left unread. Programs name no
origin. Source: the Fetch standard (CORS protocol); RFC 6454 (Origin).
"""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

import trio
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.rpc.caller import Caller
from node.rpc.dispatch import encode_error
from node.rpc.errors import FORBIDDEN, RpcError
from node.rpc.live import LiveRpc

NOTES: Final = "qenex.notes"  # where a scope keeps its `Notes`
PREFLIGHT_S: Final = "600"
_ID: Final = re.compile(r"[\x21-\x7e]{1,64}")


class Notes:
    """What is known of a request while it is answered."""

    def __init__(self, scope: Scope) -> None:
        given = Headers(scope=scope).get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        self.client = scope["client"][0] if scope.get("client") else ""
        self.caller: Caller | None = None
        self.status = 0
        self.started = trio.current_time()


class AccessLog:
    """One line for each request, and for each call over a WebSocket, at the level of the settings; "off" writes none."""

    def __init__(self, live: LiveRpc, log: Any) -> None:
        self._live = live
        self._log = log

    def write(self, notes: Notes, caller: Caller | None, status: int, started: float) -> None:
        """`code` is JSON-RPC's, 0 for an answer; a batch names its first methods and how many calls it has."""
        level = self._live.config.access_log
        if level == "off":
            return
        who = None if caller is None else caller.identity
        getattr(self._log, level)(
            "rpc request",
            id=notes.id,
            methods=[] if caller is None else caller.methods,
            calls=0 if caller is None else caller.calls,
            client=notes.client,
            role="" if who is None or who.role is None else who.role.value,
            caller="" if who is None else who.name,
            code=0 if caller is None else caller.code,
            status=status,
            ms=round((trio.current_time() - started) * 1_000, 1),
        )


class Front:
    """Around the application."""

    def __init__(self, app: ASGIApp, live: LiveRpc, access_log: AccessLog) -> None:
        self._app = app
        self._live = live
        self._log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        notes = scope[NOTES] = Notes(scope)
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        is_welcome = origin is None or self._may_read(origin) or _host_of(origin) == headers.get("host", "").lower()

        async def send_noted(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                notes.status = message["status"]
                self._add_headers(MutableHeaders(scope=message), notes, origin)
                if message["type"] == "websocket.http.response.start":
                    message["headers"].append((b"connection", b"close"))  # Hypercorn ends it, so the client must not use it again
            await send(message)

        try:
            await self._answer(scope, receive, send_noted, is_welcome=is_welcome)
        finally:
            if notes.status:  # a WebSocket that opened has had a line for each call
                self._log.write(notes, notes.caller, notes.status, notes.started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, *, is_welcome: bool) -> None:
        if not is_welcome:
            if scope["type"] == "websocket":
                await receive()  # that it wants to connect: Hypercorn drops a connection whose application ends before
            refusal = encode_error(None, RpcError(FORBIDDEN, "web pages of this origin may not ask: see [rpc] cors_origins"))
            await Response(refusal, 403, media_type="application/json")(scope, receive, send)
        elif scope["type"] == "http" and _is_preflight(scope):
            await Response(status_code=204)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    @property
    def _origins(self) -> tuple[str, ...]:
        return self._live.config.cors_origins

    def _may_read(self, origin: str) -> bool:
        return "*" in self._origins or origin in self._origins

    def _add_headers(self, headers: MutableHeaders, notes: Notes, origin: str | None) -> None:
        headers["x-request-id"] = notes.id
        if not self._origins:
            return
        if "*" not in self._origins:
            headers["vary"] = "Origin"
        if origin is None or not self._may_read(origin):
            return
        headers["access-control-allow-origin"] = "*" if "*" in self._origins else origin
        headers["access-control-allow-methods"] = "GET, POST"
        headers["access-control-allow-headers"] = "Authorization, Content-Type, X-Request-Id"
        headers["access-control-expose-headers"] = "X-Request-Id"
        headers["access-control-max-age"] = PREFLIGHT_S


def _is_preflight(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return scope["method"] == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def _host_of(origin: str) -> str:
    return origin.partition("://")[2].lower()
