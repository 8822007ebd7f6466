"""Prometheus metrics: CometBFT's names where it has the same thing, ours under `qenex_`, read when scraped, served on their own port.

Metrics observe; nothing in the node may read them to decide. What they are told is `node.telemetry.observer`'s. `docs/monitoring.md` has a
line for each; a test reads every one back from a running node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.rpc.connections import House, name_of, serve_connections
from node.rpc.http1 import make_settings
from node.telemetry.logs import get_log
from state.primitives.errors import DoubleSignError, PortInUseError
from state.primitives.limits import METRICS_CONNECTIONS_MAX

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BYTES: Final = (256, 512, 1024, 2048, 4096, 8192, 16384, 65536, 262144, 1048576)
disable_created_metrics()  # type: ignore[no-untyped-call]  # three lines for one figure help nobody
COMET: Final = "cometbft"
OURS: Final = "qenex"
# ours without a label: name, what it is
FIGURES: Final = (
    ("tip_age_seconds", "Since the time of the last block, or since the start if that is later"),
    ("tip_overdue_seconds", "By how much the next block is late: after the interval, or the heartbeat of an idle chain"),
    ("block_interval_target_seconds", "What the chain's parameters ask for"),
    ("blocks_behind", "Blocks that a peer says it has and this node does not"),
    ("peers_expected", "Peers that the health score asks for"),
    ("peers_share", "Connected peers as a part of those, at most 1"),
    ("signed_share", "Part of the last 100 commits with this node's vote; 1 for a node that does not vote"),
    ("missing_power_share", "Part of the power missing in the last commit"),
    ("signer_connected", "1 while the signer can be asked: always if this node holds its keys; 0 for a node that does not vote"),
    ("validator_jailed", "1 while this node has voting keys and no voting power"),
    ("offences_recent", "Offences punished in the last 1,000 blocks"),
    ("violations_recent", "Invariants that did not hold in the last 1,000 blocks"),
    ("breakers_open", "Modules and operations that stand still"),
    ("evidence_pending", "Proofs of offences that wait for a block"),
    ("mempool_fill_share", "How full the mempool is: of its bytes or its transactions, whichever is more"),
    ("disk_free_bytes", "Free space where the data lies"),
    ("disk_free_share", "The same as a part of the whole"),
    ("data_bytes", "Bytes of the data directory"),
    ("disk_full_seconds", "When the disk is full if it goes on like this; 1e9 if it does not fill"),
    ("disk_forecast_error", "Mean error of past forecasts of the data's growth, as a part of what grew; -1: too few yet"),
    ("catch_up_seconds", "When this node has caught up if it goes on like this; 1e9 if it does not come nearer"),
    ("lag_forecast_error", "Mean error in blocks of past forecasts of the lag; -1: too few yet"),
    ("audit_age_seconds", "Since the last whole-state audit of this home; -1: never"),
    ("audit_log_failing", "1 while the audit log cannot be written, and requests that it must record are refused"),
    ("audit_log_entries", "Entries of the audit log"),
    ("audit_anchored_entries", "Of them, those that an anchor in the chain confirms; -1: the node makes none"),
    ("health_score", "0 to 100; see docs/monitoring.md"),
)


class NodeMetrics:
    """Every metric of one node, in a registry of its own so that several nodes can live in one test process."""

    def __init__(self, chain_id: str) -> None:
        self.registry = CollectorRegistry()
        self._chain_id = chain_id
        self._refreshers: list[Callable[[], None]] = []
        gauge, counter, histogram = self._gauge, self._counter, self._histogram

        self.height = gauge(COMET, "consensus_height", "Height of the last committed block").labels(chain_id)
        self.latest_height = gauge(COMET, "consensus_latest_block_height", "The same, under its older name").labels(chain_id)
        self.rounds = gauge(COMET, "consensus_rounds", "Round in which the last block was decided").labels(chain_id)
        self.validators = gauge(COMET, "consensus_validators", "Validators in force").labels(chain_id)
        self.validators_power = gauge(COMET, "consensus_validators_power", "Voting power in force").labels(chain_id)
        self.missing_validators = gauge(COMET, "consensus_missing_validators", "Validators missing in the last commit").labels(chain_id)
        self.missing_power = gauge(COMET, "consensus_missing_validators_power", "Power missing in the last commit").labels(chain_id)
        self.byzantine_validators = gauge(COMET, "consensus_byzantine_validators", "Validators accused in the last block").labels(chain_id)
        self.byzantine_power = gauge(COMET, "consensus_byzantine_validators_power", "Power accused in the last block").labels(chain_id)
        self.own_power = gauge(COMET, "consensus_validator_power", "Voting power of this node").labels(chain_id)
        self.own_last_signed = gauge(
            COMET, "consensus_validator_last_signed_height", "Last height whose commit this node's vote is in"
        ).labels(chain_id)
        self.own_missed = gauge(
            COMET, "consensus_validator_missed_blocks", "Commits since the start that lack this node's vote"
        ).labels(chain_id)
        self.num_txs = gauge(COMET, "consensus_num_txs", "Transactions in the last block").labels(chain_id)
        self.total_txs = gauge(COMET, "consensus_total_txs", "Transactions committed since the start").labels(chain_id)
        self.block_size_bytes = gauge(COMET, "consensus_block_size_bytes", "Transaction bytes in the last block").labels(chain_id)
        self.block_interval = histogram(
            COMET, "consensus_block_interval_seconds", "Time between this block and the last", _SECONDS
        ).labels(chain_id)
        self.block_processing = histogram(
            COMET, "state_block_processing_time", "Milliseconds from the decision to the durable block", tuple(1000 * s for s in _SECONDS)
        ).labels(chain_id)
        self.validator_updates = counter(COMET, "state_validator_set_updates", "Blocks that changed the validator set").labels(chain_id)
        self.param_updates = counter(COMET, "state_consensus_param_updates", "Blocks that changed consensus parameters").labels(chain_id)
        self.catching_up = gauge(COMET, "blocksync_syncing", "1 while this node fetches blocks it missed").labels(chain_id)
        self.mempool_size = gauge(COMET, "mempool_size", "Transactions waiting").labels(chain_id)
        self.mempool_bytes = gauge(COMET, "mempool_size_bytes", "Bytes of transactions waiting").labels(chain_id)
        self.tx_size = histogram(COMET, "mempool_tx_size_bytes", "Bytes of committed transactions", _BYTES).labels(chain_id)
        self.failed_txs = counter(COMET, "mempool_failed_txs", "Transactions that were refused on arrival").labels(chain_id)
        self.evicted_txs = counter(
            COMET, "mempool_evicted_txs", "Accepted transactions that a block or their expiry made inadmissible"
        ).labels(chain_id)
        self.peers = gauge(COMET, "p2p_peers", "Connected peers").labels(chain_id)
        self._peer_in = gauge(COMET, "p2p_peer_receive_bytes_total", "Payload received of a connected peer", ("peer_id", "chID"))
        self._peer_out = gauge(COMET, "p2p_peer_send_bytes_total", "Payload sent to a connected peer", ("peer_id", "chID"))

        self._stage_seconds = histogram(OURS, "stage_seconds", "Where a block's time goes: execute, tree, store", _SECONDS, ("stage",))
        self._links = gauge(OURS, "links", "Numbers of the links to peers", ("what",))
        self._refusals = gauge(OURS, "p2p_refusals", "How often each error code refused or punished a peer since the start", ("code",))
        self._round_trip = gauge(OURS, "peer_round_trip_seconds", "From ping to pong", ("peer_id",))
        self._supply = gauge(OURS, "supply", "Supply of an asset in base units, rounded to a float", ("asset",))
        self._pool_k = gauge(OURS, "pool_k_log2", "Base-2 logarithm of a pool's product of reserves", ("pool",))
        self._signer_seconds = histogram(OURS, "signer_seconds", "From asking the signer to both signatures", _SECONDS).labels(chain_id)
        self._signer_refusals = counter(OURS, "signer_refusals", "What the signer, or a look at its record, refused", ("code",))
        self._signer_refusals.labels(chain_id, str(DoubleSignError.code))  # shown as 0 from the start: this is the one to watch
        self._lanes = gauge(OURS, "mempool_lane_txs", "Transactions waiting, by kind of lane", ("lane",))
        self._values = {name: gauge(OURS, name, text).labels(chain_id) for name, text in FIGURES}
        self.invariant_checks = counter(OURS, "invariant_checks", "Operations and actions that were checked").labels(chain_id)
        self.invariant_violations = counter(OURS, "invariant_violations", "Checks that found something wrong").labels(chain_id)
        self._alerts = gauge(OURS, "alert_firing", "1 while an alert fires", ("alert",))
        self._deliveries = counter(OURS, "alert_deliveries", "Alerts sent, by way and result", ("sink", "result"))
        ProcessCollector(registry=self.registry)

    # making

    def _gauge(self, namespace: str, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, text, namespace=namespace, labelnames=("chain_id", *labels), registry=self.registry)

    def _counter(self, namespace: str, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, text, namespace=namespace, labelnames=("chain_id", *labels), registry=self.registry)

    def _histogram(
        self, namespace: str, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(
            name, text, namespace=namespace, labelnames=("chain_id", *labels), buckets=buckets, registry=self.registry
        )

    # filling

    def set(self, name: str, value: float) -> None:
        """One of ours that has no label, by its name without `qenex_`."""
        self._values[name].set(value)

    def set_peers(self, traffic: dict[tuple[str, str], tuple[int, int]], round_trips: dict[str, float]) -> None:
        """(peer, channel) -> bytes in, bytes out; peer -> seconds. Peers that are gone are not shown any more."""
        for metric in (self._peer_in, self._peer_out, self._round_trip):
            metric.clear()
        for (peer, channel), (received, sent) in traffic.items():
            self._peer_in.labels(self._chain_id, peer, channel).set(received)
            self._peer_out.labels(self._chain_id, peer, channel).set(sent)
        for peer, seconds in round_trips.items():
            self._round_trip.labels(self._chain_id, peer).set(seconds)

    def set_ledger(self, supplies: dict[str, int], pools: dict[str, float]) -> None:
        """Asset -> supply; pool -> log2 of its product."""
        for metric in (self._supply, self._pool_k):
            metric.clear()
        for asset, supply in supplies.items():
            self._supply.labels(self._chain_id, asset).set(float(supply))
        for pool, k_log2 in pools.items():
            self._pool_k.labels(self._chain_id, pool).set(k_log2)

    def set_lanes(self, lanes: dict[str, int]) -> None:
        """Kind of lane -> transactions waiting."""
        for lane, number in lanes.items():
            self._lanes.labels(self._chain_id, lane).set(number)

    def set_link(self, what: str, number: int) -> None:
        """One of `p2p.switch.Switch.gauges`."""
        self._links.labels(self._chain_id, what).set(number)

    def set_refusals(self, code: int, times: int) -> None:
        """One of `p2p.switch.Switch.refusals`."""
        self._refusals.labels(self._chain_id, str(code)).set(times)

    def set_alert(self, alert: str, *, is_firing: bool) -> None:
        """Whether an alert fires."""
        self._alerts.labels(self._chain_id, alert).set(is_firing)

    def count_delivery(self, sink: str, result: str) -> None:
        """An alert was sent, or given up."""
        self._deliveries.labels(self._chain_id, sink, result).inc()

    def observe_signature(self, seconds: float) -> None:
        """Record how long the signer took."""
        self._signer_seconds.observe(seconds)

    def count_signer_refusal(self, code: int) -> None:
        """The signer refused, or was refused."""
        self._signer_refusals.labels(self._chain_id, str(code)).inc()

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Record how long one stage of a block took."""
        self._stage_seconds.labels(self._chain_id, stage).observe(seconds)

    def on_scrape(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` before each reading, for gauges that are cheaper to read than to track."""
        self._refreshers.append(refresh)

    # reading

    def render(self) -> bytes:
        """The text a scraper gets."""
        self._refresh()
        return generate_latest(self.registry)

    def read(self) -> dict[str, float]:
        """Every sample by its name; one with labels besides `chain_id` as `name{label="value"}`. Buckets are left out."""
        self._refresh()
        found: dict[str, float] = {}
        for family in self.registry.collect():
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items() if name != "chain_id")
                if not sample.name.endswith("_bucket"):
                    found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found

    def _refresh(self) -> None:
        for refresh in self._refreshers:
            refresh()


async def serve_metrics(
    metrics: NodeMetrics, host: str, port: int, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve `/metrics` until cancelled; reports its URL when listening. Raises `PortInUseError`."""
    log = get_log("monitor")

    async def answer(_request: Request) -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    app = Starlette(routes=[Route("/metrics", answer)])
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except (OSError, OverflowError) as error:
        raise PortInUseError(
            f"cannot serve metrics on {host}:{port}: {getattr(error, 'strerror', None) or error}",
            hint='stop the program that uses the port, or set [metrics] listen = "" in config.toml',
        ) from error
    try:
        async with trio.open_nursery() as nursery:
            settings = make_settings(log, "the metrics could not be read")
            nursery.start_soon(serve_connections, app, settings, listeners, House(METRICS_CONNECTIONS_MAX), log)
            task_status.started(f"http://{name_of(listeners[0])}")
    finally:
        for listener in listeners:
            listener.socket.close()  # cancelled before it was served
