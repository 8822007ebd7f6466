"""`qenex health`: whether a node answers, as an exit code, for a container's or a supervisor's check.

It is called every few seconds, so only the standard library is imported, and only here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from node.cli.options import node_option
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option
from node.cli.values import Fraction
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from http.client import HTTPSConnection

_ANSWER_BYTES_MAX = 65_536


@click.command()
@node_option
@click.option("--ready", is_flag=True, help="Ask whether requests should come to it: not while it catches up or its chain stands.")
@click.option("--timeout", "timeout_s", type=Fraction(0.1, 60), default=3.0, show_default=True, help="Seconds to wait.")
@json_option
def health(node: str, ready: bool, timeout_s: float, as_json: bool) -> int:
    """Ask a node whether it answers (/health) or is ready (/ready). Exit code 0: yes, 1: no, 2: a mistake in the question."""
    status, reason = _ask(node, "/ready" if ready else "/health", timeout_s)
    is_good = status == 200
    if not is_good and not reason:
        reason = f"HTTP {status}"
    answer(as_json, {"node": node, "good": is_good, "reason": reason}, ["good" if is_good else f"not good: {reason}"])
    return EXIT_OK if is_good else EXIT_FAILED


def _ask(node: str, path: str, timeout_s: float) -> tuple[int, str]:
    """(HTTP status, 0 for no answer; the reason that was given)."""
    import http.client
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(node if "://" in node else f"http://{node}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or port == 0 or parts.scheme not in ("http", "https"):
        raise ConfigError(f"--node {node} is not an RPC address", hint="such as http://127.0.0.1:26657")
    connect = _make_tls if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(_ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        return 0, f"no answer: {error or type(error).__name__}"
    finally:
        connection.close()
    return response.status, "" if response.status == 200 else _reason_of(body)


def _make_tls(host: str, port: int | None, timeout: float) -> HTTPSConnection:
    import http.client
    import ssl

    context = ssl.create_default_context()
    if host == "localhost" or host.startswith("127.") or host == "::1":
        # a node asks itself, and its certificate is for the name that others know it by; nothing secret is sent
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)


def _reason_of(body: bytes) -> str:
    try:
        found = json.loads(body)
        return str(found["reason"])
    except (ValueError, KeyError, TypeError):
        return ""
