"""`voxkeep demo`: a sample source with planted faults, the three flows over it, and what they found of them."""

import os
import secrets
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Protocol, cast

import polars as pl
import yaml

from blocks.repository import Repository
from flows.backup import backup
from flows.ingest import ingest
from flows.reconciliation import reconcile
from reconcile.findings import KINDS
from reconcile.frames import FINDINGS, INVENTORY, SUMMARY
from reconcile.ids import stable_id
from reconcile.recordings import object_key
from voxkeep.apply import apply, blocks_of
from voxkeep.console import beside, err, out, table
from voxkeep.sample import Planted, Sample, make_sample, sample_rules, second_day
from voxkeep.sample_plan import ROBOT_SITE
from voxkeep.server import start_server
from voxkeep.services import Places, places
from voxkeep.settings import Settings, load_settings

# Kind, business, site, day, subject.
Fault = tuple[str, str, str, date, str]


class Vandal(Protocol):
    """Who damages published recordings, to see whether that is found."""

    def remove(self, key: str) -> None:
        """Remove an object."""

    def alter(self, key: str, size: int) -> None:
        """Give an object of this size other bytes, once."""


@dataclass(frozen=True)
class Demo:
    """What was planted, what was found, how long it took, and where things lie."""

    planted: frozenset[Fault]
    found: frozenset[Fault]
    healed: bool
    seconds: float
    report: Path
    home: Path
    settings: Settings
    a_number: str
    more: dict[str, Any] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """The result as one plain object."""
        right = len(self.planted & self.found)
        return {
            "planted": _by_kind(self.planted),
            "found": _by_kind(self.found),
            "precision": right / len(self.found) if self.found else 1.0,
            "recall": right / len(self.planted) if self.planted else 1.0,
            "seconds": round(self.seconds, 1),
            "report": str(self.report),
            **self.more,
        }

    def perfect(self) -> bool:
        """Whether every planted fault was found, none was invented, and the late arrival healed its finding."""
        return self.planted == self.found and self.healed


def _by_kind(faults: frozenset[Fault]) -> dict[str, int]:
    counts = Counter(fault[0] for fault in faults)
    return {kind.name: counts[kind.name] for kind in KINDS if counts[kind.name]}


def run_demo(directory: Path, calls: int) -> Demo:
    """Run the whole demo; over a folder that holds a finished one, the flows run again and change nothing."""
    began = time.monotonic()
    directory = directory.resolve()
    with ThreadPoolExecutor() as beside:
        started = beside.submit(start_server)
        sample = make_sample(directory, calls=calls)
        settings = load_settings(write_settings(directory, settings_of(sample)))
        _make_repositories(sample, settings)
        started.result()
    apply(settings, directory / "home")
    report = _run_days(sample, settings)
    return judge([(sample, settings)], began, Path(report), directory / "home", {})


def _make_repositories(sample: Sample, settings: Settings) -> None:
    """The first backup would make them, too; so they are made while Prefect's server starts."""
    blocks = blocks_of(settings)
    for site in sample.reporting:
        found = blocks[f"{Repository.get_block_type_slug()}/{sample.business}--{site}"]
        repository = cast("Repository", found)
        repository.make_folder()
        repository.create(sample.days[0].year)


def judge(runs: list[tuple[Sample, Settings]], began: float, report: Path, home: Path, more: dict[str, Any]) -> Demo:
    """What was planted in these samples, beside what the ledgers have found."""
    planted, found, healed = set(), set(), True
    for sample, settings in runs:
        catalog = places(settings).catalog
        ledger = catalog.read(FINDINGS.name, sample.business, None, None, FINDINGS.schema)
        planted |= {_planted(sample, fault) for fault in sample.planted}
        found |= {_found(row) for row in ledger.iter_rows(named=True)}
        healed &= _healed(sample, ledger)
    return Demo(
        planted=frozenset(planted),
        found=frozenset(found),
        healed=healed,
        seconds=time.monotonic() - began,
        report=report,
        home=home,
        settings=runs[0][1],
        a_number=_a_number(runs[0][1]),
        more=more,
    )


