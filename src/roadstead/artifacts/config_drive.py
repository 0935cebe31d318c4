"""A config drive: what stands on it for which VM, and the template that it was made from, read back.

The layout is OpenStack's, which cloud-init, coreos-cloudinit, Ignition and cloudbase-init read, all of them by the
label. cloud-init passes over a drive without ``meta_data.json``, and over one whose has no ``uuid``; it applies a drive
once for each ``uuid``. ``user_data.template`` is the historic pack's: the text with its tokens, for people to edit.
"""

import json
import re
from typing import NamedTuple

from roadstead.artifacts import cloud_config, iso, iso_files, tokens
from roadstead.errors import InputError

LABEL = "config-2"
TEXT_BYTES = 2**20
"""The largest text on a drive."""
KEY_NAME = "xscontainer"
"""How the pool's key is called in the metadata."""
HOSTNAME_CHARACTERS = 63

_FOLDER = "openstack/latest"
_TEMPLATE = f"{_FOLDER}/user_data.template"
_WINDOWS = ("#ps1", "rem cmd")
"""How scripts for Windows begin; in these a word between percent signs is a variable of the system's own."""


class Guest(NamedTuple):
    """For which VM a drive is."""

    uuid: str
    hostname: str
    pool_key: str
    """The public key of the pool, a line of OpenSSH's."""
    device: str | None = None
    """The number of its network card in the host-internal network."""


class Drive(NamedTuple):
    """A drive that was checked."""

    template: str
    user_data: str
    guest: Guest
    opens: bool
    """Whether the pool's key signs in to a VM that reads it, as far as can be told from a cloud-config."""


def hostname(name: str, uuid: str) -> str:
    """Return a VM's name as a host name, as the historic pack made it; of a name without any letter or digit, one from
    the VM's uuid.
    """
    letters = re.sub(r"[^a-z0-9]", "", name.lower())[:HOSTNAME_CHARACTERS]
    return letters or f"vm-{uuid[:8]}"


def prepare(template: str, guest: Guest) -> Drive:
    """Fill in a template and check what comes out.

    Raises `InputError`: ``field-invalid`` (empty), ``token-…``, ``config-too-large``, ``config-invalid``.
    """
    beginning = template.lstrip("\ufeff \r\n\t")
    if not beginning:
        raise InputError("field-invalid", field="configuration", reason="it is empty")
    if not beginning.lower().startswith(_WINDOWS):
        tokens.refuse_unknown(template)
    _, key, *_ = guest.pool_key.split()
    text = tokens.fill(template, tokens.Values(guest.hostname, key, guest.device))
    for each in (template, text):
        if len(each.encode("utf-8", "replace")) > TEXT_BYTES:
            raise InputError("config-too-large", limit=TEXT_BYTES)
    opens = False
    if cloud_config.is_one(template):
        opens = key in cloud_config.keys(cloud_config.check(text))
    return Drive(template, text, guest, opens)


def image(drive: Drive) -> bytes:
    """Return the drive as an ISO image."""
    files = {
        f"{_FOLDER}/meta_data.json": json.dumps(_metadata(drive)),
        f"{_FOLDER}/user_data": drive.user_data,
        _TEMPLATE: drive.template,
    }
    return iso.build(LABEL, {path: text.encode() for path, text in files.items()})


def template_of(content: bytes) -> str:
    """Return the template that the drive ``content``, which a stranger may have made, holds. Raises `ValueError`."""
    return iso_files.read(content, _TEMPLATE, TEXT_BYTES).decode()


def _metadata(drive: Drive) -> dict[str, object]:
    """The pool's key is among it only if the template asks for that key: who removed its line does not want it."""
    guest = drive.guest
    said: dict[str, object] = {"uuid": guest.uuid, "hostname": guest.hostname, "name": guest.hostname}
    if tokens.POOL_KEY in tokens.used(drive.template):
        said["public_keys"] = {KEY_NAME: guest.pool_key}
    return said
