"""Killing the index at random moments: after each kill it must still follow, and equal the chain. Not a test file.

    python -m tests.node.indexer.kills --kills 100 --seed 1

A kill is what is on the disk at some statement of some transaction, with everything later gone: the files are copied there.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from node.indexer.database import Row, SqliteIndex, delete_file
from tests.node.indexer.ledger_chain import LedgerChain, assert_equal_to_chain


class Killed(BaseException):
    """The process ends here."""


class DoomedIndex(SqliteIndex):
    """Takes a number of steps and is killed before the next; its files are then copied to `remains`."""

    def __init__(self, path: Path, steps: int, remains: Path) -> None:
        self._left = steps
        self._remains = remains
        super().__init__(path)

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            copy_index(self.path, self._remains)
            raise Killed

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        self._step()
        return super().execute(sql, values)

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        self._step()
        super().insert(table, self._stepping(rows))

    def put(self, table: str, rows: Iterable[Row]) -> None:
        self._step()
        super().put(table, self._stepping(rows))

    def _stepping(self, rows: Iterable[Row]) -> Iterable[Row]:
        for row in rows:
            self._step()
            yield row


def kill_again_and_again(folder: Path, kills: int, seed: int) -> int:
    """Grow a chain and kill its index until that happened `kills` times; after each, what is left must follow and be equal.

    Returns how often an index had finished before it could be killed.
    """
    rng = random.Random(seed)
    chain = LedgerChain(folder, seed)
    path = folder / "index.sqlite"
    killed = missed = 0
    while killed < kills:
        chain.grow(rng.randrange(1, 4), 15)
        remains = folder / f"remains-{killed}.sqlite"
        doomed = DoomedIndex(path, int(rng.expovariate(1 / 150)), remains)
        try:
            chain.follow(doomed)
            missed += 1
        except Killed:
            killed += 1
            copy_index(remains, folder / "copy.sqlite")
            database = SqliteIndex(folder / "copy.sqlite")
            chain.follow(database)
            assert_equal_to_chain(database, chain)
            database.close()
            path = remains  # which the next run finds, with more blocks to take in
        doomed.close()
    chain.store.close()
    return missed


def copy_index(source: Path, target: Path) -> None:
    """What is on the disk. The third file is shared memory, which dies with the process."""
    delete_file(target)
    for suffix in ("", "-wal"):
        file = source.with_name(source.name + suffix)
        if file.exists():
            shutil.copyfile(file, target.with_name(target.name + suffix))


def main() -> int:
    parser = argparse.ArgumentParser(description="The index is killed at random moments and compared with the chain after each.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        missed = kill_again_and_again(Path(folder), options.kills, options.seed)
    print(f"{options.kills} kills in the middle of work, {missed} came too late; the index equals the chain after each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
