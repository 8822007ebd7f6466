"""Rule sets by activation height: which version of the rules a block is executed under.

A change of the rules is a new row here and, in the operation table, rows with a higher `since`; old blocks keep executing under
the rules they were made with. No rule itself goes in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RuleSet:
    """One version of the rules, in force from `height` on."""

    version: int
    height: int


RULE_SETS: Final = (RuleSet(version=1, height=0),)


def get_rules(height: int, rule_sets: Sequence[RuleSet] = RULE_SETS) -> RuleSet:
    """The rules of a block at `height`: the last row that is in force. `rule_sets` is sorted by height."""
    for rules in reversed(rule_sets):
        if rules.height <= height:
            return rules
    return rule_sets[0]
