"""The command line. Each command reads its words, calls one function, and prints what comes back."""

import os
import shlex
import sys
from datetime import date, datetime
from enum import StrEnum
from getpass import getuser
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ByteSize, TypeAdapter

from voxkeep.console import beside, err, out, print_defect, print_error, print_json, table, working
from voxkeep.server import no_heartbeat, use_cluster, use_home

# Calls that are read at a time where all are wanted.
_EXPORTED = 1000
COMPLETE, INCOMPLETE, COULD_NOT_RUN, INTERRUPTED = 0, 1, 2, 130
# EX_TEMPFAIL of sysexits.h: no failure yet, the next run may do it.
ABSENT_DISK = 75
# Each flow and the file it stands in; importing one takes seconds, so it waits until it is wanted.
FLOWS = {
    "backup": "backup",
    "ingest": "ingest",
    "reconcile": "reconciliation",
    "reindex": "reindex",
    "maintain": "maintain",
    "rebuild": "rebuild",
    "certify": "certify",
    "waive": "waive",
    "export": "export",
    "retrieve": "retrieve",
    "drill": "drill",
    "restore": "recovery",
    "inspect": "inspection",
    "sign": "inspection",
    "hold": "hold",
    "retain": "retention",
    "preview": "retention",
    "erase": "erase",
    "purge_list": "purge",
}

app = typer.Typer(
    name="voxkeep",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Keep call recordings and the business data that belongs to them, and prove daily that none is lost.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
Home = Annotated[Path, typer.Option("--home", envvar="VOXKEEP_HOME", help="Where voxkeep remembers its businesses.")]
Site = Annotated[str | None, typer.Option("--site", help="Only this site.")]
Day = Annotated[
    datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="Business day; today where not given.")
]
DEFAULT_HOME = Path.home() / ".voxkeep"
PageSettings = Annotated[
    Path | None, typer.Option("--settings", help="Settings of the page; listen.yaml in the home, where not given.")
]


class Profile(StrEnum):
    """Where the demo runs."""

    EMBEDDED = "embedded"
    CLUSTER = "cluster"


class Preset(StrEnum):
    """Systems whose call records voxkeep knows."""

    asterisk = "asterisk"
    freeswitch = "freeswitch"
    fusionpbx = "fusionpbx"
    vos3000 = "vos3000"


class CertificateVerb(StrEnum):
    """What can be done with a certificate."""

    verify = "verify"


class AuditVerb(StrEnum):
    """What can be done with the audit trail."""

    verify = "verify"


class AccountVerb(StrEnum):
    """What can be done with accounts of the page."""

    add = "add"
    disable = "disable"
    reset = "reset"
    list = "list"


class RoleName(StrEnum):
    """What an account may do; docs/operator.md has the table."""

    listener = "listener"
    supervisor = "supervisor"
    liaison = "liaison"
    auditor = "auditor"
    administrator = "administrator"


class Verdict(StrEnum):
    """What somebody says of a day's inspection."""

    ok = "ok"
    remarks = "remarks"
    rejected = "rejected"


class CarryVerb(StrEnum):
    """What can be done with a disk that is carried to the centre."""

    prepare = "prepare"
    depart = "depart"
    take_in = "import"
    disks = "disks"


class RetentionVerb(StrEnum):
    """What can be done about what is kept."""

    preview = "preview"
    apply = "apply"


class IndexVerb(StrEnum):
    """What can be done with the call index."""

    rebuild = "rebuild"


def run() -> None:
    """Run the command line; an error becomes one paragraph and exit code 2.

    What nobody foresaw is a defect: its traceback goes to a file, for whoever mends it.
    """
    try:
        app()
    except _our_errors() as error:
        print_error(error)
        sys.exit(COULD_NOT_RUN)
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001  # the last place where it can be told in words
        print_defect(error)
        sys.exit(COULD_NOT_RUN)


def _our_errors() -> tuple[type[Exception], ...]:
    from blocks.errors import VoxkeepError as OutsideError  # noqa: PLC0415
    from reconcile.errors import VoxkeepError as EngineError  # noqa: PLC0415

    return OutsideError, EngineError


def _bytes(text: str) -> int:
    """The bytes that `1GiB`, `500 MB` or a plain number mean."""
    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no size, such as 1GiB") from error


def _name_and_value(text: str) -> tuple[str, str]:
    """The two sides of `name=value`."""
    name, sign, value = text.partition("=")
    if not (sign and name.strip() and value.strip()):
        raise typer.BadParameter(f"{text} is not NAME=VALUE, such as case=K7")
    return name, value


def _one_day(day: datetime | None) -> date | None:
    return day.date() if day else None


