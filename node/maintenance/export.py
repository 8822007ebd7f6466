"""The whole state at a height as one file, and a new node's database from it.

The file holds: what the chain is at that height (tip, validators, the last block with its commit), every record in the tree's order, shard
by shard, and the header of the next height with its commit, which fixes the app hash. Exporting and importing are streamed: memory is one
frame and what has changed in one shard since the height. An import is a node's database once it is renamed to its place, and before that
nothing.

What an import proves: the records give the app hash; that stands in the header; more than 2/3 of the validators that the header names have
signed it. Who those validators are the file cannot prove: compare the printed block hash with another operator, or give it beforehand.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from consensus.block import Block
from consensus.commit import Commit, HybridVerifier, PqCommit
from consensus.header import Header
from consensus.light import LightBlock, verify_light_block
from consensus.validation import ChainTip
from genesis.document import Document
from node.config import Home
from node.maintenance.frames import FrameWriter, do_nothing, read_frames
from node.maintenance.opening import StoppedNode
from node.places import require_folders
from node.roles import ChainState
from node.statesync.restore import fold_shards
from node.storage.frozen import StateReader
from node.storage.store import Store, StoreOptions
from node.tips import commits_at, decode_tip, find_contradiction, validators_at
from state.primitives.codec import Value, decode, encode_trusted, unpack
from state.primitives.errors import (
    ExportFileError,
    HomeError,
    InvalidCommitError,
    MalformedError,
    StorageCorruptError,
    StorageError,
)
from state.primitives.hashing import HASH_BYTES
from state.primitives.limits import EXPORT_FRAME_BYTES_MAX, EXPORT_ROWS_BYTES, HEIGHT_MAX
from state.tree import SHARDS
from state.tree_hash import compute_root, key_hash, leaf_hash
from state.validators import ValidatorSet

HEAD: Final = 1
ROWS: Final = 2
FORMAT: Final = 1
_WRONG: Final = "get the file again, from an operator you trust"

Progress = Callable[[int, int], None]  # shards done, records so far


@dataclass(frozen=True, slots=True)
class ExportHead:
    """What an exported state says of itself. `next_header` is None at a height whose app hash no block carries yet.

    `block` is the last block, wire bytes, with its receipts; both are empty at genesis.
    """

    genesis_hash: bytes
    chain_id: str
    height: int
    app_hash: bytes
    tip: bytes
    shard_roots: tuple[bytes | None, ...]
    block: bytes
    receipts: bytes
    commit: bytes
    pq_commit: bytes
    validators: tuple[ValidatorSet, ValidatorSet, ValidatorSet]  # of the height and the two after it
    next_header: Header | None
    next_commit: tuple[Commit, PqCommit] | None

    def encode(self) -> bytes:
        """Canonical bytes."""
        header, commits = self.next_header, self.next_commit
        proof = () if header is None or commits is None else (header.to_wire(), commits[0].to_wire(), commits[1].to_wire())
        return encode_trusted(
            (
                FORMAT,
                self.genesis_hash,
                self.chain_id,
                self.height,
                self.app_hash,
                self.tip,
                b"".join(root or bytes(HASH_BYTES) for root in self.shard_roots),
                self.block,
                self.receipts,
                self.commit,
                self.pq_commit,
                tuple(voters.to_wire() for voters in self.validators),
                proof,
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> ExportHead:
        """Inverse of `encode`. Raises `ExportFileError`."""
        try:
            return cls._read(unpack(data, bytes_max=EXPORT_FRAME_BYTES_MAX))
        except (MalformedError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise ExportFileError(f"the head of the exported state cannot be read: {error}", hint=_WRONG) from error

    @classmethod
    def _read(cls, value: Value) -> ExportHead:
        form, genesis_hash, chain_id, height, app_hash, tip, roots, block, receipts, commit, pq_commit, sets, proof = value
        if form != FORMAT or len(roots) != SHARDS * HASH_BYTES or type(chain_id) is not str or type(height) is not int:
            raise ValueError("it has another form")
        if not 0 <= height <= HEIGHT_MAX:
            raise ValueError("no chain has its height")
        shard_roots = tuple(
            None if (root := roots[at : at + HASH_BYTES]) == bytes(HASH_BYTES) else root for at in range(0, len(roots), HASH_BYTES)
        )
        first, second, third = (ValidatorSet.from_wire(item) for item in sets)
        header, commits = None, None
        if proof:
            wire, next_commit, next_pq_commit = proof
            header = Header.from_wire(wire)
            commits = Commit.from_wire(next_commit), PqCommit.from_wire(next_pq_commit)
        return cls(
            genesis_hash, chain_id, height, app_hash, tip, shard_roots, block, receipts, commit, pq_commit,
            (first, second, third), header, commits,
        )  # fmt: skip

    def height_rows(self) -> Iterator[tuple[str, int, bytes]]:
        """Rows of heights for the store."""
        for number, voters in enumerate(self.validators):
            yield "v", self.height + number, encode_trusted(voters.to_wire())
        for letter, data in (("b", self.block), ("e", self.receipts), ("c", self.commit), ("p", self.pq_commit)):
            if data:
                yield letter, self.height, data


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, or brought in. `block_hash` names the block that fixes the app hash, b"" if none does.

    `digest` is the SHA-256 of a file that was written.
    """

    height: int
    app_hash: bytes
    block_hash: bytes
    records: int
    size: int
    digest: bytes = b""


