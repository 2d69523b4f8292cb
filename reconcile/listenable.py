"""Since when a call can be heard: what the time from its end to there is measured by."""

from datetime import datetime

import polars as pl

from reconcile.frames import INSTANT, LISTENABLE


def newly_listenable(
    documents: pl.DataFrame, restored: pl.DataFrame, known: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """LISTENABLE of the indexed documents (reconcile.documents) that can be heard by `now` and were not `known`.

    A call can be heard when the object store holds one of its recordings, as RESTORED tells.
    """
    published = restored.filter(pl.col("published").ne_missing(False)).select("recording_id", "sha256")
    heard = (
        documents.join(known, on="call_uid", how="anti")
        .select("call_uid", "recordings")
        .explode("recordings", empty_as_null=True)
        .select("call_uid", pl.col("recordings").struct.field("recording_id", "sha256"))
        .join(published, on=["recording_id", "sha256"], how="semi")
        .select("call_uid")
        .unique()
    )
    talked = pl.duration(microseconds=pl.col("talk_seconds").fill_null(0) * 1_000_000)
    return (
        documents.join(heard, on="call_uid", how="semi")
        .select(
            "business", "site", "day", "call_uid",
            (pl.col("started_at") + talked).cast(INSTANT).alias("ended_at"),
            pl.lit(now, INSTANT).alias("listenable_at"),
        )
        .match_to_schema(LISTENABLE.schema)
        .sort("call_uid")
    )  # fmt: skip
