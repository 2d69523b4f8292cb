"""The docs say what the code does: generated pages are fresh, examples load, links lead somewhere."""

import json
import re
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from reconcile.findings import KINDS
from voxkeep.listen_settings import load_listen_settings
from voxkeep.main import app
from voxkeep.settings import Settings, load_rules, load_settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import write_docs

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLE = DOCS / "example" / "business.yaml"
TEXTS = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
COMMANDS = {
    command.name or command.callback.__name__: command for command in app.registered_commands if command.callback
}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return write_docs.pages()


@pytest.mark.parametrize(
    "name",
    [
        "frames.md",
        "findings.md",
        "settings.md",
        "settings.schema.json",
        "rules.md",
        "rules.schema.json",
        "listen.md",
        "metrics.md",
        "cli.md",
        "capacity.md",
    ],
)
def test_a_generated_page_says_what_the_code_says(pages: dict[str, str], name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages[name], "it is stale: run `make docs`"


def test_every_generated_page_is_looked_at(pages: dict[str, str]) -> None:
    marked = {file.name for file in DOCS.rglob("*.md") if write_docs.GENERATED in file.read_text(encoding="utf-8")}
    assert marked | {"settings.schema.json", "rules.schema.json", "packs.schema.json"} == set(pages)


def test_help_is_the_same_on_every_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "COLUMNS": "40",
        "FORCE_COLOR": "1",
        "TERM": "xterm-256color",
        "VOXKEEP_HOME": "/else",
    }.items():
        monkeypatch.setenv(name, value)
    help_text = write_docs.help_of(["find"])
    assert help_text in (DOCS / "cli.md").read_text(encoding="utf-8")
    assert "\x1b" not in help_text
    assert max(map(len, help_text.splitlines())) in range(80, 101)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_an_example(name: str) -> None:
    assert (COMMANDS[name].callback.__doc__ or "").strip()
    assert re.search(rf"Example: .*\bvoxkeep {name}\b", COMMANDS[name].epilog or "")
    text = (DOCS / "cli.md").read_text(encoding="utf-8").split(f"\n## voxkeep {name}\n")[1].split("\n## ")[0]
    assert re.search(rf"Example: .*voxkeep {name}", text)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_says_what_it_is(name: str) -> None:
    for parameter in write_docs.parameters(name):
        assert parameter.help, parameter.name


def test_the_example_of_a_business_is_good_settings() -> None:
    settings = load_settings(EXAMPLE)
    assert settings.business == "meituan"
    assert settings.datasets["robot"].columns.call_id == "uniqueid"


def test_the_examples_show_every_setting_at_the_left_margin() -> None:
    shown = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in EXAMPLE.parent.glob("*.yaml")]
    assert {name for content in shown for name in content} >= set(Settings.model_fields)


def test_the_example_of_a_cluster_is_good_settings() -> None:
    settings = load_settings(EXAMPLE.with_name("cluster.yaml"))
    assert settings.s3
    assert settings.s3.object_lock_days == 1095
    assert settings.sites["island"].repository == "/mnt/backup/restic"


def test_the_example_in_the_page_of_settings_loads(tmp_path: Path) -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    shutil.copytree(DOCS / "example", tmp_path, dirs_exist_ok=True)
    (tmp_path / "business.yaml").write_text(example, encoding="utf-8")
    assert load_settings(tmp_path / "business.yaml").title == "美团催收"


def test_the_example_of_the_page_loads() -> None:
    settings = load_listen_settings(DOCS / "example" / "listen" / "listen.yaml")
    assert settings.oidc
    assert settings.oidc.grants[0].roles == ["listener"]


def test_the_example_of_rules_loads() -> None:
    assert load_rules(DOCS / "example" / "rules.yaml").matching.order == ["key", "nearest"]


@pytest.mark.parametrize(("example", "schema"), [("business.yaml", "settings"), ("rules.yaml", "rules")])
def test_the_published_schema_accepts_the_example_and_refuses_an_unknown_name(example: str, schema: str) -> None:
    validator = jsonschema.Draft202012Validator(
        json.loads((DOCS / f"{schema}.schema.json").read_text(encoding="utf-8"))
    )
    typed = json.loads(
        json.dumps(yaml.safe_load((DOCS / "example" / example).read_text(encoding="utf-8")), default=str)
    )
    assert list(validator.iter_errors(typed)) == []
    assert list(validator.iter_errors({**typed, "unknown": 1})) != []


def test_the_operators_guide_says_what_to_do_about_each_kind_of_finding() -> None:
    text = (
        (DOCS / "operator.md").read_text(encoding="utf-8").split("## What each finding asks for")[1].split("\n## ")[0]
    )
    rows = "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert sorted(re.findall(r"`(\w+)`", rows)) == sorted(kind.name for kind in KINDS)


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "decisions" / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(file.name for file in (DOCS / "decisions").glob("*.md") if file.name != "README.md")


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_somewhere(file: Path) -> None:
    assert [target for target in links(file) if not leads_somewhere(file, target)] == []


def test_a_link_that_leads_nowhere_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("# One\n\n[a](#one) [b](#two) [c](page.md#one) [d](none.md) [e](https://example.org)\n")
    assert [target for target in links(file) if not leads_somewhere(file, target)] == ["#two", "none.md"]


def links(file: Path) -> list[str]:
    return LINK.findall(re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE))


def leads_somewhere(file: Path, target: str) -> bool:
    if target.startswith("https://"):
        return True
    name, _, anchor = target.partition("#")
    page = file.parent / name if name else file
    return page.exists() and (not anchor or anchor in anchors(page))


def anchors(file: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
