"""Errors of one line each, made in a copy of the engine: do the engine's tests notice? `make mutants`.

Each is an exact text of one file of reconcile/, which must stand there once, and what stands there instead. The tests
run in a copy of the tree, on one mutant after the other, the random cases of test_oracle.py first, and stop at the
first that fails. It is good if 29 of 30 are caught; those that survive are told.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "dist")
TESTS = [
    f"tests/test_{name}.py"
    for name in (
        "oracle",
        "trace",
        "matching",
        "findings",
        "evidence",
        "ledger",
        "numbers",
        "names",
        "arrivals",
        "summary",
    )
]
ENOUGH = 29 / 30
PASSED, FAILED = 0, 1


@dataclass(frozen=True)
class Mutant:
    """What is wrong, in which file of reconcile/, what stands there and what stands there instead."""

    wrong: str
    file: str
    text: str
    instead: str

    def source(self, folder: Path) -> Path:
        """The file in this tree."""
        return folder / "reconcile" / f"{self.file}.py"

    def apply(self, folder: Path) -> None:
        """Put the error into the tree.

        Raises:
            LookupError: the text does not stand there exactly once.
        """
        source = self.source(folder)
        whole = source.read_text()
        if whole.count(self.text) != 1:
            raise LookupError(f"{self.wrong}: {source.name} holds this {whole.count(self.text)} times: {self.text}")
        source.write_text(whole.replace(self.text, self.instead))


MUTANTS = [
    # plain pairs
    Mutant(
        "a call of several rows is plain",
        "plain",
        'pl.col("once") & pl.col("path").is_unique()).drop',
        'pl.col("path").is_unique()).drop',
    ),
    Mutant("bytes that two files have are plain", "plain", '_once("business", "site", "sha256")', "pl.lit(value=True)"),
    Mutant("a call that a key could find is plain", "plain", "~sought.fill_null(value=False)", "pl.lit(value=True)"),
    Mutant("a start is no key", "plain", 'return ("call_id", "start")', 'return ("call_id",)'),
    Mutant("paths come first whatever the rules say", "plain", 'rules.order[0] != "path" or by is None', "by is None"),
    # matching
    Mutant(
        "the last of a leg's rows counts",
        "matching",
        '.unique("call_uid", keep="first", maintain_order=True)',
        '.unique("call_uid", keep="last", maintain_order=True)',
    ),
    Mutant(
        "a tied recording is asked again",
        "matching",
        '.join(found, on="recording_id", how="anti").join(tied, on="recording_id", how="anti")',
        '.join(found, on="recording_id", how="anti")',
    ),
    Mutant(
        "every leg in a tie is asked no more",
        "matching",
        'legs.join(ties.filter("owner"), on="call_uid", how="anti")',
        'legs.join(ties, on="call_uid", how="anti")',
    ),
    Mutant(
        "a leg in doubt is free for the nearest",
        "matching",
        'pl.concat([links["call_uid"], ties.filter("owner")["call_uid"].drop_nulls()])',
        'links["call_uid"]',
    ),
    Mutant(
        "calls of two datasets are one",
        "matching",
        '[pl.col("site"), pl.col("dataset"), pl.col("call_id")]',
        '[pl.col("site"), pl.col("call_id")]',
    ),
    Mutant("ties are guessed", "matching", "ordered.filter(calls_a_file == 1)", "ordered.filter(calls_a_file >= 1)"),
    Mutant(
        "any leg of a call has the recording",
        "matching",
        '.sort("recording_id", "rank", "call_uid")',
        '.sort("recording_id", "call_uid")',
    ),
    Mutant(
        "a path names a file of any site",
        "matching",
        'left_on=["site", "recording_path"], right_on=["site", "path"], how="inner"',
        'left_on=["recording_path"], right_on=["path"], how="inner"',
    ),
    Mutant(
        "a file that is named whole ends like others",
        "matching",
        'files.join(exact, on="recording_id", how="anti"))',
        "files)",
    ),
    Mutant(
        "a row that names a file whole names others by their end",
        "matching",
        '_same_tail(naming.join(exact, on="call_uid", how="anti"), ',
        "_same_tail(naming, ",
    ),
    Mutant(
        "a row that fits several files is linked to all",
        "matching",
        "tails.filter(files_a_leg == 1)",
        "tails.filter(files_a_leg >= 1)",
    ),
    Mutant("a path that begins with / is no tail", "matching", '.str.strip_prefix("/")', ""),
    Mutant("any path tells a root", "matching", "is_absolute & row.str.ends_with(file)", "row.str.ends_with(file)"),
    Mutant("the shortest tail is meant", "matching", 'pl.col("alike").max()', 'pl.col("alike").min()'),
    Mutant(
        "a file that one row alone names is in doubt",
        "matching",
        'tails.filter(~pl.col("recording_id").is_in(linked.implode())).select(',
        "tails.select(",
    ),
    Mutant("a key's start is equal within the minute", "matching", '.dt.truncate("1s")', '.dt.truncate("1m")'),
    Mutant(
        "a name with a call id is asked for its start, too",
        "matching",
        '.filter(gives_only(fields)).join(candidates[0], on="recording_id", how="anti")',
        ".filter(gives_only(fields))",
    ),
    Mutant(
        "not all that a name gives must be equal",
        "matching",
        "keyed.filter(gives_only(fields)).join(",
        "keyed.join(",
    ),
    Mutant(
        "keys are those of any site",
        "matching",
        'whole.join(keyed, on=["site", *fields]',
        "whole.join(keyed, on=[*fields]",
    ),
    # nearest
    Mutant("six matches for a clock", "nearest", "FEWEST_FOR_CLOCK = 5", "FEWEST_FOR_CLOCK = 6"),
    Mutant("guesses of the nearest set the clock", "nearest", 'links.filter(pl.col("match") != "nearest")', "links"),
    Mutant("the clock is the mean", "nearest", ".median()", ".mean()"),
    Mutant(
        "a clock is that of any day",
        "nearest",
        '.join(clock, on=["site", "day"], how="left")',
        '.join(clock, on="site", how="left")',
    ),
    Mutant(
        "the clock is put wrong twice",
        "nearest",
        'corrected = pl.col("started_at") - pl.duration',
        'corrected = pl.col("started_at") + pl.duration',
    ),
    Mutant(
        "another leg of a call that has its recording is free",
        "nearest",
        'open_legs.join(half_taken, on="call", how="anti")',
        "open_legs",
    ),
    Mutant("only calls before a recording are near", "nearest", '("backward", "forward")', '("backward",)'),
    Mutant(
        "the tolerance is a microsecond longer",
        "nearest",
        "timedelta(seconds=rules.tolerance_seconds)",
        "timedelta(seconds=rules.tolerance_seconds, microseconds=1)",
    ),
    Mutant(
        "the tolerance is a microsecond shorter",
        "nearest",
        "timedelta(seconds=rules.tolerance_seconds)",
        "timedelta(seconds=rules.tolerance_seconds, microseconds=-1)",
    ),
    Mutant(
        "the farther of two is as near",
        "nearest",
        "(before <= after).fill_null(",
        "(before > after).fill_null(",
    ),
    Mutant("of two that are equally near the later is meant", "nearest", "(before <= after)", "(before < after)"),
    Mutant("of two that are equally near the earlier is meant", "nearest", "(after <= before)", "(after < before)"),
    Mutant("the score falls slower", "nearest", "0.8 - 0.5 *", "0.8 - 0.4 *"),
    Mutant("the nearest may be at another site", "nearest", 'by = ["site", *fields]', "by = [*fields]"),
    # numbers
    Mutant("eight digits must remain", "numbers", "_REMAIN, _REMAIN_OF_PART = 7", "_REMAIN, _REMAIN_OF_PART = 8"),
    Mutant(
        "the trunk prefix is taken off first",
        "numbers",
        "(rules.access_codes, rules.country_codes, rules.trunk_prefixes)",
        "(rules.trunk_prefixes, rules.access_codes, rules.country_codes)",
    ),
    Mutant("the shortest prefix is taken off", "numbers", "key=len, reverse=True", "key=len"),
    # masked numbers
    Mutant("five digits in common are enough", "masks", "FEWEST_CLEAR = 6", "FEWEST_CLEAR = 5"),
    Mutant("seven digits in common are needed", "masks", "FEWEST_CLEAR = 6", "FEWEST_CLEAR = 7"),
    Mutant(
        "only what both hide is hidden",
        "masks",
        '_MASK if _MASK in pair else "0"',
        '_MASK if {*pair} == {_MASK} else "0"',
    ),
    Mutant(
        "a masked number is asked beside whole ones",
        "matching",
        'rest = keyed.join(candidates[-1], on="recording_id", how="anti")',
        "rest = keyed",
    ),
    Mutant(
        "a masked number is as near as a whole one",
        "nearest",
        'rest = alike.join(found[-1], on="recording_id", how="anti")',
        "rest = alike",
    ),
    Mutant("a masked number is as certain as a whole one", "nearest", "MASKED = 0.1", "MASKED = 0"),
    Mutant(
        "of several masks any call is the nearest",
        "nearest",
        '.filter(pl.col("score") == pl.col("score").max().over("recording_id"))',
        "",
    ),
    # evidence
    Mutant("a copy with other bytes is held", "evidence", "_HAS_OBJECT & _IS_INTACT", "_HAS_OBJECT"),
    Mutant("any copy is held", "evidence", "_HAS_COPY & (_IS_INTACT | _COPY_IS_SAME)", "_HAS_COPY"),
    Mutant(
        "the first snapshot's time counts",
        "evidence",
        'pl.col("taken_at").max().alias(f"{name}_time")',
        'pl.col("taken_at").min().alias(f"{name}_time")',
    ),
    Mutant("the oldest copy counts", "evidence", "pl.col(fact).last()", "pl.col(fact).first()"),
    Mutant("any inventory proves a time", "evidence", '.filter(pl.col("inventory_whole")).max()', ".max()"),
    Mutant(
        "what is gone was there at the last inventory",
        "evidence",
        'pl.when(pl.col("gone_since").is_null()).then("looked").otherwise("last_on_site")',
        'pl.col("looked")',
    ),
    Mutant(
        "a snapshot does not cover its last day, for evidence",
        "evidence",
        'is_between("first_day", "last_day")',
        'is_between("first_day", "last_day", closed="left")',
    ),
    Mutant(
        "what a call names is not looked for behind",
        "evidence",
        'pl.coalesce("recording_id", "named")',
        'pl.col("recording_id")',
    ),
    Mutant(
        "what is held behind has vanished",
        "evidence",
        'lost_at("in_snapshot") & ~_HAS_COPY & ~_HAS_OBJECT',
        'lost_at("in_snapshot")',
    ),
    Mutant(
        "what was published was never restored",
        "evidence",
        'pl.col("in_snapshot") & ~_HAS_OBJECT',
        'pl.col("in_snapshot")',
    ),
    Mutant(
        "what no snapshot holds was not restored whole",
        "evidence",
        'lost_at("restored") & pl.col("in_snapshot")',
        'lost_at("restored")',
    ),
    Mutant(
        "what is missing is unreadable",
        "evidence",
        '.is_in(["recording_lost", "recording_undecodable"])',
        '.is_in(["recording_lost"])',
    ),
    Mutant(
        "what the store did not say it took is removed",
        "evidence",
        '"object_removed": is_proved & pl.col("copy_published")',
        '"object_removed": is_proved',
    ),
    Mutant(
        "a spoilt copy was refused",
        "evidence",
        'lost_at("published") & _HAS_COPY & _COPY_IS_SAME',
        'lost_at("published") & _HAS_COPY',
    ),
    Mutant(
        "every call of a day is refused",
        "evidence",
        '(pl.col("kind") == "not_indexed") & pl.col("refused")',
        'pl.col("refused")',
    ),
    Mutant(
        "a second is too short",
        "evidence",
        'pl.col("talk_seconds") < SHORTEST_SECONDS',
        'pl.col("talk_seconds") <= SHORTEST_SECONDS',
    ),
    Mutant(
        "a whole size is that of a copy",
        "evidence",
        'pl.coalesce("size", "copy_size"',
        'pl.coalesce("copy_size", "size"',
    ),
    Mutant("causes are told in another order", "evidence", "for cause in CAUSES)", "for cause in reversed(CAUSES))"),
    # silence
    Mutant(
        "two calls are a site's silence",
        "silence",
        "FEWEST_OF_SITE, FEWEST_OF_LINE = 3, 2",
        "FEWEST_OF_SITE, FEWEST_OF_LINE = 2, 2",
    ),
    Mutant(
        "three calls are a line's silence",
        "silence",
        "FEWEST_OF_SITE, FEWEST_OF_LINE = 3, 2",
        "FEWEST_OF_SITE, FEWEST_OF_LINE = 3, 3",
    ),
    Mutant("rows are counted as calls", "silence", 'pl.struct("dataset", "call_id").n_unique()', "pl.len()"),
    Mutant("hours are half hours", "silence", 'dt.truncate("1h")', 'dt.truncate("30m")'),
    Mutant(
        "a recording of nobody knows when breaks no silence",
        "silence",
        "product((True, False), repeat=len(told))",
        "product((True,), repeat=len(told))",
    ),
    Mutant("calls without recording break the silence", "silence", "trace.filter(has_file)", "trace"),
    # recordings
    Mutant("a key has less of the hash", "recordings", ".str.head(12)", ".str.head(11)"),
    Mutant("a key keeps capitals", "recordings", ".str.to_lowercase()", ""),
    # trace
    Mutant(
        "the oldest version counts",
        "trace",
        '.unique(name, keep="last", maintain_order=True)',
        '.unique(name, keep="first", maintain_order=True)',
    ),
    Mutant(
        "a name is believed before the row",
        "trace",
        'pl.coalesce(f"{name}_of_call", name)',
        'pl.coalesce(name, f"{name}_of_call")',
    ),
    Mutant("the caller is the other party", "trace", '("callee", "caller")', '("caller", "callee")'),
    Mutant(
        "a file in doubt is not lacked",
        "trace",
        '(must_have_its_file | pl.col("tie").is_not_null())',
        "(must_have_its_file)",
    ),
    Mutant("no leg is content with another's file", "trace", ".otherwise(~content_with_another)", ".otherwise(True)"),
    Mutant("a leg that may do without its file must have it", "trace", ' & pl.col("expects_recording")\n', "\n"),
    Mutant(
        "any leg stands for its call",
        "trace",
        '.sort("unit", ~pl.col("expects_recording"), "started_at", "leg", nulls_last=True)',
        '.sort("unit", "started_at", "leg", nulls_last=True)',
    ),
    Mutant("what still moves is looked for", "trace", 'has_file & (pl.col("state") != _MOVING)', "has_file"),
    Mutant(
        "the same version is an older one",
        "trace",
        'pl.col("held_mtime") < pl.col("mtime")',
        'pl.col("held_mtime") <= pl.col("mtime")',
    ),
    Mutant(
        "a file that grew is at rest",
        "trace",
        '((pl.col("held_size") != pl.col("size")) | (pl.col("held_mtime") != pl.col("mtime")))',
        '(pl.col("held_mtime") != pl.col("mtime"))',
    ),
    Mutant(
        "an older copy is this recording",
        "trace",
        'pl.col("restored_sha256").is_not_null() & ~is_older',
        'pl.col("restored_sha256").is_not_null()',
    ),
    Mutant("a tag in capitals is another", "trace", 'pl.col("etag").str.to_lowercase()', '"etag"'),
    Mutant("no tag is compared", "trace", '(~is_md5 | (pl.col("etag") == pl.col("md5")))', "True"),
    Mutant(
        "every tag is compared",
        "trace",
        '(~is_md5 | (pl.col("etag") == pl.col("md5")))',
        '(pl.col("etag") == pl.col("md5"))',
    ),
    Mutant(
        "the largest object counts, not the newest",
        "trace",
        '"key", "last_modified", "size", "etag"',
        '"key", "size", "etag", "last_modified"',
    ),
    Mutant(
        "a link to any leg is one",
        "trace",
        'asked.join(links, on=["call_uid", "recording_id"], how="left", maintain_order="left")',
        'asked.join(links.drop("call_uid").unique(), on="recording_id", how="left", maintain_order="left")',
    ),
    Mutant("recordings without a call are to be indexed", "trace", 'pl.when(pl.col("called")).then(found)', "found"),
    Mutant("empty files repeat each other", "trace", '(pl.col("size") > 0)', '(pl.col("size") >= 0)'),
    Mutant(
        "the oldest is the original, called or not",
        "trace",
        'pl.col("call_uid").is_null(), "mtime", "length"',
        '"mtime", "length"',
    ),
    Mutant("files of two calls repeat each other", "trace", ".otherwise(of_its_call)", ".otherwise(of_all)"),
    Mutant(
        "what a tie leaves open is missing",
        "trace",
        'pl.col("expects_recording") & ~pl.col("ambiguous")',
        'pl.col("expects_recording")',
    ),
    Mutant(
        "publishing comes before restoring",
        "trace",
        '"restored": stations.restored,\n        "published": stations.listing,',
        '"published": stations.listing, "restored": stations.restored,',
    ),
    Mutant("what still moves is lost", "trace", "pl.when(~is_moving).then(pl.coalesce(lost))", "pl.coalesce(lost)"),
    Mutant(
        "what was never restored is gone",
        "trace",
        'pl.col("lost_at") == "in_snapshot"',
        'pl.col("lost_at") == "restored"',
    ),
    Mutant("a copy counts", "trace", 'has_file & pl.col("duplicate_of").is_null()', "has_file"),
    Mutant("a spoilt copy is whole", "trace", ' & pl.col("content_ok").fill_null(True)\n', "\n"),
    Mutant(
        "one row that needs none excludes a call",
        "trace",
        '~any_row(pl.col("expects_recording"))',
        'any_row(~pl.col("expects_recording"))',
    ),
    Mutant(
        "coverage is that of several datasets",
        "trace",
        '_CALL = ["business", "site", "dataset", "call_id"]',
        '_CALL = ["business", "site", "call_id"]',
    ),
    # findings
    Mutant("a length at the limit differs", "findings", "(apart > allowed)", "(apart >= allowed)"),
    Mutant(
        "the smaller of two limits holds", "findings", "allowed = pl.max_horizontal(", "allowed = pl.min_horizontal("
    ),
    Mutant(
        "lengths are compared of calls that lack files",
        "findings",
        '        & (pl.col("legs") <= has_file.sum().over(of_call))\n',
        "",
    ),
    Mutant("an empty file is truncated", "findings", 'pl.col("state") == "empty"', 'pl.col("state") == "truncated"'),
    Mutant("what could not be read is no finding", "findings", '["undecodable", "unreadable"]', '["undecodable"]'),
    Mutant(
        "what a tie leaves open is an orphan",
        "findings",
        '~pl.col("called") & ~pl.col("ambiguous")',
        '~pl.col("called")',
    ),
    Mutant(
        "a loss by the object store is none",
        "findings",
        '["in_snapshot", "restored", "published"]',
        '["in_snapshot", "restored"]',
    ),
    Mutant(
        "every member of a tie is told",
        "findings",
        'pl.col("ambiguous") & pl.col("reason").is_not_null()',
        'pl.col("ambiguous")',
    ),
    Mutant("what still moves is told", "findings", "pl.when(~is_moving).then(kind)", "kind"),
    Mutant("a call in two rows is none too many", "findings", "filter(times > 1)", "filter(times > 2)"),
    Mutant(
        "a row set aside is known by its file alone",
        "findings",
        'pl.concat_str("source_file", "raw", separator="\\n")',
        'pl.col("source_file")',
    ),
    Mutant("a clock at the limit is skewed", "findings", ".abs() > limit", ".abs() >= limit"),
    Mutant(
        "a clock that is behind is right",
        "findings",
        'pl.col("offset_seconds").abs() > limit',
        'pl.col("offset_seconds") > limit',
    ),
    Mutant(
        "a snapshot does not cover its own day",
        "findings",
        'is_between("first_day", "last_day")',
        'is_between("first_day", "last_day", closed="left")',
    ),
    Mutant(
        "the snapshot of another site covers a day",
        "findings",
        'on=["business", "site"], how="inner"',
        'on=["business"], how="inner"',
    ),
    Mutant(
        "findings of two sites are one",
        "findings",
        '["kind", "business", "site", "identity"], keep',
        '["kind", "business", "identity"], keep',
    ),
    Mutant(
        "an extract that says nothing is another",
        "findings",
        "pl.any_horizontal(pl.col(sent) != pl.col(arrived)",
        "pl.any_horizontal(pl.col(sent).ne_missing(pl.col(arrived))",
    ),
    # the ledger
    Mutant(
        "a finding is as old as the last look",
        "ledger",
        'pl.min_horizontal("known_since", "first_seen")',
        'pl.col("first_seen")',
    ),
    Mutant(
        "an earlier look moves the last day back",
        "ledger",
        'pl.max_horizontal("known_until", pl.lit(as_of))',
        "pl.lit(as_of)",
    ),
    Mutant(
        "a waiver does not last",
        "ledger",
        'pl.when(is_waived).then(pl.lit("waived")).otherwise(pl.lit("open"))',
        'pl.lit("open")',
    ),
    Mutant("a waiver holds a day less", "ledger", 'pl.col("until") >= as_of', 'pl.col("until") > as_of'),
    Mutant(
        "the oldest waiver counts",
        "ledger",
        '.unique("finding_id", keep="last")',
        '.unique("finding_id", keep="first")',
    ),
    Mutant(
        "a waiver hides that it healed", "ledger", 'pl.when(is_resolved).then("status").otherwise(status)', "status"
    ),
    Mutant("what is gone stays open", "ledger", 'pl.lit("resolved")', 'pl.col("status")'),
    Mutant(
        "what was resolved is resolved anew",
        "ledger",
        'pl.when(was_resolved).then("resolution").otherwise(said)',
        "said",
    ),
    Mutant(
        "a recording of any call has arrived",
        "ledger",
        '("call_recorded", _OF_CALL,',
        '("call_recorded", ["business", "site"],',
    ),
    Mutant("a call that is told is recorded", "ledger", "now.trace.filter(has_file)", "now.trace"),
    Mutant("a recording that is traced is called", "ledger", 'now.trace.filter("called")', "now.trace"),
    Mutant(
        "another row of the call tells of its recording",
        "ledger",
        "told = now.found.filter(traced)",
        "told = now.found",
    ),
    Mutant(
        "any finding without recording may wait for one",
        "ledger",
        'pl.col("kind").is_in(["recording_missing", "match_ambiguous"]) & ~has_file',
        "~has_file",
    ),
    Mutant(
        "resolutions are told in another order",
        "ledger",
        "for each in RESOLUTIONS)",
        "for each in reversed(RESOLUTIONS))",
    ),
    Mutant("what is gone is forgotten", "ledger", 'known.join(found, on="finding_id", how="anti")', "known.clear()"),
]


def run_tests(folder: Path) -> tuple[int, str]:
    """The exit code of pytest for the engine's tests in this tree, and the test that failed."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "SHRINK": "no"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--noconftest", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return done.returncode, "".join(failed).removeprefix("FAILED tests/")[:100]


