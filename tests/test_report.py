"""The report: what people see, and what nobody may."""

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import polars as pl
import pytest
from openpyxl import load_workbook
from tables import BUSINESS, DAY, SITE, Row, finding, findings, rows_of

from reconcile.evidence import CAUSES
from reconcile.findings import KINDS
from reconcile.frames import FILE_TYPES, INSPECTIONS, SNAPSHOTS, SUMMARY, WAIVERS
from reconcile.ledger import RESOLUTIONS
from reconcile.report import (
    Language,
    ReportData,
    findings_csv,
    open_findings,
    render_brief,
    render_page,
    render_workbook,
    with_age,
)
from reconcile.report.changes import changes
from reconcile.report.charts import trend
from reconcile.report.mail import render_mail
from reconcile.report.masking import masked
from reconcile.report.messages import MESSAGES

NOW = datetime(2021, 2, 1, 0, 30, tzinfo=UTC)
NUMBER = "15372388463"
LANGUAGES: tuple[Language, ...] = ("zh", "en")


def summary(**columns: object) -> Row:
    """A row of SUMMARY: a good day of ten calls."""
    zeros = dict.fromkeys(SUMMARY.columns, 0)
    good = dict.fromkeys(("calls", "calls_expecting", "legs", "complete", "recordings", "in_snapshot"), 10)
    good |= dict.fromkeys(("restored", "published", "indexed"), 10)
    return zeros | good | {"business": BUSINESS, "site": SITE, "day": DAY, "coverage": 1.0, "seconds": 50.0} | columns


def report(*found: Row, days: tuple[Row, ...] = (summary(),)) -> ReportData:
    return ReportData(
        business=BUSINESS, title="美团 <催收>", as_of=DAY, generated_at=NOW, time_zone="Asia/Shanghai", days=(DAY,),
        summary=pl.DataFrame(list(days), schema=SUMMARY.schema), file_types=FILE_TYPES.empty(),
        findings=findings(*found), waivers=WAIVERS.empty(), snapshots=SNAPSHOTS.empty(), sites=((SITE, "重庆"),),
    )  # fmt: skip


class Page(HTMLParser):
    """The addresses that a page would load, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of the tag."""
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_needs_nothing_from_outside(language: Language) -> None:
    html = render_page(report(finding("a")), language)
    assert [address for address in Page(html).loads if not address.startswith(("#", "data:"))] == []
    assert not re.search(r"@import|url\((?!data:)", html)


def test_a_page_is_in_both_languages_and_begins_in_the_one_asked_for() -> None:
    for language in LANGUAGES:
        html = render_page(report(finding("a")), language)
        assert f'data-language="{language}"' in html.partition("<head>")[0]
        for message in MESSAGES["attention"]:
            assert message in html


def test_every_message_has_both_languages_with_the_same_values() -> None:
    for name, (chinese, english) in MESSAGES.items():
        assert chinese
        assert english
        assert set(re.findall(r"{(\w+)", chinese)) == set(re.findall(r"{(\w+)", english)), name


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_kind_of_finding_has_its_name_in_both_languages(kind: str) -> None:
    html = render_page(report(finding("a", kind=kind)), "zh")
    for name in MESSAGES[f"kind_{kind}"]:
        assert name in html


def test_who_signed_the_inspection_stands_in_the_report() -> None:
    opened = {"business": BUSINESS, "site": "-", "day": DAY, "act": "opened", "at": NOW, "figures_sha256": "f"}
    signed = opened | {
        "act": "signed",
        "author": "王磊",
        "verdict": "remarks",
        "comment": f"{NUMBER} 已报修",
        "heard": 3,
    }
    today = opened | {"day": DAY + timedelta(days=1)}
    acts = rows_of(INSPECTIONS, *(dict.fromkeys(INSPECTIONS.columns) | act for act in (opened, signed, today)))
    html = render_page(replace(report(), inspections=acts), "zh")
    assert html.index('data-inspection="2021-02-01 waits"') < html.index('data-inspection="2021-01-31 remarks"')
    assert "王磊" in Page(html).text
    assert NUMBER not in html
    assert "data-inspection" not in render_page(report(), "zh")


def test_an_overdue_backup_is_told_of_its_site_in_the_language_of_the_reader() -> None:
    data = report(finding("a", kind="backup_overdue", subject="site cq", site="cq"))
    said = {language: [render(data, language) for render in (render_brief, render_mail)] for language in LANGUAGES}
    assert all("站点 cq" in text and "site cq" not in text for text in said["zh"])
    assert all("site cq" in text and "站点" not in text for text in said["en"])
    assert '<span lang="zh-CN">站点 cq</span><span lang="en">site cq</span>' in render_page(data, "zh")


