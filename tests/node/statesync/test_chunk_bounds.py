"""The largest chunk that a node may serve is one that every node can take, and keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.statesync import messages as m
from node.statesync import restore
from node.statesync.restore import ChunkFolder
from state.primitives.codec import encode_trusted
from state.primitives.errors import MalformedError, TooLargeError
from state.primitives.limits import SNAPSHOT_MESSAGE_BYTES_MAX, SNAPSHOT_QUESTION_BYTES_MAX, SNAPSHOT_ROWS_MAX
from state.tree import SHARDS

QUESTION = m.Question(m.CHUNK, (1 << 63) - 1, SHARDS - 1, b"k" * 255)


def make_rows(count: int, value_bytes: int = 40) -> m.Rows:
    return tuple((number.to_bytes(4, "big"), bytes(value_bytes)) for number in range(count))


@pytest.mark.parametrize(
    "rows",
    [make_rows(66_700), make_rows(SNAPSHOT_ROWS_MAX, 13), make_rows(200, 78_000)],
    ids=["of 8.5 million accounts", "of most rows", "of most bytes"],
)
def test_what_may_be_served_can_be_taken(rows: m.Rows) -> None:
    answer = m.encode_chunk(QUESTION, rows)
    assert m.is_chunk_small_enough(rows, answer)
    assert m.decode_message(answer) == (QUESTION, rows)


def test_what_cannot_be_taken_may_not_be_served() -> None:
    for rows in (make_rows(SNAPSHOT_ROWS_MAX + 1, 1), make_rows(202, 78_000)):
        answer = m.encode_chunk(QUESTION, rows)
        assert not m.is_chunk_small_enough(rows, answer)
        with pytest.raises(MalformedError):
            m.decode_message(answer)


def test_a_large_chunk_is_read_back_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "check_chunk", lambda *_: None)  # so many keys of one shard are hard to find
    rows = make_rows(66_700)
    roots = (bytes(32), *(None,) * (SHARDS - 1))
    folder = ChunkFolder(tmp_path, 10, roots)
    folder.put(0, rows)
    assert folder.read(0) == rows
    assert ChunkFolder(tmp_path, 10, roots).missing == []


def test_only_chunks_may_have_so_rows_items() -> None:
    for kind in (m.OFFER, m.LIGHT, m.PROOF, m.BLOCK):
        with pytest.raises(TooLargeError):
            m.decode_message(encode_trusted((kind + 16, 1, 0, b"", (0,) * 200_001)))


def test_an_answer_to_a_server_is_not_looked_into() -> None:
    assert m.decode_question(QUESTION.encode()) == QUESTION
    assert len(QUESTION.encode()) < SNAPSHOT_QUESTION_BYTES_MAX
    for answer in (m.encode_missing(QUESTION), b"\x95\x12" + bytes(SNAPSHOT_MESSAGE_BYTES_MAX)):
        with pytest.raises(MalformedError, match="nobody asked"):
            m.decode_question(answer)
