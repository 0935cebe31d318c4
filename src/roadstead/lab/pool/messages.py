"""XAPI's messages: kept apart from the database, with a generation of their own in the tokens of event.from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from roadstead.lab.pool.database import Database

DELETIONS_KEPT = 1024
"""So many deletions are told to those who ask for all from the start; one more, and only `DELETIONS_LEFT` are."""

DELETIONS_LEFT = 512

MESSAGES_KEPT = 10_000
"""One message more, and the oldest goes."""


class Messages:
    """Which messages came and went, and when; their records are rows of the database like any other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._came: dict[str, int] = dict.fromkeys(database.table("message").rows, database.generation)
        self._went: dict[str, int] = {}

    def create(self, fields: Mapping[str, Any]) -> str:
        """A new message; returns its reference."""
        ref = self._database.create("message", fields)
        self._came[ref] = self._database.generation
        while len(self._came) > MESSAGES_KEPT:
            self.destroy(next(iter(self._came)))
        return ref

    def destroy(self, ref: str) -> None:
        """Remove one message."""
        self._database.destroy("message", ref)
        self._came.pop(ref, None)
        self._went[ref] = self._database.generation
        if len(self._went) > DELETIONS_KEPT:
            self._went = dict(list(self._went.items())[-DELETIONS_LEFT:])

    def since(self, generation: int) -> Iterator[tuple[int, str, bool]]:
        """(generation, reference, whether it is gone) of each that went or came after `generation`; the gone first."""
        for ref, when in self._went.items():
            if when > generation:
                yield when, ref, True
        for ref, when in self._came.items():
            if when > generation:
                yield when, ref, False
