"""What each key may do, measured on a real cluster cell by cell; and the steps that make buckets, rules and keys."""

import dataclasses
import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from secrets import token_hex
from threading import Thread
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest
import s3fs
from minio import Minio as Client
from minio.error import S3Error
from pydantic import SecretStr
from s3_servers import HOOK_TOKEN, PASSWORD, USER, hook_port
from servers import held

from blocks.errors import SettingsError, TransientError, VoxkeepError
from blocks.restic import find_restic
from blocks.s3 import S3Service, Wanted
from blocks.signature import Key, SignedRequests
from deploy.servers.minio import WEB_HOOK_ARN, Minio
from deploy.servers.seaweedfs import SeaweedFS

ROLES = ("site", "restore", "publish", "listen", "retain")
ACTIONS = ("put", "get", "list", "delete", "delete version")
# Name, bucket, folder; `{name}` is the business, the site is `one`.
PLACES = {
    "its site's repositories": ("{name}", "restic/one/2026/data"),
    "their locks": ("{name}", "restic/one/2026/locks"),
    "another site": ("{name}", "restic/two/2026/data"),
    "another site's locks": ("{name}", "restic/two/2026/locks"),
    "another business": ("{name}-other", "restic/one/2026/data"),
    "recordings": ("{name}-audio", "2026-01-31/ab"),
    "catalog": ("{name}", "catalog/calls"),
}
# What is not here is refused.
ALLOWED = {
    "site": {
        "its site's repositories": ("put", "get", "list"),
        "their locks": ("put", "get", "list", "delete"),
    },
    "restore": {
        "its site's repositories": ("get", "list"),
        "their locks": ("get", "list"),
        "another site": ("get", "list"),
        "another site's locks": ("get", "list"),
    },
    "publish": {"recordings": ("put", "get", "list"), "catalog": ("put", "get", "list")},
    "listen": {"recordings": ("get", "list"), "catalog": ("get", "list")},
    "retain": {
        **{place: ACTIONS for place in PLACES if place != "another business"},
        "recordings": ("get", "list", "delete", "delete version"),
    },
}


def key(name: str, role: str, secret: str = "") -> Key:
    return Key(f"{name}-{role}", SecretStr(secret or f"secret-of-{role}-{name}"))


def wanted(name: str, **changes: object) -> Wanted:
    state = Wanted(
        business=name,
        sites={"one": key(name, "one"), "two": key(name, "two")},
        restore=key(name, "restore"),
        publish=key(name, "publish"),
        listen=key(name, "listen"),
        retain=key(name, "retain"),
        years=(2026, 2027),
        web_hook=WEB_HOOK_ARN,
    )
    return dataclasses.replace(state, **changes)  # type: ignore[arg-type]


def service_of(minio: Minio) -> S3Service:
    return S3Service(minio.endpoint, USER, SecretStr(PASSWORD))


def apply(service: S3Service, state: Wanted) -> None:
    for step in service.steps(state):
        step.do()


def changes(service: S3Service, state: Wanted) -> dict[str, str]:
    return {step.what: step.action for step in service.steps(state) if step.action != "unchanged"}


def client(endpoint: str, owner: Key) -> Client:
    address = urlsplit(endpoint).netloc
    return Client(address, owner.access_key, owner.secret_key.get_secret_value(), secure=False, region="us-east-1")


@pytest.fixture
def name() -> str:
    return f"b{token_hex(5)}"


def may(user: Client, action: str, bucket: str, name: str, version: str) -> bool:
    """Whether the service lets this user do this to the object."""
    try:
        if action == "put":
            user.put_object(bucket, name, io.BytesIO(b"new"), 3)
        elif action == "get":
            user.get_object(bucket, name).close()
        elif action == "list":
            assert [found.object_name for found in user.list_objects(bucket, f"{name.rpartition('/')[0]}/")]
        else:
            user.remove_object(bucket, name, version if action == "delete version" else None)
    except S3Error as error:
        if error.code != "AccessDenied":
            raise
        return False
    return True


