"""What tests of several files share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.unit.artifacts.homes import BUSYBOX, Home


@pytest.fixture(params=["sh", "bash", "busybox"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """A home where each of these is the shell; with busybox all tools are its own."""
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"there is no {request.param} here")
    shell, path = [found], os.environ["PATH"]
    if request.param == "busybox":
        tools = tmp_path / "bin"
        tools.mkdir()
        for name in BUSYBOX:
            (tools / name).symlink_to(found)
        shell, path = [str(tools / "sh")], str(tools)
    folder = tmp_path / "home"
    folder.mkdir()
    home = Home(folder, shell, path)
    for name in ("sshd", "sudo"):  # none of this machine is asked
        home.stand_in(name, "exit 1")
    return home
