"""What a person typed, as a query: texts made comparable as the call index compares them."""

from collections.abc import Iterable
from dataclasses import replace

from blocks.query import CallQuery
from reconcile.numbers import searched
from reconcile.rules import NumberRules


def comparable(typed: CallQuery, rules: Iterable[NumberRules]) -> CallQuery:
    """The query that finds what was meant, of one whose texts are as somebody typed them.

    Blanks around a text are not part of it, an empty text does not narrow, and numbers are found however they are
    written (`reconcile.numbers.searched`), by the number rules of all businesses that are searched.

    >>> comparable(CallQuery(number=" +86 153-7238 8463 ", extension=""), [NumberRules()])
    CallQuery(number='15372388463')
    """
    rules = list(rules)
    number, display_number = _text(typed.number), _text(typed.display_number)
    attributes = ((name.strip(), value.strip()) for name, value in typed.attributes)
    return replace(
        typed,
        call_id=_text(typed.call_id),
        number=searched(number, rules) if number else None,
        display_number=searched(display_number, rules) if display_number else None,
        extension=_text(typed.extension),
        attributes=tuple((name, value) for name, value in attributes if name and value),
        words=_text(typed.words),
        recording_state=_text(typed.recording_state),
    )


def _text(typed: str | None) -> str | None:
    return typed.strip() or None if typed else None
