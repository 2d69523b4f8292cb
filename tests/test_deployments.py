"""What `voxkeep apply` makes in Prefect for workers: pools, limits, deployments, schedules and automations."""

from collections import Counter
from typing import Any

import pytest
from online import forget_all
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from shop import Shop

from voxkeep import automations
from voxkeep.apply import apply, plan

NIGHTLY = {"schedules": {"backup": "15 1 * * *"}}
ALL_OURS = {
    "work pool central",
    "work pool shop--one",
    "concurrency limit voxkeep-ingest-shop-one",
    "deployment backup/shop--one",
    "deployment ingest/shop",
    "deployment reconcile/shop",
    "deployment drill/shop--one",
    "deployment inspect/shop",
    "deployment maintain/shop",
    "deployment retain/shop",
    "deployment notice/shop",
    "deployment export/shop",
    "deployment retrieve/shop",
    "automation shop: ingest a new snapshot",
    "automation shop: backup overdue: one",
    "automation shop: a flow failed",
    "automation shop: a worker died",
}


def of_prefect(outcome: dict[str, str]) -> dict[str, str]:
    return {what: done for what, done in outcome.items() if not what.startswith("block ")}


def again(shop: Shop) -> dict[str, str]:
    return apply(shop.settings, shop.folder / "home")


@pytest.fixture
def clean(shop: Shop) -> Shop:
    """The shop, and a server that knows nothing of its deployments."""
    forget_all()
    return shop


def test_without_schedules_nothing_is_made_for_workers(clean: Shop) -> None:
    assert of_prefect(again(clean)) == {}


def test_everything_is_made_once_and_then_unchanged(clean: Shop) -> None:
    clean.apply(**NIGHTLY)
    assert set(of_prefect(again(clean))) == ALL_OURS
    assert set(again(clean).values()) == {"unchanged"}


def test_a_plan_tells_what_would_be_done_and_does_nothing(clean: Shop) -> None:
    told = of_prefect(plan(clean.settings_with(**NIGHTLY), clean.folder / "home"))
    assert told["deployment backup/shop--one"] == "create"
    with get_client(sync_client=True) as client:
        assert client.read_deployments(limit=200) == []
        assert client.read_automations() == []


def test_a_changed_schedule_changes_only_that(clean: Shop) -> None:
    clean.apply(**NIGHTLY)
    clean.apply(schedules={"backup": "45 2 * * *"})
    with get_client(sync_client=True) as client:
        (schedule,) = client.read_deployment_by_name("backup/shop--one").schedules
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("45 2 * * *", "Asia/Shanghai")  # type: ignore[union-attr]
    clean.apply(**NIGHTLY)
    outcome = plan(clean.settings_with(schedules={"backup": "45 2 * * *"}), clean.folder / "home")
    assert {what for what, done in outcome.items() if done != "unchanged"} == {"deployment backup/shop--one"}


def test_what_operators_switched_off_stays_off(clean: Shop) -> None:
    clean.apply(**NIGHTLY)
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("backup/shop--one")
        client.update_deployment_schedule(deployment.id, deployment.schedules[0].id, active=False)
        client.pause_deployment(deployment.id)
        assert set(again(clean).values()) == {"unchanged"}
        known = client.read_deployment_by_name("backup/shop--one")
    assert known.paused
    assert not known.schedules[0].active


def test_a_site_without_network_has_no_worker(clean: Shop) -> None:
    sites: dict[str, Any] = clean.content()["sites"]
    sites["one"]["repository"] = "disk"
    clean.apply(**NIGHTLY, sites=sites)
    made = Counter(what.split()[0] for what in of_prefect(again(clean)))
    assert made == {"work": 1, "concurrency": 1, "deployment": 9, "automation": 3}


def test_a_site_that_is_taken_out_no_longer_runs_and_loses_nothing(clean: Shop) -> None:
    sites = clean.content()["sites"]
    clean.apply(**NIGHTLY, sites=sites | {"two": sites["one"]})
    clean.apply(**NIGHTLY)
    with get_client(sync_client=True) as client:
        assert client.read_deployment_by_name("backup/shop--two").paused
        assert not client.read_automations_by_name("shop: backup overdue: two")[0].enabled
    assert set(again(clean).values()) == {"unchanged"}


def test_the_entrypoints_are_module_paths(clean: Shop) -> None:
    clean.apply(**NIGHTLY)
    with get_client(sync_client=True) as client:
        found = {deployment.entrypoint for deployment in client.read_deployments(limit=200)}
    assert found == {
        "flows.backup.backup",
        "flows.drill.drill",
        "flows.ingest.ingest",
        "flows.inspection.inspect",
        "flows.maintain.maintain",
        "flows.reconciliation.reconcile",
        "flows.retention.retain",
        "flows.notice.notice",
        "flows.export.export",
        "flows.retrieve.retrieve",
    }


def test_automations_are_equal_in_whatever_order_their_events_came() -> None:
    names = [f"prefect.flow-run.{number}" for number in range(300)]
    one, other = set(names), {name for name in reversed(names)}  # noqa: C416  # in the other order
    assert list(one) != list(other)
    contents = {
        automations._content(
            AutomationCore(name="one", trigger=EventTrigger(expect=expect, posture=Posture.Reactive), actions=[])
        )
        for expect in (one, other)
    }
    assert len(contents) == 1
