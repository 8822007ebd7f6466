"""Whether our key signs somewhere else as well: two different votes or proposals of ours for one height and round are on the network.

Two instances with one key are the commonest way to be slashed. We never report ourselves; we stop, loudly, so that the harm ends. What
others have seen they can prove, and a block that carries such a proof tells an instance that has heard nothing itself. Reading only;
nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable

from consensus import messages as m
from consensus.block import Block
from consensus.core import Core
from consensus.evidence import Evidence
from consensus.vote import Proposal, Vote
from state.primitives.errors import DoubleSignError, QenexError


def require_one_instance(core: Core, address: bytes, item: m.Input) -> None:
    """Look at what the core has just taken. Raises `DoubleSignError`, which must stop the node (consensus.md L6)."""
    match item:
        case m.VoteReceived(vote):
            _check_votes(core, address, vote)
        case m.ProposalReceived(proposal):
            _check_proposals(core, address, proposal)
        case m.Signed(message):
            if isinstance(message, Vote):
                _check_votes(core, address, message)
            else:
                _check_proposals(core, address, message)


def require_not_said_otherwise(core: Core, address: bytes, message: Vote | Proposal) -> None:
    """Look at what we are about to sign, before we do: if the network has another one of ours, it must not be given.

    Raises `DoubleSignError`. For what the signer's record does not know; what it does know, the signer judges.
    """
    if message.height != core.height:
        return
    if isinstance(message, Vote):
        tally = core.view.votes.tally(message.round, message.type)
        known = () if tally is None else tally.by_validator.get(message.validator_index, ())
        if any(vote.block_id != message.block_id for vote in known if vote.validator_address == address):
            raise _make_error("votes", message.height, message.round)
    elif any(proposal.block_id != message.block_id for proposal in core.view.proposals(message.round)):
        raise _make_error("proposals", message.height, message.round)


def note_conviction(block: Block, address: bytes, has_signed: bool, warn: Callable[[str, QenexError], None]) -> None:
    """Look at the proofs of a block that is durable. Raises `DoubleSignError` if we are accused and have signed since our start.

    Our signer does not sign twice, so somebody else has the key. A node that has signed nothing since its start does no harm: started
    again, it follows also blocks with more proofs, and says so.
    """
    for item in block.evidence:
        if any(found.address == address for found in item.misbehavior()):
            if has_signed:
                raise make_convicted_error(item)
            warn("consensus", make_convicted_error(item))


def make_convicted_error(item: Evidence) -> DoubleSignError:
    """What the operator of the accused is told."""
    return DoubleSignError(
        f"others have a proof that this validator's key signed contradicting messages at height {item.height}: a second instance uses it",
        hint="find and stop the other instance; this one stops when the proof is in a block; a validator that was tombstoned cannot come "
        "back, its node, started again, follows the chain without voting",
    )


def _check_votes(core: Core, address: bytes, vote: Vote) -> None:
    if vote.validator_address != address or vote.height != core.height:
        return
    tally = core.view.votes.tally(vote.round, vote.type)
    if tally is not None and len(tally.by_validator.get(vote.validator_index, ())) > 1:
        raise _make_error("votes", vote.height, vote.round)


def _check_proposals(core: Core, address: bytes, proposal: Proposal) -> None:
    """Those of one round are all of its proposer."""
    if proposal.height != core.height or len(core.view.proposals(proposal.round)) < 2:
        return
    if core.view.proposer(proposal.round).address == address:
        raise _make_error("proposals", proposal.height, proposal.round)


def _make_error(what: str, height: int, round_: int) -> DoubleSignError:
    return DoubleSignError(
        f"two different {what} of this validator for height {height}, round {round_} are on the network: its key is used by two instances",
        hint="stop both, find out which is the right one, and start only that; others can prove it, and stake may be slashed for it",
    )
