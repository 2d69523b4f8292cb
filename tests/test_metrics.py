"""Metrics: every one that is documented exists and moves, and what is shipped for Prometheus and Grafana knows them."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import start_http_server
from prometheus_client.parser import text_string_to_metric_families
from shop import ZONE, Shop

from blocks.catalog import Catalog
from reconcile.frames import UNINDEXED
from voxkeep import metrics

MONITORING = Path(__file__).resolve().parents[1] / "deploy" / "monitoring"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
LABELS = {gauge.name: gauge.labels for gauge in metrics.METRICS}
NAMES = list(LABELS)
Told = dict[str, dict[tuple[str, ...], float]]


def promtool(*arguments: str | Path, content: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool, where there is one."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool: make servers")
    return subprocess.run([program, *arguments], input=content, capture_output=True, check=False, text=True)


def told(home: Path) -> Told:
    """Every sample of every metric, by its labels."""
    families = text_string_to_metric_families(metrics.text(home))
    return {
        family.name: {
            tuple(sample.labels[label] for label in LABELS[family.name]): sample.value for sample in family.samples
        }
        for family in families
    }


class Watched:
    """A shop, and what metrics tell of it before and after its runs, and when something is wrong."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.home = shop, shop.folder / "home"
        day = datetime.now(ZONE).date() - timedelta(days=1)
        self.before = told(self.home)
        for clock in ("11:41:29", "12:00:00"):
            shop.call(clock, clock, day=day)
            shop.recording(clock, day=day)
        shop.call("lost", "13:00:00", number="13800000000", day=day)
        shop.run(day)
        self.after = told(self.home)
        catalog = Catalog(url=str(shop.storage / "catalog"))
        row = {"business": shop.business, "site": "one", "day": day, "since": datetime.now(UTC)}
        catalog.write(UNINDEXED.name, shop.business, "one", day, pl.DataFrame([row], schema=UNINDEXED.schema))
        outbox = shop.storage / "outbox" / shop.business
        outbox.mkdir(parents=True)
        (outbox / "kept.json").write_text("{}")
        self.waiting = told(self.home)
        self.text = metrics.text(self.home)
        (shop.storage / "catalog" / "runs" / f"business={shop.business}" / f"day={datetime.now(ZONE).date()}").joinpath(
            "one.parquet"
        ).write_bytes(b"damaged")
        self.damaged = told(self.home)


