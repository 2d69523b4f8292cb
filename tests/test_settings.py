"""A business's YAML: every mistake is told with its line, what was expected, and no secret."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from blocks.errors import SettingsError
from voxkeep.secret import Secret
from voxkeep.settings import Settings, load_rules, load_settings
from voxkeep.settings_checks import read_sql

SQL = "SELECT * FROM cdr WHERE start >= :start AND start < :end"
GOOD = """\
business: shop
title: Shop
storage: storage
time_zone: Asia/Shanghai
lookback_days: 2
sites:
  one:
    recordings: recordings
    password: {file: password}
    database: {env: SHOP_DATABASE}
  two:
    recordings: /data/two
    password:
      command: [pass, show, two]
    dropped: {robot: drop}
datasets:
  calls:
    sql: calls.sql
    columns:
      call_id: id
      leg: {column: file, pattern: '-(\\d+)'}
    expects_recording: {min_talk_seconds: 1}
  robot:
    header: [uniqueid, start, state]
    columns: {call_id: uniqueid, started_at: start}
    expects_recording:
      where: {state: [ANSWERED]}
name_templates:
  - "{month}/{day}/{extension}_{number}.wav"
  - "robot/{call_id}.wav"
matching:
  order: [path, key, nearest]
  key: [call_id]
numbers:
  access_codes:
    - "9"
    - "0"
alerts:
  team: {env: TEAM_URL}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "calls.sql").write_text(SQL)
    file = folder / "shop.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def told(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings(write(folder, text))
    return str(raised.value)


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, f"{old!r} stands {GOOD.count(old)} times in the good settings"
    return GOOD.replace(old, new)


