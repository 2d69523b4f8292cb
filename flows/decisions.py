"""What people decided, and what was done by it, is in no backup of a site: so a copy of it is kept beside the backups.

It is a small snapshot in the site's newest repository. Its tags name a digest of what is in it, and the signature of
the business's key where it has one: the site can write there, too. Whoever removes anything compares the catalog with
the copy first: a catalog that was lost no longer knows of holds and erasures.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from prefect import get_run_logger

from blocks.errors import PermanentError, SettingsError
from blocks.retained_repository import DECISIONS, RetainedRepository
from blocks.saved import load
from blocks.signing import Signer, is_signed
from flows.centre import Centre
from reconcile.frames import CARRIED, DISKS, DRILLS, ERASED, HOLDS, INSPECTIONS, REMOVALS, WAIVERS, Frame, conform
from reconcile.subjects import EVERY_SITE

DECIDED = (HOLDS, ERASED, WAIVERS, REMOVALS, INSPECTIONS, DRILLS, DISKS, CARRIED)
# What names a row of each for ever: one that the copy has and the catalog has not was lost.
_KEYS = {
    HOLDS.name: ["site", "hold_id", "decided_at"],
    ERASED.name: ["site", "day", "kind", "salt", "digest"],
    WAIVERS.name: ["site", "finding_id", "waived_at"],
    REMOVALS.name: ["site", "removal_id", "what", "subject"],
    INSPECTIONS.name: ["site", "day", "act", "at"],
    DRILLS.name: ["site", "drill_id", "began_at"],
    DISKS.name: ["site", "disk_id"],
    CARRIED.name: ["site", "original"],
}
_OF_ALL_SITES = (EVERY_SITE, "-")
_DIGEST, _SIGNATURE = "digest=", "signature="


@dataclass(frozen=True)
class Copy:
    """A copy in the repositories of a site."""

    year: int
    snapshot_id: str
    path: str
    digest: str


def keep(centre: Centre) -> bool:
    """Copy the site's decisions, and those for all sites, beside its backups; False where the copy has them already.

    Raises:
        SettingsError: the copy has decisions that the catalog lacks.
    """
    copies, years, rows = _copies(centre), centre.repository.years(), _in_catalog(centre)
    digest = _digest(rows)
    if copies and (copies[0].year, copies[0].digest) == (years[-1], digest):
        return False
    _refuse(centre, _lacking(rows, _read(centre, copies)))
    if not years or all(found.is_empty() for found in rows.values()):
        return False
    repository = load(RetainedRepository, f"{centre.business.business}--{centre.site}")
    with _folder(centre) as folder:
        for name, found in rows.items():
            found.write_parquet(folder / f"{name}.parquet")
        repository.add_decisions(years[-1], folder, host=centre.site, tags=_tags(centre, digest))
    for old in copies:
        repository.forget_decisions(old.year, old.snapshot_id)
    return True


def refuse_forgotten(centre: Centre) -> None:
    """Do nothing where the catalog has every decision that is kept.

    Raises:
        SettingsError: it lacks some.
    """
    copies, rows = _copies(centre), _in_catalog(centre)
    if copies and copies[0].digest != _digest(rows):
        _refuse(centre, _lacking(rows, _read(centre, copies)))


def lacks_what_ingest_heeds(centre: Centre) -> bool:
    """Whether the catalog lacks a hold or an erasure: what was ingested meanwhile was ingested without it."""
    lacking = _lacking(_in_catalog(centre), _read(centre, _copies(centre)))
    return bool(lacking[HOLDS.name] or lacking[ERASED.name])


def bring_back(centre: Centre, frames: Sequence[Frame]) -> int:
    """Put into these frames of the catalog what they lack of the copy; how many rows."""
    copied, business, count = _read(centre, _copies(centre)), centre.business.business, 0
    for frame in frames:
        for (site, day), part in copied[frame.name].group_by("site", "day", maintain_order=True):
            place = (frame.name, business, str(site))
            known = centre.catalog.read(*place, [_as_day(day)], frame.schema)
            lacking = part.join(known, on=_KEYS[frame.name], how="anti", nulls_equal=True)
            if lacking.height:
                centre.catalog.write(*place, _as_day(day), conform(pl.concat([known, lacking]), frame))
                count += lacking.height
    return count


def _as_day(day: object) -> date:
    return date.fromisoformat(str(day))


def _in_catalog(centre: Centre) -> dict[str, pl.DataFrame]:
    """The rows of each frame of decisions that concern the site."""
    business, sites = centre.business.business, (*_OF_ALL_SITES, centre.site)
    return {
        frame.name: pl.concat([centre.catalog.read(frame.name, business, site, None, frame.schema) for site in sites])
        for frame in DECIDED
    }


def _digest(rows: dict[str, pl.DataFrame]) -> str:
    content = hashlib.sha256()
    for name, found in rows.items():
        content.update(f"{name}\n{found.write_ndjson()}".encode())
    return content.hexdigest()


def _signed(centre: Centre, digest: str) -> bytes:
    return f"voxkeep decisions\n{centre.name}\n{digest}".encode()


def _signer(centre: Centre) -> Signer | None:
    with suppress(SettingsError):
        return load(Signer, centre.business.business)
    return None


def _tags(centre: Centre, digest: str) -> list[str]:
    signer = _signer(centre)
    signature = [f"{_SIGNATURE}{signer.sign(_signed(centre, digest)).hex()}"] if signer else []
    return [f"{_DIGEST}{digest}", *signature]


def _copies(centre: Centre) -> list[Copy]:
    """The copies in the newest repository that has any that this business has signed, the newest first."""
    signer = _signer(centre)
    key = signer.public_key() if signer else None
    for year in reversed(centre.repository.years()):
        rows = [row for row in reversed(centre.repository.snapshots(year).to_dicts()) if DECISIONS in row["tags"]]
        good = [row for row in rows if key is None or _is_ours(centre, row["tags"], key)]
        if len(good) < len(rows):
            get_run_logger().error(
                "%s: %d copies of decisions in the repository of %d are not signed by this business's key",
                centre.name, len(rows) - len(good), year,
            )  # fmt: skip
        if good:
            return [Copy(year, row["snapshot_id"], row["paths"][0], _value(row["tags"], _DIGEST)) for row in good]
    return []


def _value(tags: list[str], name: str) -> str:
    return next((tag.removeprefix(name) for tag in tags if tag.startswith(name)), "")


def _is_ours(centre: Centre, tags: list[str], public_key: bytes) -> bool:
    try:
        signature = bytes.fromhex(_value(tags, _SIGNATURE))
    except ValueError:
        return False
    return is_signed(_signed(centre, _value(tags, _DIGEST)), signature, public_key)


def _read(centre: Centre, copies: list[Copy]) -> dict[str, pl.DataFrame]:
    """The rows of each frame in any of the copies; one that is damaged is told and left out."""
    found: dict[str, list[pl.DataFrame]] = {frame.name: [frame.empty()] for frame in DECIDED}
    for copy in copies:
        with _folder(centre) as folder:
            try:
                centre.repository.restore(copy.year, copy.snapshot_id, Path(copy.path), folder)
            except PermanentError as error:
                get_run_logger().error("%s: a copy of the decisions cannot be read: %s", centre.name, error)
                continue
            files = {frame.name: folder / f"{frame.name}.parquet" for frame in DECIDED}
            rows = {name: pl.read_parquet(file) for name, file in files.items() if file.exists()}
        if _digest(rows) != copy.digest:
            get_run_logger().error("%s: a copy of the decisions does not hold what its tag says", centre.name)
            continue
        for name, part in rows.items():
            found[name].append(part)
    return {frame.name: _together(found[frame.name], frame) for frame in DECIDED}


def _together(parts: list[pl.DataFrame], frame: Frame) -> pl.DataFrame:
    """Each row once; a column that an older copy does not have yet is null in its rows."""
    known: dict[str, Any] = dict(frame.schema)
    rows = pl.concat([part.select(name for name in part.columns if name in known) for part in parts], how="diagonal")
    return rows.unique(_KEYS[frame.name], keep="first", maintain_order=True)


def _lacking(rows: dict[str, pl.DataFrame], copied: dict[str, pl.DataFrame]) -> dict[str, int]:
    """How many rows of the copy the catalog does not have, by frame."""
    return {
        name: copied[name].join(rows[name], on=key, how="anti", nulls_equal=True).height for name, key in _KEYS.items()
    }


def _refuse(centre: Centre, lacking: dict[str, int]) -> None:
    found = ", ".join(f"{count} {name}" for name, count in lacking.items() if count)
    if found:
        raise SettingsError(
            operation="take in, decide or remove anything",
            subject=centre.name,
            cause=f"the catalog has lost decisions that are kept beside the backups: {found}",
            remedy=f"run `voxkeep rebuild {centre.business.business}` first, which brings them back",
        )


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
