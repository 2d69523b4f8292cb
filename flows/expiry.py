"""One business day whose time is over: what of it goes, and its removal, from the objects to the search documents."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import polars as pl
from prefect import get_run_logger

from blocks.restored import remove_files
from blocks.retained_catalog import RetainedCatalog
from blocks.retained_store import RetainedStore
from flows.centre import Centre
from flows.days import with_neighbours
from flows.indexing import index_or_remember
from flows.protocol import Entry, Order, begin, digest_of, end
from reconcile.frames import (
    CALLS,
    DAMAGED,
    EXTRACTS,
    FINDINGS,
    GONE,
    HELD,
    INVENTORY,
    LISTENABLE,
    NOTES,
    QUARANTINE,
    REJECTED,
    RESTORED,
    SNAPSHOT_FILES,
    TRACE,
    UNINDEXED,
    UNTRACED,
    Frame,
)
from reconcile.retention import Permit, Purpose, Retention, Thing, days_over, permit

# Rows that have a dataset go with it; the others with the recordings. The calls come last: they say what belongs here.
OF_DATASETS = (EXTRACTS, QUARANTINE, NOTES, CALLS)
OF_RECORDINGS = (
    TRACE, FINDINGS, REJECTED, UNINDEXED, UNTRACED, LISTENABLE, DAMAGED, GONE, SNAPSHOT_FILES, RESTORED, INVENTORY,
)  # fmt: skip
_NAMES = ("call_uid", "note_uid", "recording_id")


@dataclass(frozen=True)
class Tools:
    """What can remove something, and by which rules and order."""

    store: RetainedStore
    catalog: RetainedCatalog
    rules: Retention
    order: Order

    @property
    def purpose(self) -> Purpose:
        """Why something is removed."""
        return "erasure" if self.order.purpose == "erasure" else "retention"


@dataclass(frozen=True)
class Names:
    """Calls' legs, notes and recordings by their ids; `whole`: everything of the day."""

    call_uid: frozenset[str] = frozenset()
    note_uid: frozenset[str] = frozenset()
    recording_id: frozenset[str] = frozenset()
    whole: bool = False

    def among(self, columns: Iterable[str]) -> pl.Expr:
        """Whether a row with these columns is of one of them."""
        ours = [name for name in _NAMES if name in columns]
        has = [pl.col(name).is_in(list(getattr(self, name))).fill_null(value=False) for name in ours]
        return pl.any_horizontal(pl.lit(self.whole), *has)


@dataclass(frozen=True)
class Expiring:
    """What goes of one site's day: objects by key with their bytes, paths on the central disk, rows of each frame."""

    day: date
    objects: dict[str, int] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    kept: int = 0

    def entries(self) -> list[Entry]:
        """As they are written down."""
        found = []
        if self.objects:
            size = sum(self.objects.values())
            found.append(Entry("objects", str(self.day), len(self.objects), size, digest_of(self.objects), self.kept))
        if self.rows:
            told = digest_of(f"{name} {count}" for name, count in self.rows.items())
            found.append(Entry("rows", str(self.day), sum(self.rows.values()), 0, told, self.kept))
        return found


def days_with_data(centre: Centre) -> list[date]:
    """The days of which the site has anything that retention removes, in order."""
    return sorted({day for frame in (*OF_DATASETS, *OF_RECORDINGS) for day in centre.days(frame)})


def candidates(centre: Centre, rules: Retention, today: date) -> list[date]:
    """The days of which something is beyond its ceiling."""
    days = days_with_data(centre)
    spans = [rules.spans(), *(rules.spans(name) for name in centre.rules.datasets)]
    return sorted({day for one in spans for day in days_over(days, one, today)})


def held_names(centre: Centre, day: date) -> Names:
    """What is held of the day; a row of it may also name what is held of its neighbours."""
    held = centre.read(HELD, with_neighbours([day]))
    names = {name: frozenset(held[name].drop_nulls()) for name in _NAMES}
    whole = held.filter(pl.all_horizontal(pl.col(_NAMES).is_null()), day=day)
    return Names(**names, whole=whole.height > 0)


def look(centre: Centre, rules: Retention, day: date, today: date, *, strays: bool = False) -> Expiring:
    """What goes of this day; `strays`: also the objects that no site knows."""
    kept = held_names(centre, day)
    objects, paths, stay = {}, (), 0
    if days_over([day], rules.spans(), today):
        both = (RESTORED, INVENTORY)
        restored = pl.concat([centre.read(frame, [day]).select("recording_id", "path") for frame in both])
        goes = restored.filter(~kept.among(restored.columns)).unique().sort("path")
        paths = tuple(goes["path"])
        objects = _objects(centre, day, goes, restored, kept, strays=strays)
        stay = restored["recording_id"].n_unique() - goes["recording_id"].n_unique()
    cut = [(frame, *_split(centre, rules, frame, day, kept, today)) for frame in (*OF_RECORDINGS, *OF_DATASETS)]
    rows = {frame.name: gone.height for frame, _, gone in cut if gone.height}
    return Expiring(day, objects, paths, rows, stay)


