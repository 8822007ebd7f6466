"""`qenex export` and `qenex import`: the same root on the other side, at any kept height; any changed byte is found."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import pytest
import trio

from node.config import Home
from node.maintenance import export as export_module
from node.maintenance.export import ExportReader, import_state, make_head
from node.maintenance.frames import FrameWriter, read_frames
from node.maintenance.opening import open_stopped, read_home
from state.primitives.codec import Value, decode, encode_trusted
from state.primitives.errors import ExportFileError
from tests.node.maintenance.chain import Chain, contents, make_home, qenex, without_log

HEIGHT = 6


def nothing(shards: int, records: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pattern")
    trio.run(make_home, root / "net", HEIGHT)
    trio.run(make_home, root / "other", 1)
    assert qenex("export", root / "state", "--home", root / "net" / "node0").code == 0
    return root


@pytest.fixture
def home(pattern: Path) -> Path:
    return pattern / "net" / "node0"


@pytest.fixture
def new_home(home: Path, tmp_path: Path) -> Path:
    """A follower's home without data."""
    made = tmp_path / "all" / "node9"
    shutil.copytree(home, made)
    shutil.rmtree(made / "data")
    (made / "keys" / "validator.json").unlink()
    return made


def test_there_and_back(home: Path, new_home: Path, tmp_path: Path) -> None:
    before = without_log(contents(home))
    for height in (*range(HEIGHT + 1), None):
        file = tmp_path / f"state-{height}"
        options = () if height is None else ("--height", height)
        done = qenex("export", file, "--home", home, "--json", *options)
        assert done.code == 0, done.err
        with open_stopped(home, read_only=True) as node:
            root = node.store.root_at(int(done.data["height"]))
            head = make_head(node, height)
        assert root is not None
        assert done.data["app_hash"] == root.hex().upper()
        assert (done.data["fixed_by_block"] == "") == (height == HEIGHT)
        shutil.rmtree(new_home / "data", ignore_errors=True)
        back = qenex("import", file, "--home", new_home, "--json", "--trust-hash", done.data["fixed_by_block"])
        assert back.code == 0, back.err
        assert (back.data["app_hash"], back.data["records"]) == (done.data["app_hash"], done.data["records"])
        with open_stopped(new_home, read_only=True) as node:
            assert (node.store.root, node.store.height) == (root, int(done.data["height"]))
            assert make_head(node, node.store.height).tip == head.tip
        assert qenex("doctor", "--home", new_home, "--deep").code == 0
        again = tmp_path / f"again-{height}"
        assert qenex("export", again, "--home", new_home, "--height", done.data["height"]).code == 0
        with_rows, other = ExportReader(file), ExportReader(again)
        assert list(with_rows.rows()) == list(other.rows())
        with_rows.close()
        other.close()
    assert without_log(contents(home)) == before


async def test_an_imported_node_goes_on(home: Path, pattern: Path, tmp_path: Path) -> None:
    """A validator that was moved with its record, and its database brought in: it builds on the imported state."""
    shutil.copytree(pattern / "net", tmp_path / "net")
    moved = tmp_path / "net" / "node0"
    file = tmp_path / "state"
    assert qenex("export", file, "--home", moved, "--height", HEIGHT).code == 0
    shutil.rmtree(moved / "data" / "db")
    assert qenex("import", file, "--home", moved).code == 0
    chain = Chain(moved)
    await chain.grow(3)
    assert chain.store.height == HEIGHT + 3
    chain.close()


def test_every_changed_byte_is_found(pattern: Path, new_home: Path, tmp_path: Path) -> None:
    data = (pattern / "state").read_bytes()
    chance = random.Random(5)
    file = tmp_path / "damaged"
    places = sorted({0, 11, 12, len(data) - 1, *(chance.randrange(len(data)) for _ in range(400))})
    home, document = read_home(new_home)
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        file.write_bytes(changed)
        with pytest.raises(ExportFileError):
            _read_all(file)
    for size in (0, 5, 12, 100, len(data) - 40, len(data) - 1):
        file.write_bytes(data[:size])
        with pytest.raises(ExportFileError):
            import_state(home, document, file, b"", nothing)
    file.write_bytes(data + b"\0")
    with pytest.raises(ExportFileError):
        import_state(home, document, file, b"", nothing)
    assert not [path for path in (new_home / "data").glob("*") if "db" in path.name]


def _read_all(file: Path) -> None:
    reader = ExportReader(file)
    try:
        for _ in reader.rows():
            pass
    finally:
        reader.close()


