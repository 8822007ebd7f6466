"""Every kind of tampering is found, in a log and in a cut of it; what is good stays good."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.audit.chain import Entry, Head, compute_hash, log_name, make_entry, read_line, write_line
from node.audit.cut import CSV_START, JSONL_START, Moment, find_cut, format_time, parse_moment, read_cut, write_cut
from node.audit.journal import Journal, Note, make_fact, note_path
from node.audit.verify import Anchor, Verified, read_log_name, verify
from node.config import Home
from state.primitives.errors import AuditLogDamagedError, ConfigError

COUNT = 12
HOUR_NS = 3_600 * 10**9
START_NS = 1_800_000_000 * 10**9


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of `COUNT` entries, one an hour."""
    home = Home(tmp_path_factory.mktemp("home"))
    journal = Journal.open(home)
    facts = [
        make_fact("token:desk", "rpc.token.new", {"name": f"t{number}", "role": "public", "account": None}, START_NS + number * HOUR_NS)
        for number in range(2, COUNT + 1)
    ]
    journal.record_facts(facts)
    return home.audit_log_file


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def entries_of(path: Path) -> list[Entry]:
    return [read_line(line) for line in lines_of(path)]


def copy(good: Path, folder: Path, lines: list[bytes], *, note: bytes | None = None) -> Path:
    path = folder / "audit_log"
    path.write_bytes(b"".join(lines))
    note_path(path).write_bytes(note_path(good).read_bytes() if note is None else note)
    return path


def anchors_of(path: Path, *numbers: int) -> list[Anchor]:
    found = entries_of(path)
    return [Anchor(place, number, found[number - 1].hash, 100 * number, 1_800_000_000) for place, number in enumerate(numbers)]


def chain_again(lines: list[bytes]) -> list[bytes]:
    """What somebody does who knows how hashes are made: the same entries with all hashes right again."""
    head, made = Head(), []
    for line in lines:
        old = json.loads(line)
        entry = make_entry(head, old["time_ns"], old["actor"], old["action"], old["detail"])
        made.append(write_line(entry))
        head = Head(entry.number, entry.hash)
    return made


def note_of(lines: list[bytes]) -> bytes:
    last = read_line(lines[-1])
    return Note(Head(last.number, last.hash), sum(map(len, lines))).to_bytes()


def test_a_good_log(good: Path) -> None:
    found = verify(good, anchors_of(good, 3, 7, COUNT))
    assert (found.problems, found.head.entries, found.anchors, found.anchored) == ((), COUNT, 3, COUNT)
    assert found.log == read_log_name(good) == log_name(entries_of(good)[0])
    assert found.to_json()["good"] is True
    assert verify(good, anchors_of(good, 3)).anchored == 3
    assert verify(good).anchors == 0


Lines = list[bytes]


def edited(old: bytes, new: bytes) -> Callable[[Lines], Lines]:
    return lambda lines: [line.replace(old, new) for line in lines]


def moved(lines: Lines) -> Lines:
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


