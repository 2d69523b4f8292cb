"""From settings to blocks: what `voxkeep apply` saves in Prefect, and what it remembers for the other commands."""

import json
from pathlib import Path

from prefect.blocks.core import Block

from blocks.business import Business, SiteSettings
from blocks.catalog import Catalog
from blocks.errors import SettingsError
from blocks.index import CatalogIndex
from blocks.notifier import Notifier
from blocks.repository import Repository
from blocks.saved import load
from blocks.source import SourceDatabase
from blocks.store import ObjectStore
from voxkeep.settings import Settings, Site
from voxkeep.settings_checks import read_sql


def blocks_of(settings: Settings) -> dict[str, Block]:
    """Every block of the business, by `<block type slug>/<document name>`; secrets are fetched here.

    Raises:
        SettingsError: a secret or SQL file cannot be had.
    """
    name, storage = settings.business, Path(settings.storage)
    blocks: list[tuple[str, Block]] = [
        (name, _business(settings)),
        (name, Catalog(url=str(storage / "catalog"))),
        (name, ObjectStore(url=str(storage / "bucket" / f"{name}-audio"))),
        (name, CatalogIndex(url=str(storage / "index"))),
        (name, Notifier(routes=_routes(settings), outbox=storage / "outbox" / name)),
    ]
    for site_name, site in settings.sites.items():
        document = f"{name}--{site_name}"
        location = storage / "bucket" / name / "restic" / site_name
        password = site.password.fetch(f"password of {name}/{site_name}")
        blocks.append((document, Repository(location=str(location), password=password)))
        if site.database:
            url = site.database.fetch(f"database of {name}/{site_name}")
            blocks.append((document, SourceDatabase(url=url)))
    return {f"{block.get_block_type_slug()}/{document}": block for document, block in blocks}


def _routes(settings: Settings) -> dict[str, str]:
    return {route: secret.fetch(f"alert route {route}") for route, secret in settings.alerts.items()}


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
        coverage_target=settings.coverage_target,
        language=settings.language,
    )


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
    )


def apply(settings: Settings, home: Path) -> dict[str, str]:
    """Save every block of the business in Prefect: `created`, `changed` or `unchanged`, by block."""
    outcome = {}
    for reference, block in blocks_of(settings).items():
        document = reference.split("/")[1]
        if isinstance(block, ObjectStore):
            block.create()
        outcome[reference] = _save(block, document)
        if isinstance(block, Repository) and outcome[reference] != "unchanged":
            block.make_folder()
    remember(settings, home)
    return outcome


def _save(block: Block, document: str) -> str:
    try:
        known = load(type(block), document)
    except SettingsError:
        block.save(document)
        return "created"
    if _plain(known) == _plain(block):
        return "unchanged"
    block.save(document, overwrite=True)
    return "changed"


def _plain(block: Block) -> str:
    content = block.model_dump(context={"include_secrets": True}, mode="json", include=set(type(block).model_fields))
    return json.dumps(content, sort_keys=True, default=str)


def remember(settings: Settings, home: Path) -> None:
    """Keep the settings (which hold no secrets) for the commands that need no Prefect."""
    folder = home / "businesses"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{settings.business}.part"
    part.write_text(settings.model_dump_json(indent=1))
    part.replace(folder / f"{settings.business}.json")


def remembered(home: Path) -> dict[str, Settings]:
    """The businesses that were applied, by name."""
    files = sorted((home / "businesses").glob("*.json"))
    return {file.stem: Settings.model_validate_json(file.read_text()) for file in files}


def remembered_business(home: Path, business: str) -> Settings:
    """One business that was applied.

    Raises:
        SettingsError: there is none of this name.
    """
    known = remembered(home)
    if business not in known:
        raise SettingsError(
            operation="find the business",
            subject=business,
            cause=f"{home} knows {', '.join(known)}" if known else f"no business was applied with {home}",
            remedy="run `voxkeep apply FILE`, or name the right folder with --home",
        )
    return known[business]