TIP_LIES: Final[dict[str, tuple[int, Callable[[Value], Value]]]] = {
    "another chain": (0, lambda name: name + "2"),
    "another initial height": (1, lambda height: height + 1),
    "another height": (2, lambda height: height - 1),
    "another last block": (3, lambda name: (bytes(32), *name[1:])),
    "another time": (4, lambda time: (time[0] + 1, time[1])),
    "other priorities": (5, lambda _: (1,)),
    "another app hash": (6, lambda _: bytes(32)),
    "other results": (7, lambda _: bytes(32)),
    "other parameters": (8, lambda record: (record[0], record[1] + 1, *record[2:])),
    "no transactions": (9, lambda had_txs: not had_txs),
}


@pytest.mark.parametrize("lie", ["value", "key", "missing", "header", "commit", "tip", *TIP_LIES])
def test_a_lie_under_a_good_checksum_is_found(home: Path, new_home: Path, tmp_path: Path, lie: str) -> None:
    from dataclasses import replace

    with open_stopped(home, read_only=True) as node:
        store, head = node.store, make_head(node, 4)
        reports = [(shard, list(store.shard_rows(shard, 4))) for shard in range(256)]
    shard = next(shard for shard, rows in reports if rows)
    kh, key, value = reports[shard][1][0]
    assert head.next_header is not None and head.next_commit is not None
    if lie == "value":
        reports[shard][1][0] = kh, key, value + b"x"
    elif lie == "key":
        reports[shard][1][0] = kh, key + b"x", value
    elif lie == "missing":
        del reports[shard][1][0]
    elif lie == "header":
        head = replace(head, next_header=replace(head.next_header, app_hash=bytes(32)))
    elif lie == "commit":
        commit, pq_commit = head.next_commit
        head = replace(head, next_commit=(replace(commit, round=7), pq_commit))
    elif lie == "tip":
        with open_stopped(home, read_only=True) as node:
            head = replace(head, tip=node.store.tip_at(3) or b"")
    else:
        fields = list(decode(head.tip))
        assert len(fields) == len(TIP_LIES)
        place, change = TIP_LIES[lie]
        fields[place] = change(fields[place])
        head = replace(head, tip=encode_trusted(fields))
    file = tmp_path / "lie"
    with file.open("wb") as opened:
        writer = export_module.FrameWriter(opened)
        writer.write(export_module.HEAD, head.encode())
        for number, rows in reports:
            if rows:
                payload = export_module.encode_trusted((number, [(k, v) for _, k, v in rows]))
                writer.write(export_module.ROWS, payload)
        writer.finish()
    done = qenex("import", file, "--home", new_home, "--json")
    assert (done.code, done.error["name"]) == (2, "EXPORT_FILE")
    assert not (new_home / "data" / "db").exists()
    assert not (new_home / "data" / "db.importing").exists()


def test_mistakes(pattern: Path, home: Path, new_home: Path, tmp_path: Path) -> None:
    state = pattern / "state"
    for arguments, name, message in (
        (("export", state, "--home", home), "HOME", "exists already"),
        (("export", tmp_path / "no" / "where", "--home", home), "HOME", "cannot write"),
        (("export", tmp_path / "x", "--home", home, "--height", 99), "STORAGE", "is not kept"),
        (("export", tmp_path / "x", "--home", new_home), "HOME", "no database"),
        (("import", tmp_path / "x", "--home", new_home), "HOME", "cannot read"),
        (("import", home / "genesis.json", "--home", new_home), "EXPORT_FILE", "no exported state"),
        (("import", state, "--home", home), "HOME", "exists already"),
        (("import", state, "--home", tmp_path / "none"), "HOME", "no home directory"),
        (("import", state, "--home", new_home, "--trust-hash", "zz"), "CONFIG", "not a block's hash"),
        (("import", state, "--home", new_home, "--trust-hash", "00" * 32), "EXPORT_FILE", "not the trusted one"),
        (("import", state), "CONFIG", "--home"),
    ):
        done = qenex(*arguments, "--json")
        assert (done.code, done.error["name"]) == (2, name), done.err
        assert message in done.error["message"]
    other = tmp_path / "other" / "node0"
    shutil.copytree(pattern / "other" / "node0", other)
    shutil.rmtree(other / "data" / "db")
    error = qenex("import", state, "--home", other, "--json").error
    assert "of chain" in error["message"]
    assert not list(tmp_path.glob("x*"))


