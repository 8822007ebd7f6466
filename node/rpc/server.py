"""The RPC server: POST, URI GET and WebSocket on one port, Starlette on Hypercorn's trio worker.

Errors of calls travel inside HTTP 200. Bodies, connections and idle time are bounded. What a storage error means is decided above: it
rises out of here and ends the node.
"""

from __future__ import annotations

from typing import Any, Final

import hypercorn.config
import hypercorn.trio
import trio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from node.config import RpcConfig
from node.rpc.backend import NodeBackend
from node.rpc.dispatch import answer_body, answer_uri, encode, error_response
from node.rpc.errors import INVALID_REQUEST, RpcError
from node.rpc.methods import METHODS
from node.rpc.websocket import WebSocketSession
from state.primitives.errors import PortInUseError

READ_SECONDS_MAX: Final = 10.0
IDLE_SECONDS_MAX: Final = 60.0


def make_app(backend: NodeBackend, config: RpcConfig) -> Starlette:
    """The ASGI application."""
    busy = trio.CapacityLimiter(config.connections_max)
    sockets = trio.CapacityLimiter(max(1, config.subscribers_max))

    async def post(request: Request) -> Response:
        try:
            body = await _read_body(request, config.body_bytes_max)
        except RpcError as error:
            return _json(encode(error_response(None, error)))
        async with busy:
            return _json(await answer_body(backend, body))

    async def get(request: Request) -> Response:
        name = request.path_params["method"]
        if request.url.query and len(request.url.query) > config.body_bytes_max:
            return _json(encode(error_response(None, RpcError(INVALID_REQUEST, "the URI is too long"))))
        async with busy:
            return _json(await answer_uri(backend, name, dict(request.query_params)))

    async def index(_request: Request) -> Response:
        lines = [f"QENEX node {backend.version}, chain {backend.document.chain_id}", "", "Methods:"]
        for name, method in METHODS.items():
            lines.append("/" + name + ("?" + "&".join(p.name + "=_" for p in method.params) if method.params else ""))
        return PlainTextResponse("\n".join(lines) + "\n")

    async def websocket(socket: WebSocket) -> None:
        try:
            sockets.acquire_on_behalf_of_nowait(socket)
        except trio.WouldBlock:
            await socket.close(1013, "too many connections")
            return
        try:
            await WebSocketSession(backend, socket).run()
        finally:
            sockets.release_on_behalf_of(socket)

    return Starlette(
        routes=[
            Route("/", post, methods=["POST"]),
            Route("/", index, methods=["GET"]),
            WebSocketRoute("/websocket", websocket),
            Route("/{method}", get, methods=["GET"]),
        ]
    )


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


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json") if body else Response(status_code=204)


async def serve_rpc(
    backend: NodeBackend, config: RpcConfig, log: Any, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled; reports its address when it listens. Raises `PortInUseError`."""
    settings = hypercorn.config.Config()
    settings.bind = [config.listen]
    settings.accesslog = None
    settings.errorlog = None
    settings.graceful_timeout = 0.3
    settings.keep_alive_timeout = IDLE_SECONDS_MAX
    settings.websocket_max_message_size = config.body_bytes_max
    settings.h11_max_incomplete_size = 64 * 1024
    app = make_app(backend, config)
    try:
        async with trio.open_nursery() as nursery:
            binds = await nursery.start(_serve, app, settings)
            address = binds[0].removeprefix("http://")
            task_status.started(address)
    except* OSError as group:
        error = group.exceptions[0]
        raise PortInUseError(
            f"cannot serve RPC on {config.listen}: {getattr(error, 'strerror', None) or error}",
            hint="another program uses the port; stop it or set [rpc] listen in config.toml",
        ) from error


async def _serve(
    app: Starlette, settings: hypercorn.config.Config, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
) -> None:
    await hypercorn.trio.serve(app, settings, task_status=task_status)  # type: ignore[arg-type]
