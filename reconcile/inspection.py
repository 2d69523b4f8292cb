"""The daily inspection 巡检: what a person looks at every morning, judged, and who has signed it.

`figures` makes plain data of frames and measurements; the same input gives the same figures, and their SHA-256 is what
a signature is under. `acts` of a day (INSPECTIONS) say whether it is open and whom to remind.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from reconcile.frames import INSPECTIONS

FORMAT = "voxkeep inspection, version 1"
EVERYWHERE = "-"
State = Literal["good", "attention", "bad", "unknown"]
Verdict = Literal["ok", "remarks", "rejected"]
VERDICTS: tuple[Verdict, ...] = ("ok", "remarks", "rejected")
STATES: tuple[State, ...] = ("bad", "attention", "unknown", "good")

# What is remarked on: old locks, a disk that fills, a drill that is long ago.
LOCK_HOURS = 1.0
FULL_SOON, FULL_AT_ONCE, FAR = 60, 14, 3650
ROOM_LEFT, ROOM_GONE = 0.2, 0.1
DRILL_DAYS = 35


class InspectionRules(BaseModel):
    """How a business is inspected every morning."""

    model_config = ConfigDict(extra="forbid")

    sample: int = Field(3, strict=True, ge=0, le=20, description="Recordings to listen to, chosen at random.")
    remind_after_hours: float = Field(2, ge=0, le=24, description="Unsigned for so long: a reminder on every route.")
    escalate_after_hours: float = Field(4, ge=0, le=24, description="Unsigned for so long: those who answer for it.")
    page: str | None = Field(
        None, pattern="^https?://", description="Address of the page 调听, for links to the recordings."
    )


@dataclass(frozen=True)
class Whose:
    """Whose inspection it is, of which business day, made when; `sites`: name and title of each."""

    business: str
    title: str
    as_of: date
    now: datetime
    time_zone: str
    sites: tuple[tuple[str, str], ...]
    coverage_target: float
    clock_skew_limit_seconds: float


@dataclass(frozen=True)
class Known:
    """What the catalog knows: frames of these names; `summary` of the open days, `grown` of the last weeks.

    `disks` has the newest row of each disk with its `state` (reconcile.disks.newest); `checks` those of a rotation.
    """

    summary: pl.DataFrame
    grown: pl.DataFrame
    findings: pl.DataFrame
    snapshots: pl.DataFrame
    drills: pl.DataFrame
    gone: pl.DataFrame
    trace: pl.DataFrame
    inventory: pl.DataFrame
    disks: pl.DataFrame
    checks: pl.DataFrame


@dataclass(frozen=True)
class Measured:
    """What was looked at outside: bytes free and in all, copies that a recording needs there, waiting alerts, locks.

    `locks` (site, hours): each lock of a repository and its age; None: nobody could look.
    """

    free: int
    total: int
    copies: int
    alerts_waiting: int
    locks: pl.DataFrame | None = None


@dataclass(frozen=True)
class Item:
    """A line of the checklist: what it is about, how it is, the text that says it, and what stands in that text."""

    key: str
    state: State
    said: str
    places: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {"key": self.key, "state": self.state, "said": self.said, "places": self.places}


def figures(whose: Whose, known: Known, measured: Measured, sample: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything that is inspected, as plain data for JSON."""
    offsets = clock_offsets(known.trace, known.inventory)
    items = [
        _backups(whose, known),
        _coverage(whose, known),
        _findings(known),
        _clocks(whose, offsets),
        _gone(known),
        _room(measured),
        _forecast(known, measured),
        _locks(measured),
        _alerts(measured),
        _drills(whose, known),
        _checks(known),
        *([_disks(whose, known)] if known.disks.height else []),
    ]
    return {
        "format": FORMAT,
        "business": whose.business,
        "title": whose.title,
        "day": whose.as_of.isoformat(),
        "taken_at": whose.now.isoformat(timespec="seconds"),
        "time_zone": whose.time_zone,
        "state": worst([item.state for item in items]),
        "items": [item.plain() for item in items],
        "sites": [_site(whose, known, offsets, name, title) for name, title in whose.sites],
        "sample": sample,
    }


