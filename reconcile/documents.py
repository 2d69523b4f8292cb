"""Search documents: every call with its notes and recordings, as the call index holds it."""

import polars as pl

from reconcile.matching import Matches, one_row_a_leg
from reconcile.numbers import normalised
from reconcile.recordings import object_key
from reconcile.rules import NumberRules
from reconcile.text import filled

_RECORDING = ("recording_id", "key", "path", "container", "codec", "duration_ms", "size", "sha256", "state")


def documents(
    calls: pl.DataFrame, notes: pl.DataFrame, inventory: pl.DataFrame, matches: Matches, rules: NumberRules
) -> pl.DataFrame:
    """One row a leg of CALLS, with `numbers`, `notes` and `recordings`.

    Columns call_uid, business, site, dataset, day, call_id, leg, started_at, talk_seconds, extension, caller, callee,
    display_number (as in CALLS), numbers (List(String), normalised), attributes (JSON text), notes (JSON list of the
    notes' attributes), recordings (List(Struct) of recording_id, key, path, container, codec, duration_ms, size,
    sha256). Repeated rows of one call_uid count once.
    """
    numbers = [normalised(pl.col(name), rules) for name in ("caller", "callee", "display_number")]
    owned = (
        matches.links.join(inventory.with_columns(object_key().alias("key")), on="recording_id", how="inner")
        .sort("path")
        .group_by("call_uid", maintain_order=True)
        .agg(pl.struct(_RECORDING).alias("recordings"))
    )
    written = (
        notes.drop_nulls("call_id")
        .sort("written_at", "note_uid", nulls_last=True)
        .group_by("business", "site", "call_id", maintain_order=True)
        .agg(filled("[{}]", pl.col("attributes").str.join(",")).alias("notes"))
    )
    no_recordings = pl.lit([], dtype=owned.schema["recordings"])
    return (
        one_row_a_leg(calls)
        .with_columns(pl.concat_list(numbers).list.drop_nulls().list.unique(maintain_order=True).alias("numbers"))
        .join(owned, on="call_uid", how="left")
        .join(written, on=["business", "site", "call_id"], how="left")
        .with_columns(pl.col("recordings").fill_null(no_recordings), pl.col("notes").fill_null("[]"))
        .select(
            "call_uid", "business", "site", "dataset", "day", "call_id", "leg", "started_at", "talk_seconds",
            "extension", "caller", "callee", "display_number", "numbers", "attributes", "notes", "recordings",
        )
        .sort("call_uid")
    )  # fmt: skip


def differing(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame | None:
    """The documents that are new or other than before; None where one is gone, or is of another day."""
    keys = ["call_uid", "day"]
    if before.join(after, on=keys, how="anti").height:
        return None
    told = [frame.select("call_uid", pl.struct(pl.all()).hash().alias("told")) for frame in (before, after)]
    same = told[1].join(told[0], on=["call_uid", "told"], how="semi")
    return after.join(same, on="call_uid", how="anti")
