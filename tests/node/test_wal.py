"""The consensus log: every truncation and every flipped byte is either harmless or seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.wal import Wal, read_frames
from state.primitives.errors import ConsensusLogError
from state.primitives.limits import WAL_ENTRY_BYTES_MAX

CHAIN = b"chain"
BATCHES = ([b"one"], [b"two", b"three"], [b"four" * 20])


def write_log(directory: Path, height: int = 5) -> list[int]:
    """A log with three frames; the durable positions after each."""
    wal = Wal.open(directory, CHAIN, height)
    positions = []
    for batch in BATCHES:
        for entry in batch:
            wal.append(entry)
        wal.sync()
        positions.append(wal.position)
    wal.close()
    return positions


def reopened(directory: Path, signed_position: int = 0, height: int = 5) -> tuple[tuple[bytes, ...], bool]:
    wal = Wal.open(directory, CHAIN, height, signed_position=signed_position)
    wal.close()
    return wal.entries, wal.damaged


def test_round_trip_and_append_after_reopening(tmp_path: Path) -> None:
    write_log(tmp_path)
    wal = Wal.open(tmp_path, CHAIN, 5)
    assert wal.entries == (b"one", b"two", b"three", b"four" * 20)
    assert not wal.damaged
    wal.append(b"five")
    assert wal.pending_count == 1
    wal.sync()
    wal.sync()
    wal.append(b"never durable")
    wal.close()
    assert reopened(tmp_path) == ((b"one", b"two", b"three", b"four" * 20, b"five"), False)
    assert os.stat(wal.path).st_mode & 0o777 == 0o600


def test_truncated_at_every_offset(tmp_path: Path) -> None:
    positions = write_log(tmp_path)
    path = tmp_path / f"{5:020d}.log"
    whole = path.read_bytes()
    assert positions[-1] == len(whole)
    whole_entries = [entry for batch in BATCHES for entry in batch]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        entries, damaged = reopened(tmp_path)
        assert not damaged
        kept = [batch for batch, position in zip(BATCHES, positions, strict=True) if position <= length]
        assert list(entries) == [entry for batch in kept for entry in batch]
        assert list(entries) == whole_entries[: len(entries)]
        # the torn tail is gone for good: what is appended now is read again
        wal = Wal.open(tmp_path, CHAIN, 5)
        wal.append(b"next")
        wal.sync()
        wal.close()
        assert reopened(tmp_path) == ((*entries, b"next"), False)


def test_truncated_below_what_was_signed_is_damage(tmp_path: Path) -> None:
    positions = write_log(tmp_path)
    path = tmp_path / f"{5:020d}.log"
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        entries, damaged = reopened(tmp_path, signed_position=positions[1])
        assert damaged == (length < positions[1])
        assert damaged == (entries == ())
        for aside in tmp_path.glob("*.damaged-*"):
            aside.unlink()


def test_every_flipped_byte(tmp_path: Path) -> None:
    """A flip is either seen as damage, or was in the last frame's payload: cut off, and damage to one who signed after it."""
    positions = write_log(tmp_path)
    path = tmp_path / f"{5:020d}.log"
    whole = path.read_bytes()
    last_payload = positions[1] + 12
    for offset in range(len(whole)):
        for mask in (0x01, 0x80, 0xFF):
            flipped = bytearray(whole)
            flipped[offset] ^= mask
            path.write_bytes(flipped)
            entries, damaged = reopened(tmp_path)
            in_last_payload = offset >= last_payload or positions[1] + 8 <= offset
            assert damaged != in_last_payload
            assert entries == ((b"one", b"two", b"three") if in_last_payload else ())
            path.write_bytes(flipped)
            assert reopened(tmp_path, signed_position=positions[2]) == ((), True)
            for aside in tmp_path.glob("*.damaged-*"):
                aside.unlink()


def test_damage_is_remembered_and_the_evidence_kept(tmp_path: Path) -> None:
    write_log(tmp_path)
    path = tmp_path / f"{5:020d}.log"
    broken = bytearray(path.read_bytes())
    broken[3] ^= 1
    path.write_bytes(broken)
    wal = Wal.open(tmp_path, CHAIN, 5)
    assert wal.damaged
    wal.append(b"as an observer")
    wal.sync()
    wal.close()
    assert reopened(tmp_path) == ((), True)
    assert (tmp_path / f"{5:020d}.log.damaged-1").read_bytes() == bytes(broken)
    wal = Wal.open(tmp_path, CHAIN, 5)
    wal.start_height(6)
    assert not wal.damaged
    wal.append(b"whole again")
    wal.sync()
    wal.close()
    assert reopened(tmp_path, height=6) == ((b"whole again",), False)


