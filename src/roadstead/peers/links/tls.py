"""The link to an engine that listens with TLS: a connection for each stream, certificate and address checked each time.

asyncio's transport for TLS keeps 256 KiB of read buffer for each connection, so it is not used: see `tls_wire`. What an
engine says is heard at the pace of all guests (`pacing`), since each record costs the loop's time, also one that says
nothing; an engine that says nothing at great length is cut off.

Streams are ended by closing the socket, without a farewell: an engine that is still sending would answer one with more
data, which OpenSSL takes for an error. Whether the guest lives the kernel asks (TCP keepalive), as a silent stream of
events would not tell, and it is the kernel that says when the guest's system answered last. An idle connection for
requests is given up after a while, since a second one for each of thousands of guests costs more memory than now and
then a handshake costs time.
"""

import asyncio
import datetime as dt
import socket
import ssl
import struct
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from roadstead.errors import LinkError
from roadstead.kit import clocks
from roadstead.kit.mistakes import Mistake
from roadstead.kit.streams import Receiver, Stream
from roadstead.model import PathStep
from roadstead.peers.links import faults, tls_faults
from roadstead.peers.links.credentials import Credentials, Expiry, addresses_in, expiry_of
from roadstead.peers.links.dialing import Gates, dial
from roadstead.peers.links.pacing import Pace, Share
from roadstead.peers.links.race import Race
from roadstead.peers.links.tls_wire import HANDSHAKE_PIECE_BYTES, RECORD_BYTES, Wire
from roadstead.peers.links.witness import NOBODY, Witness
from roadstead.settings.schema import LinkSettings

READ_BYTES = 2**14
"""What is read of the socket in one turn of the loop."""
BARREN_BYTES = 2**16
"""What an engine may say without any data in it: four of the largest records, 2,000 changes of keys. Engines send a few
hundred bytes of tickets, once.
"""
ANSWERS_BYTES = 2**16
"""What may wait to be sent when OpenSSL answers by itself: an engine that asks for new keys and hears none of them."""
IDLE_SECONDS = 3.0
"""How long a stream that nobody uses is kept for the next request."""
TCP_INFO_BYTES = 104
LAST_ACK_RECV = 56
"""Where Linux's ``struct tcp_info`` (its ``include/uapi/linux/tcp.h``) has ``tcpi_last_ack_recv``, in milliseconds."""


@dataclass(frozen=True, slots=True)
class TlsTarget:
    """One engine to call."""

    port: int
    addresses: tuple[str, ...]
    """IP addresses that may be used, in the order in which they are tried."""


