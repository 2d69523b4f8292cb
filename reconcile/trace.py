"""The trace: for every call and recording, at which of the six stations it is, and where it was lost.

Everything that people read is derived from this frame; nothing keeps a second truth.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from reconcile.checks import VERSION, sound_copies
from reconcile.frames import (
    CALLS,
    DAMAGED,
    INDEXED,
    INVENTORY,
    LISTING,
    RESTORED,
    SNAPSHOT_FILES,
    STATIONS,
    TRACE,
    Frame,
    conform,
)
from reconcile.matching import NAMED, Matches, match_others, one_row_a_leg
from reconcile.numbers import normalised
from reconcile.plain import Split, split_plain
from reconcile.recordings import object_key
from reconcile.rules import NumberRules, Rules

# Not yet at rest, so nothing can be said of the stations behind.
_MOVING = "in_progress"
_WHOLE = "ok"
_MD5 = r"^[0-9a-f]{32}$"
_CALL = ["business", "site", "dataset", "call_id"]


@dataclass(frozen=True)
class Stations:
    """What was found at the stations behind the source disk; None: not looked at.

    Frames SNAPSHOT_FILES, RESTORED, LISTING and INDEXED; of several rows of a recording the newest counts.
    `damaged` is DAMAGED: what checks have found out by reading the bytes themselves.
    """

    snapshot_files: pl.LazyFrame | None = None
    restored: pl.LazyFrame | None = None
    listing: pl.LazyFrame | None = None
    indexed: pl.LazyFrame | None = None
    damaged: pl.LazyFrame | None = None


@dataclass(frozen=True)
class Traced:
    """The frame TRACE, and the clock offsets that were learnt (`nearest.CLOCK`)."""

    trace: pl.LazyFrame
    clock: pl.DataFrame


def trace(
    calls: pl.LazyFrame,
    inventory: pl.LazyFrame,
    stations: Stations,
    rules: Rules,
    days: Collection[date] | None = None,
) -> Traced:
    """The trace of these calls (CALLS) and recordings (INVENTORY), the same whatever the order of their rows.

    Repeated rows of one call_uid count once; `findings.repeated_calls` tells them. Of several versions of a recording
    the newest counts. `days`: the trace of these alone; the others are there for what belongs to them.
    """
    split = split_plain(
        _in_one_piece(calls.select(_READ_OF_CALLS)), _in_one_piece(inventory.select(_READ_OF_INVENTORY)), rules.matching
    )
    split = replace(
        split,
        other_legs=one_row_a_leg(split.other_legs),
        other_files=_newest(split.other_files, "recording_id", "mtime", "size", "sha256"),
    )
    matches = match_others(split, rules)
    others = _others(split, matches, rules.numbers)
    plain = _plain(split, rules.numbers)
    wanted = pl.lit(value=True) if days is None else pl.col("day").is_in(days)
    # Whether a call has all its recordings is told by all its rows, whatever their day; a plain one has but one.
    plain = plain.filter(wanted)
    rows = _with_stations(pl.concat([plain, others], how="diagonal"), stations)
    rows = rows.with_columns(_lost_at(stations).alias("lost_at"))
    return Traced(_in_order(_with_coverage(rows, plain.height).filter(wanted)), matches.clock)


def _in_one_piece(frame: pl.LazyFrame) -> pl.DataFrame:
    """The frame, as it is not when it comes from several files: rows are fetched ten times as fast from one piece."""
    return frame.collect().rechunk()


_READ_OF_CALLS = [name for name in CALLS.columns if name not in ("attributes", "display_number")]
_READ_OF_INVENTORY = [name for name in INVENTORY.columns if name not in ("sample_rate", "channels")]
_ORDER = ["business", "site", "day", "started_at", "call_id", "path", "call_uid", "recording_id"]


def _newest(versions: pl.DataFrame, name: str, *age: str) -> pl.DataFrame:
    """Of several rows of this name the newest, by these columns; only those have to be put in order."""
    several = versions[name].hash().is_duplicated()
    if not several.any():
        return versions
    newest = versions.filter(several).sort(age).unique(name, keep="last", maintain_order=True)
    return pl.concat([versions.filter(~several), newest])


def _call_facts(calls: pl.LazyFrame, numbers: NumberRules) -> pl.LazyFrame:
    """Each leg with its call, its number, the call's number of legs, and its `unit`: what must have a recording.

    A leg that names a file of its own must have it; legs that name none share what their call has. The number is the
    callee's or else the caller's, the first that is a number at all and not the agent's own line.
    """
    call = pl.concat_str(_CALL, separator="\0")
    return (
        _with_number(calls, numbers)
        .with_columns(call.alias("call"))
        .with_columns(
            pl.len().over("call").cast(pl.UInt32).alias("legs"),
            pl.concat_str("call", pl.col("recording_path").fill_null(""), separator="\0").alias("unit"),
        )
    )


def _with_number(calls: pl.LazyFrame, numbers: NumberRules) -> pl.LazyFrame:
    """The calls with their `number`; the caller is asked only where the callee gives none."""
    callee, caller = (pl.when(pl.col(side).ne_missing(pl.col("extension"))).then(side) for side in ("callee", "caller"))
    return calls.with_columns(normalised(callee, numbers).alias("number")).with_columns(
        pl.coalesce("number", normalised(pl.when(pl.col("number").is_null()).then(caller), numbers))
    )


_OF_CALL = (
    "business", "site", "day", "dataset", "call_uid", "call_id", "legs", "started_at", "extension", "number",
    "talk_seconds", "expects_recording",
)  # fmt: skip
_OF_RECORDING = (
    "recording_id", "path", "duration_ms", "size", "mtime", "sha256", "md5", "container", "codec", "state", "key",
)  # fmt: skip


def _plain(split: Split, numbers: NumberRules) -> pl.DataFrame:
    """A row for each plain pair."""
    legs = _with_number(split.legs.lazy(), numbers).with_columns(pl.lit(1, pl.UInt32).alias("legs")).select(_OF_CALL)
    files = split.files.lazy().with_columns(object_key().alias("key"))
    pairs = _side_by_side(files, legs).with_columns(
        pl.lit("path").alias("match"),
        pl.lit(NAMED.score).alias("score"),
        pl.lit(NAMED.reason).alias("reason"),
        pl.lit(value=False).alias("ambiguous"),
    )
    return _rows(pairs, numbers).with_columns(pl.lit(None, pl.String).alias("duplicate_of")).collect()


def _others(split: Split, matches: Matches, numbers: NumberRules) -> pl.DataFrame:
    """A row for each recording, and call without one, that is not plain."""
    facts = _call_facts(split.other_legs.lazy(), numbers).collect()
    files = split.other_files.with_columns(object_key().alias("key"))
    rows = pl.concat([_recordings(facts, files, matches, numbers), _calls_without(facts, matches)], how="diagonal")
    return _with_duplicates(rows)


def _recordings(facts: pl.DataFrame, files: pl.DataFrame, matches: Matches, numbers: NumberRules) -> pl.DataFrame:
    """A row for each recording, with its call (`_call_facts`) where it has one."""
    owners = (
        matches.ties.filter("owner").drop_nulls("recording_id").select("recording_id", pl.col("reason").alias("tie"))
    )
    members = matches.ties["recording_id"].drop_nulls().implode()
    found = (
        files.select("recording_id")
        .join(matches.links, on="recording_id", how="left", maintain_order="left")
        .join(facts.select(_OF_CALL), on="call_uid", how="left", maintain_order="left")
        .join(owners, on="recording_id", how="left", maintain_order="left")
    )
    return _rows(
        _side_by_side(files.lazy(), found.drop("recording_id").lazy()).with_columns(
            pl.coalesce("reason", "tie").alias("reason"), pl.col("recording_id").is_in(members).alias("ambiguous")
        ),
        numbers,
    ).collect()


def _side_by_side(files: pl.LazyFrame, legs: pl.LazyFrame) -> pl.LazyFrame:
    """The n-th file and the n-th leg in one row; the leg's columns end with `_of_call` where both have them."""
    both = set(files.collect_schema()).intersection(legs.collect_schema())
    return pl.concat([files, legs.rename({name: f"{name}_of_call" for name in both})], how="horizontal")


