"""The file of the audit log: appending, several processes, a stop at every byte, full disks, and files that are not what they were."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from node.audit import journal as journal_module
from node.audit.actions import ACTIONS, TEXT_CHARS_MAX, check_detail
from node.audit.chain import NOTHING, Entry, Head, check_lines, log_name, read_line
from node.audit.journal import Journal, make_fact, note_path, read_note
from node.audit.reading import find_offset, read_backwards, select_last
from node.audit.verify import verify
from node.config import Home
from state.primitives.errors import AuditLogDamagedError, AuditLogUnavailableError, ConfigError, LocalError

ROOT = Path(__file__).parents[3]


def lines_of(home: Home) -> list[bytes]:
    return home.audit_log_file.read_bytes().splitlines(keepends=True)


def entries_of(home: Home) -> list[Entry]:
    return [read_line(line) for line in lines_of(home)]


def fill(home: Home, count: int) -> Journal:
    journal = Journal.open(home)
    details = [{"name": f"t{number}", "role": "public", "account": None} for number in range(count)]
    journal.record_facts([make_fact("os:ann", "rpc.token.new", detail) for detail in details])
    return journal


def test_entries_follow_each_other(tmp_path: Path) -> None:
    home = Home(tmp_path)
    made = fill(home, 3).record("token:desk", "log.level", module="p2p", level="debug")
    first, *rest = entries_of(home)
    assert (first.number, first.action, first.previous) == (1, "log.begin", NOTHING)
    assert rest[-1] == made and made.number == 5
    assert check_lines(lines_of(home)) == Head(5, made.hash)
    assert home.audit_log_file.stat().st_mode & 0o777 == 0o600
    assert note_path(home.audit_log_file).stat().st_mode & 0o777 == 0o600
    note = read_note(home.audit_log_file)
    assert note is not None and (note.head, note.size) == (Head(5, made.hash), home.audit_log_file.stat().st_size)
    line = json.loads(lines_of(home)[-1])
    assert (line["actor"], line["detail"]) == ("token:desk", {"level": "debug", "module": "p2p"})
    assert Journal.open(home).record("node", "node.stop", reason="", height=7).number == 6


def test_what_the_log_says_of_itself_is_not_later_than_what_follows(tmp_path: Path) -> None:
    """Failed before: `verify` of every new home said that the clock was set back, since its first entry was made after the second."""
    home = Home(tmp_path)

    def record_what_has_been() -> None:
        fact = make_fact("os:ann", "rpc.token.revoke", {"name": "t1"})
        Journal(home.audit_log_file).record_facts([fact])

    record_what_has_been()
    note_path(home.audit_log_file).unlink()
    record_what_has_been()
    with home.audit_log_file.open("ab") as file:
        file.write(b'{"number":5')
    record_what_has_been()
    own = [entry.action for entry in entries_of(home) if entry.action.startswith("log.")]
    assert own == ["log.begin", "log.head_lost", "log.torn"]
    assert verify(home.audit_log_file).set_back == 0


def test_two_logs_never_have_one_name(tmp_path: Path) -> None:
    names = {log_name(entries_of(home)[0]) for home in (Home(tmp_path / "a"), Home(tmp_path / "b")) if Journal.open(home)}
    assert len(names) == 2


def test_only_what_is_in_the_table(tmp_path: Path) -> None:
    journal = Journal.open(Home(tmp_path))
    for action, detail in (("rpc.token.delete", {}), ("log.level", {"module": "x"}), ("log.level", {"module": "x", "level": 1, "more": 2})):
        with pytest.raises(LocalError, match=r"audit log|fields"):
            journal.record("node", action, **detail)
    for value in (1.5, b"x", [], {}, 1 << 63):
        with pytest.raises(LocalError, match="level"):
            journal.record("node", "log.level", module="x", level=value)
    assert journal.head.entries == 1
    for name, row in ACTIONS.items():
        assert check_detail(name, dict.fromkeys(row.fields)) == dict.fromkeys(row.fields)


@pytest.mark.parametrize("text", ["\udcff", "\x00\n\r\u2028", "é" * 5_000, '"\\', "", "𝄞"])
def test_texts_of_every_kind(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    made = Journal.open(home).record(text, "log.level", module=text, level=None)
    assert entries_of(home)[-1] == made
    assert len(str(made.detail["module"])) <= TEXT_CHARS_MAX
    assert verify(home.audit_log_file).problems == ()


def test_a_stop_at_every_byte_of_the_last_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # what was synced is chosen below
    home = Home(tmp_path / "home")
    fill(home, 2).close()
    path = home.audit_log_file
    before, note = path.read_bytes(), note_path(path).read_bytes()
    journal = Journal.open(home)
    journal.record("os:ann", "rpc.token.revoke", name="t1")
    journal.close()
    after = path.read_bytes()
    for length in range(len(before), len(after) + 1):
        path.write_bytes(after[:length])
        note_path(path).write_bytes(note)  # it is written last
        for kept in path.parent.glob("audit_log.torn-*"):
            kept.unlink()
        opened = Journal.open(home)
        opened.record("os:ann", "rpc.token.revoke", name="t2")
        opened.close()
        found = entries_of(home)
        torn = after[len(before) : length]
        if 0 < len(torn) < len(after) - len(before):
            assert [entry.action for entry in found[3:]] == ["log.torn", "rpc.token.revoke"]
            assert found[3].detail["bytes"] == len(torn)
            assert (path.parent / str(found[3].detail["kept_as"])).read_bytes() == torn
        else:
            assert [entry.detail["name"] for entry in found[3:]] == (["t1", "t2"] if torn else ["t2"])
        assert verify(path).problems == ()


def test_a_stop_in_the_very_first_line(tmp_path: Path) -> None:
    home = Home(tmp_path)
    Journal.open(home).close()
    whole = home.audit_log_file.read_bytes()
    home.audit_log_file.write_bytes(whole[:40])
    note_path(home.audit_log_file).unlink()
    assert Journal.open(home).record("node", "node.stop", reason="", height=0).number == 3
    assert [entry.action for entry in entries_of(home)] == ["log.torn", "log.head_lost", "node.stop"]
    assert verify(home.audit_log_file).problems == ()


PROCESS = """
import sys
from pathlib import Path
from node.audit.journal import Journal
from node.config import Home
journal = Journal.open(Home(Path(sys.argv[1])))
for number in range(40):
    journal.record(sys.argv[2], "rpc.token.revoke", name=str(number))
