"""Which module logs from which level on: as the settings say, and what an operator has set while the node runs, perhaps for a while only.

What was set at run time lasts until its time is over, until it is taken back, or until the node ends; settings that are read again stand
below it. Loggers are `node.telemetry.logs`'.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import trio

from node.config_sections import LOG_LEVELS, LOG_MODULES, LogConfig
from node.telemetry.logs import get_log, set_levels
from state.primitives.errors import ConfigError

ALL: Final = "all"  # in place of a module
AS_SET: Final = "default"  # in place of a level: what the settings say
FOR_S_MAX: Final = 86_400
_NS_PER_S: Final = 1_000_000_000


def levels_of(config: LogConfig) -> dict[str, str]:
    """The level of each module, as the settings say."""
    named = dict(item.split("=") for item in config.levels)
    return {module: named.get(module, config.level) for module in LOG_MODULES}


def check_level(module: str, level: str, for_s: int) -> None:
    """Raise `ConfigError`, which names what is allowed, for a module, a level or a time that is not."""
    if module != ALL and module not in LOG_MODULES:
        raise ConfigError(f"{module!r:.40} is no module that logs", hint=f"modules are: {', '.join((*LOG_MODULES, ALL))}")
    if level not in (*LOG_LEVELS, AS_SET):
        raise ConfigError(f"{level!r:.40} is no level", hint=f"levels are: {', '.join((*LOG_LEVELS, AS_SET))}")
    if not 0 <= for_s <= FOR_S_MAX:
        raise ConfigError(f"a level is set for 1 to {FOR_S_MAX} seconds, or 0: without an end", hint="such as --for 10m")


@dataclass(frozen=True, slots=True)
class _Set:
    level: str
    ends_at: float | None  # of trio's clock
    until: str  # the same, as a date; "" for no end


class LogLevels:
    """`run` it for the life of the node, so that what was set for a while ends. `now_ns` is the time of day."""

    def __init__(self, config: LogConfig, now_ns: Callable[[], int]) -> None:
        self._config = config
        self._now_ns = now_ns
        self._set: dict[str, _Set] = {}
        self._changed = trio.Event()
        self.on_set: Callable[[str, str], None] = lambda module, level: None
        self._write()

    def show(self) -> list[dict[str, Any]]:
        """One row for each module: its level, whether "settings" or an "operator" says so, and until when ("": no end)."""
        base, rows = levels_of(self._config), []
        for module, about in LOG_MODULES.items():
            mine = self._set.get(module)
            rows.append(
                {
                    "module": module,
                    "level": base[module] if mine is None else mine.level,
                    "by": "settings" if mine is None else "operator",
                    "until": "" if mine is None else mine.until,
                    "about": about,
                }
            )
        return rows

    def set(self, module: str, level: str, for_s: int = 0) -> None:
        """Change a module (or all) to a level for so many seconds; 0: without an end. Raises `ConfigError`."""
        check_level(module, level, for_s)
        modules = tuple(LOG_MODULES) if module == ALL else (module,)
        for name in modules:
            self._set.pop(name, None)
            if level != AS_SET:
                self._set[name] = _Set(level, trio.current_time() + for_s if for_s else None, self._date_in(for_s))
        self._write()
        self.on_set(module, level)
        get_log("app").info("log level set", of=module, to=level, seconds=for_s)
        self._changed.set()

    def apply(self, config: LogConfig) -> None:
        """The settings were read again."""
        self._config = config
        self._write()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take back what has ended, until cancelled."""
        task_status.started()
        while True:
            self._changed = trio.Event()
            ends = [item.ends_at for item in self._set.values() if item.ends_at is not None]
            with trio.move_on_at(min(ends, default=float("inf"))):
                await self._changed.wait()
            over = [name for name, item in self._set.items() if item.ends_at is not None and item.ends_at <= trio.current_time()]
            for name in over:
                del self._set[name]
            if over:
                self._write()
                get_log("app").info("log level back", of=over)

    def _write(self) -> None:
        set_levels({row["module"]: row["level"] for row in self.show()})

    def _date_in(self, for_s: int) -> str:
        if not for_s:
            return ""
        return datetime.fromtimestamp(self._now_ns() // _NS_PER_S + for_s, UTC).isoformat().replace("+00:00", "Z")
