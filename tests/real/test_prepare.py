"""Real guests are prepared: OpenSSH decides who gets in and what a line allows, and what breaks leaves no mess."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from roadstead.act.pool_database.config import PoolConfig
from roadstead.act.preparing.over_ssh import SshPreparing
from roadstead.artifacts.authorized_keys import Form
from roadstead.errors import PoolError, RoadsteadError
from roadstead.kit import tasks
from roadstead.lab.guests.real import RealGuest
from roadstead.model import PathStep, VmId, config_keys
from roadstead.peers.links import keys
from roadstead.peers.links.ssh import SshLink
from roadstead.peers.links.visits import Task, Visit
from tests.contract.test_path_checks import checked, failed
from tests.real.commanding import PASSWORD, commanding
from tests.real.guests import TakeGuests
from tests.real.raw_guests import SETTINGS, Raw, raw_guests
from tests.real.stand_ins import SELINUX_FOLDER, selinux

pytestmark = pytest.mark.real
OTHERS = "# who may come\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJw5M6Xv0rDqz8Yc7sWlL0y9h8oE0c8m1K2d3e4f5a6b an operator"
FORMER = f"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB{'A' * 40}== xscontainer"
GUESSES = 3
PATIENCE_SECONDS = 30.0


async def test_a_guest_is_prepared_in_a_conversation(tmp_path: Path, real_guests: TakeGuests) -> None:
    """The host key, the sign-in, the result; then it is watched; a second time changes nothing; it can be undone."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        asked = await one.step("raw", password=None)
        assert (asked.question, asked.host_key.split()[0]) == ("host-key", "ssh-ed25519")
        assert one.key_of("raw") == ""
        asked = await one.step("raw", password=None, host_key=asked.host_key)
        assert asked.question == "sign-in"
        told = await one.step("raw", host_key=asked.host_key)
        assert (told.state, told.done) == ("prepared", ["its line was added"])
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        assert one.file("raw").read_text() == f"{told.line}\n"
        assert one.file("raw").stat().st_mode & 0o777 == 0o600
        await one.one.until(lambda: one.key_of("raw") == guest.machine.host_key().split()[1], "pinned")
        settings = one.one.vm("raw").settings
        assert {settings[config_keys.USERNAME], settings[config_keys.MODE]} == {"core", "ssh"}
        since = one.one.since()
        again = await one.step("raw")
        assert (again.state, again.line, again.done) == ("prepared", told.line, ["its line is as it should be"])
        assert (one.file("raw").read_text(), one.one.since()) == (f"{told.line}\n", since)

        gone = await one.step("raw", action="unprepare")
        assert (gone.state, one.file("raw").read_text()) == ("unprepared", "")
        assert failed(await checked(one.one, "raw")) == [(PathStep.AUTHENTICATION, "key-rejected")]
        await one.one.until(lambda: not one.one.vm("raw").enabled and not one.key_of("raw"), "disabled and unpinned")
        facts = dict((await one.one.core.commands.vms.why(one.one.vm("raw").id)).facts)
        assert not {"last known host key", "host key shown"} & facts.keys()
        entries = await one.one.core.commands.audit.recent(50)
        assert {"prepare: look", "prepare", "unprepare"} <= {entry.what for entry in entries}
        written = b"".join(path.read_bytes() for path in tmp_path.glob("*.db*"))
        assert PASSWORD not in f"{entries}" and PASSWORD.encode() not in written


