"""Every way to an engine's socket that an SSH server and a login shell leave: relays, sudo, few sessions."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from roadstead.errors import EngineError, LinkError, PeerError
from roadstead.lab.guests.real import RealGuest
from roadstead.peers.links.keys import load_pool_key
from roadstead.peers.links.messages import Relay
from roadstead.peers.links.relays import KnownRelay
from roadstead.peers.links.ssh import SshLink, SshTarget, open_ssh
from tests.contract.links_contract import (
    CHECKS,
    PATIENT,
    WAIT_SECONDS,
    Reached,
    Sink,
    call,
    engine_client,
    gates,
    refused,
    target,
)
from tests.matrix.rows import SUDO_RULE
from tests.real.guests import CONTAINERS, RealSet

pytestmark = pytest.mark.real

NO_FORWARDING = "AllowStreamLocalForwarding no"
TOOLS = {Relay.DIAL_STDIO: "docker", Relay.SOCAT: "socat", Relay.NC: "nc", Relay.PYTHON: "python3", Relay.NCAT: "ncat"}
"""The commands of the relays, in the order in which they are tried."""
SESSION = b"Starting session:"
"""How OpenSSH's log says so, once it is verbose."""
SHELLS = ("/bin/sh", "/bin/bash", "/usr/bin/fish", "/bin/csh")
NOISE = {
    "/bin/bash": (".bashrc", "echo welcome; echo to this guest >&2\n"),
    "/bin/csh": (".cshrc", "echo welcome\n"),
    "/usr/bin/fish": (".config/fish/config.fish", "echo welcome\n"),
}
LET_IN_SECONDS = 30.0
LOCALES = ("C", "de_DE.UTF-8", "de_DE")
UNHURT = {"check_what_the_engine_ends_has_ended"}
"""What ncat does not keep: it goes on when the engine hangs up."""


@pytest.fixture
async def key(real_set: RealSet) -> asyncssh.SSHKey:
    """The key that opens the guests."""
    return await load_pool_key(real_set.private_key)


@contextlib.asynccontextmanager
async def linked(somebody: SshTarget, key: asyncssh.SSHKey) -> AsyncIterator[SshLink]:
    """A link for the length of the block."""
    link = await open_ssh(somebody, [key], settings=PATIENT, gates=gates())
    try:
        yield link
    finally:
        link.close()
        await link.wait_closed()


async def _count(link: SshLink) -> int:
    client = engine_client(link)
    try:
        await client.hello()
        return len((await client.containers()).containers)
    finally:
        client.close()


async def _unopened(somebody: SshTarget, key: asyncssh.SSHKey) -> PeerError:
    """Why no stream can be opened, at once or at its first answer."""
    async with linked(somebody, key) as link:
        sink = Sink()
        try:
            await link.open(sink)
        except PeerError as error:
            return error
        await sink.wait_until_ended()
    assert isinstance(sink.ends[0], PeerError)
    return sink.ends[0]


def _needs(guest: RealGuest, *commands: str) -> None:
    for name in (Path(command).name for command in commands):
        # Links of the guest's own may lead to nowhere out here.
        places = [f"{guest.machine.root}{folder}/{name}" for folder in ("/usr/local/bin", "/usr/bin", "/usr/sbin")]
        if not any(os.path.lexists(place) for place in places):
            pytest.skip(f"{name} is not in this guest")


async def _needs_locale(guest: RealGuest, locale: str) -> None:
    known = (await guest.inside("locale", "-a")).lower().replace("utf8", "utf-8").split()
    if locale.lower() not in known:
        pytest.skip(f"the locale {locale} is not in this guest")


async def _only(guest: RealGuest, relay: Relay) -> None:
    """Leave the guest with this relay and those that come after it, and no forwarding."""
    _needs(guest, TOOLS[relay])
    is_nc = relay in {Relay.NC, Relay.NCAT}
    if is_nc and len(set((await guest.inside("readlink", "-f", "/usr/bin/nc", "/usr/bin/ncat")).split())) == 1:
        pytest.skip("nc is another name of ncat in this guest")
    await guest.start_sshd(NO_FORWARDING)
    earlier = list(TOOLS)[: list(TOOLS).index(relay)]
    await guest.hide(*(TOOLS[each] for each in earlier))


