"""The containers that match a search, kept as they are now; what `ps --watch` and `events` show is taken from here.

Without a search every change is applied as it comes. With one, a change means that the server is asked again, at most
five times in a second: only the server knows the language of searches.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from roadstead.cli.api import client, feed
from roadstead.cli.api.views import Container
from roadstead.errors import ServerError

FIELDS = "id,name,vm,vm_name,image,command,state,health,ports,created,started,exit_code,restarting,as_of,stale,problem"
ASKED_AGAIN_SECONDS = 0.2

Aside = Callable[[feed.Change | feed.Relist], None]
"""Told of the changes of VMs, and when everything was listed again."""
Difference = tuple[Container | None, Container | None]
"""A container before and after; None where there was, or is, none."""


class Live:
    """The matching containers, by id."""

    def __init__(
        self, connected: client.Client, query: str | None, aside: Aside | None = None, fields: str = FIELDS
    ) -> None:
        self.rows: dict[str, Container] = {}
        self.lost: datetime | None = None
        """Since when the server has been gone; None while it is there."""
        self._client = connected
        self._query = query
        self._aside = aside
        self._fields = fields
        self._feed = feed.Feed(connected, "container" if aside is None else "container,vm")
        self._must_list = False
        self._asked = 0.0

    def start(self) -> None:
        """Begin to follow. Raises `ServerError` or `Refused` when the first list cannot be had."""
        self._feed.start()
        for item in self._feed.take(client.SILENCE_SECONDS):
            if isinstance(item, feed.Lost):
                raise item.error
            break
        self._list()

    def wake(self) -> None:
        """End the waiting of `take`; may be called from another thread."""
        self._feed.wake()

    def take(self, seconds: float) -> list[Difference]:
        """Return what became different, waiting at most ``seconds`` for it.

        Raises `Refused` when the server no longer wants to answer; that it is gone is seen in ``lost``.
        """
        differences: list[Difference] = []
        if self._must_list:
            seconds = min(seconds, max(self._asked + ASKED_AGAIN_SECONDS - time.monotonic(), 0.0))
        for item in self._feed.take(seconds):
            if not isinstance(item, feed.Change):
                self._turn(item)
            elif item.kind == "container":
                self._apply(item, differences)
            elif self._aside is not None:
                self._aside(item)
        if self._must_list and time.monotonic() - self._asked >= ASKED_AGAIN_SECONDS:
            differences += self._listed_again()
        return differences

    def _apply(self, change: feed.Change, differences: list[Difference]) -> None:
        if self._query is not None:
            self._must_list = True
            return
        before = self.rows.pop(change.id, None) if change.op == "gone" else self.rows.get(change.id)
        after = None if change.op == "gone" else msgspec.json.decode(change.record, type=Container)
        if after is not None:
            self.rows[change.id] = after
        if before != after:
            differences.append((before, after))

    def _turn(self, item: feed.Relist | feed.Lost) -> None:
        if isinstance(item, feed.Relist):
            self._must_list = True
        elif isinstance(item.error, client.Refused) and item.error.code != "shutting-down":
            raise item.error
        elif self.lost is None:
            self.lost = datetime.now(UTC)

    def _listed_again(self) -> list[Difference]:
        before = self.rows
        try:
            self._list()
        except ServerError:
            self.lost = self.lost or datetime.now(UTC)
            return []
        ids = dict.fromkeys([*before, *self.rows])
        return [(before.get(i), self.rows.get(i)) for i in ids if before.get(i) != self.rows.get(i)]

    def _list(self) -> None:
        self._asked = time.monotonic()
        found = self._client.get(list[Container], "/containers", {"q": self._query, "fields": self._fields})
        self.rows = {container.id: container for container in found}
        if self._aside is not None:
            self._aside(feed.Relist())
        self._must_list, self.lost = False, None
