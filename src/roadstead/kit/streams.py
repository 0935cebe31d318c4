"""The `Link` protocol: how a byte stream to an engine is opened, whatever lies between.

Callbacks instead of awaited reads, because that is what both asyncio and asyncssh give, and each layer in between
would cost a copy and a turn of the loop for every answer.
"""

from datetime import datetime
from typing import Protocol


class Receiver(Protocol):
    """Who is told what arrives on a stream."""

    def data_received(self, data: bytes) -> None:
        """Some bytes came; never raises."""

    def stream_ended(self, error: Exception | None) -> None:
        """Nothing more will come: the far end closed (None) or the stream broke; a `Mistake` is ours. Called exactly
        once.
        """


class Stream(Protocol):
    """An open byte stream to an engine. Its bytes go to the `Receiver` it was opened with.

    There is no half-close: an engine cancels a request whose sending side was ended.
    """

    def write(self, data: bytes) -> None:
        """Send ``data``; requests are small, so nothing waits. Ignored on a stream that has ended."""

    def pause_reading(self) -> None:
        """Ask the far end to wait: the receiver cannot take more now."""

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""

    def abort(self) -> None:
        """End the stream at once, in both directions. Harmless on one that has ended."""


class Link(Protocol):
    """A kept way to one engine."""

    @property
    def address(self) -> str:
        """Where it leads, for people: an IP address or a path."""

    @property
    def relay(self) -> str:
        """How streams are opened: ``streamlocal``, ``dial-stdio``, ``tls`` or ``unix``; empty before the first was."""

    @property
    def heard(self) -> datetime:
        """When the far end was last heard."""

    @property
    def asks_after(self) -> float:
        """After how many seconds of silence the far end is asked whether it lives; 0 where nobody asks."""

    @property
    def idle_seconds(self) -> float:
        """How long a stream that nobody uses is worth keeping; 0 where it costs nothing."""

    async def open(self, receiver: Receiver) -> Stream:
        """Open one more stream to the engine. Raises `LinkError` or `EngineError` with the reason."""

    def close(self) -> None:
        """End the link and all its streams."""

    @property
    def is_open(self) -> bool:
        """Whether streams can be opened."""
