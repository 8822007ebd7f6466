"""The light client as a program: one verification, or the proxy. Wiring only."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from consensus.commit import HybridVerifier
from consensus.light import Trust
from node.clock import SystemClock
from node.config import split_listen
from node.config_sections import RpcConfig
from node.light.attack import make_attack_evidence
from node.light.client import LightClient, TrustedStart, Warn
from node.light.provider import RpcProvider
from node.light.proxy import METHODS, LightBackend
from node.light.trusted import TrustedStore
from node.listening import find_mistake
from node.rpc import shapes
from node.rpc.client import Client
from node.rpc.server import serve_rpc
from node.telemetry.logs import get_log
from state.primitives.errors import ConfigError, QenexError

NS_PER_S: Final = 1_000_000_000

T = TypeVar("T")


@dataclass(frozen=True)
class LightSettings:
    """What the user asked for. `level` is (numerator, denominator)."""

    primary: str
    witnesses: tuple[str, ...]
    start: TrustedStart | None
    period_s: int
    level: tuple[int, int]
    folder: Path
    with_pq: bool


def check_listen(text: str) -> None:
    """Raises `ConfigError` for what no proxy can listen on."""
    try:
        host, port = split_listen(text)
    except ValueError:
        host, port = "", 0
    if not host or not host.isprintable() or not 0 <= port < 1 << 16:
        raise ConfigError(f"--listen {text!a} is not HOST:PORT", hint="such as 127.0.0.1:8888")
    mistake = find_mistake(text)
    if mistake:
        raise ConfigError(f"--listen {text}: {mistake}", hint="give an address of this machine, such as 127.0.0.1:8888")


@asynccontextmanager
async def open_client(settings: LightSettings, warn: Warn) -> AsyncIterator[tuple[LightClient, Client]]:
    """A started light client, and the connection to its primary."""
    async with AsyncExitStack() as stack:
        urls = [url.rstrip("/") for url in (settings.primary, *settings.witnesses)]
        if len(set(urls)) != len(urls):
            raise ConfigError("the primary and the witnesses are different nodes")
        clients = [await stack.enter_async_context(Client(url)) for url in urls]
        primary, *witnesses = (RpcProvider(client, with_pq=settings.with_pq) for client in clients)
        trust = Trust(settings.period_s * NS_PER_S, *settings.level, needs_pq=settings.with_pq)
        store = TrustedStore(settings.folder, needs_pq=settings.with_pq)
        for path in store.damaged:
            warn(str(path), ConfigError("the file is damaged and is not used"))
        if store.classic_only:
            warn(str(settings.folder), ConfigError(f"{len(store.classic_only)} blocks that --classic-only verified are verified again"))
        client = LightClient(
            primary, witnesses, store, trust, HybridVerifier(), SystemClock(), warn, make_attack_evidence,
            needs_agreement=bool(witnesses),  # who asked for none believes the primary alone
        )  # fmt: skip
        await client.start(settings.start)
        yield client, clients[0]


def run_once(settings: LightSettings, height: int, warn: Warn) -> dict[str, Any]:
    """Verify one height and say what was found. `witnesses` are those that agreed this time, which none does about what was known."""

    async def work() -> dict[str, Any]:
        async with open_client(settings, warn) as (client, _):
            block = await client.verify_to(height)
            since_ns = client.store.known_since_ns(block.header.height)
            return {
                "chain_id": client.chain_id,
                "height": block.header.height,
                "hash": shapes.hexed(block.header.hash()),
                "time": shapes.time_text(block.header.time_ns),
                "app_hash": shapes.hexed(block.header.app_hash),
                "validators": len(block.validators),
                "post_quantum": block.pq_commit is not None,
                "blocks": client.verified_blocks,
                "signatures": client.verified_signatures,
                "witnesses": client.agreed_on(block.header.height),
                "known_since": None if since_ns is None else shapes.time_text(since_ns),
            }

    return _run(work)


def run_proxy(settings: LightSettings, listen: str, warn: Warn, say: Callable[[str], None]) -> int:
    """Serve until SIGTERM or Ctrl-C."""

    async def work() -> int:
        async with open_client(settings, warn) as (client, rpc), trio.open_nursery() as nursery:
            backend = LightBackend(client, rpc, metadata.version("qenex-node"))
            config = RpcConfig(listen=listen, subscribers_max=0, explorer=False)

            async def serve(*, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
                await serve_rpc(backend, config, get_log("rpc"), methods=METHODS, task_status=task_status)

            address = await nursery.start(serve)
            say(f"verified answers of {settings.primary} at http://{address}")
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    break
            nursery.cancel_scope.cancel()
        return 0

    return _run(work)


def _run(work: Callable[[], Awaitable[T]]) -> T:
    try:
        return trio.run(work)
    except BaseExceptionGroup as group:
        leaf: BaseException = group
        while isinstance(leaf, BaseExceptionGroup) and len(leaf.exceptions) == 1:
            leaf = leaf.exceptions[0]
        if isinstance(leaf, QenexError):
            raise leaf from None
        raise
