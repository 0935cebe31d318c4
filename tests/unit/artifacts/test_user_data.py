"""Texts for config drives: whose they are, what is wrong with them and where, and how they are shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from roadstead.artifacts import (
    authorized_keys,
    config_drive,
    drive_masking,
    drive_templates,
    ignition,
    tokens,
    user_data,
)
from roadstead.artifacts.config_drive import Guest
from roadstead.errors import InputError

KEY = "AAAAB3NzaC1yc2E="
GUEST = Guest("5a1f7f0e-0000-4000-8000-000000000001", "web1", f"ssh-rsa {KEY} xscontainer")
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9nqFJfzkG8ttt8Iszm4dJf0OtaiAqaMHwtQ0GtIcN me@example"


def config(**sections: Any) -> str:
    """An Ignition config."""
    return json.dumps({"ignition": {"version": "3.3.0"}, **sections}, indent=2)


@pytest.mark.parametrize("profile", sorted(drive_templates.PROFILES))
def test_templates_are_good_for_their_own_guests(profile: str) -> None:
    """Without a fault or a warning, with and without a card in the host-internal network."""
    assert user_data.findings(drive_templates.PROFILES[profile], profile) == []


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("{", 1, "expecting"),
        ('{\n "a": 1,\n}', 3, "expecting"),
        ('{\n "ignition": {}\n}', 2, "names no version"),
        (config().replace("3.3.0", "3.9.0"), 3, "3.9.0"),
        (config(storage={"files": [{}]}), 7, "no path"),
        (config(storage={"files": [{"path": "a/b"}]}), 8, "no whole path"),
        (config(storage={"files": [{"path": "/a"}, {"path": "/a"}]}), 11, "twice"),
        (config(storage={"files": [{"path": "/a", "mode": "0644"}]}), 9, "decimal"),
        (config(storage={"files": [{"path": "/a", "contents": {"source": "x"}}]}), 10, "no URL"),
        (config(systemd={"units": [{"name": "docker"}]}), 8, "systemd unit"),
        (config(passwd={"users": [{"name": "a", "sshAuthorizedKeys": "x"}]}), 9, "list of texts"),
        ('{"a": ' + "[" * 100_000, 1, "nested deeper"),
        ('{"a": ' + "1" * 5000 + "}", 1, "too large"),
    ],
)
def test_a_fault_in_ignition_has_a_place(text: str, line: int, reason: str) -> None:
    """Before anything is made: the guest would stop in its emergency shell."""
    with pytest.raises(InputError) as refused:
        config_drive.prepare(text, GUEST)
    assert (refused.value.code, refused.value.fields["line"]) == ("config-invalid", str(line))
    assert reason in refused.value.fields["reason"]


def test_places_are_those_of_the_text_as_it_was_written() -> None:
    """However it is laid out, and whatever stands in its texts."""
    text = '{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/[{,:\\"","mode":1},\n  {"path":"b"}]}}'
    (fault,) = ignition.read(text).faults
    assert (fault.line, fault.column) == (2, 4)


def test_what_ignition_passes_over_is_a_warning() -> None:
    """A misspelt name is told with its place, and refused by nobody."""
    found = user_data.findings(config(units=[], storage={"file": []}), "ignition")
    assert [(one.line, one.severity, one.message.partition(" among")[0]) for one in found] == [
        (5, "warning", "there is no 'units'"),
        (7, "warning", "there is no 'file' in storage"),
    ]


def test_former_specifications_are_flatcars() -> None:
    """They pass unchecked, with a warning."""
    text = '{"ignition": {"version": "2.2.0"}, "anything": 1}'
    drive = config_drive.prepare(text, GUEST, "flatcar")
    assert drive.warnings
    with pytest.raises(InputError):
        config_drive.prepare(text, GUEST, "ignition")


@pytest.mark.parametrize(
    ("name", "system", "profile"),
    [
        ("web1", "", "cloud-config"),
        ("CoreOS", "", "flatcar"),
        ("my flatcar", "Debian GNU/Linux 13", "cloud-config"),
        ("x", "Fedora CoreOS 41.20241027 fedora", "ignition"),
        ("fcos-3", "", "ignition"),
        ("web1", "Microsoft Windows Server 2022", "windows"),
        ("Windows 2022 template", "", "windows"),
    ],
)
def test_the_profile_is_what_the_system_says_else_the_name(name: str, system: str, profile: str) -> None:
    """The guest tools know better than whoever named the VM."""
    assert drive_templates.choose(name, system).profile == profile


def test_a_guest_is_not_given_what_it_does_not_read() -> None:
    """Fedora CoreOS stops at a cloud-config; cloud-init passes Ignition over."""
    for profile, text in (("ignition", "#cloud-config\n"), ("cloud-config", config()), ("windows", config())):
        with pytest.raises(InputError) as refused:
            config_drive.prepare(text, GUEST, profile)
        assert refused.value.code == "config-of-another-profile"
    assert config_drive.prepare("#!/bin/sh\n", GUEST, "cloud-config").warnings == ()


def test_warnings_tell_what_is_passed_over() -> None:
    """Keys that a reader does not know, and modes that two versions of YAML read in two ways."""
    text = "#cloud-config\npackages: [a]\ncoreos:\n  etcd: {}\nwrite_files:\n  - permissions: 0644\n"
    found = {(one.line, one.severity) for one in user_data.findings(text, "flatcar")}
    assert found == {(2, "warning"), (4, "warning"), (6, "warning")}
    assert {one.line for one in user_data.findings(text, "cloud-config")} == {3, 6}
    assert user_data.findings(text.replace("0644", "'0644'"), "")[0].line == 3


def test_keys_are_added_beside_those_that_are_there() -> None:
    """In the metadata, so that the text stays as it is; Ignition reads none, so there in its user ``core``."""
    template = drive_templates.PROFILES["cloud-config"]
    drive = config_drive.prepare(template, GUEST, "cloud-config", (ED25519,))
    files = config_drive.contents(config_drive.image(drive))
    assert config_drive.ssh_keys_of(files) == (ED25519,)
    assert config_drive.template_in(files) == template
    own = config(passwd={"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-rsa own"]}]})
    said = json.loads(config_drive.prepare(own, GUEST, "ignition", (ED25519,)).user_data)
    assert said["passwd"]["users"] == [{"name": "core", "sshAuthorizedKeys": ["ssh-rsa own", ED25519]}]
    for line in ("", "ssh-rsa", f"ssh-rsa {ED25519.split()[1]}", f"no-pty {ED25519}", ED25519 + "\nx"):
        assert not authorized_keys.is_public_key(line)
    assert authorized_keys.is_public_key(ED25519)


def test_variables_are_replaced_and_must_be_used() -> None:
    """What a value holds is not replaced again by another variable; tokens in it are."""
    text = tokens.assign("%SITE% %DB_2%", {"SITE": "%DB_2% %VMNAMETOHOSTNAME%", "DB_2": "x"})
    assert text == "%DB_2% %VMNAMETOHOSTNAME% x"
    for variables, code in (({"ab": "x"}, "invalid"), ({"XSHIN": "x"}, "invalid"), ({"SITES": "x"}, "unused")):
        with pytest.raises(InputError) as refused:
            tokens.assign("%SITE%", variables)
        assert refused.value.code == f"variable-{code}"


def test_secrets_are_masked_and_keys_are_not() -> None:
    """Whatever way they are written in; who may sign in is what one wants to see."""
    text = (
        "ssh_authorized_keys:\n  - ssh-rsa AAAA me\npassword: hunter1\nmy_secret: |\n"
        "  hunter2\n\n  hunter3\nruncmd: [ls]\nchpasswd:\n  list: |\n    root:hunter4\nfiles:\n  - content: |\n"
        "      -----BEGIN OPENSSH PRIVATE KEY-----\n"
        "      hunter5\n      -----END OPENSSH PRIVATE KEY-----\n"
        '  - {"sshAuthorizedKeys": ["ssh-rsa BBBB me"], "passwordHash": "hunter6"}\n'
    )
    shown = drive_masking.masked(text)
    assert "hunter" not in shown
    for kept in ("  - ssh-rsa AAAA me", "runcmd: [ls]", '["ssh-rsa BBBB me"]', "root:"):
        assert kept in shown


@pytest.mark.parametrize("profile", ["windows", ""])
def test_a_script_that_cloudbase_init_would_pass_over_is_warned_of(profile: str) -> None:
    """It looks at the very first characters only; a mark or an empty line before them hides the script."""
    for text in ("#ps1_sysnative\n", "#ps1\r\n", "#ps1_x86\n", "rem cmd\n"):
        assert user_data.judge(text, profile).warnings == []
        for late in (f"\n{text}", f"\ufeff{text}", text.upper()):
            (warning,) = user_data.judge(late, profile).warnings
            assert (warning.line, "very first" in warning.reason) == (1, True)


def test_what_is_no_token_hides_nothing_else() -> None:
    """It is told once, not again as YAML that cannot be read, and what is wrong further on is told with it."""
    text = "#cloud-config\nhostname: %FOO%\nruncmd: 3\n"
    found = [(one.line, one.message) for one in user_data.findings(text, "cloud-config")]
    assert found[0] == (2, "there is no token %FOO%")
    assert [line for line, _ in found] == [2, 3]
