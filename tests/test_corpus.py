"""The corpus of hostile files (corpus/): each is read as its verdict beside it says; and what random damage may do.

A verdict: why the file is there, its columns, each row with the line where it begins, and the line and reason of what
is set aside.
"""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from reconcile.encodings import decode
from reconcile.errors import UnreadableError
from reconcile.layouts import HeaderError
from reconcile.tables import Table, parse_table, read_table

FILES = sorted((Path(__file__).parent / "corpus").glob("*.csv"))
ORDINARY, LONG = 4_000, 100_000
# What damage is made of.
PIECES = [
    b'"',
    b'""',
    b",",
    b";",
    b"\t",
    b"|",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xe9",
    b"\xef\xbb\xbf",
    b" ",
    b"x",
]


def verdict(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    return content


def test_the_corpus_has_forty_kinds_at_least_each_with_its_verdict() -> None:
    assert len(FILES) >= 40
    assert all(verdict(file)["why"] for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_is_read_as_its_verdict_says(file: Path) -> None:
    said = verdict(file)
    if "error" in said:
        with pytest.raises(UnreadableError, match=said["error"]):
            read_table(file)
        return
    table = read_table(file, header=said.get("header"))
    assert table.encoding == said["encoding"]
    assert table.rows.columns == [*said["columns"], "source_row"]
    assert [list(row) for row in table.rows.rows()] == said["rows"]
    found = [[line, reason] for line, reason, _ in table.quarantined.rows()]
    assert [line for line, _ in found] == [line for line, _ in said["set_aside"]]
    assert all(part in reason for (_, reason), (_, part) in zip(found, said["set_aside"], strict=True))
    assert table.rows_in == len(said["rows"]) + len(said["set_aside"])


def damaged(data: bytes, random: Random) -> bytes:
    """The file with one to four pieces put in, taken out, replaced, repeated, or its end cut off."""
    for _ in range(random.randint(1, 4)):
        at, length = random.randint(0, len(data)), random.choice((0, 1, 1, 2, 8))
        piece = random.choice([*PIECES, random.randbytes(3), data[at : at + 20], b""])
        data = data[:at] + piece + data[at + length :] if random.random() < 0.95 else data[:at]
    return data


def parsed(data: bytes, header: list[str] | None, *, vectorised: bool) -> Table | None:
    try:
        return parse_table(decode(data), headers=[header] if header else [], vectorised=vectorised)
    except HeaderError:
        return None


def check_damage(seed: int) -> None:
    random = Random(seed)  # noqa: S311  # reproducible, not secret
    file = random.choice(FILES)
    header = verdict(file).get("header")
    data = damaged(file.read_bytes(), random)
    table = parsed(data, header, vectorised=True)
    if table is None:
        return
    lines = [*table.rows["source_row"], *table.quarantined["source_row"]]
    assert table.rows_in == table.rows.height + table.quarantined.height == len(set(lines))
    assert table.rows["source_row"].is_sorted()
    assert table.quarantined["source_row"].is_sorted()
    text = decode(data).data
    assert all(1 <= line <= text.count(b"\n") + text.count(b"\r") + 1 for line in lines)
    # The exact parser, record by record, says the same.
    exact = parsed(data, header, vectorised=False)
    assert exact is not None
    assert exact.rows.equals(table.rows)
    assert exact.quarantined.equals(table.quarantined)


def check_neighbours(seed: int) -> None:
    """Damage of one field that neither opens a quote nor ends a line changes that row alone, and shifts nothing."""
    random = Random(f"neighbours {seed}")  # noqa: S311
    count = random.randint(2, 9)
    rows = [[f"{row}-{column}" for column in range(3)] for row in range(count)]
    hurt, place = random.randrange(count), random.randrange(3)
    spoilt = b"".join(
        random.choice([b",", b"x", b"\0", b"\xff", b" ", b'x"', b"\t"]) for _ in range(random.randint(1, 4))
    )
    lines = [",".join(row).encode() for row in rows]
    cells = lines[hurt].split(b",")
    cells[place] += b"y" + spoilt
    lines[hurt] = b",".join(cells)
    table = parse_table(decode(b"\n".join([b"a,b,c", *lines, b""])), headers=[["a", "b", "c"]])
    expected = [(*row, line) for line, row in enumerate(rows, start=2) if line != hurt + 2]
    assert [row for row in table.rows.rows() if row[3] != hurt + 2] == expected
    assert table.rows_in == count


def check(first: int, behind: int) -> None:
    for seed in range(first, behind):
        try:
            check_damage(seed)
            check_neighbours(seed)
        except Exception as error:
            raise AssertionError(f"damage {seed} is not read as it should be: {error}") from error


@pytest.mark.parametrize("first", range(0, ORDINARY, ORDINARY // 4))
def test_no_damage_stops_the_reader_loses_a_row_or_shifts_a_column(first: int) -> None:
    check(first, first + ORDINARY // 4)


@pytest.mark.long
@pytest.mark.parametrize("first", range(ORDINARY, LONG, 8_000))
def test_no_damage_of_very_many_does(first: int) -> None:
    check(first, min(first + 8_000, LONG))
