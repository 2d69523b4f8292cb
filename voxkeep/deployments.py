"""What Prefect's workers run for a business: work pools, deployments with their schedules, concurrency limits.

A worker at a site serves the pool `<business>--<site>` and no other; the centre's workers serve `central`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema

from blocks.step import Action, Step
from flows.backup import backup
from flows.centre import turn
from flows.drill import drill
from flows.export import export
from flows.ingest import ingest
from flows.inspection import inspect
from flows.maintain import maintain
from flows.notice import notice
from flows.reconciliation import reconcile
from flows.retention import retain
from flows.retrieve import retrieve
from voxkeep.settings import Settings

CENTRAL = "central"
_FLOWS: tuple[Flow[..., Any], ...] = (
    backup, drill, ingest, inspect, maintain, reconcile, retain, notice, export, retrieve,
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A deployment as the settings want it."""

    flow: Flow[..., Any]
    name: str
    pool: str
    tags: tuple[str, ...]
    parameters: dict[str, str]
    cron: str | None
    time_zone: str

    @property
    def entrypoint(self) -> str:
        """The flow's module path: a path of files would put `flows/` before the standard library."""
        return f"{self.flow.fn.__module__}.{self.flow.fn.__name__}"

    @property
    def path(self) -> str:
        """Flow and deployment, as Prefect names them."""
        return f"{self.flow.name}/{self.name}"


def wanted_deployments(settings: Settings) -> list[Wanted]:
    """Backup of each site with a worker, drill of each; at the centre all else, some of it on demand only."""
    name, when = settings.business, settings.schedules
    if when is None:
        return []
    ours = ("voxkeep", f"business={name}")
    sites = [
        Wanted(backup, f"{name}--{site}", f"{name}--{site}", (*ours, f"site={site}"),
               {"business": name, "site": site}, when.backup, settings.time_zone)
        for site, found in settings.sites.items()
        if found.repository is None
    ]  # fmt: skip
    return [
        *sites,
        Wanted(ingest, name, CENTRAL, ours, {"business": name}, when.ingest, settings.time_zone),
        Wanted(reconcile, name, CENTRAL, ours, {"business": name}, when.reconcile, settings.time_zone),
        *(
            Wanted(
                drill,
                f"{name}--{site}",
                CENTRAL,
                (*ours, f"site={site}"),
                {"business": name, "site": site},
                when.drill,
                settings.time_zone,
            )
            for site in settings.sites
        ),
        Wanted(inspect, name, CENTRAL, ours, {"business": name}, when.inspect, settings.time_zone),
        Wanted(maintain, name, CENTRAL, ours, {"business": name}, when.maintain, settings.time_zone),
        Wanted(retain, name, CENTRAL, ours, {"business": name}, when.retain, settings.time_zone),
        *(
            Wanted(flow, name, CENTRAL, ours, {"business": name}, None, settings.time_zone)
            for flow in (notice, export, retrieve)
        ),
    ]


def deployment_steps(settings: Settings, client: SyncPrefectClient) -> Iterator[Step]:
    """What is to be done so that Prefect has these pools, limits and deployments; others of the business are paused."""
    wanted = wanted_deployments(settings)
    for pool in sorted({one.pool for one in wanted}):
        yield _pool_step(pool, client)
    if wanted:
        for site in settings.sites:
            yield _limit_step(turn(settings.business, site), client)
    for one in wanted:
        yield _deployment_step(one, client)
    yield from _paused(settings, {one.path for one in wanted}, client)


def find_deployment(path: str, client: SyncPrefectClient) -> DeploymentResponse | None:
    """The deployment of this path, if there is one."""
    try:
        return client.read_deployment_by_name(path)
    except ObjectNotFound:
        return None


def _pool_step(name: str, client: SyncPrefectClient) -> Step:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        return Step(f"work pool {name}", "create", lambda: _make_pool(name, client))
    return Step(f"work pool {name}", "unchanged", lambda: None)


def _make_pool(name: str, client: SyncPrefectClient) -> None:
    client.create_work_pool(WorkPoolCreate(name=name, type="process"), overwrite=True)


