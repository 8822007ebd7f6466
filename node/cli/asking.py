"""Asking a node from a command: one connection, one question, its answer."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

import trio

from node.rpc.client import Client
from state.primitives.errors import ConfigError

T = TypeVar("T")


def ask_node(url: str, ask: Callable[[Client], Awaitable[T]]) -> T:
    """Run `ask` with a client of this node. Raises `ConfigError` for what is no URL, `ClientError` for what fails."""
    node = check_url(url)

    async def run() -> T:
        async with Client(node) as client:
            return await ask(client)

    return trio.run(run)


def check_url(url: str, option: str = "--node") -> str:
    """An RPC address as a URL; a bare `host:port` is meant as http. Raises `ConfigError`, which names the option it was given with."""
    full = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(full)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and full.isprintable()
    except ValueError:
        is_good = False
    if not is_good:
        shown = url if url.isprintable() else ascii(url)
        raise ConfigError(f"{option} {shown} is not an RPC address", hint="such as http://127.0.0.1:26657")
    return full


def base64_of_hash(text: str) -> str:
    """A transaction hash as the RPC takes it. Raises `ConfigError` unless it is 64 hex digits, with or without 0x."""
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        data = b""
    if len(data) != 32 or len(digits) != 64:
        raise ConfigError(f"{text} is not a transaction hash", hint="64 hex digits")
    return base64.b64encode(data).decode("ascii")
