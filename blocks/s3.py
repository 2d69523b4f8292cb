"""What a business needs of an S3 service: found out from the server, told as steps, done by `voxkeep apply`.

Buckets and the documents that S3 keeps for them (versioning, object lock, lifecycle, notification) are the same
everywhere; users and policies have no common language, and MinIO's is spoken. No step deletes an object, a bucket
or a user.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from xml.etree import ElementTree as ET

import httpx
from pydantic import SecretStr

from blocks import roles
from blocks.bucket_rules import OURS, cleaning_rule, locks_rule, merged, snapshots_rule
from blocks.errors import SettingsError
from blocks.s3_users import S3Users
from blocks.signature import Key, S3RefusedError, SignedRequests, told
from blocks.step import Action, Step

# The mode in which nobody, the administrator included, can delete before the time.
_LOCK_MODE = "COMPLIANCE"


@dataclass(frozen=True)
class Wanted:
    """What a business is to have.

    Attributes:
        business: Its buckets are `<business>` (repositories, catalog) and `<business>-audio`.
        sites: The key of each site.
        restore, publish, listen, retain: Keys of the central flows, of the listening page and of retention.
        years: The years whose repositories are watched: this and the next.
        audio_lock_days: Days for which no recording can be deleted by anybody.
        web_hook: ARN of the web hook that is told of new snapshots.
    """

    business: str
    sites: Mapping[str, Key]
    restore: Key
    publish: Key
    listen: Key
    retain: Key
    years: tuple[int, ...]
    audio_lock_days: int | None = None
    web_hook: str | None = None

    def users(self) -> Iterator[tuple[str, Key, roles.Policy]]:
        """Each key with the name of its role and what it may do."""
        for site, key in self.sites.items():
            yield f"site-{site}", key, roles.site_policy(self.business, site)
        yield "restore", self.restore, roles.restore_policy(self.business)
        yield "publish", self.publish, roles.publish_policy(self.business)
        yield "listen", self.listen, roles.listen_policy(self.business)
        yield "retain", self.retain, roles.retain_policy(self.business)


class S3Service:
    """An S3 service, asked with an administrator's key.

    Every verb may raise:
        TransientError: the service does not answer, or is not able to now; told within seconds.
        SettingsError: the key is not an administrator's, or the service cannot do what is wanted.
    """

    def __init__(self, endpoint: str, access_key: str, secret_key: SecretStr, region: str = "us-east-1") -> None:
        self.endpoint = endpoint
        self._requests = SignedRequests(endpoint, Key(access_key, secret_key), region)
        self._users = S3Users(endpoint, Key(access_key, secret_key), region)

    def steps(self, wanted: Wanted) -> list[Step]:
        """All that `wanted` asks for, in the order in which it is to be done."""
        return [*self.bucket_steps(wanted), *self.user_steps(wanted), *self.notification_steps(wanted)]

    def bucket_steps(self, wanted: Wanted) -> list[Step]:
        """The two buckets, their versions, lifecycle and object lock."""
        main, audio = wanted.business, roles.audio_bucket(wanted.business)
        locks = [locks_rule(site, year) for site in wanted.sites for year in wanted.years]
        return [
            self._bucket(main, locked=False),
            self._versioning(main),
            self._lifecycle(main, [cleaning_rule(), *locks]),
            self._bucket(audio, locked=wanted.audio_lock_days is not None),
            self._versioning(audio),
            self._lifecycle(audio, [cleaning_rule()]),
            *([self._retention(audio, wanted.audio_lock_days)] if wanted.audio_lock_days else []),
        ]

    def user_steps(self, wanted: Wanted) -> list[Step]:
        """A policy and a user for each role; where the secret is another than the server's, it is changed there."""
        users = list(wanted.users())
        keys = [key.access_key for _, key, _ in users]
        if len(set(keys)) < len(keys):
            raise SettingsError(
                operation="make the keys of",
                subject=wanted.business,
                cause="two roles have the same access key, so each could do what the other may",
                remedy="give every role and site its own access key",
            )
        steps = []
        for role, key, policy in users:
            name = f"{OURS}{wanted.business}-{role}"
            steps += [self._users.policy(name, policy), self._users.user(name, key, wanted.business)]
        return steps

    def notification_steps(self, wanted: Wanted) -> list[Step]:
        """A rule for each repository: snapshots are told to the web hook. None where no web hook is wanted."""
        if not wanted.web_hook:
            return []
        rules = [snapshots_rule(site, year, wanted.web_hook) for site in wanted.sites for year in wanted.years]
        # Rules of sites and years that are over would go on ringing for nothing.
        what = f"notification of new snapshots in bucket {wanted.business}"
        return [self._rules(what, wanted.business, "notification", rules, stays=lambda _: False)]

    def _bucket(self, bucket: str, *, locked: bool) -> Step:
        def create() -> None:
            if not self._exists(bucket):
                with told(self.endpoint, "create a bucket", bucket):
                    self._requests.create(bucket, locked=locked)

        return Step(f"bucket {bucket}", "unchanged" if self._exists(bucket) else "create", create)

    def _versioning(self, bucket: str) -> Step:
        document = ET.Element("VersioningConfiguration")
        ET.SubElement(document, "Status").text = "Enabled"
        there = self._document(bucket, "versioning")
        status = None if there is None else there.findtext("Status")
        action: Action = "unchanged" if status == "Enabled" else "change" if status else "create"
        return Step(f"versions of bucket {bucket}", action, partial(self._put, bucket, "versioning", document))

    def _retention(self, bucket: str, days: int) -> Step:
        document = ET.Element("ObjectLockConfiguration")
        ET.SubElement(document, "ObjectLockEnabled").text = "Enabled"
        retention = ET.SubElement(ET.SubElement(document, "Rule"), "DefaultRetention")
        ET.SubElement(retention, "Mode").text = _LOCK_MODE
        ET.SubElement(retention, "Days").text = str(days)
        there = self._document(bucket, "object-lock")
        if there is None and self._exists(bucket):
            raise SettingsError(
                operation="lock the objects of",
                subject=f"bucket {bucket}",
                cause="the bucket was made without object lock, which cannot be added later",
                remedy="take object_lock_days out, or give the business another name and with it another bucket",
            )
        rule = None if there is None else there.find("Rule/DefaultRetention")
        found = rule is not None and (rule.findtext("Mode"), rule.findtext("Days"))
        action: Action = "unchanged" if found == (_LOCK_MODE, str(days)) else "change" if found else "create"
        what = f"object lock of bucket {bucket}: {days} days"
        return Step(what, action, partial(self._put, bucket, "object-lock", document))

    def _lifecycle(self, bucket: str, rules: list[ET.Element]) -> Step:
        # A site or year that is over keeps its repository, and the repository its locks.
        what = f"lifecycle of bucket {bucket}"
        return self._rules(what, bucket, "lifecycle", rules, stays=lambda _: True)

    def _rules(
        self, what: str, bucket: str, document: str, rules: list[ET.Element], stays: Callable[[str], bool]
    ) -> Step:
        """Rules of a bucket; those of other people are read again when it is done."""

        def look() -> tuple[Action, ET.Element]:
            root = self._document(bucket, document)
            action, afterwards = merged([] if root is None else list(root), rules, stays)
            made = ET.Element(_ROOTS[document])
            made.extend(afterwards)
            return action, made

        def change() -> None:
            action, made = look()
            if action != "unchanged":
                self._put(bucket, document, made)

        return Step(what, look()[0], change)

    def _exists(self, bucket: str) -> bool:
        with told(self.endpoint, "find a bucket", bucket):
            try:
                self._requests.get(bucket, "location")
            except S3RefusedError as refusal:
                if refusal.code == "NoSuchBucket":
                    return False
                raise
        return True

    def _document(self, bucket: str, document: str) -> ET.Element | None:
        """A document of the bucket; None where there is none, or no bucket yet."""
        with told(self.endpoint, f"read the {document} of", f"bucket {bucket}"):
            try:
                return self._requests.get(bucket, document)
            except S3RefusedError as refusal:
                if refusal.status == httpx.codes.NOT_FOUND:
                    return None
                raise

    def _put(self, bucket: str, document: str, content: ET.Element) -> None:
        with told(self.endpoint, f"change the {document} of", f"bucket {bucket}"):
            try:
                self._requests.put(bucket, document, content)
            except S3RefusedError as refusal:
                if not refusal.code.startswith("BucketAlready"):
                    raise
                # So answers SeaweedFS, which has no notification and takes the request for one to make the bucket.
                raise S3RefusedError(refusal.status, "NotImplemented", f"it keeps no {document} of a bucket") from None


_ROOTS = {"lifecycle": "LifecycleConfiguration", "notification": "NotificationConfiguration"}
