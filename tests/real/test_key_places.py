"""Where a real OpenSSH takes keys from, the line is written; where it cannot be, that is told, and nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadstead.errors import RoadsteadError
from roadstead.lab.guests.real import RealGuest
from tests.real.guests import TakeGuests
from tests.real.raw_guests import Raw, raw_guests

pytestmark = pytest.mark.real
HOME = "/run/home/core"
FILE = f"{HOME}/.ssh/authorized_keys"
OTHERS = "# who may come"


async def settings(one: Raw, guest: RealGuest, said: str) -> None:
    """Let the guest's SSH server have these settings, where its user can read them."""
    guest.machine.cover("/etc/ssh/sshd_config.d", "-t", "tmpfs", "tmpfs")
    (guest.machine.root / "etc/ssh/sshd_config.d/own.conf").write_text(f"{said}\n")
    (guest.machine.root / "run/keys").mkdir(exist_ok=True)
    await one.run("raw", f"rm -rf /run/keys {HOME}/.ssh; mkdir -p /run/keys; chown core: /run/keys")
    await guest.start_sshd(*said.splitlines())


async def everything(one: Raw) -> str:
    """What there is of keys."""
    return await one.run("raw", f"find {HOME}/.ssh /run/keys -printf '%p %M %U %G %s\\n' | sort")


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("/run/keys/%u", "/run/keys/core"),
        ("/run/keys/%U", "/run/keys/61999"),
        ("/run/keys/%u/%u", "/run/keys/core/core"),
        ("/run/keys/%%u", "/run/keys/%u"),
        ("none .ssh/%u-%%-%u %h/.ssh/second", f"{HOME}/.ssh/core-%-core"),
    ],
)
async def test_the_line_is_where_the_server_looks(
    tmp_path: Path, real_guests: TakeGuests, said: str, wanted: str
) -> None:
    """Whatever the name is made of; and it goes from there."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await settings(one, guest, f"AuthorizedKeysFile {said}")
        told = await one.prepare("raw")
        assert await one.run("raw", f"cat '{wanted}'") == f"{told.line}\n"
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        assert (await one.step("raw", action="unprepare")).done == ["its line was taken out"]
        assert await one.run("raw", f"cat '{wanted}'") == ""


NO_FILE = "its SSH server reads no file of keys for this user"
REFUSED = [
    ("AuthorizedKeysFile none", "guest-keys-unwritable", NO_FILE),
    (
        "AuthorizedKeysFile none\nAuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser root",
        "guest-keys-unwritable",
        NO_FILE,
    ),
    ("Match User core\nAuthorizedKeysFile .ssh/mine\nMatch all", "guest-key-not-taken", "sshd -T -C user="),
]


@pytest.mark.parametrize(("said", "code", "reason"), REFUSED)
async def test_a_key_that_is_not_taken_leaves_nothing(
    tmp_path: Path, real_guests: TakeGuests, said: str, code: str, reason: str
) -> None:
    """Neither file nor folder, and where they were before, they stay."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await settings(one, guest, said)
        for make in ("true", f"mkdir -m 700 {HOME}/.ssh; chown core: {HOME}/.ssh", f"touch {FILE}", f"echo >{FILE}"):
            await one.run("raw", f"{make}; chown core: {FILE}")
            before = await everything(one)
            with pytest.raises(RoadsteadError, match=r"as it was|Nothing was changed") as caught:
                await one.prepare("raw")
            assert caught.value.code == code
            assert reason in f"{caught.value.cause} {caught.value.remedy}"
            assert await everything(one) == before


UNWRITABLE = {
    "chown 0:0 {}; chmod 644 {}": "belongs to another user",
    "chown core:4 {}": "to whom this one cannot give a copy",
    "chmod 444 {}": "is read-only by its mode",
    "chmod 4600 {}": "mode bits that a copy does not keep",
    "rm {}; mkdir {}": "is no regular file",
    "rm {}; mkfifo {}": "is no regular file",
    "chattr +i {}": "an attribute that forbids changes",
    "chown 0 $(dirname {})": "the folder of its authorized_keys",
    "rm -r $(dirname {}); chown 0 /run/home/core": "the folder of its authorized_keys",
}


async def test_each_reason_is_told_apart(tmp_path: Path, real_guests: TakeGuests) -> None:
    """Why the file cannot be written, and what mends it; it is as it was."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        clean = f"chattr -i {FILE} 2>/dev/null; rm -rf {HOME}/.ssh; chown core: {HOME}; mkdir -m 700 {HOME}/.ssh"
        remedies = set()
        for make, reason in UNWRITABLE.items():
            await one.run(
                "raw", f"{clean}; echo '{OTHERS}' >{FILE}; chown -R core: {HOME}/.ssh; {make.format(FILE, FILE)}"
            )
            before = one.ssh_folder("raw")
            with pytest.raises(RoadsteadError, match="Nothing was changed") as caught:
                await one.prepare("raw")
            after = one.ssh_folder("raw")
            await one.run("raw", f"{clean}; chown core: {HOME}/.ssh")
            assert (caught.value.code, after) == ("guest-keys-unwritable", before)
            assert reason in caught.value.cause
            remedies.add(caught.value.remedy)
        assert len(remedies) == len(set(UNWRITABLE.values()))
        assert (await one.prepare("raw")).state == "prepared"