def digest(content: bytes) -> str:
    """What a signature is under: the SHA-256 of the figures as they were written."""
    return sha256(content).hexdigest()


def worst(states: list[State]) -> State:
    """The worst of these; what nobody knows is worse than what is good."""
    return min(states, key=STATES.index, default="unknown")


def clock_offsets(trace: pl.DataFrame, inventory: pl.DataFrame) -> pl.DataFrame:
    """How far the recorder's clock is ahead of the call system's, by site: offset_seconds (median), matches."""
    calls = trace.filter(pl.col("match").is_not_null()).select("recording_id", called_at="started_at")
    pairs = inventory.select("site", "recording_id", "started_at").join(calls, on="recording_id", how="inner")
    apart = (pl.col("started_at") - pl.col("called_at")).dt.total_milliseconds() / 1000
    return pairs.group_by("site").agg(apart.median().alias("offset_seconds"), apart.count().alias("matches"))


def to_hear(trace: pl.DataFrame, count: int, seed: str, time_zone: str) -> list[dict[str, Any]]:
    """So many whole, published recordings with their calls, at random; the same for the same seed."""
    whole = trace.filter((pl.col("coverage") == "complete") & pl.col("published") & pl.col("call_uid").is_not_null())
    order = pl.concat_str(pl.lit(seed), "recording_id").hash(seed=1)
    chosen = whole.sort(order, "recording_id").unique("call_id", keep="first", maintain_order=True).head(count)
    local = pl.col("started_at").dt.convert_time_zone(time_zone).dt.strftime("%Y-%m-%d %H:%M:%S")
    rows = chosen.select(
        "site", pl.col("day").cast(pl.String), "call_id", "call_uid", "recording_id", "extension", "number",
        local.alias("started"), (pl.col("duration_ms").fill_null(0) / 1000).round(1).alias("seconds"),
    )  # fmt: skip
    return rows.to_dicts()


def _backups(whose: Whose, known: Known) -> Item:
    yesterday = whose.as_of - timedelta(days=1)
    covered = known.snapshots.filter(pl.col("first_day") <= yesterday, pl.col("day") >= yesterday)["site"]
    return _of_sites("backups", "bad", whose, covered.to_list())


def _of_sites(key: str, otherwise: State, whose: Whose, good: list[str]) -> Item:
    """Whether all sites are among the good ones; the others are named."""
    lacking = [title for name, title in whose.sites if name not in good]
    places = {"n": str(len(whose.sites) - len(lacking)), "of": str(len(whose.sites))}
    if not lacking:
        return Item(key, "good", f"inspect_{key}_good", places)
    return Item(key, otherwise, f"inspect_{key}_bad", places | {"where": ", ".join(lacking)})


def _coverage(whose: Whose, known: Known) -> Item:
    sums = known.summary.select(pl.col("complete", "partial", "missing", "recordings").sum()).row(0, named=True)
    must = sums["complete"] + sums["partial"] + sums["missing"]
    if not must:
        return Item("coverage", "unknown", "inspect_coverage_none")
    part = sums["complete"] / must
    places = {
        "complete": f"{sums['complete']:,}", "must": f"{must:,}", "coverage": _share(part),
        "target": _share(whose.coverage_target),
    }  # fmt: skip
    return Item("coverage", "good" if part >= whose.coverage_target else "attention", "inspect_coverage_said", places)


def _share(part: float) -> str:
    return "100 %" if part == 1 else f"{int(part * 1000) / 10:.1f} %"


def _findings(known: Known) -> Item:
    is_open = known.findings.filter(pl.col("status") == "open")
    counts = dict(is_open["severity"].value_counts().iter_rows())
    numbers = {name: counts.get(name, 0) for name in ("critical", "major", "minor")}
    state: State = "bad" if numbers["critical"] else "attention" if numbers["major"] else "good"
    return Item("findings", state, "inspect_findings_said", {name: f"{n:,}" for name, n in numbers.items()})


