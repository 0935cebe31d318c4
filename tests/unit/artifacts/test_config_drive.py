"""What goes onto a config drive: tokens in every spelling, texts that guests can read, nothing that costs too much."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.artifacts import cloud_config, config_drive, drive_templates, iso_files, tokens, user_data
from roadstead.artifacts.config_drive import Guest
from roadstead.errors import InputError

KEY = "AAAAB3NzaC1yc2E="
GUEST = Guest("5a1f7f0e-0000-4000-8000-000000000001", "web1", f"ssh-rsa {KEY} xscontainer")
JOINED = GUEST._replace(device="2")
CLOUD = "#cloud-config\n"


def refusal(template: str, guest: Guest = GUEST) -> tuple[str, dict[str, str]]:
    """Why a template is refused: the code and its fields."""
    with pytest.raises(InputError) as refused:
        config_drive.prepare(template, guest)
    return refused.value.code, refused.value.fields


def filled(template: str, guest: Guest = GUEST) -> str:
    """What stands on the drive in a template's place."""
    return config_drive.prepare(template, guest).user_data


def test_tokens_are_replaced_in_both_spellings() -> None:
    """With and without XS; what only looks like one is left alone."""
    text = "{0}VMNAMETOHOSTNAME% {0}CONTAINERRSAPUB% {0}HINEXISTS%[{0}HIN%]{0}ENDHINEXISTS% 100%"
    for prefix in ("%", "%XS"):
        assert filled(text.format(prefix)) == f"web1 {KEY}  100%"
        assert filled(text.format(prefix), JOINED) == f"web1 {KEY} [2] 100%"
    for plain in ("date +%Y%m%d %H%M%S", "%%", "%h%", "%a b%", "%12345%", "%lower%"):
        assert filled(plain) == plain


def test_what_stands_in_a_block_goes_whole() -> None:
    """Also its tokens, and over lines; several blocks stand apart."""
    text = "a%HINEXISTS%b\n%HIN%%XSENDHINEXISTS%c%XSHINEXISTS%d%ENDHINEXISTS%e"
    assert filled(text) == "ace"
    assert filled(text, JOINED) == "ab\n2cde"


@pytest.mark.parametrize(
    ("template", "code", "line"),
    [
        ("a\nb %NOSUCHTOKEN%", "token-unknown", "2"),
        ("%XSXSHIN%", "token-unknown", "1"),
        ("\n\n%HIN%", "token-without-value", "3"),
        ("\n%HINEXISTS%", "token-unpaired", "2"),
        ("%ENDHINEXISTS%", "token-unpaired", "1"),
        ("%HINEXISTS%\n%HINEXISTS%%ENDHINEXISTS%", "token-unpaired", "2"),
    ],
)
def test_wrong_tokens_are_refused_with_their_line(template: str, code: str, line: str) -> None:
    """Before anything is made."""
    found, fields = refusal(template)
    assert (found, fields["line"]) == (code, line)


def test_windows_has_words_between_percent_signs_of_its_own() -> None:
    """Scripts for it keep them, and get ours."""
    for script in ("rem cmd\r\ncopy x %SYSTEMROOT%", "#ps1_sysnative\n$x = '%PATH%'"):
        assert filled(script) == script
    assert filled("rem cmd\nset n=%VMNAMETOHOSTNAME%") == "rem cmd\nset n=web1"


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("hostname: [a\nb: c", 3, 2, "did not find expected"),
        ("\tx: 1", 2, 1, "cannot start any token"),
        ("a: !!python/object:os.system x", 2, 4, "no guest knows the tag"),
        ("- a", 1, 1, "no map of settings"),
        ("just words", 1, 1, "no map of settings"),
        ("a: &a [*a]", 2, 4, "recursive"),
        ("a: *b", 2, 4, "undefined alias"),
        ("a: 1\n---\nb: 2", 3, 1, "a second document"),
        ("a: 1\nb: \x01", 3, 4, "U+0001"),
        ("{[a]: b}", 2, 2, "unhashable"),
        ("[" * 100_000, 2, 65, "nested deeper"),
        ("a: [" + "1, " * 60_000 + "]", 2, 149_993, "more than 50000 parts"),
        ("a: &a [1]\nb: [" + "*a, " * 40 + "]", 3, 133, "more than 32 aliases"),
    ],
)
def test_a_fault_in_a_cloud_config_has_a_place(text: str, line: int, column: int, reason: str) -> None:
    """Line and column as an editor counts them, and a reason."""
    code, fields = refusal(CLOUD + text)
    assert (code, fields["line"]) == ("config-invalid", str(line))
    assert reason in fields["reason"]
    if "more than" not in reason:
        assert fields["column"] == str(column)


def test_aliases_and_merges_cost_what_they_are_long() -> None:
    """Aliases of aliases, and maps merged into maps, are not multiplied out."""
    bomb = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 16))
    assert filled(CLOUD + bomb) == CLOUD + bomb
    digits = CLOUD + "a: " + "1:" * 200_000 + "1\n"
    assert filled(digits) == digits


def test_historic_templates_pass() -> None:
    """One as CoreOS had it, with units, a bare mode and a network that is only for some."""
    text = (
        "#cloud-config\n\nhostname: %XSVMNAMETOHOSTNAME%\nssh_authorized_keys:\n  # - ssh-rsa <Your public key>\n"
        "  # The following entry is for the pool\n  - ssh-rsa %XSCONTAINERRSAPUB%\ncoreos:\n  units:\n"
        "    - name: etcd.service\n      command: start\n    %XSHINEXISTS%\n    - name: 00-eth%XSHIN%.network\n"
        "      runtime: true\n      content: |\n        [Match]\n        Name=eth%XSHIN%\n    %XSENDHINEXISTS%\n"
        "write_files:\n  - path: /etc/x\n    permissions: 0644\n    content: |\n      a: 50%\n"
    )
    for guest in (GUEST, JOINED):
        drive = config_drive.prepare(text, guest)
        assert drive.opens
        assert config_drive.template_of(config_drive.image(drive)) == text


