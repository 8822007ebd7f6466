"""Two validator keys, their records and what they are asked: shared by the tests of signers and of changes of keys."""

from __future__ import annotations

from pathlib import Path

from consensus.block_id import BlockID
from consensus.messages import Lock
from consensus.vote import Proposal, Vote, VoteType
from node.signer import Signer
from node.signer_record import SignRequest, Step
from node.signing.desk import moment_of
from node.signing.key_ring import KeyRing
from p2p.identity import NodeIdentity
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind, PrivateKey
from state.validators import Validator, ValidatorSet

CHAIN_ID = "sim-1"
CHAIN = sha256(b"genesis of the signer tests")
NODE = NodeIdentity(sha256(b"the node"))
SIGNER = NodeIdentity(sha256(b"the signer"))
STRANGER = NodeIdentity(sha256(b"a stranger"))
TIME_NS = 1_700_000_000 * 1_000_000_000


def make_pair(name: str, kind: KeyKind = KeyKind.MLDSA44) -> tuple[PrivateKey, PrivateKey]:
    return PrivateKey.from_seed(KeyKind.ED25519, sha256(b"ed" + name.encode())), PrivateKey.from_seed(kind, sha256(b"pq" + name.encode()))


def make_signer(folder: Path, name: str, *, kind: KeyKind = KeyKind.MLDSA44) -> Signer:
    return Signer.create(folder / f"record of {name}", CHAIN, *make_pair(name, kind))


def open_signer(folder: Path, name: str, *, kind: KeyKind = KeyKind.MLDSA44) -> Signer:
    return Signer.open(folder / f"record of {name}", CHAIN, *make_pair(name, kind))


def make_ring(folder: Path, *names: str) -> KeyRing:
    return KeyRing(make_signer(folder, name) for name in names)


def make_set(*names: str) -> ValidatorSet:
    pairs = [make_pair(name) for name in names]
    return ValidatorSet(Validator(key.public_key.data, pq.kind, pq.public_key.data, 10) for key, pq in pairs)


def vote(
    address: bytes, height: int, round_: int = 0, vote_type: VoteType = VoteType.PREVOTE, content: bytes | None = b"x"
) -> Vote:
    block_id = None if content is None else BlockID(sha256(content), 1, sha256(b"parts"))
    return Vote(vote_type, height, round_, block_id, TIME_NS, address, 0)


def request_of(message: Vote | Proposal, lock: Lock | None = None, log_position: int = 0) -> SignRequest:
    held = lock or Lock()
    return SignRequest(
        message.height,
        message.round,
        Step(moment_of(message)[2]),
        message.sign_bytes(CHAIN_ID),
        held.locked_value.hash if held.locked_value else b"",
        held.locked_round,
        held.valid_value.hash if held.valid_value else b"",
        held.valid_round,
        log_position,
    )
