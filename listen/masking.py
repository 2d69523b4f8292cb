"""Telephone numbers as somebody sees who may not see them whole: the first three digits and the last two."""

import re
import unicodedata

_SHOWN_FIRST, _SHOWN_LAST = 3, 2
_SHORTEST = 7
_LONGEST = 16
# Dates and times are left alone; whatever else has 7 to 16 digits, also with blanks and hyphens between, is masked.
_INSTANT = r"(?:19|20)\d{2}(?P<between>[-/.])\d{1,2}(?P=between)\d{1,2}(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?"
_STAMP = r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:-?(?:[01]\d|2[0-3])[0-5]\d[0-5]\d)?"
# A mobile number is one wherever it stands; other digits behind a letter belong to the id of a case.
_MASKABLE = re.compile(
    rf"(?<!\d)(?P<instant>(?:{_INSTANT}|{_STAMP})(?!\d))"
    r"|(?<!\d)(?P<mobile>1[3-9]\d{9})(?!\d)"
    r"|(?<![A-Za-z\d])(?P<number>\+?\d(?:[ \-()]{0,2}\d){6,})(?!\d)",
    re.ASCII,
)
# The country's code in front of a mobile number says nothing: what is shown begins behind it.
_COUNTRY = re.compile(r"^\D*(?:00)?86(?=\D*1\D*[3-9])")


def masked_number(number: str | None) -> str:
    """A number from a field of numbers; lines of fewer than seven digits stay as they are.

    >>> masked_number("15372388463")
    '153******63'
    >>> masked_number("8615372388463")
    '86153******63'
    """
    text = unicodedata.normalize("NFKC", number or "")
    places = [place for place, character in enumerate(text) if character.isdecimal()]
    if len(places) < _SHORTEST:
        return text
    country = _COUNTRY.match(text)
    first = _SHOWN_FIRST + (sum(c.isdecimal() for c in country.group()) if country else 0)
    hidden = set(places[first:-_SHOWN_LAST])
    return "".join("*" if place in hidden else character for place, character in enumerate(text))


def masked_text(text: str) -> str:
    """A text with every telephone number in it masked, whichever way it is written.

    >>> masked_text("回电 １５３ 7238-8463，2021-01-31 11:41:29")
    '回电 153 ****-**63，2021-01-31 11:41:29'
    """
    # Digits of every width are digits; nothing else of the text is changed.
    plain = "".join(str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c for c in text)
    return _MASKABLE.sub(_mask, plain)


def _mask(found: re.Match[str]) -> str:
    number = found["mobile"] or found["number"]
    if number is None:
        return found.group()
    digits = sum(character.isdecimal() for character in number)
    # Longer runs without any blank are ids of calls and cases.
    return number if digits > _LONGEST and number.isdecimal() else masked_number(number)
