"""The link to a guest: one SSH connection that stays, with streams to the engine's socket in it.

Nothing of the operator's own takes part: no configuration files, no agent, no default keys, no passwords. TCP_QUICKACK
is set on every read, because sshd leaves Nagle's algorithm on for a connection that only forwards, and our kernel's
delayed acknowledgement would then add 40 ms to every list.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncssh
from asyncssh.constants import MSG_IGNORE
from asyncssh.packet import SSHPacketLogger

from roadstead.errors import LinkError, PeerError
from roadstead.kit import clocks
from roadstead.kit.streams import Receiver, Stream
from roadstead.model import PathStep
from roadstead.peers.links import faults
from roadstead.peers.links.dialing import Gates, dial
from roadstead.peers.links.hostkeys import HostKeyJudge, Pins, Refusals
from roadstead.peers.links.messages import HOST_KEY_ALGORITHMS, Overheard, fingerprint, key_type
from roadstead.peers.links.pacing import Pace
from roadstead.peers.links.race import Race
from roadstead.peers.links.relays import Door, FloodError, KnownRelay, Relays, lost
from roadstead.peers.links.witness import NOBODY, Witness
from roadstead.settings.schema import LinkSettings

EXCHANGES = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
)
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
)
"""The fastest first: OpenSSH's own order begins with chacha20, which costs us twice as much."""
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519", "ecdsa-sha2-nistp256")
"""What our own key may sign with; never SHA-1."""
_RSA_SIGNATURES = frozenset({b"rsa-sha2-256", b"rsa-sha2-512"})
CLIENT_VERSION = "Roadstead"
REKEY_SECONDS = 10.0
"""How soon after a key exchange the next one may come: each costs us milliseconds of the loop, and a guest may ask for
any number of them. OpenSSH asks after a gigabyte, we after an hour.
"""
HANDSHAKE_BYTES = 2**18
"""What a guest may say before it lets us in: a handshake with three host keys takes 5 KiB."""
GREETED_SECONDS = 2.0
"""How long one address's handshake may take before the next one's begins beside it."""
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
FIXED: dict[str, Any] = {
    "config": None,
    "tunnel": None,
    "proxy_command": None,
    "agent_path": None,
    "agent_identities": None,
    "agent_forwarding": False,
    "pkcs11_provider": None,
    "client_keys": None,  # the judge offers ours one by one, so that we know which one was taken
    "client_certs": [],
    "client_host_keysign": False,
    "gss_host": None,
    "gss_auth": False,
    "gss_kex": False,
    "password": None,
    "preferred_auth": ["publickey"],
    "host_based_auth": False,
    "kbdint_auth": False,
    "password_auth": False,
    "x11_forwarding": False,
    "x509_trusted_certs": None,
    "x509_trusted_cert_paths": [],
    "known_hosts": ([], [], []),
    "client_version": CLIENT_VERSION,
    "kex_algs": list(EXCHANGES),
    "encryption_algs": list(CIPHERS),
    "mac_algs": list(MACS),
    "signature_algs": list(SIGNATURES),
    "compression_algs": None,
    "env": None,
    "send_env": None,
    "login_timeout": 0,
}
"""What is the same for every server that is called. The limit on the sign-in is ours, so that it can name the step."""


@dataclass(frozen=True, slots=True)
class SshTarget:
    """One guest to call."""

    user: str
    port: int
    addresses: tuple[str, ...]
    """IP addresses that may be used, in the order in which they are tried."""
    socket: str
    """Path of the engine's socket in the guest."""
    pins: Pins = field(default_factory=Pins)
    sudo: bool = False
    """Whether the user opens it as root, by ``sudo`` and the docker command."""


