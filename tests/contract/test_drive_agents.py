"""The guest agent's files on config drives: from the pool's guest tools ISO, kept by whoever makes a drive anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roadstead.act.drives.vm_drives import Order
from roadstead.artifacts import guest_agent, iso
from roadstead.lab.pool.driver import TOOLS_ISO, TOOLS_STORAGE
from roadstead.plan import config_drives as plan
from tests.contract.test_config_drive_commands import TEXT, Operator, operator
from tests.contract.test_config_drives import drives

DAEMON = bytes(range(256)) * 4000
TOOLS = {
    "Linux/xe-daemon": DAEMON,
    "Linux/xe-linux-distribution": b"#!/bin/sh\n",
    "Linux/install.sh": b"#!/bin/bash\n",
    "Linux/x.deb": b"-",
}
OURS = {f"agent/{path.removeprefix('Linux/')}": TOOLS[path] for path in list(TOOLS)[:3]}


def on_drive(me: Operator) -> dict[str, bytes]:
    """The agent's files on the only config drive."""
    (disk,) = [vdi for _, vdi in me.database.all("VDI") if not vdi["is_tools_iso"]]
    return guest_agent.on_drive(me.one.pool.core.images.path(str(disk["uuid"])).read_bytes(), "")


@pytest.mark.limit(120)
async def test_they_are_taken_shown_and_kept(tmp_path: Path) -> None:
    """Shown with their sizes in the preview and afterwards; `edit` and `rebuild` keep them, also without the ISO; a
    drive that is made without the option has none.
    """
    async with operator(tmp_path) as me:
        tools = await me.one.pool.add_tools(iso.build("TOOLS", TOOLS))
        looked = await me.run("create", "vm-1", "--agent", "--preview")
        assert f"--- agent/xe-daemon ({len(DAEMON)} bytes)" in looked.out, looked.err
        previewed = json.loads((await me.run("create", "vm-1", "--agent", "--preview", "--format", "json")).out)
        made = await me.run("create", "vm-1", "--agent", "--yes")
        assert (made.code, on_drive(me)) == (0, OURS), made.err

        shown = json.loads((await me.run("show", "vm-1", "--format", "json")).out)
        sizes = {file["path"]: file["size"] for file in shown["files"]}
        assert sizes == {file["path"]: file["size"] for file in previewed["files"]} and len(sizes) == 3 + len(OURS)
        assert shown["does"] == previewed["does"] and len(shown["does"]) > 1
        told = (await me.run("show", "vm-1")).out
        assert f"--- agent/xe-daemon ({len(DAEMON)} bytes)" in told and f"  It {shown['does'][1]}." in told

        await me.one.pool.core.images.remove(tools)
        me.database.destroy("VDI", me.database.table("VDI").by_uuid[tools])
        edited = await me.run("edit", "vm-1", "--yes", EDITOR=me.editor(TEXT), VISUAL="")
        assert (edited.code, on_drive(me)) == (0, OURS), edited.err
        assert me.on_drive("user_data.template") == TEXT
        rebuilt = await me.run("rebuild", "vm-1", "--yes")
        assert (rebuilt.code, on_drive(me)) == (0, OURS), rebuilt.err
        assert (await me.run("create", "vm-1", "--yes")).code == 0
        assert on_drive(me) == {}


@pytest.mark.limit(90)
async def test_an_edit_takes_them_when_it_is_asked_to(tmp_path: Path) -> None:
    """Also of a text that is left as it is."""
    async with operator(tmp_path) as me:
        assert (await me.run("create", "vm-1", "--yes")).code == 0
        await me.one.pool.add_tools(iso.build("TOOLS", TOOLS))
        edited = await me.run("edit", "vm-1", "--agent", "--yes", EDITOR="true", VISUAL="")
        assert (edited.code, on_drive(me)) == (0, OURS), edited.err


@pytest.mark.limit(120)
async def test_a_pool_without_them_is_told_so_and_nothing_is_changed(tmp_path: Path) -> None:
    """No ISO; one of a name that somebody gave it; one without the agent, in a storage that no host sees, spoiled."""
    async with operator(tmp_path) as me:

        async def refused(*said: str) -> None:
            for more in (("--preview",), ("--yes",)):
                done = await me.run("create", "vm-1", "--agent", *more)
                assert done.code != 0 and all(word in done.err for word in said), done.err
            assert not any(me.database.get("VM", ref)["VBDs"] for ref in me.one.pool.find_all("vm-1"))

        pool = me.one.pool
        fake = await pool.add_tools(iso.build("TOOLS", TOOLS))
        ref = me.database.table("VDI").by_uuid[fake]
        assert me.database.get("VDI", ref)["name_label"] == TOOLS_ISO
        me.database.write("VDI", ref, "is_tools_iso", value=False)
        await refused("no guest tools ISO", "--agent")

        me.database.write("VDI", ref, "is_tools_iso", value=True)
        image = me.one.pool.core.images.path(fake)
        whole = image.read_bytes()
        image.write_bytes(iso.build("TOOLS", {"Linux/x.deb": b"-"}).ljust(len(whole), b"\0"))
        await refused("no Linux/xe-daemon", fake)
        image.write_bytes(whole[: whole.index(DAEMON)].ljust(2048, b"\0"))
        me.database.write("VDI", ref, "virtual_size", image.stat().st_size)
        await refused("Linux/xe-daemon cannot be read", "beyond the end")
        me.database.write("VDI", ref, "virtual_size", 2**31)
        await refused("2147483648 bytes")
        me.database.write("VDI", ref, "virtual_size", len(whole))
        for pbd in me.database.get("SR", me.database.get("VDI", ref)["SR"])["PBDs"]:
            me.database.write("PBD", pbd, "currently_attached", value=False)
        await refused(TOOLS_STORAGE)


@pytest.mark.limit(60)
async def test_an_edit_in_xencenter_keeps_them(tmp_path: Path) -> None:
    """It makes the drive anew by the plugin, and knows of no files; a drive that cannot be read is no hindrance."""
    async with drives(tmp_path) as one:
        world = one.client.one
        await world.pool.add_tools(iso.build("TOOLS", TOOLS))
        await world.core.commands.drives.create(world.vm("vm-1"), Order(agent=plan.AGENT_OF_TOOLS))
        second = await one.create()
        assert guest_agent.on_drive(one.content(second), "") == OURS
        one.core.images.path(second).write_bytes(b"\xff" * len(one.content(second)))
        third = await one.create()
        assert guest_agent.on_drive(one.content(third), "") == {}
