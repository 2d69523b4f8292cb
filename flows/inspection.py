"""Every morning: the inspection 巡检 of a business. look → tell → wait for a person → keep the signature.

The first run of a day takes the figures; run by a worker, it suspends until somebody has signed the form in Prefect's
UI, which frees the worker. Later runs of the day remind and escalate while nobody has. Whoever has no server signs by
`voxkeep inspect --sign`. The catalog alone knows how the inspection stands.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

import polars as pl
from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterState,
)
from prefect.client.schemas.filters import FlowRunFilterStateType as InState
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout, NotPausedError
from prefect.flow_runs import resume_flow_run, suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run as this_run
from pydantic import Field, create_model

from blocks.business import Business
from blocks.errors import PermanentError, SettingsError
from blocks.lock import exclusive
from blocks.notifier import Notifier, Severity
from blocks.saved import load
from flows.artifacts import show_done
from flows.centre import Centre, load_centre
from flows.days import today
from flows.stock import take_stock
from reconcile.frames import INSPECTIONS
from reconcile.inspection import EVERYWHERE, VERDICTS, InspectionRules, Verdict, digest, overdue, standing, with_act
from reconcile.report import Language, inspection_brief, inspection_form, render_inspection, say

# A form that nobody has filled in for so long is closed; the run fails then, which is told as every failure is.
CLOSES_AFTER = timedelta(days=3)
_SEVERITIES: dict[str, Severity] = {
    "opened": "info", "reminded": "major", "escalated": "critical", "rejected": "critical",
}  # fmt: skip


@dataclass(frozen=True)
class Book:
    """The inspection of one business day: its figures in the reports, its acts (INSPECTIONS) in the catalog."""

    settings: Business
    centres: list[Centre]
    day: date

    @property
    def language(self) -> Language:
        """In which its people are told."""
        return "en" if self.settings.language == "en" else "zh"

    @property
    def rules(self) -> InspectionRules:
        """How it is inspected."""
        return InspectionRules.model_validate(self.settings.inspection)

    @property
    def page(self) -> Path:
        """The page for people; the figures lie beside it as JSON."""
        return self.settings.reports() / self.day.isoformat() / "inspection.html"

    def acts(self) -> pl.DataFrame:
        """What was done so far."""
        catalog, business = self.centres[0].catalog, self.settings.business
        return catalog.read(INSPECTIONS.name, business, EVERYWHERE, [self.day], INSPECTIONS.schema)

    def figures(self) -> tuple[dict[str, Any], str]:
        """The figures as they were taken, and their SHA-256.

        Raises:
            PermanentError: they are not those under which the inspection was opened.
        """
        content = self.page.with_suffix(".json").read_bytes() if self.page.with_suffix(".json").is_file() else b""
        opened = self.acts().filter(pl.col("act") == "opened")["figures_sha256"].to_list()
        if digest(content) != opened[-1]:
            raise PermanentError(
                operation="inspect",
                subject=str(self.page.with_suffix(".json")),
                cause="these are not the figures under which the inspection was opened",
                remedy="put the file back as it was, or reject the inspection: the next one takes them anew",
            )
        return json.loads(content), digest(content)

    def take(self, now: datetime) -> None:
        """Take the figures, and open the inspection with them; those that were rejected stay beside them."""
        content = json.dumps(
            take_stock(self.settings, self.centres, self.day, now), ensure_ascii=False, indent=1, sort_keys=True
        ).encode()  # fmt: skip
        file = self.page.with_suffix(".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            _write(file.with_name(f"inspection-{digest(file.read_bytes())[:12]}.json"), file.read_bytes())
        _write(file, content)
        self.add("opened", now, digest(content))

    def add(self, act: str, now: datetime, sha256: str, **said: object) -> None:
        """Keep an act, and show it in the page."""
        row = {"business": self.settings.business, "site": EVERYWHERE, "day": self.day, "act": act, "at": now}
        acts = with_act(self.acts(), row | {"figures_sha256": sha256} | said)
        self.centres[0].catalog.write(INSPECTIONS.name, self.settings.business, EVERYWHERE, self.day, acts)
        figures = json.loads(self.page.with_suffix(".json").read_bytes())
        _write(self.page, render_inspection(figures, acts, sha256, self.language).encode())

    def tell(self, what: str, **places: object) -> None:
        """Tell the routes of the business, or those who answer for it, what is asked of them."""
        figures, _ = self.figures()
        business, to_others = self.settings.business, what == "escalated"
        notifier = load(Notifier, f"{business}--escalation" if to_others else business)
        text = say(f"inspect_told_{what}", self.language, **places)
        brief = inspection_brief(figures, text, self._where(), self.language)
        title = f"{self.settings.title} · {say('inspection', self.language)} {self.day}"
        for delivery in notifier.resend() + notifier.send(title, brief, _SEVERITIES[what], [self.page]):
            if not delivery.delivered:
                get_run_logger().error("not delivered by %s, kept: %s", delivery.route, delivery.cause)

    def _where(self) -> str:
        """Where it is signed."""
        command = f"`voxkeep inspect {self.settings.business} --sign {say('inspect_name', self.language)}`"
        url = this_run.get_flow_run_ui_url() if _deployed() else None
        if url is None:
            return say("inspect_where_command", self.language, command=command)
        return say("inspect_where", self.language, run=url, command=command)


@flow(name="inspect", flow_run_name="inspect {business}")
def inspect(business: str, day: date | None = None) -> dict[str, Any]:
    """Open the day's inspection, remind of it, and wait for its signature, where a worker runs this.

    However often it runs, a day has one inspection; one that was rejected is taken anew.
    """
    now = datetime.now(UTC)
    book = load_book(business, day, now)
    others = waiting(book)
    with exclusive(book.settings.lock("inspection"), f"inspect {business}"):
        if standing(book.acts()) in ("none", "rejected"):
            book.take(now)
            book.tell("opened")
        elif others or not _deployed():
            remind(book, now)
    if standing(book.acts()) == "open" and _deployed() and not others:
        given = ask(book)
        put(book, given["name"], _verdict(given["verdict"]), given["comment"], given["heard"])
    return _told(book)


def remind(book: Book, now: datetime) -> None:
    """Remind of an inspection that nobody has signed in time, and then tell those who answer for it; once each."""
    what = overdue(book.acts(), now, book.rules)
    if what:
        book.add(what, now, book.figures()[1])
        book.tell(what)


@flow(name="sign", flow_run_name="sign {business}")
def sign(
    business: str, author: str, verdict: Verdict, comment: str = "", heard: int | None = None, day: date | None = None
) -> dict[str, Any]:
    """Sign the day's inspection; it is opened first, where it is not. Whatever run waits for it goes on."""
    if not author.strip():
        raise SettingsError(
            operation="sign an inspection",
            subject=business,
            cause="nobody stands behind it",
            remedy="say who signs: an auditor will read it",
        )
    now = datetime.now(UTC)
    book = load_book(business, day, now)
    with exclusive(book.settings.lock("inspection"), f"sign {business}"):
        if standing(book.acts()) in ("none", "rejected"):
            book.take(now)
    put(book, author, verdict, comment, heard)
    return _told(book)