@app.command(epilog="Example: [bold]voxkeep demo --dir /tmp/demo --calls 500[/]")
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Folder for everything the demo makes.")] = Path(
        "voxkeep-demo"
    ),
    calls: Annotated[int, typer.Option("--calls", min=50, help="Calls of the sample source.")] = 300,
    profile: Annotated[
        Profile, typer.Option(help="embedded: everything in folders; cluster: over the servers of `make cluster`.")
    ] = Profile.EMBEDDED,
    cluster: Annotated[Path, typer.Option(help="Folder of `make cluster`.")] = Path(".cluster"),
    json: Json = False,
) -> None:
    """Make a sample source with planted faults, run everything over it, and compare planted with found."""
    if profile is Profile.CLUSTER:
        use_cluster(cluster)
    use_home(directory / "home")
    from voxkeep.demo import run_demo, show_demo  # noqa: PLC0415

    with working("running the demo"), no_heartbeat():
        if profile is Profile.CLUSTER:
            from voxkeep.demo_cluster import run_cluster_demo  # noqa: PLC0415

            result = run_cluster_demo(directory, calls)
        else:
            result = run_demo(directory, calls)
    if json:
        print_json(result.counts())
    else:
        show_demo(result, cluster if profile is Profile.CLUSTER else None)
        from voxkeep.listening import demo_accounts, show_demo_accounts  # noqa: PLC0415

        show_demo_accounts(demo_accounts(result.home), result.home)
    raise typer.Exit(COMPLETE if result.perfect() else INCOMPLETE)


@app.command(epilog="Example: [bold]voxkeep check business.yaml[/]")
def check(files: Annotated[list[Path], typer.Argument(help="Settings of businesses.")], json: Json = False) -> None:
    """Check settings: every mistake with file, line and what was expected. Nothing is changed."""
    from blocks.errors import SettingsError  # noqa: PLC0415
    from voxkeep.settings import load_settings  # noqa: PLC0415

    mistakes = {}
    for file in files:
        try:
            load_settings(file)
        except SettingsError as error:
            mistakes[str(file)] = str(error)
    if json:
        print_json({"files": [str(file) for file in files], "mistakes": mistakes})
    for file in files:
        if str(file) in mistakes and not json:
            err.print(mistakes[str(file)], markup=False)
        elif not json:
            out.print(f"{file}: good", markup=False)
    raise typer.Exit(COULD_NOT_RUN if mistakes else COMPLETE)