def _rows(joined: pl.LazyFrame, numbers: NumberRules) -> pl.LazyFrame:
    """The rows of recordings and their calls `_side_by_side`."""
    both = ("day", "started_at", "extension", "number")
    of_file = normalised(pl.when(pl.col("number_of_call").is_null()).then("number"), numbers)
    return joined.with_columns(of_file.alias("number")).select(
        "business", "site", "dataset", "call_uid", pl.col("call_id_of_call").alias("call_id"), "legs",
        *(pl.coalesce(f"{name}_of_call", name).alias(name) for name in both),
        "talk_seconds", "expects_recording", *_OF_RECORDING, "match", "score", "reason", "ambiguous",
        pl.col("call_uid").is_not_null().alias("called"),
        pl.lit(True).alias("on_site"),
    )  # fmt: skip


def _calls_without(facts: pl.DataFrame, matches: Matches) -> pl.DataFrame:
    """A row for each call (`_call_facts`), or file that a leg names, that has no recording."""
    members = matches.ties["call_uid"].drop_nulls().implode()
    return (
        _open_legs(facts, matches)
        .with_columns(
            pl.col("call_uid").is_in(members).any().over("unit").alias("ambiguous"),
            pl.col("tie").drop_nulls().first().over("unit").alias("reason"),
            pl.col("expects_recording").any().over("unit").alias("unit_expects"),
        )
        .sort("unit", ~pl.col("expects_recording"), "started_at", "leg", nulls_last=True)
        .unique("unit", keep="first", maintain_order=True)
        .select(
            *(name for name in _OF_CALL if name != "expects_recording"),
            pl.col("unit_expects").alias("expects_recording"),
            pl.col("recording_path").alias("path"),
            "ambiguous",
            "reason",
            pl.lit(True).alias("called"),
            pl.lit(False).alias("on_site"),
        )
    )


