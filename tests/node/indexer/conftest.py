"""Both databases that the index knows: SQLite, and a PostgreSQL that is started when the machine has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from node.indexer.database import IndexDatabase, SqliteIndex
from node.indexer.postgres import PostgresIndex
from tests.node.indexer.postgres_server import NoPostgres, PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
    except NoPostgres as why:
        pytest.skip(str(why))
    yield server
    server.stop()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], IndexDatabase]]:
    """How to make an empty index; all are closed at the end."""
    made: list[IndexDatabase] = []
    server: PostgresServer | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None

    def make() -> IndexDatabase:
        if server is None:
            made.append(SqliteIndex(tmp_path_factory.mktemp("index") / "index.sqlite"))
        else:
            made.append(PostgresIndex(server.new_database()))
        return made[-1]

    yield make
    for database in made:
        database.close()


@pytest.fixture
def database(new_database: Callable[[], IndexDatabase]) -> Iterator[IndexDatabase]:
    """An empty index."""
    found = new_database()
    yield found
    found.close()
