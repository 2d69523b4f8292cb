"""The sample source of the demo holds what it says it holds, and the same every time."""

import csv
import hashlib
import io
import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import av
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.names import read_names
from reconcile.rules import Rules
from voxkeep.sample import Planted, Sample, late_arrival, make_sample, sample_rules, second_day
from voxkeep.sample_audio import ENCODINGS, recording
from voxkeep.sample_plan import plan

CALLS = 60
ZONE = ZoneInfo("Asia/Shanghai")
WHOLE = {"start": "2021-01-30 00:00:00", "end": "2021-02-01 00:00:00"}
SQL = Path(__file__).parent.parent / "sql" / "sample"
KINDS = {
    "recording_missing", "recording_lost", "recording_orphan", "recording_duplicate", "call_duplicate",
    "match_ambiguous", "content_mismatch", "recording_empty", "recording_truncated", "recording_undecodable",
    "duration_mismatch", "row_quarantined", "extract_mismatch", "clock_skew", "not_indexed", "backup_overdue",
}  # fmt: skip
DAMAGED = {"recording_empty", "recording_truncated", "recording_undecodable"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Both days of a small sample; tests only read it."""
    made = make_sample(tmp_path_factory.mktemp("sample"), calls=CALLS)
    second_day(made)
    return made


def state_of(root: Path) -> dict[str, tuple[str, float]]:
    """Every file below the root with the hash of its bytes and its time."""
    files = (file for file in root.rglob("*") if file.is_file())
    return {
        str(file.relative_to(root)): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime)
        for file in files
    }


def recordings_of(sample: Sample) -> Iterator[tuple[str, str, Path]]:
    """Site, path below its root, and file of every recording."""
    for site in ("cq", "bj"):
        root = sample.recordings(site)
        for file in sorted(file for file in root.rglob("*") if file.is_file()):
            yield site, file.relative_to(root).as_posix(), file


def select(sample: Sample, site: str, name: str, window: dict[str, str] = WHOLE) -> list[sqlite3.Row]:
    """The rows that an SQL file of the sample selects."""
    with closing(sqlite3.connect(sample.database(site))) as database:
        database.row_factory = sqlite3.Row
        return database.execute((SQL / f"{name}.sql").read_text(), window).fetchall()


def seconds_of(file: Path) -> float:
    """How long it plays, by decoding all of it."""
    with av.open(str(file)) as audio:
        return sum(frame.samples / frame.sample_rate for frame in audio.decode(audio=0))


def planted_of(sample: Sample, *kinds: str) -> list[Planted]:
    return [planted for planted in sample.planted if planted.kind in kinds]


def test_the_same_seed_gives_the_same_recordings_names_rows_and_times(sample: Sample, tmp_path: Path) -> None:
    again = make_sample(tmp_path, calls=CALLS)
    second_day(again)
    # Times of databases and dropped files are when they were written, as they would be.
    recordings = {name: state for name, state in state_of(sample.root).items() if "/recordings/" in name}
    assert {name: state for name, state in state_of(tmp_path).items() if "/recordings/" in name} == recordings
    assert {name: state[0] for name, state in state_of(tmp_path).items()} == {
        name: state[0] for name, state in state_of(sample.root).items()
    }
    assert again.planted == sample.planted


def test_another_seed_gives_another_sample() -> None:
    one, other = plan(CALLS, 1), plan(CALLS, 2)
    assert not {planted.call_id for planted in one.planted if planted.call_id} & {
        planted.call_id for planted in other.planted
    }


def test_making_it_again_changes_no_byte_and_no_time(sample: Sample) -> None:
    before, files = state_of(sample.root), {file: file.stat().st_ino for _, _, file in recordings_of(sample)}
    second_day(make_sample(sample.root, calls=CALLS))
    late_arrival(sample)
    assert state_of(sample.root) == before
    assert {file: file.stat().st_ino for file in files} == files


def test_what_a_killed_run_left_out_is_written_by_the_next(sample: Sample, tmp_path: Path) -> None:
    made = make_sample(tmp_path, calls=CALLS)
    second_day(made)
    whole = {name: state[0] for name, state in state_of(tmp_path).items()}
    for _, _, file in list(recordings_of(made))[::3]:
        file.unlink()
    made.database("bj").unlink()
    second_day(make_sample(tmp_path, calls=CALLS))
    assert {name: state[0] for name, state in state_of(tmp_path).items()} == whole


@pytest.mark.parametrize("files", [1, 12, 35])
def test_a_sample_killed_at_any_point_is_completed_by_the_next(sample: Sample, tmp_path: Path, files: int) -> None:
    script = (
        "import sys, pathlib; from voxkeep.sample import make_sample, second_day; "
        f"second_day(make_sample(pathlib.Path(sys.argv[1]), calls={CALLS}))"
    )
    making = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=SQL.parent.parent)
    try:
        while making.poll() is None and len(list(tmp_path.glob("source/*/recordings/**/*.*"))) < files:
            time.sleep(0.001)
    finally:
        making.kill()
        making.wait()
    second_day(make_sample(tmp_path, calls=CALLS))
    whole = {name: state[0] for name, state in state_of(sample.root / "source").items()}
    assert {name: state[0] for name, state in state_of(tmp_path / "source").items()} == whole


def test_a_folder_that_holds_another_sample_is_refused(sample: Sample) -> None:
    before = state_of(sample.root)
    with pytest.raises(ValueError, match="Choose another folder"):
        make_sample(sample.root, calls=CALLS, seed=1)
    assert state_of(sample.root) == before


@pytest.mark.parametrize("calls", [49, 0, -1, 50_001])
def test_a_size_that_cannot_hold_every_fault_is_refused(tmp_path: Path, calls: int) -> None:
    with pytest.raises(ValueError, match="50 to 50000"):
        make_sample(tmp_path / "sample", calls=calls)
    assert not (tmp_path / "sample").exists()


def test_nothing_of_the_second_day_is_visible_on_the_first(tmp_path: Path) -> None:
    made = make_sample(tmp_path, calls=50)
    for site, _, file in recordings_of(made):
        ended = datetime.fromtimestamp(file.stat().st_mtime, ZONE)
        assert ended.date() == date(2021, 1, 30), (site, file)
    for site in ("cq", "bj"):
        assert {row["start_time"][:10] for row in select(made, site, "calls")} == {"2021-01-30"}
        assert {row["written_at"][:10] for row in select(made, site, "notes")} <= {"2021-01-30"}
    assert sorted(file.name for file in made.dropped("cq").iterdir()) == [
        "robot-2021-01-30.csv", "robot-2021-01-30.datapackage.json",
    ]  # fmt: skip


def test_the_late_recording_comes_on_the_second_day_with_the_time_of_the_first(tmp_path: Path) -> None:
    made = make_sample(tmp_path, calls=50)
    (late,) = made.late
    assert late in planted_of(made, "recording_missing")
    file = made.recordings(late.site) / str(late.path)
    assert not file.exists()
    late_arrival(made)
    assert seconds_of(file) > 1
    assert datetime.fromtimestamp(file.stat().st_mtime, ZONE).date() == late.day == made.days[0]
    before = state_of(made.root)
    late_arrival(made)
    assert state_of(made.root) == before


def test_the_window_of_the_sql_is_half_open(sample: Sample) -> None:
    days = [("2021-01-30 00:00:00", "2021-01-31 00:00:00"), ("2021-01-31 00:00:00", "2021-02-01 00:00:00")]
    for name in ("calls", "notes"):
        parts = [select(sample, "cq", name, {"start": start, "end": end}) for start, end in days]
        assert all(parts)
        assert sum(map(len, parts)) == len(select(sample, "cq", name))
    first = select(sample, "cq", "calls")[0]["start_time"]
    assert first not in [
        row["start_time"] for row in select(sample, "cq", "calls", {"start": days[0][0], "end": first})
    ]


def test_every_sound_recording_plays_as_long_as_its_row_says(sample: Sample) -> None:
    odd = {planted.path for planted in planted_of(sample, *DAMAGED, "duration_mismatch", "recording_orphan")}
    paired = 0
    for site in ("cq", "bj"):
        talked = {}
        for row in select(sample, site, "calls"):
            start = datetime.fromisoformat(row["start_time"])
            number = (row["caller"] or row["callee"]).removeprefix("+").removeprefix("86").removeprefix("0")
            talked[number, row["agent_extension"], start.date()] = row["talk_seconds"]
        for _, path, file in (each for each in recordings_of(sample) if each[0] == site and each[1] not in odd):
            said = read_names(
                pl.Series([path.removeprefix("backup/")]),
                Rules(**sample_rules()).name_templates,
                "Asia/Shanghai",
            )
            number, extension, day = said.row(0, named=True)["number"], said["extension"][0], said["day"][0]
            assert abs(seconds_of(file) - talked[number, extension, day]) <= 1, path
            paired += 1
    assert paired > CALLS / 2


def test_no_two_recordings_have_equal_bytes_but_the_planted_copies(sample: Sample) -> None:
    files = {(site, path): hashlib.sha256(file.read_bytes()).hexdigest() for site, path, file in recordings_of(sample)}
    repeated = {digest for digest, times in Counter(files.values()).items() if times > 1}
    copies = {(planted.site, str(planted.path)) for planted in planted_of(sample, "recording_duplicate")}
    assert {name for name, digest in files.items() if digest in repeated} == copies | {
        (site, path.removeprefix("backup/")) for site, path in copies
    }


def test_recordings_come_in_many_encodings_and_none_is_silent(tmp_path: Path) -> None:
    codecs = set()
    for encoding in ENCODINGS:
        assert recording(4.0, encoding, "test") != recording(4.0, encoding, "another")
        with av.open(io.BytesIO(recording(4.0, encoding, "test"))) as audio:
            stream = audio.streams.audio[0]
            codecs.add(stream.codec_context.name)
            assert stream.rate == 8000
            resampler = av.AudioResampler(format="s16", layout="mono", rate=8000)
            loudest = max(
                int(abs(frame.to_ndarray().astype(int)).max())
                for raw in audio.decode(stream)
                for frame in resampler.resample(raw)
            )
        assert 3000 < loudest <= 32767, encoding
    assert codecs == {"pcm_alaw", "pcm_s16le", "pcm_mulaw", "gsm_ms", "adpcm_ima_wav", "mp3float"}


def test_a_recording_was_last_written_when_its_call_ended(sample: Sample) -> None:
    templates = Rules(**sample_rules()).name_templates
    damaged = {planted.path for planted in planted_of(sample, *DAMAGED)}
    for _, path, file in recordings_of(sample):
        start = read_names(pl.Series([path.removeprefix("backup/")]), templates, "Asia/Shanghai")["started_at"][0]
        ended = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        assert timedelta(seconds=1) < ended - start < timedelta(seconds=15), path
        if path not in damaged:
            assert abs((ended - start).total_seconds() - seconds_of(file)) <= 1, path


def test_the_recording_of_the_documentation_is_there(sample: Sample) -> None:
    assert (sample.recordings("cq") / "01/31/2049_15372388463_20210131114129.wav3").is_file()


@given(calls=st.integers(50, 400), seed=st.integers(0, 2**63))
@settings(max_examples=60)
def test_every_kind_is_planted_and_each_victim_has_one_fault(calls: int, seed: int) -> None:
    planned = plan.__wrapped__(calls, seed)
    assert {planted.kind for planted in planned.planted} == KINDS
    about_calls = [planted.call_id for planted in planned.planted if planted.call_id]
    about_files = [(planted.site, planted.path) for planted in planned.planted if planted.path]
    assert len(about_calls) == len(set(about_calls))
    assert len(about_files) == len(set(about_files))
    paths = [(file.site, file.path) for part in planned.parts.values() for file in part.files]
    assert len(paths) == len(set(paths))
    rows = {(site, row[0]) for (site, _), part in planned.parts.items() for row in part.cdr}
    assert len(rows) == calls


def test_common_kinds_are_planted_several_times(sample: Sample) -> None:
    times = Counter(planted.kind for planted in sample.planted)
    assert times["recording_missing"] >= 4
    assert times["recording_orphan"] >= 2
    assert min(times[kind] for kind in DAMAGED - {"recording_undecodable"}) == 2


def test_a_missing_recording_is_nowhere_and_its_call_was_answered(sample: Sample) -> None:
    for planted in set(planted_of(sample, "recording_missing")) - set(sample.late):
        (row,) = [row for row in select(sample, planted.site, "calls") if row["call_no"] == planted.subject]
        assert row["talk_seconds"] >= 2
        assert not (sample.recordings(planted.site) / str(planted.path)).exists()


def test_an_orphan_plays_and_no_row_has_its_number(sample: Sample) -> None:
    for planted in planted_of(sample, "recording_orphan"):
        assert seconds_of(sample.recordings(planted.site) / planted.subject) > 1
        number = read_names(pl.Series([planted.subject]), Rules(**sample_rules()).name_templates, "UTC")["number"][0]
        rows = [dict(row) for site in ("cq", "bj") for row in select(sample, site, "calls")]
        assert number
        assert not [row for row in rows if number in str(row)]


def test_damaged_recordings_are_damaged_as_they_say(sample: Sample) -> None:
    content = {
        (planted.kind, planted.day.day): (sample.recordings(planted.site) / planted.subject).read_bytes()
        for planted in planted_of(sample, *DAMAGED)
    }
    assert content["recording_empty", 30] == b""
    header = content["recording_empty", 31]
    assert header[:4] == b"RIFF"
    assert header[-4:] == bytes(4)
    for day in (30, 31):
        cut = content["recording_truncated", day]
        assert cut[:4] == b"RIFF"
        assert int.from_bytes(cut[4:8], "little") + 8 > 1.9 * len(cut)
    with pytest.raises(av.FFmpegError):
        av.open(io.BytesIO(content["recording_undecodable", 31]))


def test_a_mismatched_call_talked_a_minute_longer_than_its_recording(sample: Sample) -> None:
    for planted in planted_of(sample, "duration_mismatch"):
        (row,) = [row for row in select(sample, planted.site, "calls") if row["call_no"] == planted.call_id]
        assert row["talk_seconds"] - seconds_of(sample.recordings(planted.site) / planted.subject) >= 59


def test_repeated_rows_differ_in_nothing_that_is_selected(sample: Sample) -> None:
    rows = Counter(tuple(row) for site in ("cq", "bj") for row in select(sample, site, "calls"))
    repeated = {row[0] for row, times in rows.items() if times > 1}
    assert repeated == {planted.subject for planted in planted_of(sample, "call_duplicate")}


def test_the_ambiguous_recording_lies_midway_between_two_calls(sample: Sample) -> None:
    (planted,) = planted_of(sample, "match_ambiguous")
    said = read_names(pl.Series([planted.subject]), Rules(**sample_rules()).name_templates, "Asia/Shanghai").row(
        0, named=True
    )
    starts = [
        datetime.fromisoformat(row["start_time"]).replace(tzinfo=ZONE) - said["started_at"]
        for row in select(sample, "cq", "calls")
        if row["agent_extension"] == said["extension"] and str(row["callee"] or row["caller"]).endswith(said["number"])
    ]
    assert sorted(starts) == [timedelta(seconds=-10), timedelta(seconds=10)]


def test_the_clock_of_bj_is_off_on_the_second_day_only(sample: Sample) -> None:
    templates = Rules(**sample_rules()).name_templates
    apart: dict[str, set[float]] = {}
    for row in select(sample, "bj", "calls"):
        if row["recording_file"]:
            said = read_names(
                pl.Series([row["recording_file"].removeprefix("/home/recordings/")]),
                templates,
                "Asia/Shanghai",
            )
            started = datetime.fromisoformat(row["start_time"]).replace(tzinfo=ZONE)
            apart.setdefault(row["start_time"][:10], set()).add((said["started_at"][0] - started).total_seconds())
    assert apart == {"2021-01-30": {0.0}, "2021-01-31": {-200.0}}


def test_the_robots_file_has_exactly_the_bad_lines_that_were_planted(sample: Sample) -> None:
    text = (sample.dropped("cq") / "robot-2021-01-31.csv").read_bytes().decode("gbk")
    reader = csv.reader(io.StringIO(text, newline=""))
    header, bad, line = next(reader), [], 2
    for row in reader:
        try:
            datetime.fromisoformat(row[2])
            assert len(row) == len(header)
        except (ValueError, AssertionError):
            bad.append(f"robot-2021-01-31.csv:{line}")
        line = reader.line_num + 1
    assert bad == [planted.subject for planted in planted_of(sample, "row_quarantined")]
    assert len(bad) == 2
    assert reader.line_num > text.count("\r\n")  # a line break within a row parts lines from rows


def test_the_descriptor_claims_more_than_arrived(sample: Sample) -> None:
    (planted,) = planted_of(sample, "extract_mismatch")
    descriptor = sample.dropped("cq") / planted.subject.replace(".csv", ".datapackage.json")
    (resource,) = json.loads(descriptor.read_text())["resources"]
    arrived = (sample.dropped("cq") / resource["path"]).read_bytes()
    rows = list(csv.reader(io.StringIO(arrived.decode(resource["encoding"]), newline="")))
    assert resource["path"] == planted.subject
    assert resource["bytes"] > len(arrived)
    assert resource["rows"] > len(rows) - 1 > 10
    assert {len(row) for row in rows} == {len(rows[0])}
    assert resource["hash"] != f"sha256:{hashlib.sha256(arrived).hexdigest()}"


def test_victims_of_tampering_are_sound_until_they_are_tampered_with(sample: Sample) -> None:
    victims = planted_of(sample, "recording_lost", "content_mismatch", "not_indexed")
    assert len(victims) == 3
    for planted in victims:
        assert planted.day == sample.days[1]
        assert seconds_of(sample.recordings(planted.site) / planted.subject) > 1


def test_the_silent_site_has_nothing_on_the_disk(sample: Sample) -> None:
    (planted,) = planted_of(sample, "backup_overdue")
    assert planted.site in sample.sites
    assert not sample.source(planted.site).exists()


def test_a_fifth_of_the_calls_is_unanswered_and_has_no_recording(sample: Sample) -> None:
    rows = [row for site in ("cq", "bj") for row in select(sample, site, "calls")]
    unanswered = [row for row in rows if row["result"] == "未接"]
    assert 0.15 < len(unanswered) / len(rows) < 0.25
    assert {row["talk_seconds"] for row in unanswered} == {0}
    assert not any(row["recording_file"] for row in unanswered)


def test_ids_begin_with_zero_and_null_differs_from_empty(sample: Sample) -> None:
    rows = [row for site in ("cq", "bj") for row in select(sample, site, "calls")]
    assert {(len(row["call_no"]), row["call_no"][0]) for row in rows} == {(18, "0")}
    remarks = {row["备注"] for row in rows}
    assert {None, ""} < remarks
    assert any("\n" in remark for remark in remarks - {None})
    assert any("," in remark for remark in remarks - {None})


def test_numbers_are_spelled_in_several_ways(sample: Sample) -> None:
    spelled = {str(row["callee"] or row["caller"])[:-11] for row in select(sample, "cq", "calls")}
    assert spelled == {"", "0", "86", "+86"}


def test_some_calls_have_two_legs_with_a_recording_each(sample: Sample) -> None:
    for site in ("cq", "bj"):
        rows = select(sample, site, "calls")
        passed_on = [row for row in rows if row["leg"] == 2]
        assert passed_on
        for second in passed_on:
            (first,) = [row for row in rows if row["call_no"] == second["call_no"] and row["leg"] == 1]
            assert first["agent_extension"] != second["agent_extension"]
            assert first["start_time"] < second["start_time"]
            number = str(first["callee"] or first["caller"])[-11:]
            assert len([path for at, path, _ in recordings_of(sample) if at == site and number in path]) >= 2


def test_notes_belong_to_calls_and_keep_their_decimals(sample: Sample) -> None:
    notes = select(sample, "cq", "notes")
    assert {note["call_no"] for note in notes} <= {row["call_no"] for row in select(sample, "cq", "calls")}
    amounts = [note["金额"] for note in notes if note["金额"] is not None]
    assert amounts
    assert all(len(amount.partition(".")[2]) == 2 for amount in amounts)


def test_the_rules_are_valid_and_fit_the_rows_and_names(sample: Sample) -> None:
    rules = Rules.model_validate(sample_rules())
    assert json.loads(json.dumps(sample_rules())) == sample_rules()
    columns = {name: rules.datasets[name].columns.model_dump(exclude_none=True) for name in rules.datasets}
    with (sample.dropped("cq") / "robot-2021-01-30.csv").open(encoding="utf-8") as file:
        robot = set(next(csv.reader(file)))
    assert set(columns["calls"].values()) <= set(select(sample, "cq", "calls")[0].keys())
    assert set(columns["notes"].values()) <= set(select(sample, "cq", "notes")[0].keys())
    assert set(columns["robot"].values()) <= robot
    assert set(rules.datasets["robot"].expects_recording.where) <= robot
    paths = [path for _, path, _ in recordings_of(sample) if not path.startswith("backup/2021")]
    said = read_names(pl.Series(paths), rules.name_templates, rules.time_zone)
    assert said.select(pl.col("extension", "number", "started_at", "day").null_count()).row(0) == (0, 0, 0, 0)


def test_rows_of_bj_name_files_that_lie_there(sample: Sample) -> None:
    prefix = Rules(**sample_rules()).datasets["calls"].path_prefix
    missing = {planted.path for planted in planted_of(sample, "recording_missing")}
    named = [
        row["recording_file"].removeprefix(prefix) for row in select(sample, "bj", "calls") if row["recording_file"]
    ]
    assert {path for path in named if not (sample.recordings("bj") / path).exists()} == missing & set(named)
    assert not any(row["recording_file"] for row in select(sample, "cq", "calls"))