def _clocks(whose: Whose, offsets: pl.DataFrame) -> Item:
    if offsets.is_empty():
        return Item("clocks", "unknown", "inspect_clocks_none")
    site, offset = offsets.sort(pl.col("offset_seconds").abs()).row(-1)[:2]
    places = {
        "where": dict(whose.sites).get(site, site), "offset": f"{offset:+z.1f}",
        "limit": f"{whose.clock_skew_limit_seconds:.0f}",
    }  # fmt: skip
    is_good = abs(offset) <= whose.clock_skew_limit_seconds
    return Item("clocks", "good" if is_good else "attention", "inspect_clocks_said", places)


def _gone(known: Known) -> Item:
    """What the source disks no longer have, and whether a signed list allowed it."""
    unexplained = known.gone["list_id"].null_count()
    places = {"purged": f"{known.gone.height - unexplained:,}", "unexplained": f"{unexplained:,}"}
    return Item("gone", "attention" if unexplained else "good", "inspect_gone_said", places)


def _room(measured: Measured) -> Item:
    part = measured.free / measured.total if measured.total else 0.0
    state: State = "bad" if part < ROOM_GONE else "attention" if part < ROOM_LEFT else "good"
    return Item("room", state, "inspect_room_said", {"free": _volume(measured.free), "part": _share(part)})


def _forecast(known: Known, measured: Measured) -> Item:
    """In how many days the central disk is full, as the last weeks have grown."""
    days = known.grown["day"].n_unique()
    a_day = int(known.grown["bytes"].sum()) / days * measured.copies if days else 0
    if not a_day:
        return Item("forecast", "unknown", "inspect_forecast_none")
    left = int(measured.free / a_day)
    state: State = "bad" if left < FULL_AT_ONCE else "attention" if left < FULL_SOON else "good"
    if left > FAR:
        return Item("forecast", "good", "inspect_forecast_far", {"growth": _volume(a_day)})
    return Item("forecast", state, "inspect_forecast_said", {"days": f"{left:,}", "growth": _volume(a_day)})


