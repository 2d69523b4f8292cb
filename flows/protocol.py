"""What was removed, when and by whose order: rows of the catalog, and a signed protocol for each order.

A row is begun before anything of it goes and done when all of it is gone, so that a run that was killed is continued.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from blocks.errors import SettingsError
from blocks.saved import load
from blocks.signing import Signer
from flows.centre import Centre
from reconcile.frames import INSTANT, REMOVALS
from reconcile.ids import stable_id

FORMAT = "voxkeep removal protocol, version 1"


@dataclass(frozen=True)
class Order:
    """Who wants what removed, and why: one run of retention, or one erasure."""

    removal_id: str
    purpose: str
    author: str
    reason: str
    day: date
    at: datetime


@dataclass(frozen=True)
class Entry:
    """One thing that goes: how much, and a digest over the names of all of it."""

    what: str
    subject: str
    count: int
    bytes: int
    digest: str
    kept: int = 0


def new_order(business: str, purpose: str, author: str, reason: str, day: date) -> Order:
    """An order that begins now."""
    now = datetime.now(UTC)
    removal_id = stable_id(business, purpose, author, now.isoformat(), digits=12)
    return Order(removal_id, purpose, author.strip(), reason.strip(), day, now)


def digest_of(names: Iterable[str], salt: str = "") -> str:
    """SHA-256 over the sorted names, a line each, behind the salt."""
    return hashlib.sha256("\n".join([salt, *sorted(names)]).encode()).hexdigest()


def signer_of(business: str) -> Signer:
    """The key that signs what was removed.

    Raises:
        SettingsError: there is none, and so nothing may be removed.
    """
    try:
        return load(Signer, business)
    except SettingsError:
        raise SettingsError(
            operation="remove anything",
            subject=business,
            cause="there is no key to sign the protocol with",
            remedy="make one with `openssl genpkey -algorithm ed25519 -out key.pem`, name it in the settings as "
            "`certificate_key`, and apply them",
        ) from None


def begin(centre: Centre, order: Order, *entries: Entry) -> None:
    """Write down what is about to go; what is begun already and not done stays as it was begun."""
    begun = set(unfinished(centre, order.purpose).select("what", "subject").iter_rows())
    rows = [
        {
            "business": centre.business.business, "site": centre.site, "day": order.day,
            "removal_id": order.removal_id, "purpose": order.purpose, "what": entry.what, "subject": entry.subject,
            "count": entry.count, "bytes": entry.bytes, "digest": entry.digest, "kept": entry.kept,
            "author": order.author, "reason": order.reason, "begun_at": datetime.now(UTC), "done_at": None,
        }
        for entry in entries
        if (entry.what, entry.subject) not in begun
    ]  # fmt: skip
    if rows:
        known = centre.read(REMOVALS, [order.day])
        centre.write(REMOVALS, order.day, pl.concat([known, pl.DataFrame(rows, schema=REMOVALS.schema)]))


def end(centre: Centre, purpose: str, what: str, *subjects: str) -> None:
    """Write down that all of these is gone."""
    _close(centre, purpose, what, subjects)


def spare(centre: Centre, purpose: str, what: str, *subjects: str) -> None:
    """Write down that nothing of these is gone, and that they stay."""
    none = {"count": pl.lit(0, pl.Int64), "bytes": pl.lit(0, pl.Int64), "digest": pl.lit(digest_of([]))}
    _close(centre, purpose, what, subjects, **none, kept=pl.col("count"))


def _close(centre: Centre, purpose: str, what: str, subjects: Collection[str], **came_of_it: pl.Expr) -> None:
    is_it = pl.all_horizontal(
        pl.col("purpose") == purpose,
        pl.col("what") == what,
        pl.col("subject").is_in(list(subjects)),
        pl.col("done_at").is_null(),
    )
    values = {**came_of_it, "done_at": pl.lit(datetime.now(UTC), INSTANT)}
    changed = [pl.when(is_it).then(value).otherwise(name).alias(name) for name, value in values.items()]
    for day in unfinished(centre, purpose).filter(is_it)["day"].unique():
        centre.write(REMOVALS, day, centre.read(REMOVALS, [day]).with_columns(changed))


def unfinished(centre: Centre, purpose: str) -> pl.DataFrame:
    """What was begun at this site and is not done (REMOVALS)."""
    business = centre.business.business
    known = centre.catalog.scan(REMOVALS.name, business, centre.site, None, REMOVALS.schema)
    return known.filter(pl.col("done_at").is_null() & (pl.col("purpose") == purpose)).collect()


def issue(centres: list[Centre], signer: Signer, told: dict[str, Any] | None = None) -> list[Path]:
    """Sign a protocol of each order of which all is done and none was issued; the folders of those that are new."""
    settings = centres[0].business
    name = settings.business
    rows = centres[0].catalog.read(REMOVALS.name, name, None, None, REMOVALS.schema)
    folders = []
    for (removal_id,), mine in sorted(rows.group_by("removal_id"), key=lambda one: str(one[0][0])):
        folder = settings.reports() / "removals" / str(removal_id)
        if mine["done_at"].null_count() or (folder / "protocol.json.sig").exists():
            continue
        _write(folder, _content(mine, told or {}), signer)
        folders.append(folder)
    return folders


def _content(rows: pl.DataFrame, told: dict[str, Any]) -> bytes:
    first = rows.row(0, named=True)
    ordered = rows.sort("site", "what", "subject")
    said = {
        "format": FORMAT,
        **{key: first[key] for key in ("business", "removal_id", "purpose", "author", "reason")},
        "ordered_on": first["day"],
        "begun_at": rows["begun_at"].min(),
        "done_at": rows["done_at"].max(),
        "removed": ordered.select("site", "what", "subject", "count", "bytes", "digest", "kept").to_dicts(),
        **told,
    }
    return (json.dumps(said, ensure_ascii=False, indent=1, default=str) + "\n").encode()


def _write(folder: Path, content: bytes, signer: Signer) -> None:
    """The signature comes last: without it there is no protocol, and it is written again."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"protocol.json": content, "public-key.pem": signer.public_key(), "protocol.json.sig": signer.sign(content)}
    for name, text in files.items():
        part = folder / f".{name}.part"
        with part.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / name)
