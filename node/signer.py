"""The validator's signer: the only place that holds its two keys, and the record that keeps it from contradicting itself.

The record is one file, `HOME/data/signer_record`. Before a signature leaves this module, the record on disk (fsynced) holds
what was signed: height, round, step, the bytes, both signatures, and the core's locked and valid value with their rounds.
Rules (consensus.md "The signer's record", J3):
- an earlier height, round or step than recorded is refused;
- the same height, round and step with the same bytes returns the *stored* signatures: ML-DSA is hedged, so a second
  signing would differ; with other bytes it is refused (`DoubleSignError`);
- within a height the locked and the valid round never go back, and a round keeps its value: a core that lost its lock gets no
  signature, even if the (height, round, step) alone looked fine.

For operators. `qenex init` and `qenex testnet` create the record together with the key. A key without its record, or with a
damaged one, is refused at start: nobody then knows what this key has signed. If the record is really lost (and no other
machine runs this key), start once with `--accept-empty-signer-record`: a new record is made that signs nothing in the height after
the last stored one, where alone the old process can have signed, and the node is a validator again one height later. If the
whole disk was lost, first make sure that the network has passed the height at which the old machine died: an empty store cannot
tell. Never restore the record from a backup: an old record allows
what the lost one forbade. Two processes cannot open one record (exclusive lock); a *copied* home directory is not seen by any
lock, so move a validator only after the old process has ended, and take the record along.

File: two slots, written in turn, each holding two equal copies of one record (checksum, sequence number). A torn write can
spoil only the slot being written, so either the new or the previous record is found; one copy of a slot may rot without
harm. The size of the file never changes, so no directory update can be lost after its creation.

No consensus logic may go in here beyond those refusals, and nothing may be signed elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

from consensus.vote import Proposal, Vote
from node.files import CREATE, MACHINE, NO_LINK, READ_WRITE, Files
from node.signer_record import (
    FILE_BYTES,
    LOST_HINT,
    SLOT_BYTES,
    SignerRecord,
    SignRequest,
    Step,
    UnreadableRecordError,
    frame_slot,
    make_disk_error,
    peek_record,
    read_newest,
    require_private,
)
from state.primitives.errors import DoubleSignError, SignerRecordError
from state.primitives.hashing import validator_address
from state.primitives.keys import CONTEXT_VOTE, KeyKind, PrivateKey, PublicKey
from state.primitives.limits import ROUND_MAX
from state.validators import ValidatorSet

__all__ = ["SignRequest", "Signer", "SignerRecord", "Step", "peek_record"]


class Signer:
    """Two keys and their record. Made by `Signer.create` or `Signer.open`; single owner, not thread-safe; `close` when done.

    `sign` blocks for one ML-DSA signature and one disk write. A `VoteSigner` (node.signing.voter) whose one key never changes.
    """

    answers_at_once = True

    def __init__(
        self, path: Path, descriptor: int, key: PrivateKey, pq_key: PrivateKey, record: SignerRecord, files: Files = MACHINE
    ) -> None:
        self.path = path
        self.record = record
        self._key = key
        self._pq_key = pq_key
        self._descriptor = descriptor
        self._sequence = 0
        self._files = files
        self._failed = False

    @classmethod
    def create(
        cls,
        path: Path,
        chain_id: bytes,
        key: PrivateKey,
        pq_key: PrivateKey,
        *,
        abstain_through: int = 0,
        files: Files = MACHINE,
    ) -> Self:
        """Make the record of a new key. Refuses to replace an existing file.

        `abstain_through`: the last height in which nothing may be signed, for a key whose record was lost.
        """
        record = SignerRecord(chain_id, _check_keys(key, pq_key))
        if abstain_through > 0:
            record = replace(record, height=abstain_through, round=ROUND_MAX, step=int(Step.PRECOMMIT))
        temporary = path.with_name(path.name + ".new")
        try:
            files.make_folder(path.parent)
            if files.exists(path):
                raise SignerRecordError(f"{path} exists already", hint="a signer record is never overwritten")
            files.remove(temporary)
            descriptor = files.open(temporary, READ_WRITE | CREATE | NO_LINK)
            signer = cls(path, descriptor, key, pq_key, record, files)
            files.lock(descriptor)
            files.write(descriptor, bytes(FILE_BYTES))
            signer._write(record)
            files.sync(descriptor)
            files.link(temporary, path)  # fails if the file came into being meanwhile
            files.remove(temporary)
            files.sync_folder(path.parent)
        except OSError as error:
            raise make_disk_error(path, "create", error) from error
        return signer

    @classmethod
    def open(
        cls, path: Path, chain_id: bytes, key: PrivateKey, pq_key: PrivateKey, *, files: Files = MACHINE
    ) -> Self:
        """Open the record of an existing key and lock it.

        Raises `SignerRecordError` if it is missing, damaged, of another key or chain, or in use.
        """
        address = _check_keys(key, pq_key)
        try:
            descriptor = files.open(path, READ_WRITE | NO_LINK)
        except FileNotFoundError:
            raise SignerRecordError(
                f"the signer record {path} is missing, but its key is present", hint=LOST_HINT
            ) from None
        except OSError as error:
            raise make_disk_error(path, "open", error) from error
        try:
            _check_file(path, descriptor, files)
            sequence, record = read_newest(path, descriptor, files)
            if record.address != address or record.chain_id != chain_id:
                what = "validator key" if record.address != address else "chain"
                raise SignerRecordError(
                    f"the signer record {path} belongs to another {what}",
                    hint="key, record and genesis belong together; put back the files of this validator",
                )
        except OSError as error:
            files.close(descriptor)
            raise make_disk_error(path, "read", error) from error
        except SignerRecordError:
            files.close(descriptor)
            raise
        signer = cls(path, descriptor, key, pq_key, record, files)
        signer._sequence = sequence
        return signer

    @classmethod
    def open_or_accept_empty(
        cls, path: Path, chain_id: bytes, key: PrivateKey, pq_key: PrivateKey, *, abstain_through: int
    ) -> Self:
        """As `open`, for an operator who accepts that the record is lost: a missing or damaged one is replaced.

        The damaged file is kept as `*.damaged-<n>`. `abstain_through` is the height after the last one in the store.
        A record in use or of another key or chain is still refused.
        """
        try:
            return cls.open(path, chain_id, key, pq_key)
        except SignerRecordError as error:
            if not (isinstance(error, UnreadableRecordError) or not path.exists()):
                raise
        if path.exists():
            number = 1
            while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
                number += 1
            path.rename(aside)
        return cls.create(path, chain_id, key, pq_key, abstain_through=abstain_through)

    @property
    def address(self) -> bytes:
        """This validator's address, 20 bytes."""
        return self.record.address

    @property
    def public_key(self) -> bytes:
        """The Ed25519 key, 32 bytes."""
        return self._key.public_key.data

    @property
    def pq_public_key(self) -> PublicKey:
        """The ML-DSA key."""
        return self._pq_key.public_key

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """See `VoteSigner`."""
        return (self.address,)

    def select(self, validators: ValidatorSet) -> None:
        """See `VoteSigner`: there is nothing to choose from."""

    async def wait_ready(self) -> None:
        """See `VoteSigner`."""

    async def ask(self, message: Vote | Proposal, request: SignRequest, address: bytes) -> tuple[bytes, bytes]:
        """See `VoteSigner`. Never waits."""
        return self.sign(request)

    def sign(self, request: SignRequest) -> tuple[bytes, bytes]:
        """(Ed25519 signature, ML-DSA signature) over the request's bytes, after its record is durable.

        Raises `DoubleSignError` if it would contradict the record; nothing has then changed.
        """
        if self._failed:
            raise SignerRecordError(f"{self.path} failed before and is not used again", hint="start the node again")
        record = self.record
        moment = (request.height, request.round, int(request.step))
        if moment == record.moment and request.sign_bytes == record.sign_bytes and record.signature:
            return record.signature, record.pq_signature
        if moment <= record.moment:
            raise DoubleSignError(
                f"refused to sign height/round/step {_show(moment)}: already signed {_show(record.moment)}",
                hint="nothing to do if the node was just restarted; otherwise check that this key runs only once",
            )
        if request.height == record.height:
            _check_promise(
                "locked", record.locked_round, record.locked_value, request.locked_round, request.locked_value
            )
            _check_promise("valid", record.valid_round, record.valid_value, request.valid_round, request.valid_value)
        new = replace(
            record,
            height=request.height,
            round=request.round,
            step=int(request.step),
            sign_bytes=request.sign_bytes,
            signature=self._key.sign(request.sign_bytes, b""),
            pq_signature=self._pq_key.sign(request.sign_bytes, CONTEXT_VOTE),
            locked_value=request.locked_value,
            locked_round=request.locked_round,
            valid_value=request.valid_value,
            valid_round=request.valid_round,
            log_position=request.log_position,
        )
        try:
            self._write(new)
        except OSError as error:
            self._failed = True
            raise make_disk_error(self.path, "write", error) from error
        self.record = new
        return new.signature, new.pq_signature

    def knows(self, height: int, round_: int, step: Step) -> bool:
        """Whether a signature of this key that was found in the chain can have been given under this record."""
        record = self.record
        if height == record.height and not record.signature:
            return False  # nothing was signed in it
        return record.moment >= (height, round_, int(step))

    def abstain_through(self, height: int) -> None:
        """Sign nothing any more up to this height; durable on return. For a key that has signed what the record does not know."""
        if height <= self.record.height:
            return
        new = SignerRecord(self.record.chain_id, self.record.address, height, ROUND_MAX, int(Step.PRECOMMIT))
        try:
            self._write(new)
        except OSError as error:
            self._failed = True
            raise make_disk_error(self.path, "write", error) from error
        self.record = new

    def require_at_least(self, height: int, round_: int, step: Step) -> None:
        """Check the record against a signature of ours found in the chain; an older record was restored from a backup (J10).

        Raises `SignerRecordError`.
        """
        if self.record.moment < (height, round_, int(step)):
            raise SignerRecordError(
                f"the signer record {self.path} ends at {_show(self.record.moment)}, but the chain holds this validator's "
                f"signature at {_show((height, round_, int(step)))}",
                hint="the record is older than the key's last signature; " + LOST_HINT,
            )

    def close(self) -> None:
        """Release the file and its lock."""
        if self._descriptor >= 0:
            self._files.close(self._descriptor)
            self._descriptor = -1
        self._failed = True

    def _write(self, record: SignerRecord) -> None:
        """Into the slot that is not the newest; durable on return."""
        sequence = self._sequence + 1
        slot = frame_slot(record, sequence)
        if self._files.write_at(self._descriptor, slot, (sequence & 1) * SLOT_BYTES) != len(slot):
            raise OSError(28, "the record was written in part")
        self._files.sync_data(self._descriptor)
        self._sequence = sequence


def _check_file(path: Path, descriptor: int, files: Files) -> None:
    try:
        files.lock(descriptor)
    except BlockingIOError:
        raise SignerRecordError(
            f"the signer record {path} is in use by another process",
            hint="this validator runs already; stop that process first",
        ) from None
    require_private(path, descriptor, files)


def _check_keys(key: PrivateKey, pq_key: PrivateKey) -> bytes:
    """The validator's address. Raises `SignerRecordError` for kinds that do not vote."""
    if key.kind is not KeyKind.ED25519 or pq_key.kind not in (KeyKind.MLDSA44, KeyKind.MLDSA65, KeyKind.MLDSA87):
        raise SignerRecordError("a validator signs with one Ed25519 key and one ML-DSA key")
    return validator_address(key.public_key.data)


def _check_promise(what: str, old_round: int, old_value: bytes, new_round: int, new_value: bytes) -> None:
    if new_round < old_round or (new_round == old_round and new_value != old_value):
        raise DoubleSignError(
            f"refused to sign: the {what} value of this height would go back from round {old_round} to {new_round}",
            hint="the consensus log lost its end; the node follows without signing until the next height",
        )


def _show(moment: tuple[int, int, int]) -> str:
    return "/".join(str(part) for part in moment)
