"""What the driver needs of whoever signs, and the rule by which a validator with two keys knows which of them votes.

Three implementations: `node.signer.Signer` (one key, its record beside it), `node.signing.key_ring.KeyRing` (the same for the time of a
change of keys), `node.signing.remote.RemoteSigner` (keys and record in another process). No key and no record in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from consensus.validation import ChainTip
from consensus.vote import Proposal, Vote
from node.signer_record import SignerRecord, SignRequest, Step
from state.validators import ValidatorSet


class VoteSigner(Protocol):
    """One validator's signer. `record` is None as long as it is not known (a signer elsewhere that has not come yet)."""

    @property
    def answers_at_once(self) -> bool:
        """Whether `ask` answers without waiting for anybody: then it is awaited in the middle of a step of the driver."""
        ...

    @property
    def address(self) -> bytes:
        """The address that votes in the height last selected: 20 bytes, or b"" if no key is known."""
        ...

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """Every address that is or was ours since the start."""
        ...

    @property
    def public_key(self) -> bytes:
        """The Ed25519 key of `address`, 32 bytes; zeros while it is not known."""
        ...

    @property
    def record(self) -> SignerRecord | None:
        """The record of `address`. Of one elsewhere: what is known of it, without the signed bytes."""
        ...

    def select(self, validators: ValidatorSet) -> None:
        """The height that this set votes on begins: from now on `address` is the key that is in it."""
        ...

    async def wait_ready(self) -> None:
        """Return when somebody is there to be asked."""
        ...

    async def ask(self, message: Vote | Proposal, request: SignRequest, address: bytes) -> tuple[bytes, bytes]:
        """(Ed25519 signature, ML-DSA signature) of `address` over `request.sign_bytes`, which are the message's; durably recorded before.

        Raises `DoubleSignError` for what contradicts the record, `SignerRecordError` if the record fails, `SignerAwayError` if nobody
        has answered: then the same may be asked again.
        """
        ...

    def knows(self, height: int, round_: int, step: Step) -> bool:
        """Whether a signature of `address` that was found in the chain can have been given under its record."""
        ...

    def abstain_through(self, height: int) -> None:
        """Sign nothing any more up to this height."""
        ...

    def require_at_least(self, height: int, round_: int, step: Step) -> None:
        """Raise `SignerRecordError` if the record of `address` is older than this signature, which is in the chain."""
        ...


def choose_address(addresses: Sequence[bytes], validators: ValidatorSet, otherwise: bytes) -> bytes:
    """The first of our addresses, oldest first, that is in the set. The old key votes as long as it is a member, so no height has two."""
    return next((address for address in addresses if validators.index_of(address) >= 0), otherwise)


def find_left_behind(addresses: Sequence[bytes], tip: ChainTip) -> bytes:
    """The oldest of two addresses if the validator set has left it behind for the next one, which votes already; else b"".

    No set that is in force or known in advance has it any more, so nothing that it could sign is wanted by anybody.
    """
    if len(addresses) < 2 or tip.last_validators is None or tip.last_validators.index_of(addresses[1]) < 0:
        return b""
    sets = tip.last_validators, tip.validators, tip.next_validators
    return b"" if any(members.index_of(addresses[0]) >= 0 for members in sets) else addresses[0]
