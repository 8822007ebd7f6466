"""Structured logs: one line for each event, JSON for machines or aligned text for people, to standard error.

Each part of the node has a logger of its own (`get_log`), whose level can be changed while the node runs. A level that is off costs one
call of a function that does nothing: the methods of a logger are exchanged when its level changes, so nothing is asked at each call.
Files and their rotation are the supervisor's. No secret, seed or passphrase may be given to a logger; nothing may be decided here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TextIO

import structlog

from node.config_sections import LOG_MODULES

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
Write = Callable[..., None]


def _write_nothing(_event: str, **_fields: Any) -> None:
    return


class ModuleLog:
    """The logger of one module. Call its methods by their names each time: a method that was kept does not follow a change of level."""

    __slots__ = ("_writers", "debug", "error", "info", "level", "module", "warning")

    debug: Write
    info: Write
    warning: Write
    error: Write

    def __init__(self, module: str) -> None:
        self.module = module
        # all levels pass here: what is off was held back before
        logger = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(0), module=module)
        self._writers = {name: _make_writer(logger, name) for name in LEVELS}
        self.set_level("info")

    def set_level(self, level: str) -> None:
        """Write lines of this level and above. `level` is one of `LEVELS`."""
        least = LEVELS[level]
        self.level = level
        for name, number in LEVELS.items():
            setattr(self, name, self._writers[name] if number >= least else _write_nothing)

    def silence(self) -> None:
        """Write no line at all until a level is set."""
        for name in LEVELS:
            setattr(self, name, _write_nothing)


def _make_writer(logger: Any, name: str) -> Write:
    def write(event: str, **fields: Any) -> None:
        try:
            getattr(logger, name)(event, **fields)  # looked up now: how lines look may have been set since
        except OSError:
            return  # a full disk, a terminal or a supervisor that is gone: no reason for a validator to end

    return write


_LOGS: Final = {module: ModuleLog(module) for module in LOG_MODULES}


def get_log(module: str) -> ModuleLog:
    """The logger of a module of `node.config_sections.LOG_MODULES`, always the same."""
    return _LOGS[module]


def set_levels(levels: Mapping[str, str]) -> None:
    """Give modules their levels; those that are not named keep theirs."""
    for module, level in levels.items():
        _LOGS[module].set_level(level)


def current_levels() -> dict[str, str]:
    """The level of each module."""
    return {module: log.level for module, log in _LOGS.items()}


@contextmanager
def silenced() -> Iterator[None]:
    """No module writes a line meanwhile, whatever its level."""
    before = current_levels()
    for log in _LOGS.values():
        log.silence()
    try:
        yield
    finally:
        set_levels(before)


def configure_logs(*, level: str, as_json: bool, moniker: str, stream: TextIO | None = None) -> None:
    """Set up the process's loggers, all at `level`, one of `LEVELS`; every line carries the node's moniker."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=32, sort_keys=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _show_bytes,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(node=moniker)
    set_levels(dict.fromkeys(LOG_MODULES, level))
    # libraries that log through the standard library (the HTTP server) are heard from warnings on
    logging.basicConfig(level=logging.WARNING, stream=stream or sys.stderr, format="%(levelname)s %(name)s %(message)s")


def _show_bytes(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key, value in event.items():
        if type(value) is bytes:
            event[key] = value.hex().upper()
    return event
