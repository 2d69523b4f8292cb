"""A snapshot's own files without one person's rows: extracts, ready-made files, inventory.

restic can leave files out of a snapshot, but not change them. So a file that holds the person's rows is left out, and
the same file without them lies in a small snapshot beside it, whose tag `completes=<time>` says of which snapshot.
"""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from blocks.business import SAMPLE
from flows.centre import Centre
from reconcile.calls import read_calls, read_notes
from reconcile.encodings import decode
from reconcile.erasure import erased_anywhere, without_erased, without_records
from reconcile.recordings import name_files
from reconcile.rules import DatasetRules
from reconcile.subjects import Subject, calls_of, mentions, notes_of, recordings_of
from reconcile.tables import Table, read_table

# The files of a staging folder that name recordings, a row each, with path and mtime.
_LISTS = ("inventory.parquet", SAMPLE)


@dataclass(frozen=True)
class Person:
    """Whose rows and recordings are to go: what was asked for, what the catalog knew of it, and what was ERASED."""

    subject: Subject
    call_ids: frozenset[str]
    note_uids: frozenset[str]
    recording_ids: frozenset[str]
    erased: pl.DataFrame = field(repr=False)


@dataclass(frozen=True)
class Cleaned:
    """What was found in a staging folder: the names of the files with the person's rows, paths of recordings."""

    files: tuple[str, ...]
    paths: frozenset[str]


def clean(centre: Centre, folder: Path, person: Person) -> Cleaned:
    """Take the person's rows out of the files in `folder`, a staging folder; which ones those were."""
    listed = {name: _clean_list(centre, folder / name, person) for name in _LISTS if (folder / name).is_file()}
    paths = frozenset(path for found in listed.values() for path in found)
    changed = [name for name, found in listed.items() if found]
    changed += [
        str(file.relative_to(folder))
        for file in sorted([*folder.glob("extracts/*/*.csv"), *folder.glob("dropped/*/*")])
        if not file.name.endswith("datapackage.json") and _clean_rows(centre, folder, file, person)
    ]
    return Cleaned((*changed, *_tell_anew(folder, changed)), paths)


def _clean_list(centre: Centre, file: Path, person: Person) -> frozenset[str]:
    """Take the person's recordings out of a list of files; their paths."""
    rows = pl.read_parquet(file)
    business, site = centre.business.business, centre.site
    named = name_files(rows.select("path", "mtime"), business=business, site=site, rules=centre.rules)
    of_subject = recordings_of(named.lazy(), person.subject, centre.rules.numbers).select("recording_id").collect()
    kept = without_erased(named, "recording", person.erased)["recording_id"]
    ids = person.recording_ids | set(of_subject["recording_id"])
    is_gone = named["recording_id"].is_in(list(ids)) | ~named["recording_id"].is_in(kept.implode())
    if is_gone.any():
        rows.filter(~is_gone).write_parquet(file, compression="zstd", statistics=True)
    return frozenset(rows.filter(is_gone)["path"])


def _clean_rows(centre: Centre, folder: Path, file: Path, person: Person) -> bool:
    """Take the person's rows out of one file; whether there were any."""
    rules = centre.rules.datasets.get(file.parent.name)
    if rules is None:
        return False
    table = read_table(file, header=rules.header)
    gone = _rows_of_person(centre, folder, file, table, rules, person)
    if not gone:
        return False
    if table.encoding == "parquet":
        pl.read_parquet(file).filter(~pl.int_range(1, pl.len() + 1).is_in(sorted(gone))).write_parquet(file)
        return True
    data = file.read_bytes()
    text = decode(data)
    # A file of two-byte characters cannot be cut by its bytes: it becomes UTF-8.
    data = text.data if table.encoding.startswith("utf-16") else data
    begins = [*table.rows["source_row"], *table.quarantined["source_row"]]
    file.write_bytes(without_records(data, begins, gone, text.line_end))
    return True


def _rows_of_person(  # one file, as ingest reads it
    centre: Centre, folder: Path, file: Path, table: Table, rules: DatasetRules, person: Person
) -> set[int]:
    """The lines on which rows of the person begin."""
    is_notes, name = rules.kind == "notes", str(file.relative_to(folder))
    read: Any = read_notes if is_notes else read_calls
    day = date.fromisoformat(file.stem) if name.startswith("extracts/") else None
    rows, set_aside = read(
        table, business=centre.business.business, site=centre.site, dataset=file.parent.name, rules=rules,
        time_zone=centre.rules.time_zone, source_file=name, day=day,
    )  # fmt: skip
    themselves = (
        notes_of(rows.lazy(), person.subject)
        if is_notes
        else calls_of(rows.lazy(), person.subject, centre.rules.numbers)
    )
    calls = rows.select("call_id").drop_nulls().unique()
    call_ids = person.call_ids | erased_anywhere(calls, "call", person.erased)
    ours = pl.col("call_id").is_in(list(call_ids)).fill_null(value=False)
    if is_notes:
        ours |= pl.col("note_uid").is_in(list(person.note_uids))
    found = set(rows.filter(ours)["source_row"]) | set(themselves.select("source_row").collect()["source_row"])
    is_mentioned = mentions(set_aside["raw"], person.subject, centre.rules.numbers)
    return found | set(set_aside.filter(is_mentioned)["source_row"])


def _tell_anew(folder: Path, changed: list[str]) -> list[str]:
    """Have the data packages say what the changed files hold now; the names of those that were changed, too."""
    told = []
    for package in sorted(folder.rglob("*datapackage.json")):
        said = json.loads(package.read_bytes())
        mine = [
            found
            for found in said.get("resources", [])
            if str((package.parent / found["path"]).relative_to(folder)) in changed
        ]
        for found in mine:
            content = (package.parent / found["path"]).read_bytes()
            table = read_table(package.parent / found["path"])
            found |= {"bytes": len(content), "hash": f"sha256:{hashlib.sha256(content).hexdigest()}"}
            found |= {"rows": table.rows_in}
        if mine:
            package.write_text(json.dumps(said, ensure_ascii=False, indent=2) + "\n")
            told.append(str(package.relative_to(folder)))
    return told