def _volume(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"  # noqa: PLR2004  # a billion


def _locks(measured: Measured) -> Item:
    if measured.locks is None:
        return Item("locks", "unknown", "inspect_locks_none")
    oldest = max(measured.locks["hours"], default=0.0)
    if oldest <= LOCK_HOURS:
        return Item("locks", "good", "inspect_locks_good", {"n": str(measured.locks.height)})
    where = ", ".join(measured.locks.filter(pl.col("hours") > LOCK_HOURS)["site"].unique().sort())
    return Item("locks", "attention", "inspect_locks_bad", {"hours": f"{oldest:,.1f}", "where": where})


def _alerts(measured: Measured) -> Item:
    n = measured.alerts_waiting
    return Item("alerts", "attention" if n else "good", "inspect_alerts_said", {"n": f"{n:,}"})


def _drills(whose: Whose, known: Known) -> Item:
    newest = _newest_drills(known)
    failed = newest.filter(~pl.col("good"))["site"].to_list()
    fresh = newest.filter("good", pl.col("day") > whose.as_of - timedelta(days=DRILL_DAYS))["site"].to_list()
    return _of_sites("drills", "bad" if failed else "attention", whose, fresh)


def _checks(known: Known) -> Item:
    """What the newest check of each kind and repository has found."""
    newest = pl.col("day") == pl.col("day").max().over("site", "kind", "repository_year")
    last = known.checks.filter(newest)
    if last.is_empty():
        return Item("checks", "unknown", "inspect_checks_none")
    damaged = last.filter(pl.col("verdict") == "damaged")
    if damaged.is_empty():
        return Item("checks", "good", "inspect_checks_good", {"n": str(last.height), "day": str(last["day"].max())})
    where, most = ", ".join(damaged["site"].unique().sort()), damaged.select(pl.col("concerned").max()).item()
    return Item("checks", "bad", "inspect_checks_bad", {"n": f"{most:,}", "where": where})


def _disks(whose: Whose, known: Known) -> Item:
    """The disks that sites without network send: whether each has come in time."""
    counts = dict(known.disks["state"].value_counts().iter_rows())
    places = {"on_the_way": str(counts.get("on_its_way", 0)), "arrived": str(counts.get("arrived", 0))}
    late = known.disks.filter(pl.col("state") == "missing").sort("departed_at").rows(named=True)
    if not late:
        return Item("disks", "good", "inspect_disks_good", places)
    titles = dict(whose.sites)
    where = ", ".join(f"{row['label']} ({titles.get(row['site'], row['site'])})" for row in late)
    return Item("disks", "bad", "inspect_disks_bad", places | {"n": str(len(late)), "where": where})


def _newest_drills(known: Known) -> pl.DataFrame:
    return known.drills.sort("began_at").unique("site", keep="last", maintain_order=True)


def _site(whose: Whose, known: Known, offsets: pl.DataFrame, site: str, title: str) -> dict[str, Any]:
    """One site's own figures."""
    is_ours = pl.col("site") == site
    sums = known.summary.filter(is_ours).select(pl.col("complete", "partial", "missing", "recordings").sum())
    complete, partial, missing, recordings = sums.row(0)
    must = complete + partial + missing
    newest = known.snapshots.filter(is_ours).sort("taken_at").tail(1).to_dicts()
    drill = _newest_drills(known).filter(is_ours).to_dicts()
    offset = offsets.filter(is_ours)["offset_seconds"].to_list()
    is_open = known.findings.filter(is_ours, pl.col("status") == "open")
    counts = dict(is_open["severity"].value_counts().iter_rows())
    age = (whose.now - newest[0]["taken_at"]).total_seconds() / 3600 if newest else None
    return {
        "site": site,
        "title": title,
        "last_backup_day": str(newest[0]["day"]) if newest else None,
        "last_backup_hours": round(age, 1) if age is not None else None,
        "recordings": recordings,
        "coverage": _share(complete / must) if must else None,
        "open": [counts.get(severity, 0) for severity in ("critical", "major", "minor")],
        "clock_offset_seconds": round(offset[0], 1) + 0.0 if offset and offset[0] is not None else None,
        "drill": {"day": str(drill[0]["day"]), "good": drill[0]["good"]} if drill else None,
    }


def standing(acts: pl.DataFrame) -> str:
    """How the day's inspection stands: none, open, or the newest verdict."""
    if acts.is_empty():
        return "none"
    newest = acts.filter(pl.col("act").is_in(["opened", "signed"])).sort("at", maintain_order=True).row(-1, named=True)
    return str(newest["verdict"]) if newest["act"] == "signed" else "open"


def overdue(acts: pl.DataFrame, now: datetime, rules: InspectionRules) -> str | None:
    """What an open inspection asks for by now, once each: escalated, reminded, or nothing (None)."""
    if standing(acts) != "open":
        return None
    since = acts.filter(pl.col("act") == "opened")["at"].max()
    done = acts.filter(pl.col("at") >= since)["act"].to_list()
    hours = (now - since).total_seconds() / 3600 if isinstance(since, datetime) else 0.0
    if hours >= rules.escalate_after_hours:
        return "escalated" if "escalated" not in done else None
    return "reminded" if hours >= rules.remind_after_hours and "reminded" not in done else None


def with_act(acts: pl.DataFrame, act: dict[str, Any]) -> pl.DataFrame:
    """The acts with one more; a signature that is there already, said by the same person, is not there twice."""
    row = pl.DataFrame([dict.fromkeys(INSPECTIONS.columns) | act], schema=INSPECTIONS.schema)
    said = ["act", "author", "verdict", "comment", "figures_sha256"]
    if act["act"] == "signed" and acts.tail(1).select(said).equals(row.select(said)):
        return acts
    return pl.concat([acts, row])
