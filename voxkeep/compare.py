"""`voxkeep compare`: the engine alone, on files that a user already has."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from blocks.disk import read_files, scan
from blocks.errors import SettingsError
from reconcile.calls import read_calls
from reconcile.findings import (
    KINDS,
    collect_findings,
    in_trace,
    quarantined_rows,
    repeated_calls,
    skewed_clocks,
)
from reconcile.frames import CALLS, DISK_FILES, EXTRACTS, INVENTORY, NOTES, QUARANTINE, SNAPSHOTS, WAIVERS, conform
from reconcile.presets import preset
from reconcile.recordings import name_files
from reconcile.report import ReportData, findings_csv, render_page, with_age
from reconcile.rules import ColumnMap, DatasetRules, Rules
from reconcile.summary import durations, file_types, summarise
from reconcile.tables import read_table
from reconcile.text import filled
from reconcile.trace import Stations, trace
from voxkeep.console import out, table
from voxkeep.settings import load_rules as read_rules

BUSINESS, SITE, DATASET = "local", "local", "calls"
COVERAGES = ("complete", "partial", "missing", "excluded")


@dataclass(frozen=True)
class Compared:
    """What the comparison found: the trace, findings and summary, where they were written, and what may be amiss."""

    trace: pl.DataFrame
    findings: pl.DataFrame
    summary: pl.DataFrame
    out: Path
    hints: tuple[str, ...] = ()

    def counts(self) -> dict[str, Any]:
        """The comparison as one plain object."""
        total = self.summary.select(pl.col("calls", "recordings", "rows_in", "rows_quarantined", *COVERAGES).sum()).row(
            0, named=True
        )
        kinds = dict(self.findings["kind"].value_counts().sort("kind").iter_rows())
        return {
            "calls": total["calls"],
            "recordings": total["recordings"],
            "coverage": {name: total[name] for name in COVERAGES},
            "findings": {kind.name: kinds[kind.name] for kind in KINDS if kind.name in kinds},
            "rows": {"in": total["rows_in"], "quarantined": total["rows_quarantined"]},
        }

    def complete(self) -> bool:
        """Whether there is no finding of severity major or above."""
        return self.findings.filter(pl.col("severity").is_in(["critical", "major"])).is_empty()


def load_rules(rules_file: Path | None, preset_name: str | None, mapping: str | None) -> Rules:
    """The rules by file or preset, with the column map on top of either.

    Raises:
        SettingsError: the file or the map cannot be read.
    """
    rules = preset(preset_name) if preset_name else Rules()
    if rules_file:
        rules = read_rules(rules_file)
    if not mapping:
        return rules
    dataset = rules.datasets.get(DATASET, DatasetRules())
    columns = ColumnMap.model_validate(dataset.columns.model_dump() | _mapping(mapping))
    return rules.model_copy(
        update={"datasets": rules.datasets | {DATASET: dataset.model_copy(update={"columns": columns})}}
    )


def _mapping(text: str) -> dict[str, str]:
    """`call_id=uniqueid,started_at=start` as a mapping of our columns to the file's."""
    pairs = dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)
    unknown = [name for name in pairs if name not in ColumnMap.model_fields]
    if unknown or len(pairs) != len(text.split(",")):
        raise SettingsError(
            operation="read --map",
            subject=text,
            cause=f"there is no column {unknown[0]}" if unknown else "a part is not of the form column=source",
            remedy=f"write column=source, separated by commas, with a column of {', '.join(ColumnMap.model_fields)}",
        )
    return pairs


def compare(calls: list[Path], recordings: Path, rules: Rules, target: Path) -> Compared:
    """Trace these calls against these recordings, and write what was found to `target`.

    Calls and recordings are read side by side, and the trace is written while the findings are made.
    """
    now = datetime.now(UTC)
    with ThreadPoolExecutor(1) as aside:
        reading = aside.submit(read_recordings, recordings, rules, now)
        rows, quarantine, extracts = _read_all_calls(calls, recordings, rules)
        inventory = reading.result()
        _refuse_unknown_columns(rows, calls, rules)
        traced = trace(rows.lazy(), inventory.lazy(), Stations(), rules)
        whole = traced.trace.collect()
        target.mkdir(parents=True, exist_ok=True)
        writing = aside.submit(_write_frame, whole, target / "trace.parquet")
        findings = collect_findings(
            [
                in_trace(whole.lazy(), rules.matching),
                repeated_calls(rows.lazy()),
                quarantined_rows(quarantine.lazy()),
                skewed_clocks(traced.clock, BUSINESS, rules.matching),
            ],
            now.date(),
        )
        summary = summarise(
            whole.lazy(),
            calls=rows.lazy(),
            notes=NOTES.empty().lazy(),
            extracts=extracts.lazy(),
            findings=findings.lazy(),
        )
        compared = Compared(whole, findings, summary, target, tuple(_hints(whole, quarantine, rules)))
        _write(compared, rules, calls, recordings, now)
        writing.result()
    return compared


