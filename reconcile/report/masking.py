"""Telephone numbers in what people read: masked, wherever they stand."""

import re

# A run of 7 to 16 digits is taken as a telephone number: shorter are lines and codes, longer are ids. A run that
# begins like a date and time (yyyymmddHHMMSS) or a date (yyyymmdd) is none, nor is a count of bytes or rows.
_NUMBER = re.compile(
    r"(?<![0-9A-Fa-f])(?<!bytes )(?<!rows )(?!(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:\d{6})?(?!\d))"
    r"\d{7,16}(?![0-9A-Fa-f])(?! bytes| 字节| rows| 行)"
)


def masked(text: str) -> str:
    """The text with each telephone number as its first three and last two digits.

    >>> masked("01/31/2049_15372388463_20210131114129.wav3")
    '01/31/2049_153******63_20210131114129.wav3'
    """
    return _NUMBER.sub(lambda found: f"{found.group()[:3]}{'*' * (len(found.group()) - 5)}{found.group()[-2:]}", text)