@app.command(epilog="Example: [bold]voxkeep apply business.yaml --dry-run[/]")
def apply(
    files: Annotated[list[Path], typer.Argument(help="Settings of businesses.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Make or update what these settings describe. Applying the same twice changes nothing; nothing is ever deleted."""
    from voxkeep.settings import load_settings  # noqa: PLC0415

    loaded = [load_settings(file) for file in files]
    use_home(home)
    from voxkeep.apply import apply as apply_settings  # noqa: PLC0415
    from voxkeep.apply import plan  # noqa: PLC0415

    with working("planning" if dry_run else "applying"):
        go = plan if dry_run else apply_settings
        outcomes = {settings.business: go(settings, home) for settings in loaded}
    if json:
        print_json(outcomes)
        return
    for business, outcome in outcomes.items():
        rows = [[what, done] for what, done in outcome.items()]
        title = f"{business}: what would be done" if dry_run else business
        out.print(table(title, ["what", "outcome"], rows, numbers_from=9))


@app.command(epilog="Example: [bold]VOXKEEP_RECEIVER_TOKEN=… voxkeep receiver --port 8300[/]")
def receiver(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8300,
) -> None:
    """Listen for what S3 tells of new snapshots, and have Prefect ingest them at once.

    The token that S3 must send is in the environment variable VOXKEEP_RECEIVER_TOKEN; PREFECT_API_URL names the server.
    """
    import uvicorn  # noqa: PLC0415

    from voxkeep.receiver import make_receiver  # noqa: PLC0415
    from voxkeep.secret import Secret  # noqa: PLC0415

    token = Secret(env="VOXKEEP_RECEIVER_TOKEN").fetch("token of the receiver")
    uvicorn.run(make_receiver(token), host=host, port=port, log_level="info", access_log=False)


@app.command(epilog="Example: [bold]voxkeep listen --port 8400[/]")
def listen(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8400,
    settings: PageSettings = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Serve the page on which people find calls and hear them, of every business that was applied.

    Over the network put a server with a certificate in front of it; it trusts what that says of the browser's address.
    """
    use_home(home)
    from voxkeep.listening import serve  # noqa: PLC0415

    serve(home, host, port, settings)


@app.command(epilog="Example: [bold]voxkeep account add li.na --role listener --business meituan[/]")
def account(
    verb: Annotated[AccountVerb, typer.Argument(help="What to do.")],
    name: Annotated[str | None, typer.Argument(help="The account; none for list.")] = None,
    title: Annotated[str, typer.Option("--title", help="The person's name.")] = "",
    role: Annotated[list[RoleName] | None, typer.Option("--role", help="May be given several times.")] = None,
    business: Annotated[
        list[str] | None, typer.Option("--business", help="May be given several times; * is every business.")
    ] = None,
    password_file: Annotated[Path | None, typer.Option("--password-file", help="File with the first password.")] = None,
    settings: PageSettings = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Add, disable, reset or list accounts of the page.

    The first password comes from VOXKEEP_ACCOUNT_PASSWORD, a file, or is asked for; it must be changed at the first
    login. Every change is in the audit trail.
    """
    use_home(home)
    from voxkeep import listening  # noqa: PLC0415

    if verb is AccountVerb.list:
        found = listening.list_accounts(home, settings)
        print_json({"accounts": found}) if json else out.print(listening.show_accounts(found))
        return
    if name is None:
        raise typer.BadParameter(f"`account {verb.value}` needs the account's name")
    if verb is AccountVerb.disable:
        listening.disable_account(home, name, settings)
    elif verb is AccountVerb.reset:
        listening.reset_account(home, name, _first_password(password_file), settings)
    else:
        if not role:
            raise typer.BadParameter("give at least one --role")
        asked = listening.NewAccount(name, title, [one.value for one in role], business or [])
        listening.add_account(home, asked, _first_password(password_file), settings)
    if json:
        print_json({"account": name, "done": verb.value})


def _first_password(file: Path | None) -> str:
    from voxkeep.secret import Secret  # noqa: PLC0415

    what = "first password of the account"
    if file is not None:
        return Secret(file=str(file)).fetch(what)
    if "VOXKEEP_ACCOUNT_PASSWORD" in os.environ:
        return Secret(env="VOXKEEP_ACCOUNT_PASSWORD").fetch(what)
    asked: str = typer.prompt("First password", hide_input=True, confirmation_prompt=True, err=True)
    return asked


@app.command(epilog="Example: [bold]voxkeep audit verify --head 812:3f1c…[/]")
def audit(
    verb: Annotated[  # noqa: ARG001  # there is only one
        AuditVerb, typer.Argument(help="What to do with it; verify: was any row changed, removed, put in or cut off?")
    ],
    head: Annotated[
        str | None, typer.Option("--head", help="Head that was written down before, from the page or from here.")
    ] = None,
    settings: PageSettings = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Walk the audit trail of the page from its first row.

    Exit code 0: it is whole; 1: it is not, and what was done to it is told; 2: it could not run.
    """
    use_home(home)
    from voxkeep.audit_trail import show_verified, verified_plain, verify_trail  # noqa: PLC0415

    verified = verify_trail(home, head, settings)
    if json:
        print_json(verified_plain(verified))
    else:
        out.print(show_verified(verified))
    raise typer.Exit(INCOMPLETE if verified.problems else COMPLETE)


def _run_flow(name: str, home: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    from voxkeep.remembered import remembered_business  # noqa: PLC0415

    remembered_business(home, parameters["business"])
    use_home(home)
    with working(f"{name} {parameters['business']}"), no_heartbeat():
        result: dict[str, Any] = getattr(import_module(f"flows.{FLOWS[name]}"), name)(**parameters)
    return result


def _show_result(result: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json(result)
        return
    rows = [[name, ", ".join(map(str, value)) if isinstance(value, list) else value] for name, value in result.items()]
    out.print(table("", ["", ""], rows, numbers_from=9))


@app.command(epilog="Example: [bold]voxkeep backup meituan --site cq[/]")
def backup(
    business: Annotated[str, typer.Argument(help="The business.")],
    site: Site = None,
    day: Day = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """At the site: extract, inventory, back up with restic, confirm. Every site, where none is named.

    Exit code 0: done, or it goes on in its next hours; 75: the disk of a site without network is not there, which is
    no failure yet; 2: it could not run, or there has been no disk for too long.
    """
    from blocks.errors import AbsentDiskError  # noqa: PLC0415
    from voxkeep.remembered import remembered_business  # noqa: PLC0415

    results, code = [], COMPLETE
    for name in [site] if site else list(remembered_business(home, business).sites):
        try:
            results.append(_run_flow("backup", home, {"business": business, "site": name, "day": _one_day(day)}))
        except _our_errors() as error:  # one site's trouble does not keep the others from being safe
            print_error(error)
            is_soft = isinstance(error, AbsentDiskError) and code != COULD_NOT_RUN
            code = ABSENT_DISK if is_soft else COULD_NOT_RUN
    if json:
        print_json({"sites": results})
    else:
        for result in results:
            _show_result(result, json=False)
    raise typer.Exit(code)


@app.command(epilog="Example: [bold]voxkeep ingest meituan[/]")
def ingest(
    business: Annotated[str, typer.Argument(help="The business.")],
    site: Site = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Centrally: restore, verify, publish and index every snapshot that is new."""
    _show_result(_run_flow("ingest", home, {"business": business, "site": site}), json=json)


@app.command(epilog="Example: [bold]voxkeep reconcile meituan --day 2021-01-31[/]")
def reconcile(
    business: Annotated[str, typer.Argument(help="The business.")],
    site: Site = None,
    day: Day = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=["%Y-%m-%d"], help="First business day; that of the lookback, if not given."),
    ] = None,
    memory: Annotated[
        int | None, typer.Option("--memory", parser=_bytes, help="Memory to work in, e.g. 1GiB; half of what is free.")
    ] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Trace every call and recording through all stations; findings, summary, report, alerts."""
    parameters = {
        "business": business, "site": site, "day": _one_day(day), "since": _one_day(since), "memory": memory,
    }  # fmt: skip
    _show_result(_run_flow("reconcile", home, parameters), json=json)


@app.command(name="index", epilog="Example: [bold]voxkeep index rebuild meituan[/]")
def index_(
    verb: Annotated[  # noqa: ARG001  # there is only one
        IndexVerb, typer.Argument(help="What to do with it; rebuild: write every document anew.")
    ],
    business: Annotated[str, typer.Argument(help="The business.")],
    site: Site = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Rebuild the call index from the catalog alone, for example after it was lost.

    Exit code 0: every call is in it; 1: it refused documents, which are in the frame `rejected`; 2: it could not run.
    """
    result = _run_flow("reindex", home, {"business": business, "site": site})
    _show_result(result, json=json)
    raise typer.Exit(INCOMPLETE if result["rejected"] else COMPLETE)


@app.command(epilog="Example: [bold]voxkeep maintain meituan[/]")
def maintain(
    business: Annotated[str, typer.Argument(help="The business.")],
    site: Site = None,
    day: Day = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Check what is kept: repositories, snapshots, published recordings; today's share, and what was damaged before.

    Exit code 0: all that was looked at is sound; 1: something is damaged; 2: it could not run.
    """
    result = _run_flow("maintain", home, {"business": business, "site": site, "day": _one_day(day)})
    _show_result(result, json=json)
    raise typer.Exit(INCOMPLETE if result["damaged"] or result["recordings_damaged"] else COMPLETE)


@app.command(epilog="Example: [bold]voxkeep rebuild meituan[/]")
def rebuild(
    business: Annotated[str, typer.Argument(help="The business.")],
    site: Site = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Make catalog, call index and published recordings anew from the repositories alone, after they were lost.

    What is still there is kept, nothing is published twice. What people decided (waivers, holds) cannot come back.
    """
    _show_result(_run_flow("rebuild", home, {"business": business, "site": site}), json=json)


@app.command(epilog="Example: [bold]voxkeep waive meituan 3f1c09ab27de4410 --until 2021-06-30 --reason 'disk burnt'[/]")
def waive(
    business: Annotated[str, typer.Argument(help="The business.")],
    finding: Annotated[str, typer.Argument(help="Id of the finding, from the report or findings.xlsx.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; an auditor will read it.")],
    until: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day on which it is waived.")
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back what was decided before.")] = False,
    author: Annotated[
        str | None, typer.Option("--author", help="Who decides; the user of this machine, where not given.")
    ] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Waive a finding for a while: it stays in every report, but alarms nobody and counts as decided."""
    if (until is None) == (not withdraw):
        raise typer.BadParameter("give either --until or --withdraw")
    last = until.date() if until else date(1970, 1, 1)
    parameters = {
        "business": business, "finding": finding, "author": author or getuser(), "reason": reason, "until": last,
    }  # fmt: skip
    _show_result(_run_flow("waive", home, parameters), json=json)


@app.command(epilog="Example: [bold]voxkeep certify meituan --since 2021-01-01 --until 2021-01-31[/]")
def certify(
    business: Annotated[str, typer.Argument(help="The business.")],
    since: Annotated[datetime, typer.Option("--since", formats=["%Y-%m-%d"], help="First business day.")],
    until: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="Last business day.")],
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Issue the signed certificate of what was kept in a period: counts, hashes, snapshots, open findings.

    Exit code 0: it says complete; 1: it says what is not; 2: it could not run.
    """
    result = _run_flow("certify", home, {"business": business, "since": since.date(), "until": until.date()})
    _show_result(result, json=json)
    raise typer.Exit(COMPLETE if result["complete"] else INCOMPLETE)


@app.command(epilog="Example: [bold]voxkeep certificate verify . --key public-key.pem --recording call.wav[/]")
def certificate(
    verb: Annotated[  # noqa: ARG001  # there is only one
        CertificateVerb, typer.Argument(help="What to do with it; verify: is it as it was issued?")
    ],
    folder: Annotated[Path, typer.Argument(help="Folder with certificate.json and what was issued with it.")],
    key: Annotated[
        Path | None, typer.Option("--key", help="Public key that the issuer gave out; else the one in the folder.")
    ] = None,
    recording: Annotated[
        list[Path] | None, typer.Option("--recording", help="File to look for in it; may be given several times.")
    ] = None,
    json: Json = False,
) -> None:
    """Check a certificate: its signature, its list of recordings, and whether a file is one of them.

    Exit code 0: all is as issued; 1: something is not, or a file is not in it; 2: it could not run.
    """
    from voxkeep.certificate import show, verify  # noqa: PLC0415

    verified = verify(folder, key, recording or [])
    if json:
        print_json(verified.plain())
    else:
        show(verified)
    raise typer.Exit(COMPLETE if verified.good() else INCOMPLETE)


@app.command(epilog="Example: [bold]voxkeep export meituan collection-notes --since 2021-01-01 --until 2021-01-31[/]")
def export(
    business: Annotated[str, typer.Argument(help="The business.")],
    pack: Annotated[str, typer.Argument(help="What the bank asks for, by the name of its pack.")],
    since: Annotated[datetime, typer.Option("--since", formats=["%Y-%m-%d"], help="First business day.")],
    until: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="Last business day.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent, and what is wrong.")] = False,
    resend: Annotated[bool, typer.Option("--resend", help="Send again what was sent of just this period.")] = False,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Send a bank what it asks for, in its own form, checked, and nothing twice.

    Exit code 0: sent, or nothing new; 1: a dry run found what breaks the bank's rules; 2: it could not run.
    """
    parameters = {
        "business": business, "pack": pack, "since": since.date(), "until": until.date(), "dry_run": dry_run,
        "resend": resend,
    }  # fmt: skip
    use_home(home)
    from voxkeep.audit_trail import reach, record  # noqa: PLC0415

    reach(home, business)
    if not dry_run:
        period = {"since": str(since.date()), "until": str(until.date())}
        record(home, "packs", business, pack, do="again" if resend else "send", **period)
    result = _run_flow("export", home, parameters)
    _show_result(result, json=json)
    raise typer.Exit(INCOMPLETE if result.get("problems") else COMPLETE)


@app.command(epilog="Example: [bold]voxkeep retrieve meituan --list numbers.xlsx --out recordings.zip[/]")
def retrieve(
    business: Annotated[str, typer.Argument(help="The business.")],
    file: Annotated[Path, typer.Option("--list", help="Text, CSV or XLSX with an entry a line.")],
    target: Annotated[Path, typer.Option("--out", help="The ZIP file to be made.")],
    field: Annotated[
        str, typer.Option("--by", help="What the entries are: number, call, or the name of an attribute.")
    ] = "number",
    since: Annotated[datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="First business day.")] = None,
    until: Annotated[datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Last business day.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="How recordings are named, e.g. {number}/{call_id}.{suffix}.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Write the index as CSV, not XLSX.")] = False,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Fetch the recordings of a list of numbers, calls or cases into one ZIP file, with an index.

    The same command again goes on with what was interrupted. Exit code 0: everything was found; 1: some of it was
    not, and the index tells why; 2: it could not run.
    """
    use_home(home)
    from voxkeep.audit_trail import reach  # noqa: PLC0415
    from voxkeep.retrieving import Asked, ask, deliver  # noqa: PLC0415

    asked = Asked(file, field, _one_day(since), _one_day(until), name, "csv" if csv else "xlsx")
    retrieval = ask(home, business, asked)
    reach(home, business)
    result = _run_flow("retrieve", home, {"business": business, "request": retrieval.name})
    deliver(retrieval, target)
    _show_result(result | {"file": str(target)}, json=json)
    raise typer.Exit(INCOMPLETE if result["not_found"] else COMPLETE)


@app.command(epilog="Example: [bold]voxkeep status[/]")
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and show it anew every few seconds.")] = False,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Every site, over the last 31 days reconciled: its last backup, what is complete, what is open.

    Exit code 0: all is well; 1: a site has no backup or an open finding of severity major or above, or a disk is
    missing; 2: it could not run.
    """
    use_home(home)
    from voxkeep.lookup import is_well, show_status, status_of, watch_status  # noqa: PLC0415

    if watch:
        watch_status(home)
        return
    found = status_of(home)
    print_json(found) if json else out.print(show_status(found))
    raise typer.Exit(COMPLETE if is_well(found) else INCOMPLETE)


@app.command(epilog="Example: [bold]voxkeep find 15372388463 --since 2021-01-31 --words 还款[/]")
def find(
    number: Annotated[
        str | None, typer.Argument(help="Telephone number or a part of one, however it is written.")
    ] = None,
    business: Annotated[str | None, typer.Option(help="Only this business.")] = None,
    site: Site = None,
    display_number: Annotated[str | None, typer.Option(help="Number shown to the customer, or a part of it.")] = None,
    extension: Annotated[str | None, typer.Option(help="The agent's line.")] = None,
    call: Annotated[str | None, typer.Option("--call", help="Id of the call.")] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE of any other column, e.g. case=K7; may be given several times: all must fit."),
    ] = None,
    words: Annotated[
        str | None, typer.Option(help="Words, or Chinese phrases, that all stand in the notes; blanks between them.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Started at or after; local time of the business.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Started before; local time of the business.")] = None,
    min_seconds: Annotated[float | None, typer.Option(help="Talked at least so long.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Talked at most so long.")] = None,
    recording: Annotated[
        bool | None, typer.Option("--with-recording/--without-recording", help="Only calls with one, or without.")
    ] = None,
    state: Annotated[
        str | None, typer.Option("--recording-state", help="With a recording that is ok, empty, truncated, …")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many at a time.")] = 50,
    after: Annotated[str | None, typer.Option(help="The next ones: what the page before ended with.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that fit, however many.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write them into this file, for a spreadsheet.")] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Find calls, newest first; all that is given must fit.

    Exit code 0: there are some; 1: no call fits; 2: it could not run.
    """
    use_home(home)
    from blocks.query import CallQuery  # noqa: PLC0415
    from voxkeep.search import Wanted, export_calls, find_calls, read_place, show_calls  # noqa: PLC0415

    query = CallQuery(
        sites=(site,) if site else None,
        call_id=call,
        number=number,
        display_number=display_number,
        extension=extension,
        attributes=tuple(map(_name_and_value, attribute or [])),
        words=words,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        has_recording=recording,
        recording_state=state,
        after=read_place(after) if after else None,
        limit=_EXPORTED if everything else limit,
    )
    wanted = Wanted(query, business, since, until)
    if csv:
        count = export_calls(home, wanted, csv, everything=everything)
        print_json({"file": str(csv), "calls": count}) if json else out.print(f"{count:,} calls: {csv}", markup=False)
        raise typer.Exit(COMPLETE if count else INCOMPLETE)
    hits = find_calls(home, wanted, everything=everything)
    print_json(hits.plain()) if json else out.print(show_calls(hits))
    if hits.calls and not json:
        own_home = [] if home == DEFAULT_HOME else ["--home", os.path.relpath(home)]
        hear = shlex.join([beside("voxkeep"), "get", "CALL", "--out", "FILE", *own_home])
        out.print(f"hear one: {hear}", markup=False, soft_wrap=True)
    if hits.after and not json:
        out.print(f"more: --after {hits.after}", markup=False, soft_wrap=True)
    raise typer.Exit(COMPLETE if hits.calls else INCOMPLETE)


@app.command(epilog="Example: [bold]voxkeep get 202101310000000017 --out call.wav[/]")
def get(
    call: Annotated[str, typer.Argument(help="Id of the call.")],
    target: Annotated[Path, typer.Option("--out", help="File, or a folder for several recordings.")],
    business: Annotated[str | None, typer.Option(help="Only this business.")] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write the recordings of one call, byte for byte as at the source. Another file that is there stays as it is."""
    use_home(home)
    from voxkeep.lookup import get_recordings  # noqa: PLC0415

    written = get_recordings(home, call, target, business)
    if json:
        print_json({"recordings": written})
        return
    for row in written:
        out.print(f"{row['sha256']}  {row['file']}", markup=False, soft_wrap=True)


@app.command(
    epilog="Example: [bold]voxkeep compare --calls Master.csv --recordings /var/spool/asterisk/monitor "
    "--preset asterisk --out result[/]"
)
def compare(
    calls: Annotated[list[Path], typer.Option("--calls", help="CSV or Parquet of calls; may be given several times.")],
    recordings: Annotated[Path, typer.Option("--recordings", help="Folder of recordings, or an inventory as Parquet.")],
    target: Annotated[Path, typer.Option("--out", help="Folder for trace, findings, summary and report.")],
    rules: Annotated[Path | None, typer.Option(help="YAML with rules (docs/rules.md).")] = None,
    preset: Annotated[Preset | None, typer.Option(help="Rules of a known system.")] = None,
    mapping: Annotated[
        str | None, typer.Option("--map", help="column=source,… e.g. call_id=uniqueid,started_at=start")
    ] = None,
    json: Json = False,
) -> None:
    """Compare call records with recordings: what is missing, orphaned, damaged. Needs no business set up.

    Exit code 0: complete; 1: findings of severity major or above; 2: it could not run.
    """
    from voxkeep import compare as comparing  # noqa: PLC0415

    loaded = comparing.load_rules(rules, preset.value if preset else None, mapping)
    with err.status("comparing"):
        compared = comparing.compare(calls, recordings, loaded, target)
    if json:
        print_json(compared.counts())
    else:
        comparing.show(compared)
    raise typer.Exit(COMPLETE if compared.complete() else INCOMPLETE)


@app.command(epilog="Example: [bold]voxkeep drill meituan --site cq[/]")
def drill(
    business: Annotated[str, typer.Argument(help="The business.")],
    site: Site = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of an earlier drill, to make the same choice again.")
    ] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Prove a restore: a random day and a random sample into an empty place, every hash compared, each played.

    Every site, where none is named. Exit code 0: all of it came back and plays; 1: something did not; 2: it could not
    run.
    """
    from voxkeep.remembered import remembered_business  # noqa: PLC0415

    results = [
        _run_flow("drill", home, {"business": business, "site": name, "seed": seed})
        for name in ([site] if site else remembered_business(home, business).sites)
    ]
    if json:
        print_json({"drills": results})
    else:
        for result in results:
            _show_result(result, json=False)
    raise typer.Exit(COMPLETE if all(result["good"] for result in results) else INCOMPLETE)


@app.command(epilog="Example: [bold]voxkeep restore meituan --site cq --into /restore/cq --since 2021-01-01[/]")
def restore(
    business: Annotated[str, typer.Argument(help="The business.")],
    site: Annotated[str, typer.Option("--site", help="The site.")],
    into: Annotated[Path, typer.Option("--into", help="New or empty folder, or one in which this was begun.")],
    day: Annotated[datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="Only this business day.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="Only from this business day on.")
    ] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Restore a site's recordings from the backup, each proved by its SHA-256; stopped and run again, it goes on.

    Exit code 0: every recording is back; 1: some are not, and are named; 2: it could not run.
    """
    parameters = {
        "business": business, "site": site, "into": str(into.resolve()), "day": _one_day(day), "since": _one_day(since),
    }  # fmt: skip
    result = _run_flow("restore", home, parameters)
    _show_result(result, json=json)
    raise typer.Exit(COMPLETE if result["same"] == result["recordings"] else INCOMPLETE)


@app.command(epilog="Example: [bold]voxkeep inspect meituan --sign 'Wang Lei' --comment 'disk of cq ordered'[/]")
def inspect(
    business: Annotated[str, typer.Argument(help="The business.")],
    sign: Annotated[str | None, typer.Option("--sign", help="Sign it, with this name.")] = None,
    verdict: Annotated[Verdict, typer.Option("--verdict", help="What is said of it.")] = Verdict.ok,
    comment: Annotated[str, typer.Option("--comment", help="Why, and who sees to it.")] = "",
    heard: Annotated[int | None, typer.Option("--heard", min=0, help="Recordings that were listened to.")] = None,
    day: Day = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Open the day's inspection 巡检, remind of it, or sign it: once a day, however often this runs.

    Exit code 0: it is signed; 1: it waits, or was rejected; 2: it could not run.
    """
    parameters: dict[str, Any] = {"business": business, "day": _one_day(day)}
    if sign is not None:
        parameters |= {"author": sign, "verdict": verdict.value, "comment": comment, "heard": heard}
    result = _run_flow("inspect" if sign is None else "sign", home, parameters)
    _show_result(result, json=json)
    raise typer.Exit(COMPLETE if result["stands"] in ("ok", "remarks") else INCOMPLETE)


@app.command(epilog="Example: [bold]voxkeep metrics --textfile /var/lib/node_exporter/voxkeep.prom[/]")
def metrics(
    port: Annotated[int | None, typer.Option("--port", help="Serve them on this port, until stopped.")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    textfile: Annotated[
        Path | None, typer.Option("--textfile", help="Write them into this file, whole, for node_exporter.")
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Tell Prometheus how every business stands (docs/metrics.md); print it once, where neither is given."""
    use_home(home)
    from voxkeep import metrics as told  # noqa: PLC0415

    if textfile:
        told.write_textfile(home, textfile)
    if port is not None:
        told.serve(home, host, port)
    elif not textfile:
        sys.stdout.write(told.text(home))


@app.command(epilog="Example: [bold]voxkeep watch meituan --site cq[/]")
def watch(
    business: Annotated[str, typer.Argument(help="The business; its settings have `realtime`.")],
    site: Annotated[str | None, typer.Option("--site", help="At this site; at the centre, where not given.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Near-real-time: at a site back up what is new in small batches, at the centre take it in, until stopped."""
    use_home(home)
    from voxkeep.watching import run_watch  # noqa: PLC0415

    run_watch(business, site)


@app.command(epilog="Example: [bold]voxkeep carry import /media/disk[/]")
def carry(
    verb: Annotated[
        CarryVerb,
        typer.Argument(
            help="prepare: make a folder a disk of a site; depart: it leaves the site, or, with its slip, tell the "
            "centre; import: take it in at the centre; disks: the ledger."
        ),
    ],
    what: Annotated[str | None, typer.Argument(help="Folder of the disk; the slip, for depart at the centre.")] = None,
    business: Annotated[str | None, typer.Option(help="For prepare; the only one, where not given.")] = None,
    site: Annotated[
        str | None, typer.Option(help="For prepare; the only one without network, where not given.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="For prepare: what stands on the disk's sticker.")] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Carry backups of a site without network to the centre on disks.

    Exit code 0: done, no disk is missing; 1: the ledger has a disk that departed and did not arrive in time; 2: it
    could not run, or the disk is refused.
    """
    use_home(home)
    from voxkeep import carrying  # noqa: PLC0415

    if verb is CarryVerb.disks:
        found = carrying.ledger(home, business)
        print_json({"disks": found}) if json else out.print(carrying.show_ledger(found))
        raise typer.Exit(INCOMPLETE if any(disk["state"] == "missing" for disk in found) else COMPLETE)
    if what is None:
        raise typer.BadParameter(f"`carry {verb.value}` needs the folder of the disk")
    with working(f"carry {verb.value}"), no_heartbeat():
        if verb is CarryVerb.prepare:
            done = carrying.prepare_disk(home, Path(what), business, site, label)
        elif verb is CarryVerb.depart:
            done = carrying.depart(what)
        else:
            done = carrying.take_in(Path(what))
    _show_result(done, json=json)


Call = Annotated[str | None, typer.Option("--call", help="Id of a call: its legs, notes and recordings.")]
Number = Annotated[str | None, typer.Option("--number", help="A whole number: every call that has it.")]
Attribute = Annotated[
    str | None,
    typer.Option("--attribute", help="NAME=VALUE of any other column, e.g. case=K7: every call that has it."),
]
Author = Annotated[str | None, typer.Option("--author", help="Who decides; the user of this machine, where not given.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; an auditor will read it.")]


@app.command(epilog="Example: [bold]voxkeep retention preview meituan[/]")
def retention(
    verb: Annotated[
        RetentionVerb, typer.Argument(help="preview: what would go, why, and what stays; apply: remove it.")
    ],
    business: Annotated[str, typer.Argument(help="The business.")],
    author: Author = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """See what has been kept for its time, or remove it; nothing under the floor or a legal hold ever goes."""
    if verb is RetentionVerb.apply:
        _show_result(_run_flow("retain", home, {"business": business, "author": author or getuser()}), json=json)
        return
    found = _run_flow("preview", home, {"business": business})
    if json:
        print_json(found)
        return
    from voxkeep.keeping import show_preview  # noqa: PLC0415

    show_preview(found)


@app.command(epilog="Example: [bold]voxkeep hold meituan --attribute case=K7 --reason 'court 12 C 3/26'[/]")
def hold(
    business: Annotated[str, typer.Argument(help="The business.")],
    reason: Reason,
    call: Call = None,
    number: Number = None,
    attribute: Attribute = None,
    site: Site = None,
    since: Annotated[
        datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="First business day of a range.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Last business day of a range.")
    ] = None,
    withdraw: Annotated[str | None, typer.Option("--withdraw", help="Take back the hold of this id.")] = None,
    author: Author = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Place a legal hold on a call, a number, a case or a range of days, or withdraw one; every decision is kept."""
    subject = {
        "call": call, "number": number, "attribute": attribute, "site": site, "since": _one_day(since),
        "until": _one_day(until),
    }  # fmt: skip
    parameters = {
        "business": business, "author": author or getuser(), "reason": reason,
        "subject": None if withdraw else subject, "withdraw": withdraw,
    }  # fmt: skip
    _show_result(_run_flow("hold", home, parameters), json=json)


@app.command(epilog="Example: [bold]voxkeep erase meituan --number 15372388463 --reason 'request 17 of 2026-03-02'[/]")
def erase(
    business: Annotated[str, typer.Argument(help="The business.")],
    reason: Reason,
    call: Call = None,
    number: Number = None,
    attribute: Attribute = None,
    author: Author = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Erase one person's data everywhere: recordings, documents, rows, snapshots; with a signed protocol.

    It is refused under a legal hold and, unless the settings say otherwise, under the floor.
    """
    subject = {"call": call, "number": number, "attribute": attribute}
    parameters = {"business": business, "author": author or getuser(), "reason": reason, "subject": subject}
    _show_result(_run_flow("erase", home, parameters), json=json)


@app.command(name="purge-list", epilog="Example: [bold]voxkeep purge-list meituan cq[/]")
def purge_list(
    business: Annotated[str, typer.Argument(help="The business.")],
    site: Annotated[str, typer.Argument(help="The site.")],
    since: Annotated[
        datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="First business day; all, if not given.")
    ] = None,
    home: Home = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Centrally: sign the list of recordings that the site may delete, for they are stored, proved and published.

    Exit code 0: there is a list; 1: nothing may go; 2: it could not run.
    """
    result = _run_flow("purge_list", home, {"business": business, "site": site, "since": _one_day(since)})
    _show_result(result, json=json)
    raise typer.Exit(COMPLETE if result["list"] else INCOMPLETE)


@app.command(epilog="Example: [bold]voxkeep purge list.json --public-key public-key.pem --really[/]")
def purge(
    file: Annotated[Path, typer.Argument(help="The list; its signature, list.json.sig, lies beside it.")],
    public_key: Annotated[
        Path, typer.Option("--public-key", help="Key of the centre, which it gave out on another way than the list.")
    ],
    staging: Annotated[
        Path | None, typer.Option("--staging", help="Staging folder of the site, where it is not that of the list.")
    ] = None,
    really: Annotated[
        bool, typer.Option("--really", help="Delete; without it, only say what would be deleted.")
    ] = False,
    json: Json = False,
) -> None:
    """At the site: delete what a signed list names, and only if it is still just so; the next backup reports it.

    Exit code 0: all that it names went, or would go; 1: some files stay, and it says why; 2: it could not run.
    """
    from voxkeep.purge import carry_out  # noqa: PLC0415

    result = carry_out(file, public_key, staging, really=really)
    _show_result(result, json=json)
    raise typer.Exit(INCOMPLETE if result["stays"] else COMPLETE)
