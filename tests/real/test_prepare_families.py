"""Guests of other distributions than Debian, from unknown to managed: what is offered there is what is run, and ends in
an engine that is watched. The guests are Debian's files under another name; their sshd, sudo and engines are real,
systemd, SELinux and the package managers are stand-ins.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import pytest

from roadstead.lab.guests.real import RealGuest
from roadstead.lab.guests.real.kinds import DOCKER_SOCKET, USER, USER_NUMBER
from roadstead.model import config_keys
from tests.real.commanding import commanding
from tests.real.raw_guests import Raw, raw_guests
from tests.real.stand_ins import SELINUX_FOLDER, USERMOD, Packages, Systemd, put, selinux, tell
from tests.real.test_prepare_engines import OWN_PODMAN, SUDO, guest_of, managed, stop_engine

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("real_possible"), pytest.mark.limit(150)]
KEYS = f"/run/home/{USER}/.ssh/authorized_keys"
UNITS = "/usr/lib/systemd"


@dataclass(frozen=True)
class Family:
    """A distribution: what its ``os-release`` says, and what its package manager is to be told."""

    os_release: str
    known: dict[str, str]
    """By the program."""
    has_selinux: bool = False
    needs_module: str = ""
    """The program that finds the package only after a module was added."""

    is_whole: bool = False
    """Whether the whole story is told, to the end and back: it is the same for all."""


PODMANS = {
    "rhel-9": Family('ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="9.4"\n', {"dnf": "install -y podman"}),
    "rocky-8": Family(
        'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="8.10"\n',
        {"dnf": "install -y podman"},
        has_selinux=True,
        is_whole=True,
    ),
}
ZYPPER = {"zypper": "--non-interactive install docker"}
DOCKERS = {
    "fedora-42": Family("ID=fedora\nVERSION_ID=42\n", {"dnf": "install -y moby-engine"}, has_selinux=True),
    "amazon-2023": Family('ID="amzn"\nID_LIKE="fedora"\nVERSION_ID="2023"\n', {"dnf": "install -y docker"}),
    "leap-15": Family('ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"\n', ZYPPER),
    "sles-15": Family(
        'ID="sles"\nID_LIKE="suse"\nVERSION_ID="15.7"\n',
        {"SUSEConnect": f"-p sle-module-containers/15.7/{platform.machine()}", **ZYPPER},
        needs_module="zypper",
        is_whole=True,
    ),
    "ubuntu-24": Family('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', {"apt-get": "update\ninstall -y docker.io"}),
}


async def become(guest: RealGuest, family: Family, *files: str) -> None:
    """Let a raw guest be of this family, without the engine's files."""
    await Packages(guest, *files).install(family.os_release, family.known, family.needs_module)
    await guest.allow_sudo(SUDO)
    if family.has_selinux:
        await selinux(guest)
        await guest.start_sshd(f"SetEnv PATH={SELINUX_FOLDER}:/usr/local/bin:/usr/bin:/bin")


async def from_unknown_to_managed(one: Raw, systemd: Systemd, family: Family, socket: str) -> list[str]:
    """Prepare it; return what was done in the guest, in order."""
    guest = one.guests["raw"]
    (offer,) = (await one.prepare("raw")).offers
    assert (offer.id, offer.runs_as, offer.is_needed) == ("engine", "root", True)
    assert await one.refused("raw", declined=("engine",)) == ("guest-engine-missing", "Nothing was changed")
    assert await systemd.told() == []
    told = await one.prepare("raw", agreed=("engine",))
    assert f'permitopen="[{socket}]:*"' in told.line and one.text("raw") == f"{told.line}\n"
    await one.one.until(lambda: one.one.is_live("raw"), "live")
    if family.has_selinux:
        restored = (guest.machine.root / SELINUX_FOLDER.removeprefix("/") / "restored").read_text()
        assert set(restored.split()) == {KEYS}
    return await systemd.told()


