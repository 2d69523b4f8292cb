"""The rule `nearest`, and the clock offset that it corrects: how far a site's recorder and its CDRs disagree."""

from datetime import timedelta
from typing import Literal

import polars as pl

from reconcile.masks import masked_alike
from reconcile.rules import MatchingRules
from reconcile.text import filled, tenths

CLOCK = pl.Schema({"site": pl.String, "day": pl.Date, "offset_seconds": pl.Float64, "matches": pl.UInt32})

# Fewer certain matches than this say nothing about a clock.
FEWEST_FOR_CLOCK = 5
# The fields a name can give beside its start, most telling first.
FIELD_SETS = (("extension", "number"), ("number",), ("extension",))


def with_number(legs: pl.DataFrame) -> pl.DataFrame:
    """A row for each number of each leg (callee, caller), in the column `number`."""
    another = legs.filter(pl.col("caller").ne_missing(pl.col("callee")))
    rows = (legs.rename({"callee": "number"}).drop("caller"), another.rename({"caller": "number"}).drop("callee"))
    return pl.concat(rows, how="diagonal").drop_nulls("number")


def gives_only(fields: tuple[str, ...]) -> pl.Expr:
    """Of extension and number the name gives these and no other: what a name gives must all be equal."""
    others = [pl.col(name).is_null() for name in ("extension", "number") if name not in fields]
    given = [pl.col(name).is_not_null() for name in fields]
    return pl.all_horizontal(others + given)


def time_apart(pairs: pl.DataFrame) -> pl.DataFrame:
    """Of each pair (site, day, started_at of the call, recorded_at of the recording) how far they are `apart`.

    site, day, and apart (Int64) in microseconds; pairs without one of the times are left out.
    """
    apart = (pl.col("recorded_at") - pl.col("started_at")).dt.total_microseconds()
    return pairs.select("site", "day", apart.alias("apart")).drop_nulls("apart")


