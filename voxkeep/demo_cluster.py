"""`voxkeep demo --profile cluster`: the same sample and faults over real servers, with workers at the sites.

`make cluster` starts the servers and writes where they are, and the keys to them, into an environment file. Two
businesses: meituan, whose sites cq and bj have their calls in PostgreSQL and MariaDB and workers of their own, and
haihe, whose one site has no network and keeps its backups on a disk there.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import obstore
from obstore.store import S3Store
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from sqlalchemy import create_engine, text

from blocks.errors import PermanentError
from flows.backup import backup
from flows.carry import carry
from flows.disks import depart, prepare
from reconcile.frames import SNAPSHOTS
from voxkeep.apply import apply
from voxkeep.console import err
from voxkeep.demo import Demo, is_unfinished, judge, settings_of, tamper, write_settings
from voxkeep.sample import Sample, make_sample, second_day
from voxkeep.services import places
from voxkeep.settings import Settings, load_settings

# Which server has the calls of which site.
SOURCES = {"cq": "VOXKEEP_POSTGRESQL_URL", "bj": "VOXKEEP_MARIADB_URL"}
Found = TypeVar("Found")
EVENT_SECONDS = 120.0
RUN_SECONDS = 600.0


@dataclass(frozen=True)
class BucketVandal:
    """Who damages published recordings that lie in S3, with an administrator's key."""

    store: S3Store

    def remove(self, key: str) -> None:
        """Remove an object; with versioning, what is listed is gone all the same."""
        obstore.delete(self.store, key)

    def alter(self, key: str, size: int) -> None:
        """Give an object of this size other bytes, once."""
        content = bytes(obstore.get(self.store, key).bytes())
        if len(content) == size:
            obstore.put(self.store, key, content + b"altered", use_multipart=False)


def run_cluster_demo(directory: Path, calls: int) -> Demo:
    """Run the whole demo over the servers that the environment names."""
    began = time.monotonic()
    directory = directory.resolve()
    first, second = _samples(directory, calls)
    online = load_settings(write_settings(directory, _in_cluster(settings_of(first), first)))
    apart = load_settings(write_settings(directory, _in_cluster(settings_of(second), second)))
    for settings in (online, apart):
        apply(settings, directory / "home")
    disk = Path(str(apart.sites["bj"].repository))
    prepare(disk, apart.business, "bj", "A1")
    waits = []
    for day in first.days:
        err.print(f"[bold]{day}[/]")
        if day == first.days[1]:
            second_day(first)
            second_day(second)
        elif not is_unfinished(first, online):
            continue
        waits += _back_up_by_workers(first, online, day)
        backup(second.business, "bj", day)  # at the site, by hand or by its own timer: it has no network
        depart(disk)
        carry(str(disk))
        for sample, settings in ((first, online), (second, apart)):
            if day == first.days[1]:
                tamper(sample, places(settings), BucketVandal(_bucket(f"{settings.business}-audio")))
            _run(f"reconcile/{settings.business}", {"day": day.isoformat()})
    report = Path(online.storage) / "reports" / online.business / str(first.days[1]) / "report.html"
    more = {"seconds_from_snapshot_to_ingest": [round(wait, 1) for wait in waits]}
    return judge([(first, online), (second, apart)], began, report, directory / "home", more)


def _samples(directory: Path, calls: int) -> tuple[Sample, Sample]:
    """The sample of the embedded demo, and one site of another for the business without network."""
    first = make_sample(directory, calls=calls)
    other = make_sample(directory / "haihe", calls=calls, seed=first.seed + 1)
    second = replace(
        other,
        business="haihe",
        title="海河热线",
        sites=("bj",),
        planted=tuple(fault for fault in other.planted if fault.site == "bj"),
        late=tuple(fault for fault in other.late if fault.site == "bj"),
    )
    return first, second


def _in_cluster(content: dict[str, Any], sample: Sample) -> dict[str, Any]:
    """The settings with everything on servers; the keys stay in the environment."""
    content |= {
        "storage": f"storage-{sample.business}",
        "s3": {
            "endpoint": os.environ["VOXKEEP_S3_ENDPOINT"],
            "access_key": {"env": "VOXKEEP_S3_ACCESS_KEY"},
            "secret_key": {"env": "VOXKEEP_S3_SECRET_KEY"},
            "event_target": os.environ["VOXKEEP_S3_EVENT_TARGET"],
        },
        "elasticsearch": {"url": os.environ["VOXKEEP_ELASTICSEARCH_URL"]},
        "schedules": {},
    }
    if len(sample.sites) == 1:
        content["sites"]["bj"]["repository"] = f"disk-{sample.business}"
        return content
    for site, variable in SOURCES.items():
        content["sites"][site]["database"] = {"env": variable}
    return content