def test_what_a_source_says_is_shown_and_never_run() -> None:
    hostile = "<script>alert(1)</script>"
    html = render_page(report(finding("a", subject=hostile, expected='"><img src=x>', actual="</td>{{ 7 * 7 }}")), "zh")
    page = Page(html)
    assert hostile not in html
    assert hostile in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "x" not in page.loads


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_full_number_is_in_anything_that_is_sent(language: Language) -> None:
    data = report(
        finding("a", subject=f"01/31/2049_{NUMBER}_20210131114129.wav3", expected=f"call {NUMBER}", actual=NUMBER)
    )
    book = load_workbook(io.BytesIO(render_workbook(data.findings, data.waivers, data.summary, NOW)))
    cells = [str(cell.value) for sheet in book for row in sheet.iter_rows() for cell in row]
    for text in (
        render_page(data, language),
        render_brief(data, language),
        findings_csv(data.findings).decode(),
        *cells,
    ):
        assert NUMBER not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (NUMBER, "153******63"),
        ("02388650002", "023******02"),
        ("extension 2049, 5 s", "extension 2049, 5 s"),
        ("20210131114129.wav", "20210131114129.wav"),
        ("sha256 0123456789ab", "sha256 0123456789ab"),
        ("the file ends after 4800044 bytes", "the file ends after 4800044 bytes"),
        ("4800044 字节", "4800044 字节"),
        ("rows 1234567, bytes 98765432", "rows 1234567, bytes 98765432"),
    ],
)
def test_a_number_is_masked_and_a_time_is_not(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_nothing_becomes_a_formula_in_a_spreadsheet(formula: str) -> None:
    found = findings(finding("a", subject=formula))
    (row,) = csv.DictReader(io.StringIO(findings_csv(found).decode("utf-8-sig"), newline=""))
    assert row["subject"] == f"'{formula}"
    sheet = load_workbook(io.BytesIO(render_workbook(found, WAIVERS.empty(), SUMMARY.empty(), NOW)))["findings"]
    assert {cell.data_type for cell in sheet[2]} <= {"s", "n", "d"}


def test_a_day_of_nothing_is_a_page_too() -> None:
    data = report(days=())
    for language in LANGUAGES:
        assert MESSAGES["no_data"][LANGUAGES.index(language)] in render_page(data, language)
        assert render_brief(data, language)


def test_a_day_of_very_many_findings_is_a_page_that_opens() -> None:
    many = render_page(report(*(finding(f"{n:016x}", subject=f"call c{n}") for n in range(10_000))), "zh")
    assert len(many) < 2_000_000
    assert "10,000" in many


def test_the_brief_says_what_is_open_and_fits_a_chat() -> None:
    brief = render_brief(report(*(finding(f"{n}", kind="recording_orphan") for n in range(3))), "en")
    assert "3" in brief
    assert MESSAGES["kind_recording_orphan"][1] in brief
    assert "（" not in brief
    assert len(brief.encode()) < 2_000


def test_the_same_data_gives_the_same_page() -> None:
    data = report(finding("a"), finding("b", kind="recording_orphan"))
    assert render_page(data, "zh") == render_page(data, "zh")


def test_a_trend_labels_no_more_days_than_fit_a_telephone() -> None:
    days = [(date(2021, 1, n).isoformat(), n, 1.0) for n in range(1, 31)]
    assert trend(days, "trend").count('text-anchor="middle"') <= 10


def test_what_changed_is_one_paragraph_that_people_understand() -> None:
    before = DAY - timedelta(days=9)
    data = report(
        finding("new"),
        finding("other", kind="recording_orphan"),
        finding("old", first_seen=before, status_since=before),
        finding("back", first_seen=before, status_since=DAY),
        finding("healed", first_seen=before, status="resolved", status_since=DAY),
        finding("long healed", first_seen=before, status="resolved", status_since=before),
        finding("decided", first_seen=before, status="waived", status_since=DAY),
        days=(summary(day=DAY - timedelta(days=1), recordings=1200), summary(missing=10, complete=30, recordings=1400)),
    )
    assert changes(data, "en") == (
        "New: 2; resolved: 1; open again: 1; waived: 1. What is new: Recording missing 1, Recording without call 1. "
        "Still open from before: 1; days that the oldest is open: 9. "
        "2021-01-31 has 1,400 recordings (the day before 1,200) and a coverage of 75.0 % (100 %)."
    )
    assert changes(data, "zh").startswith("新增 2 条，解决 1 条，重新出现 1 条，豁免 1 条。新增的是：")


def test_a_day_like_the_one_before_says_so() -> None:
    assert changes(
        report(finding("old", status_since=DAY - timedelta(days=1), first_seen=DAY - timedelta(days=1))), "en"
    ) == ("No finding is new and none was resolved. Still open from before: 1; days that the oldest is open: 1.")


def test_what_was_waived_is_shown_with_who_and_why() -> None:
    decided = {
        "business": BUSINESS, "site": SITE, "day": DAY, "finding_id": "a", "author": "wang <b>",
        "reason": f"disk burnt, {NUMBER} told us", "waived_at": NOW, "until": date(2021, 6, 30),
    }  # fmt: skip
    data = replace(report(finding("a", status="waived")), waivers=rows_of(WAIVERS, decided))
    html = render_page(data, "zh")
    assert "wang &lt;b&gt;" in html
    assert NUMBER not in html
    assert "2021-06-30" in html
    book = load_workbook(io.BytesIO(render_workbook(data.findings, data.waivers, data.summary, NOW)))
    (row,) = book["waivers"].iter_rows(min_row=2, values_only=True)
    assert row[4:6] == ("wang <b>", "disk burnt, 153******63 told us")


# evidence, causes and ages

LOST = finding(
    "lost", kind="recording_lost", severity="critical", lost_at="published", held_at="restored",
    held_time=datetime(2021, 1, 31, 15, tzinfo=UTC), size=1000, sha256="a" * 64, cause="publish_rejected",
)  # fmt: skip


def test_every_cause_and_resolution_has_words_in_both_languages() -> None:
    names = [f"cause_{cause.name}" for cause in CAUSES] + [f"resolution_{each.name}" for each in RESOLUTIONS]
    assert all(len(set(MESSAGES[name])) == 2 for name in names)


def test_the_page_tells_where_a_recording_was_last_and_what_led_to_its_loss() -> None:
    text = " ".join(Page(render_page(report(LOST), "zh")).text.split())
    for said in ("最后见于已恢复（2021-01-31 23:00）", "last held at: Restored (2021-01-31 23:00)", "对象存储未接收"):
        assert said in text
    untold = finding("lost", kind="recording_lost", severity="critical", held_at="on_site")
    text = Page(render_page(report(untold), "en")).text
    assert "last held at: On site" in text
    assert "Cause:" not in text


def test_workbook_and_csv_have_evidence_cause_age_and_resolution() -> None:
    healed = finding("healed", status="resolved", status_since=DAY, first_seen=DAY - timedelta(days=2),
                     resolution="recording_arrived")  # fmt: skip
    aged = with_age(findings(LOST, healed), DAY + timedelta(days=9))
    rows = list(csv.DictReader(io.StringIO(findings_csv(aged).decode("utf-8-sig"), newline="")))
    told = ("held_at", "held_time", "size", "sha256", "cause", "age_days", "resolution")
    assert [row[name] for row in rows for name in ("age_days", "resolution")] == ["9", "", "2", "recording_arrived"]
    assert [rows[0][name] for name in told[:2]] == ["restored", "2021-01-31T15:00:00.000000+0000"]
    sheet = load_workbook(io.BytesIO(render_workbook(aged, WAIVERS.empty(), SUMMARY.empty(), NOW)))["findings"]
    header, first, *_ = sheet.iter_rows(values_only=True)
    shown = dict(zip((str(name).split("\n")[1] for name in header), first, strict=True))
    assert (shown["Cause"], shown["Bytes"], shown["Days open"]) == ("publish_rejected", 1000, 9)


def test_of_findings_equally_bad_the_one_open_longest_comes_first_with_its_age() -> None:
    before = DAY - timedelta(days=5)
    data = report(finding("new"), finding("old", first_seen=before, status_since=before), LOST)
    assert open_findings(data).select("finding_id", "age_days").rows() == [("lost", 0), ("old", 5), ("new", 0)]
    assert "5 days" in Page(render_page(data, "en")).text


def test_what_changed_says_what_resolved_the_findings() -> None:
    solved = [finding(str(n), status="resolved", resolution="recording_arrived") for n in range(2)]
    other = finding("other", status="resolved", resolution="backup_arrived")
    old = finding("old", status="resolved", resolution="healed", status_since=DAY - timedelta(days=1))
    said = changes(report(*solved, other, old), "en")
    assert "What resolved them: the recording arrived 2, the backup arrived 1." in said
    assert "解决方式：录音已到 2、备份已到 1。" in changes(report(*solved, other, old), "zh")
