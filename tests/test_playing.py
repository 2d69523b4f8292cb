"""Which recordings play is found out by a process that nobody misses."""

import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import psutil
import pytest
from online import wait_for

from blocks.errors import PermanentError
from blocks.playing import unplayable

# What FFmpeg might do over a hostile file, done by whoever imports blocks.hearing; Python loads this file by itself.
FAULTS = """
import os, sys
if sys.argv[:1] == ["-m"]:
    import blocks.hearing
    plays = blocks.hearing.plays
    def hostile(source, extension):
        if source.stem == "crash":
            os.abort()
        if source.stem == "once" and not source.with_name("was").exists():
            source.with_name("was").touch()
            os.abort()
        if source.stem == "killed":
            os.kill(os.getpid(), 9)
        if source.stem == "defect":
            raise RuntimeError("no codecs here")
        return plays(source, extension)
    blocks.hearing.plays = hostile
"""


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files named crash, once, killed and defect do what they are named for."""
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "faults"))


def recordings(folder: Path, *names: str) -> list[Path]:
    """A second of sound under each of these names."""
    files = [folder / str(place) / f"{name}.wav" for place, name in enumerate(names)]
    for file in files:
        file.parent.mkdir()
        with wave.open(str(file), "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(8000)
            writer.writeframes(b"\1\0" * 8000)
    return files


def test_what_holds_no_sound_does_not_play(tmp_path: Path) -> None:
    whole, cut, empty, odd = recordings(tmp_path, "whole", "cut", "empty", "录 \udcff")
    cut.write_bytes(whole.read_bytes()[:44])
    empty.write_bytes(b"")
    assert unplayable([whole, cut, empty, odd]) == [cut, empty]
    assert unplayable([]) == []


@pytest.mark.usefixtures("faults")
def test_a_recording_that_makes_the_decoder_crash_does_not_play_and_all_others_are_still_tried(tmp_path: Path) -> None:
    files = recordings(tmp_path, "a", "crash", "b", "once", "crash", "c", "d")
    files[5].write_bytes(b"")
    assert unplayable(files) == [files[1], files[4], files[5]]


def test_a_recording_without_end_does_not_play_and_all_others_are_still_tried(tmp_path: Path) -> None:
    files = recordings(tmp_path, "a", "endless", "b", "c")
    files[1].unlink()
    os.mkfifo(files[1])
    assert unplayable(files, longest_seconds=1.5) == [files[1]]


@pytest.mark.usefixtures("faults")
def test_what_fails_for_another_reason_is_no_damaged_recording(tmp_path: Path) -> None:
    sound, killed, defect = recordings(tmp_path, "a", "killed", "defect")
    with pytest.raises(PermanentError, match="a recording: the process was killed over it"):
        unplayable([sound, killed])
    with pytest.raises(PermanentError, match="RuntimeError: no codecs here"):
        unplayable([sound, defect])


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere/python"])
def test_a_python_that_cannot_run_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(PermanentError, match="decode recordings"):
        unplayable(recordings(tmp_path, "a"))


@pytest.mark.parametrize("module", ["import os; os.abort()", "raise ImportError('no such library')"])
def test_decoders_that_cannot_be_loaded_are_told_and_are_no_damaged_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    files = recordings(tmp_path, "a", "b")
    (tmp_path / "av.py").write_text(module)
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(PermanentError, match=r"before it began|no such library"):
            unplayable(files)
    # What lies in the current folder is not loaded.
    monkeypatch.chdir(tmp_path)
    assert unplayable(files) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_one_who_asked_ends_no_process_is_left(tmp_path: Path, how: signal.Signals) -> None:
    (endless,) = recordings(tmp_path, "endless")
    endless.unlink()
    os.mkfifo(endless)
    script = f"from pathlib import Path; from blocks.playing import unplayable; unplayable([Path({str(endless)!r})])"
    asked = [sys.executable, "-c", script]
    # Whoever opens the other end waits until the decoder has begun.
    with subprocess.Popen(asked, stderr=subprocess.DEVNULL) as asker, endless.open("wb"):
        (decoder,) = psutil.Process(asker.pid).children()
        asker.send_signal(how)
        assert asker.wait(20) != 0
        wait_for(lambda: has_ended(decoder), "the decoder's end", 20)


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more; nobody may have asked what it ended with."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
