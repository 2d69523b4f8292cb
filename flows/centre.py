"""The central side of a site: its blocks, and how its frames are read and written."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from blocks.business import Business
from blocks.catalog import Catalog
from blocks.elastic import ElasticIndex
from blocks.index import CatalogIndex
from blocks.repository import Repository
from blocks.saved import find, index_taken, taken
from blocks.store import ObjectStore
from flows.days import today
from flows.runs import Stages
from reconcile.frames import (
    GATHERED,
    RUNS,
    Frame,
    conform,
)
from reconcile.rules import Rules


@dataclass(frozen=True)
class Centre:
    """The central side of one site of one business, with its blocks and rules."""

    business: Business
    site: str
    rules: Rules
    repository: Repository
    catalog: Catalog
    store: ObjectStore
    index: CatalogIndex | ElasticIndex

    @property
    def name(self) -> str:
        """Business and site as people write them."""
        return f"{self.business.business}/{self.site}"

    def read(self, frame: Frame, days: list[date]) -> pl.DataFrame:
        """The site's partitions of these days."""
        return self.catalog.read(frame.name, self.business.business, self.site, days, frame.schema)

    def days(self, frame: Frame) -> list[date]:
        """The days of which there is a partition, in order."""
        return self.catalog.days(frame.name, self.business.business, self.site)

    def write(self, frame: Frame, day: date, rows: pl.DataFrame) -> None:
        """Replace one partition."""
        self.catalog.write(frame.name, self.business.business, self.site, day, conform(rows, frame))

    def gather(self, days: Iterable[date]) -> None:
        """Bring the months of these days up to date in `summaries/`, where analysts read."""
        for month in sorted({day.replace(day=1) for day in days}):
            for frame in GATHERED:
                self.catalog.gather(frame.name, self.business.business, self.site, month, frame.schema)


def load_centre(settings: Business, site: str) -> Centre:
    """The central side of one site, with its blocks."""
    name, can_only_read = settings.business, f"{settings.business}--{site}--restore"
    kinds = (Catalog, ObjectStore, ElasticIndex, CatalogIndex)
    found = find([(Repository, can_only_read), *((kind, name) for kind in kinds)])
    return Centre(
        business=settings,
        site=site,
        rules=Rules.model_validate(settings.rules),
        repository=taken(found, Repository, can_only_read),
        catalog=taken(found, Catalog, name),
        store=taken(found, ObjectStore, name),
        index=index_taken(found, name),
    )


def turn(business: str, site: str) -> str:
    """Name of the concurrency limit that keeps two ingests of one site apart, on whatever machines they run."""
    return f"voxkeep-ingest-{business}-{site}"


def remember(centre: Centre, stages: Stages) -> None:
    """Remember of these stages, which have succeeded, when and how long they were at it."""
    day = today(datetime.now(UTC), centre.rules.time_zone)
    keys = {"business": centre.business.business, "site": centre.site, "day": day}
    centre.write(RUNS, day, stages.into(centre.read(RUNS, [day]), keys))
