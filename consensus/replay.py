"""Log entries back to inputs. A new core that is given the same `StartHeight` and these inputs in order is the old core.

What entries look like stands in `messages.input_to_wire`; which outputs a replay leaves to be asked for again is the driver's.
"""

from __future__ import annotations

from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import Commit, PqCommit
from consensus.fields import read_height, read_int, read_round, read_tuple
from consensus.messages import (
    INPUT_KINDS,
    BlockReceived,
    BlockValidity,
    CertificateReceived,
    Input,
    ProposalReceived,
    Signed,
    Step,
    TimeoutFired,
    ValueReady,
    VoteReceived,
)
from consensus.vote import Proposal, Vote
from state.primitives.canonical import GO_ZERO_TIME_NS
from state.primitives.codec import decode
from state.primitives.errors import MalformedError
from state.primitives.limits import TIME_NS_MAX, WAL_ENTRY_BYTES_MAX, WAL_ENTRY_ITEMS_MAX

_KIND = {number: name for name, number in INPUT_KINDS.items()}


def decode_entry(entry: bytes) -> Input:
    """The input of a log entry. Raises `MalformedError`."""
    value = decode(entry, bytes_max=WAL_ENTRY_BYTES_MAX, items_max=WAL_ENTRY_ITEMS_MAX)
    if type(value) is not tuple or not value or type(value[0]) is not int:
        raise MalformedError("a log entry is an array that starts with its kind")
    fields = value[1:]
    match _KIND.get(value[0]):
        case "proposal":
            proposal, received_ns = read_tuple(fields, 2, "a proposal entry")
            return ProposalReceived(
                Proposal.from_wire(proposal), read_int(received_ns, GO_ZERO_TIME_NS, TIME_NS_MAX, "a time")
            )
        case "vote":
            return VoteReceived(Vote.from_wire(read_tuple(fields, 1, "a vote entry")[0]))
        case "block":
            return BlockReceived(Block.from_wire(read_tuple(fields, 1, "a block entry")[0]))
        case "validity":
            block_id, valid = read_tuple(fields, 2, "a verdict entry")
            if type(valid) is not bool:
                raise MalformedError("a verdict is true or false")
            return BlockValidity(BlockID.from_wire(block_id), valid)
        case "timeout":
            height, round_, step = read_tuple(fields, 3, "a timeout entry")
            return TimeoutFired(read_height(height), read_round(round_), Step(read_int(step, 1, 3, "a step")))
        case "signed_vote":
            return Signed(Vote.from_wire(read_tuple(fields, 1, "a signed vote entry")[0]))
        case "signed_proposal":
            return Signed(Proposal.from_wire(read_tuple(fields, 1, "a signed proposal entry")[0]))
        case "value":
            height, round_, block = read_tuple(fields, 3, "a value entry")
            return ValueReady(read_height(height), read_round(round_), Block.from_wire(block))
        case "certificate":
            block, commit, pq_commit = read_tuple(fields, 3, "a certificate entry")
            return CertificateReceived(
                Block.from_wire(block), Commit.from_wire(commit), PqCommit.from_wire(pq_commit)
            )
        case _:
            raise MalformedError(f"a log entry of unknown kind {value[0]}")