class GuestConnection(asyncssh.SSHClientConnection):
    """asyncssh's connection, which hurries the guest on and notes when it was heard and what it said in the clear."""

    heard = 0.0
    """When, by the clock that nobody sets."""
    overheard: Overheard | None = None
    _exchanged = float("-inf")
    """When keys were exchanged last, in the loop's time."""
    _pace: Pace | None = None
    _socket: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._socket = transport.get_extra_info("socket")
        self._pace = Pace(super().data_received, self._end_babble)
        super().connection_made(transport)

    def was_offered(self, keys: Sequence[asyncssh.SSHKey]) -> bool:
        """Whether the server was asked to take one of ``keys``: without its word that it takes SHA-2 signatures
        (``server-sig-algs``, RFC 8308) asyncssh offers no RSA key.
        """
        return not _RSA_SIGNATURES.isdisjoint(self._server_sig_algs) or any(
            key.get_algorithm() != "ssh-rsa" for key in keys
        )

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        """Called by asyncssh when a key exchange is done."""
        now = self._loop.time()
        if now - self._exchanged < REKEY_SECONDS:
            raise asyncssh.ProtocolError("it exchanges keys too often")
        self._exchanged = now
        super().send_newkeys(k, h)

    def send_packet(self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None) -> None:
        """Send a packet, without the ignored one that asyncssh puts before each.

        That hides what follows from those who can predict a CBC cipher's next block. None of `CIPHERS` is of that
        kind, and it costs a system call on each side and wakes the guest twice.
        """
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Called by asyncio."""
        self.heard = time.monotonic()
        if _QUICKACK is not None and self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if self.overheard is not None:
            self.overheard.feed(data)
            if self.overheard.received > HANDSHAKE_BYTES:
                self.connection_lost(asyncssh.ProtocolError("it says too much before the sign-in"))
                return
        if self._pace is not None and self._transport is not None:
            self._pace.take(data, self._transport)

    def _end_babble(self) -> None:
        self.connection_lost(FloodError())


class SshLink:
    """A `Link` over one SSH connection."""

    idle_seconds = 0.0

    def __init__(
        self, connection: GuestConnection, address: str, judge: HostKeyJudge, relays: Relays, asks_after: float
    ) -> None:
        self._connection = connection
        self._relays = relays
        self._closing = False
        self.asks_after = asks_after
        self.address = address
        self.host_key = judge.shown
        """The key that the guest showed, as it is pinned: base64 of its blob."""
        self.opened_with = judge.offered
        """Fingerprint of the key of ours that the guest took."""

    @property
    def fingerprint(self) -> str:
        """The host key's fingerprint, ``SHA256:…``."""
        return fingerprint(self.host_key)

    @property
    def relay(self) -> str:
        """How streams are opened; empty until the first one was."""
        return self._relays.chosen

    def begin_with(self, known: KnownRelay) -> None:
        """Begin with the relay that an earlier link found, and keep there what this one finds; before the first stream.

        Only of the same guest, the same user, key and socket: those decide what may stand in for forwarding.
        """
        self._relays.known = known

    @property
    def heard(self) -> datetime:
        """When the last byte came from the guest."""
        return clocks.when(self._connection.heard)

    async def open(self, receiver: Receiver) -> Stream:
        """Open a stream to the engine. Raises what `Relays.open` does, and `LinkError` ``link-lost``."""
        try:
            return await self._relays.open(receiver)
        except (asyncssh.Error, OSError) as error:
            raise lost(error) from error
        except PeerError as error:
            if self.is_open:
                raise
            raise LinkError("link-lost") from error

    async def run(self, command: str, seconds: float) -> bytes:
        """Run ``command`` in the guest and return what it prints, as `Relays.run`. Raises `LinkError` ``link-lost``."""
        try:
            return await self._relays.run(command, seconds)
        except (asyncssh.Error, OSError) as error:
            raise lost(error) from error

    async def wait_closed(self) -> None:
        """Wait until the connection has ended."""
        await self._connection.wait_closed()

    def close(self) -> None:
        """End the connection and all its streams."""
        self._closing = True
        self._connection.close()

    @property
    def is_open(self) -> bool:
        """Whether the connection lives."""
        return not self._closing and not self._connection.is_closed()


def prepared(options: asyncssh.SSHClientConnectionOptions) -> tuple[GuestConnection, asyncio.Future[None]]:
    """Return a connection that is not connected yet, and what will tell that it is signed in, for `shake_hands`."""
    loop = asyncio.get_running_loop()
    options.waiter = signed_in = loop.create_future()
    connection = GuestConnection(loop, options, wait="auth")
    connection.overheard = Overheard()
    return connection, signed_in


async def shake_hands(
    connection: GuestConnection, signed_in: asyncio.Future[None], sock: socket.socket, seconds: float
) -> None:
    """Take a `prepared` connection through handshake and sign-in; where that fails (with what asyncssh raises, or
    `TimeoutError`), it is ended.
    """
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
            await signed_in
    except BaseException:
        connection.abort()
        raise


def handshake_fault(
    error: Exception, connection: GuestConnection, judge: HostKeyJudge, user: str, address: str
) -> LinkError:
    """Return the error for what `shake_hands` raised; who has no keys to offer signs in by password."""
    if judge.fault is not None:
        return judge.fault
    overheard = connection.overheard or Overheard()
    if isinstance(error, TimeoutError):
        return faults.timed_out(faults.SIGNING_IN if overheard.banner else faults.GREETING, address)
    offered = not judge.keys or connection.was_offered(judge.keys)
    return faults.login_fault(error, overheard, judge.types(), user, offered=offered)


