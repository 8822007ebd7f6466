"""`qenex monitor`: a node's health and alerts, the rules as a table and for Prometheus, the Grafana dashboard, a test of the ways out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import home_option, node_option, user_root
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option, table
from state.primitives.errors import ConfigError, LocalError

if TYPE_CHECKING:
    from node.rpc.client import Client
    from node.telemetry.rules import Rule

_HOME_HELP = "Home whose [alerts] settings count (default: yours)."


@click.group()
def monitor() -> None:
    """Health, alerts, rules for Prometheus, a dashboard for Grafana."""


def _ask(node: str, method: str) -> dict[str, Any]:
    from node.cli.asking import ask_node

    async def ask(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = await client.call(method)
        return found

    return ask_node(node, ask)


@monitor.command()
@node_option
@json_option
def health(node: str, as_json: bool) -> int:
    """Show a node's health score and which part lacks points. Exit code 1 below 60, or while a critical alert fires."""
    found = _ask(node, "node_health")
    alerts = _ask(node, "node_alerts")["firing"]
    rows = [
        [part["name"], f"{part['points']:g} of {part['of']}", f"{part['value']:g}", part["text"], part["metric"]] for part in found["parts"]
    ]
    lines = [f"health {found['score']:g} of 100", *table(rows, ("part", "points", "value", "what", "metric"))]
    lines += [f"{alert['severity']}: {alert['alert']}: {alert['text']}" for alert in alerts]
    answer(as_json, {**found, "alerts": alerts}, lines)
    return EXIT_FAILED if found["score"] < 60 or any(alert["severity"] == "critical" for alert in alerts) else EXIT_OK


@monitor.command()
@node_option
@json_option
def alerts(node: str, as_json: bool) -> None:
    """Show what fires, and the last alerts that began or ended."""
    found = _ask(node, "node_alerts")
    fields = ("time", "state", "severity", "alert", "value", "text")
    rows = [[f"{row[name]:g}" if name == "value" else str(row[name]) for name in fields] for row in found["history"]]
    firing = ", ".join(row["alert"] for row in found["firing"]) or "nothing"
    answer(as_json, found, [f"firing: {firing}", *(table(rows, fields) if rows else [])])


@monitor.command()
@home_option(_HOME_HELP)
@click.option("--prometheus", is_flag=True, help="As a rules file for Prometheus and its Alertmanager.")
@json_option
def rules(home: Path | None, prometheus: bool, as_json: bool) -> None:
    """Show the alert rules of a home; without one, the built-in ones."""
    import msgspec

    from node.telemetry.rules import to_prometheus

    found = _read_rules(home)
    if prometheus:
        click.echo(to_prometheus(found), nl=False)
        return
    rows = [
        [rule.name, rule.severity, f"{rule.metric} {'>' if rule.above else '<'} {rule.threshold:g}", f"{rule.for_s} s", f"{rule.clear:g}"]
        for rule in found
    ]
    answer(as_json, msgspec.to_builtins(found), table(rows, ("alert", "severity", "fires when", "for", "clears at")))


@monitor.command()
@home_option(_HOME_HELP)
def dashboard(home: Path | None) -> None:
    """Print a dashboard for Grafana (JSON, to be imported)."""
    from node.telemetry.dashboard import make_dashboard

    click.echo(json.dumps(make_dashboard(_read_rules(home)), indent=1))


@monitor.command()
@home_option(_HOME_HELP)
@json_option
def test(home: Path | None, as_json: bool) -> int:
    """Send a test alert by every way that [alerts] names, now and once. Exit code 1 if one of them did not take it."""
    import time

    import trio

    from node.config import Home, load_config
    from node.telemetry.alerts import Alert
    from node.telemetry.delivery import make_sinks
    from node.telemetry.rules import Rule

    root = home or user_root() / "node"
    Home(root).require()
    config = load_config(Home(root).config_file)
    sinks = make_sinks(config.alerts, root, time.time)
    if not sinks:
        raise ConfigError("[alerts] names no way out", hint="set webhook_url or smtp in config.toml; see docs/monitoring.md")
    rule = Rule(name="Test", metric="qenex_health_score", above=False, threshold=0, clear=0, severity="info", text="This is only a test.")
    now = time.time()
    results: dict[str, str] = {}
    for sink in sinks:
        try:
            trio.run(sink.send, Alert(rule, "firing", 0.0, now, now), config.moniker)
            results[sink.name] = "sent"
        except LocalError as error:
            results[sink.name] = error.message
    answer(as_json, results, [f"{name}: {result}" for name, result in results.items()])
    return EXIT_OK if all(result == "sent" for result in results.values()) else EXIT_FAILED


def _read_rules(home: Path | None) -> tuple[Rule, ...]:
    from node.config import Home, load_config
    from node.telemetry.rules import DEFAULT_RULES, read_rules

    if home is None:
        return DEFAULT_RULES
    Home(home).require()
    name = load_config(Home(home).config_file).alerts.rules
    return read_rules(home / name) if name else DEFAULT_RULES