def _back_up_by_workers(sample: Sample, settings: Settings, day: date) -> list[float]:
    """Back up each site by its deployment, and wait for the ingest that the new snapshot's event starts.

    Returns the seconds from each snapshot to the start of its ingest.
    """
    waits = []
    for site in sample.reporting:
        copy_rows(sample.database(site), os.environ[SOURCES[site]])
        before = datetime.now(UTC)
        _run(f"backup/{sample.business}--{site}", {"day": day.isoformat()})
        made = _newest_snapshot(settings, site, day)
        if made < before:
            continue  # nothing had changed, so there is no new snapshot
        look = partial(_runs_of, "ingest", sample.business, made)
        ingest = _wait_for(look, EVENT_SECONDS, f"ingest of {sample.business}/{site} by event")
        waits.append(((ingest.start_time or made) - made).total_seconds())
        _wait_for(partial(_is_ingested, sample, settings, site, day), RUN_SECONDS, f"ingest of {site}")
    return waits


def _newest_snapshot(settings: Settings, site: str, day: date) -> datetime:
    """When S3 got the newest snapshot of the site."""
    bucket = _bucket(settings.business)
    listed = obstore.list(bucket, f"restic/{site}/{day.year}/snapshots/").collect()
    return max(found["last_modified"] for found in listed)


def _is_ingested(sample: Sample, settings: Settings, site: str, day: date) -> bool | None:
    rows = places(settings).catalog.read(SNAPSHOTS.name, sample.business, site, [day], SNAPSHOTS.schema)
    return rows.height > 0 or None


def _runs_of(flow: str, deployment: str, since: datetime) -> FlowRun | None:
    """A run of this deployment that has started since then."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[deployment])),
        )
    started = [run for run in runs if run.start_time and run.start_time >= since]
    return min(started, key=lambda run: run.start_time or since, default=None)


def _run(deployment: str, parameters: dict[str, str]) -> FlowRun:
    """Run a deployment on its workers, and wait for its end.

    Raises:
        PermanentError: it did not complete.
    """
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        run = client.create_flow_run_from_deployment(found.id, parameters=found.parameters | parameters)
    done = _wait_for(partial(_final, run.id), RUN_SECONDS, deployment)
    state = done.state
    if state is None or not state.is_completed():
        raise PermanentError(
            operation="run the demo",
            subject=f"{deployment}, run {done.name}",
            cause=f"it ended as {state.name if state else 'unknown'}: {state.message if state else ''}",
            remedy="look at the run in Prefect's UI, and at the logs of the workers",
        )
    return done


def _final(run_id: UUID) -> FlowRun | None:
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
    return run if run.state and run.state.is_final() else None


def _wait_for(look: Callable[[], Found | None], seconds: float, what: str) -> Found:
    """What `look` finds, as soon as it finds something.

    Raises:
        PermanentError: it found nothing in time.
    """
    give_up = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > give_up:
            raise PermanentError(
                operation="run the demo",
                subject=what,
                cause=f"it did not come within {seconds:.0f} s",
                remedy="see that `make cluster` runs: its workers and receiver log below .cluster",
            )
        time.sleep(0.5)
    return found


def _bucket(name: str) -> S3Store:
    return S3Store(
        name,
        endpoint=os.environ["VOXKEEP_S3_ENDPOINT"],
        access_key_id=os.environ["VOXKEEP_S3_ACCESS_KEY"],
        secret_access_key=os.environ["VOXKEEP_S3_SECRET_KEY"],
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def copy_rows(database: Path, url: str) -> None:
    """Make the tables at the server what they are in a SQLite file of text and whole numbers."""
    with closing(sqlite3.connect(database)) as source, create_engine(url).begin() as target:
        quote = target.dialect.identifier_preparer.quote
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        for (table,) in source.execute(tables).fetchall():
            described = source.execute(f"PRAGMA table_info({table})").fetchall()
            kinds = {"INTEGER": "INTEGER"}  # the same word at PostgreSQL and MariaDB
            columns = ", ".join(f"{quote(name)} {kinds.get(kind, 'VARCHAR(200)')}" for _, name, kind, *_ in described)
            target.execute(text(f"DROP TABLE IF EXISTS {table}"))
            target.execute(text(f"CREATE TABLE {table} ({columns})"))
            values = ", ".join(f":c{place}" for place in range(len(described)))
            found = source.execute(f"SELECT * FROM {table}")  # noqa: S608  # names of this module's own
            rows = [{f"c{place}": value for place, value in enumerate(row)} for row in found]
            if rows:
                target.execute(text(f"INSERT INTO {table} VALUES ({values})"), rows)  # noqa: S608
