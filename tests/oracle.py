"""The specification of matching, trace, findings and ledger: plain Python over dicts, slow and obviously right.

It is written from the design and from docs/, and knows nothing of the engine, which must agree with it on every case
(test_oracle.py). Read it from top to bottom. A row is a dict with the columns of docs/frames.md, None where a value
may be null; `rules` is a dict with the names of docs/rules.md. Nothing ever equals None.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, date, timedelta
from statistics import median
from typing import Any

Row = dict[str, Any]

SEVERITY = {
    "recording_lost": "critical", "content_mismatch": "critical", "recording_empty": "major",
    "recording_truncated": "major", "recording_undecodable": "major", "match_ambiguous": "major",
    "recording_missing": "major", "recording_duplicate": "minor", "recording_orphan": "major",
    "not_indexed": "major", "duration_mismatch": "minor", "call_duplicate": "minor", "row_quarantined": "major",
    "extract_mismatch": "major", "clock_skew": "minor", "backup_overdue": "critical",
}  # fmt: skip
FEWEST_MATCHES_FOR_A_CLOCK = 5


# ---- what is one and the same


def first_row_of_each_leg(calls: list[Row]) -> list[Row]:
    """A leg that was extracted several times counts once: as its first row, by file and line."""
    legs: dict[str, Row] = {}
    for row in sorted(calls, key=lambda row: (row["source_file"], row["source_row"])):
        legs.setdefault(row["call_uid"], row)
    return list(legs.values())


def newest_by(name: str, rows: list[Row], *age: str) -> dict[str, Row]:
    """Of several rows with this name (an id, a key) the newest, by these columns; one without a value is the oldest."""
    newest: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: [(row[column] is not None, row[column]) for column in age]):
        newest[row[name]] = row
    return newest


def call_of(row: Row) -> tuple[str, ...]:
    """What the legs of one call share."""
    return row["business"], row["site"], row["dataset"], row["call_id"]


def normalised(number: str | None, rules: Row) -> str | None:
    """A telephone number as digits and masks alone, without access code, own country's code and trunk prefix.

    Each kind of prefix is taken off once, the longest that fits, and only if seven digits or more remain.
    """
    if number is None:
        return None
    text = re.sub(r"[xX*＊]", "*", re.sub(r"[\s\-().]", "", number))
    for prefixes in (rules["access_codes"], rules["country_codes"], rules["trunk_prefixes"]):
        for prefix in sorted(prefixes, key=len, reverse=True):
            rest = text.removeprefix(prefix)
            if text.startswith(prefix) and re.fullmatch("[0-9*]{7,}", rest):
                text = rest
                break
    digits = re.sub("[^0-9*]", "", text)
    return digits if re.search("[0-9]", digits) else None


def numbers_of(leg: Row, rules: Row) -> set[str]:
    """The numbers of both sides of a call."""
    return {normalised(leg["callee"], rules), normalised(leg["caller"], rules)} - {None}  # type: ignore[arg-type]


def can_be_one(number: str, other: str) -> bool:
    """Whether two numbers, one of them masked, can be one line: of one length, and six digits or more in common.

    A masked digit equals any, and none that both show may differ.
    """
    shown = [pair for pair in zip(number, other, strict=False) if "*" not in pair]
    is_masked = "*" in number + other and len(number) == len(other)
    return is_masked and len(shown) >= 6 and all(one == two for one, two in shown)


def object_key(file: Row) -> str | None:
    """Where the recording is published: its day, its id, its content, and a plain suffix of its name."""
    if file["sha256"] is None:
        return None
    suffix = re.search(r"\.[A-Za-z0-9]{1,8}$", file["path"])
    name = file["recording_id"]
    return f"{file['day']}/{name[:2]}/{name}.{file['sha256'][:12]}{suffix.group().lower() if suffix else ''}"


# ---- matching: each recording looks for its call, rule by rule


class Matches:
    """Links by recording_id, ties, and the clock offset (seconds, number of matches) by site and day."""

    def __init__(self) -> None:
        self.links: dict[str, Row] = {}
        self.ties: list[Row] = []
        self.clock: dict[tuple[str, date], tuple[float, int]] = {}

    def is_tied(self, recording: str) -> bool:
        """Whether the recording has a part in a tie."""
        return any(tie["recording_id"] == recording for tie in self.ties)

    def owns_tie(self, leg: str) -> bool:
        """Whether the leg's row fits several files."""
        return any(tie["call_uid"] == leg and tie["owner"] for tie in self.ties)


def match(calls: list[Row], files: list[Row], rules: Row) -> Matches:
    """What one rule has linked or tied is not asked again by the next: recordings, and legs that own a tie."""
    legs, found = first_row_of_each_leg(calls), Matches()
    for rule in rules["matching"]["order"]:
        free_files = [
            file
            for file in files
            if file["recording_id"] not in found.links and not found.is_tied(file["recording_id"])
        ]
        if rule == "path":
            by_path([leg for leg in legs if not found.owns_tie(leg["call_uid"])], free_files, found)
        elif rule == "key":
            by_key([leg for leg in legs if not found.owns_tie(leg["call_uid"])], free_files, found, rules)
        else:
            found.clock = clock_offsets(legs, files, found)
            by_nearest(legs, free_files, found, rules)
    found.clock = clock_offsets(legs, files, found)
    return found


