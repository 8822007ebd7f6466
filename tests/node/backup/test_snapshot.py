"""`qenex snapshot` on a stopped node: every archived height comes back, by height and by time; nothing damaged or half made does."""

from __future__ import annotations

import json
import random
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from consensus.block import Block
from consensus.commit import Commit, PqCommit
from node.backup import archive, make
from node.backup.manifest import (
    BLOCKS,
    MANIFEST,
    PARTIAL_PREFIX,
    STATE,
    Manifest,
    decode_manifest,
    encode_manifest,
    read_manifest,
)
from node.backup.restore import plan_restore
from node.maintenance import frames
from node.maintenance.opening import open_stopped, read_home
from node.rpc.shapes import time_text
from node.storage.leveldb import LevelDb
from node.sync.messages import CertifiedBlock, encode_block
from state.primitives.codec import decode
from state.primitives.errors import SnapshotError
from tests.node.maintenance.chain import Chain, Ran, contents, make_home, qenex

HEIGHT = 8
FIRST, SECOND, THIRD = 3, 6, HEIGHT - 1  # the heights of the snapshots


class Pattern:
    """A home with a chain and three snapshots in it, another network's home, and what the chain was at each height."""

    def __init__(self, root: Path) -> None:
        self.home = trio.run(make_home, root / "net", HEIGHT)
        self.other = trio.run(make_home, root / "other", 2)
        for options in (("--height", FIRST), ("--height", SECOND), ()):
            done = qenex("snapshot", "create", "--home", self.home, *options)
            assert done.code == 0, done.err
        assert qenex("snapshot", "create", "--home", self.other).code == 0
        self.roots, self.hashes, self.times = {}, {}, {}
        with open_stopped(self.home, read_only=True) as node:
            self.chain_id = node.document.chain_id
            for height in range(1, HEIGHT + 1):
                header = Block.from_wire(decode(node.store.height_row("b", height) or b"")).header
                self.hashes[height], self.times[height] = header.hash().hex().upper(), header.time_ns
                self.roots[height] = (node.store.root_at(height) or b"").hex().upper()

    def path(self, height: int) -> Path:
        return self.home / "snapshots" / f"{self.chain_id}-{height}"


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Pattern:
    return Pattern(tmp_path_factory.mktemp("pattern"))


@pytest.fixture
def new_home(pattern: Pattern, tmp_path: Path) -> Path:
    """A follower's home without data."""
    made = tmp_path / "all" / "node9"
    made.parent.mkdir()
    shutil.copytree(pattern.home, made, ignore=shutil.ignore_patterns("data", "snapshots"))
    (made / "keys" / "validator.json").unlink()
    return made


@pytest.fixture
def copy(pattern: Pattern, tmp_path: Path) -> Path:
    """A copy of the three snapshots, to be damaged."""
    shutil.copytree(pattern.home / "snapshots", tmp_path / "copy")
    return tmp_path / "copy"


def restore(home: Path, path: Path | str, *options: object) -> Ran:
    return qenex("snapshot", "restore", path, "--home", home, "--json", *options)


def is_clean(home: Path) -> bool:
    """Whether nothing of a database is in a home, whole or half."""
    return not list((home / "data").glob("db*"))


def test_every_archived_height_comes_back(pattern: Pattern, new_home: Path) -> None:
    before = contents(pattern.home)
    for height in range(FIRST, THIRD + 1):
        shutil.rmtree(new_home / "data", ignore_errors=True)
        done = restore(new_home, pattern.path(THIRD), "--to-height", height, "--trust-hash", pattern.hashes[height + 1])
        assert done.code == 0, done.err
        state = max(each for each in (FIRST, SECOND, THIRD) if each <= height)
        assert (done.data["height"], done.data["app_hash"]) == (str(height), pattern.roots[height])
        assert done.data["fixed_by_block"] == pattern.hashes[height + 1]
        assert (done.data["state_height"], done.data["blocks_executed"]) == (str(state), height - state)
        with open_stopped(new_home, read_only=True) as node:
            assert (node.store.height, node.store.root.hex().upper()) == (height, pattern.roots[height])
            assert node.state.tip.last_block_id.hash.hex().upper() == pattern.hashes[height]
    assert qenex("doctor", "--home", new_home, "--deep").code == 0
    assert contents(pattern.home) == before


