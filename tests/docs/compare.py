"""Whether an output is the one that a page shows. The rule, for people who write pages:

What changes from run to run matches anything of its kind: hexadecimal (8 digits and more, or fewer with `...` behind), addresses,
tokens, times, paths, names of hosts, numbers. A number that is followed by an asset's code (`12.5 EUR`) is an amount and must be right,
and so must the code of an error (`error 2011`). `...` matches anything, on a line of its own any number of lines. Runs of blanks are
one blank, and lines of progress do not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

PROGRESS: Final = re.compile(r"^(\S+: )?\d+ %(, .*)?$|\u2501")
KINDS: Final = (
    (re.compile(r"qxt_[A-Za-z0-9_-]+(\.\.\.)?"), "<token>"),
    (re.compile(r"qx1[a-z0-9]*(\.\.\.)?"), "<address>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r"https?://[\w.-]+:\d+"), "<node>"),
    (re.compile(r"(?<![\w./<>])~?(/[\w.+-]+)+"), "<path>"),
    (re.compile(r"\b(?=[0-9A-Fa-f]*[0-9])[0-9A-Fa-f]{8,}\b(\.\.\.)?|\b[0-9A-F]{4,}\.\.\."), "<#>"),
    (re.compile(r"\b\d+(\.\d+){2,}\b"), "<#>"),
    (re.compile(r"(?<![\w.])(?<!error )(?<!warning )(?<!note )[+-]?\d[\d,]*(\.\d+)?(?![\w.]*\d)(?! [A-Z]{3,}\b)"), "<#>"),
)


def plain(line: str) -> str:
    """A line with everything that changes replaced by its kind."""
    line = " ".join(line.split())
    for pattern, kind in KINDS:
        line = pattern.sub(kind, line)
    return line


def is_like(expected: Sequence[str], found: Sequence[str]) -> bool:
    """Whether an output is the one that was shown."""
    want = [plain(line) for line in expected if line.strip()]
    have = [plain(line) for line in found if line.strip() and not PROGRESS.search(line)]
    return _match(want, have)


def _match(want: Sequence[str], have: Sequence[str]) -> bool:
    if not want:
        return not have
    if want[0] == "...":
        return any(_match(want[1:], have[skip:]) for skip in range(len(have) + 1))
    if not have:
        return False
    pattern = ".*".join(re.escape(part) for part in want[0].split("..."))
    return re.fullmatch(pattern, have[0]) is not None and _match(want[1:], have[1:])