"""


def test_two_processes_and_two_threads_append_at_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    journal = Journal.open(home)
    others = [subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), name], cwd=ROOT) for name in ("one", "two")]

    def append(name: str) -> None:
        for number in range(40):
            journal.record(name, "rpc.token.revoke", name=str(number))

    threads = [threading.Thread(target=append, args=(name,)) for name in ("three", "four")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(timeout=120) for other in others] == [0, 0]
    found = entries_of(home)
    assert check_lines(lines_of(home)).entries == 161
    for name in ("one", "two", "three", "four"):  # each one's own, in its order, and none lost
        assert [entry.detail["name"] for entry in found if entry.actor == name] == [str(number) for number in range(40)]
    assert verify(home.audit_log_file).problems == ()


def full_disk(monkeypatch: pytest.MonkeyPatch, *, after: int, code: int = errno.ENOSPC) -> None:
    """Writes take `after` bytes and then fail."""
    real = os.write

    def write(descriptor: int, data: Any) -> int:
        if after:
            real(descriptor, bytes(data)[:after])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(journal_module.os, "write", write)


@pytest.mark.parametrize("after", [0, 1, 100])
def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path, after: int) -> None:
    home = Home(tmp_path)
    journal = fill(home, 2)
    before = home.audit_log_file.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        full_disk(patch, after=after)
        with pytest.raises(AuditLogUnavailableError, match="No space left") as caught:
            journal.record("os:ann", "rpc.token.revoke", name="t1")
        assert (caught.value.code, bool(caught.value.hint)) == (2230, True)
        assert home.audit_log_file.read_bytes() == before
    assert journal.record("os:ann", "rpc.token.revoke", name="t2").number == 4
    assert verify(home.audit_log_file).problems == ()


def test_a_sync_that_fails_is_not_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    journal = fill(home, 1)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "fsync", fail)
        with pytest.raises(AuditLogUnavailableError, match="Input/output"):
            journal.record("os:ann", "rpc.token.revoke", name="t1")
    assert journal.record("os:ann", "rpc.token.revoke", name="t2").number == 3
    assert verify(home.audit_log_file).head.entries == 3


def test_a_note_that_cannot_be_written_may_be_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    journal = fill(home, 1)

    def fail(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "pwrite", fail)
        journal.record("os:ann", "rpc.token.revoke", name="t1")
    note = read_note(home.audit_log_file)
    assert note is not None and note.head.entries == 2
    assert Journal.open(home).record("os:ann", "rpc.token.revoke", name="t2").number == 4
    assert verify(home.audit_log_file).problems == ()


def test_who_holds_the_lock_for_ever_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    home = Home(tmp_path)
    journal = fill(home, 1)
    monkeypatch.setattr(journal_module, "LOCK_S_MAX", 0.05)
    with home.audit_log_file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(AuditLogUnavailableError, match="locked by another"):
            journal.record("os:ann", "rpc.token.revoke", name="t1")
    assert journal.record("os:ann", "rpc.token.revoke", name="t1").number == 3


def test_files_that_are_no_log_of_ours(tmp_path: Path) -> None:
    home = Home(tmp_path)
    fill(home, 1).close()
    path = home.audit_log_file
    for mode in (0o640, 0o644, 0o666):
        path.chmod(mode)
        with pytest.raises(AuditLogUnavailableError, match="0600"):
            Journal.open(home)
    path.chmod(0o600)
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(AuditLogUnavailableError):
        Journal.open(home)
    path.unlink()
    path.mkdir()
    with pytest.raises(AuditLogUnavailableError):
        Journal.open(home)
    with pytest.raises(AuditLogUnavailableError):
        verify(path)
    with pytest.raises(ConfigError, match="there is no audit log"):
        verify(tmp_path / "nothing")


def test_an_end_that_is_not_what_it_was_is_not_written_on(tmp_path: Path) -> None:
    home = Home(tmp_path)
    fill(home, 4).close()
    path = home.audit_log_file
    good = path.read_bytes()
    lines = good.splitlines(keepends=True)
    for data in (b"".join(lines[:-1]), good[:-1], good.replace(b'"t3"', b'"t9"'), b"", good + lines[-1], good + b"{}\n", good + b"\x00\n"):
        path.write_bytes(data)
        with pytest.raises(AuditLogDamagedError) as caught:
            Journal.open(home)
        assert caught.value.code == 2231
        assert path.read_bytes() == data  # evidence is not touched
    path.write_bytes(good)
    assert Journal.open(home).head.entries == 5


def test_a_running_journal_sees_that_its_end_was_cut(tmp_path: Path) -> None:
    home = Home(tmp_path)
    journal = fill(home, 4)
    os.truncate(home.audit_log_file, len(b"".join(lines_of(home)[:-1])))
    for _ in range(2):
        with pytest.raises(AuditLogDamagedError):
            journal.record("os:ann", "rpc.token.revoke", name="t1")


def test_a_lost_note_is_recorded(tmp_path: Path) -> None:
    home = Home(tmp_path)
    fill(home, 2).close()
    changes = (
        lambda note: note.unlink(), lambda note: note.write_bytes(note.read_bytes()[:-3]), lambda note: note.write_bytes(b"\xff 1")
    )
    for change in changes:
        before = len(lines_of(home))
        change(note_path(home.audit_log_file))
        Journal.open(home).close()
        last = entries_of(home)[-1]
        assert (last.action, last.detail) == ("log.head_lost", {"entries": before})
    assert verify(home.audit_log_file).problems == ()


def test_a_log_is_renewed_with_what_was_wrong_with_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    journal = fill(home, 3)
    other = Journal.open(home)
    name = log_name(entries_of(home)[0])
    damaged = home.audit_log_file.read_bytes().replace(b"t1", b"xx")
    home.audit_log_file.write_bytes(damaged)
    entry = journal.renew("os:ann", "entry 3 was changed")
    assert (entry.number, entry.action, entry.detail["reason"]) == (1, "log.begin", "entry 3 was changed")
    assert (entry.detail["previous_log"], entry.detail["previous_entries"]) == (name, 4)
    assert home.audit_log_file.with_name(str(entry.detail["kept_as"])).read_bytes() == damaged
    assert other.record("os:bob", "rpc.token.revoke", name="x").number == 2  # one that had the old file open writes into the new one
    assert verify(home.audit_log_file).problems == ()


def test_reading_from_the_end_and_from_a_number(tmp_path: Path) -> None:
    home = Home(tmp_path)
    journal = fill(home, 1_500)
    path = home.audit_log_file
    lines = lines_of(home)
    with path.open("rb") as file:
        assert list(read_backwards(file, path.stat().st_size)) == lines[::-1]
        assert [find_offset(file, number) for number in (1, 2, 777, 1_501)] == [
            sum(map(len, lines[: number - 1])) for number in (1, 2, 777, 1_501)
        ]
        assert find_offset(file, 5_000) == path.stat().st_size
    journal.record("token:desk", "log.level", module="p2p", level="debug")
    with path.open("ab") as file:
        file.write(lines[0][:50])  # being written
    found, looked_from = select_last(path, 3)
    assert ([entry.number for entry in found], looked_from) == ([1_500, 1_501, 1_502], 1_500)
    assert [entry.number for entry in select_last(path, 2, before=700)[0]] == [698, 699]
    assert select_last(path, 2, before=1) == ([], 0)
    assert [entry.number for entry in select_last(path, 5, actor="token:*")[0]] == [1_502]
    assert [entry.number for entry in select_last(path, 5, action="log.begin")[0]] == [1]
    assert select_last(path, 5, action="node.start", walk_max=10) == ([], 1_493)


def test_lines_without_end_are_refused_and_not_held(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 1_000_000)
    with path.open("rb") as file:
        with pytest.raises(AuditLogDamagedError, match="longer than any entry"):
            list(read_backwards(file, 1_000_000))
        with pytest.raises(AuditLogDamagedError):
            find_offset(file, 3)
    assert verify(path).first_bad == 1
