"""Reads the part of YAML that our deployment files use, and refuses the rest: blocks, scalars, JSON in one line, anchors and merges.

Source: YAML 1.2.2, sections 6 to 8. A file that this reads means the same to every reader of YAML.
"""

from __future__ import annotations

import json
import re
from typing import Any

_KEY = re.compile(r"([A-Za-z0-9_<.-]+):(?: +(.*))?$")


class _Lines:
    def __init__(self, text: str) -> None:
        self.rows: list[tuple[int, str]] = []
        for number, line in enumerate(text.splitlines(), 1):
            if "\t" in line:
                raise ValueError(f"line {number}: a tab")
            bare = re.sub(r"(^|\s)#.*$", "", line).rstrip()
            if bare:
                self.rows.append((len(bare) - len(bare.lstrip()), bare.lstrip()))
        self.at = 0
        self.anchors: dict[str, Any] = {}

    def peek(self) -> tuple[int, str]:
        return self.rows[self.at] if self.at < len(self.rows) else (-1, "")


def read_yaml(text: str) -> Any:
    """The one document of a text. Raises `ValueError`."""
    lines = _Lines(text)
    value = _read_block(lines, 0)
    if lines.at != len(lines.rows):
        raise ValueError(f"not understood: {lines.peek()[1]}")
    return value


def _read_block(lines: _Lines, indent: int) -> Any:
    found, text = lines.peek()
    if found != indent:
        raise ValueError(f"indented by {found}, not {indent}: {text}")
    return _read_list(lines, indent) if text.startswith("- ") else _read_mapping(lines, indent)


def _read_list(lines: _Lines, indent: int) -> list[Any]:
    items: list[Any] = []
    while lines.peek()[0] == indent and lines.peek()[1].startswith("- "):
        text = lines.peek()[1][2:]
        if _KEY.match(text):
            lines.rows[lines.at] = (indent + 2, text)  # a mapping that begins on the line of its dash
            items.append(_read_mapping(lines, indent + 2))
        else:
            lines.at += 1
            items.append(_read_scalar(text))
    return items


def _read_mapping(lines: _Lines, indent: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    while lines.peek()[0] == indent:
        match = _KEY.match(lines.peek()[1])
        if match is None:
            raise ValueError(f"no key: {lines.peek()[1]}")
        lines.at += 1
        key, rest = match.group(1), match.group(2) or ""
        if key == "<<":
            merged = lines.anchors[rest.removeprefix("*")]
            continue
        if key in found:
            raise ValueError(f"{key} twice")
        anchor = ""
        if rest.startswith("&"):
            anchor, _, rest = rest[1:].partition(" ")
        if rest.startswith("*"):
            found[key] = lines.anchors[rest[1:]]
        elif rest:
            found[key] = _read_scalar(rest)
        else:
            deeper, text = lines.peek()
            found[key] = _read_block(lines, deeper) if deeper > indent or (deeper == indent and text.startswith("- ")) else None
        if anchor:
            lines.anchors[anchor] = found[key]
    return merged | found


def _read_scalar(text: str) -> Any:
    if text[0] in '["{':
        return json.loads(text)
    if text[0] in "'&*!|>%@`" or ": " in text:
        raise ValueError(f"too clever: {text}")
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"[0-9]+", text) else text
