"""What is expected of a business's days: the figures looked at, and the expectations that its settings make.

The expectations are those of Great Expectations, as plain data: `blocks.expectations` evaluates them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from reconcile.frames import MEASURED
from reconcile.summary import KEYS

# Growth compares with the same weekday of so many weeks before, and says nothing where fewer than two are known.
WEEKS = 4
_NEVER_NEGATIVE = ("recordings", "bytes", "seconds", "calls", "legs")
_NONE_LOST = {
    "rows_unaccounted": "Every row of the extracts was read or set aside",
    "calls_unaccounted": "Every call is complete, partial, missing or excluded",
    "not_in_snapshot": "Every recording on the source disk is in a snapshot",
    "not_restored": "Every recording in a snapshot is on the central disk",
    "not_published": "Every recording on the central disk is in the object store",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Strict):
    """What a figure may be, both ends included."""

    at_least: float | None = Field(None, strict=True, description="Not less than this.")
    at_most: float | None = Field(None, strict=True, description="Not more than this.")

    @model_validator(mode="after")
    def _not_empty(self) -> "Range":
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("at_least is greater than at_most")
        return self


class Own(_Strict):
    """An expectation of one's own: any of Great Expectations that looks at one table."""

    expect: Annotated[str, StringConstraints(pattern=r"^expect_[a-z0-9_]+$")] = Field(
        description="Its name, e.g. expect_column_sum_to_be_between."
    )
    arguments: dict[str, Any] = Field(description="Its arguments; columns are those of the frame `measured`.")
    description: Annotated[str, StringConstraints(min_length=1)] = Field(description="What it says, for people.")


class Expected(_Strict):
    """What is expected of each day of each site; what is not as expected is told in the report, and alarms nobody.

    Always expected: coverage reaches `coverage_target`, nothing is lost from station to station, every row is read or
    set aside, nothing critical is open.
    """

    orphan_share: Range = Field(Range(at_most=0.01), description="Recordings of no call, as a share of all.")
    growth: Range = Field(
        Range(at_least=0.5, at_most=2),
        description="Recordings against the median of the same weekday in the four weeks before.",
    )
    bytes_a_recording: Range = Field(Range(), description="Mean size of a recording, in bytes.")
    file_types: list[str] = Field(
        default_factory=list,
        description="Kinds of file that are expected, by container (`wav`) or container and codec (`wav/pcm_s16le`); "
        "any, where none is given.",
    )
    rows: dict[str, Range] = Field(default_factory=dict, description="Dataset: rows that its extract of a day has.")
    own: list[Own] = Field(default_factory=list, description="Further expectations of one's own.")


@dataclass(frozen=True)
class Known:
    """Where the figures come from: SUMMARY of the days and of the weeks `before`; FILE_TYPES, FINDINGS, EXTRACTS."""

    summary: pl.DataFrame
    before: pl.DataFrame
    file_types: pl.DataFrame
    findings: pl.DataFrame
    extracts: pl.DataFrame


def measure(known: Known, expected: Expected) -> pl.DataFrame:
    """The figures that expectations look at: the frame MEASURED, and a column rows_<dataset> for each of `rows`."""
    frame = known.summary
    for part in (_orphans(known.findings), _others(known.file_types, expected.file_types), _usual(known)):
        frame = frame.join(part, on=KEYS, how="left", nulls_equal=True)
    counts = pl.col("orphans", "other_types").fill_null(0).cast(pl.Int64)
    frame = frame.with_columns(counts).with_columns(
        (pl.col("rows_in") - pl.col("rows_ok") - pl.col("rows_quarantined")).alias("rows_unaccounted"),
        (pl.col("calls") - pl.sum_horizontal("complete", "partial", "missing", "excluded")).alias("calls_unaccounted"),
        (pl.col("recordings") - pl.col("in_snapshot")).alias("not_in_snapshot"),
        (pl.col("in_snapshot") - pl.col("restored")).alias("not_restored"),
        (pl.col("restored") - pl.col("published")).alias("not_published"),
        (pl.col("orphans") / pl.max_horizontal("recordings", "orphans", 1)).alias("orphan_share"),
        pl.when(pl.col("recordings") > 0).then(pl.col("bytes") / pl.col("recordings")).alias("bytes_a_recording"),
        pl.when(pl.col("usual") > 0).then(pl.col("recordings") / pl.col("usual")).alias("growth"),
    )
    for dataset in expected.rows:
        frame = _with_rows(frame, known.extracts, dataset)
    return frame.select(*MEASURED.columns, *map(_rows_column, expected.rows)).sort(KEYS, nulls_last=True)


