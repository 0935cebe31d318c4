"""Texts for cloud-init: what stands in several parts, what costs too much to look at, and who is told of it."""

from __future__ import annotations

import pytest

from roadstead.artifacts import cloud_forms, config_drive, user_data
from roadstead.artifacts.config_drive import Guest
from roadstead.artifacts.yaml_values import Document
from roadstead.errors import InputError

GUEST = Guest("5a1f7f0e-0000-4000-8000-000000000001", "web1", "ssh-rsa AAAAB3NzaC1yc2E= xscontainer")
PARTS = """\
Content-Type: multipart/mixed; boundary="X"
MIME-Version: 1.0

--X
Content-Type: text/cloud-config

#cloud-config
packages: docker
ssh_authorized_keys: [ssh-rsa AAAAB3NzaC1yc2E= xscontainer]
--X
Content-Type: text/x-shellscript

#!/bin/sh
--X
Content-Type: application/x-thing

abc
--X--
"""


def told(text: str, profile: str = "cloud-config") -> list[tuple[int, str]]:
    """Where something is wrong, and how bad that is."""
    return [(one.line, one.severity) for one in user_data.findings(text, profile)]


def test_each_part_is_judged_at_its_lines() -> None:
    """And the pool's key is found in whichever part has it."""
    assert told(PARTS) == [(8, "error"), (17, "warning")]
    good = PARTS.replace("packages: docker", "packages: [docker]")
    assert told(good) == [(17, "warning")]
    assert config_drive.prepare(good, GUEST, "cloud-config").opens


def test_an_archive_is_a_list_of_parts() -> None:
    """What names no type is told by how it begins, else it is a cloud-config."""
    text = "#cloud-config-archive\n- type: text/x-shellscript\n  content: ls\n- '#!/bin/sh'\n- 'packages: [a]'\n"
    assert [part.form for part in cloud_forms.parts(text)] == ["#!", "#!", "#cloud-config"]
    assert told("#cloud-config-archive\na: b\n") == [(1, "error")]


@pytest.mark.parametrize("text", ["hello\n", "#cloud-confg\nhostname: a\n", "#upstart-job\n"])
def test_what_would_be_dropped_whole_is_refused(text: str) -> None:
    """cloud-init says so in a log alone."""
    assert told(text) == [(1, "error")]
    with pytest.raises(InputError) as refused:
        config_drive.prepare(text, GUEST, "cloud-config")
    assert refused.value.code == "config-invalid"


def test_flatcar_reads_few_forms() -> None:
    """What is cloud-init's alone is a warning there."""
    assert told("#include\nhttp://a/\n", "flatcar") == [(1, "warning")]
    assert told("#!/bin/sh\n", "flatcar") == []


def test_who_does_not_say_which_guest_it_is_for_is_not_refused() -> None:
    """Historic clients give a text alone."""
    text = "#cloud-config\npackages: docker\n"
    assert config_drive.prepare(text, GUEST).warnings
    with pytest.raises(InputError):
        config_drive.prepare(text, GUEST, "cloud-config")


def test_a_text_that_grows_is_not_built() -> None:
    """Aliases repeat what they name; what contains itself ends."""
    rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 7)]
    with pytest.raises(OverflowError):
        Document("\n".join(["a0: &a0 [x, x, x, x, x, x, x, x]", *rows]))
    assert Document("a: &a [*a]\n").value == {"a": [None]}


@pytest.mark.parametrize("number", ["1" * 5000, "1:" * 20000 + "1"])
def test_numbers_cost_nothing(number: str) -> None:
    """Those that Python does not read cloud-init does not either; of the others only the type counts."""
    assert len(Document(f"a: {number}\n").faults) == (0 if ":" in number else 1)
