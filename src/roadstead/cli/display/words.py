"""What records are called in front of people: ages, states, ports. Pure text, always safe for a terminal."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from roadstead.cli.api.views import Container, Port

MINUTE, HOUR, DAY = 60, 3600, 86400
_FEW_DAYS, _MANY_DAYS = 2, 60
_STEPS = (
    (2 * MINUTE, 1, "s"), (2 * HOUR, MINUTE, "min"), (_FEW_DAYS * DAY, HOUR, "h"), (_MANY_DAYS * DAY, DAY, "d"),
)  # fmt: skip
_UP = frozenset({"running", "paused"})
_ENDED = frozenset({"exited", "dead", "restarting"})
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_MONTH, _YEAR = 30 * DAY, 365 * DAY


def age(since: datetime | None, now: datetime) -> str:
    """Return how long ago ``since`` is, in a unit that says enough: ``45 s``, ``3 min``, ``12 d``."""
    if since is None:
        return "-"
    past = now - since
    days = past.days
    return f"{days} d" if _FEW_DAYS <= days < _MANY_DAYS else span(days * DAY + past.seconds)


def span(seconds: float) -> str:
    """Return a length of time in words; one that is negative (two clocks that differ) counts as none."""
    whole = max(int(seconds), 0)
    for limit, unit, name in _STEPS:
        if whole < limit:
            return f"{whole // unit} {name}"
    return f"{whole // _MONTH} mo" if whole < 2 * _YEAR else f"{whole // _YEAR} y"


def state(container: Container) -> str:
    """Return the state as it may be claimed: what a stale container *was* is not what it is."""
    if container.stale:
        return f"unknown (was {container.state or 'unknown'})"
    return container.state or "unknown"


def status(container: Container, now: datetime) -> str:
    """Return what there is to know beside the state: since when, its health, its exit code, or as of when."""
    if container.stale:
        return f"as of {age(container.as_of, now)} ago" if container.as_of else "as of an unknown time"
    if container.state in _UP:
        started, health = container.started, container.health
        up = f"up {age(started, now)}" if started else "up"
        return f"{up}, {health}" if health else up
    if container.exit_code is not None and container.state in _ENDED:
        return f"exit code {container.exit_code}"
    return "-"


@lru_cache(maxsize=4096)
def ports(held: tuple[Port, ...]) -> str:
    """Return the ports as Docker's users know them: ``8080->80/tcp``, the address only when it is not every one."""
    if not held:
        return "-"
    return ", ".join(dict.fromkeys(_port(port) for port in held))


def _port(port: Port) -> str:
    inside = f"{port.private}/{port.type}"
    if not port.public:
        return inside
    if port.ip in {"", "0.0.0.0", "::"}:  # noqa: S104 - recognised, not bound
        return f"{port.public}->{inside}"
    address = f"[{port.ip}]" if ":" in port.ip else port.ip
    return f"{address}:{port.public}->{inside}"


def moment(when: datetime | None) -> str:
    """Return the local time of day, with the date when it is not today."""
    if when is None:
        return "-"
    local = when.astimezone()
    return local.strftime("%H:%M:%S" if local.date() == datetime.now(UTC).astimezone().date() else "%Y-%m-%d %H:%M:%S")


def listed(names: Iterable[str], limit: int = 10) -> str:
    """Return ``names`` as one phrase, the first ``limit`` of them."""
    every = list(names)
    rest = len(every) - limit
    return ", ".join(every[:limit]) + (f" and {rest} more" if rest > 0 else "")


def counted(number: int, noun: str) -> str:
    """Return ``1 container``, ``2 containers``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(count: int | None) -> str:
    """Return a number of bytes in the largest unit of which there is one; ``-`` for None."""
    if count is None:
        return "-"
    at = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{count / 1024**at:.1f} {_UNITS[at]}" if at else f"{count} B"