def _open_legs(facts: pl.DataFrame, matches: Matches) -> pl.DataFrame:
    """The legs (`_call_facts`, and the `tie` that they own) without a recording, unless their call contents them.

    A leg that names no file is content with whatever its call has, or with a file that another leg must have: that
    one is told. Where the call has a recording, a leg still lacks the file that it names, if it must have one or if
    it could be several files.
    """
    owners = matches.ties.filter("owner").drop_nulls("call_uid").select("call_uid", pl.col("reason").alias("tie"))
    legs = facts.join(matches.links, on="call_uid", how="anti").join(owners, on="call_uid", how="left")
    # Most calls have their recording: only those matter of which another leg has none.
    linked = facts.join(legs, on="call", how="semi").join(matches.links, on="call_uid", how="semi")
    must_have_its_file = pl.col("recording_path").is_not_null() & pl.col("expects_recording")
    content_with_another = pl.col("recording_path").is_null() & must_have_its_file.any().over("call")
    return (
        legs.join(linked.select("unit").unique(), on="unit", how="anti")
        .join(linked.select("call", covered=pl.lit(True)).unique(), on="call", how="left")
        .filter(
            pl.when(pl.col("covered"))
            .then(must_have_its_file | pl.col("tie").is_not_null())
            .otherwise(~content_with_another)
        )
    )


def _with_stations(rows: pl.DataFrame, stations: Stations) -> pl.DataFrame:
    """The rows with in_snapshot, restored, published, indexed, and whether every copy has the source's bytes."""
    has_file = pl.col("recording_id").is_not_null()
    unknown = pl.lit(None, pl.Boolean)
    rows = rows.with_columns(
        *(unknown.alias(name) for name in STATIONS[2:]), restored_same=unknown, published_same=unknown
    )
    damaged = _read(stations.damaged, DAMAGED) if stations.damaged is not None else DAMAGED.empty()
    if stations.snapshot_files is not None:
        rows = _station_in_snapshot(rows, sound_copies(stations.snapshot_files, damaged))
    if stations.restored is not None:
        rows = _station_restored(rows, stations.restored)
    if stations.listing is not None:
        rows = _station_published(rows, stations.listing)
    if stations.indexed is not None:
        rows = _station_indexed(rows, stations.indexed)
    at_rest = has_file & (pl.col("state") != _MOVING)
    rows = _with_altered(rows, damaged)
    same = pl.min_horizontal("restored_same", "published_same", ~pl.col("altered"))
    return rows.with_columns(
        *(pl.when(at_rest).then(name).alias(name) for name in ("in_snapshot", "restored", "published")),
        pl.when(at_rest).then(same).alias("content_ok"),
    )


