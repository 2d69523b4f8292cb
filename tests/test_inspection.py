"""Every morning a person looks at the figures and signs: once a day, in Prefect's UI or by a command."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events.schemas.automations import EventTrigger
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from shop import DAY, Shop
from tables import at

from blocks.errors import PermanentError, SettingsError
from flows.inspection import inspect, sign
from reconcile.disks import newest
from reconcile.frames import (
    CHECKS,
    DISKS,
    DRILLS,
    FINDINGS,
    GONE,
    INSPECTIONS,
    INVENTORY,
    SNAPSHOTS,
    SUMMARY,
    TRACE,
    Frame,
)
from reconcile.inspection import (
    InspectionRules,
    Known,
    Measured,
    Whose,
    digest,
    figures,
    overdue,
    standing,
    with_act,
)
from reconcile.report import inspection_form
from voxkeep.main import run

NEVER = "15 1 1 1 *"
SCHEDULES = dict.fromkeys(("backup", "ingest", "reconcile", "drill", "inspect"), NEVER)
SITES = (("cq", "重庆"), ("bj", "北京"))


@pytest.fixture(scope="module")
def reconciled(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A day with a whole call and one that lacks its recording, reconciled; its routes lead nowhere."""
    shop = Shop(tmp_path_factory.mktemp("reconciled"), business="looked-at")
    (shop.folder / "route").write_text("json://127.0.0.1:9/")
    (shop.folder / "boss").write_text("json://127.0.0.1:9/boss")
    answering = {"escalate_to": {"boss": {"file": "boss"}}, "page": "https://listen.example.org/"}
    shop.apply(schedules=SCHEDULES, alerts={"ops": {"file": "route"}}, inspection=answering)
    shop.call("c1", "09:00:00")
    shop.recording("09:00:00")
    shop.call("c2", "10:00:00", number="18600000000")
    shop.run()
    return shop


@pytest.fixture
def shop(reconciled: Shop) -> Iterator[Shop]:
    """That day before anybody has inspected it."""
    yield reconciled
    for folder in ("outbox", "catalog/inspections"):
        for file in (reconciled.storage / folder).rglob("*.*"):
            file.unlink()


def acts(shop: Shop) -> list[str]:
    return shop.frame(INSPECTIONS)["act"].to_list()


def kept_alerts(shop: Shop, of: str = "") -> list[dict[str, Any]]:
    files = (shop.storage / "outbox" / f"{shop.business}{of}").glob("*.json")
    return [json.loads(file.read_text()) for file in files]


def started(client: SyncPrefectClient, shop: Shop) -> FlowRun:
    """A run of the deployment, carried out here as a worker does."""
    known = client.read_deployment_by_name(f"inspect/{shop.business}")
    made = client.create_flow_run_from_deployment(known.id, parameters={"business": shop.business, "day": str(DAY)})
    return carried_on(client, made)


def carried_on(client: SyncPrefectClient, made: FlowRun) -> FlowRun:
    with suppress(Pause):  # so a run that suspends itself ends its process
        run_flow(inspect, client.read_flow_run(made.id))
    return client.read_flow_run(made.id)


def named(client: SyncPrefectClient, made: FlowRun, what: str) -> Any:
    """What the run keeps for the form: its description or its schema, as Prefect's UI reads it."""
    found = client.read_flow_run(made.id).state
    assert found
    assert found.state_details.run_input_keyset
    key = found.state_details.run_input_keyset[what]
    return client.request("GET", "/flow_runs/{id}/input/{key}", path_params={"id": made.id, "key": key}).json()


