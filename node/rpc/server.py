"""The RPC server: POST, URI GET and WebSocket on one port, Starlette over Hypercorn's protocol on trio.

Errors of calls travel inside HTTP 200, but for 401 and 403. Damage of the store that a call meets ends the node: it rises out of
`serve_rpc`, past Hypercorn, which would only close the connection. Anything else unexpected is logged and answered as an internal
error. Connections are `node.rpc.connections`', what is spoken on them `node.rpc.http1`'s.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

import trio
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from node.audit.requests import RequestLog
from node.config_sections import RpcConfig
from node.explorer.routes import explorer_routes
from node.rpc.access import Access
from node.rpc.connections import House, name_of, serve_connections
from node.rpc.endpoints import Endpoints, refusing
from node.rpc.events import RpcBackend
from node.rpc.front import AccessLog, Front
from node.rpc.http1 import make_settings
from node.rpc.live import LiveRpc
from node.rpc.method import Methods
from node.rpc.methods import METHODS
from node.telemetry.logs import get_log
from state.primitives.errors import CorruptError, PortInUseError, QenexError, StorageError

OTHER_HTTP_METHODS: Final = ["DELETE", "OPTIONS", "PATCH", "PUT", "TRACE"]  # than those that / has


class Damage:
    """What was found wrong with the node itself."""

    def __init__(self) -> None:
        self._found = trio.Event()
        self._error: QenexError | None = None

    def found(self, error: QenexError) -> None:
        """Remember the first and wake whoever waits for it."""
        self._error = self._error or error
        self._found.set()

    async def raise_it(self) -> None:
        """Wait for one and raise it."""
        await self._found.wait()
        if self._error is not None:
            raise self._error


class Guard:
    """Around the application: damage is reported, for Hypercorn would swallow it."""

    def __init__(self, app: ASGIApp, damage: Damage, log: Any) -> None:
        self._app = app
        self._damage = damage
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        try:
            await self._app(scope, receive, send)
        except* (CorruptError, StorageError) as group:
            error = _first_leaf(group)
            self._log.error("damage found by an RPC call", error=error.name, reason=error.message)
            self._damage.found(error)


def _first_leaf(error: BaseExceptionGroup[QenexError] | QenexError) -> QenexError:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def make_app(
    backend: RpcBackend,
    methods: Methods,
    live: LiveRpc,
    access: Access,
    damage: Damage,
    log: Any,
    requests: RequestLog | None = None,
) -> ASGIApp:
    """The ASGI application that answers `methods`."""
    access_log = AccessLog(live, log)
    answers = Endpoints(backend, methods, live, access, access_log, requests)
    starlette = Starlette(
        routes=[
            Route("/", refusing("GET, HEAD, POST"), methods=OTHER_HTTP_METHODS),
            Route("/", answers.post, methods=["POST"]),
            *explorer_routes(answers.index, live.config.explorer),
            Route("/openapi.json", answers.openapi, methods=["GET"]),
            Route("/ready", answers.ready, methods=["GET"]),
            # else these two would be taken for names of methods
            *(Route(path, refusing("GET, HEAD"), methods=["POST"]) for path in ("/openapi.json", "/ready")),
            WebSocketRoute("/websocket", answers.websocket),
            Route("/{method}", answers.uri, methods=["GET", "POST"]),
        ],
        exception_handlers={Exception: answers.unexpected},
    )
    return Guard(Front(starlette, live, access_log), damage, log)


async def serve_rpc(
    backend: RpcBackend,
    config: RpcConfig,
    log: Any = None,
    *,
    methods: Methods = METHODS,
    access: Access | None = None,
    tls: ssl.SSLContext | None = None,
    requests: RequestLog | None = None,
    live: LiveRpc | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports its address when it listens. Raises `PortInUseError`, and whatever damage a call met.

    Without `access` everybody may call everything; without `tls` nothing is encrypted; without `requests` nothing is recorded.
    `live` is given by who changes settings while the server runs; it then holds `tls` as well.
    """
    host, _, port = config.listen.rpartition(":")
    try:
        listeners = await trio.open_tcp_listeners(int(port), host=host.strip("[]"))
    except (OSError, OverflowError) as error:
        raise PortInUseError(
            f"cannot serve RPC on {config.listen}: {getattr(error, 'strerror', None) or error}",
            hint="another program uses the port; stop it or set [rpc] listen in config.toml",
        ) from error
    log = log or get_log("rpc")
    damage = Damage()
    live = live or LiveRpc(config, tls)
    house = House(0)
    settings = make_settings(log, "an RPC call failed")

    def follow(config: RpcConfig) -> None:
        house.set_room(config.connections_max, config.client_connections_max)
        settings.websocket_max_message_size = config.body_bytes_max

    follow(live.config)
    live.on_change.append(follow)
    app = make_app(backend, methods, live, access or Access(None, trio.current_time, log), damage, log, requests)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(damage.raise_it)
            nursery.start_soon(serve_connections, app, settings, listeners, house, log, lambda: live.tls)
            task_status.started(name_of(listeners[0]))
    finally:
        for listener in listeners:
            listener.socket.close()  # cancelled before it was served
