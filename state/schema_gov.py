"""Keys and forms of the records of governance. `state.schema` takes the tables in; no rule about what may be stored goes in here.

Numbers that may exceed 64 bits are minimal big-endian bytes.

| letter | key after the letter | record |
|---|---|---|
| g | number (8, big-endian) | a proposal, for ever: `Proposal` |
| G | | how many there were, and what became of their deposits: `Totals` |
| G | q | open proposals ((due at, number), ...), sorted |
| G | p | parameters from the next height on ((group, record), ...), sorted; gone when the block ends |
| G | u | rule sets ((version, height, release, build hash), ...), in order; the last one may be still to come |
| o | number (8) | who may vote on it: ((account, power), ...), sorted |
| o | number (8), account (32) | `Vote` |
| O | | number of groups |
| O | group's address (32) | `Group` |
| O | group's address (32), number (8) | a proposal in a group, for ever: `GroupProposal` |
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Final, NamedTuple

import msgpack
import msgspec

from state.primitives.codec import Value

PROPOSAL: Final = ord("g")
GOVERNANCE: Final = ord("G")
VOTE: Final = ord("o")
GROUP: Final = ord("O")

GOV_LETTERS: Final = frozenset({PROPOSAL, GOVERNANCE, VOTE, GROUP})

TOTALS_KEY: Final = b" G"
OPEN_KEY: Final = b" Gq"
STAGED_KEY: Final = b" Gp"
UPGRADES_KEY: Final = b" Gu"
GROUPS_KEY: Final = b" O"

PROPOSAL_NUMBER: Final = slice(2, 10)  # in the keys of g and o
VOTER_START: Final = 10  # in the keys of votes
VOTERS_KEY_BYTES: Final = 10
GROUPS_KEY_BYTES: Final = 2
GROUP_ADDRESS: Final = slice(2, 34)
GROUP_KEY_BYTES: Final = 34


class Status(IntEnum):
    """Where a proposal stands; stable numbers. What is above `PASSED` is for ever."""

    DEPOSIT = 1  # gathers its deposit
    VOTING = 2
    PASSED = 3  # waits for its delay, then for somebody to execute it
    EXECUTED = 4
    FAILED = 5  # an operation failed; nothing of it was done
    REJECTED = 6  # no quorum, or not enough for it
    VETOED = 7  # the deposit was burned
    UNFUNDED = 8  # no deposit in time; what there was of it was burned
    CANCELLED = 9
    LAPSED = 10  # nobody executed it in time


class Rules(NamedTuple):
    """The parameters that a vote is held under: those of the moment in which it began."""

    quorum_ppm: int
    threshold_ppm: int
    veto_ppm: int
    delay_s: int
    execute_s: int


class Proposal(NamedTuple):
    """A proposal. `deposits` are what is held for it, by account; `ops` the canonical array of its operations.

    `due_s` is when the present phase ends: the deposit's, the vote's, the time in which it can be executed; a proposal that is over
    keeps the last one. `ready_s` is from when on it can be executed. `tally` is power times parts per million: yes, no, abstain,
    veto. `code` and `op_index` say which operation failed.
    """

    status: int
    proposer: bytes
    title_hash: bytes
    is_expedited: bool
    ops: bytes
    deposits: tuple[tuple[bytes, int], ...]
    start_s: int
    due_s: int
    ready_s: int
    done_s: int
    snapshot_height: int  # the block whose validators vote; 0 before the vote
    power: int  # of all voters
    tally: tuple[int, int, int, int]
    rules: Rules
    code: int
    op_index: int


class Totals(NamedTuple):
    """Proposals ever made; of all deposits, what came, what went back, what was burned."""

    proposals: int
    deposited: int
    refunded: int
    burned: int


class Vote(NamedTuple):
    """A vote: the voter's power, and how it is divided, in parts per million."""

    power: int
    yes: int
    no: int
    abstain: int
    veto: int


