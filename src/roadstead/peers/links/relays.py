"""How one stream to the engine is opened over an SSH connection: forwarding to its socket, or a command in its stead.

Forwarding (``direct-streamlocal@openssh.com``) needs no shell, no session and no program in the guest; where it is
forbidden, ``docker system dial-stdio`` or another relay does the same. Which one works is found out once: a new link to
the same guest begins with the relay that the last one was heard through (`KnownRelay`), and asks only when that fails.
A user who may not open the socket may be allowed to run the docker command as root: then forwarding is not tried.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import asyncssh
from asyncssh.channel import SSHChannel

from roadstead.errors import EngineError, LinkError, PeerError
from roadstead.kit.streams import Receiver, Stream
from roadstead.peers.links.connections import FloodError
from roadstead.peers.links.messages import (
    HTTP,
    NOISE_BYTES,
    Finding,
    Quiet,
    Relay,
    complaint,
    finding,
    question,
    relay_command,
    sudo_question,
)

STREAMLOCAL = "streamlocal"
WINDOW_BYTES = 2**19
"""What a guest may send on one stream before we have taken it: the bound of asyncssh's buffer."""
PACKET_BYTES = 2**15
QUESTION_SECONDS = 10.0
ENDING_SECONDS = 1.0
"""How long a session may take to end before the next one is asked for: Dropbear may refuse it until then."""
FORGOTTEN_SECONDS = 2.0
"""How long a guest may take to forget a session that has ended."""
LATE_SECONDS = 30.0
"""How long a channel whose opening was given up may take to open, to be closed then."""
COMPLAINT_BYTES = 4096
_PING = b"GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n"


class SessionStream:
    """A channel: asyncssh's session on one side, a `Stream` on the other."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver: Receiver | None = receiver
        self._channel: SSHChannel[bytes] | None = None

    def connection_made(self, chan: SSHChannel[bytes]) -> None:
        """Called by asyncssh."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Called by asyncssh."""
        if self._receiver is not None:
            self._receiver.data_received(data)

    def eof_received(self) -> bool:
        """Called by asyncssh: the engine hung up. Nothing is half-closed, so that is the end in both directions."""
        self._end(None)
        self.abort()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncssh."""
        self._channel = None
        self._end(lost(exc) if exc is not None else None)

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(data)

    def pause_reading(self) -> None:
        """See `Stream`."""
        if self._channel is not None:
            self._channel.pause_reading()

    def resume_reading(self) -> None:
        """See `Stream`."""
        if self._channel is not None:
            self._channel.resume_reading()

    def abort(self) -> None:
        """See `Stream`."""
        if self._channel is not None:
            self._channel.abort()

    def _end(self, error: Exception | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.stream_ended(error)


def lost(error: Exception) -> LinkError:
    """What the end of a server's connection means."""
    return LinkError("ssh-floods" if isinstance(error, FloodError) else "link-lost")


class ForwardedStream(SessionStream, asyncssh.SSHUNIXSession[bytes]):
    """A channel that is forwarded to the socket."""