def test_missing_log_of_a_signed_height_is_damage(tmp_path: Path) -> None:
    assert reopened(tmp_path / "a") == ((), False)
    assert reopened(tmp_path / "b", signed_position=40) == ((), True)
    assert reopened(tmp_path / "b", signed_position=40) == ((), True)


def test_zeros_after_the_last_frame_are_torn(tmp_path: Path) -> None:
    write_log(tmp_path)
    path = tmp_path / f"{5:020d}.log"
    with path.open("ab") as file:
        file.write(bytes(5000))
    entries, damaged = reopened(tmp_path)
    assert len(entries) == 4
    assert not damaged
    with path.open("ab") as file:
        file.write(bytes(20) + b"x")
    assert reopened(tmp_path) == ((), True)


def test_heights(tmp_path: Path) -> None:
    write_log(tmp_path, 5)
    wal = Wal.open(tmp_path, CHAIN, 6)
    assert wal.entries == ()
    assert list(tmp_path.iterdir()) == []
    wal.append(b"six")
    wal.sync()
    wal.append(b"dropped with its height")
    wal.start_height(9)
    assert [path.name for path in tmp_path.iterdir()] == []
    wal.append(b"nine")
    wal.sync()
    with pytest.raises(ConsensusLogError):
        wal.start_height(9)
    wal.close()
    assert reopened(tmp_path, height=9) == ((b"nine",), False)


def test_later_logs_are_left_alone_then_set_aside(tmp_path: Path) -> None:
    """The store went back in time: what was logged then is kept, but never continued."""
    write_log(tmp_path, 8)
    wal = Wal.open(tmp_path, CHAIN, 7)
    assert wal.entries == ()
    wal.start_height(8)
    wal.append(b"new")
    wal.sync()
    wal.close()
    assert reopened(tmp_path, height=8) == ((b"new",), False)
    assert (tmp_path / f"{8:020d}.log.damaged-1").exists()


def test_other_chain_and_bounds(tmp_path: Path) -> None:
    write_log(tmp_path)
    with pytest.raises(ConsensusLogError, match="another chain"):
        Wal.open(tmp_path, b"other", 5)
    wal = Wal.open(tmp_path, CHAIN, 5)
    with pytest.raises(ConsensusLogError):
        wal.append(bytes(WAL_ENTRY_BYTES_MAX + 1))
    for _ in range(3):
        wal.append(bytes(WAL_ENTRY_BYTES_MAX))
    assert wal.pending_count == 1  # the others had to go first: a frame is bounded
    wal.sync()
    wal.close()
    entries, damaged = reopened(tmp_path)
    assert len(entries) == 7
    assert not damaged


def test_disk_errors_are_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wal = Wal.open(tmp_path, CHAIN, 5)
    wal.append(b"one")
    with monkeypatch.context() as patch:

        def fail(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(ConsensusLogError, match="No space left"):
            wal.sync()
    with pytest.raises(ConsensusLogError):
        wal.sync()
    with pytest.raises(ConsensusLogError):
        wal.start_height(6)
    wal.close()


def test_reader_is_total() -> None:
    """Huge lengths, nonsense payloads: an answer, never an exception or a large allocation."""
    from zlib import crc32

    def frame(payload: bytes, size: int | None = None) -> bytes:
        header = (len(payload) if size is None else size).to_bytes(4, "big")
        return header + crc32(header).to_bytes(4, "big") + crc32(payload).to_bytes(4, "big") + payload

    for data in (
        frame(b"", 0xFFFFFFFF),
        frame(b"\xc1"),
        frame(b"\x81\x01\x02"),
        frame(b"\x05"),
        frame(b"\x91\x01") + frame(b"\x91\x01"),
        b"\xff" * 100,
    ):
        payloads, length, intact = read_frames(data)
        assert not intact
        assert length == (14 if payloads else 0)
