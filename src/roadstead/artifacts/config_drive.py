"""A config drive: what stands on it for which VM, and the template that it was made from, read back.

The layout is OpenStack's, which cloud-init, coreos-cloudinit, Ignition and cloudbase-init read, all of them by the
label. cloud-init passes over a drive without ``meta_data.json``, and over one whose has no ``uuid``; it applies a drive
once for each ``uuid``. ``user_data.template`` is the historic pack's: the text with its tokens, for people to edit.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple

from roadstead.artifacts import first_boot, guest_agent, ignition, iso, iso_files, tokens, user_data
from roadstead.artifacts.drive_templates import IGNITION, WINDOWS
from roadstead.errors import InputError

LABEL = "config-2"
TEXT_BYTES = 2**20
"""The largest text on a drive."""
KEY_NAME = "xscontainer"
"""How the pool's key is called in the metadata."""
HOSTNAME_CHARACTERS = 63

_FOLDER = "openstack/latest"
_TEMPLATE = f"{_FOLDER}/user_data.template"
_METADATA = f"{_FOLDER}/meta_data.json"
_USER_DATA = f"{_FOLDER}/user_data"
_POOL_KEY = re.compile(rf"\bssh-rsa ([A-Za-z0-9+/]{{16,4096}}={{0,2}})(?: [^\s\"']{{1,256}})? {KEY_NAME}\b")
"""A key with the comment that pools' keys have, the historic pack's too."""
FILES = (_METADATA, _USER_DATA, _TEMPLATE)
"""What a drive may hold that is read back."""


NO_FILES: Mapping[str, bytes] = MappingProxyType({})


class Guest(NamedTuple):
    """For which VM a drive is."""

    uuid: str
    hostname: str
    pool_key: str
    """The public key of the pool, a line of OpenSSH's."""
    device: str | None = None
    """The number of its network card in the host-internal network."""
    instance: str = ""
    """The instance id, when it is not the uuid: guests that read a drive once for each do so again."""


class Drive(NamedTuple):
    """A drive that was checked."""

    template: str
    user_data: str
    guest: Guest
    opens: bool
    """Whether the pool's key signs in to a VM that reads it, as far as can be told."""
    ssh_keys: tuple[str, ...] = ()
    """Further keys that the metadata brings, lines of OpenSSH's."""
    warnings: tuple[str, ...] = ()
    """What the guest will pass over, with lines."""
    agent: Mapping[str, bytes] = NO_FILES
    """The files of the guest agent, by their paths."""


def hostname(name: str, uuid: str) -> str:
    """Return a VM's name as a host name, as the historic pack made it; of a name without any letter or digit, one from
    the VM's uuid.
    """
    letters = re.sub(r"[^a-z0-9]", "", name.lower())[:HOSTNAME_CHARACTERS]
    return letters or f"vm-{uuid[:8]}"


def prepare(template: str, guest: Guest, profile: str = "", ssh_keys: tuple[str, ...] = ()) -> Drive:
    """Fill in a template and check what comes out, for guests of a profile (empty: whatever it is).

    Raises `InputError`: ``field-invalid`` (empty), ``token-…``, ``config-too-large``, ``config-invalid``,
    ``config-of-another-profile``, ``keys-not-added``.
    """
    if not user_data.beginning(template):
        raise InputError("field-invalid", field="configuration", reason="it is empty")
    kind = user_data.kind(template)
    if profile and not user_data.reads(profile, template):
        raise InputError("config-of-another-profile", profile=profile, kind=kind)
    if kind != WINDOWS:
        tokens.refuse_unknown(template)
    if kind == IGNITION and ssh_keys:
        template, ssh_keys = _within_ignition(template, ssh_keys), ()
    _, key, *_ = guest.pool_key.split()
    text = tokens.fill(template, tokens.Values(guest.hostname, key, guest.device))
    for each in (template, text):
        if len(each.encode("utf-8", "replace")) > TEXT_BYTES:
            raise InputError("config-too-large", limit=TEXT_BYTES)
    judged = user_data.judge(text, profile)
    for fault in judged.faults:
        raise InputError("config-invalid", line=fault.line, column=fault.column, reason=fault.reason)
    warnings = tuple(f"line {fault.line}: {fault.reason}" for fault in judged.warnings)
    return Drive(template, text, guest, key in judged.keys, ssh_keys, warnings)


