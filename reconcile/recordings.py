"""Recordings: whose each file is, which day it belongs to, and the key of its object."""

import polars as pl

from reconcile.ids import stable_ids
from reconcile.names import read_names
from reconcile.rules import Rules


def name_files(files: pl.DataFrame, *, business: str, site: str, rules: Rules) -> pl.DataFrame:
    """The files (at least path, mtime) with business, site, day, recording_id, and what their names say.

    Adds extension, number, call_id (String) and started_at (UTC) from the name, null where it does not say. `day`
    comes from the name or, failing that, from mtime; never from the call a recording is matched to.
    """
    said = read_names(files["path"], rules.name_templates, rules.time_zone)
    by_mtime = files["mtime"].dt.convert_time_zone(rules.time_zone).dt.date()
    return files.with_columns(
        pl.lit(business).alias("business"),
        pl.lit(site).alias("site"),
        said["day"].fill_null(by_mtime).alias("day"),
        stable_ids((business, site), [files["path"]]).alias("recording_id"),
        said["extension"],
        said["number"],
        said["call_id"],
        said["started_at"],
    )


def object_key() -> pl.Expr:
    """The object's key, from day, recording_id, sha256 and path: `<day>/<id[:2]>/<id>.<sha256[:12]><.ext>`.

    Null where the content was not read. The extension is kept only where it is plain, since the original name is
    metadata and a key must suit every store.
    """
    extension = pl.col("path").str.extract(r"(\.[A-Za-z0-9]{1,8})$").str.to_lowercase().fill_null("")
    recording_id = pl.col("recording_id")
    return pl.concat_str(
        [
            pl.col("day").dt.to_string("%Y-%m-%d"), pl.lit("/"), recording_id.str.head(2), pl.lit("/"), recording_id,
            pl.lit("."), pl.col("sha256").str.head(12), extension,
        ]
    )  # fmt: skip