class CommandStream(SessionStream, asyncssh.SSHClientSession[bytes]):
    """A command that relays. What a shell prints before the engine's first answer is left out."""

    def __init__(self, receiver: Receiver, relays: "Relays", relay: Relay) -> None:
        super().__init__(receiver)
        self._relays = relays
        self._relay = relay
        self._quiet = Quiet()
        self._errors = b""
        self._given_up = False

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Called by asyncssh; errors have a type of their own."""
        if datatype is not None:
            self._errors = (self._errors + data)[:COMPLAINT_BYTES]
            return
        was_heard = self._quiet.heard
        answer = self._quiet.feed(data)
        if self._quiet.too_much:
            self._relays.failed(self._relay, is_sure=True)
            self._end(EngineError("engine-answer-invalid", reason="it is not HTTP"))
            self.abort()
            return
        if not was_heard and self._quiet.heard:
            self._relays.heard(self._relay)
        if answer:
            super().data_received(answer, None)

    def abort(self) -> None:
        """See `Stream`."""
        if self._receiver is not None and not self._quiet.heard:
            self._relays.failed(self._relay, is_sure=False)
        self._given_up = True
        super().abort()

    def _end(self, error: Exception | None) -> None:
        """A command that ended before the engine said anything did not relay; its complaint says why."""
        if error is None and not self._quiet.heard and not self._given_up:
            found = complaint(self._errors)
            if found is None:
                self._relays.failed(self._relay, is_sure=True)
            error = self._relays.meant(found or Finding.NO_RELAY)
        super()._end(error)


class Listener:
    """The receiver of the one question: keeps a bounded beginning of what was said."""

    def __init__(self) -> None:
        self.output = b""
        self.errors = b""
        self.answered = asyncio.Event()

    def take(self, data: bytes, *, is_error: bool) -> None:
        """Keep ``data``; what is too much, or settles the question, ends the wait."""
        if is_error:
            self.errors = (self.errors + data)[:COMPLAINT_BYTES]
            return
        self.output = (self.output + data)[:NOISE_BYTES]
        if HTTP in self.output or len(self.output) == NOISE_BYTES:
            self.answered.set()


class QuestionSession(asyncssh.SSHClientSession[bytes]):
    """The session of the one question."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Called by asyncssh."""
        self._listener.take(data, is_error=datatype is not None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncssh."""
        self._listener.answered.set()


@dataclass(frozen=True, slots=True)
class Door:
    """Where the engine's socket is in the guest, and who opens it."""

    user: str
    socket: str
    sudo: bool = False
    """Whether the user opens it as root, by ``sudo`` and the docker command."""


@dataclass(slots=True)
class KnownRelay:
    """What links to one guest, one after the other, know of its relay: the one through which its engine was heard last;
    None where none is needed, or none is known any more.
    """

    relay: Relay | None = None


class Relays:
    """Opens streams to the engine's socket over one connection, by whichever way works there."""

    def __init__(self, connection: asyncssh.SSHClientConnection, door: Door) -> None:
        self._connection = connection
        self._door = door
        self.known = KnownRelay()
        """Shared with earlier and later links, where there are such."""
        self._is_heard = False
        """Whether the engine was heard through a relay over this connection."""
        self._choosing = asyncio.Lock()
        self._relay: Relay | None = None
        self.chosen = ""
        """`STREAMLOCAL` or a `Relay`; empty until the first stream was open."""

    async def open(self, receiver: Receiver) -> Stream:
        """Open a stream.

        Raises `EngineError` ``no-engine-socket``, ``engine-socket-denied``, ``engine-down``, ``no-relay``,
        ``no-sudo``, ``too-few-sessions`` or ``engine-unreachable``, and `LinkError` ``link-lost``.
        """
        if self.chosen == STREAMLOCAL:
            return await self._forward_or_explain(receiver)
        if self._relay is not None:
            return await self._dial(receiver, self._relay)
        async with self._choosing:
            if self.chosen:
                return await self.open(receiver)
            return await self._choose(receiver)

    def heard(self, relay: Relay) -> None:
        """The engine answered through ``relay``: the next link may begin with it."""
        self._is_heard = True
        self.known.relay = relay

    def failed(self, relay: Relay, *, is_sure: bool) -> None:
        """``relay`` ended, or was given up, without the engine being heard, and did not say why: the next stream asks
        anew. Where it is not ``is_sure`` whose fault that is, one that has worked over this connection is kept.
        """
        if relay is self._relay and (is_sure or not self._is_heard):
            self._relay, self.chosen, self.known.relay = None, "", None

    async def _choose(self, receiver: Receiver) -> Stream:
        if self.known.relay is not None:
            try:
                return self._took(self.known.relay, await self._dial(receiver, self.known.relay))
            except EngineError:
                self.known.relay = None
        if self._door.sudo:
            return await self._stand_in(receiver)
        try:
            stream = await self._forward(receiver)
        except asyncssh.ChannelOpenError:
            return await self._stand_in(receiver)
        self.chosen = STREAMLOCAL
        return stream

    async def _stand_in(self, receiver: Receiver) -> Stream:
        """Open a stream by the relay that the guest has, and remember it."""
        found = await self._ask()
        if found is Finding.FORCED:
            found = Relay.DIAL_STDIO
        if not isinstance(found, Relay):
            raise self.meant(found)
        return self._took(found, await self._dial_after_question(receiver, found))

    def _took(self, relay: Relay, stream: Stream) -> Stream:
        self._relay, self.chosen = relay, relay.value
        return stream

    async def _dial_after_question(self, receiver: Receiver, relay: Relay) -> Stream:
        """Open a stream while the guest may still count the session of the question (``MaxSessions 1``)."""
        end = asyncio.get_running_loop().time() + FORGOTTEN_SECONDS
        while True:
            try:
                return await self._dial(receiver, relay)
            except EngineError:
                if asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(FORGOTTEN_SECONDS / 20)

    async def _forward_or_explain(self, receiver: Receiver) -> Stream:
        try:
            return await self._forward(receiver)
        except asyncssh.ChannelOpenError as error:
            found = await self._ask()
            # Forwarding has worked before: a refusal now means that nobody listens.
            if isinstance(found, Relay) or found in {Finding.FORCED, Finding.NO_RELAY, Finding.UNKNOWN}:
                raise EngineError("engine-down") from error
            raise self.meant(found) from error

    async def _forward(self, receiver: Receiver) -> Stream:
        channel = self._connection.create_unix_channel(window=WINDOW_BYTES, max_pktsize=PACKET_BYTES)
        try:
            session = await channel.connect(lambda: ForwardedStream(receiver), self._door.socket)
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_later(LATE_SECONDS, channel.abort)
            raise
        return cast("ForwardedStream", session)

    async def _dial(self, receiver: Receiver, relay: Relay) -> Stream:
        command = relay_command(relay, self._door.socket)
        try:
            _, session = await self._session(command, lambda: CommandStream(receiver, self, relay))
        except asyncssh.ChannelOpenError as error:
            raise EngineError("too-few-sessions", relay=relay.value) from error
        return cast("CommandStream", session)

    async def run(self, command: str, seconds: float) -> bytes:
        """Run ``command``, give it no input, and return the beginning (`NOISE_BYTES`) of what it prints in ``seconds``.

        That is nothing where no command may run; where another one is forced, it is what that one prints.
        """
        listener = Listener()
        channel = None
        try:
            async with asyncio.timeout(seconds):
                channel, _ = await self._session(command, lambda: QuestionSession(listener))
                with contextlib.suppress(OSError):  # it may have ended already
                    channel.write_eof()
                await listener.answered.wait()
        except (TimeoutError, asyncssh.ChannelOpenError):
            return listener.output
        finally:
            if channel is not None:
                channel.abort()
        return listener.output

    async def _ask(self) -> Finding | Relay:
        """Ask the guest's shell what stands in the way; a forced relay is recognised by the engine's answer."""
        listener = Listener()
        ask = sudo_question if self._door.sudo else question
        command = ask(self._door.socket)
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                channel, _ = await self._session(command, lambda: QuestionSession(listener))
        except (TimeoutError, asyncssh.ChannelOpenError):
            return Finding.UNKNOWN
        try:
            # A command may have answered and ended already; what it said counts.
            with contextlib.suppress(OSError):
                channel.write(_PING)
            async with asyncio.timeout(QUESTION_SECONDS):
                await listener.answered.wait()
        except TimeoutError:
            return Finding.UNKNOWN
        finally:
            await _ended(channel)
        return finding(listener.output, listener.errors)

    async def _session(
        self, command: str, factory: Callable[[], asyncssh.SSHClientSession[bytes]]
    ) -> tuple[asyncssh.SSHClientChannel[bytes], asyncssh.SSHClientSession[bytes]]:
        return await self._connection.create_session(
            factory,
            command,
            request_pty=False,
            encoding=None,
            window=WINDOW_BYTES,
            max_pktsize=PACKET_BYTES,
        )

    def meant(self, found: Finding) -> PeerError:
        """Return the error for what stands in the way."""
        codes = {
            Finding.ABSENT: "no-engine-socket",
            Finding.DENIED: "engine-socket-denied",
            Finding.DEAD: "engine-down",
            Finding.NO_RELAY: "no-relay",
            Finding.NO_SUDO: "no-sudo",
        }
        door = self._door
        command = relay_command(Relay.DIAL_STDIO, door.socket)
        return EngineError(codes.get(found, "engine-unreachable"), socket=door.socket, user=door.user, command=command)


async def _ended(channel: asyncssh.SSHClientChannel[bytes]) -> None:
    """End a session, and wait until the server has ended it too, but not for long."""
    channel.abort()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ENDING_SECONDS):
            await channel.wait_closed()
