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

import os
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Final, Self
from zlib import crc32

from node.files import CREATE, MACHINE, NO_LINK, READ_WRITE, Files
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import DoubleSignError, MalformedError, SignerRecordError
from state.primitives.hashing import validator_address
from state.primitives.keys import CONTEXT_VOTE, KeyKind, PrivateKey
from state.primitives.limits import ROUND_MAX, SIGNER_COPY_BYTES

VERSION: Final = 1
NO_ROUND: Final = -1
_MAGIC: Final = b"QXSR"
_HEADER: Final = 12  # magic, length, crc
_SLOT: Final = 2 * SIGNER_COPY_BYTES
_FILE: Final = 2 * _SLOT


class Step(IntEnum):
    """What is signed, in the order of one round."""

    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3


@dataclass(frozen=True, slots=True)
class SignRequest:
    """Something to sign and the core's promises at that moment; a value is a block hash, or empty with round -1.

    `log_position` is the durable length of the consensus log: a log found shorter later has lost its end.
    """

    height: int
    round: int
    step: Step
    sign_bytes: bytes
    locked_value: bytes
    locked_round: int
    valid_value: bytes
    valid_round: int
    log_position: int = 0


@dataclass(frozen=True, slots=True)
class SignerRecord:
    """What the file holds. Height 0 means that nothing was signed yet."""

    chain_id: bytes
    address: bytes
    height: int = 0
    round: int = 0
    step: int = 0
    sign_bytes: bytes = b""
    signature: bytes = b""
    pq_signature: bytes = b""
    locked_value: bytes = b""
    locked_round: int = NO_ROUND
    valid_value: bytes = b""
    valid_round: int = NO_ROUND
    log_position: int = 0

    @property
    def moment(self) -> tuple[int, int, int]:
        """(height, round, step) of the last signature."""
        return self.height, self.round, self.step

    def encode(self, sequence: int) -> bytes:
        """Canonical bytes, numbered by the order of writing."""
        return encode_trusted(
            [
                VERSION,
                sequence,
                self.chain_id,
                self.address,
                self.height,
                self.round,
                self.step,
                self.sign_bytes,
                self.signature,
                self.pq_signature,
                self.locked_value,
                self.locked_round,
                self.valid_value,
                self.valid_round,
                self.log_position,
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> tuple[int, SignerRecord]:
        """(sequence number, record). Raises `MalformedError`."""
        value = decode(data, bytes_max=SIGNER_COPY_BYTES, depth_max=1)
        kinds = (int, int, bytes, bytes, int, int, int, bytes, bytes, bytes, bytes, int, bytes, int, int)
        if type(value) is not tuple or tuple(type(item) for item in value) != kinds or value[0] != VERSION:
            raise MalformedError("not a signer record of this version")
        return value[1], cls(*value[2:])


class Signer:
    """Two keys and their record. Made by `Signer.create` or `Signer.open`; single owner, not thread-safe; `close` when done.

    `sign` blocks for one ML-DSA signature and one disk write.
    """

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
            files.write(descriptor, bytes(_FILE))
            signer._write(record)
            files.sync(descriptor)
            files.link(temporary, path)  # fails if the file came into being meanwhile
            files.remove(temporary)
            files.sync_folder(path.parent)
        except OSError as error:
            raise _disk_error(path, "create", error) from error
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
                f"the signer record {path} is missing, but its key is present", hint=_LOST_HINT
            ) from None
        except OSError as error:
            raise _disk_error(path, "open", error) from error
        try:
            _check_file(path, descriptor, files)
            sequence, record = _read(path, descriptor, files)
            if record.address != address or record.chain_id != chain_id:
                what = "validator key" if record.address != address else "chain"
                raise SignerRecordError(
                    f"the signer record {path} belongs to another {what}",
                    hint="key, record and genesis belong together; put back the files of this validator",
                )
        except OSError as error:
            files.close(descriptor)
            raise _disk_error(path, "read", error) from error
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
            if not (isinstance(error, _UnreadableRecordError) or not path.exists()):
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
            raise _disk_error(self.path, "write", error) from error
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
            raise _disk_error(self.path, "write", error) from error
        self.record = new

    def require_at_least(self, height: int, round_: int, step: Step) -> None:
        """Check the record against a signature of ours found in the chain; an older record was restored from a backup (J10).

        Raises `SignerRecordError`.
        """
        if self.record.moment < (height, round_, int(step)):
            raise SignerRecordError(
                f"the signer record {self.path} ends at {_show(self.record.moment)}, but the chain holds this validator's "
                f"signature at {_show((height, round_, int(step)))}",
                hint="the record is older than the key's last signature; " + _LOST_HINT,
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
        payload = record.encode(sequence)
        copy = _MAGIC + len(payload).to_bytes(4, "big") + crc32(payload).to_bytes(4, "big") + payload
        if len(copy) > SIGNER_COPY_BYTES:
            raise SignerRecordError(f"a signer record of {len(copy)} bytes does not fit its slot")
        slot = copy.ljust(SIGNER_COPY_BYTES, b"\0") * 2
        if self._files.write_at(self._descriptor, slot, (sequence & 1) * _SLOT) != len(slot):
            raise OSError(28, "the record was written in part")
        self._files.sync_data(self._descriptor)
        self._sequence = sequence


def peek_record(path: Path) -> SignerRecord:
    """The record in a file, for tools that only look: nothing is locked or written. Raises `SignerRecordError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise _disk_error(path, "open", error) from error
    try:
        _check_owner(path, descriptor, MACHINE)
        return _read(path, descriptor, MACHINE)[1]
    except OSError as error:
        raise _disk_error(path, "read", error) from error
    finally:
        os.close(descriptor)


class _UnreadableRecordError(SignerRecordError):
    """The file is there but holds no record. Same code: for callers it is the same refusal."""


def _read(path: Path, descriptor: int, files: Files) -> tuple[int, SignerRecord]:
    """The newest record of the file. Raises `_UnreadableRecordError`."""
    data = files.read_at(descriptor, _FILE + 1, 0)
    found: list[tuple[int, SignerRecord]] = []
    for offset in range(0, _FILE, SIGNER_COPY_BYTES):
        copy = data[offset : offset + SIGNER_COPY_BYTES]
        payload = copy[_HEADER : _HEADER + int.from_bytes(copy[4:8], "big")]
        if copy[:4] != _MAGIC or crc32(payload) != int.from_bytes(copy[8:12], "big"):
            continue
        try:
            found.append(SignerRecord.decode(payload))
        except MalformedError:
            continue
    if len(data) != _FILE or not found:
        raise _UnreadableRecordError(f"the signer record {path} is damaged", hint=_LOST_HINT)
    return max(found, key=lambda pair: pair[0])


def _check_file(path: Path, descriptor: int, files: Files) -> None:
    try:
        files.lock(descriptor)
    except BlockingIOError:
        raise SignerRecordError(
            f"the signer record {path} is in use by another process",
            hint="this validator runs already; stop that process first",
        ) from None
    _check_owner(path, descriptor, files)


def _check_owner(path: Path, descriptor: int, files: Files) -> None:
    if not files.is_private(descriptor):
        raise SignerRecordError(
            f"the signer record {path} can be written by other users", hint=f"chown it to this user; chmod 600 {path}"
        )


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


def _disk_error(path: Path, action: str, error: OSError) -> SignerRecordError:
    return SignerRecordError(
        f"signer record {path}: cannot {action}: {error.strerror or error}",
        hint="check the disk, its free space and the file's owner, then start the node again",
    )


_LOST_HINT: Final = (
    "if it is lost for good and this key runs nowhere else, start once with --accept-empty-signer-record; "
    "never restore it from a backup"
)
