"""The web hook: what S3 tells of a new snapshot becomes an event in Prefect, which starts ingest.

An event is a hint. It may come twice, late, in any order or never: ingest finds out itself what is new, and the sweep
finds the same without any event. So nothing here is remembered, and a wrong event does no harm.
"""

import hmac
import logging
import re
from collections.abc import Callable, Iterator
from typing import Annotated
from urllib.parse import unquote_plus
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import FastAPI, Header, HTTPException, Request, Response
from prefect.events import emit_event
from pydantic import BaseModel, Field

from voxkeep.automations import SITE_RESOURCE, SNAPSHOT_EVENT

# restic names a snapshot's object by the 64 hex digits of its id.
_KEY = re.compile(r"restic/(?P<site>[a-z0-9-]+)/(?P<year>\d{4})/snapshots/(?P<snapshot>[0-9a-f]{64})")
_BUSINESS = re.compile(r"[a-z0-9-]{3,63}")
MOST_BYTES = 1 << 20

log = logging.getLogger(__name__)


class _Bucket(BaseModel):
    name: str


class _Object(BaseModel):
    key: str
    version: str = Field("", alias="versionId")


class _Entity(BaseModel):
    bucket: _Bucket
    object: _Object


class _Record(BaseModel):
    event: str = Field(alias="eventName")
    s3: _Entity


class Notification(BaseModel):
    """What S3 services send: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html."""

    records: list[_Record] = Field(alias="Records", max_length=1000)


class Snapshot(BaseModel):
    """A snapshot that a notification tells of."""

    business: str
    site: str
    year: int
    snapshot_id: str
    event_id: UUID


def snapshots_of(notification: Notification) -> Iterator[Snapshot]:
    """The snapshots that were made; anything else that a bucket may tell is passed over."""
    for record in notification.records:
        bucket, key = record.s3.bucket.name, unquote_plus(record.s3.object.key)
        fits = _KEY.fullmatch(key)
        if fits and _BUSINESS.fullmatch(bucket) and "ObjectCreated" in record.event:
            # The same notification delivered twice is one event.
            event_id = uuid5(NAMESPACE_URL, f"{bucket}/{key}?{record.s3.object.version}")
            yield Snapshot(
                business=bucket,
                site=fits["site"],
                year=int(fits["year"]),
                snapshot_id=fits["snapshot"],
                event_id=event_id,
            )


def tell_prefect(snapshot: Snapshot) -> None:
    """Emit the event; it is on its way when this returns."""
    emit_event(
        event=SNAPSHOT_EVENT,
        resource={
            "prefect.resource.id": SITE_RESOURCE.format(business=snapshot.business, site=snapshot.site),
            "prefect.resource.name": f"{snapshot.business}/{snapshot.site}",
        },
        payload=snapshot.model_dump(mode="json", exclude={"event_id"}),
        id=snapshot.event_id,
    )


def make_receiver(token: str, tell: Callable[[Snapshot], None] = tell_prefect) -> FastAPI:
    """The web hook as an ASGI app: `POST /snapshots` with the token as bearer, `GET /health` without."""
    app = FastAPI(title="voxkeep receiver", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/snapshots", status_code=202)
    async def snapshots(request: Request, authorization: Annotated[str, Header()] = "") -> Response:
        given = authorization.removeprefix("Bearer ").encode()
        if not hmac.compare_digest(given, token.encode()):
            log.warning("refused a notification without the right token")
            raise HTTPException(401, "the token is missing or wrong")
        if int(request.headers.get("content-length") or MOST_BYTES + 1) > MOST_BYTES:
            raise HTTPException(413, f"a notification has at most {MOST_BYTES} bytes and says how many")
        try:
            notification = Notification.model_validate_json(await request.body())
        except ValueError:
            raise HTTPException(422, "this is no notification of an S3 service") from None
        for snapshot in snapshots_of(notification):
            tell(snapshot)
            log.info("%s/%s: snapshot %s", snapshot.business, snapshot.site, snapshot.snapshot_id[:8])
        return Response(status_code=202)

    return app
