"""Reading the settings again while the node runs: which of them may change at once, and how they do.

One table says it for every setting. The file is read and checked whole, with everything it names; a mistake in it changes nothing. Then
what may change at once is applied, and what needs a restart is said. Variables of the environment and `--set` are those of the start, and
go on winning. What a part does with its new settings is that part's.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import trio

from node.clock import Clock
from node.config import Home, Settings, load_settings, setting_keys, show_value, value_of
from node.config_sections import SECTIONS, Config
from node.maintenance.pruning import Pruner
from node.mempool.pool import Pool
from node.opening import Opened
from node.rpc.access import open_access
from node.rpc.live import LiveRpc
from node.rpc.tls import open_tls
from node.telemetry.delivery import Sink
from node.telemetry.levels import LogLevels
from node.telemetry.logs import configure_logs, get_log
from node.telemetry.monitor import Monitor, read_alerts
from node.telemetry.rules import Rule
from p2p.identity import PeerAddress
from p2p.switch import Switch, parse_peers
from state.primitives.errors import QenexError


@dataclass(frozen=True, slots=True)
class Way:
    """How a setting changes: at once or with a restart, and a word about it."""

    at_once: bool
    about: str


def _at_once(about: str) -> Way:
    return Way(True, about)


def _restart(about: str) -> Way:
    return Way(False, about)


WAYS: Final[dict[str, Way]] = {
    "moniker": _restart("peers have been told"),
    "rpc.listen": _restart("the socket is open"),
    "rpc.connections_max": _at_once("who is in stays"),
    "rpc.body_bytes_max": _at_once("next request, next WebSocket"),
    "rpc.subscribers_max": _at_once("who is in stays"),
    "rpc.client_units_per_s": _at_once("next request"),
    "rpc.client_burst": _at_once("next request"),
    "rpc.client_connections_max": _at_once("who is in stays"),
    "rpc.client_subscribers_max": _at_once("who is in stays"),
    "rpc.explorer": _restart("the table of addresses is made at the start"),
    "rpc.tls_cert": _at_once("new connections; the files are read again each time; on or off needs a restart"),
    "rpc.tls_key": _at_once("as tls_cert"),
    "rpc.cors_origins": _at_once("next request"),
    "rpc.access_log": _at_once("next request"),
    "rpc.ready_age_s_max": _at_once("next request"),
    "rpc.access": _restart("who is connected was let in by the old rule; tokens themselves are read again by themselves"),
    "p2p.listen": _restart("the socket is open"),
    "p2p.peers": _at_once("a new one is dialled, one that is gone is left"),
    "p2p.inbound_max": _at_once("who is in stays"),
    "p2p.handshakes_max": _restart("a bound of the listener"),
    "mempool.txs_max": _at_once("what waits stays"),
    "mempool.bytes_max": _at_once("what waits stays"),
    "storage.cache_bytes": _restart("the database is open"),
    "storage.values_max": _restart("the caches are filled"),
    "storage.leaves_max": _restart("the caches are filled"),
    "storage.retain_blocks": _at_once("fewer: pruning begins, and what is pruned does not come back"),
    "storage.snapshot_interval": _restart("joining nodes are being served"),
    "workers.signatures": _restart("the processes run"),
    "workers.tree": _restart("the process runs, or does not"),
    "log.level": _at_once("next line"),
    "log.levels": _at_once("next line; what an operator has set at run time stays above it"),
    "log.format": _at_once("next line"),
    "metrics.listen": _restart("the socket is open"),
    "alerts.interval_ms": _at_once("next look"),
    "alerts.rules": _at_once("the file is read again each time; what fires does not ring again"),
    "alerts.webhook_url": _at_once("next alert"),
    "alerts.webhook_secret_file": _at_once("the file is read again each time"),
    "alerts.smtp": _at_once("next alert"),
    "alerts.smtp_tls": _at_once("next alert"),
    "alerts.smtp_from": _at_once("next alert"),
    "alerts.smtp_to": _at_once("next alert"),
    "alerts.smtp_user": _at_once("next alert"),
    "alerts.smtp_password_file": _at_once("the file is read again each time"),
    "index.backend": _restart("the index is open"),
    "index.dsn": _restart("the index is open"),
    "audit.anchor_key": _restart("the key is read and asked for at the start"),
    "audit.anchor_interval_s": _restart("the pause is that of the start"),
    "signer.listen": _restart("the socket is open, or the keys are here"),
    "signer.id": _restart("the signer that is connected was let in by the old one"),
    "signer.validator": _restart("the votes are of this validator"),
    "signer.timeout_ms": _restart("the link is made with it"),
}
TLS: Final = ("rpc.tls_cert", "rpc.tls_key")
FILES: Final = (*TLS, "alerts.rules", "alerts.webhook_secret_file", "alerts.smtp_password_file")  # read again whatever the setting says


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that is another now; values as they may be shown."""

    setting: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of reading the settings again. `files` are settings whose files were read again, `unchanged` a number of settings."""

    applied: tuple[Change, ...]
    needs_restart: tuple[Change, ...]
    files: tuple[str, ...]
    unchanged: int

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form, stable."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


@dataclass(frozen=True, slots=True)
class Checked:
    """Settings, with what their files held."""

    config: Config
    rules: tuple[Rule, ...]
    sinks: list[Sink]
    tls: ssl.SSLContext | None
    peers: tuple[PeerAddress, ...]


def check_settings(home: Home, settings: Settings, clock: Clock) -> Checked:
    """Everything that settings name and that can be looked at without starting a node. Raises `QenexError` for the first mistake."""
    config = settings.config
    rules, sinks = read_alerts(home, config, clock)
    open_access(home.tokens_file, config.rpc, lambda: 0.0, get_log("rpc"))
    return Checked(config, rules, sinks, open_tls(home.root, config.rpc), parse_peers(config.p2p.peers))


@dataclass(frozen=True, slots=True)
class Targets:
    """The parts of a running node whose settings may change."""

    levels: LogLevels
    live: LiveRpc
    switch: Switch
    pool: Pool
    pruner: Pruner
    monitor: Monitor
    clock: Clock


class Reloader:
    """Reads the settings of a running node again. `config` is what holds now."""

    def __init__(self, opened: Opened, targets: Targets) -> None:
        self.config = opened.config
        self._home = opened.home
        self._overrides = opened.overrides.settings
        self.targets = targets
        self.on_reload: Callable[[str], None] = lambda changed: None
        self._lock = trio.Lock()

    async def reload(self) -> Outcome:
        """Read, check, apply. Raises `QenexError` for a mistake, and nothing is changed then."""
        async with self._lock:
            checked = await trio.to_thread.run_sync(self._check)
            outcome, config = compare(self.config, checked.config)
            self._apply(config, checked)
            self.config = config
        self.on_reload(",".join(change.setting for change in outcome.applied))
        get_log("app").info(
            "settings read again",
            applied=[change.setting for change in outcome.applied],
            needs_restart=[change.setting for change in outcome.needs_restart],
            files=list(outcome.files),
        )
        return outcome

    async def reload_or_say(self) -> None:
        """As `reload`; a mistake is a line in the log."""
        try:
            await self.reload()
        except QenexError as error:
            get_log("app").error("settings not read again, nothing is changed", reason=error.message, hint=error.hint, code=error.code)

    def _check(self) -> Checked:
        settings = load_settings(self._home.config_file, overrides=self._overrides)
        return check_settings(self._home, settings, self.targets.clock)

    def _apply(self, config: Config, checked: Checked) -> None:
        targets, before = self.targets, self.config
        if config.log.format != before.log.format:
            configure_logs(level=config.log.level, as_json=config.log.format == "json", moniker=config.moniker)
        targets.levels.apply(config.log)
        targets.live.apply(config.rpc, checked.tls if config.rpc.tls_cert else None)
        targets.switch.set_peers(checked.peers)
        targets.switch.set_inbound_max(config.p2p.inbound_max)
        targets.pool.set_bounds(config.mempool.txs_max, config.mempool.bytes_max)
        targets.pruner.set_blocks(config.storage.retain_blocks)
        targets.monitor.apply(checked.rules, checked.sinks, config.alerts.interval_ms / 1000)


def compare(old: Config, new: Config) -> tuple[Outcome, Config]:
    """What changes from one to the other, and the settings that hold after it: those that need a restart stay as they were."""
    turns_tls = any(bool(value_of(old, key)) != bool(value_of(new, key)) for key in TLS)
    applied: list[Change] = []
    waiting: list[Change] = []
    taken: dict[str, Any] = {}
    for key in setting_keys():
        if value_of(old, key) == value_of(new, key):
            continue
        change = Change(key, show_value(old, key), show_value(new, key))
        if WAYS[key].at_once and not (turns_tls and key in TLS):
            applied.append(change)
            taken[key] = value_of(new, key)
        else:
            waiting.append(change)
    config = _with_values(old, taken)
    files = tuple(key for key in FILES if value_of(config, key) and not (turns_tls and key in TLS))
    return Outcome(tuple(applied), tuple(waiting), files, len(setting_keys()) - len(applied) - len(waiting)), config


def _with_values(config: Config, values: dict[str, Any]) -> Config:
    for name in SECTIONS:
        prefix = f"{name}."
        mine = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
        config = msgspec.structs.replace(config, **{name: msgspec.structs.replace(getattr(config, name), **mine)})
    return config