async def to_the_end(one: Raw, systemd: Systemd, folder: Path, socket: str) -> None:
    """Work with it, prepare it once more at the command line, and take it back."""
    await managed(one, socket)
    line = one.text("raw")
    async with commanding(one.one.core, folder) as ask:
        words = ("raw", f"--user={USER}", "--password-file=-", "--yes", *one.host_keys())
        code, table, told = await ask("prepare", *words)
        assert (code, f"{socket} (ready)" in table) == (0, True), told
        assert (await systemd.told(), one.text("raw")) == ([], line)
        code, _, told = await ask("unprepare", *words)
        assert (code, one.text("raw")) == (0, ""), told
        await one.one.until(lambda: not one.one.vm("raw").enabled, "disabled")


@pytest.mark.parametrize("name", PODMANS)
async def test_rhel_and_its_kin_get_a_podman_of_the_users_own(tmp_path: Path, name: str) -> None:
    """Which is their engine, and needs nobody in a group that equals root."""
    async with guest_of("trixie-rootless-podman", tmp_path, "/usr/bin/docker", "/usr/sbin/dockerd") as guest:
        systemd = Systemd(guest)
        async with raw_guests(tmp_path, {"raw": guest}) as one:
            await systemd.install()
            await stop_engine(guest)
            command = guest.machine.kind.engine.command
            await systemd.starts("podman.socket", command[command.index("podman") :], OWN_PODMAN, USER)
            await become(guest, PODMANS[name], "/usr/bin/podman", f"{UNITS}/user/podman.socket")
            done = await from_unknown_to_managed(one, systemd, PODMANS[name], OWN_PODMAN)
            assert done == [
                "root: dnf install -y podman",
                f"root: loginctl enable-linger {USER}",
                f"root: system: start user@{USER_NUMBER}.service",
                f"{USER}: {USER}: enable --now podman.socket",
            ]
            if PODMANS[name].is_whole:
                await to_the_end(one, systemd, tmp_path, OWN_PODMAN)


@pytest.mark.parametrize("name", DOCKERS)
async def test_others_get_docker_and_the_user_its_group(tmp_path: Path, name: str) -> None:
    """As the distribution packs it; on SLES 15 from the module that has to be added first."""
    family = DOCKERS[name]
    async with guest_of("trixie-docker", tmp_path, "/usr/bin/podman") as guest:
        systemd = Systemd(guest)
        await guest.set_account(in_group=False)
        async with raw_guests(tmp_path, {"raw": guest}) as one:
            await systemd.install()
            await put(guest, "/usr/sbin/usermod", USERMOD)
            await stop_engine(guest)
            engine = guest.machine.kind.engine.starting(guest.folder / "docker", guest.group.removeprefix("/"))
            await systemd.starts("docker.service", engine, DOCKER_SOCKET)
            files = ("/usr/bin/docker", "/usr/sbin/dockerd", f"{UNITS}/system/docker.service")
            await become(guest, family, *files)
            done = await from_unknown_to_managed(one, systemd, family, DOCKER_SOCKET)
            installed = [
                f"root: {program} {each}" for program, said in family.known.items() for each in said.split("\n")
            ]
            assert done == [*installed, "root: system: enable --now docker", f"root: usermod -aG docker {USER}"]
            assert config_keys.ENGINE_SOCKET not in one.one.vm("raw").settings
            if family.is_whole:
                await to_the_end(one, systemd, tmp_path, DOCKER_SOCKET)


@pytest.mark.parametrize("mark", ["/run/ostree-booted", "/usr/sbin/transactional-update"])
async def test_where_nothing_can_be_installed_none_is_offered(tmp_path: Path, mark: str) -> None:
    """On images of rpm-ostree and of transactional-update a package needs a boot: that is left to the operator."""
    family = DOCKERS["fedora-42" if "ostree" in mark else "leap-15"]
    async with guest_of("trixie-docker", tmp_path, "/usr/bin/podman") as guest:
        systemd = Systemd(guest)
        async with raw_guests(tmp_path, {"raw": guest}) as one:
            await systemd.install()
            await stop_engine(guest)
            await become(guest, family, "/usr/bin/docker", "/usr/sbin/dockerd")
            await tell(guest, f"touch {mark}")
            assert await one.refused("raw") == ("guest-engine-missing", "Nothing was changed")
            assert await systemd.told() == []
