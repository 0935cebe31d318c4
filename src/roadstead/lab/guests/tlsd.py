"""The engine's own TLS listener in a simulated guest, as Windows Server's Docker has it: no SSH, mutual TLS.

It stands on two buffers in memory instead of asyncio's transport for TLS. That one keeps a quarter of a megabyte for
each connection, of which a lab has thousands, and drops the alert that tells a client why it was refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from typing import Protocol

from roadstead.lab.guests.certificates import Pair
from roadstead.lab.guests.http import HttpStream, Outlet
from roadstead.lab.guests.sshd import Abortable

PORT = 2376
RECORD_BYTES = 2**14
_DEAF = frozenset({"half-open", "handshake-never-ends"})
"""Misbehaviours of one that hears nothing."""


class TlsGuest(Protocol):
    """The guest that the listener stands in."""

    faults: frozenset[str]
    """What it does wrong, see `misbehaviour`."""

    def opened(self, connection: Abortable) -> None:
        """A connection was made."""

    def closed(self, connection: Abortable) -> None:
        """A connection is gone."""

    def open_stream(self, outlet: Outlet) -> HttpStream:
        """A byte stream to the engine; whoever opened it feeds it and closes it."""

    def close_stream(self, stream: HttpStream) -> None:
        """The client's side of a stream is gone."""


def context(authority: str, server: Pair) -> ssl.SSLContext:
    """TLS as an engine with ``tlsverify`` speaks it, whose ``tlscacert`` is ``authority``; blocks for a moment."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(cadata=authority)
    with tempfile.NamedTemporaryFile(mode="w", encoding="ascii") as file:
        file.write(server.certificate + server.key)
        file.flush()
        made.load_cert_chain(file.name)
    return made


class Connection(asyncio.Protocol):
    """One connection to an engine."""

    def __init__(self, guest: TlsGuest, secure: ssl.SSLContext) -> None:
        self._guest = guest
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = secure.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._transport: asyncio.Transport | None = None
        self._stream: HttpStream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio makes no other for a stream server
        self._transport = transport
        self._guest.opened(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._guest.faults & _DEAF:
            return
        self._incoming.write(data)
        try:
            self._proceed()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            # The alert goes out first.
            self._flush()
            self._hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._guest.close_stream(stream)
        self._guest.closed(self)

    def pause_writing(self) -> None:
        """Called by asyncio."""
        if self._stream is not None:
            self._stream.pause_writing()

    def resume_writing(self) -> None:
        """Called by asyncio."""
        if self._stream is not None:
            self._stream.resume_writing()

    # What the engine calls: the protocol `Outlet`

    def write(self, data: bytes, /) -> None:
        """Send."""
        if self._transport is not None and not self._transport.is_closing():
            self._tls.write(data)
            self._flush()

    def close(self) -> None:
        """Say goodbye, and end the connection after what was written."""
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(ssl.SSLError):  # the client has not answered the goodbye yet
                self._tls.unwrap()
            self._flush()
            self._hang_up()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _proceed(self) -> None:
        """Take in what has come; raises `ssl.SSLWantReadError` when that is done."""
        if self._stream is None:
            self._tls.do_handshake()
            self._flush()
            self._stream = self._guest.open_stream(self)
        while data := self._tls.read(RECORD_BYTES):
            self._flush()
            self._stream.data_received(data)
        self._hang_up()

    def _flush(self) -> None:
        if self._transport is not None and self._outgoing.pending:
            self._transport.write(self._outgoing.read())

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()
