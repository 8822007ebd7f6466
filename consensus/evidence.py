"""Proofs of offences: the three kinds as one, how they stand in a block, when they expire, what makes them good.

| kind | in `Evidence` and on the wire | bytes and hash |
|---|---|---|
| two votes | 1 | CometBFT's |
| light client attack | 2 | CometBFT's |
| two proposals | 3 | ours |

Headers carry the root over the inner messages, as CometBFT's do. Those have no field for ML-DSA signatures, on which the verdict rests as
well; so that a block's name covers them, its bytes carry them beside the inner message, in field 16 of the `Evidence` wrapper, which
other readers skip. Proofs are judged from chain data alone (`history.py`): nothing that differs between nodes may go in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from consensus.commit import Verifier
from consensus.evidence_attack import LightClientAttackEvidence, LightValidator
from consensus.evidence_proposals import DuplicateProposalEvidence
from consensus.evidence_votes import DuplicateVoteEvidence
from consensus.fields import read_int, read_tuple
from consensus.history import ChainHistory
from state.misbehavior import Misbehavior
from state.params import ConsensusParams
from state.primitives import merkle
from state.primitives.canonical import message_field
from state.primitives.codec import Value, encode_trusted
from state.primitives.errors import InvalidEvidenceError, UnknownHistoryError
from state.primitives.limits import EVIDENCE_BYTES_HARD_MAX

Evidence: TypeAlias = DuplicateVoteEvidence | LightClientAttackEvidence | DuplicateProposalEvidence

VOTES: Final = 1
ATTACK: Final = 2
PROPOSALS: Final = 3
SIDE_CAR_FIELD: Final = 16
_NS_PER_S: Final = 1_000_000_000
_TYPES: Final[dict[int, type[Evidence]]] = {
    VOTES: DuplicateVoteEvidence,
    ATTACK: LightClientAttackEvidence,
    PROPOSALS: DuplicateProposalEvidence,
}


def kind_of(item: Evidence) -> int:
    """The number of its kind."""
    return next(kind for kind, found in _TYPES.items() if isinstance(item, found))


def evidence_to_wire(item: Evidence) -> tuple[Value, ...]:
    """Canonical array: kind, content."""
    return kind_of(item), item.to_wire()


def evidence_from_wire(value: Value) -> Evidence:
    """Inverse of `evidence_to_wire`. Raises `MalformedError`."""
    kind, content = read_tuple(value, 2, "evidence")
    return _TYPES[read_int(kind, VOTES, PROPOSALS, "a kind of evidence")].from_wire(content)


def evidence_proto(item: Evidence) -> bytes:
    """Protobuf `Evidence`, with the ML-DSA signatures in a field of our own."""
    side_car = b"".join(message_field(1, signature) for signature in item.pq_signatures)
    return message_field(kind_of(item), item.proto()) + message_field(SIDE_CAR_FIELD, side_car)


def evidence_hash(evidence: Iterable[Evidence]) -> bytes:
    """What headers carry."""
    return merkle.root([item.proto() for item in evidence])


def size_of(item: Evidence) -> int:
    """Bytes that it takes in a block as we send and store it."""
    return len(encode_trusted(evidence_to_wire(item)))


def order_of(item: Evidence) -> tuple[int, bytes]:
    """Proofs stand in a block by rising height and, within one, name of the offence; so none is there twice."""
    return item.height, item.offence


def is_expired(item: Evidence, params: ConsensusParams, height: int, time_ns: int) -> bool:
    """Whether it is too old for the block of this height and time: in blocks *and* in time (consensus.md L1)."""
    age_blocks, age_ns = height - item.height, time_ns - item.time_ns
    return age_blocks > params.evidence_blocks_max and age_ns > params.evidence_age_s_max * _NS_PER_S


def is_punished(item: Evidence, history: ChainHistory) -> bool:
    """Whether nothing that it proves is new."""
    return all(history.is_punished(offence) for offence in item.offences)


def verify_evidence(item: Evidence, chain_id: str, history: ChainHistory, verifier: Verifier) -> None:
    """Check a proof against the chain that it accuses of. Raises `InvalidEvidenceError`, or `UnknownHistoryError`."""
    if isinstance(item, LightClientAttackEvidence):
        item.verify(chain_id, history, verifier)
        return
    header, validators = history.header(item.height), history.validators(item.height)
    if header is None or validators is None:
        raise UnknownHistoryError(f"height {item.height} is not kept, or not decided")
    item.verify(chain_id, validators, header.time_ns, verifier)


def verify_list(
    evidence: Sequence[Evidence],
    chain_id: str,
    params: ConsensusParams,
    height: int,
    time_ns: int,
    history: ChainHistory,
    verifier: Verifier,
    *,
    is_decided: bool,
) -> None:
    """Check what a block of this height and time carries: bytes, order, age, once for ever, and each proof.

    `is_decided`: a quorum has accepted the block; a proof from heights that are not kept here any more is then taken on its word.
    Raises `InvalidEvidenceError`, or `UnknownHistoryError`.
    """
    if sum(map(size_of, evidence)) > min(params.evidence_bytes_max, EVIDENCE_BYTES_HARD_MAX):
        raise InvalidEvidenceError("more bytes of evidence than allowed")
    orders = [order_of(item) for item in evidence]
    if any(first >= second for first, second in pairwise(orders)):
        raise InvalidEvidenceError("evidence out of order, or twice")
    seen: dict[bytes, None] = {}
    for item in evidence:
        if item.height >= height:
            raise InvalidEvidenceError("evidence of a height that is not decided")
        if is_expired(item, params, height, time_ns):
            raise InvalidEvidenceError("expired evidence")
        if is_punished(item, history) or all(offence in seen for offence in item.offences):
            raise InvalidEvidenceError("evidence of an offence that was punished before")
        seen |= dict.fromkeys(item.offences)
        if is_decided and item.height < history.base:
            continue
        verify_evidence(item, chain_id, history, verifier)


def misbehavior_of(evidence: Iterable[Evidence]) -> tuple[Misbehavior, ...]:
    """What a block's evidence tells the ledger."""
    return tuple(found for item in evidence for found in item.misbehavior())


__all__ = [
    "DuplicateProposalEvidence",
    "DuplicateVoteEvidence",
    "Evidence",
    "LightClientAttackEvidence",
    "LightValidator",
    "evidence_from_wire",
    "evidence_hash",
    "evidence_proto",
    "evidence_to_wire",
    "is_expired",
    "is_punished",
    "kind_of",
    "misbehavior_of",
    "order_of",
    "size_of",
    "verify_evidence",
    "verify_list",
]
