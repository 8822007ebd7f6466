"""Signatures of our key in the chain that the signer's record does not know (consensus.md J10).

The record is written before a signature leaves, so such a signature was made with another record: this one is from a backup or was
begun anew, or the key runs elsewhere as well. At start the last `LOOK_BACK_BLOCKS` commits are looked through, the newest and the oldest
included, and a record that does not reach them is refused. Afterwards each decided block is looked at. What was signed before we
started belongs to an earlier life of this key: it may have signed in the height after as well, so nothing is signed in that one. What was
signed while we run was signed by somebody else: the node stops. Nothing is decided here about blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from consensus.commit import Commit, Flag
from node.signer_record import SignerRecord, Step
from node.signing.voter import VoteSigner
from state.primitives.errors import DoubleSignError, QenexError, SignerRecordError

LOOK_BACK_BLOCKS: Final = 10
OTHER_LIFE_NS: Final = 10 * 1_000_000_000  # a block this much younger than our start cannot be of an earlier life: clocks agree better


def find_unknown_commit(record: SignerRecord, height: int, commit_of: Callable[[int], Commit | None]) -> Commit | None:
    """The newest commit, of `height` or one of the heights before it, with a signature of this key that its record does not reach.

    `commit_of` answers None where there is none: pruned, or before the first block.
    """
    for back in range(LOOK_BACK_BLOCKS):
        commit = commit_of(height - back)
        if commit is None:
            return None
        if _holds(commit, record.address) and record.moment < (commit.height, commit.round, int(Step.PRECOMMIT)):
            return commit
    return None


def check_record_against_chain(signer: VoteSigner, height: int, commit_of: Callable[[int], Commit | None]) -> None:
    """See `find_unknown_commit`. Raises `SignerRecordError`. A record that is not known yet is looked at when its signer comes."""
    if signer.record is None:
        return
    commit = find_unknown_commit(signer.record, height, commit_of)
    if commit is not None:
        signer.require_at_least(commit.height, commit.round, Step.PRECOMMIT)


def note_own_signature(
    signer: VoteSigner, commit: Commit, time_ns: int, started_ns: int, warn: Callable[[str, QenexError], None]
) -> None:
    """Look at the commit of a block that is about to be stored. Raises `DoubleSignError` if somebody else signs with our key now."""
    if not _holds(commit, signer.address) or signer.knows(commit.height, commit.round, Step.PRECOMMIT):
        return
    if time_ns > started_ns + OTHER_LIFE_NS:
        raise DoubleSignError(
            f"block {commit.height} holds a signature of this validator that it has not given: its key is used by two instances",
            hint="stop both, find out which is the right one, and start only that",
        )
    if signer.record is None or commit.height > signer.record.height:  # not yet said
        warn(
            "signer",
            SignerRecordError(
                f"block {commit.height} holds a signature of this validator that its record does not know; nothing is signed up to the "
                "height after",
                hint="nothing to do if the record was lost or this home was restored, and the key runs nowhere else",
            ),
        )
    signer.abstain_through(commit.height + 1)


def _holds(commit: Commit, address: bytes) -> bool:
    return any(part.validator_address == address and part.flag is not Flag.ABSENT for part in commit.signatures)