async def open_ssh(
    target: SshTarget,
    keys: Sequence[asyncssh.SSHKey],
    *,
    settings: LinkSettings,
    gates: Gates,
    witness: Witness = NOBODY,
) -> SshLink:
    """Call the guest at all its addresses and return the link to the first one that is it; ``witness`` looks on.

    Raises `LinkError`: ``unreachable``, ``refused``, ``timed-out``, ``ssh-refuses-us``, ``ssh-failed``,
    ``key-rejected``, ``host-key-changed``, ``host-key-type-gone``, ``host-key-shared``, ``address-of-another``,
    ``setting-invalid``.
    """
    caller = _Caller(target, keys, settings, gates, witness)
    race = Race(target.addresses[: settings.addresses], caller.call, SshLink.close, caller.is_final, witness)
    return await race.run(settings.stagger_seconds)


class _Caller:
    """One try to reach a guest: its addresses are dialled side by side, but handshakes take turns."""

    def __init__(
        self,
        target: SshTarget,
        keys: Sequence[asyncssh.SSHKey],
        settings: LinkSettings,
        gates: Gates,
        witness: Witness,
    ) -> None:
        self._witness = witness
        self._target = target
        self._keys = keys
        self._settings = settings
        self._gates = gates
        self._types = target.pins.types()
        self._refusals = Refusals()
        self._turn = asyncio.Lock()

    def is_final(self, error: LinkError) -> bool:
        """Whether a failure speaks for the guest itself: its pinned key was shown, and it refused ours."""
        return error.code == "key-rejected" and self._target.pins.pin is not None

    async def call(self, address: str) -> SshLink:
        """Reach the guest at one address. Raises `LinkError`.

        A place among the connects is kept until the sign-in may begin, so that no server holds more than those few
        connections of ours that have not signed in.
        """
        admission = AsyncExitStack()
        async with self._gates.connects():
            sock = await dial(address, self._target.port, faults.SSH, self._settings.connect_seconds)
            self._witness.passed(PathStep.PORT, f"{self._target.port} is open", address)
            try:
                await self._admit(admission)
            except BaseException:
                sock.close()
                await admission.aclose()
                raise
        async with admission:
            return await self._sign_in(sock, address)

    async def _admit(self, admission: AsyncExitStack) -> None:
        """Take turns with the other addresses of this guest, but do not wait long for one that says nothing."""
        try:
            async with asyncio.timeout(GREETED_SECONDS):
                await self._turn.acquire()
            admission.callback(self._turn.release)
        except TimeoutError:
            pass
        await admission.enter_async_context(self._gates.logins())

    async def _sign_in(self, sock: socket.socket, address: str) -> SshLink:
        judge = HostKeyJudge(self._target.pins, self._refusals, self._keys, self._witness)
        options = self._options(judge, address)
        connection, signed_in = prepared(options)
        try:
            await shake_hands(connection, signed_in, sock, self._settings.login_seconds)
        except Exception as error:
            raise self._fault(error, judge, connection, address) from error
        self._witness.passed(PathStep.AUTHENTICATION, f"{self._target.user}, by the key {judge.offered}", address)
        return self._linked(connection, address, judge)

    def _fault(self, error: Exception, judge: HostKeyJudge, connection: GuestConnection, address: str) -> LinkError:
        fault = handshake_fault(error, connection, judge, self._target.user, address)
        if fault is not judge.fault and fault.code == "key-rejected":
            shown = {"type": key_type(judge.shown), "shown": fingerprint(judge.shown)}
            fault = self._refusals.keys[judge.shown] = LinkError(fault.code, **fault.fields, **shown)
        return fault

    def _linked(self, connection: GuestConnection, address: str, judge: HostKeyJudge) -> SshLink:
        connection.overheard = None
        door = Door(self._target.user, self._target.socket, self._target.sudo)
        return SshLink(connection, address, judge, Relays(connection, door), self._settings.keepalive_seconds)

    def _options(self, judge: HostKeyJudge, address: str) -> asyncssh.SSHClientConnectionOptions:
        """Everything that asyncssh would otherwise take from the operator's account is named here."""
        return asyncssh.SSHClientConnectionOptions(
            client_factory=lambda: judge,
            host=address,
            port=self._target.port,
            username=self._target.user,
            server_host_key_algs=[name for kind in self._types for name in HOST_KEY_ALGORITHMS[kind]],
            keepalive_interval=self._settings.keepalive_seconds,
            keepalive_count_max=self._settings.keepalive_count,
            **FIXED,
        )