def write_settings(directory: Path, content: dict[str, Any]) -> Path:
    """The YAML of a business of the demo, its SQL and its password, written once."""
    password = directory / "password"
    if not password.exists():
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(secrets.token_urlsafe(24))
    shutil.copytree(_sql_folder(), directory / "sql", dirs_exist_ok=True)
    file = directory / f"{content['business']}.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return file


def _sql_folder() -> Path:
    """The sample's SQL: beside the packages in a checkout, inside this one when installed."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "sql" / "sample", here.parent / "sql" / "sample") if folder.is_dir())


# Below sql/sample/packs.
PACKS = ("collection-notes", "recordings-with-index", "monthly-statistics")


def settings_of(sample: Sample) -> dict[str, Any]:
    """The settings of the sample's business, everything in folders."""
    rules = sample_rules()
    titles = {"cq": "重庆", "bj": "北京", "sz": "深圳"}
    datasets = {name: dict(dataset) for name, dataset in rules["datasets"].items()}
    if ROBOT_SITE not in sample.sites:
        del datasets["robot"]
    datasets["calls"]["sql"], datasets["notes"]["sql"] = "sql/calls.sql", "sql/notes.sql"
    sites = {
        site: {
            "title": titles[site],
            "recordings": str(sample.recordings(site)),
            "password": {"file": "password"},
            "since": sample.days[0] if site in sample.reporting else sample.days[1],
        }
        for site in sample.sites
    }
    for site in sample.reporting:
        sites[site]["database"] = {"command": ["echo", f"sqlite:///{sample.database(site)}"]}
        if site == ROBOT_SITE:
            sites[site]["dropped"] = {"robot": str(sample.dropped(site))}
    return {
        "business": sample.business,
        "title": sample.title,
        "time_zone": sample.time_zone,
        "storage": "storage",
        "sites": sites,
        "datasets": datasets,
        "name_templates": rules["name_templates"],
        "packs": [f"sql/packs/{pack}.yaml" for pack in PACKS],
    }


def _run_days(sample: Sample, settings: Settings) -> str:
    """Run the three flows for both days, and tamper before the second is reconciled; returns the report's path.

    The sites back up the second day while the centre still reconciles the first, as they would in life.
    """
    with ThreadPoolExecutor() as centre:
        is_new = is_unfinished(sample, settings)
        if is_new:
            _back_up(sample, sample.days[0])
            ingest(sample.business)
            first = centre.submit(reconcile, sample.business, day=sample.days[0])
        second_day(sample)
        _back_up(sample, sample.days[1])
        if is_new:
            first.result()
    ingest(sample.business)
    tamper(sample, places(settings), FolderVandal(Path(settings.storage) / "bucket" / f"{sample.business}-audio"))
    return str(reconcile(sample.business, day=sample.days[1])["report"])


def is_unfinished(sample: Sample, settings: Settings) -> bool:
    """Whether the last day was not reconciled yet."""
    catalog = places(settings).catalog
    return catalog.days(SUMMARY.name, sample.business, sample.reporting[0])[-1:] != [sample.days[1]]


def _back_up(sample: Sample, day: date) -> None:
    """Back up every site that reports, all at once."""
    err.print(f"[bold]{day}[/]")
    with ThreadPoolExecutor() as sites:
        for run in [sites.submit(backup, sample.business, site, day) for site in sample.reporting]:
            run.result()


def tamper(sample: Sample, places: Places, vandal: Vandal) -> None:
    """Do to the central side what the plan says: remove an object, alter one, forget a link. Twice does no more."""
    inventory = places.catalog.read(INVENTORY.name, sample.business, None, None, INVENTORY.schema)
    objects = dict(inventory.select("recording_id", object_key()).iter_rows())
    sizes = dict(inventory.select("recording_id", "size").iter_rows())
    for fault in sample.planted:
        recording_id = stable_id(sample.business, fault.site, fault.path or "")
        key = objects.get(recording_id) or ""
        if fault.kind == "recording_lost":
            vandal.remove(key)
        elif fault.kind == "content_mismatch":
            vandal.alter(key, sizes[recording_id])
        elif fault.kind == "not_indexed":
            _forget_link(sample, places, fault, recording_id)


@dataclass(frozen=True)
class FolderVandal:
    """Who damages published recordings that lie in a folder."""

    folder: Path

    def remove(self, key: str) -> None:
        """Remove an object."""
        (self.folder / key).unlink(missing_ok=True)

    def alter(self, key: str, size: int) -> None:
        """Add bytes to an object of this size, once."""
        if (self.folder / key).stat().st_size == size:
            with (self.folder / key).open("ab") as handle:
                handle.write(b"altered")


