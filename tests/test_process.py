"""Servers as plain processes: stop ends what start began, whoever began it."""

import subprocess
import sys
import time
from pathlib import Path

from deploy.servers import process

START = """
import sys
from pathlib import Path
from deploy.servers import process
process.start("sleeper", ["sleep", "600"], Path(sys.argv[1]))
print("started", flush=True)
sys.stdin.read()
"""


def test_a_server_whose_parent_does_not_ask_after_it_is_stopped_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", START, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        assert process.find("sleeper", tmp_path)
        began = time.monotonic()
        process.stop("sleeper", tmp_path, deadline_seconds=300)
        assert time.monotonic() - began < 100
        assert process.find("sleeper", tmp_path) is None
        assert parent.stdin is not None
        parent.stdin.close()
