"""What a light client has verified, kept in a folder: one file for each light block, the newest `KEPT_MAX` of them.

A file is canonical msgpack behind its SHA-256, written beside and renamed, so a kill leaves the old or the new one. A damaged file is
ignored with a warning, because everything in it can be asked for and verified again, but for the first: without any, trust has to be
given anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from consensus.block import Header
from consensus.commit import Commit, PqCommit
from consensus.light import LightBlock
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import ConfigError, HomeError, MalformedError
from state.primitives.hashing import HASH_BYTES, sha256
from state.primitives.limits import CERTIFIED_BLOCK_BYTES_MAX
from state.validators import ValidatorSet

KEPT_MAX: Final = 1_000
_SUFFIX: Final = ".light"


class TrustedStore:
    """Light blocks by height. A folder is of one chain for ever.

    `needs_pq`: what was verified by Ed25519 alone is not known here, or one who breaks that once would be believed for ever.
    """

    def __init__(self, folder: Path, *, needs_pq: bool = False) -> None:
        self._folder = folder
        self.damaged: list[Path] = []
        self.classic_only: list[Path] = []
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeError(f"cannot use {folder}: {error.strerror}", hint="give another folder with --home") from error
        self._blocks: dict[int, LightBlock] = {}
        self._known_since_ns: dict[int, int] = {}  # of what an earlier run had verified
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            block = self._read(path)
            if block is None:
                self.damaged.append(path)
            elif needs_pq and block.pq_commit is None:
                self.classic_only.append(path)
            else:
                self._blocks[block.header.height] = block
                self._known_since_ns[block.header.height] = path.stat().st_mtime_ns

    def bind(self, chain_id: str) -> None:
        """Make it this chain's folder. Raises `ConfigError` if it is another's."""
        for block in self._blocks.values():
            if block.header.chain_id != chain_id:
                raise ConfigError(
                    f"{self._folder} is of chain {block.header.chain_id}, not {chain_id}", hint="give another folder with --home"
                )

    def get(self, height: int) -> LightBlock | None:
        """The verified block of a height."""
        return self._blocks.get(height)

    def known_since_ns(self, height: int) -> int | None:
        """When an earlier run verified a height, in wall time; None if this one did, or none."""
        return self._known_since_ns.get(height)

    def lowest(self) -> LightBlock | None:
        """The lowest one that is kept."""
        return self._blocks[min(self._blocks)] if self._blocks else None

    def latest(self) -> LightBlock | None:
        """The highest one."""
        return self._blocks[max(self._blocks)] if self._blocks else None

    def below(self, height: int) -> LightBlock | None:
        """The highest one at or below a height."""
        found = [known for known in self._blocks if known <= height]
        return self._blocks[max(found)] if found else None

    def above(self, height: int) -> LightBlock | None:
        """The lowest one above a height."""
        found = [known for known in self._blocks if known > height]
        return self._blocks[min(found)] if found else None

    def put(self, block: LightBlock) -> None:
        """Keep a verified block; the lowest go when there are too many."""
        height = block.header.height
        wire = (
            block.header.to_wire(),
            block.commit.to_wire(),
            () if block.pq_commit is None else block.pq_commit.to_wire(),
            block.validators.to_wire(),
        )
        data = encode_trusted(wire)
        try:
            self._write(self._path(height), sha256(data) + data)
            self._blocks[height] = block
            self._known_since_ns.pop(height, None)
            while len(self._blocks) > KEPT_MAX:
                lowest = min(self._blocks)
                self._path(lowest).unlink(missing_ok=True)
                del self._blocks[lowest]
                self._known_since_ns.pop(lowest, None)
        except OSError as error:
            raise HomeError(f"cannot write to {self._folder}: {error.strerror}", hint="is the disk full?") from error

    def _path(self, height: int) -> Path:
        return self._folder / f"{height:020}{_SUFFIX}"

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)

    @staticmethod
    def _read(path: Path) -> LightBlock | None:
        try:
            data = path.read_bytes()
            if sha256(data[HASH_BYTES:]) != data[:HASH_BYTES]:
                return None
            header, commit, pq_commit, validators = decode(data[HASH_BYTES:], bytes_max=CERTIFIED_BLOCK_BYTES_MAX)
            return LightBlock(
                Header.from_wire(header),
                Commit.from_wire(commit),
                PqCommit.from_wire(pq_commit) if pq_commit else None,
                ValidatorSet.from_wire(validators),
            )
        except (OSError, MalformedError, ValueError, TypeError):
            return None
