"""`voxkeep demo`: a sample source with planted faults, the three flows over it, and what they found of them."""

import os
import secrets
import shutil
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from blocks.catalog import Catalog
from blocks.index import CatalogIndex
from flows.backup import backup
from flows.ingest import ingest
from flows.reconciliation import reconcile
from reconcile.findings import KINDS
from reconcile.frames import FINDINGS, INVENTORY, SUMMARY
from reconcile.ids import stable_id
from reconcile.recordings import object_key
from voxkeep.apply import apply
from voxkeep.console import err, out, table
from voxkeep.sample import Planted, Sample, make_sample, sample_rules, second_day
from voxkeep.server import start_server
from voxkeep.settings import Settings, load_settings

Fault = tuple[str, str, date, str]


@dataclass(frozen=True)
class Demo:
    """What was planted, what was found, how long it took, and where things lie."""

    planted: frozenset[Fault]
    found: frozenset[Fault]
    healed: bool
    seconds: float
    report: Path
    home: Path
    storage: Path
    a_number: str

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
        started.result()
    settings = load_settings(_write_settings(sample, directory))
    apply(settings, directory / "home")
    catalog = Catalog(url=str(Path(settings.storage) / "catalog"))
    report = _run_days(sample, catalog, settings)
    ledger = catalog.read(FINDINGS.name, sample.business, None, None, FINDINGS.schema)
    return Demo(
        planted=frozenset(_planted(sample, fault) for fault in sample.planted),
        found=frozenset(_found(row) for row in ledger.iter_rows(named=True)),
        healed=_healed(sample, ledger),
        seconds=time.monotonic() - began,
        report=Path(report),
        home=directory / "home",
        storage=Path(settings.storage),
        a_number=_a_number(settings),
    )


def _write_settings(sample: Sample, directory: Path) -> Path:
    """The demo's YAML, its SQL and its password, written once."""
    password = directory / "password"
    if not password.exists():
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(secrets.token_urlsafe(24))
    shutil.copytree(_sql_folder(), directory / "sql", dirs_exist_ok=True)
    file = directory / "business.yaml"
    file.write_text(yaml.safe_dump(_settings(sample), allow_unicode=True, sort_keys=False), encoding="utf-8")
    return file


