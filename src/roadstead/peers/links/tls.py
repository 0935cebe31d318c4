"""The link to an engine that listens with TLS: a connection for each stream, certificate and address checked each time.

It works on the socket itself, not with asyncio's transport for TLS: that keeps 256 KiB of read buffer for each
connection, and goes through two buffers in memory. Here OpenSSL reads and writes the socket, one record at a time.

Streams are ended by closing the socket, without a farewell: an engine that is still sending would answer one with more
data, which OpenSSL takes for an error. Whether the guest lives the kernel asks (TCP keepalive), as a silent stream of
events would not tell, and it is the kernel that says when the guest's system answered last. An idle connection for
requests is given up after a while, since a second one for each of thousands of guests costs more memory than now and
then a handshake costs time.
"""

import asyncio
import datetime as dt
import errno
import os
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from roadstead.errors import LinkError
from roadstead.kit import clocks
from roadstead.kit.streams import Receiver, Stream
from roadstead.model import PathStep
from roadstead.peers.links import faults, tls_faults
from roadstead.peers.links.credentials import Credentials, Expiry, expiry_of
from roadstead.peers.links.dialing import dial
from roadstead.peers.links.race import Race
from roadstead.peers.links.ssh import Gates
from roadstead.peers.links.witness import NOBODY, Witness
from roadstead.settings.schema import LinkSettings

RECORD_BYTES = 2**14
"""The most that one record of TLS holds: a read of that size leaves nothing behind in OpenSSL."""
READS_AT_ONCE = 16
"""Then the loop has its turn."""
IDLE_SECONDS = 3.0
"""How long a stream that nobody uses is kept for the next request."""
TCP_INFO_BYTES = 104
LAST_ACK_RECV = 56
"""Where Linux's ``struct tcp_info`` (its ``include/uapi/linux/tcp.h``) has ``tcpi_last_ack_recv``, in milliseconds."""
GIVEN_UP = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
"""What the kernel says of a connection whose other end no longer answers."""
PLAIN = b"HTTP/"
"""What an engine without TLS begins to say when it is greeted with TLS."""


@dataclass(frozen=True, slots=True)
class TlsTarget:
    """One engine to call."""

    port: int
    addresses: tuple[str, ...]
    """IP addresses that may be used, in the order in which they are tried."""