# what is done to the lines -> the number of the first entry that is wrong
TAMPERED: dict[str, tuple[Callable[[Lines], Lines], int]] = {
    "a text": (edited(b'"t5"', b'"t55"'), 5),
    "an actor": (lambda lines: [*lines[:5], lines[5].replace(b"desk", b"dusk"), *lines[6:]], 6),
    "an action": (lambda lines: [*lines[:5], lines[5].replace(b"token.new", b"token.xew"), *lines[6:]], 6),
    "a time": (lambda lines: [*lines[:5], lines[5].replace(b'"time_ns":1', b'"time_ns":2'), *lines[6:]], 6),
    "a number": (edited(b'"number":5,', b'"number":50,'), 5),
    "the hash before": (lambda lines: [*lines[:5], lines[5].replace(json.loads(lines[5])["previous"].encode(), b"0" * 64), *lines[6:]], 6),
    "a hash": (lambda lines: [*lines[:5], lines[5].replace(json.loads(lines[5])["hash"].encode(), b"0" * 64), *lines[6:]], 6),
    "a hash in capitals": (lambda lines: [*lines[:5], lines[5][:-68] + lines[5][-68:].upper(), *lines[6:]], 6),
    "a space": (edited(b'{"number":5,', b'{ "number":5,'), 5),
    "a field put in": (edited(b'{"number":5,', b'{"x":1,"number":5,'), 5),
    "a field twice": (edited(b'{"number":5,', b'{"number":4,"number":5,'), 5),
    "fields in another order": (edited(b'"name":"t5","role":"public"', b'"role":"public","name":"t5"'), 5),
    "a type": (edited(b'"t5"', b"5"), 5),
    "an escape": (edited(b'"t5"', b'"\\u0074\\u0035"'), 5),
    "no JSON": (lambda lines: [*lines[:5], b"hello\n", *lines[6:]], 6),
    "no text": (lambda lines: [*lines[:5], b"\xff\xfe\n", *lines[6:]], 6),
    "an empty line": (lambda lines: [*lines[:5], b"\n", *lines[5:]], 6),
    "another line's end": (lambda lines: [*lines[:5], lines[5][:-1] + b"\r\n", *lines[6:]], 6),
    "the first taken out": (lambda lines: lines[1:], 1),
    "one taken out": (lambda lines: [*lines[:5], *lines[6:]], 6),
    "one put in": (lambda lines: [*lines[:5], lines[4], *lines[5:]], 6),
    "two exchanged": (moved, 5),
    "all backwards": (lambda lines: lines[::-1], 1),
    "the end doubled": (lambda lines: [*lines, lines[-1]], COUNT + 1),
    "the end missing": (lambda lines: lines[:-1], COUNT),
    "half missing": (lambda lines: lines[:6], 7),
    "a cut line, and the end with it": (lambda lines: [*lines[:-1], lines[-1][:-1]], COUNT),
    "nothing left": (lambda lines: [], 1),
    "half of a line in the middle": (lambda lines: [*lines[:5], lines[5][:50], *lines[6:]], 6),
    "written anew from the middle": (lambda lines: chain_again([line.replace(b'"t5"', b'"t6"') for line in lines]), COUNT),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_each_kind_of_tampering_is_found(good: Path, tmp_path: Path, name: str) -> None:
    change, first_bad = TAMPERED[name]
    path = copy(good, tmp_path, change(lines_of(good)))
    found = verify(path)
    assert found.problems, name
    assert found.first_bad == first_bad, found.problems


def test_every_single_byte_counts(good: Path, tmp_path: Path) -> None:
    """Each byte of a line made another one."""
    lines = lines_of(good)[1:2]
    lines = chain_again(lines)
    data = b"".join(lines)
    path = copy(good, tmp_path, lines, note=note_of(lines))
    assert verify(path).problems == ()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert verify(path).problems, (place, data[place : place + 1])


# a whole log made again, with its note: only the chain knows
def without_one(lines: Lines) -> Lines:
    return chain_again([*lines[:4], *lines[5:]])


def other_beginning(lines: Lines) -> Lines:
    return chain_again([lines[0].replace(b'"nonce":"', b'"nonce":"x'), *lines[1:]])


REWRITTEN: dict[str, tuple[Callable[[Lines], Lines], int]] = {
    "an entry changed": (TAMPERED["written anew from the middle"][0], 4),
    "an entry taken out": (without_one, 4),
    "the end cut off with its note": (lambda lines: lines[:6], 7),
    "the end replaced": (lambda lines: chain_again([*lines[:9], lines[10], lines[9], lines[11]]), 8),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_a_log_that_was_written_anew_is_found_by_the_chain_alone(good: Path, tmp_path: Path, name: str) -> None:
    change, first_bad = REWRITTEN[name]
    lines = change(lines_of(good))
    path = copy(good, tmp_path, lines, note=note_of(lines))
    assert verify(path).problems == ()
    found = verify(path, anchors_of(good, 3, 7, COUNT))
    assert found.problems and found.first_bad == first_bad, found.problems


def test_a_log_with_another_beginning_has_another_name(good: Path, tmp_path: Path) -> None:
    lines = other_beginning(lines_of(good))
    path = copy(good, tmp_path, lines, note=note_of(lines))
    assert verify(path).problems == ()
    assert read_log_name(path) != read_log_name(good)


def test_an_end_that_is_being_written_is_no_tampering(good: Path, tmp_path: Path) -> None:
    lines = lines_of(good)
    head = read_line(lines[-1])
    more = write_line(make_entry(Head(head.number, head.hash), 1, "node", "node.stop", {"reason": "", "height": 1}))
    path = copy(good, tmp_path, [*lines, more[:30]])
    found = verify(path)
    assert (found.problems, found.torn, found.head.entries) == ((), 30, COUNT)
    note_path(path).unlink()
    assert "cut off" in " ".join(verify(path).problems)


def test_a_log_without_its_note(good: Path, tmp_path: Path) -> None:
    path = copy(good, tmp_path, lines_of(good))
    for note in (b"", b"12 ab 5 cd\n", note_path(good).read_bytes()[:-2]):
        note_path(path).write_bytes(note)
        assert "note of the last entry" in " ".join(verify(path).problems)


def test_a_clock_that_was_set_back_is_told_and_no_problem(tmp_path: Path) -> None:
    journal = Journal.open(Home(tmp_path))
    detail = {"module": "x", "level": "y"}
    journal.record_facts([make_fact("node", "log.level", detail, time_ns) for time_ns in (5, 9, 3, 12)])
    found = verify(journal.path)
    assert (found.problems, found.set_back) == ((), 2)


# cuts


def cut_of(good: Path, folder: Path, kind: str, first: str = "4", last: str = "9") -> Path:
    path = folder / f"cut.{kind}"
    head = find_cut(good, parse_moment(first, "--from", is_end=False), parse_moment(last, "--to", is_end=True))
    with path.open("wb") as out:
        write_cut(good, head, kind, out)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_cut_can_be_checked_alone(good: Path, tmp_path: Path, kind: str) -> None:
    path = cut_of(good, tmp_path, kind)
    found = verify(path, anchors_of(good, 3, 7, COUNT))
    assert (found.problems, found.is_cut, found.first, found.head.entries) == ((), True, 4, 9)
    assert (found.anchors, found.anchored) == (2, 7)  # also the one of the entry before it
    assert found.log == read_log_name(path) == read_log_name(good)
    if kind == "jsonl":
        assert path.read_bytes().splitlines(keepends=True)[1:] == lines_of(good)[3:9]
    whole = cut_of(good, tmp_path, kind, "1", str(COUNT))
    assert verify(whole, anchors_of(good, COUNT)).anchored == COUNT


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_each_byte_of_a_cut_counts(good: Path, tmp_path: Path, kind: str) -> None:
    data = cut_of(good, tmp_path, kind, "4", "4").read_bytes()
    path = tmp_path / "changed"
    missed = []
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        if not verify(path).problems:
            missed.append(place)
    log = data.index(b'"log":"') + 7
    assert [place for place in missed if not log <= place < log + 22] == []  # the log's name is proved by its anchors only
    for last in ("4", "5"):
        path.write_bytes(b"".join(cut_of(good, tmp_path, kind, "4", last).read_bytes().splitlines(keepends=True)[:-1]))
        assert "ends with" in " ".join(verify(path).problems)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_cut_that_was_made_up_is_found_by_the_chain(good: Path, tmp_path: Path, kind: str) -> None:
    lines = TAMPERED["written anew from the middle"][0](lines_of(good))
    made_up = copy(good, tmp_path, lines, note=note_of(lines))
    path = cut_of(made_up, tmp_path, kind)
    assert verify(path).problems == ()
    assert "written anew" in " ".join(verify(path, anchors_of(good, 3, 7)).problems)


def test_times_choose_what_is_cut(good: Path) -> None:
    entries = entries_of(good)[1:]  # the first has the time of the test

    def numbers(first: str, last: str) -> tuple[int, int]:
        head = find_cut(good, parse_moment(first, "--from", is_end=False), parse_moment(last, "--to", is_end=True))
        return head.first, head.last

    at = [format_time(entry.time_ns) for entry in entries]
    assert numbers(at[2][:19] + "Z", at[5]) == (4, 7)
    assert numbers(at[2][:19] + "+00:00", at[5][:19]) == (4, 7)
    assert numbers("4", at[5]) == (4, 7)
    assert numbers("1", "5") == (1, 5)
    day = at[0][:10]
    assert numbers(day, day)[0] == 2
    with pytest.raises(ConfigError, match="no entries between"):
        numbers("2099-01-01", "2099-12-31")
    with pytest.raises(ConfigError, match="no entries"):
        numbers("50", "60")
    for text in ("yesterday", "", "-1", "2026-13-01", "1" * 19):
        with pytest.raises(ConfigError, match="--from"):
            parse_moment(text, "--from", is_end=False)


def test_a_damaged_log_is_not_cut(good: Path, tmp_path: Path) -> None:
    path = copy(good, tmp_path, edited(b'"t5"', b'"t6"')(lines_of(good)))
    with pytest.raises(AuditLogDamagedError, match="entry 5"):
        find_cut(path, Moment(number=7), Moment(number=9))


@pytest.mark.parametrize("data", [JSONL_START + b"}\n", CSV_START + b"\n", JSONL_START + b" \xff\n"])
def test_heads_that_are_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cut"
    path.write_bytes(data)
    found: Verified = verify(path)
    assert "head of the cut" in found.problems[0]
    with pytest.raises(AuditLogDamagedError):
        read_cut(io.BytesIO(data))


def test_the_hash_is_the_one_that_is_written_down() -> None:
    """A vector for other programs; see docs/audit.md."""
    entry = make_entry(Head(), 1_800_000_000_000_000_000, "os:ann", "rpc.token.new", {"role": "public", "name": "desk"})
    assert entry.hash == VECTOR
    assert compute_hash(1, 1_800_000_000_000_000_000, "os:ann", "rpc.token.new", {"name": "desk", "role": "public"}, "00" * 32) == VECTOR


VECTOR = "3ab31f777df9e2090d76f963737b15c1bac872900f9ad2c1f309c8db3df4fad7"
