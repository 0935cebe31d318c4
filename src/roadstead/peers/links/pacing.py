"""How fast a guest is heard: what it says costs time of the loop, which all guests share, and how much is its choice.

A message costs the same however little is in it: a guest that says a quarter of a megabyte in the smallest ones would
hold everybody up for a quarter of a second, again and again. So it is heard for a moment at a time, and one that takes
much has to wait in between; its messages wait in the kernel, which makes it wait, too.
"""

import asyncio
import time
from collections.abc import Callable

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


class Pace:
    """Hands on what one guest says, to ``feed``, as fast as is fair; ``give_up`` is called when it says too much."""

    __slots__ = ("_allowance", "_feed", "_give_up", "_piece", "_rested", "_unread")

    def __init__(self, feed: Callable[[bytes], None], give_up: Callable[[], None]) -> None:
        self._feed = feed
        self._give_up = give_up
        self._allowance = Allowance(SHARE, BURST_SECONDS)
        self._rested = asyncio.get_running_loop().time()
        """When last it owed nothing, in the loop's time."""
        self._piece = PIECE_BYTES
        self._unread = b""

    def take(self, data: bytes, transport: asyncio.Transport) -> None:
        """Take what came over ``transport``, which brings no more until this was handed on."""
        self._unread += data
        self._hand_on(transport)

    def _hand_on(self, transport: asyncio.Transport) -> None:
        data, at = self._unread, 0
        began = now = time.thread_time()
        while at < len(data) and now - began < SLICE_SECONDS and not transport.is_closing():
            self._feed(data[at : at + self._piece])
            at += self._piece
            now = time.thread_time()
        self._unread = data[at:]
        loop = asyncio.get_running_loop()
        wait = self._allowance.spend(now - began, loop.time())
        self._piece = OWING_BYTES if wait else PIECE_BYTES
        if not wait:
            self._rested = loop.time()
        elif loop.time() - self._rested > PATIENCE_SECONDS:
            self._give_up()
        if wait or self._unread:
            transport.pause_reading()
            loop.call_later(wait, self._go_on, transport)

    def _go_on(self, transport: asyncio.Transport) -> None:
        if transport.is_closing():
            self._unread = b""
            return
        transport.resume_reading()
        if self._unread:
            self._hand_on(transport)
