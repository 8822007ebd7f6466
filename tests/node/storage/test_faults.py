"""What the disk may do: flipped bits, cut and missing files, no room. It is noticed or harmless, and nothing is written after."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import plyvel
import pytest

from node.storage import leveldb
from node.storage.store import HeightBatch, Store, StoreOptions
from state.primitives.errors import CorruptError, LocalError, QenexError, StorageCorruptError
from state.proofs import verify_proof

SMALL = StoreOptions(values_max=16, leaves_max=50)
HEIGHTS = 30


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with tables and a log, and what it holds by height: `state_at`."""
    path = tmp_path_factory.mktemp("good") / "db"
    store = Store.create(path, SMALL)
    for height in range(HEIGHTS):
        rows = (("b", height, b"block %d " % height * 50),)
        store.commit(HeightBatch(height, b"tip %d" % height, height_rows=rows), changes_at(height))
        if height == HEIGHTS // 2:
            store.compact()
    store.close()
    # closing wrote nothing: the second half is in the log, as after a kill
    return path


def changes_at(height: int) -> list[tuple[bytes, bytes | None]]:
    return sorted({b" k%d" % (number * (height + 1) % 97): b"%d" % height * 9 for number in range(60)}.items())


def state_at(height: int) -> dict[bytes, bytes | None]:
    state: dict[bytes, bytes | None] = {}
    for past in range(height + 1):
        state.update(changes_at(past))
    return state


def read_everything(path: Path) -> int:
    """Open and read all there is; the height. Whatever is answered must be right."""
    store = Store.open(path, SMALL)
    try:
        expected = state_at(store.height) if store.height >= 0 else {}
        for key, value in expected.items():
            assert store.get(key) == value
            found, proof = store.prove(key)
            assert found == value
            verify_proof(store.root, key, value, proof)
        if store.height >= 0:
            assert store.tip == b"tip %d" % store.height
            assert dict(store.state_keys(b" ")) == expected
        for height in range(store.height + 1):
            assert store.height_row("b", height) == b"block %d " % height * 50
            assert store.get_at(b" k1", height) == state_at(height).get(b" k1")
        store.commit(HeightBatch(store.height + 1, b""), [(b" new", b"1")])  # and it can go on
        return store.height - 1
    finally:
        store.close()


def damaged(good: Path, tmp_path: Path, file: str, change: Callable[[bytes], bytes]) -> Path:
    path = tmp_path / "db"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(good, path)
    (path / file).write_bytes(change((path / file).read_bytes()))
    return path


def files(good: Path, kind: str) -> list[str]:
    return sorted(path.name for path in good.iterdir() if path.name.endswith(kind) or path.name.startswith(kind))


def test_the_good_one_is_good(good: Path, tmp_path: Path) -> None:
    assert files(good, ".ldb")
    assert read_everything(damaged(good, tmp_path, "CURRENT", bytes)) == HEIGHTS - 1


@pytest.mark.parametrize(("kind", "flips"), [(".ldb", 100), (".log", 80), ("MANIFEST", 50), ("CURRENT", 16)])
def test_flipped_bits_are_noticed_or_harmless(good: Path, tmp_path: Path, kind: str, flips: int) -> None:
    chance = random.Random(kind)
    names, noticed = files(good, kind), 0
    for _ in range(flips):
        name = chance.choice(names)
        place, bit = chance.randrange((good / name).stat().st_size), 1 << chance.randrange(8)
        path = damaged(
            good, tmp_path, name, lambda data, p=place, b=bit: data[:p] + bytes((data[p] ^ b,)) + data[p + 1 :]
        )  # type: ignore[misc]
        try:
            height = read_everything(path)
        except (CorruptError, LocalError) as error:
            noticed += 1
            assert error.hint
        else:
            assert height == HEIGHTS - 1, f"{name} at {place}: heights were lost without a word"
    assert noticed >= flips // 2


def test_a_cut_log_gives_a_whole_height(good: Path, tmp_path: Path) -> None:
    """LevelDB cannot tell a cut log from a shorter one: the store is then at an earlier height, complete, and others compare heights."""
    (name,) = [name for name in files(good, ".log") if (good / name).stat().st_size]
    size = (good / name).stat().st_size
    chance = random.Random(6)
    seen = set()
    for place in sorted({0, 1, size - 1, *(chance.randrange(size) for _ in range(40))}):
        try:
            seen.add(read_everything(damaged(good, tmp_path, name, lambda data, p=place: data[:p])))  # type: ignore[misc]
        except CorruptError as error:
            assert error.hint
    assert len(seen) > 3


