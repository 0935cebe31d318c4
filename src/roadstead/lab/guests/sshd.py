"""The SSH server of a simulated guest: asyncssh, reduced to what reaching an engine needs.

It is cheap per connection (no terminal, no line editor, no process objects, no task), because one process serves
thousands of guests, and it can misbehave at every step of a connection.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

import asyncssh

from roadstead.lab.guests import shell
from roadstead.lab.guests.http import HttpStream, Outlet
from roadstead.lab.guests.misbehaviour import Layer, of_layer
from roadstead.lab.guests.releases import Release
from roadstead.lab.guests.shell import Inhabited
from roadstead.peers.links import messages

_SOCKET = messages.DOCKER_SOCKET
"""The one path that is forwarded; sshd compares strings, so no other spelling of it counts."""

LOGIN_SECONDS = 120
GARBAGE_SECONDS = 0.01
DRIP_SECONDS = 0.2
BANNER = b"SSH-2.0-OpenSSH_9.2p1\r\n"
NO_BANNER = b"SSH-2.0-\xff\xfe\x1b[2J\r\n"
BABBLE_SECONDS = 0.002
BABBLE_BOUND_BYTES = 2**20
BABBLE = "Please hold the line. " * 1000
GARBAGE = b"220 mail.example.com ESMTP\r\n" * 512
NOISE = b"Welcome to a simulated guest.\n"

NOT_FOUND = 127

_DIAL_STDIO = frozenset(
    f"{sudo}{docker} system dial-stdio" for sudo in ("", "sudo -n ") for docker in ("docker", "/usr/bin/docker")
)
# The words and exit code of the docker command, seen with 20.10 and 28.2.
_DIAL_FAILURES = {
    "no-socket": "no such file or directory",
    "socket-denied": "permission denied",
    "engine-down": "connection refused",
}

_QUESTION = messages.question(_SOCKET)
_SUDO_QUESTION = messages.sudo_question(_SOCKET)

# There is no shell here to run the link's question in: what it would find is told.  Real guests run it.
_FINDINGS = {
    "no-socket": messages.Finding.ABSENT,
    "socket-denied": messages.Finding.DENIED,
    "engine-down": messages.Finding.DEAD,
    "dial-stdio-missing": messages.Finding.NO_RELAY,
}


class Abortable(Protocol):
    """A connection that can be cut."""

    def abort(self) -> None:
        """Cut it."""


class ServedGuest(Inhabited, Protocol):
    """The guest that the server stands in."""

    faults: frozenset[str]
    """What it does wrong."""
    ssh: Release
    """Which server it has."""

    def options(self) -> asyncssh.SSHServerConnectionOptions:
        """The settings of the next connection."""

    def admits(self, user: str, public_data: bytes) -> bool:
        """Whether this user may sign in with this key."""

    @property
    def takes_passwords(self) -> bool:
        """Whether anybody may sign in with a password."""

    def signs_in(self, user: str, password: str) -> bool:
        """Whether this user may sign in with this password."""

    def opened(self, connection: Abortable) -> None:
        """A connection was made."""

    def closed(self, connection: Abortable) -> None:
        """A connection is gone."""

    def open_stream(self, outlet: Outlet) -> HttpStream:
        """A byte stream to the engine's socket; whoever opened it feeds it and closes it."""

    def close_stream(self, stream: HttpStream) -> None:
        """The client's side of a stream is gone."""


def options(guest: ServedGuest, host_keys: list[asyncssh.SSHKey]) -> asyncssh.SSHServerConnectionOptions:
    """What all connections to `guest` have in common."""
    return asyncssh.SSHServerConnectionOptions(
        server_factory=lambda: _Server(guest),
        server_host_keys=host_keys,
        config=None,
        server_version=guest.ssh.version or (),
        encryption_algs=guest.ssh.ciphers,
        kex_algs=guest.ssh.exchanges,
        mac_algs=guest.ssh.macs or (),
        signature_algs=guest.ssh.signatures or (),
        compression_algs=None,
        gss_host=None,
        x509_trusted_certs=None,
        login_timeout=LOGIN_SECONDS,
        agent_forwarding=False,
        allow_pty=False,
        allow_scp=False,
        line_editor=False,
        x11_forwarding=False,
        encoding=None,
    )


