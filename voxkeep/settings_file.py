"""A YAML file as it stands: its content, the line of every part, and what is wrong with it as YAML.

Nothing that stands in the file as a value is ever repeated in an error: it may be a password.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from blocks.errors import SettingsError
from voxkeep.settings_fields import Place

# https://yaml.org/type/merge.html
_MERGE = "tag:yaml.org,2002:merge"
# What a complaint of YAML may quote of the file, but for single characters and the names of tokens.
_QUOTED = re.compile(r"'(<[^']*>|.|)'|'[^']*'")
_TEXT = "tag:yaml.org,2002:str"

# A part of what YAML complains of, and what we say instead.
_COMPLAINTS = {
    r"'\t'": "a tab stands where YAML wants spaces",
    "another document": "a second document begins; put it into a file of its own",
    "alias": "a value begins with *, which means something to YAML; put it in quotes",
    "tag": "a value begins with !, which means something to YAML; put it in quotes",
}


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing that is wrong: the line it stands in, what it is about, and what was expected."""

    line: int
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.line}: {self.where + ': ' if self.where else ''}{self.text}"


@dataclass(frozen=True)
class Document:
    """A YAML file that could be read: its root, and its content as plain objects."""

    root: yaml.MappingNode
    content: dict[str, Any]

    def node(self, place: Place) -> tuple[yaml.Node, int]:
        """The deepest part of `place` that stands in the file, and its line from 1."""
        node: yaml.Node = self.root
        line = node.start_mark.line + 1
        for part in place:
            below = _below(node, part)
            if below is None:
                break
            line, node = below
        return node, line

    def line(self, place: Place) -> int:
        """The line of the deepest part of `place` that stands in the file, from 1."""
        return self.node(place)[1]


def _below(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if key.value == str(part):
            return key.start_mark.line + 1, value
    return None


def fail(file: Path, operation: str, mistakes: list[Mistake], remedy: str) -> SettingsError:
    """The error that tells every mistake in a paragraph of its own, by line."""
    told = [f"{file}:{mistake}" for mistake in sorted(set(mistakes))]
    if len(told) == 1:
        return SettingsError(operation=operation, subject=str(file), cause=told[0], remedy=remedy)
    paragraphs = ".\n\n".join(told)
    return SettingsError(
        operation=operation, subject=str(file), cause=f"{len(told)} mistakes",
        remedy=f"{remedy}. They are:\n\n{paragraphs}",
    )  # fmt: skip


def read_document(file: Path, operation: str) -> Document:
    """The YAML file.

    Raises:
        SettingsError: it cannot be read as YAML, or holds what YAML accepts and settings do not.
    """
    text = _text(file, operation)
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            holds = "it is empty" if root is None else "it holds no names with values"
            raise fail(file, operation, [Mistake(1, "", holds)], "begin with lines like `name: value`")
        mistakes = list(_mistakes(root, loader))
        if mistakes:
            raise fail(file, operation, mistakes, "mend the YAML at these lines")
        return Document(root, loader.construct_document(root))
    except yaml.YAMLError as error:
        raise fail(file, operation, [_syntax(error, text)], "mend the YAML at that line") from None
    except RecursionError:
        raise fail(file, operation, [Mistake(1, "", "it is nested too deeply")], "make it flatter") from None


def _text(file: Path, operation: str) -> str:
    try:
        raw = file.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(
            operation=operation, subject=str(file), cause=error.strerror or str(error),
            remedy="name a file that exists and can be read",
        ) from None  # fmt: skip
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise fail(file, operation, [Mistake(line, "", "it is not UTF-8")], "save the file as UTF-8") from None


def _syntax(error: yaml.YAMLError, text: str) -> Mistake:
    """What YAML complains of, without the text that stands there."""
    if isinstance(error, yaml.reader.ReaderError):
        return Mistake(
            text.count("\n", 0, error.position) + 1,
            "",
            f"the character U+{error.character:04X} is not allowed",
        )
    if not isinstance(error, yaml.MarkedYAMLError):
        return Mistake(1, "", "it is no YAML")
    mark = error.problem_mark or error.context_mark
    line, problem = mark.line + 1 if mark else 1, str(error.problem or error.context)
    if "end of stream" in problem and "quoted" in str(error.context) and error.context_mark:
        return Mistake(error.context_mark.line + 1, "", "a quote opens here and is not closed")
    told = next((words for part, words in _COMPLAINTS.items() if part in problem), None)
    return Mistake(line, "", told or _QUOTED.sub(_unquoted, problem + _opened(error, line)))


def _unquoted(found: re.Match[str]) -> str:
    return found.group() if found.group(1) else "that"


def _opened(error: yaml.MarkedYAMLError, line: int) -> str:
    began = error.context_mark.line + 1 if error.context_mark else line
    return f", {error.context} that begins in line {began}" if error.context and began != line else ""


def _mistakes(root: yaml.Node, loader: yaml.SafeLoader) -> Iterator[Mistake]:
    """What YAML accepts and settings do not: names given twice or no text, values that do not exist."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from _mistaken_names(node)
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif not _exists(node, loader):
            yield Mistake(node.start_mark.line + 1, "", "this date or number does not exist; a text goes in quotes")


def _mistaken_names(node: yaml.MappingNode) -> Iterator[Mistake]:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.tag == _MERGE:
            yield Mistake(line, "", "`<<` is not supported; write the names out")
        elif key.tag != _TEXT:
            yield Mistake(line, "", "a name is no text to YAML (a number, a date, yes or no); put it in quotes")
        elif key.value in lines:
            yield Mistake(line, key.value, f"it is given twice, in line {lines[key.value]} and in line {line}")
        else:
            lines[key.value] = line


def _exists(node: yaml.Node, loader: yaml.SafeLoader) -> bool:
    try:
        value = loader.construct_object(node)
    except (ValueError, OverflowError):
        return False
    return not isinstance(value, float) or math.isfinite(value)
