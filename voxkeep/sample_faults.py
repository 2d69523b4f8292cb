"""What happens to the calls of the sample: which fault strikes which call, and what is odd but no fault.

A call has one fault at most, and a fault that would make a second finding is not planted.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

from voxkeep.sample_calls import DAYS, EXAMPLE_NUMBER, Call, dice

# How far the PBX clock of bj is behind on the second day; on the first it is right.
SKEWED_SITE, SKEW = "bj", timedelta(seconds=-200)
# The two calls of an ambiguous recording start this far before and after it.
AMBIGUITY = timedelta(seconds=10)
_LONGEST_AMBIGUOUS_SECONDS = 8.0
_CALLS_A_TRANSFER, _SHARE_LATE_START = 25, 0.1


@dataclass(frozen=True)
class Fault:
    """A fault that strikes `count` calls of a site on a day; `how` tells variants of one kind apart."""

    kind: str
    site: str
    day: date
    count: int = 1
    how: str = ""


FAULTS = (
    Fault("recording_missing", "cq", DAYS[0], how="late"),
    Fault("recording_missing", "cq", DAYS[0]),
    Fault("recording_missing", "bj", DAYS[0]),
    Fault("recording_missing", "cq", DAYS[1]),
    Fault("recording_duplicate", "bj", DAYS[0]),
    Fault("recording_duplicate", "cq", DAYS[1]),
    Fault("call_duplicate", "cq", DAYS[0]),
    Fault("call_duplicate", "cq", DAYS[1]),
    Fault("match_ambiguous", "cq", DAYS[1]),
    Fault("recording_empty", "cq", DAYS[0], how="no_bytes"),
    Fault("recording_empty", "cq", DAYS[1], how="header_only"),
    Fault("recording_truncated", "cq", DAYS[0], how="half"),
    Fault("recording_truncated", "bj", DAYS[1], how="half"),
    Fault("recording_undecodable", "cq", DAYS[1], how="noise"),
    Fault("duration_mismatch", "cq", DAYS[0]),
    Fault("duration_mismatch", "cq", DAYS[1]),
    # Tampered with at the central side once everything is published, hence on the last day.
    Fault("recording_lost", "cq", DAYS[1]),
    Fault("not_indexed", "cq", DAYS[1]),
    Fault("content_mismatch", "bj", DAYS[1]),
)
# Recordings of nobody's call, by site and day.
ORPHANS = (("cq", DAYS[0]), ("cq", DAYS[1]), ("bj", DAYS[1]))


@dataclass(frozen=True)
class Story:
    """A call with what happened to it: its fault, a transfer to another line, a recorder that began late."""

    call: Call
    fault: Fault | None = None
    transferred: bool = False
    drift: timedelta = timedelta(0)

    @property
    def kind(self) -> str:
        """The kind of its fault; empty where it has none."""
        return self.fault.kind if self.fault else ""


def tell_stories(calls: list[Call], seed: int) -> list[Story]:
    """A story for each call, in the same order.

    Faults come first, then transfers, then late starts, each of calls that nothing else happens to.
    """
    told: dict[str, Story] = {}
    for site, day in dict.fromkeys((call.site, call.day) for call in calls):
        group = [call for call in calls if (call.site, call.day) == (site, day)]
        told |= _of_group(group, site, day, seed)
    return [told.get(call.call_no, Story(call)) for call in calls]


def _of_group(group: list[Call], site: str, day: date, seed: int) -> dict[str, Story]:
    die = dice(seed, "stories", site, day)
    free = [call for call in group if call.answered and call.number != EXAMPLE_NUMBER]
    die.shuffle(free)
    faults = [fault for fault in FAULTS if (fault.site, fault.day) == (site, day) for _ in range(fault.count)]
    stories = [_struck(free.pop(), fault) for fault in faults]
    transfers = min(len(free), max(1, len(group) // _CALLS_A_TRANSFER))
    stories += [Story(free.pop(), transferred=True) for _ in range(transfers)]
    # Only where rows name no file does a start that differs leave the rule `nearest` to find the call.
    late_starts = max(1, round(len(free) * _SHARE_LATE_START)) if free and site == "cq" else 0
    for _ in range(late_starts):
        drift = die.choice((-1, 1)) * die.randint(1, 5)
        stories.append(Story(free.pop(), drift=timedelta(seconds=drift)))
    return {story.call.call_no: story for story in stories}


def _struck(call: Call, fault: Fault) -> Story:
    if fault.kind == "match_ambiguous":  # its two calls must not overlap
        call = replace(call, seconds=min(call.seconds, _LONGEST_AMBIGUOUS_SECONDS))
    return Story(call, fault)
