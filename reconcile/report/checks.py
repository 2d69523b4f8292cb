"""What the checks of what is kept have found, for the report and for an alert."""

from typing import Any

import polars as pl

from reconcile.report.messages import Language, say


def last_checks(checks: pl.DataFrame) -> list[dict[str, Any]]:
    """Of each site, kind and repository (CHECKS) the last day on which it was checked, and all that was found then."""
    keys = ["site", "kind", "repository_year"]
    last = checks.filter(pl.col("day") == pl.col("day").max().over(keys))
    damaged = pl.col("verdict") == "damaged"
    return (
        last.group_by(keys)
        .agg(
            pl.col("day").max(),
            pl.when(damaged.any()).then(pl.lit("damaged")).otherwise(pl.col("verdict").first()).alias("verdict"),
            pl.col("concerned").max(),
            pl.col("share").n_unique().alias("parts"),
            pl.col("shares").max(),
            pl.col("said").filter(pl.col("said") != "").unique(maintain_order=True).str.join("; ").alias("said"),
        )
        .sort(keys, nulls_last=True)
        .to_dicts()
    )


def say_checks(title: str, rows: list[dict[str, Any]], language: Language) -> tuple[str, str]:
    """Title and Markdown of the alert about checks (CHECKS) that found damage."""
    lines = [
        say(
            "check_line", language, kind=say(f"check_{row['kind']}", language), site=row["site"],
            year=row.get("repository_year") or "", said=row["said"] or "-", n=f"{row['concerned']:,}",
        )
        for row in rows
    ]  # fmt: skip
    return say("check_alert", language, title=title), "\n".join([*lines, "", say("check_todo", language)])
