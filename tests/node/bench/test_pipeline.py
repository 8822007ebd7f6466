"""The pipeline bench does what it says, and a seeded home is a home."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from genesis.build import build_changes
from genesis.document import parse
from genesis.testnet import ASSET, BENCH_FUNDS, bench_seed_label
from node.bench.pipeline import PipelineOptions, run_pipeline
from node.bench.seed import account_rows, fill_store, measure_open, plan_single, seed_home
from node.cli.main import main
from node.config import Home, load_config
from node.executor import load_state
from node.gc_tuning import YOUNG_MAX, tune_gc
from node.storage.store import Store
from node.testnet.files import load_account_seed
from state.primitives.errors import ConfigError, HomeError
from state.primitives.keys import KeyKind, PrivateKey
from state.schema import decode_record, holding_key, supply_key


@pytest.fixture(autouse=True)
def own_gc() -> Iterator[None]:
    """The bench tunes the collector of its process, which here is the tests'."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.mark.parametrize("workers", [0, 1])
def test_every_transfer_is_decided(tmp_path: Path, workers: int) -> None:
    report = run_pipeline(PipelineOptions(txs=330, accounts=50, block_txs=100, workers=workers), tmp_path)
    data = report.to_json()
    assert list(data) == ["transactions", "seconds", "tps", "stages_us", "accounts"]
    assert (data["transactions"], data["accounts"]) == (330, 50)
    assert {"decode", "verify", "execute", "tree", "store"} <= set(report.stages_us)
    # admission is what submitting took less the waiting for signatures: on a busy machine that can be nothing
    assert all(value >= 0 for value in report.stages_us.values())
    store = Store.open(tmp_path / "db")
    assert store.height == 4
    state = load_state(store)
    assert state.tip.app_hash == store.root
    spent = 0
    for index in range(50):
        key = account_key_of(index)
        (amount,) = decode_record(key, store.get(key) or b"")
        spent += amount
    assert spent == 50 * BENCH_FUNDS  # everything went from one of them to another
    store.close()


def account_key_of(index: int) -> bytes:
    """The holding of a load account of the pipeline."""
    from genesis.entries import single_key_address
    from node.bench.pipeline import LOAD_SEED

    seed = load_account_seed(LOAD_SEED, bench_seed_label(index))
    return holding_key(single_key_address(PrivateKey.from_seed(KeyKind.ED25519, seed).public_key), ASSET)


@pytest.mark.parametrize(
    "options",
    [
        PipelineOptions(txs=0),
        PipelineOptions(accounts=1),
        PipelineOptions(block_txs=0),
        PipelineOptions(block_txs=1_000_000),
        PipelineOptions(workers=10_000),
    ],
)
def test_impossible_options_are_refused(options: PipelineOptions, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        run_pipeline(options, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "pipeline", "--transactions", "60", "--accounts", "20", "--block", "30", "--workers", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["transactions"] == 60
    assert main(["bench", "pipeline", "--workers", "many", "--json"]) == 2


def test_a_bulk_loaded_state_is_the_one_that_genesis_would_give(tmp_path: Path) -> None:
    """Root and supply: as if the load accounts stood in the document."""
    plan = plan_single("test", 0, bytes(32))
    bulk, whole = Store.create(tmp_path / "bulk"), Store.create(tmp_path / "whole")
    state = fill_store(bulk, plan.document, bytes(32), 30)
    rows = {key: value for key, value in build_changes(plan.document) if value is not None}
    (supply,) = decode_record(supply_key(ASSET), rows[supply_key(ASSET)])
    rows.update(account_rows((bytes(32), 0, 30)))
    rows[supply_key(ASSET)] = bulk.get(supply_key(ASSET)) or b""
    assert whole.stage(0, sorted(rows.items())) == bulk.root == state.tip.app_hash
    (after,) = decode_record(supply_key(ASSET), rows[supply_key(ASSET)])
    assert after == supply + 30 * BENCH_FUNDS
    assert (state.height, bulk.height) == (0, 0)
    bulk.close()
    whole.close()


def test_a_seeded_home(tmp_path: Path) -> None:
    root = tmp_path / "home"
    report = seed_home(root, 25)
    home = Home(root)
    home.require()
    load_config(home.config_file, environment={})
    assert home.signer_file.is_file()
    store = Store.open(home.db_dir)
    state = load_state(store)
    assert state.tip.app_hash.hex().upper() == report.app_hash
    assert state.tip.chain_id == parse(home.genesis_file.read_bytes()).chain_id
    seed = bytes.fromhex((home.keys_dir / "load_seed").read_text())
    for key, value in account_rows((seed, 0, 25)):
        assert store.get(key) == value
    store.close()
    assert measure_open(home.db_dir)[2] == state.tip.app_hash
    with pytest.raises(HomeError):
        seed_home(root, 1)
    with pytest.raises(ConfigError):
        seed_home(tmp_path / "other", -1)


def test_gc_is_tuned_once_loaded() -> None:
    tune_gc()
    assert gc.get_threshold()[0] == YOUNG_MAX
    assert gc.get_freeze_count() > 1_000