def time_apart_of_certain(legs: pl.DataFrame, files: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """`time_apart` of the matches that did not look for the nearest: by path or key.

    A key with the start in it says that the clocks agree.
    """
    certain = links.filter(pl.col("match") != "nearest")
    pairs = certain.join(
        files.select("recording_id", pl.col("started_at").alias("recorded_at")), on="recording_id"
    ).join(legs.select("call_uid", "site", "day", "started_at"), on="call_uid")
    return time_apart(pairs)


def clock_offsets(apart: pl.DataFrame) -> pl.DataFrame:
    """How far the clock that names recordings is ahead of the one that writes calls, a site and day (`CLOCK`).

    The median, in whole microseconds, over all `time_apart`. The start of a recording is the call's start or its
    answer, so an offset of some seconds of ringing is usual and harmless.
    """
    return (
        apart.group_by("site", "day")
        .agg(
            (pl.col("apart").median().round() / 1e6).alias("offset_seconds"), pl.len().cast(pl.UInt32).alias("matches")
        )
        .filter(pl.col("matches") >= FEWEST_FOR_CLOCK)
        .sort("site", "day")
        .match_to_schema(CLOCK)
    )


def by_nearest(
    legs: pl.DataFrame, files: pl.DataFrame, taken: pl.Series, clock: pl.DataFrame, rules: MatchingRules
) -> pl.DataFrame:
    """Candidates (recording_id, call, call_id, call_uid, rank, score, reason): the nearest calls of each recording.

    Calls of which a leg is in `taken` have their recording. Two calls equally near are both candidates.
    """
    is_taken = pl.col("call_uid").is_in(taken.implode())
    open_legs = legs.filter(~is_taken)
    # Most calls are one leg: only those matter of which one leg is taken and another is not.
    half_taken = legs.filter(is_taken).join(open_legs, on="call", how="semi")
    free = open_legs.join(half_taken, on="call", how="anti").drop_nulls("started_at").drop("day", "recording_path")
    timed = (
        files.drop_nulls("started_at")
        .join(clock, on=["site", "day"], how="left")
        .with_columns(pl.col("offset_seconds").fill_null(0.0))
    )
    corrected = pl.col("started_at") - pl.duration(microseconds=(pl.col("offset_seconds") * 1e6).round().cast(pl.Int64))
    timed = timed.with_columns(corrected.alias("at"))
    found = []
    for fields in FIELD_SETS:
        alike = timed.filter(gives_only(fields))
        rows = with_number(free) if "number" in fields else free
        found.append(_nearest_with(rows, alike, fields, rules))
        if "number" in fields:
            rest = alike.join(found[-1], on="recording_id", how="anti")
            found.append(_nearest_masked(rows, rest, fields, rules))
    return pl.concat(found)


# Digits of a score: the last bits of a quotient depend on how many rows are divided together.
_DIGITS = 9
# So much less certain is a link by a masked number.
MASKED = 0.1


def _nearest_masked(
    legs: pl.DataFrame, files: pl.DataFrame, fields: tuple[str, ...], rules: MatchingRules
) -> pl.DataFrame:
    """Candidates as of `_nearest_with`, of the calls whose number can be that of the recording, one being masked."""
    parts = [_nearest_with(some, others, fields, rules) for some, others in masked_alike(legs, files)]
    near = pl.concat([_nearest_with(legs.clear(), files.clear(), fields, rules), *parts])
    return near.filter(pl.col("score") == pl.col("score").max().over("recording_id")).with_columns(
        (pl.col("score") - MASKED).round(_DIGITS),
        pl.col("reason").str.replace(", start", ", as far as the number is not masked, start", literal=True),
    )


def _nearest_with(
    legs: pl.DataFrame, files: pl.DataFrame, fields: tuple[str, ...], rules: MatchingRules
) -> pl.DataFrame:
    """Lines are numbered, so that what follows compares numbers and not texts."""
    by = ["site", *fields]
    lines = files.select(by).unique().with_row_index("line")
    files = files.join(lines, on=by).sort("at").with_row_index("file")
    legs = legs.join(lines, on=by)
    starts = legs.select("line", pl.col("started_at").alias("call_at")).unique().sort("call_at")
    sides = {
        side: files.select("line", "at").join_asof(
            starts,
            left_on="at",
            right_on="call_at",
            by="line",
            strategy=side,
            coalesce=False,
            tolerance=timedelta(seconds=rules.tolerance_seconds),
            check_sortedness=False,
        )["call_at"]
        for side in _SIDES
    }
    near = _nearer(files.select("file", "line", "at").with_columns(**sides))
    reason = filled(
        "same {}, start differs by {} s after {} s clock offset",
        pl.lit(" and ".join(fields)),
        tenths("apart"),
        tenths("offset_seconds"),
    )
    return (
        near.join(legs, left_on=["line", "call_at"], right_on=["line", "started_at"], how="inner")
        .join(files.select("file", "recording_id", "offset_seconds"), on="file")
        .select(
            "recording_id",
            "call",
            "call_id",
            "call_uid",
            pl.col("leg").alias("rank"),
            (0.8 - 0.5 * pl.col("apart") / rules.tolerance_seconds).round(_DIGITS).alias("score"),
            reason.alias("reason"),
        )
    )


_SIDES: tuple[Literal["backward"], Literal["forward"]] = ("backward", "forward")


def _nearer(files: pl.DataFrame) -> pl.DataFrame:
    """The files with the nearer of `backward` and `forward`, or both, as `call_at`, and how far it is `apart` (s)."""
    before, after = pl.col("at") - pl.col("backward"), pl.col("forward") - pl.col("at")
    is_before = (before <= after).fill_null(pl.col("forward").is_null() & pl.col("backward").is_not_null())
    is_after = (after <= before).fill_null(pl.col("backward").is_null() & pl.col("forward").is_not_null())
    is_same = (pl.col("backward") == pl.col("forward")).fill_null(value=False)
    found = [
        files.filter(condition).select("file", "line", pl.col(side).alias("call_at"), _seconds(apart).alias("apart"))
        for condition, side, apart in ((is_before, "backward", before), (is_after & ~is_same, "forward", after))
    ]
    return pl.concat(found)


def _seconds(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_microseconds() / 1e6
