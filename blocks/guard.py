"""The guard that everything which is removed for good must pass, whoever asks and on whatever path.

A verb that removes takes a permit, and has the guard look at what is really about to go: each thing must be in the
permit, its floor must be over by this machine's clock, and no legal hold may be on it by now. A forged permit, or one
from before a hold, opens nothing.
"""

import hashlib
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from blocks.catalog import Catalog
from blocks.errors import KeptError
from blocks.saved import load

_NAMES = ["call_uid", "note_uid", "recording_id"]
HELD_SCHEMA = pl.Schema(
    [
        ("site", pl.String()),
        ("day", pl.Date()),
        *((name, pl.String()) for name in _NAMES),
        ("repository_year", pl.Int32()),
    ]
)
_HOLDER_SCHEMA = pl.Schema([("day", pl.Date()), ("snapshot_id", pl.String())])
_TAKEN_SCHEMA = pl.Schema([("snapshot_id", pl.String()), ("repository_year", pl.Int32())])
_KNOWN_SCHEMA = pl.Schema([("day", pl.Date()), ("recording_id", pl.String())])


class Permit(Protocol):
    """Leave to remove some things and no others; reconcile.retention makes one."""

    @property
    def purpose(self) -> str:
        """Why: retention or erasure."""
        ...

    @property
    def business(self) -> str:
        """Whose things they are."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """Each object or recording by its name."""
        ...

    def covers(self, what: str, site: str, subject: str) -> bool:
        """Whether this thing may go."""
        ...


class Floor(BaseModel):
    """Least time for which something is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    years: int = Field(default=0, ge=0, description="Years.")
    days: int = Field(default=0, ge=0, description="Days.")

    def over_on(self, day: date) -> date:
        """The first day on which what belongs to `day` may go."""
        try:
            last = day.replace(year=day.year + self.years)
        except ValueError:  # 29 February
            last = date(day.year + self.years, 3, 1)
        return last + timedelta(days=self.days + 1)


