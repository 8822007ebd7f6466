"""The Grafana dashboard, made from a table: rows of panels, each a title, a unit and queries. `qenex monitor dashboard` prints it.

The thresholds of the alert rules are drawn into the panels of their metrics, so that picture and alarm say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from node.telemetry.rules import Rule

_CHAIN: Final = 'chain_id="$chain"'
_WIDTH: Final = 8
_HEIGHT: Final = 7
# row -> (title, unit, ((query, legend), ...))
PANELS: Final[tuple[tuple[str, tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]], ...]] = (
    (
        "Chain",
        (
            ("Health score", "none", (("qenex_health_score{%s}", "{{instance}}"),)),
            ("Height", "none", (("cometbft_consensus_height{%s}", "{{instance}}"),)),
            ("Next block late", "s", (("qenex_tip_overdue_seconds{%s}", "{{instance}}"),)),
            (
                "Seconds between blocks",
                "s",
                (
                    ("rate(cometbft_consensus_block_interval_seconds_sum{%s}[5m])"
                     " / rate(cometbft_consensus_block_interval_seconds_count{%s}[5m])", "{{instance}}"),
                ),
            ),
            ("Round of the last block", "none", (("cometbft_consensus_rounds{%s}", "{{instance}}"),)),
            ("Blocks behind", "none", (("qenex_blocks_behind{%s}", "{{instance}}"),)),
        ),
    ),
    (
        "Validators",
        (
            ("Power missing", "percentunit", (("qenex_missing_power_share{%s}", "{{instance}}"),)),
            ("Own votes in the last 100 blocks", "percentunit", (("qenex_signed_share{%s}", "{{instance}}"),)),
            ("Offences", "none", (("qenex_offences_recent{%s}", "{{instance}}"), ("qenex_evidence_pending{%s}", "waiting {{instance}}"))),
        ),
    ),
    (
        "Transactions",
        (
            ("Committed per second", "ops", (("deriv(cometbft_consensus_total_txs{%s}[1m])", "{{instance}}"),)),
            ("Waiting", "none", (("qenex_mempool_lane_txs{%s}", "{{lane}} {{instance}}"),)),
            ("Refused per second", "ops", (("rate(cometbft_mempool_failed_txs_total{%s}[1m])", "{{instance}}"),)),
            ("Stages of a block", "s", (
                ("rate(qenex_stage_seconds_sum{%s}[5m]) / rate(qenex_stage_seconds_count{%s}[5m])", "{{stage}} {{instance}}"),
            )),
            ("Mempool filled", "percentunit", (("qenex_mempool_fill_share{%s}", "{{instance}}"),)),
            ("Modules that stand still", "none", (
                ("qenex_breakers_open{%s}", "{{instance}}"), ("qenex_violations_recent{%s}", "violations {{instance}}"),
            )),
        ),
    ),
    (
        "Ledger",
        (
            ("Supply, base units", "none", (("max by (asset) (qenex_supply{%s})", "{{asset}}"),)),
            ("Pools: log2 of the product", "none", (("max by (pool) (qenex_pool_k_log2{%s})", "{{pool}}"),)),
            ("Since the last audit", "s", (("qenex_audit_age_seconds{%s}", "{{instance}}"),)),
        ),
    ),
    (
        "Machine",
        (
            ("Peers", "none", (("cometbft_p2p_peers{%s}", "{{instance}}"),)),
            ("Round trips", "s", (("qenex_peer_round_trip_seconds{%s}", "{{peer_id}}"),)),
            ("Bytes to and from peers per second", "Bps", (
                ("sum by (instance) (rate(cometbft_p2p_peer_send_bytes_total{%s}[1m]))", "out {{instance}}"),
                ("sum by (instance) (rate(cometbft_p2p_peer_receive_bytes_total{%s}[1m]))", "in {{instance}}"),
            )),
            ("Disk free", "percentunit", (("qenex_disk_free_share{%s}", "{{instance}}"),)),
            ("Disk full in", "s", (("qenex_disk_full_seconds{%s} < 1e9", "{{instance}}"),)),
            ("Memory", "bytes", (("process_resident_memory_bytes", "{{instance}}"),)),
        ),
    ),
)  # fmt: skip


def make_dashboard(rules: Iterable[Rule]) -> dict[str, Any]:
    """Grafana's JSON, schema version 39."""
    limits = {rule.metric: rule for rule in rules}
    panels: list[dict[str, Any]] = []
    y = 0
    for row, cells in PANELS:
        panels.append({"id": len(panels) + 1, "type": "row", "title": row, "collapsed": False, "gridPos": _place(0, y, 24, 1)})
        y += 1
        for number, (title, unit, queries) in enumerate(cells):
            x = number % 3 * _WIDTH
            panels.append(_panel(len(panels) + 1, title, unit, queries, _place(x, y, _WIDTH, _HEIGHT), limits))
            if x == 2 * _WIDTH or number == len(cells) - 1:
                y += _HEIGHT
    return {
        "uid": "qenex-node",
        "title": "QENEX",
        "tags": ["qenex"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "chain",
                    "type": "query",
                    "datasource": {"type": "prometheus"},
                    "query": "label_values(cometbft_consensus_height, chain_id)",
                    "refresh": 2,
                }
            ]
        },
        "panels": panels,
    }


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(
    number: int, title: str, unit: str, queries: tuple[tuple[str, str], ...], place: dict[str, int], limits: dict[str, Rule]
) -> dict[str, Any]:
    rule = next((rule for metric, rule in limits.items() for query, _ in queries if query.startswith(metric)), None)
    defaults: dict[str, Any] = {"unit": unit}
    if rule is not None:
        colours = ("green", "red") if rule.above else ("red", "green")
        steps = [{"color": colours[0], "value": None}, {"color": colours[1], "value": rule.threshold}]
        defaults |= {"thresholds": {"mode": "absolute", "steps": steps}, "custom": {"thresholdsStyle": {"mode": "line"}}}
    return {
        "id": number,
        "type": "timeseries",
        "title": title,
        "datasource": {"type": "prometheus"},
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(65 + place_), "expr": query.replace("%s", _CHAIN), "legendFormat": legend}
            for place_, (query, legend) in enumerate(queries)
        ],
    }
