"""Which recording belongs to which call.

Each recording looks for its call, by the business's rules in their order; a recording that one rule has tied is
not asked again by the next.

1. `path`: the row names the file: the whole path, a tail of it that only one file has, or an absolute path of the
   source's that ends with it.
2. `key`: fields of the file's name equal the row's columns: the call id, or extension, number and start, as far as
   the name gives them (a start and one more at least). A masked number (`reconcile.masks`) is asked where no whole
   one fits, here and by the next rule.
3. `nearest`: the same extension and number, as far as the name gives them; of the calls that have no recording by
   then, the one with the nearest start within the tolerance, after the site's clock offset.

Several calls that fit equally well are a tie: nothing is linked, the tie is told, and no later rule asks again for
what owns it: the recording that fits several calls, or the row that fits several files. Legs of one call are one
call. Null never equals anything.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import polars as pl

from reconcile.masks import masked_alike
from reconcile.nearest import (
    FIELD_SETS,
    by_nearest,
    clock_offsets,
    gives_only,
    time_apart,
    time_apart_of_certain,
    with_number,
)
from reconcile.numbers import normalised
from reconcile.plain import Split, split_plain
from reconcile.rules import MatchingRules, Rules
from reconcile.text import filled

LINKS = pl.Schema(
    {
        "call_uid": pl.String,
        "recording_id": pl.String,
        "match": pl.String,
        "score": pl.Float64,
        "reason": pl.String,
    }
)
TIES = pl.Schema({"call_uid": pl.String, "recording_id": pl.String, "owner": pl.Boolean, "reason": pl.String})


class Certainty(NamedTuple):
    """How certain a link is, and why."""

    score: float
    reason: str


# What ties a plain pair, and every other row to the file that it names.
NAMED = Certainty(1.0, "the row names this file")


@dataclass(frozen=True)
class Matches:
    """Links (`LINKS`), the members of ties (`TIES`, one of them the owner), and clock offsets (`nearest.CLOCK`)."""

    links: pl.DataFrame
    ties: pl.DataFrame
    clock: pl.DataFrame


def match(calls: pl.LazyFrame, recordings: pl.LazyFrame, rules: Rules) -> Matches:
    """Tie recordings (INVENTORY, recording_id unique) to calls (CALLS) by the rules; links by recording_id."""
    split = split_plain(calls.collect(), recordings.collect(), rules.matching)
    others = match_others(split, rules)
    plain = split.legs.select("call_uid").with_columns(
        split.files["recording_id"],
        pl.lit("path").alias("match"),
        pl.lit(NAMED.score).alias("score"),
        pl.lit(NAMED.reason).alias("reason"),
    )
    links = pl.concat([plain.match_to_schema(LINKS), others.links]).sort("recording_id")
    return replace(others, links=links)


def match_others(split: Split, rules: Rules) -> Matches:
    """Tie the recordings to the calls that are no plain pair, by the rules.

    A positive clock offset means that the clock which names the recordings is ahead of the one that writes calls. All
    pairs of the split tell it.
    """
    legs = _legs(one_row_a_leg(split.other_legs), rules)
    files = _files(split.other_files, rules)
    plain = split.legs.select("site", "day", "started_at").with_columns(recorded_at=split.files["started_at"])
    apart = [time_apart(plain)]
    links, ties = LINKS.to_frame(), TIES.to_frame()
    free_files = files
    for rule in rules.matching.order:
        free_legs = legs.join(ties.filter("owner"), on="call_uid", how="anti")
        if rule == "path":
            found, tied = _by_path(free_legs, free_files)
        elif rule == "key":
            found, tied = _by_key(free_legs, free_files, rules.matching)
        else:
            taken = pl.concat([links["call_uid"], ties.filter("owner")["call_uid"].drop_nulls()])
            clock = clock_offsets(pl.concat(apart))
            found, tied = settle(by_nearest(legs, free_files, taken, clock, rules.matching), "nearest")
        free_files = free_files.join(found, on="recording_id", how="anti").join(tied, on="recording_id", how="anti")
        apart.append(time_apart_of_certain(legs, files, found))
        links, ties = pl.concat([links, found]), pl.concat([ties, tied])
    return Matches(links, ties, clock_offsets(pl.concat(apart)))


def one_row_a_leg(calls: pl.DataFrame) -> pl.DataFrame:
    """CALLS with the first row, by file and line, of each call_uid."""
    several = calls["call_uid"].hash().is_duplicated()
    first = calls.filter(several).sort("source_file", "source_row")
    first = first.unique("call_uid", keep="first", maintain_order=True)
    return pl.concat([calls.filter(~several), first])


def _legs(calls: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """The columns of calls that matching needs, with both numbers of the row."""
    numbers = (normalised(pl.col(name), rules.numbers) for name in ("callee", "caller"))
    return calls.select(
        "site",
        "day",
        "call_uid",
        "started_at",
        "extension",
        "recording_path",
        "leg",
        pl.concat_str([pl.col("site"), pl.col("dataset"), pl.col("call_id")], separator="\0").alias("call"),
        pl.col("call_id"),
        *numbers,
    )


def _files(recordings: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    return recordings.select(
        "site",
        "day",
        "recording_id",
        "path",
        "extension",
        "call_id",
        "started_at",
        normalised(pl.col("number"), rules.numbers).alias("number"),
    )


def settle(candidates: pl.DataFrame, rule: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Links and ties from candidates (recording_id, call, call_uid, rank, score, reason).

    A recording whose candidates are all legs of one call gets the first of them by rank; else it is a tie.
    """
    # Most recordings have one candidate; only the others have to be put in order.
    several = candidates["recording_id"].hash().is_duplicated()
    ordered = candidates.filter(several).sort("recording_id", "rank", "call_uid")
    calls_a_file = pl.col("call").n_unique().over("recording_id")
    firsts = ordered.filter(calls_a_file == 1).unique("recording_id", keep="first", maintain_order=True)
    links = pl.concat([candidates.filter(~several), firsts]).with_columns(pl.lit(rule).alias("match"))
    tied = ordered.filter(calls_a_file > 1)
    owners = tied.group_by("recording_id", maintain_order=True).agg(
        pl.lit(None, pl.String).alias("call_uid"),
        pl.lit(True).alias("owner"),
        filled("fits {} calls equally well: {}", pl.col("call").n_unique(), _named("call_id")).alias("reason"),
    )
    members = tied.select(
        "call_uid",
        pl.lit(None, pl.String).alias("recording_id"),
        pl.lit(False).alias("owner"),
        pl.lit(None, pl.String).alias("reason"),
    ).unique(maintain_order=True)
    return links.select(LINKS.names()), pl.concat([owners.select(TIES.names()), members.select(TIES.names())])


