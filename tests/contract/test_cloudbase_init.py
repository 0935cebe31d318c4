"""cloudbase-init, as Windows has it, reads the drives of the profile ``windows``.

Its config drive service finds what is on them, and its plugin for user data takes our texts. What runs a script, and
what finds the CD, are Windows' own: both are stood in for, and say what they were given.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from roadstead.artifacts import config_drive, drive_templates
from roadstead.artifacts.config_drive import Guest

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roadstead" / "cloudbase-init"
GUEST = Guest("5a1f7f0e-0000-4000-8000-000000000001", "web1", "ssh-rsa AAAAB3NzaC1yc2E= xscontainer")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9nqFJfzkG8ttt8Iszm4dJf0OtaiAqaMHwtQ0GtIcN me"
READER = r"""
import json, os, shutil, subprocess, sys
from cloudbaseinit.metadata.services import configdrive
from cloudbaseinit.metadata.services.osconfigdrive import base, factory
from cloudbaseinit.osutils import posix
from cloudbaseinit.plugins.common import userdata

drive, ran = sys.argv[1], []

class Manager(base.BaseConfigDriveManager):
    def get_config_drive_files(self, drive_label, metadata_file, **searched):
        told = subprocess.run(["xorriso", "-indev", drive, "-pvd_info"], capture_output=True, text=True).stdout
        if f"Volume Id    : {drive_label}\n" not in told:
            return False
        unpack = ["xorriso", "-osirrox", "on", "-indev", drive, "-extract", "/", self.target_path]
        subprocess.run(unpack, check=True, capture_output=True)
        return os.path.isfile(os.path.join(self.target_path, *metadata_file.split("\\")))

def noted(way):
    def run(self, command, *args, **named):
        ran.append([way, open(command if isinstance(command, str) else command[-1], newline="").read()])
        return b"", b"", 0
    return run

factory.get_config_drive_manager = Manager
posix.PosixUtils.execute_powershell_script = noted("powershell")
posix.PosixUtils.execute_process = noted("cmd")
service = configdrive.ConfigDriveService()
assert service.load()
userdata.UserDataPlugin().execute(service, {})
names = (service.get_instance_id(), service.get_host_name())
print(json.dumps({"names": names, "keys": service.get_public_keys(), "ran": ran}))
service.cleanup()
"""
SCRIPT = "#ps1_sysnative\nWrite-Host hello\n"
PARTS = """\
Content-Type: multipart/mixed; boundary="part"
MIME-Version: 1.0

--part
Content-Type: text/x-shellscript
Content-Disposition: attachment; filename="one.ps1"

#ps1_sysnative
Write-Host one
--part
Content-Type: text/cloud-config

#cloud-config
write_files:
- path: {path}
  permissions: '0644'
  content: two
--part--
"""

pytestmark = pytest.mark.skipif(
    not (FOLDER / "stamp").exists(), reason="cloudbase-init is not there: ./scripts/cloudbase-init fetches it"
)


def read(folder: Path, text: str, *keys: str) -> tuple[config_drive.Drive, dict[str, Any]]:
    """A drive that is made of a text, and what cloudbase-init makes of it."""
    drive = config_drive.prepare(text, GUEST, drive_templates.WINDOWS, keys)
    image = folder / "drive.iso"
    image.write_bytes(config_drive.image(drive))
    run = subprocess.run(
        [FOLDER / "bin" / "python", "-W", "ignore", "-c", READER, image],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return drive, json.loads(run.stdout.splitlines()[-1])


def test_it_finds_the_instance_its_name_and_keys(tmp_path: Path) -> None:
    """Without a key of the operator's there is none: the pool's opens no Windows."""
    text = drive_templates.PROFILES[drive_templates.WINDOWS]
    drive, found = read(tmp_path, text, KEY)

    assert found["names"] == [GUEST.uuid, GUEST.hostname]
    assert KEY in found["keys"]
    assert found["ran"] == [["powershell", drive.user_data]]


@pytest.mark.parametrize(
    ("text", "way"),
    [
        (SCRIPT, "powershell"),
        ("#ps1\nhello\n", "powershell"),
        ("#ps1_x86\nhello\n", "powershell"),
        ("rem cmd\n", "cmd"),
    ],
)
def test_it_runs_what_we_call_a_script_for_windows(tmp_path: Path, text: str, way: str) -> None:
    """As it was given, and we have nothing to say against it."""
    drive, found = read(tmp_path, text)

    assert (found["ran"], drive.warnings) == ([[way, text]], ())


@pytest.mark.parametrize("text", [f"\n{SCRIPT}", f"\ufeff{SCRIPT}", SCRIPT.replace("ps1", "PS1"), "#ps1script\n"])
def test_what_it_passes_over_is_warned_of(tmp_path: Path, text: str) -> None:
    """A script that begins a character too late, or in another case, is never run: who writes it is told."""
    drive, found = read(tmp_path, text)

    assert found["ran"] == []
    assert "very first characters" in drive.warnings[0]


def test_it_takes_several_parts(tmp_path: Path) -> None:
    """A script and a cloud-config in one text."""
    _, found = read(tmp_path, PARTS.format(path=tmp_path / "two"))

    assert found["ran"] == [["powershell", "#ps1_sysnative\nWrite-Host one"]]
    assert (tmp_path / "two").read_text() == "two"
