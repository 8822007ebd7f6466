"""Logs carry what they were given; metrics are read back over HTTP from a real server."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path

import httpx2
import structlog
import trio

from node.telemetry.health import PARTS
from node.telemetry.logs import configure_logs
from node.telemetry.metrics import NodeMetrics, serve_metrics
from tests.node.rpc.test_connections import PRIORITIES


def test_json_lines() -> None:
    stream = io.StringIO()
    configure_logs(level="info", as_json=True, moniker="node0", stream=stream)
    try:
        log = structlog.get_logger()
        log.info("block committed", height=7, hash=b"\x01\xff")
        log.debug("too quiet to be seen")
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record["event"] == "block committed"
    assert record["height"] == 7
    assert record["hash"] == "01FF"
    assert record["node"] == "node0"
    assert record["level"] == "info"


async def test_metrics_are_served_and_refreshed() -> None:
    metrics = NodeMetrics("test-chain")
    metrics.height.set(12)
    metrics.total_txs.set(5)
    metrics.observe_stage("tree", 0.02)
    metrics.on_scrape(lambda: metrics.mempool_size.set(3))
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve_metrics, metrics, "127.0.0.1", 0)
            async with httpx2.AsyncClient() as client:
                text = (await client.get(f"{url}/metrics")).text
            nursery.cancel_scope.cancel()
    assert 'cometbft_consensus_height{chain_id="test-chain"} 12.0' in text
    assert 'cometbft_consensus_total_txs{chain_id="test-chain"} 5.0' in text
    assert 'cometbft_mempool_size{chain_id="test-chain"} 3.0' in text
    assert 'qenex_stage_seconds_count{chain_id="test-chain",stage="tree"} 1.0' in text


async def test_a_scraper_that_speaks_http_2_ends_nothing() -> None:
    metrics = NodeMetrics("test-chain")
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve_metrics, metrics, "127.0.0.1", 0)
            stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            async with stream:
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(PRIORITIES)
                    while await stream.receive_some(10_000):
                        continue
            async with httpx2.AsyncClient() as client:
                assert (await client.get(f"{url}/metrics")).status_code == 200
            nursery.cancel_scope.cancel()


def test_every_metric_part_and_rule_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text()
    for family in NodeMetrics("c").registry.collect():
        if not family.name.startswith("process"):
            assert f"| `{family.name}{'_total' if family.type == 'counter' else ''}` | {family.documentation} |" in text
    for part in PARTS:
        assert f"| {part.name} | {part.points} | `{part.metric}` | {part.good:g} | {part.bad:g} |" in text
