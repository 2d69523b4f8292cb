"""What is shipped to run voxkeep elsewhere: containers, systemd units, the installer, and the page about them."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import Settings as PrefectSettings
from prefect.settings.legacy import _get_settings_fields

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
COMPOSE_FILES = ["compose.yaml", "compose.site.yaml"]
UNITS = sorted(file for file in (DEPLOY / "systemd").iterdir() if file.suffix in (".service", ".timer"))
UNITS_OF_CENTRE = ("prefect", "receiver", "metrics", "worker@", "watch@")
SCRIPTS = [DEPLOY / "install.sh", DEPLOY / "with-secrets.sh", DEPLOY / "systemd" / "voxkeep"]
PAGE = ROOT / "docs" / "cluster.md"
# What a name must have so that its value is a secret.
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH_STRING|ENCRYPTION_KEY")


def run(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, words)), capture_output=True, check=False, text=True, timeout=500, **options
    )  # fmt: skip


def compose(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    return content


def services() -> dict[str, dict[str, Any]]:
    return {name: service for file in COMPOSE_FILES for name, service in compose(file)["services"].items()}


def ours() -> list[str]:
    return [name for name, service in services().items() if service["image"].startswith("voxkeep:")]


@cache
def help_of(*command: str) -> str:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    done = run(BIN / command[0], *command[1:], "--help", env=environment)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def unknown_in(words: list[str]) -> list[str]:
    """The options in a command line of ours that its program does not have; an unknown command fails."""
    depth = {"voxkeep": 2, "prefect": 3}[words[0]]
    command = [word for word in words[:depth] if not word.startswith("-")]
    options = [word for word in words[1:] if word.startswith("--")]
    return [option for option in options if not re.search(rf"{option}\b", help_of(*command))]


@pytest.fixture
def compose_loader() -> Path:
    """The program with which the Compose Specification's own library reads a file, as `docker compose` does."""
    words = ("github.com/compose-spec/compose-go/v2", "v2.16.2", "./cmd", "compose-spec", ROOT / ".tools")
    built = run("sh", ROOT / "tools" / "go.sh", *words)
    if built.returncode:
        pytest.skip(f"cannot build the loader of the Compose Specification: {built.stderr.strip()[-200:]}")
    return ROOT / ".tools" / "compose-spec"


@pytest.mark.parametrize("file", COMPOSE_FILES)
def test_the_compose_files_are_valid_by_the_specifications_own_loader(compose_loader: Path, file: str) -> None:
    done = run(compose_loader, "--format", "json", DEPLOY / file, cwd=DEPLOY)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["services"]) == set(compose(file)["services"])


def test_the_loader_would_see_an_unknown_key(compose_loader: Path, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {one: {image: x:1, restarts: always}}\n")
    assert run(compose_loader, tmp_path / "compose.yaml").returncode != 0


@pytest.mark.skipif(not shutil.which("docker"), reason="docker is not on PATH")
@pytest.mark.parametrize("file", COMPOSE_FILES)
def test_a_swarm_takes_the_compose_files(file: str) -> None:
    done = run("docker", "stack", "config", "--compose-file", DEPLOY / file)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ours())
def test_every_service_starts_a_command_that_exists(name: str) -> None:
    service = services()[name]
    words = [*service.get("entrypoint", ["with-secrets"])[1:], *service["command"]]
    assert unknown_in(words) == []


def test_an_option_that_does_not_exist_would_be_seen() -> None:
    assert unknown_in(["voxkeep", "receiver", "--porte", "1"]) == ["--porte"]


@pytest.mark.parametrize("name", ours())
def test_every_environment_variable_of_a_service_is_one_that_is_read(name: str) -> None:
    names = {variable.removesuffix("_FILE") for variable in services()[name]["environment"]}
    assert names - known_variables() == set()


def known_variables() -> set[str]:
    """What Prefect reads, what voxkeep reads, and what the settings of the examples name."""
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "voxkeep").glob("*.py"))
    examples = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "docs" / "example").glob("*.yaml"))
    encryption = (BIN.parent / "lib").glob("python3*/site-packages/prefect/server/utilities/encryption.py")
    assert '"PREFECT_SERVER_ENCRYPTION_KEY"' in next(encryption).read_text(encoding="utf-8")
    ours = set(re.findall(r"\bVOXKEEP_[A-Z0-9_]+", code + examples))
    return {*_get_settings_fields(PrefectSettings), "PREFECT_SERVER_ENCRYPTION_KEY", *ours}


def test_minio_is_started_with_the_variables_that_the_tested_one_has() -> None:
    tested = set(re.findall(r'"(_?MINIO_[A-Z_]+)"', (DEPLOY / "servers" / "minio.py").read_text(encoding="utf-8")))
    for name in ("minio1", "minio2", "minio3", "minio4"):
        assert {variable.removesuffix("_FILE") for variable in services()[name]["environment"]} <= tested


