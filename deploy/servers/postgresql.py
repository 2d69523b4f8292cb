"""PostgreSQL on this machine: one server on the loopback, from Debian's packages."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT

from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from deploy.servers import process

USER = "voxkeep"
_NAME = "postgresql"


@dataclass(frozen=True)
class Postgresql:
    """A server that lives in `folder`; `server()` makes one. Every verb may be called twice.

    Attributes:
        folder: Data, log and process id.
        port: Of the loopback.
        password: Of the superuser `voxkeep`.
    """

    folder: Path
    port: int
    password: str = field(repr=False)

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database, for the superuser."""
        address = URL.create("postgresql+psycopg", USER, self.password, "127.0.0.1", self.port, database)
        return address.render_as_string(hide_password=False)

    def start(self) -> None:
        """Start it where it does not run; returns when it takes connections.

        Raises:
            ServerError: it cannot be made, has ended, or is not ready in time.
        """
        data = self.folder.resolve() / "data"
        if not (data / "PG_VERSION").is_file():
            self._make(data)
        command = [_program("postgres"), "-D", str(data), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        # Other people's sockets lie in /tmp; ours needs none.
        process.start(_NAME, [*command, "-c", "unix_socket_directories="], self.folder, not_root=True)
        process.wait_until(self.is_ready, _NAME, self.folder)

    def stop(self) -> None:
        """End it, without waiting for its clients; the data stay."""
        process.stop(_NAME, self.folder, how=SIGINT)

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        try:
            self.run("SELECT 1")
        except OperationalError:
            return False
        return True

    def create_database(self, name: str) -> None:
        """Make a database in UTF-8, where there is none."""
        if not self._fetch("SELECT 1 FROM pg_database WHERE datname = :name", name=name):
            self.run(f"CREATE DATABASE \"{name}\" ENCODING 'UTF8' TEMPLATE template0")

    def run(self, sql: str, database: str = "postgres") -> None:
        """Run one statement, which commits."""
        engine = create_engine(self.url(database), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(sql)

    def _fetch(self, sql: str, **parameters: str) -> bool:
        with create_engine(self.url("postgres"), poolclass=NullPool).connect() as connection:
            return connection.execute(text(sql), parameters).first() is not None

    def _make(self, data: Path) -> None:
        shutil.rmtree(data, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        # From a file, so that the password is in no command line.
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        try:
            done = subprocess.run(
                [*process.as_not_root(), _program("initdb"), "-D", str(data), "-U", USER, "-E", "UTF8", "--no-sync",
                 "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={secret}"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        finally:
            secret.unlink()
        if done.returncode:
            raise process.ServerError(f"Cannot make PostgreSQL's data in {data}: {done.stderr.strip()}")


def server(folder: Path, password: str, *, port: int | None = None) -> Postgresql:
    """The server in `folder`, not started: on the port it had before, else on the one given, else on a free one."""
    return Postgresql(folder, process.remembered_port(folder, port), password)


def _program(name: str) -> str:
    found = [*Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), *map(Path, filter(None, [shutil.which(name)]))]
    if not found:
        raise process.ServerError(f"There is no {name}: install PostgreSQL (Debian: apt-get install postgresql).")
    return str(max(found))
