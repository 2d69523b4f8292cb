"""The installed program, run as its users run it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from voxkeep.main import run

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


def voxkeep_here(capsys: pytest.CaptureFixture[str], *words: object, **environment: str) -> Ended:
    """The same in this process, which has imported everything already."""
    with patch.dict(os.environ, environment), patch.object(sys, "argv", ["voxkeep", *map(str, words)]):
        with pytest.raises(SystemExit) as ended:
            run()
        said = capsys.readouterr()
    return Ended(int(ended.value.code or 0), said.out, said.err)
