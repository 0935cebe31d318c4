"""The CD with certificates: what is on it, read by others."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from roadstead.artifacts import certificates, tls_disk

MADE = certificates.make("win-1", ["10.0.1.17"], 30, "ec")
SERVER = {"server/ca.pem", "server/server-cert.pem", "server/server-key.pem"}
CLIENT = {"client/ca.pem", "client/cert.pem", "client/key.pem"}
OTHERS = {"daemon.json", "configure_tls.cmd", "configure_tls.ps1"}


def test_it_has_the_historic_names() -> None:
    """The client's key only on request."""
    assert set(tls_disk.contents(MADE, 2376)) == SERVER | OTHERS
    assert set(tls_disk.contents(MADE, 2376, with_client_key=True)) == SERVER | OTHERS | CLIENT


def test_daemon_json_is_json_with_the_keys_of_the_engine() -> None:
    """Paths of Windows have their backslashes doubled in it."""
    told = json.loads(tls_disk.contents(MADE, 4711)["daemon.json"])

    assert told["hosts"] == ["tcp://0.0.0.0:4711", "npipe://"]
    assert told["tlsverify"] is True
    assert told["tlskey"] == "C:\\ProgramData\\docker\\certs.d\\server-key.pem"
    assert set(told) == {"hosts", "tlsverify", "tlscacert", "tlscert", "tlskey"}


@pytest.mark.parametrize("name", ["configure_tls.cmd", "configure_tls.ps1"])
def test_scripts_do_not_depend_on_the_language(name: str) -> None:
    """Groups by their identifiers, the port filled in, lines that end as on Windows, no letter beyond ASCII."""
    text = tls_disk.contents(MADE, 4711)[name].decode("ascii")

    assert "*S-1-5-32-544:F" in text
    assert not re.search(r"Administrators:|BUILTIN", text)
    assert "@PORT@" not in text
    assert "4711" in text
    assert text.count("\n") == text.count("\r\n")
    assert "Docker TLS (Roadstead)" in text


def test_it_can_be_run_again() -> None:
    """Nothing in it asks whether to overwrite, and the firewall's rule is not added a second time."""
    text = tls_disk.contents(MADE, 2376)["configure_tls.cmd"].decode()
    copies = [line for line in text.splitlines() if "xcopy" in line]

    assert len(copies) == 4
    assert all("/Y" in line for line in copies)
    assert text.index("firewall delete rule") < text.index("firewall add rule")


def test_the_image_is_read_by_bsdtar(tmp_path: Path) -> None:
    """Label and files, by a program that others wrote."""
    image = tls_disk.image(MADE, 2376)
    (tmp_path / "tls.iso").write_bytes(image)
    bsdtar = shutil.which("bsdtar")
    if bsdtar is None:
        pytest.skip("bsdtar is needed")
    subprocess.run([bsdtar, "-xf", "tls.iso"], cwd=tmp_path, check=True)

    assert b"Container TLS" in image
    for path, content in tls_disk.contents(MADE, 2376).items():
        assert (tmp_path / path).read_bytes() == content
