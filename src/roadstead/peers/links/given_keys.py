"""Host keys as operators give them: what OpenSSH prints of one, in whichever of its forms.

`ssh-keygen -l` prints ``256 SHA256:… comment (ED25519)``; a ``.pub`` file holds ``ssh-ed25519 AAAA… comment``;
`ssh-keyscan` puts the address before that; and people copy the fingerprint alone.
"""

import base64
import binascii
import re
from dataclasses import dataclass

import asyncssh

from roadstead.errors import InputError
from roadstead.peers.links.messages import HOST_KEY_ALGORITHMS, fingerprint, key_type

FIELD = "host_key"
_FINGERPRINT = re.compile(r"SHA256:([A-Za-z0-9+/]{43})=?")
_OLD_FINGERPRINT = re.compile(r"(MD5:)?[0-9a-f]{2}(:[0-9a-f]{2}){15}")
_SPELLED = {"ED25519": "ssh-ed25519", "RSA": "ssh-rsa"}
_CURVES = {"256": "ecdsa-sha2-nistp256", "384": "ecdsa-sha2-nistp384", "521": "ecdsa-sha2-nistp521"}
"""Types as `ssh-keygen -l` spells them: those of ECDSA by their bits."""


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A host key: its fingerprint, its ``type`` where that was said, and the whole key (base64 blob) where it was."""

    fingerprint: str
    type: str = ""
    blob: str | None = None

    @property
    def named(self) -> str:
        """As it is kept and compared: ``<type> <fingerprint>``; the type may be empty."""
        return f"{self.type} {self.fingerprint}"


def read(text: str) -> GivenKey:
    """Return the host key that ``text`` says. Raises `InputError` ``field-invalid``."""
    words = text.split()
    if any(_OLD_FINGERPRINT.fullmatch(word) for word in words):
        raise _invalid("an MD5 fingerprint is not taken; `ssh-keygen -lf FILE -E sha256` prints the other")
    prints = [found[1] for word in words if (found := _FINGERPRINT.fullmatch(word))]
    blobs = [word for word in words if word.startswith("AAAA") and key_type(word) is not None]
    if len(prints) + len(blobs) != 1:
        raise _invalid("it is neither one SHA-256 fingerprint (SHA256:…) nor the line of one public key")
    return _whole(blobs[0], words) if blobs else _printed(prints[0], words)


def _whole(blob: str, words: list[str]) -> GivenKey:
    kind = key_type(blob) or ""
    if kind not in HOST_KEY_ALGORITHMS:
        raise _invalid(f"keys of the type {kind} are not spoken; those are {', '.join(HOST_KEY_ALGORITHMS)}")
    if any(word in HOST_KEY_ALGORITHMS and word != kind for word in words):
        raise _invalid(f"the line names another type than the key, which is {kind}")
    try:
        asyncssh.import_public_key(f"{kind} {blob}")
    except (asyncssh.KeyImportError, ValueError) as error:
        raise _invalid("it is no whole public key") from error
    return GivenKey(fingerprint(blob), kind, blob)


def _printed(digits: str, words: list[str]) -> GivenKey:
    """A fingerprint, with its type where one of the words says it."""
    try:
        base64.b64decode(f"{digits}=", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid("it is no SHA-256 fingerprint") from error
    for word in words:
        if word in HOST_KEY_ALGORITHMS:
            return GivenKey(f"SHA256:{digits}", word)
        if word.startswith("(") and word.endswith(")"):
            return GivenKey(f"SHA256:{digits}", _spelled(word[1:-1], words[0]))
    return GivenKey(f"SHA256:{digits}")


def _spelled(word: str, bits: str) -> str:
    kind = _SPELLED.get(word) or (_CURVES.get(bits) if word == "ECDSA" else None)
    if kind is None:
        raise _invalid(f"keys of the type {word} are not spoken; those are {', '.join(HOST_KEY_ALGORITHMS)}")
    return kind


def _invalid(reason: str) -> InputError:
    return InputError("field-invalid", field=FIELD, reason=reason)
