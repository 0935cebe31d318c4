"""Host keys as operators give them: every form in which OpenSSH prints one, and nothing that only looks like one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from roadstead.errors import InputError
from roadstead.peers.links import given_keys
from roadstead.peers.links.hostkeys import Pins, named

KINDS = {
    "ed25519": ("ed25519", "256"),
    "ecdsa-256": ("ecdsa", "256"),
    "ecdsa-384": ("ecdsa", "384"),
    "ecdsa-521": ("ecdsa", "521"),
    "rsa": ("rsa", "2048"),
}


def _keygen(*arguments: str | Path) -> str:
    return subprocess.run(["ssh-keygen", *arguments], capture_output=True, check=True, timeout=20, text=True).stdout


@pytest.fixture(scope="module", params=list(KINDS))
def public(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public half of a key that OpenSSH made, one of each type."""
    kind, bits = KINDS[request.param]
    path = tmp_path_factory.mktemp("key") / "key"
    _keygen("-q", "-t", kind, "-b", bits, "-N", "", "-C", "root@web 1", "-f", path)
    return path.with_suffix(".pub")


@pytest.mark.limit(20)
def test_what_openssh_prints_of_a_key_is_that_key(public: Path) -> None:
    """Its line, the line of ssh-keyscan, what `ssh-keygen -l` says, and the fingerprint alone."""
    line, listed = public.read_text(), _keygen("-l", "-f", public)
    kind, blob = line.split()[:2]
    whole = given_keys.read(line)
    assert (whole.type, whole.blob, whole.named) == (kind, blob, named(blob))
    assert given_keys.read(f"192.0.2.1 {kind} {blob}\n") == whole
    assert given_keys.read(blob) == whole
    said = given_keys.read(listed)
    assert (said.named, said.blob) == (whole.named, None)
    assert given_keys.read(f"{kind} {whole.fingerprint}") == said
    alone = given_keys.read(listed.split()[1])
    assert (alone.type, alone.fingerprint) == ("", whole.fingerprint)


@pytest.mark.limit(20)
def test_a_guest_is_held_to_what_was_said(public: Path) -> None:
    """With its type only that is negotiated; without one any type may come, and the fingerprint decides."""
    blob = public.read_text().split()[1]
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIJ3vh1mF6n3Rr7iHcZ0m0u3nq3Vf8xk3f7j4mI2aVb0Q"
    for text in (public.read_text(), given_keys.read(blob).fingerprint):
        given = given_keys.read(text)
        pins = Pins(confirmed=given.named)
        assert given.type in {"", *pins.types()}
        assert (len(pins.types()) == 1) == bool(given.type)
        assert pins.judged(blob) is None
        refused = pins.judged(other)
        assert refused is not None
        assert (refused.code, refused.fields["pinned"]) == ("host-key-changed", given.fingerprint)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "neither one"),
        ("web1", "neither one"),
        ("SHA256:short", "neither one"),
        ("SHA256:" + "A" * 43 + " SHA256:" + "B" * 43, "neither one"),
        ("256 MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48 root (ED25519)", "MD5"),
        ("16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48", "MD5"),
        ("1024 SHA256:" + "A" * 43 + " x (DSA)", "DSA"),
        ("ssh-dss AAAAB3NzaC1kc3MAAAAA", "ssh-dss"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3v", "no whole"),
        ("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ3vh1mF6n3Rr7iHcZ0m0u3nq3Vf8xk3f7j4mI2aVb0Q", "another type"),
        ("AAAA", "neither one"),
        ("\0" * 4000, "neither one"),
    ],
)
def test_what_is_no_host_key_is_refused_with_the_reason(text: str, reason: str) -> None:
    """The field is named, and nothing was changed."""
    with pytest.raises(InputError) as caught:
        given_keys.read(text)
    assert (caught.value.code, caught.value.fields["field"]) == ("field-invalid", "host_key")
    assert reason in caught.value.fields["reason"]
