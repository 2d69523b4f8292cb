"""The calls of the sample: who called whom, when and for how long, drawn by a seeded die.

Nothing here touches a disk: the same seed and size give the same calls, whatever was written before.
"""

import random
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

DAYS = (date(2021, 1, 30), date(2021, 1, 31))
FEWEST_CALLS, MOST_CALLS = 50, 50_000

# Area code, extensions and display numbers of each site that reports; its call ids begin with the area code.
_AREA = {"cq": "023", "bj": "010"}
_EXTENSIONS = {
    "cq": [str(2040 + place) for place in range(16)],
    "bj": [str(8001 + place) for place in range(8)],
}
_DISPLAY_NUMBERS = {"cq": ("02388650001", "02388650002", "02388650003"), "bj": ("01056780011", "01056780012")}
_SHARE_OF_BJ, _SHARE_OF_FIRST_DAY, _SHARE_UNANSWERED = 0.25, 0.45, 0.2
_SHARE_CALLED_AGAIN, _SHARE_INBOUND = 0.1, 0.15
_OPENS, _OPEN_SECONDS = time(8, 30), 11 * 3600

# The recording that the documentation shows: 01/31/2049_15372388463_20210131114129.wav3
EXAMPLE_NUMBER = "15372388463"
_EXAMPLE_EXTENSION, _EXAMPLE_TIME = "2049", time(11, 41, 29)

_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高"
_GIVEN_NAMES = (
    "伟",
    "芳",
    "娜",
    "秀英",
    "敏",
    "静",
    "丽",
    "强",
    "磊",
    "洋",
    "艳",
    "勇",
    "桂兰",
    "欣怡",
    "子涵",
)
_REMARKS = (
    None, None, "", "", "承诺本周五还款", "无人接听,稍后再拨", '客户说:"下月发工资,一定还"',
    "号码易主\n已联系家属", "态度良好😊,已承诺", "要求提供合同编号;转法务",
    "第三人代接,不知情\r\n需换号码", "周末勿扰🙏", "分期:3期,每期¥1,200.50",
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A call as it really was; its start is local, `seconds` is the time talked (0: nobody answered)."""

    site: str
    day: date
    call_no: str
    started_at: datetime
    seconds: float
    extension: str
    number: str
    written_number: str
    display_number: str
    inbound: bool
    customer: str
    case_no: str
    remark: str | None

    @property
    def answered(self) -> bool:
        """Whether somebody talked."""
        return self.seconds > 0


def dice(seed: int, *names: object) -> random.Random:
    """A die of its own for each purpose, so that what one draws does not change what another draws."""
    text = ":".join(str(part) for part in (seed, *names))
    return random.Random(text)  # noqa: S311 - a sample must be repeatable, and guards nothing


def fresh_numbers(seed: int, purpose: str, count: int) -> list[str]:
    """Different mobile numbers; those of two purposes differ too, so no recording fits a call by accident."""
    die = dice(seed, "numbers", purpose)
    second_digit = {"calls": "8", "orphans": "9", "robot": "7"}[purpose]
    return [f"1{second_digit}{tail:09d}" for tail in die.sample(range(10**9), count)]


def draw_calls(calls: int, seed: int) -> list[Call]:
    """All calls of both days and both sites that report, in order of day, site and start.

    Raises:
        ValueError: the sample would be too small to hold every fault, or too large for the hours of two days.
    """
    sizes = group_sizes(calls)
    drawn: list[Call] = []
    numbers = iter(fresh_numbers(seed, "calls", calls))
    known: dict[str, list[str]] = {}
    for (site, day), size in sizes.items():
        of_group = [next(numbers) for _ in range(size)]
        if day == DAYS[1]:
            of_group = _call_again(dice(seed, "again", site), of_group, known[site])
            of_group[0] = EXAMPLE_NUMBER if site == "cq" else of_group[0]
        known[site] = of_group
        drawn += _draw_group(dice(seed, "calls", site, day), site, day, of_group)
    return drawn


def group_sizes(calls: int) -> dict[tuple[str, date], int]:
    """How many calls are drawn for each site and day; at bj enough to learn its clock from."""
    if not FEWEST_CALLS <= calls <= MOST_CALLS:
        raise ValueError(f"A sample has {FEWEST_CALLS} to {MOST_CALLS} calls, not {calls}.")
    bj = max(14, round(calls * _SHARE_OF_BJ))
    # One call less: the second call of the ambiguous recording is told with the first.
    totals = {"cq": calls - bj - 1, "bj": bj}
    first = {site: round(total * _SHARE_OF_FIRST_DAY) for site, total in totals.items()}
    return {
        (site, day): first[site] if day == DAYS[0] else totals[site] - first[site] for day in DAYS for site in totals
    }


def _call_again(die: random.Random, numbers: list[str], known: list[str]) -> list[str]:
    """The numbers, some replaced by customers of the day before: far enough apart never to be confused."""
    again = iter(die.sample(known, k=min(len(known), round(len(numbers) * _SHARE_CALLED_AGAIN))))
    places = set(die.sample(range(len(numbers)), round(len(numbers) * _SHARE_CALLED_AGAIN)))
    return [next(again, number) if place in places else number for place, number in enumerate(numbers)]


def _draw_group(die: random.Random, site: str, day: date, numbers: list[str]) -> list[Call]:
    """A call for each number, in order of start.

    A fixed share of them, not a random one, is unanswered: a small sample must still hold every fault.
    """
    size = len(numbers)
    opens = datetime.combine(day, _OPENS)
    starts = sorted(opens + timedelta(seconds=second) for second in die.sample(range(_OPEN_SECONDS), size))
    unanswered = set(die.sample(range(1, size), round(size * _SHARE_UNANSWERED)))
    drawn = [
        _draw(die, site, start, number, place, answered=place not in unanswered)
        for place, (start, number) in enumerate(zip(starts, numbers, strict=True))
    ]
    return sorted(drawn, key=lambda call: call.started_at)


def _draw(die: random.Random, site: str, start: datetime, number: str, place: int, *, answered: bool) -> Call:
    seconds = die.randint(2, 12) + round(die.uniform(-0.4, 0.4), 3)
    extension = _EXTENSIONS[site][place % len(_EXTENSIONS[site])]
    if number == EXAMPLE_NUMBER:
        extension, start = _EXAMPLE_EXTENSION, datetime.combine(start.date(), _EXAMPLE_TIME)
    return Call(
        site=site,
        day=start.date(),
        call_no=call_no(site, start, place),
        started_at=start,
        seconds=seconds if answered else 0.0,
        extension=extension,
        number=number,
        written_number=die.choice(("", "", "", "", "0", "86", "+86")) + number,
        display_number=die.choice(_DISPLAY_NUMBERS[site]),
        inbound=die.random() < _SHARE_INBOUND,
        customer=die.choice(_SURNAMES) + die.choice(_GIVEN_NAMES),
        case_no=f"MT{start:%y%m}-{die.randrange(10**6):06d}",
        remark=die.choice(_REMARKS),
    )


def call_no(site: str, start: datetime, place: int) -> str:
    """An id of 18 digits that begins with 0: a program that takes it for a number damages it."""
    return f"{_AREA[site]}{start:%y%m%d%H%M%S}{place % 1000:03d}"


def other_extension(call: Call) -> str:
    """The line that a call is passed on to."""
    lines = _EXTENSIONS[call.site]
    return lines[(lines.index(call.extension) + 3) % len(lines)]
