"""What Prefect does by itself for a business: ingest at once, and tell people of what failed, died or never came.

https://docs.prefect.io/v3/concepts/automations
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture

from blocks.step import Action, Step
from voxkeep.deployments import find_deployment, wanted_deployments
from voxkeep.settings import Settings

# The event that the receiver emits for a new snapshot, and the resource it is about.
SNAPSHOT_EVENT = "voxkeep.snapshot.created"
SITE_RESOURCE = "voxkeep.site.{business}.{site}"
BACKUP_EVERY = timedelta(days=1)
# Prefect looks at the clock of proactive triggers no more often.
HEARTBEATS_MISSED = 3
HEARTBEAT_SECONDS = 60

_Parts = tuple[EventTrigger, RunDeployment | ChangeFlowRunState, str]


def automation_steps(settings: Settings, client: SyncPrefectClient) -> Iterator[Step]:
    """What is to be done so that Prefect has the business's automations.

    Those that name a deployment can be made only when it is there: their step looks for it when it is done.
    """
    if settings.schedules is None:
        return
    for name in _names(settings):
        known = next(iter(client.read_automations_by_name(name)), None)
        wanted = _wanted(settings, name, client)
        what = f"automation {name}"
        if known is None:
            yield Step(what, "create", lambda name=name: _make(settings, name, client))  # type: ignore[misc]
        elif wanted is not None and _content(known) == _content(wanted):
            yield Step(what, "unchanged", lambda: None)
        else:
            yield Step(what, "change", lambda name=name, known=known: _change(settings, name, known, client))  # type: ignore[misc]
    yield from _paused(settings, set(_names(settings)), client)


def _paused(settings: Settings, wanted: set[str], client: SyncPrefectClient) -> Iterator[Step]:
    """Automations of sites that the settings no longer have: an overdue backup of theirs is no news."""
    for known in client.read_automations():
        if known.name.startswith(f"{settings.business}: ") and known.name not in wanted:
            yield _pause_step(known, client)


def _pause_step(known: Automation, client: SyncPrefectClient) -> Step:
    what, action = f"automation {known.name}, no longer wanted: paused", "change" if known.enabled else "unchanged"
    return Step(what, cast("Action", action), lambda: client.pause_automation(known.id))


def _names(settings: Settings) -> list[str]:
    overdue = [
        f"{settings.business}: backup overdue: {wanted.parameters['site']}"
        for wanted in wanted_deployments(settings)
        if wanted.flow.name == "backup"
    ]
    # Where the centre watches, an event would only start a process for what is ingested already.
    at_once = [] if settings.realtime else [f"{settings.business}: ingest a new snapshot"]
    return [
        *at_once,
        *overdue,
        f"{settings.business}: a flow failed",
        f"{settings.business}: a worker died",
    ]


def _make(settings: Settings, name: str, client: SyncPrefectClient) -> None:
    wanted = _wanted(settings, name, client)
    if wanted is not None:
        client.create_automation(wanted)


def _change(settings: Settings, name: str, known: Automation, client: SyncPrefectClient) -> None:
    wanted = _wanted(settings, name, client)
    if wanted is not None:
        client.update_automation(known.id, wanted.model_copy(update={"enabled": known.enabled}))


def _content(automation: AutomationCore) -> str:
    """What makes two automations equal; whether it is enabled is the operators' affair."""
    content = automation.model_dump(include={"name", "description", "trigger", "actions"})
    content["trigger"].pop("id", None)
    # The order of an equal set's members is that in which they came.
    return json.dumps(content, sort_keys=True, default=_plain)


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, set) else str(value)


def _wanted(settings: Settings, name: str, client: SyncPrefectClient) -> AutomationCore | None:
    """The automation of this name; None while a deployment that it names is not there."""
    business = settings.business
    _, _, rest = name.partition(": ")
    what, _, site = rest.partition(": ")
    made: dict[str, Callable[[], _Parts | None]] = {
        "ingest a new snapshot": lambda: _ingest_at_once(business, client),
        "backup overdue": lambda: _backup_overdue(settings, site, client),
        "a flow failed": lambda: _flow_failed(business, client),
        "a worker died": lambda: _worker_died(business),
    }
    parts = made[what]()
    if parts is None:
        return None
    trigger, action, description = parts
    return AutomationCore(name=name, description=description, trigger=trigger, actions=[action], tags=["voxkeep"])


