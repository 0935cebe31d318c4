"""Debian's cloud-init reads the drives: what it finds, what its schema says of the templates, what it passes over."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from roadstead.artifacts import cloud_config, config_drive, drive_templates, iso
from roadstead.artifacts.config_drive import Guest
from roadstead.plan import config_drives as plan
from roadstead.settings.schema import Settings
from tests.contract.cloud_inits import RELEASES
from tests.contract.cloud_inits import run as run_in

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
RUN = """
import sys
from cloudinit import sources, stages
folder = sys.argv[1]
told = {
    "datasource_list": ["ConfigDrive"],
    "system_info": {"paths": {"cloud_dir": f"{folder}/cloud", "run_dir": f"{folder}/run"}, "distro": "debian"},
}
sources.dmi.read_dmi_data = {"system-uuid": sys.argv[2]}.get
stages.Init.read_cfg = lambda self, extra_fns=None: setattr(self, "_cfg", told)
init = stages.Init(ds_deps=[sources.DEP_FILESYSTEM])
init.initialize()
init.fetch(existing="check")
init.instancify()
print(init.is_new_instance(), init.datasource.get_instance_id())
init.update()
"""
"""What cloud-init does when a guest boots, up to where it decides whether everything of an instance runs."""

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


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
@pytest.mark.parametrize("profile", CLOUD_CONFIGS)
def test_every_release_finds_it(tmp_path: Path, profile: str, release: Path) -> None:
    """By its own reader and schema, which differ."""
    if not release.is_dir():
        pytest.skip("./scripts/setup could not fetch this cloud-init")
    drive = config_drive.prepare(drive_templates.PROFILES[profile], GUEST)
    for path, text in config_drive.files(drive).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    told = run_in(release, READER, tmp_path)

    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    assert (found["metadata"]["instance-id"], found["userdata"]["hostname"]) == (GUEST.uuid, "web1")
    assert found["metadata"]["public_keys"] == {"xscontainer": GUEST.pool_key}


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


def booted(folder: Path, instance: str) -> list[str]:
    """Whether a guest that boots with a drive takes itself for a new instance, and for which one; what it keeps of
    earlier boots is in the folder.
    """
    seed = folder / "cloud" / "seed" / "config_drive"
    shutil.rmtree(seed, ignore_errors=True)
    drive = config_drive.prepare(drive_templates.PROFILES["cloud-config"], GUEST._replace(instance=instance))
    for path, text in config_drive.files(drive).items():
        (seed / path).parent.mkdir(parents=True, exist_ok=True)
        (seed / path).write_text(text)
    shutil.rmtree(folder / "run", ignore_errors=True)
    run = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", RUN, folder, GUEST.uuid],
        env={"PYTHONPATH": str(CLOUD_INIT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_a_new_instance_id_is_applied_again_and_the_same_one_is_not(tmp_path: Path) -> None:
    """A drive made anew under the same id is passed over; under another it is a first boot, once."""
    first, second = (plan.instance([], f"{GUEST.uuid}{number}", again=False) for number in (1, 2))

    assert booted(tmp_path, first) == ["True", first]
    assert booted(tmp_path, first) == ["False", first]
    assert booted(tmp_path, second) == ["True", second]
    assert booted(tmp_path, second) == ["False", second]


def test_the_uuid_of_the_vm_as_instance_id_hides_later_ones(tmp_path: Path) -> None:
    """Why a drive has an id of its own: the machine's uuid is the VM's, and cloud-init holds on to what agrees."""
    assert booted(tmp_path, "") == ["True", GUEST.uuid]
    assert booted(tmp_path, plan.instance([], GUEST.uuid, again=True)) == ["False", GUEST.uuid]
