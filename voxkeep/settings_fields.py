"""What a pydantic model says of itself: the field meant at a place, and every section with its fields.

Everything is read from the models' own annotations, so that no list has to follow them by hand.
"""

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Spot:
    """What pydantic means by a place: the place as it stands in the file, and what was declared there.

    `choice` is the place of a union and the member of it that was tried, where the place lies in one.
    """

    place: Place
    annotation: Any
    field: FieldInfo | None
    choice: tuple[Place, Any] | None = None

    @property
    def model(self) -> type[BaseModel] | None:
        """The model declared here, if it is one."""
        return next((member for member in members(self.annotation) if is_model(member)), None)


def members(annotation: object) -> list[Any]:
    """What a value may be: the members of a union without None, each without its constraints."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [one for member in get_args(annotation) for one in members(member)]
    return [] if annotation is type(None) else [annotation]


def is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    """Whether this is a pydantic model."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _tag(annotation: object) -> str:
    """What pydantic calls a member of a union in the location of an error."""
    inner = [_tag(member) for argument in get_args(annotation) for member in members(argument)]
    name = getattr(annotation, "__name__", str(annotation))
    return f"{name}[{','.join(inner)}]" if inner else name


def spot(model: type[BaseModel], location: Sequence[str | int]) -> Spot:
    """What the location of a pydantic error means; its parts also name members of unions, and `[key]`."""
    found = Spot((), model, None)
    for part in location:
        declared = members(found.annotation)
        if len(declared) > 1:
            tag = str(part).replace("constrained-", "")
            member = next((one for one in declared if _tag(one) == tag), declared[0])
            found = Spot(found.place, member, found.field, (found.place, member))
        elif part != "[key]":
            annotation, field = _below(declared[0] if declared else None, part)
            found = Spot((*found.place, part), annotation, field, found.choice)
    return found


def _below(annotation: object, part: str | int) -> tuple[Any, FieldInfo | None]:
    if is_model(annotation):
        field = annotation.model_fields.get(str(part))
        return (field.annotation if field else None), field
    arguments = get_args(annotation)
    return (arguments[-1] if arguments else None), None


def sections(model: type[BaseModel], place: Place = ()) -> Iterator[tuple[Place, type[BaseModel]]]:
    """The model and every model below it by place; `<name>` and `<number>` stand for what one chooses."""
    yield place, model
    for name, field in model.model_fields.items():
        for annotation in members(field.annotation):
            yield from _sections_of(annotation, (*place, name))


def _sections_of(annotation: object, place: Place) -> Iterator[tuple[Place, type[BaseModel]]]:
    if is_model(annotation):
        yield from sections(annotation, place)
    elif get_origin(annotation) in (dict, list):
        chosen = "<name>" if get_origin(annotation) is dict else "<number>"
        for below in members(get_args(annotation)[-1]):
            yield from _sections_of(below, (*place, chosen))
