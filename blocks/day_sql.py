"""The SQL of one business day. It needs no driver, so that settings are checked without loading one."""

import re
from datetime import date

from blocks.errors import SettingsError


def sql_of_day(sql: str, day: date) -> str:
    """The SQL for one business day: `{day:%Y%m%d}` becomes the date, for systems that begin a table each day.

    Nothing else ever gets into the SQL's text; values are bound.

    Example:
        >>> sql_of_day("SELECT * FROM e_cdr_{day:%Y%m%d}", date(2021, 1, 31))
        'SELECT * FROM e_cdr_20210131'

    Raises:
        SettingsError: the placeholder has another form than %Y, %m, %d, %y, %j, `_` and `-`.
    """

    def written(found: re.Match[str]) -> str:
        form = found[1] or ""
        if not re.fullmatch("(%[Ymdyj]|[-_])+", form):
            raise SettingsError(
                operation="put the day into the SQL",
                subject=found[0],
                cause="it is no form of a date",
                remedy="write it like {day:%Y%m%d}, of %Y %m %d %y %j, _ and -",
            )
        return day.strftime(form)

    return re.sub(r"\{day(?::([^{}]*))?\}", written, sql)
