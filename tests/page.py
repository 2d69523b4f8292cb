"""The page 调听 for tests: businesses with calls and recordings of every kind, a real server, people who log in."""

import hashlib
import io
import json
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import av
import httpx
import numpy as np
import polars as pl
import uvicorn
from numpy.typing import NDArray

from blocks.catalog import Catalog
from blocks.exports import exports_folder
from blocks.index import DOCUMENT_SCHEMA, CatalogIndex
from blocks.keys import derived
from blocks.progress import Progress, Told
from blocks.retrievals import Request, Retrieval, Retrievals
from blocks.store import ObjectStore, Publication
from blocks.trail import AuditTrail, Row
from blocks.vault import Vault
from listen.accounts import Account, Accounts, hashed
from listen.app import make_app
from listen.house import Desk, House, Office
from listen.provider import Provider
from listen.roles import Person
from listen.security import Rate
from listen.visit import COOKIE, Session
from reconcile.frames import TRACE
from reconcile.ids import stable_id
from reconcile.pack import Column, File, Pack
from reconcile.retrieval import UNFOUND
from reconcile.rules import NumberRules
from voxkeep.sample_audio import recording as sample_recording

DAY = date(2026, 3, 2)
ZONE = ZoneInfo("Asia/Shanghai")
KEY = b"the key of the installation of the tests"
NUMBER = "15372388463"
PASSWORD = "correct horse battery"
PACK = "monthly"
RATE = 8000


def tone(seconds: float, channels: int = 1, rate: int = RATE) -> NDArray[np.int16]:
    """Samples of a sound whose pitch rises, another on each channel."""
    times = np.arange(round(seconds * rate)) / rate
    waves = [np.sin(2 * np.pi * (300 + 200 * channel + 60 * times) * times) * 9000 for channel in range(channels)]
    return np.stack(waves).astype(np.int16)


def encoded(container: str, codec: str, samples: NDArray[np.int16], rate: int = RATE) -> bytes:
    """The samples in this container and codec, by FFmpeg."""
    target = io.BytesIO()
    layout = "stereo" if len(samples) > 1 else "mono"
    with av.open(target, "w", format=container) as file:
        stream = cast("av.AudioStream", file.add_stream(codec, rate=rate))
        stream.layout = layout
        if codec == "adpcm_g726":
            stream.bit_rate = 32_000
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate, frame_size=None)
        packed = np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        for ready in resampler.resample(frame):
            file.mux(stream.encode(ready))
        file.mux(stream.encode(None))
    return target.getvalue()


def recordings_of_every_kind() -> dict[str, tuple[str, bytes]]:
    """File extension and bytes of each format that telephone systems write, by a name of ours."""
    mono, stereo, wide = tone(3), tone(3, 2), tone(3, rate=16_000)
    return {
        "pcm": ("wav3", encoded("wav", "pcm_s16le", mono)),
        "alaw": ("wav3", encoded("wav", "pcm_alaw", mono)),
        "ulaw": ("wav", encoded("wav", "pcm_mulaw", mono)),
        "ima": ("wav", encoded("wav", "adpcm_ima_wav", mono)),
        "msadpcm": ("wav", encoded("wav", "adpcm_ms", mono)),
        "gsm": ("wav", sample_recording(3, "gsm", "gsm")),
        "mp3": ("mp3", encoded("mp3", "libmp3lame", mono)),
        "stereo": ("wav", encoded("wav", "pcm_alaw", stereo)),
        "raw-ulaw": ("ulaw", encoded("mulaw", "pcm_mulaw", mono)),
        "raw-alaw": ("al", encoded("alaw", "pcm_alaw", mono)),
        "sln": ("sln", encoded("s16le", "pcm_s16le", mono)),
        "g722": ("g722", encoded("g722", "g722", wide, 16_000)),
        "au": ("au", encoded("au", "pcm_mulaw", mono)),
        "opus": ("ogg", encoded("ogg", "libopus", tone(3, rate=48_000), 48_000)),
        "flac": ("flac", encoded("flac", "flac", mono)),
        "aac": ("m4a", encoded("adts", "aac", mono)),
    }


@dataclass(frozen=True)
class Recorded:
    """A recording in the test's store: its document's fields and its bytes."""

    document: dict[str, Any]
    content: bytes


