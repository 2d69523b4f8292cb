"""A shop of the tests whose things have been kept for a while: calls with notes, recordings, and a key that signs."""

import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

from shop import DAY, Shop
from test_certificate import make_key

from flows.backup import backup

PERSON, OTHER = "15372388463", "13900001111"
CASE = "case-4711-of-the-tests"
NEXT = date(2021, 2, 1)
# Of a day in 2021, these are over by now, and this one is not.
SHORT, LONG, LONGER = "3y", "4y", "60y"
BEYOND = {"floor": SHORT, "ceiling": LONG}
BETWEEN = {"floor": SHORT, "ceiling": LONGER}
UNDER = {"floor": LONGER}


class KeptShop(Shop):
    """A shop with notes beside its calls."""

    def content(self, **changes: Any) -> dict[str, Any]:
        """The settings, with a dataset of notes and a key that signs protocols."""
        content = super().content(**{"retention": BETWEEN, "certificate_key": {"file": "key.pem"}} | changes)
        content = {name: value for name, value in content.items() if value is not None}
        if not (self.folder / "key.pem").exists():
            make_key(self.folder / "key.pem")
            (self.folder / "notes.sql").write_text("SELECT * FROM notes WHERE at >= :start AND at < :end ORDER BY id")
            with sqlite3.connect(self.database) as connection:
                connection.execute("CREATE TABLE notes (id TEXT, at TEXT, customer TEXT, text TEXT)")
        columns = {"call_id": "id", "started_at": "at"}
        content["datasets"]["notes"] = {"kind": "notes", "sql": "notes.sql", "columns": columns}
        return content

    def backup(self, day: date = DAY) -> None:
        """Back up the site alone."""
        backup(self.business, "one", day)

    def note(self, call_id: str, at: str, customer: str) -> None:
        """Write a note to the source database."""
        with sqlite3.connect(self.database) as connection:
            connection.execute("INSERT INTO notes VALUES (?, ?, ?, ?)", (call_id, at, customer, f"承诺还款 {customer}"))


def stocked(folder: Path) -> KeptShop:
    """Two days: two calls of the person, one of another, one of each with a note; reconciled without a finding."""
    shop = KeptShop(folder)
    for call_id, clock, number, day in (
        ("p1", "09:00:00", PERSON, DAY), ("o1", "10:00:00", OTHER, DAY), ("p2", "11:00:00", PERSON, NEXT),
    ):  # fmt: skip
        shop.call(call_id, clock, number=number, day=day)
        shop.recording(clock, number=number, day=day)
    shop.note("p1", f"{NEXT} 12:00:00", CASE)
    shop.note("o1", f"{NEXT} 12:00:00", "case-4712-of-the-tests")
    shop.run(NEXT)
    return shop


class Stock:
    """A stocked shop (to which `more` was done), and beside its folder a copy of it from which every test starts."""

    def __init__(self, folder: Path, more: Callable[[KeptShop], object] = lambda _shop: None) -> None:
        self.shop = stocked(folder / "shop")
        more(self.shop)
        copytree(self.shop.folder, folder / "copy", symlinks=True)

    def fresh(self, **settings: Any) -> KeptShop:
        """The shop as it was before any test, with these settings."""
        shop = self.shop
        rmtree(shop.folder)
        copytree(shop.folder.with_name("copy"), shop.folder, symlinks=True)
        shop.apply(**settings)
        return shop