# exporting


def make_head(node: StoppedNode, height: int | None) -> ExportHead:
    """See `make_head_of`."""
    return make_head_of(node.store, node.document, height)


def make_head_of(store: StateReader, document: Document, height: int | None) -> ExportHead:
    """The head for a height; None is the newest whose app hash a block carries. Raises `StorageError` if it is not kept."""
    first = document.initial_height
    if height is None:
        height = max(first - 1, store.height - 1) if store.height >= first else store.height
    tip = store.tip if height == store.height else store.tip_at(height)
    app_hash, block = store.root_at(height), store.height_row("b", height)
    if tip is None or app_hash is None or (block is None and height >= first):
        lowest = store.base_height() or first - 1
        raise StorageError(f"the state of height {height} is not kept", hint=f"heights {lowest} to {store.height} are")
    following, header, commits = store.height_row("b", height + 1), None, None
    if following is not None:
        header, commits = Block.from_wire(decode(following)).header, commits_at(store, height + 1)
    sets = [validators_at(store, max(first, height + number)) for number in range(3)]
    return ExportHead(
        document.hash,
        document.chain_id,
        height,
        app_hash,
        tip,
        tuple(store.shard_roots_at(height)),
        block or b"",
        store.height_row("e", height) or b"",
        store.height_row("c", height) or b"",
        store.height_row("p", height) or b"",
        (sets[0], sets[1], sets[2]),
        header,
        commits,
    )


def export_state(
    store: StateReader, head: ExportHead, path: Path, progress: Progress, on_frame: Callable[[], None] = do_nothing
) -> Exported:
    """Write the file, readable by this user only; it appears under its name when it is whole. Raises `HomeError`, and what reading the
    store and `on_frame` raise."""
    beside = path.with_name(path.name + ".partial")
    records = 0
    try:
        if path.exists():
            raise HomeError(f"{path} exists already", hint="choose another name, or move the old file away first")
        with open_private(beside) as file:
            writer = FrameWriter(file, on_frame=on_frame)
            writer.write(HEAD, head.encode())
            for shard in range(SHARDS):
                progress(shard, records)
                records += _write_shard(writer, store, head, shard)
            writer.finish()
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        _discard(beside)
        raise HomeError(f"cannot write {path}: {error.strerror or error}", hint="check the folder and its free space") from error
    except BaseException:
        _discard(beside)
        raise
    progress(SHARDS, records)
    return Exported(head.height, head.app_hash, hash_of(head), records, writer.size, writer.digest)


def _discard(path: Path) -> None:
    with suppress(OSError):  # what went wrong first is what the operator must hear of
        path.unlink(missing_ok=True)