def _sql_folder() -> Path:
    """The sample's SQL: beside the packages in a checkout, inside this one when installed."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "sql" / "sample", here.parent / "sql" / "sample") if folder.is_dir())


def _settings(sample: Sample) -> dict[str, Any]:
    rules = sample_rules()
    titles = {"cq": "重庆", "bj": "北京", "sz": "深圳"}
    datasets = {name: dict(dataset) for name, dataset in rules["datasets"].items()}
    datasets["calls"]["sql"], datasets["notes"]["sql"] = "sql/calls.sql", "sql/notes.sql"
    silent = sample.sites[-1]
    sites = {
        site: {
            "title": titles[site],
            "recordings": str(sample.recordings(site)),
            "password": {"file": "password"},
            "since": sample.days[1] if site == silent else sample.days[0],
        }
        for site in sample.sites
    }
    for site in sample.sites[:-1]:
        sites[site]["database"] = {"command": ["echo", f"sqlite:///{sample.database(site)}"]}
    sites["cq"]["dropped"] = {"robot": str(sample.dropped("cq"))}
    return {
        "business": sample.business,
        "title": sample.title,
        "time_zone": sample.time_zone,
        "storage": "storage",
        "sites": sites,
        "datasets": datasets,
        "name_templates": rules["name_templates"],
    }


def _run_days(sample: Sample, catalog: Catalog, settings: Settings) -> str:
    """Run the three flows for both days, and tamper before the second is reconciled; returns the report's path.

    The sites back up the second day while the centre still reconciles the first, as they would in life.
    """
    with ThreadPoolExecutor() as centre:
        is_new = catalog.days(SUMMARY.name, sample.business, "cq")[-1:] != [sample.days[1]]
        if is_new:
            _back_up(sample, sample.days[0])
            ingest(sample.business)
            first = centre.submit(reconcile, sample.business, day=sample.days[0])
        second_day(sample)
        _back_up(sample, sample.days[1])
        if is_new:
            first.result()
    ingest(sample.business)
    tamper(sample, catalog, settings)
    return str(reconcile(sample.business, day=sample.days[1])["report"])


def _back_up(sample: Sample, day: date) -> None:
    """Back up every site that reports, all at once."""
    err.print(f"[bold]{day}[/]")
    with ThreadPoolExecutor() as sites:
        for run in [sites.submit(backup, sample.business, site, day) for site in sample.sites[:-1]]:
            run.result()


def tamper(sample: Sample, catalog: Catalog, settings: Settings) -> None:
    """Do to the central side what the plan says: remove an object, alter one, forget a link. Twice does no more."""
    storage = Path(settings.storage)
    inventory = catalog.read(INVENTORY.name, sample.business, None, None, INVENTORY.schema)
    objects = dict(inventory.select("recording_id", object_key()).iter_rows())
    sizes = dict(inventory.select("recording_id", "size").iter_rows())
    for fault in sample.planted:
        recording_id = stable_id(sample.business, fault.site, fault.path or "")
        file = storage / "bucket" / f"{sample.business}-audio" / (objects.get(recording_id) or "")
        if fault.kind == "recording_lost":
            file.unlink(missing_ok=True)
        elif fault.kind == "content_mismatch" and file.stat().st_size == sizes[recording_id]:
            with file.open("ab") as handle:
                handle.write(b"altered")
        elif fault.kind == "not_indexed":
            _forget_link(sample, storage, fault, recording_id)


def _forget_link(sample: Sample, storage: Path, fault: Planted, recording_id: str) -> None:
    index = CatalogIndex(url=str(storage / "index"))
    known = index.documents(sample.business, fault.site, fault.day)
    others = pl.col("recordings").list.filter(pl.element().struct.field("recording_id") != recording_id)
    index.replace(sample.business, fault.site, fault.day, known.with_columns(others))


def _planted(sample: Sample, fault: Planted) -> Fault:
    about_call = fault.kind in ("recording_missing", "call_duplicate")
    if about_call:
        return fault.kind, fault.site, fault.day, str(fault.call_id)
    if fault.path:
        return fault.kind, fault.site, fault.day, stable_id(sample.business, fault.site, fault.path)
    return fault.kind, fault.site, fault.day, fault.subject


def _found(row: dict[str, Any]) -> Fault:
    """A finding by what it is about, in the words in which it was planted."""
    subject = row["recording_id"] or row["call_id"] or Path(row["subject"]).name
    if row["kind"] == "row_quarantined":
        subject = subject.replace(" line ", ":")
    if row["kind"] in ("clock_skew", "backup_overdue"):
        subject = row["site"]
    return row["kind"], row["site"], row["day"], subject


def _healed(sample: Sample, ledger: pl.DataFrame) -> bool:
    """Whether exactly the findings of what arrived late are resolved."""
    resolved = {_found(row) for row in ledger.filter(pl.col("status") == "resolved").iter_rows(named=True)}
    return resolved == {_planted(sample, fault) for fault in sample.late}


def _a_number(settings: Settings) -> str:
    """A number that `voxkeep find` finds in the demo."""
    index = CatalogIndex(url=str(Path(settings.storage) / "index"))
    documents = index.documents(settings.business, "cq", date(2021, 1, 31))
    return str(documents.filter(pl.col("recordings").list.len() > 0).sort("started_at")["callee"].drop_nulls().first())


def show_demo(demo: Demo) -> None:
    """The closing table, and where to look."""
    counts = demo.counts()
    kinds = sorted({*counts["planted"], *counts["found"]})
    rows = [[kind, counts["planted"].get(kind, 0), counts["found"].get(kind, 0)] for kind in kinds]
    out.print(table("planted and found", ["fault", "planted", "found"], rows))
    out.print(
        f"precision {counts['precision']:.3f}, recall {counts['recall']:.3f}, {counts['seconds']} s; "
        f"the late arrival {'resolved its finding' if demo.healed else 'did NOT resolve its finding'}\n"
    )
    catalog = demo.storage / "catalog"
    here = os.path.relpath(demo.home)
    findings = os.path.relpath(catalog / "findings" / "**" / "*.parquet")
    lines = {
        "report": demo.report,
        "Data Docs": demo.storage / "reports" / "meituan" / "data-docs" / "index.html",
        "findings": demo.report.with_name("findings.xlsx"),
        "Parquet": catalog,
        "Polars": f"{_beside('python')} -c \"import polars as pl; print(pl.read_parquet('{findings}'))\"",
        "find a call": f"{_beside('voxkeep')} find {demo.a_number} --home {here}",
        "how things stand": f"{_beside('voxkeep')} status --home {here}",
        "Prefect's UI": f"PREFECT_HOME={here}/prefect {_beside('prefect')} server start",
    }
    for name, where in lines.items():
        shown = os.path.relpath(where) if isinstance(where, Path) else where
        out.print(f"{name + ':':18}{shown}", markup=False, soft_wrap=True)


def _beside(program: str) -> str:
    """A program of this environment, as it can be called from here."""
    mine = Path(sys.executable).with_name(program)
    found = shutil.which(program)
    return program if found and Path(found) == mine else os.path.relpath(mine)


__all__ = ["Demo", "run_demo", "show_demo", "tamper"]