def test_no_secret_stands_in_a_compose_file() -> None:
    for file in COMPOSE_FILES:
        content = compose(file)
        for name, service in content["services"].items():
            for variable, value in service["environment"].items():
                if SECRET.search(variable):
                    assert variable.endswith("_FILE"), f"{name}: {variable}"
                    assert value.removeprefix("/run/secrets/") in service["secrets"], f"{name}: {variable}"
        assert {Path(secret["file"]).parent.name for secret in content["secrets"].values()} <= {"secrets}"}, (
            "a secret's file lies outside the checkout"
        )
        used = {secret for service in content["services"].values() for secret in service.get("secrets", [])}
        assert used == set(content["secrets"])


def test_no_secret_is_on_a_command_line_of_a_container() -> None:
    for name, service in services().items():
        words = json.dumps([service.get(key, []) for key in ("command", "entrypoint", "healthcheck")])
        # A secret is only read from its file, by the shell itself.
        left = re.sub(r"\$\$\(cat /run/secrets/\w+\)", "", words)
        assert "/run/secrets" not in left, name


def test_every_version_is_fixed() -> None:
    images = {service["image"] for service in services().values()}
    stages = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for image in [*images, *stages]:
        assert re.search(r":v?\d+[.-]\d+[.-]\d+|:\d+\.\d+-", image), image


