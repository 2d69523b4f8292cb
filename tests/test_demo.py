"""The demo, and the commands a user goes on with."""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import av
import bagit
import openpyxl
import polars as pl
import pytest
from program import Ended, voxkeep
from servers import folder_of_all_workers, held, server_of_all_workers
from shop import OF_RUNS

from deploy.servers.prefect import Prefect
from deploy.servers.process import remembered_port
from reconcile.findings import KINDS
from voxkeep import demo as demos
from voxkeep.lookup import file_names, is_well
from voxkeep.sample_faults import Fault


class Demo(NamedTuple):
    """A finished demo: its folder and what it said."""

    folder: Path
    said: Ended
    server: Prefect

    def program(self, *words: object) -> Ended:
        """The program on the demo's business; without the server each command would start one of its own."""
        return voxkeep(*words, "--home", self.folder / "home", **self.server.client_environment())


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo, run by the first worker that wants it, with a server of its own; then one for what comes later."""
    folder = folder_of_all_workers(tmp_path_factory, "demo")
    with held(folder / "test.lock"):
        told = folder / "told.json"
        if not told.exists():
            told.write_text(json.dumps(voxkeep("demo", "--dir", folder / "demo", "--calls", 60, "--json")))
    database = f"sqlite+aiosqlite:///{folder}/demo/home/prefect/prefect.db"

    def make(place: Path) -> Prefect:
        return Prefect(place, remembered_port(place), "tests:of-the-demo", database)

    with contextmanager(server_of_all_workers)(tmp_path_factory, "demo-server", make, Prefect.stop_all) as server:
        yield Demo(folder / "demo", Ended(*json.loads(told.read_text())), server)


@pytest.fixture
def demo(finished: Demo) -> Iterator[Demo]:
    """The demo, for one test at a time."""
    with held(finished.folder.parent / "test.lock"):
        yield finished


def content(folder: Path) -> dict[str, str]:
    """A digest of every file of catalog, index, object store and repositories."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for place in ("catalog", "index", "bucket", "restic")
        for file in sorted((folder / "storage" / place).rglob("*"))
        if file.is_file() and not {"locks", OF_RUNS} & {*file.parts}
    }


def test_every_planted_fault_is_found_and_none_invented(demo: Demo) -> None:
    assert demo.said.code == 0, demo.said.err
    said = json.loads(demo.said.out)
    assert said["found"] == said["planted"]
    assert (said["precision"], said["recall"]) == (1.0, 1.0)
    assert set(said["planted"]) == {kind.name for kind in KINDS}
    assert Path(said["report"]).is_file()


def test_a_second_demo_over_the_same_folder_changes_nothing(demo: Demo) -> None:
    before = content(demo.folder)
    server = demo.server.client_environment()
    again = voxkeep("demo", "--dir", demo.folder, "--calls", 60, "--json", **server)
    assert again.code == 0, again.err
    assert {k: v for k, v in json.loads(again.out).items() if k != "seconds"} == {
        k: v for k, v in json.loads(demo.said.out).items() if k != "seconds"
    }
    assert content(demo.folder) == before


def test_status_tells_every_site_and_fits_80_columns(demo: Demo) -> None:
    ended = demo.program("status")
    assert ended.code == 1, ended.err  # faults were planted
    assert all(site in ended.out for site in ("meituan/cq", "meituan/bj", "meituan/sz"))
    assert max(map(len, ended.out.splitlines())) <= 80
    assert json.loads(demo.program("status", "--json").out)


def test_the_end_of_a_demo_over_servers_tells_where_they_are_and_what_its_commands_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    catalog = SimpleNamespace(url="s3://shop/catalog")
    monkeypatch.setattr(demos, "places", lambda _settings: SimpleNamespace(catalog=catalog))
    none: frozenset[Fault] = frozenset()
    report, home = tmp_path / "reports" / "shop" / "2021-01-31" / "report.html", tmp_path / "home"
    settings: Any = None
    demos.show_demo(demos.Demo(none, none, True, 1.0, report, home, settings, "186"), tmp_path / "cluster")
    said = [line for line in capsys.readouterr().out.splitlines() if ": " in line]
    assert [line.split(maxsplit=1)[0] for line in said][-6:] == ["Data", "Parquet:", "Prefect's", "for", "find", "how"]
    assert said[-3].endswith("set -a; . cluster/env; set +a")
    assert said[-4].endswith(" http://127.0.0.1:4200")
    assert said[-5].endswith(" s3://shop/catalog")


def a_call(demo: Demo) -> dict[str, str]:
    """The newest call that has a recording, and the SHA-256 of that."""
    trace = pl.read_parquet(str(demo.folder / "storage" / "catalog" / "trace" / "**" / "cq.parquet"))
    complete = trace.filter((pl.col("coverage") == "complete") & pl.col("published") & pl.col("key").is_not_null())
    row = complete.sort("started_at").row(-1, named=True)
    return {"call_id": row["call_id"], "sha256": row["sha256"]}


