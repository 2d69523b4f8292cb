"""The ledger: findings keep their id over days; what is seen no more is resolved, what people waive is quiet."""

from datetime import date

import polars as pl

from reconcile.frames import FINDINGS, WAIVERS, conform


def carry_on(known: pl.DataFrame, found: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The ledger (FINDINGS) of one partition after a look on `as_of` that found `found` (FINDINGS).

    Found again: last_seen moves on, first_seen and a waiver stay, a resolved one opens again. Not found: resolved.
    `status_since` is the day of the look that gave a finding its status.
    The same look twice gives the same ledger, and a look at an earlier day never moves last_seen back.
    """
    known, found = conform(known, FINDINGS), conform(found, FINDINGS)
    before = known.select(
        "finding_id",
        pl.col("first_seen").alias("known_since"),
        pl.col("last_seen").alias("known_until"),
        pl.col("status").alias("known_status"),
        pl.col("status_since").alias("known_status_since"),
    )
    is_waived = pl.col("known_status") == "waived"
    again = found.join(before, on="finding_id", how="left").with_columns(
        pl.min_horizontal("known_since", "first_seen").alias("first_seen"),
        pl.max_horizontal("known_until", pl.lit(as_of)).alias("last_seen"),
        pl.when(is_waived).then(pl.lit("waived")).otherwise(pl.lit("open")).alias("status"),
        pl.when(pl.col("known_status").is_in(["open", "waived"]))
        .then("known_status_since")
        .otherwise(pl.lit(as_of))
        .alias("status_since"),
    )
    gone = _with_status(known.join(found, on="finding_id", how="anti"), pl.lit("resolved"), as_of)
    return pl.concat([again.select(list(FINDINGS.columns)), gone]).sort("finding_id")


def waive(ledger: pl.DataFrame, waivers: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The ledger (FINDINGS); what is not resolved is waived as long as its newest waiver (WAIVERS) holds."""
    newest = conform(waivers, WAIVERS).sort("waived_at").unique("finding_id", keep="last")
    holds = newest.filter(pl.col("until") >= as_of)["finding_id"].implode()
    is_resolved = pl.col("status") == "resolved"
    status = pl.when(pl.col("finding_id").is_in(holds)).then(pl.lit("waived")).otherwise(pl.lit("open"))
    return _with_status(ledger, pl.when(is_resolved).then("status").otherwise(status), as_of)


def _with_status(ledger: pl.DataFrame, status: pl.Expr, as_of: date) -> pl.DataFrame:
    """The findings with this status, since `as_of` where they had another."""
    since = pl.when(pl.col("status") == status).then("status_since").otherwise(pl.lit(as_of))
    return ledger.with_columns(status.alias("status"), since.alias("status_since"))
