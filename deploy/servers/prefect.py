"""Prefect on this machine: a server, its workers, and the web hook's receiver, each a process of its own.

Secrets go by environment: the login of the API, the address of its database, the receiver's token.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deploy.servers import process

_BIN = Path(sys.executable).parent
# So often a worker asks for work, in seconds, and a run says that it is alive.
QUERY_SECONDS = 2
HEARTBEAT_SECONDS = 30


@dataclass(frozen=True)
class Prefect:
    """A Prefect server on a port of the loopback, with what belongs to it; every verb may be called twice.

    Attributes:
        folder: For each process a folder with its home, log and process id.
        port: Of the server.
        login: `user:password` of the API.
        database_url: SQLAlchemy URL of its database, such as postgresql+asyncpg://…; None: SQLite in the folder.
    """

    folder: Path
    port: int
    login: str = field(repr=False)
    database_url: str | None = field(default=None, repr=False)

    @property
    def api_url(self) -> str:
        """URL of the API, as clients take it."""
        return f"http://127.0.0.1:{self.port}/api"

    def client_environment(self) -> dict[str, str]:
        """What a program needs to talk to this server."""
        return {
            "PREFECT_API_URL": self.api_url,
            "PREFECT_API_AUTH_STRING": self.login,
            "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }

    def start(self) -> None:
        """Start the server; returns when it answers.

        Raises:
            ServerError: it has ended, or does not answer in time.
        """
        environment = {
            "PREFECT_SERVER_API_AUTH_STRING": self.login,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_EVENTS_MAXIMUM_RELATED_RESOURCES": "500",
            "PREFECT_UI_API_URL": self.api_url,
            # The second UI of 3.8 cannot resume a run, and so not sign an inspection.
            "PREFECT_SERVER_UI_V2_ENABLED": "false",
        }
        if self.database_url:
            environment["PREFECT_API_DATABASE_CONNECTION_URL"] = self.database_url
        command = [str(_BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        self._start("prefect-server", command, environment)
        process.wait_until(self.is_healthy, "prefect-server", self._home("prefect-server"), deadline_seconds=180)

    def is_healthy(self) -> bool:
        """Whether the API answers."""
        try:
            return httpx.get(f"{self.api_url}/health", auth=tuple(self.login.split(":", 1)), timeout=5).is_success  # type: ignore[arg-type]
        except httpx.TransportError:
            return False

    def start_worker(self, pool: str, *, environment: dict[str, str] | None = None) -> None:
        """Start a worker of the pool, which is made where there is none."""
        command = [str(_BIN / "prefect"), "worker", "start", "--pool", pool, "--name", pool, "--type", "process"]
        own = {
            "PREFECT_WORKER_QUERY_SECONDS": str(QUERY_SECONDS),
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        }
        self._start(worker_name(pool), command, self.client_environment() | own | (environment or {}))

    def start_receiver(self, port: int, token: str) -> None:
        """Start the web hook's receiver; returns when it answers."""
        command = [str(_BIN / "voxkeep"), "receiver", "--port", str(port)]
        environment = self.client_environment() | {"VOXKEEP_RECEIVER_TOKEN": token}
        self._start("receiver", command, environment)
        process.wait_until(lambda: process.answers(port), "receiver", self._home("receiver"))

    def stop(self, name: str) -> None:
        """End one of the processes: `prefect-server`, `receiver`, or what `worker_name` says."""
        process.stop(name, self._home(name))

    def stop_all(self) -> None:
        """End workers and receiver first, then the server."""
        names = sorted(folder.name for folder in self.folder.glob("*") if folder.is_dir())
        for name in sorted(names, key=lambda one: one == "prefect-server"):
            self.stop(name)

    def _home(self, name: str) -> Path:
        return self.folder.resolve() / name

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        home = self._home(name)
        homes = {"PREFECT_HOME": str(home / "home"), "PREFECT_LOGGING_COLORS": "false"}
        process.start(name, command, home, environment=homes | environment)


def worker_name(pool: str) -> str:
    """The name under which a pool's worker runs."""
    return f"worker-{pool}"
