"""Write the generated pages of docs/: frames, findings, settings, rules and the command line.

Everything in them comes from the code, so that `tests/test_docs.py` can tell when one is stale.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import polars as pl
import typer
from capacity_page import capacity_page
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from listen.roles import ACTIONS, ROLES
from reconcile.evidence import CAUSES
from reconcile.findings import KINDS
from reconcile.frames import FRAMES, GATHERED, Frame
from reconcile.ledger import RESOLUTIONS
from reconcile.pack import FIELDS
from reconcile.rules import Rules
from voxkeep.listen_settings import ListenSettings
from voxkeep.main import app
from voxkeep.metrics import METRICS
from voxkeep.pack_settings import PackSettings
from voxkeep.settings import Settings
from voxkeep.settings_fields import Place, is_model, members, sections

DOCS = Path(__file__).resolve().parents[1] / "docs"
GENERATED = "*Written by `make docs`; do not edit.*"
# Help is laid out for a terminal of this width, in a home folder that is nobody's.
HELP = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "HOME": "/home/you", "LANG": "C.UTF-8"}
_FEW = 3
_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", date: "day"}


def pages() -> dict[str, str]:
    """The text of every generated page, by its name below docs/."""
    return {
        "frames.md": frames_page(),
        "findings.md": findings_page(),
        "settings.md": settings_page(),
        "settings.schema.json": schema(Settings, "A business of voxkeep"),
        "rules.md": rules_page(),
        "rules.schema.json": schema(Rules, "Rules of voxkeep compare"),
        "listen.md": listen_page(),
        "packs.md": packs_page(),
        "packs.schema.json": schema(PackSettings, "A pack of voxkeep export"),
        "metrics.md": metrics_page(),
        "cli.md": cli_page(),
        "capacity.md": capacity_page(GENERATED),
    }


def frames_page() -> str:
    """Every frame: what a row is, and its columns."""
    contents = ", ".join(f"[{frame.name}](#{frame.name})" for frame in FRAMES)
    by_month = ", ".join(f"[{frame.name}](#{frame.name})" for frame in GATHERED)
    intro = (
        "The frames of the catalog and of the engine. In the catalog each lies in "
        "`catalog/<frame>/business=<b>/day=<d>/<site>.parquet`;\n"
        f"{by_month} also, derived from there and with the same columns, in\n"
        "`catalog/summaries/<frame>/business=<b>/month=<yyyy-mm>/<site>.parquet` ([for analysts](analysts.md)).\n"
        "Instants are UTC; only `day` is local to the business. Ids and telephone numbers are text.\n"
        "A column that may be null says so; all others never are."
    )
    return _page("Frames", intro, contents, *(_frame(frame) for frame in FRAMES))


def _frame(frame: Frame) -> str:
    rows = [
        [f"`{name}`", _dtype(column.dtype), "may be null" if column.nullable else "", column.meaning]
        for name, column in frame.columns.items()
    ]
    return f"## {frame.name}\n\nA row is {frame.row}.\n\n{_table(['column', 'dtype', 'null?', 'meaning'], rows)}"


def _dtype(dtype: pl.DataType | type[pl.DataType]) -> str:
    return str(pl.Schema({"column": dtype})["column"]).replace(
        "Datetime(time_unit='us', time_zone='UTC')", "Datetime µs UTC"
    )


def findings_page() -> str:
    """Every kind of finding, in the order in which they are tried."""
    intro = (
        "What can be wrong. A row of the [trace](frames.md#trace) has the first kind of this table\n"
        "that holds: one cause, one finding. What to do about each stands in "
        "[the operator's guide](operator.md#what-each-finding-asks-for)."
    )
    rows = [[f"`{kind.name}`", kind.severity, kind.meaning] for kind in KINDS]
    causes = (
        "What led to a finding: the first of this table that the data show, and none where they do not tell.\n"
        "Those that begin with `never_recorded` are hints. `held_at` and `held_time` say which station had the\n"
        "recording last, and when."
    )
    resolutions = (
        "A finding that is found no more is resolved, on the day `status_since`, by the first of these that holds."
    )
    return _page(
        "Findings",
        intro,
        _table(["kind", "severity", "meaning"], rows),
        f"## Causes\n\n{causes}",
        _table(["cause", "what the data show"], [[f"`{each.name}`", each.meaning] for each in CAUSES]),
        f"## Resolutions\n\n{resolutions}",
        _table(["resolution", "what is so now"], [[f"`{each.name}`", each.meaning] for each in RESOLUTIONS]),
    )


def settings_page() -> str:
    """Every setting by section, and a whole example."""
    example = (DOCS / "example" / "business.yaml").read_text(encoding="utf-8")
    cluster = (DOCS / "example" / "cluster.yaml").read_text(encoding="utf-8")
    intro = (
        "A business is one YAML file. `voxkeep check` tells every mistake in it with its line,\n"
        "`voxkeep apply` puts it to work. Folders and files that are not absolute count from the folder\n"
        "of the file. A secret never stands in it, only where it comes from.\n"
        "Editors that know JSON Schema take [settings.schema.json](settings.schema.json)."
    )
    return _page(
        "Settings of a business",
        intro,
        f"## A whole example\n\n```yaml\n{example}```",
        f"## One over servers of its own\n\n```yaml\n{cluster}```",
        *_sections(Settings),
    )


def rules_page() -> str:
    """Every rule by section, and an example."""
    example = (DOCS / "example" / "rules.yaml").read_text(encoding="utf-8")
    intro = (
        "How rows are read, file names understood, and recordings matched with calls: the file that\n"
        "`voxkeep compare --rules` takes. The same names stand in [a business](settings.md).\n"
        "Editors that know JSON Schema take [rules.schema.json](rules.schema.json)."
    )
    return _page("Rules", intro, f"## An example\n\n```yaml\n{example}```", *_sections(Rules))


def listen_page() -> str:
    """The page 调听: who may do what, and its settings."""
    example = (DOCS / "example" / "listen" / "listen.yaml").read_text(encoding="utf-8")
    intro = (
        "`voxkeep listen` serves the page on which people find calls and hear them: [how to use it](clerk.md),\n"
        "[how to run it](operator.md#serve-the-page), [its audit trail](auditor.md)."
    )
    table = [
        [f"`{action.name}`", action.meaning, *("yes" if action.name in may else "" for may in ROLES.values())]
        for action in ACTIONS
    ]
    settings = (
        "`listen.yaml` in the home of voxkeep, or `--settings FILE`; without it, accounts and audit trail lie in "
        "`listen`\nbelow the storage of the businesses, and there is no login but by accounts."
    )
    return _page(
        "The page 调听",
        intro,
        f"## Who may do what\n\nOf one's own businesses only.\n\n{_table(['action', 'what it is', *ROLES], table)}",
        f"## Settings\n\n{settings}\n\n```yaml\n{example}```",
        *_sections(ListenSettings),
    )


def packs_page() -> str:
    """Every setting of a pack by section, its fields, and the worked examples."""
    intro = (
        "What a bank asks for, periodically, in its own form: one YAML file a bank, named under `packs` in the\n"
        "[settings of the business](settings.md). `voxkeep apply` takes it, `voxkeep export BUSINESS PACK --since …\n"
        "--until …` sends it: `--dry-run` first says what would be sent and which rows break the bank's rules.\n"
        "Nothing is written while one does; nothing is sent twice (frame [sent](frames.md#sent)); what is\n"
        "interrupted goes on. Editors that know JSON Schema take [packs.schema.json](packs.schema.json).\n"
        "[For the liaison](liaison.md)."
    )
    fields = [[f"`{rows}`", ", ".join(f"`{name}`" for name in names)] for rows, names in FIELDS.items()]
    told = (
        "A template, a computed value (SQL) and `where` (SQL) take the same fields. Attributes of the call are\n"
        "`attribute.<name>`, those of the note `note.<name>`; in SQL they stand in double quotes. Times are local\n"
        "to the business; `talk_seconds` are seconds, `duration_ms` milliseconds, `size` bytes."
    )
    packs = sorted((DOCS.parent / "sql" / "sample" / "packs").glob("*.yaml"))
    examples = [f"## Example: {file.stem}\n\n```yaml\n{file.read_text(encoding='utf-8')}```" for file in packs]
    return _page(
        "Bank packs", intro, f"## Fields\n\n{_table(['rows', 'fields'], fields)}\n\n{told}", *examples,
        *_sections(PackSettings),
    )  # fmt: skip


def _sections(model: type[BaseModel]) -> list[str]:
    """A section for each model, however many places it has."""
    places: dict[type[BaseModel], list[Place]] = {}
    for place, below in sections(model):
        places.setdefault(below, []).append(place)
    return [_section(standing, below) for below, standing in places.items()]


def _section(places: list[Place], model: type[BaseModel]) -> str:
    names = [f"`{'.'.join(map(str, place))}`" if place else "At the left margin" for place in places]
    heading = ", ".join(names) if len(names) <= _FEW else f"{names[0]} and its like"
    rows = [
        [f"`{name}`", _type(field.annotation), _default(field), field.description or ""]
        for name, field in model.model_fields.items()
    ]
    meaning = (model.__doc__ or "").strip().splitlines()[0]
    return f"## {heading}\n\n{meaning}\n\n{_table(['name', 'type', 'default', 'meaning'], rows)}"


def _type(annotation: object) -> str:
    """What may stand there, in words."""
    return ", or ".join(_one_type(member) for member in members(annotation))


def _one_type(member: object) -> str:
    arguments = get_args(member)
    if is_model(member):
        needed = [name for name, field in member.model_fields.items() if field.is_required()]
        return f"{' and '.join(needed)} below it" if len(needed) == len(member.model_fields) else "a section"
    if get_origin(member) is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if get_origin(member) is list:
        return f"list of {_type(arguments[0])}"
    if get_origin(member) is dict:
        return f"names, each with {_type(arguments[1])}"
    if member is Any:
        return "any value"
    return _PLAIN[member] if isinstance(member, type) else str(member)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        given = value.model_dump(exclude_defaults=True)
        return f"`{json.dumps(given)}`" if given and len(given) == len(value.model_dump(exclude_none=True)) else ""
    if value in (None, "", [], {}, PydanticUndefined):
        return ""
    if isinstance(value, dict):
        return ", ".join(f"`{name}`" for name in value)
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def schema(model: type[BaseModel], title: str) -> str:
    """The model's JSON Schema."""
    content = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(),
        "title": title,
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def metrics_page() -> str:
    """Every metric, with its labels."""
    intro = (
        "What `voxkeep metrics` tells Prometheus: on `--port`, as `--textfile` for node_exporter, or once on the\n"
        "terminal ([how to use it](operator.md#monitoring)). All of it is read from the catalog, each time anew, and\n"
        "costs what the last days cost, however long the history is. Every metric is a gauge. The age of the last\n"
        "success is `time() - voxkeep_last_success_timestamp_seconds`."
    )
    rows = [[f"`{one.name}`", ", ".join(f"`{label}`" for label in one.labels), one.meaning] for one in METRICS]
    return _page("Metrics", intro, _table(["metric", "labels", "meaning"], rows))


