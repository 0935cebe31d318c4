"""The frames in which an engine sends several streams of a container over one: 8 bytes that name a stream and a length,
then as many bytes of that stream. Logs come so, unless the container has a terminal of its own.

Source: the Engine API's description of ``ContainerAttach``, "Stream format"; moby's ``api/pkg/stdcopy`` for the stream
of the engine's own errors.
"""

import struct
from collections.abc import Iterator

from msgspec import Struct

from roadstead.peers.engine.messages.guarded import invalid

STDIN, STDOUT, STDERR, SYSTEM_ERROR = range(4)
HEADER_BYTES = 8
PIECE_BYTES = 2**14
"""So much of a frame is waited for. A longer frame, which may claim up to 4 GiB, is handed on in pieces of that size
and more, so that nothing is kept because of what it claims. Docker cuts longer lines into several frames itself.
"""
_HEADER = struct.Struct(">B3sI")
_ZEROS = bytes(3)


class Piece(Struct, frozen=True, gc=False):
    """A frame, or a part of a long one; never empty."""

    stream: int
    data: bytes
    starts: bool
    """Whether it is the beginning of its frame."""


class Frames:
    """Takes frames apart, in whatever pieces they come."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._stream = STDOUT
        self._left = 0
        """How many bytes of the frame are still to be handed on; those kept are among them."""
        self._starts = True

    @property
    def is_within(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._left or self._kept)

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Yield what ``data`` completes.

        Raises `EngineError` ``engine-answer-invalid`` at what is no frame: an unknown stream, a header that is not
        padded with zeros.
        """
        self._kept += data
        place = 0
        while (size := self._next(place)) is not None:
            if size:
                yield Piece(self._stream, bytes(self._kept[place : place + size]), self._starts)
                place += size
                self._left -= size
                self._starts = False
            else:
                self._read_header(place)
                place += HEADER_BYTES
        del self._kept[:place]

    def _next(self, place: int) -> int | None:
        """Return the size of the piece that is there at ``place``; 0 where a header is there, None for neither."""
        there = len(self._kept) - place
        if self._left == 0:
            return 0 if there >= HEADER_BYTES else None
        size = min(there, self._left)
        return size if size == self._left or size >= PIECE_BYTES else None

    def _read_header(self, place: int) -> None:
        self._stream, zeros, self._left = _HEADER.unpack_from(self._kept, place)
        self._starts = True
        if self._stream > SYSTEM_ERROR or zeros != _ZEROS:
            raise invalid("it is not made of frames")
