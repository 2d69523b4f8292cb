"""What changed since the report before, in a few plain sentences."""

from datetime import timedelta

import polars as pl

from reconcile.report.data import ReportData, figures, open_findings, share
from reconcile.report.messages import Language, say

# More kinds than this are not read in a sentence.
_KINDS = 3


def changes(data: ReportData, language: Language) -> str:
    """One paragraph: what is new, solved, open again or waived, how old the rest is, how the last day compares."""
    found = figures(data)
    counts = {
        "opened": found.opened, "resolved": found.resolved, "reopened": found.reopened, "waived": found.waived,
    }  # fmt: skip
    said = []
    if any(counts.values()):
        said.append(say("changes_counts", language, **{name: f"{n:,}" for name, n in counts.items()}))
    else:
        said.append(say("changes_none", language))
    if found.opened:
        said.append(say("changes_kinds", language, kinds=_new_kinds(data, language)))
    ways = _resolutions(data, language)
    if ways:
        said.append(say("changes_by", language, ways=ways))
    if found.carried:
        said.append(say("changes_carried", language, carried=f"{found.carried:,}", days=f"{found.oldest_days:,}"))
    said += _last_day(data, language)
    return ("" if language == "zh" else " ").join(said)


def _new_kinds(data: ReportData, language: Language) -> str:
    fresh = open_findings(data).filter(pl.col("first_seen") == data.as_of)
    kinds = fresh.group_by("kind", maintain_order=True).agg(pl.len().alias("n")).sort("n", descending=True)
    words = [f"{say(f'kind_{kind}', language)} {n:,}" for kind, n in kinds.head(_KINDS).iter_rows()]
    more = kinds.height - _KINDS
    return ("、" if language == "zh" else ", ").join(words) + (say("changes_more", language) if more > 0 else "")


def _resolutions(data: ReportData, language: Language) -> str:
    """What resolved the findings that are resolved since the report before, as far as that is told."""
    is_fresh = (pl.col("status") == "resolved") & (pl.col("status_since") == data.as_of)
    ways = data.findings.filter(is_fresh)["resolution"].drop_nulls().value_counts(sort=False)
    ordered = ways.sort("count", "resolution", descending=[True, False])
    words = [f"{say(f'resolution_{way}', language)} {n:,}" for way, n in ordered.iter_rows()]
    return ("、" if language == "zh" else ", ").join(words)


def _last_day(data: ReportData, language: Language) -> list[str]:
    """The last day that has calls or recordings against the day before it, where there is one of both."""
    by_day = data.summary.group_by("day").agg(
        pl.col("recordings", "complete", "partial", "missing").sum(), pl.col("calls").sum()
    )
    days = {
        row["day"]: row for row in by_day.iter_rows(named=True) if row["day"] and row["calls"] + row["recordings"] > 0
    }
    last = max((day for day in days if day <= data.as_of), default=None)
    if last is None or last - timedelta(days=1) not in days:
        return []
    now, before = days[last], days[last - timedelta(days=1)]
    return [
        say(
            "changes_day", language, day=last, recordings=f"{now['recordings']:,}", before=f"{before['recordings']:,}",
            coverage=_coverage(now), coverage_before=_coverage(before),
        )
    ]  # fmt: skip


def _coverage(day: dict[str, int]) -> str:
    must = day["complete"] + day["partial"] + day["missing"]
    return share(day["complete"] / must) if must else "—"
