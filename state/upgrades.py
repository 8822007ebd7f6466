"""Rule sets: which version of the rules a block is executed under, and which versions this software knows.

A change of the rules is a new version here and, in the operation table, rows with a higher `since`; old blocks keep executing under the
rules they were made with. Which version is in force is the consensus parameter `app_version`, which `gov.upgrade` raises at a height
that governance has decided; so the activation is part of the state, and of every header. No rule itself goes in here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from state.primitives.errors import UpgradeRequiredError


class RuleSet(NamedTuple):
    """One version of the rules."""

    version: int


VERSION_MAX: Final = 1  # the highest version that this software knows


def get_rules(version: int) -> RuleSet:
    """The rules of a version. Raises `UpgradeRequiredError` for one that this software does not know."""
    if not 1 <= version <= VERSION_MAX:
        raise UpgradeRequiredError(
            f"the next block follows rule set {version}, and this software knows up to {VERSION_MAX}",
            hint="install the release that governance has decided on (qenex query governance) and start the node again",
        )
    return RuleSet(version)