@pytest.mark.parametrize("kind", [".ldb", "CURRENT", "MANIFEST"])
def test_missing_files(good: Path, tmp_path: Path, kind: str) -> None:
    for name in files(good, kind):
        path = damaged(good, tmp_path, name, bytes)
        (path / name).unlink()
        with pytest.raises(QenexError) as caught:
            read_everything(path)
        assert caught.value.hint


def test_rows_that_do_not_fit_together(good: Path, tmp_path: Path) -> None:
    """Bytes that LevelDB believes, and the root does not."""
    wrong: list[tuple[bytes, bytes | None]] = [
        (b"mtip", None), (b"mtip", b"garbage"), (b"t" + (HEIGHTS - 1).to_bytes(8, "big"), bytes(32)), (b"r", None)
    ]  # fmt: skip
    for key, value in wrong:
        path = damaged(good, tmp_path, "CURRENT", bytes)
        store = Store.open(path, SMALL)
        if key == b"r":
            key, value = next(store._db.scan(b"r", b"s"))[0], bytes(32)
        store._db.write([(key, value)])
        store.close()
        with pytest.raises(StorageCorruptError) as caught:
            Store.open(path, SMALL)
        assert caught.value.hint
        with pytest.raises(StorageCorruptError):  # and the folder was released
            Store.open(path, SMALL)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from node.storage.store import HeightBatch, Store
from state.primitives.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store.open(Path(sys.argv[1]))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
height = store.height
try:
    while True:
        store.commit(HeightBatch(height + 1, b"", height_rows=(("b", height + 1, b"x" * 7000),)), [(b" k", b"%d" % height)])
        height += 1
except StorageError as error:
    print(error.name, bool(error.hint))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
refused = 0
for action in (
    lambda: store.commit(HeightBatch(height + 1, b""), [(b" k", b"z")]),
    lambda: store.write_prepared([(b"m", b"z")]),
    lambda: store.get(b" other"),
    lambda: store.prune(5),
    lambda: store.compact(),
):
    try:
        action()
    except StorageError:
        refused += 1
print(height, refused)
"""


def test_after_a_full_disk_nothing_is_written(tmp_path: Path) -> None:
    """LevelDB goes on acknowledging writes once there is room again, and loses them at the next crash."""
    path = tmp_path / "db"
    store = Store.create(path)
    store.commit(HeightBatch(1, b"", height_rows=(("b", 1, b""),)), [(b" k", b"0")])
    store.commit(HeightBatch(2, b"", height_rows=(("b", 2, b""),)), [(b" k", b"0")])
    store.close()
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=240, check=True
    )
    first, second = done.stdout.splitlines()
    acknowledged, refused = (int(word) for word in second.split())
    assert first == "STORAGE True"
    assert refused == 5
    assert acknowledged > 10
    store = Store.open(path)
    assert store.height in (acknowledged, acknowledged + 1)
    store.close()


def test_half_filled(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db")

    def rows() -> object:
        yield b" a", b"1"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.bulk_load(rows(), 0, b"")  # type: ignore[arg-type]
    store.close()
    with pytest.raises(LocalError, match="not filled"):
        Store.open(tmp_path / "db")


def test_only_an_empty_store_is_filled(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db")
    store.commit(HeightBatch(0, b"0"), [(b" a", b"1")])
    with pytest.raises(LocalError, match="empty"):
        store.bulk_load([(b" b", b"1")], 0, b"")
    store.close()


def test_m7_what_is_committed_is_asked_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing that the system has; only a machine without power would show a batch that was not synced."""
    asked: list[bool] = []

    class Watched:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._real = plyvel.DB(*arguments, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def write_batch(self, *, sync: bool, transaction: bool) -> Any:
            asked.append(sync)
            return self._real.write_batch(sync=sync, transaction=transaction)

    monkeypatch.setattr(leveldb, "plyvel", SimpleNamespace(DB=Watched, Error=plyvel.Error))
    store = Store.create(tmp_path / "db", SMALL)
    for height in range(3):
        asked.clear()
        store.commit(HeightBatch(height, b"tip %d" % height), changes_at(height))
        assert asked[-1:] == [True]
    store.close()