def protocol(guest: ServedGuest) -> asyncio.BaseProtocol:
    """What answers the next connection to `guest`."""
    faults = of_layer(guest.faults, Layer.CONNECT)
    if faults:
        return _Impolite(guest, next(iter(faults)))
    return _Connection(guest)


class _Impolite(asyncio.Protocol):
    """A connection that never becomes SSH."""

    def __init__(self, guest: ServedGuest, fault: str) -> None:
        self._guest = guest
        self._fault = fault
        self._transport: asyncio.Transport | None = None
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio makes no other for a stream server
        self._transport = transport
        self._guest.opened(self)
        if self._fault == "close-before-banner":
            transport.close()
        elif self._fault == "handshake-never-ends":
            transport.write(BANNER)
        elif self._fault in _SAID:
            self._say(iter(_SAID[self._fault]()))

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._guest.closed(self)

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _say(self, pieces: Iterator[tuple[bytes, float]]) -> None:
        """Say one piece after the other, each with the time until the next."""
        if self._transport is None or self._transport.is_closing():
            return
        seconds = GARBAGE_SECONDS
        if not self._is_paused:
            piece, seconds = next(pieces)
            self._transport.write(piece)
        asyncio.get_running_loop().call_later(seconds, self._say, pieces)


def _dripped() -> Iterator[tuple[bytes, float]]:
    return itertools.chain(
        ((bytes([each]), DRIP_SECONDS) for each in BANNER[:-2]), itertools.repeat((b"x", DRIP_SECONDS))
    )


_SAID: dict[str, Callable[[], Iterator[tuple[bytes, float]]]] = {
    "banner-garbage": lambda: itertools.repeat((GARBAGE, GARBAGE_SECONDS)),
    "banner-drips": _dripped,
    "banner-endless-line": lambda: itertools.repeat((b"x" * 1024, GARBAGE_SECONDS)),
    "handshake-garbage": lambda: itertools.chain(
        ((NO_BANNER, GARBAGE_SECONDS),), itertools.repeat((bytes(range(256)), GARBAGE_SECONDS))
    ),
}
"""What is said in place of an SSH connection, without end."""


class _Connection(asyncssh.SSHServerConnection):
    """asyncssh's connection, which stops to listen on request."""

    def __init__(self, guest: ServedGuest) -> None:
        super().__init__(asyncio.get_running_loop(), guest.options())
        self._guest = guest

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Called by asyncio."""
        if "half-open" not in self._guest.faults:
            super().data_received(data, datatype)

    def _send_ext_info(self) -> None:
        """Called by asyncssh, to name the signatures that it takes."""
        if self._guest.ssh.tells_signatures:
            super()._send_ext_info()

    def babble(self, fault: str, say: Callable[[str], None]) -> None:
        """Say something again and again, as fast as it is taken, while the guest has this fault."""
        if fault not in self._guest.faults or self._transport is None:
            return
        if self._transport.get_write_buffer_size() < BABBLE_BOUND_BYTES:
            say(BABBLE)
        self._loop.call_later(BABBLE_SECONDS, self.babble, fault, say)


class _Server(asyncssh.SSHServer):
    """One connection."""

    __slots__ = ("_connection", "_guest")

    def __init__(self, guest: ServedGuest) -> None:
        self._guest = guest
        self._connection: _Connection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        assert isinstance(conn, _Connection)  # noqa: S101 - `protocol` makes no other
        self._connection = conn
        self._guest.opened(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._guest.closed(self._connection)

    def begin_auth(self, username: str) -> bool:
        if self._connection is not None:
            self._connection.babble("sign-in-babbles", self._connection.send_auth_banner)
        return True

    def auth_completed(self) -> None:
        if self._connection is not None:
            self._connection.babble("link-babbles", self._connection.send_debug)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool | Awaitable[bool]:
        if self._guest.faults & {"sign-in-never-ends", "sign-in-babbles"}:
            return asyncio.get_running_loop().create_future()
        return self._guest.admits(username, key.public_data)

    def password_auth_supported(self) -> bool:
        return self._guest.takes_passwords

    def validate_password(self, username: str, password: str) -> bool:
        return self._guest.signs_in(username, password)

    def unix_connection_requested(
        self, dest_path: str
    ) -> _Forward | tuple[asyncssh.SSHUNIXChannel[bytes], asyncssh.SSHUNIXSession[bytes]]:
        faults = self._guest.faults
        refused = faults & {"streamlocal-forbidden", *_DIAL_FAILURES}
        if refused or dest_path != _SOCKET:
            # OpenSSH says the same whatever the reason is.
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "open failed")
        if "request-unread" in faults and self._connection is not None:
            return self._connection.create_unix_channel(window=1), _Deaf()
        return _Forward(self._guest)

    def session_requested(self) -> _Command:
        if "exec-forbidden" in self._guest.faults:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "open failed")
        return _Command(self._guest)


class _Channel(Outlet, Protocol):
    """What both kinds of SSH channel offer."""

    def get_command(self) -> str | None:
        """The command that was asked for."""

    def write_stderr(self, data: bytes) -> None:
        """Send to the command's standard error."""

    def exit(self, status: int) -> None:
        """End with this exit code."""


