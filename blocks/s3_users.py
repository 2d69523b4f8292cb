"""Users of an S3 service and what they may do, in MinIO's words: S3 itself has none for that."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import urllib3
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException

from blocks.errors import SettingsError
from blocks.roles import Policy
from blocks.signature import Key, S3RefusedError, SignedRequests, told
from blocks.step import Action, Step


class S3Users:
    """The users and policies of the service at `endpoint`, asked with an administrator's key.

    Every verb may raise:
        TransientError: the service does not answer, or is not able to now; told within seconds.
        SettingsError: the key is not an administrator's, or the service is not MinIO's kin.
    """

    def __init__(self, endpoint: str, administrator: Key, region: str) -> None:
        self.endpoint = endpoint
        self.region = region
        address = urlsplit(endpoint)
        self._admin = MinioAdmin(
            endpoint=address.netloc,
            credentials=StaticProvider(administrator.access_key, administrator.secret_key.get_secret_value()),
            region=region,
            secure=address.scheme == "https",
            http_client=urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=20), retries=False),
        )

    def policy(self, name: str, policy: Policy) -> Step:
        """A policy of this name that says just this."""
        there = self._asked(self._admin.policy_info, name)
        action: Action = "create" if there is None else "unchanged" if _meaning(there) == _meaning(policy) else "change"

        def write() -> None:
            with self._told("write a policy", name):
                self._admin.policy_add(name, policy=policy)

        return Step(f"policy {name}", action, write)

    def user(self, policy: str, key: Key, bucket: str) -> Step:
        """A user who has this policy and no other; `bucket` is one that it lets the user locate."""
        there = self._asked(self._admin.user_info, key.access_key)
        rightly = there is not None and there.get("policyName") == policy and there.get("status") == "enabled"
        known = rightly and self._knows(key, bucket)
        action: Action = "create" if there is None else "unchanged" if known else "change"

        def write() -> None:
            with self._told("make a user", key.access_key):
                self._admin.user_add(key.access_key, key.secret_key.get_secret_value())
                self._admin.policy_set(policy, user=key.access_key)

        return Step(f"user {key.access_key} with policy {policy}", action, write)

    def _knows(self, key: Key, bucket: str) -> bool:
        """Whether the service takes this secret; no service tells the secret itself."""
        with told(self.endpoint, "try the key of a user", key.access_key):
            try:
                SignedRequests(self.endpoint, key, self.region).get(bucket, "location")
            except S3RefusedError as refusal:
                if refusal.code == "SignatureDoesNotMatch":
                    return False
                if refusal.code not in ("AccessDenied", "NoSuchBucket"):
                    raise
        return True

    def _asked(self, question: Callable[[str], str], name: str) -> dict[str, Any] | None:
        """MinIO's answer about a policy or user; None where it has none of that name."""
        with self._told("ask for users and policies", name):
            try:
                answer: dict[str, Any] = json.loads(question(name))
            except MinioAdminException as refusal:
                if _reason(refusal)[1] in ("XMinioAdminNoSuchUser", "XMinioAdminNoSuchPolicy"):
                    return None
                raise
        return answer

    @contextmanager
    def _told(self, operation: str, subject: str) -> Iterator[None]:
        """Refusals of MinIO's administration, told as errors of voxkeep."""
        try:
            with told(self.endpoint, operation, subject):
                try:
                    yield
                except MinioAdminException as refusal:
                    raise S3RefusedError(*_reason(refusal)) from None
        except _ForeignError:
            raise SettingsError(
                operation=operation,
                subject=f"{subject} at {self.endpoint}",
                cause="the service has no users and policies that can be made as MinIO's are",
                remedy="make the keys by hand as docs/roles.md says, and give them in the settings",
            ) from None


class _ForeignError(Exception):
    """What answered is not MinIO."""


def _reason(refusal: MinioAdminException) -> tuple[int, str, str]:
    """Status, code and message of a refusal, which minio keeps only as text."""
    told_as = re.fullmatch(r"admin request failed; Status: (\d+), Body: (.*)", str(refusal), re.DOTALL)
    try:
        status, body = told_as.groups() if told_as else ("", "")
        answer = json.loads(body)
        return int(status), str(answer["Code"]), str(answer.get("Message", ""))
    except (ValueError, KeyError, TypeError):
        raise _ForeignError from None


def _meaning(policy: Policy) -> list[str]:
    """What a policy says, whatever the order in which it says it."""
    return sorted(json.dumps(_in_order(statement), sort_keys=True) for statement in policy["Statement"])


def _in_order(value: object) -> object:
    if isinstance(value, dict):
        return {name: _in_order(one) for name, one in value.items()}
    return sorted(value) if isinstance(value, list) else [value]
