"""Which disks are CDs with certificates that nobody looks after any more, and which drive takes the next one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roadstead.peers.xapi.messages.disks import Device, Disk
from roadstead.plan import tls_disks

NOW = datetime(2027, 1, 2, tzinfo=UTC)
PAST, AHEAD = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)
TOKEN = {tls_disks.TOKEN_MARK: "t"}


def disk(**fields: Any) -> Disk:
    """A CD of ours."""
    told = {"ref": "d", "uuid": "u", "name": tls_disks.NAME, "storage": "s", "size": 2**21, "marks": TOKEN}
    return Disk(**{**told, "devices": (), **fields})


@pytest.mark.parametrize(
    ("until", "held", "is_left"),
    [
        (AHEAD, AHEAD, False),
        (AHEAD, PAST, True),
        (PAST, AHEAD, True),
        (AHEAD, None, False),
        (PAST, None, True),
        (None, PAST, False),
    ],
)
def test_the_earlier_of_both_times_counts(until: datetime | None, held: datetime | None, *, is_left: bool) -> None:
    """While the mark is renewed it is absent, and an earlier version had none: then the other one counts alone."""
    times = {tls_disks.UNTIL_MARK: until, tls_disks.HELD_MARK: held}
    marks = TOKEN | {key: tls_disks.stamp(time) for key, time in times.items() if time is not None}
    assert tls_disks.is_left_behind(disk(marks=marks), NOW) is is_left


@pytest.mark.parametrize("other", [{"name": "data"}, {"size": 2**30}, {"marks": {tls_disks.UNTIL_MARK: "never"}}])
def test_what_only_looks_so_is_somebodys(other: dict[str, Any]) -> None:
    """By its name, its size, or without our word."""
    marks = tls_disks.marks(PAST, PAST, "t", "")
    assert tls_disks.is_left_behind(disk(marks=marks), NOW)
    assert not tls_disks.is_left_behind(disk(**{"marks": marks, **other}), NOW)


def test_a_drive_with_a_former_one_is_taken_first() -> None:
    """Then an empty one, then one with somebody's CD, never what is no CD drive."""
    shown = {"ours": disk(), "empty": None, "theirs": disk(name="tools.iso", marks={})}
    full: dict[str, Any] = {"is_attached": True, "is_drive": True, "marks": {}}
    drives = [Device(ref=ref, is_cd_drive=True, disk=each, **full) for ref, each in reversed(shown.items())]
    order = []
    while (found := tls_disks.drive([Device(ref="no", disk=None, **full), *drives])) is not None:
        order.append(found.ref)
        drives.remove(found)
    assert order == list(shown)
