"""A preset reads what its system writes: rows written out after each system's documentation."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from reconcile.calls import read_calls
from reconcile.errors import RuleError
from reconcile.frames import CALLS, conform
from reconcile.names import compile_template, read_names
from reconcile.presets import PRESETS, preset
from reconcile.tables import read_table


def calls_of(name: str, file: Path, data: bytes, time_zone: str = "Asia/Shanghai") -> tuple[pl.DataFrame, pl.DataFrame]:
    file.write_bytes(data)
    rules = preset(name).datasets["calls"]
    table = read_table(file, header=rules.header)
    assert table.rows_in == table.rows.height + table.quarantined.height
    calls, quarantine = read_calls(
        table,
        business="b",
        site="s",
        dataset="calls",
        rules=rules,
        time_zone=time_zone,
        source_file=file.name,
    )
    return conform(calls, CALLS), quarantine


# Two legs of an answered call, a call that nobody answered, one to a busy line, and a name in Latin-1.
ASTERISK = (
    b'"","2049","915372388463","from-internal","""Jos\xe9 Ni\xf1o"" <2049>","SIP/2049-0000001a",'
    b'"SIP/trunk-0000001b","Dial","SIP/trunk/915372388463,60,tT","2021-01-31 11:41:29","2021-01-31 11:41:35",'
    b'"2021-01-31 11:43:00",91,85,'
    b'"ANSWERED","DOCUMENTATION","1612064489.26","","","1612064489.26",41\n'
    b'"","915372388463","2050","from-internal","""Li, Lei"" <2049>","SIP/trunk-0000001b","SIP/2050-0000001c",'
    b'"Dial","SIP/2050,15","2021-01-31 11:43:00","2021-01-31 11:43:02","2021-01-31 11:44:00",60,58,'
    b'"ANSWERED","DOCUMENTATION","1612064489.27","","","1612064489.26",42\n'
    b'"","2051","13800000000","from-internal","""2051"" <2051>","SIP/2051-0000001d",'
    b'"SIP/trunk-0000001e","Dial","SIP/trunk/13800000000,60",'
    b'"2021-01-31 11:50:00",,"2021-01-31 11:50:30",30,0,"NO ANSWER","DOCUMENTATION",'
    b'"1612065000.29","","","1612065000.29",43\n'
    b'"sales","2052","13900000000","from-internal","2052","SIP/2052-0000001f","","Congestion","10",'
    b'"2021-01-31 11:51:00",,"2021-01-31 11:51:01",1,0,"BUSY","DOCUMENTATION",'
    b'"1612065060.31","","","1612065060.31",44\n'
)


def test_asterisk_rows_are_all_read_as_legs_of_their_calls(tmp_path: Path) -> None:
    calls, quarantine = calls_of("asterisk", tmp_path / "Master.csv", ASTERISK)
    assert quarantine.is_empty()
    assert calls.select(
        "call_id", "leg", "extension", "caller", "callee", "talk_seconds", "expects_recording"
    ).rows() == [
        ("1612064489.26", "", "2049", "2049", "915372388463", 85.0, True),
        ("1612064489.26", "2", None, "915372388463", "2050", 58.0, True),
        ("1612065000.29", "", "2051", "2051", "13800000000", 0.0, False),
        ("1612065060.31", "", "2052", "2052", "13900000000", 0.0, False),
    ]
    assert calls["started_at"][0] == datetime(2021, 1, 31, 3, 41, 29, tzinfo=UTC)
    attributes = pl.DataFrame(
        {"a": calls["attributes"].str.json_decode(dtype=pl.Struct({"clid": pl.String, "answer": pl.String}))}
    )
    assert attributes.unnest("a").rows() == [
        ('"Jos\\xe9 Ni\\xf1o" <2049>', "2021-01-31 11:41:35"),
        ('"Li, Lei" <2049>', "2021-01-31 11:43:02"),
        ('"2051" <2051>', None),
        ("2052", None),
    ]


@pytest.mark.parametrize(
    ("left_out", "call_ids"),
    [
        ([], ["1612064489.26", "1612064489.26"]),
        ([17], ["1612064489.26", "1612064489.26"]),
        ([18, 19, 20], ["1612064489.26", "1612064489.27"]),
        ([17, 18, 19, 20], ["1612064489.26", "1612064489.27"]),
        ([16, 17], ["1612064489.26", "1612064489.26"]),
        ([16, 17, 18, 19, 20], ["Master.csv:1", "Master.csv:2"]),
    ],
)
def test_asterisk_is_read_with_whichever_optional_columns_it_writes(
    tmp_path: Path, left_out: list[int], call_ids: list[str]
) -> None:
    lines = [
        f'"","204{n}","91537238846{n}","ctx","c","SIP/204{n}-1","","Dial","x","2021-01-31 11:41:29",,'
        f'"2021-01-31 11:43:00",91,85,"ANSWERED","DOCUMENTATION",'
        f'"1612064489.2{n}","","","1612064489.26",4{n}'.split(",")
        for n in (6, 7)
    ]
    data = "".join(
        ",".join(field for place, field in enumerate(line) if place not in left_out) + "\n" for line in lines
    )
    calls, quarantine = calls_of("asterisk", tmp_path / "Master.csv", data.encode())
    assert quarantine.is_empty()
    assert calls["call_id"].to_list() == call_ids


