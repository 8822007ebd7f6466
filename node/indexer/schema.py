"""The tables of the index: one list for SQLite and PostgreSQL. How rows come to be is not known here.

Times are nanoseconds since 1970, amounts as in `node.indexer.amounts`, addresses and hashes raw. `idx` is a transaction's place in its
block, -1 for the block itself. A row of `movements` is one line of an account's history: `direction` is 1 for in, -1 for out, 0 for what
moved nothing; the sum of an account's movements of an asset is its holding. `gaps` are heights whose blocks this node has never had.
"""

from __future__ import annotations

from typing import Final

FORMAT: Final = "1"
TIME_NS_LAST: Final = (1 << 63) - 1  # 2262: later times stand here as this one, for databases have no larger numbers
BLOCK_ITSELF: Final = -1
IN: Final = 1
OUT: Final = -1
NEITHER: Final = 0

# name -> columns with their types (BLOB is BYTEA in PostgreSQL), primary key
TABLES: Final[dict[str, tuple[tuple[tuple[str, str], ...], str]]] = {
    "meta": ((("key", "TEXT"), ("value", "TEXT")), "key"),
    "gaps": ((("first", "BIGINT"), ("last", "BIGINT")), "first"),
    "blocks": (
        (("height", "BIGINT"), ("hash", "BLOB"), ("time_ns", "BIGINT"), ("proposer", "BLOB"), ("txs", "INTEGER")),
        "height",
    ),
    "txs": (
        (
            ("height", "BIGINT"), ("idx", "INTEGER"), ("hash", "BLOB"), ("sender", "BLOB"), ("code", "INTEGER"),
            ("payer", "BLOB"), ("fee", "BLOB"), ("events", "INTEGER"), ("memo", "TEXT"), ("time_ns", "BIGINT"),
        ),
        "height, idx",
    ),
    "events": (
        (("height", "BIGINT"), ("idx", "INTEGER"), ("seq", "INTEGER"), ("kind", "TEXT"), ("data", "TEXT")),
        "height, idx, seq",
    ),
    "movements": (
        (
            ("height", "BIGINT"), ("idx", "INTEGER"), ("seq", "INTEGER"), ("account", "BLOB"), ("asset", "TEXT"),
            ("amount", "BLOB"), ("direction", "INTEGER"), ("counterparty", "BLOB"), ("kind", "TEXT"),
            ("code", "INTEGER"), ("time_ns", "BIGINT"),
        ),
        "height, idx, seq",
    ),
    "swaps": (
        (
            ("height", "BIGINT"), ("idx", "INTEGER"), ("seq", "INTEGER"), ("pool", "TEXT"), ("account", "BLOB"),
            ("sells_a", "INTEGER"), ("amount_a", "BLOB"), ("amount_b", "BLOB"), ("time_ns", "BIGINT"),
        ),
        "height, idx, seq",
    ),
    "evidence": (
        (
            ("height", "BIGINT"), ("seq", "INTEGER"), ("kind", "TEXT"), ("validator", "BLOB"), ("offence_height", "BIGINT"),
            ("offence_time_ns", "BIGINT"), ("power", "BLOB"), ("time_ns", "BIGINT"),
        ),
        "height, seq",
    ),
    "supplies": ((("asset", "TEXT"), ("height", "BIGINT"), ("time_ns", "BIGINT"), ("supply", "BLOB")), "asset, height"),
    "holdings": ((("asset", "TEXT"), ("account", "BLOB"), ("amount", "BLOB")), "asset, account"),
}  # fmt: skip

INDEXES: Final[dict[str, tuple[str, str]]] = {
    "blocks_time": ("blocks", "time_ns"),
    "txs_hash": ("txs", "hash"),
    "movements_account": ("movements", "account, height, idx, seq"),
    "movements_account_asset": ("movements", "account, asset, height, idx, seq"),
    "swaps_pool": ("swaps", "pool, time_ns, height, idx, seq"),
    "holdings_amount": ("holdings", "asset, amount, account"),
}
OF_HEIGHTS: Final = ("blocks", "txs", "events", "movements", "swaps", "evidence", "supplies")  # deleted when the chain goes back


def columns_of(table: str) -> tuple[str, ...]:
    """Names of a table's columns, in order."""
    return tuple(name for name, _ in TABLES[table][0])


def statements(*, blob: str, table_tail: str) -> list[str]:
    """What makes the tables, unless they are there: in the words of one database."""
    made = []
    for table, (columns, key) in TABLES.items():
        types = ", ".join(f"{name} {blob if kind == 'BLOB' else kind} NOT NULL" for name, kind in columns)
        made.append(f"CREATE TABLE IF NOT EXISTS {table} ({types}, PRIMARY KEY ({key})){table_tail}")
    made += [f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({columns})" for name, (table, columns) in INDEXES.items()]
    return made
