"""`voxkeep compare`: files that a user already has, and nothing set up."""

import json
import wave
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest
from program import voxkeep

from reconcile.report.messages import say

OUTPUTS = [
    "durations.parquet", "file_types.parquet", "findings.csv", "findings.parquet", "report.html", "summary.parquet",
    "trace.parquet",
]  # fmt: skip
DEBIANS_RECORDINGS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")


def recording(file: Path, seconds: float = 2, seed: int = 1) -> None:
    """A WAVE file of 8 kHz, other bytes for each seed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes((seed.to_bytes(4, "little") * int(seconds * 4000 + 1))[: int(seconds * 16000)])


def write_calls(file: Path, paths: Iterable[str]) -> None:
    """A CSV of calls whose rows name their recording."""
    rows = [f'{place},"{path}",2021-01-31 09:00:00,2' for place, path in enumerate(paths)]
    file.write_text("\n".join(["id,file,start,billsec", *rows]) + "\n", encoding="utf-8")


MAP = "call_id=id,recording_path=file,started_at=start,talk_seconds=billsec"


def ten_minus_ten_plus(folder: Path, names: list[str], recordings: Path) -> tuple[dict[str, object], pl.DataFrame]:
    """Compare these recordings with a list of calls that lacks ten of them and invents ten."""
    write_calls(folder / "calls.csv", [*names[10:], *(f"invented/{n}.wav" for n in range(10))])
    ended = voxkeep(
        "compare", "--calls", folder / "calls.csv", "--recordings", recordings, "--map", MAP, "--out", folder / "out",
        "--json",
    )  # fmt: skip
    assert ended.code == 1, ended.err
    return json.loads(ended.out), pl.read_parquet(folder / "out" / "findings.parquet")


def exactly_those(findings: pl.DataFrame, trace: pl.DataFrame, names: list[str]) -> None:
    """Ten orphans are the ten that were left out, ten missing the ten invented."""
    paths = trace.select("recording_id", "path").drop_nulls("recording_id")
    orphans = findings.filter(pl.col("kind") == "recording_orphan").join(paths, on="recording_id")
    assert sorted(orphans["path"]) == sorted(names[:10])
    missing = findings.filter(pl.col("kind") == "recording_missing")["call_id"].to_list()
    assert sorted(missing, key=int) == [str(n) for n in range(len(names) - 10, len(names))]


def test_ten_left_out_and_ten_invented_are_exactly_what_is_found(tmp_path: Path) -> None:
    names = [f"{n % 7}/call {n:03} 录音.wav" for n in range(60)]
    for place, name in enumerate(names):
        recording(tmp_path / "disk" / name, seed=place)
    counts, findings = ten_minus_ten_plus(tmp_path, names, tmp_path / "disk")
    assert counts == {
        "calls": 60,
        "recordings": 60,
        "coverage": {"complete": 50, "partial": 0, "missing": 10, "excluded": 0},
        "findings": {"recording_missing": 10, "recording_orphan": 10},
        "rows": {"in": 60, "quarantined": 0},
    }
    exactly_those(findings, pl.read_parquet(tmp_path / "out" / "trace.parquet"), names)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == OUTPUTS


@pytest.mark.skipif(not DEBIANS_RECORDINGS.is_dir(), reason="Debian's asterisk-core-sounds-en-wav is not installed")
def test_debians_recordings_minus_ten_plus_ten(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    for file in sorted(DEBIANS_RECORDINGS.rglob("*.wav")):
        copy = disk / file.relative_to(DEBIANS_RECORDINGS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    names = sorted(str(file.relative_to(disk)) for file in disk.rglob("*.wav"))
    counts, findings = ten_minus_ten_plus(tmp_path, names, disk)
    assert (counts["calls"], counts["recordings"]) == (len(names), len(names))
    exactly_those(findings, pl.read_parquet(tmp_path / "out" / "trace.parquet"), names)


def test_a_complete_comparison_exits_with_zero_and_fits_80_columns(tmp_path: Path) -> None:
    recording(tmp_path / "disk" / "a.wav")
    write_calls(tmp_path / "calls.csv", ["a.wav"])
    ended = voxkeep(
        "compare", "--calls", tmp_path / "calls.csv", "--recordings", tmp_path / "disk", "--map", MAP,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "no findings" in ended.out
    assert "calls by coverage" in ended.out.splitlines()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "通话与录音比对" in page
    # It speaks of no day, no report before it, and no backup.
    assert not any(say(key, "zh") in page for key in ("report", "changes", "backups", "station_restored"))
    assert max(len(line) for line in ended.out.splitlines() if str(tmp_path) not in line) <= 80


def test_where_the_rules_seem_to_be_the_wrong_ones_it_is_said(tmp_path: Path) -> None:
    for n in range(3):
        recording(tmp_path / "recordings" / f"2049_{n}.wav", seed=n)
    (tmp_path / "calls.csv").write_text("id,start,billsec\n1,2021-01-31 09:00:00,2\n2,2021-01-31 10:00:00,2\n")
    words = ("compare", "--calls", tmp_path / "calls.csv", "--recordings", tmp_path / "recordings", "--out")
    by_preset = voxkeep(*words, tmp_path / "one", "--preset", "asterisk")
    assert "no row of the calls could be read; line 1: " in by_preset.out
    by_names = voxkeep(*words, tmp_path / "two", "--map", "call_id=id,started_at=start,talk_seconds=billsec")
    assert "most recordings belong to no call" in by_names.out
    (tmp_path / "rules.yaml").write_text('name_templates: ["{extension}_{call_id}.wav"]\n')
    understood = voxkeep(*words, tmp_path / "three", "--rules", tmp_path / "rules.yaml")
    assert "belong to no call" not in understood.out
    assert "nobody talked" not in understood.out
    (tmp_path / "calls.csv").write_text("id,start,billsec\n1,2021-01-31 09:00:00,2\n4,2021-01-31 10:00:00,0\n")
    unanswered = voxkeep(*words, tmp_path / "four", "--map", "call_id=id,started_at=start,talk_seconds=billsec")
    assert "of 1 calls that are missing a recording nobody talked" in unanswered.out.replace("\n", " ")
    assert "could be read" not in understood.out


def test_the_same_comparison_again_gives_the_same_result(tmp_path: Path) -> None:
    names = [f"{n}.wav" for n in range(20)]
    for place, name in enumerate(names):
        recording(tmp_path / "disk" / name, seed=place)
    first, findings = ten_minus_ten_plus(tmp_path, names, tmp_path / "disk")
    second, again = ten_minus_ten_plus(tmp_path, names, tmp_path / "disk")
    assert first == second
    assert findings.equals(again)


# After the documentation of cdr_csv: no header, all in quotes but numbers, an empty answer where nobody did.
MASTER = (
    '"{account}","{src}","{dst}","from-internal","{clid}","SIP/{src}-0000001a","SIP/trunk-0000001b","Dial",'
    '"SIP/trunk/{dst},60","2021-01-31 {start}",{answer},"2021-01-31 {start}",{seconds},{seconds},'
    '"{disposition}","DOCUMENTATION","{unique}","","","{linked}",{sequence}\n'
)


def master(folder: Path) -> int:
    """A Master.csv of 200 calls: two legs each, every fourth unanswered, some names in GBK or Latin-1."""
    names = ['""重庆一线"" <2049>'.encode("gbk"), '""José"" <2049>'.encode("latin-1"), b"\xff\xfe\x80 <2049>", b"2049"]
    rows = 0
    with (folder / "Master.csv").open("wb") as file:
        for number in range(200):
            answered, linked = number % 4 != 0, f"1612064489.{number * 2}"
            for leg in (0, 1):
                row = MASTER.format(
                    account="", src="2049", dst=f"9138{number:08}", clid="\0", start=f"09:{number // 60:02}:{leg:02}",
                    answer=f'"2021-01-31 09:{number // 60:02}:{leg:02}"' if answered else "",
                    seconds=2 if answered and leg == 0 else 0, disposition="ANSWERED" if answered and leg == 0 else
                    "NO ANSWER", unique=f"1612064489.{number * 2 + leg}", linked=linked, sequence=number * 2 + leg,
                )  # fmt: skip
                file.write(row.encode().replace(b"\0", names[number % 4]))
                rows += 1
            if answered:
                recording(folder / "monitor" / f"{linked}.wav", seed=number)
    return rows


def test_asterisks_master_csv_is_read_without_losing_a_row(tmp_path: Path) -> None:
    rows = master(tmp_path)
    ended = voxkeep(
        "compare", "--preset", "asterisk", "--calls", tmp_path / "Master.csv", "--recordings", tmp_path / "monitor",
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert json.loads(ended.out) == {
        "calls": 200,
        "recordings": 150,
        "coverage": {"complete": 150, "partial": 0, "missing": 0, "excluded": 50},
        "findings": {},
        "rows": {"in": rows, "quarantined": 0},
    }
    assert ended.code == 0
    assert pl.read_parquet(tmp_path / "out" / "summary.parquet")["legs"].sum() == rows


def test_several_files_of_calls_and_a_manifest_of_recordings(tmp_path: Path) -> None:
    write_calls(tmp_path / "one.csv", ["a.wav"])
    pl.DataFrame({"id": ["9"], "file": ["b.wav"], "start": ["2021-01-31 10:00:00"], "billsec": ["2"]}).write_parquet(
        tmp_path / "two.parquet"
    )
    pl.DataFrame({"path": ["a.wav", "b.wav", "c.wav"]}).write_parquet(tmp_path / "disk.parquet")
    ended = voxkeep(
        "compare", "--calls", tmp_path / "one.csv", "--calls", tmp_path / "two.parquet", "--recordings",
        tmp_path / "disk.parquet", "--map", MAP, "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    counts = json.loads(ended.out)
    assert (counts["calls"], counts["recordings"], counts["coverage"]["complete"]) == (2, 3, 2)
    assert counts["findings"] == {"recording_orphan": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--calls", "nowhere.csv", "--recordings", "disk"], "nowhere.csv"),
        (["--calls", "calls.csv", "--recordings", "nowhere"], "nowhere"),
        (["--calls", "calls.csv", "--recordings", "disk", "--map", "call_id=uniqueid"], "uniqueid"),
        (["--calls", "calls.csv", "--recordings", "disk", "--map", "callid=id"], "callid"),
        (["--calls", "calls.csv", "--recordings", "disk", "--rules", "nowhere.yaml"], "nowhere.yaml"),
        (["--calls", "calls.csv", "--recordings", "calls.csv"], "calls.csv"),
    ],
)
def test_what_cannot_run_is_one_paragraph_and_exit_code_two(tmp_path: Path, words: list[str], said: str) -> None:
    recording(tmp_path / "disk" / "a.wav")
    write_calls(tmp_path / "calls.csv", ["a.wav"])
    places = [str(tmp_path / word) if word.endswith((".csv", ".yaml", "disk", "where")) else word for word in words]
    ended = voxkeep("compare", *places, "--out", tmp_path / "out")
    assert ended.code == 2
    assert said in ended.err.replace("\n", "")
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out").exists()