def test_the_versions_are_those_that_the_tests_run() -> None:
    images = {service["image"] for service in services().values()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"voxkeep:{project['version']}" in images
    elastic = re.search(r"^version=(.+)$", (ROOT / "tools" / "elasticsearch.sh").read_text(), re.MULTILINE)
    assert elastic
    assert any(image.endswith(f"elasticsearch:{elastic[1]}") for image in images)
    minio = re.search(r"v0\.0\.0-(\d{4})(\d{2})(\d{2})", (ROOT / "tools" / "minio.sh").read_text())
    assert minio
    assert f"voxkeep-minio:{'-'.join(minio.groups())}" in images
    uv = re.search(r"uv==[\d.]+", (ROOT / "Makefile").read_text())
    assert uv
    for file in ("Dockerfile", "install.sh"):
        assert uv[0] in (DEPLOY / file).read_text(), file


def test_every_service_that_runs_says_whether_it_is_healthy_and_starts_again() -> None:
    for name, service in services().items():
        if service["deploy"].get("replicas") != 0:
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name
            assert service["deploy"]["restart_policy"]["condition"] == "any", name


def test_every_variable_of_a_compose_file_is_in_the_example() -> None:
    named = re.compile(r"\$\{(\w+)")
    used = {variable for file in COMPOSE_FILES for variable in named.findall((DEPLOY / file).read_text())}
    example = (DEPLOY / "compose.env.example").read_text(encoding="utf-8")
    assert used | {"COMPOSE_PROJECT_NAME"} == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    assert not SECRET.search("".join(re.findall(r"^(\w+)=", example, re.MULTILINE)).replace("VOXKEEP_SECRETS", ""))


def test_everything_that_the_dockerfile_copies_is_there_and_let_through() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    let_through = re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    for line in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(Path(source).match(pattern) for pattern in let_through), source


def test_a_container_gets_its_secrets_by_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a b'$c\n")
    script = (
        (DEPLOY / "with-secrets.sh")
        .read_text()
        .replace(r"\/run\/secrets\/", re.escape(f"{tmp_path}/").replace("/", r"\/"))
    )
    (tmp_path / "with-secrets").write_text(script)
    environment = {"PATH": os.environ["PATH"], "MY_TOKEN_FILE": f"{tmp_path}/token", "SSL_CERT_FILE": "/etc/ssl/ca"}
    done = run("sh", tmp_path / "with-secrets", "env", env=environment)
    assert "MY_TOKEN=a b'$c\n" in done.stdout
    assert "MY_TOKEN_FILE" not in done.stdout
    assert "SSL_CERT_FILE=/etc/ssl/ca" in done.stdout


def test_a_container_whose_secret_is_missing_does_not_start() -> None:
    environment = {"PATH": os.environ["PATH"], "MY_TOKEN_FILE": "/run/secrets/of-nobody"}
    assert run("sh", DEPLOY / "with-secrets.sh", "true", env=environment).returncode != 0


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_exists(unit: Path) -> None:
    found = re.search(r"^ExecStart=(.+)$", unit.read_text(), re.MULTILINE)
    assert found
    command = re.search(r"\b(?:voxkeep|prefect) (?:server|receiver|worker|backup|watch|metrics).*", found[1])
    assert command
    words = re.sub(r"[\"']", "", command[0]).split()
    assert unknown_in(words) == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on PATH")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    files = [tmp_path / unit.name.replace("@.", "@haihe--jinnan.") for unit in UNITS]
    for unit, file in zip(UNITS, files, strict=True):
        file.write_text(unit.read_text().replace("/opt/voxkeep/current/bin", str(BIN)))
    done = run("systemd-analyze", "verify", *files)
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on PATH")
@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_a_unit_exposes_little(unit: Path, tmp_path: Path) -> None:
    file = tmp_path / unit.name.replace("@.", "@haihe--jinnan.")
    file.write_text(unit.read_text())
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=20", file)
    if "nrecognized option" in done.stderr:
        pytest.skip("this systemd cannot judge a unit that it does not run")
    assert done.returncode == 0, done.stdout[-300:]


def test_a_backup_unit_tells_business_and_site_apart(tmp_path: Path) -> None:
    words = started(tmp_path, "voxkeep-backup@.service", "hai-he--jin-nan")
    assert words == "backup hai-he --site jin-nan\n"


@pytest.mark.parametrize(
    ("instance", "words"), [("hai-he--jin-nan", "watch hai-he --site jin-nan\n"), ("hai-he", "watch hai-he\n")]
)
def test_a_watching_unit_is_of_a_site_or_of_the_centre(tmp_path: Path, instance: str, words: str) -> None:
    assert started(tmp_path, "voxkeep-watch@.service", instance) == words


def started(folder: Path, unit: str, instance: str) -> str:
    """The words with which an instance of the unit starts voxkeep."""
    line = next(line for line in (DEPLOY / "systemd" / unit).read_text().splitlines() if line.startswith("ExecStart="))
    # As systemd reads it: %i is the instance, %% a percent sign, $$ a dollar.
    words = shlex.split(line.removeprefix("ExecStart=").replace("%%", "\0").replace("%i", instance))
    words = [word.replace("\0", "%").replace("$$", "$") for word in words]
    stand_in(folder / "voxkeep", 'echo "$@"')
    return run(*words, env={"PATH": f"{folder}:{os.environ['PATH']}"}).stdout


def stand_in(file: Path, script: str) -> None:
    """A program that does what the script says."""
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder to install below; what an installation weighs is not kept for the next runs to find."""
    folder = tmp_path / "root"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def install(*words: object, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    found = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    return run("sh", DEPLOY / "install.sh", *words, env=os.environ | {"PATH": found} | environment)


def files_below(folder: Path) -> dict[str, str]:
    """Every file but those of the environment, with its mode."""
    found = (file for file in folder.rglob("*") if file.is_file() and "releases" not in file.parts)
    return {str(file.relative_to(folder)): f"{stat.S_IMODE(file.stat().st_mode):o}" for file in found}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_one_that_every_shell_reads(script: Path) -> None:
    assert run("sh", "-n", script).stderr == ""
    if shutil.which("shellcheck"):
        assert run("shellcheck", script).stdout == ""


def test_a_dry_run_says_what_would_be_done_and_does_nothing(root: Path) -> None:
    done = install("central", "--root", root, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"would write {root}/etc/voxkeep/server.env" in done.stdout
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--root", "/srv/a b", "site"], "no name or path of plain letters"),
        (["--host", "a;reboot", "site"], "no name or path of plain letters"),
        (["site", "--pool", "jinnan"], "not BUSINESS--SITE"),
        (["central", "--pool", "a--b"], "are for a site"),
        (["site", "--python", "/bin/true/no", "--root", "/srv/none"], "no Python 3.11 or newer"),
        (["centre"], "unknown: centre"),
        (["site", "--host"], "wants a value"),
    ],
)
def test_the_installer_refuses_with_a_reason(words: list[str], cause: str) -> None:
    done = install(*words, "--dry-run") if words[-1] != "--host" else install(*words)
    assert (done.returncode, cause in done.stderr) == (2, True), done.stderr


def test_a_centre_is_installed_again_unchanged_and_taken_away_but_for_its_data(root: Path, tmp_path: Path) -> None:
    first = install("central", "--root", root)
    assert first.returncode == 0, first.stderr
    assert "systemctl enable --now voxkeep-worker@central.service" in first.stdout
    laid_down = files_below(root)
    assert laid_down == {
        "usr/local/bin/voxkeep": "755",
        "opt/voxkeep/bin/restic": "755",
        "opt/voxkeep/installed": "644",
        **{f"etc/systemd/system/voxkeep-{name}.service": "644" for name in UNITS_OF_CENTRE},
        **{f"etc/voxkeep/{name}.env": "600" for name in ("server", "receiver", "voxkeep", "apply")},
    }
    program = root / "opt/voxkeep/current/bin"
    assert "Usage" in run(program / "voxkeep", "--help").stdout
    assert run(root / "opt/voxkeep/bin/restic", "version").stdout.startswith("restic 0.")
    assert not (program / "ruff").exists()

    settings = (root / "etc/voxkeep/server.env").read_text()
    assert environment_of(settings).keys() <= known_variables()
    login = environment_of(settings)["PREFECT_SERVER_API_AUTH_STRING"]
    assert len(login) > 40
    assert environment_of((root / "etc/voxkeep/voxkeep.env").read_text())["PREFECT_API_AUTH_STRING"] == login
    assert login not in first.stdout + first.stderr

    again = install("central", "--root", root)
    assert again.stdout.splitlines()[-1] == "unchanged"
    assert (root / "etc/voxkeep/server.env").read_text() == settings

    # The same machine may be a site, too; then systemd runs, as far as the installer can tell.
    (root / "run/systemd/system").mkdir(parents=True)
    stand_in(tmp_path / "systemctl", f'echo "$@" >>{tmp_path}/told; case $* in *is-enabled*) exit 1;; esac')
    both = install("site", "--local", "haihe--island", "--root", root, path=tmp_path)
    assert both.returncode == 0, both.stderr
    assert "enable --now voxkeep-backup@haihe--island.timer" in (tmp_path / "told").read_text()
    shutil.rmtree(root / "run")

    (root / "srv/voxkeep/report.html").write_text("kept")
    (root / "etc/systemd/system/voxkeep-prefect.service.d").mkdir()
    gone = install("--uninstall", "--root", root)
    assert gone.returncode == 0, gone.stderr
    secrets = {f"etc/voxkeep/{name}.env" for name in ("server", "receiver", "voxkeep", "apply")}
    assert set(files_below(root)) == {"srv/voxkeep/report.html", *secrets}
    assert not (root / "opt/voxkeep").exists()
    assert "nothing is installed" in install("--uninstall", "--root", root).stdout


def environment_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z]", line))


def test_a_site_is_installed_by_ssh(root: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "ssh", f'echo "$1" >>{tmp_path}/hosts; cd /; exec sh -c "$2"')
    words = ("site", "--pool", "haihe--jinnan", "--host", "root@jinnan.example.org", "--root", root)
    first = install(*words, path=tmp_path)
    assert first.returncode == 0, first.stderr
    assert f"fill in {root}/etc/voxkeep/voxkeep.env" in first.stdout
    assert (root / "etc/systemd/system/voxkeep-backup@.timer").is_file()
    assert not (root / "etc/voxkeep/server.env").exists()
    assert "Usage" in run(root / "opt/voxkeep/current/bin/voxkeep", "--help").stdout
    assert install(*words, path=tmp_path).stdout.splitlines()[-1] == "unchanged"
    gone = install("--uninstall", "--host", "root@jinnan.example.org", "--root", root, path=tmp_path)
    assert gone.returncode == 0, gone.stderr
    assert set(files_below(root)) == {"etc/voxkeep/voxkeep.env", "etc/voxkeep/apply.env"}
    assert set((tmp_path / "hosts").read_text().split()) == {"root@jinnan.example.org"}


def test_on_the_command_line_voxkeep_knows_what_its_services_know(tmp_path: Path) -> None:
    script = (DEPLOY / "systemd" / "voxkeep").read_text().replace("/etc/voxkeep", str(tmp_path))
    stand_in(tmp_path / "id", "echo 0")
    stand_in(tmp_path / "runuser", 'case $* in *" test "*) exit 0;; esac; echo "$@"; env')
    (tmp_path / "apply.env").write_text("# a remark\nCQ_DATABASE=mysql://u:p$w@h/db?a=b&c='d'\n")
    (tmp_path / "voxkeep.env").write_text("PREFECT_API_URL=\nPREFECT_API_AUTH_STRING=\n")
    (tmp_path / "program").write_text(script.replace("PATH=/opt", f"PATH={tmp_path}:/opt"))
    done = run("sh", tmp_path / "program", "status", "--json", env={"PATH": os.environ["PATH"]})
    assert done.stdout.startswith("-u voxkeep -- /opt/voxkeep/current/bin/voxkeep status --json\n"), done.stderr
    assert "CQ_DATABASE=mysql://u:p$w@h/db?a=b&c='d'\n" in done.stdout
    assert "PREFECT_API_URL" not in done.stdout


def commands_of_the_page() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()] + spans
    return sorted({line for line in lines if re.match(r"(voxkeep|prefect|sh deploy/install\.sh) [a-z-]", line)})


@pytest.mark.parametrize("command", commands_of_the_page())
def test_every_command_of_the_page_about_clusters_exists(command: str) -> None:
    words = command.replace("…", "x").split()
    if words[0] == "sh":
        options = [word for word in words if word.startswith("--")]
        assert [option for option in options if option not in install("--help").stdout] == []
    else:
        assert unknown_in(words) == []
