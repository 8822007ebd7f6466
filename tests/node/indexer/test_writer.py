"""The index equals the chain: every holding, after a run of every operation, after going back, over what the node never had."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.indexer.database import IndexDatabase, SqliteIndex, clear
from node.indexer.queries import first_height, gaps
from node.indexer.rows_of_block import decode_event
from node.indexer.writer import IndexWriter
from state.modules.operation import MODULE_ACCOUNTS
from state.primitives.errors import IndexDamagedError
from tests.node.indexer.ledger_chain import (
    LedgerChain,
    assert_equal_to_chain,
    index_holdings,
    summed_movements,
    tables_of,
)


@pytest.fixture
def chain(tmp_path: Path) -> LedgerChain:
    return LedgerChain(tmp_path)


@pytest.mark.parametrize("seed", [1, 2])
def test_totals_equal_the_state_after_every_operation(tmp_path: Path, database: IndexDatabase, seed: int) -> None:
    chain = LedgerChain(tmp_path, seed)
    chain.grow(60, 50)
    assert chain.follow(database) == 60
    assert_equal_to_chain(database, chain)
    # events explain what became of every account of a person; only the ledger's own accounts need the block's word
    unexplained = database.execute("SELECT DISTINCT account FROM movements WHERE kind = 'block'")
    assert {MODULE_ACCOUNTS.get(bytes(account)) for (account,) in unexplained} <= {"fees", "rewards"}


def test_block_by_block_is_the_same_as_all_at_once(chain: LedgerChain, tmp_path: Path, database: IndexDatabase) -> None:
    for _ in range(15):
        chain.grow(1)
        assert chain.follow(database) == chain.store.height
        assert_equal_to_chain(database, chain)
    other = SqliteIndex(tmp_path / "other.sqlite")
    chain.follow(other)
    assert list(tables_of(database)) == list(tables_of(other))


def test_an_index_that_is_up_to_date_is_left_alone(chain: LedgerChain, database: IndexDatabase) -> None:
    assert chain.follow(database) == 0  # what genesis gave
    assert_equal_to_chain(database, chain)
    before = list(tables_of(database))
    assert chain.follow(database) == 0
    assert list(tables_of(database)) == before


def test_the_events_of_blocks_themselves_are_in_it(chain: LedgerChain, database: IndexDatabase) -> None:
    chain.grow(60, 50)
    chain.follow(database)
    kinds = {kind for (kind,) in database.execute("SELECT DISTINCT kind FROM events WHERE idx = -1")}
    assert {"proposal_refunded", "sponsorship_ended"} <= kinds
    assert database.execute("SELECT COUNT(*) FROM movements WHERE idx = -1 AND kind = 'proposal_refunded'")[0][0] > 0


def test_events_are_read_back_as_they_were(chain: LedgerChain, database: IndexDatabase) -> None:
    chain.grow(20, 50)
    chain.follow(database)
    for height, index, sequence, kind, data in database.execute("SELECT * FROM events WHERE idx >= 0"):
        event = chain.receipts[height][index].events[sequence]
        assert (event.type, dict(event.attributes)) == (kind, decode_event(kind, data))


@pytest.mark.parametrize("back", [1, 3, 20])
def test_the_index_goes_back_with_the_chain(chain: LedgerChain, tmp_path: Path, database: IndexDatabase, back: int) -> None:
    chain.grow(20)
    chain.follow(database)
    chain.roll_back(back)
    assert chain.follow(database) == 20 - back
    assert index_holdings(database) == chain.holdings[20 - back]
    fresh = SqliteIndex(tmp_path / "fresh.sqlite")
    chain.follow(fresh)
    assert list(tables_of(database)) == list(tables_of(fresh))


@pytest.mark.parametrize(("shared", "more"), [(17, 2), (15, 9), (19, 1), (0, 3)])
def test_other_blocks_take_the_place_of_undone_ones(
    chain: LedgerChain, tmp_path: Path, database: IndexDatabase, shared: int, more: int
) -> None:
    chain.grow(20)
    chain.follow(database)
    (tmp_path / "other").mkdir()
    other = LedgerChain(tmp_path / "other")
    other.grow(shared)
    other.fork = b"another"
    other.grow(more, 30)
    assert other.follow(database) == shared + more
    assert_equal_to_chain(database, other)
    fresh = SqliteIndex(tmp_path / "fresh.sqlite")
    other.follow(fresh)
    assert list(tables_of(database)) == list(tables_of(fresh))


def test_blocks_that_were_pruned_before_are_a_gap_and_said(chain: LedgerChain, database: IndexDatabase) -> None:
    chain.grow(30)
    chain.store.prune(21)
    assert chain.follow(database) == 30
    assert first_height(database) == 22
    assert gaps(database) == []
    assert index_holdings(database) == chain.holdings[30]
    assert summed_movements(database) == chain.holdings[30]
    assert database.execute("SELECT MIN(height) FROM txs")[0][0] >= 22


def test_blocks_that_went_while_the_index_was_away_are_a_gap(chain: LedgerChain, database: IndexDatabase) -> None:
    chain.grow(10)
    chain.follow(database)
    chain.grow(30)
    chain.store.prune(31)
    assert chain.follow(database) == 40
    assert (first_height(database), gaps(database)) == (1, [(11, 31)])
    assert index_holdings(database) == chain.holdings[40]
    assert summed_movements(database) == chain.holdings[40]
    kinds = {kind for (kind,) in database.execute("SELECT DISTINCT kind FROM movements WHERE height = 31")}
    assert kinds == {"gap"}
    chain.roll_back(5)
    assert chain.follow(database) == 35
    assert index_holdings(database) == chain.holdings[35]


def test_a_chain_that_shares_nothing_any_more_is_begun_anew(chain: LedgerChain, tmp_path: Path, database: IndexDatabase) -> None:
    chain.grow(12)
    chain.follow(database)
    (tmp_path / "other").mkdir()
    other = LedgerChain(tmp_path / "other")
    other.fork = b"another"
    other.grow(12)
    other.store.prune(6)
    assert other.follow(database) == 12
    assert first_height(database) == 7
    assert index_holdings(database) == other.holdings[12] == summed_movements(database)


def test_another_networks_index_is_refused(chain: LedgerChain, database: IndexDatabase) -> None:
    chain.follow(database)
    with pytest.raises(IndexDamagedError, match="another network"):
        IndexWriter(database, "00" * 32)


def test_another_formats_index_is_refused(chain: LedgerChain, database: IndexDatabase) -> None:
    chain.follow(database)
    database.put("meta", [("format", "0")])
    with pytest.raises(IndexDamagedError, match="has format 0"):
        chain.writer(database)
    clear(database)
    assert chain.follow(database) == 0


def test_work_ends_where_it_is_asked_to(chain: LedgerChain, database: IndexDatabase) -> None:
    class Stopped(Exception):
        pass

    chain.grow(8)
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 6:
            raise Stopped

    snapshot = chain.store.snapshot()
    with pytest.raises(Stopped):
        chain.writer(database).follow(snapshot, check)
    snapshot.close()
    assert chain.follow(database) == 8
    assert_equal_to_chain(database, chain)


def test_a_snapshot_does_not_see_what_comes_later(chain: LedgerChain, database: IndexDatabase) -> None:
    chain.grow(5)
    snapshot = chain.store.snapshot()
    chain.grow(5)
    chain.store.prune(9)
    assert chain.writer(database).follow(snapshot, lambda: None) == 5
    snapshot.close()
    assert index_holdings(database) == chain.holdings[5]