def _limit_step(name: str, client: SyncPrefectClient) -> Step:
    try:
        client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        return Step(f"concurrency limit {name}", "create", lambda: _make_limit(name, client))
    return Step(f"concurrency limit {name}", "unchanged", lambda: None)


def _make_limit(name: str, client: SyncPrefectClient) -> None:
    client.upsert_global_concurrency_limit_by_name(name, limit=1)


def _deployment_step(wanted: Wanted, client: SyncPrefectClient) -> Step:
    what = f"deployment {wanted.path}"
    known = find_deployment(wanted.path, client)
    if known is None:
        return Step(what, "create", lambda: _make_deployment(wanted, client))
    if _content_of(known) == _content(wanted):
        return Step(what, "unchanged", lambda: None)
    return Step(what, "change", lambda: _change_deployment(wanted, known, client))


def _content(wanted: Wanted) -> dict[str, Any]:
    return {
        "entrypoint": wanted.entrypoint,
        "pool": wanted.pool,
        "tags": sorted(wanted.tags),
        "parameters": wanted.parameters,
        "schedules": [(wanted.cron, wanted.time_zone)] if wanted.cron else [],
        "schema": parameter_schema(wanted.flow.fn).model_dump_for_openapi(),
    }


def _content_of(known: DeploymentResponse) -> dict[str, Any]:
    """What the server has; whether a schedule is active, or the deployment paused, is the operators' affair."""
    found = [entry.schedule for entry in known.schedules]
    return {
        "entrypoint": known.entrypoint,
        "pool": known.work_pool_name,
        "tags": sorted(known.tags),
        "parameters": known.parameters,
        "schedules": [(one.cron, one.timezone) if isinstance(one, CronSchedule) else (str(one), None) for one in found],
        "schema": known.parameter_openapi_schema,
    }


def _schedules(wanted: Wanted) -> list[DeploymentScheduleCreate]:
    if not wanted.cron:
        return []
    return [DeploymentScheduleCreate(schedule=CronSchedule(cron=wanted.cron, timezone=wanted.time_zone), active=True)]


def _make_deployment(wanted: Wanted, client: SyncPrefectClient) -> None:
    client.create_deployment(
        flow_id=client.create_flow(wanted.flow),
        name=wanted.name,
        description=(wanted.flow.description or "").strip(),
        entrypoint=wanted.entrypoint,
        work_pool_name=wanted.pool,
        tags=list(wanted.tags),
        parameters=wanted.parameters,
        schedules=_schedules(wanted),
        parameter_openapi_schema=_content(wanted)["schema"],
        enforce_parameter_schema=True,
        pull_steps=[],
    )


def _change_deployment(wanted: Wanted, known: DeploymentResponse, client: SyncPrefectClient) -> None:
    if _content_of(known)["schema"] != _content(wanted)["schema"]:
        _make_deployment(wanted, client)  # only making it anew replaces the schema of the parameters
        return
    update = DeploymentUpdate(
        description=(wanted.flow.description or "").strip(),
        entrypoint=wanted.entrypoint,
        work_pool_name=wanted.pool,
        tags=list(wanted.tags),
        parameters=wanted.parameters,
    )
    client.update_deployment(known.id, update)
    if _content_of(known)["schedules"] != _content(wanted)["schedules"]:
        for entry in known.schedules:
            client.delete_deployment_schedule(known.id, entry.id)
        made = [(one.schedule, True) for one in _schedules(wanted)]
        if made:
            client.create_deployment_schedules(known.id, made)


def _paused(settings: Settings, wanted: set[str], client: SyncPrefectClient) -> Iterator[Step]:
    """Deployments of sites that the settings no longer have: nothing is deleted, they only no longer run."""
    flows = {f"{flow.fn.__module__}.{flow.fn.__name__}": flow.name for flow in _FLOWS}
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=["voxkeep", f"business={settings.business}"]))
    for known in client.read_deployments(deployment_filter=ours, limit=200):
        path = f"{flows.get(known.entrypoint or '')}/{known.name}"
        if path not in wanted:
            yield _pause_step(path, known, client)


def _pause_step(path: str, known: DeploymentResponse, client: SyncPrefectClient) -> Step:
    action: Action = "unchanged" if known.paused else "change"
    return Step(f"deployment {path}, no longer wanted: paused", action, lambda: client.pause_deployment(known.id))
