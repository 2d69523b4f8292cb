"""On demand: select → check → pack → deliver → record: what a bank has asked for, in the bank's own form.

An export is a folder below `storage/exports`: its rows are fixed there before anything is sent, so that a run which
is killed goes on with the same rows, and a part that stands there whole is never made anew. What was sent is in the
catalog (SENT), and is not sent again.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from blocks.archive import hashes, make_bag, zip_folder
from blocks.business import Business
from blocks.delivery import Delivery
from blocks.errors import PermanentError, SettingsError
from blocks.exports import export_progress
from blocks.lock import exclusive
from blocks.progress import Tell
from blocks.saved import load
from blocks.store import ObjectStore
from blocks.transcode import transcode
from flows.artifacts import show_done, show_progress
from flows.centre import Centre, load_centre
from flows.days import days_between
from flows.indexing import documents_by_day, together
from flows.on_record import on_record
from reconcile.frames import LISTING, NOTES, SENT, SUMMARY
from reconcile.pack import Pack
from reconcile.pack_files import named, parts, table
from reconcile.pack_rows import PackRows, fields_of, not_sent, pack_rows, summary_fields, with_published

# A note may be written so many days after its call.
NOTES_REACH_DAYS = 31
# So many mistakes are told in an error; --dry-run lists more.
_TOLD = 5
_LISTED = 200


@dataclass(frozen=True)
class Export:
    """One export: its folder, the pack as it was when the export began, and its period."""

    folder: Path
    pack: Pack
    business: str
    period: tuple[date, date]

    @property
    def receipt(self) -> Path:
        """What is written when everything has arrived."""
        return self.folder / "receipt.json"

    def rows(self) -> pl.DataFrame:
        """Its rows, with `part`."""
        return pl.read_parquet(self.folder / "rows.parquet")


@flow(name="export", flow_run_name="export {business} {pack} {since} {until}")
def export(
    business: str, pack: str, since: date, until: date, dry_run: bool = False, resend: bool = False
) -> dict[str, Any]:
    """Send a pack of these business days, both included, to its bank.

    `dry_run`: only say what would be sent and what breaks the bank's rules. `resend`: send again what was sent of
    just this period. A run that was killed goes on where it stopped.
    """
    settings = load(Business, business)
    wanted = _pack(settings, pack)
    delivery = load(Delivery, f"{business}--{pack}")
    centres = [load_centre(settings, name) for name in settings.sites]
    does = "check" if dry_run else "again" if resend else "send"
    on_record(business, "packs", pack, do=does, since=str(since), until=str(until))
    with (
        exclusive(settings.lock(f"export-{pack}"), f"export {business}/{pack}"),
        export_progress(Path(settings.storage), business, pack, (since, until)).telling(does) as (tell, outcome),
    ):
        known = [_read_export(folder) for folder in _folders(settings, wanted, since, until)]
        if resend:
            again = [_send_again(export, delivery) for export in known if export.receipt.is_file()]
            outcome.update(_told(wanted, again))
            return outcome
        begun = [export for export in known if not export.receipt.is_file()]
        if not begun or dry_run:
            tell("select", 0, 1)
            made = select(centres, wanted, since, until)
            if dry_run:
                outcome.update(_would_send(wanted, made))
                return outcome
            _refuse_problems(wanted, made)
            begun = _begin(settings, wanted, (since, until), made, len(known))
        outcome.update(_told(wanted, [send(export, centres, delivery, tell) for export in begun]))
        return outcome


def _pack(settings: Business, pack: str) -> Pack:
    if pack not in settings.packs:
        raise SettingsError(
            operation=f"export {settings.business}/{pack}",
            subject=pack,
            cause=f"{settings.business} has the packs {', '.join(settings.packs) or '(none)'}",
            remedy="name one of them, or name its YAML under `packs` in the settings and apply them",
        )
    return Pack.model_validate(settings.packs[pack])


def _folders(settings: Business, pack: Pack, since: date, until: date) -> list[Path]:
    """The exports of just this period, in their order; later ones hold what arrived late."""
    return sorted(settings.exports(pack.pack).glob(f"{since}--{until}.[0-9][0-9][0-9]"))


def _read_export(folder: Path) -> Export:
    plan = json.loads((folder / "plan.json").read_text())
    period = (date.fromisoformat(plan["since"]), date.fromisoformat(plan["until"]))
    return Export(folder, Pack.model_validate(plan["pack"]), plan["business"], period)


@task(name="select", cache_policy=NO_CACHE)
def select(centres: list[Centre], pack: Pack, since: date, until: date) -> PackRows:
    """The rows of these days that were not sent before, and what breaks the bank's rules."""
    days = days_between(since, until)
    zone = centres[0].rules.time_zone
    if pack.rows == "summary":
        return pack_rows(pack, summary_fields(pack, pl.concat([c.read(SUMMARY, days) for c in centres])), zone)
    fields = pl.concat([part for centre in centres for part in _fields(centre, pack, days)])
    sent = pl.concat([centre.read(SENT, days) for centre in centres])
    return pack_rows(pack, not_sent(fields, sent, pack.pack), zone)


