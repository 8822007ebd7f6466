"""A sample of the fuzzing for every change, and every input that was ever a finding. The long run is `scripts/fuzz`."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from tests.fuzz.engine import PEAK_KIB_MAX, Report, Source, fuzz, run_one
from tests.fuzz.targets import TARGETS, Target, by_name

FINDINGS = sorted((Path(__file__).parent / "findings").glob("*/*.bin"))
SAMPLE = {"core": 150, "mempool_message": 150, "frames": 300, "genesis": 100, "block_message": 500}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_seeds_are_accepted(target: Target) -> None:
    for data in target.seeds():
        try:
            target.run(data)
        except target.refusals as error:
            # a proof of another root, a foreign address, a chunk of another shard
            assert target.name in ("proof", "rpc_uri", "core", "peer_address", "snapshot_message"), error


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_sample(target: Target) -> None:
    report = fuzz(target, seed=1, inputs=SAMPLE.get(target.name, 1_000))
    assert report.findings == []
    assert report.refused > report.inputs // 20, "the mutations no longer reach the checks"


def test_former_findings() -> None:
    for path in FINDINGS:
        report = Report(path.parent.name)
        run_one(by_name()[path.parent.name], path.read_bytes(), report)
        assert report.findings == [], path


def test_one_seed_is_one_sequence() -> None:
    for target in TARGETS[:3]:
        first, second = Source(target, 5), Source(target, 5)
        assert [first.next() for _ in range(200)] == [second.next() for _ in range(200)]


def test_a_decoder_that_stumbles_is_found() -> None:
    def stumble(data: bytes) -> None:
        if len(data) > 3 and data[0] & 1:
            raise IndexError("list index out of range")

    planted = Target("planted", stumble, lambda: (b"\0" * 8,), "bytes")
    found = fuzz(planted, seed=1, inputs=2_000).findings
    assert found
    assert "IndexError" in found[0][1]


def test_a_decoder_that_takes_memory_is_found() -> None:
    held: list[bytes] = []

    def take(data: bytes) -> None:
        held.append(bytes(1 << 20) * 400 if data[0] == 7 else b"")
        held.clear()

    report = Report("planted")
    planted = Target("planted", take, lambda: (b"\0",), "bytes")
    run_one(planted, b"\0", report)
    assert report.findings == []
    run_one(planted, b"\7", report)
    assert "MiB" in report.findings[0][1]


FROM_STRANGERS = [target for target in TARGETS if target.shape == "msgpack" and target.name != "state_record"]


@pytest.mark.parametrize("target", FROM_STRANGERS, ids=lambda target: target.name)
def test_shapes_that_take_memory(target: Target) -> None:
    """Little on the wire, much when it is taken apart: arrays in arrays, and arrays that promise what never comes."""
    for unit in (b"\x91", b"\x91" * 14 + b"\x90", b"\xdd\x00\x00\xe0\x00", b"\x80"):
        report = Report(target.name)
        tracemalloc.start()
        run_one(target, b"\xdc\xe0\x00" + (unit * 60_000)[:60_000], report)
        peak_kib = tracemalloc.get_traced_memory()[1] // 1024
        tracemalloc.stop()
        assert report.findings == []
        assert peak_kib < PEAK_KIB_MAX