def settle(file: Row, candidates: list[tuple[Row, float, str]], rule: str, found: Matches) -> None:
    """The call that alone fits has the recording, by the first of its fitting legs; two calls or more are a tie."""
    if not candidates:
        return
    fitting = {call_of(leg) for leg, _, _ in candidates}
    if len(fitting) == 1:
        leg, score, reason = min(candidates, key=lambda candidate: candidate[0]["leg"])
        found.links[file["recording_id"]] = {
            "call_uid": leg["call_uid"], "recording_id": file["recording_id"], "match": rule, "score": score,
            "reason": reason,
        }  # fmt: skip
        return
    names = sorted({leg["call_id"] for leg, _, _ in candidates})
    reason = f"fits {len(fitting)} calls equally well: {', '.join(names[:5])}"
    found.ties.append({"call_uid": None, "recording_id": file["recording_id"], "owner": True, "reason": reason})
    for leg, _, _ in candidates:
        found.ties.append({"call_uid": leg["call_uid"], "recording_id": None, "owner": False, "reason": None})


# -- path: the row names the file


def by_path(legs: list[Row], files: list[Row], found: Matches) -> None:
    """The whole path; failing that, a tail of it that one file alone has, among files that no row names whole."""
    legs = [leg for leg in legs if leg["recording_path"] is not None]
    whole = [(leg, file) for leg in legs for file in files if named_whole(leg, file)]
    legs_left = [leg for leg in legs if leg not in [named for named, _ in whole]]
    files_left = [file for file in files if file not in [named for _, named in whole]]
    tails = {leg["call_uid"]: files_with_tail(leg, files_left) for leg in legs_left}
    for file in files:
        candidates = [(leg, 1.0, "the row names this file") for leg, named in whole if named is file]
        candidates += [
            (leg, 0.95, f"the row names {leg['recording_path']}, which only this file ends with")
            for leg in legs_left
            if tails[leg["call_uid"]] == [file]
        ]
        settle(file, candidates, "path", found)
    for leg in legs_left:
        several = tails[leg["call_uid"]]
        if len(several) > 1:
            names = ", ".join(sorted(file["path"] for file in several)[:5])
            reason = f"its row fits {len(several)} files: {names}"
            found.ties.append({"call_uid": leg["call_uid"], "recording_id": None, "owner": True, "reason": reason})
            for file in several:
                if file["recording_id"] not in found.links:  # one that another row alone names is not in doubt
                    member = {"call_uid": None, "recording_id": file["recording_id"], "owner": False, "reason": None}
                    found.ties.append(member)


def named_whole(leg: Row, file: Row) -> bool:
    """Whether the row gives the file's whole path."""
    return bool(leg["site"] == file["site"] and leg["recording_path"] == file["path"])


def files_with_tail(leg: Row, files: list[Row]) -> list[Row]:
    """The files that agree with the end of the row's path, from a folder's edge, for as long as any does.

    Either the file ends with what the row says; or the row says an absolute path of the source's, which ends with
    the file's.
    """
    said = "/" + leg["recording_path"].removeprefix("/")
    is_absolute = re.match(r"/|[A-Za-z]:/|[a-z][a-z0-9+.-]*://", leg["recording_path"])
    alike = []
    for file in files:
        path = "/" + file["path"]
        if leg["site"] == file["site"] and (path.endswith(said) or (is_absolute and said.endswith(path))):
            alike.append((min(len(said), len(path)), file))
    longest = max((length for length, _ in alike), default=0)
    return [file for length, file in alike if length == longest]


# -- key: fields of the file's name equal the row's columns


def by_key(legs: list[Row], files: list[Row], found: Matches, rules: Row) -> None:
    """The fields that the business names; else the call id; or the start with all else that the name gives."""
    chosen = rules["matching"]["key"]
    for file in files:
        given = {
            "call_id": file["call_id"], "extension": file["extension"],
            "number": normalised(file["number"], rules["numbers"]), "start": file["started_at"],
        }  # fmt: skip
        if chosen is not None:
            fields = chosen
        elif any(leg["site"] == file["site"] and equal(leg, given, "call_id", rules) for leg in legs):
            fields = ["call_id"]
        else:
            fields = [name for name in ("extension", "number") if given[name] is not None]
            fields = [*fields, "start"] if fields else []
        there = [leg for leg in legs if fields and leg["site"] == file["site"]]
        reason = "the name gives the call id" if fields == ["call_id"] else f"same {', '.join(fields)}"
        fitting = [(leg, 0.9, reason) for leg in there if all(equal(leg, given, name, rules) for name in fields)]
        if not fitting and "number" in fields:  # a masked number is asked where no whole one fits
            reason += ", as far as the number is not masked"
            fitting = [
                (leg, 0.85, reason)
                for leg in there
                if all(equal(leg, given, name, rules, masked=name == "number") for name in fields)
            ]
        settle(file, fitting, "key", found)


def equal(leg: Row, given: Row, field: str, rules: Row, *, masked: bool = False) -> bool:
    """Whether a field of the name equals the row's; starts are equal if they are in the same second."""
    value = given[field]
    if value is None:
        return False
    if field == "number":
        numbers = numbers_of(leg, rules["numbers"])
        return any(can_be_one(value, number) for number in numbers) if masked else value in numbers
    if field == "start":
        start = leg["started_at"]
        return start is not None and start.replace(microsecond=0) == value.replace(microsecond=0)
    return bool(leg[field] == value)


# -- nearest: the same line, the nearest start within the tolerance, by the site's corrected clock


