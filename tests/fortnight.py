"""A business of three sites over which every kind of bad luck comes, and the truth about it.

`flaky` reaches the centre through a network that stalls and tears connections, the recorder of `skewed` is seven
minutes ahead of the clock that writes its calls, and `island` has no network: its disk is carried in. What there is,
is known here from what was made, never from what voxkeep says.
"""

import hashlib
import os
import sqlite3
import wave
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from shop import TEMPLATE, sound

FIRST = date(2021, 3, 1)
SITES = ("flaky", "skewed", "island")
ZONE = ZoneInfo("Asia/Shanghai")
AHEAD = timedelta(minutes=7)
LOOKBACK = 2
# Calls of a site and day that are as they should be: so many, that the clock of the recorder is learnt from them.
SOUND_CALLS = 7
FATES = ("sound", "late row", "late recording", "unrecorded", "orphan", "unanswered")


@dataclass
class Item:
    """A call, its recording, or one of both; from which day on there is the row, and the file."""

    site: str
    day: date
    call_id: str
    path: str
    start: datetime
    extension: str
    number: str
    talk: int
    names_file: bool
    row_from: date | None = None
    file_from: date | None = None

    def row_known(self, upto: date) -> bool:
        """Whether a backup of that day finds the row."""
        return self.row_from is not None and self.row_from <= upto

    def file_known(self, upto: date) -> bool:
        """Whether a backup of that day finds the file."""
        return self.file_from is not None and self.file_from <= upto


