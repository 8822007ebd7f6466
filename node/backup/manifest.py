"""A snapshot's folder and its manifest: what is in it, whether it is whole, which there are. Nothing is made or restored here.

    <chain id>-<height>/manifest.json    what this is; the bytes are canonical and end in their own SHA-256, so every changed byte is found
                        state            the whole state of the height (`node.maintenance.export`)
                        blocks           the decided blocks before it (`node.backup.archive`); absent if there are none

Folders whose name begins with a dot are unfinished or on their way out, and are no snapshots. No key and no signer's record is in here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from node.keystore import write_private_file
from node.maintenance.export import sync_directory
from state.primitives.errors import KeyFileError, SnapshotError
from state.primitives.limits import HEIGHT_MAX, MANIFEST_BYTES_MAX

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
STATE: Final = "state"
BLOCKS: Final = "blocks"
PARTIAL_PREFIX: Final = ".partial-"
DELETING_PREFIX: Final = ".deleting-"
_CHECKSUM: Final = b'\n "checksum": "'
_READ_BYTES: Final = 1024 * 1024

Watch = Callable[[str, int, int], None]  # (stage, done, of); may raise, which ends the work

Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Height = Annotated[int, Meta(ge=0, le=HEIGHT_MAX)]
Whole = Annotated[int, Meta(ge=0, le=1 << 62)]


class SnapshotFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of a snapshot."""

    name: Literal["state", "blocks"]
    bytes: Whole
    sha256: Hex


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a snapshot says of itself. `fixed_by` is the hash of the block after `height`, which carries `app_hash`.

    Blocks `first_block` to `height` are archived; 0 if none are. `block_time_ns` is that of block `height`, `made_at_s` a wall clock's.
    """

    format: Literal[1]
    chain_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,49}\Z")]
    genesis_hash: Hex
    height: Height
    app_hash: Hex
    fixed_by: Hex
    block_time_ns: Whole
    first_block: Height
    records: Whole
    made_at_s: Whole
    version: Annotated[str, Meta(max_length=64)]
    files: Annotated[tuple[SnapshotFile, ...], Meta(min_length=1, max_length=2)]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.chain_id}-{self.height}"

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.bytes for file in self.files)

    def covers(self, height: int) -> bool:
        """Whether the block of a height is archived here."""
        return 0 < self.first_block <= height <= self.height

    def describe(self) -> dict[str, Any]:
        """For JSON answers; 64-bit numbers as strings, as elsewhere."""
        return {
            "name": self.name,
            "chain_id": self.chain_id,
            "genesis_hash": self.genesis_hash,
            "height": str(self.height),
            "app_hash": self.app_hash.upper(),
            "fixed_by_block": self.fixed_by.upper(),
            "block_time_ns": str(self.block_time_ns),
            "first_block": str(self.first_block),
            "records": self.records,
            "bytes": self.size,
            "made_at_s": str(self.made_at_s),
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """A folder that looks like a snapshot; `manifest` None, or a `problem`: it is not whole."""

    path: Path
    manifest: Manifest | None
    problem: str = ""


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of manifest.json."""
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=1).removesuffix(b"\n}") + b","
    return body + _CHECKSUM + sha256(body).hexdigest().encode() + b'"\n}\n'


def decode_manifest(data: bytes) -> Manifest:
    """Inverse of `encode_manifest`; any other byte is refused. Raises `SnapshotError`."""
    body, mark, _ = data.rpartition(_CHECKSUM)
    try:
        manifest = msgspec.json.decode(body.removesuffix(b",") + b"}", type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(f"the manifest cannot be read: {error}", hint="take another snapshot") from error
    if not mark or encode_manifest(manifest) != data:
        raise SnapshotError("the manifest is damaged: its checksum does not hold", hint="take another snapshot")
    expected = [STATE] if manifest.first_block == 0 else [STATE, BLOCKS]
    if [file.name for file in manifest.files] != expected or manifest.first_block > manifest.height:
        raise SnapshotError("the manifest contradicts itself: its files are not those of its blocks", hint="take another snapshot")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, mode 0600, durable. Raises `SnapshotError`."""
    try:
        write_private_file(folder / MANIFEST, encode_manifest(manifest))
    except KeyFileError as error:
        raise SnapshotError(error.message, hint=error.hint) from error


def read_manifest(path: Path) -> Manifest:
    """The manifest of a snapshot's folder, with its files there and of the right size. Raises `SnapshotError`."""
    try:
        with (path / MANIFEST).open("rb") as file:
            data = file.read(MANIFEST_BYTES_MAX + 1)
    except OSError as error:
        raise SnapshotError(f"{path} is no snapshot: cannot read {MANIFEST}: {error.strerror}", hint="see: qenex snapshot list") from error
    try:
        manifest = decode_manifest(data)
    except SnapshotError as error:
        raise SnapshotError(f"{path}: {error.message}", hint=error.hint) from error
    for item in manifest.files:
        file_path = path / item.name
        try:
            found = file_path.stat().st_size
        except OSError as error:
            raise SnapshotError(f"{file_path} is missing: {error.strerror}", hint="copy the snapshot again, or take another") from error
        if found != item.bytes:
            raise SnapshotError(f"{file_path} has {found} bytes, not {item.bytes}", hint="copy the snapshot again, or take another")
    return manifest


def check_files(path: Path, manifest: Manifest, watch: Watch) -> None:
    """Compare the SHA-256 of each file with the manifest. Raises `SnapshotError`."""
    done = 0
    for item in manifest.files:
        digest = sha256()
        try:
            with (path / item.name).open("rb") as file:
                while part := file.read(_READ_BYTES):
                    digest.update(part)
                    done += len(part)
                    watch("checking", done, manifest.size)
        except OSError as error:
            raise SnapshotError(f"cannot read {path / item.name}: {error.strerror}", hint="check the disk") from error
        if digest.hexdigest() != item.sha256:
            raise SnapshotError(f"{path / item.name} is damaged: its SHA-256 is another", hint="copy it again, or take another snapshot")


def list_snapshots(folder: Path) -> tuple[Found, ...]:
    """What is in a folder of snapshots, by chain and height; what is not whole comes last. An absent folder has none."""
    found = []
    try:
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise SnapshotError(f"cannot read {folder}: {error.strerror}", hint="check its owner") from error
    for path in entries:
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            manifest = read_manifest(path)
        except SnapshotError as error:
            found.append(Found(path, None, error.message))
        else:
            problem = "" if path.name == manifest.name else f"{path} holds the snapshot {manifest.name}"
            found.append(Found(path, manifest, problem))
    return tuple(sorted(found, key=lambda item: (item.manifest is None, item.manifest and (item.manifest.chain_id, item.manifest.height))))


def whole_snapshots(folder: Path, genesis_hash: str) -> Iterator[tuple[Path, Manifest]]:
    """Those of one chain that are whole as far as sizes tell, by height."""
    for item in list_snapshots(folder):
        if item.manifest is not None and not item.problem and item.manifest.genesis_hash == genesis_hash:
            yield item.path, item.manifest


def remove_snapshot(path: Path) -> None:
    """Delete a snapshot; a kill meanwhile leaves none that looks whole. Raises `SnapshotError`."""
    doomed = path.with_name(DELETING_PREFIX + path.name)
    try:
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        sync_directory(path.parent)
        shutil.rmtree(doomed)
    except OSError as error:
        raise SnapshotError(f"cannot delete {path}: {error.strerror or error}", hint="check its owner") from error


def sync_file(path: Path) -> None:
    """Wait until a file is durable. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