def by_nearest(legs: list[Row], files: list[Row], found: Matches, rules: Row) -> None:
    """The nearest of the calls that have no recording by now and own no tie."""
    linked = {link["call_uid"] for link in found.links.values()}
    taken = {call_of(leg) for leg in legs if leg["call_uid"] in linked or found.owns_tie(leg["call_uid"])}
    free = [leg for leg in legs if call_of(leg) not in taken]
    for file in files:
        given = {"extension": file["extension"], "number": normalised(file["number"], rules["numbers"])}
        fields = [name for name in ("extension", "number") if given[name] is not None]
        if file["started_at"] is None or not fields:
            continue
        offset, _ = found.clock.get((file["site"], file["day"]), (0.0, 0))
        started_at = file["started_at"] - timedelta(microseconds=round(offset * 1e6))
        tolerance = rules["matching"]["tolerance_seconds"]
        for masked in (False, True):
            apart = {
                leg["call_uid"]: abs(started_at - leg["started_at"])
                for leg in free
                if leg["site"] == file["site"]
                and leg["started_at"] is not None
                and all(equal(leg, given, name, rules, masked=masked and name == "number") for name in fields)
            }
            least = min(apart.values(), default=timedelta.max)
            if least <= timedelta(seconds=tolerance):
                break
        else:
            continue
        seconds = least / timedelta(microseconds=1) / 1e6
        of_number = ", as far as the number is not masked" if masked else ""
        reason = (
            f"same {' and '.join(fields)}{of_number}, start differs by {tenths(seconds)} s "
            f"after {tenths(offset)} s clock offset"
        )
        score = round((0.7 if masked else 0.8) - 0.5 * seconds / tolerance, 9)
        settle(
            file,
            [(leg, score, reason) for leg in free if apart.get(leg["call_uid"]) == least],
            "nearest",
            found,
        )


def clock_offsets(legs: list[Row], files: list[Row], found: Matches) -> dict[tuple[str, date], tuple[float, int]]:
    """How many seconds the recorder's clock is ahead, a site and day of calls.

    It is the median of the certain matches, to the microsecond.
    """
    apart: dict[tuple[str, date], list[int]] = {}
    for file in files:
        link = found.links.get(file["recording_id"])
        if link is None or link["match"] == "nearest":
            continue
        (leg,) = [leg for leg in legs if leg["call_uid"] == link["call_uid"]]
        if file["started_at"] is not None and leg["started_at"] is not None:
            microseconds = (file["started_at"] - leg["started_at"]) // timedelta(microseconds=1)
            apart.setdefault((leg["site"], leg["day"]), []).append(microseconds)
    return {
        which: (round(median(values)) / 1e6, len(values))
        for which, values in apart.items()
        if len(values) >= FEWEST_MATCHES_FOR_A_CLOCK
    }


def tenths(value: float) -> float:
    """To one place behind the point; halves go to the even one, and a zero has no sign."""
    return round(value * 10, 0) / 10 + 0.0


# ---- the trace: a row for each recording, and for each call, or file that a leg names, that has none


def trace(
    calls: list[Row], inventory: list[Row], stations: dict[str, list[Row] | None], rules: Row
) -> tuple[list[Row], Matches]:
    """The frame `trace`, and what tied its rows.

    `stations` are snapshot_files, restored, listing and indexed; None: not looked at.
    """
    legs = first_row_of_each_leg(calls)
    files = list(newest_by("recording_id", inventory, "mtime", "size", "sha256").values())
    found = match(legs, files, rules)
    rows = [row_of_recording(file, legs, found, rules) for file in files] + rows_without_recording(legs, found, rules)
    look_at_stations(rows, stations)
    find_duplicates(rows)
    for row in rows:
        row["lost_at"] = lost_at(row)
    for row in rows:
        row["coverage"] = coverage([r for r in rows if r["called"] and call_of(r) == call_of(row)])
    for row in rows:
        del row["mtime"], row["md5"]
    return in_order(rows), found


def in_order(rows: list[Row]) -> list[Row]:
    """The order of the trace's rows; what has no value comes last."""
    order = ("business", "site", "day", "started_at", "call_id", "path", "call_uid", "recording_id")
    return sorted(rows, key=lambda row: [(row[name] is None, row[name]) for name in order])


def other_party(leg: Row, rules: Row) -> str | None:
    """The first number of the row, callee before caller, that is a number at all and not the agent's own line."""
    numbers = [normalised(leg[side], rules["numbers"]) for side in ("callee", "caller") if not is_own_line(leg, side)]
    return next((number for number in numbers if number is not None), None)


def is_own_line(leg: Row, side: str) -> bool:
    """Whether this side of the call is the agent."""
    return bool(leg[side] == leg["extension"])


def facts_of_call(leg: Row, legs: list[Row], rules: Row) -> Row:
    """What a row of the trace says of the call."""
    names = ("business", "site", "day", "dataset", "call_uid", "call_id", "started_at", "extension", "talk_seconds")
    of_call = [other for other in legs if call_of(other) == call_of(leg)]
    facts = {name: leg[name] for name in (*names, "expects_recording")}
    return facts | {"legs": len(of_call), "number": other_party(leg, rules), "called": True}


NO_CALL = {
    "dataset": None, "call_uid": None, "call_id": None, "legs": None, "talk_seconds": None, "expects_recording": None,
    "day": None, "started_at": None, "extension": None, "number": None, "called": False,
}  # fmt: skip


