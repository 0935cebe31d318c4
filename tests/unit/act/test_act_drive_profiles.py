"""For which profile a config drive is, when nobody says it: what is known of the VM's system decides."""

from __future__ import annotations

from typing import Any, cast

import pytest

from roadstead.act.drives.vm_drives import VmDrives
from roadstead.artifacts import drive_templates
from roadstead.model.config_keys import MODE
from tests.unit.fakes import records


class Tools:
    """Stands for the drives of pools and for the templates: guest tools that say ``system``."""

    def __init__(self, system: str) -> None:
        self._system = system

    async def choice(self, pool: str, vm: str, likely: str = "") -> drive_templates.Choice:
        del pool, vm
        return drive_templates.choose("db-1", self._system or likely)

    async def default(self, pool: str, profile: str) -> str:
        del pool
        return drive_templates.PROFILES[profile]


WINDOWS = records.engine(kind="windows")
FLATCAR = records.engine(os="Flatcar Container Linux by Kinvolk 4152.2.0")


@pytest.mark.parametrize(
    ("known", "system", "profile"),
    [
        ({}, "", "cloud-config"),
        ({}, "Microsoft Windows Server 2022 Standard", "windows"),
        ({"engine": WINDOWS}, "", "windows"),
        ({"engine": WINDOWS}, "Debian GNU/Linux 12", "windows"),
        ({"engine": FLATCAR}, "", "flatcar"),
        ({"settings": {MODE: "tls"}}, "", "windows"),
        ({"settings": {MODE: "tls"}}, "Debian GNU/Linux 12", "cloud-config"),
        ({"settings": {MODE: "tls"}, "engine": FLATCAR}, "", "flatcar"),
    ],
)
async def test_the_profile_is_that_of_the_system(known: dict[str, Any], system: str, profile: str) -> None:
    """The engine in the VM knows best, then the guest tools; only then it counts how the engine is reached."""
    tools = cast("Any", Tools(system))
    drives = VmDrives(tools, tools, cast("Any", None), cast("Any", None))
    assert (await drives.default(records.vm(**known), "")).profile == profile
