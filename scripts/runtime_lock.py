"""Prints the part of requirements.lock that a running node needs: what pyproject.toml names as dependencies, and theirs. For images.

The lock file says of each package who wanted it ("# via"); packages that only the tools of development wanted are left out. Versions and
hashes stay as they are, so `pip install --require-hashes` takes the result.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def read_blocks(text: str) -> dict[str, tuple[str, list[str]]]:
    """Name -> (its lines with version and hashes, who wanted it)."""
    blocks: dict[str, tuple[str, list[str]]] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        head = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==", block)
        if head is None:
            continue  # options above the packages: where wheels may be found is the machine's business
        lines = block.rstrip().split("\n")
        wanted = [line for line in lines if not line.lstrip().startswith("#")]
        via = re.findall(r"^    #(?: via)?\s+([A-Za-z0-9._-]+)", "\n".join(lines), re.MULTILINE)
        blocks[normalize(head.group(1))] = "\n".join(wanted), [normalize(name) for name in via if name != "via"]
    return blocks


def normalize(name: str) -> str:
    """A package's name in its one spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def choose(blocks: dict[str, tuple[str, list[str]]], roots: set[str]) -> list[str]:
    """The names of what the roots need, themselves included, sorted."""
    chosen = set(roots)
    while True:
        more = {name for name, (_, via) in blocks.items() if name not in chosen and chosen.intersection(via)}
        if not more:
            return sorted(chosen)
        chosen |= more


def main() -> int:
    """Prints the lines; 1 if the lock file lacks a dependency."""
    blocks = read_blocks((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    named = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    roots = {normalize(re.split(r"[\[<>=!~; ]", text)[0]) for text in named}
    missing = sorted(roots - blocks.keys())
    if missing:
        print(f"requirements.lock lacks {', '.join(missing)}: make it again, see docs/dependencies.md", file=sys.stderr)
        return 1
    for name in choose(blocks, roots):
        print(blocks[name][0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
