"""Hearing and saving a recording: the row in the audit trail first, then the waveform, the sound, the original."""

import re
from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import APIRouter, Depends, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from starlette.background import BackgroundTask

from listen.calls import document_of
from listen.house import Office
from listen.visit import AbsentError, Visit, visit_of

router = APIRouter()
Visiting = Annotated[Visit, Depends(visit_of)]
# How long one may go on seeking in what one has begun to hear; an address at S3 lives much shorter.
_SOUND_SECONDS = 3600
_LINK_SECONDS = 60
_LONGEST_NAME = 150


def _recording(
    visit: Visit, action: str, business: str, day: date, call_uid: str, recording_id: str
) -> tuple[Office, dict[str, Any], dict[str, Any]]:
    """The office, the call's document and the recording, if this person may do this to it.

    Raises:
        RefusedError, AbsentError: they may not, or there is none.
    """
    visit.require(action, business)
    document = document_of(visit, business, day, call_uid)
    for recording in document["recordings"]:
        if recording["recording_id"] == recording_id and recording["key"]:
            return visit.house.offices[business], document, recording
    raise AbsentError


@router.get("/call/{business}/{day}/{call_uid}/{recording_id}/peaks")
def peaks(visit: Visiting, business: str, day: date, call_uid: str, recording_id: str) -> Response:
    """The waveform, and how long the recording plays; making it also makes it ready to be heard."""
    office, _, recording = _recording(visit, "play", business, day, call_uid, recording_id)
    sound = visit.house.sounds.ready(office.store, recording)
    return JSONResponse({"seconds": sound.seconds, "peaks": sound.peaks})


@router.post("/call/{business}/{day}/{call_uid}/{recording_id}/play")
def play(visit: Visiting, business: str, day: date, call_uid: str, recording_id: str) -> Response:
    """Put the play on record; the answer is where the sound is, for this session only."""
    office, document, recording = _recording(visit, "play", business, day, call_uid, recording_id)
    _record(visit, "play", document, recording)
    token = visit.house.tokens.make(
        "sound", {"sid": visit.session.sid, "business": office.business, "recording": _kept(recording)}
    )
    return JSONResponse({"source": f"/sound/{token}"})


@router.get("/sound/{token}")
def sound(visit: Visiting, token: str) -> Response:
    """The sound as WAV, or the part of it that the browser asks for."""
    content = visit.house.tokens.read("sound", token, _SOUND_SECONDS)
    if content is None or content["sid"] != visit.session.sid or not visit.person.may("play", content["business"]):
        raise AbsentError
    ready = visit.house.sounds.ready(visit.house.offices[content["business"]].store, content["recording"])
    return FileResponse(ready.wav, media_type="audio/wav", content_disposition_type="inline")


@router.post("/call/{business}/{day}/{call_uid}/{recording_id}/download")
def download(visit: Visiting, business: str, day: date, call_uid: str, recording_id: str) -> Response:
    """The recording's original bytes, under its own name."""
    office, document, recording = _recording(visit, "download", business, day, call_uid, recording_id)
    _record(visit, "download", document, recording)
    name = PurePosixPath(unquote(recording["path"])).name
    if not office.store.is_folder():
        return RedirectResponse(office.store.link(recording["key"], _LINK_SECONDS, name), 303)
    original = visit.house.sounds.original(office.store, recording)
    return FileResponse(
        original, media_type="application/octet-stream", headers={"Content-Disposition": saved_as(name)},
        background=BackgroundTask(original.unlink, missing_ok=True),
    )  # fmt: skip


def _record(visit: Visit, action: str, document: dict[str, Any], recording: dict[str, Any]) -> None:
    visit.record(
        action, business=document["business"], subject=recording["recording_id"],
        numbers=tuple(document["numbers"] or ()),
        details={"call": document["call_uid"], "sha256": recording["sha256"]},
    )  # fmt: skip


def _kept(recording: dict[str, Any]) -> dict[str, Any]:
    """What must be known to make it ready again."""
    return {name: recording[name] for name in ("recording_id", "key", "sha256")}


def saved_as(name: str) -> str:
    r"""The header that names a download (RFC 6266), whatever stands in the name.

    >>> saved_as('催收"1".wav')
    'attachment; filename="___1_.wav"; filename*=UTF-8\'\'%E5%82%AC%E6%94%B6%221%22.wav'
    """
    name = "".join(character for character in name if character.isprintable())[-_LONGEST_NAME:] or "recording"
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
