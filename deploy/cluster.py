"""`make cluster`: every server of a centre and two sites on this machine, as plain processes.

    python -m deploy.cluster start|stop|status [FOLDER]

The folder remembers ports and secrets, so that stopping and starting gives the same cluster with its data.
`<folder>/env` tells addresses and keys to `voxkeep`; it is for its owner alone.
"""

import argparse
import json
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.servers import elasticsearch, mariadb, minio, postgresql, process
from deploy.servers.prefect import Prefect

# The workers: the centre's, and one at each site of the demo that has a network.
POOLS = ("central", "meituan--cq", "meituan--bj")
SECRETS = ("minio", "prefect", "receiver", "postgresql", "mariadb")
PORTS = ("prefect", "receiver")


@dataclass(frozen=True)
class Cluster:
    """All servers below one folder; every verb may be called twice."""

    folder: Path
    secrets: dict[str, str]
    ports: dict[str, int]
    minio: minio.Minio
    elasticsearch: elasticsearch.Elasticsearch
    postgresql: postgresql.Postgresql
    mariadb: mariadb.Mariadb
    pools: tuple[str, ...]

    @property
    def prefect(self) -> Prefect:
        """The Prefect server with its workers; its database is in PostgreSQL."""
        url = self.postgresql.url("prefect").replace("postgresql+psycopg:", "postgresql+asyncpg:")
        login = f"voxkeep:{self.secrets['prefect']}"
        return Prefect(self.folder / "prefect", self.ports["prefect"], login, url)

    def start(self) -> None:
        """Start what does not run; returns when everything answers."""
        tell("PostgreSQL", self.postgresql.start)
        for database in ("prefect", "collection"):
            self.postgresql.create_database(database)
        tell("MariaDB", self.mariadb.start)
        self.mariadb.create_database("asterisk")
        tell("MinIO, 4 nodes", self.minio.start)
        tell("Elasticsearch", self.elasticsearch.start)
        tell("Prefect", self.prefect.start)
        tell("receiver", lambda: self.prefect.start_receiver(self.ports["receiver"], self.secrets["receiver"]))
        for pool in self.pools:
            self.prefect.start_worker(pool)
        self._write_environment()

    def stop(self) -> None:
        """End exactly what was started here; the data stay."""
        self.prefect.stop_all()
        for server in (self.elasticsearch, self.minio, self.mariadb, self.postgresql):
            server.stop()

    def environment(self) -> dict[str, str]:
        """Addresses and keys, as `voxkeep` and Prefect's programs take them."""
        return {
            **self.prefect.client_environment(),
            "VOXKEEP_S3_ENDPOINT": self.minio.endpoint,
            "VOXKEEP_S3_ACCESS_KEY": self.minio.root_user,
            "VOXKEEP_S3_SECRET_KEY": self.minio.root_password,
            "VOXKEEP_S3_EVENT_TARGET": minio.WEB_HOOK_ARN,
            "VOXKEEP_ELASTICSEARCH_URL": self.elasticsearch.url,
            "VOXKEEP_POSTGRESQL_URL": self.postgresql.url("collection"),
            "VOXKEEP_MARIADB_URL": self.mariadb.url("asterisk"),
        }

    def _write_environment(self) -> None:
        write_private(self.folder / "env", "".join(f"{name}={value}\n" for name, value in self.environment().items()))


def cluster(folder: Path, pools: tuple[str, ...] = POOLS) -> Cluster:
    """The cluster in `folder`, not started; a new one gets free ports and new secrets."""
    folder = folder.resolve()
    known = folder / "cluster.json"
    if not known.is_file():
        made: dict[str, Any] = {
            "secrets": {name: secrets.token_urlsafe(24) for name in SECRETS},
            "ports": {name: process.free_port() for name in PORTS},
        }
        write_private(known, json.dumps(made))
    remembered = json.loads(known.read_text())
    keys, ports = remembered["secrets"], remembered["ports"]
    hook = minio.WebHook(f"http://127.0.0.1:{ports['receiver']}/snapshots", keys["receiver"])
    return Cluster(
        folder=folder,
        secrets=keys,
        ports=ports,
        minio=minio.cluster(folder / "minio", "voxkeep-admin", keys["minio"], web_hook=hook),
        elasticsearch=elasticsearch.node(folder / "elasticsearch"),
        postgresql=postgresql.server(folder / "postgresql", keys["postgresql"]),
        mariadb=mariadb.server(folder / "mariadb", keys["mariadb"]),
        pools=pools,
    )


def write_private(file: Path, content: str) -> None:
    """Write a file that only its owner can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(content)
    part.replace(file)


def tell(what: str, start: Callable[[], None]) -> None:
    """Say what is being started, then start it."""
    print(f"starting {what}", file=sys.stderr, flush=True)
    start()


def show(one: Cluster) -> None:
    """Where everything is."""
    rows = {
        "Prefect's UI": one.prefect.api_url.removesuffix("/api"),
        "  login": f"voxkeep:… (PREFECT_API_AUTH_STRING in {one.folder / 'env'})",
        "MinIO": " ".join(one.minio.endpoint_of(node) for node in range(1, 5)),
        "Elasticsearch": one.elasticsearch.url,
        "workers": ", ".join(one.pools),
        "for your shell": f"set -a; . {one.folder / 'env'}; set +a",
        "try it": "voxkeep demo --profile cluster",
        "end it": "make cluster-stop",
    }
    for name, value in rows.items():
        print(f"{name:16}{value}")


def main() -> None:
    """Start or stop the cluster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["start", "stop"])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(".cluster"))
    options = parser.parse_args()
    one = cluster(options.folder)
    try:
        if options.verb == "stop":
            one.stop()
            return
        one.start()
    except process.ServerError as error:
        sys.exit(str(error))
    show(one)


if __name__ == "__main__":
    main()
