"""`qenex audit state`: a sound state is clean, one with a unit too much is not, and two that differ are told apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from node.config import Home
from node.telemetry.audit_note import read_audit_time
from state.primitives.errors import StateDivergenceError
from tests.node.maintenance.chain import Chain, make_home, qenex
from tests.node.maintenance.test_divergence import diverge, more_money


async def test_homes_and_exports_are_audited_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await make_home(tmp_path / "one" / "net", 3)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    other = tmp_path / "two" / "net" / "node0"
    sound = qenex("audit", "state", one, other, "--json")
    assert (sound.code, sound.data["clean"], len(sound.data["states"])) == (0, True, 2)
    assert sound.data["states"][0]["supplies"] == sound.data["states"][0]["holdings"]

    pair = Chain(one), Chain(other)
    decided = await diverge(pair, monkeypatch, more_money)
    with pytest.raises(StateDivergenceError):
        await pair[1].executor.commit(decided.block, decided.commit, decided.pq_commit)
    await pair[0].executor.commit(decided.block, decided.commit, decided.pq_commit)
    for chain in pair:
        chain.close()
    wrong = qenex("audit", "state", one, other, "--height", 4, "--json")
    assert wrong.code == 1
    assert wrong.data["differing_heights"] == ["4"]
    assert [state["problems"] for state in wrong.data["states"]] == [[], ["I1: QNX was not conserved"]]

    assert qenex("export", tmp_path / "bad", "--home", other, "--height", 4).code == 0
    text = qenex("audit", "state", tmp_path / "bad")
    assert text.code == 1
    assert "I1: QNX was not conserved" in text.out and text.out.strip().endswith("not clean")


async def test_the_answer_comes_before_the_word_in_the_home(tmp_path: Path) -> None:
    """A home that takes nothing loses no answer; an audit of an older height says nothing of the state that the node goes on from."""
    home = await make_home(tmp_path / "net", 4)
    note = Home(home).audit_file
    assert qenex("audit", "state", home, "--height", 3).code == 0
    assert not note.exists()
    note.mkdir()  # in the way of the file
    lost = qenex("audit", "state", home)
    assert lost.out.strip().endswith("clean")
    assert lost.code == 2 and "Traceback" not in lost.err and str(note) in lost.err
    note.rmdir()
    assert qenex("audit", "state", home).code == 0
    assert read_audit_time(Home(home)) is not None


def test_what_is_no_state_is_a_message(tmp_path: Path) -> None:
    assert qenex("audit", "state", tmp_path / "nothing", "--json").code == 2
    (tmp_path / "file").write_bytes(b"garbage")
    refused = qenex("audit", "state", tmp_path / "file", "--json")
    assert refused.code == 2 and refused.error["message"]
