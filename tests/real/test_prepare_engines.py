"""Real guests whose engine is another than root's Docker are prepared: Podman, root's and a user's own, and rootless
Docker, each the real one of its Debian. What is a stand-in is systemd, which no guest of the lab has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roadstead.lab.guests.real import RealGuest, RealGuests
from roadstead.lab.guests.real.kinds import DOCKER_SOCKET, USER, USER_NUMBER
from roadstead.model import PathStep, config_keys
from tests.contract.test_path_checks import checked, failed
from tests.matrix.rows import row_of
from tests.real.commanding import PASSWORD, commanding
from tests.real.guests import make_key
from tests.real.raw_guests import Raw, raw_guests
from tests.real.stand_ins import Systemd, tell

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("real_possible"), pytest.mark.limit(150)]
OWN_PODMAN = f"/run/user/{USER_NUMBER}/podman/podman.sock"
OWN_DOCKER = f"/run/user/{USER_NUMBER}/docker.sock"
ROOTS_PODMAN = "/run/podman/podman.sock"
SUDO = f"{USER} ALL=(ALL:ALL) ALL"
"""Whoever may do this is asked for his password."""
OWN = f"XDG_RUNTIME_DIR=/run/user/{USER_NUMBER} systemctl --user"
PATIENCE_SECONDS = 30.0


@asynccontextmanager
async def guest_of(name: str, folder: Path, *missing: str) -> AsyncIterator[RealGuest]:
    """A guest of this row of the matrix, without the programs that are ``missing``."""
    row = row_of(name)
    if row.root is None or not row.root.exists():
        pytest.skip(f"its root is not here: ./scripts/root {row.suite}")
    maker = RealGuests(folder / "guests", kind=row.kind())
    try:
        guest = await maker.make("raw", 1, 3)
        await guest.start()
        await tell(guest, f"rm -f {' '.join(missing)}")  # of its own layer: the root stays as it is
        yield guest
    finally:
        await maker.close()


async def stop_engine(guest: RealGuest) -> None:
    """Let the guest be as one whose engine's service nobody has enabled."""
    await guest.kill_engine()
    await tell(guest, f"rm -rf {guest.socket} {' '.join(guest.machine.kind.engine.leftovers)}")


async def managed(one: Raw, socket: str) -> None:
    """It is seen and obeyed, at this socket, by the pool's key alone."""
    await one.one.until(lambda: one.one.is_live("raw"), "live")
    assert one.one.vm("raw").settings.get(config_keys.ENGINE_SOCKET, DOCKER_SOCKET) == socket
    wanted = {recipe.name: recipe.state for recipe in one.guests["raw"].recipes}
    shown = one.one.containers
    await one.one.until(lambda: {each.name: each.state for each in shown("raw").values()} == wanted, "all are seen")
    operations = one.one.core.commands.operations

    async def does(verb: str, state: str) -> None:
        # This one has no health check: for one Podman looks for systemd where it seems to run.
        begun = operations.start(verb, [shown("raw")["cache"].id], "test")
        ended = await operations.wait(begun.id, PATIENCE_SECONDS)
        assert [each.ok for each in ended.results] == [True], f"{ended.results}"
        await one.one.until(lambda: shown("raw")["cache"].state == state, verb)

    await does("stop", "exited")
    await does("start", "running")