@pytest.fixture(scope="module")
def watched(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(Shop(tmp_path_factory.mktemp("watched")))


def test_every_documented_metric_exists_and_moves(watched: Watched) -> None:
    looks = [watched.before, watched.after, watched.waiting, watched.damaged]
    assert [set(look) for look in looks] == [set(NAMES)] * 4
    # Where the catalog is damaged all figures are gone, which is no move but that of the metric which says so.
    still = [name for name in NAMES if all(look[name] == looks[0][name] for look in looks[:3])]
    assert still == [metrics.READABLE]
    assert watched.damaged[metrics.READABLE] != watched.before[metrics.READABLE]


def test_the_figures_are_those_of_the_business(watched: Watched) -> None:
    place, after = ("shop", "one"), watched.after
    assert watched.before["voxkeep_last_success_timestamp_seconds"][(*place, "backup")] == 0
    now = datetime.now(UTC).timestamp()
    for stage in metrics.STAGES:
        assert now - 300 < after["voxkeep_last_success_timestamp_seconds"][(*place, stage)] <= now
    assert {stage for *_, stage in after["voxkeep_stage_duration_seconds"]} == {
        "backup", "snapshot", "ingest", "unpack", "restore", "verify", "publish", "catalogue", "index",
        "reconcile", "trace", "findings", "summary", "report",
    }  # fmt: skip
    assert after["voxkeep_coverage_ratio"][place] == pytest.approx(2 / 3)
    assert after["voxkeep_findings_open"][(*place, "recording_missing", "major")] == 1
    assert after["voxkeep_findings_open"][(*place, "recording_lost", "critical")] == 0
    assert after["voxkeep_calls"][place] == 3
    assert after["voxkeep_recordings"][(*place, "indexed")] == 2
    assert after["voxkeep_recording_bytes"][place] == 2 * (5 * 16000 + 44)
    assert after["voxkeep_listenable_calls"][place] == 2
    assert 0 < after["voxkeep_listenable_seconds"][(*place, "50")] < 2 * 86400
    assert watched.waiting["voxkeep_index_backlog"][place] == 1
    assert watched.waiting["voxkeep_alerts_undelivered"][("shop",)] == 1


def test_a_catalog_that_cannot_be_read_is_told_and_hinders_nothing(watched: Watched) -> None:
    assert watched.damaged[metrics.READABLE] == {("shop",): 0}
    assert watched.damaged["voxkeep_calls"] == {}


def test_promtool_accepts_what_is_told(watched: Watched) -> None:
    checked = promtool("check", "metrics", content=watched.text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_endpoint_and_textfile_tell_the_same(watched: Watched, tmp_path: Path) -> None:
    server, thread = start_http_server(0, "127.0.0.1", metrics.registry(watched.home))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            served = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    file = tmp_path / "voxkeep.prom"
    metrics.write_textfile(watched.home, file)
    assert file.read_text(encoding="utf-8") == served
    assert [found.name for found in tmp_path.iterdir()] == [file.name]


def test_a_reader_of_the_textfile_never_sees_half(watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "voxkeep.prom"
    metrics.write_textfile(watched.home, file)
    writer = Thread(target=lambda: [metrics.write_textfile(watched.home, file) for _ in range(5)])
    writer.start()
    while writer.is_alive():
        assert file.read_text(encoding="utf-8").count("# TYPE ") == len(NAMES)
    writer.join()


def test_the_live_status_is_readable_at_80_columns_and_ends_cleanly(watched: Watched) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    program = Path(sys.executable).with_name("voxkeep")
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    command = [program, "status", "--watch", "--home", str(watched.home)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as shown:
        os.close(theirs)
        text = ""
        while "shop/one" not in text:
            text += os.read(ours, 65536).decode()
        shown.send_signal(signal.SIGINT)
        assert shown.wait(timeout=60) == 0
    os.close(ours)
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(re.match(r"shop/one +\d{4}-\d\d-\d\d +66\.7% +3 +2 +0 +1 +0", line) for line in lines), lines


def test_promtool_accepts_the_alert_rules_and_they_come_when_they_should() -> None:
    checked = promtool("check", "rules", MONITORING / "alerts.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", MONITORING / "alerts_test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_tested_and_asks_for_metrics_that_there_are() -> None:
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    tests = (MONITORING / "alerts_test.yaml").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in rules if f'alertname="{rule["alert"]}"' not in tests] == []
    assert unknown(rule["expr"] for rule in rules) == set()


def test_the_dashboard_is_one_by_the_schema_of_grafana() -> None:
    """Whatever the schema does not know is lost on the way through it."""
    register_default_plugins()
    loaded = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert list(lost(DASHBOARD, loaded)) == []
    misspelt = {**DASHBOARD, "panels": [{**DASHBOARD["panels"][0], "gridPosition": {}}]}
    through = json.loads(JSONEncoder().encode(Dashboard.from_json(misspelt)))
    assert list(lost(misspelt, through)) == ["/panels/0/gridPosition"]


def test_the_dashboard_shows_every_metric_with_a_unit_and_a_title_in_both_languages() -> None:
    panels = DASHBOARD["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    assert unknown(asked) == set()
    assert [name for name in NAMES if not any(re.search(rf"\b{name}\b", expression) for expression in asked)] == []
    for panel in panels:
        assert re.search(r"[\u4e00-\u9fff].* [A-Z]", panel["title"]), panel["title"]
        unit = panel["fieldConfig"]["defaults"]["unit"]
        expressions = " ".join(target["expr"] for target in panel["targets"])
        assert unit == ("s" if "_seconds" in expressions else "bytes" if "_bytes" in expressions else
                        "percentunit" if "_ratio" in expressions else "short"), panel["title"]  # fmt: skip


def test_prometheus_understands_every_question_of_the_dashboard(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    rules = [{"record": f"panel:{place}", "expr": expression} for place, expression in enumerate(asked)]
    file = tmp_path / "questions.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_panel_lies_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def unknown(expressions: Any) -> set[str]:
    return {name for one in expressions for name in re.findall(r"voxkeep_\w+", one)} - set(NAMES)


def lost(given: Any, kept: Any, place: str = "") -> Any:
    """The places of what is not the same in `kept`."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for name, value in given.items():
            yield from lost(value, kept.get(name), f"{place}/{name}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from lost(one, other, f"{place}/{number}")
    elif given != kept:
        yield place
