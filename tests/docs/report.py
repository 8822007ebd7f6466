"""What becomes of every command: run, compared, parsed only, or neither, and why. `python -m tests.docs` prints it."""

from __future__ import annotations

from collections import Counter

from tests.docs.blocks import blocks_of, commands_of, inline_commands, pages
from tests.docs.plan import PAGES

RUN, COMPARED, PARSED, EXCUSED = "run", "run and compared", "parsed only", "neither run nor parsed"


def count() -> Counter[str]:
    """How many commands of blocks have each fate, and how many stand in sentences."""
    found: Counter[str] = Counter()
    for page in pages():
        plan = PAGES.get(page)
        for command in commands_of(page):
            reason = "" if plan is None else plan.reason(command)
            if not reason:
                found[COMPARED if command.output else RUN] += 1
            else:
                found[PARSED if command.text.startswith(("qenex", ".venv/bin/qenex", "scripts/", "python")) else EXCUSED] += 1
        found["parsed, in sentences"] += len(inline_commands(page))
        found["programs"] += sum(block.label in ("python", "javascript") for block in blocks_of(page))
    return found


def describe() -> list[str]:
    """The counts, then every command that is not run, with its reason."""
    lines = [f"{number:4} {name}" for name, number in sorted(count().items())]
    for page in pages():
        for command in commands_of(page):
            reason = PAGES[page].reason(command) if page in PAGES else "the page is not in the plan"
            if reason:
                lines.append(f"{command.place}  {command.text[:80]}  -- {reason}")
    return lines
