"""Where two states differ: 256 shard roots are compared, and only shards that differ are read, record by record.

A state is a stopped node's home or database, an exported file, or the bundle of a divergence, which knows the roots and only those records
that its height changed. Memory: the records of one shard of each side. Reading only; what a record says is `node.maintenance.records`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final

from node.config import Home
from node.maintenance.divergence import CHANGES_FILE, DIVERGENCE_FILE
from node.maintenance.export import ExportReader
from node.maintenance.records import Json, changed_fields, describe, kind_of, summary
from node.maintenance.shadow import open_shadow
from node.storage.store import Store
from node.tips import decode_tip
from state.primitives.errors import ConfigError, HomeError
from state.primitives.limits import HEIGHT_MAX
from state.tree import SHARDS
from state.tree_hash import key_hash

UNKNOWN: Final = "unknown"  # a bundle does not know records that its height did not change

Records = Mapping[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Side:
    """One state. `read(shard)` gives its records, shards in ascending order; a partial side knows only some."""

    name: str
    chain_id: str
    height: int
    app_hash: bytes
    roots: Sequence[bytes | None]
    read: Callable[[int], Records]
    is_partial: bool = False

    def to_json(self) -> Json:
        """The machine-readable form."""
        return {"name": self.name, "height": str(self.height), "app_hash": self.app_hash.hex().upper(), "partial": self.is_partial}


@dataclass(frozen=True, slots=True)
class Difference:
    """One record that differs; `a` and `b` None: absent there. `has_a`, `has_b`: whether that side knows."""

    key: bytes
    a: bytes | None
    b: bytes | None
    has_a: bool = True
    has_b: bool = True

    def to_json(self) -> Json:
        """The machine-readable form."""
        one, other = describe(self.key, self.a), describe(self.key, self.b)
        return {
            "key": self.key.hex(),
            "kind": kind_of(self.key),
            "a": one if self.has_a else UNKNOWN,
            "b": other if self.has_b else UNKNOWN,
            "fields": changed_fields(one, other) if self.has_a and self.has_b else {},
        }

    def line(self) -> str:
        """One line for people: what it is, then what differs."""
        one, other = describe(self.key, self.a), describe(self.key, self.b)
        if one is None or other is None or not self.has_a or not self.has_b:
            texts = (summary(one) if self.has_a else UNKNOWN, summary(other) if self.has_b else UNKNOWN)
            return f"{kind_of(self.key)}: {texts[0]} -> {texts[1]}"
        changed = changed_fields(one, other)
        same = {name: value for name, value in one.items() if name not in changed}
        which = summary(same) if same else self.key.hex()
        return f"{kind_of(self.key)} {which}: " + ", ".join(f"{name} {pair[0]} -> {pair[1]}" for name, pair in changed.items())  # type: ignore[index]


@dataclass(slots=True)
class Comparison:
    """The outcome: shards that differ, the first records of them, and whether there are more."""

    a: Side
    b: Side
    shards: list[int] = field(default_factory=list)
    records: list[Difference] = field(default_factory=list)
    is_cut: bool = False

    @property
    def is_same(self) -> bool:
        """Whether both have the same root."""
        return not self.shards


def compare(a: Side, b: Side, records_max: int, progress: Callable[[int], None] = lambda shard: None) -> Comparison:
    """Walk two states. Raises `ConfigError` if they are of two chains."""
    if a.chain_id != b.chain_id:
        raise ConfigError(f"{a.name} is of chain {a.chain_id}, {b.name} of {b.chain_id}", hint="two networks have nothing in common")
    outcome = Comparison(a, b)
    for shard in range(SHARDS):
        if a.roots[shard] == b.roots[shard]:
            continue
        outcome.shards.append(shard)
        progress(shard)
        if outcome.is_cut:
            continue
        for difference in _differences(a, b, shard):
            if len(outcome.records) == records_max:
                outcome.is_cut = True
                break
            outcome.records.append(difference)
    return outcome


def _differences(a: Side, b: Side, shard: int) -> Iterator[Difference]:
    one, other = a.read(shard), b.read(shard)
    for key in sorted({**one, **other}):
        has_a, has_b = key in one or not a.is_partial, key in other or not b.is_partial
        found = Difference(key, one.get(key), other.get(key), has_a, has_b)
        if has_a and has_b:
            if found.a != found.b:
                yield found
        elif a.is_partial and b.is_partial:
            yield found


# where states come from


def height_of(path: Path) -> int | None:
    """The only height that a file or bundle has; None for a database, which has many."""
    if _is_bundle(path):
        height = _read_bundle(path).get("height")
        return height if isinstance(height, int) else None
    if path.is_file():
        reader = ExportReader(path)
        reader.close()
        return reader.head.height
    return None


def open_side(path: Path, height: int | None, stack: ExitStack) -> Side:
    """A home, a database, an exported state or a bundle; it stays open until `stack` closes.

    `height` chooses one of a database. Raises `HomeError`, `ConfigError`, and what reading it raises.
    """
    if _is_bundle(path):
        return _open_bundle(path)
    if path.is_file():
        reader = ExportReader(path)
        stack.callback(reader.close)
        head = reader.head
        return Side(str(path), head.chain_id, head.height, head.app_hash, head.shard_roots, _in_order(reader.rows()))
    folder = path if (path / "CURRENT").is_file() else Home(path).db_dir
    if not (folder / "CURRENT").is_file():
        raise HomeError(f"{path} is no home, database, exported state or bundle", hint="give the folder of a stopped node, or a file")
    return _open_database(path, stack.enter_context(open_shadow(folder)), height)


def _open_database(path: Path, store: Store, height: int | None) -> Side:
    tip = decode_tip(store).tip
    chosen = store.height if height is None else height
    app_hash = store.root_at(chosen)
    if app_hash is None:
        raise ConfigError(f"{path} does not keep the state of height {chosen}", hint=f"it is at height {store.height}; --height chooses")

    def read(shard: int) -> Records:
        return {key: value for _, key, value in store.shard_rows(shard, chosen)}

    return Side(str(path), tip.chain_id, chosen, app_hash, store.shard_roots_at(chosen), read)


def _in_order(rows: Iterator[tuple[bytes, bytes]]) -> Callable[[int], Records]:
    """Records of one shard after the other, from a file that is read once."""
    groups = groupby(rows, lambda row: key_hash(row[0])[0])
    waiting: list[tuple[int, dict[bytes, bytes | None]]] = []

    def read(shard: int) -> Records:
        while not waiting or waiting[0][0] < shard:
            waiting.clear()
            found = next(groups, None)
            if found is None:
                waiting.append((SHARDS, {}))
            else:
                waiting.append((found[0], dict(found[1])))
        return waiting[0][1] if waiting[0][0] == shard else {}

    return read


def _is_bundle(path: Path) -> bool:
    return (path / DIVERGENCE_FILE).is_file()


def _read_bundle(path: Path) -> dict[str, object]:
    try:
        found = json.loads((path / DIVERGENCE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HomeError(f"cannot read {path / DIVERGENCE_FILE}: {error}", hint="copy the whole bundle again") from error
    if not isinstance(found, dict):
        raise HomeError(f"{path / DIVERGENCE_FILE} is no bundle's", hint="copy the whole bundle again")
    height = found.get("height")
    if type(height) is not int or not 0 <= height <= HEIGHT_MAX:
        raise HomeError(f"{path / DIVERGENCE_FILE} has no height", hint="copy the whole bundle again")
    return found


def _open_bundle(path: Path) -> Side:
    head = _read_bundle(path)
    by_shard: dict[int, dict[bytes, bytes | None]] = {}
    try:
        for line in (path / CHANGES_FILE).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            key = bytes.fromhex(row["key"])
            by_shard.setdefault(key_hash(key)[0], {})[key] = None if row["value"] is None else bytes.fromhex(row["value"])
        texts = head["shard_roots"]
        if not isinstance(texts, list) or len(texts) != SHARDS:
            raise ValueError("it has not 256 shard roots")
        roots = [bytes.fromhex(text) or None for text in texts]
        height, app_hash = int(str(head["height"])), bytes.fromhex(str(head["app_hash"]))
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise HomeError(f"the bundle in {path} cannot be read: {error}", hint="copy the whole bundle again") from error
    return Side(str(path), str(head.get("chain_id")), height, app_hash, roots, lambda shard: by_shard.get(shard, {}), is_partial=True)
