"""A small business for tests: one site with a real SQLite database, real recordings and a real restic."""

import os
import sqlite3
import wave
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import yaml
from repositories import make_repository

from blocks.catalog import Catalog
from blocks.index import CatalogIndex
from blocks.store import ObjectStore
from flows.backup import backup
from flows.ingest import ingest
from flows.reconciliation import reconcile
from reconcile.frames import FINDINGS, FRAMES, Frame
from voxkeep.apply import apply
from voxkeep.settings import Settings, load_settings

DAY = date(2021, 1, 31)
ZONE = ZoneInfo("Asia/Shanghai")
PASSWORD = "a-password-of-the-tests"
# What differs between two runs over the same source.
OF_A_RUN = ["snapshot_id", "taken_at", "held_time", "last_on_site", "gone_since", "listenable_at", "checked_at"]
# Not what is kept, but when the runs were.
OF_RUNS = "runs"
TEMPLATE = "{month}/{day}/{extension}_{number}_{start:%Y%m%d%H%M%S}.wav3"


def at(clock: str, day: date = DAY) -> datetime:
    """An instant of the business day, by the wall clock."""
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZONE)


def sound(seconds: float, seed: int = 0) -> bytes:
    """Samples of 8 kHz, 16 bit, different for each seed."""
    pattern = seed.to_bytes(4, "little") + bytes(place * 13 % 251 for place in range(252))
    size = int(seconds * 8000) * 2
    return (pattern * (size // len(pattern) + 1))[:size]


class Shop:
    """A business with the site `one`, below one folder.

    The year's repository is there, with a password that is quick to try; where `is_new`, the first backup makes it.
    """

    def __init__(self, folder: Path, business: str = "shop", *, is_new: bool = False, **settings: Any) -> None:
        self.business = business
        self.folder = folder
        self.root = folder / "recordings"
        self.root.mkdir(parents=True)
        self.database = folder / "calls.db"
        with sqlite3.connect(self.database) as connection:
            connection.execute(
                "CREATE TABLE cdr (id TEXT, start TEXT, talk INTEGER, extension TEXT, number TEXT, "
                "file TEXT, 备注 TEXT)"
            )
        (folder / "password").write_text(PASSWORD)
        (folder / "url").write_text(f"sqlite:///{self.database}")
        (folder / "calls.sql").write_text("SELECT * FROM cdr WHERE start >= :start AND start < :end ORDER BY id")
        self.file = folder / f"{business}.yaml"
        self.settings = self.apply(**settings)
        if not is_new:
            make_repository(self.repositories / str(DAY.year), PASSWORD)

    def content(self, **changes: Any) -> dict[str, Any]:
        """The settings as they stand in the YAML, with these changes."""
        columns = {
            "call_id": "id",
            "started_at": "start",
            "talk_seconds": "talk",
            "extension": "extension",
            "callee": "number",
            "recording_path": "file",
        }
        site = {
            "recordings": "recordings",
            "password": {"file": "password"},
            "database": {"file": "url"},
            "since": DAY,
        }
        content = {
            "business": self.business,
            "title": "Shop",
            "storage": "storage",
            "lookback_days": 1,
            "sites": {"one": site},
            "datasets": {
                "calls": {"sql": "calls.sql", "columns": columns, "expects_recording": {"min_talk_seconds": 1}}
            },
            "name_templates": [TEMPLATE],
        }
        return content | changes

    def settings_with(self, **changes: Any) -> Settings:
        """Write the settings with these changes."""
        self.file.write_text(yaml.safe_dump(self.content(**changes), allow_unicode=True))
        return load_settings(self.file)

    def apply(self, **changes: Any) -> Settings:
        """Write the settings with these changes, and apply them."""
        self.settings = self.settings_with(**changes)
        apply(self.settings, self.folder / "home")
        return self.settings

    def call(
        self, call_id: str, clock: str, *, talk: int = 5, number: str = "15372388463", file: str | None = None,
        day: date = DAY,
    ) -> None:  # fmt: skip
        """Write a call of extension 2049 to the source database."""
        start = at(clock, day).strftime("%Y-%m-%d %H:%M:%S")
        with sqlite3.connect(self.database) as connection:
            connection.execute(
                "INSERT INTO cdr VALUES (?, ?, ?, '2049', ?, ?, ?)",
                (call_id, start, talk, number, file, "备注"),
            )

    def recording(
        self, clock: str, *, number: str = "15372388463", seconds: float = 5, seed: int | None = None,
        day: date = DAY,
    ) -> Path:  # fmt: skip
        """Write the recording of extension 2049 that started then; returns its file."""
        start = at(clock, day)
        file = self.root / f"{start:%m/%d}" / f"2049_{number}_{start:%Y%m%d%H%M%S}.wav3"
        file.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file), "wb") as audio:
            audio.setnchannels(1)
            audio.setsampwidth(2)
            audio.setframerate(8000)
            audio.writeframes(sound(seconds, int(f"{start:%d%H%M%S}") if seed is None else seed))
        self.settle(file, start)
        return file

    def settle(self, file: Path | bytes, when: datetime) -> None:
        """Give the file the time of the call, so that it counts as at rest."""
        os.utime(file, (when.timestamp(), when.timestamp()))

    def run(self, day: date = DAY) -> dict[str, Any]:
        """Run the three flows; returns what reconcile says."""
        backup(self.business, "one", day)
        ingest(self.business)
        return reconcile(self.business, day=day)

    @property
    def storage(self) -> Path:
        """Where the embedded profile keeps everything."""
        return Path(self.settings.storage)

    @property
    def repositories(self) -> Path:
        """Where the site's repositories are."""
        return self.storage / "bucket" / self.business / "restic" / "one"

    @property
    def store(self) -> ObjectStore:
        """The published recordings."""
        return ObjectStore(url=str(self.storage / "bucket" / f"{self.business}-audio"))

    @property
    def catalog(self) -> Catalog:
        """The catalog."""
        return Catalog(url=str(self.storage / "catalog"))

    @property
    def index(self) -> CatalogIndex:
        """The call index."""
        return CatalogIndex(url=str(self.storage / "index"))

    def frame(self, contract: Frame) -> pl.DataFrame:
        """A frame of the catalog, all days."""
        return self.catalog.read(contract.name, self.business, None, None, contract.schema)

    def open_findings(self) -> dict[str, int]:
        """How many findings of each kind are open."""
        found = self.frame(FINDINGS).filter(pl.col("status") == "open")
        return dict(found["kind"].value_counts().sort("kind").iter_rows())

    def files(self) -> dict[str, bytes]:
        """Every file of catalog, index and object store, by its path: what a second run must not change."""
        return {
            str(file.relative_to(self.storage)): file.read_bytes()
            for folder in ("catalog", "index", f"bucket/{self.business}-audio")
            for file in sorted((self.storage / folder).rglob("*"))
            if file.is_file() and OF_RUNS not in file.parts
        }

    def end_state(self) -> dict[str, Any]:
        """All that catalog, index and store hold, but for snapshot ids and times: equal after any disturbance."""
        frames = {
            frame.name: self.frame(frame)
            for frame in FRAMES
            if frame.name not in ("disk_files", "listing", "indexed", OF_RUNS)
        }
        state: dict[str, Any] = {name: frame.drop(OF_A_RUN, strict=False).rows() for name, frame in frames.items()}
        state["objects"] = {name: content for name, content in self.files().items() if name.startswith("bucket")}
        state["index"] = self.index.documents(self.business, "one", DAY).rows()
        return state
