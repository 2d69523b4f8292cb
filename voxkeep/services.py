"""Where a business's things lie: folders below `storage`, or S3 and Elasticsearch; and the keys to them.

Each site has a key that reaches its own repository and nothing else; the centre has one to restore, one to publish and
one to listen. voxkeep makes them up, and they live in Prefect's blocks alone.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import SecretStr

from blocks.catalog import Catalog
from blocks.elastic import ElasticIndex
from blocks.errors import SettingsError
from blocks.index import CatalogIndex
from blocks.repository import Repository
from blocks.s3 import S3Service, Wanted
from blocks.saved import load, load_index
from blocks.signature import Key
from blocks.step import Step
from blocks.store import ObjectStore
from voxkeep.settings import S3, Elasticsearch, Settings


def service_blocks(settings: Settings) -> list[tuple[str, Block]]:
    """Document name and block of each place where things lie."""
    name = settings.business
    passwords = {
        site: SecretStr(found.password.fetch(f"password of {name}/{site}")) for site, found in settings.sites.items()
    }
    if settings.s3:
        return [*_in_s3(settings, settings.s3, passwords), (name, _index(settings))]
    storage = Path(settings.storage)
    repositories = [
        (f"{name}--{site}{role}", Repository(location=location, password=passwords[site]))
        for site, found in settings.sites.items()
        for role, location in _roles(found.repository, str(_folder(settings, site)))
    ]
    return [
        (name, Catalog(url=str(storage / "catalog"))),
        (name, ObjectStore(url=str(storage / "bucket" / f"{name}-audio"))),
        (name, _index(settings)),
        *repositories,
    ]


@dataclass(frozen=True)
class Places:
    """Where the centre reads: catalog, call index and published recordings."""

    catalog: Catalog
    index: CatalogIndex | ElasticIndex
    store: ObjectStore


def places(settings: Settings) -> Places:
    """The business's places: folders without asking anybody, services with the keys that Prefect keeps."""
    if settings.s3:
        name = settings.business
        return Places(load(Catalog, name), load_index(name), load(ObjectStore, f"{name}--listen"))
    storage, name = Path(settings.storage), settings.business
    index = load_index(name) if settings.elasticsearch else CatalogIndex(url=str(storage / "index"))
    store = ObjectStore(url=str(storage / "bucket" / f"{name}-audio"))
    return Places(Catalog(url=str(storage / "catalog")), index, store)


def _roles(disk: str | None, central: str) -> list[tuple[str, str]]:
    """Role and location of each repository of a site: to back up, to restore, and to carry in where it has a disk."""
    carried = [("--carry", central)] if disk else []
    return [("", disk or central), ("--restore", central), *carried]


def _folder(settings: Settings, site: str) -> Path:
    return Path(settings.storage) / "bucket" / settings.business / "restic" / site


def _index(settings: Settings) -> Block:
    wanted = settings.elasticsearch
    if wanted is None:
        return CatalogIndex(url=str(Path(settings.storage) / "index"))
    return elastic(settings, wanted)


def elastic(settings: Settings, wanted: Elasticsearch) -> ElasticIndex:
    """The call index in Elasticsearch."""
    password = wanted.password.fetch(f"password of Elasticsearch of {settings.business}") if wanted.password else None
    return ElasticIndex(url=wanted.url, user=wanted.user, password=password, ca_file=wanted.ca_file)


def _in_s3(settings: Settings, s3: S3, passwords: dict[str, SecretStr]) -> list[tuple[str, Block]]:
    name, audio = settings.business, f"s3://{settings.business}-audio"
    publish = _key(ObjectStore, name, f"{name}.publish")
    listen = _key(ObjectStore, f"{name}--listen", f"{name}.listen")
    options = {
        "key": publish.access_key,
        "secret": publish.secret_key.get_secret_value(),
        "client_kwargs": {"endpoint_url": s3.endpoint, "region_name": s3.region},
    }
    blocks: list[tuple[str, Block]] = [
        (name, Catalog(url=f"s3://{name}/catalog", storage_options=SecretDict(options))),
        (name, ObjectStore(url=audio, endpoint=s3.endpoint, region=s3.region, **_both(publish))),
        (f"{name}--listen", ObjectStore(url=audio, endpoint=s3.endpoint, region=s3.region, **_both(listen))),
    ]
    restore = _restore_key(settings)
    for site, found in settings.sites.items():
        document, password = f"{name}--{site}", passwords[site]
        location = f"s3:{s3.endpoint}/{name}/restic/{site}"
        if found.repository:
            blocks.append((document, Repository(location=found.repository, password=password)))
        writer = _writer(settings, site)
        key = _key(Repository, writer, f"{name}.site.{site}")
        blocks += [
            (writer, Repository(location=location, password=password, region=s3.region, **_both(key))),
            (
                f"{document}--restore",
                Repository(location=location, password=password, region=s3.region, **_both(restore)),
            ),
        ]
    return blocks