def test_good_settings_are_read_with_folders_counting_from_the_file(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    assert settings.sites["one"].recordings == str(tmp_path / "recordings")
    assert settings.sites["two"].recordings == "/data/two"
    assert settings.sites["two"].dropped == {"robot": str(tmp_path / "drop")}
    assert settings.sites["one"].password.file == str(tmp_path / "password")
    assert settings.datasets["calls"].sql == str(tmp_path / "calls.sql")
    assert settings.rules().datasets["robot"].header == ["uniqueid", "start", "state"]


def test_settings_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_settings(file).business == "shop"


def test_remembered_settings_are_the_same_settings(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


# What is changed, into what, and what is said of it. `# <-` marks the line that must be named.
MISTAKES = {
    "unknown name at the left margin": (
        "title: Shop",
        "title: Shop\ntimezone: UTC # <-",
        ["timezone", "nearest is time_zone"],
    ),
    "unknown name in a site": (
        "recordings: recordings",
        "recordings: r\n    recording: r # <-",
        ["nearest is recordings"],
    ),
    "unknown name in columns": (
        "call_id: id\n",
        "call_id: id\n      start_at: start # <-\n",
        ["nearest is started_at"],
    ),
    "unknown name in part of a column": (
        "{column: file,",
        "{the_column: x, column: file, # <-\n       ",
        ["nearest is column"],
    ),
    "unknown name in matching": (
        "order: [path",
        "ordr: [path] # <-\n  order: [path",
        ["matching.ordr", "nearest is order"],
    ),
    "unknown name in numbers": (
        "access_codes:\n",
        "acces_codes: [] # <-\n  access_codes:\n",
        ["nearest is access_codes"],
    ),
    "unknown name in a secret": (
        "command: [pass, show, two]",
        "the_command: [pass] # <-",
        ["nearest is command"],
    ),
    "unknown name in what expects": (
        "{min_talk_seconds: 1}",
        "{min_talk: 1} # <-",
        ["nearest is min_talk_seconds"],
    ),
    "right name in the wrong place": (
        "lookback_days: 2",
        "tolerance_seconds: 3 # <-",
        ["belongs below matching"],
    ),
    "name of the whole in a site": (
        "recordings: recordings",
        "recordings: r\n    storage: s # <-",
        ["at the left margin"],
    ),
    "number where text is wanted": ("title: Shop", "title: 5 # <-", ["title", "expected text", "quotes"]),
    "number in a nested list": (
        '- "0"',
        "- 0755 # <-",
        ["numbers.access_codes.1", "expected text", "quotes"],
    ),
    "text where a number is wanted": (
        "lookback_days: 2",
        "lookback_days: two # <-",
        ["expected a whole number"],
    ),
    "yes where a number is wanted": (
        "lookback_days: 2",
        "lookback_days: yes # <-",
        ["expected a whole number"],
    ),
    "number out of range": ("lookback_days: 2", "lookback_days: -1 # <-", ["greater than or equal to 0"]),
    "infinite number": ("lookback_days: 2", "backup_due_hours: .inf # <-", ["does not exist"]),
    "text where a list is wanted": ("key: [call_id]", "key: call_id # <-", ["expected a list"]),
    "list where a section is wanted": (
        "alerts:\n  team: {env: TEAM_URL}",
        "alerts: [team] # <-",
        ["alerts", "expected names"],
    ),
    "list where a column is wanted": (
        "call_id: id\n",
        "call_id: [id] # <-\n",
        ["or column and pattern below it"],
    ),
    "nothing where something is wanted": (
        "storage: storage",
        "storage: # <-",
        ["storage", "nothing stands behind it"],
    ),
    "no such day": (
        "recordings: recordings",
        "recordings: r\n    since: 2021-02-30 # <-",
        ["does not exist"],
    ),
    "no such field in the key": (
        "key: [call_id]",
        "key: # <-\n    - call_id\n    - extensions # <-",
        ["nearest is extension"],
    ),
    "field in the key that no name gives": (
        "key: [call_id]",
        "key: [start] # <-",
        ["no name template gives start"],
    ),
    "column that the header lacks": (
        "started_at: start}",
        "started_at: strt} # <-",
        ["no column strt", "nearest is start"],
    ),
    "condition on a column that the header lacks": (
        "where: {state: [ANSWERED]}",
        "where: {stat: [ANSWERED]} # <-",
        ["no column stat"],
    ),
    "pattern that is none": (
        r"'-(\d+)'",
        r"'-(\d+' # <-" + "\n       ",
        ["no regular expression", "unclosed group"],
    ),
    "pattern without a group": (r"'-(\d+)'", r"'-\d+' # <-" + "\n       ", ["it has no group"]),
    "business with an upper-case letter": (
        "business: shop",
        "business: Shop # <-",
        ["bucket", "'Shop'", "lower-case"],
    ),
    "business with an underscore": ("business: shop", "business: my_shop # <-", ["bucket", "'my_shop'"]),
    "business too short": ("business: shop", "business: ab # <-", ["bucket", "3 to 57"]),
    "business too long": ("business: shop", f"business: {'a' * 58} # <-", ["bucket", "3 to 57"]),
    "business named like the recordings of another": (
        "business: shop",
        "business: shop-audio # <-",
        ["-audio"],
    ),
    "site that no folder can be named after": ("  one:\n", "  One: # <-\n", ["sites.One", "lower-case"]),
    "name that is a number to YAML": ("  one:\n", "  2049: # <-\n", ["no text", "quotes"]),
    "name given twice": ("title: Shop", "title: Shop\nbusiness: other # <-", ["line 1 and in line 3"]),
    "name given twice in a section": ("  key: [call_id]", "  order: [key] # <-", ["line 32 and in line 33"]),
    "secret with two sources": (
        "{file: password}",
        "{file: password, env: X} # <-",
        ["one source", "env and file"],
    ),
    "secret with no source": ("{file: password}", "{} # <-", ["one source", "nothing"]),
    "unknown time zone": ("Asia/Shanghai", "Asia/Shangai # <-", ["no time zone", "nearest is Asia/Shanghai"]),
    "unknown time zone of a dataset": (
        "sql: calls.sql",
        "sql: calls.sql\n    time_zone: Mars # <-",
        ["Mars is no time zone"],
    ),
    "time zone outside its folder": ("Asia/Shanghai", "../etc/passwd # <-", ["no time zone"]),
    "unknown field in a name template": (
        '{extension}_{number}.wav"',
        '{extn}_{number}.wav" # <-',
        ["no field {extn}", "extension"],
    ),
    "open brace in a name template": (
        '"robot/{call_id}.wav"',
        '"robot/{call_id.wav" # <-',
        ["a brace is open"],
    ),
    "start without a format": (
        '"robot/{call_id}.wav"',
        '"{call_id}{start}" # <-',
        ["{start} says no format"],
    ),
    "dataset from nowhere": (
        "    dropped: {robot: drop}\n",
        "",
        ["line 22", "datasets.robot", "come from nowhere"],
    ),
    "dropped dataset that is none": (
        "{robot: drop}",
        "{robots: drop} # <-",
        ["not among datasets", "nearest is robot"],
    ),
    "dataset of a site that is none": (
        "sql: calls.sql",
        "sql: calls.sql\n    sites: [ona] # <-",
        ["nearest is one"],
    ),
    "dataset of a site without a database": (
        "sql: calls.sql",
        "sql: calls.sql\n    sites: [two] # <-",
        ["two has no database"],
    ),
    "SQL that no site can be asked": (
        "    database: {env: SHOP_DATABASE}\n",
        "",
        ["line 17", "no site has a database"],
    ),
    "SQL file that is not there": ("sql: calls.sql", "sql: cals.sql # <-", ["cals.sql", "No such file"]),
    "tab before a name": ("  one:\n", "\tone: # <-\n", ["tab", "spaces"]),
    "quote that is not closed": ("title: Shop", 'title: "Shop', ["escape", "line 21", "begins in line 2"]),
    "value with a colon": ("title: Shop", "title: Shop: the first # <-", ["mapping values"]),
    "list that is not closed": (
        "key: [call_id]",
        "key: [call_id",
        ["line 34", "expected ',' or ']'", "in line 33"],
    ),
    "quote that the file ends in": ("{env: TEAM_URL}", '{env: "TEAM_URL} # <-', ["a quote opens here"]),
    "unknown name in expectations": (
        "alerts:\n",
        "expectations:\n  growthh: {at_least: 1} # <-\nalerts:\n",
        ["nearest is growth"],
    ),
    "range that nothing fits": (
        "alerts:\n",
        "expectations:\n  growth: {at_least: 2, at_most: 1} # <-\nalerts:\n",
        ["greater than at_most"],
    ),
    "rows of no dataset": (
        "alerts:\n",
        "expectations:\n  rows:\n    call: {at_least: 1} # <-\nalerts:\n",
        ["nearest is calls"],
    ),
    "expectation that there is not": (
        "alerts:\n",
        "expectations:\n  own:\n  - {expect: expect_column_sum_between, arguments: {}, description: x} # <-\nalerts:\n",
        ["nearest is expect_column_sum_to_be_between"],
    ),
    "expectation of a column that there is not": (
        "alerts:\n",
        "expectations:\n  own:\n  - {expect: expect_column_to_exist, arguments: {column: note}} # <-\nalerts:\n",
        ["nearest is notes"],
    ),
    "time of day that there is not": (
        "alerts:\n",
        "timetable:\n  backup_hours:\n  - start: 20:00\n    end: 24:00 # <-\nalerts:\n",
        ["timetable.backup_hours.0.end", "expected a time of day like 08:30"],
    ),
    "weekday in other words": (
        "alerts:\n",
        "timetable:\n  backup_hours:\n  - {days: [mon, sunday], start: '8:00', end: '9:00'} # <-\nalerts:\n",
        ["days.1", "nearest is sun"],
    ),
    "limit without a speed": (
        "    dropped: {robot: drop}",
        "    dropped: {robot: drop}\n    timetable:\n      upload_limits:\n      - {start: 8:00, end: 9:00} # <-",
        ["sites.two.timetable.upload_limits.0.kib_per_second", "it is not given"],
    ),
    "speed that is no number": (
        "alerts:\n",
        "timetable:\n  upload_limits:\n  - {start: 8:00, end: 9:00, kib_per_second: 2MB} # <-\nalerts:\n",
        ["kib_per_second", "expected a whole number"],
    ),
    "hours under another name": (
        "alerts:\n",
        "timetable:\n  upload_limits:\n  - {start: 8:00, until: 9:00, kib_per_second: 9} # <-\nalerts:\n",
        ["until", "it is not known"],
    ),
    "alias that is not defined": ("title: Shop", "title: *hunter2 # <-", ["quotes"]),
    "tag that is not known": ("title: Shop", "title: !hunter2 x # <-", ["quotes"]),
    "second document": ("alerts:\n", "--- # <-\nalerts:\n", ["second document"]),
    "control character": ("title: Shop", "title: Sh\x07op # <-", ["U+0007"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_was_expected(tmp_path: Path, name: str) -> None:
    old, new, words = MISTAKES[name]
    text = changed(old, new)
    message = told(tmp_path, text)
    marked = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# <-")]
    lines = [int(word.removeprefix("line ")) for word in words if re.fullmatch(r"line \d+", word)] or marked[-1:]
    assert lines, "the case says no line"
    for line in lines:
        assert f"shop.yaml:{line}: " in message
    for word in words:
        assert word in message or word.startswith("line ")


def test_a_file_name_stands_before_every_line(tmp_path: Path) -> None:
    message = told(tmp_path, changed("title: Shop", "titlle: Shop"))
    assert f"{tmp_path / 'shop.yaml'}:2: titlle: it is not known; the nearest is title" in message
    assert f"{tmp_path / 'shop.yaml'}:1: title: it is not given: What people call the business" in message


def test_all_mistakes_are_told_at_once_by_line_each_in_a_paragraph(tmp_path: Path) -> None:
    text = GOOD.replace("business: shop", "business: SHOP").replace("lookback_days: 2", "lookback_days: -2")
    text = text.replace("calls.sql", "none.sql").replace('"0"', "0").replace("Asia/Shanghai", "Asia/Shangai")
    first, *paragraphs = told(tmp_path, text).split("\n\n")
    assert "5 mistakes" in first
    lines = [int(paragraph.removeprefix(f"{tmp_path / 'shop.yaml'}:").split(":")[0]) for paragraph in paragraphs]
    assert lines == [1, 4, 5, 18, 37]


CLEAR_TEXT = {
    "as the password": ("{file: password}", "hunter2"),
    "as a list": ("{file: password}", "[hunter2]"),
    "in braces": ("{file: password}", "{hunter2}"),
    "under a name of its own": ("{file: password}", "{value: hunter2}"),
    "behind a colon that is too much": ("{file: password}", "hunter2: x"),
    "as an alias": ("{file: password}", "*hunter2"),
    "as a tag": ("{file: password}", "!hunter2 x"),
    "as an anchor that stands twice": ("title: Shop\n", "title: &hunter2 Shop\nlanguage: &hunter2 zh\n"),
    "as a handle": ("{file: password}", "!hunter2!x x"),
    "in a quote that is not closed": ("{file: password}", '"hunter2'),
    "in the URL of the database": ("{env: SHOP_DATABASE}", "mysql://reader:hunter2@host/calls"),
    "in the URL of an alert": ("{env: TEAM_URL}", "dingtalk://hunter2@token"),
    "as the name of an alert": ("team: {env: TEAM_URL}", "'dingtalk://hunter2@token':"),
    "instead of all alerts": ("  team: {env: TEAM_URL}", "  - dingtalk://hunter2@token"),
    "as a command that is no list": ("[pass, show, two]", "echo hunter2"),
}


@pytest.mark.parametrize("name", CLEAR_TEXT)
def test_a_secret_in_clear_text_is_refused_and_never_repeated(tmp_path: Path, name: str) -> None:
    message = told(tmp_path, changed(*CLEAR_TEXT[name]))
    assert "hunter2" not in message


def test_the_remedy_for_a_secret_in_clear_text_shows_how_to_write_it(tmp_path: Path) -> None:
    message = told(tmp_path, changed("{file: password}", "hunter2"))
    assert "shop.yaml:9: sites.one.password: a secret never stands in the settings" in message
    assert "{env: NAME}, {file: PATH} or {command: [PROGRAM, ARGUMENT, …]}" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "1: it is empty"),
        (b"# nothing yet\n", "1: it is empty"),
        (b"- business\n", "1: it holds no names with values"),
        (b"business: shop\ntitle: \xc3\xc0\xcd\xc5\n", "2: it is not UTF-8"),
        ("business: shop\n".encode("utf-16"), "1: it is not UTF-8"),
        (b"a: &a [*a]\n", "1: a: it is not known"),
        (b"[" * 5000, "nested too deeply"),
    ],
)
def test_a_file_that_holds_no_settings_is_told_in_one_paragraph(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "shop.yaml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        load_settings(file)
    assert words in str(raised.value)


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: No such file"):
        load_settings(tmp_path / "nowhere.yaml")


@given(st.binary(max_size=200))
def test_no_bytes_give_anything_but_settings_or_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("any") / "shop.yaml"
    file.write_bytes(content)
    with pytest.raises(SettingsError):
        load_settings(file)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(list("\t:{}[]'\"*!&|>%@`,-?# \n0a\0")))
def test_one_changed_character_gives_settings_or_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, character: str
) -> None:
    file = write(tmp_path_factory.mktemp("one"), GOOD[:place] + character + GOOD[place + 1 :])
    try:
        load_settings(file)
    except SettingsError as error:
        assert re.search(r"shop\.yaml:\d+: ", str(error))  # noqa: PT017


def test_settings_made_without_a_file_are_checked_too() -> None:
    content = {
        "business": "shop-audio", "title": "Shop", "storage": "/s",
        "sites": {"one": {"recordings": "/r", "password": {"env": "P"}, "database": {"env": "D"}}},
        "datasets": {"calls": {"sql": "calls.sql"}},
    }  # fmt: skip
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate(content)
    assert [problem["loc"] for problem in raised.value.errors()] == [("business",)]


@pytest.mark.parametrize(
    ("sql", "cause"),
    [
        ("SELECT 1", "does not bind :start and :end"),
        ("SELECT * FROM cdr WHERE start >= :start", "does not bind :end"),
        ("SELECT * FROM cdr -- :start and :end", "does not bind :start and :end"),
        ("SELECT ':start', ':end' /* :start :end */", "does not bind :start and :end"),
        ("SELECT a::start, b::end FROM cdr", "does not bind :start and :end"),
        ("SELECT * FROM cdr WHERE start >= :started AND start < :end", "does not bind :start"),
        ("SELECT * FROM cdr_{day:%A} WHERE start >= :start AND start < :end", "{day:%A}: it is no form of a date"),
    ],
)
def test_sql_that_does_not_bind_the_window_is_refused(tmp_path: Path, sql: str, cause: str) -> None:
    text = changed("calls.sql", "other.sql")
    (tmp_path / "other.sql").write_text(sql)
    message = told(tmp_path, text)
    assert "shop.yaml:18: datasets.calls.sql: " in message
    assert cause in message


def test_sql_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gbk.sql").write_bytes("-- 话单\n".encode("gbk") + SQL.encode())
    with pytest.raises(SettingsError, match="it is not UTF-8"):
        read_sql(tmp_path / "gbk.sql", "calls")


def test_good_sql_comes_back_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "good.sql").write_text(SQL)
    assert read_sql(tmp_path / "good.sql", "calls") == SQL


