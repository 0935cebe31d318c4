"""What a guest does with a drive, in words: for each kind of text, and without a secret."""

from __future__ import annotations

import pytest

from roadstead.artifacts import config_drive, drive_templates, first_boot
from roadstead.artifacts.config_drive import Guest

GUEST = Guest("5a1f7f0e-0000-4000-8000-000000000001", "web1", "ssh-rsa AAAAB3NzaC1yc2E= xscontainer")
TOLD = {
    "cloud-config": [
        "takes the host name web1",
        "lets 1 key of the metadata into its own account",
        "calls its own account core",
        "lets 1 key of the text into its own account",
    ],
    "flatcar": [
        "takes the host name web1",
        "lets 1 key of the metadata into its own account",
        "lets 1 key of the text into its own account",
        "sets up the units docker.service",
    ],
    "ignition": [
        "sets up the account core, with 1 key",
        "writes /etc/hostname",
        "sets up the units docker.service",
    ],
    "windows": ["takes the host name web1", "runs the script once, as the system"],
}


@pytest.mark.parametrize("profile", TOLD)
def test_the_templates_are_told_in_words(profile: str) -> None:
    """Who looks at the preview sees accounts, keys, host name, files and units."""
    drive = config_drive.prepare(drive_templates.PROFILES[profile], GUEST, profile)
    assert list(config_drive.does(config_drive.files(drive), profile)) == TOLD[profile]


def test_what_is_secret_is_not_told() -> None:
    """Names, paths and counts alone; and not more of them than one reads."""
    text = """#cloud-config
hostname: db1
password: hunter2
users: [default, {name: ann, passwd: hunter2, ssh_authorized_keys: [a, b]}]
write_files: [{path: /etc/secret, content: hunter2}]
runcmd: [[login, --password=hunter2]]
packages: [a, b]
packagse: [c]
"""
    told = first_boot.told(text, "cloud-config", "web1", 0)
    assert told == (
        "takes the host name db1",
        "makes the account ann, with 2 keys",
        "writes /etc/secret",
        "installs 2 packages",
        "runs 1 command at the end of that boot",
        "applies password",
    )
    many = "#cloud-config\nwrite_files:\n" + "".join(f"  - path: /{number}\n" for number in range(20))
    assert "/7 and 12 more" in "".join(first_boot.told(many, "cloud-config", "web1", 0))


def test_a_script_is_told_as_what_it_is() -> None:
    """Whatever the form."""
    assert "runs it once, as root" in first_boot.told("#!/bin/sh\n", "cloud-config", "web1", 1)[-1]