def published(store: ObjectStore, business: str, name: str, extension: str, content: bytes, folder: Path) -> Recorded:
    """Put a recording into the store, as ingest does."""
    path = f"03/02/2049_{NUMBER}_{name}.{extension}"
    sha256 = hashlib.sha256(content).hexdigest()
    recording_id = stable_id(business, "cq", path)
    key = f"{DAY}/{recording_id[:2]}/{recording_id}.{sha256[:12]}.{extension}"
    source = folder / f"{recording_id}.source"
    source.write_bytes(content)
    store.publish([Publication(key, source, len(content), sha256)])
    document = {
        "recording_id": recording_id, "key": key, "path": path, "container": "wav", "codec": name,
        "duration_ms": 3000, "size": len(content), "sha256": sha256,
    }  # fmt: skip
    return Recorded(document, content)


class Waiting:
    """Work that is asked for and that nobody does: the flow's name and its parameters."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def start(self, flow: str, parameters: dict[str, Any], progress: Progress) -> None:  # noqa: ARG002  # a protocol
        """Write it down."""
        self.asked.append((flow, parameters))


class Page:
    """Two businesses, a call for each kind of recording, and a server that serves them."""

    def __init__(self, folder: Path, provider: Provider | None = None) -> None:
        self.folder = folder
        self.recordings: dict[str, Recorded] = {}
        self.vault = Vault(url=str(folder / "listen"))
        self.accounts = Accounts(self.vault)
        self.trail = AuditTrail(self.vault, derived(KEY, "rows"), folder / "audit-head")
        self.offices = {name: self._office(name) for name in ("shop", "bank")}
        self._digest = hashed(PASSWORD, "anybody")
        self.house = House(self.offices, self.accounts, self.trail, KEY, folder / "sounds", provider)
        self.house.logins = self.house.searches = self.house.orders = Rate(100_000, 60)
        self.house.work = self.work = Waiting()
        self.base = ""

    def _office(self, business: str) -> Office:
        index = CatalogIndex(url=str(self.folder / "index"))
        store = ObjectStore(url=str(self.folder / f"{business}-audio"))
        store.create()
        catalog = Catalog(url=str(self.folder / "catalog"))
        found = {
            name: published(store, business, name, extension, content, self.folder)
            for name, (extension, content) in recordings_of_every_kind().items()
        }
        self.recordings |= {f"{business}/{name}": one for name, one in found.items()}
        rows = [self._call(business, place, name, one) for place, (name, one) in enumerate(found.items())]
        rows.append(self._call(business, 40, "none", None))
        index.replace(business, "cq", DAY, pl.DataFrame(rows, schema=DOCUMENT_SCHEMA))
        catalog.write("trace", business, "cq", DAY, self._trace(business, rows))
        return Office(
            business, f"业务{business}", ZONE, {"cq": "重庆"}, NumberRules(), catalog, index, store, self.folder,
            {PACK: Desk(a_pack(business), "sftp://bank.example/in")},
        )  # fmt: skip

    def _call(self, business: str, place: int, name: str, recorded: Recorded | None) -> dict[str, Any]:
        started = datetime(2026, 3, 2, 2, tzinfo=UTC) + timedelta(minutes=place)
        return {
            "call_uid": uid(business, name), "business": business, "site": "cq", "dataset": "calls", "day": DAY,
            "call_id": f"{business}-{name}", "leg": "1", "started_at": started, "talk_seconds": 3.0,
            "extension": "2049", "caller": None, "callee": NUMBER, "display_number": "02388650001",
            "numbers": [NUMBER, "2388650001"],
            "attributes": json.dumps({"案件编号": f"MT-{place}", "备注": "<b>=1+1</b>"}, ensure_ascii=False),
            "notes": json.dumps([{"催记内容": f"回电{NUMBER}，承诺还款"}], ensure_ascii=False),
            "recordings": [recorded.document] if recorded else [],
        }  # fmt: skip

    def _trace(self, business: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
        stations = dict.fromkeys(("called", "on_site", "in_snapshot", "restored", "published", "indexed"), True)
        traced = [
            dict.fromkeys(TRACE.columns)
            | {"business": business, "site": "cq", "day": DAY, "call_id": row["call_id"], "ambiguous": False}
            | {"recording_id": row["recordings"][0]["recording_id"], "content_ok": True}
            | stations
            for row in rows
            if row["recordings"]
        ]
        return pl.DataFrame(traced, schema=TRACE.schema)

    def person(self, name: str, roles: tuple[str, ...], businesses: tuple[str, ...] = ("shop",), **more: Any) -> None:
        """Make an account with the password of the tests."""
        account = Account(
            name=name, title=name, roles=roles, businesses=businesses, password=self._digest,
            **{"must_change": False, **more},
        )  # fmt: skip
        self.accounts.change(name, lambda _: account)

    def rows(self, **wanted: str) -> list[Row]:
        """The rows of the audit trail, oldest first, whose entries are so."""
        self.trail.catch_up()
        rows = list(self.trail.rows(self.trail.head().sequence))[::-1]
        return [row for row in rows if all(getattr(row.entry, name) == value for name, value in wanted.items())]

    def client(self) -> "Client":
        """A browser without scripts."""
        return Client(self.base)

    def enter(self, name: str, roles: tuple[str, ...], businesses: tuple[str, ...] = ("shop",)) -> "Client":
        """A browser in which this person has logged in a moment ago, without the second that a login takes."""
        self.person(name, roles, businesses)
        client, now = self.client(), datetime.now(UTC).timestamp()
        session = Session(person=Person(name, name, roles, businesses), epoch=1, began=now)
        client.http.cookies.set(COOKIE, self.house.tokens.make("session", session.plain()), domain="127.0.0.1")
        client.get("/password")  # any page that everybody has, for its token
        return client

    def start(self) -> uvicorn.Server:
        """Serve the page on a free port; ready when this returns."""
        server, self.base = served(self.house)
        return server


def served(house: House) -> tuple[uvicorn.Server, str]:
    """A server of this house's page on a free port, ready, and its address."""
    config = uvicorn.Config(
        make_app(house), host="127.0.0.1", port=0, log_level="critical", access_log=False, server_header=False
    )
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return server, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def a_pack(business: str) -> Pack:
    """A pack of this business."""
    columns = [Column(name="通话", field="call_id")]
    return Pack(pack=PACK, title=f"月报{business}", rows="calls", columns=columns, file=File(name="a.csv"))


