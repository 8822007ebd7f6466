"""`qenex doctor`: operators' mistakes and damage, each told in one line with its code; and nothing is ever changed."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import trio

from node.audit.commands import record_command
from node.cli.main import main
from node.config import Home, Overrides
from node.keystore import Role, read_key_file, write_key_file
from node.maintenance.doctor import examine
from node.maintenance.findings import KINDS
from node.opening import open_home
from node.signer import Signer
from node.storage.leveldb import LevelDb
from node.storage.rows import TIP_KEY, height_bytes
from node.wal import Wal
from state.primitives.codec import Value, decode, encode_trusted
from state.primitives.errors import ConfigError
from tests.node.maintenance.chain import Chain, contents, make_home, no_passphrase, qenex

HEIGHT = 6
NOW_S = 1_900_000_000


class Usage(NamedTuple):
    """As of `shutil.disk_usage`."""

    total: int
    used: int
    free: int


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pattern")
    home = trio.run(make_home, root / "net", HEIGHT)
    other = trio.run(make_home, root / "other", HEIGHT - 3)
    assert (home.name, other.name) == ("node0", "node0")
    return root


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**13, 0, 10**12))


@pytest.fixture
def home(pattern: Path, tmp_path: Path) -> Path:
    shutil.copytree(pattern, tmp_path / "all")
    return tmp_path / "all" / "net" / "node0"


def other_of(home: Path) -> Path:
    return home.parent.parent / "other" / "node0"


def log_of(home: Path, height: int = HEIGHT + 1) -> Path:
    return home / "data" / "wal" / f"{height:020d}.log"


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        text = (home / name).read_text()
        assert old in text
        (home / name).write_text(text.replace(old, new, 1))

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda home: (home / name).unlink()


def loosen(name: str, mode: int = 0o644) -> Callable[[Path], None]:
    return lambda home: (home / name).chmod(mode)


def link(home: Path) -> None:
    path = home / "keys" / "node.json"
    path.rename(home / "elsewhere.json")
    path.symlink_to(home / "elsewhere.json")


def flip(name: str, at: int) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        data = bytearray((home / name).read_bytes())
        data[at] ^= 1
        (home / name).write_bytes(data)

    return change


def take(*names: str) -> Callable[[Path], None]:
    """Files or folders of another network's home."""

    def change(home: Path) -> None:
        for name in names:
            path = home / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            source = other_of(home) / name
            shutil.copytree(source, path) if source.is_dir() else shutil.copy2(source, path)

    return change


async def _grow_and_restore(home: Path, restored: str) -> None:
    backup = home.parent / "backup"
    source = home / restored
    shutil.copytree(source, backup) if source.is_dir() else shutil.copy2(source, backup)
    chain = Chain(home)
    await chain.grow(2)
    chain.sign(await chain.build(1))
    chain.close()
    if source.is_dir():
        shutil.rmtree(source)
        shutil.copytree(backup, source)
    else:
        shutil.copy2(backup, source)


def restore(name: str) -> Callable[[Path], None]:
    """Put back an old copy of something after the chain went on."""
    return lambda home: trio.run(_grow_and_restore, home, name)


async def _sign_next(home: Path) -> None:
    chain = Chain(home)
    chain.sign(await chain.build(1))
    chain.close()


