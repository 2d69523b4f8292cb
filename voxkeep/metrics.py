"""What Prometheus is told: one table of metrics, from which endpoint, textfile, docs and tests follow.

https://prometheus.io/docs/practices/naming/
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import polars as pl
from prometheus_client import CollectorRegistry, generate_latest, start_http_server, write_to_textfile
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from blocks.errors import VoxkeepError
from reconcile.findings import KINDS
from voxkeep.console import err
from voxkeep.metric_facts import DAYS_BACK, DAYS_COUNTED, DAYS_LISTENED, Facts, read_facts
from voxkeep.search import businesses
from voxkeep.settings import Settings

# Behind the labels of a sample its value.
Sample = tuple[str | float, ...]
Figures = Callable[[Facts], Iterable[Sample]]
PERCENTILES = (50, 95)
STAGES = ("backup", "ingest", "reconcile")
_STATIONS = {"on_site": "recordings", **{name: name for name in ("in_snapshot", "restored", "published", "indexed")}}


@dataclass(frozen=True)
class Gauge:
    """A metric: its name, what it tells, its labels, and how its samples come from the facts of a business."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    figures: Figures


def _last_success(facts: Facts) -> Iterator[Sample]:
    """A backup writes nothing but its snapshot, which counts once it is ingested."""
    newest = facts.runs.group_by("site", "stage").agg(pl.col("ended_at").max()).iter_rows()
    last = {(site, stage): ended for site, stage, ended in newest}
    taken = facts.snapshots.group_by("site").agg(pl.col("taken_at").max()).iter_rows()
    last |= {(site, "backup"): taken_at for site, taken_at in taken}
    for site in facts.sites:
        for stage in STAGES:
            found = last.get((site, stage))
            yield facts.business, site, stage, found.timestamp() if found else 0.0


def _durations(facts: Facts) -> Iterator[Sample]:
    newest = facts.runs.sort("ended_at").unique(["site", "stage"], keep="last").sort("site", "stage")
    took = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds() / 1_000_000
    for site, stage, seconds in newest.select("site", "stage", took.alias("seconds")).iter_rows():
        yield facts.business, site, stage, seconds


def _coverage(facts: Facts) -> Iterator[Sample]:
    must = pl.col("complete") + pl.col("partial") + pl.col("missing")
    share = pl.when(must == 0).then(1.0).otherwise(pl.col("complete") / must)
    sums = facts.summary.group_by("site").agg(pl.col("complete", "partial", "missing").sum()).sort("site")
    for site, found in sums.select("site", share.alias("share")).iter_rows():
        yield facts.business, site, found


def _findings(facts: Facts) -> Iterator[Sample]:
    """A zero for each kind that there could be, so that a first finding is an increase and the last a decrease."""
    is_open = facts.findings.filter(pl.col("status") == "open")
    counts = {(site, kind, severity): n for site, kind, severity, n in is_open.group_by(
        "site", "kind", "severity").len().iter_rows()}  # fmt: skip
    for site in facts.sites:
        none = {(site, kind.name, kind.severity): 0 for kind in KINDS}
        here = {key: n for key, n in counts.items() if key[0] == site}
        for (_, name, severity), n in (none | here).items():
            yield facts.business, site, name, severity, n


def _recordings(facts: Facts) -> Iterator[Sample]:
    sums = facts.summary.group_by("site").agg(pl.col(list(_STATIONS.values())).sum()).sort("site")
    for row in sums.iter_rows(named=True):
        for station, column in _STATIONS.items():
            yield facts.business, row["site"], station, row[column]


def _sum_of(column: str) -> Figures:
    def figures(facts: Facts) -> Iterator[Sample]:
        for site, found in facts.summary.group_by("site").agg(pl.col(column).sum()).sort("site").iter_rows():
            yield facts.business, site, found

    return figures


def _waiting_days(facts: Facts) -> Iterator[Sample]:
    counts = dict(facts.unindexed.group_by("site").len().iter_rows())
    for site in facts.sites:
        yield facts.business, site, counts.get(site, 0)


def _listenable_seconds(facts: Facts) -> Iterator[Sample]:
    took = (pl.col("listenable_at") - pl.col("ended_at")).dt.total_microseconds() / 1_000_000
    known = facts.listenable.select("site", took.alias("seconds")).drop_nulls()
    percentiles = [pl.col("seconds").quantile(one / 100, "linear").alias(str(one)) for one in PERCENTILES]
    for site, *found in known.group_by("site").agg(percentiles).sort("site").iter_rows():
        for percentile, seconds in zip(PERCENTILES, found, strict=True):
            yield facts.business, site, str(percentile), seconds