def row_of_recording(file: Row, legs: list[Row], found: Matches, rules: Row) -> Row:
    """A recording with its call, if it has one; what the call does not say the file's name may say."""
    link = found.links.get(file["recording_id"])
    leg = next((leg for leg in legs if link and leg["call_uid"] == link["call_uid"]), None)
    row = facts_of_call(leg, legs, rules) if leg else dict(NO_CALL)
    of_name = {"number": normalised(file["number"], rules["numbers"])} | {
        name: file[name] for name in ("day", "started_at", "extension")
    }
    for name, value in of_name.items():
        row[name] = value if row[name] is None else row[name]
    of_file = (
        "business", "site", "recording_id", "path", "duration_ms", "size", "mtime", "sha256", "md5", "container",
        "codec", "state",
    )  # fmt: skip
    ties = [tie for tie in found.ties if tie["recording_id"] == file["recording_id"]]
    reasons = [told["reason"] for told in ([link] if link else ties) if told["reason"] is not None]
    return row | {name: file[name] for name in of_file} | {
        "key": object_key(file), "on_site": True, "ambiguous": bool(ties), "reason": next(iter(reasons), None),
        "match": link["match"] if link else None, "score": link["score"] if link else None,
    }  # fmt: skip


NO_RECORDING = {
    "recording_id": None, "duration_ms": None, "size": None, "mtime": None, "sha256": None, "md5": None,
    "container": None, "codec": None, "state": None, "key": None, "match": None, "score": None, "on_site": False,
}  # fmt: skip


def rows_without_recording(legs: list[Row], found: Matches, rules: Row) -> list[Row]:
    """A row for each unit that has no recording and is not content with another's.

    The unit is the file that legs of a call name, or, for legs that name none, the call itself. Of its legs the first
    that must have a recording stands for it, else the first.
    """
    linked = {link["call_uid"] for link in found.links.values()}
    units: dict[tuple[Any, ...], list[Row]] = {}
    for leg in legs:
        units.setdefault((*call_of(leg), leg["recording_path"]), []).append(leg)
    rows = []
    for unit in units.values():
        if any(leg["call_uid"] in linked for leg in unit):
            continue
        of_call = [leg for leg in legs if call_of(leg) == call_of(unit[0])]
        has_recording = any(leg["call_uid"] in linked for leg in of_call)
        wanting = [leg for leg in unit if is_wanting(leg, of_call, has_recording, found)]
        if wanting:
            rows.append(row_without_recording(wanting, legs, found, rules))
    return rows


def is_wanting(leg: Row, of_call: list[Row], has_recording: bool, found: Matches) -> bool:
    """Whether this leg, which has no recording, lacks one that no other row tells of.

    Where its call has a recording, it lacks one that it names and must have, or that it names and that could be
    several files. Where its call has none, one that names no file leaves it to the leg that must have the file it
    names.
    """
    if has_recording:
        return must_have_its_file(leg) or found.owns_tie(leg["call_uid"])
    return leg["recording_path"] is not None or not any(must_have_its_file(other) for other in of_call)


def must_have_its_file(leg: Row) -> bool:
    return leg["recording_path"] is not None and leg["expects_recording"]


def row_without_recording(unit: list[Row], legs: list[Row], found: Matches, rules: Row) -> Row:
    first = min(
        unit,
        key=lambda leg: (not leg["expects_recording"], leg["started_at"] is None, leg["started_at"], leg["leg"]),
    )
    uids = [leg["call_uid"] for leg in unit]
    ties = [tie for tie in found.ties if tie["call_uid"] in uids]
    return facts_of_call(first, legs, rules) | NO_RECORDING | {
        "path": first["recording_path"], "ambiguous": bool(ties),
        "reason": next((tie["reason"] for tie in ties if tie["owner"]), None),
    }  # fmt: skip


# -- stations


def look_at_stations(rows: list[Row], stations: dict[str, list[Row] | None]) -> None:
    """The rows get in_snapshot, restored, published, indexed and content_ok: None where nothing can be said.

    Behind the source nothing is said of a file that is still written.
    """
    for row in rows:
        row |= {"in_snapshot": None, "restored": None, "published": None, "indexed": None, "content_ok": None}
    files = [row for row in rows if row["recording_id"] is not None]
    if stations["snapshot_files"] is not None:
        held = newest_by("recording_id", stations["snapshot_files"], "mtime", "size")
        for row in [row for row in files if row["state"] != "in_progress"]:
            look_into_snapshot(row, held.get(row["recording_id"]))
    for row in [row for row in files if row["state"] != "in_progress"]:
        look_at_copies(row, stations)
    if stations["indexed"] is not None:
        for row in [row for row in rows if row["called"]]:
            look_into_index(row, stations["indexed"])


def look_into_snapshot(row: Row, held: Row | None) -> None:
    """It holds this version, or an older one, which is not this recording, or one that grew since: still moving."""
    row["in_snapshot"] = held is not None and held["mtime"] >= row["mtime"]
    if row["in_snapshot"] and held and (held["mtime"], held["size"]) != (row["mtime"], row["size"]):
        row |= {"in_snapshot": None, "state": "in_progress"}


def look_at_copies(row: Row, stations: dict[str, list[Row] | None]) -> None:
    """Whether it is on the central disk and in the object store, and whether each copy has the source's bytes."""
    same: list[bool] = []
    if stations["restored"] is not None:
        copies = newest_by("recording_id", stations["restored"], "mtime", "sha256")
        row["restored"] = look_at_copy(row, copies.get(row["recording_id"]), same)
    if stations["listing"] is not None:
        objects = newest_by("key", stations["listing"], "last_modified", "size", "etag")
        row["published"] = look_at_object(row, objects.get(row["key"]), same)
    row["content_ok"] = all(same) if same else None


def look_at_copy(row: Row, copy: Row | None, same: list[bool]) -> bool:
    """A copy on the central disk; of an older version, with other bytes, it is not this recording's."""
    if copy is None or (copy["mtime"] < row["mtime"] and row["sha256"] is not None and copy["sha256"] != row["sha256"]):
        return False
    if row["sha256"] is not None:
        same.append(copy["sha256"] == row["sha256"])
    return True