def _named(column: str) -> pl.Expr:
    """Up to five of the group's names, in order, as one text."""
    return pl.col(column).unique().sort().head(5).str.join(", ")


def _by_path(legs: pl.DataFrame, files: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    naming = legs.filter(pl.col("recording_path").is_not_null())
    files = files if naming.height else files.clear()
    exact = naming.join(files, left_on=["site", "recording_path"], right_on=["site", "path"], how="inner")
    exact = _candidates(exact, pl.lit(NAMED.score), pl.lit(NAMED.reason))
    tails = _same_tail(naming.join(exact, on="call_uid", how="anti"), files.join(exact, on="recording_id", how="anti"))
    files_a_leg = pl.col("recording_id").n_unique().over("call_uid")
    links, ties = settle(pl.concat([exact, tails.filter(files_a_leg == 1).drop("path")]), "path")
    # A file that another row alone names is not in doubt.
    open_tails = tails.filter(files_a_leg > 1)
    return links, pl.concat([ties, _ties_of_legs(open_tails, links["recording_id"])])


def _candidates(pairs: pl.DataFrame, score: pl.Expr, reason: pl.Expr, *more: str) -> pl.DataFrame:
    """Pairs of a leg and a recording as candidates, with more columns of theirs."""
    names = ("recording_id", "call", "call_id", "call_uid")
    return pairs.select(*names, pl.col("leg").alias("rank"), score.alias("score"), reason.alias("reason"), *more)


def _same_tail(naming: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """Candidates, with path, where the row's path and the file's end alike, on a folder's edge.

    The row's path is the tail of the file's; or the file's is that of the row's, where that is absolute and so tells
    a root of the source's that nobody has named. Of several such files the longest is meant.
    """
    last = r"([^/]+)$"
    pairs = naming.with_columns(pl.col("recording_path").str.extract(last).alias("base")).join(
        files.with_columns(pl.col("path").str.extract(last).alias("base")), on=["site", "base"], how="inner"
    )
    row, file = pl.lit("/") + pl.col("recording_path").str.strip_prefix("/"), pl.lit("/") + pl.col("path")
    alike = pl.min_horizontal(row.str.len_bytes(), file.str.len_bytes())
    is_absolute = pl.col("recording_path").str.contains(r"^(/|[A-Za-z]:/|[a-z][a-z0-9+.-]*://)")
    tells_root = is_absolute & row.str.ends_with(file)
    tails = pairs.filter(tells_root | file.str.ends_with(row)).with_columns(alike.alias("alike"))
    longest = tails.filter(pl.col("alike") == pl.col("alike").max().over("call_uid"))
    reason = filled("the row names {}, which only this file ends with", pl.col("recording_path"))
    return _candidates(longest, pl.lit(0.95), reason, "path")


def _ties_of_legs(tails: pl.DataFrame, linked: pl.Series) -> pl.DataFrame:
    """Ties owned by a leg: the name in its row fits several files; `linked` ones have their call none the less."""
    owners = tails.group_by("call_uid").agg(
        pl.lit(None, pl.String).alias("recording_id"),
        pl.lit(True).alias("owner"),
        filled("its row fits {} files: {}", pl.col("path").n_unique(), _named("path")).alias("reason"),
    )
    members = tails.filter(~pl.col("recording_id").is_in(linked.implode())).select(
        pl.lit(None, pl.String).alias("call_uid"),
        "recording_id",
        pl.lit(False).alias("owner"),
        pl.lit(None, pl.String).alias("reason"),
    )
    both = pl.concat([owners.select(TIES.names()), members.select(TIES.names()).unique()])
    return both.sort("call_uid", "recording_id")


def _by_key(legs: pl.DataFrame, files: pl.DataFrame, rules: MatchingRules) -> tuple[pl.DataFrame, pl.DataFrame]:
    second = pl.col("started_at").dt.truncate("1s").alias("second")
    legs, files = legs.with_columns(second), files.with_columns(second)
    candidates: list[pl.DataFrame] = []
    for fields in _key_sets(rules):
        given = pl.all_horizontal(pl.col(field).is_not_null() for field in fields)
        keyed = files.filter(given)
        if rules.key is None and fields != ("call_id",):
            keyed = keyed.filter(gives_only(fields)).join(candidates[0], on="recording_id", how="anti")
        asked = legs if keyed.height else legs.clear()
        whole = with_number(asked) if "number" in fields else asked
        pairs = whole.join(keyed, on=["site", *fields], how="inner", suffix="_of_file")
        reason = f"same {', '.join(fields)}".replace("second", "start")
        reason = "the name gives the call id" if fields == ("call_id",) else reason
        candidates.append(_candidates(pairs, pl.lit(0.9), pl.lit(reason)))
        if "number" in fields:
            rest = keyed.join(candidates[-1], on="recording_id", how="anti")
            masked = f"{reason}, as far as the number is not masked"
            candidates += [
                _candidates(
                    some.join(others, on=["site", *fields], how="inner", suffix="_of_file"),
                    pl.lit(0.85),
                    pl.lit(masked),
                )
                for some, others in masked_alike(whole, rest)
            ]
    return settle(pl.concat(candidates), "key")


def _key_sets(rules: MatchingRules) -> list[tuple[str, ...]]:
    """The sets of fields to try: those of the rules, or the call id and then what else a name gives."""
    if rules.key is not None:
        return [tuple("second" if field == "start" else field for field in rules.key)]
    return [("call_id",), *((*fields, "second") for fields in FIELD_SETS)]
