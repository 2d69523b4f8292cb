"""What is sent: the brief for chat, and the body of a mail."""

import re
from datetime import timedelta
from html.parser import HTMLParser

import polars as pl
import pytest
from tables import DAY, finding, findings
from test_report_hostile import report, summary

from reconcile.expected import Expected, Own, Range, expectations
from reconcile.findings import KINDS
from reconcile.report import CHECKED, ReportData, render_brief, render_mail
from reconcile.report.brief import MOST_BYTES
from reconcile.report.expected import EXPECTATIONS, expectation
from reconcile.report.messages import LANGUAGES, Language, say

HAN = re.compile("[\u4e00-\u9fff]")
in_both = pytest.mark.parametrize("language", LANGUAGES)


def flood(subject: str, count: int = 4_000) -> ReportData:
    """A day with so many open findings, of every kind, with this subject."""
    kinds = [finding(f"{kind.name}", kind=kind.name, severity=kind.severity, subject=subject) for kind in KINDS]
    frames = [
        findings(*kinds).with_columns(finding_id=pl.lit(f"{n}") + pl.col("finding_id")) for n in range(count // 16)
    ]
    return report(findings=pl.concat(frames), summaries=(summary(calls=10**6, complete=10**6),), title=subject)


@in_both
@pytest.mark.parametrize(
    "subject", ["录音" * 2_000, "𠮷" * 3_000, "01/31/2049_15372388463_20210131114129.wav3", "\n# 录\n\n- x" * 500]
)
def test_a_brief_of_thousands_of_findings_stays_below_the_limit_and_says_how_many_more(
    subject: str, language: Language
) -> None:
    brief = render_brief(flood(subject), language, "/srv/voxkeep/报告/2021-01-31")
    assert len(brief.encode()) <= MOST_BYTES < 20_000
    shown = len(re.findall(r"^\d+\. ", brief, re.MULTILINE))
    assert shown == 10
    assert say("findings_more", language, n=f"{4_000 - shown:,}") in brief
    assert brief.rstrip().endswith("/srv/voxkeep/报告/2021-01-31")


@in_both
def test_where_there_is_no_room_for_ten_findings_whole_ones_are_left_out(
    language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = flood("录音" * 80)
    whole = render_brief(data, language)
    monkeypatch.setattr("reconcile.report.brief.MOST_BYTES", len(whole.encode()) - 1)
    fewer = render_brief(data, language)
    assert len(fewer.encode()) < len(whole.encode())
    assert {line for line in fewer.splitlines() if re.match(r"\d+\. ", line)} < set(whole.splitlines())
    assert say("findings_more", language, n="3,991") in fewer


@pytest.mark.parametrize(
    "subject", ["a [link](http://x/) here", "**bold** _so_ `code`", "<b>x</b>", "a\n# heading", "![](http://x/y.png)"]
)
def test_nothing_that_a_source_says_is_markdown_in_a_brief(subject: str) -> None:
    brief = render_brief(report(finding("1", subject=subject, site=subject), title=subject), "en")
    bold = ("**Needs attention**", "**Look at these first**", "**Since the last report**")
    for words in bold:
        assert words in brief
        brief = brief.replace(words, "")
    assert not re.search(r"[\[\]<>`*]", brief)
    assert [line for line in brief.splitlines() if line.startswith("#")] == [brief.splitlines()[0]]


def test_a_brief_has_an_empty_line_between_paragraphs_for_dingtalk_joins_lines_without() -> None:
    data = flood("a.wav", 48)
    blocks = render_brief(data, "zh").strip().split("\n\n")
    several = [block for block in blocks if "\n" in block]
    assert all(re.match(r"- |\d+\. ", line) for block in several for line in block.splitlines())
    assert len(several) == 2


class Mail(HTMLParser):
    """The tags of a mail with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        self.tags.append((tag, dict(attrs)))


@in_both
def test_a_mail_is_made_of_what_every_mail_program_shows(language: Language) -> None:
    mail = render_mail(flood("<script>录音"), language)
    # https://www.caniemail.com: tables, and styles that stand in the tags, are what all of them know.
    known = "html head meta title body table tr td h1 h2 p b br span ul li".split()  # noqa: SIM905
    tags = Mail(mail).tags
    assert {tag for tag, _ in tags} <= set(known)
    styles = " ".join(attributes.get("style") or "" for _, attributes in tags)
    names = set(re.findall(r"(?:^|;)\s*([a-z-]+):", styles))
    assert not names & {"display", "position", "float", "grid", "flex", "transform", "background-image", "filter"}
    assert not re.search(r"var\(|calc\(|url\(|rem\b|class=|<!\[CDATA|http", mail)
    assert "max-width:640px" in styles
    assert all(attributes.get("role") == "presentation" for tag, attributes in tags if tag == "table")
    assert {attributes.get("bgcolor") for tag, attributes in tags if tag == "body"} == {"#f4f6f8"}


@in_both
@pytest.mark.parametrize("subject", ["录音" * 2_000, "<&>" * 2_000])
def test_a_mail_of_thousands_of_findings_is_not_cut(subject: str, language: Language) -> None:
    own = pl.DataFrame([("expect", "c", subject, False, "1")] * 500, schema=CHECKED, orient="row")
    data = flood(subject)
    full = ReportData(**(vars(data) | {"expectations": own}))
    mail = render_mail(full, language)
    # Gmail cuts at 102 kB.
    assert len(mail.encode()) < 100_000
    assert say("findings_more", language, n="3,990") in mail


def suite() -> list[str]:
    """What every expectation that there is says, but for one's own."""
    everything = Expected(
        orphan_share=Range(at_most=1), growth=Range(at_most=1), bytes_a_recording=Range(at_most=1),
        file_types=["wav"], rows={"calls": Range(at_least=1)},
    )  # fmt: skip
    return [str(one["description"]) for one in expectations(everything, 0.9)]


def test_every_expectation_has_its_chinese_and_each_of_these_is_one() -> None:
    said = suite()
    for words in said:
        assert HAN.search(expectation(words, "zh"))
        assert expectation(words, "en") == words
    for english in EXPECTATIONS:
        pattern = re.escape(english).replace(r"\{\}", ".+")
        assert any(re.fullmatch(pattern, words) for words in said)


@in_both
@pytest.mark.parametrize("words", ["通话数不少于 10", "our own rule, 100%", "No count is wrong: x", "none", "rows 5"])
def test_an_expectation_of_ones_own_stands_as_it_was_written(words: str, language: Language) -> None:
    (own,) = Expected(own=[Own(expect="expect_x", arguments={}, description=words)]).own
    assert expectation(own.description, language) == words


def test_a_brief_names_what_is_new_since_yesterday() -> None:
    old = finding("old", first_seen=DAY - timedelta(days=3), status_since=DAY - timedelta(days=3))
    assert "New: 1" in render_brief(report(finding("new"), old), "en")
