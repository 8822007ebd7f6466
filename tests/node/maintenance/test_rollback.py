"""`qenex rollback`: back to any kept height, with everything as it was then, and forward again to the same hashes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import trio

from consensus.block import Block
from node.maintenance.opening import open_stopped
from node.maintenance.rollback import roll_back
from node.signer import peek_record
from node.sync.messages import CertifiedBlock
from node.tips import commits_at
from state.primitives.codec import decode
from state.primitives.errors import StorageError
from tests.node.maintenance.chain import Chain, contents, make_home, qenex

HEIGHT = 8


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pattern")
    trio.run(make_home, root / "net", HEIGHT)
    return root


@pytest.fixture
def home(pattern: Path, tmp_path: Path) -> Path:
    shutil.copytree(pattern, tmp_path / "all")
    return tmp_path / "all" / "net" / "node0"


def read(home: Path) -> tuple[int, bytes, dict[int, bytes | None], list[CertifiedBlock]]:
    with open_stopped(home, read_only=True) as node:
        store = node.store
        blocks = []
        for height in range(1, store.height + 1):
            raw = store.height_row("b", height)
            assert raw is not None
            blocks.append(CertifiedBlock(Block.from_wire(decode(raw)), *commits_at(store, height)))
        return store.height, store.root, {h: store.root_at(h) for h in range(store.height + 1)}, blocks


async def test_one_height_and_forward_again(home: Path) -> None:
    _, root, roots, blocks = read(home)
    record = peek_record(home / "data" / "signer_record")
    done = qenex("rollback", "--home", home, "--yes", "--json")
    assert done.code == 0, done.err
    assert (done.data["from"], done.data["height"]) == ("8", "7")
    assert done.data["app_hash"] == (roots[7] or b"").hex().upper()
    assert len(done.data["warnings"]) == 3
    assert peek_record(home / "data" / "signer_record") == record
    height, before, _, left = read(home)
    assert (height, before, left) == (7, roots[7], blocks[:7])
    report = qenex("doctor", "--home", home, "--deep", "--json").data["findings"]
    assert [item["name"] for item in report if item["severity"] != "note"] == ["LOG_MISSING"]  # nothing is signed in height 8
    chain = Chain(home)  # the block comes again, as from a peer
    last = blocks[7]
    await chain.executor.commit(last.block, last.commit, last.pq_commit)
    assert chain.store.root == root
    chain.close()
    assert read(home) == (HEIGHT, root, roots, blocks)


def test_to_a_height_and_to_genesis(home: Path) -> None:
    _, _, roots, blocks = read(home)
    assert qenex("rollback", "--home", home, "--to", 3, "--yes").code == 0
    assert read(home)[0::3] == (3, blocks[:3])
    done = qenex("rollback", "--home", home, "--to", 0, "--yes", "--json")
    assert done.data["app_hash"] == (roots[0] or b"").hex().upper()
    assert read(home)[3] == []
    assert "cannot be undone" in qenex("rollback", "--home", home, "--yes", "--json").error["message"]


async def test_the_signer_stays_silent_where_it_has_signed(home: Path) -> None:
    chain = Chain(home)
    chain.sign(await chain.build(1))  # height 9 is under way
    chain.close()
    log = home / "data" / "wal" / f"{HEIGHT + 1:020d}.log"
    data = log.read_bytes()
    done = qenex("rollback", "--home", home, "--yes", "--json")
    assert done.data["logs_set_aside"] == [f"{log}.rolled-back-1"]
    assert Path(f"{log}.rolled-back-1").read_bytes() == data
    report = qenex("doctor", "--home", home, "--json")
    assert {"SIGNER_AHEAD", "SET_ASIDE"} <= {item["name"] for item in report.data["findings"]}
    assert "until height 9" in report.out


def test_mistakes(home: Path, tmp_path: Path) -> None:
    before = contents(home / "data" / "wal"), read(home)
    assert qenex("rollback", "--home", tmp_path / "nothing", "--yes", "--json").error["name"] == "HOME"
    for target in (8, 9, 10**9):
        error = qenex("rollback", "--home", home, "--to", target, "--yes", "--json").error
        assert "heights 0 to 7 are possible" in error["hint"]
    assert "--yes" in qenex("rollback", "--home", home, "--json").error["hint"]
    assert qenex("rollback", "--home", home, "--to", -1, "--json").error["name"] == "CONFIG"
    (home / "node.pid").write_text("{}")
    assert (contents(home / "data" / "wal"), read(home)) == before
    shutil.rmtree(home / "data" / "db")
    assert "no database" in qenex("rollback", "--home", home, "--yes", "--json").error["message"]


def test_a_running_node_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from node.testnet.processes import ProcessId

    monkeypatch.setattr("node.maintenance.opening.find_node", lambda root: ProcessId(os.getpid(), "now"))
    error = qenex("rollback", "--home", home, "--yes", "--json").error
    assert (error["name"], error["hint"]) == ("HOME", f"stop it first: kill {os.getpid()}")


def test_pruned_heights_bound_it(home: Path) -> None:
    with open_stopped(home, read_only=False) as node:
        assert node.store.prune(6) == 5
        with pytest.raises(StorageError, match="cannot go back"):
            roll_back(node.store, 5, 1)
        assert roll_back(node.store, 6, 1).height == 6
        with pytest.raises(StorageError, match="nothing before it is kept"):
            roll_back(node.store, 5, 1)