def look_at_object(row: Row, stored: Row | None, same: list[bool]) -> bool:
    """The object with its key has its bytes if the size, and the MD5 where the store's tag is one, are right."""
    if stored is None:
        return False
    tag = (stored["etag"] or "").lower()
    is_md5 = re.fullmatch("[0-9a-f]{32}", tag) is not None
    if stored["size"] != row["size"]:
        same.append(False)
    elif not is_md5:
        same.append(True)
    elif row["md5"] is not None:
        same.append(tag == row["md5"])
    return True


def look_into_index(row: Row, indexed: list[Row]) -> None:
    """A recording is indexed if the index links its leg to it; a call without one, if the index knows the leg."""
    links = [link for link in indexed if link["call_uid"] == row["call_uid"]]
    row["indexed"] = bool(links)
    if row["recording_id"] is not None:
        row["indexed"] = any(link["recording_id"] == row["recording_id"] for link in links)


# -- duplicates, losses, coverage


def find_duplicates(rows: list[Row]) -> None:
    """A recording repeats another one of its site with the same bytes: of its own leg, or of any if it has no call.

    Of equal ones the original is one with a call, then the oldest, then that with the shortest path.
    """
    for row in rows:
        row["duplicate_of"] = None
        if row["sha256"] is None or row["size"] == 0:
            continue
        equals = [
            other
            for other in rows
            if (other["business"], other["site"], other["sha256"]) == (row["business"], row["site"], row["sha256"])
            and other["size"] > 0
            and row["call_uid"] in (None, other["call_uid"])
        ]
        original = min(equals, key=originality)
        if original is not row:
            row["duplicate_of"] = original["recording_id"]


def originality(row: Row) -> tuple[Any, ...]:
    return row["call_uid"] is None, row["mtime"], len(row["path"].encode()), row["path"]


def lost_at(row: Row) -> str | None:
    """The first station that lacks it; a file still written is lost nowhere, nor is one that a tie leaves open."""
    if row["state"] == "in_progress":
        return None
    if not row["on_site"] and row["expects_recording"] and not row["ambiguous"]:
        return "on_site"
    return next((name for name in ("in_snapshot", "restored", "published", "indexed") if row[name] is False), None)


def coverage(rows: list[Row]) -> str | None:
    """Of a call, from all its rows: excluded, missing, partial or complete. A copy of another file does not count."""
    if not rows:
        return None
    files = [row for row in rows if row["recording_id"] is not None]
    if not files and not any(row["expects_recording"] for row in rows):
        return "excluded"
    own = [row for row in files if row["duplicate_of"] is None]
    ambiguous = any(row["ambiguous"] for row in rows)
    if all(row["lost_at"] == "in_snapshot" for row in own) and not ambiguous:
        return "missing"
    lacks_one = any(row["recording_id"] is None and row["expects_recording"] for row in rows)
    return "complete" if all(is_whole(row) for row in own) and not lacks_one and not ambiguous else "partial"


def is_whole(row: Row) -> bool:
    return row["state"] == "ok" and row["lost_at"] is None and row["content_ok"] is not False


# ---- findings: one cause, one finding


def findings(look: dict[str, Any], rows: list[Row], clock: dict[Any, Any], rules: Row, as_of: date) -> list[Row]:
    """The frame `findings` of a trace and of what else was looked at, in the order of their ids.

    Of `look` a station is None that was not looked at.
    """
    parts: list[Row] = [
        *in_trace(rows, rules["matching"], look), *repeated_calls(look["calls"]), *quarantined_rows(look["quarantine"]),
        *mismatched_extracts(look["extracts"]), *skewed_clocks(clock, look["business"], rules["matching"]),
        *overdue_backups(look["due"], look["snapshots"]),
    ]  # fmt: skip
    told: dict[str, Row] = {}
    for part in parts:
        text = "\0".join([part["kind"], part["business"], part["site"], part.pop("identity")])
        part["finding_id"] = hashlib.sha256(text.encode()).hexdigest()[:16]
        nothing = dict.fromkeys(
            ("call_uid", "call_id", "recording_id", "lost_at", "held_at", "held_time", "size", "sha256", "cause")
        )
        seen = {"severity": SEVERITY[part["kind"]], "first_seen": as_of, "last_seen": as_of, "status": "open"}
        seen |= {"status_since": as_of, "resolution": None}
        told.setdefault(part["finding_id"], nothing | part | seen)
    return [told[finding_id] for finding_id in sorted(told)]


def in_trace(rows: list[Row], rules: Row, look: dict[str, Any]) -> Iterable[Row]:
    """A row of the trace has one finding at most; it is known by its recording, or by its call and the file named."""
    for row in rows:
        kind = kind_of(row, rows, rules)
        if kind is None:
            continue
        expected, actual = words(kind, row)
        shared = ("business", "site", "day", "call_uid", "call_id", "recording_id", "lost_at")
        yield {name: row[name] for name in shared} | {
            "kind": kind, "expected": expected, "actual": actual,
            "subject": row["path"] if row["recording_id"] is not None else f"call {row['call_id']}",
            "identity": row["recording_id"] or "\n".join([row["dataset"], row["call_id"], row["path"] or ""]),
        } | evidence(row, kind, rows, look)  # fmt: skip