def _fields(centre: Centre, pack: Pack, days: list[date]) -> Iterator[pl.DataFrame]:
    """What the rows of one site are made of, some days at a time."""
    if pack.rows == "notes":
        reach = days_between(days[0] - timedelta(days=NOTES_REACH_DAYS), days[-1])
        documents = pl.concat([found for some in together(reach) for _, found in documents_by_day(centre, some)])
        yield fields_of(pack, documents, centre.read(NOTES, days), centre.rules)
        return
    for some in together(days):
        documents = pl.concat([found for _, found in documents_by_day(centre, some)])
        fields = fields_of(pack, documents, NOTES.empty(), centre.rules)
        yield with_published(fields, _listing(centre.store, fields)) if pack.rows == "recordings" else fields


def _listing(store: ObjectStore, fields: pl.DataFrame) -> pl.DataFrame:
    """LISTING of the days of which there are recordings."""
    days = fields["key"].drop_nulls().str.split("/").list.first().unique().sort()
    return pl.concat([LISTING.empty(), *(store.listing(f"{day}/") for day in days)])


def _would_send(pack: Pack, made: PackRows) -> dict[str, Any]:
    cut = list(parts(made.rows, pack.split))
    return {
        "pack": pack.pack,
        "rows": made.rows.height,
        "recordings": made.rows["key"].drop_nulls().len() if pack.recordings else 0,
        "bytes": int(made.rows["size"].sum()) if pack.recordings else 0,
        "parts": len(cut) if made.rows.height else 0,
        "problems": made.problems.height,
        "broken_rules": [
            f"row {row['row']}, call {row['call_id'] or 'none'}, {row['column']}: {row['rule']}"
            for row in made.problems.head(_LISTED).iter_rows(named=True)
        ],
    }


def _refuse_problems(pack: Pack, made: PackRows) -> None:
    """Nothing is written while a row breaks one of the bank's rules.

    Raises:
        PermanentError: one does.
    """
    if made.problems.is_empty():
        return
    told = _would_send(pack, made)["broken_rules"][:_TOLD]
    rows = made.problems["row"].n_unique()
    raise PermanentError(
        operation="export a pack",
        subject=pack.pack,
        cause=f"{rows} of {made.rows.height} rows break the bank's rules: {'; '.join(told)}",
        remedy="mend the data or the pack; `--dry-run` lists what is wrong; nothing was written",
    )


def _begin(settings: Business, pack: Pack, period: tuple[date, date], made: PackRows, known: int) -> list[Export]:
    """The new export, its rows and parts fixed for good; none where there is nothing to send."""
    if made.rows.is_empty() or (pack.rows == "summary" and known):
        get_run_logger().info("%s: nothing that was not sent before", pack.pack)
        return []
    folder = settings.exports(pack.pack) / f"{period[0]}--{period[1]}.{known + 1:03}"
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    cut = enumerate(parts(made.rows, pack.split), 1)
    numbered = [rows.with_columns(pl.lit(number, pl.Int32).alias("part")) for number, rows in cut]
    pl.concat(numbered).write_parquet(aside / "rows.parquet")
    plan = {
        "business": settings.business, "since": str(period[0]), "until": str(period[1]),
        "pack": pack.model_dump(mode="json"),
    }  # fmt: skip
    (aside / "plan.json").write_text(json.dumps(plan, ensure_ascii=False, indent=1))
    aside.rename(folder)
    return [_read_export(folder)]


@task(name="send", cache_policy=NO_CACHE)
def send(export: Export, centres: list[Centre], delivery: Delivery, tell: Tell) -> dict[str, Any]:
    """Make, deliver and record each part that was not recorded yet; returns the receipt."""
    rows = export.rows()
    numbers = rows["part"].unique().sort().to_list()
    move = show_progress(f"{export.business}-{export.pack.pack}")
    done = []
    for number in numbers:
        tell("send", number - 1, len(numbers))
        record = export.folder / f"{number:03}.json"
        if not record.is_file():
            part = _made(export, rows.filter(pl.col("part") == number), number, centres[0].store, delivery)
            arrived = _deliver(export, part, delivery)
            _record(export, rows.filter(pl.col("part") == number), number, centres)
            _write(record, arrived | {"part": number})
        done.append(json.loads(record.read_text()))
        move(number / len(numbers), f"part {number} of {len(numbers)}")
    _write(export.receipt, _receipt(export, rows, done, delivery))
    return dict(json.loads(export.receipt.read_text()))