@pytest.mark.parametrize("name", ["bookworm-rootless-podman", "trixie-rootless-podman", "sid-rootless-podman"])
async def test_a_podman_of_the_users_own_is_started_and_managed(tmp_path: Path, name: str) -> None:
    """From a guest where it is installed and nothing more: by sudo, which asks for the password."""
    async with guest_of(name, tmp_path, "/usr/bin/docker", "/usr/sbin/dockerd") as guest:
        systemd = Systemd(guest)
        async with raw_guests(tmp_path, {"raw": guest}) as one, commanding(one.one.core, tmp_path) as ask:
            await systemd.install()
            await guest.allow_sudo(SUDO)
            await stop_engine(guest)
            command = guest.machine.kind.engine.command
            await systemd.starts("podman.socket", command[command.index("podman") :], OWN_PODMAN, USER)

            asked = await one.prepare("raw")
            (offer,) = asked.offers
            assert (offer.id, offer.runs_as, offer.is_needed) == ("own-engine", "root", True)
            assert offer.commands == [
                f"loginctl enable-linger {USER}",
                f"systemctl start user@{USER_NUMBER}.service",
                f"runuser -u {USER} -- env {OWN} enable --now podman.socket",
            ]
            assert (await one.refused("raw", declined=("own-engine",)))[0] == "guest-engine-down"
            assert (await systemd.told(), one.text("raw")) == ([], "")

            words = ("raw", f"--user={USER}", "--password-file=-", "--yes", *one.host_keys())
            code, table, told = await ask("prepare", *words)
            assert code == 0, told
            assert f"{OWN_PODMAN} (ready)" in table and f"podman.socket of {USER}" in table
            assert await systemd.told() == [
                f"root: loginctl enable-linger {USER}",
                f"root: system: start user@{USER_NUMBER}.service",
                f"{USER}: {USER}: enable --now podman.socket",
            ]
            line = one.text("raw")
            forwards = f'restrict,port-forwarding,permitopen="[{OWN_PODMAN}]:*",permitlisten="localhost:1"'
            assert line.startswith(f'{forwards},command="/bin/false" ')
            await managed(one, OWN_PODMAN)

            since = one.one.since()
            code, table, told = await ask("prepare", *words)
            assert (code, "its line is as it should be" in told, await systemd.told()) == (0, True, [])
            assert (one.text("raw"), one.one.since()) == (line, since)

            code, table, told = await ask("unprepare", *words)
            assert (code, one.text("raw")) == (0, "")
            assert failed(await checked(one.one, "raw")) == [(PathStep.AUTHENTICATION, "key-rejected")]
            await one.one.until(lambda: config_keys.ENGINE_SOCKET not in one.one.vm("raw").settings, "forgotten")


async def test_who_never_becomes_root_starts_his_own(tmp_path: Path) -> None:
    """As systemd lets every user, where polkit is. What is refused all the same ends it where that was needed, and is
    told where it was not.
    """
    async with guest_of("trixie-rootless-podman", tmp_path, "/usr/bin/docker", "/usr/sbin/dockerd") as guest:
        systemd = Systemd(guest)
        async with raw_guests(tmp_path, {"raw": guest}) as one:
            await systemd.install()
            await systemd.install_polkit()
            await stop_engine(guest)
            command = guest.machine.kind.engine.command
            await systemd.starts("podman.socket", command[command.index("podman") :], OWN_PODMAN, USER)
            await tell(guest, "touch /run/units/refuses")
            (offer,) = (await one.prepare("raw")).offers
            commands = ["loginctl --no-ask-password enable-linger", f"{OWN} enable --now podman.socket"]
            assert (offer.id, offer.runs_as, offer.commands) == ("own-engine", USER, commands)
            assert (await one.refused("raw", agreed=("own-engine",)))[0] == "guest-command-failed"
            assert (await systemd.told(), one.text("raw")) == ([f"{USER}: loginctl {commands[0].split(' ', 1)[1]}"], "")

            await tell(guest, "rm /run/units/refuses")
            assert (await one.prepare("raw", agreed=("own-engine",))).state == "prepared"
            await managed(one, OWN_PODMAN)

            # Whoever is prepared later, for instance as another user, starts from what is there then.
            await tell(guest, "rm /var/lib/systemd/linger/* /run/units/*-podman.socket; touch /run/units/refuses")
            asked = await one.prepare("raw")
            assert [(each.id, each.is_needed) for each in asked.offers] == [
                ("linger", False),
                ("engine-autostart", False),
            ]
            told = await one.prepare("raw", agreed=("linger", "engine-autostart"))
            assert told.state == "prepared" and ("starts with the guest", f"no: only while {USER} is signed in") in (
                told.checked
            )
            refused = f"let {USER}'s engine run while nobody is signed in (Could not enable linger: Access denied)"
            assert told.done[1:] == [f"this could not be done: {refused}"]


