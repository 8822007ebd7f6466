"""`qenex state diff`: the records that differ and no others, between databases, exported states and bundles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from node.crash import write_bundle
from node.maintenance.records import kind_of
from state.primitives.errors import StateDivergenceError
from state.schema import DECODE
from tests.node.maintenance.chain import Chain, contents, make_home, qenex, without_log
from tests.node.maintenance.test_divergence import diverge, more_money


@pytest.fixture
async def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """Two homes of which the second executed height 4 wrongly, and its bundle."""
    one = await make_home(tmp_path / "one" / "net", 3)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    pair = Chain(one), Chain(tmp_path / "two" / "net" / "node0")
    decided = await diverge(pair, monkeypatch, more_money)
    with pytest.raises(StateDivergenceError) as caught:
        await pair[1].executor.commit(decided.block, decided.commit, decided.pq_commit)
    bundle = write_bundle(tmp_path / "b", 5, caught.value, {}, ())
    await pair[0].executor.commit(decided.block, decided.commit, decided.pq_commit)
    for chain in pair:
        chain.close()
    assert bundle is not None
    return one, tmp_path / "two" / "net" / "node0", bundle


def differing(*arguments: object) -> list[tuple[str, str, str]]:
    done = qenex("state", "diff", *arguments, "--json")
    assert done.code == (0 if done.data["same"] else 1), done.err
    return [
        (item["kind"], *(side["balance"] if isinstance(side, dict) else str(side) for side in (item["a"], item["b"])))
        for item in done.data["records"]
    ]


async def test_databases_files_and_bundles(two: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, other, bundle = two
    before = without_log(contents(one)), without_log(contents(other))
    found = differing(one, other, "--height", 4)
    assert len(found) == 1
    kind, right, wrong = found[0]
    assert (kind, int(wrong)) == ("holding", int(right) + 7)
    assert differing(one / "data" / "db", other / "data" / "db", "--height", 4) == found
    good, bad = tmp_path / "good", tmp_path / "bad"
    assert qenex("export", good, "--home", one, "--height", 4).code == 0
    assert qenex("export", bad, "--home", other, "--height", 4).code == 0
    assert differing(good, bad) == differing(good, other) == differing(one, bad) == found
    assert differing(good, bundle) == differing(one, bundle) == found
    assert differing(bundle, good) == [(kind, wrong, right)]
    assert differing(good, one) == differing(one, one) == differing(bundle, other) == []
    text = qenex("state", "diff", good, bad)
    assert text.code == 1
    assert any(line.startswith("holding address=qx1") and f"balance {right} -> {wrong}" in line for line in text.out.splitlines())
    assert text.out.splitlines()[-1] == "different: 1 records shown, 1 of 256 shards"
    assert qenex("state", "diff", good, good).out.splitlines()[-1] == "the same"
    assert (without_log(contents(one)), without_log(contents(other))) == before  # the exports are in the audit logs


async def test_two_bundles(two: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """What both nodes of a disagreement send each other; a record that only one of them changed is shown too."""
    _, _, bundle = two
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    lines = [json.loads(line) for line in (copy / "changes.jsonl").read_text().splitlines()]
    changed = next(line for line in lines if line["kind"] == "holding")
    head = json.loads((copy / "divergence.json").read_text())
    import hashlib

    shard = hashlib.sha256(bytes.fromhex(changed["key"])).digest()[0]
    head["shard_roots"][shard] = "00" * 32
    (copy / "divergence.json").write_text(json.dumps(head))
    changed["value"] = "91c40107"
    (copy / "changes.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert [(kind, b) for kind, _, b in differing(bundle, copy)] == [("holding", "7")]
    kept = [line for line in lines if line is not changed]
    (copy / "changes.jsonl").write_text("\n".join(json.dumps(line) for line in kept))
    assert [(kind, b) for kind, _, b in differing(bundle, copy)] == [("holding", "unknown")]


async def test_different_heights_and_limits(two: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, _, _ = two
    file = tmp_path / "early"
    assert qenex("export", file, "--home", one, "--height", 1).code == 0
    assert differing(file, one) == []  # the database is read at the file's height
    done = qenex("state", "diff", file, one, "--height", 5, "--max", 2, "--json")
    assert (done.data["a"]["height"], done.data["b"]["height"]) == ("1", "5")
    assert len(done.data["records"]) == 2
    assert done.data["truncated"]


async def test_mistakes(two: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, _, bundle = two
    other = await make_home(tmp_path / "x" / "net", 1, chain_id="another-1")
    torn = tmp_path / "torn"
    shutil.copytree(bundle, torn)
    (torn / "changes.jsonl").write_text("{")
    (tmp_path / "empty").mkdir()
    for left, right, name in (
        (one, tmp_path / "nothing", "CONFIG"),
        (one, tmp_path / "empty", "HOME"),
        (one, one / "genesis.json", "EXPORT_FILE"),
        (one, torn, "HOME"),
        (one, other, "CONFIG"),
    ):
        done = qenex("state", "diff", left, right, "--json")
        assert (done.code, done.error["name"]) == (2, name), done.err
    assert qenex("state", "diff", one, one, "--height", 77, "--json").error["name"] == "CONFIG"


@pytest.mark.parametrize("letter", DECODE)
def test_every_letter_has_a_word(letter: int) -> None:
    """Failed before: the records of policies, compliance and central banks were shown as letters."""
    assert not kind_of(bytes((32, letter))).startswith("letter")


async def test_a_bundle_that_somebody_made_up_is_refused(two: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Bundles come from other operators: whatever stands in them, it is their file that is wrong."""
    one, _, bundle = two
    head = json.loads((bundle / "divergence.json").read_text())
    for name, text in (
        ("changes.jsonl", "[" * 100_000),
        ("divergence.json", "[" * 100_000),
        ("divergence.json", json.dumps(head | {"height": 2**70})),
        ("divergence.json", json.dumps(head | {"height": -(2**70)})),
        ("divergence.json", json.dumps(head | {"height": True})),
    ):
        copy = tmp_path / "copy"
        shutil.copytree(bundle, copy)
        (copy / name).write_text(text)
        for pair in ((copy, one), (one, copy)):
            done = qenex("state", "diff", *pair, "--json")
            assert (done.code, done.error["name"]) == (2, "HOME"), (name, text[:20])
            assert str(copy) in done.error["message"]
            assert done.error["hint"] == "copy the whole bundle again"
        shutil.rmtree(copy)
