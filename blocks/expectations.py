"""Expectations of the summary, checked by Great Expectations, with Data Docs that can be read offline.

Great Expectations costs 270 MB and seconds to import, so it runs in a process of its own,
`python -m blocks.expectations`, which is told folders on its standard input.
"""

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from select import select
from tempfile import TemporaryDirectory
from time import monotonic
from types import CodeType, ModuleType
from typing import Any, BinaryIO, ClassVar, cast

import polars as pl

from blocks.errors import PermanentError

DEADLINE_SECONDS = 300
# Data Docs of so many days are kept.
KEPT_DAYS = 31
_RESULT_SCHEMA = pl.Schema(
    {
        "expectation": pl.String(),
        "column": pl.String(),
        "description": pl.String(),
        "success": pl.Boolean(),
        "observed": pl.String(),
    }
)
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV")


# The process, kept for the next time: it takes seconds to start. It ends with ours, however that ends.
_process: subprocess.Popen[bytes] | None = None


def start() -> subprocess.Popen[bytes]:
    """Have the process start up while other work goes on; one that runs is kept.

    Example:
        >>> expectations.start()
        >>> expectations.check(measured, suite, as_of=date(2021, 1, 31), docs_folder=folder)
    """
    global _process  # noqa: PLW0603  # one a program, as there is one standard output
    if _process is not None and _process.poll() is None:
        return _process
    # Without our secrets in its environment.
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    _process = subprocess.Popen(
        [sys.executable, "-P", "-m", "blocks.expectations"],
        env=environment | {"GX_ANALYTICS_ENABLED": "false", "PYTHONWARNINGS": "ignore"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return _process


@atexit.register
def end() -> None:
    """End the process, if there is one."""
    global _process  # noqa: PLW0603
    if _process is not None:
        _process.kill()
        _process.communicate()
        _process = None


def check(measured: pl.DataFrame, suite: list[dict[str, Any]], *, as_of: date, docs_folder: Path) -> pl.DataFrame:
    """Whether the figures (MEASURED) are as the suite (`reconcile.expected`) says; the day's Data Docs are written.

    Columns expectation, column, description (String), success (Boolean), observed (String), a row an expectation.
    The same day twice leaves the same rows; docs older than `KEPT_DAYS` days are removed.

    Raises:
        PermanentError: an expectation could not be evaluated, or Great Expectations failed.
    """
    docs_folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=docs_folder, prefix=".part-") as name:
        folder = Path(name)
        measured.with_columns(pl.col("day").cast(pl.String)).write_parquet(folder / "measured.parquet")
        (folder / "wanted.json").write_text(json.dumps({"suite": suite, "as_of": str(as_of)}))
        failure = _ask(folder)
        if failure:
            end()
            raise PermanentError(
                operation="check the expectations",
                subject="the summary",
                cause=failure,
                remedy="correct `expectations` in the settings where one of your own is named; else look whether the "
                "summary in the catalog is whole; the findings are there already",
            )
        results = json.loads((folder / "results.json").read_text())
        _put_docs(folder / "docs", docs_folder, as_of)
    return pl.DataFrame(results, schema=_RESULT_SCHEMA, orient="row")


def names() -> set[str]:
    """The names of all expectations that Great Expectations has, found without importing it."""
    found = find_spec("great_expectations")
    core = Path(str(found and found.origin)).parent / "expectations" / "core"
    return {file.stem for file in core.glob("expect_*.py")}


def _ask(folder: Path) -> str:
    """Have the process work in this folder; why it failed, or nothing."""
    process = start()
    questions, answers = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
    try:
        questions.write(f"{folder.resolve()}\n".encode())
        questions.flush()
    except BrokenPipeError:
        return "its process has ended"
    answer, give_up = b"", monotonic() + DEADLINE_SECONDS
    while not answer.endswith(b"\n"):
        if not select([answers], [], [], max(0, give_up - monotonic()))[0]:
            return f"it did not end within {DEADLINE_SECONDS} s"
        part = os.read(answers.fileno(), 65536)
        if not part:
            return "its process has ended"
        answer += part
    return answer.decode().strip()


def _put_docs(built: Path, docs_folder: Path, as_of: date) -> None:
    """Put the day's docs in place, the newest day in front, and remove what is too old."""
    for needless in ("images", "fonts"):
        shutil.rmtree(built / "static" / needless, ignore_errors=True)
    for page in built.rglob("*.html"):
        page.write_text(_offline(page.read_text(encoding="utf-8")), encoding="utf-8")
    target = docs_folder / str(as_of)
    shutil.rmtree(target, ignore_errors=True)
    built.rename(target)
    days = sorted(folder.name for folder in docs_folder.iterdir() if re.fullmatch(r"\d{4}-\d\d-\d\d", folder.name))
    for day in days:
        if date.fromisoformat(day) < date.fromisoformat(days[-1]) - timedelta(days=KEPT_DAYS):
            shutil.rmtree(docs_folder / day)
    _point_to(docs_folder / days[-1] / "validations", docs_folder / "index.html")
    _point_to(target / "validations", target / "index.html")


def _point_to(validations: Path, index: Path) -> None:
    """Make `index` lead to the one page of results: Great Expectations' own index needs scripts from a network."""
    page = next(validations.rglob("*.html")).relative_to(index.parent)
    part = index.with_name(".index.part")
    part.write_text(f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={page}">')
    part.replace(index)


_REMOTE = (
    re.compile(r"<script\b[^>]*\bsrc=[^>]*>\s*</script>", re.IGNORECASE),
    re.compile(r"<link\b[^>]*\bhref=[\"']?https?:[^>]*>", re.IGNORECASE),
    re.compile(r"<img\b[^>]*\bsrc=[\"']?https?:[^>]*>", re.IGNORECASE),
    re.compile(r"<iframe\b.*?</iframe>", re.IGNORECASE | re.DOTALL),
)
_STYLE_FILE = Path(__file__).with_name("expectations.css")


def _offline(page: str) -> str:
    """The page without anything from outside, with a small style of its own."""
    for pattern in _REMOTE:
        page = pattern.sub("", page)
    page = re.sub(r"href=(['\"])https?:[^'\"]*\1", "", page)
    return page.replace("</head>", f"<style>{_STYLE_FILE.read_text()}</style></head>", 1)


def _made(wanted: dict[str, Any]) -> Any:  # noqa: ANN401  # Great Expectations' own type, imported late
    """One expectation of the suite."""
    from great_expectations.expectations.registry import get_expectation_impl  # noqa: PLC0415  # slow and large

    try:
        return get_expectation_impl(wanted["type"])(**wanted["arguments"], description=wanted["description"])
    except Exception as error:
        raise ValueError(f"{wanted['description']} ({wanted['type']}) cannot be expected: {error}") from error


def _evaluate(folder: Path) -> list[tuple[str, str, str, bool, str]]:
    """Run the checkpoint over the folder's summary; Data Docs go to its `docs`."""
    import great_expectations as gx  # noqa: PLC0415  # slow and large: only in its own process

    wanted = json.loads((folder / "wanted.json").read_text())
    context = gx.get_context(mode="file", project_root_dir=str(folder / "project"))
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    frame = pl.read_parquet(folder / "measured.parquet").to_pandas()
    asset = context.data_sources.add_pandas("catalog").add_dataframe_asset("summary")
    batch = asset.add_batch_definition_whole_dataframe("all")
    expected = [_made(one) for one in wanted["suite"]]
    suite = context.suites.add(gx.ExpectationSuite(name="summary", expectations=expected))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="summary", data=batch, suite=suite))
    action = gx.checkpoint.UpdateDataDocsAction(name="docs")
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name="summary", validation_definitions=[definition], actions=[action], result_format="BASIC")
    )
    run_time = datetime.combine(date.fromisoformat(wanted["as_of"]), time.min, UTC)
    run_id = gx.RunIdentifier(run_name=wanted["as_of"], run_time=run_time)
    outcome = checkpoint.run(batch_parameters={"dataframe": frame}, run_id=run_id)
    (result,) = outcome.run_results.values()
    if result.statistics["evaluated_expectations"] != len(expected):
        raise RuntimeError(
            f"{result.statistics['evaluated_expectations']} of {len(expected)} expectations were evaluated"
        )
    (folder / "project" / "gx" / "uncommitted" / "data_docs" / "local_site").rename(folder / "docs")
    return [_outcome(one) for one in result.results]