def sent(page: Page, business: str) -> str:
    """The name of an export of the business's pack that was sent."""
    folder = exports_folder(page.folder, business, PACK) / f"{DAY}--{DAY}.001"
    folder.mkdir(parents=True, exist_ok=True)
    files = [{"name": "a.csv", "bytes": 1, "sha256": "0" * 64, "at": "sftp://bank.example/in/a.csv"}]
    receipt = {
        "business": business, "pack": PACK, "title": "x", "since": str(DAY), "until": str(DAY), "rows": 7,
        "recordings": 0, "delivered_to": "sftp://bank.example/in",
        "parts": [{"files": files, "sent_at": "2026-03-03T02:00:00+00:00", "part": 1}],
    }  # fmt: skip
    (folder / "receipt.json").write_text(json.dumps(receipt))
    return folder.name


def retrieved(page: Page, business: str) -> Retrieval:
    """A retrieval of the business that is done."""
    request = Request(
        business=business, by="zhuguan", entries=(NUMBER, "13900000000"), field="number", name="{call_id}"
    )
    made = Retrievals(page.folder, business)
    found = next((one for one in made.newest() if one.is_over()), None) or made.ask(request)
    absent = {"entry": 2, "asked": "13900000000", "reason": "no_call"}
    pl.DataFrame([absent], schema=UNFOUND).write_parquet(found.absent)
    found.result.write_bytes(f"{business}-result".encode())
    outcome = {
        "entries": 2,
        "entries_found": 1,
        "recordings": 16,
        "bytes": 10,
        "not_found": 1,
        "reasons": {"no_call": 1},
    }
    found.progress.tell(Told("done", "retrieve", outcome=outcome))
    return found


def uid(business: str, name: str) -> str:
    """The call_uid of a call of the page."""
    return stable_id(business, "cq", name)


def call_path(business: str, name: str) -> str:
    """Where a call is."""
    return f"/call/{business}/{DAY}/{uid(business, name)}"


class Client:
    """A browser without scripts: it keeps cookies, and sends the token of the page it saw last."""

    def __init__(self, base: str) -> None:
        self.http = httpx.Client(base_url=base, follow_redirects=False, timeout=30)
        self.csrf = ""

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Open a page."""
        return self._seen(self.http.get(path, **more))

    def post(self, path: str, data: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Send a form of the page."""
        return self._seen(self.http.post(path, data={"csrf": self.csrf, **(data or {})}, **more))

    def follow(self, response: httpx.Response) -> httpx.Response:
        """Go where the answer leads."""
        assert response.status_code == 303, response.status_code
        return self.get(response.headers["location"])

    def login(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Log in by the form."""
        self.get("/login")
        response = self.post("/login", {"name": name, "password": password})
        if response.status_code == 303:
            self.get("/password")  # any page that everybody has, for its token
        return response

    def search(self, **fields: str) -> httpx.Response:
        """Search by the form."""
        return self.follow(self.post("/calls", fields))

    def _seen(self, response: httpx.Response) -> httpx.Response:
        token = re.search(r'name="csrf" value="([0-9a-f]+)"', response.text) if _is_html(response) else None
        self.csrf = token[1] if token else self.csrf
        return response


def _is_html(response: httpx.Response) -> bool:
    return response.headers.get("content-type", "").startswith("text/html")
