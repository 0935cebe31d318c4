"""The wall clock in one place, so that tests can see where time of day comes from."""

import time
from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """Return the present time of day, aware, in UTC."""
    return datetime.now(UTC)


def when(monotonic: float) -> datetime:
    """Return the time of day at which `time.monotonic` told ``monotonic``, by the wall clock as it is set now."""
    return now() - timedelta(seconds=time.monotonic() - monotonic)


def at(seconds: float) -> datetime | None:
    """Return the time ``seconds`` after the epoch, or None when a foreign figure is outside what a calendar holds."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
