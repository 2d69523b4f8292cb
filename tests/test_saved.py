"""Blocks that were saved, found again with one request."""

from pathlib import Path

import pytest

from blocks.catalog import Catalog
from blocks.errors import SettingsError
from blocks.index import CatalogIndex
from blocks.saved import find, load, load_index, save, taken


@pytest.mark.usefixtures("prefect")
def test_what_is_saved_is_found_by_kind_and_name_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blocks.saved._PAGE", 2)
    names = [f"found-{place}" for place in range(5)]
    for name in names:
        save(Catalog(url=str(tmp_path / name)), name)
    save(CatalogIndex(url=str(tmp_path / "other")), names[0])
    found = find([*((Catalog, name) for name in [*names, "found-never"]), (CatalogIndex, names[1])])
    assert {(kind, name): block.url for (kind, name), block in found.items() if isinstance(block, Catalog)} == {
        (Catalog, name): str(tmp_path / name) for name in names
    }
    assert taken(found, Catalog, names[3]).url == load(Catalog, names[3]).url
    assert type(load(CatalogIndex, names[0])) is CatalogIndex


@pytest.mark.usefixtures("prefect")
def test_what_was_never_applied_is_told_with_its_kind_and_name() -> None:
    assert find([]) == {}
    for verb in (lambda: load(Catalog, "found-never"), lambda: load_index("found-never")):
        with pytest.raises(SettingsError, match="found-never: nothing of this name was applied"):
            verb()