def _write_shard(writer: FrameWriter, store: StateReader, head: ExportHead, shard: int) -> int:
    leaves: list[tuple[bytes, bytes]] = []
    pending: list[tuple[bytes, bytes]] = []
    size = 0
    for kh, key, value in store.shard_rows(shard, head.height):
        leaves.append((kh, leaf_hash(kh, value)))
        pending.append((key, value))
        size += len(key) + len(value)
        if size >= EXPORT_ROWS_BYTES:
            writer.write(ROWS, encode_trusted((shard, pending)))
            pending, size = [], 0
    if pending:
        writer.write(ROWS, encode_trusted((shard, pending)))
    _check_shard(shard, leaves, head)
    return len(leaves)


def _check_shard(shard: int, leaves: list[tuple[bytes, bytes]], head: ExportHead) -> None:
    if (compute_root(leaves) if leaves else None) != head.shard_roots[shard]:
        raise ExportFileError(f"the records of shard {shard:02x} do not give its root", hint="run: qenex doctor --deep")


# reading


class ExportReader:
    """An exported state, read from its start to its end: `head`, then `rows`. Close it after."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise HomeError(f"cannot read {path}: {error.strerror}", hint="check the name of the file") from error
        self._frames = _name_errors(path, read_frames(self._file))
        try:
            kind, payload = next(self._frames, (0, b""))
            if kind != HEAD:
                raise ExportFileError("the exported state has no head", hint=_WRONG)
            self.head = ExportHead.decode(payload)
            if fold_shards(self.head.shard_roots) != self.head.app_hash:
                raise ExportFileError("the shard roots do not give the app hash", hint=_WRONG)
        except BaseException:
            self._file.close()
            raise
        self.records = 0

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def rows(self, progress: Progress = lambda shards, records: None) -> Iterator[tuple[bytes, bytes]]:
        """Every (raw key, value), in the tree's order, each shard checked against its root. Raises `ExportFileError`."""
        current, last = 0, b""
        leaves: list[tuple[bytes, bytes]] = []
        for kind, payload in self._frames:
            shard, found = _read_rows(kind, payload)
            if shard < current:
                raise ExportFileError("the shards are out of order", hint=_WRONG)
            while current < shard:
                _check_shard(current, leaves, self.head)
                current, leaves = current + 1, []
                progress(current, self.records)
            for key, value in found:
                kh = key_hash(key)
                if kh <= last or kh[0] != shard:
                    raise ExportFileError("the records are out of order", hint=_WRONG)
                last = kh
                leaves.append((kh, leaf_hash(kh, value)))
                self.records += 1
                yield key, value
        while current < SHARDS:
            _check_shard(current, leaves, self.head)
            current, leaves = current + 1, []
        progress(SHARDS, self.records)


