"""Rows become calls and notes, and those that cannot are set aside with the reason."""

import json
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from reconcile.calls import read_calls, read_notes
from reconcile.encodings import decode
from reconcile.errors import RuleError
from reconcile.frames import CALLS, NOTES, QUARANTINE, conform
from reconcile.ids import stable_id
from reconcile.rules import ColumnMap, DatasetRules, ExpectsRecording, Extracted
from reconcile.tables import Table, parse_table

PLAIN = DatasetRules()


def table(text: str | bytes) -> Table:
    return parse_table(decode(text.encode() if isinstance(text, str) else text), headers=[])


def read(
    text: str | bytes,
    rules: DatasetRules = PLAIN,
    *,
    time_zone: str = "Asia/Shanghai",
    day: date | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    calls, quarantine = read_calls(
        table(text),
        business="b",
        site="s",
        dataset="calls",
        rules=rules,
        time_zone=time_zone,
        source_file="f.csv",
        day=day,
    )
    return conform(calls, CALLS).to_dicts(), conform(quarantine, QUARANTINE).to_dicts()


def column(text: str | bytes, name: str, rules: DatasetRules = PLAIN, *, time_zone: str = "Asia/Shanghai") -> list[Any]:
    return [row[name] for row in read(text, rules, time_zone=time_zone)[0]]


def started(value: str, rules: DatasetRules = PLAIN, time_zone: str = "Asia/Shanghai") -> datetime | str:
    """The instant that one text becomes, or the reason why it becomes none."""
    calls, quarantine = read(f'call_id,start\n1,"{value}"\n', rules, time_zone=time_zone)
    found: datetime | str = calls[0]["started_at"] if calls else quarantine[0]["reason"]
    return found


def talked(value: str) -> float | str | None:
    calls, quarantine = read(f'call_id,billsec\n1,"{value}"\n')
    found: float | str | None = calls[0]["talk_seconds"] if calls else quarantine[0]["reason"]
    return found


def test_a_row_becomes_a_call() -> None:
    calls, quarantine = read(
        "call_id,start_time,billsec,extension,caller,callee,外显号,recordingfile,case\n"
        "c1,2021-01-31 11:41:29,12,2049,2049,15372388463,02112345678,01/31/a.wav3,K7\n"
    )
    assert quarantine == []
    assert calls == [
        {
            "business": "b", "site": "s", "dataset": "calls", "day": date(2021, 1, 31),
            "call_uid": stable_id("b", "s", "calls", "c1", ""), "call_id": "c1", "leg": "",
            "started_at": datetime(2021, 1, 31, 3, 41, 29, tzinfo=UTC), "talk_seconds": 12.0,
            "extension": "2049",
            "caller": "2049", "callee": "15372388463", "display_number": "02112345678",
            "recording_path": "01/31/a.wav3", "expects_recording": True, "attributes": '{"case":"K7"}',
            "source_file": "f.csv", "source_row": 2,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    "header",
    [
        "uniqueid,calldate,duration_sec,agent_extension,src,dst,display_number,record_file",
        "UUID,Begin_Time,Billsec,Ext,Caller Number,Destination,Display-Number,FilePath",
        "通话ID,开始时间,通话时长,分机,主叫,被叫,外显号,录音文件",
    ],
)
def test_columns_are_found_by_the_names_that_sources_use(header: str) -> None:
    calls, _ = read(f"{header}\nc1,2021-01-31 11:41:29,5,2049,a,b,d,r.wav\n")
    row = calls[0]
    assert [row[name] for name in ("call_id", "talk_seconds", "extension", "caller", "callee",
    "display_number")] == [
        "c1", 5.0, "2049", "a", "b", "d",
    ]  # fmt: skip
    assert (row["recording_path"], row["attributes"]) == ("r.wav", "{}")


def test_a_column_that_the_rules_name_is_not_also_found_by_its_name() -> None:
    rules = DatasetRules(columns=ColumnMap(caller="dst"))
    calls, _ = read("uuid,src,dst\n1,a,b\n", rules)
    assert (calls[0]["caller"], calls[0]["callee"], calls[0]["attributes"]) == ("b", None, '{"src":"a"}')


def test_everything_else_goes_into_the_attributes_as_it_stands() -> None:
    text = 'call_id,z,a,z,还款\n1,,"","say ""x"" \\ é",承诺\n'
    assert column(text, "attributes") == ['{"z":null,"a":"","z_2":"say \\"x\\" \\\\ é","还款":"承诺"}']


def test_a_text_that_a_rule_cuts_is_kept_whole_in_the_attributes() -> None:
    rules = DatasetRules(columns=ColumnMap(extension=Extracted(column="channel", pattern=r"^SIP/(\d+)-")))
    calls, _ = read("call_id,channel\n1,SIP/2049-01\n2,Local/x\n", rules)
    assert [row["extension"] for row in calls] == ["2049", None]
    assert [json.loads(row["attributes"]) for row in calls] == [
        {"channel": "SIP/2049-01"},
        {"channel": "Local/x"},
    ]


def test_a_column_that_is_not_there_is_named_with_its_nearest() -> None:
    rules = DatasetRules(columns=ColumnMap(call_id="uniqeid"))
    with pytest.raises(RuleError, match=r"uniqeid.*did you mean UniqueID\?.*UniqueID, src"):
        read("UniqueID,src\n1,2\n", rules)


def test_a_condition_on_a_column_that_is_not_there_is_an_error() -> None:
    rules = DatasetRules(expects_recording=ExpectsRecording(where={"disposition": ["ANSWERED"]}))
    with pytest.raises(RuleError, match=r"disposition.*it has: call_id, dispo"):
        read("call_id,dispo\n1,x\n", rules)


@pytest.mark.parametrize(
    ("rules", "subject"),
    [
        (DatasetRules(time_zone="Asia/Shangai"), "Asia/Shangai"),
        (DatasetRules(columns=ColumnMap(call_id=Extracted(column="call_id", pattern="("))), r"\("),
    ],
)
def test_a_rule_that_means_nothing_is_an_error(rules: DatasetRules, subject: str) -> None:
    with pytest.raises(RuleError, match=subject):
        read("call_id,start\n1,2021-01-31 11:41:29\n", rules)


def test_without_a_call_id_the_path_is_it_or_else_the_line() -> None:
    assert column("call_id,file\n,a.wav\n,\nc3,c.wav\n", "call_id") == ["a.wav", "f.csv:3", "c3"]
    assert column("src,dst\n1,2\n", "call_id") == ["f.csv:2"]


NOON = datetime(2021, 1, 31, 11, 41, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2021-01-31 19:41:29", NOON),
        (" 2021-01-31 19:41:29 ", NOON),
        ("2021-01-31T19:41:29", NOON),
        ("2021/01/31 19:41:29", NOON),
        ("2021/1/31 19:41:29", NOON),
        ("2021年1月31日 19时41分29秒", NOON),
        ("20210131194129", NOON),
        ("2021-01-31 19:41:29.25", NOON.replace(microsecond=250_000)),
        ("2021-01-31T19:41:29,123456789", NOON.replace(microsecond=123_456)),
        ("2021-01-31T11:41:29Z", NOON),
        ("2021-01-31T06:41:29-0500", NOON),
        ("2021-01-31 11:41:29+00", NOON),
        ("2021-01-31 17:11:29 +05:30", NOON),
        ("2021-01-31 19:41", NOON.replace(second=0)),
        ("2021-01-31", datetime(2021, 1, 30, 16, tzinfo=UTC)),
        ("1612093289", NOON),
        ("1612093289.5", NOON.replace(microsecond=500_000)),
        ("1612093289123", NOON.replace(microsecond=123_000)),
        ("1612093289123456", NOON.replace(microsecond=123_456)),
    ],
)
def test_a_time_is_read_in_many_spellings(text: str, instant: datetime) -> None:
    assert started(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "0000-00-00 00:00:00",
        "2021-02-30 00:00:00",
        "yesterday",
        "15372388463",
        "2021-01-31 25:00:00",
        "11:41:29",
        "12",
    ],
)
def test_a_text_that_is_no_time_sets_its_row_aside(text: str) -> None:
    assert started(text) == f"started_at is no time (time zone Asia/Shanghai): {text}"


