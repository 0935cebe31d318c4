"""OpenSSH is asked for everything that a key could be used for, with each form of our line: what the operator guide
says is open is open, and all the rest is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from roadstead.artifacts.authorized_keys import Form, Terms, line, made_for
from roadstead.lab.guests.real import RealGuest
from roadstead.peers.links.keys import load_pool_key
from tests.contract.links_contract import SOCKET, WAIT_SECONDS
from tests.real.guests import RealSet

pytestmark = pytest.mark.real

DOCKER = "/usr/bin/docker"
OTHER_SOCKET = "/run/docker.sock"
"""The same socket by another name, so that only the line can be what refuses it."""
OLDER, OLDEST = "SSH-2.0-OpenSSH_7.4", "SSH-2.0-OpenSSH_6.7p1"
"""Before ``permitlisten``, and before ``restrict``."""
DROPBEAR = "SSH-2.0-dropbear_2022.83"
ANYWHERE, ELSEWHERE = "0.0.0.0/0", "192.0.2.0/24"
PING = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"
SFTP_INIT, SFTP_VERSION = b"\0\0\0\5\1\0\0\0\3", b"\2"
HOME = "run/home/core"
LISTENS = f"/{HOME}/listens.sock"
MARKED = "rc-has-run"
GENEROUS = ("X11Forwarding yes", "XAuthLocation /bin/true", "AllowTcpForwarding yes", "AllowAgentForwarding yes")
"""The server allows everything, so that only the line can be what refuses."""
REFUSALS = (asyncssh.ChannelOpenError, asyncssh.ChannelListenError)

Probe = Callable[[asyncssh.SSHClientConnection, RealGuest], Awaitable[bool]]


async def _opens(opening: Awaitable[tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]]) -> bool:
    _, writer = await opening
    writer.close()
    return True


def _write(process: asyncssh.SSHClientProcess[bytes], data: bytes, *, is_all: bool = False) -> None:
    """Send this to a command, which may have ended before it reads anything."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(data)
        if is_all:
            process.stdin.write_eof()