class Group(NamedTuple):
    """A group: (member, weight), sorted; the weight that approves; how long an approved proposal waits; proposals that are open."""

    members: tuple[tuple[bytes, int], ...]
    threshold: int
    min_delay_s: int
    version: int  # grows with each change; proposals of an earlier one are void
    proposals: int  # ever made
    open_numbers: tuple[int, ...]


class GroupProposal(NamedTuple):
    """A proposal in a group. `ready_s` is set when the threshold is reached, and zero again when an approval is taken back."""

    status: int  # PASSED while it is open, then EXECUTED or FAILED
    proposer: bytes
    title_hash: bytes
    ops: bytes
    approvals: tuple[bytes, ...]
    version: int  # of the group
    start_s: int
    until_s: int
    ready_s: int
    done_s: int
    code: int
    op_index: int


NO_TOTALS: Final = Totals(0, 0, 0, 0)
NO_RULES: Final = Rules(0, 0, 0, 0, 0)
NO_TALLY: Final = (0, 0, 0, 0)


def proposal_key(number: int) -> bytes:
    """Key of a proposal."""
    return b" g" + number.to_bytes(8, "big")


def voters_key(number: int) -> bytes:
    """Key of who may vote on a proposal."""
    return b" o" + number.to_bytes(8, "big")


def vote_key(number: int, account: bytes) -> bytes:
    """Key of an account's vote."""
    return b" o" + number.to_bytes(8, "big") + account


def group_key(group: bytes) -> bytes:
    """Key of a group."""
    return b" O" + group


def group_proposal_key(group: bytes, number: int) -> bytes:
    """Key of a proposal in a group."""
    return b" O" + group + number.to_bytes(8, "big")


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = partial(msgpack.unpackb, use_list=False, raw=False)
_DEPOSITS_AT: Final = Proposal._fields.index("deposits")
_TALLY_AT: Final = Proposal._fields.index("tally")
_RULES_AT: Final = Proposal._fields.index("rules")


def _from_bytes(data: Value) -> int:
    if type(data) is not bytes or data[:1] == b"\x00":
        raise ValueError("not minimal big-endian bytes")
    return int.from_bytes(data, "big")


def _to_bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) >> 3, "big")


def _decode_proposal(raw: bytes) -> Value:
    values = list(_unpack(raw))
    values[_DEPOSITS_AT] = tuple((account, _from_bytes(amount)) for account, amount in values[_DEPOSITS_AT])
    values[_TALLY_AT] = tuple(_from_bytes(number) for number in values[_TALLY_AT])
    values[_RULES_AT] = Rules(*values[_RULES_AT])
    return Proposal(*values)


def _encode_proposal(record: Value) -> bytes:
    values = list(record)
    values[_DEPOSITS_AT] = [(account, _to_bytes(amount)) for account, amount in values[_DEPOSITS_AT]]
    values[_TALLY_AT] = [_to_bytes(number) for number in values[_TALLY_AT]]
    return _pack(values)


def _decode_governance(raw: bytes) -> Value:
    values = _unpack(raw)
    if values and type(values[0]) is int:
        return Totals(values[0], *(_from_bytes(number) for number in values[1:]))
    return values


def _encode_governance(record: Value) -> bytes:
    if isinstance(record, Totals):
        return _pack([record.proposals, *(_to_bytes(number) for number in record[1:])])
    return _pack(record)


def _decode_vote(raw: bytes) -> Value:
    values = _unpack(raw)
    return Vote(*values) if type(values[0]) is int else values


def _decode_group(raw: bytes) -> Value:
    values = _unpack(raw)
    if len(values) == len(Group._fields):
        return Group(*values)
    return GroupProposal(*values) if len(values) == len(GroupProposal._fields) else values


GOV_DECODE: Final[dict[int, Callable[[bytes], Value]]] = {
    PROPOSAL: _decode_proposal,
    GOVERNANCE: _decode_governance,
    VOTE: _decode_vote,
    GROUP: _decode_group,
}
GOV_ENCODE: Final[dict[int, Callable[[Value], bytes]]] = {
    PROPOSAL: _encode_proposal,
    GOVERNANCE: _encode_governance,
    VOTE: _pack,
    GROUP: _pack,
}
