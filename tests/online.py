"""A business over real servers: MinIO of four nodes, Elasticsearch, PostgreSQL, MariaDB, Prefect with workers.

One cluster for all tests, which take turns; each has a business of its own, for buckets outlive their test.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import polars as pl
import pytest
import yaml
from nodes import JAVA_OPTIONS
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from servers import held, server_of_all_workers
from shop import Shop

from deploy.cluster import Cluster, cluster
from deploy.servers.prefect import worker_name
from reconcile.frames import Frame
from voxkeep.apply import apply
from voxkeep.demo_cluster import copy_rows
from voxkeep.services import places
from voxkeep.settings import Settings, load_settings

Found = TypeVar("Found")
# What stands in the secrets of these tests, so that they can be looked for everywhere.
MARK = "m4rked-s3cret"
RUN_SECONDS = 240.0


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The servers, started once for a whole test run."""

    def make(folder: Path) -> Cluster:
        made = cluster(folder, pools=("central",))
        return replace(made, elasticsearch=replace(made.elasticsearch, java_options=JAVA_OPTIONS))

    yield from server_of_all_workers(tmp_path_factory, "cluster", make, Cluster.stop)


@pytest.fixture
def servers(running_cluster: Cluster) -> Iterator[Cluster]:
    """The servers for one test alone; Prefect's client and ours talk to them."""
    before = dict(os.environ)
    os.environ |= {name: value for name, value in running_cluster.environment().items() if name.startswith("VOXKEEP_")}
    prefect = running_cluster.prefect
    try:
        with (
            held(running_cluster.folder / "test.lock"),
            temporary_settings({PREFECT_API_URL: prefect.api_url, PREFECT_API_AUTH_STRING: prefect.login}),
        ):
            yield running_cluster
            forget_all()
            # While there is somebody to tell: a process that ends would try for a minute.
            for worker in (EventsWorker, APILogWorker):
                worker.drain_all(at_exit=False)
    finally:
        os.environ.clear()
        os.environ |= before


def forget_all() -> None:
    """Take deployments and automations out of Prefect: what is due or overdue would run on for ever."""
    with get_client(sync_client=True) as client:
        for automation in client.read_automations():
            client.delete_automation(automation.id)
        for deployment in client.read_deployments(limit=200):
            client.delete_deployment(deployment.id)


class Online:
    """A shop whose calls are in MariaDB, its recordings in MinIO and its index in Elasticsearch."""

    def __init__(self, shop: Shop, servers: Cluster) -> None:
        self.shop = shop
        self.servers = servers
        database = f"of_{shop.business}"
        servers.mariadb.create_database(database)
        self.url = servers.mariadb.url(database)
        (shop.folder / "server-url").write_text(self.url)
        self.settings = self._settings()

    def _settings(self) -> Settings:
        content = self.shop.content(
            storage="online",
            s3={
                "endpoint": os.environ["VOXKEEP_S3_ENDPOINT"],
                "access_key": {"env": "VOXKEEP_S3_ACCESS_KEY"},
                "secret_key": {"env": "VOXKEEP_S3_SECRET_KEY"},
                "event_target": os.environ["VOXKEEP_S3_EVENT_TARGET"],
            },
            elasticsearch={"url": os.environ["VOXKEEP_ELASTICSEARCH_URL"]},
            schedules={"backup": "15 1 1 1 *", "ingest": "15 1 1 1 *", "reconcile": "15 1 1 1 *"},
            alerts={"nowhere": {"file": "route"}},
        )
        content["sites"]["one"]["database"] = {"file": "server-url"}
        (self.shop.folder / "route").write_text(f"json://user:{MARK}-route@127.0.0.1:9/")
        file = self.shop.folder / "online.yaml"
        file.write_text(yaml.safe_dump(content, allow_unicode=True))
        return load_settings(file)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """The site's worker, while the body runs."""
        pool = f"{self.shop.business}--one"
        self.servers.prefect.start_worker(pool)
        try:
            yield
        finally:
            self.servers.prefect.stop(worker_name(pool))

    def apply(self) -> dict[str, str]:
        """Apply the settings; the calls go to MariaDB."""
        copy_rows(self.shop.database, self.url)
        return apply(self.settings, self.shop.folder / "home")

    def frame(self, contract: Frame) -> pl.DataFrame:
        """A frame of the catalog in S3, all days."""
        return places(self.settings).catalog.read(contract.name, self.shop.business, None, None, contract.schema)


def wait_for(look: Callable[[], Found | None], what: str, seconds: float = RUN_SECONDS) -> Found:
    """What `look` finds, as soon as it finds something."""
    give_up = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < give_up, f"{what} did not come within {seconds:.0f} s"
        time.sleep(0.3)
    return found


def run(client: SyncPrefectClient, deployment: str, **parameters: str) -> FlowRun:
    """Run a deployment on its worker; its end."""
    known = client.read_deployment_by_name(deployment)
    made = client.create_flow_run_from_deployment(known.id, parameters=known.parameters | parameters)
    return ended(client, made)


def ended(client: SyncPrefectClient, made: FlowRun) -> FlowRun:
    def look() -> FlowRun | None:
        found = client.read_flow_run(made.id)
        return found if found.state and found.state.is_final() else None

    done = wait_for(look, made.name)
    assert done.state
    assert done.state.is_completed(), f"{done.name}: {done.state.message}"
    return done
