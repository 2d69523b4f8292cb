"""What pydantic finds wrong, in words for the one who wrote the file: what was expected, the nearest name."""

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from voxkeep.secret import WRITTEN_AS, Secret
from voxkeep.settings_fields import Place, Spot, is_model, members, sections, spot
from voxkeep.settings_file import Document, Mistake, fail, read_document

Model = TypeVar("Model", bound=BaseModel)
Content = dict[str, Any]
Found = Iterable[tuple[Place, str]]

# Mistakes that our own checks find carry their words with them.
OURS = "mistake"
BUCKET_NAMES = "use 3 to 57 lower-case letters, digits and single hyphens"
# How pydantic's kinds of error begin, and what we say; anything else is said in pydantic's words.
_EXPECTED = {
    "string_pattern": "expected lower-case letters, digits and single hyphens between them",
    "string_too_short": "expected some text",
    "string_too_long": "expected a shorter text",
    "string": "expected text; if it is some, put it in quotes",
    "int": "expected a whole number",
    "float": "expected a number",
    "bool": "expected true or false",
    "list": "expected a list",
    "dict": "expected names with values",
    "date": "expected a day like 2021-01-31",
    "too_short": "expected at least one",
}


def nearest(name: str, known: Iterable[str], few: int = 20) -> str:
    """Words that name the nearest right one, or all where none is near and they are few."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1, cutoff=0.5)
    if near:
        return f"; the nearest is {near[0]}"
    return f"; there is {', '.join(names)}" if 0 < len(names) <= few else ""


def shown(place: Place) -> str:
    """The place in words; a name that looks like a URL may hold a secret and is left out."""
    return ".".join("…" if re.search("[:/@]", str(part)) else str(part) for part in place)


def refusal(title: str, found: Found) -> ValidationError:
    """The mistakes that our own checks found, as pydantic's error."""
    details = [
        InitErrorDetails(type=PydanticCustomError(OURS, "{text}", {"text": text}), loc=place, input=None)
        for place, text in found
    ]
    return ValidationError.from_exception_data(title, details)


def explain(problem: ErrorDetails, document: Document, model: type[BaseModel]) -> Mistake | None:
    """The mistake that a pydantic error tells; None where another error tells it better."""
    meant = spot(model, [part for part in problem["loc"] if isinstance(part, str | int)])
    where = shown(meant.place)
    line = document.line(meant.place)
    if meant.choice:
        place, member = meant.choice
        if member != _best(spot(model, place).annotation, document.node(place)[0]):
            return None
    return Mistake(line, *_said(where, problem, meant, model))


def _best(annotation: object, node: yaml.Node) -> object:
    """The member of a union that was meant, by the shape of what stands in the file."""
    declared = members(annotation)
    return next((member for member in declared if _fits(member, node)), declared[0])


def _fits(member: object, node: yaml.Node) -> bool:
    if is_model(member):
        return isinstance(node, yaml.MappingNode)
    if get_origin(member) is list:
        inside = get_args(member)[0]
        return isinstance(node, yaml.SequenceNode) and (not node.value or _fits(members(inside)[0], node.value[0]))
    return isinstance(node, yaml.ScalarNode)


def _said(where: str, problem: ErrorDetails, meant: Spot, model: type[BaseModel]) -> tuple[str, str]:
    """What it is about, and what is wrong with it."""
    kind = problem["type"]
    if kind == "extra_forbidden":
        return _unknown(where, spot(model, problem["loc"][:-1]), str(meant.place[-1]), model)
    if kind == "missing":
        return where, f"it is not given{_meaning(meant)}"
    if meant.model is Secret and kind == "model_type":
        return where, f"a secret never stands in the settings; write where it comes from: {WRITTEN_AS}"
    if kind == "dict_type" and Secret in members(_values(meant.annotation)):
        return where, f"expected names, each with a secret written as {WRITTEN_AS}"
    return where, _expected(problem, meant)


def _values(annotation: object) -> object:
    arguments = get_args(annotation)
    return arguments[-1] if arguments else None


def _unknown(where: str, parent: Spot, name: str, model: type[BaseModel]) -> tuple[str, str]:
    known = list(parent.model.model_fields) if parent.model else []
    near = nearest(name, known)
    if parent.model is Secret and "nearest" not in near:
        # A secret in braces without a name before it is read as a name: it must not be repeated.
        return shown(parent.place), f"this is no source of a secret; write {WRITTEN_AS}"
    elsewhere = [place for place, other in sections(model) if name in other.model_fields]
    if elsewhere:
        below = shown(elsewhere[0]) or "no section, at the left margin"
        return where, f"it is not known here; it belongs below {below}"
    return where, f"it is not known{near}"


def _expected(problem: ErrorDetails, meant: Spot) -> str:
    kind, message = problem["type"], str(problem["msg"])
    if problem["input"] is None and kind != OURS:
        return f"nothing stands behind it{_meaning(meant)}"
    if meant.place == ("business",) and isinstance(problem["input"], str):
        return f"a bucket cannot be named {problem['input']!r}; {BUCKET_NAMES}"
    if kind == "model_type" and meant.model:
        return f"expected names with values: {', '.join(meant.model.model_fields)}"
    if kind == "literal_error":
        expected = str(problem["ctx"]["expected"])
        known = re.findall(r"'([^']+)'", expected)
        return f"expected {expected}{nearest(str(problem['input']), known, few=0)}"
    if kind.startswith(("greater", "less")):
        return f"expected a number {message.removeprefix('Input should be ')}"
    ours = next((words for start, words in _EXPECTED.items() if kind.startswith(start)), None)
    return (ours or message.removeprefix("Value error, ")) + _alternative(meant)


def _meaning(meant: Spot) -> str:
    return f": {meant.field.description.rstrip('.')}" if meant.field and meant.field.description else ""


def _alternative(meant: Spot) -> str:
    """The fields of the model that could have stood here instead of a plain value."""
    declared = members(meant.field.annotation) if meant.field and meant.choice else []
    fields = [name for member in declared if is_model(member) for name in member.model_fields]
    return f", or {' and '.join(fields)} below it" if fields else ""


def read_model(
    file: Path, model: type[Model], *, operation: str, remedy: str, check: Callable[[Content], Found]
) -> Model:
    """The YAML file as this model; `check` finds in its plain content what a single field cannot know.

    Raises:
        SettingsError: the file cannot be read, or something in it cannot be; every mistake with its line.
    """
    document = read_document(file, operation)
    mistakes = [_ours(document, place, text) for place, text in check(document.content)]
    try:
        made = model.model_validate(document.content)
    except ValidationError as error:
        mistakes += [told for problem in error.errors() if (told := explain(problem, document, model))]
    if mistakes:
        raise fail(file, operation, mistakes, remedy)
    return made


def _ours(document: Document, place: Place, text: str) -> Mistake:
    return Mistake(document.line(place), shown(place), text)
