"""The keys of one validator in this process: the one that votes and, while keys are being changed, the next one.

Each key has its own record (`node.signer`). The rule on top of the two records: a height is signed with one key only. A key signs nothing
in a height in which, or above which, the other has signed. Which key votes is the validator set's to say (`node.signing.voter`). Files
are `node.signing.key_files`'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from consensus.vote import Proposal, Vote
from node.signer import Signer
from node.signer_record import SignerRecord, SignRequest, Step
from node.signing.voter import choose_address
from state.primitives.errors import DoubleSignError, SignerRecordError
from state.validators import ValidatorSet


class KeyRing:
    """See `VoteSigner`. Made with at least one signer, the oldest first; owns them.

    `measure` hears how many seconds each signature took, `count_refusal` the code of each refusal.
    """

    answers_at_once = True

    def __init__(self, signers: Iterable[Signer]) -> None:
        self.measure: Callable[[float], None] = lambda seconds: None
        self.count_refusal: Callable[[int], None] = lambda code: None
        self._signers = list(signers)
        self._retired: list[bytes] = []
        self._address = self._signers[0].address

    @property
    def signers(self) -> tuple[Signer, ...]:
        """Those that may sign, the oldest first."""
        return tuple(self._signers)

    @property
    def held(self) -> tuple[bytes, ...]:
        """The addresses of those, in the same order."""
        return tuple(signer.address for signer in self._signers)

    @property
    def is_connected(self) -> bool:
        """Whether it can be asked: always."""
        return True

    @property
    def current(self) -> Signer:
        """The one that votes in the height last selected."""
        return self._of(self._address)

    @property
    def address(self) -> bytes:
        """See `VoteSigner`."""
        return self._address

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """See `VoteSigner`."""
        return (*self._retired, *(signer.address for signer in self._signers))

    @property
    def public_key(self) -> bytes:
        """See `VoteSigner`."""
        return self.current.public_key

    @property
    def record(self) -> SignerRecord:
        """See `VoteSigner`."""
        return self.current.record

    def add(self, signer: Signer) -> None:
        """The next key is here. Raises `SignerRecordError` if there is one already."""
        if len(self._signers) > 1 or signer.address in self.addresses:
            raise SignerRecordError("this validator has its next key already", hint="a change of keys ends before the next begins")
        self._signers.append(signer)

    def retire(self) -> Signer:
        """Take the oldest key out, for ever; it is closed. Raises `SignerRecordError` unless the next one has signed above it."""
        if len(self._signers) < 2 or self._signers[1].record.height <= self._signers[0].record.height:
            raise SignerRecordError("the old key is still needed: the next one has not signed above it")
        old = self._signers.pop(0)
        self._retired.append(old.address)
        if self._address == old.address:
            self._address = self._signers[0].address
        old.close()
        return old

    def select(self, validators: ValidatorSet) -> None:
        """See `VoteSigner`."""
        self._address = choose_address([signer.address for signer in self._signers], validators, self._address)

    def sign(self, request: SignRequest, address: bytes | None = None) -> tuple[bytes, bytes]:
        """As `Signer.sign`, with the key of an address (default: the one that votes).

        Raises `DoubleSignError` also if the other key has signed in or above this height.
        """
        signer = self.current if address is None else self._of(address)
        for other in self._signers:
            if other is not signer and other.record.height >= request.height:
                raise DoubleSignError(
                    f"refused to sign height {request.height} with the key {signer.address.hex().upper()}: the validator's other key has "
                    f"signed height {other.record.height}",
                    hint="nothing to do while keys are being changed; otherwise check that these keys run only here",
                )
        return signer.sign(request)

    async def wait_ready(self) -> None:
        """See `VoteSigner`."""

    async def ask(self, message: Vote | Proposal, request: SignRequest, address: bytes) -> tuple[bytes, bytes]:
        """See `VoteSigner`. Never waits."""
        started = time.perf_counter()
        try:
            signatures = self.sign(request, address)
        except DoubleSignError as error:
            self.count_refusal(error.code)
            raise
        self.measure(time.perf_counter() - started)
        return signatures

    def knows(self, height: int, round_: int, step: Step) -> bool:
        """See `VoteSigner`."""
        return self.current.knows(height, round_, step)

    def abstain_through(self, height: int) -> None:
        """See `VoteSigner`: no key signs up to this height. The old one keeps its record where the next one has signed already."""
        for signer in self._signers:
            signer.abstain_through(height)

    def require_at_least(self, height: int, round_: int, step: Step) -> None:
        """See `VoteSigner`."""
        self.current.require_at_least(height, round_, step)

    def close(self) -> None:
        """Release the records."""
        for signer in self._signers:
            signer.close()

    def _of(self, address: bytes) -> Signer:
        for signer in self._signers:
            if signer.address == address:
                return signer
        raise SignerRecordError(f"there is no key {address.hex().upper()} here", hint="qenex signer show lists the keys of a signer")
