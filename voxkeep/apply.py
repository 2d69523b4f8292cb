"""From settings to the world: the steps of `voxkeep apply`, and what it remembers for the other commands."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.context import SyncClientContext
from prefect.types import SecretDict
from pydantic import SecretStr

from blocks.business import Business, Realtime, SiteSettings
from blocks.notifier import Notifier
from blocks.pings import Pings
from blocks.repository import Repository
from blocks.saved import find, save
from blocks.signing import Signer
from blocks.source import SourceDatabase
from blocks.step import Action, Step
from blocks.store import ObjectStore
from voxkeep.audit_trail import log_steps
from voxkeep.automations import automation_steps
from voxkeep.deployments import deployment_steps
from voxkeep.pack_settings import PackSettings, load_pack
from voxkeep.remembered import remember
from voxkeep.services import service_blocks, service_steps
from voxkeep.settings import Settings, Site
from voxkeep.settings_checks import read_sql

DONE: dict[Action, str] = {"create": "created", "change": "changed", "unchanged": "unchanged"}


def apply(settings: Settings, home: Path) -> dict[str, str]:
    """Make all that the business needs: `created`, `changed` or `unchanged`, by what it is about.

    Raises:
        SettingsError: a secret or SQL file cannot be had, or a service refuses what was given for it.
        TransientError: a service does not answer. What was done before stays; the same again does the rest.
    """
    return _go_through(settings, home, really=True)


def plan(settings: Settings, home: Path) -> dict[str, str]:
    """What `apply` would do (`create`, `change` or `unchanged`); nothing is changed."""
    return _go_through(settings, home, really=False)


def _go_through(settings: Settings, home: Path, *, really: bool) -> dict[str, str]:
    outcome = {}
    # One connection for all: Prefect would make a client, with all certificates of this machine, for each of its calls.
    with SyncClientContext.get_or_create(), ExitStack() as clients:
        for step in _steps(settings, home, clients):
            if really and step.action != "unchanged":
                step.do()
            outcome[step.what] = DONE[step.action] if really else step.action
    if really:
        remember(settings, home)
    return outcome


def _steps(settings: Settings, home: Path, clients: ExitStack) -> Iterator[Step]:
    """Everything in the order in which one thing needs the other; keys are saved before a service knows them."""
    blocks = blocks_of(settings)
    disks = {site.repository for site in settings.sites.values()}
    there = find((type(block), _document(reference)) for reference, block in blocks.items())
    for reference, block in blocks.items():
        yield _block_step(reference, block, there.get((type(block), _document(reference))), disks)
    yield from log_steps(settings, home)
    yield from service_steps(settings, blocks)
    if settings.schedules:
        client = clients.enter_context(get_client(sync_client=True))
        yield from deployment_steps(settings, client)
        yield from automation_steps(settings, client)


def blocks_of(settings: Settings) -> dict[str, Block]:
    """Every block of the business, by `<block type slug>/<document name>`; secrets are fetched here.

    Raises:
        SettingsError: a secret or SQL file cannot be had.
    """
    name = settings.business
    blocks: list[tuple[str, Block]] = [
        (name, _business(settings)),
        *service_blocks(settings),
        *_notifiers(settings),
    ]
    if settings.certificate_key:
        key = settings.certificate_key.fetch(f"certificate key of {name}")
        blocks.append((name, Signer(private_key=SecretStr(key))))
    blocks += [(f"{name}--{pack.pack}", pack.delivery()) for pack in _packs(settings)]
    for site_name, site in settings.sites.items():
        if site.database:
            url = site.database.fetch(f"database of {name}/{site_name}")
            blocks.append((f"{name}--{site_name}", SourceDatabase(url=url)))
        if site.pings:
            blocks.append((f"{name}--{site_name}", Pings(urls=SecretDict(_checks(settings, site_name, site)))))
    return {f"{block.get_block_type_slug()}/{document}": block for document, block in blocks}


def _notifiers(settings: Settings) -> list[tuple[str, Block]]:
    """Of the business, and of those who are told when nobody signs its inspection."""
    name, outbox = settings.business, Path(settings.storage) / "outbox"
    alerts = {route: secret.fetch(f"alert route {route}") for route, secret in settings.alerts.items()}
    answering = {
        route: secret.fetch(f"route {route} of inspection.escalate_to")
        for route, secret in settings.inspection.escalate_to.items()
    }
    return [
        (name, Notifier(routes=alerts, outbox=outbox / name)),
        (f"{name}--escalation", Notifier(routes=answering or alerts, outbox=outbox / f"{name}--escalation")),
    ]


def _checks(settings: Settings, name: str, site: Site) -> dict[str, str]:
    place = f"{settings.business}/{name}"
    return {stage: secret.fetch(f"check of {stage} of {place}") for stage, secret in site.pings.items()}


def _business(settings: Settings) -> Business:
    return Business(
        business=settings.business,
        title=settings.title,
        sites={name: _site(settings, name, site) for name, site in settings.sites.items()},
        rules=settings.rules().model_dump(mode="json"),
        storage=settings.storage,
        lookback_days=settings.lookback_days,
        quiet_period_seconds=settings.quiet_period_seconds,
        backup_due_hours=settings.backup_due_hours,
        check_days=settings.check_days,
        spot_check_files=settings.spot_check_files,
        coverage_target=settings.coverage_target,
        expected=settings.expectations.model_dump(mode="json"),
        purge_after_days=settings.purge_after_days,
        inspection=settings.inspection.model_dump(mode="json", exclude={"escalate_to"}),
        packs={pack.pack: pack.plain().model_dump(mode="json") for pack in _packs(settings)},
        retention=settings.retention.model_dump(mode="json"),
        has_workers=settings.schedules is not None,
        realtime=Realtime(**settings.realtime.model_dump()) if settings.realtime else None,
        language=settings.language,
    )


def _packs(settings: Settings) -> list[PackSettings]:
    return [load_pack(Path(file)) for file in settings.packs]


def _site(settings: Settings, name: str, site: Site) -> SiteSettings:
    sql = {
        dataset: read_sql(Path(rules.sql), dataset)
        for dataset, rules in settings.datasets.items()
        if rules.sql and site.database and (rules.sites is None or name in rules.sites)
    }
    return SiteSettings(
        title=site.title,
        recordings=site.recordings,
        staging=site.staging or "",
        since=site.since,
        sql=sql,
        dropped=site.dropped,
        pings=sorted(site.pings),
        disk=site.repository,
        carry=site.carry,
        timetable=(site.timetable or settings.timetable).model_dump(mode="json"),
    )


def _document(reference: str) -> str:
    """The name, of `<block type slug>/<document name>`."""
    return reference.split("/")[1]


def _block_step(reference: str, block: Block, there: Block | None, disks: set[str | None]) -> Step:
    """Save a block in place of the one that is `there`.

    Folders of the centre are made, those of `disks` by whoever prepares the disk.
    """
    action: Action = "create"
    if there:
        action = "unchanged" if _plain(there) == _plain(block) else "change"

    def do() -> None:
        if isinstance(block, ObjectStore) and block.is_folder():
            block.create()
        if isinstance(block, Repository) and block.location not in disks:
            block.make_folder()
        save(block, _document(reference), there)

    return Step(f"block {reference}", action, do)


def _plain(block: Block) -> str:
    content = block.model_dump(context={"include_secrets": True}, mode="json", include=set(type(block).model_fields))
    return json.dumps(content, sort_keys=True, default=str)
