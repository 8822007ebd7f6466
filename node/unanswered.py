"""What a replayed core asked for and the log does not answer: the work that is left when a restarted node has read its log.

Replay gives the logged inputs to the core and executes none of its outputs. Most of them were executed by the process before; the
others are found here: an output is kept until the input that answers it comes by. Broadcasts are not kept: what was signed is
in the core's books, and gossip sends it to whoever lacks it. Log entries are not kept: they are what is being read. Pure.
"""

from __future__ import annotations

from typing import TypeAlias

from consensus import messages as m
from consensus.vote import Proposal, Vote

Key: TypeAlias = tuple[object, ...]


class Unanswered:
    """Outputs in the order in which they were asked, without those that were answered."""

    def __init__(self) -> None:
        self._open: dict[Key, m.Output] = {}

    def add_outputs(self, outputs: list[m.Output]) -> None:
        """The core asked for these."""
        for output in outputs:
            key = _key_of_output(output)
            if key is not None:
                self._open[key] = output

    def add_input(self, item: m.Input) -> None:
        """The log holds this answer."""
        key = _key_of_input(item)
        if key is not None:
            self._open.pop(key, None)

    def take(self) -> list[m.Output]:
        """What is left to do, in order; a decision makes everything else pointless."""
        left = list(self._open.values())
        self._open.clear()
        decisions: list[m.Output] = [output for output in left if isinstance(output, m.Decide)]
        return decisions or left


def _key_of_output(output: m.Output) -> Key | None:
    match output:
        case m.SignVote(message) | m.SignProposal(message):
            return _message_key(message)
        case m.ScheduleTimeout(height, round_, step):
            return "timeout", height, round_, step
        case m.BuildValue(height, round_):
            return "value", height, round_
        case m.WantBlock(_, block_id):
            return "block", block_id
        case m.ValidateBlock(block):
            return "verdict", block.block_id()
        case m.Decide(height):
            return "decide", height
        case m.ReportEvidence(first, second):
            return "evidence", first, second  # the pool knows what it has been told before
    return None


def _key_of_input(item: m.Input) -> Key | None:
    match item:
        case m.Signed(message):
            return _message_key(message)
        case m.TimeoutFired(height, round_, step):
            return "timeout", height, round_, step
        case m.ValueReady(height, round_):
            return "value", height, round_
        case m.BlockReceived(block):
            return "block", block.block_id()
        case m.BlockValidity(block_id):
            return "verdict", block_id
    return None


def _message_key(message: Vote | Proposal) -> Key:
    kind = 0 if isinstance(message, Proposal) else int(message.type)
    return "signature", kind, message.height, message.round
