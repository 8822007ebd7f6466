"""What the metrics are told of a running node: after each block, and before each scrape. Reading only."""

from __future__ import annotations

from node.engine import Engine
from node.executor import CommittedBlock
from node.mempool.mempool import Mempool
from node.telemetry.metrics import NodeMetrics
from p2p.switch import Switch


def measure_block(metrics: NodeMetrics, committed: CommittedBlock, validators: int) -> None:
    """A block was committed."""
    header = committed.block.header
    metrics.height.set(header.height)
    metrics.rounds.set(committed.commit.round)
    metrics.validators.set(validators)
    metrics.missing_validators.set(sum(1 for part in committed.commit.signatures if not part.signature))
    metrics.num_txs.set(len(committed.txs))
    metrics.total_txs.inc(len(committed.txs))
    metrics.block_size_bytes.set(sum(len(tx.raw) for tx in committed.txs))
    for stage, seconds in committed.seconds.items():
        metrics.observe_stage(stage, seconds)


def refresh(metrics: NodeMetrics, mempool: Mempool, engine: Engine, switch: Switch) -> None:
    """Somebody scrapes."""
    metrics.mempool_size.set(len(mempool.pool))
    metrics.mempool_bytes.set(mempool.pool.bytes)
    metrics.peers.set(len(switch.peers()))
    metrics.catching_up.set(int(engine.catching_up))
    for what, number in switch.gauges().items():
        metrics.set_link(what, number)
    for code, times in switch.refusals().items():
        metrics.set_refusals(code, times)
