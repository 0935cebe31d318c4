"""The link to a guest: one SSH connection that stays, with streams to the engine's socket in it."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime

import asyncssh

from roadstead.errors import LinkError, PeerError
from roadstead.kit import clocks
from roadstead.kit.streams import Receiver, Stream
from roadstead.model import PathStep
from roadstead.peers.links import faults
from roadstead.peers.links.connections import FIXED, GuestConnection, handshake_fault, prepared, shake_hands
from roadstead.peers.links.dialing import Gates, dial
from roadstead.peers.links.hostkeys import HostKeyJudge, Pins, Refusals
from roadstead.peers.links.messages import HOST_KEY_ALGORITHMS, fingerprint, key_type
from roadstead.peers.links.race import Race
from roadstead.peers.links.relays import Door, KnownRelay, Relays, lost
from roadstead.peers.links.witness import NOBODY, Witness
from roadstead.settings.schema import LinkSettings

GREETED_SECONDS = 2.0
"""How long one address's handshake may take before the next one's begins beside it."""


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
