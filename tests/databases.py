"""Source databases on real servers: MariaDB and PostgreSQL, one of each for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import server_of_all_workers

from deploy.servers import mariadb as mariadb_server
from deploy.servers import postgresql as postgresql_server
from deploy.servers.mariadb import Mariadb
from deploy.servers.postgresql import Postgresql

PASSWORD = "m4rked-s3cret"


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mariadb]:
    """A MariaDB with an empty database `calls`."""

    def make(folder: Path) -> Mariadb:
        return mariadb_server.server(folder, PASSWORD)

    for server in server_of_all_workers(tmp_path_factory, "mariadb", make, Mariadb.stop):
        server.create_database("calls")
        yield server


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgresql]:
    """A PostgreSQL with an empty database `calls`."""

    def make(folder: Path) -> Postgresql:
        return postgresql_server.server(folder, PASSWORD)

    for server in server_of_all_workers(tmp_path_factory, "postgresql", make, Postgresql.stop):
        server.create_database("calls")
        yield server
