"""The layout says the architecture: walls, names of modules, what the wheel carries, what is pinned."""

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from prefect import Flow
from prefect.cli.deploy._models import PrefectYamlModel

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("blocks", "flows", "listen", "reconcile", "voxkeep")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
MODULES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
# Imports that no room may have, each in a module of its own.
THROUGH_WALLS = {
    "reconcile.intruder": "import prefect",
    "reconcile.intruder_too": "from blocks import errors",
    "blocks.intruder": "from reconcile import frames",
    "blocks.intruder_too": "import flows.days",
    "flows.intruder": "import sqlalchemy",
    "flows.intruder_too": "from voxkeep import console",
    "listen.intruder": "from voxkeep import console",
}
# Written in two parts, so that this file does not find itself.
FOREIGN = (
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "proxy.golang" + ".org",
    "sum.golang" + ".org",
    "/work" + "/",
    "/root" + "/",
)


def tracked() -> list[Path]:
    """Files that are, or would be, in the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, encoding="utf-8",
    ).stdout  # fmt: skip
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-logo", "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=folder, capture_output=True, check=False, text=True, env={"PYTHONPATH": str(folder), "PATH": ""},
    )  # fmt: skip


def test_the_rooms_import_only_what_they_may() -> None:
    run = lint_imports(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def intruders(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a copy of the rooms in which each wall has an intruder."""
    folder = tmp_path_factory.mktemp("rooms")
    for file in MODULES:
        copy = folder / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    for name, line in THROUGH_WALLS.items():
        (folder / f"{name.replace('.', '/')}.py").write_text(f'"""An intruder."""\n\n{line}\n')
    run = lint_imports(folder)
    assert run.returncode != 0
    return run.stdout


@pytest.mark.parametrize("name", THROUGH_WALLS)
def test_an_import_through_a_wall_is_seen(intruders: str, name: str) -> None:
    imported = THROUGH_WALLS[name].split()
    assert re.search(rf"\b{name} -> {imported[1]}\b", intruders), intruders


def test_no_module_has_a_name_that_says_nothing() -> None:
    nothing = {"utils", "util", "helpers", "helper", "common", "core", "misc", "base", "tools"}
    assert [str(file) for file in MODULES if file.stem in nothing] == []


@pytest.mark.parametrize("folder", [".", "flows", "tests", "tools", "bench"])
def test_no_module_hides_a_standard_one_where_its_folder_comes_first_on_the_path(folder: str) -> None:
    """Python puts a script's folder first, and Prefect that of a path entry point."""
    taken = sys.stdlib_module_names | set(ROOMS if folder != "." else ())
    names = {path.stem for path in (ROOT / folder).glob("*.py")} | (set(ROOMS) if folder == "." else set())
    assert sorted(names & taken) == []


def test_every_module_says_what_it_is() -> None:
    modules = [file for file in MODULES if file.name != "__init__.py"]
    silent = [str(file) for file in modules if not file.read_text(encoding="utf-8").startswith(('"""', 'r"""'))]
    assert silent == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in the wheel, built without any network."""
    folder = tmp_path_factory.mktemp("wheel")
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT, capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    (built,) = folder.glob("*.whl")
    with ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_carries_every_file_of_our_packages_and_the_sql(wheel: list[str]) -> None:
    wanted = [file.relative_to(ROOT) for file in tracked() if file.relative_to(ROOT).parts[0] in ROOMS]
    wanted += [
        Path("voxkeep") / file.relative_to(ROOT) for file in tracked() if file.relative_to(ROOT).parts[0] == "sql"
    ]
    assert [str(file) for file in wanted if str(file) not in wheel] == []
    assert any(name.startswith("voxkeep/sql/") for name in wheel)


def test_the_wheel_carries_nothing_else(wheel: list[str]) -> None:
    allowed = [f"{room}/*" for room in ROOMS] + ["voxkeep-*.dist-info/*"]
    assert [name for name in wheel if not any(fnmatch(name, pattern) for pattern in allowed)] == []
    known = {str(file.relative_to(ROOT)) for file in tracked()} | {
        f"voxkeep/{file.relative_to(ROOT)}" for file in tracked()
    }
    assert [name for name in wheel if name not in known and ".dist-info/" not in name] == []


def test_the_wheel_carries_the_templates_of_the_report(wheel: list[str]) -> None:
    templates = [name for name in wheel if name.startswith("reconcile/") and not name.endswith(".py")]
    assert templates, "the report's templates are not in the wheel"


def test_the_wheel_is_kept_from_being_uploaded() -> None:
    assert "Private :: Do Not Upload" in PYPROJECT["project"]["classifiers"]


def dependencies() -> list[str]:
    groups = [line for group in PYPROJECT.get("dependency-groups", {}).values() for line in group]
    return [*PYPROJECT["project"]["dependencies"], *groups, *PYPROJECT["build-system"]["requires"]]


def locked() -> dict[str, str]:
    """The version of every package in the lock file."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("dependency", dependencies())
def test_every_dependency_is_locked_at_a_version_that_it_allows(dependency: str) -> None:
    requirement = Requirement(dependency)
    version = locked().get(canonicalize_name(requirement.name))
    assert version, "run `make lock`"
    assert requirement.specifier.contains(version, prereleases=True), f"{version} is locked"


def test_every_locked_package_has_a_hash() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"\n(?=\S)", text) if "==" in block.splitlines()[0]]
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_nothing_names_a_package_registry_or_a_folder_of_one_machine() -> None:
    found = [
        f"{file.relative_to(ROOT)}: {word}"
        for file in tracked()
        for word in FOREIGN
        if word.encode() in file.read_bytes()
    ]
    assert found == []


def test_prefect_reads_the_deployments() -> None:
    model = PrefectYamlModel.model_validate(yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8")))
    assert [deployment.name for deployment in model.deployments] == [
        "backup",
        "ingest",
        "reconcile",
        "drill",
        "inspect",
        "maintain",
        "retain",
    ]
    assert model.prefect_version == locked()["prefect"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_a_deployment_names_a_flow_by_module_path_and_nothing_runs_unasked(
    deployment: dict[str, Any],
) -> None:
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(import_module(module), name)
    assert isinstance(flow, Flow)
    assert flow.name == deployment["name"]
    assert deployment["work_pool"]["name"] == ("site" if name == "backup" else "central")
    assert deployment["work_pool"]["name"] in deployment["tags"]
    assert [schedule["active"] for schedule in deployment["schedules"]] == [False]
    assert set(deployment["parameters"]) <= set(flow.parameters.properties)


def test_help_check_and_compare_load_neither_prefect_nor_a_driver() -> None:
    code = "import sys, voxkeep.main, voxkeep.settings, voxkeep.compare; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    slow = {"prefect", "sqlalchemy", "great_expectations", "minio", "obstore", "s3fs"}
    assert slow & set(loaded.split()) == set()
