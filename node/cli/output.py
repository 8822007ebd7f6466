"""How answers and errors are printed: JSON with --json, else text.

The shapes of JSON answers are promises to scripts; a change needs a line in the changelog. Nothing is computed here.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import click

from state.primitives.errors import QenexError, UpgradeRequiredError

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1  # the question was answered, and the answer is "it failed"
EXIT_BUG: Final = 1
EXIT_MISTAKE: Final = 2
EXIT_UPGRADE: Final = 3  # the chain has come to rules that this software does not know: install the release, do not start again

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """The option --json, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Answer as one JSON object.")(function)


def answer(as_json: bool, data: Any, lines: Iterable[str]) -> None:
    """Print `data` as one line of JSON, or the lines."""
    if as_json:
        click.echo(_json(data))
    else:
        for line in lines:
            click.echo(printable(line))


def report_error(error: QenexError, *, as_json: bool) -> int:
    """Print an error on standard error; returns the exit code."""
    if as_json:
        click.echo(_json({"error": error.to_json()}), err=True)
    else:
        hint = f" - {error.hint}" if error.hint else ""
        click.echo(printable(f"error {error.code} {error.name}: {error.message}{hint}".replace("\n", " ")), err=True)
    return EXIT_UPGRADE if isinstance(error, UpgradeRequiredError) else EXIT_MISTAKE


def printable(text: str) -> str:
    """A text with bytes of a name that are no text as `\\xff`: Python keeps them as lone surrogates, which cannot be printed."""
    if text.isascii():
        return text
    shown = "".join(f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char for char in text)
    return shown.encode("utf-8", "backslashreplace").decode()


def take_any_text() -> None:
    """What a terminal's encoding lacks is written as an escape, on standard output too."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _json(data: Any) -> str:
    text = json.dumps(data)
    return json.dumps(_printable_tree(data)) if "\\ud" in text else text


def _printable_tree(data: Any) -> Any:
    if isinstance(data, str):
        return printable(data)
    if isinstance(data, dict):
        return {_printable_tree(key): _printable_tree(value) for key, value in data.items()}
    return [_printable_tree(item) for item in data] if isinstance(data, list | tuple) else data


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> list[str]:
    """Rows as aligned lines under a header."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (header, *rows)]