def load_book(business: str, day: date | None, now: datetime) -> Book:
    """The inspection of this day; of the day on which the run began, where none is given."""
    settings = load(Business, business)
    centres = [load_centre(settings, name) for name in settings.sites]
    context = FlowRunContext.get()
    began = context.flow_run.start_time if context and context.flow_run else None
    return Book(settings, centres, day or today(began or now, centres[0].rules.time_zone))


def form(book: Book) -> type[RunInput]:
    """The form that Prefect's UI shows: the figures, and what a person has to say."""
    spoken = book.language
    figures, sha256 = book.figures()
    verdicts = tuple(say(f"inspect_{name}", spoken) for name in VERDICTS)
    choice: Any = Literal[verdicts]
    made = create_model(
        "Signature",
        __base__=RunInput,
        name=(str, _field("name", spoken, pattern=r"\S")),
        verdict=(choice, _field("verdict", spoken)),
        heard=(int, _field("heard", spoken, ge=0)),
        comment=(str, _field("comment", spoken, default="")),
    )
    made._description = inspection_form(figures, sha256, spoken)  # noqa: SLF001  # as with_initial_data does
    return cast("type[RunInput]", made)


def _field(name: str, language: Language, default: object = ..., **rules: Any) -> Any:  # noqa: ANN401  # pydantic's
    help_key = f"inspect_{name}_help"
    said = say(help_key, language) if name != "heard" else None
    return Field(default, title=say(f"inspect_{name}", language), description=said, **rules)


