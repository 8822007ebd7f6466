"""The alert engine: figures in, transitions out. Pure: time is an argument, and sending is `node.telemetry.delivery`'s.

States of a rule: quiet, waiting (beyond the threshold, not yet for long enough), firing. A figure that is missing changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from node.telemetry.rules import Rule

HISTORY_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that began to fire, or stopped. Times in seconds since 1970."""

    rule: Rule
    state: Literal["firing", "resolved"]
    value: float
    since_s: float  # of the condition
    time_s: float

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form."""
        return {
            "alert": self.rule.name,
            "state": self.state,
            "severity": self.rule.severity,
            "metric": self.rule.metric,
            "value": self.value,
            "threshold": self.rule.threshold,
            "since": int(self.since_s),
            "time": int(self.time_s),
            "text": self.rule.text,
        }

    def describe(self) -> str:
        """One line."""
        what = f"{self.rule.metric} is {self.value:g}"
        if self.state == "firing":
            what += f", {'above' if self.rule.above else 'below'} {self.rule.threshold:g}"
        else:
            what += " again"
        return f"{self.rule.severity} {self.rule.name} {self.state}: {what}. {self.rule.text}".rstrip()


@dataclass(slots=True)
class _State:
    beyond_since_s: float | None = None
    alert: Alert | None = None  # while it fires


class AlertEngine:
    """Judges the rules; remembers what fires, and the last transitions."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.history: deque[Alert] = deque(maxlen=HISTORY_MAX)
        self._states = {rule.name: _State() for rule in rules}

    def set_rules(self, rules: Sequence[Rule]) -> list[str]:
        """Judge by these from now on. What a rule knows goes over to the new one of its name; the names that fired and are gone."""
        gone = [alert.rule.name for alert in self.firing() if alert.rule.name not in {rule.name for rule in rules}]
        self.rules = tuple(rules)
        self._states = {rule.name: self._states.get(rule.name) or _State() for rule in rules}
        return gone

    def evaluate(self, time_s: float, figures: Mapping[str, float]) -> list[Alert]:
        """What began or ended, in the order of the rules."""
        found = [
            alert
            for rule in self.rules
            if rule.metric in figures and (alert := self._judge(rule, time_s, figures[rule.metric])) is not None
        ]
        self.history.extend(found)
        return found

    def firing(self) -> list[Alert]:
        """What fires now, in the order of the rules."""
        return [state.alert for state in self._states.values() if state.alert is not None]

    def _judge(self, rule: Rule, time_s: float, value: float) -> Alert | None:
        state = self._states[rule.name]
        if state.alert is not None:
            if not rule.is_back(value):
                return None
            over = Alert(rule, "resolved", value, state.alert.since_s, time_s)
            state.alert = state.beyond_since_s = None
            return over
        if not rule.is_beyond(value):
            state.beyond_since_s = None
            return None
        if state.beyond_since_s is None or time_s < state.beyond_since_s:  # the clock was set back
            state.beyond_since_s = time_s
        if time_s - state.beyond_since_s < rule.for_s:
            return None
        state.alert = Alert(rule, "firing", value, state.beyond_since_s, time_s)
        return state.alert
