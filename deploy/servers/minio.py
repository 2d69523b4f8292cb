"""MinIO on this machine: a cluster of nodes on the loopback, erasure coded over the drive of each.

Four nodes go on taking objects with one of them gone, and giving them with two gone. Which ports and drives belong
together is remembered in `<folder>/ports`, so that stopping and starting gives the same cluster with its objects.
Secrets are given to each start; they are in the environment of the nodes, in no command line and no file.
"""

import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from signal import SIGTERM, Signals

import httpx

from deploy.servers import process

TOOLS = Path(__file__).resolve().parents[2] / ".tools"
# What a bucket's notification names the web hook by.
WEB_HOOK_ARN = "arn:minio:sqs::VOXKEEP:webhook"


@dataclass(frozen=True)
class WebHook:
    """Where MinIO tells of new objects, and the token that it shows there (`Authorization: Bearer …`)."""

    endpoint: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Minio:
    """A cluster that lives in `folder`; `cluster()` makes one. Every verb may be called twice.

    Attributes:
        folder: For each node a folder with its drive, log, process id and undelivered events.
        ports: One for each node.
        root_user: Access key of the administrator.
        root_password: Secret key of the administrator.
        web_hook: Where to tell of new objects, where a bucket has a rule that names `WEB_HOOK_ARN`.
        program: MinIO's server.
    """

    folder: Path
    ports: tuple[int, ...]
    root_user: str
    root_password: str = field(repr=False)
    web_hook: WebHook | None = None
    program: Path = TOOLS / "minio"

    @property
    def endpoint(self) -> str:
        """URL of the first node; any other answers as well."""
        return self.endpoint_of(1)

    def endpoint_of(self, node: int) -> str:
        """URL of one node; nodes count from 1."""
        return f"http://127.0.0.1:{self.ports[node - 1]}"

    def start(self) -> None:
        """Start the nodes that do not run; returns when every node sees all the others.

        Raises:
            ServerError: a node has ended, or the cluster is not ready in time.
        """
        self.start_nodes(range(1, len(self.ports) + 1))

    def start_nodes(self, nodes: Iterable[int]) -> None:
        """Start some nodes; returns when each of them can write, and sees all others where all are running."""
        nodes = list(nodes)
        for node in nodes:
            process.start(_name(node), self._command(node), self._home(node), environment=self._environment(node))
        whole = all(process.find(_name(node), self._home(node)) for node in range(1, len(self.ports) + 1))
        for node in nodes:
            process.wait_until(partial(self.is_healthy, node, whole=whole), _name(node), self._home(node))

    def stop(self, how: Signals = SIGTERM) -> None:
        """End the nodes, in order or by SIGKILL; the objects stay."""
        # Together: a node that is left behind waits long for the others before it ends.
        with ThreadPoolExecutor(len(self.ports)) as threads:
            list(threads.map(partial(self.stop_node, how=how), range(1, len(self.ports) + 1)))

    def stop_node(self, node: int, how: Signals = SIGTERM) -> None:
        """End one node: in order, or by SIGKILL."""
        process.stop(_name(node), self._home(node), how=how)

    def is_healthy(self, node: int, *, whole: bool = False) -> bool:
        """Whether this node says that objects can be written; `whole`: also if one more drive went away."""
        # Asked whether it could be taken down for maintenance, a node of four says yes only if it sees the other three.
        question = "?maintenance=true" if whole and len(self.ports) > 1 else ""
        try:
            answer = httpx.get(f"{self.endpoint_of(node)}/minio/health/cluster{question}", timeout=5)
        except httpx.TransportError:
            return False
        return answer.is_success

    def _command(self, node: int) -> list[str]:
        drives = [self._drive(number) for number in range(1, len(self.ports) + 1)]
        for drive in drives:
            drive.mkdir(parents=True, exist_ok=True)
        if len(drives) == 1:
            places = [str(drives[0])]
        else:
            places = [f"{self.endpoint_of(number)}{drive}" for number, drive in enumerate(drives, 1)]
        return [str(self.program), "server", "--quiet", "--address", f"127.0.0.1:{self.ports[node - 1]}", *places]

    def _home(self, node: int) -> Path:
        return self.folder.resolve() / _name(node)

    def _drive(self, node: int) -> Path:
        return self._home(node) / "drive"

    def _environment(self, node: int) -> dict[str, str]:
        environment = {
            "MINIO_ROOT_USER": self.root_user,
            "MINIO_ROOT_PASSWORD": self.root_password,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            # The drives may share one disk.
            "MINIO_CI_CD": "1",
            # Milliseconds. A check before each small object leaves a lock behind for an instant; 250 is much to wait.
            "_MINIO_LOCK_RETRY_INTERVAL": "10",
            # In a container, MinIO waits for ever for a node on the loopback unless it is told which one it is itself.
            "_MINIO_SERVER_LOCAL": f"127.0.0.1:{self.ports[node - 1]}",
        }
        if self.web_hook:
            environment |= {
                "MINIO_NOTIFY_WEBHOOK_ENABLE_VOXKEEP": "on",
                "MINIO_NOTIFY_WEBHOOK_ENDPOINT_VOXKEEP": self.web_hook.endpoint,
                "MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_VOXKEEP": self.web_hook.token,
                # MinIO wants the same settings on all nodes; each has its own working directory.
                "MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_VOXKEEP": "/proc/self/cwd/events",
            }
        return environment


def cluster(
    folder: Path,
    root_user: str,
    root_password: str,
    *,
    nodes: int = 4,
    ports: tuple[int, ...] = (),
    web_hook: WebHook | None = None,
) -> Minio:
    """The cluster in `folder`, not started: on the ports it had before, else on those given, else on free ones.

    Raises:
        ServerError: MinIO would not find its drives below a folder of this name.
    """
    if not re.fullmatch(r"[A-Za-z0-9/._-]+", str(folder.resolve())):
        raise process.ServerError(
            f"Cannot start MinIO in {folder}: its nodes find each other's drives only where the path has nothing but "
            "letters, digits, dots, dashes and underscores. Choose another folder."
        )
    remembered = folder / "ports"
    if remembered.is_file():
        ports = tuple(int(port) for port in remembered.read_text().split())
    else:
        ports = ports or _free_ports(nodes)
        folder.mkdir(parents=True, exist_ok=True)
        remembered.write_text(" ".join(map(str, ports)))
    return Minio(folder, ports, root_user, root_password, web_hook)


def build() -> Path:
    """MinIO's server, built where it is not there yet (some minutes, once).

    Raises:
        ServerError: it cannot be built, for example because Go is missing.
    """
    script = TOOLS.parent / "tools" / "minio.sh"
    done = subprocess.run(["/bin/sh", script, TOOLS], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise process.ServerError(f"Cannot build MinIO: {done.stderr.strip()}")
    return TOOLS / "minio"


def _free_ports(count: int) -> tuple[int, ...]:
    found: set[int] = set()
    while len(found) < count:
        found.add(process.free_port())
    return tuple(found)


def _name(node: int) -> str:
    return f"minio-{node}"
