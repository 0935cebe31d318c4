"""The events of a simulated engine: kept for `since`, filtered and written as each engine release writes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from roadstead.lab.guests import profiles

HISTORY_EVENTS = 256
"""How many events an engine keeps for `since` (the bound of Docker)."""

Filters = Mapping[str, frozenset[str]]


class Event(NamedTuple):
    """Something that happened; attributes are pairs so that labels are shared with their container."""

    time_ns: int
    kind: str
    action: str
    actor: str
    image: str
    """The value of `from`; empty where such events never have one."""
    attributes: tuple[tuple[str, str], ...]


class Feed:
    """One reader of the stream: its filters and where its events go."""

    __slots__ = ("deliver", "filters")

    def __init__(self, filters: Filters, deliver: Callable[[Event], None]) -> None:
        self.filters = filters
        self.deliver = deliver


class EventLog:
    """The newest events, and those who want to hear of the next ones."""

    __slots__ = ("_feeds", "_history", "_history_bound")

    def __init__(self, history_bound: int = HISTORY_EVENTS) -> None:
        self._history: deque[Event] | None = None
        self._history_bound = history_bound
        self._feeds: list[Feed] = []

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return len(self._feeds)

    def publish(self, event: Event) -> None:
        """Keep `event` and hand it to every feed that wants it."""
        if self._history is None:
            self._history = deque(maxlen=self._history_bound)
        self._history.append(event)
        for feed in tuple(self._feeds):
            if matches(event, feed.filters):
                feed.deliver(event)

    def past(self, since_ns: int, until_ns: int | None, filters: Filters) -> list[Event]:
        """Kept events of that time, oldest first."""
        return [
            event
            for event in self._history or ()
            if event.time_ns >= since_ns and (until_ns is None or event.time_ns <= until_ns) and matches(event, filters)
        ]

    def subscribe(self, feed: Feed) -> None:
        """Deliver to `feed` from now on."""
        self._feeds.append(feed)

    def unsubscribe(self, feed: Feed) -> None:
        """Deliver no more to `feed`; nothing happens when it was not subscribed."""
        if feed in self._feeds:
            self._feeds.remove(feed)


def matches(event: Event, filters: Filters) -> bool:
    """Whether `event` passes; unknown filters let everything pass, as Docker does."""
    checks: tuple[tuple[str, Callable[[Event, str], bool]], ...] = (
        ("type", lambda seen, want: seen.kind == want),
        ("event", lambda seen, want: want in (seen.action, seen.action.partition(":")[0])),
        ("container", _is_container),
        ("image", lambda seen, want: seen.image == want),
        ("label", _has_label),
    )
    for name, check in checks:
        wanted = filters.get(name)
        if wanted and not any(check(event, value) for value in wanted):
            return False
    return True


def _is_container(event: Event, want: str) -> bool:
    named = dict(event.attributes).get("name")
    return event.kind == "container" and (named == want or (want != "" and event.actor.startswith(want)))


def _has_label(event: Event, want: str) -> bool:
    name, equals, value = want.partition("=")
    found = dict(event.attributes).get(name)
    return found is not None and (not equals or found == value)


def record(event: Event, api: profiles.Version) -> dict[str, object]:
    """The event as an object in the form of that API version, with the keys in the engine's order."""
    actor = {"ID": event.actor, "Attributes": dict(sorted(event.attributes))}
    old = {"status": event.action, "id": event.actor, **({"from": event.image} if event.image else {})}
    new = {"Type": event.kind, "Action": event.action, "Actor": actor, "scope": "local"}
    times = {"time": event.time_ns // 10**9, "timeNano": event.time_ns}
    if event.kind == "network" or api >= profiles.NEW_EVENTS:
        return {**new, **times}
    return {**old, **new, **times}


def render(event: Event, profile: profiles.Profile, api: profiles.Version) -> bytes:
    """One line of the stream as `profile` answers a request for `api`."""
    written = record(event, api)
    if "status" in written and profile.api >= profiles.NEW_EVENTS:
        # Docker 29 adds the old fields to a copy that is a map, which Go writes in the order of the names.
        written = dict(sorted(written.items()))
    return msgspec.json.encode(written) + b"\n"
