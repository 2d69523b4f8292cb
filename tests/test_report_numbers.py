"""Every number of the report, read back from its HTML, is the catalog's."""

import random
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from shop import Shop
from tables import BUSINESS, DAY, Row, at, finding, findings, rows_of

from reconcile.findings import KINDS
from reconcile.frames import DURATIONS, FILE_TYPES, SNAPSHOTS, STATIONS, SUMMARY, WAIVERS
from reconcile.report import CHECKED, Language, ReportData, calendar_days, render_brief, render_mail, render_page
from reconcile.report.messages import LANGUAGES, MESSAGES, say
from reconcile.summary import LENGTHS

SITES = (("cq", "重庆"), ("bj", "北京"), ("sz", "深圳"))
DAYS = tuple(DAY - timedelta(days=number) for number in (2, 1, 0))
SEVERITIES = ("critical", "major", "minor", "info")
COVERAGES = ("complete", "partial", "missing", "excluded")
VOID = {"meta", "br", "wbr", "rect", "path", "line", "circle", "polyline"}


def quarter(seed: int = 7, sites: tuple[tuple[str, str], ...] = SITES, days: tuple[date, ...] = DAYS) -> ReportData:
    """A report over these days, with thirteen weeks of summaries before them; no two sums are likely to be equal."""
    chance = random.Random(seed)  # noqa: S311  # the same figures each time
    weeks = [day for day in calendar_days(days, DAY) if day <= DAY]
    summaries, types, lengths = [], [], []
    for site, _ in sites:
        for number, day in enumerate(weeks):
            if number % 17 == 9:
                continue
            must = 0 if number % 11 == 3 else chance.randint(900, 2400)
            bad = 0 if number % 3 == 1 else chance.randint(0, must // 6)
            summaries.append(summary(chance, site, day, must, bad))
        for day in days:
            types += [
                file_type(chance, site, day, *kind) for kind in (("wav", "pcm_s16le", "ok"), ("mp3", "mp3", "empty"))
            ]
            ends = [*LENGTHS[1:], None]
            chosen = [(LENGTHS[place], ends[place]) for place in (1, 3, 4, 11)] + [(None, None)]
            lengths += [
                {"business": BUSINESS, "site": site, "day": day, "from_seconds": first, "until_seconds": until,
                 "recordings": chance.randint(1, 3000)}
                for first, until in chosen
            ]  # fmt: skip
    unmet = [("coverage", "Coverage reaches the target", False, "[0.91, 0.8253968253968254]"),
             ("recordings", "No count is negative: recordings", True, "[]"),
             ("orphans", "my own words 42", False, "17")]  # fmt: skip
    return ReportData(
        business=BUSINESS, title="美团催收", as_of=DAY, generated_at=at("23:30:00"), time_zone="Asia/Shanghai",
        days=days, summary=rows_of(SUMMARY, *summaries), file_types=rows_of(FILE_TYPES, *types),
        durations=rows_of(DURATIONS, *lengths), findings=findings(*ledger(chance, sites, days)),
        snapshots=rows_of(SNAPSHOTS, *(snapshot(site, day) for site, _ in sites for day in days)),
        waivers=WAIVERS.empty(),
        sites=sites, overdue=pl.DataFrame({"site": [sites[-1][0]] * 2, "day": [days[-1], weeks[5]]}),
        expectations=pl.DataFrame([("expect", *one) for one in unmet], schema=CHECKED, orient="row"),
        links={"workbook": "findings.xlsx", "csv": "findings.csv", "data_docs": "../data-docs/2021-01-31/index.html"},
    )  # fmt: skip


def summary(chance: random.Random, site: str, day: date, must: int, bad: int) -> Row:
    missing = bad // 3
    on_site = must - missing + chance.randint(0, 40) if must else 0
    lost = {f"lost_{name}": chance.randint(0, 9) if bad else 0 for name in STATIONS[2:]}
    counts = {name: max(on_site - lost[f"lost_{name}"], 0) for name in STATIONS[2:]}
    return dict.fromkeys(SUMMARY.columns, 0) | {
        "business": BUSINESS, "site": site, "day": day, "calls": must + 700, "calls_expecting": must,
        "complete": must - bad, "partial": bad - missing, "missing": missing, "excluded": 700, "recordings": on_site,
        "bytes": on_site * 40_044, "seconds": on_site * 7.25, "coverage": (must - bad) / must if must else 1.0,
        "lost_on_site": missing, **lost, **counts,
    }  # fmt: skip


def file_type(chance: random.Random, site: str, day: date, container: str, codec: str, state: str) -> Row:
    count = chance.randint(10, 4000)
    return {
        "business": BUSINESS, "site": site, "day": day, "container": container, "codec": codec, "state": state,
        "recordings": count, "bytes": count * 40_044, "seconds": count * 7.25,
    }  # fmt: skip


def snapshot(site: str, day: date) -> Row:
    return {
        "business": BUSINESS, "site": site, "day": day, "snapshot_id": f"{day:%d}" + "abcdefab" * 8,
        "repository_year": 2021, "taken_at": at("23:30:00", day), "first_day": day, "files": 1, "bytes": 40_044,
    }  # fmt: skip


def ledger(chance: random.Random, sites: tuple[tuple[str, str], ...], days: tuple[date, ...]) -> list[Row]:
    """Findings of every kind, most of them open."""
    rows, held = [], {"held_at": "on_site", "held_time": at("09:30:00")}
    for kind in KINDS:
        for number in range(chance.randint(1, 14)):
            seen, status = chance.choice(days), chance.choice(["open", "open", "open", "resolved"])
            rows.append(
                finding(
                    f"{kind.name}-{number}", kind=kind.name, severity=kind.severity, site=chance.choice(sites)[0],
                    day=chance.choice(days), subject=f"01/31/{number}.wav", expected="one row",
                    actual=f"{number} rows: a", **(held if number % 2 else {}),
                    status=status, first_seen=seen, status_since=max(seen, chance.choice(days)),
                )
            )  # fmt: skip
    return rows


@dataclass
class Element:
    """An element of a page: its tag, attributes, and what stands in it, in order."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    inside: list["Element | str"] = field(default_factory=list)

    def all(self) -> list["Element"]:
        """It and every element in it, in order."""
        return [self, *(each for one in self.inside if isinstance(one, Element) for each in one.all())]

    def having(self, attribute: str) -> list["Element"]:
        """The elements in it that have this attribute."""
        return [each for each in self.all() if attribute in each.attributes]

    def tagged(self, tag: str) -> list["Element"]:
        """The elements in it with this tag."""
        return [each for each in self.all() if each.tag == tag]

    @property
    def text(self) -> str:
        """Its text."""
        return "".join(one if isinstance(one, str) else one.text for one in self.inside)

    @property
    def numbers(self) -> list[str]:
        """Every number and date in its text, in order."""
        return re.findall(r"\d{4}-\d\d-\d\d|\d+(?:,\d{3})*(?:\.\d+)?", self.text)


class Reader(HTMLParser):
    """Reads a page as somebody does who reads one language."""

    def __init__(self, page: str, language: Language) -> None:
        super().__init__()
        self.other = {"zh": "en", "en": "zh-CN"}[language]
        self.open = [Element("page")]
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element; one of the other language is not seen."""
        element = Element(tag, {name: value or "" for name, value in attrs})
        if element.attributes.get("lang") != self.other and tag != "style":
            self.open[-1].inside.append(element)
        if tag not in VOID or (tag == "rect" and "x" in element.attributes):
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element with nothing in it."""
        self.open[-1].inside.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """End it."""
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.open[-1].inside.append(data)


def read(data: ReportData, language: Language) -> Element:
    """The page's main part."""
    (main,) = Reader(render_page(data, language), language).open[0].tagged("main")
    return main


def share(complete: int, must: int) -> str:
    """A share in percent with one decimal, cut off, as the report writes it."""
    return "100" if complete == must else f"{complete * 1000 // must / 10:.1f}"


def rows(frame: pl.DataFrame, *names: str, **having: Any) -> list[tuple[Any, ...]]:
    """These columns of the rows that have these values."""
    found = [row for row in frame.to_dicts() if all(row[name] == value for name, value in having.items())]
    return [tuple(row[name] for name in names) for row in found]


def total(data: ReportData, name: str, **having: Any) -> float:
    """The sum of a column of SUMMARY over the days reconciled."""
    return sum(value for day in data.days for (value,) in rows(data.summary, name, day=day, **having))


def covered(data: ReportData, **having: Any) -> tuple[int, int]:
    """complete, and complete + partial + missing, of the rows of SUMMARY that have these values."""
    found = rows(data.summary, "complete", "partial", "missing", **having)
    return sum(row[0] for row in found), sum(sum(row) for row in found)


def counted(value: float) -> str:
    return f"{int(value):,}"


CASES = [
    pytest.param(quarter(), id="three sites"),
    pytest.param(quarter(8, SITES[:1]), id="one site"),
    pytest.param(quarter(9, SITES, tuple(DAY - timedelta(days=n) for n in reversed(range(40)))), id="forty days"),
]  # fmt: skip
everywhere = pytest.mark.parametrize("data", CASES)
in_both = pytest.mark.parametrize("language", LANGUAGES)


@everywhere
@in_both
def test_the_totals_of_the_page_are_those_of_the_summary(data: ReportData, language: Language) -> None:
    page = read(data, language)
    complete = int(total(data, "complete"))
    must = int(complete + total(data, "partial") + total(data, "missing"))
    cards = {each.attributes["data-figure"]: each.text for each in page.having("data-figure")}
    assert cards == {
        "coverage": f"{share(complete, must)} %", "calls": counted(total(data, "calls")),
        "calls_expecting": counted(total(data, "calls_expecting")), "recordings": counted(total(data, "recordings")),
        "volume": f"{total(data, 'bytes') / 1e6:,.1f} MB" if total(data, "bytes") < 1e9
        else f"{total(data, 'bytes') / 1e9:,.1f} GB", "hours": f"{total(data, 'seconds') / 3600:,.1f}",
    }  # fmt: skip
    worst = Counter(severity for (severity,) in rows(data.findings, "severity", status="open"))
    (verdict,) = [each for each in page.all() if each.attributes.get("class") == "verdict bad"]
    sentence = verdict.tagged("p")[0]
    assert sentence.numbers == [
        counted(must), counted(complete), share(complete, must), *(str(worst[name]) for name in SEVERITIES[:3])
    ]  # fmt: skip
    told = {each.attributes["data-coverage"]: each.text for each in page.having("data-coverage")}
    assert told == {name: counted(total(data, name)) for name in COVERAGES}


@everywhere
@in_both
def test_what_each_station_has_and_what_was_lost_on_the_way_to_it(data: ReportData, language: Language) -> None:
    page = read(data, language)
    must = total(data, "complete") + total(data, "partial") + total(data, "missing")
    counts = {"called": must, "on_site": total(data, "recordings")}
    counts |= {name: total(data, name) for name in STATIONS[2:]}
    steps = {each.attributes["data-station"]: each.text for each in page.having("data-station")}
    assert steps == {name: counted(count) for name, count in counts.items()}
    (way,) = [each for each in page.all() if each.attributes.get("class") == "way"]
    parts = [float(re.findall(r"[\d.]+", each.attributes["style"])[0]) for each in way.tagged("i")]
    assert parts == [pytest.approx(count / max(counts.values()) * 100, abs=0.01) for count in counts.values()]
    lost = {each.attributes["data-lost"]: each.numbers for each in page.having("data-lost")}
    wanted = {name: int(total(data, f"lost_{name}")) for name in STATIONS[1:]}
    assert lost == {name: [counted(count)] if count else [] for name, count in wanted.items()}


def level(complete: int, must: int) -> str:
    if not must:
        return "none"
    return next(
        name for name, least in (("full", 1), ("high", 0.99), ("mid", 0.9), ("low", 0)) if complete / must >= least
    )


@everywhere
@in_both
def test_every_day_of_the_calendar_is_its_sites_row_of_the_summary(data: ReportData, language: Language) -> None:
    figures = read(data, language).tagged("figure")
    assert [each.attributes["data-site"] for each in figures] == [site for site, _ in data.sites]
    overdue = set(data.overdue.rows())
    shown = [day for day in calendar_days(data.days, data.as_of) if day <= max(data.days)]
    for figure in figures:
        site, levels, worst = figure.attributes["data-site"], Counter[str](), []
        squares = figure.tagged("rect")
        numbers = [each.text for each in figure.tagged("text") if each.attributes.get("class", "").startswith("on-")]
        assert [square.numbers[0] for square in squares] == [str(day) for day in shown]
        for square, day in zip(squares, shown, strict=True):
            known = rows(data.summary, "day", site=site, day=day)
            complete, must = covered(data, site=site, day=day)
            wanted = "gap" if (site, day) in overdue else level(complete, must) if known else "unknown"
            assert square.attributes["class"] == wanted
            assert square.numbers[1:] == ([counted(complete), counted(must), share(complete, must)] if must else [])
            column, row = divmod((day - shown[0]).days, 7)
            assert (square.attributes["x"], square.attributes["y"]) == (str(26 + column * 24), str(18 + row * 24))
            levels[wanted] += 1
            worst += [(complete / must, day, complete, must)] if must else []
        assert numbers == [
            str(day.day)
            for square, day in zip(squares, shown, strict=True)
            if square.attributes["class"] not in ("gap", "unknown")
        ]
        _, day, complete, must = min(worst)
        partly = levels["high"] + levels["mid"] + levels["low"]
        (caption,) = figure.tagged("figcaption")
        assert caption.numbers == [
            *map(str, (len(shown), levels["full"], partly, levels["gap"], levels["unknown"], day)),
            counted(complete), counted(must), share(complete, must),
        ]  # fmt: skip
    assert shown[0].weekday() == 0


@everywhere
@in_both
def test_the_table_of_sites_is_the_summary_by_day_and_over_all_days(data: ReportData, language: Language) -> None:
    (table,) = [each for each in read(data, language).tagged("table") if each.attributes.get("class") == "heat"]
    for line in table.having("data-site"):
        site = {"site": line.attributes["data-site"]} if line.attributes["data-site"] else {}
        for cell in line.having("data-cell"):
            days = [date.fromisoformat(cell.attributes["data-cell"])] if cell.attributes["data-cell"] else data.days
            complete, must = map(sum, zip(*(covered(data, day=day, **site) for day in days), strict=True))
            assert cell.numbers == ([share(complete, must), counted(complete), counted(must)] if must else [])
        assert [cell.attributes["data-cell"] for cell in line.having("data-cell")] == ["", *map(str, data.days[-7:])]
    assert len(table.having("data-site")) == len(data.sites) + (len(data.sites) > 1)


@everywhere
@in_both
def test_the_trends_bars_and_line_are_the_sums_of_the_last_days(data: ReportData, language: Language) -> None:
    (chart,) = [each for each in read(data, language).tagged("svg") if each.attributes.get("class") == "chart"]
    days = sorted(data.summary["day"].unique())[-28:]
    counts = [sum(count for (count,) in rows(data.summary, "recordings", day=day)) for day in days]
    bars = chart.tagged("rect")
    assert [bar.numbers for bar in bars] == [
        [str(day), counted(count)] for day, count in zip(days, counts, strict=True)
    ]
    bottom, top = (float(line.attributes["y1"]) for line in (chart.tagged("line")[0], chart.tagged("line")[2]))
    heights = [float(bar.attributes["height"]) / (bottom - top) * max(counts) for bar in bars]
    assert heights == pytest.approx(counts, abs=max(counts) / 500)
    shares = [complete / must for complete, must in (covered(data, day=day) for day in days) if must]
    drawn = [(bottom - float(dot.attributes["cy"])) / (bottom - top) for dot in chart.tagged("circle")]
    assert drawn == pytest.approx(shares, abs=0.002)
    axis = [each.numbers for each in chart.tagged("text") if each.attributes.get("text-anchor") == "end"]
    assert axis in ([["0"], [counted(max(counts) // 2)], [counted(max(counts))]], [["0"], [counted(max(counts))]])


@everywhere
@in_both
def test_the_kinds_and_the_findings_are_those_of_the_ledger(data: ReportData, language: Language) -> None:
    page = read(data, language)
    is_open = {row["finding_id"]: row for row in data.findings.to_dicts() if row["status"] == "open"}
    kinds = Counter(row["kind"] for row in is_open.values())
    assert {each.attributes["data-kind"]: each.text for each in page.having("data-kind")} == {
        kind: counted(count) for kind, count in kinds.items()
    }
    on_telephones = [each.numbers for each in page.all() if each.attributes.get("class") == "phone"]
    assert on_telephones == [each.numbers for each in page.having("data-kind")]
    lines = [each for each in page.tagged("tr") if "id" in each.attributes]
    assert {line.attributes["id"] for line in lines} == set(is_open)
    for line in lines:
        row = is_open[line.attributes["id"]]
        age = (DAY - row["first_seen"]).days
        assert line.numbers == [
            str(row["day"]), *re.findall(r"\d+", row["subject"]), *re.findall(r"\d+", row["actual"]),
            *([str(DAY), "09", "30"] if row["held_at"] else []), str(row["first_seen"]), *([str(age)] if age else []),
        ]  # fmt: skip


@everywhere
@in_both
def test_what_changed_counts_the_findings_of_the_day(data: ReportData, language: Language) -> None:
    (changed,) = [each for each in read(data, language).all() if each.attributes.get("class") == "changed"]
    ledger = data.findings.to_dicts()
    fresh = [row for row in ledger if row["status"] == "open" and row["first_seen"] == DAY]
    back = [row for row in ledger if row["status"] == "open" and row["first_seen"] < DAY == row["status_since"]]
    healed = [row for row in ledger if row["status"] == "resolved" and row["status_since"] == DAY]
    assert changed.numbers[:4] == [str(len(fresh)), str(len(healed)), str(len(back)), "0"]
    kinds = sorted(Counter(row["kind"] for row in fresh).values(), reverse=True)
    first_days = [row["first_seen"] for row in ledger if row["status"] == "open" and row not in fresh + back]
    assert changed.numbers[4 : 4 + len(kinds[:3]) + 2] == [
        *(str(count) for count in kinds[:3]), str(len(first_days)), str((DAY - min(first_days)).days),
    ]  # fmt: skip
    now, before = (sum(n for (n,) in rows(data.summary, "recordings", day=day)) for day in (DAY, DAYS[-2]))
    shares = [share(*covered(data, day=day)) for day in (DAY, DAYS[-2])]
    assert changed.numbers[4 + len(kinds[:3]) + 2 :] == [str(DAY), counted(now), counted(before), *shares]


@everywhere
@in_both
def test_kinds_of_files_and_lengths_are_those_of_their_frames(data: ReportData, language: Language) -> None:
    page = read(data, language)
    of_type = Counter[str]()
    for container, codec, state, count in rows(data.file_types, "container", "codec", "state", "recordings"):
        of_type[f"{container}/{codec}/{state}"] += count
    told = {each.attributes["data-type"]: each.tagged("td")[3:] for each in page.having("data-type")}
    assert {name: count.text for name, (count, _) in told.items()} == {n: counted(c) for n, c in of_type.items()}
    for name, (_, volume) in told.items():
        size = of_type[name] * 40_044
        assert volume.text == (f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB")
    of_length = Counter[str]()
    for first, count in rows(data.durations, "from_seconds", "recordings"):
        of_length["" if first is None else str(first)] += count
    (bars,) = [each for each in page.all() if each.attributes.get("class") == "bars"]
    ranges = [str(first) for first in LENGTHS if 1 <= first <= LENGTHS[11]] + [""]
    shown = {each.attributes["data-length"]: each.text for each in bars.having("data-length")}
    assert shown == {first: counted(of_length[first]) for first in ranges}
    parts = [float(re.findall(r"[\d.]+", each.attributes["style"])[0]) for each in bars.tagged("i")]
    wanted = [of_length[first] / max(of_length.values()) * 100 for first in ranges]
    assert parts == pytest.approx(wanted, abs=0.01)
    words = [each.text for each in bars.inside if isinstance(each, Element) and each.tag == "span"]
    one = {
        "zh": ["1–5 秒", "1–2 分钟", "1 小时以上", "时长未知"],
        "en": ["1–5 s", "1–2 min", "1 h and more", "unknown"],
    }
    assert [words[0], words[5], words[-2], words[-1]] == one[language]
    count, seconds = total(data, "recordings"), total(data, "seconds")
    sentence = [each.numbers for each in page.all() if each.attributes.get("class") == "note"]
    assert [counted(count), f"{seconds:,.0f}", f"{seconds / count:,.1f}"] in sentence


@everywhere
@in_both
def test_backups_and_expectations_are_those_of_their_frames(data: ReportData, language: Language) -> None:
    page = read(data, language)
    backups = [line for table in page.tagged("table")[-1:] for line in table.having("data-site")]
    for line in backups:
        mine = rows(data.snapshots, "taken_at", "snapshot_id", "day", site=line.attributes["data-site"])
        _, snapshot_id, day = max(mine)
        cells = [cell.text for cell in line.tagged("td")][1:]
        assert cells == [snapshot_id[:8], str(day), f"{day} 23:30", str(len(mine))]
    (met,) = page.having("data-expectations")
    assert met.numbers[:2] == (["3", "1"] if language == "zh" else ["1", "3"])
    assert [line.numbers for line in page.having("data-unmet")] == [["0.91", "0.8254"], ["42", "17"]]
    words = {"zh": "完整率达到目标", "en": "Coverage reaches the target"}
    assert [line.tagged("td")[0].text for line in page.having("data-unmet")] == [words[language], "my own words 42"]


@everywhere
@in_both
def test_no_number_of_the_page_is_left_that_no_frame_accounts_for(data: ReportData, language: Language) -> None:
    """What the tests above read, taken away: what is left are the dates of the header and the words of the legend."""
    page = read(data, language)
    read_back = ("data-figure", "data-station", "data-lost", "data-coverage", "data-cell", "data-kind", "data-type")
    read_back += ("data-length", "data-expectations", "data-unmet", "id")
    kinds = ("verdict", "bars", "heat", "chart", "first", "note", "phone")

    def left(element: Element) -> list[str]:
        if any(name in element.attributes for name in read_back) and element.tag != "h2":
            return []
        if element.tag in ("figure", "header") or element.attributes.get("class", "").split(" ")[0] in kinds:
            return []
        if "data-site" in element.attributes:
            return []
        own = "".join(one for one in element.inside if isinstance(one, str))
        found = re.findall(r"\d[\d,.]*", own)
        return found + [each for one in element.inside if isinstance(one, Element) for each in left(one)]

    # The legend's three bounds, and the name of Parquet's tool in no language.
    assert left(page) == ["100", "99", "90", "90", *re.findall(r"\d", say("masked", language))]
    (header,) = page.tagged("header")
    assert header.numbers[:4] == [str(DAY), str(data.days[0]), str(data.days[-1]), str(DAY)]


def test_a_frame_that_says_otherwise_is_noticed() -> None:
    """The reading itself can fail: a page of other frames is not taken for a page of these."""
    data = quarter()
    changed = data.summary.filter(pl.col("day").is_in(DAYS)).height
    other = replace(data, summary=data.summary.with_columns(pl.col("recordings") + 1))
    steps = {each.attributes["data-station"]: each.text for each in read(other, "zh").having("data-station")}
    assert steps["on_site"] == counted(total(data, "recordings") + changed) != counted(total(data, "recordings"))


@in_both
def test_brief_and_mail_say_what_the_page_says(language: Language) -> None:
    data = quarter()
    page = read(data, language)
    (verdict,) = [each for each in page.all() if each.attributes.get("class") == "verdict bad"]
    sentence, changed = (each.numbers for each in verdict.tagged("p"))
    mail = Reader(render_mail(data, language), language).open[0]
    for text in (Element("brief", {}, [render_brief(data, language)]).numbers, mail.numbers):
        told = " ".join(text)
        assert " ".join(sentence) in told
        assert " ".join(changed) in told
    figures = [each.numbers for each in page.having("data-figure")]
    assert [each for one in figures for each in one] == [
        number for cell in mail.tagged("b") if "18px" in cell.attributes.get("style", "") for number in cell.numbers
    ]
    for name in STATIONS:
        label = MESSAGES[f"station_{name}"][LANGUAGES.index(language)]
        (line,) = [each for each in mail.tagged("tr") if each.tagged("td") and each.tagged("td")[0].text == label]
        (count,) = [each.text for each in page.having("data-station") if each.attributes["data-station"] == name]
        assert line.numbers[0] == count
    kinds = Counter(kind for (kind,) in rows(data.findings, "kind", status="open"))
    for kind, count in kinds.items():
        label = say(f"kind_{kind}", language)
        lines = [each for each in mail.tagged("tr") if len(each.tagged("td")) == 3]
        assert [line.numbers for line in lines if label in line.tagged("td")[1].text] == [[counted(count)]]


def test_the_report_of_a_real_day_says_what_the_catalog_holds(shop: Shop) -> None:
    for place, clock in enumerate(("09:00:00", "10:00:00", "11:00:00", "12:00:00")):
        shop.call(f"c{place}", clock)
        shop.recording(clock, seconds=2 * place + 2)
    shop.call("missing", "13:00:00")
    shop.recording("14:00:00", number="13900000000", seconds=70)
    result = shop.run()
    file = Path(result["report"])
    (page,) = Reader(file.read_text(encoding="utf-8"), "zh").open[0].tagged("main")
    (row,) = rows_as_dicts(shop.frame(SUMMARY), day=DAY)
    cards = {each.attributes["data-figure"]: each.text for each in page.having("data-figure")}
    assert (cards["coverage"], cards["calls"], cards["recordings"]) == ("80.0 %", str(row["calls"]), "5")
    stations = {each.attributes["data-station"]: each.text for each in page.having("data-station")}
    counts = {name: str(row[name]) for name in STATIONS[2:]}
    assert stations == {"called": "5", "on_site": str(row["recordings"]), **counts}
    lost = {each.attributes["data-lost"]: each.numbers for each in page.having("data-lost")}
    assert lost == {name: [str(row[f"lost_{name}"])] if row[f"lost_{name}"] else [] for name in STATIONS[1:]}
    assert lost["on_site"] == ["1"]
    (square,) = [each for each in page.tagged("rect") if each.numbers[:1] == [str(DAY)] and len(each.numbers) > 2]
    assert (square.attributes["class"], square.numbers) == ("low", [str(DAY), "4", "5", "80.0"])
    lengths = {each.attributes["data-length"]: each.text for each in page.having("data-length")}
    in_catalog = rows(shop.frame(DURATIONS), "from_seconds", "recordings", day=DAY)
    assert {first: count for first, count in lengths.items() if count != "0"} == {
        str(first): str(count) for first, count in in_catalog
    }
    kinds = {each.attributes["data-kind"]: int(each.text) for each in page.having("data-kind")}
    assert kinds == shop.open_findings() == {"recording_missing": 1, "recording_orphan": 1}
    (told,) = page.having("data-expectations")
    met, failed = result["expectations"]["met"], result["expectations"]["failed"]
    assert (told.attributes["data-expectations"], failed) == (f"{met} {met + failed}", len(page.having("data-unmet")))
    assert failed >= 1
    beside = {link for each in page.having("href") if not (link := each.attributes["href"]).startswith("#")}
    assert len(beside) == 3
    assert all((file.parent / link).is_file() for link in beside)
    brief = (file.parent / "brief.md").read_text(encoding="utf-8")
    assert str(file.parent) in brief
    assert (file.parent / "mail.html").read_text(encoding="utf-8").count("80.0 %") >= 1


def rows_as_dicts(frame: pl.DataFrame, **having: Any) -> list[Row]:
    """The rows that have these values."""
    return [row for row in frame.to_dicts() if all(row[name] == value for name, value in having.items())]