def test_a_run_waits_until_a_person_has_signed_in_prefect(shop: Shop) -> None:
    with get_client(sync_client=True) as client:
        made = started(client, shop)
        assert (made.state_name, acts(shop)) == ("Suspended", ["opened"])
        told = named(client, made, "description")
        assert "1 / 2" in told or "50.0 %" in told
        assert "https://listen.example.org/call/looked-at/2021-01-31/" in told
        assert "15372388463" not in told
        schema = named(client, made, "schema")
        assert list(schema["properties"]) == ["name", "verdict", "heard", "comment"]
        assert schema["required"] == ["name", "verdict", "heard"]  # nobody signs by doing nothing
        assert schema["properties"]["verdict"]["enum"] == ["合格", "合格，有意见", "不合格"]

        refused = client.resume_flow_run(made.id, run_input={"name": " ", "verdict": "合格", "heard": 1})
        assert refused.status.name == "REJECT"
        said = {"name": "王磊", "verdict": "合格，有意见", "heard": 1, "comment": "c2 已报修"}
        assert client.resume_flow_run(made.id, run_input=said).status.name == "ACCEPT"
        assert carried_on(client, made).state_name == "Completed"
    opened, signed = shop.frame(INSPECTIONS).to_dicts()
    assert (signed["author"], signed["verdict"], signed["comment"], signed["heard"]) == (
        "王磊", "remarks", "c2 已报修", 1,
    )  # fmt: skip
    assert signed["figures_sha256"] == opened["figures_sha256"]
    page = (shop.storage / "reports" / shop.business / str(DAY) / "inspection.html").read_text()
    assert "王磊" in page
    assert "c2 已报修" in page


def test_a_run_that_waits_is_not_taken_for_dead(shop: Shop) -> None:
    with get_client(sync_client=True) as client:
        (watch,) = client.read_automations_by_name(f"{shop.business}: a worker died")
    assert isinstance(watch.trigger, EventTrigger)
    assert "prefect.flow-run.Suspended" in watch.trigger.expect


def test_run_again_it_is_the_same_inspection_and_only_one_run_waits(shop: Shop) -> None:
    with get_client(sync_client=True) as client:
        first = started(client, shop)
        assert started(client, shop).state_name == "Completed"
        assert acts(shop) == ["opened"]
        sign(shop.business, "李娜", "ok", day=DAY)
        resumed = client.read_flow_run(first.id)
        assert resumed.state_name == "Resuming"
        assert carried_on(client, resumed).state_name == "Completed"
        assert started(client, shop).state_name == "Completed"
    assert acts(shop) == ["opened", "signed"]


def test_a_rejection_alarms_and_is_inspected_anew(shop: Shop) -> None:
    done = sign(shop.business, "李娜", "rejected", "听不清", day=DAY)
    assert done["stands"] == "rejected"
    (alert,) = kept_alerts(shop)
    assert alert["severity"] == "critical"
    assert "李娜 判定今日巡检不合格：听不清" in alert["markdown"]
    assert inspect(shop.business, DAY)["stands"] == "open"
    assert sign(shop.business, "李娜", "ok", day=DAY)["stands"] == "ok"
    assert acts(shop) == ["opened", "signed", "opened", "signed"]
    kept = Path(done["page"]).parent.glob("inspection*.json")
    assert {digest(file.read_bytes()) for file in kept} >= set(shop.frame(INSPECTIONS)["figures_sha256"])


def test_who_does_not_sign_is_reminded_and_then_others_are_told_once_each(shop: Shop) -> None:
    inspect(shop.business, DAY)
    catalog = shop.storage / "catalog" / "inspections"
    (file,) = catalog.rglob("*.parquet")
    for hours in (2.5, 2.5, 5, 5):
        rows = pl.read_parquet(file)
        rows.with_columns(pl.col("at") - timedelta(hours=hours)).write_parquet(file)
        inspect(shop.business, DAY)
    assert acts(shop) == ["opened", "reminded", "escalated"]
    assert [alert["route"] for alert in kept_alerts(shop, "--escalation")] == ["boss"]
    assert {alert["severity"] for alert in kept_alerts(shop)} == {"info", "major"}


def test_figures_that_were_changed_are_not_signed(shop: Shop) -> None:
    done = inspect(shop.business, DAY)
    Path(done["page"]).with_suffix(".json").write_text("{}")
    with pytest.raises(PermanentError, match="not the figures under which"):
        sign(shop.business, "李娜", "ok", day=DAY)
    with pytest.raises(SettingsError, match="say who signs"):
        sign(shop.business, " ", "ok", day=DAY)


