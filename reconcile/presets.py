"""Rules for the telephone systems that `voxkeep compare --preset` knows, from their documentation.

Asterisk: headerless `Master.csv` of cdr_csv (https://docs.asterisk.org, "CDR Storage Backends"; the order of
the optional columns is that of `cdr/cdr_csv.c`: loguniqueid, loguserfield, newcdrcolumns). Recordings as
FreePBX names them below /var/spool/asterisk/monitor.

FreeSWITCH: headerless `Master.csv` of mod_cdr_csv with its template `example`
(`conf/vanilla/autoload_configs/cdr_csv.conf.xml`). Recordings as the vanilla dialplan's record_session names
them, or by uuid.

FusionPBX: the CSV export of its call detail records (`app/xml_cdr/xml_cdr_export.php`, the columns that
`xml_cdr_inc.php` selects from v_xml_cdr). Recordings as its dialplan lays them out:
`<domain>/archive/<year>/<Mon>/<day>/<uuid>.wav`.

VOS3000: a CSV export, with header, of a day's table e_cdr_<yyyymmdd> (columns as public importers of that
table list them). No convention for names of recordings is documented, so there are no templates.
"""

from reconcile.errors import RuleError
from reconcile.rules import ColumnMap, DatasetRules, ExpectsRecording, Extracted, Rules

_ASTERISK = [
    "accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata", "start",
    "answer",
    "end", "duration", "billsec", "disposition", "amaflags",
]  # fmt: skip
_ASTERISK_LINKED = ["peeraccount", "linkedid", "sequence"]
_ASTERISK_NAME = "{start:%Y%m%d-%H%M%S}-{call_id}.{any}"
_FREESWITCH = [
    "caller_id_name", "caller_id_number", "destination_number", "context", "start_stamp", "answer_stamp",
    "end_stamp",
    "duration", "billsec", "hangup_cause", "uuid", "bleg_uuid", "accountcode", "read_codec", "write_codec",
]  # fmt: skip


def _asterisk() -> Rules:
    """Legs share linkedid where the file has it, else uniqueid (found by their names: reconcile.columns)."""
    unique, both = [*_ASTERISK, "uniqueid"], [*_ASTERISK, "uniqueid", "userfield"]
    linked = [[*header, *_ASTERISK_LINKED] for header in (both, unique, _ASTERISK)]
    agent = Extracted(column="channel", pattern=r"^[A-Za-z0-9]+/(\d{2,7})[-@]")
    day = "{year}/{month}/{day}"
    return Rules(
        name_templates=[
            f"{day}/out-{{number}}-{{extension}}-{_ASTERISK_NAME}",
            f"{day}/external-{{extension}}-{{number}}-{_ASTERISK_NAME}",
            f"{day}/internal-{{number}}-{{extension}}-{_ASTERISK_NAME}",
            f"{day}/exten-{{extension}}-{{number}}-{_ASTERISK_NAME}",
            f"{day}/force-{{number}}-{{extension}}-{_ASTERISK_NAME}",
            f"{day}/q-{{any}}-{{number}}-{_ASTERISK_NAME}",
            f"{day}/rg-{{any}}-{{number}}-{_ASTERISK_NAME}",
            f"{day}/{{any}}-{_ASTERISK_NAME}",
            "{call_id}.wav",
        ],
        datasets={
            "calls": DatasetRules(
                header=[*linked, both, unique, _ASTERISK],
                columns=ColumnMap(
                    started_at="start", talk_seconds="billsec", caller="src", callee="dst", extension=agent
                ),
                expects_recording=ExpectsRecording(min_talk_seconds=1, where={"disposition": ["ANSWERED"]}),
            )
        },
    )


def _freeswitch() -> Rules:
    """The template `example`, and as it was before it had codecs."""
    columns = ColumnMap(
        call_id="uuid", started_at="start_stamp", talk_seconds="billsec", caller="caller_id_number",
        callee="destination_number",
    )  # fmt: skip
    return Rules(
        name_templates=["{number}.{start:%Y-%m-%d-%H-%M-%S}.wav", "{call_id}.wav", "{any}/{call_id}.wav"],
        datasets={
            "calls": DatasetRules(
                header=[_FREESWITCH, _FREESWITCH[:-2]], columns=columns,
                expects_recording=ExpectsRecording(min_talk_seconds=1),
            )
        },
    )  # fmt: skip


def _fusionpbx() -> Rules:
    """Its columns differ between versions: those that all have are named, the others found by their names."""
    return Rules(
        name_templates=[
            "{any}/archive/{year}/{month}/{day}/{call_id}.{any}",
            "archive/{year}/{month}/{day}/{call_id}.{any}",
        ],
        datasets={
            "calls": DatasetRules(
                columns=ColumnMap(
                    call_id="xml_cdr_uuid", caller="caller_id_number", callee="destination_number",
                    recording_path="record_name",
                ),
                expects_recording=ExpectsRecording(min_talk_seconds=1),
            )
        },
    )  # fmt: skip


def _vos3000() -> Rules:
    """Times are Unix milliseconds, holdtime seconds; the number sent to the gateway is the one shown."""
    columns = ColumnMap(
        call_id="flowno", started_at="starttime", talk_seconds="holdtime", caller="callere164",
        callee="calleee164",
        display_number="callertogatewaye164",
    )  # fmt: skip
    expects = ExpectsRecording(min_talk_seconds=1)
    return Rules(datasets={"calls": DatasetRules(columns=columns, expects_recording=expects)})


PRESETS: dict[str, Rules] = {
    "asterisk": _asterisk(),
    "freeswitch": _freeswitch(),
    "fusionpbx": _fusionpbx(),
    "vos3000": _vos3000(),
}


def preset(name: str) -> Rules:
    """The rules of a telephone system.

    Raises:
        RuleError: there are none by this name.
    """
    if name not in PRESETS:
        raise RuleError(
            operation="use a preset", subject=name, cause="there is no such preset",
            remedy=f"use one of {', '.join(PRESETS)}, or write rules of your own",
        )  # fmt: skip
    return PRESETS[name]
