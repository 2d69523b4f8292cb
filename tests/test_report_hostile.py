"""The report in full: every text in both languages, nothing that a browser or a spreadsheet would run."""

import csv
import io
import re
import zipfile
from dataclasses import replace
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from string import Formatter
from typing import Any
from urllib.parse import unquote

import openpyxl
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import BUSINESS, DAY, NUMBER, SITE, Row, at, finding, findings, rows_of

from reconcile.findings import KINDS, SEVERITIES
from reconcile.frames import FILE_TYPES, FINDINGS, SNAPSHOTS, STATIONS, SUMMARY, WAIVERS
from reconcile.report import (
    ReportData,
    findings_csv,
    masked,
    render_brief,
    render_mail,
    render_page,
    render_workbook,
)
from reconcile.report.brief import share
from reconcile.report.messages import LANGUAGES, MESSAGES, PHRASES, phrase, say
from reconcile.report.page import TOP
from reconcile.text import filled

MADE = at("08:00:00", DAY + timedelta(days=1))
BEFORE = DAY - timedelta(days=1)
STATES = ("ok", "empty", "truncated", "undecodable", "in_progress", "unreadable")
HAN = re.compile("[\u4e00-\u9fff]")


def summary(**columns: Any) -> Row:
    """A row of SUMMARY: nothing happened."""
    return dict.fromkeys(SUMMARY.columns, 0) | {"business": BUSINESS, "site": SITE, "day": DAY, "coverage": 1} | columns


def file_type(**columns: Any) -> Row:
    """A row of FILE_TYPES."""
    return {
        "business": BUSINESS, "site": SITE, "day": DAY, "container": "wav", "codec": "pcm_mulaw", "state": "ok",
        "recordings": 1, "bytes": 40_044, "seconds": 5.0,
    } | columns  # fmt: skip


def snapshot(**columns: Any) -> Row:
    """A row of SNAPSHOTS."""
    return {
        "business": BUSINESS, "site": SITE, "day": DAY, "snapshot_id": "0123456789abcdef" * 4, "repository_year": 2021,
        "taken_at": at("23:30:00"), "first_day": DAY, "files": 1, "bytes": 40_044,
    } | columns  # fmt: skip


def report(
    *found: Row,
    summaries: tuple[Row, ...] = (),
    types: tuple[Row, ...] = (),
    snapshots: tuple[Row, ...] = (),
    **other: Any,
) -> ReportData:
    return ReportData(
        **{
            "business": BUSINESS, "title": "美团", "as_of": DAY, "generated_at": MADE, "time_zone": "Asia/Shanghai",
            "days": (DAY,), "summary": rows_of(SUMMARY, *summaries), "file_types": rows_of(FILE_TYPES, *types),
            "findings": findings(*found), "waivers": WAIVERS.empty(),
            "snapshots": rows_of(SNAPSHOTS, *snapshots), "sites": ((SITE, "重庆"),),
        }
        | other
    )  # fmt: skip