def ask(book: Book) -> dict[str, Any]:
    """What a person has filled in; ends this run's process until somebody has."""
    seconds = int(CLOSES_AFTER.total_seconds())
    given = suspend_flow_run(wait_for_input=form(book), timeout=seconds, key=_key(book))
    return given.model_dump()


def _key(book: Book) -> str:
    return f"inspection-{book.day}"


def _verdict(label: str) -> Verdict:
    """The verdict that is called so in one of the languages."""
    return next(
        name for name in VERDICTS if label in (name, say(f"inspect_{name}", "zh"), say(f"inspect_{name}", "en"))
    )


def put(book: Book, author: str, verdict: Verdict, comment: str, heard: int | None) -> None:
    """Keep a signature, alarm where it rejects, and let whatever run waits for it go on."""
    now = datetime.now(UTC)
    said: dict[str, Any] = {
        "author": author.strip(), "verdict": verdict, "comment": comment.strip(), "heard": heard,
    }  # fmt: skip
    with exclusive(book.settings.lock("inspection"), f"sign {book.settings.business}"):
        before = book.acts().height
        book.add("signed", now, book.figures()[1], **said)
        is_new = book.acts().height > before
    if is_new and verdict == "rejected":
        book.tell("rejected", author=said["author"], comment=said["comment"] or "—")
    answer = {
        "name": said["author"], "verdict": say(f"inspect_{verdict}", book.language), "comment": said["comment"],
        "heard": heard or 0,
    }  # fmt: skip
    for run in waiting(book):
        with suppress(NotPausedError, FlowPauseTimeout):
            resume_flow_run(run.id, run_input=answer)


def waiting(book: Book) -> list[FlowRun]:
    """The other runs that wait for this day's signature."""
    context = FlowRunContext.get()
    me = context.flow_run.id if context and context.flow_run else None
    with get_client(sync_client=True) as client:
        paused = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[inspect.name])),
            flow_run_filter=FlowRunFilter(
                # Without the name, those of other businesses could fill the only page that is asked for.
                name=FlowRunFilterName(any_=[f"inspect {book.settings.business}"]),
                state=FlowRunFilterState(type=InState(any_=[StateType.PAUSED])),
            ),
        )
    return [
        run
        for run in paused
        if run.id != me
        and run.parameters.get("business") == book.settings.business
        and run.state
        and run.state.state_details.pause_key == _key(book)
    ]


def _deployed() -> bool:
    """Whether a worker runs this, and would run it again."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.deployment_id)


def _told(book: Book) -> dict[str, Any]:
    signed = book.acts().filter(pl.col("act") == "signed").tail(1).to_dicts()
    figures, sha256 = book.figures()
    done = {
        "business": book.settings.business,
        "day": book.day.isoformat(),
        "figures": figures["state"],
        "stands": standing(book.acts()),
        "signed_by": signed[0]["author"] if signed else None,
        "comment": signed[0]["comment"] if signed else None,
        "figures_sha256": sha256,
        "page": str(book.page),
    }
    create_link_artifact(book.page.as_uri(), key=f"inspection-{book.settings.business}", link_text=str(book.day))
    show_done("inspect", book.settings.business, done)
    return done


def _write(file: Path, content: bytes) -> None:
    """Replace the file as a whole: a reader never sees half."""
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(content)
    part.replace(file)
