"""A certificate says what was kept, is proved by standard tools, and nothing of it can be changed unseen."""

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from shop import Shop
from tables import BUSINESS, DAY, SITE, Row, call, calls, inventory, recording, recording_id, rows_of

from blocks.errors import SettingsError
from blocks.signing import Signer
from flows.certify import certify, files_of
from reconcile import merkle
from reconcile.certificate import Kept, Period, certificate, recordings_csv
from reconcile.findings import collect_findings, in_trace
from reconcile.frames import EXTRACTS, NOTES, SNAPSHOTS, SUMMARY, TRACE, WAIVERS
from reconcile.rules import MatchingRules, Rules
from reconcile.summary import summarise
from reconcile.trace import Stations, trace
from voxkeep.certificate import verify
from voxkeep.main import run

NOW = datetime(2021, 2, 1, 8, tzinfo=UTC)
PERIOD = Period(BUSINESS, "Shop", (SITE,), DAY, DAY, "Asia/Shanghai", 0.99)
CONTENTS = {"2049_15372388463_090000.wav": b"one", "2049_15372388463_100000.wav": b"two", "c.wav": b"three"}


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(private_key=SecretStr(make_key(tmp_path / "key.pem").read_text()))


@pytest.fixture
def issued(signer: Signer, tmp_path: Path) -> Path:
    """What is issued for a day with three recordings, each with its call."""
    folder = tmp_path / "issued"
    folder.mkdir()
    for name, content in files_of(PERIOD, kept(*CONTENTS), signer, NOW).items():
        (folder / name).write_bytes(content)
    return folder


def kept(*paths: str, waivers: tuple[Row, ...] = ()) -> Kept:
    """A day with these recordings and a call for each of CONTENTS, everything where it should be."""
    rows = calls(*(call(f"c{place}", recording_path=path) for place, path in enumerate(CONTENTS)))
    files = inventory(*(recording(path, sha256=sha256(CONTENTS[path]).hexdigest()) for path in paths))
    traced = trace(rows.lazy(), files.lazy(), Stations(), Rules()).trace
    found = collect_findings([in_trace(traced, MatchingRules())], DAY)
    nothing = {"notes": NOTES.empty().lazy(), "extracts": EXTRACTS.empty().lazy()}
    summary = summarise(traced, calls=rows.lazy(), findings=found.lazy(), **nothing)
    snapshot = {
        "business": BUSINESS, "site": SITE, "day": DAY, "snapshot_id": "a" * 64, "repository_year": 2021,
        "taken_at": NOW, "first_day": DAY, "files": len(paths), "bytes": 0,
    }  # fmt: skip
    return Kept(traced, summary, rows_of(SNAPSHOTS, snapshot), found, rows_of(WAIVERS, *waivers))


def make_key(file: Path) -> Path:
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", file], check=True, capture_output=True)
    return file


def certified(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "certificate.json").read_text())
    return content


def test_it_says_what_was_kept(issued: Path) -> None:
    said = certified(issued)
    assert said["complete"]
    assert said["coverage"] == 1
    assert said["calls"] == {
        "calls": 3, "calls_expecting": 3, "complete": 3, "partial": 0, "missing": 0, "excluded": 0,
    }  # fmt: skip
    assert said["recordings"]["recordings"] == said["hashes"]["count"] == 3
    assert said["open_findings"] == {"total": 0, "kinds": {}, "ids": []}
    assert said["snapshots"] == [{"site": SITE, "snapshot_id": "a" * 64}]
    assert said["days_not_backed_up"] == []
    ordered = sorted((recording_id(path), sha256(content).digest()) for path, content in CONTENTS.items())
    assert said["hashes"]["merkle_root"] == merkle.root([digest for _, digest in ordered]).hex()


def test_it_says_what_was_not_kept() -> None:
    period = replace(PERIOD, since=DAY - timedelta(days=1))
    of_two = kept(*list(CONTENTS)[:2])
    said = certificate(period, of_two, recordings_csv(of_two.trace), NOW)
    assert not said["complete"]
    assert said["coverage"] == pytest.approx(2 / 3, abs=1e-6)
    assert said["open_findings"]["kinds"] == {"recording_missing": 1}
    assert len(said["open_findings"]["ids"]) == 1
    assert said["days_not_backed_up"] == [f"{SITE} {DAY - timedelta(days=1)}"]