class TlsStream:
    """One connection: a secured socket on one side, a `Stream` on the other."""

    __slots__ = ("_is_answered", "_is_reading", "_link", "_loop", "_receiver", "_sock", "_unsent")

    def __init__(self, sock: ssl.SSLSocket, receiver: Receiver, link: "TlsLink") -> None:
        self._sock = sock
        self._receiver: Receiver | None = receiver
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._unsent = b""
        self._is_answered = False
        self._is_reading = False
        link.streams.add(self)
        self.resume_reading()

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        if self._receiver is None:
            return
        if self._unsent:
            self._unsent += data
            return
        self._unsent = data
        self._send()

    def pause_reading(self) -> None:
        """See `Stream`."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._sock)

    def resume_reading(self) -> None:
        """See `Stream`."""
        if self._receiver is not None and not self._is_reading:
            self._is_reading = True
            self._loop.add_reader(self._sock, self._read)

    def abort(self) -> None:
        """See `Stream`."""
        self._end(None)

    def silent(self) -> dt.timedelta:
        """How long ago the guest's system answered last, be it with an acknowledgement alone."""
        told = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        return dt.timedelta(milliseconds=struct.unpack_from("I", told, LAST_ACK_RECV)[0])

    def _read(self) -> None:
        # Asked before OpenSSL reads: Python below 3.11.9 takes a connection that was given up for one that was ended.
        lost = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if lost in GIVEN_UP:
            self._end(_stream_fault(OSError(lost, os.strerror(lost))))
            return
        for _ in range(READS_AT_ONCE):
            try:
                data = self._sock.recv(RECORD_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self._end(_stream_fault(error))
                return
            if not data:
                self._end(None)
                return
            if not self._is_answered:
                self._is_answered = True
                self._release()
            if self._receiver is not None:
                self._receiver.data_received(data)
            if not self._is_reading:
                return

    def _release(self) -> None:
        """Have OpenSSL let go of 16 KiB: the tickets of TLS 1.3 for later sessions, which came before the first answer,
        make it ready to write (state_machine in its ``ssl/statem/statem.c``), and only a write ends that. One of
        nothing sends nothing.
        """
        if not self._unsent:
            with suppress(OSError):
                self._sock.send(b"")

    def _send(self) -> None:
        """Send what is unsent, as far as the socket takes it."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self._loop.add_writer(self._sock, self._send)
            return
        except OSError as error:
            # Who hung up may have said why: that is still to be read.
            self._read()
            self._end(_stream_fault(error))
            return
        self._loop.remove_writer(self._sock)

    def _end(self, error: LinkError | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        self._is_reading = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._unsent = b""
        self._link.streams.discard(self)
        self._loop.call_soon(receiver.stream_ended, error)


class TlsLink:
    """A `Link` to an engine at one address. It has no connection of its own, so it ends only when it is closed."""

    relay = "tls"
    idle_seconds = IDLE_SECONDS

    def __init__(self, caller: "_Caller", address: str, first: ssl.SSLSocket) -> None:
        self._caller = caller
        self._first: ssl.SSLSocket | None = first
        self._heard = clocks.now()
        self.address = address
        self.asks_after = caller.asks_after
        self.is_open = True
        """Whether `close` was not called."""
        self.streams: set[TlsStream] = set()
        self.expiry = self._expiry(first)
        """What ends first of all certificates, the engine's as it was shown last."""

    @property
    def heard(self) -> dt.datetime:
        """When the guest's system answered last, on any of the streams that there are."""
        if self.streams:
            self._heard = max(self._heard, clocks.now() - min(stream.silent() for stream in self.streams))
        return self._heard

    async def open(self, receiver: Receiver) -> Stream:
        """Connect once more; the first time, take the connection with which the address was found.

        Raises `LinkError` as `open_tls` does, and ``link-lost`` after `close`.
        """
        first, self._first = self._first, None
        sock = first
        if sock is None:
            self._must_be_open()
            sock = await self._caller.connect(self.address)
            self._heard = clocks.now()
            self.expiry = self._expiry(sock)
        try:
            self._must_be_open()
        except LinkError:
            sock.close()
            raise
        return TlsStream(sock, receiver, self)

    def _must_be_open(self) -> None:
        if not self.is_open:
            raise LinkError("link-lost")

    def _expiry(self, sock: ssl.SSLSocket) -> Expiry:
        """Return what ends first now that ``sock`` is secure; close it where that cannot be told. Raises `LinkError`
        ``tls-untrusted``.
        """
        own, shown = self._caller.credentials.expiry, sock.getpeercert(binary_form=True)
        try:
            return min(own, expiry_of(shown, self.address), key=lambda each: each.at) if shown else own
        except BaseException:
            sock.close()
            raise

    def close(self) -> None:
        """End the link and its streams."""
        self.is_open = False
        if self._first is not None:
            self._first.close()
        for stream in tuple(self.streams):
            stream.abort()


async def open_tls(
    target: TlsTarget,
    credentials: Credentials,
    *,
    settings: LinkSettings,
    gates: Gates,
    witness: Witness = NOBODY,
) -> TlsLink:
    """Call the engine at all its addresses and return the link to the first one that is it; ``witness`` looks on.

    Raises `LinkError`: ``unreachable``, ``refused``, ``timed-out``, ``tls-untrusted``, ``tls-wrong-address``,
    ``tls-expired``, ``tls-client-rejected`` (before TLS 1.3; with it a stream ends so), ``tls-handshake-failed``,
    ``plain-http-engine``.
    """
    caller = _Caller(target, credentials, settings, gates)
    race = Race(
        target.addresses[: settings.addresses],
        lambda address: caller.call(address, witness),
        TlsLink.close,
        _is_final,
        witness,
    )
    return await race.run(settings.stagger_seconds)


def _is_final(error: LinkError) -> bool:
    """Whether a failure speaks for the engine itself: it was verified, and refused us."""
    return error.code == "tls-client-rejected"


class _Caller:
    """Connects to one engine, at whichever of its addresses."""

    def __init__(self, target: TlsTarget, credentials: Credentials, settings: LinkSettings, gates: Gates) -> None:
        self.credentials = credentials
        self._port = target.port
        self._settings = settings
        self._gates = gates

    @property
    def asks_after(self) -> float:
        """After how many silent seconds the kernel asks whether the guest lives."""
        return float(_keep_alive_seconds(self._settings))

    async def call(self, address: str, witness: Witness) -> TlsLink:
        """Reach the engine at one address, in turn with other guests. Raises `LinkError`."""
        async with AsyncExitStack() as admission:
            async with self._gates.connects():
                sock = await self._dial(address)
                witness.passed(PathStep.PORT, f"{self._port} is open", address)
                try:
                    await admission.enter_async_context(self._gates.logins())
                except BaseException:
                    sock.close()
                    raise
            link = TlsLink(self, address, secured := await self._secured(sock, address))
            witness.passed(PathStep.HANDSHAKE, secured.version() or "", address)
            ends = f"{link.expiry.at:%Y-%m-%d} ({link.expiry.whose})"
            witness.passed(PathStep.CERTIFICATE, f"chain, address and dates are right; the first ends {ends}", address)
            return link

    async def connect(self, address: str) -> ssl.SSLSocket:
        """Return one more connection to an address that was reached. Raises `LinkError`."""
        return await self._secured(await self._dial(address), address)

    async def _dial(self, address: str) -> socket.socket:
        sock = await dial(address, self._port, faults.ENGINE, self._settings.connect_seconds)
        _keep_alive(sock, self._settings)
        return sock

    async def _secured(self, sock: socket.socket, address: str) -> ssl.SSLSocket:
        try:
            secured = self.credentials.secure(sock, address)
        except BaseException:
            sock.close()
            raise
        try:
            async with asyncio.timeout(self._settings.login_seconds):
                await self._shake_hands(secured, address)
        except TimeoutError as error:
            secured.close()
            raise faults.timed_out(faults.SHAKING_HANDS, address) from error
        except OSError as error:
            secured.close()
            raise tls_faults.handshake_fault(error, address, self._port) from error
        except BaseException:
            secured.close()
            raise
        self.credentials.release(secured)
        return secured

    async def _shake_hands(self, secured: ssl.SSLSocket, address: str) -> None:
        """Wait for the handshake. Raises `OSError`, and `LinkError` ``plain-http-engine``."""
        loop = asyncio.get_running_loop()
        is_greeted = False
        while True:
            try:
                secured.do_handshake()
                return
            except ssl.SSLWantReadError:
                await _ready(secured, loop.add_reader, loop.remove_reader)
            except ssl.SSLWantWriteError:
                await _ready(secured, loop.add_writer, loop.remove_writer)
                continue
            if not is_greeted and socket.socket.recv(secured, len(PLAIN), socket.MSG_PEEK) == PLAIN:
                raise LinkError("plain-http-engine", addresses=address, port=self._port)
            is_greeted = True


async def _ready(sock: ssl.SSLSocket, add: Callable[..., None], remove: Callable[[ssl.SSLSocket], object]) -> None:
    """Wait until ``sock`` is ready for what ``add`` watches."""
    waiter = asyncio.get_running_loop().create_future()
    add(sock, waiter.set_result, None)
    try:
        await waiter
    finally:
        remove(sock)


def _keep_alive(sock: socket.socket, settings: LinkSettings) -> None:
    """Have the kernel ask whether the guest lives, as often and as patiently as SSH links ask."""
    seconds = _keep_alive_seconds(settings)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, settings.keepalive_count)
    # While something that we sent is unanswered, keepalive is not asked.
    patience = seconds * (settings.keepalive_count + 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience * 1000)


def _keep_alive_seconds(settings: LinkSettings) -> int:
    return max(1, round(settings.keepalive_seconds))


def _stream_fault(error: OSError) -> LinkError:
    fault = tls_faults.rejection(error) or LinkError("link-lost")
    fault.__cause__ = error
    return fault