def _made(export: Export, rows: pl.DataFrame, number: int, store: ObjectStore, delivery: Delivery) -> Path:
    """The folder of the part: its ZIP file, or its files; one that stands there is whole."""
    pack, target = export.pack, export.folder / f"{number:03}"
    if target.exists():
        return target
    shutil.rmtree(work := export.folder / f".{number:03}.part", ignore_errors=True)
    zip_name = named(pack.zip, pack.pack, export.business, export.period, number) if pack.zip else None
    root = work / "files" / Path(zip_name).stem if zip_name and pack.bagit else work / "files"
    data = root / "data" if pack.bagit else root
    data.mkdir(parents=True)
    name = named(pack.file.name, pack.pack, export.business, export.period, number)
    (data / name).write_bytes(table(pack, rows, export.period[1]))
    for row in rows.iter_rows(named=True) if pack.recordings else []:
        _fetch(store, row, data / row["file"], pack)
    if pack.bagit:
        info = {
            "Source-Organization": export.business, "External-Identifier": f"{pack.pack} {export.folder.name}",
            "Bagging-Date": str(export.period[1]), "Payload-Oxum": _oxum(data),
        }  # fmt: skip
        make_bag(root, info)
    if zip_name:
        (work / "zip").mkdir()
        zip_folder(work / "files", work / "zip" / zip_name, export.period[1], delivery.zip_password)
    (work / ("zip" if zip_name else "files")).rename(target)
    shutil.rmtree(work, ignore_errors=True)
    return target


def _oxum(data: Path) -> str:
    """Bytes and files of a bag, as RFC 8493 (2.2.2) counts them."""
    sizes = [file.stat().st_size for file in data.rglob("*") if file.is_file()]
    return f"{sum(sizes)}.{len(sizes)}"


def _fetch(store: ObjectStore, row: dict[str, Any], target: Path, pack: Pack) -> None:
    """The recording, its bytes proved, as it is or as a copy in the bank's form."""
    store.download(row["key"], target)
    [(_, _, sha256)] = hashes(target)
    if sha256 != row["sha256"]:
        raise PermanentError(
            operation="export a pack",
            subject=f"{pack.pack}: object {row['key']}",
            cause="its bytes are not those of the recording",
            remedy="reconcile the day: the finding tells where the good copy lies; nothing of this part was sent",
        )
    form = pack.recordings.format if pack.recordings else "original"
    if form != "original":
        original = target.rename(target.with_name(f".{target.name}.original"))
        transcode(original, Path(row["key"]).suffix.lstrip("."), target, form)
        original.unlink()


def _deliver(export: Export, part: Path, delivery: Delivery) -> dict[str, Any]:
    """Every file of the part's folder, where it arrived, and its hash."""
    files = []
    for file, size, sha256 in hashes(part):
        name = str(file.relative_to(part))
        files.append({"name": name, "bytes": size, "sha256": sha256, "at": delivery.put(file, name)})
    get_run_logger().info("%s: %d files of %s delivered", export.pack.pack, len(files), export.folder.name)
    return {"files": files, "sent_at": datetime.now(UTC).isoformat(timespec="seconds")}


def _record(export: Export, rows: pl.DataFrame, number: int, centres: list[Centre]) -> None:
    """Remember (SENT) that these rows have arrived."""
    sent = rows.filter(pl.col("row_uid").is_not_null()).select(
        "business", "site", "day", pl.lit(export.pack.pack).alias("pack"), "row_uid", "call_uid",
        pl.lit(export.folder.name).alias("export"), pl.lit(number, pl.Int32).alias("part"),
        pl.lit(datetime.now(UTC)).cast(SENT.schema["sent_at"]).alias("sent_at"),
    )  # fmt: skip
    for (site, day), some in sent.group_by("site", "day"):
        centre = next(centre for centre in centres if centre.site == site)
        known = centre.read(SENT, [day])
        centre.write(SENT, day, pl.concat([known, not_sent(some, known, export.pack.pack)]).sort("pack", "row_uid"))


def _receipt(export: Export, rows: pl.DataFrame, done: list[dict[str, Any]], delivery: Delivery) -> dict[str, Any]:
    return {
        "business": export.business,
        "pack": export.pack.pack,
        "title": export.pack.title,
        "since": str(export.period[0]),
        "until": str(export.period[1]),
        "rows": rows.height,
        "recordings": rows["key"].drop_nulls().len() if export.pack.recordings else 0,
        "delivered_to": delivery.shown() if delivery.url else str(export.folder),
        "parts": done,
    }


def _send_again(export: Export, delivery: Delivery) -> dict[str, Any]:
    """Deliver the very files of a finished export once more; the receipt is added to, never replaced."""
    receipt = dict(json.loads(export.receipt.read_text()))
    for part in receipt["parts"]:
        again = _deliver(export, export.folder / f"{part['part']:03}", delivery)
        part.setdefault("sent_again", []).append(again["sent_at"])
    _write(export.receipt, receipt)
    return receipt


def _write(file: Path, content: dict[str, Any]) -> None:
    aside = file.with_name(f".{file.name}.part")
    aside.write_text(json.dumps(content, ensure_ascii=False, indent=1))
    aside.replace(file)


def _told(pack: Pack, receipts: list[dict[str, Any]]) -> dict[str, Any]:
    """What a run did, in figures."""
    done = {
        "pack": pack.pack,
        "rows": sum(receipt["rows"] for receipt in receipts),
        "recordings": sum(receipt["recordings"] for receipt in receipts),
        "parts": sum(len(receipt["parts"]) for receipt in receipts),
        "delivered_to": receipts[0]["delivered_to"] if receipts else "nothing that was not sent before",
    }
    show_done("export", receipts[0]["business"] if receipts else pack.pack, done)
    return done