def files(drive: Drive) -> dict[str, str]:
    """Return the texts on a drive, by their paths."""
    return {_METADATA: json.dumps(_metadata(drive)), _USER_DATA: drive.user_data, _TEMPLATE: drive.template}


def image(drive: Drive) -> bytes:
    """Return the drive as an ISO image."""
    texts = {path: text.encode() for path, text in files(drive).items()}
    return iso.build(LABEL, {**texts, **drive.agent}, {path for path in drive.agent if guest_agent.is_program(path)})


def contents(image: bytes) -> dict[str, str]:
    """Return what of `FILES` the drive ``image``, which a stranger may have made, holds; what cannot be read is not
    there.
    """
    found = {}
    for path in FILES:
        with suppress(ValueError):
            found[path] = iso_files.read(image, path, TEXT_BYTES).decode()
    return found


def ssh_keys_of(files: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys that the metadata of a drive brings besides the pool's."""
    named = _public_keys(_said(files)).items()
    return tuple(line for name, line in named if name != KEY_NAME and isinstance(line, str))


def does(files: Mapping[str, str], profile: str) -> tuple[str, ...]:
    """Return what a guest of a profile (empty: the one of most guests that read such a text) does with a drive, which a
    stranger may have made, in words.
    """
    said = _said(files)
    text = files.get(_USER_DATA, "")
    name = str(said.get("hostname", ""))[:HOSTNAME_CHARACTERS]
    return first_boot.told(text, profile or user_data.profile_of(text), name, len(_public_keys(said)))


def pool_keys_in(files: Mapping[str, str]) -> frozenset[str]:
    """Return the middle parts (base64) of the keys of pools, ours or others, that a drive lets in."""
    named = _public_keys(_said(files)).get(KEY_NAME)
    lines = [files.get(_USER_DATA, ""), f"{named} {KEY_NAME}" if isinstance(named, str) else ""]
    return frozenset(key for line in lines for key in _POOL_KEY.findall(line))


def template_in(files: Mapping[str, str]) -> str:
    """Return the template that a drive was made from; of a drive without one, which somebody else made, its text."""
    return files.get(_TEMPLATE) or files.get(_USER_DATA, "")


def template_of(content: bytes) -> str:
    """Return the template that the drive ``content``, which a stranger may have made, holds. Raises `ValueError`."""
    return iso_files.read(content, _TEMPLATE, TEXT_BYTES).decode()


def _said(files: Mapping[str, str]) -> dict[str, Any]:
    """The metadata on a drive."""
    try:
        said = json.loads(files.get(_METADATA, "{}"))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _public_keys(said: dict[str, Any]) -> dict[str, Any]:
    held = said.get("public_keys")
    return held if isinstance(held, dict) else {}


def _metadata(drive: Drive) -> dict[str, object]:
    """The pool's key is among it only if the template asks for that key: who removed its line does not want it."""
    guest = drive.guest
    said: dict[str, object] = {"uuid": guest.instance or guest.uuid, "hostname": guest.hostname, "name": guest.hostname}
    brought = {f"key-{number}": line for number, line in enumerate(drive.ssh_keys, 1)}
    if tokens.POOL_KEY in tokens.used(drive.template):
        brought = {KEY_NAME: guest.pool_key, **brought}
    if brought:
        said["public_keys"] = brought
    return said


def _within_ignition(template: str, ssh_keys: tuple[str, ...]) -> str:
    """Ignition reads no metadata: keys must stand in its config."""
    try:
        return ignition.with_keys(template, ssh_keys)
    except (ValueError, RecursionError) as error:
        raise InputError("keys-not-added") from error