def everything() -> ReportData:
    """A report in which every kind, severity, station and state stands."""
    found = [
        finding(
            f"{place:016x}", kind=kind.name, severity=kind.severity, subject=f"01/31/2049_{NUMBER}_{place}.wav3",
            actual="not at station restored", lost_at=(None, *STATIONS[1:])[place % len(STATIONS)],
        )
        for place, kind in enumerate(KINDS)
    ]  # fmt: skip
    counts = dict.fromkeys(("complete", "partial", "missing", "excluded", *STATIONS[2:]), 3)
    row = summary(calls=12, calls_expecting=9, recordings=4, bytes=10**6, seconds=7200.0, coverage=1 / 3, **counts)
    return report(
        *found,
        finding("f" * 16, severity="info"),
        summaries=(row, row | {"day": BEFORE}, row | {"day": None}),
        types=tuple(file_type(state=state) for state in STATES),
        snapshots=(snapshot(),),
    )


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text; a place where a word may break is neither."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element."""
        if tag != "wbr":
            self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data

    def skeleton(self) -> list[tuple[str, tuple[str, ...]]]:
        """What a browser makes of the page, but for words and values."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]

    def values(self, attribute: str, tag: str = "") -> list[str | None]:
        """What this attribute says, wherever it stands, or in elements of this tag."""
        having = [(name, attributes) for name, attributes in self.elements if attribute in attributes]
        return [attributes[attribute] for name, attributes in having if tag in ("", name)]


def figures(page: str, attribute: str) -> dict[str, str]:
    return dict(re.findall(rf'<b data-{attribute}="(\w+)">(.*?)</b>', page))


def test_a_page_has_no_element_that_fetches() -> None:
    page = Page(render_page(everything(), "zh"))
    fetching = {"script", "link", "img", "iframe", "object", "embed", "base", "audio", "video", "source", "form", "use"}
    assert not fetching & {tag for tag, _ in page.elements}
    assert page.values("href") == page.values("href", "a")
    loading = ("src", "xlink:href", "srcset", "data", "action", "poster", "background", "http-equiv")
    assert [page.values(name) for name in loading] == [[]] * len(loading)
    assert not re.search(r"url\(|@import|expression\(", render_page(everything(), "zh"))


@pytest.mark.parametrize("data", [everything(), report()], ids=["everything", "nothing"])
def test_every_text_of_a_page_stands_in_both_languages(data: ReportData) -> None:
    page = Page(render_page(data, "zh"))
    spoken = [value for tag, attributes in page.elements if tag == "span" and (value := attributes.get("lang"))]
    assert spoken == ["zh-CN", "en"] * (len(spoken) // 2)
    assert len(spoken) > 40


def test_a_page_is_the_same_in_both_languages_but_for_which_is_shown_first() -> None:
    chinese, english = (render_page(everything(), language) for language in LANGUAGES)
    first = '<html lang="{}" data-language="{}">'
    assert chinese.count(first.format("zh-CN", "zh")) == 1
    assert chinese.replace(first.format("zh-CN", "zh"), first.format("en", "en")) == english


@pytest.mark.parametrize("words", ["plain", 'a "b" <c> #d/é录'])
def test_every_link_of_a_page_leads_to_a_row_of_it_or_to_a_file_beside_it(words: str) -> None:
    beside = {"workbook": "findings.xlsx", "csv": "findings.csv", "data_docs": "../data-docs/2021-01-31/index.html"}
    data = report(*(finding(f"{words}{n}", kind=kind.name) for n, kind in enumerate(KINDS)), links=beside)
    page = Page(render_page(data, "zh"))
    within = [unquote(str(link))[1:] for link in page.values("href") if str(link).startswith("#")]
    assert len(within) == len(KINDS) + 5
    assert set(within) == set(page.values("id", "tr"))
    assert {link for link in page.values("href") if not str(link).startswith("#")} == set(beside.values())
    assert not Page(render_page(replace(data, links={}), "zh")).text.count("Excel")


def test_the_order_of_the_rows_changes_nothing() -> None:
    data = everything()
    mixed = ReportData(**(vars(data) | {"findings": data.findings.reverse(), "summary": data.summary.reverse()}))
    assert render_page(mixed, "zh") == render_page(data, "zh")


def places(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("key", MESSAGES)
def test_every_message_has_chinese_and_english_with_the_same_places(key: str) -> None:
    chinese, english = MESSAGES[key]
    assert chinese.strip()
    assert english.strip()
    assert places(chinese) == places(english)
    if key != "switch" and re.search("[a-z]", re.sub("{.*?}", "", english)):
        assert HAN.search(chinese)
        assert not HAN.search(english)


@pytest.mark.parametrize("english", PHRASES)
def test_every_phrase_of_a_finding_has_its_chinese(english: str) -> None:
    words = [f"w{place}" for place in range(english.count("{}"))]
    assert HAN.search(PHRASES[english])
    assert phrase(english.format(*words), "zh") == PHRASES[english].format(*words)
    assert all(word in phrase(english.format(*words), "zh") for word in words)
    assert phrase(english.format(*words), "en") == english.format(*words)


@pytest.mark.parametrize("text", ["", "of no known phrase", "none of these", "one row\n", "100% {x} {}"])
def test_a_text_of_no_known_phrase_stays_as_it_is(text: str) -> None:
    assert phrase(text, "zh") == phrase(text, "en") == text


def test_a_place_of_a_phrase_may_hold_anything() -> None:
    assert phrase("the file {a}/{}\n%s.wav", "zh") == "文件 {a}/{}\n%s.wav"
    assert phrase("not at station restored", "zh") == "不在“已恢复”站"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_finding_says_what_it_means_and_what_to_do(kind: Any) -> None:
    data = report(finding("1", kind=kind.name, severity=kind.severity))
    page = render_page(data, "en")
    assert figures(page, "kind") == {kind.name: "1"}
    for language in LANGUAGES:
        for part in ("kind", "mean", "do"):
            assert say(f"{part}_{kind.name}", language) in Page(page).text
        assert say(f"kind_{kind.name}", language) in render_brief(data, language)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_every_severity_has_a_name_and_a_colour(severity: str) -> None:
    page = render_page(report(finding("1", severity=severity)), "zh")
    assert f'<span class="sev {severity}">' in page
    assert f".{severity} {{ color:" in page
    assert all(say(f"severity_{severity}", language) in Page(page).text for language in LANGUAGES)


def test_the_figures_of_a_page_are_those_of_its_frames() -> None:
    today = summary(
        calls=3000, calls_expecting=2000, recordings=1999, complete=1999, missing=1, excluded=1000, in_snapshot=1999,
        restored=1999, published=1990, indexed=1999, bytes=80_000_000, seconds=9000.0, lost_published=9,
    )  # fmt: skip
    found = (finding("1"), finding("2", status="resolved"), finding("3", status="waived"))
    page = render_page(report(*found, summaries=(today, summary(day=BEFORE, calls=7, recordings=7, complete=7))), "en")
    cards = figures(page, "figure")
    assert cards == {
        "coverage": "99.9 %", "calls": "3,000", "calls_expecting": "2,000", "recordings": "1,999", "volume": "80.0 MB",
        "hours": "2.5",
    }  # fmt: skip
    assert figures(page, "station") == {
        "called": "2,000", "on_site": "1,999", "in_snapshot": "1,999", "restored": "1,999", "published": "1,990",
        "indexed": "1,999",
    }  # fmt: skip
    assert figures(page, "coverage") == {"complete": "1,999", "partial": "0", "missing": "1", "excluded": "1,000"}
    assert page.count("9 lost") == 1
    assert figures(page, "kind") == {"recording_missing": "1"}


@pytest.mark.parametrize(
    ("found", "rows", "status"),
    [
        ((), (), "no_data"),
        ((), (summary(calls=1),), "good"),
        ((), (summary(recordings=1),), "good"),
        ((finding("1", severity="info"),), (summary(calls=1),), "good"),
        ((finding("1", severity="minor"),), (summary(calls=1),), "attention"),
        ((finding("1", severity="major"),), (), "attention"),
        ((finding("1", severity="critical"), finding("2")), (summary(calls=1),), "bad"),
        ((finding("1", severity="critical", status="resolved"),), (summary(calls=1),), "good"),
        ((finding("1", severity="critical", status="waived"),), (summary(calls=1),), "good"),
    ],
)
def test_the_verdict_is_as_bad_as_the_worst_open_finding(
    found: tuple[Row, ...], rows: tuple[Row, ...], status: str
) -> None:
    data = report(*found, summaries=rows)
    assert f'<section class="verdict {status}">' in render_page(data, "en")
    assert f"**{say(status, 'en')}**" in render_brief(data, "en")


def test_the_worst_findings_stand_first_then_the_newest() -> None:
    data = report(
        finding("minor", kind="clock_skew", severity="minor"), finding("old", day=BEFORE),
        finding("timeless", day=None), finding("b", subject="b"), finding("a", subject="a"),
        finding("critical", kind="recording_lost", severity="critical", day=BEFORE),
    )  # fmt: skip
    assert Page(render_page(data, "en")).values("id", "tr") == ["critical", "a", "b", "old", "timeless", "minor"]


@pytest.mark.parametrize(
    ("part", "text"),
    [(1.0, "100 %"), (1999 / 2000, "99.9 %"), (0.99999999, "99.9 %"), (2 / 3, "66.6 %"), (0.0, "0.0 %")],
)
def test_a_share_never_rounds_up_to_the_whole(part: float, text: str) -> None:
    assert share(part) == text


@pytest.mark.parametrize("days", [(DAY,), (), (BEFORE, DAY)])
@pytest.mark.parametrize("sites", [((SITE, "重庆"),), ()])
def test_a_day_on_which_nothing_happened_still_has_a_report(
    days: tuple[date, ...], sites: tuple[tuple[str, str], ...]
) -> None:
    data = report(days=days, sites=sites)
    text = Page(render_page(data, "zh")).text
    assert say("no_data", "zh") in text
    assert all(say("no_findings", language) in text for language in LANGUAGES)
    assert text.count(say("never_reported", "en")) == len(sites)
    assert say("verdict_none", "en") in render_brief(data, "en")


def table(content: bytes) -> list[list[str]]:
    """The rows of a CSV, the header among them."""
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_an_empty_day_has_a_workbook_and_a_csv_with_their_headers() -> None:
    book = openpyxl.load_workbook(io.BytesIO(render_workbook(FINDINGS.empty(), WAIVERS.empty(), SUMMARY.empty(), MADE)))
    assert [(sheet.title, sheet.max_row) for sheet in book] == [("findings", 1), ("waivers", 1), ("summary", 1)]
    (header,) = table(findings_csv(FINDINGS.empty()))
    assert set(header) == set(FINDINGS.columns) - {"call_uid"}


def many(count: int, **columns: Any) -> pl.DataFrame:
    """So many open findings, each with an id of its own."""
    return pl.concat([findings(finding("", **columns))] * count).with_columns(
        finding_id=filled("{}", pl.int_range(count))
    )


def test_a_page_stays_small_however_much_was_found() -> None:
    subject = f"01/31/2049_{NUMBER}_{'x' * 200}.wav3"
    some, most = (render_page(report(findings=many(count, subject=subject)), "zh") for count in (TOP + 1, 10_000))
    assert len(most.encode()) < 500_000
    assert abs(len(most) - len(some)) < 100
    assert len(Page(most).values("id", "tr")) == TOP
    assert figures(most, "kind") == {"recording_missing": "10,000"}
    assert len(Page(render_page(report(findings=many(TOP)), "en")).values("id", "tr")) == TOP


def test_of_each_kind_some_findings_are_shown_however_many_worse_there_are() -> None:
    worse = many(5_000, kind="recording_lost", severity="critical")
    better = [finding(f"m{n}", kind="clock_skew", severity="minor") for n in range(7)]
    page = Page(render_page(report(findings=pl.concat([worse, findings(*better)])), "en"))
    shown = page.values("id", "tr")
    assert len(shown) == TOP
    assert shown[-5:] == ["m0", "m1", "m2", "m3", "m4"]
    assert "#m0" in page.values("href")


def test_a_year_of_twenty_sites_with_five_thousand_findings_opens_quickly() -> None:
    sites = tuple((f"site{n:02}", f"第 {n} 站点") for n in range(20))
    days = tuple(DAY - timedelta(days=n) for n in reversed(range(365)))
    rows = [
        summary(site=site, day=day, calls=10**5, complete=10**5 - n, missing=n % 7, recordings=10**5)
        for n, day in enumerate(days)
        for site, _ in sites
    ]
    subject = f"01/31/2049_{NUMBER}_{'x' * 100}.wav3"
    found = pl.concat([many(5_000, subject=subject), *(many(5, kind=kind.name, subject=subject) for kind in KINDS)])
    page = render_page(report(summaries=tuple(rows), days=days, sites=sites, findings=found), "zh")
    assert page.count("<title>") > 20 * 365
    assert len(page.encode()) < 2_000_000


def test_the_workbook_and_the_csv_hold_what_the_page_leaves_out() -> None:
    found = many(1_500)
    book = openpyxl.load_workbook(
        io.BytesIO(render_workbook(found, WAIVERS.empty(), SUMMARY.empty(), MADE)), read_only=True
    )
    ids = [row[-1] for row in book["findings"].iter_rows(min_row=2, values_only=True)]
    assert ids == [row[-1] for row in table(findings_csv(found))[1:]] == found["finding_id"].to_list()


def test_a_brief_says_the_verdict_the_kinds_and_what_changed() -> None:
    data = report(
        finding("1", kind="recording_lost", severity="critical"), finding("2"),
        finding("3", first_seen=BEFORE, status_since=BEFORE),
        finding("4", status="resolved"), summaries=(summary(calls=1200, complete=1199, missing=1),),
    )  # fmt: skip
    brief = render_brief(data, "en")
    assert brief.startswith("### 美团 · Business day 2021-01-31\n\n**Serious findings**\n\n")
    assert "Of 1,200 calls that must have a recording, 1,199 are complete (99.9 %). " in brief
    assert "Open findings: 1 critical, 2 major, 0 minor.\n" in brief
    assert "New: 2; resolved: 1; open again: 0; waived: 0. What is new: " in brief
    assert "Still open from before: 1; days that the oldest is open: 1.\n" in brief
    assert brief.index("Recording lost") < brief.index("Recording missing")
    assert render_brief(everything(), "zh").count("\n- ") == 8


@pytest.mark.parametrize("number", ["02366778899", "4008001234", "8615372388463", "66778899", "19912345678"])
def test_no_telephone_number_stands_whole_in_anything_people_read(number: str) -> None:
    words = {
        "subject": f"01/31/2049_{number}_20210131114129.wav3",
        "expected": f"the file {number}.wav",
        "actual": number,
    }
    data = report(finding("1", **words), summaries=(summary(calls=1),), title=f"业务 {number}")
    kept = f"{number[:3]}{'*' * (len(number) - 5)}{number[-2:]}"
    page = render_page(report(finding("1", **words)), "zh")
    with zipfile.ZipFile(io.BytesIO(render_workbook(data.findings, data.waivers, data.summary, MADE))) as parts:
        book = b"".join(map(parts.read, parts.namelist())).decode()
    mail = render_mail(data, "zh")
    for text in (render_brief(data, "zh").replace("•", "*"), mail, page, findings_csv(data.findings).decode(), book):
        assert number not in text
        assert kept in text


@settings(max_examples=100)
@given(st.text(st.sampled_from("0123456789_-./ xé录\n*+"), max_size=40))
def test_masking_twice_is_masking_once_and_changes_only_digits(text: str) -> None:
    hidden = masked(text)
    assert masked(hidden) == hidden
    assert len(hidden) == len(text)
    assert all(new == old or (new == "*" and old.isdigit()) for old, new in zip(text, hidden, strict=True))


ATTACKS = ["=1+1", "+86", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x","y")']
TEXTS = ("subject", "expected", "actual", "call_id", "site", "business", "recording_id")


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_column_of_a_csv_holds_what_a_spreadsheet_runs(attack: str) -> None:
    rows = table(findings_csv(findings(finding("1", **dict.fromkeys(TEXTS, attack)))))
    assert rows[1].count(f"'{attack}") == len(TEXTS)
    assert not [cell for cell in rows[1] if re.match(r"[=+\-@\t\r]", cell)]
    (_, harmless) = table(findings_csv(findings(finding("1", call_id=f"a {attack}"))))
    assert f"a {attack}" in harmless


@settings(max_examples=100)
@given(st.sampled_from("=+-@\t\r\"',;x"), st.text(max_size=30))
def test_a_csv_gives_back_every_text_and_no_formula(first: str, rest: str) -> None:
    text = first + rest.replace("\0", "")
    header, row = table(findings_csv(findings(finding("1", call_id=text))))
    cell = row[header.index("call_id")]
    assert cell.removeprefix("'") == text.removeprefix("'")
    assert cell[0] not in "=+-@\t\r"


@pytest.mark.parametrize("attack", [*ATTACKS, "http://example.com/x", "mailto:a@b", "internal:summary!A1", "007"])
def test_a_workbook_holds_text_and_no_formula_and_no_link(attack: str) -> None:
    found = findings(finding("1", **dict.fromkeys(TEXTS, attack)))
    content = render_workbook(found, WAIVERS.empty(), rows_of(SUMMARY, summary(site=attack, business=attack)), MADE)
    cells = [c for s in openpyxl.load_workbook(io.BytesIO(content)) for row in s.iter_rows(min_row=2) for c in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "d"}
    texts = [cell.value for cell in cells if isinstance(cell.value, str)]
    assert [text.replace("_x000D_", "\r") for text in texts].count(attack) == len(TEXTS) + 2
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        sheets = b"".join(parts.read(name) for name in parts.namelist() if "sheet" in name)
    assert b"<f>" not in sheets
    assert b"<hyperlink" not in sheets


def test_a_workbook_tells_findings_and_summary_as_they_are() -> None:
    proved = {"held_at": "in_snapshot", "held_time": MADE, "size": 7, "sha256": "ab", "cause": "restore_incomplete"}
    found = findings(finding("2", call_id="c2", day=None), finding("1", subject="a\nb", lost_at="restored", **proved))
    rows = rows_of(SUMMARY, summary(calls=3, coverage=0.5, seconds=1.5))
    book = openpyxl.load_workbook(io.BytesIO(render_workbook(found, WAIVERS.empty(), rows, MADE)))
    sheet = book["findings"]
    header, *lines = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert header[:3] == ["级别\nSeverity", "类型\nKind", "状态\nStatus"]
    day = datetime(2021, 1, 31, tzinfo=None)  # noqa: DTZ001  # a spreadsheet's dates have no zone
    assert lines == [
        ["major", "recording_missing", "open", BUSINESS, SITE, None, "call c1", "a recording", "none", None,
         None, None, None, None, day, day, day, None, "c2", None, None, "2"],
        ["major", "recording_missing", "open", BUSINESS, SITE, day, "a\nb", "a recording", "none", "restored",
         "restore_incomplete", "in_snapshot", day + timedelta(days=1), 7, day, day, day, None, None, None, "ab", "1"],
    ]  # fmt: skip
    told = dict(zip(SUMMARY.columns, [cell.value for cell in book["summary"][2]], strict=True))
    assert (told["calls"], told["coverage"], told["seconds"], told["day"]) == (3, 0.5, 1.5, day)
    assert {sheet.cell(3, place).number_format for place in (6, 15, 16, 17)} == {"yyyy-mm-dd"}
    assert sheet.cell(3, 13).number_format == "yyyy-mm-dd hh:mm"
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("C2", "A1:V3")


def with_words(word: str) -> ReportData:
    """A report in which this text stands wherever a file, a database or a setting can put one."""
    return report(
        finding(word, subject=word, expected=word, actual=f"the file {word}", site=word),
        summaries=(summary(calls=1, recordings=1, site=word),),
        types=(file_type(container=word, codec=word),),
        snapshots=(snapshot(site=word, snapshot_id=word),),
        title=word,
        sites=((word, word),),
    )


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert('x')</script>\"><img src=x onerror=alert(1)>' onclick='&amp;{{ 7*7 }}", "</title><script>1",
        "</style><b>", "--><b>", "&lt;b&gt;", "a&b;", "{% raw %}{{ x }}", "\"' onmouseover=alert(1) x='", "<wbr>|",
    ],
)  # fmt: skip
def test_what_others_wrote_is_text_in_a_page_and_never_markup(text: str) -> None:
    page, harmless = Page(render_page(with_words(text), "zh")), Page(render_page(with_words("a harmless word"), "zh"))
    assert page.skeleton() == harmless.skeleton()
    assert page.values("id", "tr") == [text]
    assert page.text.count(text) >= 10
    assert page.values("onclick") == harmless.values("onclick")


@settings(max_examples=40)
@given(st.text(st.sampled_from("<>&\"'/_=- ;{}%#x!`\\录\u2028"), min_size=1, max_size=20))
def test_no_text_becomes_markup(text: str) -> None:
    page, harmless = Page(render_page(with_words(f"|{text}|"), "en")), Page(render_page(with_words("word"), "en"))
    assert page.skeleton() == harmless.skeleton()
    assert page.values("id", "tr") == [f"|{text}|"]
    mail, plain = Page(render_mail(with_words(f"|{text}|"), "en")), Page(render_mail(with_words("word"), "en"))
    assert mail.skeleton() == plain.skeleton()


def test_a_site_that_never_reported_is_told_and_one_that_did_is_not() -> None:
    data = report(
        summaries=(summary(site="spoke", calls=1, complete=1), summary(site="zero")),
        snapshots=(snapshot(site="backed"),),
        sites=tuple((site, "") for site in ("spoke", "zero", "backed", "silent")),
    )
    rows = re.findall(r"<tr data-site=\"\w+\"><td><b>(\w+)</b>(.*?)</td>", render_page(data, "en"))
    assert [site for site, rest in rows if "never reported" in rest] == ["zero", "silent"]


def test_times_are_those_of_the_business_clock_and_of_the_last_snapshot() -> None:
    last = snapshot(taken_at=at("23:45:00"), snapshot_id="f" * 64)
    text = Page(render_page(report(snapshots=(last, snapshot())), "en")).text
    assert "Made at 2021-02-01 08:00 (Asia/Shanghai)" in text
    assert "2021-01-31 23:45" in text
    assert "23:30" not in text
    assert "2021-02-01 09:00 (Asia/Tokyo)" in Page(render_page(report(time_zone="Asia/Tokyo"), "en")).text