def test_an_empty_time_sets_its_row_aside() -> None:
    calls, quarantine = read("call_id,start,note\n1,,x\n2,2021-01-31 11:41:29,y\n", day=date(2021, 2, 1))
    assert [row["call_id"] for row in calls] == ["2"]
    assert quarantine == [
        {
            "business": "b", "site": "s", "dataset": "calls", "day": date(2021, 2, 1), "source_file": "f.csv",
            "source_row": 2, "reason": "started_at is no time (time zone Asia/Shanghai): it is empty",
            "raw": "1,,x",
        }
    ]  # fmt: skip


def test_a_table_without_times_gives_calls_without_a_start() -> None:
    calls, quarantine = read("call_id,x\n1,a\n", day=date(2021, 2, 1))
    assert (calls[0]["started_at"], calls[0]["day"], quarantine) == (None, date(2021, 2, 1), [])
    assert column("call_id,x\n1,a\n", "day") == [None]


def test_a_given_format_is_the_only_one() -> None:
    rules = DatasetRules(time_format="%d/%m/%Y %H:%M")
    assert started("31/01/2021 19:41", rules) == NOON.replace(second=0)
    assert "is no time" in str(started("2021-01-31 19:41:29", rules))
    assert started("2021-01-31 19:41:29 +0800", DatasetRules(time_format="%Y-%m-%d %H:%M:%S %z")) == NOON


