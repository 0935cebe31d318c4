"""Templates of a pool: saved at the command line, and what new drives begin with, whoever asks for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roadstead.act.drives.templates import NewTemplate
from roadstead.artifacts import drive_templates
from tests.contract.plugged import plugged
from tests.contract.test_config_drive_commands import TEXT, operator

OWN = TEXT + "# ours\n"


@pytest.mark.limit(90)
async def test_a_saved_default_is_what_drives_begin_with(tmp_path: Path) -> None:
    """Saved, listed, used by `create` without options, replaced, brought back, removed; each change is in the audit."""
    file = tmp_path / "t.yaml"
    file.write_text(OWN)
    async with operator(tmp_path) as me:
        pool = me.one.seen_pool().name
        saved = await me.run("template", "save", pool, "cloud-config", str(file))
        assert (saved.code, "version 1" in saved.out) == (0, True), saved.err
        assert (await me.run("default", "vm-1")).out == OWN
        assert (await me.run("create", "vm-1", "--yes")).code == 0
        assert me.on_drive("user_data.template") == OWN
        assert (await me.run("template", "save", pool, "cloud-config", "-", given=OWN + "# 2\n")).code == 0
        late = await me.run("template", "save", pool, "cloud-config", "-", "--after", "1", given=OWN + "# 3\n")
        assert late.code == 1 and "newest version is 2" in late.err
        assert (await me.run("template", "show", pool, "cloud-config", "--version", "1")).out == OWN
        assert (await me.run("template", "restore", pool, "cloud-config", "1")).code == 0
        same = await me.run("template", "restore", pool, "cloud-config", "3")
        assert (same.code, "unchanged" in same.out) == (0, True)
        past = json.loads((await me.run("template", "history", pool, "cloud-config", "--format", "json")).out)
        assert [one["version"] for one in past] == [3, 2, 1, 0]
        assert (await me.run("default", "vm-1")).out == OWN
        assert "0 (built in)" in (await me.run("template", "history", pool, "cloud-config")).out
        for version in ("0", "built in", "0 (built in)"):
            former = await me.run("template", "show", pool, "cloud-config", "--version", version)
            assert former.out == drive_templates.PROFILES["cloud-config"]
        assert (await me.run("template", "restore", pool, "cloud-config", "newest")).code == 2
        listed = (await me.run("template", "list", pool)).out
        assert listed.count("built in") == len(drive_templates.PROFILES) - 1
        refused = await me.run("template", "remove", pool, "cloud-config")
        assert refused.code == 2 and "--yes" in refused.err
        assert (await me.run("template", "remove", pool, "cloud-config", "--yes")).code == 0
        assert (await me.run("default", "vm-1")).out == drive_templates.PROFILES["cloud-config"]
        gone = await me.run("template", "remove", pool, "cloud-config", "--yes")
        assert gone.code == 3 and "template history POOL NAME" in gone.err
        noted = [entry.what for entry in await me.one.core.commands.audit.recent(20)]
        for verb in ("save", "restore", "remove"):
            assert f"config-drive template {verb}" in noted


@pytest.mark.limit(90)
async def test_a_template_with_variables_is_made_with_their_values(tmp_path: Path) -> None:
    """Saved it tells them; a drive without a value for one is refused."""
    async with operator(tmp_path) as me:
        pool = me.one.seen_pool().name
        saved = await me.run("template", "save", pool, "web", "-", given=TEXT + "locale: %LANGUAGE%\n")
        assert "LANGUAGE" in saved.out
        refused = await me.run("create", "vm-1", "--template", "web", "--yes")
        assert refused.code == 2 and "%LANGUAGE%" in refused.err and me.counted() == (0, 0)
        made = await me.run("create", "vm-1", "--template", "web", "--var", "LANGUAGE=de_DE.UTF-8", "--yes")
        assert made.code == 0, made.err
        assert "locale: de_DE.UTF-8" in me.on_drive("user_data")
        missing = await me.run("create", "vm-1", "--template", "nothing", "--yes")
        assert missing.code == 3


async def test_clients_of_the_plugin_begin_with_the_pools_own(tmp_path: Path) -> None:
    """As XenCenter and Xen Orchestra ask, the master's way; of a VM that there is not, too."""
    async with plugged(tmp_path, vms=1) as client:
        commands, pool = client.one.core.commands, client.one.pool_id
        assert await client.call("get_config_drive_default", templateuuid="none") == (
            "True" + drive_templates.PROFILES["cloud-config"]
        )
        await commands.templates.save(pool, "cloud-config", NewTemplate(text=OWN))
        assert await client.call("get_config_drive_default", templateuuid="none") == "True" + OWN
        assert await client.call("get_config_drive_default", templateuuid=client.one.vm("vm-1").id) == "True" + OWN