def test_a_validator_with_an_old_record_is_warned(pattern: Path, tmp_path: Path) -> None:
    """Made again with the same key: the record says nothing was signed, the chain says otherwise."""
    from node.keystore import Role, read_key_file
    from node.signer import Signer
    from tests.node.maintenance.chain import no_passphrase

    home = tmp_path / "node0"
    shutil.copytree(pattern / "net" / "node0", home)
    shutil.rmtree(home / "data")
    keys = read_key_file(home / "keys" / "validator.json", no_passphrase, role=Role.VALIDATOR)
    _, document = read_home(home)
    Signer.create(Home(home).signer_file, document.hash, keys.key, keys.pq_key).close()
    done = qenex("import", pattern / "state", "--home", home, "--json")
    assert done.code == 0
    assert "SIGNER_BEHIND" in [item["name"] for item in done.data["findings"]]


LONG = "x" * 300  # file systems take 255 bytes


@pytest.mark.parametrize("name", ["file/below", LONG, "x" * 250])
def test_a_name_that_no_file_can_have_is_the_operators_mistake(home: Path, tmp_path: Path, name: str) -> None:
    """The handler of the first error met the same one when it took the half written file away. 250: ".partial" makes it too long."""
    (tmp_path / "file").write_text("a file")
    done = qenex("export", tmp_path / name, "--home", home, "--json")
    assert done.code == 2
    assert done.error["name"] in ("CONFIG", "HOME")
    assert str(tmp_path / name) in done.error["message"]
    assert ".partial" not in done.error["message"]


@pytest.mark.parametrize("name", ["file/below", LONG])
@pytest.mark.parametrize(
    "command", [("init", "--no-encrypt", "--home"), ("doctor", "--home"), ("keys", "new", "a", "--no-encrypt", "--home")]
)
def test_the_same_of_other_commands(tmp_path: Path, command: tuple[str, ...], name: str) -> None:
    (tmp_path / "file").write_text("a file")
    done = qenex(*command, tmp_path / name, "--json")
    assert (done.code, done.error["name"]) == (2, "CONFIG")
    assert "Invalid value for '--home'" in done.error["message"]


def test_the_audit_log_goes_into_no_such_name_either(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    done = qenex("audit", "export", "--home", home, "--out", tmp_path / "file" / "below", "--json")
    assert (done.code, done.error["name"]) == (2, "CONFIG")


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    done = qenex("init", "--no-encrypt", "--home", "/proc/home", "--json")
    assert (done.code, done.error["name"]) == (2, "HOME")
    assert done.error["message"].startswith("cannot make /proc/home: ")


def test_a_file_that_cannot_be_read_is_named(new_home: Path) -> None:
    """What a failing disk answers: the memory of a process reads as an error at its start."""
    done = qenex("import", "/proc/self/mem", "--home", new_home, "--json")
    assert (done.code, done.error["name"]) == (2, "HOME")
    assert done.error["message"] == "cannot read /proc/self/mem: Input/output error"


def test_a_file_that_stops_being_readable_is_named(pattern: Path, new_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = export_module.read_frames

    def failing(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        for number, frame in enumerate(honest(file)):
            if number == 3:
                raise OSError(5, "Input/output error")
            yield frame

    monkeypatch.setattr(export_module, "read_frames", failing)
    done = qenex("import", pattern / "state", "--home", new_home, "--json")
    assert (done.code, done.error["name"]) == (2, "HOME")
    assert done.error["message"] == f"cannot read {pattern / 'state'}: Input/output error"
    assert not Home(new_home).db_dir.exists()


def test_a_height_that_no_chain_has_is_refused(pattern: Path, home: Path, new_home: Path, tmp_path: Path) -> None:
    """Nothing but the tip and a header bind the height, and a state of its last height has no header: it reached the database."""
    with open_stopped(home, read_only=True) as node:
        head = replace(make_head(node, HEIGHT), height=2**64 - 1)
    whole, forged = tmp_path / "whole", tmp_path / "forged"
    assert qenex("export", whole, "--home", home, "--height", HEIGHT).code == 0
    with whole.open("rb") as source, forged.open("wb") as file:
        writer = FrameWriter(file)
        for kind, payload in read_frames(source):
            writer.write(kind, head.encode() if kind == export_module.HEAD else payload)
        writer.finish()
    for arguments in (("import", forged, "--home", new_home), ("state", "diff", forged, home)):
        done = qenex(*arguments, "--json")
        assert (done.code, done.error["name"]) == (2, "EXPORT_FILE")
        assert "the head of the exported state cannot be read" in done.error["message"]
