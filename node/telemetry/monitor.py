"""One node's watch over itself: reads its metrics, judges the alert rules, hands transitions to the notifier. Decides nothing for the node.

RPC and the command line ask it for the health score and for what fires.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from node.clock import Clock
from node.config import Home
from node.config_sections import Config
from node.telemetry.alerts import Alert, AlertEngine
from node.telemetry.delivery import Notifier, Sink, make_sinks
from node.telemetry.metrics import NodeMetrics
from node.telemetry.observer import Observer
from node.telemetry.rules import DEFAULT_RULES, Rule, missing_metrics, read_rules

NS_PER_S: Final = 1_000_000_000


class Monitor:
    """`run` it for the life of the node. `interval_s` 0: the rules are judged only when somebody asks."""

    def __init__(
        self, metrics: NodeMetrics, observer: Observer, engine: AlertEngine, notifier: Notifier, interval_s: float, clock: Clock, log: Any
    ) -> None:
        self.metrics = metrics
        self.on_alert: Callable[[Alert], None] | None = None  # hears of each that begins or ends
        self._observer = observer
        self._engine = engine
        self._notifier = notifier
        self._interval_s = interval_s
        self._changed = trio.Event()
        self._clock = clock
        self._log = log

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look again and again until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._notifier.run)
            task_status.started()
            self._warn_of_unknown()
            while True:
                if self._interval_s:
                    self.look()
                with trio.move_on_after(self._interval_s or float("inf")):
                    await self._changed.wait()
                self._changed = trio.Event()

    def apply(self, rules: Sequence[Rule], sinks: Sequence[Sink], interval_s: float) -> None:
        """The settings were read again: judge by these rules, tell by these ways, look as often as this. Nothing that fires rings again."""
        for name in self._engine.set_rules(rules):
            self.metrics.set_alert(name, is_firing=False)
        self._notifier.set_sinks(sinks)
        self._interval_s = interval_s
        self._warn_of_unknown()
        self._changed.set()

    def _warn_of_unknown(self) -> None:
        unknown = missing_metrics(self._engine.rules, self.metrics.read())
        if unknown:
            self._log.warning("alert rules name metrics that this node does not have", metrics=unknown)

    def look(self) -> None:
        """Judge the rules now."""
        for alert in self._engine.evaluate(self._clock.now_ns() / NS_PER_S, self.metrics.read()):
            self.metrics.set_alert(alert.rule.name, is_firing=alert.state == "firing")
            write = self._log.warning if alert.state == "firing" else self._log.info
            write("alert", text=alert.describe())
            self._notifier.put(alert)
            if self.on_alert is not None:
                self.on_alert(alert)

    def health(self) -> dict[str, Any]:
        """The score now, with its parts, and what fires."""
        self._observer.refresh()
        score = {} if self._observer.health is None else self._observer.health.to_json()
        return {**score, "firing": [alert.rule.name for alert in self._engine.firing()]}

    def alerts(self) -> dict[str, Any]:
        """What fires, and the last transitions, newest first."""
        return {
            "firing": [alert.to_json() for alert in self._engine.firing()],
            "history": [alert.to_json() for alert in reversed(self._engine.history)],
        }


def make_monitor(home: Home, config: Config, metrics: NodeMetrics, observer: Observer, clock: Clock, log: Any) -> Monitor:
    """As the settings say. Raises `ConfigError` for rules or ways out that could never work."""
    rules, sinks = read_alerts(home, config, clock)
    notifier = Notifier(sinks, config.moniker, metrics.count_delivery, log)
    return Monitor(metrics, observer, AlertEngine(rules), notifier, config.alerts.interval_ms / 1000, clock, log)


def read_alerts(home: Home, config: Config, clock: Clock) -> tuple[tuple[Rule, ...], list[Sink]]:
    """The rules and the ways out that the settings name. Raises `ConfigError` for those that could never work."""
    alerts = config.alerts
    rules = read_rules(home.root / alerts.rules) if alerts.rules else DEFAULT_RULES
    return rules, make_sinks(alerts, home.root, lambda: clock.now_ns() / NS_PER_S)
