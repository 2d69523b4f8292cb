"""What Prefect does when nobody looks: a backup that is cancelled, a worker that dies, a backup that never comes."""

import os
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import obstore
import psutil
import pytest
from online import Online, run, wait_for
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling
from shop import DAY, Shop, at

from blocks.repository import Repository
from blocks.restic import find_restic
from blocks.saved import load
from deploy.cluster import Cluster
from deploy.servers import process
from deploy.servers.prefect import worker_name
from voxkeep import automations

# How long a slow backup would take, if nobody ended it.
SLOW_SECONDS = 120


def state_of(client: SyncPrefectClient, run_id: UUID) -> StateType:
    state = client.read_flow_run(run_id).state
    assert state
    return state.type


def lives(client: SyncPrefectClient, made: FlowRun) -> bool:
    """Whether the run has said so."""
    about = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{made.id}"]}}
    return bool(client._client.post("/events/filter", json={"filter": about}).json()["events"])


def locks(site: str) -> list[str]:
    """The locks in the site's repository of the year."""
    bucket = load(Repository, site)._bucket()
    return [found["path"] for found in obstore.list(bucket, prefix=f"{DAY.year}/locks/").collect()]


def restics(business: str) -> list[psutil.Process]:
    """The restics that back up this business."""
    return [one for one in psutil.process_iter(["cmdline"]) if f"business={business}" in (one.info["cmdline"] or [])]


def told(online: Online) -> str:
    """What is kept in the outbox, for nobody listens at the route."""
    outbox = Path(online.settings.storage) / "outbox" / online.shop.business
    return "\n".join(file.read_text() for file in outbox.glob("*.json"))


@pytest.mark.long
def test_a_cancelled_backup_ends_its_restic_which_takes_its_lock_away(servers: Cluster, tmp_path: Path) -> None:
    shop, site = Shop(tmp_path, "cancelled"), "cancelled--one"
    shop.call("c1", "09:00:00")
    file = shop.recording("09:00:00")
    per_second = 500
    file.write_bytes(file.read_bytes()[:44] + os.urandom(per_second * 1024 * SLOW_SECONDS))
    shop.settle(file, at("09:10:00"))
    online = Online(shop, servers)
    online.apply()
    slow = tmp_path / "slow-restic"
    slow.write_text(f'#!/bin/sh\nexec {find_restic()} --limit-upload {per_second} "$@"\n')
    slow.chmod(0o755)
    with get_client(sync_client=True) as client, online.worker():
        known = client.read_deployment_by_name(f"backup/{site}")
        made = client.create_flow_run_from_deployment(
            known.id,
            parameters=known.parameters | {"day": str(DAY)},
            job_variables={"env": {"VOXKEEP_RESTIC": str(slow)}},
        )
        wait_for(lambda: restics(shop.business) and locks(site), "the lock of a running backup")
        client.set_flow_run_state(made.id, Cancelling())
        wait_for(lambda: state_of(client, made.id) == StateType.CANCELLED, "the end of the run", 60)
        wait_for(lambda: not restics(shop.business), "the end of restic", 30)
        assert locks(site) == []
        run(client, f"backup/{site}", day=str(DAY))
    assert load(Repository, site).snapshots(DAY.year).height == 1


def test_a_run_whose_worker_died_is_told_and_does_not_stay_running(
    servers: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A run says every half minute that it lives; for this one the first missing word is enough.
    monkeypatch.setattr(automations, "HEARTBEAT_SECONDS", 5)
    shop, site = Shop(tmp_path, "orphaned"), "orphaned--one"
    shop.call("c1", "09:00:00")
    shop.recording("09:00:00")
    sql = shop.folder / "calls.sql"
    quick = sql.read_text()
    sql.write_text(quick.replace("SELECT *", f"SELECT SLEEP({SLOW_SECONDS}), cdr.*"))
    online = Online(shop, servers)
    online.apply()
    with get_client(sync_client=True) as client:
        with online.worker():
            known = client.read_deployment_by_name(f"backup/{site}")
            made = client.create_flow_run_from_deployment(known.id, parameters=known.parameters | {"day": str(DAY)})
            wait_for(lambda: lives(client, made), "the start of the run")
            name = worker_name(site)
            worker = process.find(name, servers.prefect.folder / name)
            assert worker
            for one in [*worker.children(recursive=True), worker]:
                one.kill()
        wait_for(lambda: state_of(client, made.id) == StateType.CRASHED, "the end of the run", 90)
        wait_for(lambda: "heartbeat ended" in told(online), "the notice", 60)
        sql.write_text(quick)
        Online(shop, servers).apply()
        with online.worker():
            run(client, f"backup/{site}", day=str(DAY))


@pytest.mark.long
def test_a_backup_that_never_came_is_told(servers: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    online = Online(Shop(tmp_path, "overdue"), servers)
    due = timedelta(hours=online.settings.backup_due_hours)
    monkeypatch.setattr(automations, "BACKUP_EVERY", timedelta(seconds=12) - due)
    online.apply()
    wait_for(lambda: "backup overdue: overdue/one" in told(online), "the notice", 90)
    assert "backup/overdue--one" in told(online)
