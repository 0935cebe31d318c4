"""Debian's cloud-init reads the drives: what it finds, what its schema says of the templates, what it passes over."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from roadstead.artifacts import cloud_config, config_drive, drive_templates, iso
from roadstead.artifacts.config_drive import Guest
from roadstead.settings.schema import Settings

CLOUD_INIT = Path(__file__).parents[2] / ".venv" / "cloud-init" / "usr" / "lib" / "python3" / "dist-packages"
PYTHON = "/usr/bin/python3"
GUEST = Guest("5a1f7f0e-0000-4000-8000-000000000001", "web1", "ssh-rsa AAAAB3NzaC1yc2E= xscontainer")
READER = """
import json, sys
from cloudinit import util
from cloudinit.config import schema
from cloudinit.sources.DataSourceConfigDrive import read_config_drive
found = read_config_drive(sys.argv[1])
said = util.load_yaml(found["userdata"])
tested = {name: value for name, value in said.items() if name != "coreos"}
schema.validate_cloudconfig_schema(tested, strict=True)
print(json.dumps({"metadata": found["metadata"], "userdata": said}))
"""
ACCOUNTS = """
import json, sys
from cloudinit import util
from cloudinit.distros import ug_util
said, system = (util.load_yaml(open(path).read()) for path in sys.argv[1:])
class Image:
    def get_default_user(self):
        return system["system_info"]["default_user"]
users, _ = ug_util.normalize_users_groups({**system, **said}, Image())
print(json.dumps(users))
"""

pytestmark = pytest.mark.skipif(
    not (CLOUD_INIT.is_dir() and Path(PYTHON).exists()), reason="./scripts/setup could not fetch Debian's cloud-init"
)


def read(folder: Path, image: bytes) -> subprocess.CompletedProcess[str]:
    """What cloud-init makes of an image, which xorriso unpacks."""
    (folder / "drive.iso").write_bytes(image)
    unpack = ["xorriso", "-osirrox", "on", "-indev", f"{folder}/drive.iso", "-extract", "/", f"{folder}/drive"]
    subprocess.run(unpack, check=True, capture_output=True)
    return subprocess.run(
        [PYTHON, "-W", "ignore", "-c", READER, folder / "drive"],
        env={"PYTHONPATH": str(CLOUD_INIT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


CLOUD_CONFIGS = [name for name, text in drive_templates.PROFILES.items() if cloud_config.is_one(text)]


@pytest.mark.parametrize("profile", CLOUD_CONFIGS)
def test_it_finds_everything_on_a_drive_made_from_a_template(tmp_path: Path, profile: str) -> None:
    """The instance, its name, the pool's key; and the template is right by cloud-init's own schema."""
    drive = config_drive.prepare(drive_templates.PROFILES[profile], GUEST)
    run = read(tmp_path, config_drive.image(drive))

    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["metadata"]["instance-id"] == GUEST.uuid
    assert found["metadata"]["local-hostname"] == "web1"
    assert found["metadata"]["public_keys"] == {"xscontainer": GUEST.pool_key}
    assert found["userdata"]["hostname"] == "web1"
    assert found["userdata"]["ssh_authorized_keys"] == ["ssh-rsa AAAAB3NzaC1yc2E= xscontainer"]


def test_it_finds_further_keys_beside_those_of_the_text(tmp_path: Path) -> None:
    """They are in the metadata; the text stays as it was given."""
    added = ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9nqFJfzkG8ttt8Iszm4dJf0OtaiAqaMHwtQ0GtIcN me",)
    drive = config_drive.prepare(drive_templates.PROFILES["cloud-config"], GUEST, "cloud-config", added)
    run = read(tmp_path, config_drive.image(drive))

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["metadata"]["public_keys"] == {"xscontainer": GUEST.pool_key, "key-1": added[0]}


def test_it_passes_over_a_drive_without_metadata(tmp_path: Path) -> None:
    """As the historic pack made them: what we add is what makes cloud-init read a drive at all."""
    run = read(tmp_path, iso.build("config-2", {"openstack/latest/user_data": b"#cloud-config\n{}\n"}))

    assert run.returncode != 0
    assert "NonReadable" in run.stderr


def test_the_account_is_the_one_that_roadstead_signs_in_as(tmp_path: Path) -> None:
    """What the image calls its own account (here as Debian's does) gets the name by which the VM is managed, keeps its
    other properties, and may use the engine: a VM made with the default drive needs only enabling.
    """
    drive = config_drive.prepare(drive_templates.PROFILES[drive_templates.CLOUD_CONFIG], GUEST)
    (tmp_path / "text").write_text(drive.user_data)
    run = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", ACCOUNTS, tmp_path / "text", CLOUD_INIT.parents[3] / "etc/cloud/cloud.cfg"],
        env={"PYTHONPATH": str(CLOUD_INIT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert run.returncode == 0, run.stderr
    users: dict[str, Any] = json.loads(run.stdout)
    ((name, account),) = users.items()
    assert name == Settings().link.user
    assert account["default"] is True  # to which the keys go
    assert "docker" in account["groups"]
    assert account["lock_passwd"] is True
