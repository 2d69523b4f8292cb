"""The ledger of disks (DISKS): which are on their way, which have not come, and what each must hold."""

import base64
import binascii
import json
import zlib
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from reconcile.errors import RuleError
from reconcile.frames import DISKS, conform

SLIP = "voxkeep-disk:"
# So much of a snapshot's id stands in the ledger: a slip has to fit into a message.
ID_DIGITS = 16


def with_row(known: pl.DataFrame, row: dict[str, Any]) -> pl.DataFrame:
    """DISKS with this row; the same disk's of the same departure is told anew."""
    new = pl.DataFrame([row], schema=DISKS.schema)
    kept = known.join(new, on=["disk_id", "departed_at"], how="anti", nulls_equal=True)
    return conform(pl.concat([kept, new]), DISKS).sort("disk_id", "departed_at")


def on_their_way(disks: pl.DataFrame) -> pl.DataFrame:
    """The departures (DISKS) of which the disk has not arrived."""
    return disks.filter(pl.col("departed_at").is_not_null() & pl.col("arrived_at").is_null())


def missing(disks: pl.DataFrame, transit_days: float, now: datetime) -> pl.DataFrame:
    """The disks (DISKS) that departed more than so many days ago and have not arrived, the oldest first."""
    return on_their_way(disks).filter(pl.col("departed_at") < now - timedelta(days=transit_days)).sort("departed_at")


def expected(disks: pl.DataFrame) -> list[str]:
    """The beginnings of the snapshot ids that these disks (DISKS) must hold."""
    return disks["expected"].explode(empty_as_null=True).drop_nulls().unique().sort().to_list()


def not_expected_before(snapshot_ids: list[str], disks: pl.DataFrame) -> list[str]:
    """The beginnings of the snapshot ids that no departure (DISKS) has told of yet, in order."""
    return sorted({found[:ID_DIGITS] for found in snapshot_ids} - set(expected(disks)))


def vanished(disks: pl.DataFrame, snapshot_ids: list[str]) -> list[str]:
    """What these disks (DISKS) must hold and the snapshots found do not have."""
    return sorted(set(expected(disks)) - {found[:ID_DIGITS] for found in snapshot_ids})


def newest(disks: pl.DataFrame, transit_days: float, now: datetime) -> pl.DataFrame:
    """The newest row (DISKS) of each disk with its `state`: at_site, on_its_way, missing or arrived."""
    is_away = pl.col("departed_at").is_not_null()
    state = (
        pl.when(~is_away)
        .then(pl.lit("at_site"))
        .when(pl.col("arrived_at").is_not_null())
        .then(pl.lit("arrived"))
        .when(pl.col("departed_at") < now - timedelta(days=transit_days))
        .then(pl.lit("missing"))
        .otherwise(pl.lit("on_its_way"))
    )
    last = disks.sort("departed_at", nulls_last=False).unique("disk_id", keep="last")
    return last.with_columns(state.alias("state")).sort("business", "site", "label", "disk_id")


def write_slip(row: dict[str, Any]) -> str:
    """One word that says a departure (a row of DISKS), to be sent to the centre on another way than the disk."""
    plain = json.dumps(row, default=str, ensure_ascii=False).encode()
    return SLIP + base64.urlsafe_b64encode(zlib.compress(plain, 9)).decode()


def read_slip(slip: str) -> dict[str, Any]:
    """The departure (a row of DISKS) that a slip says.

    Raises:
        RuleError: it is no slip, or not all of it.
    """
    try:
        plain = json.loads(zlib.decompress(base64.urlsafe_b64decode("".join(slip.split()).removeprefix(SLIP))))
        frame = pl.DataFrame([plain], schema_overrides={"expected": pl.List(pl.String)}).with_columns(
            pl.col("day").str.to_date(),
            pl.col("prepared_at", "departed_at").str.to_datetime(time_unit="us", time_zone="UTC"),
            pl.lit(None, DISKS.schema["arrived_at"]).alias("arrived_at"),
        )
        return conform(frame, DISKS).row(0, named=True)
    except (binascii.Error, zlib.error, ValueError, TypeError, pl.exceptions.PolarsError):
        raise RuleError(
            operation="read the slip of a disk",
            subject=f"{slip[:40]}…",
            cause="it is no slip of `voxkeep carry depart`, or a part of it is missing",
            remedy="copy all of it, from voxkeep-disk: to its end",
        ) from None