def _writer(settings: Settings, site: str) -> str:
    """The block whose key writes the site's central repositories: the site's own, or that for carrying disks in."""
    return f"{settings.business}--{site}{'--carry' if settings.sites[site].repository else ''}"


def _both(key: Key) -> dict[str, SecretStr]:
    return {"access_key": SecretStr(key.access_key), "secret_key": key.secret_key}


def _restore_key(settings: Settings) -> Key:
    """One key reads the repositories of all sites: whichever site's block has it already."""
    name = f"{settings.business}.restore"
    for site in settings.sites:
        found = _known_key(Repository, f"{settings.business}--{site}--restore")
        if found and found.access_key == name:
            return found
    return _new_key(name)


def _key(kind: type[Repository | ObjectStore], document: str, name: str) -> Key:
    """The key of this name that the saved block has, or a new one."""
    found = _known_key(kind, document)
    return found if found and found.access_key == name else _new_key(name)


def _known_key(kind: type[Repository | ObjectStore], document: str) -> Key | None:
    try:
        block = load(kind, document)
    except SettingsError:
        return None
    if not (block.access_key and block.secret_key):
        return None
    return Key(block.access_key.get_secret_value(), block.secret_key)


def _new_key(name: str) -> Key:
    return Key(name, SecretStr(secrets.token_urlsafe(30)))


def service_steps(settings: Settings, blocks: dict[str, Block]) -> Iterator[Step]:
    """What is to be done so that the services know these buckets, keys, rules and indices."""
    index = blocks[f"{ElasticIndex.get_block_type_slug()}/{settings.business}"] if settings.elasticsearch else None
    if settings.s3:
        yield from _s3_steps(settings, settings.s3, blocks)
    if isinstance(index, ElasticIndex):
        yield from index.prepare(settings.business)


def _s3_steps(settings: Settings, s3: S3, blocks: dict[str, Block]) -> Iterator[Step]:
    name = settings.business
    service = S3Service(
        s3.endpoint,
        s3.access_key.fetch(f"S3 administrator's access key of {name}"),
        SecretStr(s3.secret_key.fetch(f"S3 administrator's secret key of {name}")),
        s3.region,
    )
    wanted = Wanted(
        business=name,
        sites={site: _key_of(blocks, Repository, _writer(settings, site)) for site in settings.sites},
        restore=_key_of(blocks, Repository, f"{name}--{next(iter(settings.sites))}--restore"),
        publish=_key_of(blocks, ObjectStore, name),
        listen=_key_of(blocks, ObjectStore, f"{name}--listen"),
        years=_years(settings),
        audio_lock_days=s3.object_lock_days,
        web_hook=s3.event_target,
    )
    yield from service.steps(wanted)


def _years(settings: Settings) -> tuple[int, ...]:
    """The years of which there may be repositories: until the next one, so that no new year's eve is missed."""
    this = datetime.now(ZoneInfo(settings.time_zone)).year
    first = min([site.since.year for site in settings.sites.values() if site.since], default=this)
    return tuple(range(min(first, this), this + 2))


def _key_of(blocks: dict[str, Block], kind: type[Repository | ObjectStore], document: str) -> Key:
    block = blocks[f"{kind.get_block_type_slug()}/{document}"]
    if not isinstance(block, Repository | ObjectStore) or not block.access_key or not block.secret_key:
        raise TypeError(f"{document} has no keys")
    return Key(block.access_key.get_secret_value(), block.secret_key)