def test_by_name_and_without_a_height(pattern: Pattern, new_home: Path, copy: Path) -> None:
    copy.rename(new_home / "snapshots")
    done = restore(new_home, pattern.path(SECOND).name)
    assert (done.code, done.data["height"], done.data["app_hash"]) == (0, str(SECOND), pattern.roots[SECOND])


def test_by_time(pattern: Pattern, new_home: Path) -> None:
    """The last block that is not later; between two snapshots, at one, and where nothing tells."""
    _, document = read_home(new_home)

    def target(time_ns: int, path: Path | None = None) -> int:
        return plan_restore(path or pattern.path(THIRD), document, time_ns=time_ns).target

    for height in range(FIRST, THIRD):
        assert target(pattern.times[height]) == height
        assert target(pattern.times[height + 1] - 1) == height
    assert target(pattern.times[THIRD]) == THIRD
    with pytest.raises(SnapshotError, match=f"after the last block here, {THIRD}"):
        target(pattern.times[THIRD] + 1)
    with pytest.raises(SnapshotError, match="block 1 is missing") as missing:
        target(pattern.times[FIRST] - 1)
    assert f"{FIRST} to {THIRD}" in missing.value.hint
    second = time_text(pattern.times[THIRD] // 10**9 * 10**9)
    done = restore(new_home, pattern.path(THIRD), "--to-time", second)
    found = int(done.data["height"]) if done.code == 0 else 0
    assert done.code == 2 or pattern.times[found] <= pattern.times[THIRD] // 10**9 * 10**9


def test_from_genesis(pattern: Pattern, new_home: Path, tmp_path: Path) -> None:
    """With every block archived, heights before the first snapshot can be restored, too."""
    done = qenex("snapshot", "create", "--home", pattern.home, "--to", tmp_path / "all blocks", "--base", 0, "--json")
    assert (done.code, done.data["first_block"]) == (0, "1"), done.err
    path = tmp_path / "all blocks" / f"{pattern.chain_id}-{THIRD}"
    for height in (1, 2):
        shutil.rmtree(new_home / "data", ignore_errors=True)
        back = restore(new_home, path, "--to-height", height)
        assert (back.code, back.data["app_hash"], back.data["from"]) == (0, pattern.roots[height], "the genesis document"), back.err
    _, document = read_home(new_home)
    assert plan_restore(path, document, time_ns=pattern.times[2]).target == 2
    with pytest.raises(SnapshotError, match="before the first block"):
        plan_restore(path, document, time_ns=pattern.times[1] - 1)


async def test_a_restored_validator_goes_on(pattern: Pattern, tmp_path: Path) -> None:
    """Moved with its record: it builds on the restored state, and nothing older is signed again. A log of a later height is set aside."""
    shutil.copytree(pattern.home.parent, tmp_path / "net")
    home = tmp_path / "net" / "node0"
    shutil.rmtree(home / "data" / "db")
    (home / "data" / "wal" / f"{HEIGHT + 1:020d}.log").write_bytes(b"a log of a height that is gone")
    done = await trio.to_thread.run_sync(restore, home, pattern.path(THIRD).name, "--to-height", SECOND)
    assert done.code == 0, done.err
    assert [Path(item).name for item in done.data["logs_set_aside"]] == [f"{HEIGHT + 1:020d}.log.rolled-back-1"]
    assert "SIGNER_AHEAD" in [item["name"] for item in done.data["findings"]]
    chain = Chain(home)
    assert chain.store.height == SECOND
    chain.close()


def test_what_a_snapshot_is(pattern: Pattern) -> None:
    listed = qenex("snapshot", "list", "--home", pattern.home, "--json", "--verify")
    assert listed.code == 0
    assert [item["height"] for item in listed.data["snapshots"]] == [str(FIRST), str(SECOND), str(THIRD)]
    assert [item["first_block"] for item in listed.data["snapshots"]] == ["0", str(FIRST + 1), str(SECOND + 1)]
    assert all(item["is_whole"] for item in listed.data["snapshots"])
    assert "yes, verified" in qenex("snapshot", "list", "--home", pattern.home, "--verify").out
    for path in (pattern.home / "snapshots").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    names = {path.name for path in (pattern.home / "snapshots").rglob("*") if path.is_file()}
    assert names == {MANIFEST, STATE, BLOCKS}
    secrets = [json.loads(path.read_text()) for path in (pattern.home / "keys").glob("*.json")]
    seeds = {key["seed"] for item in secrets for key in item.get("keys", ()) if "seed" in key}
    everything = b"".join(path.read_bytes() for path in (pattern.home / "snapshots").rglob("*") if path.is_file())
    record = (pattern.home / "data" / "signer_record").read_bytes()
    assert all(bytes.fromhex(seed) not in everything for seed in seeds)
    assert record[:64] not in everything


def test_a_gap_is_said(pattern: Pattern, tmp_path: Path) -> None:
    """Blocks that are pruned cannot be archived: the snapshot is made, and which heights are lost is said."""
    shutil.copytree(pattern.home, tmp_path / "node0")
    home = tmp_path / "node0"
    for height in (SECOND, THIRD):
        shutil.rmtree(home / "snapshots" / pattern.path(height).name)
    from node.storage.store import Store

    store = Store.open(home / "data" / "db")
    assert store.prune(6) == 5
    store.close()
    done = qenex("snapshot", "create", "--home", home, "--json")
    assert (done.code, done.data["first_block"]) == (0, "6"), done.err
    assert done.data["missing_blocks"] == {"first": "4", "last": "5"}
    _, document = read_home(home)
    with pytest.raises(SnapshotError, match="block 4 is in no archive") as missing:
        plan_restore(home / "snapshots" / pattern.path(THIRD).name, document, height=6)
    assert missing.value.hint == f"these snapshots lead to heights {FIRST}, {THIRD}"
    assert "warning: blocks 4 to 5 are pruned" in _again(home)


def _again(home: Path) -> str:
    shutil.rmtree(next((home / "snapshots").glob(f"*-{THIRD}")))
    return qenex("snapshot", "create", "--home", home).out


def test_only_the_newest_stay(copy: Path) -> None:
    done = qenex("snapshot", "prune", "--from", copy, "--keep", 2, "--json")
    assert (done.code, done.data["kept"], len(done.data["deleted"])) == (0, 2, 1)
    assert [int(path.name.rpartition("-")[2]) for path in sorted(copy.iterdir())] == [SECOND, THIRD]


# damage and lies


def test_every_changed_byte_is_found(pattern: Pattern, new_home: Path, copy: Path) -> None:
    chance = random.Random(3)
    folder = copy / pattern.path(SECOND).name
    good = (folder / MANIFEST).read_bytes()
    assert encode_manifest(decode_manifest(good)) == good
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 1 << chance.randrange(8)
        with pytest.raises(SnapshotError):
            decode_manifest(bytes(changed))
    for data in (b"", b"{}", b"[]", b"\xff", good[:-1], good + b"\n", good * 2, b"[" * 10_000):
        with pytest.raises(SnapshotError):
            decode_manifest(data)
    for name in (STATE, BLOCKS, MANIFEST):
        kept = (folder / name).read_bytes()
        for place in (0, 11, len(kept) // 2, len(kept) - 1):
            changed = bytearray(kept)
            changed[place] ^= 1 << chance.randrange(8)
            (folder / name).write_bytes(changed)
            listed = qenex("snapshot", "list", "--from", copy, "--verify", "--json")
            assert (listed.code, [item["is_whole"] for item in listed.data["snapshots"]].count(False)) == (1, 1)
            done = restore(new_home, copy / pattern.path(THIRD).name, "--to-height", SECOND)
            if name != MANIFEST:  # a snapshot without a manifest is none: the next older state leads there as well, if there are blocks
                assert (done.code, done.error["name"]) == (2, "SNAPSHOT")
                assert name in done.error["message"]
            assert done.code == 2 and is_clean(new_home)
        (folder / name).write_bytes(kept)


def test_missing_and_cut_files(pattern: Pattern, new_home: Path, copy: Path) -> None:
    folder = copy / pattern.path(SECOND).name
    for name in (BLOCKS, STATE, MANIFEST):
        kept = (folder / name).read_bytes()
        for data in (None, kept[:-1], b""):
            (folder / name).unlink(missing_ok=True)
            if data is not None:
                (folder / name).write_bytes(data)
            done = restore(new_home, folder, "--to-height", SECOND)
            assert (done.code, done.error["name"]) == (2, "SNAPSHOT")
            assert is_clean(new_home)
            assert qenex("snapshot", "list", "--from", copy).code == 1
        (folder / name).write_bytes(kept)
    (folder / BLOCKS).unlink()
    done = restore(new_home, copy / pattern.path(THIRD).name, "--to-height", SECOND - 1)
    assert "block 4 is in no archive" in done.error["message"]
    assert f"heights {FIRST}, {THIRD}" in done.error["hint"]


def rewrite(folder: Path, change: Any) -> None:
    """Blocks changed by a liar who knows how to make checksums and manifests."""
    manifest = read_manifest(folder)
    blocks = [change(item) for item in archive.read_blocks(folder / BLOCKS, manifest.first_block)]
    with (folder / BLOCKS).open("wb") as file:
        writer = frames.FrameWriter(file, frames.BLOCKS_MAGIC)
        for item in blocks:
            writer.write(archive.BLOCK, encode_block(item))
        writer.finish()
        found = msgspec.structs.replace(manifest.files[1], bytes=writer.size, sha256=writer.digest.hex())
    changed: Manifest = msgspec.structs.replace(manifest, files=(manifest.files[0], found))
    (folder / MANIFEST).write_bytes(encode_manifest(changed))


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))


