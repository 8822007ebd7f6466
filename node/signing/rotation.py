"""Preparing a change of a validator's keys: next keys in its home, the proof that they are held, the operation for the owner's account.

The operation is public and complete: it may be carried to where the owner's key is. Its proof is a signature with each of the new keys
over the network, the validator's present address and both new keys, so an owner who was given it sees that somebody holds what the
validator will have to sign with. The ledger does not ask for it. When the new keys begin to vote is the ledger's to say; taking them over
is `node.signing.key_watch`'s.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.config import Home
from node.files import MACHINE, Files
from node.keystore import KeySet, Passphrase, Role, read_key_file, read_key_info, unfinished_file
from node.signer_record import peek_record
from node.signing.key_files import address_of, make_next
from state.primitives.codec import encode
from state.primitives.errors import ConfigError, KeyRotationError
from state.primitives.keys import MLDSA_KEY_BYTES, KeyKind, PublicKey

OPERATION: Final = "stake.rotate_consensus_key"
_CONTEXT: Final = b"qenex/possession/1"  # of the ML-DSA half; the Ed25519 half has it in front, where no vote has it
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class NextKeys:
    """Voting keys that will come into force, and the address of those that they replace."""

    address: bytes
    keys: KeySet
    chain: bytes

    def to_operation(self) -> dict[str, Any]:
        """The operation as JSON, with its proof."""
        key, pq_key = self.keys.keys
        fields = key.public_key.data, int(pq_key.kind), pq_key.public_key.data
        text = _statement(self.chain, self.address, *fields)
        return {
            "op": OPERATION,
            "validator": self.address.hex(),
            "ed25519_key": fields[0].hex(),
            "pq_kind": fields[1],
            "pq_key": fields[2].hex(),
            "proof": {"chain": self.chain.hex(), "ed25519": key.sign(text, b"").hex(), "pq": pq_key.sign(text, _CONTEXT).hex()},
        }


def prepare_next(home: Home, chain: bytes, passphrase: Passphrase, *, is_resumed: bool) -> NextKeys:
    """Make next keys, of the kinds and behind the passphrase of the present ones; with `is_resumed`, use those that are there.

    Raises `KeyRotationError`, `KeyFileError`, `WrongPassphraseError`.
    """
    present = read_key_info(home.validator_key_file)
    asked: list[bytes] = []

    def ask(path: Path) -> bytes:
        asked.append(passphrase(path))
        return asked[-1]

    read_key_file(home.validator_key_file, ask, role=Role.VALIDATOR)  # the passphrase that a running process knows, or none
    if not is_resumed:
        make_next(home, chain, present.keys[1].kind, asked[0] if asked else None)
    elif not home.next_key_file.exists():
        raise KeyRotationError(f"there is no {home.next_key_file}", hint="leave --resume out: it makes one")
    # read back from the disk: what the proof shows is what a start would find
    return NextKeys(address_of(present), read_key_file(home.next_key_file, ask, role=Role.VALIDATOR), chain)


def check_operation(data: Any, chain: bytes) -> dict[str, Any]:
    """The fields of an operation that was carried here, its proof checked. Raises `ConfigError`."""
    try:
        if data["op"] != OPERATION:
            raise ValueError
        address, kind = bytes.fromhex(data["validator"]), KeyKind(data["pq_kind"])
        key, pq_key = (bytes.fromhex(data[name]) for name in ("ed25519_key", "pq_key"))
        proof = {name: bytes.fromhex(data["proof"][name]) for name in ("chain", "ed25519", "pq")}
        if kind not in MLDSA_KEY_BYTES or len(pq_key) != MLDSA_KEY_BYTES[kind] or len(key) != 32 or len(address) != 20:
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError("the file holds no change of a validator's keys", hint="qenex keys rotate-validator --out writes one") from error
    if proof["chain"] != chain:
        raise ConfigError("the change of keys is meant for another network", hint="check --node")
    text = _statement(chain, address, key, int(kind), pq_key)
    is_held = PublicKey(KeyKind.ED25519, key).verify(text, proof["ed25519"], b"")
    if not is_held or not PublicKey(kind, pq_key).verify(text, proof["pq"], _CONTEXT):
        raise ConfigError("the proof does not show that anybody holds these keys", hint="ask for the file again; do not send this one")
    return {"validator": address, "ed25519_key": key, "pq_kind": int(kind), "pq_key": pq_key}


def is_running(home: Home) -> bool:
    """Whether a process holds the record of the present keys: a node or a signer."""
    return _is_locked(home.signer_file)


def wait_until_taken(home: Home, seconds_max: float) -> None:
    """Wait until the process that runs this home has opened the next keys. Raises `KeyRotationError`."""
    deadline = time.monotonic() + seconds_max
    while not _is_locked(home.next_signer_file):
        if time.monotonic() > deadline:
            raise KeyRotationError(
                f"the process that runs {home.root} has not taken the next keys within {seconds_max:.0f} s",
                hint="its log says why; when that is mended, go on with --resume. Nothing was sent",
            )
        time.sleep(_POLL_S)


@contextmanager
def hold_next(home: Home) -> Iterator[None]:
    """No process takes the next keys meanwhile. Raises `KeyRotationError` if there are none, if one has them, or if they have signed."""
    if not os.path.lexists(home.next_key_file) and not os.path.lexists(home.next_signer_file):
        raise KeyRotationError(f"there is no {home.next_key_file}", hint="there is nothing to discard")
    if not home.signer_file.exists():
        raise KeyRotationError(f"there is no {home.signer_file}: a change of keys is being ended", hint="start the process: it ends it")
    with ExitStack() as stack:
        if os.path.lexists(home.next_signer_file):
            _lock_next(home, stack)
            if home.next_key_file.exists() and peek_record(home.next_signer_file).height:
                raise KeyRotationError("the next keys have signed already", hint="leave them where they are: the ledger has them")
        yield


def _lock_next(home: Home, stack: ExitStack) -> None:
    try:
        descriptor = os.open(home.next_signer_file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise KeyRotationError(
            f"the process that runs {home.root} has taken the next keys", hint="stop it, discard them, start it again"
        ) from None
    except OSError as error:
        raise KeyRotationError(
            f"cannot open {home.next_signer_file}: {error.strerror or error}", hint="check its owner and mode (0600)"
        ) from error


def discard_next(home: Home, files: Files = MACHINE) -> None:
    """Delete the next keys of a home, within `hold_next`. The record goes last: alone it harms nothing, a key without it is refused.

    Raises `KeyRotationError`.
    """
    try:
        for path in (unfinished_file(home.next_key_file), home.next_key_file):
            files.remove(path)
        files.sync_folder(home.keys_dir)
        files.remove(home.next_signer_file)
        files.sync_folder(home.data_dir)
    except OSError as error:
        raise KeyRotationError(
            f"cannot delete the next keys of {home.root}: {error.strerror or error}",
            hint="check the disk and the owner of the folder, then give the same command again",
        ) from error


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _statement(chain: bytes, address: bytes, key: bytes, kind: int, pq_key: bytes) -> bytes:
    return _CONTEXT + encode((chain, address, key, kind, pq_key))