def test_the_clock_of_the_source_may_be_elsewhere_than_the_business() -> None:
    rules = DatasetRules(time_zone="UTC")
    calls, _ = read("call_id,start\n1,2021-01-31 16:30:00\n", rules)
    assert calls[0]["started_at"] == datetime(2021, 1, 31, 16, 30, tzinfo=UTC)
    assert calls[0]["day"] == date(2021, 2, 1)


def test_of_a_time_that_comes_twice_the_first_is_taken_and_one_that_never_comes_is_set_aside() -> None:
    zone = "Europe/Berlin"
    assert started("2021-10-31 02:30:00", time_zone=zone) == datetime(2021, 10, 31, 0, 30, tzinfo=UTC)
    assert started("2021-03-28 02:30:00", time_zone=zone) == (
        "started_at is no time (time zone Europe/Berlin): 2021-03-28 02:30:00"
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12", 12.0),
        ("12.5", 12.5),
        ("00:01:05", 65.0),
        ("1:05", 65.0),
        ("100:00:00", 360_000.0),
        ("", None),
        ("0", 0.0),
    ],
)
def test_a_length_is_read_in_seconds_or_as_a_clock_shows_it(text: str, seconds: float | None) -> None:
    assert talked(text) == seconds


@pytest.mark.parametrize("text", ["long", "nan", "inf", "1:2:3:4"])
def test_a_text_that_is_no_length_sets_its_row_aside(text: str) -> None:
    assert talked(text) == f"talk_seconds is no length: {text}"


@pytest.mark.parametrize(
    ("text", "prefix", "path"),
    [
        ("01/31/a.wav", None, "01/31/a.wav"),
        ("./01/a.wav", None, "01/a.wav"),
        ("/data/rec/01/a.wav", None, "/data/rec/01/a.wav"),
        ("/data/rec/01/a.wav", "/data/rec", "01/a.wav"),
        ("/data/rec/01/a.wav", "/data/rec/", "01/a.wav"),
        ("/data/records/a.wav", "/data/rec", "/data/records/a.wav"),
        ("D:\\rec\\01\\a.wav", "D:\\rec", "01/a.wav"),
        ("http://h/get?f=01/a.wav", "http://h/get?f=", "01/a.wav"),
        ("100%/a.wav", None, "100%25/a.wav"),
        ("/100%/a.wav", "/100%/", "a.wav"),
        ("", None, None),
        ("d:\\x86\\a.wav", None, "d:/x86/a.wav"),
    ],
)
def test_a_path_is_written_as_the_inventory_writes_it(text: str, prefix: str | None, path: str | None) -> None:
    assert column(f"call_id,file\n1,{text}\n", "recording_path", DatasetRules(path_prefix=prefix)) == [path]


def test_an_undecodable_byte_of_a_path_is_percent_escaped_and_a_look_alike_is_not() -> None:
    data = b"call_id,file\n1,50%\\x86\\\xe9.wav\n2,\\xe9.wav\n"
    assert column(data, "recording_path") == ["50%25/x86/%E9.wav", "/xe9.wav"]


def test_a_path_that_was_changed_is_kept_as_it_stood() -> None:
    rules = DatasetRules(path_prefix="/rec")
    assert column("call_id,file\n1,/rec/a.wav\n", "attributes", rules) == ['{"file":"/rec/a.wav"}']
    assert column("call_id,file\n1,a.wav\n", "attributes", rules) == ["{}"]


