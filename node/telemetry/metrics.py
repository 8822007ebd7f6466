"""Prometheus metrics: CometBFT's names where it has the same thing, read when scraped, served on their own port.

Metrics observe; nothing in the node may read them to decide. `NodeMetrics` is filled by plain method calls from the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import hypercorn.config
import hypercorn.trio
import trio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class NodeMetrics:
    """Every metric of one node, in a registry of its own so that several nodes can live in one test process."""

    def __init__(self, chain_id: str) -> None:
        self.registry = CollectorRegistry()
        labels = {"namespace": "cometbft", "labelnames": ["chain_id"], "registry": self.registry}
        self._chain_id = chain_id
        self._refreshers: list[Callable[[], None]] = []

        def gauge(subsystem: str, name: str, text: str) -> Gauge:
            return Gauge(name, text, subsystem=subsystem, **labels).labels(chain_id)  # type: ignore[arg-type]

        self.height = gauge("consensus", "height", "Height of the last committed block")
        self.rounds = gauge("consensus", "rounds", "Round in which the last block was decided")
        self.validators = gauge("consensus", "validators", "Validators in force")
        self.validators_power = gauge("consensus", "validators_power", "Voting power in force")
        self.missing_validators = gauge("consensus", "missing_validators", "Validators missing in the last commit")
        self.num_txs = gauge("consensus", "num_txs", "Transactions in the last block")
        self.block_size_bytes = gauge("consensus", "block_size_bytes", "Transaction bytes in the last block")
        self.catching_up = gauge("blocksync", "syncing", "1 while this node fetches blocks it missed")
        self.mempool_size = gauge("mempool", "size", "Transactions waiting")
        self.mempool_bytes = gauge("mempool", "size_bytes", "Bytes of transactions waiting")
        self.peers = gauge("p2p", "peers", "Connected peers")
        self.total_txs = Counter(
            "total_txs", "Transactions committed since start", subsystem="consensus", **labels  # type: ignore[arg-type]
        ).labels(chain_id)
        self.block_interval = Histogram(
            "block_interval_seconds",
            "Time between this block and the last",
            subsystem="consensus",
            buckets=_SECONDS,
            **labels,  # type: ignore[arg-type]
        ).labels(chain_id)
        self.stage_seconds = Histogram(
            "stage_seconds",
            "Where a block's time goes: execute, tree, store",
            namespace="qenex",
            labelnames=["chain_id", "stage"],
            registry=self.registry,
            buckets=_SECONDS,
        )

        self.links = Gauge(
            "links", "Numbers of the links to peers", namespace="qenex", labelnames=["chain_id", "what"], registry=self.registry
        )
        self.refusals = Gauge(
            "p2p_refusals",
            "How often each error code refused or punished a peer since the start",
            namespace="qenex",
            labelnames=["chain_id", "code"],
            registry=self.registry,
        )

    def set_link(self, what: str, number: int) -> None:
        """One of `p2p.switch.Switch.gauges`."""
        self.links.labels(self._chain_id, what).set(number)

    def set_refusals(self, code: int, times: int) -> None:
        """One of `p2p.switch.Switch.refusals`."""
        self.refusals.labels(self._chain_id, str(code)).set(times)

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Record how long one stage of a block took."""
        self.stage_seconds.labels(self._chain_id, stage).observe(seconds)

    def on_scrape(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` before each scrape, for gauges that are cheaper to read than to track."""
        self._refreshers.append(refresh)

    def render(self) -> bytes:
        """The text a scraper gets."""
        for refresh in self._refreshers:
            refresh()
        return generate_latest(self.registry)


async def serve_metrics(
    metrics: NodeMetrics, host: str, port: int, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve `/metrics` until cancelled; reports its URL when listening. Raises OSError if the port is taken."""

    async def answer(_request: Request) -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    config = hypercorn.config.Config()
    config.bind = [f"{host}:{port}"]
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = 0.5
    app = Starlette(routes=[Route("/metrics", answer)])
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(_serve, app, config)
        task_status.started(binds[0])


async def _serve(
    app: Starlette, config: hypercorn.config.Config, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
) -> None:
    await hypercorn.trio.serve(app, config, task_status=task_status)  # type: ignore[arg-type]
