"""The same job over real servers: a worker at the site, ingest by event, and the same trace as in folders.

One cluster for all of these tests: MinIO of four nodes, Elasticsearch, PostgreSQL, MariaDB, Prefect with workers.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

import polars as pl
import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from servers import held, server_of_all_workers
from shop import DAY, Shop

from blocks import restic
from blocks.errors import TransientError
from blocks.repository import Repository
from blocks.saved import load
from blocks.store import ObjectStore
from deploy.cluster import Cluster, cluster
from flows.backup import backup
from flows.ingest import ingest
from flows.reconciliation import reconcile
from reconcile.frames import FINDINGS, TRACE, Frame
from voxkeep.apply import apply
from voxkeep.demo_cluster import copy_rows
from voxkeep.services import places
from voxkeep.settings import Settings, load_settings

Found = TypeVar("Found")
# What stands in the secrets of these tests, so that they can be looked for everywhere.
MARK = "m4rked-s3cret"
RUN_SECONDS = 240.0
EVENT_SECONDS = 60.0


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The servers, started once for a whole test run."""

    def make(folder: Path) -> Cluster:
        return cluster(folder, pools=("central", "daily--one"))

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
    finally:
        os.environ.clear()
        os.environ |= before


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


def recorded_day(shop: Shop) -> None:
    """A day with a call whose recording is there, one whose recording is not, and a recording of no call."""
    shop.call("c1", "09:00:00")
    shop.recording("09:00:00")
    shop.call("c2", "10:00:00")
    shop.recording("11:00:00", number="18600000000")


@contextmanager
def watching_command_lines(seen: set[str]) -> Iterator[None]:
    """Collect every command line of this machine while the body runs."""
    stop = Event()

    def look() -> None:
        while not stop.wait(0.02):
            for process in psutil.process_iter(["cmdline"]):
                seen.add("\0".join(process.info["cmdline"] or []))

    thread = Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def told_by_prefect(client: SyncPrefectClient) -> str:
    """All that Prefect's API shows: logs, runs, artifacts, events, blocks, deployments, automations."""
    paths = {
        "/logs/filter": {"limit": 200},
        "/flow_runs/filter": {},
        "/task_runs/filter": {},
        "/artifacts/filter": {},
        "/block_documents/filter": {},
        "/deployments/filter": {},
        "/automations/filter": {},
        "/events/filter": {"limit": 50},
    }
    answers = [client._client.post(path, json=body) for path, body in paths.items()]
    assert all(answer.is_success for answer in answers), [answer.text for answer in answers if not answer.is_success]
    return "\n".join(answer.text for answer in answers)


def test_a_day_by_workers_and_events_ends_as_it_does_in_folders(servers: Cluster, tmp_path: Path) -> None:
    shop = Shop(tmp_path, "daily")
    (tmp_path / "password").write_text(f"{MARK}-restic")
    shop.apply()
    recorded_day(shop)
    shop.run()
    in_folders = shop.frame(TRACE)
    online, seen = Online(shop, servers), set[str]()
    with get_client(sync_client=True) as client, watching_command_lines(seen):
        online.apply()
        assert {what: done for what, done in online.apply().items() if done != "unchanged"} == {}
        done = run(client, "backup/daily--one", day=str(DAY))
        assert done.work_pool_name == "daily--one"

        def by_event() -> FlowRun | None:
            found = [one for one in client.read_flow_runs(limit=200) if one.parameters.get("snapshot_id")]
            return found[0] if found else None

        started = wait_for(by_event, "ingest by event", EVENT_SECONDS)
        assert started.parameters["site"] == "one"
        ended(client, started)
        run(client, "reconcile/daily", day=str(DAY))
        told = told_by_prefect(client)
    assert online.frame(TRACE).equals(in_folders)
    assert in_folders.height == 3
    secrets = secrets_of(servers, online)
    assert len(secrets) == 8
    assert {name for name, secret in secrets.items() if secret in told} == set()
    assert {name for name, secret in secrets.items() for line in seen if secret in line} == set()
    assert {name for name, secret in secrets.items() if is_written(secret, Path(online.settings.storage))} == set()


def secrets_of(servers: Cluster, online: Online) -> dict[str, str]:
    """Every secret that takes part."""
    repository, store = load(Repository, "daily--one"), load(ObjectStore, "daily")
    assert repository.secret_key
    assert store.secret_key
    return {
        "restic": f"{MARK}-restic",
        "route": f"{MARK}-route",
        "database": servers.secrets["mariadb"],
        "S3 administrator": servers.secrets["minio"],
        "S3 site": repository.secret_key.get_secret_value(),
        "S3 publish": store.secret_key.get_secret_value(),
        "Prefect": servers.secrets["prefect"],
        "receiver": servers.secrets["receiver"],
    }


def is_written(secret: str, folder: Path) -> bool:
    """Whether a file below the folder holds the secret."""
    return any(secret.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_flow_that_fails_at_a_site_is_told_by_the_business_own_routes(servers: Cluster, tmp_path: Path) -> None:
    online = Online(Shop(tmp_path, "daily"), servers)
    online.apply()
    outbox = Path(online.settings.storage) / "outbox" / "daily"
    with get_client(sync_client=True) as client:
        known = client.read_deployment_by_name("backup/daily--one")
        client.create_flow_run_from_deployment(known.id, parameters={"business": "daily", "site": "nowhere"})
        # Nobody listens at the route, so what was to be told is kept.
        (kept,) = wait_for(lambda: list(outbox.glob("*.json")), "the notice")
    told = kept.read_text()
    assert "backup failed" in told
    assert "daily has the sites one" in told


def test_one_node_less_is_no_matter_and_two_less_are_told_in_time(
    servers: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path, "sturdy")
    recorded_day(shop)
    online = Online(shop, servers)
    online.apply()
    monkeypatch.setattr(restic, "PATIENCE_SECONDS", 5.0)
    try:
        servers.minio.stop_node(4)
        backup("sturdy", "one", DAY)
        ingest("sturdy")  # beside the one that the event starts
        servers.minio.stop_node(3)
        shop.call("c3", "12:00:00")
        shop.recording("12:00:00")
        copy_rows(shop.database, online.url)
        began = time.monotonic()
        with pytest.raises(TransientError, match="sturdy/one"):
            backup("sturdy", "one", DAY)
        assert time.monotonic() - began < 120
    finally:
        servers.minio.start()
    backup("sturdy", "one", DAY)
    ingest("sturdy")
    reconcile("sturdy", day=DAY)
    assert online.frame(TRACE)["published"].sum() == 3
    kinds = online.frame(FINDINGS).filter(pl.col("status") == "open")["kind"].to_list()
    assert sorted(kinds) == ["recording_missing", "recording_orphan"]
    listed: Any = places(online.settings).store.listing()
    assert listed.height == 3