def kind_of(row: Row, rows: list[Row], rules: Row) -> str | None:
    """The first of docs/findings.md that holds; of what still moves nothing is said."""
    conditions = {
        "recording_lost": row["recording_id"] and row["lost_at"] in {"in_snapshot", "restored", "published"},
        "content_mismatch": row["content_ok"] is False,
        "recording_empty": row["state"] == "empty",
        "recording_truncated": row["state"] == "truncated",
        "recording_undecodable": row["state"] in {"undecodable", "unreadable"},
        "match_ambiguous": row["ambiguous"] and row["reason"] is not None,
        "recording_missing": row["lost_at"] == "on_site",
        "recording_duplicate": row["duplicate_of"] is not None,
        "recording_orphan": not row["called"] and not row["ambiguous"],
        "not_indexed": row["lost_at"] == "indexed",
        "duration_mismatch": lengths_differ(row, rows, rules),
    }
    return next((kind for kind, holds in conditions.items() if holds and row["state"] != "in_progress"), None)


def lengths_differ(row: Row, rows: list[Row], rules: Row) -> bool:
    """Only where each leg of the call has one file, so that talk time and length are of the same thing."""
    if row["call_uid"] is None or row["talk_seconds"] is None or row["duration_ms"] is None:
        return False
    files = [r for r in rows if r["called"] and call_of(r) == call_of(row) and r["recording_id"] is not None]
    if len([r for r in rows if r["call_uid"] == row["call_uid"]]) > 1 or row["legs"] > len(files):
        return False
    allowed = max(rules["duration_tolerance_seconds"], row["talk_seconds"] * rules["duration_tolerance_ratio"])
    return bool(abs(row["duration_ms"] / 1000 - row["talk_seconds"]) > allowed)


def words(kind: str, row: Row) -> tuple[str, str]:
    """What should have been there, and what was."""
    content = f"sha256 {(row['sha256'] or 'unread')[:12]}, {row['size']} bytes"
    unreadable = "that could not be read" if row["state"] == "unreadable" else "with no header that is known"
    a_file = f"the file {row['path']}" if row["path"] is not None else "a recording"
    said = {
        "recording_lost": (f"at the station before, {content}", f"not at station {row['lost_at']}"),
        "content_mismatch": (content, "a copy has other bytes"),
        "recording_empty": ("a recording with audio", f"{row['size']} bytes without audio"),
        "recording_truncated": ("as many bytes as the header says", f"the file ends after {row['size']} bytes"),
        "recording_undecodable": ("a known audio format", f"{row['size']} bytes {unreadable}"),
        "match_ambiguous": ("one partner that fits best", row["reason"]),
        "recording_missing": (a_file, "none on the source disk"),
        "recording_duplicate": ("content of its own", f"the same bytes as recording {row['duplicate_of']}"),
        "recording_orphan": ("a call that it belongs to", "none that fits by any rule"),
        "not_indexed": ("the call with its recording in the call index", "not in the call index"),
    }
    if kind == "duration_mismatch":
        return f"{tenths(row['talk_seconds'])} s talked", f"{tenths(row['duration_ms'] / 1000)} s recorded"
    return said[kind]


# -- evidence: where it was last, and what led to it


def evidence(row: Row, kind: str, rows: list[Row], look: dict[str, Any]) -> Row:
    """The last station that has it, since when, its size and hash, and the cause, as far as the data tell."""
    copies = held_copies(row, kind, look)
    snapshots = [snapshot for snapshot in look["snapshots"] if covers(snapshot, row)]
    gone = newest_by("recording_id", look["gone"], "gone_since", "last_on_site").get(row["recording_id"])
    if row["recording_id"] is None:
        holding = [name for name in ("published", "restored", "in_snapshot") if copies[name] is not None]
    else:
        holding = stations_with_its_bytes(row, copies)
    held_at = next(iter(holding), "called" if row["called"] else None)
    inventories = [snapshot["taken_at"] for snapshot in snapshots if snapshot["inventory_whole"]]
    times = {
        "on_site": gone["last_on_site"] if gone else max(inventories, default=None),
        "called": row["started_at"],
        None: None,
    } | {name: copy["time"] for name, copy in copies.items() if copy is not None}
    known = [copy for copy in (copies["restored"], copies["in_snapshot"], copies["published"]) if copy is not None]
    if row["recording_id"] is not None or not known:
        size, sha256 = row["size"], row["sha256"]
    else:
        size, sha256 = known[0]["size"], (copies["restored"] or {"sha256": None})["sha256"]
    return {
        "held_at": held_at, "held_time": times.get(held_at), "size": size, "sha256": sha256,
        "cause": cause(row, kind, rows, look, {"copies": copies, "gone": gone, "covered": bool(snapshots)}),
    }  # fmt: skip


def covers(snapshot: Row, row: Row) -> bool:
    """Whether it is of the row's site, and the row's day one of its days."""
    same_site = (snapshot["business"], snapshot["site"]) == (row["business"], row["site"])
    return bool(same_site and row["day"] is not None and snapshot["first_day"] <= row["day"] <= snapshot["day"])


def held_copies(row: Row, kind: str, look: dict[str, Any]) -> dict[str, Row | None]:
    """The newest version at each station behind the source, each with the `time` by which the station had any last.

    For a call without recording it is the one that it names, if that must be there.
    """
    wanted = row["recording_id"]
    if wanted is None and kind == "recording_missing" and row["path"] is not None:
        wanted = hashlib.sha256("\0".join([row["business"], row["site"], row["path"]]).encode()).hexdigest()[:32]
    taken = {snapshot["snapshot_id"]: snapshot["taken_at"] for snapshot in look["snapshots"]}
    held: dict[str, Row | None] = {"in_snapshot": None, "restored": None, "published": None}
    for name, table, age in (
        ("in_snapshot", "snapshot_files", ("mtime", "size")),
        ("restored", "restored", ("mtime", "sha256", "size", "published")),
    ):
        mine = [copy for copy in look[table] or [] if copy["recording_id"] == wanted]
        if mine:
            times = [taken[copy["snapshot_id"]] for copy in mine if copy["snapshot_id"] in taken]
            held[name] = newest_by("recording_id", mine, *age)[wanted] | {"time": max(times, default=None)}
    objects = [
        stored
        for stored in look["listing"] or []
        if stored["key"] == row["key"] or (row["recording_id"] is None and stored["key"][14:46] == wanted)
    ]
    if objects:
        newest = max(objects, key=lambda stored: (stored["last_modified"], stored["size"]))
        held["published"] = newest | {"time": newest["last_modified"]}
    return held