def _read(found: pl.LazyFrame, contract: Frame) -> pl.DataFrame:
    """What was found at a station, as its contract says."""
    return conform(_in_one_piece(found.select(list(contract.columns))), contract)


def _beside(rows: pl.DataFrame, of_rows: list[str], found: pl.DataFrame, on: str) -> pl.DataFrame:
    """For each row, in their order, these columns of it beside what was `found` of it."""
    return rows.select(on, *of_rows).join(found, on=on, how="left", maintain_order="left")


def _with_altered(rows: pl.DataFrame, damaged: pl.DataFrame) -> pl.DataFrame:
    """The rows with `altered`, true where a check found other bytes at the source or in the object; else null."""
    found = damaged.filter((pl.col("station") != "in_snapshot") & (pl.col("reason") != "gone"))
    if found.is_empty():
        return rows.with_columns(altered=pl.lit(None, pl.Boolean))
    versions = found.select(*VERSION).unique().with_columns(altered=pl.lit(value=True))
    return rows.join(versions, on=VERSION, how="left", maintain_order="left")


def _station_in_snapshot(rows: pl.DataFrame, snapshot_files: pl.LazyFrame) -> pl.DataFrame:
    """A file that grew between inventory and snapshot is still moving: the next run takes it again.

    If only an older version is held, this one is not in the snapshot.
    """
    held = _newest(_read(snapshot_files, SNAPSHOT_FILES), "recording_id", "mtime", "size")
    held = held.select("recording_id", pl.col("size").alias("held_size"), pl.col("mtime").alias("held_mtime"))
    is_older = pl.col("held_mtime") < pl.col("mtime")
    grew = ~is_older & ((pl.col("held_size") != pl.col("size")) | (pl.col("held_mtime") != pl.col("mtime")))
    seen = _beside(rows, ["size", "mtime", "state"], held, "recording_id").select(
        (~is_older).fill_null(False).alias("in_snapshot"),
        pl.when(grew).then(pl.lit(_MOVING)).otherwise("state").alias("state"),
    )
    return rows.with_columns(seen.get_columns())


def _station_restored(rows: pl.DataFrame, restored: pl.LazyFrame) -> pl.DataFrame:
    """The newest restored copy, whether its bytes are the source's or not.

    If only an older version with other bytes lies there, this one is not restored.
    """
    copies = _newest(_read(restored, RESTORED), "recording_id", "mtime", "sha256")
    copies = copies.select(
        "recording_id", pl.col("sha256").alias("restored_sha256"), pl.col("mtime").alias("restored_mtime")
    )
    same = pl.col("restored_sha256") == pl.col("sha256")
    is_older = ((pl.col("restored_mtime") < pl.col("mtime")) & ~same).fill_null(False)
    seen = _beside(rows, ["sha256", "mtime"], copies, "recording_id").select(
        (pl.col("restored_sha256").is_not_null() & ~is_older).alias("restored"),
        pl.when(~is_older).then(same).alias("restored_same"),
    )
    return rows.with_columns(seen.get_columns())


def _station_published(rows: pl.DataFrame, listing: pl.LazyFrame) -> pl.DataFrame:
    """An object with the right key is a right copy if its size, and its MD5 where the store gives it, are right.

    Of several versions of an object the newest counts.
    """
    objects = _newest(_read(listing, LISTING), "key", "last_modified", "size", "etag")
    objects = objects.select("key", pl.col("size").alias("object_size"), pl.col("etag").str.to_lowercase())
    is_md5 = pl.col("etag").str.contains(_MD5).fill_null(False)
    same = (pl.col("object_size") == pl.col("size")) & (~is_md5 | (pl.col("etag") == pl.col("md5")))
    seen = _beside(rows, ["size", "md5"], objects, "key").select(
        pl.col("object_size").is_not_null().alias("published"), same.alias("published_same")
    )
    return rows.with_columns(seen.get_columns())


