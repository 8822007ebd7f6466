"""CometBFT's JSON back into our types: headers, commits, validator sets. The inverse of `node.rpc.shapes`, and strict.

Whoever sent it is not trusted: every wrong shape is a `ClientError` that names the node. What the values prove is not decided here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from consensus.block import Header
from consensus.block_id import BlockID
from consensus.commit import Commit, CommitSig, Flag, PqCommit
from consensus.fields import write_time
from consensus.light import LightBlock
from state.primitives.codec import Value
from state.primitives.errors import ClientError, MalformedError
from state.primitives.keys import KeyKind
from state.validators import Validator, ValidatorSet

Json = Any
_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def understanding(url: str, what: str) -> Iterator[None]:
    """Turn whatever a wrong answer causes into one error that names the node."""
    try:
        yield
    except (MalformedError, KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, binascii.Error) as error:
        raise ClientError(
            f"{url} answers {what} in a form that makes no sense: {error}", hint="is this the RPC address of a QENEX node?"
        ) from error


def read_light_block(header: Json, proof: Json, *, with_pq: bool) -> LightBlock:
    """From the answers of `header` and `pq_commit`. Raises what `understanding` understands."""
    commit = read_commit(proof["commit"])
    pq_commit = None
    if with_pq:
        signatures = tuple(b"" if item is None else unbase64(item) for item in proof["pq_signatures"])
        pq_commit = PqCommit.from_wire((commit.height, commit.round, signatures))
    return LightBlock(read_header(header["header"]), commit, pq_commit, read_validators(proof["validators"]))


def read_header(value: Json) -> Header:
    """A header."""
    if value["version"]["block"] != "11":
        raise MalformedError("the block protocol is not 11")
    names = (
        "last_commit_hash data_hash validators_hash next_validators_hash consensus_hash app_hash last_results_hash "
        "evidence_hash proposer_address"
    )
    return Header.from_wire(
        (
            read_int64(value["version"]["app"]),
            value["chain_id"],
            read_int64(value["height"]),
            _time(value["time"]),
            _block_id(value["last_block_id"]),
            *(bytes.fromhex(value[name]) for name in names.split()),
        )
    )


def read_commit(value: Json) -> Commit:
    """A commit."""
    signatures = tuple(_signature(item).to_wire() for item in value["signatures"])
    return Commit.from_wire((read_int64(value["height"]), value["round"], _block_id(value["block_id"]), signatures))


def read_validators(values: Json) -> ValidatorSet:
    """A validator set, with the post-quantum keys."""
    return ValidatorSet(
        Validator(
            unbase64(value["pub_key"]["value"]),
            KeyKind[value["pq_pub_key"]["type"].upper()],
            unbase64(value["pq_pub_key"]["value"]),
            read_int64(value["voting_power"]),
        )
        for value in values
    )


def read_int64(value: Json) -> int:
    """A number of 64 bits, which JSON has as a string. Raises `MalformedError`."""
    if not isinstance(value, str) or not re.fullmatch(r"0|-?[1-9][0-9]{0,18}", value, re.ASCII):
        raise MalformedError("a 64-bit integer is a string")
    return int(value)


def unbase64(value: Json) -> bytes:
    """Base64, and nothing that is no part of it. Raises `ValueError`, or `TypeError` for what is no text."""
    return base64.b64decode(value, validate=True)


def _signature(value: Json) -> CommitSig:
    if value["block_id_flag"] == Flag.ABSENT:
        if value["validator_address"] or value["signature"]:
            raise MalformedError("a signature is said to be absent and is there")
        return CommitSig(Flag.ABSENT)
    wire = (
        value["block_id_flag"],
        bytes.fromhex(value["validator_address"]),
        _time(value["timestamp"]),
        unbase64(value["signature"]),
    )
    return CommitSig.from_wire(wire)


def _block_id(value: Json) -> Value:
    parts = value["parts"]
    found = BlockID(bytes.fromhex(value["hash"]), parts["total"], bytes.fromhex(parts["hash"]))
    return BlockID.from_wire(found.to_wire()).to_wire()


def _time(value: Json) -> Value:
    match = _TIME.fullmatch(value)
    if match is None:
        raise MalformedError("a time is RFC 3339 in UTC")
    moment = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=UTC)  # type: ignore[arg-type, misc]
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return write_time(seconds * 1_000_000_000 + int((match.group(7) or "0").ljust(9, "0")))