def _objects(
    centre: Centre, day: date, goes: pl.DataFrame, known: pl.DataFrame, kept: Names, *, strays: bool
) -> dict[str, int]:
    """Key and bytes of each object that goes."""
    listing = centre.store.listing(f"{day}/").with_columns(
        pl.col("key").str.split("/").list.last().str.split(".").list.first().alias("recording_id")
    )
    wanted = listing.join(goes, on="recording_id", how="semi")
    if strays and not kept.whole:
        others = [known["recording_id"], *_of_others(centre, day)]
        wanted = pl.concat([wanted, listing.filter(~pl.col("recording_id").is_in(pl.concat(others).implode()))])
    return dict(wanted.select("key", "size").unique().iter_rows())


def _of_others(centre: Centre, day: date) -> list[pl.Series]:
    business = centre.business.business
    return [
        centre.catalog.read(frame.name, business, None, [day], frame.schema)["recording_id"]
        for frame in (RESTORED, INVENTORY)
    ]


def _split(
    centre: Centre, rules: Retention, frame: Frame, day: date, kept: Names, today: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of one partition that stay, and those that go."""
    rows = centre.read(frame, [day])
    if "dataset" in frame.columns and frame in OF_DATASETS:
        names = rows["dataset"].unique()
        over = [name for name in names if days_over([day], rules.spans(name), today)]
        goes = pl.col("dataset").is_in(over) & ~kept.among(rows.columns)
    else:
        goes = pl.lit(bool(days_over([day], rules.spans(), today))) & ~kept.among(rows.columns)
    return rows.filter(~goes), rows.filter(goes)


def expire(centre: Centre, tools: Tools, found: Expiring, today: date) -> None:
    """Remove what was found of the day, in this order: objects, central disk, rows, documents."""
    for entry in found.entries():
        begin(centre, tools.order, entry)
    locked = _remove_objects(centre, tools, found, today) if found.objects else frozenset()
    remove_files(centre.business.restored(centre.site), _unlocked(centre, found, locked))
    cut_rows(centre, tools, found.day, today, locked)
    # A note of the day may stand in the document of a call of the day before.
    calls = centre.days(CALLS)
    index_or_remember(centre, [day for day in with_neighbours([found.day]) if day == found.day or day in calls])
    end(centre, tools.order.purpose, "objects", str(found.day))
    end(centre, tools.order.purpose, "rows", str(found.day))
    get_run_logger().info(
        "%s: %s: %d objects and %d rows removed, %d recordings stay",
        centre.name, found.day, len(found.objects) - len(locked), sum(found.rows.values()), found.kept + len(locked),
    )  # fmt: skip


def _remove_objects(centre: Centre, tools: Tools, found: Expiring, today: date) -> frozenset[str]:
    """Remove the objects; the recordings whose objects the store's lock keeps."""
    keys = frozenset(found.objects)
    thing = Thing("objects", centre.site, str(found.day), found.day, names=keys)
    leave = permit(tools.purpose, centre.business.business, tools.rules, [thing], today)
    done = tools.store.remove(keys, leave)
    return frozenset(key.rpartition("/")[2].partition(".")[0] for key in done.locked)


def _unlocked(centre: Centre, found: Expiring, locked: frozenset[str]) -> list[str]:
    if not locked:
        return list(found.paths)
    inventory = centre.read(INVENTORY, [found.day])
    stay = set(inventory.filter(pl.col("recording_id").is_in(list(locked)))["path"])
    return [path for path in found.paths if path not in stay]


def cut_rows(centre: Centre, tools: Tools, day: date, today: date, locked: frozenset[str]) -> None:
    """Take the rows of the day that go out of the catalog; a partition of which nothing stays is removed."""
    held = held_names(centre, day)
    kept = Names(held.call_uid, held.note_uid, held.recording_id | locked, held.whole)
    is_over = bool(days_over([day], tools.rules.spans(), today))
    for frame in (*OF_RECORDINGS, *OF_DATASETS):
        stay, gone = _split(centre, tools.rules, frame, day, kept, today)
        if gone.height or (is_over and stay.is_empty() and day in centre.days(frame)):
            datasets = gone["dataset"].unique().to_list() if frame in OF_DATASETS else []
            leave = rows_permit(centre, tools, day, today, datasets or [None])
            tools.catalog.remove(frame.name, centre.site, day, stay, leave)
    centre.gather([day])
    tools.catalog.forget_older(FINDINGS.name, centre.site, day)


def rows_permit(centre: Centre, tools: Tools, day: date, today: date, datasets: list[str | None]) -> Permit:
    """Leave to remove rows of these datasets of the day."""
    things = [Thing("rows", centre.site, str(day), day, dataset=name) for name in datasets]
    return permit(tools.purpose, centre.business.business, tools.rules, things, today)
