"""The alert engine and its rules: when one fires, when it clears, what is refused; the same rules for Prometheus."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec
import pytest

from node.telemetry.alerts import AlertEngine
from node.telemetry.dashboard import make_dashboard
from node.telemetry.metrics import NodeMetrics
from node.telemetry.rules import DEFAULT_RULES, Rule, check_rules, missing_metrics, read_rules, to_prometheus
from state.primitives.errors import ConfigError

HIGH = Rule(name="High", metric="m", above=True, threshold=10, clear=5, for_s=30)
LOW = Rule(name="Low", metric="m", above=False, threshold=0.1, clear=0.2)


def play(rule: Rule, values: list[tuple[float, float]]) -> list[tuple[float, str]]:
    """(time, state) of every transition."""
    engine = AlertEngine([rule])
    return [(time_s, alert.state) for time_s, value in values for alert in engine.evaluate(time_s, {"m": value})]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(0, 11), (29, 11)], []),
        ([(0, 11), (30, 11)], [(30, "firing")]),
        ([(0, 11), (20, 10), (30, 11), (59, 11)], []),  # back at the threshold: the wait begins anew
        ([(0, 11), (30, 11), (31, 9), (32, 6)], [(30, "firing")]),  # below the threshold is not good yet
        ([(0, 11), (30, 11), (31, 5)], [(30, "firing"), (31, "resolved")]),
        ([(0, 11), (30, 11), (31, 5), (32, 11), (61, 11), (62, 11)], [(30, "firing"), (31, "resolved"), (62, "firing")]),
        ([(100, 11), (50, 11), (79, 11), (80, 11)], [(80, "firing")]),  # the clock was set back
    ],
)
def test_high(values: list[tuple[float, float]], expected: list[tuple[float, str]]) -> None:
    assert play(HIGH, values) == expected


def test_low_fires_at_once_and_clears_at_its_own_mark() -> None:
    assert play(LOW, [(0, 0.1), (1, 0.09), (2, 0.15), (3, 0.2)]) == [(1, "firing"), (3, "resolved")]


def test_a_missing_figure_changes_nothing() -> None:
    engine = AlertEngine([LOW])
    assert [alert.state for alert in engine.evaluate(0, {"m": 0})] == ["firing"]
    assert engine.evaluate(1, {}) == []
    assert [alert.rule.name for alert in engine.firing()] == ["Low"]
    assert [alert.state for alert in engine.evaluate(2, {"m": 1})] == ["resolved"]
    assert engine.firing() == []
    assert [alert.state for alert in engine.history] == ["firing", "resolved"]


def test_an_alert_in_words_and_as_json() -> None:
    (alert,) = AlertEngine([LOW]).evaluate(7.9, {"m": 0.05})
    assert alert.describe() == "warning Low firing: m is 0.05, below 0.1."
    assert alert.to_json()["time"] == 7


def test_the_built_in_rules_hold_together() -> None:
    check_rules(DEFAULT_RULES, "ours")
    assert all(rule.text for rule in DEFAULT_RULES)
    assert missing_metrics(DEFAULT_RULES, NodeMetrics("c").read()) == []


def write(path: Path, rules: object) -> Path:
    path.write_text(json.dumps(rules))
    return path


def test_rules_of_an_operator(tmp_path: Path) -> None:
    assert read_rules(write(tmp_path / "r", msgspec.to_builtins(DEFAULT_RULES))) == DEFAULT_RULES


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({}, "Expected `array`"),
        ([{"name": "A"}], "missing required field"),
        ([{"name": "A b", "metric": "m", "above": True, "threshold": 1, "clear": 0}], "regex"),
        ([{"name": "A", "metric": "m", "above": True, "threshold": 1, "clear": 2}], "clears at 2, which is above its threshold 1"),
        ([{"name": "A", "metric": "m", "above": False, "threshold": 1, "clear": 0}], "clears at 0, which is below"),
        ([{"name": "A", "metric": "m", "above": True, "threshold": 1, "clear": 0}] * 2, "two alert rules are called A"),
        ([{"name": "A", "metric": "m", "above": True, "threshold": 1, "clear": 0, "colour": "red"}], "unknown field"),
        ([{"name": "A", "metric": "m", "above": True, "threshold": 1, "clear": 0}] * 201, "length <= 200"),
    ],
)
def test_bad_rules_are_refused(tmp_path: Path, rules: object, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_rules(write(tmp_path / "r", rules))


def test_a_rules_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the alert rules"):
        read_rules(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="does not hold alert rules"):
        read_rules(tmp_path / "bytes")


PROMTOOL_CASE = """
rule_files: [{rules}]
evaluation_interval: 1s
tests:
  - interval: 1s
    input_series:
      - series: 'qenex_blocks_behind{{chain_id="c",instance="i",job="j"}}'
        values: '25x70 10x20 2x20'
    alert_rule_test:
      - {{eval_time: 30s, alertname: NodeBehind, exp_alerts: []}}
      - eval_time: 65s
        alertname: NodeBehind
        exp_alerts: [{expected}]
      - eval_time: 85s
        alertname: NodeBehind
        exp_alerts: [{expected}]
      - {{eval_time: 100s, alertname: NodeBehind, exp_alerts: []}}
"""


@pytest.mark.needs("promtool", "apt-get install prometheus")
def test_prometheus_takes_the_rules_and_keeps_an_alert_until_it_is_clear(tmp_path: Path) -> None:
    promtool = "promtool"
    rules, case = tmp_path / "rules.yml", tmp_path / "case.yml"
    rules.write_text(to_prometheus(DEFAULT_RULES))
    done = subprocess.run([promtool, "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = next(rule.text for rule in DEFAULT_RULES if rule.name == "NodeBehind")
    labels = "{severity: warning, chain_id: c, instance: i, job: j}"
    expected = f"{{exp_labels: {labels}, exp_annotations: {{summary: {json.dumps(text)}}}}}"
    case.write_text(PROMTOOL_CASE.format(rules=rules, expected=expected))
    done = subprocess.run([promtool, "test", "rules", str(case)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_without_promtool_name_each_alert_once() -> None:
    text = to_prometheus(DEFAULT_RULES)
    assert [text.count(f"- alert: {rule.name}\n") for rule in DEFAULT_RULES] == [1] * len(DEFAULT_RULES)


def test_the_dashboard_asks_only_for_metrics_that_there_are() -> None:
    metrics = NodeMetrics("c")
    names = {family.name for family in metrics.registry.collect()}
    panels = make_dashboard(DEFAULT_RULES)["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert len(queries) > 20
    for query in queries:
        found = [name for name in names if name in query]
        assert found, query
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
