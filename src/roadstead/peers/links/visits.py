"""A visit to a host or a guest: the operator's own sign-in, for some commands, of which nothing is kept.

The pool's key never takes part, and neither does anything of the account that runs the server. What the host is, its
key decides: it is looked at first, without a sign-in, and a visit takes the one that somebody confirmed and no other.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from roadstead.errors import InputError, LinkError
from roadstead.peers.links import faults, key_files
from roadstead.peers.links.connections import FIXED, SIGNATURES, GuestConnection, handshake_fault, prepared, shake_hands
from roadstead.peers.links.dialing import dial
from roadstead.peers.links.hostkeys import HostKeyJudge, OfferedKey, Pins, Refusals, named
from roadstead.peers.links.messages import HOST_KEY_ALGORITHMS
from roadstead.peers.links.operator_agents import SIGN_SECONDS, TYPES, OperatorAgent
from roadstead.settings.schema import LinkSettings

USER = "root"
OUTPUT_BYTES = 2**16
"""What a command may say; more is no answer."""
PARTING_SECONDS = 2.0
"""How long the end of a connection may take before it is cut."""
WORKING = "doing what it was asked to"
_SIGNATURES = (*SIGNATURES, *(name for name in TYPES if name not in {*SIGNATURES, "ssh-rsa"}))
"""What operators' keys may sign with; never SHA-1."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where an SSH server listens, and as whom the operator signs in there."""

    address: str
    port: int
    user: str = USER


@dataclass(frozen=True, slots=True)
class SignIn:
    """How the operator signs in: by password, by a key, or with an agent. None shows in a repr."""

    password: str | None = field(default=None, repr=False)
    key: asyncssh.SSHKey | None = field(default=None, repr=False)
    agent: OperatorAgent | None = field(default=None, repr=False)

    def keys(self) -> tuple[OfferedKey, ...]:
        """Return what is offered in one sign-in; nothing where it is the password."""
        if self.agent is not None:
            return self.agent.pairs()
        return () if self.key is None else (self.key,)


@dataclass(frozen=True, slots=True)
class Task:
    """One command: what runs, what it reads, and how many seconds it may take."""

    command: str
    input: bytes
    seconds: float


async def sign_in(password: str | None, private_key: str | None, passphrase: str | None) -> SignIn:
    """Return how to sign in with what an operator gave: a password, or the text of a private key's file.

    Raises `InputError`: ``field-invalid`` where it is not one of the two, and as `key_files.read_key` does.
    """
    if (password is None) == (private_key is None):
        raise InputError("field-invalid", field="password", reason="give either a password or a private key")
    if private_key is None:
        return SignIn(password=password)
    return SignIn(key=await key_files.read_key(private_key, passphrase))


async def look(door: Door, settings: LinkSettings) -> str:
    """Return the host key that a host shows, as `hostkeys.named`; nobody signs in. Raises as `shown`."""
    return named(await shown(door, settings))


async def shown(door: Door, settings: LinkSettings, kind: str = "") -> str:
    """Return the host key (base64 blob) that a host shows, of the type ``kind`` when one is named; nobody signs in.

    Raises `LinkError` ``unreachable``, ``refused``, ``timed-out``, ``ssh-refuses-us`` or ``ssh-failed``, and
    ``host-key-type-gone``.
    """
    onlooker = _Onlooker(Pins(confirmed=f"{kind} ") if kind else Pins(), Refusals())
    try:
        connection = await _connect(door, onlooker, {}, settings)
    except LinkError:
        if not onlooker.shown:
            raise
    else:
        connection.abort()
    return onlooker.shown


async def visit(door: Door, confirmed: str, sign_in: SignIn, task: Task, settings: LinkSettings) -> bytes:
    """Sign in to the host whose key was ``confirmed`` (as `hostkeys.named`), run one command, return what it said.

    Raises as `entered` and `Visit.run`.
    """
    async with entered(door, confirmed, sign_in, settings) as inside:
        return await inside.run(task)


class Visit:
    """The operator's sign-in while it lasts."""

    def __init__(self, connection: GuestConnection, address: str) -> None:
        self._connection = connection
        self._address = address
        self.server = str(connection.get_extra_info("server_version", ""))
        """How the server introduced itself: ``SSH-2.0-OpenSSH_9.2p1 …``."""

    async def run(self, task: Task) -> bytes:
        """Run one command and return what it said. Raises `LinkError` ``timed-out``, and ``link-lost`` when the
        connection broke before the command ended.
        """
        return await _said(self._connection, task, self._address)


