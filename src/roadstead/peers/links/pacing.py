"""How fast a guest is heard: what it says costs time of the loop, which all guests share, and how much is its choice.

A message costs the same however little is in it: a guest that says a quarter of a megabyte in the smallest ones would
hold everybody up for a quarter of a second, again and again. So it is heard for a moment at a time, and one that takes
much has to wait in between; its messages wait in the kernel, which makes it wait, too.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from roadstead.kit.rates import Allowance

PIECE_BYTES = 2**11
"""What is read before it is looked at the time: 56 of the smallest messages. It also spares asyncssh, which copies what
is left of its input for every message.
"""
OWING_BYTES = 2**9
"""The same of one that has to wait."""
SLICE_SECONDS = 0.0005
"""After so much of the processor's time all others have their turn."""
SHARE = 0.15
"""Of one processor, in the long run: a guest with 2,000 events a second needs half of it."""
BURST_SECONDS = 0.1
"""Taken before it has to wait: twice what a list of 8 MiB needs, or ten sign-ins."""
PATIENCE_SECONDS = 30.0
"""How long it may take all of its share without a pause. What we hear of it then is as old: to begin anew is better."""


class Transport(Protocol):
    """What brings what a guest says: `asyncio.Transport` is one."""

    def pause_reading(self) -> None:
        """Bring no more."""

    def resume_reading(self) -> None:
        """Go on."""

    def is_closing(self) -> bool:
        """Whether nothing counts any more."""


class Share:
    """What one guest takes of the loop's time, over however many connections."""

    __slots__ = ("_allowance", "_rested")

    def __init__(self) -> None:
        self._allowance = Allowance(SHARE, BURST_SECONDS)
        self._rested = asyncio.get_running_loop().time()
        """When last it owed nothing, in the loop's time."""

    def spend(self, seconds: float) -> float:
        """Note that it took so much of the processor's time; return how long it has to wait."""
        now = asyncio.get_running_loop().time()
        wait = self._allowance.spend(seconds, now)
        if not wait:
            self._rested = now
        return wait

    @property
    def is_used_up(self) -> bool:
        """Whether it took all of its share for longer than we bear with."""
        return asyncio.get_running_loop().time() - self._rested > PATIENCE_SECONDS


class Pace:
    """Hands on what comes over one connection, to ``feed``, as fast as is fair; ``give_up`` is called when its guest
    says too much. ``share`` is that of the guest, where it has more connections.
    """

    __slots__ = ("_feed", "_give_up", "_piece", "_share", "_unread")

    def __init__(self, feed: Callable[[bytes], None], give_up: Callable[[], None], share: Share | None = None) -> None:
        self._feed = feed
        self._give_up = give_up
        self._share = share or Share()
        self._piece = PIECE_BYTES
        self._unread = b""

    def take(self, data: bytes, transport: Transport) -> None:
        """Take what came over ``transport``, which brings no more until this was handed on."""
        self._unread += data
        self._hand_on(transport)

    def _hand_on(self, transport: Transport) -> None:
        data, at = self._unread, 0
        began = now = time.thread_time()
        while at < len(data) and now - began < SLICE_SECONDS and not transport.is_closing():
            self._feed(data[at : at + self._piece])
            at += self._piece
            now = time.thread_time()
        self._unread = data[at:]
        wait = self._share.spend(now - began)
        self._piece = OWING_BYTES if wait else PIECE_BYTES
        if self._share.is_used_up:
            self._give_up()
        if wait or self._unread:
            transport.pause_reading()
            asyncio.get_running_loop().call_later(wait, self._go_on, transport)

    def _go_on(self, transport: Transport) -> None:
        if transport.is_closing():
            self._unread = b""
            return
        transport.resume_reading()
        if self._unread:
            self._hand_on(transport)