def _orphans(findings: pl.DataFrame) -> pl.DataFrame:
    of_none = findings.filter((pl.col("kind") == "recording_orphan") & (pl.col("status") != "resolved"))
    return of_none.group_by(KEYS).agg(pl.len().alias("orphans"))


def _others(file_types: pl.DataFrame, wanted: list[str]) -> pl.DataFrame:
    """How many recordings are of no kind that is wanted."""
    whole = pl.concat_str("container", "codec", separator="/")
    is_wanted = pl.col("container").is_in(wanted) | whole.is_in(wanted) | pl.lit(not wanted)
    return file_types.filter(~is_wanted).group_by(KEYS).agg(pl.col("recordings").sum().alias("other_types"))


def _usual(known: Known) -> pl.DataFrame:
    """The median of the recordings of the same weekday in the weeks before, where two of them are known."""
    of_days = pl.concat([known.before, known.summary]).select(*KEYS, "recordings").unique(KEYS)
    weeks = [
        of_days.with_columns(pl.col("day") + timedelta(weeks=number)) for number in range(1, WEEKS + 1)
    ]  # fmt: skip
    medians = pl.concat(weeks).group_by(KEYS).agg(
        pl.when(pl.len() > 1).then(pl.col("recordings").median()).alias("usual")
    )  # fmt: skip
    return medians.drop_nulls("day")


def _rows_column(dataset: str) -> str:
    return f"rows_{dataset}"


def _with_rows(frame: pl.DataFrame, extracts: pl.DataFrame, dataset: str) -> pl.DataFrame:
    rows = extracts.filter(pl.col("dataset") == dataset).group_by(KEYS).agg(pl.col("rows_in").sum().alias("of_dataset"))
    joined = frame.join(rows, on=KEYS, how="left", nulls_equal=True)
    return joined.with_columns(pl.col("of_dataset").fill_null(0).alias(_rows_column(dataset))).drop("of_dataset")


def expectations(expected: Expected, coverage_target: float) -> list[dict[str, Any]]:
    """The suite, each expectation as `type`, `arguments` and `description`."""
    suite = [
        _expectation("table_row_count_to_be_between", "There is a summary", min_value=1),
        _expectation("compound_columns_to_be_unique", "Each site has one summary a day", column_list=KEYS),
        _expectation("column_values_to_not_be_null", "Each summary is of a day", column="day"),
        _between("coverage", "Coverage reaches the target", Range(at_least=coverage_target, at_most=1)),
        _between("open_critical", "Nothing critical is open", Range(at_most=0)),
        _between("rows_quarantined", "Every row could be read", Range(at_most=0)),
        *(_between(name, words, Range(at_least=0, at_most=0)) for name, words in _NONE_LOST.items()),
        *(_between(name, f"No count is negative: {name}", Range(at_least=0)) for name in _NEVER_NEGATIVE),
        *_ranges(expected),
    ]
    if expected.file_types:
        words = f"Every recording is of a kind that is expected: {', '.join(expected.file_types)}"
        suite.append(_between("other_types", words, Range(at_most=0)))
    own = [{"type": one.expect, "arguments": one.arguments, "description": one.description} for one in expected.own]
    return suite + own


def _ranges(expected: Expected) -> Iterable[dict[str, Any]]:
    yield from _if_any("orphan_share", "Few recordings are of no call", expected.orphan_share)
    yield from _if_any("growth", "There are as many recordings as on this weekday before", expected.growth)
    yield from _if_any("bytes_a_recording", "Recordings are as large as usual", expected.bytes_a_recording)
    for dataset, allowed in expected.rows.items():
        yield from _if_any(_rows_column(dataset), f"The extract of {dataset} has as many rows as usual", allowed)


def _if_any(column: str, words: str, allowed: Range) -> Iterable[dict[str, Any]]:
    if allowed != Range():
        yield _between(column, words, allowed)


def _between(column: str, words: str, allowed: Range) -> dict[str, Any]:
    limits = {"min_value": allowed.at_least, "max_value": allowed.at_most}
    told = {name: value for name, value in limits.items() if value is not None}
    return _expectation("column_values_to_be_between", words, column=column, **told)


def _expectation(name: str, words: str, **arguments: object) -> dict[str, Any]:
    return {"type": f"expect_{name}", "arguments": arguments, "description": words}


def columns_of(expected: Iterable[str]) -> list[str]:
    """The columns that an expectation may look at; `expected`: the datasets of `rows`."""
    return [*MEASURED.columns, *map(_rows_column, expected)]
