"""Silence: hours in which a site, or a line of it, must have recorded and did not."""

from itertools import product

import polars as pl

# So many calls without a recording in an hour without any are no chance any more.
FEWEST_OF_SITE, FEWEST_OF_LINE = 3, 2

_DAY = ["business", "site", "day"]
_HOUR = pl.col("started_at").dt.truncate("1h").alias("hour")


def with_silence(rows: pl.DataFrame, trace: pl.LazyFrame) -> pl.DataFrame:
    """Rows of the trace with their `kind`, and with `site_is_silent` and `line_is_silent`: in the hour of the call.

    Calls that lack a recording count; a recording that could be of that hour, or of that line, for nobody knows its
    start or its line, breaks the silence.
    """
    rows = rows.with_columns(_HOUR)
    missing = rows.filter(pl.col("kind") == "recording_missing")
    of_site = _lacking(missing, [*_DAY, "hour"], FEWEST_OF_SITE)
    of_line = _lacking(missing, [*_DAY, "extension", "hour"], FEWEST_OF_LINE)
    recorded = pl.DataFrame(schema=of_line.schema)
    if of_site.height or of_line.height:
        has_file = pl.col("recording_id").is_not_null()
        recorded = trace.filter(has_file).select(*_DAY, "extension", _HOUR).unique().collect()
    silent_sites = _unheard(of_site, recorded, ["hour"]).with_columns(site_is_silent=pl.lit(value=True))
    silent_lines = _unheard(of_line, recorded, ["extension", "hour"]).with_columns(line_is_silent=pl.lit(value=True))
    return (
        rows.join(silent_sites, on=[*_DAY, "hour"], how="left", maintain_order="left")
        .join(silent_lines, on=[*_DAY, "extension", "hour"], how="left", maintain_order="left")
        .with_columns(pl.col("site_is_silent", "line_is_silent").fill_null(value=False))
    )


def _lacking(missing: pl.DataFrame, by: list[str], fewest: int) -> pl.DataFrame:
    """Where and when so many calls or more lack a recording."""
    calls = pl.struct("dataset", "call_id").n_unique()
    return missing.drop_nulls(by).group_by(by).agg(calls.alias("calls")).filter(pl.col("calls") >= fewest).select(by)


def _unheard(groups: pl.DataFrame, recorded: pl.DataFrame, told: list[str]) -> pl.DataFrame:
    """The groups of which nothing is recorded; a recording may leave any of the columns `told` open."""
    for known in product((True, False), repeat=len(told)):
        given = [name for name, is_known in zip(told, known, strict=True) if is_known]
        open_ = [name for name in told if name not in given]
        part = recorded.filter(pl.all_horizontal(pl.lit(value=True), *(pl.col(name).is_null() for name in open_)))
        groups = groups.join(part, on=[*_DAY, *given], how="anti")
    return groups
