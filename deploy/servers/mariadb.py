"""MariaDB on this machine: one server on the loopback, from Debian's packages."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from deploy.servers import process

USER = "voxkeep"
_NAME = "mariadb"


@dataclass(frozen=True)
class Mariadb:
    """A server that lives in `folder`; `server()` makes one. Every verb may be called twice.

    Attributes:
        folder: Data, log and process id.
        port: Of the loopback.
        password: Of the user `voxkeep`, who may do everything.
    """

    folder: Path
    port: int
    password: str = field(repr=False)

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database, for the user who may do everything."""
        address = URL.create(
            "mysql+pymysql", USER, self.password, "127.0.0.1", self.port, database, {"charset": "utf8mb4"}
        )
        return address.render_as_string(hide_password=False)

    def start(self) -> None:
        """Start it where it does not run; returns when it takes connections.

        Raises:
            ServerError: it cannot be made, has ended, or is not ready in time.
        """
        home = self.folder.resolve()
        if not (home / "data" / "mysql").is_dir():
            self._make(home / "data")
        first = home / "first.sql"
        first.touch(mode=0o600)
        first.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        command = [
            _program("mariadbd"), "--no-defaults", f"--datadir={home / 'data'}", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={home / 'socket'}", f"--pid-file={home / 'server.pid'}",
            f"--init-file={first}", "--character-set-server=utf8mb4", "--skip-name-resolve",
        ]  # fmt: skip
        process.start(_NAME, command, self.folder, not_root=True)
        process.wait_until(self.is_ready, _NAME, self.folder)
        first.unlink(missing_ok=True)

    def stop(self) -> None:
        """End it; the data stay."""
        process.stop(_NAME, self.folder)

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        try:
            self.run("SELECT 1")
        except OperationalError:
            return False
        return True

    def create_database(self, name: str) -> None:
        """Make a database in utf8mb4, where there is none."""
        self.run(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")

    def run(self, sql: str, database: str = "") -> None:
        """Run one statement, which commits."""
        engine = create_engine(self.url(database), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(sql)

    def _make(self, data: Path) -> None:
        shutil.rmtree(data, ignore_errors=True)
        data.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [*process.as_not_root(), _program("mariadb-install-db"), "--no-defaults", f"--datadir={data}",
             "--auth-root-authentication-method=normal", "--skip-test-db"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise process.ServerError(f"Cannot make MariaDB's data in {data}: {(done.stderr or done.stdout).strip()}")


def server(folder: Path, password: str, *, port: int | None = None) -> Mariadb:
    """The server in `folder`, not started: on the port it had before, else on the one given, else on a free one."""
    return Mariadb(folder, process.remembered_port(folder, port), password)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if not found:
        raise process.ServerError(f"There is no {name}: install MariaDB (Debian: apt-get install mariadb-server-core).")
    return found