def test_a_call_is_found_by_number_and_by_id_and_its_recording_is_the_sources(demo: Demo, tmp_path: Path) -> None:
    call = a_call(demo)
    by_id = json.loads(demo.program("find", "--call", call["call_id"], "--json").out)["calls"]
    assert {row["call_id"] for row in by_id} == {call["call_id"]}
    number = by_id[0]["callee"] or by_id[0]["caller"]
    told = demo.program("find", number).out.splitlines()[-1]
    assert told.startswith("hear one: ")
    assert f"get CALL --out FILE --home {os.path.relpath(demo.folder / 'home')}" in told
    by_number = json.loads(demo.program("find", f"+86 {number}", "--with-recording", "--json").out)
    assert call["call_id"] in {row["call_id"] for row in by_number["calls"]}
    assert (by_number["total"], by_number["exact"]) == (len(by_number["calls"]), True)
    out = tmp_path / "hear"
    out.mkdir()
    written = json.loads(demo.program("get", call["call_id"], "--out", out, "--json").out)["recordings"]
    assert call["sha256"] in {row["sha256"] for row in written}
    for row in written:
        assert hashlib.sha256(Path(row["file"]).read_bytes()).hexdigest() == row["sha256"]
    assert json.loads(demo.program("get", call["call_id"], "--out", out, "--json").out)["recordings"] == written
    mine = Path(written[0]["file"])
    mine.write_bytes(b"mine")
    refused = demo.program("get", call["call_id"], "--out", out)
    assert (refused.code, mine.read_bytes()) == (2, b"mine")
    assert mine.name in refused.err.replace("\n", "")
    mine.unlink()
    mine.symlink_to("nowhere")
    assert (demo.program("get", call["call_id"], "--out", out).code, mine.is_symlink()) == (2, True)


def test_recordings_that_are_named_alike_get_files_of_their_own() -> None:
    assert file_names({"x": "a/1.wav", "y": "a/2.wav", "z": "b/2.wav"}) == ["1.wav", "y_2.wav", "z_2.wav"]


@pytest.mark.parametrize(
    ("severity", "disk", "backup", "well"),
    [
        ("minor", "on_its_way", "2021-01-31", True), ("major", "on_its_way", "2021-01-31", False),
        ("critical", "", "2021-01-31", False), ("info", "missing", "2021-01-31", False), ("info", "", None, False),
    ],
)  # fmt: skip
def test_all_is_well_with_backups_and_without_grave_findings_and_missing_disks(
    severity: str, disk: str, backup: str | None, well: bool
) -> None:
    is_open = dict.fromkeys(("critical", "major", "minor", "info"), 0) | {severity: 1}
    sites = {"one": {"open": is_open, "last_backup": backup}}
    assert is_well({"shop": {"sites": sites, "disks_away": [{"state": disk}]}}) is well


def test_every_call_of_a_day_leaves_page_by_page_or_as_one_list(demo: Demo, tmp_path: Path) -> None:
    asked = ("find", "--business", "meituan", "--since", "2021-01-31", "--until", "2021-02-01", "--min-seconds", 1)
    everything = json.loads(demo.program(*asked, "--all", "--json").out)
    assert everything["total"] == len(everything["calls"]) > 10
    first = demo.program(*asked, "--limit", 10)
    assert f"calls: 10 of {everything['total']}" in first.out
    after = first.out.split("more: --after ")[1].strip()
    rest = json.loads(demo.program(*asked, "--after", after, "--all", "--json").out)["calls"]
    assert rest == everything["calls"][10:]
    ended = demo.program(*asked, "--all", "--csv", tmp_path / "calls.csv", "--json")
    assert json.loads(ended.out)["calls"] == len(everything["calls"])
    assert pl.read_csv(tmp_path / "calls.csv", infer_schema=False)["call_uid"].to_list() == [
        call["call_uid"] for call in everything["calls"]
    ]


def test_what_is_not_there_is_told_and_nothing_written(demo: Demo, tmp_path: Path) -> None:
    assert demo.program("find", "10000000000").code == 1
    ended = demo.program("get", "no-such-call", "--out", tmp_path / "call.wav")
    assert ended.code == 2
    assert "no-such-call" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_flow_run_twice_by_hand_changes_nothing(demo: Demo) -> None:
    before = content(demo.folder)
    for words in (["backup", "meituan", "--site", "cq", "--day", "2021-01-31"], ["ingest", "meituan"]):
        ended = demo.program(*words, "--json")
        assert ended.code == 0, ended.err
        assert json.loads(ended.out)
    assert content(demo.folder) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backup", "nobody"], "nobody"),
        (["ingest", "nobody"], "nobody"),
        (["reconcile", "nobody"], "nobody"),
        (["find"], "number"),
        (["find", "--attribute", "case"], "NAME=VALUE"),
        (["find", "--extension", "2049", "--after", "x"], "--after"),
    ],
)
def test_a_mistake_is_one_paragraph_and_exit_code_two(demo: Demo, words: list[str], said: str) -> None:
    ended = demo.program(*words)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err + ended.out