def _station_indexed(rows: pl.DataFrame, indexed: pl.LazyFrame) -> pl.DataFrame:
    """A call is indexed when the index knows it, a recording when the index links it to its call."""
    held = _read(indexed, INDEXED)
    links = held.drop_nulls("recording_id").unique().with_columns(linked=pl.lit(True))
    known = held.select("call_uid").unique().with_columns(known=pl.lit(True))
    asked = rows.select("call_uid", "recording_id", "called")
    joined = asked.join(links, on=["call_uid", "recording_id"], how="left", maintain_order="left")
    joined = joined.join(known, on="call_uid", how="left", maintain_order="left")
    has_file = pl.col("recording_id").is_not_null()
    found = pl.when(has_file).then(pl.col("linked")).otherwise(pl.col("known")).is_not_null()
    return rows.with_columns(joined.select(pl.when(pl.col("called")).then(found).alias("indexed")).get_columns())


def _with_duplicates(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `duplicate_of`: a recording with the same bytes as another one of its leg, or without a call.

    Of several equal files the one with a call, then the oldest, then the one with the shortest path is the original.
    """
    equal = ["business", "site", "sha256"]
    files = rows.filter((pl.col("size") > 0) & pl.col("sha256").is_not_null() & pl.col("sha256").hash().is_duplicated())
    length = pl.col("path").str.len_bytes()
    ordered = files.select(*equal, "recording_id", "call_uid", "mtime", "path", length.alias("length")).sort(
        pl.col("call_uid").is_null(), "mtime", "length", "path"
    )
    of_its_call = pl.col("recording_id").first().over([*equal, "call_uid"])
    of_all = pl.col("recording_id").first().over(equal)
    original = pl.when(pl.col("call_uid").is_null()).then(of_all).otherwise(of_its_call)
    copies = ordered.select("recording_id", original.alias("duplicate_of"))
    return rows.join(copies.filter(pl.col("recording_id") != pl.col("duplicate_of")), on="recording_id", how="left")


def _lost_at(stations: Stations) -> pl.Expr:
    """The first station, of those looked at, that lacks what the one before had."""
    looked_at = {
        "in_snapshot": stations.snapshot_files, "restored": stations.restored,
        "published": stations.listing, "indexed": stations.indexed,
    }  # fmt: skip
    must_be_on_site = pl.col("expects_recording") & ~pl.col("ambiguous")
    lost = [pl.when(~pl.col("on_site") & must_be_on_site).then(pl.lit("on_site"))]
    lost += [pl.when(~pl.col(name)).then(pl.lit(name)) for name, frame in looked_at.items() if frame is not None]
    is_moving = (pl.col("state") == _MOVING).fill_null(False)
    return pl.when(~is_moving).then(pl.coalesce(lost))


def _with_coverage(rows: pl.DataFrame, plain: int) -> pl.DataFrame:
    """The rows with `coverage` of their call, from all its rows; the first rows are `plain`, each a call of its own."""
    others = rows.slice(plain)
    several = others["call_id"].hash().is_duplicated()
    alone = pl.concat([rows.head(plain), others.filter(~several)])
    own = pl.when("called").then(_coverage(lambda condition: condition.fill_null(value=False)))
    together = others.filter(several)
    of_calls = together.filter("called").group_by(_CALL).agg(_coverage(pl.Expr.any).alias("coverage"))
    return pl.concat([alone.with_columns(own.alias("coverage")), together.join(of_calls, on=_CALL, how="left")])


def _in_order(rows: pl.DataFrame) -> pl.LazyFrame:
    """The frame TRACE of these rows."""
    return rows.select(list(TRACE.columns)).cast(TRACE.schema).rechunk().sort(_ORDER, nulls_last=True).lazy()


def _coverage(any_row: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """Is each recording that a call must have whole? `any_row` is whether a condition holds for any of its rows."""
    has_file = pl.col("recording_id").is_not_null()
    counts = has_file & pl.col("duplicate_of").is_null()
    is_gone = (pl.col("lost_at") == "in_snapshot").fill_null(False)
    is_whole = (pl.col("state") == _WHOLE) & pl.col("lost_at").is_null() & pl.col("content_ok").fill_null(True)
    lacks_one = (counts & ~is_whole) | (~has_file & pl.col("expects_recording")) | pl.col("ambiguous")
    return (
        pl.when(~any_row(has_file) & ~any_row(pl.col("expects_recording")))
        .then(pl.lit("excluded"))
        .when(~any_row(counts & ~is_gone) & ~any_row(pl.col("ambiguous")))
        .then(pl.lit("missing"))
        .when(any_row(lacks_one))
        .then(pl.lit("partial"))
        .otherwise(pl.lit("complete"))
    )