def caught_by(mutant: Mutant, folder: Path) -> str | None:
    """The test that fails on this mutant, None if all pass; the tree is as before afterwards.

    Raises:
        RuntimeError: the tests did not run at all.
    """
    source = mutant.source(folder)
    before = source.read_text()
    mutant.apply(folder)
    try:
        code, test = run_tests(folder)
    finally:
        source.write_text(before)
    if code not in {PASSED, FAILED}:
        raise RuntimeError(f"{mutant.wrong}: pytest ended with {code}")
    return test if code == FAILED else None


def main() -> int:
    """Try all mutants, or those whose description holds a word, and say which survive."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("word", nargs="?", default="", help="try only mutants that are described with it")
    word = arguments.parse_args().word
    chosen = [mutant for mutant in MUTANTS if word in f"{mutant.file} {mutant.wrong}"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "tree"
        shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
        code, test = run_tests(folder)
        if code != PASSED:
            sys.exit(f"the tests fail without any mutant ({test}): mend that first")
        survivors = []
        for mutant in chosen:
            start = time.monotonic()
            test = caught_by(mutant, folder)
            survivors += [mutant] if test is None else []
            said = "SURVIVED" if test is None else f"caught by {test}"
            print(f"{time.monotonic() - start:3.0f} s  {mutant.file}: {mutant.wrong}: {said}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught")
    return 0 if len(survivors) <= len(chosen) * (1 - ENOUGH) else 1


if __name__ == "__main__":
    sys.exit(main())
