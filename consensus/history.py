"""What judging an offence needs of the chain below: headers, sets, canonical commits, and which offences were punished before.

A protocol with its empty implementation; the node has one over its store, tests have one in memory. Everything it tells is chain data up
to `height`, equal on every node that has it: a judgement that rested on anything else would split the network.
"""

from __future__ import annotations

from typing import Protocol

from consensus.commit import Commit
from consensus.header import Header
from state.validators import ValidatorSet


class ChainHistory(Protocol):
    """The chain up to `height`, the last decided one. `base` is the lowest height whose block is kept."""

    @property
    def height(self) -> int:
        """The last decided height."""
        ...

    @property
    def base(self) -> int:
        """The lowest height that is kept; what is below it cannot be judged here."""
        ...

    def header(self, height: int) -> Header | None:
        """The header of a decided height, or None if it is not kept or not decided."""
        ...

    def validators(self, height: int) -> ValidatorSet | None:
        """The set that voted on a decided height, or None."""
        ...

    def commit(self, height: int) -> Commit | None:
        """The commit of a height that the block after it carries, or None: the one that all nodes agree on (consensus.md E7)."""
        ...

    def is_punished(self, offence: bytes) -> bool:
        """Whether a decided block carries a proof of this offence already."""
        ...


class NoHistory:
    """A chain of which nothing is kept: no proof can be judged."""

    height = 0
    base = 0

    def header(self, height: int) -> Header | None:
        """See `ChainHistory`."""
        return None

    def validators(self, height: int) -> ValidatorSet | None:
        """See `ChainHistory`."""
        return None

    def commit(self, height: int) -> Commit | None:
        """See `ChainHistory`."""
        return None

    def is_punished(self, offence: bytes) -> bool:
        """See `ChainHistory`."""
        return False
