"""What a block tells the ledger about the validators: who signed the last block, and who was proved to have cheated.

The facts only, as chain data gives them; that a proof is good has been checked before (`consensus.evidence`). What they cost is the
rule of `state.modules`. The shapes are ABCI 2.0's `VoteInfo` and `Misbehavior`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class CommitVote(NamedTuple):
    """One validator of the block before: `signed` is also true for a vote for nil."""

    address: bytes  # 20
    power: int
    signed: bool


class MisbehaviorKind(IntEnum):
    """The offences that can be proved."""

    DOUBLE_VOTE = 1
    LIGHT_CLIENT_ATTACK = 2
    DOUBLE_PROPOSAL = 3


class Misbehavior(NamedTuple):
    """One proved offence: by whom, when, and what the offender's power was then."""

    kind: MisbehaviorKind
    address: bytes  # 20
    height: int
    time_ns: int
    power: int
    total_power: int
