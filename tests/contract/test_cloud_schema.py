"""What we say of user data, beside what the ``cloud-init schema`` of Debian 12, 13 and sid says of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from roadstead.artifacts import cloud_forms, cloud_schema, user_data
from tests.contract.cloud_inits import RELEASES, SCHEMA, bare, run, version

pytestmark = pytest.mark.skipif(
    not all(release.is_dir() for release in RELEASES), reason="./scripts/setup could not fetch Debian's cloud-inits"
)
GOOD, WARNED, REFUSED = "good", "warned", "refused"
ALL, NONE = "refused refused refused", "good good good"
JUDGE = """
import json, sys
from cloudinit import safeyaml, util
from cloudinit.config import schema
load = getattr(safeyaml, "load", None) or util.load_yaml
def judged(text):
    try:
        said = util.load_yaml(text)
        if said is None:
            return "refused"
        schema.validate_cloudconfig_schema(said, strict=True)
    except schema.SchemaValidationError as error:
        return "refused" if error.schema_errors else "good"
    return "good"
print(json.dumps([judged(text) for text in json.load(open(sys.argv[1]))]))
"""
FORMS = """
import json, sys
from cloudinit import handlers
print(json.dumps([handlers.type_from_starts_with(text) for text in json.load(open(sys.argv[1]))]))
"""


class Sample(NamedTuple):
    """What comes after ``#cloud-config``, what the cloud-inits of Debian 12, 13 and sid say of it, what we say, and
    where (0: nowhere).
    """

    text: str
    theirs: str
    ours: str
    line: int = 0


NEWER = "good refused refused"
SAMPLES = [
    Sample("hostname: web1\n", NONE, GOOD),
    Sample("packages: [docker.io, [git, '1.2']]\npackage_update: true\n", NONE, GOOD),
    Sample("users:\n  - default\n  - name: a\n    groups: [docker]\n    sudo: ALL=(ALL) ALL\n", NONE, GOOD),
    Sample("write_files:\n  - {path: /a, content: b, permissions: '0644'}\n", NONE, GOOD),
    Sample("write_files:\n  - {path: /a, content: !!binary aGk=, permissions: '0644'}\n", NONE, GOOD),
    Sample("runcmd:\n  - ls\n  - [ls, -l]\nbootcmd: [ls]\n", NONE, GOOD),
    Sample("ssh_authorized_keys: [ssh-rsa AAAA]\nssh_pwauth: false\n", NONE, GOOD),
    Sample("x: &a {path: /a}\nwrite_files: [{<<: *a, content: b}]\n", NEWER, WARNED, 2),
    Sample("chpasswd:\n  expire: false\n  users: [{name: a, password: b, type: text}]\n", NONE, GOOD),
    Sample("packages: docker.io\n", ALL, REFUSED, 2),
    Sample("runcmd: ls\n", ALL, REFUSED, 2),
    Sample("runcmd:\n  - [sleep, 1]\n", ALL, REFUSED, 3),
    Sample("runcmd:\n  - 5\n", ALL, REFUSED, 3),
    Sample("hostname: 5\n", ALL, REFUSED, 2),
    Sample("hostname: 2020-01-01\n", ALL, REFUSED, 2),
    Sample("ssh_authorized_keys: ssh-rsa AAAA\n", ALL, REFUSED, 2),
    Sample("users:\n  - name: a\n    ssh_authorized_keys: ssh-rsa AAAA\n", ALL, REFUSED, 4),
    Sample("write_files:\n  - content: a\n", ALL, REFUSED, 3),
    Sample("write_files:\n  path: /a\n", ALL, REFUSED, 2),
    Sample("ntp: {enabled: maybe}\n", ALL, REFUSED, 2),
    Sample("ntp: {servers: 10.0.0.1}\n", ALL, REFUSED, 2),
    Sample("swap: {filename: /s, size: []}\n", ALL, REFUSED, 2),
    Sample("package_update: perhaps\n", ALL, REFUSED, 2),
    Sample("power_state: {delay: now}\n", ALL, REFUSED, 2),
    Sample("power_state: {mode: fly}\n", ALL, WARNED, 2),
    Sample("write_files:\n  - {path: /a, mode: '0644'}\n", ALL, WARNED, 3),
    Sample("write_files:\n  - path: /a\n    permissions: 0644\n", ALL, WARNED, 4),
    Sample("write_files:\n  - path: /a\n    permissions: 644\n", ALL, REFUSED, 4),
    Sample("packagse: [git]\n", NEWER, WARNED, 2),
    Sample("coreos: {}\n", NEWER, WARNED, 2),
    Sample("hostname: a\nhostname: b\n", NONE, WARNED, 3),
    Sample("ssh_pwauth: 'yes'\n", NONE, WARNED, 2),
    Sample("{[a]: b}\n", ALL, REFUSED, 2),
    Sample("final_message: 2020-13-45\n", ALL, REFUSED, 2),
]


@cache
def verdicts(release: Path, folder: Path) -> list[str]:
    """What a release's schema says of the samples."""
    told: list[str] = asked(release, folder, JUDGE, ["#cloud-config\n" + sample.text for sample in SAMPLES])
    return told


