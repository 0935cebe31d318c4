"""What a guest does with a drive when it reads it, in words: accounts, keys, host name, files, units, programs.

Only names and paths are told, and how many there are; never what stands in a file or a password.
"""

import json
from collections.abc import Iterator
from typing import Any

from roadstead.artifacts import cloud_config, cloud_forms, cloud_schema, drive_masking, user_data
from roadstead.artifacts.drive_templates import FLATCAR, IGNITION, WINDOWS
from roadstead.errors import InputError

_SHOWN = 8
_NAME = 64
_OWN = "its own account"
_LISTS = {
    "packages": "installs {}",
    "bootcmd": "runs {} early in each boot",
    "runcmd": "runs {} at the end of that boot",
}
_WORDS = {"packages": "package", "bootcmd": "command", "runcmd": "command"}
_TOLD = frozenset({"hostname", "ssh_authorized_keys", "user", "users", "write_files", "coreos", *_LISTS})


def told(text: str, profile: str, hostname: str, keys: int) -> tuple[str, ...]:
    """Return what the guest does with a user data ``text`` whose tokens are filled in. The metadata tells ``hostname``
    and brings so many ``keys``.
    """
    kind = user_data.kind(text)
    if kind == IGNITION:
        lines = list(_by_ignition(text))
    elif kind == WINDOWS:
        lines = [f"takes the host name {hostname}", "runs the script once, as the system"]
    else:
        said = [_part(part, profile) for part in cloud_forms.parts(text)]
        name = next((str(each["hostname"]) for _, each in said if "hostname" in each), hostname)
        lines = [f"takes the host name {_cut(name)}"]
        if keys and profile != WINDOWS:
            lines.append(f"lets {_many(keys, 'key')} of the metadata into {_OWN}")
        lines += [line for lines_of, _ in said for line in lines_of]
    return tuple(dict.fromkeys(drive_masking.masked(line) for line in lines))


def _part(part: cloud_forms.Part, profile: str) -> tuple[list[str], dict[str, Any]]:
    named = f"{part.label}: " if part.label else ""
    if part.form != "#cloud-config":
        return [f"{named}{part.does}"], {}
    try:
        said = cloud_config.check(part.text)
    except InputError:
        return [f"{named}cannot read it"], {}
    return [f"{named}{line}" for line in _by_cloud_config(said, profile)], said


def _by_cloud_config(said: dict[str, Any], profile: str) -> Iterator[str]:
    own = said.get("user")
    if isinstance(own, dict) and profile != FLATCAR:
        yield f"calls {_OWN} {_cut(own.get('name'))}"
    if count := len(_list(said, "ssh_authorized_keys")):
        yield f"lets {_many(count, 'key')} of the text into {_OWN}"
    for user in _list(said, "users"):
        if isinstance(user, dict):
            count = len(_list(user, "ssh_authorized_keys"))
            yield f"makes the account {_cut(user.get('name'))}, with {_many(count, 'key')}"
        elif user != "default":
            yield f"makes the account {_cut(user)}"
    yield from _writes(_list(said, "write_files"))
    for name, words in _LISTS.items():
        if count := len(_list(said, name)):
            yield words.format(_many(count, _WORDS[name]))
    below = said.get("coreos")
    yield from _units(_list(below if isinstance(below, dict) else {}, "units"))
    if profile != FLATCAR and (rest := sorted((said.keys() - _TOLD) & cloud_schema.known(cloud_schema.NEWEST))):
        yield f"applies {_names(rest)}"


def _by_ignition(text: str) -> Iterator[str]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        yield "cannot read it"
        return
    for user in _list(_map(said, "passwd"), "users"):
        if isinstance(user, dict):
            count = len(_list(user, "sshAuthorizedKeys"))
            yield f"sets up the account {_cut(user.get('name'))}, with {_many(count, 'key')}"
    yield from _writes(_list(_map(said, "storage"), "files"))
    yield from _units(_list(_map(said, "systemd"), "units"))


def _writes(files: list[Any]) -> Iterator[str]:
    if files:
        yield f"writes {_names([each.get('path') for each in files if isinstance(each, dict)])}"


def _units(units: list[Any]) -> Iterator[str]:
    if units:
        yield f"sets up the units {_names([each.get('name') for each in units if isinstance(each, dict)])}"


def _map(owner: Any, name: str) -> dict[str, Any]:
    found = owner.get(name) if isinstance(owner, dict) else None
    return found if isinstance(found, dict) else {}


def _list(owner: dict[str, Any], name: str) -> list[Any]:
    found = owner.get(name)
    return found if isinstance(found, list) else []


def _names(names: list[Any]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(_cut(name) for name in names[:_SHOWN]) + more


def _many(count: int, word: str) -> str:
    return f"{count or 'no'} {word}" + ("" if count == 1 else "s")


def _cut(name: Any) -> str:
    return str(name)[:_NAME]