def test_a_call_expects_a_recording_when_all_conditions_hold() -> None:
    text = "call_id,billsec,disposition\n1,9,ANSWERED\n2,1,ANSWERED\n3,9,BUSY\n4,,ANSWERED\n5,9,\n"
    both = ExpectsRecording(min_talk_seconds=2, where={"disposition": ["ANSWERED", "OK"]})
    assert column(text, "expects_recording", DatasetRules(expects_recording=both)) == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert column(text, "expects_recording") == [True] * 5


def test_rows_of_one_call_id_are_legs_in_the_order_of_their_starts() -> None:
    calls, _ = read(
        "call_id,start,dst\n"
        "c,2021-01-31 11:00:20,103\n"
        "c,2021-01-31 11:00:00,101\n"
        "d,2021-01-31 11:00:00,101\n"
        "c,2021-01-31 11:00:00,102\n"
    )
    assert [(row["source_row"], row["leg"]) for row in calls] == [(2, "3"), (3, ""), (4, ""), (5, "2")]
    assert len({row["call_uid"] for row in calls}) == 4


def test_rows_that_repeat_a_leg_keep_its_uid_and_all_stay() -> None:
    line = "c,2021-01-31 11:00:00,101\n"
    calls, _ = read("call_id,start,dst\n" + line + line + "c,2021-01-31 11:00:20,102\n" + line)
    assert [row["leg"] for row in calls] == ["", "", "2", ""]
    assert len({row["call_uid"] for row in calls}) == 2


def test_legs_without_times_and_numbers_are_told_apart_by_what_they_have() -> None:
    assert column("call_id,file\nc,b.wav\nc,a.wav\nc,\n", "leg") == ["", "2", "3"]


def test_a_leg_that_the_source_names_is_the_leg() -> None:
    rules = DatasetRules(columns=ColumnMap(leg="sequence"))
    calls, _ = read("call_id,sequence,dst\nc,7,1\nc,7,2\nc,,3\n", rules)
    assert [row["leg"] for row in calls] == ["7", "7", ""]
    assert [row["call_uid"] for row in calls] == [stable_id("b", "s", "calls", "c", leg) for leg in ("7", "7", "")]


def test_rows_that_the_table_set_aside_are_in_the_quarantine_too_by_line() -> None:
    calls, quarantine = read("call_id,start\n1,2021-01-31 11:41:29\n2,never\n3\n4,2021-01-31 11:41:29\n")
    assert [row["source_row"] for row in calls] == [2, 5]
    assert [(row["source_row"], row["raw"]) for row in quarantine] == [(3, "2,never"), (4, "3")]


def test_a_table_without_rows_gives_frames_without_rows() -> None:
    assert read("") == ([], [])
    assert read("call_id,start\n") == ([], [])


def notes(text: str, rules: DatasetRules = PLAIN) -> pl.DataFrame:
    found, quarantine = read_notes(
        table(text),
        business="b",
        site="s",
        dataset="notes",
        rules=rules,
        time_zone="Asia/Shanghai",
        source_file="n.csv",
    )
    conform(quarantine, QUARANTINE)
    return conform(found, NOTES)


def test_a_row_becomes_a_note_with_every_column_in_its_attributes() -> None:
    found = notes("通话ID,催记时间,内容\nc1,2021-01-31 19:41:29,承诺还款\n,2021-01-31 19:41:29,无人接听\n")
    assert found["call_id"].to_list() == ["c1", None]
    assert found["written_at"].to_list() == [NOON, NOON]
    assert found["day"].to_list() == [date(2021, 1, 31)] * 2
    assert found["attributes"][0] == '{"通话ID":"c1","催记时间":"2021-01-31 19:41:29","内容":"承诺还款"}'


def test_a_note_keeps_its_uid_wherever_it_stands_and_no_two_share_one() -> None:
    found = notes("call_id,text\nc1,a\nc1,b\nc1,a\n")
    again = notes("call_id,text\nc1,b\nc1,a\nc1,a\n")
    assert found["note_uid"].n_unique() == 3
    assert sorted(found["note_uid"]) == sorted(again["note_uid"])


def test_a_note_with_a_time_that_is_none_is_set_aside() -> None:
    assert notes("call_id,created_at\nc1,soon\nc2,2021-01-31 19:41:29\n")["call_id"].to_list() == ["c2"]