@dataclass
class World:
    """The source disks and databases of the three sites below `folder`, and all that was ever on them."""

    folder: Path
    random: Random
    items: list[Item] = field(default_factory=list)
    hashes: dict[tuple[str, str], str] = field(default_factory=dict)
    # The last business day of each site that the centre has taken in.
    taken: dict[str, date] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """What stands in the business's YAML, but for the S3 service; the files that it names are written."""
        (self.folder / "password").write_text("a-password-of-the-tests")
        (self.folder / "calls.sql").write_text("SELECT * FROM cdr WHERE start >= :start AND start < :end ORDER BY id")
        sites: dict[str, Any] = {}
        for site in SITES:
            (self.folder / site / "recordings").mkdir(parents=True)
            (self.folder / site / "url").write_text(f"sqlite:///{self.folder / site / 'calls.db'}")
            with self._database(site) as database:
                database.execute(
                    "CREATE TABLE cdr (id TEXT, start TEXT, talk INTEGER, extension TEXT, number TEXT, file TEXT)"
                )
            sites[site] = {
                "recordings": f"{site}/recordings", "staging": f"{site}/staging", "since": FIRST,
                "password": {"file": "password"}, "database": {"file": f"{site}/url"},
            }  # fmt: skip
        sites["island"]["repository"] = str(self.disk)
        columns = {
            "call_id": "id", "started_at": "start", "talk_seconds": "talk", "extension": "extension",
            "callee": "number", "recording_path": "file",
        }  # fmt: skip
        return {
            "business": "fortnight",
            "title": "Fortnight",
            "storage": "storage",
            "lookback_days": LOOKBACK,
            "sites": sites,
            "datasets": {
                "calls": {"sql": "calls.sql", "columns": columns, "expects_recording": {"min_talk_seconds": 1}}
            },
            "name_templates": [TEMPLATE],
        }

    @property
    def disk(self) -> Path:
        """Where the island has its disk mounted."""
        return self.folder / "disk" / "restic"

    def live(self, day: date) -> None:
        """Let the sites have one more business day: new calls, and what is late from the days before."""
        for site in SITES:
            fates = ["sound"] * SOUND_CALLS + self.random.choices(FATES, k=4)
            minutes = sorted(self.random.sample(range(9 * 60, 20 * 60, 3), len(fates)))
            self.random.shuffle(fates)
            for place, (fate, minute) in enumerate(zip(fates, minutes, strict=True)):
                self._add(site, day, place, minute, fate)
        for item in self.items:
            if item.row_from == day:
                self._write_row(item)
            if item.file_from == day:
                self._write_file(item)

    def purge(self, site: str, before: date) -> int:
        """Have the telephone system of the site delete the recordings of the days before; how many those were."""
        gone = [item for item in self.items if item.site == site and item.day < before]
        files = [self._root(site) / item.path for item in gone]
        there = [file for file in files if file.exists()]
        for file in there:
            file.unlink()
        return len(there)

    def rows(self) -> Counter[tuple[str, str]]:
        """Each call (site, id) that the centre must have, once."""
        return Counter((item.site, item.call_id) for item in self.items if item.row_known(self._upto(item)))

    def recordings(self) -> dict[tuple[str, str], str]:
        """SHA-256 of each recording (site, path) that the centre must have."""
        return {
            (item.site, item.path): self.hashes[item.site, item.path]
            for item in self.items
            if item.file_known(self._upto(item))
        }

    def findings(self, today: date) -> Counter[tuple[str, str, date]]:
        """What must be open (kind, site, day) after today's reconciliation."""
        days = [FIRST + timedelta(days=place) for place in range((today - FIRST).days + 1)]
        found: Counter[tuple[str, str, date]] = Counter()
        for site in SITES:
            for day in days:
                if day > self.taken.get(site, date.min):
                    found["backup_overdue", site, day] += 1
                elif site == "skewed":
                    found["clock_skew", site, day] += 1
        for item in self.items:
            has_row, has_file = item.row_known(self._upto(item)), item.file_known(self._upto(item))
            if has_row and item.talk and not has_file:
                found["recording_missing", item.site, item.day] += 1
            if has_file and not has_row:
                found["recording_orphan", item.site, item.day] += 1
        return found

    def _upto(self, item: Item) -> date:
        return self.taken.get(item.site, date.min)

    def _add(self, site: str, day: date, place: int, minute: int, fate: str) -> None:
        start = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minute)
        named = start + (AHEAD if site == "skewed" else timedelta())
        extension, number = str(self.random.randrange(2000, 2100)), f"15{self.random.randrange(10**9):09}"
        late = day + timedelta(days=self.random.randint(1, LOOKBACK))
        # On the skewed site rows name their files, but for a few: the clock that is learnt from the others finds those.
        is_found_by_time = site != "skewed" or fate == "unanswered" or (fate == "sound" and place < 2)
        item = Item(
            site=site, day=day, call_id=f"{day:%d}-{place:02}", start=start, extension=extension, number=number,
            path=f"{named:%m/%d}/{extension}_{number}_{named:%Y%m%d%H%M%S}.wav3",
            talk=0 if fate == "unanswered" else 2, names_file=not is_found_by_time,
        )  # fmt: skip
        if fate != "orphan":
            item.row_from = late if fate == "late row" else day
        if fate in ("sound", "late row", "late recording", "orphan"):
            item.file_from = late if fate == "late recording" else day
        self.items.append(item)

    def _write_row(self, item: Item) -> None:
        file = item.path if item.names_file else None
        values = (item.call_id, item.start.isoformat(" "), item.talk, item.extension, item.number, file)
        with self._database(item.site) as database:
            database.execute("INSERT INTO cdr VALUES (?, ?, ?, ?, ?, ?)", values)

    def _write_file(self, item: Item) -> None:
        file = self._root(item.site) / item.path
        file.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file), "wb") as audio:
            audio.setnchannels(1)
            audio.setsampwidth(2)
            audio.setframerate(8000)
            audio.writeframes(sound(2, self.random.randrange(2**32)))
        at_rest = datetime.combine(item.day, datetime.min.time(), ZONE).timestamp() + 86_000
        os.utime(file, (at_rest, at_rest))
        self.hashes[item.site, item.path] = hashlib.sha256(file.read_bytes()).hexdigest()

    def _root(self, site: str) -> Path:
        return self.folder / site / "recordings"

    def _database(self, site: str) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / site / "calls.db")
