"""The mutants of the engine (mutants.py, `make mutants`) are errors that can be made in it as it is now."""

from pathlib import Path

import pytest
from mutants import MUTANTS, ROOT, Mutant


def copy_of(mutant: Mutant, folder: Path) -> Path:
    """The file that the mutant spoils, in a tree of its own."""
    source = mutant.source(folder)
    source.parent.mkdir(exist_ok=True)
    source.write_text(mutant.source(ROOT).read_text())
    return source


def test_every_mutant_finds_its_text_and_is_still_python(tmp_path: Path) -> None:
    for mutant in MUTANTS:
        source = copy_of(mutant, tmp_path)
        mutant.apply(tmp_path)
        assert source.read_text() != mutant.source(ROOT).read_text()
        compile(source.read_text(), source, "exec")


def test_a_mutant_whose_text_is_gone_or_stands_twice_fails_loudly(tmp_path: Path) -> None:
    for text in ("text that stands nowhere", "import"):
        mutant = Mutant("nothing", "findings", text, "")
        copy_of(mutant, tmp_path)
        with pytest.raises(LookupError, match=r"nothing: findings\.py holds this"):
            mutant.apply(tmp_path)


def test_there_are_thirty_mutants_at_least_and_each_is_another() -> None:
    assert len({(mutant.file, mutant.text, mutant.instead) for mutant in MUTANTS}) == len(MUTANTS) >= 30
    assert len({mutant.wrong for mutant in MUTANTS}) == len(MUTANTS)