@pytest.mark.parametrize("profile", drive_templates.PROFILES.values(), ids=drive_templates.PROFILES)
def test_default_templates_let_the_pool_in(profile: str) -> None:
    """In the one line by which clients of old know it, so that a VM made with one needs only to be enabled."""
    if user_data.kind(profile) == "windows":  # which is reached over TLS
        assert not config_drive.prepare(profile, GUEST).opens
        return
    assert "\n  - ssh-rsa %CONTAINERRSAPUB%" in profile or user_data.kind(profile) == "ignition"
    drive = config_drive.prepare(profile, GUEST)
    assert drive.opens
    assert "%" not in drive.user_data


def test_the_key_is_looked_for_wherever_it_signs_in() -> None:
    """In the keys of the usual account and of others, whatever stands around it; a comment opens nothing."""
    for text, opens in (
        ("users:\n  - name: a\n    ssh_authorized_keys: ['ssh-rsa %CONTAINERRSAPUB%']\n", True),
        ("users:\n  - default\n  - {name: a, ssh-authorized-keys: ['from=\"x\" ssh-rsa %CONTAINERRSAPUB% y']}\n", True),
        (f"ssh_authorized_keys: [ssh-rsa {KEY}]\n", True),
        ("# - ssh-rsa %CONTAINERRSAPUB%\n", False),
        ("hostname: '%CONTAINERRSAPUB%'\nssh_authorized_keys: x\nusers: 7\n", False),
    ):
        assert config_drive.prepare(CLOUD + text, GUEST).opens is opens, text
    assert not config_drive.prepare("#!/bin/sh\n# ssh-rsa %CONTAINERRSAPUB%", GUEST).opens


def test_what_is_no_cloud_config_goes_as_it_is() -> None:
    """Scripts, Ignition, archives, mails and jinja are the guest's to read."""
    for text in (
        "#!/bin/sh\n[ : {",
        '{"ignition": {"version": "3.3.0"}}',
        "#cloud-config-archive\n- type: x",
        "Content-Type: multipart/mixed\n\n[",
        "## template: jinja\n#cloud-config\n{{ v1.x }}: [",
        "anything: [",
    ):
        assert filled(text) == text
    assert filled("#cloud-config") == "#cloud-config"
    assert refusal("#cloud-config \n[")[0] == "config-invalid"


def test_texts_are_bounded() -> None:
    """As they are given, and as tokens make them."""
    assert refusal(" \r\n\t")[0] == "field-invalid"
    assert refusal("x" * (config_drive.TEXT_BYTES + 1))[0] == "config-too-large"
    assert refusal("x%CONTAINERRSAPUB%" * 60_000, GUEST._replace(pool_key=f"ssh-rsa {KEY * 40} x"))[0] == (
        "config-too-large"
    )


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("Web Server 1", "webserver1"),
        ("ÄÖ-x", "x"),
        ("!!!", "vm-5a1f7f0e"),
        ("a" * 100, "a" * 63),
        ('a": \nb', "ab"),
    ],
)
def test_a_name_becomes_a_host_name(name: str, host: str) -> None:
    """Of letters and digits alone, so that it can break out of no text that it is put into."""
    assert config_drive.hostname(name, GUEST.uuid) == host


def metadata(template: str) -> dict[str, Any]:
    """What the drive says of the VM."""
    image = config_drive.image(config_drive.prepare(template, GUEST))
    said: dict[str, Any] = json.loads(iso_files.read(image, "openstack/latest/meta_data.json", 10_000))
    return said


def test_metadata_names_the_instance_and_brings_the_key_only_if_it_is_wanted() -> None:
    """Who took the key's line out of the template does not find the key in the metadata instead."""
    plain = {"uuid": GUEST.uuid, "hostname": "web1", "name": "web1"}
    assert metadata("#!/bin/sh\n") == plain
    assert metadata("#!/bin/sh\n# %XSCONTAINERRSAPUB%") == {**plain, "public_keys": {"xscontainer": GUEST.pool_key}}


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """Whatever somebody typed is read back as it was, or is refused with a code of ours."""
    for template in (text, CLOUD + text):
        try:
            drive = config_drive.prepare(template, GUEST)
        except InputError:
            continue
        assert config_drive.template_of(config_drive.image(drive)) == template


@given(st.text(alphabet="{}[]-:,&*!|>#%\n\t 'ab", max_size=60))
def test_any_yaml_is_read_or_refused(text: str) -> None:
    """The reader of cloud-configs ends in a map or in `config-invalid`."""
    try:
        assert isinstance(cloud_config.check(text), dict)
    except InputError as error:
        assert error.code == "config-invalid"  # noqa: PT017 - both ends are right


@given(st.lists(st.sampled_from([*(f"%{name}%" for name in tokens.KNOWN), "%XSHIN%", "a", "\n", "%"]), max_size=12))
def test_no_token_is_left_over(parts: list[str]) -> None:
    """What was filled in holds no token any more."""
    text = "".join(parts)
    try:
        said = tokens.fill(text, tokens.Values("web1", KEY, "2"))
    except InputError:
        return
    assert len(tokens.used(said)) <= text.count("%%")
