"""One simulated guest: an SSH server at an address of its own with an engine behind it, which misbehaves on request."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncssh

from roadstead.errors import ConflictError
from roadstead.lab.guests import api, hostile, keys, misbehaviour, sshd, tlsd
from roadstead.lab.guests.certificates import Authority, Pair
from roadstead.lab.guests.engine import Engine
from roadstead.lab.guests.http import HttpStream, Outlet, Reply
from roadstead.lab.guests.misbehaviour import Layer
from roadstead.lab.guests.releases import TODAY, Release
from roadstead.lab.guests.shell import DENIED
from roadstead.lab.guests.tls_floods import FLOODS, OLD_FLOOD, KeyLog

LISTEN_BACKLOG = 128
ELSEWHERE = "192.0.2.1"
"""An address of another VM."""

CUTTING = (Layer.CONNECT, Layer.SIGN_IN, Layer.HOST_KEY, Layer.CERTIFICATE, Layer.TLS)
"""Where a misbehaviour shows in a new connection only."""


class Lot:
    """What the guests of one maker share: who may sign in (a change counts for all at once), and their host keys."""

    def __init__(self, user: str, host_keys: keys.KeyFile, key_path: Path | None = None) -> None:
        self.user = user
        self.host_keys = host_keys
        self._key_path = key_path
        self.keys: frozenset[bytes] = frozenset()

    def authorize(self, public_keys: Iterable[str]) -> None:
        """Let in the owners of these lines and nobody else; raises asyncssh.KeyImportError for a line that is none."""
        self.keys = frozenset(asyncssh.import_public_key(line).public_data for line in public_keys)

    async def renew(self, number: int) -> None:
        """Give a guest another host key, for ever where the keys are kept in a file."""
        known = self.host_keys.generations
        known[str(number)] = known.get(str(number), 0) + 1
        await self.keep()

    def prepared(self, number: int, *, anew: bool) -> keys.Prepared:
        """Return what was done in a guest that began as nobody had prepared it; nothing yet, when it begins `anew`."""
        known = self.host_keys.prepared
        if anew or str(number) not in known:
            known[str(number)] = keys.Prepared()
        return known[str(number)]

    async def keep(self) -> None:
        """Write what is to last into the file, where there is one."""
        if self._key_path is not None:
            await asyncio.to_thread(keys.save, self._key_path, self.host_keys)


class SimulatedGuest:
    """A guest in this process; as an async context manager it runs while the block does."""

    door: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        number: int,
        address: tuple[str, int],
        engine: Engine,
        lot: Lot,
        authority: Authority | None = None,
    ) -> None:
        """With ``authority``, the CA of its certificates, its engine listens with TLS and it has no SSH server."""
        self.name = name
        self.number = number
        self.engine = engine
        self.lot = lot
        self.faults: frozenset[str] = frozenset()
        self.ssh = TODAY
        self._address, self._port = address
        self._extra_keys = 0
        self._admitted: frozenset[bytes] = frozenset()
        self._removed: frozenset[bytes] = frozenset()
        self._password = ""
        self._prepared: keys.Prepared | None = None
        """What was done in it, where nobody had prepared it; None where its maker's keys open it."""
        self._server: asyncio.Server | None = None
        self._secure: ssl.SSLContext | None = None
        self._key_log: KeyLog | None = None
        self._options: asyncssh.SSHServerConnectionOptions | None = None
        self._authority = authority
        self.certificate: Pair | None = None
        """What its engine shows instead of a certificate for its address; counts from its next start on."""
        self.trusted = ""
        """The CA of those whom its engine lets in, instead of its own; counts from its next start on."""
        self.newest_tls = ssl.TLSVersion.TLSv1_3
        """The newest TLS that its engine speaks; counts from its next start on."""
        self.tls = authority.keys() if authority is not None else None
        self._rsa: asyncssh.SSHKey | None = None
        self._connections: set[sshd.Abortable] = set()
        self._connections_ever = 0
        self._streams: set[HttpStream] = set()

    def __repr__(self) -> str:
        state = "running" if self.is_running else "off"
        wrong = f" {'+'.join(sorted(self.faults))}" if self.faults else ""
        return f"<{self.name} {self._address}:{self._port} {state}{wrong} {self.statistics()}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.stop()

    # The protocol `lab.guests.Guest`

    @property
    def addresses(self) -> tuple[str, ...]:
        """The one address that it announces."""
        return (self._address,)

    @property
    def port(self) -> int:
        """The port of its SSH server or of its engine; known once it runs when 0 was asked for."""
        return self._port

    @property
    def user(self) -> str:
        """The account that may reach the engine."""
        return self.lot.user

    @property
    def is_running(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    async def start(self) -> None:
        """Accept connections; raises OSError when the address or port is taken."""
        if self._server is None:
            self._server = await self._listen()
            self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Accept no more and cut what is open; containers and host keys are kept."""
        server, self._server = self._server, None
        if server is not None:
            await _stop_accepting(server)
            server.close()
        self.cut()
        self.engine.shut_down()
        if self._prepared is not None:
            await self.lot.keep()

    async def destroy(self) -> None:
        """Stop, and forget the containers."""
        await self.stop()
        self.engine.containers.clear()

    async def new_host_key(self) -> None:
        """Show another host key, and end the connections that it has, as a reinstallation does."""
        await self.lot.renew(self.number)
        self._options = None
        self.cut()

    async def pin(self) -> str:
        """Its host key in base64."""
        return self.host_key().split()[1]

    async def admit(self, public_key: str) -> None:
        """Let the owner of this key in, too."""
        self._let_in(asyncssh.import_public_key(public_key).public_data)

    async def secure_engine(self, authority: str, server: Pair) -> None:
        """Give its engine, which listens with TLS, other certificates, and start it anew."""
        self.trusted, self.certificate = authority, server
        if self.is_running:
            await self.stop()
            await self.start()

    async def make_raw(self, password: str) -> None:
        """Let it be as nobody has prepared it: no key opens it, its user signs in with ``password``, and may not open
        the engine's socket. What was done in it since stays, where that is said before its first start. Raises
        `ConflictError` ``lab-guest-without-inside`` where there is no SSH server.
        """
        if self._authority is not None:
            raise ConflictError("lab-guest-without-inside", vm=self.name)
        self._prepared = self.lot.prepared(self.number, anew=self.is_running)
        self._password, self._admitted = password, frozenset()
        self.faults -= {DENIED}
        if not self._prepared.joined:
            self.faults |= {DENIED}
        self.cut()

    async def truth(self) -> list[dict[str, object]]:
        """Its containers: `id`, `name` and `state` of each."""
        return self.engine.truth()

    def be(self, release: Release) -> None:
        """Have another SSH server from the next connection on."""
        self.ssh, self._options = release, None
        self.cut()

    # Misbehaving

    async def misbehave(self, *names: str) -> None:
        """Do these wrong from now on, and nothing else; without names, behave.

        Connections that no longer could be made are cut.  Raises KeyError for a name that is not in the table.
        """
        self.faults = misbehaviour.check(names)
        self._options = None
        if "host-key-all-types" in self.faults and self._rsa is None:
            self._rsa = await asyncio.to_thread(keys.rsa_key)
        if self.is_running:
            self._secure = await asyncio.to_thread(self._context)
        if misbehaviour.of_layer(self.faults, *CUTTING):
            self.cut()
        elif self.faults - misbehaviour.of_layer(self.faults, Layer.LINK):
            self.cut_streams()

    def cut(self) -> None:
        """Cut every connection, as a network failure or a killed sshd does."""
        for connection in tuple(self._connections):
            connection.abort()
        self.cut_streams()

    def cut_streams(self) -> None:
        """Close every stream to the engine, as its end does."""
        for stream in tuple(self._streams):
            stream.close()
            self.close_stream(stream)

    def host_key(self) -> str:
        """The ed25519 host key that it shows, as a line of `known_hosts` without the name."""
        return self._ed25519().export_public_key().decode().strip()

    def statistics(self) -> dict[str, int]:
        """How many connections and streams are open, and how many connections there were."""
        open_now = {"connections": len(self._connections), "streams": len(self._streams)}
        return {**open_now, "connections_ever": self._connections_ever}

    # What its servers call: the protocol `sshd.ServedGuest`

    def options(self) -> asyncssh.SSHServerConnectionOptions:
        """The settings of the next connection."""
        if "host-key-changes" in self.faults:
            self._extra_keys += 1
            self._options = None
        if self._options is None:
            self._options = sshd.options(self, self._host_keys())
        return self._options

    def admits(self, user: str, public_data: bytes) -> bool:
        """Whether this user may sign in with this key."""
        return "key-rejected" not in self.faults and user == self.lot.user and self._knows(public_data)

    @property
    def takes_passwords(self) -> bool:
        """Whether anybody may sign in with a password."""
        return bool(self._password)

    def signs_in(self, user: str, password: str) -> bool:
        """Whether this user may sign in with this password."""
        return self.takes_passwords and (user, password) == (self.user, self._password)

    def join(self) -> None:
        """Let its user open the engine's socket."""
        self.faults -= {DENIED}
        if self._prepared is not None:
            self._prepared.joined = True

    def line_of(self, key: bytes) -> str:
        """The line of this key in `authorized_keys`; empty without one, or where that has no options."""
        return self._prepared.lines.get(_text(key), "") if self._prepared is not None else ""

    def set_line(self, key: bytes, line: str) -> bool:
        """Make ``line`` the one line of this key; return whether the file is a new one."""
        if self._prepared is None:
            self._let_in(key)
            return False
        is_new = not self._prepared.lines
        self._prepared.lines[_text(key)] = line
        return is_new

    def change_keys(self, old: bytes, new: bytes, *, is_removal: bool) -> bool:
        """Let the owner of ``new`` in as that of ``old``, or the latter no more; return whether there was the old."""
        if not self._knows(old):
            return False
        if is_removal:
            self._shut_out(old)
        elif line := self.line_of(old):
            self.set_line(new, line.replace(_text(old), _text(new)))
        else:
            self._let_in(new)
        return True

    def _let_in(self, key: bytes) -> None:
        self._admitted |= {key}
        self._removed -= {key}

    def _shut_out(self, key: bytes) -> None:
        self._admitted -= {key}
        if self._prepared is not None:
            self._prepared.lines.pop(_text(key), None)
        else:
            self._removed |= {key}

    def _knows(self, public_data: bytes) -> bool:
        if self._prepared is not None:
            return bool(self.line_of(public_data)) or public_data in self._admitted
        return (public_data in self.lot.keys or public_data in self._admitted) and public_data not in self._removed

    def opened(self, connection: sshd.Abortable) -> None:
        """A connection was made."""
        self._connections_ever += 1
        self._connections.add(connection)

    def closed(self, connection: sshd.Abortable) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def open_stream(self, outlet: Outlet) -> HttpStream:
        """A byte stream to the engine's socket; whoever opened it feeds it and closes it."""
        stream = HttpStream(self._serve, outlet)
        self._streams.add(stream)
        return stream

    def close_stream(self, stream: HttpStream) -> None:
        """The client's side of a stream is gone."""
        stream.connection_lost()
        self._streams.discard(stream)

    async def serve_unix(self, path: Path) -> asyncio.Server:
        """Serve the engine on a plain Unix socket too; the caller closes the server."""
        return await asyncio.get_running_loop().create_unix_server(lambda: _UnixStream(self), path)

    def _serve(self, reply: Reply) -> None:
        if misbehaviour.of_layer(self.faults, Layer.ENGINE, Layer.LIST, Layer.EVENTS):
            hostile.serve(self.engine, self.name, self.faults, reply)
        else:
            api.serve(self.engine, self.name, reply)

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        listener = socket.create_server((self._address, self._port), backlog=LISTEN_BACKLOG)
        self._secure = await asyncio.to_thread(self._context)
        return await loop.create_server(self._protocol, sock=listener, backlog=LISTEN_BACKLOG)

    def _protocol(self) -> asyncio.BaseProtocol:
        """The other end of one connection."""
        return sshd.protocol(self) if self._secure is None else tlsd.Connection(self, self._secure, self._key_log)

    def _context(self) -> ssl.SSLContext | None:
        """The TLS of its engine, if that listens with TLS."""
        if self._authority is None:
            return None
        secure = tlsd.context(self.trusted or self._authority.certificate, self._shown(self._authority))
        secure.maximum_version = ssl.TLSVersion.TLSv1_2 if OLD_FLOOD in self.faults else self.newest_tls
        self._key_log = KeyLog(secure) if self.faults & {OLD_FLOOD, *FLOODS} else None
        return secure

    def _shown(self, authority: Authority) -> Pair:
        """The certificate that its engine shows."""
        if "certificate-of-another-vm" in self.faults:
            return authority.server([ELSEWHERE])
        if "certificate-of-another-ca" in self.faults:
            return Authority("another VM").server([self._address])
        return self.certificate or authority.server([self._address])

    def _ed25519(self) -> asyncssh.SSHKey:
        if "host-key-shared" in self.faults:
            return keys.ed25519_key(self.lot.host_keys.secret, keys.SHARED_NUMBER, 0)
        return keys.ed25519_key(self.lot.host_keys.secret, self.number, self._generation())

    def _ecdsa(self) -> asyncssh.SSHKey:
        return keys.ecdsa_key(self.lot.host_keys.secret, self.number, self._generation())

    def _generation(self) -> int:
        return self.lot.host_keys.generations.get(str(self.number), 0) + self._extra_keys

    def _host_keys(self) -> list[asyncssh.SSHKey]:
        if "host-key-ecdsa-only" in self.faults:
            return [self._ecdsa()]
        if "host-key-all-types" in self.faults and self._rsa is not None:
            return [self._ed25519(), self._ecdsa(), self._rsa]
        return [self._ed25519()]


def _text(key: bytes) -> str:
    """A public key as it stands in a line."""
    return base64.b64encode(key).decode()


async def _stop_accepting(server: asyncio.Server) -> None:
    """Let connections that were accepted already come to be: asyncio cannot, once their server is closed."""
    loop = asyncio.get_running_loop()
    for each in server.sockets:
        loop.remove_reader(each.fileno())
    for _ in range(2):  # the transport is made in the first turn, and the protocol told in the second
        await asyncio.sleep(0)


class _UnixStream(asyncio.Protocol):
    """A connection to the engine's own socket."""

    def __init__(self, guest: SimulatedGuest) -> None:
        self._guest = guest
        self._stream: HttpStream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - asyncio makes no other for a stream server
        self._stream = self._guest.open_stream(transport)

    def data_received(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stream is not None:
            self._guest.close_stream(self._stream)
            self._stream = None

    def pause_writing(self) -> None:
        if self._stream is not None:
            self._stream.pause_writing()

    def resume_writing(self) -> None:
        if self._stream is not None:
            self._stream.resume_writing()