@asynccontextmanager
async def entered(door: Door, confirmed: str, sign_in: SignIn, settings: LinkSettings) -> AsyncIterator[Visit]:
    """Sign in to the host whose key was ``confirmed`` (as `hostkeys.named`; the type may be empty), and leave at the
    end of the block.

    Raises `LinkError`: those of `look`, ``host-key-changed``, ``host-key-type-gone``, ``key-rejected`` (the password,
    too).
    """
    visitor = _Visitor(confirmed, sign_in)
    is_typed = sign_in.password is not None
    methods = ["password", "keyboard-interactive"] if is_typed else ["publickey"]
    asked = {"preferred_auth": methods, "password_auth": is_typed, "kbdint_auth": is_typed}
    if sign_in.agent is not None:
        settings = settings.model_copy(update={"login_seconds": settings.login_seconds + SIGN_SECONDS})
    connection = await _connect(door, visitor, asked, settings)
    try:
        yield Visit(connection, door.address)
    finally:
        await _part(connection)


class _Onlooker(HostKeyJudge):
    """Learns which key is shown, and goes no further."""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Called by asyncssh."""
        super().validate_host_public_key(host, addr, port, key)
        return False


class _Visitor(HostKeyJudge):
    """Offers the key, or gives the password once, by whichever of the two ways the host asks: no guess counts twice."""

    def __init__(self, confirmed: str, sign_in: SignIn) -> None:
        super().__init__(Pins(confirmed=confirmed), Refusals(), sign_in.keys())
        self._password = sign_in.password

    def password_auth_requested(self) -> str | None:
        """Called by asyncssh."""
        password, self._password = self._password, None
        return password

    def kbdint_auth_requested(self) -> str | None:
        """Called by asyncssh."""
        return "" if self._password is not None else None

    def kbdint_challenge_received(self, name: str, instructions: str, lang: str, prompts: Any) -> list[str] | None:
        """Called by asyncssh; a host that asks for more than the password is not answered."""
        if not prompts:
            return []
        password = self.password_auth_requested()
        return [password] if len(prompts) == 1 and password is not None else None


class _Listener(asyncssh.SSHClientSession[bytes]):
    """Keeps what a command says, as far as it may."""

    def __init__(self) -> None:
        self.output = b""
        self.ended = asyncio.Event()
        self.status: int | None = None

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Called by asyncssh."""
        if datatype is not None:
            return
        self.output += data[: OUTPUT_BYTES - len(self.output)]
        if len(self.output) == OUTPUT_BYTES:
            self.ended.set()

    def exit_status_received(self, status: int) -> None:
        """Called by asyncssh."""
        self.status = status

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncssh."""
        self.ended.set()


async def _connect(door: Door, judge: HostKeyJudge, asked: dict[str, Any], settings: LinkSettings) -> GuestConnection:
    sock = await dial(door.address, door.port, faults.SSH, settings.connect_seconds)
    options = asyncssh.SSHClientConnectionOptions(
        **{
            **FIXED,
            "client_factory": lambda: judge,
            "host": door.address,
            "port": door.port,
            "username": door.user,
            "server_host_key_algs": [name for kind in judge.types() for name in HOST_KEY_ALGORITHMS[kind]],
            "signature_algs": list(_SIGNATURES),
            **asked,
        }
    )
    connection, signed_in = prepared(options)
    try:
        await shake_hands(connection, signed_in, sock, settings.login_seconds)
    except Exception as error:
        raise handshake_fault(error, connection, judge, door.user, door.address) from error
    connection.overheard = None
    return connection


async def _said(connection: GuestConnection, task: Task, address: str) -> bytes:
    listener = _Listener()
    try:
        async with asyncio.timeout(task.seconds):
            channel, _ = await connection.create_session(
                lambda: listener, task.command, request_pty=False, encoding=None, window=OUTPUT_BYTES
            )
            with suppress(BrokenPipeError):  # it has ended before it read anything: what it said is there
                channel.write(task.input)
                channel.write_eof()
            await listener.ended.wait()
    except TimeoutError as error:
        raise faults.timed_out(WORKING, address) from error
    except (asyncssh.Error, OSError) as error:
        raise LinkError("link-lost") from error
    if listener.status is None and len(listener.output) < OUTPUT_BYTES:
        raise LinkError("link-lost")
    return listener.output


async def _part(connection: GuestConnection) -> None:
    connection.close()
    try:
        async with asyncio.timeout(PARTING_SECONDS):
            await connection.wait_closed()
    except TimeoutError:
        connection.abort()
