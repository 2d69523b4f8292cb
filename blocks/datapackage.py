"""What stands beside extracts: a Frictionless data package that says what each of them holds.

https://specs.frictionlessdata.io/tabular-data-package/
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from blocks.errors import SettingsError
from blocks.extract import Extract, aside

PACKAGE_SCHEMA = pl.Schema(
    [("path", pl.String()), ("rows", pl.Int64()), ("bytes", pl.Int64()), ("sha256", pl.String())]
)


@dataclass(frozen=True)
class Resource:
    """One extract for the datapackage: its file's name, the window it covers and the SQL that made it."""

    path: str
    dataset: str
    extract: Extract
    start: str
    end: str
    sql: str


def write_datapackage(folder: Path, resources: list[Resource]) -> Path:
    """Make `datapackage.json` (Frictionless) describe these extracts; the same ones give the same bytes."""
    package = {
        "name": "voxkeep-extracts",
        "profile": "tabular-data-package",
        "resources": [_described(resource) for resource in sorted(resources, key=lambda one: one.path)],
    }
    file = folder / "datapackage.json"
    with aside(file) as out:
        out.write(json.dumps(package, ensure_ascii=False, indent=2).encode() + b"\n")
    return file


def read_datapackage(file: Path) -> pl.DataFrame:
    """path, rows, bytes, sha256 of each resource (`PACKAGE_SCHEMA`), null where the file does not say.

    No file, no rows: an extract that another system made has none.

    Raises:
        SettingsError: it is not a data package.
    """
    try:
        package = json.loads(file.read_bytes())
        rows = [
            {
                "path": str(found["path"]),
                "rows": found.get("rows"),
                "bytes": found.get("bytes"),
                "sha256": str(found.get("hash") or "").removeprefix("sha256:") or None,
            }
            for found in package["resources"]
        ]
        return pl.DataFrame(rows, schema=PACKAGE_SCHEMA)
    except FileNotFoundError:
        return PACKAGE_SCHEMA.to_frame()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise SettingsError(
            operation="read the data package",
            subject=str(file),
            cause=f"it is damaged ({type(error).__name__})",
            remedy="extract again, or remove the file: its extracts are then taken as they are",
        ) from None


def _described(resource: Resource) -> dict[str, Any]:
    extract = resource.extract
    return {
        "name": resource.dataset,
        "path": resource.path,
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "dialect": {
            "delimiter": ",",
            "lineTerminator": "\r\n",
            "quoteChar": '"',
            "doubleQuote": True,
            "header": True,
        },
        "schema": {
            "fields": [_field(name, kind) for name, kind in extract.columns.items()],
            "missingValues": [""],
        },
        "rows": extract.rows,
        "bytes": extract.bytes,
        "hash": f"sha256:{extract.sha256}",
        "window": {"start": resource.start, "end": resource.end},
        "sqlHash": f"sha256:{hashlib.sha256(resource.sql.encode()).hexdigest()}",
    }


def _field(name: str, kind: str) -> dict[str, str]:
    """A column; databases write instants with a blank, which is not Frictionless's default."""
    return {"name": name, "type": kind} | ({"format": "any"} if kind in ("datetime", "date", "time") else {})