def stations_with_its_bytes(row: Row, copies: dict[str, Row | None]) -> list[str]:
    """The stations that hold the recording as it is at the source, the last first."""
    intact = row["content_ok"] is not False
    holds = {
        "published": row["published"] and intact,
        "restored": row["restored"] and (intact or is_same(row, copies["restored"])),
        "in_snapshot": row["in_snapshot"], "on_site": row["on_site"],
    }  # fmt: skip
    return [name for name, is_held in holds.items() if is_held]


def is_same(row: Row, copy: Row | None) -> bool:
    """Whether the copy is known to have the source's bytes."""
    return copy is not None and row["sha256"] is not None and copy["sha256"] == row["sha256"]


def cause(row: Row, kind: str, rows: list[Row], look: dict[str, Any], known: Row) -> str | None:
    """The first of docs/findings.md that the data show."""
    lost = row["lost_at"] if kind == "recording_lost" else None
    copy = known["copies"]["restored"]
    has_other_copy = row["restored"] and row["sha256"] is not None and copy and copy["sha256"] != row["sha256"]
    is_nowhere_behind = lost == "in_snapshot" and not row["restored"] and not row["published"]
    is_proved = lost == "published" and row["restored"] and copy and is_same(row, copy)
    missing, unlinked = kind == "recording_missing", kind == "not_indexed"
    shown = {
        "unreadable_on_site": row["state"] == "unreadable" and kind in {"recording_lost", "recording_undecodable"},
        "site_disk_purged": (is_nowhere_behind and known["gone"]) or (missing and any(known["copies"].values())),
        "vanished_before_backup": is_nowhere_behind,
        "restore_incomplete": lost == "restored" and row["in_snapshot"] and not row["published"],
        "restored_damaged": (kind == "content_mismatch" or lost == "published") and has_other_copy,
        "publish_rejected": is_proved and copy and copy["published"] is False,
        "object_removed": is_proved and copy and copy["published"] is True,
        "object_damaged": kind == "content_mismatch" and row["published"],
        "index_rejected": unlinked and row["call_uid"] in [refused["call_uid"] for refused in look["rejected"]],
        "index_waiting": unlinked and any(is_of_day(waiting, row) for waiting in look["unindexed"]),
        "backup_missing": missing and row["day"] is not None and not known["covered"],
        "never_recorded_at_site": missing and is_silent(row, rows, (), 3),
        "never_recorded_on_line": missing and is_silent(row, rows, ("extension",), 2),
        "never_recorded_too_short": missing and row["talk_seconds"] is not None and row["talk_seconds"] < 1,
    }
    return next((name for name, holds in shown.items() if holds), None)


def is_of_day(row: Row, other: Row) -> bool:
    return all(row[name] is not None and row[name] == other[name] for name in ("business", "site", "day"))


def is_silent(row: Row, rows: list[Row], of_line: tuple[str, ...], fewest: int) -> bool:
    """Whether so many calls lack a recording in this row's hour, and nothing that could be of that hour was recorded.

    Of the whole site, or of the row's line: a recording of nobody knows which hour or line could be of this one.
    """
    if row["started_at"] is None or any(row[name] is None for name in of_line):
        return False
    alike = ("hour", *of_line)
    told = {number: told_of(other) for number, other in enumerate(rows) if is_of_day(row, other)}
    mine = told_of(row)
    lacking = {
        call_of(rows[number])
        for number, said in told.items()
        if rows[number]["lost_at"] == "on_site" and all(said[name] == mine[name] for name in alike)
    }
    recorded = [
        said
        for number, said in told.items()
        if rows[number]["recording_id"] is not None and all(said[name] in {None, mine[name]} for name in alike)
    ]
    return len(lacking) >= fewest and not recorded


def told_of(row: Row) -> Row:
    """The hour (UTC) of its start, and its line."""
    start = row["started_at"]
    hour = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0) if start else None
    return {"hour": hour, "extension": row["extension"]}


def repeated_calls(calls: list[Row]) -> Iterable[Row]:
    """A leg that stands in several rows, with the first five places where it stands, by file and line."""
    for first in first_row_of_each_leg(calls):
        rows = [row for row in calls if row["call_uid"] == first["call_uid"]]
        if len(rows) > 1:
            places = sorted((row["source_file"], row["source_row"]) for row in rows)
            where = ", ".join(f"{file}:{line}" for file, line in places[:5])
            yield {name: first[name] for name in ("business", "site", "day", "call_uid", "call_id")} | {
                "kind": "call_duplicate", "subject": f"call {first['call_id']}", "expected": "one row",
                "actual": f"{len(rows)} rows: {where}", "identity": first["call_uid"],
            }  # fmt: skip


