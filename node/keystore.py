"""Key files: seeds at rest, encrypted, readable by their owner only.

A file is JSON: public parts in the clear, the 32-byte seeds sealed with ChaCha20-Poly1305 under a scrypt key; the public parts are
authenticated too. It holds one user's key, a validator's two voting keys, or a node's identity. A file is opened only if it is a
plain file (no symlink) of this user with mode 0600. Writing never leaves half a file: temporary file, fsync, rename,
fsync of the directory. Local test networks may be unencrypted, and the file then says so.
Signing may not go in here. Source: RFC 7914 (scrypt), RFC 8439 (ChaCha20-Poly1305).
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta

from state.primitives.codec import encode
from state.primitives.errors import KeyFileError, KeyFormatError, WrongPassphraseError
from state.primitives.keys import SEED_BYTES, KeyKind, PrivateKey, PublicKey

FORMAT: Final = 1
KEY_FILE_BYTES_MAX: Final = 64 * 1024  # two ML-DSA-87 keys in base64 take 8 kB
PASSPHRASE_BYTES_MIN: Final = 8  # short enough to type; scrypt makes guessing slow, not impossible
PASSPHRASE_BYTES_MAX: Final = 1024
_SALT_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_KEY_KINDS: Final = {kind.name.lower(): kind for kind in KeyKind}

Passphrase = Callable[[Path], bytes]


class Role(Enum):
    """What a key file is for."""

    USER = "user"
    VALIDATOR = "validator"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """Work of one guess: memory is 128 * r * n bytes. The default takes 128 MiB and about a third of a second."""

    n: int = 1 << 17
    r: int = 8
    p: int = 1


DEFAULT_COST: Final = ScryptCost()


@dataclass(frozen=True, slots=True)
class KeySet:
    """An opened key file: what it is for, its name, its private keys, and for a user the account it signs for (or "")."""

    role: Role
    name: str
    keys: tuple[PrivateKey, ...]
    account: str = ""

    @property
    def key(self) -> PrivateKey:
        """The only key, or a validator's Ed25519 key."""
        return self.keys[0]

    @property
    def pq_key(self) -> PrivateKey:
        """A validator's ML-DSA key."""
        return self.keys[1]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What a key file tells without its passphrase."""

    path: Path
    role: Role
    name: str
    keys: tuple[PublicKey, ...]
    account: str
    is_encrypted: bool


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class _StoredKey(_Strict, frozen=True):
    kind: str
    public_key: str


class _Sealed(_Strict, frozen=True, tag="chacha20-poly1305", tag_field="cipher"):
    n: Annotated[int, Meta(ge=2, le=1 << 20)]
    r: Annotated[int, Meta(ge=1, le=16)]
    p: Annotated[int, Meta(ge=1, le=4)]
    salt: str
    nonce: str
    sealed_seeds: str


class _Open(_Strict, frozen=True, tag="none", tag_field="cipher"):
    warning: str
    seeds: str


class _File(_Strict, frozen=True):
    format: Literal[1]
    role: Role
    name: str
    account: str
    keys: Annotated[tuple[_StoredKey, ...], Meta(min_length=1, max_length=2)]
    secret: _Sealed | _Open


def new_seed() -> bytes:
    """32 random bytes from the operating system."""
    return secrets.token_bytes(SEED_BYTES)


def parse_key_kind(text: str) -> KeyKind:
    """The kind named by `ed25519`, `mldsa87`, `hybrid`, `mldsa65` or `mldsa44`. Raises `KeyFileError`."""
    kind = _KEY_KINDS.get(text)
    if kind is None:
        raise KeyFileError(f"there is no key kind {text}", hint="kinds are " + ", ".join(_KEY_KINDS))
    return kind


def check_passphrase(passphrase: bytes) -> bytes:
    """A passphrase fit for a new file. Raises `KeyFileError` for a short or a very long one."""
    if not PASSPHRASE_BYTES_MIN <= len(passphrase) <= PASSPHRASE_BYTES_MAX:
        raise KeyFileError(
            f"a passphrase has {PASSPHRASE_BYTES_MIN} to {PASSPHRASE_BYTES_MAX} bytes, not {len(passphrase)}",
            hint="choose several random words",
        )
    return passphrase


def write_key_file(
    path: Path, key_set: KeySet, passphrase: bytes | None, *, replace: bool = False, cost: ScryptCost = DEFAULT_COST
) -> None:
    """Store a key set; durable on return. `passphrase` None writes it unencrypted and marks it so.

    An existing file is kept unless `replace`; after a crash at any moment the file is the old or the new one.
    """
    _check_role(path, key_set.role, tuple(key.kind for key in key_set.keys))
    seeds = b"".join(key.seed for key in key_set.keys)
    stored = tuple(_StoredKey(kind=k.kind.name.lower(), public_key=_b64(k.public_key.data)) for k in key_set.keys)
    secret: _Sealed | _Open
    if passphrase is None:
        secret = _Open(warning="NOT ENCRYPTED: for local test networks only", seeds=_b64(seeds))
    else:
        salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        header = _header(key_set.role, key_set.name, key_set.account, stored)
        sealed = ChaCha20Poly1305(_stretch(check_passphrase(passphrase), salt, cost)).encrypt(nonce, seeds, header)
        secret = _Sealed(
            n=cost.n, r=cost.r, p=cost.p, salt=_b64(salt), nonce=_b64(nonce), sealed_seeds=_b64(sealed)
        )
    document = _File(
        format=1, role=key_set.role, name=key_set.name, account=key_set.account, keys=stored, secret=secret
    )
    data = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    write_private_file(path, data, replace=replace)


def read_key_info(path: Path) -> KeyInfo:
    """The public parts of a key file. They are authenticated only when the file is opened with its passphrase."""
    return _info(path, _read(path))


def read_key_file(path: Path, passphrase: Passphrase, *, role: Role | None = None) -> KeySet:
    """Open a key file; `passphrase` is called only if it is encrypted.

    Raises `WrongPassphraseError`, or `KeyFileError` for a missing, unsafe, damaged or other kind of file.
    """
    document = _read(path)
    if role is not None and document.role is not role:
        raise KeyFileError(f"{path} is a {document.role.value} key, a {role.value} key is needed", hint="check the path")
    seeds = _open(path, document, passphrase)
    kinds = [_kind(path, stored) for stored in document.keys]
    if len(seeds) != SEED_BYTES * len(kinds):
        raise _damaged(path, "the secret has a wrong length")
    keys = tuple(PrivateKey.from_seed(k, seeds[SEED_BYTES * i : SEED_BYTES * (i + 1)]) for i, k in enumerate(kinds))
    for stored, key in zip(document.keys, keys, strict=True):
        if stored.public_key != _b64(key.public_key.data):
            raise _damaged(path, "public and private key do not belong together")
    return KeySet(document.role, document.name, keys, document.account)


def list_key_files(directory: Path) -> tuple[KeyInfo, ...]:
    """The public parts of every key file in a directory, by file name; no directory means none."""
    if not directory.is_dir():
        return ()
    return tuple(read_key_info(path) for path in sorted(directory.glob("*.json")))


def write_private_file(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file of mode 0600 so that a crash leaves the old or the new one; durable on return. Raises `KeyFileError`."""
    temporary = unfinished_file(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not replace and os.path.lexists(path):
            raise KeyFileError(f"{path} exists already", hint="choose another name, or move the old file away first")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)  # fails if the file came into being meanwhile
            temporary.unlink()
        _sync_directory(path.parent)
    except FileExistsError:
        raise KeyFileError(f"{path} exists already", hint="choose another name, or move the old file away first") from None
    except OSError as error:
        raise KeyFileError(
            f"cannot write {path}: {error.strerror or error}", hint="check the directory, its owner and free space"
        ) from error