def _listenable_calls(facts: Facts) -> Iterator[Sample]:
    counts = dict(facts.listenable.group_by("site").len().iter_rows())
    for site in facts.sites:
        yield facts.business, site, counts.get(site, 0)


_PLACE = ("business", "site")
READABLE = "voxkeep_catalog_readable"
METRICS = (
    Gauge(
        READABLE,
        "Whether the catalog of the business could be read: 1, or 0, and then nothing else is told of it.",
        ("business",),
        lambda facts: [(facts.business, 1)],
    ),
    Gauge(
        "voxkeep_last_success_timestamp_seconds",
        f"When the stage (backup, ingest, reconcile) last succeeded; 0 where it has not in {DAYS_BACK} days. "
        "A backup counts when its snapshot was ingested; where nothing has changed it takes one a day.",
        (*_PLACE, "stage"),
        _last_success,
    ),
    Gauge(
        "voxkeep_stage_duration_seconds",
        "How long the stage took when it last succeeded: the three runs and the steps in them.",
        (*_PLACE, "stage"),
        _durations,
    ),
    Gauge(
        "voxkeep_coverage_ratio",
        f"Share of the calls of the last {DAYS_COUNTED} days, as reconciled, with every recording at every station.",
        _PLACE,
        _coverage,
    ),
    Gauge(
        "voxkeep_findings_open",
        f"Open findings of the last {DAYS_BACK} days.",
        (*_PLACE, "kind", "severity"),
        _findings,
    ),
    Gauge("voxkeep_calls", f"Calls of the last {DAYS_COUNTED} days, as reconciled.", _PLACE, _sum_of("calls")),
    Gauge(
        "voxkeep_recordings",
        f"Recordings of the last {DAYS_COUNTED} days at each station, as reconciled.",
        (*_PLACE, "station"),
        _recordings,
    ),
    Gauge(
        "voxkeep_recording_bytes",
        f"Bytes of the recordings of the last {DAYS_COUNTED} days, as reconciled.",
        _PLACE,
        _sum_of("bytes"),
    ),
    Gauge(
        "voxkeep_listenable_seconds",
        f"Percentiles of the time from a call's end until it could be found and heard, of calls of the last "
        f"{DAYS_LISTENED} days that can be.",
        (*_PLACE, "percentile"),
        _listenable_seconds,
    ),
    Gauge(
        "voxkeep_listenable_calls",
        f"Calls of the last {DAYS_LISTENED} days that can be found and heard.",
        _PLACE,
        _listenable_calls,
    ),
    Gauge(
        "voxkeep_index_backlog",
        f"Days of the last {DAYS_BACK} that wait for the call index, because it did not answer.",
        _PLACE,
        _waiting_days,
    ),
    Gauge(
        "voxkeep_alerts_undelivered",
        "Alerts that wait to be delivered.",
        ("business",),
        lambda facts: [(facts.business, facts.alerts_waiting)],
    ),
)


class Catalogs(Collector):
    """Every business that was applied with this home, read anew whenever somebody asks."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._one_at_a_time = Lock()

    def collect(self) -> Iterator[Metric]:
        """Every metric of METRICS with its samples now."""
        with self._one_at_a_time:
            now = datetime.now(UTC)
            known = [_facts_or_none(settings, now) for settings in businesses(self._home, None)]
        for gauge in METRICS:
            family = GaugeMetricFamily(gauge.name, gauge.meaning, labels=gauge.labels)
            for business, facts in known:
                for *labels, value in _samples(gauge, business, facts):
                    family.add_metric([str(label) for label in labels], float(value))
            yield family


def _facts_or_none(settings: Settings, now: datetime) -> tuple[str, Facts | None]:
    try:
        return settings.business, read_facts(settings, now)
    except VoxkeepError as error:
        err.print(f"{settings.business}: {error}", markup=False)
        return settings.business, None


def _samples(gauge: Gauge, business: str, facts: Facts | None) -> Iterable[Sample]:
    if facts is None:
        return [(business, 0)] if gauge.name == READABLE else []
    return gauge.figures(facts)


def registry(home: Path) -> CollectorRegistry:
    """What prometheus_client asks."""
    made = CollectorRegistry(auto_describe=False)
    made.register(Catalogs(home))
    return made


def text(home: Path) -> str:
    """The metrics now, in Prometheus's text format."""
    return generate_latest(registry(home)).decode()


def write_textfile(home: Path, file: Path) -> None:
    """Replace the file, for node_exporter's textfile collector; a reader never sees half."""
    write_to_textfile(str(file), registry(home))


def serve(home: Path, host: str, port: int) -> None:
    """Answer `GET /metrics` until the program is stopped."""
    _, thread = start_http_server(port, host, registry(home))
    thread.join()
