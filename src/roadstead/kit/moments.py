"""Times as people write them: a date with a time, or how long ago it was."""

import re
from datetime import UTC, datetime, timedelta

from roadstead.errors import InputError

_AGO = re.compile(r"(\d{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


def nanoseconds(text: str) -> int | None:
    """Return a time of RFC 3339 in nanoseconds since the epoch; None when it is none."""
    found = _STAMP.fullmatch(text)
    if found is None:
        return None
    try:
        second = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    except ValueError:
        return None
    since = second - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + int((found[2] or "0").ljust(9, "0"))
