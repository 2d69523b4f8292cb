"""Days of three sites under bad luck of every kind: at the end of each, all that was recorded is safe or a finding."""

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random
from signal import SIGKILL

import polars as pl
import psutil
import pytest
import yaml
from fortnight import FIRST, SITES, World
from s3_servers import PASSWORD, USER
from test_faults import run_and_die

from blocks import restic
from blocks.errors import TransientError, VoxkeepError
from blocks.repository import Repository
from blocks.saved import load
from deploy.servers.minio import Minio
from deploy.servers.process import ServerError
from deploy.servers.toxiproxy import Toxiproxy
from flows.backup import backup
from flows.carry import carry
from flows.disks import depart, prepare
from flows.ingest import ingest
from flows.reconciliation import reconcile
from reconcile.frames import CALLS, FINDINGS, INVENTORY, SNAPSHOTS, TRACE, Frame
from voxkeep.apply import apply
from voxkeep.services import Places, places
from voxkeep.settings import load_settings

NETWORKED = ("flaky", "skewed")
# Where a worker is killed: the seed chooses.
OF_BACKUP: list[tuple[str, str, int]] = [
    ("flows.backup", "stage", 1), ("flows.backup", "take_snapshot", 1), ("flows.backup", "confirm", 1),
]  # fmt: skip
OF_INGEST: list[tuple[str, str, int]] = [
    ("flows.ingest", "restore", 1), ("flows.ingest", "publish", 1), ("flows.centre", "Catalog.write", 3),
    ("flows.centre", "CatalogIndex.replace", 1), ("flows.ingest", "finish", 1),
]  # fmt: skip
STATIONS = ("on_site", "in_snapshot", "restored", "published")
# The memory of the process may grow by so much from the third day to the last: what is kept a day is far more.
MOST_GROWTH = 0.15


@dataclass
class Company:
    """The world, the servers between its sites and the centre, and what voxkeep keeps of it."""

    world: World
    minio: Minio
    network: Toxiproxy
    places: Places

    def frame(self, contract: Frame) -> pl.DataFrame:
        """A frame of the catalog, all sites and days."""
        return self.places.catalog.read(contract.name, "fortnight", None, None, contract.schema)


@pytest.fixture
def network(breakable_minio: Minio, tmp_path: Path) -> Iterator[Toxiproxy]:
    """The way of the flaky site to the centre."""
    proxy = Toxiproxy(tmp_path / "network", breakable_minio.endpoint_of(2).removeprefix("http://"))
    try:
        proxy.start()
    except ServerError as error:
        pytest.skip(str(error))
    yield proxy
    proxy.stop()


def found(tmp_path: Path, minio: Minio, network: Toxiproxy, seed: int) -> Company:
    """The company, set up: buckets, keys, blocks; the flaky site's block leads through its network."""
    world = World(tmp_path / "world", Random(seed))  # noqa: S311  # repeatable, no secret
    world.folder.mkdir()
    keys = {"access_key": USER, "secret_key": PASSWORD}
    for name, secret in keys.items():
        (world.folder / name).write_text(secret)
    s3 = {"endpoint": minio.endpoint, **{name: {"file": name} for name in keys}}
    file = world.folder / "fortnight.yaml"
    file.write_text(yaml.safe_dump(world.settings() | {"s3": s3}))
    settings = load_settings(file)
    apply(settings, world.folder / "home")
    through = load(Repository, "fortnight--flaky")
    endpoint = minio.endpoint.removeprefix("http://")
    detour = through.model_copy(update={"location": through.location.replace(endpoint, network.address)})
    detour.save("fortnight--flaky", overwrite=True)
    return Company(world, minio, network, places(settings))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("days", [4, 14])