def other_signature(item: CertifiedBlock) -> CertifiedBlock:
    commit = item.commit
    part = replace(commit.signatures[0], signature=flip(commit.signatures[0].signature))
    return replace(item, commit=Commit(commit.height, commit.round, commit.block_id, (part,)))


def other_pq_signature(item: CertifiedBlock) -> CertifiedBlock:
    pq_commit = item.pq_commit
    return replace(item, pq_commit=PqCommit(pq_commit.height, pq_commit.round, (flip(pq_commit.signatures[0]),)))


def without_a_transaction(item: CertifiedBlock) -> CertifiedBlock:
    return replace(item, block=replace(item.block, txs=item.block.txs[:-1]))


def another_app_hash(item: CertifiedBlock) -> CertifiedBlock:
    return replace(item, block=replace(item.block, header=replace(item.block.header, app_hash=bytes(32))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_signature, "certificate"),
        (other_pq_signature, "certificate"),
        (without_a_transaction, "data hash"),
        (another_app_hash, "app hash"),
    ],
)
def test_a_lie_under_good_checksums_is_found(pattern: Pattern, new_home: Path, copy: Path, change: Any, message: str) -> None:
    folder = copy / pattern.path(SECOND).name
    rewrite(folder, change)
    assert qenex("snapshot", "list", "--from", copy, "--verify").code == 0
    done = restore(new_home, folder, "--to-height", SECOND - 1)
    assert (done.code, done.error["name"]) == (2, "SNAPSHOT"), done.out
    assert message in done.error["message"]
    assert is_clean(new_home)


