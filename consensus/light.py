"""Light-client verification: from a header one trusts to a later one, with signatures alone.

Adjacent headers are bound by `next_validators_hash`; others need more than a trusted share of the old set to have signed the new
commit, and more than 2/3 of the new set. `now_ns` is an argument: no clock lives here. With the side-car the ML-DSA halves are
checked too; without it, as by a CometBFT light client, the proof rests on Ed25519 alone. A header's hash covers the Ed25519 keys only:
the ML-DSA keys of a set are to be proven from the state by whoever relies on them. Source: CometBFT light client specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consensus.block_id import BlockID
from consensus.commit import Commit, Flag, PqCommit, Verifier, verify_commit
from consensus.header import Header
from state.primitives.errors import InsufficientTrustError, InvalidCommitError
from state.validators import ValidatorSet

CLOCK_DRIFT_NS: Final = 10 * 1_000_000_000  # how far a header may be ahead of our clock


@dataclass(frozen=True, slots=True)
class LightBlock:
    """A header, the commit that decided it, and the validators that signed."""

    header: Header
    commit: Commit
    pq_commit: PqCommit | None
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class Trust:
    """How far trust reaches: for how long, and which share (numerator, denominator) of a trusted set must have signed a skip.

    `needs_pq`: refuse a light block without its side-car, so that nobody can strip it.
    """

    period_ns: int
    numerator: int = 1
    denominator: int = 3
    needs_pq: bool = False


def verify_light_block(block: LightBlock, chain_id: str, verifier: Verifier) -> None:
    """Check that a light block agrees with itself: its commit decides its header. Raises `InvalidCommitError`."""
    header = block.header
    if header.chain_id != chain_id:
        raise InvalidCommitError("the header is of another chain")
    if header.validators_hash != block.validators.hash():
        raise InvalidCommitError("the validators are not those of the header")
    block_id: BlockID = block.commit.block_id
    if block_id.hash != header.hash():
        raise InvalidCommitError("the commit is for another header")
    verify_commit(chain_id, block.validators, header.height, block_id, block.commit, block.pq_commit, verifier)


def verify_next(
    trusted: LightBlock, new: LightBlock, chain_id: str, trust: Trust, now_ns: int, verifier: Verifier
) -> None:
    """Check `new` from `trusted`, whether adjacent or not.

    Raises `InvalidCommitError`; of that `InsufficientTrustError` if a header in between would help.
    """
    if new.header.height <= trusted.header.height:
        raise InvalidCommitError("the new header is not higher than the trusted one")
    if trust.needs_pq and new.pq_commit is None:
        raise InvalidCommitError("the light block comes without its post-quantum signatures")
    if now_ns >= trusted.header.time_ns + trust.period_ns:
        raise InvalidCommitError("the trusted header is too old: its validators may have left without being punishable")
    if new.header.time_ns <= trusted.header.time_ns:
        raise InvalidCommitError("the new header is not later than the trusted one")
    if new.header.time_ns >= now_ns + CLOCK_DRIFT_NS:
        raise InvalidCommitError("the new header is from the future")
    if new.header.height == trusted.header.height + 1:
        if new.header.validators_hash != trusted.header.next_validators_hash:
            raise InvalidCommitError("the new validators are not those that the trusted header announced")
    else:
        _require_trusted_share(trusted.validators, new, trust)
    verify_light_block(new, chain_id, verifier)


def _require_trusted_share(trusted: ValidatorSet, new: LightBlock, trust: Trust) -> None:
    """Enough of the old set stands behind the new commit. The signatures themselves are checked by `verify_light_block`.

    Addresses are taken from the new set, whose hash the header carries, never from the commit: those are not signed.
    """
    power = 0
    for index, part in enumerate(new.commit.signatures):
        signer = new.validators.by_index(index)
        if signer is None or part.flag is not Flag.COMMIT:
            continue
        old = trusted.by_address(signer.address)
        if old is not None and old.ed25519_key == signer.ed25519_key:
            power += old.power
    if power * trust.denominator <= trusted.total_power * trust.numerator:
        raise InsufficientTrustError("too little of the trusted validators' power signed: verify a header in between first")
