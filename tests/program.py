"""The installed program, run as its users run it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PROGRAM = Path(sys.executable).with_name("voxkeep")


class Ended(NamedTuple):
    """How a run of the program ended."""

    code: int
    out: str
    err: str


def voxkeep(*words: object, columns: int = 80, **environment: str) -> Ended:
    """Run it on a terminal of 80 columns."""
    done = subprocess.run(
        [PROGRAM, *map(str, words)],
        capture_output=True, check=False, encoding="utf-8", timeout=300,
        env=os.environ | {"COLUMNS": str(columns)} | environment,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)
