"""Config drives from the command line: the real program → the API on a socket → the lab's pool and its storage."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from roadstead.artifacts import drive_templates, iso_files
from roadstead.kit import tasks
from roadstead.lab.pool.contents import ISOS
from roadstead.lab.pool.mishaps import Mishap
from roadstead.serve.app import build
from roadstead.serve.calls import Services
from roadstead.serve.server import Listen, serve_api
from tests.contract.world import QUICK, World, world

MIB = 2**20
SETTINGS = QUICK.model_copy(update={"pool": QUICK.pool.model_copy(update={"call_seconds": 10.0})})
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9nqFJfzkG8ttt8Iszm4dJf0OtaiAqaMHwtQ0GtIcN me@example"
TEXT = "#cloud-config\nhostname: %VMNAMETOHOSTNAME%\nssh_authorized_keys:\n  - ssh-rsa %CONTAINERRSAPUB% x\n"
EDITOR = """#!/bin/sh
printf '%s\\n' "$(cat "$1")" >> "$0.seen"
cat "$0.text" > "$1"
test -e "$0.next" && mv "$0.next" "$0.text" || true
"""


class Done(NamedTuple):
    """How the program ended, and what it printed."""

    code: int
    out: str
    err: str


class Operator:
    """Somebody at the command line, and the pool that it reaches in the end."""

    def __init__(self, one: World, folder: Path) -> None:
        self.one = one
        self.folder = folder
        self.database = one.pool.core.database

    async def run(self, *words: str, given: str = "", command: str = "config-drive", **environment: str) -> Done:
        """Run ``roadstead config-drive``, or another command, piped."""
        program = [sys.executable, "-c", "from roadstead.cli.main import run; run()"]
        process = await asyncio.create_subprocess_exec(
            *program, "--server", f"unix:{self.folder}/s", *command.split(), *words,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **environment},
        )  # fmt: skip
        out, err = await process.communicate(given.encode())
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())

    def counted(self) -> tuple[int, int]:
        """How many disks and devices there are."""
        return len(self.database.table("VDI").rows), len(self.database.table("VBD").rows)

    def on_drive(self, path: str) -> str:
        """A file on the only drive that there is."""
        (disk,) = self.database.table("VDI").by_uuid
        return iso_files.read(
            self.one.pool.core.images.path(disk).read_bytes(), f"openstack/latest/{path}", MIB
        ).decode()

    def editor(self, *texts: str) -> str:
        """An editor that writes these texts, one each time it is opened."""
        path = self.folder / "editor"
        path.write_text(EDITOR)
        path.chmod(0o700)
        for name, text in zip(("text", "next"), texts, strict=False):
            path.with_name(f"editor.{name}").write_text(text)
        return str(path)

    def seen(self) -> str:
        """What the editor was opened with."""
        return (self.folder / "editor.seen").read_text()


@asynccontextmanager
async def operator(folder: Path) -> AsyncIterator[Operator]:
    """A server on a socket that knows a pool with one VM."""
    async with world(folder, vms=1, settings=SETTINGS) as one, asyncio.TaskGroup() as group:
        core, ready = one.core, asyncio.Event()
        services = Services(core.commands, core.store, core.feed, dict, engine_socket="/var/run/docker.sock")
        listen = Listen(folder / "s", None, shutdown_seconds=1.0)
        server = tasks.spawn(group, serve_api(build(services), listen, lambda _: ready.set()), "api")
        await ready.wait()
        try:
            yield Operator(one, folder)
        finally:
            await tasks.stop(server)


@pytest.mark.limit(90)
async def test_a_drive_is_made_shown_and_edited(tmp_path: Path) -> None:
    """From a file with a variable and a key; what comes back is what was given, and an edit keeps the key."""
    file, key = tmp_path / "t.yaml", tmp_path / "me.pub"
    file.write_text(TEXT + "password: %DB_WORD%\n")
    key.write_text(f"# mine\n{KEY}\n")
    async with operator(tmp_path) as me:
        words = ("vm-1", "--file", str(file), "--var", "DB_WORD=hunter2", "--ssh-key", str(key))
        looked = await me.run("create", *words, "--preview")
        assert (looked.code, me.counted()) == (0, (0, 0)), looked.err
        assert "hostname: vm1" in looked.out and "hunter2" not in looked.out and KEY in looked.out
        asked = await me.run("create", *words)
        assert (asked.code, me.counted()) == (2, (0, 0)) and "--yes" in asked.err
        made = await me.run("create", *words, "--yes", "--format", "json")
        assert made.code == 0, made.err
        assert json.loads(made.out)["disk"] in me.database.table("VDI").by_uuid
        assert "password: hunter2" in me.on_drive("user_data")
        shown = await me.run("show", "vm-1")
        assert "hunter2" not in shown.out and KEY in shown.out and "%CONTAINERRSAPUB%" in shown.out
        back = await me.run("show", "vm-1", "--template")
        assert back.out == TEXT + "password: hunter2\n"
        edited = await me.run("edit", "vm-1", "--yes", EDITOR=me.editor(TEXT + "# second\n"), VISUAL="")
        assert edited.code == 0, edited.err
        assert "hunter2" in me.seen(), "the editor has the template as it is"
        assert me.on_drive("user_data.template") == TEXT + "# second\n"
        assert KEY in json.loads(me.on_drive("meta_data.json"))["public_keys"].values()
        assert me.counted() == (1, 1)


@pytest.mark.limit(90)
async def test_a_refused_edit_keeps_the_text_and_the_drive(tmp_path: Path) -> None:
    """The place of the fault is told, and where the text is; nothing was changed."""
    async with operator(tmp_path) as me:
        assert (await me.run("create", "vm-1", "--file", "-", "--yes", given=TEXT)).code == 0
        refused = await me.run("edit", "vm-1", "--yes", EDITOR=me.editor("#cloud-config\na: [\n"), TMPDIR=str(tmp_path))
        assert refused.code == 1
        assert "line 3" in refused.err
        (left,) = tmp_path.glob("config-drive-*")
        assert str(left) in refused.err and left.read_text() == "#cloud-config\na: [\n"
        assert left.stat().st_mode & 0o077 == 0
        assert me.on_drive("user_data.template") == TEXT
        left.unlink()
        same = await me.run("edit", "vm-1", "--yes", EDITOR="true", VISUAL="", TMPDIR=str(tmp_path))
        assert (same.code, list(tmp_path.glob("config-drive-*"))) == (0, [])
        broken = await me.run("edit", "vm-1", "--yes", EDITOR="false", VISUAL="", TMPDIR=str(tmp_path))
        assert (broken.code, list(tmp_path.glob("config-drive-*"))) == (2, [])


@pytest.mark.limit(90)
async def test_faults_leave_nothing_behind(tmp_path: Path) -> None:
    """What is refused before, and what the pool refuses in the middle, ends with a code of its kind."""
    async with operator(tmp_path) as me:
        assert (await me.run("show", "vm-1")).code == 3
        for words, text, code, told in (
            ((), "#cloud-config\na: %NOSUCH%\n", 2, "%NOSUCH%"),
            (("--var", "SITE=x"), TEXT, 2, "%SITE%"),
            (("--profile", "ignition"), TEXT, 2, "ignition"),
            (("--sr", "nowhere"), TEXT, 3, "nowhere"),
            (("--sr", ISOS), TEXT, 1, "CDs"),
            ((), "", 2, "empty"),
        ):
            done = await me.run("create", "vm-1", "--file", "-", "--yes", *words, given=text)
            assert (done.code, me.counted()) == (code, (0, 0)), done.err
            assert told in done.err
        private = tmp_path / "id"
        private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n")
        assert "private" in (await me.run("create", "vm-1", "--ssh-key", str(private), "--yes")).err
        me.one.pool.core.mishaps.prepare("VBD.plug", Mishap.REFUSED)
        assert (await me.run("create", "vm-1", "--yes")).code == 1
        assert me.counted() == (0, 0)


@pytest.mark.limit(90)
async def test_the_profile_follows_the_guests_system(tmp_path: Path) -> None:
    """What the guest tools say decides; a text that such a guest does not read is refused, unless told otherwise."""
    async with operator(tmp_path) as me:
        record = me.database.get("VM", me.one.pool.find("vm-1"))
        for name, profile in (
            ("Debian GNU/Linux 13 (trixie)", "cloud-config"),
            ("Flatcar Container Linux by Kinvolk 4081.2.0", "flatcar"),
            ("Microsoft Windows Server 2022 Standard|C:\\Windows|\\Device\\Harddisk0", "windows"),
            ("Fedora CoreOS 41", "ignition"),
        ):
            me.database.update("VM_guest_metrics", str(record["guest_metrics"]), {"os_version": {"name": name}})
            done = await me.run("default", "vm-1", "--format", "json")
            assert json.loads(done.out) == {"profile": profile, "template": drive_templates.PROFILES[profile]}
        refused = await me.run("create", "vm-1", "--file", "-", "--yes", given=TEXT)
        assert (refused.code, me.counted()) == (2, (0, 0)) and "ignition" in refused.err
        key = tmp_path / "me.pub"
        key.write_text(KEY)
        made = await me.run("create", "vm-1", "--ssh-key", str(key), "--yes")
        assert made.code == 0 and "ignition" in made.out, made.err
        said = json.loads(me.on_drive("user_data"))
        assert said["passwd"]["users"][0]["sshAuthorizedKeys"][1:] == [KEY]
        other = await me.run("create", "vm-1", "--file", "-", "--profile", "cloud-config", "--yes", given=TEXT)
        assert other.code == 0 and me.counted() == (1, 1), other.err


@pytest.mark.limit(90)
async def test_validate_names_every_fault_with_its_place(tmp_path: Path) -> None:
    """As compilers do, so that editors can jump there; nothing of it needs a VM."""
    bad = json.dumps(
        {"ignition": {"version": "3.9.0"}, "storage": {"files": [{"path": "etc/x", "mode": "0644"}]}}, indent=1
    )
    async with operator(tmp_path) as me:
        done = await me.run("validate", "-", given=bad)
        assert done.code == 1
        places = [line.split(" ")[2].removesuffix(":") for line in done.out.splitlines()]
        assert places == ["error"] * 3 or done.out.count(": error: ") == 3, done.out
        assert "standard input:3:3: error" in done.out
        warned = await me.run("validate", "-", "--format", "json", given=TEXT + "coreos: {}\nx: {permissions: 1}\n")
        assert warned.code == 0 and json.loads(warned.out)["ok"] and json.loads(warned.out)["faults"][0]["line"] == 5
        assert (await me.run("validate", "-", "--profile", "ignition", given=TEXT)).code == 1
        assert (await me.run("validate", "/no/such/file")).code == 2