def test_on_the_command_line(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["voxkeep", "inspect", shop.business, "--day", str(DAY), "--home", str(shop.folder / "home"), "--json"]
    said = ["--sign", "李娜", "--verdict", "remarks", "--comment", "磁盘已订", "--heard", "2"]
    for more, code in ((said, 0), ([], 0)):
        monkeypatch.setattr("sys.argv", [*words, *more])
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code == code
        done = json.loads(capsys.readouterr().out)
        assert (done["stands"], done["signed_by"], done["comment"]) == ("remarks", "李娜", "磁盘已订")
    assert acts(shop) == ["opened", "signed"]


# the figures


def rows(frame: Frame, *given: dict[str, Any]) -> pl.DataFrame:
    """Rows of a frame with what matters; whatever else may not be null is nothing."""
    plain = {"String": "", "Int64": 0, "Int32": 0, "Float64": 0.0, "Boolean": False, "UInt32": 0}
    nothing = {
        name: None if column.nullable else plain.get(str(dtype), at("00:00:00") if "time" in str(dtype) else DAY)
        for (name, column), dtype in zip(frame.columns.items(), frame.schema.values(), strict=True)
    }
    return pl.DataFrame([nothing | row for row in given], schema=frame.schema)


def known(**frames: pl.DataFrame) -> Known:
    names = {
        "summary": SUMMARY, "grown": SUMMARY, "findings": FINDINGS, "snapshots": SNAPSHOTS, "drills": DRILLS,
        "gone": GONE, "trace": TRACE, "inventory": INVENTORY, "checks": CHECKS,
    }  # fmt: skip
    nothing = {name: frame.empty() for name, frame in names.items()} | {"disks": disks()}
    return Known(**nothing | frames)


def disks(*given: dict[str, Any]) -> pl.DataFrame:
    """The ledger of disks on the day, which must arrive within three days."""
    labelled = [{"site": "cq", "disk_id": row["label"], "expected": []} | row for row in given]
    return newest(rows(DISKS, *labelled), 3, at("08:00:00").astimezone(UTC))


def looked_at(day: date = DAY, measured: Measured | None = None, **frames: pl.DataFrame) -> dict[str, Any]:
    whose = Whose("meituan", "美团", day, at("08:00:00", day), "Asia/Shanghai", SITES, 0.99, 60)
    return figures(whose, known(**frames), measured or Measured(500_000_000_000, 1_000_000_000_000, 2, 0), [])


def item(found: dict[str, Any], key: str) -> tuple[str, dict[str, str]]:
    (one,) = [one for one in found["items"] if one["key"] == key]
    return one["state"], one["places"]


def test_a_site_without_yesterdays_backup_is_bad_and_named() -> None:
    yesterday = DAY - timedelta(days=1)
    covers = {"site": "cq", "first_day": yesterday, "day": DAY, "taken_at": at("01:00:00")}
    found = looked_at(snapshots=rows(SNAPSHOTS, covers))
    assert item(found, "backups") == ("bad", {"n": "1", "of": "2", "where": "北京"})
    assert found["state"] == "bad"
    assert [site["last_backup_hours"] for site in found["sites"]] == [7.0, None]


@pytest.mark.parametrize(
    ("key", "frames", "state", "places"),
    [
        ("coverage", {"summary": rows(SUMMARY, {"complete": 98, "missing": 2})}, "attention",
         {"complete": "98", "must": "100", "coverage": "98.0 %", "target": "99.0 %"}),
        ("coverage", {}, "unknown", {}),
        ("findings", {"findings": rows(FINDINGS, {"status": "open", "severity": "critical"}, {"status": "waived"})},
         "bad", {"critical": "1", "major": "0", "minor": "0"}),
        ("findings", {"findings": rows(FINDINGS, {"status": "resolved", "severity": "critical"})}, "good",
         {"critical": "0", "major": "0", "minor": "0"}),
        ("gone", {"gone": rows(GONE, {"list_id": "a"}, {"list_id": None})}, "attention",
         {"purged": "1", "unexplained": "1"}),
        ("gone", {"gone": rows(GONE, {"list_id": "a"})}, "good", {"purged": "1", "unexplained": "0"}),
        ("clocks", {"inventory": rows(INVENTORY, {"site": "bj", "recording_id": "a", "started_at": at("09:07:00")}),
                    "trace": rows(TRACE, {"recording_id": "a", "match": "key", "started_at": at("09:00:00")})},
         "attention", {"where": "北京", "offset": "+420.0", "limit": "60"}),
        ("forecast", {"grown": rows(SUMMARY, {"bytes": 10_000_000_000}, {"bytes": 0, "site": "b"})}, "attention",
         {"days": "25", "growth": "20.0 GB"}),
        ("drills", {"drills": rows(DRILLS, {"site": "cq", "good": True}, {"site": "bj", "good": False})}, "bad",
         {"n": "1", "of": "2", "where": "北京"}),
        ("drills", {"drills": rows(DRILLS, {"site": "cq", "good": True}, {"site": "bj", "good": True})}, "good",
         {"n": "2", "of": "2"}),
        ("checks", {}, "unknown", {}),
        ("checks", {"checks": rows(CHECKS, {"site": "cq", "kind": "packs", "verdict": "damaged", "concerned": 3,
                                            "day": DAY - timedelta(days=1)},
                                   {"site": "cq", "kind": "packs", "verdict": "sound"})}, "good",
         {"n": "1", "day": "2021-01-31"}),
        ("checks", {"checks": rows(CHECKS, {"site": "cq", "kind": "packs", "verdict": "damaged", "concerned": 3},
                                   {"site": "bj", "kind": "packs", "verdict": "sound"})}, "bad",
         {"n": "3", "where": "cq"}),
        ("disks", {"disks": disks({"label": "A1", "departed_at": at("08:00:00", DAY - timedelta(days=4))},
                                  {"label": "A2", "departed_at": at("08:00:00", DAY - timedelta(days=1))})}, "bad",
         {"on_the_way": "1", "arrived": "0", "n": "1", "where": "A1 (重庆)"}),
        ("disks", {"disks": disks({"label": "A1", "departed_at": at("08:00:00", DAY - timedelta(days=4)),
                                   "arrived_at": at("09:00:00", DAY - timedelta(days=2))})}, "good",
         {"on_the_way": "0", "arrived": "1"}),
    ],
)  # fmt: skip
def test_the_checklist_judges_what_it_shows(
    key: str, frames: dict[str, pl.DataFrame], state: str, places: dict[str, str]
) -> None:
    assert item(looked_at(**frames), key) == (state, places)


@pytest.mark.parametrize(
    ("measured", "states"),
    [
        (Measured(150, 1000, 1, 0, pl.DataFrame({"site": ["cq"], "hours": [0.2]})), ("attention", "good", "good")),
        (Measured(50, 1000, 1, 3, pl.DataFrame({"site": ["cq"], "hours": [7.5]})), ("bad", "attention", "attention")),
        (Measured(500, 1000, 1, 0, None), ("good", "good", "unknown")),
    ],
)
def test_room_alerts_and_locks_are_judged(measured: Measured, states: tuple[str, ...]) -> None:
    found = looked_at(measured=measured)
    assert tuple(item(found, key)[0] for key in ("room", "alerts", "locks")) == states


def test_the_form_says_everything_in_both_languages() -> None:
    found = looked_at()
    assert "| **异常** | 备份 | 0 / 2 个站点有昨日的备份，缺：重庆, 北京 |" in inspection_form(found, "a" * 64, "zh")
    assert "| **not known** | Coverage | no call had to have a recording |" in inspection_form(found, "a" * 64, "en")


def test_acts_tell_how_it_stands_and_what_is_overdue() -> None:
    nothing, rules = INSPECTIONS.empty(), InspectionRules()
    common = {"business": "b", "site": "-", "day": DAY, "figures_sha256": "f"}

    def acted(clock: str, act: str, **said: Any) -> dict[str, Any]:
        return common | {"act": act, "at": at(clock)} | said

    def after(clock: str) -> datetime:
        return at(clock)

    opened = with_act(nothing, acted("08:00:00", "opened"))
    assert [standing(nothing), standing(opened)] == ["none", "open"]
    assert [overdue(opened, after(clock), rules) for clock in ("09:59:00", "10:00:00", "12:00:00")] == [
        None, "reminded", "escalated",
    ]  # fmt: skip
    reminded = with_act(opened, acted("10:00:00", "reminded"))
    assert [overdue(reminded, after(clock), rules) for clock in ("11:00:00", "12:00:00")] == [None, "escalated"]
    signature = acted("12:00:00", "signed", author="w", verdict="rejected", comment="x")
    signed = with_act(reminded, signature)
    assert with_act(signed, signature | {"at": at("12:01:00")}).equals(signed)
    assert (standing(signed), overdue(signed, after("18:00:00"), rules)) == ("rejected", None)
    again = with_act(signed, acted("13:00:00", "opened"))
    assert overdue(again, after("15:30:00"), rules) == "reminded"