def read_recordings(recordings: Path, rules: Rules, now: datetime) -> pl.DataFrame:
    """INVENTORY of a folder, or of a Parquet manifest with at least the column `path`."""
    if recordings.is_dir():
        files = scan(recordings).files
        read = read_files(recordings, files, cache=None, now=now, quiet_period_seconds=0)
    elif recordings.is_file():
        read = _manifest(recordings, now)
    else:
        raise SettingsError(
            operation="read the recordings",
            subject=str(recordings),
            cause="there is no such folder or file",
            remedy="name a folder of recordings, or a Parquet file with a column `path`",
        )
    named = name_files(read, business=BUSINESS, site=SITE, rules=rules)
    return conform(named, INVENTORY)


def _manifest(file: Path, now: datetime) -> pl.DataFrame:
    """DISK_FILES from a Parquet file; columns that it lacks are null, or what they are for a file at rest."""
    try:
        given = pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SettingsError(
            operation="read the recordings",
            subject=str(file),
            cause=f"it is no Parquet file: {error}",
            remedy="name a folder of recordings, or a Parquet file with a column `path`",
        ) from None
    if "path" not in given.columns:
        raise SettingsError(
            operation="read the recordings",
            subject=str(file),
            cause=f"it has no column path, only {', '.join(given.columns)}",
            remedy="rename the column that holds the recordings' paths to `path`",
        )
    defaults = {"size": 0, "mtime": now, "state": "ok"}
    columns = [
        (pl.col(name) if name in given.columns else pl.lit(defaults.get(name))).cast(column.dtype).alias(name)
        for name, column in DISK_FILES.columns.items()
    ]
    return given.select(columns)