class Guard(BaseModel):
    """What keeps a business's things from being removed before their time, or while they are held.

    Every verb raises:
        KeptError: one of the things must stay; then all of them do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    business: str = Field(description="Whose things they are.")
    time_zone: str = Field(description="Time zone of the business days.")
    floor: Floor = Field(description="Least time for recordings and for rows of datasets that are not named.")
    floors: dict[str, Floor] = Field(default_factory=dict, description="Least time for rows of a dataset.")
    erasure_beats_floor: bool = Field(default=False, description="Whether a person's data may go before that.")

    def check_objects(self, keys: Collection[str], permit: Permit) -> None:
        """Let these recordings go: `<day>/<..>/<recording_id>.<…>`."""
        self._check_permit("objects", keys, permit)
        days = {key: _day_of(key) for key in keys}
        for day in sorted(set(days.values())):
            self._check_floor(f"objects of {day}", [self.floor], day, permit)
            held = self._held(None, [day])
            kept = set(held["recording_id"].drop_nulls()) | self._of_whole_days(held)
            found = [key for key in keys if days[key] == day and _recording_of(key) in kept]
            if found:
                raise self._refusal(f"{len(found)} objects of {day}", "a legal hold keeps them", permit)

    def check_rows(self, site: str, day: date, rows: pl.DataFrame, permit: Permit) -> None:
        """Let these rows of the catalog's partition go."""
        subject = f"rows of {self.business}/{site}, {day}"
        if not permit.covers("rows", site, day.isoformat()):
            raise self._refusal(subject, "no permit covers them", permit)
        datasets = rows["dataset"].drop_nulls().unique().to_list() if "dataset" in rows.columns else []
        self._check_floor(subject, [self.floors.get(name, self.floor) for name in datasets or [""]], day, permit)
        held = self._held(site, [day])
        if rows.height and _whole(held).height:
            raise self._refusal(subject, "a legal hold keeps all of the day", permit)
        for name in _NAMES:
            if name in rows.columns and not set(held[name].drop_nulls()).isdisjoint(rows[name].drop_nulls()):
                raise self._refusal(subject, "a legal hold keeps some of them", permit)

    def check_repository(self, site: str, year: int, backups: Collection[str], permit: Permit) -> None:
        """Let the year's repository go, which has these backups."""
        subject = f"repository of {self.business}/{site}, {year}"
        if not permit.covers("repository", site, str(year)):
            raise self._refusal(subject, "no permit covers it", permit)
        taken = self._taken(site)
        self._check_looked_at(subject, backups, taken, permit)
        own = taken.filter(pl.col("repository_year") == year)["snapshot_id"]
        holders = self._catalog().scan("snapshot_files", self.business, site, None, _HOLDER_SCHEMA)
        last = holders.filter(pl.col("snapshot_id").is_in(own.implode())).select(pl.col("day").max()).collect().item()
        until = max(last or date.min, date(year, 12, 31))
        self._check_floor(subject, [self.floor, *self.floors.values()], until, permit)
        held = self._held(site, None)
        is_in_it = (pl.col("repository_year") == year) | (pl.col("day").dt.year() == year)
        if held.filter(is_in_it.fill_null(value=False)).height:
            raise self._refusal(subject, "a legal hold is on something in it", permit)

    def check_snapshots(
        self, site: str, year: int, snapshot_ids: Collection[str], backups: Collection[str], permit: Permit
    ) -> None:
        """Let snapshots go of which the catalog says that nothing is in them that is not in others.

        `backups`: all of the year's repository; what is none of them lies beside one.
        """
        subject = f"snapshots of {self.business}/{site}, {year}"
        if not permit.covers("snapshots", site, str(year)):
            raise self._refusal(subject, "no permit covers them", permit)
        self._check_looked_at(subject, set(snapshot_ids).intersection(backups), self._taken(site), permit)
        holders = self._catalog().scan("snapshot_files", self.business, site, None, _HOLDER_SCHEMA)
        if holders.filter(pl.col("snapshot_id").is_in(list(snapshot_ids))).head(1).collect().height:
            raise self._refusal(subject, "recordings are told to be in them", permit)

    def check_paths(self, site: str, paths: Collection[str], permit: Permit) -> None:
        """Let these recordings go out of every snapshot of the site."""
        ids = {hashlib.sha256(f"{self.business}\0{site}\0{path}".encode()).hexdigest()[:32] for path in paths}
        self._check_permit("recordings in snapshots", ids, permit)
        known = self._catalog().scan("inventory", self.business, site, None, _KNOWN_SCHEMA)
        found = known.filter(pl.col("recording_id").is_in(list(ids))).unique().collect()
        for day in found["day"].unique().sort():
            self._check_floor(f"recordings in snapshots, of {day}", [self.floor], day, permit)
        held = self._held(site, None)
        whole = _whole(held)["day"].implode()
        is_held = pl.col("recording_id").is_in(held["recording_id"].drop_nulls().implode()) | pl.col("day").is_in(whole)
        if found.filter(is_held).height:
            raise self._refusal(f"recordings in snapshots of {site}", "a legal hold keeps some of them", permit)

    def _check_looked_at(self, subject: str, backups: Collection[str], taken: pl.DataFrame, permit: Permit) -> None:
        """Of a backup that was never ingested, or that a lost catalog has forgotten, nobody knows what is in it."""
        unknown = set(backups).difference(taken["snapshot_id"])
        if unknown:
            raise self._refusal(subject, f"{len(unknown)} backups in it are not ingested", permit)

    def _taken(self, site: str) -> pl.DataFrame:
        return self._catalog().read("snapshots", self.business, site, None, _TAKEN_SCHEMA)

    def _check_permit(self, what: str, names: Iterable[str], permit: Permit) -> None:
        if permit.business != self.business or not permit.names.issuperset(names):
            raise self._refusal(f"{what} of {self.business}", "no permit covers them", permit)

    def _check_floor(self, subject: str, floors: list[Floor], day: date, permit: Permit) -> None:
        if permit.purpose == "erasure" and self.erasure_beats_floor:
            return
        until = max(floor.over_on(day) for floor in floors)
        today = datetime.now(UTC).astimezone(ZoneInfo(self.time_zone)).date()
        if today < until:
            raise self._refusal(subject, f"it is under the floor until {until}", permit)

    def _held(self, site: str | None, days: list[date] | None) -> pl.DataFrame:
        return self._catalog().read("held", self.business, site, days, HELD_SCHEMA)

    def _of_whole_days(self, held: pl.DataFrame) -> set[str]:
        """Every recording of the sites and days that are held as a whole."""
        parts = [
            self._catalog().read("inventory", self.business, site, [day], _KNOWN_SCHEMA)["recording_id"]
            for site, day in _whole(held).select("site", "day").unique().rows()
        ]
        return {name for part in parts for name in part}

    def _catalog(self) -> Catalog:
        return load(Catalog, self.business)

    def _refusal(self, subject: str, cause: str, permit: Permit) -> KeptError:
        return KeptError(
            operation=f"remove ({permit.purpose})",
            subject=subject,
            cause=cause,
            remedy="let it stay; `voxkeep retention preview` tells what may go and when",
        )


def _whole(held: pl.DataFrame) -> pl.DataFrame:
    """The rows that hold all of a day."""
    return held.filter(pl.all_horizontal(pl.col(_NAMES).is_null()))


def _day_of(key: str) -> date:
    try:
        return date.fromisoformat(key.partition("/")[0])
    except ValueError:
        raise KeptError(
            operation="remove an object",
            subject=repr(key),
            cause="its key does not say which day it belongs to",
            remedy="let it stay, or look who put it there",
        ) from None


def _recording_of(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]
