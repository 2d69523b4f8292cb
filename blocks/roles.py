"""Who may do what in a business's two buckets: the policies of the keys that `voxkeep apply` makes.

A key that can write to a restic repository can read all of it, so each site has its own repositories and its own key.
No role but that of retention may delete an object or a version, but for restic's locks; buckets keep versions, so what
is overwritten with a stolen key can be had back. Retention may put no recording, and what object lock keeps it cannot
delete. `docs/roles.md` has the table, which a test measures on a real server.
"""

import re
from typing import Any

from blocks.errors import SettingsError

Policy = dict[str, Any]

_READ = ["s3:GetObject"]
_WRITE = ["s3:GetObject", "s3:PutObject"]
_DELETE = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
_LOCK = ["s3:PutObjectRetention", "s3:GetObjectRetention", "s3:PutObjectLegalHold", "s3:GetObjectLegalHold"]
_LIST_VERSIONS = ("s3:ListBucket", "s3:ListBucketVersions")
# Large objects are sent in parts; giving up one's own unfinished upload deletes no object.
_PARTS = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]


def site_policy(business: str, site: str) -> Policy:
    """What restic needs at a site: read and write its own repositories, delete locks, list nothing else."""
    _check(business, site)
    own = f"restic/{site}/"
    return _policy(
        _located(business),
        _listed(business, own),
        _allow([*_WRITE, *_PARTS], f"{business}/{own}*"),
        _allow(["s3:DeleteObject"], f"{business}/{own}*/locks/*"),
        # MinIO lets who may delete an object delete its versions too, unless that is denied.
        _allow(["s3:DeleteObjectVersion"], f"{business}/*") | {"Effect": "Deny"},
    )


def restore_policy(business: str) -> Policy:
    """Read all repositories of the business, write nothing."""
    _check(business)
    return _policy(_located(business), _listed(business, "restic/"), _allow(_READ, f"{business}/restic/*"))


def publish_policy(business: str) -> Policy:
    """Put recordings and read them back, read and replace the catalog."""
    _check(business)
    audio = audio_bucket(business)
    return _policy(
        _located(business, audio),
        _listed(audio, ""),
        _listed(business, "catalog/"),
        _allow([*_WRITE, *_PARTS], f"{audio}/*", f"{business}/catalog/*"),
        # Marks hold no data: they are taken away when what they ask for is done (blocks.catalog.MARKS).
        _allow(["s3:DeleteObject"], f"{business}/catalog/untraced/*"),
        _allow(["s3:DeleteObjectVersion"], f"{business}/*") | {"Effect": "Deny"},
    )


def listen_policy(business: str) -> Policy:
    """Read recordings and the catalog."""
    _check(business)
    audio = audio_bucket(business)
    return _policy(
        _located(business, audio),
        _listed(audio, ""),
        _listed(business, "catalog/"),
        _allow(_READ, f"{audio}/*", f"{business}/catalog/*"),
    )


def retain_policy(business: str) -> Policy:
    """What retention needs: remove recordings, catalog and repositories with all their versions, lock recordings."""
    _check(business)
    audio, repositories, catalog = audio_bucket(business), f"{business}/restic/*", f"{business}/catalog/*"
    return _policy(
        _located(business, audio),
        _listed(audio, "", _LIST_VERSIONS),
        _listed(business, "restic/", _LIST_VERSIONS),
        _listed(business, "catalog/", _LIST_VERSIONS),
        _allow([*_WRITE, *_PARTS, *_DELETE], repositories, catalog),
        _allow([*_READ, *_DELETE, *_LOCK], f"{audio}/*"),
    )


def audio_bucket(business: str) -> str:
    """Name of the bucket with the recordings."""
    return f"{business}-audio"


def _policy(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(actions: list[str], *resources: str) -> Policy:
    return {"Effect": "Allow", "Action": actions, "Resource": [f"arn:aws:s3:::{one}" for one in resources]}


def _located(*buckets: str) -> Policy:
    return _allow(["s3:GetBucketLocation"], *buckets)


def _listed(bucket: str, prefix: str, actions: tuple[str, ...] = ("s3:ListBucket",)) -> Policy:
    """The list of the objects below `prefix` and of no others; of all where there is no prefix."""
    statement = _allow(list(actions), bucket)
    if prefix:
        statement["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}*"]}}
    return statement


def _check(*names: str) -> None:
    """Refuse names that would say more in a policy than a name: `*`, `${…}`, `/`."""
    for name in names:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise SettingsError(
                operation="write a policy",
                subject=repr(name),
                cause="this is no name of a business or a site",
                remedy="use small letters, digits, and single hyphens between them",
            )