@pytest.mark.parametrize(
    ("form", "relay", "is_shell"),
    [
        (Form.RESTRICTED, "streamlocal", False),
        (Form.EXEC_ONLY, "dial-stdio", False),
        (Form.UNRESTRICTED, "streamlocal", True),
    ],
)
async def test_each_form_of_the_line_allows_what_is_said(
    tmp_path: Path, real_guests: TakeGuests, form: Form, relay: str, *, is_shell: bool
) -> None:
    """The engine by its way, and a command only without restrictions; `from` shuts nobody out who was let in."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        before = one.ssh_folder("raw")
        code, left = await one.refused("raw", form=form, sources=("192.0.2.0/24",))
        assert (code, left, one.ssh_folder("raw")) == ("guest-source-differs", "Nothing was changed", before)
        told = await one.prepare("raw", form=form, sources=("0.0.0.0/0",))
        assert told.line.startswith('from="0.0.0.0/0"')
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        link = one.one.core.links.way(one.one.vm("raw").id)
        assert isinstance(link, SshLink) and link.relay == relay
        assert (b"uid=" in await link.run("id", 5.0)) is is_shell


async def test_a_setting_says_where_the_key_may_come_from(tmp_path: Path, real_guests: TakeGuests) -> None:
    """Where nobody says otherwise: a line without `from=` gets it, one that has it keeps its own."""
    (guest,) = await real_guests(1)
    link = SETTINGS.link.model_validate({**SETTINGS.link.model_dump(), "sources": "0.0.0.0/1, 128.0.0.0/1"})
    async with raw_guests(tmp_path, {"raw": guest}, settings=SETTINGS.model_copy(update={"link": link})) as one:
        told = await one.prepare("raw", sources=())
        assert told.line.startswith("restrict,")
        for said, expected in [
            ({}, "0.0.0.0/1,128.0.0.0/1"),
            ({"sources": ("0.0.0.0/0",)}, "0.0.0.0/0"),
            ({}, "0.0.0.0/0"),
        ]:
            told = await one.step("raw", **said)
            assert told.line.startswith(f'from="{expected}",restrict,')
        await one.one.until(lambda: one.one.is_live("raw"), "live")


async def test_a_key_may_do_no_more_after_a_second_time(tmp_path: Path, real_guests: TakeGuests) -> None:
    """What is not said stays as the line has it; what is said anew, or was nobody's form, is told as replaced."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        first = await one.prepare("raw", form=Form.EXEC_ONLY, sources=("0.0.0.0/0",))
        again = await one.step("raw")
        assert again.done == ["its line is as it should be (exec-only from 0.0.0.0/0)"]
        assert one.text("raw") == f"{first.line}\n"
        open_one = await one.step("raw", form=Form.UNRESTRICTED)
        was = "its line was replaced: it was exec-only from 0.0.0.0/0, and is unrestricted from 0.0.0.0/0 now"
        assert (open_one.done, (await one.step("raw")).line) == ([was], open_one.line)
        usual = await one.step("raw", form=Form.RESTRICTED, sources=())
        assert usual.line.startswith("restrict,port-forwarding,permitopen=")

        key = " ".join(usual.line.split()[-3:])
        one.write("raw", f'from="0.0.0.0/0,::/0",restrict,pty,command="/bin/date" {key}\n')
        told = await one.step("raw")
        was = "its line was replaced: it had the options restrict, pty, command, and is exec-only from 0.0.0.0/0, ::/0"
        assert told.done == [f"{was} now"]
        assert told.line.startswith('from="0.0.0.0/0,::/0",restrict,command="')
        one.write("raw", f'from="!192.0.2.1,0.0.0.0/0" {key}\n')
        assert (await one.refused("raw"))[0] == "guest-line-unclear"
        assert one.text("raw").startswith('from="!192')


