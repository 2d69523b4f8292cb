"""MinIO as a cluster of four nodes, and SeaweedFS: one of each for a whole test run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from signal import SIGKILL

import pytest
from pydantic import SecretStr
from servers import held, server_of_all_workers

from blocks.store import ObjectStore
from deploy.servers import minio as minio_server
from deploy.servers import process
from deploy.servers.minio import Minio
from deploy.servers.seaweedfs import SeaweedFS

USER = "administrator"
PASSWORD = "a-password-of-the-tests"
HOOK_TOKEN = "a-token-of-the-tests"


def _cluster(folder: Path) -> Minio:
    minio_server.build()
    return minio_server.cluster(
        folder, USER, PASSWORD, web_hook=minio_server.WebHook(f"http://127.0.0.1:{hook_port(folder)}/s3", HOOK_TOKEN)
    )


def hook_port(folder: Path) -> int:
    """Where the cluster rings; nobody listens there but a test that holds `hook.lock`."""
    file = folder / "hook-port"
    if not file.exists():
        file.write_text(str(process.free_port()))
    return int(file.read_text())


@pytest.fixture(scope="session")
def minio_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    """The cluster itself; tests take `minio` or `breakable_minio`."""
    yield from server_of_all_workers(tmp_path_factory, "minio", _cluster, Minio.stop)


@pytest.fixture
def minio(minio_cluster: Minio) -> Iterator[Minio]:
    """Four nodes, all running, for any number of tests at a time."""
    with held(minio_cluster.folder / "test.lock", shared=True):
        yield minio_cluster


@pytest.fixture
def breakable_minio(minio_cluster: Minio) -> Iterator[Minio]:
    """The same four nodes for one test alone, which may stop some; they all run again afterwards."""
    with held(minio_cluster.folder / "test.lock"):
        try:
            yield minio_cluster
        finally:
            minio_cluster.start()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A single SeaweedFS."""
    yield from server_of_all_workers(
        tmp_path_factory,
        "seaweedfs",
        lambda folder: SeaweedFS(folder, USER, PASSWORD),
        lambda server: server.stop(SIGKILL),
    )


@dataclass(frozen=True)
class Service:
    """An S3 service and its administrator."""

    endpoint: str

    def store(self, bucket: str | None = None, **other: str) -> ObjectStore:
        """A store over a bucket of its own; with `other` settings where given."""
        settings = {"endpoint": self.endpoint, "access_key": USER, "secret_key": PASSWORD, **other}
        return ObjectStore(
            url=f"s3://{bucket or 'bucket-' + token_hex(6)}",
            endpoint=settings["endpoint"],
            access_key=SecretStr(settings["access_key"]),
            secret_key=SecretStr(settings["secret_key"]),
        )


@pytest.fixture(params=["minio", "seaweedfs"])
def service(request: pytest.FixtureRequest) -> Service:
    """Each S3 service in turn."""
    return Service(request.getfixturevalue(request.param).endpoint)
