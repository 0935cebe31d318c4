"""What a hostile guest may do, in the words of the security model, and which misbehaviours of a guest do it: so that
none is without its switch, nor a switch without its tests, over SSH and over TLS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from roadstead.cli.api import views
from roadstead.cli.display import rows, table
from roadstead.model import Container

DEEDS: dict[str, tuple[str, ...]] = {
    "answers that drip": ("drip",),
    "endless headers": ("endless-headers", "endless-header-line"),
    "endless chunks": ("endless-chunks", "endless-chunk-line"),
    "never-ending JSON": ("endless-text", "endless-list"),
    "a list of 10 GB": ("ten-gigabytes",),
    "100,000 containers": ("many-containers",),
    "deep nesting": ("deep-nesting",),
    "duplicate keys": ("duplicate-keys",),
    "invalid UTF-8": ("invalid-utf8",),
    "NaN": ("no-numbers", "event-bulk-numbers"),
    "ids with slashes and dots and newlines": ("odd-ids", "event-odd-ids"),
    "names that are markup": ("markup-names",),
    "names that are terminal escapes": ("terminal-names",),
    "names that are 1 MB long": ("huge-names",),
    "events for containers that do not exist": ("unknown-containers",),
    "a million events a second": ("unknown-flood", "event-flood"),
    "time stamps from 1601 and 9999": ("odd-times", "event-odd-times", "odd-clock"),
    "compressed bombs": ("compressed",),
    "redirects": ("redirects",),
    "upgrade answers nobody asked for": ("upgrades",),
    "closing after each byte": ("one-byte-answers",),
}
"""Whatever the link is."""
DEEDS_OVER_SSH: dict[str, tuple[str, ...]] = {
    "slowloris, by what it says": ("banner-drips", "drip"),
    "slowloris, by what it hears": ("request-unread",),
    "a host key per connection": ("host-key-changes",),
}
DEEDS_OVER_TLS: dict[str, tuple[str, ...]] = {
    "slowloris, by what it says": ("tls-drips", "drip"),
    "slowloris, by what it hears": ("half-open",),
    "a certificate for another VM": ("certificate-of-another-vm", "certificate-of-another-ca"),
}


def done(*deeds: dict[str, tuple[str, ...]]) -> set[str]:
    """The misbehaviours that do these."""
    return {name for each in deeds for names in each.values() for name in names}


def printed(containers: Iterable[Container]) -> Iterator[str]:
    """What `roadstead ps` prints of them, in a pipe and on a terminal."""
    shown = msgspec.convert(msgspec.to_builtins(tuple(containers)), list[views.Container], strict=False)
    for room in (None, 120):
        yield from table.lines(rows.columns(shown, datetime.now(UTC), wide=True), room)
