"""The wall clock in one place, so that tests can see where time of day comes from."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present time of day, aware, in UTC."""
    return datetime.now(UTC)


def at(seconds: float) -> datetime | None:
    """Return the time ``seconds`` after the epoch, or None when a foreign figure is outside what a calendar holds."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