def _name_errors(path: Path, frames: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The disk's errors do not say of which file they are. Raises `HomeError`."""
    try:
        yield from frames
    except OSError as error:
        raise HomeError(f"cannot read {path}: {error.strerror or error}", hint="check its disk, or get the file again") from error


def _read_rows(kind: int, payload: bytes) -> tuple[int, tuple[tuple[bytes, bytes], ...]]:
    try:
        shard, rows = unpack(payload, bytes_max=EXPORT_FRAME_BYTES_MAX)
        if kind == ROWS and type(shard) is int and 0 <= shard < SHARDS and all(type(k) is type(v) is bytes and v for k, v in rows):
            return shard, rows
    except (MalformedError, ValueError, TypeError):
        pass
    raise ExportFileError("a part of the exported state cannot be read", hint=_WRONG)


# importing


def check_head(head: ExportHead, document: Document, trusted_hash: bytes) -> None:
    """Whether this is a state of the network, fixed by a commit of the validators that it names. Raises `ExportFileError`.

    `trusted_hash` is the hash that the block after it must have, b"" if nobody said.
    """
    if head.genesis_hash != document.hash or head.chain_id != document.chain_id:
        raise ExportFileError(
            f"the exported state is of chain {head.chain_id} with genesis hash {head.genesis_hash.hex()}, not of {document.hash.hex()}",
            hint="the home's genesis.json is another network's",
        )
    header, commits = head.next_header, head.next_commit
    if trusted_hash and (header is None or header.hash() != trusted_hash):
        found = "no block" if header is None else f"block {header.hash().hex().upper()}"
        raise ExportFileError(f"{found} fixes the app hash of the exported state, not the trusted one", hint=_WRONG)
    if header is None or commits is None:
        return
    if header.app_hash != head.app_hash or header.height != head.height + 1:
        raise ExportFileError("the header in the exported state carries another app hash", hint=_WRONG)
    try:
        verify_light_block(LightBlock(header, commits[0], commits[1], head.validators[1]), head.chain_id, HybridVerifier())
    except InvalidCommitError as error:
        raise ExportFileError(f"the commit in the exported state does not hold: {error.message}", hint=_WRONG) from error


def import_state(home: Home, document: Document, path: Path, trusted_hash: bytes, progress: Progress) -> Exported:
    """Make the database of a home that has none. Raises `HomeError`, `ExportFileError`; then nothing is there."""
    require_folders(home.data_dir, home.db_dir)
    if home.db_dir.exists():
        raise HomeError(f"{home.db_dir} exists already", hint="import into a new home, made by qenex init")
    beside = home.db_dir.with_name(home.db_dir.name + ".importing")
    reader = ExportReader(path)
    try:
        head = reader.head
        check_head(head, document, trusted_hash)
        home.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        fill_store(beside, reader, document, progress)
        beside.rename(home.db_dir)
        sync_directory(home.data_dir)
    except OSError as error:
        raise HomeError(f"cannot import into {home.data_dir}: {error.strerror or error}", hint="check its owner and free space") from error
    finally:
        reader.close()
        shutil.rmtree(beside, ignore_errors=True)
    return Exported(head.height, head.app_hash, hash_of(head), reader.records, path.stat().st_size)


def fill_store(folder: Path, reader: ExportReader, document: Document, progress: Progress) -> None:
    """Make a database of an exported state whose head was checked. Raises `ExportFileError`; then the folder is worth nothing."""
    head = reader.head
    store = Store.create(folder, StoreOptions())
    try:
        root = store.bulk_load(reader.rows(progress), head.height, head.tip, head.height_rows())
        if root != head.app_hash:
            raise ExportFileError("the records do not give the app hash", hint=_WRONG)
        state = _read_tip(store)
        _check_tip(state.tip, head, document)
        problem = find_contradiction(store, state)
        if problem:
            raise ExportFileError(f"the exported state contradicts itself: {problem}", hint=_WRONG)
    finally:
        store.close()


def _read_tip(store: Store) -> ChainState:
    try:
        return decode_tip(store)
    except StorageCorruptError as error:
        raise ExportFileError(f"the tip in the exported state cannot be read: {error.message}", hint=_WRONG) from error


def _check_tip(tip: ChainTip, head: ExportHead, document: Document) -> None:
    """The part of the tip that is in no record of the state, against the header and genesis."""
    facts: list[tuple[str, object, object]] = [
        ("height", tip.height, head.height),
        ("chain id", tip.chain_id, head.chain_id),
        ("initial height", tip.initial_height, document.initial_height),
        ("app hash", tip.app_hash, head.app_hash),
    ]
    header = head.next_header
    if header is not None:
        facts += [
            ("last block id", tip.last_block_id, header.last_block_id),
            ("results hash", tip.last_results_hash, header.last_results_hash),
            ("validators", tip.validators.hash(), header.validators_hash),
            ("next validators", tip.next_validators.hash(), header.next_validators_hash),
            ("parameters", tip.consensus_hash, header.consensus_hash),
            ("app version", tip.params.app_version, header.app_version),
        ]
    for what, found, wanted in facts:
        if found != wanted:
            raise ExportFileError(f"the exported state contradicts itself: {what}", hint=_WRONG)


def hash_of(head: ExportHead) -> bytes:
    """The hash of the block that fixes the app hash, b"" if none does."""
    return b"" if head.next_header is None else head.next_header.hash()


def open_private(path: Path) -> BinaryIO:
    """A new file that only this user can read, to write; an older one of this name goes."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb")


def sync_directory(directory: Path) -> None:
    """Wait until the names in a folder are durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