def quarantined_rows(quarantine: list[Row]) -> Iterable[Row]:
    """A row set aside is known by its file and content, wherever in the file it moves to."""
    for row in sorted(quarantine, key=lambda row: (row["source_file"], row["source_row"])):
        yield {name: row[name] for name in ("business", "site", "day")} | {
            "kind": "row_quarantined", "subject": f"{row['source_file']} line {row['source_row']}",
            "expected": "a row that can be read", "actual": row["reason"],
            "identity": f"{row['source_file']}\n{row['raw']}",
        }  # fmt: skip


def mismatched_extracts(extracts: list[Row]) -> Iterable[Row]:
    """An extract with other rows, bytes or hash than its datapackage says, as far as it says so."""
    compared = (("rows", "expected_rows", "rows_in"), ("bytes", "expected_bytes", "bytes"),
                ("sha256", "expected_sha256", "sha256"))  # fmt: skip
    for row in extracts:
        differing = [each for each in compared if row[each[1]] is not None and row[each[1]] != row[each[2]]]
        if differing:
            yield {name: row[name] for name in ("business", "site", "day")} | {
                "kind": "extract_mismatch", "subject": row["source_file"], "identity": row["source_file"],
                "expected": ", ".join(f"{name} {row[sent]}" for name, sent, _ in differing),
                "actual": ", ".join(f"{name} {row[arrived]}" for name, _, arrived in differing),
            }  # fmt: skip


def skewed_clocks(clock: dict[Any, Any], business: str, rules: Row) -> Iterable[Row]:
    """A clock that is further off than the limit, either way."""
    for (site, day), (offset, matches) in clock.items():
        if abs(offset) > rules["clock_skew_limit_seconds"]:
            yield {
                "kind": "clock_skew", "business": business, "site": site, "day": day,
                "subject": f"clock of site {site}", "identity": f"{site} {day}",
                "expected": f"at most {rules['clock_skew_limit_seconds']:g} s apart",
                "actual": f"{tenths(offset)} s apart, by {matches} matches",
            }  # fmt: skip


def overdue_backups(due: list[Row], snapshots: list[Row]) -> Iterable[Row]:
    """A site's day of which a backup is due, and that no snapshot covers, from its first day to its own."""
    for row in due:
        if not any(
            (row["business"], row["site"]) == (snapshot["business"], snapshot["site"])
            and snapshot["first_day"] <= row["day"] <= snapshot["day"]
            for snapshot in snapshots
        ):
            yield row | {
                "kind": "backup_overdue", "cause": "backup_missing", "subject": f"site {row['site']}", "actual": "none",
                "expected": f"a backup that covers {row['day']}", "identity": f"{row['site']} {row['day']}",
            }  # fmt: skip


# ---- the ledger: findings over days


def carry_on(known: list[Row], found: list[Row], as_of: date, rows: list[Row]) -> list[Row]:
    """What is found again goes on, open unless it is waived; what is found no more is resolved, told as it was.

    `rows` are those of the trace.
    """
    before = {row["finding_id"]: row for row in known}
    ledger = {
        finding_id: row if row["status"] == "resolved"
        else row | {"status": "resolved", "status_since": as_of, "resolution": resolution(row, found, rows)}
        for finding_id, row in before.items()
    }  # fmt: skip
    for row in found:
        ledger[row["finding_id"]] = row | {"status": "open", "last_seen": as_of}
        if row["finding_id"] in before:
            was = before[row["finding_id"]]
            ledger[row["finding_id"]] |= {
                "first_seen": min(was["first_seen"], row["first_seen"]), "last_seen": max(was["last_seen"], as_of),
            }  # fmt: skip
            status = _given(was, "waived" if was["status"] == "waived" else "open", as_of)
            ledger[row["finding_id"]] |= {name: status[name] for name in ("status", "status_since")}
    return [ledger[finding_id] for finding_id in sorted(ledger)]


def resolution(finding: Row, found: list[Row], rows: list[Row]) -> str:
    """What resolved a finding that is found no more: the first that holds."""
    of_source = {"row_quarantined", "extract_mismatch", "clock_skew", "call_duplicate"}
    traced = finding["kind"] not in {*of_source, "backup_overdue"}
    subject = ("recording_id",) if finding["recording_id"] is not None else ("business", "site", "call_id")

    def is_of(other: Row) -> bool:
        return all(finding[name] is not None and other[name] == finding[name] for name in subject)

    others = [other for other in found if is_of(other) and other["kind"] not in {*of_source, "backup_overdue"}]
    mine = [row for row in rows if is_of(row)]
    lacks_file = finding["recording_id"] is None and finding["kind"] in {"recording_missing", "match_ambiguous"}
    holds = {
        "recording_arrived": lacks_file and any(row["recording_id"] is not None for row in mine),
        "call_arrived": finding["kind"] == "recording_orphan" and any(row["called"] for row in mine),
        "told_otherwise": traced and others,
        "backup_arrived": finding["kind"] == "backup_overdue",
        "corrected": finding["kind"] in of_source,
        "not_expected": lacks_file and mine,
        "healed": mine,
        "withdrawn": True,
    }
    return next(name for name, is_so in holds.items() if is_so)


def _given(row: Row, status: str, as_of: date) -> Row:
    return row if row["status"] == status else row | {"status": status, "status_since": as_of}


def waive(ledger: list[Row], waivers: list[Row], as_of: date) -> list[Row]:
    """What is not resolved is waived as long as its newest waiver holds, and open otherwise."""
    newest = {row["finding_id"]: row for row in sorted(waivers, key=lambda row: row["waived_at"])}
    return [
        row if row["status"] == "resolved"
        else _given(
            row,
            "waived" if row["finding_id"] in newest and newest[row["finding_id"]]["until"] >= as_of else "open",
            as_of,
        )
        for row in ledger
    ]  # fmt: skip
