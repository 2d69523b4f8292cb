"""The calling robot's files: ready-made CSV that another system drops in a folder, with its mistakes.

The first day's file arrived cut short: its descriptor tells more rows. The second day's is in GBK and has two
rows that cannot be read.
"""

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from voxkeep.sample_calls import DAYS, dice, fresh_numbers

FIELDS = ("任务编号", "号码", "开始时间", "时长", "结果", "话术", "录音")
_FEWEST, _CALLS_A_ROW = 24, 10
_SPEECHES = ("还款提醒,第一版", "还款提醒\n(温和)", '"逾期"告知', "满意度回访")
_LOST_ROWS = 3


@dataclass(frozen=True)
class Dropped:
    """A file in a site's folder `dropped/`, and the lines of it that cannot be read."""

    name: str
    content: bytes
    bad_lines: tuple[int, ...] = ()


def dropped_files(calls: int, seed: int) -> dict[date, tuple[Dropped, ...]]:
    """What the robot at cq drops on each day."""
    size = max(_FEWEST, calls // _CALLS_A_ROW)
    numbers = fresh_numbers(seed, "robot", 2 * size)
    first, second = (_rows(day, part, seed) for day, part in zip(DAYS, (numbers[:size], numbers[size:]), strict=True))
    return {DAYS[0]: _cut_short(first), DAYS[1]: (_with_bad_rows(second),)}


def _rows(day: date, numbers: list[str], seed: int) -> list[list[str]]:
    die = dice(seed, "robot", day)
    start = datetime.combine(day, time(9))
    rows = []
    for place, number in enumerate(numbers):
        start += timedelta(seconds=die.randint(5, 90))
        talked = die.choice((0, 0, die.randint(3, 60)))
        # The second row's speech has a line break, so that a row's line is not its number.
        speech = _SPEECHES[1] if place == 1 else die.choice(_SPEECHES)
        task = f"R{day:%Y%m%d}{place:06d}"
        rows.append(
            [
                task,
                number,
                f"{start:%Y-%m-%d %H:%M:%S}",
                str(talked),
                "接通" if talked else "未接",
                speech,
                "否",
            ]
        )
    return rows


def _cut_short(rows: list[list[str]]) -> tuple[Dropped, Dropped]:
    """The file without its last rows, and the sender's descriptor of the whole one."""
    name = f"robot-{DAYS[0]}.csv"
    whole = _text(rows).encode()
    resource = {
        "name": f"robot-{DAYS[0]}", "path": name, "format": "csv", "encoding": "utf-8",
        "bytes": len(whole), "hash": f"sha256:{hashlib.sha256(whole).hexdigest()}", "rows": len(rows),
        "schema": {"fields": [{"name": field, "type": "string"} for field in FIELDS]},
    }  # fmt: skip
    package = json.dumps({"name": f"robot-{DAYS[0]}", "resources": [resource]}, ensure_ascii=False, indent=2)
    return (
        Dropped(name, _text(rows[:-_LOST_ROWS]).encode()),
        Dropped(f"robot-{DAYS[0]}.datapackage.json", package.encode()),
    )


def _with_bad_rows(rows: list[list[str]]) -> Dropped:
    """One row with a time that does not exist, and one with a field too many: its comma was not quoted."""
    bad_time, ragged = len(rows) // 3, 2 * len(rows) // 3
    rows[bad_time][2] = f"{DAYS[1]} 25:61:07"
    rows[ragged].insert(5, "还款提醒")
    lines = tuple(_text(rows[:place]).count("\n") + 1 for place in (bad_time, ragged))
    return Dropped(f"robot-{DAYS[1]}.csv", _text(rows).encode("gbk"), lines)


def _text(rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(FIELDS)
    writer.writerows(rows)
    return text.getvalue()
