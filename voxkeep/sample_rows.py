"""The rows of the sample's call database: a SQLite file at each site, as its telephone system writes it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

from voxkeep.sample_calls import DAYS, Call, call_no, dice
from voxkeep.sample_faults import AMBIGUITY, Story
from voxkeep.sample_files import AudioFile, first_file, second_file, second_leg

# The folder that the rows of bj name their files in; the rules take it off.
RECORDINGS_AT_SOURCE = "/home/recordings/"
_TIME = "%Y-%m-%d %H:%M:%S"

# SQLite has no decimal type, so amounts are text: 1200.50 stays 1200.50.
_SCHEMA = """
CREATE TABLE cdr (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    call_no TEXT NOT NULL, leg INTEGER NOT NULL, start_time TEXT NOT NULL, talk_seconds INTEGER NOT NULL,
    agent_extension TEXT, customer_number TEXT, display_number TEXT, direction TEXT, result TEXT,
    客户姓名 TEXT, 案件编号 TEXT, 备注 TEXT, recording_file TEXT
);
CREATE INDEX cdr_by_start ON cdr (start_time);
CREATE TABLE notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    call_no TEXT NOT NULL, written_at TEXT NOT NULL, 催记内容 TEXT, 承诺还款日 TEXT, 金额 TEXT
);
CREATE INDEX notes_by_time ON notes (written_at);
"""
_INSERT_CDR = "INSERT INTO cdr VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_NOTE = "INSERT INTO notes VALUES (NULL, ?, ?, ?, ?, ?)"
_SHARE_NOTED = 0.4
_NOTES = (
    "客户承诺还款,已录入系统", '客户称"资金紧张",申请分期\n下次跟进:三天后', "联系第三人,转告",
    "情绪激动😡,安抚后同意协商", "核实地址,无误;发送还款链接", "",
)  # fmt: skip

Row = tuple[str | int | None, ...]


def cdr_rows(stories: list[Story], seed: int) -> list[Row]:
    """The CDR rows of these calls, in the order in which the telephone system wrote them."""
    timed = [(call.started_at, place, row) for place, (call, row) in enumerate(_rows(stories, seed))]
    return [row for _, _, row in sorted(timed, key=lambda each: each[:2])]


def _rows(stories: list[Story], seed: int) -> Iterator[tuple[Call, Row]]:
    for story in stories:
        call = story.call
        named = _named(call, first_file(story, seed))
        talked = round(call.seconds)
        if story.kind == "duration_mismatch":  # the recorder gave up long before the call ended
            talked += dice(seed, "talked", call.call_no).randint(60, 240)
        row = _row(call, 1, talked, named)
        yield call, row
        if story.kind == "call_duplicate":
            yield call, row
        if story.kind == "match_ambiguous":
            yield (twin := ambiguous_twin(call)), _row(twin, 1, talked, None)
        if story.transferred:
            rest = second_leg(call)
            yield rest, _row(rest, 2, round(rest.seconds), _named(rest, second_file(story, seed)))


def ambiguous_twin(call: Call) -> Call:
    """The call that fits the ambiguous recording as well as this one does."""
    start = call.started_at + 2 * AMBIGUITY
    return replace(call, started_at=start, call_no=call_no(call.site, start, int(call.call_no[-3:])))


def _named(call: Call, file: AudioFile) -> str | None:
    """What the row says of its recording: at bj the file, or nothing, in one of two ways; elsewhere NULL."""
    if call.site != "bj":
        return None
    if call.answered:
        return RECORDINGS_AT_SOURCE + file.path
    return "" if call.inbound else None


def _row(call: Call, leg: int, talked: int, named: str | None) -> Row:
    return (
        call.call_no, leg, call.started_at.strftime(_TIME), talked,
        call.extension if call.answered else None, call.written_number, call.display_number,
        "呼入" if call.inbound else "呼出", "接通" if call.answered else "未接",
        call.customer, call.case_no, call.remark, named,
    )  # fmt: skip


def note_rows(stories: list[Story], seed: int) -> list[Row]:
    """The collection notes of these calls, in the order in which they were written."""
    rows = []
    for story in stories:
        die = dice(seed, "notes", story.call.call_no)
        if story.call.answered and die.random() < _SHARE_NOTED:
            written = story.call.started_at + timedelta(seconds=die.randint(60, 900))
            rows.append(_note(story.call, written, die.choice(_NOTES), die.randint(0, 5), die.randint(5_000, 900_000)))
    return sorted(rows, key=lambda row: str(row[1]))


def _note(call: Call, written: datetime, text: str, days: int, cents: int) -> Row:
    promised = f"{call.day + timedelta(days=days):%Y-%m-%d}" if days else None
    amount = f"{cents // 100}.{cents % 100:02d}" if days else None
    return (call.call_no, written.strftime(_TIME), text, promised, amount)


def create_database(path: Path, aside: Path, cdr: list[Row], notes: list[Row]) -> None:
    """Make the site's database with these rows; does nothing where there is one already."""
    if path.exists():
        return
    draft = aside / path.name
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(draft)) as database, database:
        database.executescript(_SCHEMA)
        _insert(database, cdr, notes)
    draft.rename(path)


def append_rows(path: Path, cdr: list[Row], notes: list[Row]) -> None:
    """Add the rows of the second day, in one transaction; does nothing where they are there already."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("BEGIN IMMEDIATE")  # so that two who add them at the same time do not add them twice
        last = database.execute("SELECT max(start_time) FROM cdr").fetchone()[0]
        if date.fromisoformat(last[:10]) < DAYS[1]:
            _insert(database, cdr, notes)


def _insert(database: sqlite3.Connection, cdr: list[Row], notes: list[Row]) -> None:
    database.executemany(_INSERT_CDR, cdr)
    database.executemany(_INSERT_NOTE, notes)