def test_each_day_all_that_was_recorded_is_at_every_station_or_a_finding(
    days: int, prefect: None, breakable_minio: Minio, network: Toxiproxy, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(restic, "PATIENCE_SECONDS", 10.0)
    seed = int(os.environ.get("SEED", "1"))
    print(f"the same again: SEED={seed} pytest tests/test_fortnight.py -m '' -k {days}")  # noqa: T201
    company = found(tmp_path, breakable_minio, network, seed)
    company.world.disk.parent.mkdir()
    prepare(company.world.disk, "fortnight", "island", "A1")
    luck = BadLuck(company, days)
    memory = []
    for place in range(days):
        today = FIRST + timedelta(days=place)
        company.world.live(today)
        luck.strike(place, today)
        reconcile("fortnight", day=today)
        check(company, today)
        gc.collect()
        memory.append(psutil.Process().memory_info().rss)
    assert max(memory[3:]) <= memory[2] * (1 + MOST_GROWTH) + 2**25, [size >> 20 for size in memory]


class BadLuck:
    """What goes wrong, in the order of the days: a long period has each of it at least once, a short one most."""

    def __init__(self, company: Company, days: int) -> None:
        self.company, self.world, self.days = company, company.world, days
        self.random = company.world.random

    def strike(self, place: int, today: date) -> None:
        """Back up and ingest all that can be, while today's bad luck comes."""
        kinds: list[Callable[[date], None]] = [
            self.a_torn_network, self.a_killed_worker, self.no_network, self.a_node_that_restarts,
        ]  # fmt: skip
        kinds[place % len(kinds)](today)
        backup("fortnight", "island", today)
        if place in (self.days // 2, self.days - 1):
            self.carry_disk(today)
        if place == self.days - 2:
            assert self.world.purge("skewed", before=today)

    def a_torn_network(self, today: date) -> None:
        """The flaky site's answers are slow, and its connections are cut in the middle of what they carry."""
        self.company.network.stall(40, 0.3)
        self._work(today)
        self.company.network.mend()

    def a_killed_worker(self, today: date) -> None:
        """A worker is killed in the middle of a backup, and one in the middle of an ingest; both are run again."""
        run_and_die(self.random.choice(OF_BACKUP), "backup", "skewed", str(today), business="fortnight")
        backup("fortnight", "skewed", today)
        run_and_die(self.random.choice(OF_INGEST), "ingest", "skewed", business="fortnight")
        self._work(today)

    def no_network(self, today: date) -> None:
        """The flaky site cannot reach the centre: a clear error, and nothing for the other site."""
        self.company.network.cut()
        with pytest.raises(TransientError, match="fortnight/flaky"):
            backup("fortnight", "flaky", today)
        self._work(today, ("skewed",))
        self.company.network.mend()

    def a_node_that_restarts(self, today: date) -> None:
        """A node of the store is killed, and comes back after the backups."""
        self.company.minio.stop_node(4, SIGKILL)
        for site in NETWORKED:
            backup("fortnight", site, today)
        self.company.minio.start()
        self._work(today)

    def carry_disk(self, today: date) -> None:
        """The island's disk departs, arrives, and goes back."""
        depart(self.world.disk)
        carry(str(self.world.disk))
        self.world.taken["island"] = today

    def _work(self, today: date, sites: tuple[str, ...] = NETWORKED) -> None:
        """Back up and ingest these sites; restic itself may give up on a torn network, and is run again."""
        for site in sites:
            again = 5
            while again:
                try:
                    backup("fortnight", site, today)
                    again = 0
                except VoxkeepError:
                    again -= 1
                    assert again, f"{site} did not get through"
            self.world.taken[site] = today
        ingest("fortnight")


def check(company: Company, today: date) -> None:
    """The laws of each day: nothing is missing, nothing is doubled, and what is wrong is a finding, and only that."""
    world = company.world
    inventory, trace = company.frame(INVENTORY), company.frame(TRACE)
    recordings = world.recordings()
    assert {
        (site, path): sha256 for site, path, sha256 in inventory.select("site", "path", "sha256").rows()
    } == recordings
    assert inventory.height == len(recordings)
    calls = company.frame(CALLS)
    assert Counter(calls.select("site", "call_id").rows()) == world.rows()
    has_file = trace.filter(pl.col("recording_id").is_not_null())
    assert Counter(has_file.select("site", "path").rows()) == Counter(recordings.keys())
    for station in STATIONS:
        assert has_file.filter(~pl.col(station).fill_null(value=False)).is_empty(), station
    assert has_file.filter(~pl.col("content_ok")).is_empty()
    assert has_file.filter(pl.col("called") & ~pl.col("indexed")).is_empty()
    listed = company.places.store.listing()
    assert listed.height == len(recordings)
    assert set(listed["key"]) == set(has_file["key"])
    snapshots = company.frame(SNAPSHOTS)
    assert snapshots["snapshot_id"].is_unique().all()
    is_open = company.frame(FINDINGS).filter(pl.col("status") == "open")
    assert Counter(is_open.select("kind", "site", "day").rows()) == world.findings(today)
    assert set(trace["site"]) <= set(SITES)
