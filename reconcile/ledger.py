"""The ledger: findings keep their id over days; what a later look no longer sees is resolved."""

from datetime import date

import polars as pl

from reconcile.frames import FINDINGS, conform


def carry_on(known: pl.DataFrame, found: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The ledger (FINDINGS) of one partition after a look on `as_of` that found `found` (FINDINGS).

    Found again: last_seen moves on, first_seen and a waiver stay, a resolved one opens again. Not found: resolved.
    The same look twice gives the same ledger, and a look at an earlier day never moves last_seen back.
    """
    known, found = conform(known, FINDINGS), conform(found, FINDINGS)
    before = known.select(
        "finding_id",
        pl.col("first_seen").alias("known_since"),
        pl.col("last_seen").alias("known_until"),
        pl.col("status").alias("known_status"),
    )
    again = found.join(before, on="finding_id", how="left").with_columns(
        pl.min_horizontal("known_since", "first_seen").alias("first_seen"),
        pl.max_horizontal("known_until", pl.lit(as_of)).alias("last_seen"),
        pl.when(pl.col("known_status") == "waived").then(pl.lit("waived")).otherwise(pl.lit("open")).alias("status"),
    )
    gone = known.join(found, on="finding_id", how="anti").with_columns(pl.lit("resolved").alias("status"))
    return pl.concat([again.select(list(FINDINGS.columns)), gone]).sort("finding_id")
