"""Random sources from a seed, with planted faults: small, so that a thousand of them are reconciled in seconds.

A case is a few looks at one or two sites of its own, on several days. It begins as calls with the recordings that
belong to them, tied in every way there is, and is then spoilt: rows arrive late, change or repeat, files are copied,
lost, altered or still written, clocks are off, names are shared. Cases of one setting (rules, stations looked at,
days) can be reconciled together, for their sites have nothing to do with each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import oracle
from tables import BUSINESS, DAY, Row, at, call, recording

Look = dict[str, list[Row]]

STATIONS = ("snapshot_files", "restored", "listing", "indexed")
TABLES = (
    "calls", "inventory", *STATIONS, "quarantine", "extracts", "snapshots", "due", "gone", "rejected", "unindexed",
)  # fmt: skip
SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)

# The last two are as short as a number may be without its prefixes, and one digit shorter.
_LINES = (*("15372388463",) * 5, *("13800000000",) * 4, "2345678", "345678")
_SPELLINGS = ("{}", "{}", "{}", "0{}", "86{}", "+86{}", "0086 {}", "9{}", "90{}")
# Which digits are masked; of the last, too few are left.
_MASKS = ((3, 7), (3, 7), (7, 11), (0, 4), (3, 9))
_NO_LINES = (None, None, "", "-", "anonymous", "10086", "2049", "153****8463", "0153xxxx8463")
_GAPS = (0, 0, 0.5, 1, 5, 10, 10, 20, 29.999999, 30, 30.000001, 60)
_OFFSETS = (0, 0, 0, 0.25, 3.25, -7, 60, 60.001, 100, -61.5)
_KEYS = (
    ["call_id"], ["number"], ["extension"], ["start"], ["extension", "start"], ["number", "start"],
    ["extension", "number", "start"], ["call_id", "extension"],
)  # fmt: skip
_ORDERS = (["key", "path", "nearest"], ["nearest", "key", "path"], ["path", "nearest", "key"], ["key"], ["nearest"])


@dataclass(frozen=True)
class Setting:
    """What cases that are reconciled together share: rules (as settings say them), stations, days of the looks."""

    rules: dict[str, Any]
    looked_at: frozenset[str]
    days: tuple[date, ...]


def setting(seed: int) -> Setting:
    """The setting with this number; every other one has the rules that businesses begin with."""
    rng = Random(f"setting {seed}")  # noqa: S311  # reproducible, not secret
    matching: dict[str, Any] = {}
    numbers: dict[str, Any] = {}
    if seed % 2:
        matching = {
            "order": rng.choice([["path", "key", "nearest"], *_ORDERS]),
            "key": rng.choice([None, None, *_KEYS]),
            "tolerance_seconds": rng.choice([30, 30, 0.5, 7.25, 90]),
            "clock_skew_limit_seconds": rng.choice([60, 7, 99.5]),
            "duration_tolerance_seconds": rng.choice([5, 0, 1.5]),
            "duration_tolerance_ratio": rng.choice([0.1, 0, 0.25]),
        }
        numbers = {"access_codes": rng.choice([[], ["9"], ["9", "90"]]), "trunk_prefixes": rng.choice([["0"], []])}
    looked_at = frozenset(name for name in STATIONS if rng.random() < 0.85)
    steps = [rng.choice([1, 1, 1, 0, -1]) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
    days = [DAY + timedelta(days=2 + sum(steps[:n])) for n in range(len(steps) + 1)]
    return Setting({"matching": matching, "numbers": numbers}, looked_at, tuple(days))


def case(seed: int, given: Setting, *, emptied: bool = False) -> list[Look]:
    """The looks of the case with this number; `emptied`: some of its tables hold nothing."""
    rng = Random(f"case {seed}")  # noqa: S311
    sites = [_Site(rng, f"{seed:06}-{name}", given) for name in rng.choice([["cq"], ["cq"], ["cq", "bj"]])]
    looks = together([[site.look(number) for number in range(len(given.days))] for site in sites])
    for look in looks:
        for rows in look.values():
            rng.shuffle(rows)
    for name in rng.sample(TABLES, rng.choice([1, 1, 3])) if emptied else ():
        for look in looks:
            look[name] = []
    return looks


@dataclass
class _Item:
    """A row with the number of the look that sees it first, and of the one that sees it no more."""

    row: Row
    since: int = 0
    until: int = 99


@dataclass
class _Site:
    """One site: what its looks will see."""

    rng: Random
    name: str
    given: Setting
    calls: list[_Item] = field(default_factory=list)
    files: list[_Item] = field(default_factory=list)
    fates: dict[str, Row] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.offset = self.rng.choice(_OFFSETS) * SECOND
        size = self.rng.choices(["nothing", "little", "much", "clock", "silent"], [1, 12, 2, 5, 2])[0]
        count = {"nothing": 0, "little": self.rng.randint(0, 6), "much": self.rng.randint(7, 15), "clock": 7,
                 "silent": 5}[size]  # fmt: skip
        self.silent = size == "silent"
        for number in range(count):
            self.add_call(number, certain=size == "clock" and self.rng.random() < 0.85)
        for _ in range(self.rng.choice([0, 0, 1, 2]) if count else self.rng.choice([0, 1, 3])):
            self.add_file(recording(self.path(), **self.some_name()))
        self.spoil_calls()
        self.spoil_files()

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def late(self) -> int:
        """The look that sees a row first: mostly the first of all."""
        return self.rng.randrange(len(self.given.days)) if self.chance(0.25) else 0

    # calls and their recordings

    def add_call(self, number: int, *, certain: bool) -> None:
        """A call of one or several legs, with what was recorded of it."""
        earlier = self.rng.choice(self.calls).row if self.calls and self.chance(0.45) else None
        day = DAY + timedelta(days=self.rng.choice([0, 0, 0, 1]))
        start: datetime | None = at("09:00:00", day) + number * 600 * SECOND + self.rng.choice([0, 0, 0.25]) * SECOND
        line = {"extension": self.rng.choice(["2049", "2049", "2050", None]), **self.both_numbers()}
        if earlier and earlier["started_at"]:
            day, start = earlier["day"], earlier["started_at"] + self.rng.choice(_GAPS) * SECOND
            line = line if self.chance(0.3) else {name: earlier[name] for name in line}
        if self.chance(0.03):
            start = None
        dataset = "robot" if self.chance(0.1) else "calls"
        name = earlier["call_id"] if earlier and self.chance(0.15) else f"c{number}"
        legs = [
            self.leg(name, leg, day, start, dataset, line)
            for leg in self.rng.choice([[""], [""], [""], ["1", "2"], ["2", "1", "10"]])
        ]
        late = self.late()
        known = {item.row["call_uid"] for item in self.calls}
        legs = [leg for leg in legs if leg["call_uid"] not in known]
        self.calls += [_Item(leg, late if self.chance(0.9) else self.late()) for leg in legs]
        often = [0, 0, 0, 0, 0, 0, 1] if self.silent else [0, 1, 1, 1, 1, 2, 3]
        for _ in range(self.rng.choice(often) if legs and not certain else len(legs)):
            self.record(self.rng.choice(legs), "whole" if certain else None)

    def leg(self, name: str, leg: str, day: date, start: datetime | None, dataset: str, line: Row) -> Row:
        """A leg of the call, which begins with it or a little later."""
        rng = self.rng
        later = start + rng.choice([0, 0, 4, 10]) * SECOND if start and leg else start
        return call(
            name, leg=leg, site=self.name, dataset=dataset, day=day if later else None, started_at=later, **line,
            talk_seconds=rng.choice([5.0, 5.0, 5.0, 60.0, 0.25, None]), expects_recording=self.chance(0.75),
            source_file=f"{dataset}-{rng.choice('ab')}.csv", source_row=rng.randint(2, 30),
        )  # fmt: skip

    def both_numbers(self) -> Row:
        return {
            side: self.number() if self.chance(share) else None for side, share in (("callee", 0.85), ("caller", 0.4))
        }

    def number(self) -> str | None:
        if self.chance(0.15):
            return self.rng.choice(_NO_LINES)
        return self.rng.choice(_SPELLINGS).format(self.hidden(self.rng.choice(_LINES), 0.15))

    def hidden(self, number: str, share: float) -> str:
        """The number, now and then with a mask."""
        if not self.chance(share):
            return number
        first, behind = self.rng.choice(_MASKS)
        return number[:first] + "*" * (min(behind, len(number)) - first) + number[behind:]

    def record(self, leg: Row, how: str | None) -> None:
        """A file of this leg, tied to it in some way, or in several."""
        hows = ["whole", "whole", "tail", "root", "call_id", "key", "key", "nearest", "nearest", "nothing"]
        path, name = self.path(), {"started_at": None} | (self.some_name() if self.chance(0.15) else {})
        for tie in [how] if how else self.rng.sample(hows, self.rng.choice([1, 1, 1, 2])):
            if tie in {"whole", "tail", "root"} and leg["recording_path"] is None:
                leg["recording_path"] = self.said_path(path, tie)
            elif tie == "call_id":
                name["call_id"] = leg["call_id"]
            elif tie in {"key", "nearest"}:
                name |= self.name_of(leg, tie)
        if (how or self.chance(0.3)) and leg["started_at"] and not name["started_at"]:
            name["started_at"] = leg["started_at"] + self.offset + self.rng.choice([0, 0, 0.5, -1]) * SECOND
        talk = leg["talk_seconds"] or 1.0
        length = talk + self.rng.choice([0, 0, 0, 1.5, 5, 5.001, -5, talk * 0.1, talk * 0.25, 60])
        file = name | {"site": self.name, "day": leg["day"] or DAY, "duration_ms": max(0, round(length * 1000))}
        self.add_file(recording(path, **file))

    def said_path(self, path: str, how: str) -> str:
        """The path as the row says it."""
        if how == "root":
            return self.rng.choice(["/mnt/", "D:/x/", "s3://bucket/", "mnt/", "/"]) + path
        return path if how == "whole" else "/".join(path.split("/")[-self.rng.choice([1, 1, 2]) :])

    def name_of(self, leg: Row, how: str) -> Row:
        """What a name says of this leg: all of it, or less."""
        said = {"extension": leg["extension"], "number": leg["callee"] or leg["caller"]}
        if self.chance(0.3):
            said[self.rng.choice(["extension", "number"])] = None
        elif said["number"]:
            said["number"] = self.hidden(said["number"], 0.15)
        if leg["started_at"] is None:
            return said
        if how == "key":
            return said | {"started_at": leg["started_at"].replace(microsecond=0)}
        apart = self.rng.choice([-1, 1]) * self.rng.choice(_GAPS) * SECOND
        return said | {
            "started_at": leg["started_at"] + self.offset + apart + self.rng.choice([0, 0, 0, 1]) * MICROSECOND
        }

    def some_name(self) -> Row:
        """What the name of a stray file says."""
        return {
            "site": self.name, "extension": self.rng.choice([None, "2049", "2050"]), "number": self.number(),
            "call_id": self.rng.choice([None, None, "c0", "c1", "c99"]),
            "started_at": self.rng.choice([None, at("09:00:00") + self.rng.choice(_GAPS) * SECOND]),
        }  # fmt: skip

    def path(self) -> str:
        """A path of its own, whose last part other files may have too."""
        while True:
            base = self.rng.choice(["a", "b", "c", f"{len(self.paths)}", f"{len(self.paths)}"])
            suffix = self.rng.choice([".wav", ".wav", ".WAV3", "", ".verylongone"])
            path = self.rng.choice(["", "1/", "2/", "01/31/", "x/1/"]) + base + suffix
            if path not in self.paths:
                self.paths.add(path)
                return path

    # faults

    def add_file(self, file: Row) -> None:
        self.files.append(_Item(file, self.late()))

    def spoil_calls(self) -> None:
        """Rows that repeat, name what is not there, or change or go later."""
        for item in list(self.calls):
            row, last = item.row, len(self.given.days) - 1
            if self.chance(0.08):
                row["recording_path"] = self.rng.choice(["a.wav", "b.wav", "1/a.wav", "/mnt/1/a.wav", "/", "x/"])
            if self.chance(0.1):
                other = {
                    "source_row": self.rng.randint(2, 30),
                    "talk_seconds": 7.0,
                    "expects_recording": self.chance(0.5),
                }
                repeats = self.rng.choice([1, 1, 6])
                self.calls += [
                    _Item(
                        row | other | {"source_row": 31 + n * 40, "source_file": f"{row['dataset']}-c.csv"}, self.late()
                    )
                    for n in range(repeats)
                ]
            if last and self.chance(0.1):
                item.until = self.rng.randint(1, last)
                changed = {"recording_path": self.rng.choice([None, "a.wav"]), "expects_recording": self.chance(0.5)}
                self.calls.append(_Item(row | changed, item.until))
            elif last and self.chance(0.05):
                item.until = self.rng.randint(1, last)

    def spoil_files(self) -> None:
        """States, copies, versions, and what becomes of each file behind the source."""
        states = ["ok"] * 14 + ["empty", "truncated", "undecodable", "unreadable", "in_progress"]
        for item in list(self.files):
            row = item.row
            row["state"] = self.rng.choice(states)
            if row["state"] == "empty":
                row |= {"size": self.rng.choice([0, 0, 44]), "duration_ms": 0}
            if row["state"] in {"undecodable", "unreadable"}:
                row["duration_ms"] = None
            if row["state"] == "unreadable" or self.chance(0.02):
                row |= {"sha256": None, "md5": None}
            if self.chance(0.12):
                other = self.rng.choice(self.files).row
                row |= {name: other[name] for name in ("sha256", "md5", "size")}
                row["mtime"] += self.rng.choice([-1, 0, 1]) * SECOND
            if self.chance(0.12):
                self.add_version(item)
            self.fates[row["recording_id"]] = self.fate()
            if len(self.given.days) > 1 and self.chance(0.05):
                item.until = self.rng.randint(1, len(self.given.days) - 1)

    def add_version(self, item: _Item) -> None:
        """Another version of a file, older or newer, seen at the same time or later."""
        row = item.row
        other = recording(row["path"], content=f"{row['path']} as it was", site=self.name)
        change = {"sha256": other["sha256"], "md5": other["md5"], "size": self.rng.choice([999, 1000, 1001])}
        change["mtime"] = row["mtime"] + self.rng.choice([-3600, -1, 0, 1, 3600]) * SECOND
        if self.chance(0.3):
            change["state"] = "in_progress"
        self.files.append(_Item(row | change, self.late()))

    def fate(self) -> Row:
        """At which station a file is lost, until which look, and what is done to its copies."""

        def mostly_as_it_is(share: float, *faults: str) -> str:
            return self.rng.choice(faults) if self.chance(share) else "as it is"

        return {
            "lost": self.rng.choice(STATIONS) if self.chance(0.2) else None,
            "purged": self.chance(0.05),
            "gone": self.chance(0.3),
            "taken": self.rng.choice([True, True, True, False, None]),
            "for_good": self.chance(0.5),
            "until": self.rng.choice([1, 2, 99]),
            "snapshot": mostly_as_it_is(0.12, "older", "grew", "later"),
            "copy": mostly_as_it_is(0.15, "spoilt", "older", "older spoilt", "later", "two"),
            "object": mostly_as_it_is(0.2, "size", "etag", "size and etag", "capitals", "parts", "none", "two"),
            "link": mostly_as_it_is(0.1, "another leg", "no leg"),
        }

    # what a look sees

    def look(self, number: int) -> Look:
        """All tables as they are at this look."""
        calls = [dict(item.row) for item in self.calls if item.since <= number < item.until]
        files = [dict(item.row) for item in self.files if item.since <= number < item.until]
        newest = list(oracle.newest_by("recording_id", files, "mtime", "size", "sha256").values())
        held = {name: [row for row in newest if self.holds(name, row, number)] for name in STATIONS}
        files = [row for row in files if not self.fates[row["recording_id"]]["purged"]]
        newest = [row for row in newest if not self.fates[row["recording_id"]]["purged"]]
        return {
            "calls": calls, "inventory": files, "gone": self.gone(newest), "rejected": self.rejected(calls),
            "snapshot_files": [row for file in held["snapshot_files"] for row in self.in_snapshot(file)],
            "restored": [row for file in held["restored"] for row in self.copies(file)],
            "listing": [row for file in held["listing"] for row in self.objects(file)],
            "indexed": self.index(calls, newest, {row["recording_id"] for row in held["indexed"]}),
            **self.others(),
        }  # fmt: skip

    def gone(self, files: list[Row]) -> list[Row]:
        """What a later inventory does not have any more."""
        seen, missed = at("23:00:00"), at("23:00:00", DAY + timedelta(days=1))
        return [
            file | {"last_on_site": self.rng.choice([seen, None]), "gone_since": missed + n * SECOND}
            for file in files
            if self.fates[file["recording_id"]]["gone"]
            for n in range(self.rng.choice([1, 1, 1, 2]))
        ]

    def rejected(self, calls: list[Row]) -> list[Row]:
        """The documents that the index refused."""
        return [
            row | {"reason": "why", "document": "{}", "day": row["day"] or DAY} for row in calls if self.chance(0.1)
        ]

    def holds(self, station: str, file: Row, number: int) -> bool:
        """Whether the station holds anything of this file at this look."""
        fate = self.fates[file["recording_id"]]
        if fate["lost"] is None or number >= fate["until"]:
            return True
        return station != fate["lost"] and not (
            fate["for_good"] and STATIONS.index(station) > STATIONS.index(fate["lost"])
        )

    def in_snapshot(self, file: Row) -> list[Row]:
        row = file | {"snapshot_id": self.snapshots[0]}
        fate = self.fates[file["recording_id"]]["snapshot"]
        if fate == "older":
            row["mtime"] -= self.rng.choice([MICROSECOND, 60 * SECOND])
        if fate == "later":
            row["mtime"] += MICROSECOND
        if fate == "grew":
            row["size"] += self.rng.choice([1, -1])
        before = row | {"mtime": row["mtime"] - 60 * SECOND, "size": 1, "snapshot_id": self.snapshots[1]}
        return [before, row] if self.chance(0.1) else [row]

    def copies(self, file: Row) -> list[Row]:
        row = file | {"snapshot_id": self.snapshots[0], "sha256": file["sha256"] or "1" * 64}
        row["published"] = self.fates[file["recording_id"]]["taken"]
        fate = self.fates[file["recording_id"]]["copy"]
        if "spoilt" in fate:
            row |= {"sha256": "0" * 64, "size": row["size"] + self.rng.choice([0, 5])}
        if "older" in fate:
            row["mtime"] -= MICROSECOND
        if fate == "later":
            row |= {"mtime": row["mtime"] + SECOND, "sha256": self.rng.choice(["0" * 64, row["sha256"]])}
        older = row | {"mtime": row["mtime"] - SECOND, "sha256": "0" * 64}
        return [row, older] if fate == "two" else [row]

    def objects(self, file: Row) -> list[Row]:
        key = oracle.object_key(file)
        if key is None:
            return []
        row = {"key": key, "size": file["size"], "etag": file["md5"], "last_modified": file["mtime"]}
        fate = self.fates[file["recording_id"]]["object"]
        if "size" in fate:
            row["size"] += 1
        tags = {"etag": "f" * 32, "capitals": (file["md5"] or "").upper(), "parts": f"{'a' * 32}-2", "none": None}
        row["etag"] = tags.get(fate.removeprefix("size and "), row["etag"])
        other = row | {
            "size": row["size"] + 1,
            "last_modified": row["last_modified"] + self.rng.choice([-1, 1]) * SECOND,
        }
        return [row, other] if fate == "two" else [row]

    def index(self, calls: list[Row], files: list[Row], held: set[str]) -> list[Row]:
        """What an index holds that knows the calls, and the links that the specification makes."""
        rules = oracle_rules(self.given.rules)
        links = oracle.match(calls, files, rules).links.values()
        legs = [row["call_uid"] for row in oracle.first_row_of_each_leg(calls) if self.chance(0.95)]
        rows = []
        for link in links:
            fate = self.fates[link["recording_id"]]["link"]
            leg = link["call_uid"] if fate == "as it is" else self.rng.choice([*legs, "0" * 32])
            if link["recording_id"] in held and fate != "no leg":
                rows.append({"call_uid": leg, "recording_id": link["recording_id"]})
        linked = {row["call_uid"] for row in rows}
        return rows + [{"call_uid": leg, "recording_id": None} for leg in legs if leg not in linked or self.chance(0.1)]

    def others(self) -> Look:
        """Rows set aside, extracts, snapshots and backups that are due."""
        where = {"business": BUSINESS, "site": self.name, "dataset": "calls"}
        rng, days = self.rng, [DAY + timedelta(days=n) for n in range(-1, 3)]
        quarantine = [
            where | {"day": rng.choice([*days, None]), "source_file": rng.choice(["a.csv", "b.csv"]),
                     "source_row": line, "reason": rng.choice(["too many fields", "no id"]), "raw": rng.choice("xyz")}
            for line in rng.sample(range(2, 20), rng.choice([0, 0, 1, 3]))
        ]  # fmt: skip
        extracts = [self.extract(where, day) for day in rng.sample(days, rng.choice([0, 1, 2]))]
        covered = [sorted(rng.choices(days, k=2)) for _ in range(rng.choice([0, 1, 2]))]
        covered += [[days[0], days[-1]]] if self.chance(0.6) else []
        ids = rng.sample([*self.snapshots, f"{self.name:0>64}"], len(covered))
        snapshots = [
            where | {"day": last, "first_day": first, "snapshot_id": ids[n], "repository_year": 2021,
                     "taken_at": at("23:00:00", last) + n * SECOND, "files": 1, "bytes": 1, "site": self.whose(),
                     "inventory_whole": rng.choice([True, True, False, None])}
            for n, (first, last) in enumerate(covered)
        ]  # fmt: skip
        unindexed = [
            where | {"day": day, "since": at("23:00:00", day)} for day in rng.sample(days, rng.choice([0, 0, 0, 1]))
        ]
        due = [{"business": BUSINESS, "site": self.name, "day": day} for day in rng.sample(days, rng.choice([0, 1, 2]))]
        return {
            "quarantine": quarantine, "extracts": extracts, "snapshots": snapshots, "due": due, "unindexed": unindexed,
        }  # fmt: skip

    @property
    def snapshots(self) -> tuple[str, str]:
        """The ids of the newer and the older snapshot that hold files of this site."""
        return f"{self.name:a>64}", f"{self.name:b>64}"

    def whose(self) -> str:
        return self.name if self.chance(0.85) else f"{self.name}-other"

    def extract(self, where: Row, day: date) -> Row:
        rng = self.rng
        truth = {"rows": 10, "bytes": 100, "sha256": "a" * 64}
        said = {f"expected_{name}": rng.choice([None, value, value, value]) for name, value in truth.items()}
        came = {
            "rows_in": rng.choice([10, 10, 10, 9]),
            "bytes": rng.choice([100, 100, 99]),
            "sha256": rng.choice("aab") * 64,
        }
        return (
            where | said | came | {"day": day, "source_file": f"calls/{day}.csv", "rows_ok": 9, "rows_quarantined": 0}
        )


def oracle_rules(given: dict[str, Any]) -> Row:
    """The rules with all that docs/rules.md gives by default."""
    matching = {
        "order": ["path", "key", "nearest"], "key": None, "tolerance_seconds": 30.0, "clock_skew_limit_seconds": 60.0,
        "duration_tolerance_seconds": 5.0, "duration_tolerance_ratio": 0.1,
    }  # fmt: skip
    numbers = {"country_codes": ["+86", "0086", "86"], "trunk_prefixes": ["0"], "access_codes": []}
    return {"matching": matching | given["matching"], "numbers": numbers | given["numbers"]}


def together(cases: Sequence[list[Look]]) -> list[Look]:
    """Several cases of one setting as one: their looks side by side."""
    return [
        {name: [row for look in looks for row in look[name]] for name in TABLES} for looks in zip(*cases, strict=True)
    ]