def _read_all_calls(
    files: list[Path], recordings: Path, rules: Rules
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    dataset = rules.datasets.get(DATASET, DatasetRules())
    if dataset.path_prefix is None and recordings.is_dir():
        dataset = dataset.model_copy(update={"path_prefix": f"{recordings.resolve()}/"})
    calls, quarantine, extracts = [CALLS.empty()], [QUARANTINE.empty()], [EXTRACTS.empty()]
    for file in files:
        table = read_table(file, header=dataset.header)
        rows, set_aside = read_calls(
            table,
            business=BUSINESS,
            site=SITE,
            dataset=DATASET,
            rules=dataset,
            time_zone=rules.time_zone,
            source_file=file.name,
        )
        calls.append(rows)
        quarantine.append(set_aside)
        extracts.append(_extract(file, rows.height, set_aside.height))
    return pl.concat(calls), pl.concat(quarantine), pl.concat(extracts)


def _refuse_unknown_columns(rows: pl.DataFrame, files: list[Path], rules: Rules) -> None:
    """Say so where nothing in the rows could ever tie a call to a recording; it would all be reported missing."""
    useful = ("recording_path", "started_at")
    by_id = any("{call_id}" in template for template in rules.name_templates)
    if rows.is_empty() or by_id or any(rows[name].null_count() < rows.height for name in useful):
        return
    raise SettingsError(
        operation="read the calls",
        subject=", ".join(map(str, files)),
        cause="no column is known as the recording's path or the call's start",
        remedy="name them, e.g. --map recording_path=file,call_id=id,started_at=start",
    )


def _hints(found: pl.DataFrame, quarantine: pl.DataFrame, rules: Rules) -> Iterator[str]:
    """What a person should look at first where the files seem to be read by the wrong rules."""
    calls, on_site, together = found.select(
        pl.col("called").sum(),
        pl.col("on_site").sum().alias("files"),
        (pl.col("called") & pl.col("on_site")).sum().alias("both"),
    ).row(0)
    if quarantine.height and not calls:
        first = quarantine.row(0, named=True)
        yield (
            f"no row of the calls could be read; line {first['source_row']}: {first['reason']}. If they are laid out "
            "otherwise, name another --preset, or the columns with --map"
        )
    elif calls and on_site and 2 * together < on_site and not rules.name_templates:
        yield (
            "most recordings belong to no call, and what their names say was not read: give name_templates with "
            "--rules, if the rows do not name the files by their path"
        )

    expects = rules.datasets.get(DATASET, DatasetRules()).expects_recording
    silent = found.filter((pl.col("coverage") == "missing") & (pl.col("talk_seconds") < 1)).height
    if silent and expects.min_talk_seconds is None:
        yield (
            f"of {silent:,} calls that are missing a recording nobody talked for a second; if such need none, say "
            "expects_recording: {min_talk_seconds: 1} of the dataset calls in --rules"
        )


def _extract(file: Path, ok: int, set_aside: int) -> pl.DataFrame:
    """EXTRACTS of one file, of no particular day."""
    row = {
        "business": BUSINESS,
        "site": SITE,
        "day": None,
        "dataset": DATASET,
        "source_file": file.name,
        "rows_in": ok + set_aside,
        "rows_ok": ok,
        "rows_quarantined": set_aside,
        "bytes": file.stat().st_size,
        "sha256": "",
    }
    return pl.DataFrame([row], schema=EXTRACTS.schema)


def _write_frame(rows: pl.DataFrame, file: Path) -> None:
    # Level 1 takes half the time of the usual 3 and makes a trace, which is mostly hashes, no larger. Of hashes no
    # reader wants the smallest and the largest, either.
    rows.write_parquet(file, compression="zstd", compression_level=1, statistics=False)


def _write(compared: Compared, rules: Rules, calls: list[Path], recordings: Path, now: datetime) -> None:
    """All but the trace."""
    out = compared.out
    types, lengths = file_types(compared.trace.lazy()), durations(compared.trace.lazy())
    _write_frame(compared.findings, out / "findings.parquet")
    _write_frame(compared.summary, out / "summary.parquet")
    _write_frame(types, out / "file_types.parquet")
    _write_frame(lengths, out / "durations.parquet")
    (out / "findings.csv").write_bytes(findings_csv(with_age(compared.findings, now.date())))
    days: list[date] = compared.summary["day"].drop_nulls().unique().sort().to_list()
    data = ReportData(
        business=BUSINESS,
        title=f"{', '.join(file.name for file in calls)} / {recordings}",
        as_of=now.date(),
        generated_at=now,
        time_zone=rules.time_zone,
        days=tuple(days),
        summary=compared.summary,
        file_types=types,
        durations=lengths,
        findings=compared.findings,
        waivers=WAIVERS.empty(),
        snapshots=SNAPSHOTS.empty(),
        sites=((SITE, ""),),
        links={"csv": "findings.csv"},
        is_daily=False,
    )
    (out / "report.html").write_text(render_page(data, "zh"), encoding="utf-8")


def _causes(findings: pl.DataFrame) -> dict[str, str]:
    """The causes of each kind's findings, as far as they are known, with how many have each."""
    counted = findings.drop_nulls("cause").group_by("kind", "cause").len().sort("kind", "len", "cause")
    told = counted.select("kind", filled("{} ({})", "cause", pl.col("len").cast(pl.String)).alias("told"))
    return dict(told.group_by("kind").agg(pl.col("told").str.join(", ")).iter_rows())


def show(compared: Compared) -> None:
    """The result as tables, and where the rest lies."""
    counts = compared.counts()
    out.print(table("calls by coverage", ["coverage", "calls"], [[name, n] for name, n in counts["coverage"].items()]))
    out.print()
    severities = {kind.name: kind.severity for kind in KINDS}
    causes = _causes(compared.findings)
    rows = [[kind, severities[kind], n, causes.get(kind, "")] for kind, n in counts["findings"].items()]
    if rows:
        out.print(table("findings", ["kind", "severity", "findings", "cause"], rows))
    else:
        out.print("no findings")
    for hint in compared.hints:
        out.print(f"\n{hint}", markup=False, style="yellow")
    rows_aside = counts["rows"]["quarantined"]
    out.print(f"\n{counts['calls']:,} calls, {counts['recordings']:,} recordings, {rows_aside:,} rows set aside")
    out.print(f"report: {compared.out / 'report.html'}", markup=False, soft_wrap=True)
