"""Which page is played where, and what of it is not: the one table that accounts for every command of the documentation.

To add a page: a row in `PAGES`. `NOWHERE` needs no network, `LEDGER` is one validator without pause between blocks, `NODES` four validators. What a
page takes for granted (accounts, assets, a stopped node) is made by a function of its name in `scenes_ledger.py` or `scenes_nodes.py`. A command that
cannot be run is named by its beginning in `unrun`, with the reason; it must still parse. "" stands for the whole page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.docs.blocks import Command

NOWHERE: Final = "nowhere"
LEDGER: Final = "ledger"
NODES: Final = "nodes"

HOURS: Final = "takes minutes to hours"
MEASURES: Final = "measures, and takes minutes"
LOCK: Final = "needs a time to pass that no test waits for"


@dataclass(frozen=True, slots=True)
class Page:
    """How a page is played. `fails`: beginnings of commands that end with another exit code than 0. `ends`: those that go on
    until Ctrl-C, and what they say when they are there."""

    where: str = NOWHERE
    unrun: dict[str, str] = field(default_factory=dict)
    fails: dict[str, int] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    letter: str = ""  # at the end of asset codes

    def reason(self, command: Command) -> str:
        """Why a command is not run, or nothing."""
        return next((reason for start, reason in self.unrun.items() if command.text.startswith(start)), "")


PAGES: Final[dict[str, Page]] = {
    "docs/accounts.md": Page(LEDGER, letter="A"),
    "docs/amm.md": Page(LEDGER, letter="B", unrun={"python tests": MEASURES, "qenex bench": MEASURES}),
    "docs/assets.md": Page(LEDGER, letter="C"),
    "docs/compliance.md": Page(LEDGER, letter="D"),
    "docs/farming.md": Page(LEDGER, letter="F", unrun={"qenex tx farm close": LOCK, "python tests": MEASURES, "qenex bench": MEASURES}),
    "docs/kyc.md": Page(LEDGER, letter="K"),
    "docs/settlement.md": Page(LEDGER, letter="M"),
    "docs/treasury.md": Page(LEDGER, letter="T"),
}