def test_no_secret_is_in_what_the_demo_shows_or_keeps(demo: Demo) -> None:
    password = (demo.folder / "password").read_bytes()
    assert password.decode() not in demo.said.out + demo.said.err
    kept = [file for file in (demo.folder / "storage").rglob("*") if file.is_file() and "restic" not in file.parts]
    assert not [file for file in kept if password in file.read_bytes()]


PACKS = ("collection-notes", "recordings-with-index", "monthly-statistics")
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def packs(finished: Demo) -> dict[str, Path]:
    """The folder of the first part of each pack that the demo has, sent once for both days."""
    period = ("--since", "2021-01-30", "--until", "2021-01-31")
    with held(finished.folder.parent / "test.lock"):
        sent = finished.folder.parent / "sent"
        for pack in () if sent.exists() else PACKS:
            ended = finished.program("export", "meituan", pack, *period)
            assert ended.code == 0, ended.err
        sent.touch()
    folder = finished.folder / "storage" / "exports" / "meituan"
    return {pack: folder / pack / "2021-01-30--2021-01-31.001" / "001" for pack in PACKS}


def cells(file: bytes) -> list[list[str]]:
    sheet = openpyxl.load_workbook(BytesIO(file)).active
    return [["" if cell.value is None else str(cell.value) for cell in row] for row in sheet.iter_rows()]


def same_as_golden(name: str, content: bytes) -> None:
    """`GOLDEN=write` in the environment writes what then is golden."""
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / name).write_bytes(content)
    assert content == (GOLDEN / name).read_bytes()


def test_notes_for_a_bank_are_the_golden_file_to_the_byte(packs: dict[str, Path]) -> None:
    [file] = packs["collection-notes"].iterdir()
    assert file.name == "ICBC_CJ_20210130_20210131.txt"
    same_as_golden(file.name, file.read_bytes())


def test_statistics_are_the_golden_sheet(packs: dict[str, Path]) -> None:
    [file] = packs["monthly-statistics"].iterdir()
    same_as_golden("statistics.json", json.dumps(cells(file.read_bytes()), ensure_ascii=False, indent=0).encode())


def test_recordings_for_a_bank_have_the_golden_index_and_are_a_valid_bag(
    packs: dict[str, Path], tmp_path: Path
) -> None:
    [file] = packs["recordings-with-index"].iterdir()
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / file.stem
    assert bagit.Bag(str(folder)).is_valid()
    index = cells((folder / "data" / "index.xlsx").read_bytes())
    same_as_golden("index.json", json.dumps(index, ensure_ascii=False, indent=0).encode())
    named = {row[7] for row in index[1:]}
    assert named == {str(one.relative_to(folder / "data")) for one in (folder / "data").rglob("*.wav")}
    for name in named:
        with av.open(str(folder / "data" / name)) as copy:
            assert copy.streams.audio[0].codec_context.name == "pcm_alaw"


def test_no_pack_is_sent_twice(demo: Demo, packs: dict[str, Path]) -> None:
    said = demo.program(
        "export", "meituan", PACKS[0], "--since", "2021-01-30", "--until", "2021-01-31", "--json"
    )  # fmt: skip
    assert json.loads(said.out)["rows"] == 0
    rows = [json.loads(file.read_text()) for file in (demo.folder / "storage" / "listen" / "audit").rglob("*.json")]
    asked = [row for row in rows if row["action"] == "packs" and row["subject"] == PACKS[0]]
    assert sorted(row["actor"].partition(":")[0] for row in asked) == ["cli", "cli", "prefect", "prefect"]
    assert [path.name for path in packs[PACKS[0]].parents[1].iterdir()] == ["2021-01-30--2021-01-31.001"]


def test_a_list_of_every_call_gives_every_recording_and_says_why_the_others_have_none(
    demo: Demo, tmp_path: Path
) -> None:
    """The command, over the demo with all its faults: what is not in the ZIP file has a reason."""
    found = json.loads(demo.program("find", "--since", "2021-01-30", "--all", "--json").out)["calls"]
    listed = tmp_path / "calls.txt"
    listed.write_text("\n".join(sorted({call["call_id"] for call in found})))
    words = ("retrieve", "meituan", "--list", listed, "--by", "call", "--out", tmp_path / "all.zip", "--json")
    first = demo.program(*words, "--name", "{day:%Y%m%d}/{call_id}.{suffix}")
    assert first.code == 1, first.err
    said = json.loads(first.out)
    assert {"missing", "not_expected", "ambiguous"} <= set(said["reasons"])
    hashes = {one["sha256"] for call in found for one in call["recordings"]}
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        taken = {hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist() if name[-5:] != ".xlsx"}
    assert taken <= hashes
    assert said["recordings"] + said["reasons"].get("lost", 0) + said["reasons"].get("damaged", 0) == len(
        {one["recording_id"] for call in found for one in call["recordings"]}
    )
    assert said["entries"] == len(listed.read_text().split())
    verified = demo.program("audit", "verify", "--json")
    assert verified.code == 0, verified.out
    assert demo.program("retrieve", "meituan", "--list", tmp_path / "none.txt", "--out", "x.zip").code == 2