def test_freeswitch_rows_are_read_by_the_example_template(tmp_path: Path) -> None:
    row = (
        '"Li Lei","1001","13800000000","default","2021-01-31 11:41:29","2021-01-31 11:41:35",'
        '"2021-01-31 11:43:00","91","85","NORMAL_CLEARING","0c0f1f1e-63a1-11eb-9f56-7b1d3a2f4a11",'
        '"","","PCMA","PCMA"\n'
        '"","1002","9999","default","2021-01-31 11:42:00","","2021-01-31 11:42:10",'
        '"10","0","NO_ANSWER","1c0f1f1e-63a1-11eb-9f56-7b1d3a2f4a11","","","",""\n'
    )
    calls, quarantine = calls_of("freeswitch", tmp_path / "Master.csv", row.encode())
    assert quarantine.is_empty()
    assert calls.select("call_id", "caller", "callee", "talk_seconds", "expects_recording").rows() == [
        ("0c0f1f1e-63a1-11eb-9f56-7b1d3a2f4a11", "1001", "13800000000", 85.0, True),
        ("1c0f1f1e-63a1-11eb-9f56-7b1d3a2f4a11", "1002", "9999", 0.0, False),
    ]


def test_fusionpbx_rows_are_read_from_its_export(tmp_path: Path) -> None:
    uuid = "0c0f1f1e-63a1-11eb-9f56-7b1d3a2f4a11"
    data = (
        '"domain_uuid","extension","start_stamp","start_epoch","hangup_cause","duration","billmsec","record_path",'
        '"record_name","xml_cdr_uuid","direction","billsec","caller_id_name","caller_id_number","destination_number"\n'
        '"d","1001","2021-01-31 03:41:29+00","1612064489","NORMAL_CLEARING","85","85120",'
        f'"/var/lib/freeswitch/recordings/pbx.example.com/archive/2021/Jan/31","{uuid}.wav","{uuid}","outbound","85",'
        '"Li Lei","1001","13800000000"\n'
    )
    calls, quarantine = calls_of("fusionpbx", tmp_path / "cdr.csv", data.encode())
    assert quarantine.is_empty()
    assert calls.select("call_id", "extension", "caller", "callee", "talk_seconds", "recording_path").rows() == [
        (uuid, "1001", "1001", "13800000000", 85.0, f"{uuid}.wav")
    ]
    assert calls["started_at"][0] == datetime(2021, 1, 31, 3, 41, 29, tzinfo=UTC)


def test_vos3000_rows_are_read_from_its_table(tmp_path: Path) -> None:
    data = (
        "callere164,calleraccesse164,calleee164,calleeaccesse164,callerip,callertogatewaye164,starttime,stoptime,holdtime,"
        "flowno,endreason\n"
        "2049,2049,15372388463,15372388463,10.0.0.1,02112345678,1612064489123,1612064580000,85,330455246,0\n"
    )
    calls, quarantine = calls_of("vos3000", tmp_path / "e_cdr_20210131.csv", data.encode())
    assert quarantine.is_empty()
    assert calls.select(
        "call_id", "caller", "callee", "display_number", "talk_seconds", "expects_recording"
    ).rows() == [("330455246", "2049", "15372388463", "02112345678", 85.0, True)]
    assert calls["started_at"][0] == datetime(2021, 1, 31, 3, 41, 29, 123_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "path", "read"),
    [
        (
            "asterisk",
            "2024/11/05/out-71222-002-20241105-091730-1730780250.107.wav",
            {"extension": "002", "number": "71222", "call_id": "1730780250.107"},
        ),
        (
            "asterisk",
            "2024/11/05/external-2049-13800000000-20241105-091730-1730780250.107.WAV",
            {"extension": "2049", "number": "13800000000", "call_id": "1730780250.107"},
        ),
        (
            "asterisk",
            "2024/11/05/force-08210000663-3201-20241105-091730-1730780250.107.wav",
            {"extension": "3201", "number": "08210000663", "call_id": "1730780250.107"},
        ),
        (
            "asterisk",
            "2024/11/05/rg-600-13800000000-20241105-091730-1730780250.107.wav",
            {"extension": None, "number": "13800000000", "call_id": "1730780250.107"},
        ),
        ("asterisk", "1612064489.26.wav", {"extension": None, "number": None, "call_id": "1612064489.26"}),
        ("freeswitch", "1001.2024-11-05-09-17-30.wav", {"extension": None, "number": "1001"}),
        (
            "fusionpbx",
            "pbx.example.com/archive/2024/Nov/05/0c0f1f1e-63a1-11eb-9f56-7b1d3a2f4a11.wav",
            {"extension": None, "number": None, "call_id": "0c0f1f1e-63a1-11eb-9f56-7b1d3a2f4a11"},
        ),
    ],
)
def test_the_names_of_recordings_are_understood(name: str, path: str, read: dict[str, str | None]) -> None:
    found = read_names(pl.Series([path]), preset(name).name_templates, "Asia/Shanghai").row(0, named=True)
    assert {field: found[field] for field in read} == read
    if "20241105" in path or "2024-11-05-09" in path:
        assert found["started_at"] == datetime(2024, 11, 5, 1, 17, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", PRESETS)
def test_every_template_of_a_preset_means_something(name: str) -> None:
    for template in preset(name).name_templates:
        compile_template(template)


def test_a_preset_that_is_none_is_answered_with_those_that_are() -> None:
    with pytest.raises(RuleError, match=r"asterix.*asterisk, freeswitch, fusionpbx, vos3000"):
        preset("asterix")
