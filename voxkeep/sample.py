"""The sample source of `voxkeep demo`: two business days of a call centre, with faults of every kind planted.

`make_sample` writes the first day, `second_day` the second and what arrives late. Both may be repeated, also
after they were killed: whatever is there is whole, and stays as it is. Below the folder lie

    source/<site>/recordings/…   the recordings, as the PBX names them
    source/<site>/calls.db       the SQLite database of the telephone system
    source/<site>/dropped/       ready-made CSV files of another system

The site sz never reports: it has no folder.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from voxkeep.sample_calls import DAYS
from voxkeep.sample_files import NAME_TEMPLATES, TIME_ZONE, AudioFile
from voxkeep.sample_plan import REPORTING_SITES, SILENT_SITE, Part, Planted, plan
from voxkeep.sample_rows import RECORDINGS_AT_SOURCE, append_rows, create_database

__all__ = ["Planted", "Sample", "late_arrival", "make_sample", "sample_rules", "second_day"]

_MARK = "sample.json"


@dataclass(frozen=True)
class Sample:
    """A sample source: where it lies, what was planted in it, and what of it the late arrivals heal.

    `planted` covers both days. The faults recording_lost, content_mismatch and not_indexed are victims only:
    whoever has published the recordings does the tampering.
    """

    root: Path
    calls: int
    seed: int
    planted: tuple[Planted, ...]
    late: tuple[Planted, ...]
    business: str = "meituan"
    title: str = "美团催收"
    time_zone: str = TIME_ZONE
    sites: tuple[str, ...] = (*REPORTING_SITES, SILENT_SITE)
    days: tuple[date, date] = DAYS

    @property
    def reporting(self) -> tuple[str, ...]:
        """The sites that have anything to back up."""
        return tuple(site for site in self.sites if site in REPORTING_SITES)

    def source(self, site: str) -> Path:
        """The folder of a site."""
        return self.root / "source" / site

    def recordings(self, site: str) -> Path:
        """The root of a site's recordings."""
        return self.source(site) / "recordings"

    def database(self, site: str) -> Path:
        """The call database of a site."""
        return self.source(site) / "calls.db"

    def dropped(self, site: str) -> Path:
        """The folder where another system drops its files at a site."""
        return self.source(site) / "dropped"


def make_sample(root: Path, *, calls: int = 300, seed: int = 20210131) -> Sample:
    """The sample below the root, with its first day written.

    Raises:
        ValueError: no sample has this size, or the folder holds another sample.
    """
    planned = plan(calls, seed)
    sample = Sample(root, calls, seed, planned.planted, planned.late)
    with _aside(root) as aside:
        _mark(sample, aside)
        for site in REPORTING_SITES:
            part = planned.parts[site, DAYS[0]]
            for folder in (sample.recordings(site), sample.dropped(site)):
                folder.mkdir(parents=True, exist_ok=True)
            create_database(sample.database(site), aside, list(part.cdr), list(part.notes))
            _write(sample, site, part, aside)
    return sample


def second_day(sample: Sample) -> None:
    """Add the second day's rows, recordings and dropped files, and the late arrivals of the first."""
    planned = plan(sample.calls, sample.seed)
    with _aside(sample.root) as aside:
        for site in REPORTING_SITES:
            part = planned.parts[site, DAYS[1]]
            append_rows(sample.database(site), list(part.cdr), list(part.notes))
            _write(sample, site, part, aside)
    late_arrival(sample)


def late_arrival(sample: Sample) -> None:
    """Put the first day's late recordings on the disk, which resolves what was missing: `sample.late`."""
    planned = plan(sample.calls, sample.seed)
    with _aside(sample.root) as aside:
        for part in planned.parts.values():
            _write_files(sample, [file for file in part.files if file.is_late], aside)


def _write(sample: Sample, site: str, part: Part, aside: Path) -> None:
    """Put the part's punctual recordings and dropped files at the site."""
    for dropped in part.dropped:
        _place(sample.dropped(site) / dropped.name, dropped.content, aside)
    _write_files(sample, [file for file in part.files if not file.is_late], aside)


def _write_files(sample: Sample, files: list[AudioFile], aside: Path) -> None:
    with ThreadPoolExecutor() as threads:
        for _ in threads.map(lambda file: file.write(sample.recordings(file.site), aside), files):
            pass


def _mark(sample: Sample, aside: Path) -> None:
    """Note which sample this is, so that two are never mixed.

    Raises:
        ValueError: the folder holds another sample.
    """
    wanted = json.dumps({"calls": sample.calls, "seed": sample.seed}) + "\n"
    mark = sample.root / "source" / _MARK
    mark.parent.mkdir(parents=True, exist_ok=True)
    _place(mark, wanted.encode(), aside)
    found = mark.read_text()
    if found != wanted:
        raise ValueError(
            f"{sample.root} holds the sample {found.strip()}, not {wanted.strip()}. "
            "Choose another folder, or remove this one."
        )


def _place(target: Path, content: bytes, aside: Path) -> None:
    """Write a whole file; does nothing where there is one already."""
    if not target.exists():
        draft = aside / target.name
        draft.write_bytes(content)
        draft.rename(target)


@contextmanager
def _aside(root: Path) -> Iterator[Path]:
    """A folder on the same disk for files that are not whole yet, outside of what is backed up."""
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root, prefix=".unfinished-") as folder:
        yield Path(folder)


def sample_rules() -> dict[str, Any]:
    """The rules that fit the sample (reconcile.rules.Rules): names of both sites, and the three datasets."""
    return {
        "time_zone": TIME_ZONE,
        "name_templates": [template for templates in NAME_TEMPLATES.values() for template in templates],
        "datasets": {"calls": _calls_rules(), "notes": _notes_rules(), "robot": _robot_rules()},
    }


def _calls_rules() -> dict[str, Any]:
    """Rows of sql/sample/calls.sql; only those of bj name their file."""
    return {
        "kind": "calls",
        "columns": {
            "call_id": "call_no",
            "leg": "leg",
            "started_at": "start_time",
            "talk_seconds": "talk_seconds",
            "extension": "agent_extension",
            "caller": "caller",
            "callee": "callee",
            "display_number": "display_number",
            "recording_path": "recording_file",
        },
        "expects_recording": {"min_talk_seconds": 1},
        "path_prefix": RECORDINGS_AT_SOURCE,
    }


def _notes_rules() -> dict[str, Any]:
    """Rows of sql/sample/notes.sql."""
    return {"kind": "notes", "columns": {"call_id": "call_no", "started_at": "written_at"}}


def _robot_rules() -> dict[str, Any]:
    """Rows of the robot's files: it records where 录音 says so, which here it never does."""
    return {
        "kind": "calls",
        "columns": {
            "call_id": "任务编号",
            "started_at": "开始时间",
            "talk_seconds": "时长",
            "callee": "号码",
        },
        "expects_recording": {"where": {"录音": ["是"]}},
    }