def _forget_link(sample: Sample, places: Places, fault: Planted, recording_id: str) -> None:
    known = places.index.documents(sample.business, fault.site, fault.day)
    others = pl.col("recordings").list.filter(pl.element().struct.field("recording_id") != recording_id)
    places.index.replace(sample.business, fault.site, fault.day, known.with_columns(others))


def _planted(sample: Sample, fault: Planted) -> Fault:
    if fault.kind in ("recording_missing", "call_duplicate"):
        subject = str(fault.call_id)
    elif fault.path:
        subject = stable_id(sample.business, fault.site, fault.path)
    else:
        subject = fault.subject
    return fault.kind, sample.business, fault.site, fault.day, subject


def _found(row: dict[str, Any]) -> Fault:
    """A finding by what it is about, in the words in which it was planted."""
    subject = row["recording_id"] or row["call_id"] or Path(row["subject"]).name
    if row["kind"] == "row_quarantined":
        subject = subject.replace(" line ", ":")
    if row["kind"] in ("clock_skew", "backup_overdue"):
        subject = row["site"]
    return row["kind"], row["business"], row["site"], row["day"], subject


def _healed(sample: Sample, ledger: pl.DataFrame) -> bool:
    """Whether exactly the findings of what arrived late are resolved."""
    resolved = {_found(row) for row in ledger.filter(pl.col("status") == "resolved").iter_rows(named=True)}
    return resolved == {_planted(sample, fault) for fault in sample.late}


def _a_number(settings: Settings) -> str:
    """A number that `voxkeep find` finds in the demo."""
    documents = places(settings).index.documents(settings.business, next(iter(settings.sites)), date(2021, 1, 31))
    return str(documents.filter(pl.col("recordings").list.len() > 0).sort("started_at")["callee"].drop_nulls().first())


def show_demo(demo: Demo, cluster: Path | None = None) -> None:
    """The closing table, and where to look; `cluster` is the folder of the servers it ran over, if it did."""
    counts = demo.counts()
    kinds = sorted({*counts["planted"], *counts["found"]})
    rows = [[kind, counts["planted"].get(kind, 0), counts["found"].get(kind, 0)] for kind in kinds]
    out.print(table("planted and found", ["fault", "planted", "found"], rows))
    out.print(
        f"precision {counts['precision']:.3f}, recall {counts['recall']:.3f}, {counts['seconds']} s; "
        f"the late arrival {'resolved its finding' if demo.healed else 'did NOT resolve its finding'}\n"
    )
    here = os.path.relpath(demo.home)
    lines = {
        "report": os.path.relpath(demo.report),
        "findings": os.path.relpath(demo.report.with_name("findings.xlsx")),
        "Data Docs": os.path.relpath(demo.report.parents[1] / "data-docs" / "index.html"),
        **(_on_servers(demo, cluster) if cluster else _in_folders(demo)),
        "find a call": f"{beside('voxkeep')} find {demo.a_number} --home {here}",
        "how things stand": f"{beside('voxkeep')} status --home {here}",
    }
    for name, where in lines.items():
        out.print(f"{name + ':':18}{where}", markup=False, soft_wrap=True)


def _in_folders(demo: Demo) -> dict[str, str]:
    catalog = Path(demo.settings.storage) / "catalog"
    findings = os.path.relpath(catalog / "findings" / "**" / "*.parquet")
    home = os.path.relpath(demo.home / "prefect")
    return {
        "Parquet": os.path.relpath(catalog),
        "Polars": f"{beside('python')} -c \"import polars as pl; print(pl.read_parquet('{findings}'))\"",
        "Prefect's UI": f"DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false PREFECT_HOME={home} "
        f"{beside('prefect')} server start",
    }


def _on_servers(demo: Demo, cluster: Path) -> dict[str, str]:
    return {
        "Parquet": places(demo.settings).catalog.url,
        "Prefect's UI": os.environ["PREFECT_API_URL"].removesuffix("/api"),
        "for what follows": f"set -a; . {os.path.relpath(cluster)}/env; set +a",
    }