@pytest.mark.parametrize("name", ["trixie-podman", "sid-podman"])
@pytest.mark.parametrize("missing", [("/usr/bin/docker", "/usr/sbin/dockerd"), ("/usr/sbin/dockerd",)])
async def test_roots_podman_is_started_and_managed_by_root(tmp_path: Path, name: str, missing: tuple[str, ...]) -> None:
    """Who signs in as root, with a key; with Docker's command there nothing but that may be run."""
    async with guest_of(name, tmp_path, *missing) as guest:
        systemd = Systemd(guest)
        private, public = make_key(tmp_path / "operator")
        said = {"user": "root", "password": None, "private_key": private}
        async with raw_guests(tmp_path, {"raw": guest}) as one:
            await systemd.install()
            await stop_engine(guest)
            await systemd.starts(
                "podman.socket",
                guest.machine.kind.engine.starting(guest.folder / "podman", guest.group.removeprefix("/")),
                ROOTS_PODMAN,
            )
            await guest.start_sshd("AuthorizedKeysFile .ssh/authorized_keys")
            await tell(guest, f"mkdir -p -m 700 /root/.ssh; echo '{public}' >/root/.ssh/authorized_keys")
            (offer,) = (await one.prepare("raw", **said)).offers
            assert (offer.id, offer.commands) == ("engine-start", ["systemctl enable --now podman.socket"])
            told = await one.prepare("raw", **said, agreed=("engine-start",))
            assert ("starts with the guest", "podman.socket") in told.checked
            has_docker = len(missing) == 1
            relay = f'restrict,command="/usr/bin/docker -H unix://{ROOTS_PODMAN} system dial-stdio" '
            forwards = f'restrict,port-forwarding,permitopen="[{ROOTS_PODMAN}]:*",'
            assert told.line.startswith(relay if has_docker else forwards)
            await managed(one, ROOTS_PODMAN)
            (again,) = (await one.step("raw", **said)).done
            assert again.startswith("its line is as it should be")
            await tell(guest, "rm /run/units/*-podman.socket")
            (offer,) = (await one.step("raw", **said)).offers
            assert (offer.id, offer.commands) == ("engine-autostart", ["systemctl enable podman.socket"])
            assert (await one.step("raw", **said, action="unprepare")).state == "unprepared"
            assert await tell(guest, "cat /root/.ssh/authorized_keys") == f"{public}\n"


@pytest.mark.parametrize("name", ["trixie-rootless-docker", "sid-rootless-docker"])
async def test_a_docker_of_the_users_own_stays_when_nobody_is_signed_in(tmp_path: Path, name: str) -> None:
    """It runs already, as its own installer leaves it; what is offered is that it does so after the next boot, too."""
    async with guest_of(name, tmp_path) as guest:
        systemd = Systemd(guest)
        async with raw_guests(tmp_path, {"raw": guest}) as one:
            await systemd.install()
            await tell(guest, f"touch /run/units/unit-{USER}-docker.service")
            await guest.allow_sudo(SUDO)
            asked = await one.prepare("raw")
            assert [(each.id, each.commands, each.is_needed) for each in asked.offers] == [
                ("linger", [f"loginctl enable-linger {USER}"], False),
                ("engine-autostart", [f"runuser -u {USER} -- env {OWN} enable docker"], False),
            ]
            told = await one.prepare("raw", agreed=("linger", "engine-autostart"))
            assert ("starts with the guest", f"docker.service of {USER}") in told.checked
            assert told.line.startswith(
                f'restrict,port-forwarding,permitopen="[{OWN_DOCKER}]:*",permitlisten="localhost:1",'
                f'command="/usr/bin/docker -H unix://{OWN_DOCKER} system dial-stdio" '
            )
            await managed(one, OWN_DOCKER)
            assert (await one.step("raw")).done == ["its line is as it should be"]
            assert PASSWORD not in f"{await systemd.told()}"
            assert (await one.step("raw", action="unprepare")).state == "unprepared"
            assert one.text("raw") == ""
