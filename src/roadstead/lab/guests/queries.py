"""Reading the parameters of Engine API requests as the engines do, with their texts for what they do not take."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

import msgspec

from roadstead.lab.guests.containers import Container
from roadstead.lab.guests.engine import Engine
from roadstead.lab.guests.events import Filters
from roadstead.lab.guests.refusals import Refusal

LIST_FILTERS = frozenset(
    (
        *("ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task", "label", "name"),
        *("network", "publish", "since", "status", "volume"),
    )
)
STATES = frozenset(("created", "running", "paused", "restarting", "removing", "exited", "dead"))


def filters(text: str) -> Filters:
    """`{"name": ["a"]}` or the older `{"name": {"a": true}}`."""
    if not text:
        return {}
    try:
        read = msgspec.json.decode(text.encode(), type=dict[str, list[str] | dict[str, bool]])
    except msgspec.DecodeError as problem:
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid filter") from problem
    return {name: frozenset(values) for name, values in read.items()}


def check_list_filters(given: Filters, *, upper_case: bool) -> None:
    """Refuse what a list cannot be filtered by."""
    word = "Invalid" if upper_case else "invalid"
    for name in given:
        if name not in LIST_FILTERS:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"{word} filter '{name}'")
    for state in given.get("status", ()):
        if state not in STATES:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"{word} filter 'status={state}'")


def selects(given: Filters, container: Container, engine: Engine) -> bool:
    """Whether a list with these filters shows `container`."""
    return (
        _any(given, "id", container.id.startswith)
        and _any(given, "name", lambda want: _matches_name(container.name, want))
        and _any(given, "status", lambda want: container.state == want)
        and _any(given, "health", lambda want: (container.health or "none") == want)
        and _any(given, "isolation", lambda want: (container.image.isolation or "default") == want)
        and _any(given, "ancestor", lambda want: want in (container.image.name, engine.image_name(container)))
        and all(_has_label(container, want) for want in given.get("label", ()))
    )


def _any(given: Filters, name: str, check: Callable[[str], bool]) -> bool:
    wanted = given.get(name)
    return not wanted or any(check(value) for value in wanted)


def _matches_name(name: str, want: str) -> bool:
    try:
        return re.search(want, name) is not None or re.search(want, f"/{name}") is not None
    except re.error:
        return False


def _has_label(container: Container, want: str) -> bool:
    name, equals, value = want.partition("=")
    return any(has == name and (not equals or content == value) for has, content in container.labels)


def limit(text: str) -> int:
    """`limit=N`; 0 is none."""
    try:
        return int(text) if text else 0
    except ValueError as problem:
        message = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message) from problem


def seconds(text: str, otherwise: float) -> float:
    """`t=N` of a stop or restart."""
    try:
        return max(0.0, float(text)) if text else otherwise
    except ValueError as problem:
        message = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise Refusal(HTTPStatus.BAD_REQUEST, message) from problem


def moment(text: str) -> int | None:
    """`since` and `until`: seconds with a fraction, or RFC 3339; nanoseconds, None when not given."""
    if not text:
        return None
    try:
        whole, _, fraction = text.partition(".")
        return int(whole) * 10**9 + int((fraction + "0" * 9)[:9])
    except ValueError:
        pass
    try:
        return int(datetime.fromisoformat(text).timestamp() * 10**9)
    except ValueError as problem:
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message) from problem


def signal_number(text: str) -> int:
    """`signal=KILL`, `SIGKILL` or `9`; SIGKILL when nothing is given."""
    if not text:
        return int(signal.SIGKILL)
    if text.isdigit() and 0 < int(text) < signal.NSIG:
        return int(text)
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    if name in signal.Signals.__members__:
        return int(signal.Signals[name])
    raise Refusal(HTTPStatus.BAD_REQUEST, f"Invalid signal: {text}")