def test_a_secret_is_fetched_from_each_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hunter2")
    (tmp_path / "secret").write_text("hunter2\r\n")
    assert Secret(env="A_SECRET").fetch("it") == "hunter2"
    assert Secret(file=str(tmp_path / "secret")).fetch("it") == "hunter2"
    assert Secret(command=["echo", "hunter2"]).fetch("it") == "hunter2"


@pytest.mark.parametrize(
    ("secret", "cause"),
    [
        (Secret(env="VOXKEEP_NOT_SET"), "the environment variable VOXKEEP_NOT_SET is not set"),
        (Secret(file="/nowhere/secret"), "the file /nowhere/secret cannot be used: No such file"),
        (Secret(file="/"), "the file / cannot be used: Is a directory"),
        (Secret(command=["false", "hunter2"]), "the command false ended with exit code 1"),
        (Secret(command=["true", "hunter2"]), "the command true is empty"),
        (Secret(command=["no-such-program", "hunter2"]), "the command no-such-program cannot be used"),
        (Secret(command=["printf", r"\377"]), "the command printf is not UTF-8"),
    ],
)
def test_a_secret_that_cannot_be_had_is_told_by_its_source_without_arguments(secret: Secret, cause: str) -> None:
    with pytest.raises(SettingsError) as raised:
        secret.fetch("password of shop/one")
    assert cause in str(raised.value)
    assert "password of shop/one" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_rules_are_read_with_the_line_of_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("time_zone: UTC\nmatching:\n  order:\n    - path\n    - keys\n")
    with pytest.raises(SettingsError, match=r"rules\.yaml:5: matching\.order\.1: .*nearest is key"):
        load_rules(file)


def test_a_header_of_several_lengths_is_checked_in_its_nested_lists(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("datasets:\n  calls:\n    header:\n      - [a, b]\n      - [a,\n         5]\n")
    with pytest.raises(SettingsError, match=r"rules\.yaml:6: datasets\.calls\.header\.1\.1: expected text"):
        load_rules(file)
