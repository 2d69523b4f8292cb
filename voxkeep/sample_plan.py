"""All that a sample holds, before anything is written: rows, files, and the findings to come of them."""

from dataclasses import dataclass
from datetime import date
from functools import cache

from voxkeep.sample_calls import DAYS, draw_calls
from voxkeep.sample_faults import SKEWED_SITE, Story, tell_stories
from voxkeep.sample_files import AudioFile, copy_of, files_of, first_file, orphans
from voxkeep.sample_robot import Dropped, dropped_files
from voxkeep.sample_rows import Row, cdr_rows, note_rows

REPORTING_SITES, SILENT_SITE, ROBOT_SITE = ("cq", "bj"), "sz", "cq"
# Faults of a call as such; of the others, the recording is the subject.
_ABOUT_CALLS = ("recording_missing", "call_duplicate")


@dataclass(frozen=True)
class Planted:
    """A fault that was planted and must be found, once.

    `subject` is what people name it by: a recording's path, a call's id, a file and line (`name.csv:17`), a
    file's name, or a site. `call_id` and `path` tell the call and the recording it is about, where there is
    one; the path of a missing recording is where it would lie.
    """

    kind: str
    site: str
    day: date
    subject: str
    call_id: str | None = None
    path: str | None = None


@dataclass(frozen=True)
class Part:
    """What a site gets on a day."""

    cdr: tuple[Row, ...]
    notes: tuple[Row, ...]
    files: tuple[AudioFile, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True)
class Plan:
    """The parts by site and day, what is planted in them, and which of it the late arrivals heal."""

    parts: dict[tuple[str, date], Part]
    planted: tuple[Planted, ...]
    late: tuple[Planted, ...]


@cache
def plan(calls: int, seed: int) -> Plan:
    """The plan of this size and seed; the same one each time.

    Raises:
        ValueError: no sample has this size.
    """
    stories = tell_stories(draw_calls(calls, seed), seed)
    strays = orphans(stories, seed)
    dropped = dropped_files(calls, seed)
    parts = {
        (site, day): _part(
            [story for story in stories if (story.call.site, story.call.day) == (site, day)],
            [stray for stray in strays if (stray.site, stray.day) == (site, day)],
            dropped[day] if site == ROBOT_SITE else (),
            seed,
        )
        for day in DAYS
        for site in REPORTING_SITES
    }
    struck = [(story, _of_story(story, seed)) for story in stories if story.fault]
    planted = (
        [each for _, each in struck] + [_of_orphan(stray) for stray in strays] + _of_dropped(dropped) + _of_sites()
    )
    late = tuple(each for story, each in struck if story.fault and story.fault.how == "late")
    return Plan(parts, tuple(planted), late)


def _part(stories: list[Story], strays: list[AudioFile], dropped: tuple[Dropped, ...], seed: int) -> Part:
    files = [file for story in stories for file in files_of(story, seed)]
    return Part(tuple(cdr_rows(stories, seed)), tuple(note_rows(stories, seed)), (*files, *strays), dropped)


def _of_story(story: Story, seed: int) -> Planted:
    call, first = story.call, first_file(story, seed)
    file = copy_of(first) if story.kind == "recording_duplicate" else first
    call_id = None if story.kind == "match_ambiguous" else call.call_no
    if story.kind in _ABOUT_CALLS:
        return Planted(story.kind, call.site, call.day, call.call_no, call_id, file.path)
    return Planted(story.kind, call.site, call.day, file.path, call_id, file.path)


def _of_orphan(stray: AudioFile) -> Planted:
    return Planted("recording_orphan", stray.site, stray.day, stray.path, path=stray.path)


def _of_dropped(dropped: dict[date, tuple[Dropped, ...]]) -> list[Planted]:
    cut_short = Planted("extract_mismatch", ROBOT_SITE, DAYS[0], dropped[DAYS[0]][0].name)
    lines = [f"{file.name}:{line}" for file in dropped[DAYS[1]] for line in file.bad_lines]
    return [cut_short, *(Planted("row_quarantined", ROBOT_SITE, DAYS[1], line) for line in lines)]


def _of_sites() -> list[Planted]:
    return [
        Planted("clock_skew", SKEWED_SITE, DAYS[1], SKEWED_SITE),
        Planted("backup_overdue", SILENT_SITE, DAYS[1], SILENT_SITE),
    ]
