"""The files of a validator's keys while they are changed: the next key with its own record, and the old one set aside.

    keys/validator.json      data/signer_record         what votes
    keys/validator.next.json data/signer_record.next    what will vote; made by `qenex keys rotate-validator`
    *.retired-1, ...                                     what has voted, and never will again

Making: the record first, then the key, because a key without its record is refused. Taking over (`promote`), when the validator set has
left the old key behind and the next one has signed: four renames, in one order, each durable before the next. Killed between any two,
`open_ring` goes on where it stopped; at every step each key lies beside its own record and none is lost. A node's home and a signer's home
are alike.

Nothing is signed here, and nothing decides when; the rule that no height is signed with both keys is `node.signing.key_ring`'s, and holds
whatever these files are called.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.config import Home
from node.files import MACHINE, Files
from node.keystore import KeyInfo, KeySet, Role, new_seed, read_key_info, write_key_file
from node.signer import Signer
from node.signer_record import peek_record
from node.signing.key_ring import KeyRing
from state.primitives.errors import KeyRotationError, SignerRecordError
from state.primitives.hashing import validator_address
from state.primitives.keys import KeyKind, PrivateKey

ReadKeys = Callable[[Path], KeySet]
RETIRED: Final = ".retired-"


def open_ring(home: Home, chain: bytes, read_keys: ReadKeys, *, abstain_through: int | None = None) -> KeyRing | None:
    """The keys of a home with their records, locked; None for a home without voting keys. Ends a change of keys that was cut off.

    `abstain_through`: a lost record is accepted, see `Signer.open_or_accept_empty`. Raises `KeyFileError`, `SignerRecordError`.
    """
    finish_promotion(home)
    if not home.validator_key_file.exists():
        return None
    signers = [_open(home.validator_key_file, home.signer_file, chain, read_keys, abstain_through)]
    try:
        if home.next_key_file.exists():
            signers.append(_open(home.next_key_file, home.next_signer_file, chain, read_keys, abstain_through))
    except BaseException:
        signers[0].close()
        raise
    return KeyRing(signers)


def open_next(home: Home, chain: bytes, read_keys: ReadKeys) -> Signer:
    """The next key of a home whose current one is open already. Raises as `open_ring`."""
    return _open(home.next_key_file, home.next_signer_file, chain, read_keys, None)


def make_next(home: Home, chain: bytes, kind: KeyKind, passphrase: bytes | None) -> KeyInfo:
    """New voting keys and their record; durable on return. Raises `KeyRotationError` if there are next keys already."""
    if os.path.lexists(home.next_key_file):
        raise KeyRotationError(
            f"{home.next_key_file} exists already: a change of keys is under way",
            hint="send its operation (the same command with --resume); when the set has taken the new key over, the file goes by itself",
        )
    name = read_key_info(home.validator_key_file).name
    keys = PrivateKey.from_seed(KeyKind.ED25519, new_seed()), PrivateKey.from_seed(kind, new_seed())
    # a record without its key is the rest of an attempt that was cut off: nobody can have signed with it
    home.next_signer_file.unlink(missing_ok=True)
    Signer.create(home.next_signer_file, chain, *keys).close()
    write_key_file(home.next_key_file, KeySet(Role.VALIDATOR, name, keys), passphrase)
    return read_key_info(home.next_key_file)


def promote(home: Home, files: Files = MACHINE) -> None:
    """The next key takes the place of the current one, which is set aside. May be called again after an error (`KeyRotationError`)."""
    if home.validator_key_file.exists() and home.next_key_file.exists():
        number = 1
        while any(os.path.lexists(_retired(path, number)) for path in (home.validator_key_file, home.signer_file)):
            number += 1
        _rename(files, home.validator_key_file, _retired(home.validator_key_file, number))
    finish_promotion(home, files)


def finish_promotion(home: Home, files: Files = MACHINE) -> None:
    """Go on with a promotion that was cut off; nothing to do is the rule."""
    has_key, has_next = home.validator_key_file.exists(), home.next_key_file.exists()
    has_record, has_next_record = home.signer_file.exists(), home.next_signer_file.exists()
    is_begun = has_next and not has_key and any(home.keys_dir.glob(f"{home.validator_key_file.name}{RETIRED}*"))
    is_nearly_done = has_key and not has_next and not has_record and has_next_record
    if is_begun or (is_nearly_done and _belong_together(home)):
        _finish(home, files)


def _finish(home: Home, files: Files) -> None:
    """From the first rename on. Each step is skipped if it was done before."""
    if home.signer_file.exists() and home.next_signer_file.exists() and home.next_key_file.exists():
        number = 1
        while os.path.lexists(_retired(home.signer_file, number)):
            number += 1
        _rename(files, home.signer_file, _retired(home.signer_file, number))
    if home.next_key_file.exists():
        _rename(files, home.next_key_file, home.validator_key_file)
    if home.next_signer_file.exists():
        _rename(files, home.next_signer_file, home.signer_file)


def _belong_together(home: Home) -> bool:
    try:
        return peek_record(home.next_signer_file).address == address_of(read_key_info(home.validator_key_file))
    except SignerRecordError:
        return False


def address_of(info: KeyInfo) -> bytes:
    """The validator address of a file with voting keys, 20 bytes."""
    return validator_address(info.keys[0].data)


def _open(key_file: Path, record: Path, chain: bytes, read_keys: ReadKeys, abstain_through: int | None) -> Signer:
    keys = read_keys(key_file)
    if abstain_through is not None:
        return Signer.open_or_accept_empty(record, chain, keys.key, keys.pq_key, abstain_through=abstain_through)
    return Signer.open(record, chain, keys.key, keys.pq_key)


def _retired(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}{RETIRED}{number}")


def _rename(files: Files, path: Path, new: Path) -> None:
    try:
        files.rename(path, new)
        files.sync_folder(path.parent)
    except OSError as error:
        raise KeyRotationError(
            f"cannot rename {path} to {new.name}: {error.strerror or error}",
            hint="check the disk and the owner of the folder; the change of keys goes on at the next start",
        ) from error