def has_version(user: Client, bucket: str, name: str, version: str) -> bool:
    try:
        user.stat_object(bucket, name, version_id=version)
    except S3Error as error:
        if error.code not in ("NoSuchKey", "NoSuchVersion"):
            raise
        return False
    return True


def test_each_key_may_do_what_the_table_says_and_nothing_else(minio: Minio, name: str) -> None:
    service = service_of(minio)
    apply(service, wanted(name))
    apply(service, wanted(f"{name}-other", web_hook=None))
    root = client(minio.endpoint, Key(USER, SecretStr(PASSWORD)))
    measured: dict[str, dict[str, tuple[str, ...]]] = {}
    for role in ROLES:
        user = client(minio.endpoint, key(name, "one" if role == "site" else role))
        for place, (bucket, folder) in PLACES.items():
            done = []
            for action in ACTIONS:
                where = bucket.format(name=name), f"{folder}/{role}-{action.replace(' ', '-')}"
                version = root.put_object(*where, io.BytesIO(b"old"), 3).version_id
                assert version
                if may(user, action, *where, version):
                    done.append(action)
                # Whatever a key but that of retention may do, the version that was there is not lost.
                assert has_version(root, *where, version) or (role, action) == ("retain", "delete version")
            if done:
                measured.setdefault(role, {})[place] = tuple(done)
    assert measured == ALLOWED


def test_no_key_of_a_business_can_list_its_bucket_or_make_buckets_users_and_rules(minio: Minio, name: str) -> None:
    apply(service_of(minio), wanted(name))
    root = client(minio.endpoint, Key(USER, SecretStr(PASSWORD)))
    for path in ("restic/one/2026/config", "restic/two/2026/config", "catalog/calls/a.parquet"):
        root.put_object(name, path, io.BytesIO(b"x"), 1)
    for role in ("one", "restore", "publish", "listen", "retain"):
        user = client(minio.endpoint, key(name, role))
        for prefix in ("", "restic" if role == "one" else "catalo", "restic/o"):
            if role in ("restore", "retain") and prefix == "restic/o":
                continue
            with pytest.raises(S3Error, match="AccessDenied"):
                list(user.list_objects(name, prefix, recursive=True))
        with pytest.raises(S3Error, match="AccessDenied"):
            user.make_bucket(f"{name}-{role}")
        with pytest.raises(S3Error, match="AccessDenied"):
            user.get_bucket_versioning(name)
        with pytest.raises(SettingsError, match="AccessDenied"):
            S3Service(minio.endpoint, key(name, role).access_key, key(name, role).secret_key).user_steps(wanted(name))


def test_the_documented_table_is_the_measured_one() -> None:
    document = Path(__file__).parents[1].joinpath("docs", "roles.md").read_text()
    assert table() in document