def asked(release: Path, folder: Path, program: str, texts: list[str]) -> Any:
    """What a program says of texts."""
    path = folder / f"{release.name}.json"
    path.write_text(json.dumps(texts))
    told = run(release, program, path)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where samples lie."""
    return tmp_path_factory.mktemp("samples")


@pytest.mark.parametrize("number", range(len(SAMPLES)), ids=[sample.text.split("\n")[0][:30] for sample in SAMPLES])
def test_we_find_what_they_find(folder: Path, number: int) -> None:
    """What any of them refuses we tell, with its line; what all take we do not refuse."""
    sample = SAMPLES[number]
    found = user_data.findings("#cloud-config\n" + sample.text, "cloud-config")
    ours = REFUSED if any(one.severity == "error" for one in found) else WARNED if found else GOOD

    assert " ".join(verdicts(release, folder)[number] for release in RELEASES) == sample.theirs
    assert (ours, found[0].line if found else 0) == (sample.ours, sample.line), found
    if "refused" in sample.theirs:
        assert ours != GOOD
    if sample.theirs == NONE:
        assert ours != REFUSED


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_the_schemas_are_theirs(release: Path) -> None:
    """What was taken over is what the package of that release has; `scripts/cloud-init-schemas` takes it over anew."""
    if not version(release).startswith(cloud_schema.VERSIONS[release.name].split()[0]):
        pytest.skip(f"Debian's {release.name} has {version(release)} by now")
    assert cloud_schema.schema(release.name) == bare(json.loads((release / SCHEMA).read_text()))


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_forms_are_told_apart_as_they_do(folder: Path, release: Path) -> None:
    """By how a text begins: what they do not know we say is dropped."""
    texts = [f"{each}\nx\n" for each in cloud_forms.DOES if each != "#upstart-job"]
    texts += ["hello\n", "#cloud-confg\n", "\n#include\nhttp://a/\n", "# cloud-config\n", "{}\n"]
    theirs = asked(release, folder, FORMS, texts)
    assert [cloud_forms.TYPES.get(kind or "", "") for kind in theirs] == [cloud_forms.form(text) for text in texts]


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_a_decimal_mode_is_another_mode(release: Path) -> None:
    """That is why it is refused; one that begins with a zero is what it looks like, and only warned of."""
    program = (
        "from cloudinit import util; from cloudinit.config.cc_write_files import decode_perms\n"
        "modes = [util.load_yaml(f'a: {mode}', allowed=(dict,))['a'] for mode in ('644', '0644')]\n"
        "print(*(oct(decode_perms(mode, None)) for mode in modes))"
    )
    assert run(release, program).stdout.split() == ["0o1204", "0o644"]
    text = "#cloud-config\nwrite_files:\n  - path: /a\n    permissions: {}\n"
    (refused,) = user_data.findings(text.format("644"), "cloud-config")
    (warned,) = user_data.findings(text.format("0644"), "cloud-config")
    assert (refused.severity, warned.severity) == ("error", "warning") and "the mode 1204" in refused.message
    assert [one.severity for one in user_data.findings(text.format("644"), "flatcar")] == ["warning"]
