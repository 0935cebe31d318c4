"""The engine's own TLS listener in a simulated guest, as Windows Server's Docker has it: no SSH, mutual TLS.

It stands on two buffers in memory instead of asyncio's transport for TLS. That one keeps a quarter of a megabyte for
each connection, of which a lab has thousands, and drops the alert that tells a client why it was refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import Iterator
from typing import Protocol

from roadstead.lab.guests.certificates import Pair
from roadstead.lab.guests.http import HttpStream, Outlet
from roadstead.lab.guests.sshd import Abortable
from roadstead.lab.guests.tls_floods import FLOODS, OLD_FLOOD, RANDOM, KeyLog, OldSealer, Sealer, hello_requests

PORT = 2376
RECORD_BYTES = 2**14
_DEAF = frozenset({"half-open", "handshake-never-ends"})
"""Misbehaviours of one that hears nothing."""
_UNHEARD = frozenset({"tls-key-requests", OLD_FLOOD})
"""Floods that ask for answers and hear none."""
DRIP_SECONDS = 0.01
FLOOD_BYTES = 2**21
"""How much of a flood waits to be sent."""
FLOOD_SECONDS = 0.001


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

    def __init__(self, guest: TlsGuest, secure: ssl.SSLContext, key_log: KeyLog | None = None) -> None:
        self._guest = guest
        self._key_log = key_log
        self._random = b""
        """What the client said first, which names the connection in the log of keys."""
        self._answer = b""
        """The same of ours."""
        self._drops = b""
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
        self._random = self._random or data[RANDOM]
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
            self._may_flood()
        while data := self._tls.read(RECORD_BYTES):
            self._flush()
            self._stream.data_received(data)
        self._hang_up()

    def _flush(self) -> None:
        if self._transport is None or not self._outgoing.pending:
            return
        data = self._outgoing.read()
        self._answer = self._answer or data[RANDOM]
        if "tls-half-handshake" in self._guest.faults:
            self._transport.write(data[: len(data) // 2])
            self._transport.pause_reading()
        elif "tls-drips" in self._guest.faults:
            is_dripping, self._drops = bool(self._drops), self._drops + data
            if not is_dripping:
                self._drip()
        elif self._key_log is None or self._stream is None:
            self._transport.write(data)

    def _drip(self) -> None:
        if self._transport is None or self._transport.is_closing() or not self._drops:
            return
        drop, self._drops = self._drops[:1], self._drops[1:]
        self._transport.write(drop)
        asyncio.get_running_loop().call_later(DRIP_SECONDS, self._drip)

    def _may_flood(self) -> None:
        """Begin the flood that this engine answers with, if it does."""
        for name in self._guest.faults & {OLD_FLOOD, *FLOODS}:
            cipher = self._tls.cipher()
            if self._key_log is None or self._transport is None or cipher is None:
                return
            if name in _UNHEARD:
                self._transport.pause_reading()
            secret = self._key_log.secret(self._random)
            if name == OLD_FLOOD:
                self._flood(hello_requests(OldSealer(secret, cipher[0], self._answer + self._random)))
            else:
                self._flood(FLOODS[name](Sealer(secret, cipher[0])))

    def _flood(self, records: Iterator[bytes]) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        is_full = self._transport.get_write_buffer_size() > FLOOD_BYTES
        if not is_full:
            self._transport.write(next(records))
        asyncio.get_running_loop().call_later(FLOOD_SECONDS if is_full else 0, self._flood, records)

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()
