"""Methods of who runs the node, for tokens of the role operator. What they do is `node.telemetry.levels`' and `node.reload`'s."""

from __future__ import annotations

from typing import Any

from node.rpc.backend import NodeBackend
from node.rpc.errors import failed, invalid_params
from state.primitives.errors import QenexError

Json = Any


async def log_levels(backend: NodeBackend) -> Json:
    """The level of each module that logs, who says so, and until when."""
    return {"levels": _levels(backend).show()}


async def set_log_level(backend: NodeBackend, module: str, level: str, for_s: int) -> Json:
    """Change the level of a module, or of "all", for so many seconds (0: until the node ends); "default" takes it back."""
    levels = _levels(backend)
    try:
        levels.set(module, level, for_s)
    except QenexError as error:
        raise invalid_params(f"{error.message}; {error.hint}") from error
    return {"levels": levels.show()}


async def config_reload(backend: NodeBackend) -> Json:
    """Read config.toml again: what was applied, what needs a restart. A mistake in it changes nothing and is said."""
    if backend.reloader is None:
        raise failed("this node's settings are not read again")
    try:
        outcome = await backend.reloader.reload()
    except QenexError as error:
        raise failed(f"nothing is changed: {error.message}" + (f" - {error.hint}" if error.hint else "")) from error
    return outcome.to_json()


def _levels(backend: NodeBackend) -> Any:
    if backend.levels is None:
        raise failed("this node's levels are not changed while it runs")
    return backend.levels
