"""Debian's ``ignition-validate`` judges what goes onto drives as we do: no more and no less is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from roadstead.artifacts import config_drive, drive_templates, ignition
from roadstead.artifacts.config_drive import Guest

VALIDATE = Path(__file__).parents[2] / ".venv" / "cloud-init" / "usr" / "bin" / "ignition-validate"
GUEST = Guest("5a1f7f0e-0000-4000-8000-000000000001", "web1", "ssh-rsa AAAAB3NzaC1yc2E= xscontainer")

pytestmark = pytest.mark.skipif(not VALIDATE.exists(), reason="./scripts/setup could not fetch Debian's ignition")


def accepts(folder: Path, text: str) -> bool:
    """Whether Ignition takes a text."""
    file = folder / "config.ign"
    file.write_text(text)
    return subprocess.run([VALIDATE, file], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("keys", [(), ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me",)])
def test_it_takes_the_template(tmp_path: Path, keys: tuple[str, ...]) -> None:
    """With its tokens filled in, and with further keys."""
    drive = config_drive.prepare(drive_templates.PROFILES["ignition"], GUEST, "ignition", keys)
    assert accepts(tmp_path, drive.user_data)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"units": []},
        {"ignition": {}},
        {"ignition": {"version": "3.9.0"}},
        {"ignition": []},
        {"passwd": []},
        {"passwd": {"users": [{"name": "a"}, {"name": "a"}]}},
        {"passwd": {"users": [{"name": "a", "sshAuthorizedKeys": "x"}]}},
        {"storage": {"files": [{}]}},
        {"storage": {"files": {}}},
        {"storage": {"files": [{"path": "a/b"}]}},
        {"storage": {"files": [{"path": "/a/"}]}},
        {"storage": {"files": [{"path": "/a/../b"}]}},
        {"storage": {"files": [{"path": "/a"}, {"path": "/a"}]}},
        {"storage": {"files": [{"path": "/a", "mode": "0644"}]}},
        {"storage": {"files": [{"path": "/a", "mode": 420, "contents": {"source": "data:,x"}}]}},
        {"storage": {"files": [{"path": "/a", "mode": 99999}]}},
        {"storage": {"files": [{"path": "/a", "contents": {"source": "x"}}]}},
        {"systemd": {"units": [{"name": "docker"}]}},
        {"systemd": {"units": [{"name": "a b.service"}, {"name": "getty@.service"}]}},
    ],
    ids=json.dumps,
)
def test_both_judge_alike(tmp_path: Path, sections: dict[str, Any]) -> None:
    """One by one, what can be wrong."""
    text = json.dumps({"ignition": {"version": "3.3.0"}, **sections})
    assert (not ignition.read(text).faults) == accepts(tmp_path, text)
