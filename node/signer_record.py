"""The form of the signer's record: what is asked for, what is remembered, and how the file holds it.

The file has two slots, written in turn, each with two equal copies of one record (checksum, sequence number): see `node.signer`, which
alone writes it and decides what may be signed. Nothing is decided, locked or written in here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final
from zlib import crc32

from node.files import MACHINE, Files
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import MalformedError, SignerRecordError
from state.primitives.limits import SIGNER_COPY_BYTES

VERSION: Final = 1
NO_ROUND: Final = -1
_MAGIC: Final = b"QXSR"
_HEADER: Final = 12  # magic, length, crc
SLOT_BYTES: Final = 2 * SIGNER_COPY_BYTES
FILE_BYTES: Final = 2 * SLOT_BYTES
LOST_HINT: Final = (
    "if it is lost for good and this key runs nowhere else, start once with --accept-empty-signer-record; "
    "never restore it from a backup"
)


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


def peek_record(path: Path) -> SignerRecord:
    """The record in a file, for tools that only look: nothing is locked or written. Raises `SignerRecordError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise make_disk_error(path, "open", error) from error
    try:
        require_private(path, descriptor, MACHINE)
        return read_newest(path, descriptor, MACHINE)[1]
    except OSError as error:
        raise make_disk_error(path, "read", error) from error
    finally:
        os.close(descriptor)


class UnreadableRecordError(SignerRecordError):
    """The file is there but holds no record. Same code: for callers it is the same refusal."""


def frame_slot(record: SignerRecord, sequence: int) -> bytes:
    """The bytes of one slot: two equal copies. Raises `SignerRecordError` for a record that does not fit."""
    payload = record.encode(sequence)
    copy = _MAGIC + len(payload).to_bytes(4, "big") + crc32(payload).to_bytes(4, "big") + payload
    if len(copy) > SIGNER_COPY_BYTES:
        raise SignerRecordError(f"a signer record of {len(copy)} bytes does not fit its slot")
    return copy.ljust(SIGNER_COPY_BYTES, b"\0") * 2


def read_newest(path: Path, descriptor: int, files: Files) -> tuple[int, SignerRecord]:
    """The newest record of the file. Raises `UnreadableRecordError`."""
    data = files.read_at(descriptor, FILE_BYTES + 1, 0)
    found: list[tuple[int, SignerRecord]] = []
    for offset in range(0, FILE_BYTES, SIGNER_COPY_BYTES):
        copy = data[offset : offset + SIGNER_COPY_BYTES]
        payload = copy[_HEADER : _HEADER + int.from_bytes(copy[4:8], "big")]
        if copy[:4] != _MAGIC or crc32(payload) != int.from_bytes(copy[8:12], "big"):
            continue
        try:
            found.append(SignerRecord.decode(payload))
        except MalformedError:
            continue
    if len(data) != FILE_BYTES or not found:
        raise UnreadableRecordError(f"the signer record {path} is damaged", hint=LOST_HINT)
    return max(found, key=lambda pair: pair[0])


def require_private(path: Path, descriptor: int, files: Files) -> None:
    """Raise `SignerRecordError` for a file that other users can write, and for what is no file."""
    if not files.is_file(descriptor):
        raise _no_file(path)
    if not files.is_private(descriptor):
        raise SignerRecordError(
            f"the signer record {path} can be written by other users", hint=f"chown it to this user; chmod 600 {path}"
        )


def _no_file(path: Path) -> SignerRecordError:
    return SignerRecordError(f"the signer record {path} is no file", hint=f"move it away, and put back what was there; {LOST_HINT}")


def make_disk_error(path: Path, action: str, error: OSError) -> SignerRecordError:
    """What an error of the disk is to the operator."""
    if isinstance(error, IsADirectoryError):
        return _no_file(path)
    return SignerRecordError(
        f"signer record {path}: cannot {action}: {error.strerror or error}",
        hint="check the disk, its free space and the file's owner, then start the node again",
    )