class TlsStream:
    """One connection: a wire on one side, a `Stream` on the other."""

    __slots__ = (
        *("_barren", "_is_answered", "_is_due", "_is_reading", "_is_wanted"),
        *("_link", "_loop", "_pace", "_receiver", "_wire"),
    )

    def __init__(self, wire: Wire, receiver: Receiver, link: "TlsLink") -> None:
        self._wire = wire
        self._receiver: Receiver | None = receiver
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(self._feed, self._flooded, link.share)
        self._barren = 0
        """How much came since the last data."""
        self._is_answered = False
        self._is_reading = False
        self._is_due = True
        """Whether the pace lets it be read."""
        self._is_wanted = False
        """Whether the receiver does."""
        link.streams.add(self)
        self.resume_reading()

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        if self._receiver is None:
            return
        try:
            self._wire.write(data)
        except ssl.SSLError as error:
            self._end(tls_faults.stream_fault(error))
            return
        self._send()

    def pause_reading(self) -> None:
        """See `Stream`."""
        self._is_wanted = False
        self._watch()

    def resume_reading(self) -> None:
        """See `Stream`."""
        self._is_wanted = True
        self._watch()
        if self._receiver is not None and self._wire.incoming.pending:
            self._loop.call_soon(self._feed, b"")

    def abort(self) -> None:
        """See `Stream`."""
        self._end(None)

    def let(self, *, is_due: bool) -> None:
        """Let it be read, or not, whatever the receiver wants."""
        self._is_due = is_due
        self._watch()

    @property
    def is_ended(self) -> bool:
        """Whether its receiver is told nothing more."""
        return self._receiver is None

    def silent(self) -> float:
        """How many seconds ago the guest's system answered last, be it with an acknowledgement alone."""
        told = self._wire.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        milliseconds: int = struct.unpack_from("I", told, LAST_ACK_RECV)[0]
        return milliseconds / 1000

    def _watch(self) -> None:
        is_reading = self._is_due and self._is_wanted and self._receiver is not None
        if is_reading == self._is_reading:
            return
        self._is_reading = is_reading
        if is_reading:
            self._loop.add_reader(self._wire.sock, self._read)
        else:
            self._loop.remove_reader(self._wire.sock)

    def _read(self) -> None:
        if self._receiver is None:
            return
        try:
            data = self._wire.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(tls_faults.stream_fault(error))
            return
        if data:
            self._pace.take(data, _Turns(self))
        else:
            # Without the farewell that OpenSSL would have told of: that is a cut, by whomever.
            self._end(LinkError("link-lost"))

    def _feed(self, data: bytes) -> None:
        """Take in a piece of what came; until the first answer in smaller ones, as a handshake is read."""
        size = len(data) if self._is_answered else HANDSHAKE_PIECE_BYTES
        for start in range(0, len(data), size) if data else (0,):
            self._take_in(data[start : start + size])

    def _take_in(self, data: bytes) -> None:
        """Let OpenSSL have ``data``, and hand on what data there is."""
        if self._receiver is None:
            return
        self._wire.incoming.write(data)
        self._barren += len(data)
        try:
            while self._is_wanted and self._receiver is not None:
                self._received(self._wire.tls.read(RECORD_BYTES))
        except ssl.SSLWantReadError:
            pass
        except OSError as error:
            self._end(tls_faults.stream_fault(error))
        except Exception as error:  # noqa: BLE001 - we are a callback of the loop: it would be told to nobody
            self._end(_mistake(error))
        if self.is_ended:
            return
        if self._barren > BARREN_BYTES:
            self._flooded()
        elif self._wire.answers:
            self._answer()

    def _answer(self) -> None:
        """Send what OpenSSL says by itself, unless the engine makes it say so and does not listen."""
        if self._wire.unsent > ANSWERS_BYTES:
            self._flooded()
        else:
            self._send()

    def _received(self, data: bytes) -> None:
        if self._receiver is None:
            return
        if not data:
            self._end(None)
            return
        self._barren = 0
        if not self._is_answered:
            self._is_answered = True
            self._release()
        self._receiver.data_received(data)

    def _release(self) -> None:
        """Have OpenSSL let go of 16 KiB: the tickets of TLS 1.3 for later sessions, which came before the first answer,
        make it ready to write (state_machine in its ``ssl/statem/statem.c``), and only a write ends that. One of
        nothing sends nothing.
        """
        with suppress(OSError):
            self._wire.tls.write(b"")

    def _flooded(self) -> None:
        self._end(LinkError("tls-floods"))

    def _send(self) -> None:
        """Send what is unsent, as far as the socket takes it."""
        if self._receiver is None:
            return
        try:
            is_all = self._wire.send()
        except OSError as error:
            self._loop.remove_writer(self._wire.sock)
            self._loop.call_soon(self._hang_up, error)
            return
        if is_all:
            self._loop.remove_writer(self._wire.sock)
        else:
            self._loop.add_writer(self._wire.sock, self._send)

    def _hang_up(self, error: OSError) -> None:
        """The far end did so. It may have said why: that is still to be read."""
        self._read()
        self._end(tls_faults.stream_fault(error))

    def _end(self, error: LinkError | Mistake | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        self._watch()
        self._loop.remove_writer(self._wire.sock)
        self._wire.close()
        del self._pace, self._wire  # whoever still knows us, or is in a circle with us, keeps none of OpenSSL's memory
        self._link.streams.discard(self)
        self._loop.call_soon(receiver.stream_ended, error)


class _Turns:
    """A stream as its pace sees it, whose pauses are not the receiver's."""

    __slots__ = ("_stream",)

    def __init__(self, stream: TlsStream) -> None:
        self._stream = stream

    def pause_reading(self) -> None:
        """See `Transport`."""
        self._stream.let(is_due=False)

    def resume_reading(self) -> None:
        """See `Transport`."""
        self._stream.let(is_due=True)

    def is_closing(self) -> bool:
        """See `Transport`."""
        return self._stream.is_ended


class TlsLink:
    """A `Link` to an engine at one address. It has no connection of its own, so it ends only when it is closed."""

    __slots__ = ("_caller", "_first", "_heard", "address", "asks_after", "expiry", "is_open", "share", "streams")
    relay = "tls"
    idle_seconds = IDLE_SECONDS

    def __init__(self, caller: "_Caller", address: str, first: Wire) -> None:
        self._caller = caller
        self._first: Wire | None = first
        self._heard = time.monotonic()
        """When, as far as is known, by the clock that nobody sets."""
        self.address = address
        self.asks_after = caller.asks_after
        self.is_open = True
        """Whether `close` was not called."""
        self.streams: set[TlsStream] = set()
        self.share = Share()
        """What its streams may take of the loop's time."""
        self.expiry = self._expiry(first)
        """What ends first of all certificates, the engine's as it was shown last."""

    @property
    def heard(self) -> dt.datetime:
        """When the guest's system answered last, on any of the streams that there are."""
        if self.streams:
            self._heard = max(self._heard, time.monotonic() - min(stream.silent() for stream in self.streams))
        return clocks.when(self._heard)

    def certified(self) -> tuple[str, ...]:
        """For which IP addresses the engine's certificate is; of a link that was used already that is not known."""
        shown = self._first.tls.getpeercert(binary_form=True) if self._first is not None else None
        return addresses_in(shown) if shown else ()

    async def open(self, receiver: Receiver) -> Stream:
        """Connect once more; the first time, take the connection with which the address was found.

        Raises `LinkError` as `open_tls` does, and ``link-lost`` after `close`.
        """
        wire, self._first = self._first, None
        if wire is None:
            self._must_be_open()
            wire = await self._caller.connect(self.address)
            self._heard = time.monotonic()
            self.expiry = self._expiry(wire)
        try:
            self._must_be_open()
        except LinkError:
            wire.close()
            raise
        return TlsStream(wire, receiver, self)

    def _must_be_open(self) -> None:
        if not self.is_open:
            raise LinkError("link-lost")

    def _expiry(self, wire: Wire) -> Expiry:
        """Return what ends first now that ``wire`` is secure; close it where that cannot be told. Raises `LinkError`
        ``tls-untrusted``.
        """
        own, shown = self._caller.credentials.expiry, wire.tls.getpeercert(binary_form=True)
        try:
            return min(own, expiry_of(shown, self.address), key=lambda each: each.at) if shown else own
        except BaseException:
            wire.close()
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
    ``tls-floods``, ``plain-http-engine``.
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

    __slots__ = ("_gates", "_port", "_settings", "credentials")

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
            link = TlsLink(self, address, wire := await self._secured(sock, address))
            witness.passed(PathStep.HANDSHAKE, wire.tls.version() or "", address)
            ends = f"{link.expiry.at:%Y-%m-%d} ({link.expiry.whose})"
            witness.passed(PathStep.CERTIFICATE, f"chain, address and dates are right; the first ends {ends}", address)
            return link

    async def connect(self, address: str) -> Wire:
        """Return one more connection to an address that was reached. Raises `LinkError`."""
        return await self._secured(await self._dial(address), address)

    async def _dial(self, address: str) -> socket.socket:
        sock = await dial(address, self._port, faults.ENGINE, self._settings.connect_seconds)
        _keep_alive(sock, self._settings)
        return sock

    async def _secured(self, sock: socket.socket, address: str) -> Wire:
        try:
            wire = Wire(sock, self.credentials, address)
            async with asyncio.timeout(self._settings.login_seconds):
                await wire.shake_hands()
        except TimeoutError as error:
            sock.close()
            raise faults.timed_out(faults.SHAKING_HANDS, address) from error
        except OSError as error:
            sock.close()
            raise tls_faults.handshake_fault(error, address, self._port) from error
        except BaseException:
            sock.close()
            raise
        self.credentials.release(wire.tls)
        return wire


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


def _mistake(error: Exception) -> Mistake:
    mistake = Mistake("while a stream was read")
    mistake.__cause__ = error
    return mistake
