"""How settings and mistakes in them are written: TOML values, a value in a message, the nearest name. No setting is known here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def nearest(name: str, known: Mapping[str, str]) -> str:
    """A hint: the known name that was probably meant, or all of them."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return "known are: " + ", ".join(known)


def show(value: Any) -> str:
    """A value as it stands in a message, at most 80 characters."""
    text = to_toml(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def to_toml(value: Any) -> str:
    """TOML of a text, a number, true or false, or a list of them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's basic strings are JSON's
    items = [f"    {to_toml(item)}," for item in value]
    return "[\n" + "\n".join(items) + "\n]" if items else "[]"


def find_line(text: str, key: str) -> int:
    """The line of a TOML file on which `key` ("section.name", or a section) stands, from 1; 0 if it is not found. For messages."""
    wanted, _, name = key.rpartition(".")
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$", line)
        if header is not None:
            section = header.group(1)
            if section == key:
                return number
            continue
        here = name if section == wanted else "" if section else key  # above all sections a key may be dotted
        if here and re.match(rf"\s*[\"']?{re.escape(here)}[\"']?\s*=", line):
            return number
    return 0
