"""Retention in MinIO: with its own key, version by version, against the store's own locks."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from kept import BETWEEN, BEYOND, DAY, PERSON, KeptShop
from minio import Minio as Client
from pydantic import SecretStr
from s3_servers import PASSWORD, USER
from test_s3_roles import client

from blocks.catalog import Catalog
from blocks.errors import PermanentError
from blocks.retained_store import RetainedStore
from blocks.saved import load
from blocks.signature import Key
from blocks.store import ObjectStore
from blocks.versions import Versions
from deploy.servers.minio import Minio
from flows.erase import erase
from flows.hold import Asked, hold
from flows.ingest import ingest
from flows.retention import retain
from reconcile.frames import CALLS, Frame


class OnlineShop(KeptShop):
    """A shop that keeps everything in MinIO."""

    def __init__(self, folder: Path, minio: Minio, **settings: Any) -> None:
        self.minio = minio
        super().__init__(folder, f"b{token_hex(5)}", is_new=True, **settings)

    def content(self, **changes: Any) -> dict[str, Any]:
        """The settings, with MinIO."""
        (self.folder / "user").write_text(USER)
        (self.folder / "secret").write_text(PASSWORD)
        s3 = {"endpoint": self.minio.endpoint, "access_key": {"file": "user"}, "secret_key": {"file": "secret"}}
        given = changes.pop("s3", {})
        return super().content(**{"s3": s3 | given} | changes)

    @property
    def root_client(self) -> Client:
        """The administrator."""
        return client(self.minio.endpoint, Key(USER, SecretStr(PASSWORD)))

    def versions(self, bucket: str, below: str = "") -> list[str]:
        """Every version that is in the bucket, marks of deletion included."""
        found = self.root_client.list_objects(bucket, below, recursive=True, include_version=True)
        return [str(one.object_name) for one in found]

    def online(self, contract: Frame) -> list[Any]:
        """A frame's rows in the catalog."""
        found = load(Catalog, self.business).read(contract.name, self.business, None, None, contract.schema)
        return found["call_id"].to_list()


def stocked(shop: OnlineShop) -> OnlineShop:
    for call_id, clock, number in (("p1", "09:00:00", PERSON), ("o1", "10:00:00", "13900001111")):
        shop.call(call_id, clock, number=number)
        shop.recording(clock, number=number)
    shop.backup(DAY)
    ingest(shop.business)
    return shop


@pytest.fixture
def shop(prefect: None, minio: Minio, tmp_path: Path) -> OnlineShop:
    """A shop in MinIO with two calls and their recordings."""
    return stocked(OnlineShop(tmp_path, minio, retention=BETWEEN))


def test_what_is_removed_leaves_no_version_behind(shop: OnlineShop) -> None:
    name = shop.business
    assert erase(name, "wang", "request 17", Asked(number=PERSON))["snapshots"] == 1
    assert shop.online(CALLS) == ["o1"]
    # The catalog's older versions, and what restic has packed anew, are gone, too.
    assert len(shop.versions(f"{name}-audio")) == 1
    assert len(shop.versions(name, "catalog/calls/")) == 1
    packs = shop.versions(name, f"restic/one/{DAY.year}/data/")
    assert len(packs) == len(set(packs))
    assert len(list(shop.root_client.list_objects(name, f"restic/one/{DAY.year}/data/", recursive=True))) == len(packs)
    shop.apply(retention=BEYOND)
    done = retain(name)
    assert (done["objects"], done["repositories"]) == (1, [f"one: {DAY.year}"])
    assert shop.versions(f"{name}-audio") == []
    assert shop.versions(name, "restic/") == []
    assert shop.versions(name, "catalog/calls/") == []


@pytest.mark.long
def test_the_store_s_own_locks_keep_what_is_held_and_what_is_under_the_floor(
    prefect: None, minio: Minio, tmp_path: Path
) -> None:
    shop = stocked(OnlineShop(tmp_path, minio, s3={"object_lock_days": 1}, retention={"floor": "60y"}))
    name = shop.business
    store = load(RetainedStore, name)
    versions = store._versions()
    assert versions
    keys = store.listing()["key"].to_list()
    soon = datetime.now(UTC) + timedelta(days=2)
    assert [locked < soon for key in keys if (locked := versions.locked_until(key))] == [True, True]
    assert retain(name)["locked"] == 2
    locked = [versions.locked_until(key) for key in keys]
    assert [one.year for one in locked if one] == [DAY.year + 60] * 2
    # Not even an administrator gets past it, and a shorter lock changes nothing.
    root = Versions(minio.endpoint, f"{name}-audio", USER, SecretStr(PASSWORD))
    assert root.remove("")[2] == set(keys)
    versions.lock(keys, soon)
    assert [versions.locked_until(key) for key in keys] == locked
    assert retain(name)["locked"] == 0 or [versions.locked_until(key) for key in keys] == locked
    placed = hold(name, "wang", "court", Asked(call="p1"))
    assert sorted(versions.is_held(key) for key in keys) == [False, True]
    hold(name, "wang", "settled", withdraw=str(placed["hold"]))
    assert [versions.is_held(key) for key in keys] == [False, False]


def test_the_key_of_retention_cannot_put_a_recording_and_other_keys_cannot_remove_one(shop: OnlineShop) -> None:
    store = load(RetainedStore, shop.business)
    versions = store._versions()
    assert versions
    (key, *_) = store.listing()["key"].to_list()
    publish = load(ObjectStore, shop.business)
    assert publish.access_key
    assert publish.secret_key
    other = Versions(versions.endpoint, versions.bucket, publish.access_key.get_secret_value(), publish.secret_key)
    with pytest.raises(PermanentError, match=r"AccessDenied|Access Denied"):
        other.remove(f"{DAY}/")
    with pytest.raises(PermanentError, match=r"AccessDenied|Access Denied"):
        other.hold([key], on=True)