def _outcome(one: Any) -> tuple[str, str, str, bool, str]:  # noqa: ANN401  # Great Expectations' own type is private
    """One expectation's row; one that raised is an error, not a failure."""
    config = one.expectation_config
    if _raised(one.exception_info):
        raise RuntimeError(f"{config.type} of {config.kwargs.get('column')} raised: {one.exception_info}")
    observed = one.result.get("observed_value", one.result.get("partial_unexpected_list", ""))
    column = config.kwargs.get("column") or ", ".join(config.kwargs.get("column_list", []))
    return config.type, column, str(config.description or ""), bool(one.success), str(observed)


def _raised(information: dict[str, Any]) -> bool:
    """Whether it holds an exception: at its top, or below the name of a metric."""
    nested = [value for value in information.values() if isinstance(value, dict)]
    return bool(information.get("raised_exception")) or any(value.get("raised_exception") for value in nested)


class _Late(ModuleType):
    """Stands for a module that is imported when something of it is first used.

    The standard library's LazyLoader is of no use here: a second `import` of what it has made already loads it.
    """

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the module has
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def _do_without(*names: str) -> None:
    """Have these packages not be found: for Great Expectations they are extras, slow to import and unused here."""
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # what None means: docs of sys.modules


def _import_late(*names: str) -> None:
    """Have these modules loaded when they are first used: half of the time that importing takes is theirs."""
    sys.modules.update({name: _Late(name) for name in names})


def _compile_once() -> None:
    """Have each template compiled once: Great Expectations makes Jinja anew for each page, a third of all its work."""
    from great_expectations.render.view import view  # noqa: PLC0415  # as all of it
    from jinja2.bccache import Bucket, BytecodeCache  # noqa: PLC0415  # likewise

    class Kept(BytecodeCache):
        codes: ClassVar[dict[tuple[str, str], CodeType | None]] = {}

        def load_bytecode(self, bucket: Bucket) -> None:
            bucket.code = self.codes.get((bucket.key, bucket.checksum))

        def dump_bytecode(self, bucket: Bucket) -> None:
            self.codes[bucket.key, bucket.checksum] = bucket.code

    view.Environment = partial(view.Environment, bytecode_cache=Kept())  # type: ignore[misc,assignment]


def _main() -> None:
    """Import everything, then work in each folder that is named; the answer is a line, empty when all went well."""
    # Great Expectations prints, too: what it says must not be taken for an answer.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answers:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _do_without("boto3", "botocore", "sqlalchemy")
        _import_late("altair", "scipy.stats")
        import great_expectations  # noqa: F401, PLC0415  # slow and large: only in its own process

        _compile_once()
        for line in sys.stdin:
            folder = Path(line.rstrip("\n"))
            try:
                (folder / "results.json").write_text(json.dumps(_evaluate(folder)))
                failure = ""
            except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer
                failure = f"{type(error).__name__}: {error}"
            print(" ".join(failure.split()), file=answers, flush=True)


if __name__ == "__main__":
    _main()