@pytest.mark.parametrize("relay", TOOLS)
async def test_each_relay_keeps_the_contract_of_links(
    real_guest: RealGuest, key: asyncssh.SSHKey, relay: Relay
) -> None:
    """The first that the guest has is taken, and does what forwarding does."""
    await _only(real_guest, relay)
    for check in CHECKS:
        if relay is Relay.NCAT and check.__name__ in UNHURT:
            continue
        async with linked(target(real_guest), key) as link:
            client = engine_client(link)
            await client.hello()
            assert link.relay == relay
            await check(Reached(real_guest, link, client))
            client.close()


async def _sessions(guest: RealGuest, key: asyncssh.SSHKey, known: KnownRelay) -> tuple[str, int]:
    """Count the containers over a link that begins with what is known; return its relay, and how many sessions the
    server's log has of it.
    """
    log = guest.folder / "sshd.log"
    before = log.read_bytes().count(SESSION)
    async with linked(target(guest), key) as link:
        link.begin_with(known)
        assert await _count(link) == CONTAINERS
        return link.relay, log.read_bytes().count(SESSION) - before


async def test_a_relay_is_asked_for_once(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """The next link's only session is the relay itself. One that was removed in between is replaced on the same link,
    and whoever reads does not notice.
    """
    _needs(real_guest, "docker", "python3")
    await real_guest.start_sshd(NO_FORWARDING, "LogLevel VERBOSE")
    known = KnownRelay()
    assert await _sessions(real_guest, key, known) == (Relay.DIAL_STDIO, 2)
    assert await _sessions(real_guest, key, known) == (Relay.DIAL_STDIO, 1)
    await real_guest.hide("docker", "socat", "nc")
    assert await _sessions(real_guest, key, known) == (Relay.PYTHON, 3)
    assert await _sessions(real_guest, key, known) == (Relay.PYTHON, 1)
    await real_guest.uncover()
    assert await _sessions(real_guest, key, known) == (Relay.PYTHON, 1)
    await real_guest.start_sshd("DisableForwarding no", "ForceCommand /bin/false")
    async with linked(target(real_guest), key) as link:
        link.begin_with(known)
        assert (await _count(link), link.relay, known.relay) == (CONTAINERS, "streamlocal", None)


@pytest.mark.parametrize("relay", TOOLS)
async def test_each_relay_tells_a_dead_engine(real_guest: RealGuest, key: asyncssh.SSHKey, relay: Relay) -> None:
    """Before the first stream and after it; when the engine is back the same link goes on."""
    await _only(real_guest, relay)
    async with linked(target(real_guest), key) as link:
        client = engine_client(link)
        await client.hello()
        await real_guest.kill_engine()
        client.close()
        client = engine_client(link)
        with pytest.raises(EngineError) as caught:
            await client.hello()
        first = await _unopened(target(real_guest), key)
        assert (caught.value.code, first.code) == ("engine-down", "engine-down")
        await real_guest.start_engine()
        client.close()
        assert await _count(link) == CONTAINERS


async def test_a_socket_in_a_closed_folder_is_denied(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """As Podman's is to everybody but root: it cannot be seen whether it is there."""
    await real_guest.inside("mkdir", "-p", "-m", "700", "/run/closed/inner")
    error = await _unopened(replace(target(real_guest), socket="/run/closed/inner/podman.sock"), key)

    assert error.code == "engine-socket-denied"


async def test_without_any_relay_it_is_told(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """Neither forwarding nor a command that could stand in."""
    await real_guest.start_sshd(NO_FORWARDING)
    await real_guest.hide(*TOOLS.values())

    assert (await _unopened(target(real_guest), key)).code == "no-relay"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("noise", ["quiet", "noisy"])
async def test_a_relay_works_from_any_login_shell(
    real_guest: RealGuest, key: asyncssh.SSHKey, shell: str, noise: str
) -> None:
    """Also where it prints before anything else."""
    _needs(real_guest, shell)
    await real_guest.set_account(shell)
    name, text = NOISE.get(shell, ("", ""))
    path = real_guest.machine.root / "run/home/core" / name
    is_noisy = noise == "noisy" and name
    if is_noisy:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    try:
        for relay in TOOLS:
            await real_guest.uncover()
            await _only(real_guest, relay)
            async with linked(target(real_guest), key) as link:
                assert await _count(link) == CONTAINERS
                assert link.relay == relay
    finally:
        if is_noisy:
            path.unlink()


@pytest.mark.parametrize("shell", [*SHELLS, "/usr/sbin/nologin"])
async def test_forwarding_minds_no_login_shell(real_guest: RealGuest, key: asyncssh.SSHKey, shell: str) -> None:
    """Nor one that lets nobody in; without forwarding that one leaves nothing but the candidates to name."""
    _needs(real_guest, shell)
    await real_guest.set_account(shell)
    async with linked(target(real_guest), key) as link:
        assert (await _count(link), link.relay) == (CONTAINERS, "streamlocal")
    if shell.endswith("nologin"):
        await real_guest.start_sshd(NO_FORWARDING)
        assert (await _unopened(target(real_guest), key)).code == "engine-unreachable"


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("relay", [None, Relay.DIAL_STDIO, Relay.SOCAT])
async def test_reasons_are_understood_in_every_language(
    real_guest: RealGuest, key: asyncssh.SSHKey, locale: str, relay: Relay | None
) -> None:
    """A socket that is not there, that may not be opened, or on which nobody listens."""
    await _needs_locale(real_guest, locale)
    language = f"SetEnv LANG={locale} LC_ALL={locale}"
    if relay is not None:
        await _only(real_guest, relay)
    await real_guest.start_sshd(language, *((NO_FORWARDING,) if relay else ()))
    somebody = target(real_guest)
    absent = await _unopened(replace(somebody, socket="/run/no-such.sock"), key)
    mode = real_guest.engine_socket.stat().st_mode
    real_guest.engine_socket.chmod(0o600)
    denied = await _unopened(somebody, key)
    real_guest.engine_socket.chmod(mode)
    await real_guest.kill_engine()
    dead = await _unopened(somebody, key)

    assert [each.code for each in (absent, denied, dead)] == ["no-engine-socket", "engine-socket-denied", "engine-down"]


@pytest.mark.parametrize("shell", SHELLS)
async def test_sudo_opens_what_the_user_may_not(real_guest: RealGuest, key: asyncssh.SSHKey, shell: str) -> None:
    """Where the VM asks for it; the plain way of the same user is told to be denied."""
    _needs(real_guest, "sudo", "docker", shell)
    await real_guest.set_account(shell, in_group=False)
    await real_guest.allow_sudo(SUDO_RULE.replace("/usr/bin/docker", await _docker(real_guest)))
    somebody = target(real_guest)
    assert (await _unopened(somebody, key)).code == "engine-socket-denied"
    for check in CHECKS:
        async with linked(replace(somebody, sudo=True), key) as link:
            client = engine_client(link)
            await client.hello()
            assert link.relay == Relay.SUDO
            await check(Reached(real_guest, link, client))
            client.close()


@pytest.mark.parametrize("locale", LOCALES)
async def test_sudo_tells_what_stands_in_its_way(real_guest: RealGuest, key: asyncssh.SSHKey, locale: str) -> None:
    """No rule, a rule for other words, or a password that is asked for; and an engine that is down."""
    _needs(real_guest, "sudo", "docker")
    await _needs_locale(real_guest, locale)
    await real_guest.start_sshd(f"SetEnv LANG={locale} LC_ALL={locale}")
    await real_guest.set_account(in_group=False)
    somebody = replace(target(real_guest), sudo=True)
    right = SUDO_RULE.replace("/usr/bin/docker", await _docker(real_guest))
    for rule in ("# nobody", right.replace("dial-stdio", "info"), right.replace("NOPASSWD: ", "")):
        await real_guest.uncover()
        await real_guest.allow_sudo(rule)
        error = await _unopened(somebody, key)
        assert (error.code, error.fields["command"]) == ("no-sudo", "docker system dial-stdio"), rule
    await real_guest.uncover()
    await real_guest.allow_sudo(right)
    await real_guest.kill_engine()
    assert (await _unopened(somebody, key)).code == "engine-down"
    await real_guest.hide("sudo")
    assert (await _unopened(somebody, key)).code == "no-sudo"


async def _docker(guest: RealGuest) -> str:
    """Where those inside find the docker command."""
    return (await guest.inside("sh", "-c", "PATH=/usr/local/bin:/usr/bin:/bin command -v docker")).strip()


@pytest.mark.parametrize("options", ["MaxSessions 1", "MaxStartups 1", "ForceCommand docker system dial-stdio"])
async def test_a_narrow_server_is_enough_for_forwarding(
    real_guest: RealGuest, key: asyncssh.SSHKey, options: str
) -> None:
    """Forwarding is no session, and we call once."""
    await real_guest.start_sshd(options)
    async with _let_in(real_guest, key) as link:
        client = engine_client(link)
        hello = await client.hello()
        async with client.events(hello.date) as events, asyncio.timeout(WAIT_SECONDS):
            assert events is not None
            assert len((await client.containers()).containers) == CONTAINERS
        assert link.relay == "streamlocal"
        client.close()


async def test_a_forced_command_stands_in(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """Whatever is asked, the server runs the relay."""
    _needs(real_guest, "docker")
    await real_guest.start_sshd(NO_FORWARDING, "ForceCommand docker system dial-stdio")
    async with linked(target(real_guest), key) as link:
        assert (await _count(link), link.relay) == (CONTAINERS, "dial-stdio")


async def test_one_session_is_too_few_for_a_relay(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """The first stream opens; the second is refused, and the reason names the option."""
    await _only(real_guest, Relay.DIAL_STDIO)
    await real_guest.start_sshd(NO_FORWARDING, "MaxSessions 1")
    async with linked(target(real_guest), key) as link:
        await link.open(Sink())
        with pytest.raises(EngineError) as caught:
            await link.open(Sink())
    assert (caught.value.code, caught.value.fields["relay"]) == ("too-few-sessions", "dial-stdio")


async def test_a_server_that_penalises_us_is_told(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """OpenSSH from 9.8 on: after failures it closes before its banner, and lets us in when the time is over."""
    if not await _penalises(real_guest):
        pytest.skip("this SSH server has no PerSourcePenalties")
    await real_guest.start_sshd("PerSourcePenalties authfail:3s min:2s")
    await real_guest.authorize(())
    said = {"key-rejected"}
    async with asyncio.timeout(LET_IN_SECONDS):
        while said == {"key-rejected"}:
            said.add((await refused(call(real_guest, key, settings=PATIENT))).code)
    assert said == {"key-rejected", "ssh-refuses-us"}
    await real_guest.authorize((key.export_public_key().decode().strip(),))
    async with _let_in(real_guest, key) as link:
        assert await _count(link) == CONTAINERS


@contextlib.asynccontextmanager
async def _let_in(guest: RealGuest, key: asyncssh.SSHKey) -> AsyncIterator[SshLink]:
    """A link, tried again while the server takes nobody: it may still count who was there before."""
    link = None
    async with asyncio.timeout(LET_IN_SECONDS):
        while link is None:
            try:
                link = await call(guest, key, settings=PATIENT)
            except LinkError as error:
                if error.code != "ssh-refuses-us":
                    raise
                await asyncio.sleep(0.1)
    try:
        yield link
    finally:
        link.close()
        await link.wait_closed()


async def _penalises(guest: RealGuest) -> bool:
    text = await guest.inside("/usr/sbin/sshd", "-T", "-f", str(guest.folder / "sshd_config"))
    return "persourcepenalties" in text.lower()
