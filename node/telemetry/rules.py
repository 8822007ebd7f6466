"""The alert rules: one table for the node's own engine, for Prometheus, and for `docs/monitoring.md`.

A rule fires when its metric has been beyond `threshold` for `for_s`, and clears when it is back within `clear`, which lies on the safe side
of the threshold, so that a figure that hovers does not ring all the time. Evaluating is `node.telemetry.alerts`'.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from state.primitives.errors import ConfigError

RULES_MAX: Final = 200
RULES_BYTES_MAX: Final = 1024 * 1024
Severity = Literal["info", "warning", "critical"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One alert. `metric` is a name as `/metrics` shows it, with labels other than `chain_id` in braces if it has some."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9]{0,63}\Z")]
    metric: Annotated[str, Meta(min_length=1, max_length=300)]
    above: bool  # True: too high is bad
    threshold: float
    clear: float
    for_s: Annotated[int, Meta(ge=0, le=86_400)] = 0
    severity: Severity = "warning"
    text: Annotated[str, Meta(max_length=300)] = ""

    def is_beyond(self, value: float) -> bool:
        """Whether this value is bad."""
        return value > self.threshold if self.above else value < self.threshold

    def is_back(self, value: float) -> bool:
        """Whether this value is good again."""
        return value <= self.clear if self.above else value >= self.clear


def _rule(name: str, metric: str, sign: str, threshold: float, clear: float, for_s: int, severity: Severity, text: str) -> Rule:
    return Rule(
        name=name, metric=metric, above=sign == ">", threshold=threshold, clear=clear, for_s=for_s, severity=severity, text=text
    )


DEFAULT_RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "ChainStopped", "qenex_tip_overdue_seconds", ">", 30, 5, 30, "critical",
        "No new block: look at peers and missing power.",
    ),
    _rule(
        "NodeBehind", "qenex_blocks_behind", ">", 20, 2, 60, "warning",
        "Peers are ahead: look at disk, processor and network.",
    ),
    _rule(
        "FewPeers", "qenex_peers_share", "<", 0.5, 0.66, 60, "warning",
        "Fewer peers than expected: check links and [p2p] peers.",
    ),
    _rule(
        "NoPeers", "qenex_peers_share", "<", 0.01, 0.3, 30, "critical",
        "No peer at all: this node is alone.",
    ),
    _rule(
        "VotesMissed", "qenex_signed_share", "<", 0.9, 0.97, 0, "critical",
        "Our votes are late or lost: jail follows.",
    ),
    _rule(
        "PowerMissing", "qenex_missing_power_share", ">", 0.2, 0.1, 60, "critical",
        "The network is close to standing still: at 1/3 it does.",
    ),
    _rule(
        "Jailed", "qenex_validator_jailed", ">", 0.5, 0.5, 0, "critical",
        "Voting keys without power: qenex query validator says why.",
    ),
    _rule(
        "OffenceSeen", "qenex_offences_recent", ">", 0.5, 0.5, 0, "warning",
        "A validator signed twice: qenex query block shows the proof.",
    ),
    _rule(
        "ModuleStopped", "qenex_breakers_open", ">", 0.5, 0.5, 0, "critical",
        "A module stands still: qenex query governance names it.",
    ),
    _rule(
        "InvariantBroken", "qenex_violations_recent", ">", 0.5, 0.5, 0, "critical",
        "A rule of the ledger did not hold: report it.",
    ),
    _rule(
        "MempoolFull", "qenex_mempool_fill_share", ">", 0.8, 0.5, 30, "warning",
        "Transactions wait: clients will be refused.",
    ),
    _rule(
        "DiskLow", "qenex_disk_free_share", "<", 0.1, 0.15, 0, "critical",
        "Make room, or set [storage] retain_blocks; a full disk stops it.",
    ),
    _rule(
        "DiskFullSoon", "qenex_disk_full_seconds", "<", 259_200, 345_600, 600, "warning",
        "The disk is full within three days.",
    ),
    _rule(
        "AuditOld", "qenex_audit_age_seconds", ">", 2_592_000, 604_800, 0, "info",
        "No whole-state audit for a month: qenex audit state.",
    ),
    _rule(
        "AuditLogFailing", "qenex_audit_log_failing", ">", 0.5, 0.5, 0, "critical",
        "Requests that must be recorded are refused: look at the disk.",
    ),
    _rule(
        "HealthLow", "qenex_health_score", "<", 60, 80, 60, "warning",
        "qenex monitor health shows which part is missing.",
    ),
)


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The operator's own rules in place of ours: a JSON array of objects with the fields of `Rule`. Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            data = file.read(RULES_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the alert rules {path}: {error.strerror}", hint="see [alerts] rules in config.toml") from error
    try:
        rules = msgspec.json.decode(data, type=Annotated[tuple[Rule, ...], Meta(max_length=RULES_MAX)])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} does not hold alert rules: {error}", hint="qenex monitor rules --json shows how they look") from None
    check_rules(rules, str(path))
    return tuple(rules)


def check_rules(rules: Sequence[Rule], where: str) -> None:
    """Raise `ConfigError` for two rules of one name, or one that could never clear."""
    seen: dict[str, None] = {}
    for rule in rules:
        if rule.name in seen:
            raise ConfigError(f"{where}: two alert rules are called {rule.name}")
        seen[rule.name] = None
        if rule.is_beyond(rule.clear):
            side = "above" if rule.above else "below"
            raise ConfigError(f"{where}: {rule.name} clears at {rule.clear:g}, which is {side} its threshold {rule.threshold:g}")


def to_prometheus(rules: Iterable[Rule]) -> str:
    """The same rules for Prometheus and its Alertmanager, as YAML (of which JSON strings are a part)."""
    lines = ["groups:", "  - name: qenex", "    rules:"]
    for rule in rules:
        sign = ">" if rule.above else "<"
        # keeps firing until it is back within `clear`, as the node's own engine does
        firing = f'ALERTS{{alertname="{rule.name}",alertstate="firing"}}'
        still = f"({rule.metric} {sign} {rule.clear:g} and on(chain_id, instance, job) {firing})"
        lines += [
            f"      - alert: {rule.name}",
            f"        expr: {json.dumps(f'{rule.metric} {sign} {rule.threshold:g} or {still}')}",
            f"        for: {rule.for_s}s",
            f"        labels: {{severity: {rule.severity}}}",
            f"        annotations: {{summary: {json.dumps(rule.text)}}}",
        ]
    return "\n".join(lines) + "\n"


def missing_metrics(rules: Iterable[Rule], figures: Mapping[str, Any]) -> list[str]:
    """Metrics of rules that the node does not have: mostly a word that is spelt wrongly."""
    return sorted({rule.metric for rule in rules if rule.metric not in figures})
