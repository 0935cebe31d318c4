"""The guest agent's files: taken from an ISO that another program made, put onto a drive, taken from that again."""

from __future__ import annotations

import mmap
import struct
import subprocess
from pathlib import Path

import pytest

from roadstead.artifacts import config_drive, drive_templates, guest_agent, iso
from roadstead.artifacts.config_drive import Guest
from roadstead.errors import InputError
from roadstead.plan import config_drives as plan

GUEST = Guest("5a1f7f0e-0000-4000-8000-000000000001", "web1", "ssh-rsa AAAAB3NzaC1yc2E= xscontainer")
TOOLS = {
    "Linux/xe-daemon": b"\x7fELF" + bytes(range(256)) * 40,
    "Linux/xe-linux-distribution": b"#!/bin/sh\n",
    "Linux/xe-linux-distribution.service": b"[Unit]\n",
    "Linux/versions.deb": b"",
    "Linux/xe-guest-utilities_7.20.0_amd64.deb": b"not taken",
    "Windows/setup.exe": b"MZ",
}


def refusal(image: bytes) -> InputError:
    """Why nothing is taken of a tools ISO."""
    with pytest.raises(InputError) as refused:
        guest_agent.in_tools(image, "disk-1")
    return refused.value


@pytest.mark.parametrize("options", [(), ("-joliet", "on")], ids=["Rock Ridge", "Joliet"])
def test_the_named_files_are_taken_and_programs_may_be_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    """From the folder ``Linux`` of an ISO by xorriso, only what is named; others read the drive that is made."""
    for path, content in TOOLS.items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(content)
    made = ["xorriso", *options, "-outdev", str(tmp_path / "tools.iso"), "-map", str(tmp_path / "in"), "/"]
    subprocess.run(made, check=True, capture_output=True)
    with (tmp_path / "tools.iso").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        taken = guest_agent.in_tools(image, "disk-1")
    assert taken == {path.replace("Linux/", "agent/"): content for path, content in list(TOOLS.items())[:4]}

    template = drive_templates.PROFILES["coreos"]
    drive = config_drive.prepare(template, GUEST, "coreos")._replace(agent=taken)
    (tmp_path / "drive.iso").write_bytes(config_drive.image(drive))
    unpack = [
        "xorriso",
        "-osirrox",
        "on",
        "-indev",
        str(tmp_path / "drive.iso"),
        "-extract",
        "/",
        str(tmp_path / "out"),
    ]
    subprocess.run(unpack, check=True, capture_output=True)
    assert (tmp_path / "out/agent/xe-daemon").read_bytes() == TOOLS["Linux/xe-daemon"]
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out/agent").iterdir()}
    assert (modes["xe-daemon"], modes["xe-linux-distribution.service"]) == (0o555, 0o444)
    assert guest_agent.on_drive((tmp_path / "drive.iso").read_bytes(), "disk-2") == taken
    assert config_drive.template_of((tmp_path / "drive.iso").read_bytes()) == template


def test_an_iso_without_the_agent_is_named() -> None:
    """Newer releases have packages only; no image at all is the same."""
    without = iso.build("TOOLS", {"Linux/install.sh": b"", "Linux/xe-guest-utilities.deb": b""})
    for image in (without, b"", bytes(100_000)):
        assert refusal(image).code == "tools-iso-without-agent"


@pytest.mark.parametrize(
    ("field", "value", "reason"), [(10, 2**31, "too large"), (2, 2**30, "beyond the end")], ids=["size", "place"]
)
def test_an_iso_that_lies_is_named_with_the_file(field: int, value: int, reason: str) -> None:
    """No announced size or place is believed."""
    image = bytearray(iso.build("TOOLS", {"Linux/xe-daemon": b"x" * 5000}))
    found = 0
    while (found := image.find(struct.pack("<I", 5000), found + 1)) >= 0:
        struct.pack_into("<I", image, found - 10 + field, value)
    error = refusal(bytes(image))
    assert (error.code, error.fields["file"]) == ("tools-iso-unreadable", "Linux/xe-daemon") and reason in str(error)


def test_all_files_together_fit_onto_a_drive() -> None:
    """With the largest texts besides; what is more is refused, and so is one that is too large by itself."""
    half = b"x" * (guest_agent.ALL_BYTES // 2)
    fits = guest_agent.in_tools(iso.build("T", {"Linux/xe-daemon": half, "Linux/install.sh": half}), "d")
    text = "#cloud-config\n" + "#" * (config_drive.TEXT_BYTES - 20)
    drive = config_drive.prepare(text, GUEST)._replace(agent=fits)
    assert len(config_drive.image(drive)) <= plan.DRIVE_BYTES - plan.ROUNDED_BYTES
    too_many = {"Linux/xe-daemon": half, "Linux/install.sh": half, "Linux/versions.rpm": b"x"}
    assert refusal(iso.build("T", too_many)).fields["file"] == "Linux/versions.rpm"
    assert (
        refusal(iso.build("T", {"Linux/xe-daemon": bytes(guest_agent.FILE_BYTES + 1)})).code == "tools-iso-unreadable"
    )
