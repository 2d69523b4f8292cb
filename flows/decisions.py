"""What people decided, and what was done by it, is in no backup of a site: so a copy of it is kept beside the backups.

It is a small snapshot in the site's newest repository, whose tag names a digest of what is in it. Whoever removes
anything compares the catalog with it first: a catalog that was lost no longer knows of holds and erasures.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from blocks.errors import SettingsError
from blocks.retained_repository import RetainedRepository
from blocks.saved import load
from flows.centre import Centre
from flows.thinning import take_out
from reconcile.frames import (
    CARRIED,
    DISKS,
    DRILLS,
    ERASED,
    HOLDS,
    INSPECTIONS,
    REMOVALS,
    SNAPSHOTS,
    WAIVERS,
    Frame,
    conform,
)
from reconcile.subjects import EVERY_SITE

DECIDED = (HOLDS, ERASED, WAIVERS, REMOVALS, INSPECTIONS, DRILLS, DISKS, CARRIED)
# Rows of these are only ever added, in this order of a partition: one that is missing was lost.
_ONLY_ADDED = {HOLDS.name: ["decided_at"], ERASED.name: ["kind", "digest"], WAIVERS.name: ["waived_at"]}
_OF_ALL_SITES = (EVERY_SITE, "-")
_TAG = "digest="


@dataclass(frozen=True)
class Copy:
    """The newest copy in the repositories of a site."""

    year: int
    snapshot_id: str
    path: str
    digest: str


def keep(centre: Centre) -> bool:
    """Copy the site's decisions, and those for all sites, beside its backups; False where the copy has them already.

    Raises:
        SettingsError: the copy has decisions that the catalog lacks.
    """
    copy, years, rows = _newest(centre), centre.repository.years(), _in_catalog(centre)
    digest, is_empty = _digest(rows), all(found.is_empty() for found in rows.values())
    if copy and (copy.year, copy.digest) == (years[-1], digest):
        return False
    _refuse(centre, _lacking(rows, _read(centre, copy)))
    if not years or is_empty:
        return False
    with _folder(centre) as folder:
        for name, found in rows.items():
            found.write_parquet(folder / f"{name}.parquet")
        repository = load(RetainedRepository, f"{centre.business.business}--{centre.site}")
        repository.keep_decisions(years[-1], folder, host=centre.site, tag=f"{_TAG}{digest}")
    return True


def refuse_forgotten(centre: Centre) -> None:
    """Do nothing where the catalog has every decision that is kept.

    Raises:
        SettingsError: it lacks some.
    """
    copy, rows = _newest(centre), _in_catalog(centre)
    if copy and copy.digest != _digest(rows):
        _refuse(centre, _lacking(rows, _read(centre, copy)))


def bring_back(centre: Centre, frames: Sequence[Frame] = DECIDED) -> int:
    """Put into these frames of the catalog what they lack of the copy; how many rows.

    Where a hold or an erasure was lacking, what was ingested without it counts as not ingested.
    """
    copied = _read(centre, _newest(centre))
    lacking = _lacking(_in_catalog(centre), copied)
    if lacking[HOLDS.name] or lacking[ERASED.name]:
        take_out(centre, centre.read(SNAPSHOTS, centre.days(SNAPSHOTS))["snapshot_id"].to_list())
    count = 0
    for frame in frames:
        for (site, day), part in copied[frame.name].group_by("site", "day", maintain_order=True):
            count += _put_back(centre, frame, (str(site), date.fromisoformat(str(day))), part)
    return count


def _put_back(centre: Centre, frame: Frame, place: tuple[str, date], part: pl.DataFrame) -> int:
    business, (site, day) = centre.business.business, place
    known = centre.catalog.read(frame.name, business, site, [day], frame.schema)
    lacking = part.join(known, on=part.columns, how="anti", nulls_equal=True) if known.height else part
    if lacking.is_empty() or (known.height and frame.name not in _ONLY_ADDED):
        return 0  # the catalog's rows of these frames are newer than the copy's
    merged = pl.concat([known, lacking])
    order = _ONLY_ADDED.get(frame.name)
    centre.catalog.write(frame.name, business, site, day, conform(merged.sort(order) if order else merged, frame))
    return lacking.height


def _in_catalog(centre: Centre) -> dict[str, pl.DataFrame]:
    """The rows of each frame of decisions that concern the site."""
    business, sites = centre.business.business, (*_OF_ALL_SITES, centre.site)
    return {
        frame.name: pl.concat([centre.catalog.read(frame.name, business, site, None, frame.schema) for site in sites])
        for frame in DECIDED
    }


@contextmanager
def _folder(centre: Centre) -> Iterator[Path]:
    """An empty folder that is gone afterwards: the copies name numbers."""
    folder = centre.business.work(centre.site) / "decisions"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _digest(rows: dict[str, pl.DataFrame]) -> str:
    content = hashlib.sha256()
    for name, found in rows.items():
        content.update(f"{name}\n{found.write_ndjson()}".encode())
    return content.hexdigest()


def _newest(centre: Centre) -> Copy | None:
    for year in reversed(centre.repository.years()):
        for row in reversed(centre.repository.snapshots(year).to_dicts()):
            digests = [tag.removeprefix(_TAG) for tag in row["tags"] if tag.startswith(_TAG)]
            if digests:
                return Copy(year, row["snapshot_id"], row["paths"][0], digests[0])
    return None


def _read(centre: Centre, copy: Copy | None) -> dict[str, pl.DataFrame]:
    """The rows of each frame in the copy."""
    if copy is None:
        return {frame.name: frame.empty() for frame in DECIDED}
    with _folder(centre) as folder:
        centre.repository.restore(copy.year, copy.snapshot_id, Path(copy.path), folder)
        files = {frame.name: (frame, folder / f"{frame.name}.parquet") for frame in DECIDED}
        return {
            name: conform(pl.read_parquet(file), frame) if file.exists() else frame.empty()
            for name, (frame, file) in files.items()
        }


def _lacking(rows: dict[str, pl.DataFrame], copied: dict[str, pl.DataFrame]) -> dict[str, int]:
    """How many rows of the copy the catalog does not have, by frame."""
    return {
        name: copied[name].join(rows[name], on=rows[name].columns, how="anti", nulls_equal=True).height
        for name in _ONLY_ADDED
    }


def _refuse(centre: Centre, lacking: dict[str, int]) -> None:
    found = ", ".join(f"{count} {name}" for name, count in lacking.items() if count)
    if found:
        raise SettingsError(
            operation="decide or remove anything",
            subject=centre.name,
            cause=f"the catalog has lost decisions that are kept beside the backups: {found}",
            remedy=f"run `voxkeep rebuild {centre.business.business}` first, which brings them back",
        )
