"""Where a secret comes from. The secret itself never stands in the settings."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from blocks.errors import SettingsError

DEADLINE_SECONDS = 60
WRITTEN_AS = "{env: NAME}, {file: PATH} or {command: [PROGRAM, ARGUMENT, …]}"


class Secret(BaseModel):
    """Where a secret comes from: exactly one of an environment variable, a file, or a command's output."""

    model_config = ConfigDict(extra="forbid")

    env: str | None = Field(None, min_length=1, description="Environment variable that holds it.")
    file: str | None = Field(
        None, min_length=1, description="File whose content it is; a line end behind it is dropped."
    )
    command: list[str] | None = Field(None, min_length=1, description="Program with arguments that prints it.")

    @model_validator(mode="after")
    def _one_source(self) -> "Secret":
        given = [name for name in ("env", "file", "command") if getattr(self, name) is not None]
        if len(given) != 1:
            what = " and ".join(given) if given else "nothing"
            raise ValueError(f"a secret has one source, and here is {what}; write {WRITTEN_AS}")
        return self

    def fetch(self, what: str) -> str:
        """The secret itself.

        Raises:
            SettingsError: there is no such variable or file, the command fails, or what it gives is empty.
        """
        read, source = self._source()
        try:
            value = read().rstrip("\r\n")
            cause = f"{source} is empty"
        except KeyError:
            value, cause = "", f"{source} is not set"
        except UnicodeDecodeError:
            value, cause = "", f"{source} is not UTF-8"
        except subprocess.TimeoutExpired:
            value, cause = "", f"{source} did not end within {DEADLINE_SECONDS} s"
        except subprocess.CalledProcessError as error:
            value, cause = "", f"{source} ended with exit code {error.returncode}"
        except OSError as error:
            value, cause = "", f"{source} cannot be used: {error.strerror}"
        if not value:
            raise SettingsError(
                operation="fetch a secret", subject=what, cause=cause, remedy="provide it and apply again"
            )
        return value

    def _source(self) -> tuple[Callable[[], str], str]:
        """How the secret is read, and its source in words that hold nothing secret."""
        if self.env is not None:
            name = self.env
            return (lambda: os.environ[name]), f"the environment variable {name}"
        if self.file is not None:
            path = Path(self.file)
            return (lambda: path.read_text(encoding="utf-8")), f"the file {path}"
        command = self.command or []
        return (lambda: _output(command)), f"the command {command[0]}"


def _output(command: list[str]) -> str:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=DEADLINE_SECONDS,
    ).stdout
