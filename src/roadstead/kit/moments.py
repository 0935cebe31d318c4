"""Times as people write them: a date with a time, or how long ago it was."""

import re
from datetime import UTC, datetime, timedelta

from roadstead.errors import InputError

_AGO = re.compile(r"(\d{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_REASON = "it is neither a time such as 2026-11-27T12:00:00Z nor an age such as 90s, 10m, 2h or 3d"


def read(field: str, text: str | None, now: datetime) -> datetime | None:
    """Return the moment that ``text`` names; None for none. A time without a zone is in UTC.

    Raises `InputError` ``field-invalid``, which names ``field``.
    """
    if text is None:
        return None
    try:
        if found := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError("field-invalid", field=field, reason=_REASON) from error
