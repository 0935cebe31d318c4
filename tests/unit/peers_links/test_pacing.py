"""What a guest says takes only so much of the loop's time, for a moment at once, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import pytest

from roadstead.peers.links import pacing
from roadstead.peers.links.pacing import Pace

pytestmark = pytest.mark.looptime
PIECE = pacing.PIECE_BYTES


class Transport:
    """Brings nothing while reading is paused."""

    def __init__(self) -> None:
        self.is_paused = self.is_ended = False

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_ended


class Guest:
    """A guest whose every piece takes ``seconds`` of the processor to read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.seconds = seconds
        self.used = 0.0
        self.heard = b""
        self.turns: list[float] = []
        self.given_up: list[float] = []
        self.transport = Transport()
        self._pace = Pace(self._read, lambda: self.given_up.append(_now()))
        monkeypatch.setattr(time, "thread_time", lambda: self.used)

    def _read(self, data: bytes) -> None:
        self.heard += data
        self.used += self.seconds
        self.turns.append(_now())

    def say(self, data: bytes) -> None:
        assert not self.transport.is_paused
        self._pace.take(data, cast("asyncio.Transport", self.transport))

    async def babble(self, seconds: float) -> None:
        """Say as much as is taken, for so long."""
        end = _now() + seconds
        while _now() < end:
            if not self.transport.is_paused:
                self.say(b"x" * 8 * PIECE)
            await asyncio.sleep(0.001)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def test_what_is_cheap_is_heard_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of a megabyte in large messages is one turn of the loop, and nobody has to wait."""
    guest = Guest(monkeypatch, pacing.SLICE_SECONDS / 1000)
    said = bytes(range(256)) * 1024
    guest.say(said)

    assert (guest.heard == said, guest.transport.is_paused) == (True, False)


async def test_what_is_dear_is_heard_a_moment_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have their turn in between; all of it is heard, in order, before more is taken."""
    guest = Guest(monkeypatch, pacing.SLICE_SECONDS / 2)
    said = b"".join(bytes([number]) * PIECE for number in range(32))
    guest.say(said)
    heard = [len(guest.heard)]
    while guest.transport.is_paused:
        await asyncio.sleep(0)
        heard.append(len(guest.heard))

    assert guest.heard == said
    assert max(later - sooner for sooner, later in zip([0, *heard], heard, strict=False)) <= 2 * PIECE


async def test_a_guest_has_its_share_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the long run; what it may take at once comes on top. It is not given up within that time."""
    guest = Guest(monkeypatch, pacing.SLICE_SECONDS)
    seconds = 5.0
    await guest.babble(seconds)

    assert guest.used <= pacing.BURST_SECONDS + pacing.SHARE * seconds + 2 * pacing.SLICE_SECONDS
    assert guest.used >= pacing.SHARE * seconds / 2
    assert guest.given_up == []


async def test_one_that_never_rests_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some time of it; one that pauses may go on for ever."""
    monkeypatch.setattr(pacing, "PATIENCE_SECONDS", 2.0)
    restless = Guest(monkeypatch, pacing.SLICE_SECONDS)
    began = _now()
    await restless.babble(4)
    assert 2 <= restless.given_up[0] - began <= 2 + 1

    other = Guest(monkeypatch, pacing.SLICE_SECONDS)
    for _ in range(4):
        await other.babble(1)
        await asyncio.sleep(2)
    assert other.given_up == []


async def test_what_is_left_of_one_that_ended_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told of it any more."""
    guest = Guest(monkeypatch, pacing.SLICE_SECONDS)
    guest.say(b"x" * 8 * PIECE)
    guest.transport.is_ended = True
    await asyncio.sleep(1)

    assert guest.heard == b"x" * PIECE


async def test_one_that_owes_is_heard_in_smaller_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it takes little at once; once it owes nothing the larger ones come back."""
    guest = Guest(monkeypatch, pacing.SLICE_SECONDS)
    await guest.babble(1)
    await asyncio.sleep(60)
    before = len(guest.heard)
    guest.say(b"x" * PIECE)
    owing = len(guest.heard) - before
    await asyncio.sleep(60)
    before = len(guest.heard)
    guest.say(b"x" * PIECE)

    assert (owing, len(guest.heard) - before) == (pacing.OWING_BYTES, PIECE)


async def test_what_ends_a_guest_ends_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more of it is handed on, also where there was time left."""
    guest = Guest(monkeypatch, 0.0)
    monkeypatch.setattr(guest, "turns", _Ending(guest))
    guest.say(b"x" * 8 * PIECE)

    assert guest.heard == b"x" * PIECE


class _Ending(list[float]):
    """Has its guest end with the first piece."""

    def __init__(self, guest: Guest) -> None:
        super().__init__()
        self._guest = guest

    def append(self, at: float) -> None:
        super().append(at)
        self._guest.transport.is_ended = True