def test_blocks_out_of_place(pattern: Pattern, new_home: Path, copy: Path) -> None:
    folder = copy / pattern.path(SECOND).name
    blocks = iter(list(archive.read_blocks(folder / BLOCKS, FIRST + 1))[::-1])
    rewrite(folder, lambda item: next(blocks))
    done = restore(new_home, folder, "--to-height", SECOND - 1)
    assert f"does not hold block {FIRST + 1}" in done.error["message"]
    assert is_clean(new_home)


def test_mistakes(pattern: Pattern, new_home: Path, tmp_path: Path, copy: Path) -> None:
    newest = pattern.path(THIRD)
    other = tmp_path / "other" / "node0"
    shutil.copytree(pattern.other, other)
    shutil.rmtree(other / "data" / "db")
    (tmp_path / "file").write_text("no folder")
    for arguments, name, message in (
        (("restore", newest, "--home", pattern.home), "HOME", "exists already"),
        (("restore", "nothing", "--home", new_home), "SNAPSHOT", "is no snapshot"),
        (("restore", newest, "--home", other), "SNAPSHOT", "is of chain"),
        (("restore", newest, "--home", tmp_path / "none"), "HOME", "no home directory"),
        (("restore", newest, "--home", new_home, "--to-height", 99), "SNAPSHOT", "block 8 is in no archive"),
        (("restore", newest, "--home", new_home, "--to-height", FIRST - 1), "SNAPSHOT", "block 1 is in no archive"),
        (("restore", newest, "--home", new_home, "--to-time", "yesterday"), "CONFIG", "is no time"),
        (("restore", newest, "--home", new_home, "--to-time", "2026-01-01T00:00:00"), "CONFIG", "is no time"),
        (("restore", newest, "--home", new_home, "--to-time", "2126-01-01T00:00:00Z"), "SNAPSHOT", "after the last block"),
        (("restore", newest, "--home", new_home, "--to-time", "2026-01-01Z", "--to-height", 3), "CONFIG", "both given"),
        (("restore", newest, "--home", new_home, "--trust-hash", "00" * 32), "SNAPSHOT", "not the trusted one"),
        (("restore", newest, "--home", new_home, "--to-height", 5, "--trust-hash", "00" * 32), "SNAPSHOT", "not the trusted one"),
        (("restore", newest, "--home", new_home, "--trust-hash", "zz"), "CONFIG", "not a block's hash"),
        (("create", "--home", pattern.home), "SNAPSHOT", "exists already"),
        (("create", "--home", pattern.home, "--height", HEIGHT), "SNAPSHOT", "no block carries"),
        (("create", "--home", pattern.home, "--height", 99), "STORAGE", "is not kept"),
        (("create", "--home", pattern.home, "--to", tmp_path / "no" / "where"), "SNAPSHOT", "cannot use the folder"),
        (("create", "--home", pattern.home, "--to", tmp_path / "file"), "CONFIG", "is a file"),
        (("create", "--home", new_home), "HOME", "no database"),
        (("list", "--from", tmp_path / "none"), "CONFIG", "there is no folder"),
    ):
        done = qenex("snapshot", *arguments, "--json")
        assert (done.code, done.error["name"]) == (2, name), (arguments, done.err)
        assert message in done.error["message"]
        assert is_clean(new_home)
    assert qenex("snapshot", "list", "--home", new_home).out == "there are no snapshots\n"