def test_a_day_without_calls_that_a_snapshot_covers_is_no_gap() -> None:
    quiet = kept(*CONTENTS)
    quiet = replace(quiet, summary=SUMMARY.empty(), trace=TRACE.empty().lazy())
    assert certificate(PERIOD, quiet, recordings_csv(quiet.trace), NOW)["complete"]
    nobody = replace(quiet, snapshots=SNAPSHOTS.empty())
    assert not certificate(PERIOD, nobody, recordings_csv(nobody.trace), NOW)["complete"]


def test_standard_tools_are_enough_to_check_it(issued: Path) -> None:
    check = [
        "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public-key.pem", "-rawin", "-in", "certificate.json",
        "-sigfile", "certificate.json.sig",
    ]  # fmt: skip
    subprocess.run(check, cwd=issued, capture_output=True, check=True)
    listed = (issued / "recordings.csv").read_bytes()
    assert sha256(listed).hexdigest() == certified(issued)["hashes"]["sha256"]
    for content in CONTENTS.values():
        assert sha256(content).hexdigest() in listed.decode()


def test_it_names_no_number_and_no_path(issued: Path) -> None:
    for file in issued.iterdir():
        assert b"15372388463" not in file.read_bytes()


def test_a_recording_is_found_in_it_with_its_proof(issued: Path, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.wav", tmp_path / "other.wav"
    mine.write_bytes(b"two")
    other.write_bytes(b"other")
    found = verify(issued, None, [mine, other])
    (row, absent) = found.recordings
    assert (issued / "recordings.csv").read_text().splitlines()[row["line"] - 1].endswith(row["sha256"])
    steps = [merkle.Step(step["side"], bytes.fromhex(step["node"])) for step in row["proof"]]
    root = certified(issued)["hashes"]["merkle_root"]
    assert merkle.root_by(sha256(b"two").digest(), steps).hex() == root
    assert absent["line"] is None
    assert found.wrong == []
    assert not found.good()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("certificate.json", b'"complete": 3', b'"complete": 2'),
        ("certificate.json.sig", b"", b"x"),
        ("recordings.csv", sha256(b"one").hexdigest().encode(), sha256(b"other").hexdigest().encode()),
    ],
)
def test_a_changed_file_is_told(issued: Path, name: str, old: bytes, new: bytes) -> None:
    assert verify(issued, None, []).good()
    content = (issued / name).read_bytes()
    (issued / name).write_bytes(content.replace(old, new, 1))
    assert verify(issued, None, []).wrong


def test_another_s_key_does_not_do(issued: Path, tmp_path: Path) -> None:
    other = Signer(private_key=SecretStr(make_key(tmp_path / "other.pem").read_text()))
    (tmp_path / "public.pem").write_bytes(other.public_key())
    assert verify(issued, issued / "public-key.pem", []).good()
    assert verify(issued, tmp_path / "public.pem", []).wrong


@pytest.mark.parametrize("pem", ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_told_without_being_shown(pem: str) -> None:
    with pytest.raises(SettingsError, match="no Ed25519 private key") as told:
        Signer(private_key=SecretStr(pem))
    assert not pem or pem not in str(told.value)


def test_a_business_issues_it_from_its_catalog(shop: Shop) -> None:
    with pytest.raises(SettingsError, match="openssl genpkey"):
        certify(shop.business, DAY, DAY)
    make_key(shop.folder / "key.pem")
    shop.apply(certificate_key={"file": "key.pem"})
    shop.call("c1", "09:00:00")
    shop.recording("09:00:00")
    shop.run()
    done = certify(shop.business, DAY, DAY)
    assert done["complete"]
    (file,) = shop.root.rglob("*.wav3")
    assert verify(Path(done["folder"]), None, [file]).good()
    assert certified(Path(done["folder"]))["recordings"]["published"] == 1
    with pytest.raises(SettingsError, match="ends before it begins"):
        certify(shop.business, DAY, DAY - timedelta(days=1))
    with pytest.raises(SettingsError, match="not over"):
        certify(shop.business, DAY, DAY + timedelta(days=36500))


def test_on_the_command_line(issued: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["voxkeep", "certificate", "verify", str(issued)])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 0
    assert "as it was issued" in capsys.readouterr().out