def cli_page() -> str:
    """What `--help` says, of the program and of each command."""
    commands = [
        [],
        *([command.name or command.callback.__name__] for command in app.registered_commands if command.callback),
    ]
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(help_of, commands))
    intro = (
        "Every command takes `--help`, and `--json` for machines.\n"
        "Exit codes: 0 done or complete; 1 something is not complete or not found; 2 it could not run."
    )
    parts = [
        f"## {' '.join(['voxkeep', *command])}\n\n```text\n{text}```"
        for command, text in zip(commands, texts, strict=True)
    ]
    return _page("The command line", intro, *parts)


def parameters(command: str) -> list[Any]:
    """The parameters of a command."""
    group: Any = typer.main.get_command(app)
    return [parameter for parameter in group.commands[command].params if parameter.name != "help"]


def help_of(command: list[str]) -> str:
    """What `voxkeep <command> --help` prints on a terminal 100 columns wide."""
    code = "from voxkeep.main import app; app(prog_name='voxkeep')"
    run = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], capture_output=True, check=True, encoding="utf-8",
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **HELP},
    )  # fmt: skip
    lines = [line.rstrip() for line in run.stdout.strip("\n").splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.replace("|", r"\|").split()) for cell in line) + " |" for line in lines
    )


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", GENERATED, *parts]) + "\n"


def main() -> None:
    """Write every page that differs, and say which."""
    for name, text in pages().items():
        file = DOCS / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"docs/{name}")


if __name__ == "__main__":
    main()