async def test_what_others_wrote_stays_and_former_keys_go_when_agreed(tmp_path: Path, real_guests: TakeGuests) -> None:
    """The line goes behind a last one without a newline; another pool's line is offered for removal, and else stays."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        one.write("raw", f"{FORMER}\n{OTHERS}")
        asked = await one.prepare("raw")
        assert (asked.question, [offer.id for offer in asked.offers]) == ("consent", ["former-key"])
        told = await one.prepare("raw", declined=("former-key",))
        assert one.text("raw") == f"{FORMER}\n{OTHERS}\n{told.line}\n"
        told = await one.prepare("raw", agreed=("former-key",), form=Form.EXEC_ONLY)
        assert one.text("raw") == f"{OTHERS}\n{told.line}\n"
        assert one.file("raw").stat().st_mode & 0o777 == 0o640


async def test_nobody_gets_in_with_less(tmp_path: Path, real_guests: TakeGuests) -> None:
    """A wrong password is one guess each time; another host key than the confirmed one gets none at all."""
    (guest,) = await real_guests(1)
    log = guest.folder / "sshd.log"
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        folder = one.ssh_folder("raw")
        before = log.read_text().count("Failed password")
        for _ in range(GUESSES):
            assert (await one.refused("raw", password="guess"))[0] == "guest-sign-in-failed"
        assert log.read_text().count("Failed password") == before + GUESSES
        confirmed = guest.machine.host_key()
        await guest.new_host_key()
        assert (await one.refused("raw", host_key=confirmed))[0] == "guest-host-key-differs"
        assert log.read_text().count("Failed password") == before + GUESSES
        await guest.kill_sshd()
        assert (await one.refused("raw"))[0] == "guest-unreachable"
        assert (one.ssh_folder("raw"), one.key_of("raw"), one.one.vm("raw").enabled) == (folder, "", False)


Break = Callable[[Raw, RealGuest], Awaitable[object]]
BROKEN: dict[str, Break] = {
    "guest-disk-full": lambda one, _: one.run(
        "raw",
        "d=/run/home/core/.ssh; mkdir -p $d; mount -t tmpfs -o size=16k,mode=755 none $d; chown core $d;"
        " head -c 99999 /dev/zero >$d/full 2>/dev/null",
    ),
    "guest-engine-down": lambda _, guest: guest.kill_engine(),
    "guest-keys-unwritable": lambda one, _: one.run(
        "raw", "mkdir -p /run/home/core/.ssh; chown 0:0 /run/home/core/.ssh"
    ),
    "guest-key-not-taken": lambda _, guest: guest.start_sshd("PubkeyAuthentication no"),
}


@pytest.mark.parametrize(
    "code", ["guest-disk-full", "guest-engine-down", "guest-keys-unwritable", "guest-key-not-taken"]
)
async def test_what_is_broken_is_named_and_nothing_is_left(tmp_path: Path, real_guests: TakeGuests, code: str) -> None:
    """The guest and the pool are as they were, and it says so."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await BROKEN[code](one, guest)
        before = one.ssh_folder("raw")
        told, left = await one.refused("raw")
        after = one.ssh_folder("raw")
        await one.run("raw", "umount /run/home/core/.ssh")
        assert told == code
        assert left == (
            "Nothing was changed" if "taken" not in code else "The line was taken out again; the pool is as it was"
        )
        assert after == before
        assert (one.key_of("raw"), one.one.vm("raw").enabled) == ("", False)


async def test_of_several_who_prepare_one_guest_each_succeeds(tmp_path: Path, real_guests: TakeGuests) -> None:
    """One after the other; the line is there once."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        told = await asyncio.gather(*(one.prepare("raw") for _ in range(4)))
        assert sorted(each.done[0] for each in told) == ["its line is as it should be"] * 3 + ["its line was added"]
        assert one.text("raw") == f"{told[0].line}\n"


def cut_at(monkeypatch: pytest.MonkeyPatch, guest: RealGuest, step: str) -> None:
    """Kill the guest's SSH server at this step of what is done in it."""
    run = Visit.run

    async def cut(visit: Visit, task: Task) -> bytes:
        is_line = "roadstead-keys" in task.command
        if step == "after the line" and is_line:
            await run(visit, task)
        if is_line or step == "the look":
            await guest.kill_sshd()
        return await run(visit, task)

    monkeypatch.setattr(Visit, "run", cut)


