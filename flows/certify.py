"""On demand: the signed certificate of what a business kept in a period."""

import json
import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from blocks.business import Business
from blocks.errors import SettingsError
from blocks.saved import load
from blocks.signing import Signer
from flows.artifacts import show_done
from flows.centre import Centre, load_centre
from flows.days import days_between, today
from reconcile.certificate import Kept, Period, certificate, recordings_csv
from reconcile.frames import FINDINGS, SNAPSHOTS, SUMMARY, TRACE, WAIVERS
from reconcile.report import render_certificate


@flow(name="certify", flow_run_name="certify {business} {since} {until}")
def certify(business: str, since: date, until: date) -> dict[str, Any]:
    """Issue the completeness certificate of these business days, both included.

    It stands in a folder of its own below the business's reports; one that was issued is never changed.
    """
    settings = load(Business, business)
    now = datetime.now(UTC)
    centres = [load_centre(settings, name) for name in settings.sites]
    zone = centres[0].rules.time_zone
    _refuse_open_period(business, since, until, today(now, zone))
    signer = _signer(business)
    period = Period(
        business, settings.title, tuple(settings.sites), since, until, zone, settings.coverage_target
    )  # fmt: skip
    folder = issue(settings, centres, period, signer, now)
    certified = json.loads((folder / "certificate.json").read_bytes())
    done = {
        "business": business,
        "complete": certified["complete"],
        "coverage": certified["coverage"],
        "recordings": certified["hashes"]["count"],
        "open_findings": certified["open_findings"]["total"],
        "folder": str(folder),
    }
    show_done("certify", business, done)
    return done


def _refuse_open_period(business: str, since: date, until: date, now: date) -> None:
    if since <= until < now:
        return
    raise SettingsError(
        operation="issue a certificate",
        subject=f"{business}, {since} to {until}",
        cause="the period ends before it begins" if until < since else "its last day is not over yet",
        remedy="name a period of whole days that lie behind us",
    )


def _signer(business: str) -> Signer:
    try:
        return load(Signer, business)
    except SettingsError:
        raise SettingsError(
            operation="issue a certificate",
            subject=business,
            cause="there is no key to sign it with",
            remedy="make one with `openssl genpkey -algorithm ed25519 -out key.pem`, name it in the settings as "
            "`certificate_key`, and apply them",
        ) from None


@task(name="certificate", cache_policy=NO_CACHE)
def issue(settings: Business, centres: list[Centre], period: Period, signer: Signer, now: datetime) -> Path:
    """The folder with certificate, signature, public key, list of recordings, and a page for people."""
    folder = settings.reports() / "certificates" / f"{period.since}--{period.until}--issued-{now:%Y%m%dT%H%M%SZ}"
    return write_whole(folder, files_of(period, _kept(centres, period), signer, now))


def files_of(period: Period, kept: Kept, signer: Signer, now: datetime) -> dict[str, bytes]:
    """What is issued, by file name."""
    recordings = recordings_csv(kept.trace)
    certified = certificate(period, kept, recordings, now)
    content = (json.dumps(certified, ensure_ascii=False, indent=1) + "\n").encode()
    return {
        "certificate.json": content,
        "certificate.json.sig": signer.sign(content),
        "public-key.pem": signer.public_key(),
        "recordings.csv": recordings,
        "certificate.html": render_certificate(certified).encode(),
    }


def _kept(centres: list[Centre], period: Period) -> Kept:
    """What the catalog holds of the period; a later snapshot may cover its last days."""
    days = days_between(period.since, period.until)
    behind = days_between(period.since, period.until + timedelta(days=centres[0].business.lookback_days))
    scans = [
        centre.catalog.scan(TRACE.name, period.business, centre.site, days, TRACE.schema) for centre in centres
    ]  # fmt: skip
    return Kept(
        pl.concat(scans),
        *(
            pl.concat([centre.read(frame, wanted) for centre in centres])
            for frame, wanted in ((SUMMARY, days), (SNAPSHOTS, behind), (FINDINGS, days), (WAIVERS, days))
        ),
    )


def write_whole(folder: Path, files: dict[str, bytes]) -> Path:
    """All files or none: a folder that a killed run left half-written is not there."""
    if folder.exists():
        return folder
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, content in files.items():
        with (part / name).open("wb") as file:
            file.write(content)
            os.fsync(file.fileno())
    part.rename(folder)
    return folder