class _Relay:
    """The engine's end of a channel: what both kinds of channel have in common."""

    __slots__ = ("_channel", "_guest", "_stream")

    def __init__(self, guest: ServedGuest) -> None:
        self._guest = guest
        self._channel: _Channel | None = None
        self._stream: HttpStream | None = None

    def connection_made(self, chan: Any) -> None:
        """The channel is there; nothing is sent before it is confirmed."""
        self._channel = chan

    def session_started(self) -> None:
        """The channel is open."""
        if self._channel is not None and self._stream is None:
            self._stream = self._guest.open_stream(self._channel)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Bytes for the engine."""
        if self._stream is not None:
            self._stream.data_received(data)

    def eof_received(self) -> bool:
        """A half-closed request is a cancelled one, as with every real relay."""
        self._lose()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is gone."""
        self._lose()

    def pause_writing(self) -> None:
        """The client does not read."""
        if self._stream is not None:
            self._stream.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._stream is not None:
            self._stream.resume_writing()

    def _lose(self) -> None:
        if self._stream is not None:
            self._guest.close_stream(self._stream)
            self._stream = None


class _Deaf(asyncssh.SSHUNIXSession[bytes]):
    """A channel that takes one byte and then no more."""

    def connection_made(self, chan: asyncssh.SSHUNIXChannel[bytes]) -> None:
        """Its window is never opened again."""
        chan.pause_reading()


class _Forward(_Relay, asyncssh.SSHUNIXSession[bytes]):
    """A direct-streamlocal channel."""


class _Command(_Relay, asyncssh.SSHServerSession[bytes]):
    """A session channel: one command."""

    def exec_requested(self, command: str) -> bool:
        """Every command is taken, as a shell takes it; most are not found."""
        return True

    def session_started(self) -> None:
        channel = self._channel
        if channel is None:
            return
        if "exec-noise" in self._guest.faults:
            channel.write(NOISE)
        command = str(channel.get_command() or "")
        complaint, status = self._judge(command)
        answer = shell.answer(self._guest, command) if "command-forced" not in self._guest.faults else None
        if answer is not None:
            channel.write(answer.encode())
            channel.exit(0)
        elif command in {_QUESTION, _SUDO_QUESTION} and "command-forced" not in self._guest.faults:
            found = messages.Relay.SUDO if command == _SUDO_QUESTION else self._finding()
            channel.write(f"\n{messages.MARK}{found}\n".encode())
            channel.exit(0)
        elif complaint:
            channel.write_stderr(complaint.encode() + b"\n")
            channel.exit(status)
        else:
            super().session_started()

    def eof_received(self) -> bool:
        """The relay ends with its input."""
        super().eof_received()
        if self._channel is not None:
            self._channel.exit(0)
        return False

    def _judge(self, command: str) -> tuple[str, int]:
        """What a shell complains of and with which exit code; no complaint when the relay runs."""
        if command not in _DIAL_STDIO and "command-forced" not in self._guest.faults:
            return f"sh: 1: {command.split(' ', maxsplit=1)[0]}: not found", NOT_FOUND
        if "dial-stdio-missing" in self._guest.faults:
            return "sh: 1: docker: not found", NOT_FOUND
        for fault, reason in _DIAL_FAILURES.items():
            if fault in self._guest.faults:
                return f"failed to open the raw stream connection: dial unix {_SOCKET}: connect: {reason}", 1
        return "", 0

    def _finding(self) -> messages.Finding | messages.Relay:
        for fault, finding in _FINDINGS.items():
            if fault in self._guest.faults:
                return finding
        return messages.Relay.DIAL_STDIO