# full disks and kills


def test_a_disk_without_room_is_refused_before_anything_is_written(
    pattern: Pattern, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    reserve = min(make.RESERVE_BYTES, usage.total // make.RESERVE_SHARE)
    monkeypatch.setattr(make.shutil, "disk_usage", lambda folder: usage._replace(free=reserve - 1))
    done = qenex("snapshot", "create", "--home", pattern.home, "--to", tmp_path / "to", "--json")
    assert (done.code, done.error["name"]) == (2, "SNAPSHOT")
    assert f"{reserve - 1} bytes free" in done.error["message"]
    assert list((tmp_path / "to").iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_keeps_its_reserve(pattern: Pattern, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage, asked = shutil.disk_usage(tmp_path), 0

    def filling(folder: Path) -> Any:
        nonlocal asked
        asked += 1
        return usage if asked < 100 else usage._replace(free=0)

    monkeypatch.setattr(make.shutil, "disk_usage", filling)
    done = qenex("snapshot", "create", "--home", pattern.home, "--to", tmp_path / "to", "--json")
    assert (done.code, done.error["name"], asked) == (2, "SNAPSHOT", 100)
    assert list((tmp_path / "to").iterdir()) == []


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
def test_a_full_disk_leaves_nothing(pattern: Pattern, new_home: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, read_manifest(pattern.path(THIRD)).size // 2):
        done = qenex("snapshot", "create", "--home", pattern.home, "--to", disk, "--json")
        assert (done.code, done.error["name"]) == (2, "SNAPSHOT"), done.err
        assert list(disk.iterdir()) == []
    (new_home / "data").mkdir()
    with small_disk(new_home / "data", 16 * 1024):
        done = restore(new_home, pattern.path(THIRD), "--to-height", SECOND)
        assert (done.code, done.error["name"]) == (2, "STORAGE"), done.err
        assert is_clean(new_home)


class Killed(BaseException):
    """The process ends here."""


class Doom:
    """Copies what is on the disk before the n-th step that writes, and ends the work there."""

    def __init__(self, folder: Path, remains: Path, at: int) -> None:
        self.folder, self.remains, self.at = folder, remains, at
        self.steps: list[str] = []

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for owner, name in (
            (frames.FrameWriter, "_put"),
            (LevelDb, "_write"),
            (Path, "rename"),
            (Path, "mkdir"),
            (make.os, "fsync"),
            (make.os, "link"),
        ):
            patch.setattr(owner, name, self._wrap(name, getattr(owner, name)))

    def _wrap(self, name: str, function: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            self.steps.append(name)
            if len(self.steps) == self.at:
                if name == "_put":  # half of it is on the disk
                    function(arguments[0], arguments[1][: len(arguments[1]) // 2])
                    arguments[0]._file.flush()
                with pytest.MonkeyPatch.context() as undone:
                    undone.setattr(Path, "mkdir", Path.mkdir)
                    shutil.copytree(self.folder, self.remains)
                raise Killed
            return function(*arguments, **options)

        return step


def kill_at(folder: Path, remains: Path, at: int, work: Any) -> list[str]:
    """Run `work` and kill it before its n-th step; the steps so far. What was on the disk is in `remains`, if it came so far."""
    doom = Doom(folder, remains, at)
    with pytest.MonkeyPatch.context() as patch:
        doom.install(patch)
        with suppress(Killed):
            work()
    return doom.steps


def chosen(steps: list[str]) -> list[int]:
    """Every step that is no plain writing of a part, and some of those."""
    parts = [number for number, name in enumerate(steps, 1) if name == "_put"]
    return sorted({number for number, name in enumerate(steps, 1) if name != "_put"} | set(parts[:: max(1, len(parts) // 8)]))


def test_a_kill_at_any_step_of_create_leaves_nothing_half_good(pattern: Pattern, tmp_path: Path) -> None:
    folder = tmp_path / "to"

    def create(to: Path = folder) -> Ran:
        return qenex("snapshot", "create", "--home", pattern.home, "--to", to, "--base", SECOND - 2, "--json")

    folder.mkdir()
    steps = kill_at(folder, tmp_path / "x", 0, create)
    assert {"_put", "rename", "mkdir", "fsync", "link"} <= set(steps)
    whole = 0
    for number in chosen(steps):
        shutil.rmtree(folder)
        folder.mkdir()
        remains = tmp_path / f"remains-{number}"
        kill_at(folder, remains, number, create)
        listed = qenex("snapshot", "list", "--from", remains, "--verify", "--json")
        assert listed.code == 0, listed.out
        whole += len(listed.data["snapshots"])
        if not listed.data["snapshots"]:
            assert all(path.name.startswith(PARTIAL_PREFIX) for path in remains.iterdir())
    assert 0 < whole < 3  # it is there once it is renamed, and what is killed after that is whole
    left = [path for path in tmp_path.glob("remains-*") if any(item.name.startswith(PARTIAL_PREFIX) for item in path.iterdir())]
    (left[-1] / f"{PARTIAL_PREFIX}{pattern.chain_id}-1").mkdir()  # of another height: the next one clears it away as well
    assert create(left[-1]).code == 0
    assert [path.name for path in left[-1].iterdir()] == [pattern.path(THIRD).name]


def test_a_kill_at_any_step_of_restore_leaves_no_database_or_a_whole_one(pattern: Pattern, new_home: Path, tmp_path: Path) -> None:
    def bring_back(home: Path = new_home) -> Ran:
        return restore(home, pattern.path(THIRD), "--to-height", SECOND - 1)

    steps = kill_at(new_home, tmp_path / "x", 0, bring_back)
    assert {"_write", "rename", "fsync"} <= set(steps)
    whole = 0
    for number in chosen(steps):
        shutil.rmtree(new_home / "data", ignore_errors=True)
        remains = tmp_path / f"remains-{number}"
        kill_at(new_home, remains, number, bring_back)
        if (remains / "data" / "db").exists():
            whole += 1
            with open_stopped(remains, read_only=True) as node:
                assert node.store.root.hex().upper() == pattern.roots[SECOND - 1]
    assert whole == 1  # killed between the renaming and its being made durable
    half = [path for path in tmp_path.glob("remains-*") if (path / "data" / "db.restoring").exists()]
    assert half
    assert "UNFINISHED" in qenex("doctor", "--home", half[-1]).out
    done = bring_back(half[-1])
    assert (done.code, done.data["app_hash"]) == (0, pattern.roots[SECOND - 1]), done.err
    assert not (half[-1] / "data" / "db.restoring").exists()