def unfinished_file(path: Path) -> Path:
    """Where `write_private_file` writes before it renames; a kill may leave it behind, with all that is in the file."""
    return path.with_name(f".{path.name}.new")


def read_private_file(path: Path, bytes_max: int) -> bytes:
    """Read a file that only its owner may read. Raises `KeyFileError` for a symlink, another owner or a wider mode."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyFileError(f"there is no key file {path}", hint="qenex keys new makes one; qenex keys list shows them") from None
    except OSError as error:
        if path.is_symlink():
            raise KeyFileError(f"{path} is a symbolic link", hint="put the key file itself there") from None
        raise KeyFileError(f"cannot open {path}: {error.strerror}", hint="check its owner and mode (0600)") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{path} is not a plain file", hint="put the key file itself there")
        if status.st_uid != os.geteuid():
            raise KeyFileError(f"{path} belongs to another user", hint=f"chown it to the user that runs qenex: {path}")
        if status.st_mode & 0o177:
            raise KeyFileError(
                f"{path} has mode {stat.S_IMODE(status.st_mode):04o}, not 0600", hint=f"run: chmod 600 {path}"
            )
        if status.st_size > bytes_max:
            raise _damaged(path, f"it has {status.st_size} bytes, at most {bytes_max} are possible")
        return os.read(descriptor, bytes_max + 1)
    finally:
        os.close(descriptor)


def _read(path: Path) -> _File:
    data = read_private_file(path, KEY_FILE_BYTES_MAX)
    try:
        document = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from None
    _check_role(path, document.role, tuple(_kind(path, stored) for stored in document.keys))
    return document


def _open(path: Path, document: _File, passphrase: Passphrase) -> bytes:
    secret = document.secret
    if isinstance(secret, _Open):
        return _unb64(path, secret.seeds)
    salt, nonce = _unb64(path, secret.salt), _unb64(path, secret.nonce)
    sealed = _unb64(path, secret.sealed_seeds)
    if secret.n & (secret.n - 1) or 128 * secret.r * secret.n > 1 << 30 or len(nonce) != _NONCE_BYTES:
        raise _damaged(path, "its scrypt cost or nonce is out of range")
    header = _header(document.role, document.name, document.account, document.keys)
    key = _stretch(passphrase(path), salt, ScryptCost(secret.n, secret.r, secret.p))
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, header)
    except InvalidTag:
        raise WrongPassphraseError(
            f"the passphrase does not open {path}", hint="try again; if it is surely right, the file was altered"
        ) from None


def _info(path: Path, document: _File) -> KeyInfo:
    keys = tuple(_public_key(path, stored) for stored in document.keys)
    return KeyInfo(path, document.role, document.name, keys, document.account, isinstance(document.secret, _Sealed))


def _public_key(path: Path, stored: _StoredKey) -> PublicKey:
    try:
        return PublicKey(_kind(path, stored), _unb64(path, stored.public_key))
    except KeyFormatError as error:
        raise _damaged(path, error.message) from None


def _kind(path: Path, stored: _StoredKey) -> KeyKind:
    kind = _KEY_KINDS.get(stored.kind)
    if kind is None:
        raise _damaged(path, f"it names an unknown key kind {stored.kind[:32]!r}")
    return kind


def _check_role(path: Path, role: Role, kinds: tuple[KeyKind, ...]) -> None:
    votes = (KeyKind.MLDSA44, KeyKind.MLDSA65, KeyKind.MLDSA87)
    fits = {
        Role.USER: len(kinds) == 1,
        Role.NODE: kinds == (KeyKind.MLDSA87,),
        Role.VALIDATOR: len(kinds) == 2 and kinds[0] is KeyKind.ED25519 and kinds[1] in votes,
    }
    if not fits[role]:
        raise _damaged(path, f"a {role.value} key file holds other keys than {', '.join(kind.name for kind in kinds)}")


def _header(role: Role, name: str, account: str, keys: tuple[_StoredKey, ...]) -> bytes:
    """What the cipher authenticates beside the seeds."""
    return encode(["qenex/key-file", FORMAT, role.value, name, account, [[key.kind, key.public_key] for key in keys]])


def _stretch(passphrase: bytes, salt: bytes, cost: ScryptCost) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost.n, r=cost.r, p=cost.p).derive(passphrase)


def _damaged(path: Path, why: str) -> KeyFileError:
    return KeyFileError(f"{path} is not a usable key file: {why}", hint="restore it from a backup of this very key")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(path: Path, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _damaged(path, "it holds text that is not base64") from None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
