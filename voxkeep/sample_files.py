"""The recordings of the sample: which files lie on a site's disk, under which names, sound or damaged."""

import os
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from voxkeep.sample_audio import header_only, noise, recording
from voxkeep.sample_calls import DAYS, Call, call_no, dice, fresh_numbers, other_extension
from voxkeep.sample_faults import AMBIGUITY, ORPHANS, SKEW, SKEWED_SITE, Story

TIME_ZONE = "Asia/Shanghai"
# How each site names its recordings, as the rules say it (reconcile.names) …
NAME_TEMPLATES = {
    "cq": (
        "{month}/{day}/{extension}_{number}_{start:%Y%m%d%H%M%S}.wav3",
        "{any}/{month}/{day}/{extension}_{number}_{start:%Y%m%d%H%M%S}.wav3",
    ),
    "bj": ("{year}/{month}/{day}/{any}-{extension}-{number}-{start:%Y%m%d-%H%M%S}-{call_id}.{any}",),
}
# … and what the PBX there writes into its files.
_ENCODINGS = {
    "cq": ("alaw", "alaw", "alaw", "pcm", "ulaw", "gsm", "adpcm", "mp3"),
    "bj": ("mp3", "pcm", "ulaw", "alaw"),
}
_TRANSFER_GAP = timedelta(seconds=2)
_NOISE_BYTES = 24_000
_ORPHANS_START = time(8, 5)


@dataclass(frozen=True)
class AudioFile:
    """A file below a site's recordings root; files of the same key have the same bytes."""

    site: str
    day: date
    path: str
    ended_at: datetime
    seconds: float
    encoding: str
    key: str
    how: str = ""

    @property
    def is_late(self) -> bool:
        """Whether it reaches the disk only on the second day."""
        return self.how == "late"

    def content(self) -> bytes:
        """Its bytes."""
        if self.how == "no_bytes":
            return b""
        if self.how == "header_only":
            return header_only()
        if self.how == "noise":
            return noise(_NOISE_BYTES, self.key)
        whole = recording(self.seconds, self.encoding, self.key)
        return whole[: len(whole) // 2] if self.how == "half" else whole

    def write(self, root: Path, aside: Path) -> None:
        """Put it below the root, with the time of the call's end; does nothing where it lies already.

        It is written aside first: a file that is there is whole.
        """
        target = root / self.path
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = aside / self.path.replace("/", "_")
        draft.write_bytes(self.content())
        ended = self.ended_at.replace(tzinfo=ZoneInfo(TIME_ZONE)).timestamp()
        os.utime(draft, (ended, ended))
        draft.rename(target)


def second_leg(call: Call) -> Call:
    """The rest of a transferred call, on another line under the same id."""
    start = (call.started_at + timedelta(seconds=call.seconds) + _TRANSFER_GAP).replace(microsecond=0)
    return replace(call, started_at=start, extension=other_extension(call), seconds=call.seconds % 7 + 2)


def first_file(story: Story, seed: int) -> AudioFile:
    """The recording of the call's first leg: where it lies, or would lie were it not missing."""
    drift = AMBIGUITY if story.kind == "match_ambiguous" else story.drift
    return _file(story.call, story.fault.how if story.fault else "", drift, seed)


def second_file(story: Story, seed: int) -> AudioFile:
    """The recording of a transferred call's second leg."""
    return _file(second_leg(story.call), "", timedelta(0), seed)


def files_of(story: Story, seed: int) -> list[AudioFile]:
    """The files that a call leaves on the disk."""
    if not story.call.answered:
        return []
    first = first_file(story, seed)
    if story.transferred:
        return [first, second_file(story, seed)]
    if story.kind == "recording_missing":
        return [first] if first.is_late else []
    return [first, copy_of(first)] if story.kind == "recording_duplicate" else [first]


def copy_of(file: AudioFile) -> AudioFile:
    """The same file once more, as somebody's own backup leaves it."""
    return replace(file, path=f"backup/{file.path}")


def orphans(stories: list[Story], seed: int) -> list[AudioFile]:
    """Recordings with well-formed names of calls that no row knows: before the first call of the day."""
    numbers = fresh_numbers(seed, "orphans", len(ORPHANS))
    files = []
    for place, ((site, day), number) in enumerate(zip(ORPHANS, numbers, strict=True)):
        start = datetime.combine(day, _ORPHANS_START) + timedelta(minutes=place)
        like = next(story.call for story in stories if (story.call.site, story.call.day) == (site, day))
        call = replace(like, number=number, started_at=start, call_no=call_no(site, start, place), seconds=4.5 + place)
        files.append(_file(call, "", timedelta(0), seed))
    return files


def _file(call: Call, how: str, drift: timedelta, seed: int) -> AudioFile:
    start = call.started_at + drift
    if call.site == SKEWED_SITE and call.day == DAYS[1]:
        start += SKEW
    # Of the damaged, only a WAV file's header promises how long the file should be.
    encodings = ("alaw",) if how == "half" else _ENCODINGS[call.site]
    encoding = dice(seed, "encoding", call.call_no, call.extension).choice(encodings)
    return AudioFile(
        site=call.site,
        day=call.day,
        path=_path(call, start, encoding),
        ended_at=start + timedelta(seconds=round(call.seconds)),
        seconds=call.seconds,
        encoding=encoding,
        key=f"{seed}:{call.call_no}:{call.extension}",
        how=how,
    )


def _path(call: Call, start: datetime, encoding: str) -> str:
    if call.site == "cq":
        return f"{start:%m/%d}/{call.extension}_{call.number}_{start:%Y%m%d%H%M%S}.wav3"
    kind, suffix = "in" if call.inbound else "out", "mp3" if encoding == "mp3" else "wav"
    name = f"{kind}-{call.extension}-{call.number}-{start:%Y%m%d-%H%M%S}-{call.call_no}.{suffix}"
    return f"{start:%Y/%m/%d}/{name}"