def then_log(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """In the middle of a height: something is logged and signed, then the log is changed."""

    def do(home: Path) -> None:
        trio.run(_sign_next, home)
        change(log_of(home))

    return do


def flip_inside(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[16] ^= 1
    path.write_bytes(data)


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0\0\0")


def log_of_another_network(home: Path) -> None:
    wal = Wal.open(home / "data" / "wal", bytes(32), HEIGHT + 1)
    wal.append(b"an entry")
    wal.sync()
    wal.close()


def row(key: bytes, value: bytes | None) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        database = LevelDb(home / "data" / "db")
        database.write([(key, value)])
        database.close()

    return change


def tip_field(place: int, change: Callable[[Value], Value]) -> Callable[[Path], None]:
    """A field of the tip that was written otherwise than the chain has it."""

    def spoil(home: Path) -> None:
        database = LevelDb(home / "data" / "db")
        height, root, tip = decode(database.get(TIP_KEY) or b"")
        fields = list(decode(tip))
        fields[place] = change(fields[place])
        database.write([(TIP_KEY, encode_trusted((height, root, encode_trusted(fields))))])
        database.close()

    return spoil


def other_validator_key(home: Path) -> None:
    """The key of one validator with the record of another."""
    keys = read_key_file(other_of(home) / "keys" / "validator.json", no_passphrase, role=Role.VALIDATOR)
    path = home / "keys" / "validator.json"
    path.unlink()
    write_key_file(path, keys, None)


def other_node_key(home: Path) -> None:
    keys = read_key_file(other_of(home) / "keys" / "node.json", no_passphrase, role=Role.NODE)
    path = home / "keys" / "node.json"
    path.unlink()
    write_key_file(path, keys, None)


def not_a_validator(home: Path) -> None:
    """A key of this network that is not in the set, with a record of its own."""
    other_validator_key(home)
    (home / "data" / "signer_record").unlink()
    keys = read_key_file(home / "keys" / "validator.json", no_passphrase, role=Role.VALIDATOR)
    genesis = bytes.fromhex(json.loads((home.parent / "network.json").read_text())["genesis_hash"])
    Signer.create(home / "data" / "signer_record", genesis, keys.key, keys.pq_key).close()


def same_name(home: Path) -> None:
    """A follower with a document of the same chain id that differs in one balance: no signer's record to tell."""
    (home / "keys" / "validator.json").unlink()
    edit("genesis.json", '"bonded": "1', '"bonded": "2')(home)


def crashed(home: Path) -> None:
    (home / "data" / "crash-7").mkdir()
    (home / "data" / "crash-7" / "error.txt").write_text("Traceback\nConsensusFailure: the app hash is another\n")


def rot(home: Path) -> None:
    """One bit of a table."""
    path = max((home / "data" / "db").glob("*.ldb"), key=lambda path: path.stat().st_size)
    flip(str(path.relative_to(home)), path.stat().st_size // 2)(home)


def close_tables(home: Path) -> None:
    """LevelDB writes its log into a table when it is opened and closed once more."""
    for _ in range(2):
        LevelDb(home / "data" / "db").close()


def log_spoilt(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """An audit log with an entry, made another one."""

    def spoil(home: Path) -> None:
        record_command(Home(home), "rpc.token.revoke", name="desk")
        log = Home(home).audit_log_file
        log.write_bytes(change(log.read_bytes()))

    return spoil


MISTAKES: list[tuple[str, Callable[[Path], object], str, str]] = [
    ("wrong folder", lambda home: (home / "config.toml").unlink(), "HOME", "config.toml is missing"),
    ("wrong setting", edit("config.toml", "listen = ", "lisen = "), "CONFIG", "unknown key rpc.lisen"),
    ("genesis is no document", edit("genesis.json", "{", ""), "GENESIS", "genesis"),
    ("genesis of another network", take("genesis.json"), "SIGNER_RECORD", "belongs to the network"),
    ("genesis altered on a follower", same_name, "GENESIS_MISMATCH", "does not give the state"),
    ("folder open to others", loosen("data", 0o777), "OPEN_TO_OTHERS", "mode 0777"),
    ("key open to others", loosen("keys/validator.json"), "VALIDATOR_KEY", "mode 0644, not 0600"),
    ("key is a link", link, "NODE_KEY", "symbolic link"),
    ("no node key", remove("keys/node.json"), "NODE_KEY", "there is no key file"),
    ("key of another node", other_node_key, "NODE_NOT_ADMITTED", "not on the list"),
    ("key of another validator", other_validator_key, "SIGNER_RECORD", "belongs to validator"),
    ("key that is no validator's", not_a_validator, "NOT_IN_SET", "does not vote"),
    ("signer record deleted", remove("data/signer_record"), "SIGNER_RECORD", "missing, but its key is present"),
    ("signer record damaged", lambda home: (home / "data/signer_record").write_bytes(bytes(99)), "SIGNER_RECORD", "damaged"),
    ("signer record from a backup", restore("data/signer_record"), "SIGNER_BEHIND", "ends at height 6"),
    ("database from a backup", restore("data/db"), "SIGNER_AHEAD", "has signed height 9, but the database ends at 6"),
    ("database from a backup, its log", restore("data/db"), "LOG_AHEAD", "of a later height than 7"),
    ("database deleted", lambda home: shutil.rmtree(home / "data" / "db"), "NO_DATABASE", "there is no chain"),
    ("database of another network", take("data/db"), "GENESIS_MISMATCH", "does not give the state"),
    ("data of another network", take("data"), "GENESIS_MISMATCH", "does not give the state"),
    ("log deleted", then_log(lambda path: path.unlink()), "LOG_MISSING", "its height was signed in"),
    ("log cut", then_log(lambda path: os.truncate(path, path.stat().st_size - 3)), "LOG_DAMAGED", "when its height was signed in"),
    ("log damaged", then_log(flip_inside), "LOG_DAMAGED", "is damaged after byte 0"),
    ("log torn", then_log(tear), "LOG_TORN", "last 3 bytes"),
    ("log of another network", log_of_another_network, "LOG_OF_OTHER_CHAIN", "belongs to another network"),
    ("tip with other priorities", tip_field(5, lambda _: (1,)), "TIP_MISMATCH", "proposer priorities"),
    ("tip with other parameters", tip_field(8, lambda record: (record[0] + 1, *record[1:])), "TIP_MISMATCH", "parameters"),
    ("tip of another time", tip_field(4, lambda time: (time[0] + 1, time[1])), "TIP_MISMATCH", ": time"),
    ("tip of another block", tip_field(3, lambda name: (bytes(32), *name[1:])), "TIP_MISMATCH", "last block"),
    ("tip with no transactions", tip_field(9, lambda had_txs: not had_txs), "TIP_MISMATCH", "had transactions"),
    ("tip from another height on", tip_field(1, lambda height: height + 1), "GENESIS_MISMATCH", "of chain"),
    ("block missing", row(b"b" + height_bytes(HEIGHT), None), "BLOCK_MISSING", "block 6 is missing"),
    ("database made and not filled", row(b"mfilling", b""), "UNFINISHED", "not filled completely"),
    ("database of another version", row(b"mformat", b"99"), "DATABASE", "format b'99'"),
    ("import broken off", lambda home: (home / "data" / "db.importing").mkdir(), "UNFINISHED", "left half made"),
    ("crash before", crashed, "CRASH_BUNDLE", "ConsensusFailure: the app hash is another"),
    ("audit log cut", log_spoilt(lambda data: data[:-20]), "AUDIT_LOG", "the end of"),
    ("audit log changed", log_spoilt(lambda data: data.replace(b"desk", b"dusk")), "AUDIT_LOG", "was changed"),
    ("audit log gone", log_spoilt(lambda data: b""), "AUDIT_LOG", "the end of"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "name", "message"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_mistake(home: Path, spoil: Callable[[Path], object], name: str, message: str) -> None:
    spoil(home)
    before = contents(home)
    done = qenex("doctor", "--home", home, "--json")
    assert contents(home) == before
    found = {item["name"]: item for item in done.data["findings"] if message in item["message"]}
    assert name in found, done.out
    finding = found[name]
    assert done.code == (0 if done.data["clean"] else 1)
    assert done.data["clean"] == all(item["severity"] == "note" for item in done.data["findings"])
    assert finding["hint"]
    lines = qenex("doctor", "--home", home).out.splitlines()
    assert any(line.startswith(f"{finding['severity']} {finding['code']} {name}: ") for line in lines)


def test_a_database_from_another_height_on_is_not_opened(home: Path) -> None:
    tip_field(1, lambda height: height + 1)(home)
    with pytest.raises(ConfigError, match="from height 2, not 1"), ExitStack() as stack:
        open_home(home, Overrides(), stack)
    assert "from height 2, not 1" in qenex("rollback", "--home", home, "--yes", "--json").error["message"]


def test_a_good_home_is_clean(home: Path) -> None:
    before = contents(home)
    done = qenex("doctor", "--home", home, "--deep", "--json")
    assert (done.code, done.data["clean"], done.data["height"]) == (0, True, str(HEIGHT)), done.out
    assert {item["severity"] for item in done.data["findings"]} <= {"note"}
    text = qenex("doctor", "--home", home, "--deep")
    assert text.out.splitlines()[-1] == "clean"
    assert "state: 100 %" in text.err
    assert contents(home) == before


def test_a_new_home_is_looked_at_before_its_first_start(pattern: Path, tmp_path: Path) -> None:
    home = tmp_path / "node0"
    shutil.copytree(pattern / "net" / "node0", home)
    shutil.rmtree(home / "data" / "db")
    shutil.rmtree(home / "data" / "wal")
    keys = read_key_file(home / "keys" / "validator.json", no_passphrase, role=Role.VALIDATOR)
    genesis = bytes.fromhex(json.loads((pattern / "net" / "network.json").read_text())["genesis_hash"])
    (home / "data" / "signer_record").unlink()
    Signer.create(home / "data" / "signer_record", genesis, keys.key, keys.pq_key).close()
    done = qenex("doctor", "--home", home, "--json")
    assert [item["name"] for item in done.data["findings"] if item["severity"] != "note"] == ["NO_DATABASE"]


def test_no_home(tmp_path: Path) -> None:
    done = qenex("doctor", "--home", tmp_path / "nothing", "--json")
    assert (done.code, done.data["findings"][0]["name"]) == (1, "HOME")


def test_clock_and_age(home: Path) -> None:
    def names(now_s: int) -> list[str]:
        return [finding.kind.name for finding in examine(home, now_ns=now_s * 10**9).findings]

    assert "CLOCK" in names(100)  # 1970
    assert "CLOCK" in names(1_700_000_100)  # before the last block
    assert "BEHIND" in names(NOW_S)


def test_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**13, 0, 10**9))
    assert "DISK_LOW" in [finding.kind.name for finding in examine(home).findings]
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**13, 0, 10**8))
    assert "DISK_FULL" in [finding.kind.name for finding in examine(home).findings]


def test_a_read_only_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "DISK_READ_ONLY" not in [finding.kind.name for finding in examine(home).findings]
    monkeypatch.setattr("os.statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY | os.ST_NOSUID))
    assert "DISK_READ_ONLY" in [finding.kind.name for finding in examine(home).findings]


def test_port_in_use(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = (home / "config.toml").read_text()
        old = next(line for line in text.splitlines() if line.startswith("listen = "))
        (home / "config.toml").write_text(text.replace(old, f'listen = "127.0.0.1:{port}"', 1))
        found = [finding for finding in examine(home).findings if finding.kind.name == "PORT_IN_USE"]
        assert len(found) == 1
        assert str(port) in found[0].message


def test_a_name_that_leads_nowhere(home: Path) -> None:
    text = (home / "config.toml").read_text()
    old = next(line for line in text.splitlines() if line.startswith("listen = "))
    (home / "config.toml").write_text(text.replace(old, 'listen = "nohost.invalid:5000"', 1))
    found = [finding for finding in examine(home).findings if finding.kind.severity == "error"]
    assert [finding.kind.name for finding in found] == ["CONFIG"]
    assert "listen = nohost.invalid:5000: the name nohost.invalid leads nowhere" in found[0].message


def test_a_running_node_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.maintenance.doctor.is_database_in_use", lambda path: True)
    report = examine(home, is_deep=True)
    assert [finding.kind.name for finding in report.findings if finding.counts] == ["NODE_RUNNING"]
    assert report.height == -1


def test_another_owner(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4_242)
    assert "FOREIGN_OWNER" in [finding.kind.name for finding in examine(home).findings]


def deep(home: Path) -> set[str]:
    done = qenex("doctor", "--home", home, "--deep", "--json")
    return {item["name"] for item in done.data["findings"] if item["severity"] == "error"}


def some_row(home: Path, prefix: bytes, number: int = 0) -> tuple[bytes, bytes]:
    database = LevelDb(home / "data" / "db")
    rows = list(database.scan(prefix, prefix + b"\xff"))
    database.close()
    return rows[number]


def test_deep_finds_a_changed_balance(home: Path) -> None:
    key, _ = some_row(home, b"s h")
    row(key, b"\x91\xc4\x01\x05")(home)
    assert not [f for f in examine(home).findings if f.kind.severity == "error"]  # the quick look does not read records
    assert deep(home) == {"STATE_ROOT"}


def test_deep_finds_a_record_that_is_gone_or_too_many(home: Path) -> None:
    key, _ = some_row(home, b"s h")
    row(key, None)(home)
    assert "RECORD" in deep(home)


def test_deep_counts_records(home: Path) -> None:
    row(b"s h" + bytes(32) + b"ABC", b"\x91\xc4\x01\x05")(home)
    assert deep(home) == {"STATE_ROOT"}


def test_deep_finds_an_altered_block(home: Path) -> None:
    other = some_row(home, b"b", 2)
    row(b"b" + height_bytes(2), other[1])(home)
    assert "BLOCK_CHAIN" in deep(home)


def test_deep_finds_altered_receipts_and_commits(home: Path) -> None:
    _, commit = some_row(home, b"c", 1)
    row(b"c" + height_bytes(4), commit)(home)
    assert deep(home) == {"COMMIT"}
    row(b"e" + height_bytes(3), b"\x90")(home)
    assert deep(home) == {"COMMIT", "BLOCK_CHAIN"}


def test_deep_finds_a_flipped_bit(home: Path) -> None:
    close_tables(home)
    rot(home)
    done = qenex("doctor", "--home", home, "--deep", "--json")
    assert done.code == 1
    assert {item["name"] for item in done.data["findings"]} & {"DATABASE", "RECORD", "BLOCK_CHAIN"}
    assert str(home) in done.out
    assert "qenex-shadow" not in done.out


def test_codes_are_unique() -> None:
    assert len({kind.code for kind in KINDS}) == len({kind.name for kind in KINDS}) == len(KINDS)


def test_help() -> None:
    assert main(["doctor", "--help"]) == 0




def test_every_code_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    rows = {tuple(cell.strip() for cell in line.split("|")[1:4]) for line in text.splitlines() if line.startswith("| 3")}
    assert rows == {(str(kind.code), kind.name, kind.severity) for kind in KINDS}


def test_what_the_database_says_is_shown_as_text(home: Path) -> None:
    """LevelDB's words are bytes, and were shown as Python writes them."""
    (home / "data" / "db" / "CURRENT").write_text("MANIFEST-000099\n")
    for arguments in (("doctor",), ("start",), ("rollback", "--yes")):
        done = qenex(*arguments, "--home", home)
        said = done.out + done.err
        assert "MANIFEST-000099" in said or "Corruption: " in said, said
        assert "b'" not in said, said
        assert 'b"' not in said, said


def put_file(path: Path) -> None:
    path.write_text("something else")


def put_dangling_link(path: Path) -> None:
    path.symlink_to("/nowhere/disk")  # of a disk that is not mounted


def replace(name: str, put: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        path = home / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        put(path)

    return change


def findings_of(home: Path) -> list[dict[str, str]]:
    done = qenex("doctor", "--home", home, "--json")
    return [item for item in done.data["findings"] if item["severity"] != "note"]


@pytest.mark.parametrize("name", ["data/db", "data/wal"])
@pytest.mark.parametrize(
    ("put", "says", "does"),
    [
        (put_file, "is there and is no folder", "move it away"),
        (put_dangling_link, "is a link to /nowhere/disk, which is not there", "mount"),
    ],
)
def test_something_in_a_folders_place(home: Path, name: str, put: Callable[[Path], None], says: str, does: str) -> None:
    """It was no finding, or the database counted as one that was never made: a start then failed, with advice to make a new home."""
    replace(name, put)(home)
    assert [item["name"] for item in findings_of(home)] == ["HOME"]
    found = findings_of(home)[0]
    assert found["severity"] == "error"
    reading = [("export", home.parent / "x")] if name == "data/db" else []
    for command in (("start",), ("rollback", "--yes"), ("prune", "--retain", "1"), *reading):
        done = qenex(*command, "--home", home, "--json")
        assert (done.code, done.error["name"]) == (2, "HOME"), command
        for said in (found, done.error):
            assert said["message"].startswith(f"{home / name} {says}"), command
            assert does in said["hint"], command


@pytest.mark.parametrize("put", [put_file, put_dangling_link])
def test_nothing_is_brought_into_such_a_place(home: Path, put: Callable[[Path], None]) -> None:
    state = home.parent / "state"
    assert qenex("export", state, "--home", home).code == 0
    replace("data/db", put)(home)
    done = qenex("import", state, "--home", home, "--json")
    assert (done.code, done.error["name"]) == (2, "HOME")
    assert done.error["message"].startswith(f"{home / 'data' / 'db'} ")
    assert os.path.lexists(home / "data" / "db")


def test_an_empty_folder_where_the_database_was(home: Path) -> None:
    """The place to which a disk was mounted."""
    shutil.rmtree(home / "data" / "db")
    (home / "data" / "db").mkdir()
    done = qenex("start", "--home", home, "--json")
    assert (done.code, done.error["name"]) == (2, "STORAGE")
    assert "mounted" in done.error["hint"]
    assert "qenex init" not in done.error["hint"]


def test_a_folder_in_the_records_place(home: Path) -> None:
    replace("data/signer_record", lambda path: path.mkdir(mode=0o700))(home)
    said = [item for item in findings_of(home) if item["name"] == "SIGNER_RECORD"]
    started = qenex("start", "--home", home, "--json")
    for item in (*said, started.error):
        assert item["message"] == f"the signer record {home / 'data' / 'signer_record'} is no file"
        assert "chmod" not in item["hint"]
    assert len(said) == 1