@pytest.mark.parametrize("step", ["the look", "before the line", "after the line"])
async def test_a_cut_connection_is_finished_by_the_next_run(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever it breaks off there is no line or a whole one, which the next run finds."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        one.write("raw", OTHERS)
        cut_at(monkeypatch, guest, step)
        code, left = await one.refused("raw")
        monkeypatch.undo()
        assert code == "guest-cut-off"
        assert left == (
            "Nothing was changed"
            if step == "the look"
            else "The line may be in the guest already; the pool is as it was"
        )
        assert one.text("raw").startswith(OTHERS)
        assert ("xscontainer" in one.text("raw")) is (step == "after the line")
        await guest.start_sshd()
        told = await one.prepare("raw")
        assert one.text("raw") == f"{OTHERS}\n{told.line}\n"
        await one.one.until(lambda: one.one.is_live("raw"), "live")


@pytest.mark.limit(240)
async def test_of_ten_guests_eight_are_prepared_and_two_explained(tmp_path: Path, real_guests: TakeGuests) -> None:
    """One has no room on its disk, one an engine that is off: both are told, and are prepared when they are mended."""
    guests = {guest.name: guest for guest in await real_guests(10)}
    async with raw_guests(tmp_path, guests) as one, commanding(one.one.core, tmp_path) as ask:
        full, off = list(guests)[:2]
        folder = "/run/home/core/.ssh"
        await one.run(
            full,
            f"mkdir -p {folder}; mount -t tmpfs -o size=16k,mode=755 none {folder}; chown core {folder};"
            f" head -c 99999 /dev/zero >{folder}/full",
        )
        await guests[off].kill_engine()
        words = ["--user=core", "--password-file=-", "--yes", *one.host_keys()]
        code, table, told = await ask("prepare", "real-*", *words)
        rows = {line.split()[0]: " ".join(line.split()[1:3]) for line in table.splitlines() if line.startswith("real-")}
        assert code == 4, told
        assert rows[full].startswith("failed: guest-disk-full") and rows[off].startswith("failed: guest-engine-down")
        assert sum(row.startswith("prepared") for row in rows.values()) == 8, table
        assert len(rows) == 10
        assert f"The disk of {full} has no room" in told and f"No engine answers in {off}" in told
        await one.one.until(lambda: sum(map(one.one.is_live, guests)) == 8, "eight are live")

        await one.run(full, f"rm {folder}/full")
        await guests[off].start_engine()
        code, table, told = await ask(
            "prepare", full, off, "--user=core", "--password-file=-", "--yes", *one.host_keys(full, off)
        )
        assert code == 0, told
        await one.one.until(lambda: all(map(one.one.is_live, guests)), "all are live")
        code, table, told = await ask("unprepare", "-f", "vm:real-*", "--password-file=-", "--yes")
        assert code == 0, told
        assert "xscontainer" not in one.text(off)
        await one.run(full, f"umount {folder}")


async def test_a_rotation_that_waits_is_ended_by_preparing(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restricted key may change nothing in the guest; whoever prepares it anew brings the new key and takes the old
    one out, and the old pair is retired.
    """
    monkeypatch.setattr(keys, "KEY_BITS", 2048)
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await one.prepare("raw", form=Form.EXEC_ONLY, sources=("0.0.0.0/0",))
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        rotations, old = one.one.core.commands.rotations, one.text("raw")
        await rotations.begin(one.one.pool_id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while [vm.state for vm in (await rotations.state(one.one.pool_id)).vms] != ["needs-preparing"]:
                await asyncio.sleep(0.05)
        told = await one.step("raw")
        assert told.done == ["its line was added", "the line of the pool's old key was taken out"]
        assert one.text("raw") == f"{told.line}\n" != old
        assert told.line.startswith('from="0.0.0.0/0",restrict,command=')
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await rotations.state(one.one.pool_id)).state != "none":
                await asyncio.sleep(0.05)
        await one.one.until(lambda: one.one.is_live("raw"), "live with the new key")


FLATCARS_TOOL = """\
#!/bin/sh
# A stand-in: the file is made anew of all files of the folder, what else stood there is lost.
cd /run/home/core/.ssh && { echo "# auto-generated by update-ssh-keys"; cat authorized_keys.d/*; } >authorized_keys.new
chown core: authorized_keys.new; chmod 600 authorized_keys.new; mv authorized_keys.new authorized_keys
"""


async def test_on_flatcar_the_line_stays_when_its_tool_makes_the_file_anew(
    tmp_path: Path, real_guests: TakeGuests
) -> None:
    """And does not come back after it was taken out."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        tools = guest.machine.root / "run/flatcar"
        tools.mkdir(exist_ok=True)
        (tools / "update-ssh-keys").write_text(FLATCARS_TOOL)
        (tools / "update-ssh-keys").chmod(0o755)
        await guest.start_sshd("SetEnv PATH=/run/flatcar:/usr/local/bin:/usr/bin:/bin")
        folder = "/run/home/core/.ssh/authorized_keys.d"
        own, chown = OTHERS.splitlines()[1], "chown -R core: /run/home/core/.ssh"
        await one.run("raw", f"mkdir -p {folder}; echo '{own}' >{folder}/me; {chown}")
        await one.run("raw", "/run/flatcar/update-ssh-keys")
        told = await one.prepare("raw")
        await one.run("raw", "/run/flatcar/update-ssh-keys")
        assert one.text("raw").splitlines()[1:] == [own, told.line]
        one.one.core.links.reconnect(one.one.vm("raw").id)
        await one.one.until(lambda: one.one.is_live("raw"), "live")

        gone = await one.step("raw", action="unprepare")
        await one.run("raw", "/run/flatcar/update-ssh-keys")
        assert (gone.state, one.text("raw").splitlines()[1:]) == ("unprepared", [own])
        await one.run("raw", f"rm -r /run/flatcar {folder}")


class Sudo:
    """A guest whose user is outside of the group docker, and a sudo of our own, which asks for the user's password."""

    FOLDER = "/run/fake"
    SUDO = f"""\
#!{FOLDER}/shell -p
asks=yes; case "$*" in "-n "*"docker system dial-stdio") [ -e {FOLDER}/relays ] && asks=no;; esac
while :; do case $1 in
-n) given=n; shift;; -S) given=s; shift;; -p) shift 2;; *) break;; esac; done
if [ $asks = yes ]; then
[ $given = s ] || {{ echo sudo: a password is required >&2; exit 1; }}
read -r word; [ "$word" = "$(cat {FOLDER}/word)" ] || {{ echo sudo: 1 incorrect password attempt >&2; exit 1; }}
fi
exec "$@"
"""
    USERMOD = f"""\
#!{FOLDER}/shell -p
[ "$1 $2 $3" = "-aG docker core" ] && sed "s/^docker:.*/&core/" /etc/group >/run/group && cat /run/group >/etc/group
"""

    @classmethod
    async def install(cls, one: Raw, name: str, *, relays: bool) -> None:
        """Put it there, before the user signs in."""
        guest = one.guests[name]
        folder = guest.machine.root / cls.FOLDER.removeprefix("/")
        folder.mkdir(exist_ok=True)
        for file, text in (("sudo", cls.SUDO), ("usermod", cls.USERMOD), ("word", f"{PASSWORD}\n")):
            (folder / file).write_text(text)
            (folder / file).chmod(0o600 if file == "word" else 0o755)
        (folder / "relays").touch() if relays else (folder / "relays").unlink(missing_ok=True)
        await one.run(name, f"cp /bin/bash {cls.FOLDER}/shell && chmod 4755 {cls.FOLDER}/shell")
        await one.run(name, "sed 's/^docker:.*/docker:x:61998:/' /etc/group >/run/group && cat /run/group >/etc/group")
        await guest.start_sshd(f"SetEnv PATH={cls.FOLDER}:/usr/local/bin:/usr/bin:/bin")


async def test_the_user_is_added_to_docker_when_that_is_agreed_to(tmp_path: Path, real_guests: TakeGuests) -> None:
    """The command is shown, run by sudo with the password that was given, and counts from the next sign-in on."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await Sudo.install(one, "raw", relays=False)
        asked = await one.prepare("raw")
        (offer,) = asked.offers
        assert (asked.question, offer.commands, offer.is_needed) == ("consent", ["usermod -aG docker core"], True)
        assert (await one.refused("raw", declined=("engine-group",))) == ("guest-engine-denied", "Nothing was changed")
        told = await one.prepare("raw", agreed=("engine-group",))
        assert told.state == "prepared" and one.text("raw") == f"{told.line}\n"
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        link = one.one.core.links.way(one.one.vm("raw").id)
        assert link is not None and link.relay == "streamlocal"


async def test_sudo_is_the_way_where_the_user_may_do_that_alone(tmp_path: Path, real_guests: TakeGuests) -> None:
    """The line forces that one command, and the pool remembers it."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await Sudo.install(one, "raw", relays=True)
        told = await one.prepare("raw")
        docker = next(value for fact, value in told.checked if fact == "docker command")
        assert f'restrict,command="{Sudo.FOLDER}/sudo -n {docker} system dial-stdio" ' in told.line
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        assert one.one.vm("raw").settings[config_keys.SUDO] == "True"
        link = one.one.core.links.way(one.one.vm("raw").id)
        assert link is not None and link.relay == "dial-stdio"
        assert (await one.step("raw", action="unprepare")).state == "unprepared"
        await one.one.until(lambda: config_keys.SUDO not in one.one.vm("raw").settings, "forgotten")


async def test_a_pool_that_fails_at_the_end_is_told_at_the_next_run(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest is done then, and is not changed again."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:

        async def fails(*_: object) -> None:
            raise PoolError("pool-unreachable", pool="lab")

        monkeypatch.setattr(PoolConfig, "set", fails)
        assert (await one.refused("raw"))[0] == "prepare-unfinished"
        monkeypatch.undo()
        text, inode = one.text("raw"), one.file("raw").stat().st_ino
        assert "xscontainer" in text and not one.one.vm("raw").enabled
        assert (await one.step("raw")).done == ["its line is as it should be"]
        assert (one.text("raw"), one.file("raw").stat().st_ino) == (text, inode)
        await one.one.until(lambda: one.one.is_live("raw"), "live")


async def test_what_was_prepared_outlasts_a_boot(tmp_path: Path, real_guests: TakeGuests) -> None:
    """The line is in the guest and the rest in the pool: nothing is to be done again."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await one.prepare("raw")
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        await guest.stop()
        await one.one.until(lambda: not one.one.is_live("raw"), "lost")
        await guest.start()
        await one.one.until(lambda: one.one.is_live("raw"), "live again")


@pytest.mark.parametrize("moment", ["before the pin", "while it is written"])
async def test_a_host_key_that_is_forgotten_meanwhile(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Before the pool is told it is not pinned, which the next run does; while it is told the pin comes to its end
    first, and then is forgotten.
    """
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        vms, vm = one.one.core.commands.vms, one.one.vm("raw").id
        told: list[bool] = []
        proving, setting, prove = asyncio.Event(), asyncio.Event(), SshPreparing.prove
        write = PoolConfig.set

        async def proved(*given: Any) -> SshLink:
            link = await prove(*given)
            if moment == "before the pin":
                await vms.forget_host_key(vm)
            return link

        async def written(config: PoolConfig, vm: VmId, key: str, value: str | None) -> None:
            if key == config_keys.HOST_KEY:
                told.append(bool(value))
                proving.set()
                await (setting.wait() if value else asyncio.sleep(0))
                told.append(bool(value))
            await write(config, vm, key, value)

        monkeypatch.setattr(SshPreparing, "prove", proved)
        monkeypatch.setattr(PoolConfig, "set", written)
        async with asyncio.TaskGroup() as group:
            work = tasks.spawn(group, _refusal(one), "prepare")
            await proving.wait()
            forgetting = tasks.spawn(group, vms.forget_host_key(vm), "forget") if "while" in moment else None
            await asyncio.sleep(0.1)
            setting.set()
        if forgetting is None:
            assert work.result() == "prepare-overtaken"
            assert (told, one.key_of("raw"), one.one.vm("raw").enabled) == ([False, False], "", False)
            monkeypatch.undo()
            text = one.text("raw")
            assert ((await one.prepare("raw")).state, one.text("raw")) == ("prepared", text)
        else:
            assert (work.result(), told[:4]) == ("", [True, True, False, False])
        monkeypatch.undo()
        await one.one.until(lambda: one.one.is_live("raw") and one.key_of("raw"), "live and pinned")


async def _refusal(one: Raw) -> str:
    """The code with which preparing fails; nothing when it does not."""
    try:
        await one.prepare("raw")
    except RoadsteadError as error:
        return error.code
    return ""


async def test_a_cut_while_an_agreed_command_runs(tmp_path: Path, real_guests: TakeGuests) -> None:
    """What it did stays in the guest, which is said; the next run looks again, and finishes without it."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await Sudo.install(one, "raw", relays=False)
        usermod = guest.machine.root / Sudo.FOLDER.removeprefix("/") / "usermod"
        usermod.write_text(f"{Sudo.USERMOD}: >{Sudo.FOLDER}/did; sleep 60\n")

        async def cut_off() -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (usermod.parent / "did").exists():
                    await asyncio.sleep(0.05)
            await guest.kill_sshd()

        refused, _ = await asyncio.gather(one.refused("raw", agreed=("engine-group",)), cut_off())
        left = "What was agreed to is done in the guest as far as it came; the pool is as it was"
        assert refused == ("guest-cut-off", left)
        assert (one.text("raw"), one.key_of("raw"), one.one.vm("raw").enabled) == ("", "", False)
        usermod.unlink()
        await guest.start_sshd(f"SetEnv PATH={Sudo.FOLDER}:/usr/local/bin:/usr/bin:/bin")
        assert (await one.prepare("raw")).state == "prepared"
        await one.one.until(lambda: one.one.is_live("raw"), "live")


@pytest.mark.parametrize("step", ["the look", "before the line", "after the line"])
async def test_a_cut_while_it_is_taken_back(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The pool forgets nothing before the line is known to be gone; the next run finishes."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        one.write("raw", f"{OTHERS}\n")
        told = await one.prepare("raw")
        await one.one.until(lambda: one.one.is_live("raw") and one.key_of("raw"), "live and pinned")
        cut_at(monkeypatch, guest, step)
        code, left = await one.refused("raw", action="unprepare")
        monkeypatch.undo()
        is_gone = step == "after the line"
        assert code == "guest-cut-off"
        assert left == (
            "Nothing was changed"
            if step == "the look"
            else "The line may be gone from the guest already; the pool is as it was"
        )
        assert one.text("raw") == (f"{OTHERS}\n" if is_gone else f"{OTHERS}\n{told.line}\n")
        assert one.one.vm("raw").enabled and one.key_of("raw")
        await guest.start_sshd()
        gone = await one.prepare("raw", action="unprepare")
        assert (gone.state, one.text("raw")) == ("unprepared", f"{OTHERS}\n")
        assert gone.done == ["there was no line of this pool's" if is_gone else "its line was taken out"]
        await one.one.until(lambda: not one.one.vm("raw").enabled and not one.key_of("raw"), "disabled and unpinned")


async def test_contexts_of_selinux_are_restored(tmp_path: Path, real_guests: TakeGuests) -> None:
    """Of a file that is made and of one that is replaced; another file than the one that was changed is not touched."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await selinux(guest)
        await guest.start_sshd("SetEnv PATH=/run/selinux:/usr/local/bin:/usr/bin:/bin")
        keys = "/run/home/core/.ssh/authorized_keys"
        tools = guest.machine.root / SELINUX_FOLDER.removeprefix("/")
        context = tools / "of" / keys.replace("/", "_")
        for said in ({}, {"form": Form.EXEC_ONLY}):
            await one.run("raw", "rm -rf /run/selinux/of /run/selinux/restored")
            told = await one.prepare("raw", **said)
            assert one.text("raw") == f"{told.line}\n"
            assert context.read_text() == "ssh_home_t\n"
            assert set((tools / "restored").read_text().split()) == {keys}
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        await one.run("raw", "rm -rf /run/selinux")
