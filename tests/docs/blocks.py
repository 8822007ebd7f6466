"""What stands in the pages: blocks of commands, their expected output, inline commands, links, anchors. Nothing is run here.

How a page is read:

- A block is fenced (three backticks, with or without a label) or indented by four spaces outside of lists and tables.
- A block with a line that begins with "$ " is a console: each such line is a command, what follows it is its output.
- A block labelled `sh`, or without a label and whose first word is a program (`PROGRAMS`), is one of commands: each line is one, `#`
  begins a comment, a backslash at the end joins lines.
- `python` and `javascript` blocks are programs. Other labels (`text`, `toml`, `json`, `ini`) are no commands.
- An unlabelled block that is none of these must be labelled; `test_commands.py` says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
PROGRAMS: Final = (
    "qenex", ".venv/bin/qenex", "python", ".venv/bin/python", "python3", "curl", "git", "cd", "cp", "mv", "rm", "ls", "cat", "mkdir",
    "sh", "sudo", "systemctl", "journalctl", "openssl", "docker", "npm", "pip", "kill", "export", "chmod", "tar", "scp", "sha256sum",
)  # fmt: skip
COMMAND_LABELS: Final = ("sh", "console", "bash", "shell")
PROGRAM_LABELS: Final = ("python", "javascript", "js")
TEXT_LABELS: Final = ("text", "toml", "json", "ini", "yaml", "html")


@dataclass(frozen=True, slots=True)
class Command:
    """One command as a reader types it; `output` is what the page shows, None where it shows nothing and promises nothing."""

    page: str
    line: int
    text: str
    output: tuple[str, ...] | None = None

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page}:{self.line}"


@dataclass(slots=True)
class Block:
    """Lines of a page that are set apart; `label` is what stands behind the backticks, "indented" or ""."""

    page: str
    line: int
    label: str
    lines: list[str] = field(default_factory=list)

    def is_console(self) -> bool:
        """Whether it shows prompts."""
        return self.label in ("", "console", "indented") and any(line.startswith("$ ") for line in self.lines)

    def is_commands(self) -> bool:
        """Whether its lines are to be typed."""
        if self.label in COMMAND_LABELS or self.is_console():
            return True
        first = next((line.split()[0] for line in self.lines if line.strip() and not line.startswith("#")), "")
        return self.label in ("", "indented") and (first in PROGRAMS or first.startswith("scripts/"))

    def is_known(self) -> bool:
        """Whether it is plain what it is."""
        return self.is_commands() or self.label in PROGRAM_LABELS or self.label in TEXT_LABELS

    def commands(self) -> Iterator[Command]:
        """Its commands in order; none for a block of something else."""
        if self.is_commands():
            yield from self._console() if self.is_console() else self._plain()

    def _console(self) -> Iterator[Command]:
        start, text, output = 0, "", list[str]()
        for number, line in enumerate(self.lines, self.line + 1):
            if line.startswith("$ "):
                if text:
                    yield Command(self.page, start, text, tuple(output) or None)
                start, text, output = number, line.removeprefix("$ "), []
            elif text.endswith("\\"):
                text = text[:-1] + line.strip()
            else:
                output.append(line)
        if text:
            yield Command(self.page, start, text, tuple(output) or None)

    def _plain(self) -> Iterator[Command]:
        start, text = 0, ""
        for number, line in enumerate(self.lines, self.line + 1):
            if not text and (not line.strip() or line.lstrip().startswith("#")):
                continue
            start = start if text else number
            text += line.strip()
            if text.endswith("\\"):
                text = text[:-1]
                continue
            yield Command(self.page, start, text)
            text = ""


def pages() -> list[str]:
    """README.md and every page below docs, relative to the repository."""
    return ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def text_of(page: str) -> str:
    """The words of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str, text: str | None = None) -> list[Block]:
    """Everything that is set apart in a page, fenced or indented."""
    found: list[Block] = []
    open_block: Block | None = None
    was_blank = True
    for number, line in enumerate((text_of(page) if text is None else text).splitlines(), 1):
        if open_block is not None and open_block.label != "indented":
            if line.startswith("```"):
                open_block = None
            else:
                open_block.lines.append(line)
        elif line.startswith("```"):
            open_block = Block(page, number, line[3:].strip())
            found.append(open_block)
        elif line.startswith("    ") and (open_block is not None or was_blank):
            if open_block is None:
                open_block = Block(page, number - 1, "indented")
                found.append(open_block)
            open_block.lines.append(line[4:])
        elif line.strip() or open_block is None:
            open_block = None
        was_blank = not line.strip()
    return found


def commands_of(page: str) -> list[Command]:
    """Every command of a page, in order."""
    return [command for block in blocks_of(page) for command in block.commands()]


def prose_of(page: str) -> list[tuple[int, str]]:
    """The lines outside of blocks, with their numbers."""
    inside = {
        number for block in blocks_of(page) for number in range(block.line, block.line + len(block.lines) + 2) if block.label != "indented"
    }
    return [(number, line) for number, line in enumerate(text_of(page).splitlines(), 1) if number not in inside]


def inline_commands(page: str) -> list[Command]:
    """`qenex ...` and `scripts/...` within sentences."""
    found = []
    for number, line in prose_of(page):
        for text in re.findall(r"(?<!`)`((?:qenex|scripts/)[^`]*)`(?!`)", line):
            if text not in ("qenex", "scripts/") and not text.startswith("qenex/"):  # domains of hashes
                found.append(Command(page, number, text))
    return found


def anchors_of(page: str) -> set[str]:
    """What `#...` may name in a page, as GitHub makes it of headings."""
    found: set[str] = set()
    for _, line in prose_of(page):
        if line.startswith("#"):
            title = re.sub(r"`|\[([^\]]*)\]\([^)]*\)", lambda match: match.group(1) or "", line.lstrip("#").strip())
            name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            number = 1
            base = name
            while name in found:
                name, number = f"{base}-{number}", number + 1
            found.add(name)
    return found


def links_of(page: str) -> list[tuple[int, str]]:
    """Targets of links and images outside of blocks, with their lines."""
    return [(number, target) for number, line in prose_of(page) for target in re.findall(r"\]\(([^)\s]+)\)", line)]