def _ingest_at_once(business: str, client: SyncPrefectClient) -> _Parts | None:
    deployment = find_deployment(f"ingest/{business}", client)
    if deployment is None:
        return None
    trigger = EventTrigger(
        expect={SNAPSHOT_EVENT},
        match={"prefect.resource.id": SITE_RESOURCE.format(business=business, site="*")},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
    parameters = {"site": _jinja("{{ event.payload.site }}"), "snapshot_id": _jinja("{{ event.payload.snapshot_id }}")}
    action = RunDeployment(deployment_id=deployment.id, parameters=parameters)
    return trigger, action, "Start ingest as soon as a site has a new snapshot."


def _backup_overdue(settings: Settings, site: str, client: SyncPrefectClient) -> _Parts | None:
    """Proactive and without `after` or `for_each`, so that a site that never reported is told, too."""
    deployment = find_deployment(f"backup/{settings.business}--{site}", client)
    if deployment is None:
        return None
    within = BACKUP_EVERY + timedelta(hours=settings.backup_due_hours)
    trigger = EventTrigger(
        expect={"prefect.flow-run.Completed"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.id": f"prefect.deployment.{deployment.id}"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )
    hours = within.total_seconds() / 3600
    text = (
        f"No backup of {settings.business}/{site} has completed for {hours:.0f} hours. Is the site's machine on, its "
        f"worker running, its disk mounted? Then run the deployment backup/{settings.business}--{site}."
    )
    title = f"backup overdue: {settings.business}/{site}"
    action = _tell(settings.business, title, text, client)
    return (trigger, action, "Tell when a site's backup did not come.") if action else None


def _flow_failed(business: str, client: SyncPrefectClient) -> _Parts | None:
    trigger = EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        # Not of a notice that failed itself: it is kept in the outbox, and another would follow it for ever.
        match_related=[
            {"prefect.resource.id": f"prefect.tag.business={business}"},
            {
                "prefect.resource.role": "flow",
                "prefect.resource.name": ["backup", "ingest", "reconcile", "drill", "inspect"],
            },
        ],
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
    text = "{{ flow_run.name }} ended as {{ flow_run.state.name }}: {{ flow_run.state.message }}"
    action = _tell(business, "{{ flow.name }} failed", text, client)
    return (trigger, action, "Tell when a flow run failed or crashed.") if action else None


def _worker_died(business: str) -> _Parts:
    """A run whose heartbeat ends: https://docs.prefect.io/v3/advanced/detect-zombie-flows."""
    trigger = EventTrigger(
        after={"prefect.flow-run.heartbeat"},
        expect={
            "prefect.flow-run.heartbeat",
            "prefect.flow-run.Completed",
            "prefect.flow-run.Failed",
            "prefect.flow-run.Cancelled",
            "prefect.flow-run.Crashed",
            "prefect.flow-run.Suspended",  # it waits for a person, and no process does
        },
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.id": f"prefect.tag.business={business}"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=HEARTBEAT_SECONDS * HEARTBEATS_MISSED),
    )
    action = ChangeFlowRunState(
        state=StateType.CRASHED, message="its heartbeat ended: its worker or machine died; the next run takes it up"
    )
    return trigger, action, "Say of a run whose worker died that it crashed."


def _tell(business: str, title: str, text: str, client: SyncPrefectClient) -> RunDeployment | None:
    """Run the notice: the business's own routes, so that no address stands in Prefect in clear."""
    deployment = find_deployment(f"notice/{business}", client)
    if deployment is None:
        return None
    return RunDeployment(deployment_id=deployment.id, parameters={"title": _jinja(title), "text": _jinja(text)})


def _jinja(template: str) -> dict[str, Any]:
    return {"__prefect_kind": "jinja", "template": template}
