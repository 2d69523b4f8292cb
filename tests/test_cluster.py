"""The same job over real servers: a worker at the site, ingest by event, and the same trace as in folders.

One cluster for all of these tests: MinIO of four nodes, Elasticsearch, PostgreSQL, MariaDB, Prefect with workers.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path
from signal import SIGKILL
from threading import Event, Thread
from typing import Any

import polars as pl
import psutil
import pytest
from online import MARK, Online, ended, run, wait_for
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from shop import DAY, Shop
from tables import at

from blocks import restic
from blocks.errors import TransientError
from blocks.repository import Repository
from blocks.saved import load
from blocks.store import ObjectStore
from deploy.cluster import Cluster
from flows.backup import backup
from flows.ingest import ingest
from flows.reconciliation import reconcile
from reconcile.frames import FINDINGS, TRACE
from voxkeep.demo_cluster import copy_rows
from voxkeep.services import places

EVENT_SECONDS = 60.0


def recorded_day(shop: Shop) -> None:
    """A day with a call whose recording is there, one whose recording is not, and a recording of no call."""
    shop.call("c1", "09:00:00")
    shop.recording("09:00:00")
    shop.call("c2", "10:00:00")
    shop.recording("11:00:00", number="18600000000")


@contextmanager
def watching_command_lines(seen: set[str]) -> Iterator[None]:
    """Collect every command line of this machine while the body runs."""
    stop, first_seen = Event(), dict[int, float]()

    def look() -> None:
        while not stop.wait(0.02):
            now = time.monotonic()
            for number in psutil.pids():
                # A new process has its parent's words until it has become what it will be.
                if now - first_seen.setdefault(number, now) < 1:
                    with suppress(psutil.Error):
                        seen.add("\0".join(psutil.Process(number).cmdline()))

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
    shop = Shop(tmp_path, "daily", is_new=True)
    (tmp_path / "password").write_text(f"{MARK}-restic")
    shop.apply()
    recorded_day(shop)
    shop.run()
    in_folders = shop.frame(TRACE)
    online, seen = Online(shop, servers), set[str]()
    with get_client(sync_client=True) as client, online.worker(), watching_command_lines(seen):
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


@pytest.mark.long
def test_a_flow_that_fails_at_a_site_is_told_by_the_business_own_routes(servers: Cluster, tmp_path: Path) -> None:
    online = Online(Shop(tmp_path, "failing"), servers)
    online.apply()
    outbox = Path(online.settings.storage) / "outbox" / "failing"
    with get_client(sync_client=True) as client, online.worker():
        known = client.read_deployment_by_name("backup/failing--one")
        client.create_flow_run_from_deployment(known.id, parameters={"business": "failing", "site": "nowhere"})
        # Nobody listens at the route, so what was to be told is kept.
        (kept,) = wait_for(lambda: list(outbox.glob("*.json")), "the notice")
    told = kept.read_text()
    assert "backup failed" in told
    assert "failing has the sites one" in told


def restic_runs(command: str) -> bool:
    """Whether this process has a restic at work at that."""
    with suppress(psutil.Error):
        return any({"restic", command} <= {Path(word).name for word in child.cmdline()} for child in _children())
    return False


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_a_node_that_is_killed_during_backup_and_during_ingest_is_no_matter(servers: Cluster, tmp_path: Path) -> None:
    shop = Shop(tmp_path, "steady")
    clocks = [f"13:{minute:02}:00" for minute in range(6)]
    for place, clock in enumerate(clocks):
        shop.call(f"c{place}", clock, talk=600)
        with shop.recording(clock, seconds=600).open("r+b") as file:
            file.seek(44)
            file.write(os.urandom(600 * 16_000))
    for path in shop.root.rglob("*.wav3"):
        shop.settle(path, at("14:00:00"))
    online = Online(shop, servers)
    online.apply()
    with get_client(sync_client=True) as client:  # or the event's ingest would be first
        client.delete_deployment(client.read_deployment_by_name("ingest/steady").id)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("backup", lambda: backup("steady", "one", DAY)),
        ("restore", lambda: ingest("steady", site="one")),
    ]
    for command, step in steps:
        with ThreadPoolExecutor(1) as thread:
            try:
                done = thread.submit(copy_context().run, step)
                wait_for(lambda command=command: restic_runs(command), f"restic {command}")  # type: ignore[misc]
                servers.minio.stop_node(4, SIGKILL)
                assert not done.done()
                done.result()
            finally:
                servers.minio.start()
    reconcile("steady", day=DAY)
    rows = online.frame(TRACE)
    assert rows.height == rows["published"].sum() == rows["content_ok"].sum() == len(clocks)
    assert online.frame(FINDINGS).is_empty()


def test_without_two_nodes_it_is_told_in_time_and_goes_on_when_they_return(
    servers: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path, "sturdy")
    recorded_day(shop)
    online = Online(shop, servers)
    online.apply()
    try:
        backup("sturdy", "one", DAY)
        ingest("sturdy")  # beside the one that the event starts
        servers.minio.stop_node(3, SIGKILL)
        servers.minio.stop_node(4, SIGKILL)
        shop.call("c3", "12:00:00")
        shop.recording("12:00:00")
        copy_rows(shop.database, online.url)
        began = time.monotonic()
        with monkeypatch.context() as patched:
            patched.setattr(restic, "PATIENCE_SECONDS", 5.0)
            with pytest.raises(TransientError, match="sturdy/one"):
                backup("sturdy", "one", DAY)
        assert time.monotonic() - began < 120
    finally:
        servers.minio.start()
    # A node that is back may refuse for some seconds more: that is what the patience is for.
    backup("sturdy", "one", DAY)
    ingest("sturdy")
    reconcile("sturdy", day=DAY)
    assert online.frame(TRACE)["published"].sum() == 3
    kinds = online.frame(FINDINGS).filter(pl.col("status") == "open")["kind"].to_list()
    assert sorted(kinds) == ["recording_missing", "recording_orphan"]
    listed: Any = places(online.settings).store.listing()
    assert listed.height == 3
