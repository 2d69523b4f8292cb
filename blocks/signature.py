"""Requests about buckets, signed as S3 wants them: for what clients of objects have no call."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5, sha256
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import httpx
import urllib3
from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3
from pydantic import SecretStr

from blocks.errors import SettingsError, TransientError, VoxkeepError

_TIMEOUT = httpx.Timeout(20, connect=5)


@dataclass(frozen=True)
class Key:
    """A user of an S3 service: access key and secret key."""

    access_key: str
    secret_key: SecretStr


class S3RefusedError(Exception):
    """The service answered, and said no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"the service answers {status} {code}: {message}".rstrip(": ."))


@dataclass(frozen=True)
class SignedRequests:
    """The service at `endpoint`, asked as the owner of `key`.

    Raises (each verb):
        S3RefusedError: it said no.
        httpx.TransportError: it does not answer; told within seconds, nothing is tried again.
    """

    endpoint: str
    key: Key = field(repr=False)
    region: str = "us-east-1"

    def get(self, bucket: str, document: str) -> ET.Element:
        """A document that the service keeps for the bucket, e.g. `lifecycle`; its tags without namespace."""
        content = self._send("GET", bucket, document, b"", {})
        root = ET.fromstring(content)  # noqa: S314  # from the service that keeps all our data
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    def put(self, bucket: str, document: str, content: ET.Element) -> None:
        """Replace a document of the bucket."""
        content.set("xmlns", "http://s3.amazonaws.com/doc/2006-03-01/")
        self._send("PUT", bucket, document, ET.tostring(content), {})

    def create(self, bucket: str, *, locked: bool = False) -> None:
        """Make the bucket."""
        self._send("PUT", bucket, "", b"", {"x-amz-bucket-object-lock-enabled": "true"} if locked else {})

    def _send(self, method: str, bucket: str, document: str, body: bytes, more: dict[str, str]) -> bytes:
        url = f"{self.endpoint.rstrip('/')}/{bucket}" + (f"?{document}=" if document else "")
        now, digest = datetime.now(UTC), sha256(body).hexdigest()
        headers = {
            "Host": urlsplit(url).netloc,
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
            "x-amz-content-sha256": digest,
            "Content-MD5": b64encode(md5(body, usedforsecurity=False).digest()).decode(),
            **more,
        }
        signed = sign_v4_s3(
            method=method,
            url=urlsplit(url),
            region=self.region,
            headers=dict(headers),
            credentials=Credentials(self.key.access_key, self.key.secret_key.get_secret_value()),
            content_sha256=digest,
            date=now,
        )
        answer = httpx.request(
            method, url, content=body, headers={name: str(value) for name, value in signed.items()}, timeout=_TIMEOUT
        )
        if answer.is_success:
            return answer.content
        raise S3RefusedError(answer.status_code, *_reason(answer))


def _reason(answer: httpx.Response) -> tuple[str, str]:
    """Code and message of a refusal; the status where the service does not say."""
    try:
        root = ET.fromstring(answer.content)  # noqa: S314  # likewise
    except ET.ParseError:
        return answer.reason_phrase, ""
    texts = {element.tag.rpartition("}")[2]: element.text or "" for element in root}
    return texts.get("Code", answer.reason_phrase), texts.get("Message", "")


@contextmanager
def told(endpoint: str, operation: str, subject: str) -> Iterator[None]:
    """Refusals and silence of the service, told as errors of voxkeep."""
    kind: type[VoxkeepError] = SettingsError
    remedy = "check the settings of the service and the administrator's key, then apply again"
    try:
        yield
    except (httpx.TransportError, urllib3.exceptions.HTTPError) as error:
        kind, cause = TransientError, f"the service does not answer ({type(error).__name__})"
        remedy = "check its address and that it runs, then apply again"
    except S3RefusedError as error:
        cause = str(error)
        if error.status >= httpx.codes.INTERNAL_SERVER_ERROR:
            kind, remedy = TransientError, "wait until enough of its nodes run, then apply again"
    else:
        return
    raise kind(operation=operation, subject=f"{subject} at {endpoint}", cause=cause, remedy=remedy)