def table() -> str:
    lines = [f"| key | {' | '.join(PLACES)} |", "| --- |" + " --- |" * len(PLACES)]
    for role in ROLES:
        cells = [", ".join(ALLOWED[role].get(place, ())) or "–" for place in PLACES]
        lines.append(f"| `{role}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_restic_keeps_a_repository_with_its_site_s_key_and_restores_with_the_other(
    minio: Minio, name: str, tmp_path: Path
) -> None:
    apply(service_of(minio), wanted(name))
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "a.wav").write_bytes(os.urandom(100_000))

    def restic(role: str, *arguments: str, site: str = "one") -> subprocess.CompletedProcess[str]:
        owner = key(name, role)
        environment = os.environ | {
            "RESTIC_REPOSITORY": f"s3:{minio.endpoint}/{name}/restic/{site}/2026",
            "RESTIC_PASSWORD": "a-password",
            "AWS_ACCESS_KEY_ID": owner.access_key,
            "AWS_SECRET_ACCESS_KEY": owner.secret_key.get_secret_value(),
        }
        command = [find_restic(), "--no-cache", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    backup = ["backup", str(tmp_path / "recordings")]
    for arguments in (["init"], backup, backup):
        done = restic("one", *arguments)
        assert done.returncode == 0, done.stderr
    snapshots = json.loads(restic("restore", "--no-lock", "snapshots", "--json").stdout)
    target = str(tmp_path / "restored")
    assert restic("restore", "--no-lock", "restore", snapshots[-1]["id"], "--target", target).returncode == 0
    [copy] = Path(target).rglob("a.wav")
    assert copy.read_bytes() == (tmp_path / "recordings" / "a.wav").read_bytes()
    assert restic("one", "forget", snapshots[0]["id"]).returncode != 0
    assert len(json.loads(restic("one", "snapshots", "--json").stdout)) == 2


def test_the_publishing_key_is_enough_for_the_catalog(minio: Minio, name: str) -> None:
    apply(service_of(minio), wanted(name))

    def files(role: str) -> s3fs.S3FileSystem:
        owner = key(name, role)
        return s3fs.S3FileSystem(
            key=owner.access_key,
            secret=owner.secret_key.get_secret_value(),
            endpoint_url=minio.endpoint,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    writer, reader = files("publish"), files("listen")
    path = f"{name}/catalog/calls/business={name}/day=2026-01-31/one.parquet"
    assert not writer.exists(path)
    for content in (b"first", b"second"):
        writer.pipe_file(path, content)
        assert reader.cat_file(path) == content
    assert reader.find(f"{name}/catalog/calls") == [path]
    assert reader.glob(f"{name}/catalog/calls/business=*/day=*/*.parquet") == [path]
    with pytest.raises(PermissionError):
        reader.pipe_file(path, b"third")


def test_a_second_apply_finds_everything_unchanged(minio: Minio, name: str) -> None:
    service = service_of(minio)
    plan = service.steps(wanted(name, audio_lock_days=1))
    assert {step.action for step in plan} == {"create"}
    for step in plan:
        step.do()
    assert changes(service, wanted(name, audio_lock_days=1)) == {}
    for step in plan:
        step.do()
    assert changes(service, wanted(name, audio_lock_days=1)) == {}


def test_a_changed_secret_changes_that_key_only(minio: Minio, name: str) -> None:
    service = service_of(minio)
    apply(service, wanted(name))
    state = wanted(name, restore=key(name, "restore", "another-secret"))
    assert changes(service, state) == {f"user {name}-restore with policy voxkeep-{name}-restore": "change"}
    apply(service, state)
    assert changes(service, state) == {}
    list(client(minio.endpoint, state.restore).list_objects(name, "restic/"))
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        list(client(minio.endpoint, key(name, "restore")).list_objects(name, "restic/"))


def test_a_new_site_and_a_new_year_change_only_what_is_theirs(minio: Minio, name: str) -> None:
    service = service_of(minio)
    apply(service, wanted(name))
    more = wanted(name, sites={**wanted(name).sites, "three": key(name, "three")})
    assert changes(service, more) == {
        f"lifecycle of bucket {name}": "change",
        f"policy voxkeep-{name}-site-three": "create",
        f"user {name}-three with policy voxkeep-{name}-site-three": "create",
        f"notification of new snapshots in bucket {name}": "change",
    }
    later = wanted(name, years=(2027, 2028))
    assert set(changes(service, later)) == {
        f"lifecycle of bucket {name}",
        f"notification of new snapshots in bucket {name}",
    }
    apply(service, later)
    rules = SignedRequests(minio.endpoint, Key(USER, SecretStr(PASSWORD))).get(name, "lifecycle")
    # The locks of old repositories are still cleared away.
    assert {f"voxkeep-locks-one-{year}" for year in (2026, 2027, 2028)} <= {rule.findtext("ID") for rule in rules}


def test_a_policy_that_somebody_widened_is_put_right(minio: Minio, name: str) -> None:
    service = service_of(minio)
    apply(service, wanted(name))
    service._users._admin.policy_set("readwrite", user=f"{name}-one")
    assert list(changes(service, wanted(name)).values()) == ["change"]
    apply(service, wanted(name))
    with pytest.raises(S3Error, match="AccessDenied"):
        list(client(minio.endpoint, key(name, "one")).list_objects(name, "restic/two/"))


def test_rules_of_other_people_stay_as_they_are(minio: Minio, name: str) -> None:
    service, requests = service_of(minio), SignedRequests(minio.endpoint, Key(USER, SecretStr(PASSWORD)))
    requests.create(name)
    theirs = {
        "lifecycle": "<LifecycleConfiguration><Rule><ID>theirs</ID><Status>Enabled</Status><Filter><And>"
        "<Prefix>tmp/</Prefix><ObjectSizeLessThan>10</ObjectSizeLessThan></And></Filter>"
        "<Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>",
        "notification": "<NotificationConfiguration><QueueConfiguration><Id>theirs</Id>"
        f"<Queue>{WEB_HOOK_ARN}</Queue><Event>s3:ObjectRemoved:*</Event></QueueConfiguration>"
        "</NotificationConfiguration>",
    }
    for document, content in theirs.items():
        requests.put(name, document, ET.fromstring(content))  # noqa: S314  # our own
    before = {document: [ET.tostring(rule) for rule in requests.get(name, document)] for document in theirs}
    for state in (wanted(name), wanted(name, sites={"two": key(name, "two")})):
        apply(service, state)
        for document in theirs:
            assert before[document][0] in [ET.tostring(rule) for rule in requests.get(name, document)]
    ids = {rule.findtext("Id") for rule in requests.get(name, "notification")}
    assert ids == {"theirs", "voxkeep-snapshots-two-2026", "voxkeep-snapshots-two-2027"}


def test_no_step_ever_deletes_an_object(minio: Minio, name: str) -> None:
    service = service_of(minio)
    apply(service, wanted(name))
    root = client(minio.endpoint, Key(USER, SecretStr(PASSWORD)))
    for bucket, path in product((name, f"{name}-audio"), ("restic/one/2026/data/x", "2026-01-31/x")):
        root.put_object(bucket, path, io.BytesIO(b"x"), 1)
    apply(service, wanted(name, sites={"two": key(name, "two")}, years=(2030,), web_hook=None))
    for bucket in (name, f"{name}-audio"):
        found = [one.object_name for one in root.list_objects(bucket, recursive=True)]
        assert found == ["2026-01-31/x", "restic/one/2026/data/x"]


def test_recordings_under_object_lock_cannot_be_deleted_by_the_administrator(minio: Minio, name: str) -> None:
    service = service_of(minio)
    apply(service, wanted(name, audio_lock_days=1))
    root = client(minio.endpoint, Key(USER, SecretStr(PASSWORD)))
    version = root.put_object(f"{name}-audio", "2026-01-31/x", io.BytesIO(b"x"), 1).version_id
    with pytest.raises(S3Error, match="WORM protected"):
        root.remove_object(f"{name}-audio", "2026-01-31/x", version)
    assert changes(service, wanted(name, audio_lock_days=2)) == {
        f"object lock of bucket {name}-audio: 2 days": "change"
    }


def test_object_lock_cannot_be_added_later_and_that_is_told(minio: Minio, name: str) -> None:
    service = service_of(minio)
    apply(service, wanted(name))
    with pytest.raises(SettingsError, match="cannot be added later"):
        service.steps(wanted(name, audio_lock_days=1))


def test_two_roles_never_share_a_key(minio: Minio, name: str) -> None:
    with pytest.raises(SettingsError, match="same access key"):
        service_of(minio).steps(wanted(name, listen=key(name, "publish")))


@pytest.mark.parametrize("site", ["*", "one/../two", "${aws:username}", "", "One"])
def test_a_site_whose_name_would_widen_its_policy_is_refused(site: str) -> None:
    state = wanted("business", sites={site: key("business", "one")})
    with pytest.raises(SettingsError, match="no name"):
        list(state.users())


@pytest.mark.parametrize("part", ["bucket_steps", "user_steps", "notification_steps"])
@pytest.mark.parametrize(
    ("access_key", "reachable", "kind"),
    [(USER, True, SettingsError), ("nobody", True, SettingsError), (USER, False, TransientError)],
)
def test_a_wrong_administrator_is_told_within_seconds_and_without_secrets(
    minio: Minio, part: str, access_key: str, reachable: bool, kind: type[VoxkeepError]
) -> None:
    endpoint = minio.endpoint if reachable else "http://127.0.0.1:1"
    began = time.monotonic()
    with pytest.raises(kind) as error:
        getattr(S3Service(endpoint, access_key, SecretStr("wrong-secret")), part)(wanted("business"))
    assert time.monotonic() - began < 5
    assert "wrong-secret" not in str(error.value)


def test_a_plan_shows_no_secret(minio: Minio, name: str) -> None:
    state = wanted(name)
    told = "".join(step.what for step in service_of(minio).steps(state)) + repr(state) + repr(minio)
    assert "secret-of" not in told
    assert PASSWORD not in told
    assert HOOK_TOKEN not in told


def test_without_minio_s_users_buckets_are_made_and_the_rest_is_told(seaweedfs: SeaweedFS, name: str) -> None:
    service = S3Service(seaweedfs.endpoint, USER, SecretStr(PASSWORD))
    for step in service.bucket_steps(wanted(name)):
        step.do()
    assert {step.action for step in service.bucket_steps(wanted(name))} == {"unchanged"}
    with pytest.raises(SettingsError, match="users and policies"):
        service.user_steps(wanted(name))
    [rules] = service.notification_steps(wanted(name))
    with pytest.raises(SettingsError, match="keeps no notification"):
        rules.do()


@pytest.fixture
def bell(minio: Minio) -> Iterator[list[tuple[str, str]]]:
    """What the web hook was told: its token and the key of each object."""
    rung: list[tuple[str, str]] = []

    class Bell(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            rung.append((self.headers.get("Authorization", ""), event["Key"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with (
        held(minio.folder / "hook.lock"),
        ThreadingHTTPServer(("127.0.0.1", hook_port(minio.folder)), Bell) as server,
    ):
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield rung
        server.shutdown()
        thread.join()


def test_a_new_snapshot_rings_and_nothing_else_does(minio: Minio, name: str, bell: list[tuple[str, str]]) -> None:
    apply(service_of(minio), wanted(name))
    user = client(minio.endpoint, key(name, "one"))
    for path in ("data/x", "locks/x", "snapshots/first", "snapshots/second"):
        user.put_object(name, f"restic/one/2026/{path}", io.BytesIO(b"x"), 1)
    ours = {f"{name}/restic/one/2026/snapshots/{which}" for which in ("first", "second")}
    give_up = time.monotonic() + 30
    while not ours <= {path for _, path in bell}:
        assert time.monotonic() < give_up, bell
        time.sleep(0.1)
    assert {path for _, path in bell if path.startswith(f"{name}/")} == ours
    assert {token for token, _ in bell} == {f"Bearer {HOOK_TOKEN}"}


def test_marks_of_the_catalog_are_taken_away_with_the_publishing_key_and_nothing_else_is(
    minio: Minio, name: str
) -> None:
    apply(service_of(minio), wanted(name))
    root, user = client(minio.endpoint, Key(USER, SecretStr(PASSWORD))), client(minio.endpoint, key(name, "publish"))
    for frame, gone in (("untraced", True), ("calls", False)):
        path = f"catalog/{frame}/business={name}/day=2026-01-31/one.parquet"
        version = root.put_object(name, path, io.BytesIO(b"x"), 1).version_id
        assert version
        assert may(user, "delete", name, path, version) is gone
        assert not may(user, "delete version", name, path, version)
        assert has_version(root, name, path, version)
