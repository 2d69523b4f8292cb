"""How restic is run: its deadline, and a store that refuses everything. The programs here speak as restic does."""

import time
from pathlib import Path

import pytest

from blocks import restic
from blocks.errors import PermanentError, TransientError

REFUSED = (
    'echo \'{"message_type":"error","error":{"message":"Save(<lock/1>) returned error, retrying after 1s: 503"}}\' >&2'
)
PLAINLY_REFUSED = "echo 'Save(<lock/1>) returned error, retrying after 1s: 503 Slow Down' >&2"
SUCCEEDED = "echo 'Save(<lock/1>) operation successful after 1 retries' >&2"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "restic"
    monkeypatch.setattr(restic, "find_restic", lambda: str(file))
    return file


def write(program: Path, *lines: str) -> None:
    program.write_text("\n".join(["#!/bin/sh", *lines]))
    program.chmod(0o755)


def run(*, deadline_seconds: float = 60) -> tuple[list[bytes], restic.Call]:
    heard: list[bytes] = []
    environment = {"RESTIC_REPOSITORY": "/nowhere"}
    call = restic.run_restic(
        ["backup"], environment=environment, deadline_seconds=deadline_seconds, on_line=heard.append
    )
    return heard, call


def test_deadline_holds_while_restic_still_tells_its_progress(program: Path) -> None:
    write(program, 'while true; do echo "{}"; sleep 0.05; done')
    began = time.monotonic()
    with pytest.raises(TransientError, match="did not end within 1 s"):
        run(deadline_seconds=1)
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("refusal", [REFUSED, PLAINLY_REFUSED])
def test_store_that_goes_on_refusing_is_given_up(refusal: str, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restic, "PATIENCE_SECONDS", 1.0)
    write(program, f"while true; do {refusal}; sleep 0.1; done")
    with pytest.raises(TransientError, match=r"the store has refused it for 1 s.*503"):
        run()


def test_store_that_refuses_once_is_waited_for(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restic, "PATIENCE_SECONDS", 0.5)
    write(program, PLAINLY_REFUSED, SUCCEEDED, "sleep 1.5", 'echo "{}"')
    assert run()[0] == [b"{}\n"]


def test_last_words_name_the_cause(program: Path) -> None:
    write(program, "echo 'Fatal: no such thing' >&2", "exit 1")
    with pytest.raises(PermanentError, match=r"no such thing \(exit code 1\)"):
        run()