async def _engine(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    reader, writer = await connection.open_unix_connection(SOCKET)
    writer.write(PING)
    answer: bytes = await reader.read()
    writer.close()
    return answer.endswith(b"OK")


async def _relay(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    """Whatever command is asked for, the engine answers."""
    async with connection.create_process("id", encoding=None) as process:
        _write(process, PING)
        return b"200 OK" in await process.stdout.readline()


async def _other_socket(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    return await _opens(connection.open_unix_connection(OTHER_SOCKET))


async def _tcp(connection: asyncssh.SSHClientConnection, guest: RealGuest) -> bool:
    return await _opens(connection.open_connection("127.0.0.1", guest.port))


async def _listen(connection: asyncssh.SSHClientConnection, *ports: int) -> bool:
    is_open = False
    for host in ("localhost", "127.0.0.1", ""):
        for port in ports:
            with contextlib.suppress(asyncssh.ChannelListenError):
                (await connection.forward_remote_port(host, port, "127.0.0.1", 9)).close()
                is_open = True
    return is_open


async def _listen_tcp(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    return await _listen(connection, 0, 8022)


async def _listen_tcp_at_one(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    """The port that the line names because it has to name one."""
    return await _listen(connection, 1)


async def _listen_unix(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    (await connection.forward_remote_path(LISTENS, "/run/nowhere.sock")).close()
    return True


async def _command(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    return b"uid=" in await _said(connection, "id")


async def _shell(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    return b"uid=" in await _said(connection, None)


async def _said(connection: asyncssh.SSHClientConnection, command: str | None) -> bytes:
    """What comes of a command, or of a shell that is told to say who it is."""
    async with connection.create_process(command, encoding=None) as process:
        _write(process, b"id\n", is_all=True)
        said: bytes = await process.stdout.read()
    return said


async def _files(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    """SFTP answers its first packet with its version; what comes behind it makes SFTP end, and an engine answer."""
    async with connection.create_process(subsystem="sftp", encoding=None) as process:
        _write(process, SFTP_INIT + b"\r\n\r\n\n")
        answer: bytes = await process.stdout.read()
    return answer.startswith(SFTP_VERSION, 4)


async def _terminal(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    async with connection.create_process("id", term_type="xterm", encoding=None):
        return True


async def _agent(connection: asyncssh.SSHClientConnection, guest: RealGuest) -> bool:
    """A socket to our agent is in the guest while a session is open."""
    async with connection.create_process("read -r _", encoding=None):
        sockets = await guest.inside("cat", "/proc/net/unix")
        return any("ssh" in entry and "agent" in entry for entry in sockets.splitlines())


async def _x11(connection: asyncssh.SSHClientConnection, _: RealGuest) -> bool:
    async with connection.create_process("id", x11_forwarding=True, x11_display="localhost:0", encoding=None):
        return True


async def _rc_file(connection: asyncssh.SSHClientConnection, guest: RealGuest) -> bool:
    """Whether the user's ``~/.ssh/rc`` runs; it has when the command behind it has ended."""
    (guest.machine.root / HOME / ".ssh" / "rc").write_text(f"touch /{HOME}/{MARKED}\n")
    await _said(connection, "id")
    return (guest.machine.root / HOME / MARKED).exists()


PROBES: dict[str, Probe] = {
    "engine": _engine,
    "relay": _relay,
    "other socket": _other_socket,
    "TCP": _tcp,
    "listen on TCP": _listen_tcp,
    "listen on TCP's port 1": _listen_tcp_at_one,
    "listen on Unix": _listen_unix,
    "command": _command,
    "shell": _shell,
    "files": _files,
    "terminal": _terminal,
    "agent": _agent,
    "X11": _x11,
    "rc file": _rc_file,
}
EVERYTHING = set(PROBES) - {"relay", "listen on TCP's port 1"}
"""Without options: a command is run as it is asked for, and low ports are root's."""
FORWARDING = {"engine", "relay", "listen on Unix"}
RELAY = {"relay"}
GENERAL = Terms(SOCKET, DOCKER)
FORMS: dict[str, tuple[Form, Terms, set[str]]] = {
    "default": (Form.RESTRICTED, GENERAL, FORWARDING),
    "default without a docker command": (Form.RESTRICTED, Terms(SOCKET), FORWARDING - {"relay"}),
    "default for an older server": (Form.RESTRICTED, Terms(SOCKET, DOCKER, server=OLDER), RELAY),
    "default for the oldest servers": (Form.RESTRICTED, Terms(SOCKET, DOCKER, server=OLDEST), RELAY),
    # Dropbear has no such file, nor a word against it.
    "default for Dropbear": (Form.RESTRICTED, Terms(SOCKET, DOCKER, server=DROPBEAR), RELAY | {"rc file"}),
    "default where nothing is forwarded": (Form.RESTRICTED, Terms(SOCKET, DOCKER, forwards=False), RELAY),
    "exec-only": (Form.EXEC_ONLY, GENERAL, RELAY),
    "exec-only for the oldest servers": (Form.EXEC_ONLY, Terms(SOCKET, DOCKER, server=OLDEST), RELAY),
    "unrestricted": (Form.UNRESTRICTED, GENERAL, EVERYTHING),
}


@pytest.fixture
async def generous(real_guest: RealGuest) -> AsyncIterator[RealGuest]:
    """A guest whose server allows everything."""
    await real_guest.start_sshd(*GENEROUS)
    yield real_guest
    for name in (f"{HOME}/{MARKED}", f"{HOME}/.ssh/rc", LISTENS.removeprefix("/")):
        (real_guest.machine.root / name).unlink(missing_ok=True)


@pytest.fixture
def agent_path(tmp_path: Path) -> str:
    """Where an agent of ours would listen: that there is one is all that asking for its forwarding needs."""
    path = tmp_path / "agent.sock"
    path.touch()
    return str(path)


@contextlib.asynccontextmanager
async def signed_in(
    guest: RealGuest, real_set: RealSet, agent_path: str, user: str = "core"
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection of whoever has the pool's key, which tries what it likes."""
    key = await load_pool_key(real_set.private_key)
    async with asyncssh.connect(
        guest.addresses[0],
        guest.port,
        username=user,
        client_keys=[key],
        known_hosts=None,
        config=None,
        agent_path=None,
        agent_forwarding=agent_path,
    ) as connection:
        yield connection


async def opened(guest: RealGuest, real_set: RealSet, agent_path: str, user: str = "core") -> set[str]:
    """What the key opens, of everything that is tried."""
    found = set()
    for name, probe in PROBES.items():
        async with asyncio.timeout(WAIT_SECONDS), signed_in(guest, real_set, agent_path, user) as connection:
            with contextlib.suppress(*REFUSALS):
                if await probe(connection, guest):
                    found.add(name)
    return found


async def let_in(guest: RealGuest, text: str | None) -> None:
    """Let this line alone stand in the guest's file."""
    assert text is not None
    guest.key_options = ""
    await guest.authorize((text,))


@pytest.mark.parametrize("sources", [(), (ANYWHERE,)], ids=["", "from"])
@pytest.mark.parametrize("form", FORMS)
async def test_a_line_opens_what_the_guide_says_and_nothing_else(
    generous: RealGuest, real_set: RealSet, agent_path: str, form: str, sources: tuple[str, ...]
) -> None:
    """From other sockets to X11; ``from`` opens nothing and closes nothing to whoever comes from there."""
    kind, terms, expected = FORMS[form]
    terms = Terms(terms.socket, terms.docker, forwards=terms.forwards, server=terms.server, sources=sources)
    text = made_for(real_set.public_key, kind, terms)
    await let_in(generous, text)

    assert text is not None and text.startswith(f'from="{ANYWHERE}"') is bool(sources)
    assert await opened(generous, real_set, agent_path) == expected


async def test_the_line_that_is_shown_for_copying_is_the_default_one(
    generous: RealGuest, real_set: RealSet, agent_path: str
) -> None:
    """What ``pool key show`` prints opens the same."""
    await let_in(generous, line(real_set.public_key, SOCKET))

    assert await opened(generous, real_set, agent_path) == FORWARDING


async def test_root_may_listen_at_the_port_that_the_line_names(
    generous: RealGuest, real_set: RealSet, agent_path: str
) -> None:
    """As the guide says of engines for which root has to sign in: that one, and no other."""
    await let_in(generous, line(real_set.public_key, SOCKET))
    assert await opened(generous, real_set, agent_path, "root") == FORWARDING | {"listen on TCP's port 1"}

    for form in (Form.EXEC_ONLY, Form.RESTRICTED):
        await let_in(generous, made_for(real_set.public_key, form, Terms(SOCKET, DOCKER, is_root=True)))
        assert await opened(generous, real_set, agent_path, "root") == RELAY


@pytest.mark.parametrize("form", Form)
async def test_from_shuts_out_whoever_comes_from_elsewhere(
    generous: RealGuest, real_set: RealSet, agent_path: str, form: Form
) -> None:
    """With every form; nothing at all is open then."""
    terms = Terms(SOCKET, DOCKER, sources=(ELSEWHERE,))
    await let_in(generous, made_for(real_set.public_key, form, terms))

    with pytest.raises(asyncssh.PermissionDenied):
        async with signed_in(generous, real_set, agent_path):
            pass
