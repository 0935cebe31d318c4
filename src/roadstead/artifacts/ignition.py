"""Reads an Ignition config as far as must be known before it goes onto a drive: will Ignition take it, whose keys
does it bring.

Ignition refuses the whole of a config for one fault, and the guest then stops in its emergency shell, so what can be
known of its rules is checked here. Rules: Ignition's specification 3.0 to 3.6 and its validation (coreos/ignition,
``config/v3_*``).
"""

import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

DEPTH = 64
MOST_FAULTS = 20
"""So many faults are told of one text."""
_VERSION = re.compile(r"3\.(\d)\.0")
_NEWEST = 6
_SECTIONS = {
    "ignition": {"config", "proxy", "security", "timeouts", "version"},
    "kernelArguments": {"shouldExist", "shouldNotExist"},
    "passwd": {"groups", "users"},
    "storage": {"directories", "disks", "files", "filesystems", "links", "luks", "raid"},
    "systemd": {"units"},
}
_LISTS = (
    ("passwd", "users", "name"),
    ("passwd", "groups", "name"),
    ("storage", "files", "path"),
    ("storage", "directories", "path"),
    ("storage", "links", "path"),
    ("systemd", "units", "name"),
)
"""Lists, and what names one of their parts: it must be there, and be in the list once."""
_UNIT = re.compile(
    r"[^/]+\.(service|socket|device|mount|automount|swap|target|path|timer|snapshot|slice|scope)", re.ASCII
)
_SOURCE = re.compile(r"(data|https?|tftp|s3|gs|arn):", re.ASCII)
_MODE = 0o7777
_STEP = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}:,]|[^\s"\[\]{}:,]+')

Path = tuple[str | int, ...]


class Fault(NamedTuple):
    """What Ignition would refuse, and where, counted from 1."""

    line: int
    column: int
    reason: str


def is_one(text: str) -> bool:
    """Whether a text is meant as one: nothing else that guests read begins so."""
    return text.lstrip("\ufeff \r\n\t").startswith("{")


def is_former(said: Any) -> bool:
    """Whether it is of specification 1 or 2, which Flatcar still takes, and which is not checked."""
    version = said.get("ignition", {}).get("version") if isinstance(said.get("ignition"), dict) else None
    return isinstance(version, str) and re.match(r"[12]\.", version) is not None


class Read(NamedTuple):
    """What a config says, what Ignition would refuse of it, and what it would pass over."""

    said: Any
    faults: list[Fault]
    unused: list[Fault]


def read(text: str) -> Read:
    """Read a config."""
    if _depth(text) > DEPTH:
        return Read({}, [Fault(1, 1, f"it is nested deeper than {DEPTH} levels")], [])
    try:
        said = json.loads(text, parse_constant=_no_constant, parse_int=_number)
    except json.JSONDecodeError as error:
        return Read({}, [Fault(error.lineno, error.colno, error.msg[:1].lower() + error.msg[1:])], [])
    except ValueError as error:
        return Read({}, [Fault(1, 1, str(error))], [])
    if is_former(said):
        return Read(said, [], [])
    faults, unused = list(_faults(said))[:MOST_FAULTS], list(_unused(said))[:MOST_FAULTS]
    places = _places(text) if faults or unused else {}
    return Read(said, [_fault(text, places, *one) for one in faults], [_fault(text, places, *one) for one in unused])


def keys(said: Any) -> frozenset[str]:
    """Return the middle parts (base64) of the SSH keys that a config lets in."""
    lines = (line for _, user in _items(said, "passwd", "users") for line in _listed(user, "sshAuthorizedKeys"))
    return frozenset(part for line in lines if isinstance(line, str) for part in line.split())


def with_keys(template: str, added: tuple[str, ...]) -> str:
    """Return a template whose user ``core`` lets further keys in; what was there stays, but is written anew.

    Raises `ValueError` where the template, with its tokens, is no JSON of that form.
    """
    said = json.loads(template)
    try:
        users = said.setdefault("passwd", {}).setdefault("users", [])
        core = next((user for user in users if user.get("name") == "core"), None)
        if core is None:
            core = {"name": "core"}
            users.append(core)
        present = core.setdefault("sshAuthorizedKeys", [])
        present += [line for line in added if line not in present]
    except (AttributeError, TypeError) as error:
        raise ValueError("it has no list of users") from error
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


# ---- the rules


def _faults(said: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    yield from _version(said)
    for name, value in said.items():
        if name in _SECTIONS and not isinstance(value, dict):
            yield (name,), "it is no object"
    for section, kind, naming in _LISTS:
        yield from _list(said, section, kind, naming)
    yield from _keyed(said)
    for path, entry in (*_items(said, "storage", "files"), *_items(said, "storage", "directories")):
        yield from _node(path, entry)
    for path, unit in _items(said, "systemd", "units"):
        if isinstance(unit.get("name"), str) and _UNIT.fullmatch(unit["name"]) is None:
            yield (*path, "name"), f"{unit['name']!r} is no name of a systemd unit"


def _unused(said: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    for name, value in said.items():
        if name not in _SECTIONS:
            yield (name,), f"there is no {name!r} among {', '.join(_SECTIONS)}"
        elif isinstance(value, dict):
            for part in sorted(value.keys() - _SECTIONS[name]):
                yield (name, part), f"there is no {part!r} in {name}"


def _version(said: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    section = said.get("ignition")
    version = section.get("version") if isinstance(section, dict) else None
    if not isinstance(version, str):
        yield ("ignition",), 'it names no version: { "ignition": { "version": "3.3.0" } }'
        return
    found = _VERSION.fullmatch(version)
    if found is None or int(found[1]) > _NEWEST:
        yield ("ignition", "version"), f"{version!r} is no version from 3.0.0 to 3.{_NEWEST}.0"


def _list(said: Any, section: str, kind: str, naming: str) -> Iterator[tuple[Path, str]]:
    held = said.get(section)
    entries = held.get(kind) if isinstance(held, dict) else None
    if entries is None:
        return
    if not isinstance(entries, list):
        yield (section, kind), "it is no list"
        return
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        path: Path = (section, kind, number)
        name = entry.get(naming) if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            yield path, f"it has no {naming}"
        elif name in seen:
            yield (*path, naming), f"{name!r} is there twice"
        elif naming == "path" and (not name.startswith("/") or posixpath.normpath(name) != name):
            yield (*path, naming), f"{name!r} is no whole path"
        else:
            seen.add(name)


def _keyed(said: Any) -> Iterator[tuple[Path, str]]:
    for path, user in _items(said, "passwd", "users"):
        lines = user.get("sshAuthorizedKeys", [])
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            yield (*path, "sshAuthorizedKeys"), "it is no list of texts"


def _node(path: Path, entry: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    mode = entry.get("mode")
    if mode is not None and (not isinstance(mode, int) or isinstance(mode, bool) or not 0 <= mode <= _MODE):
        yield (*path, "mode"), "a mode is a decimal number: 420 is 0644, 493 is 0755"
    contents = entry.get("contents", {})
    if not isinstance(contents, dict):
        yield (*path, "contents"), 'it is no object: { "source": "data:,…" }'
        return
    source = contents.get("source")
    if source is not None and not (isinstance(source, str) and (not source or _SOURCE.match(source))):
        yield (*path, "contents", "source"), "it is no URL of data, http, https, tftp, s3, gs or arn"


def _items(said: Any, section: str, kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    held = said.get(section) if isinstance(said, dict) else None
    for number, entry in enumerate(_listed(held, kind)):
        if isinstance(entry, dict):
            yield (section, kind, number), entry


def _listed(owner: Any, name: str) -> list[Any]:
    found = owner.get(name) if isinstance(owner, dict) else None
    return found if isinstance(found, list) else []


# ---- reading


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _number(digits: str) -> int:
    if len(digits) > 20:  # noqa: PLR2004 - 64 bits
        raise ValueError("a number is too large")
    return int(digits)


def _depth(text: str) -> int:
    depth = deepest = 0
    for step in _STEP.finditer(text):
        depth += (step[0] in "[{") - (step[0] in "]}")
        deepest = max(deepest, depth)
    return deepest


def _places(text: str) -> dict[Path, int]:
    """Where each part of a well-formed JSON text begins: a member at its name, else at its value."""
    places: dict[Path, int] = {}
    steps, at = [(step[0], step.start()) for step in _STEP.finditer(text)], 0
    path: list[str | int] = []
    while at < len(steps):
        word, start = steps[at]
        if path and isinstance(path[-1], int) and word not in ",]}":
            places.setdefault(tuple(path), start)
        if word == "[":
            path.append(0)
        elif word == "{":
            path.append("")
        elif word in "]}":
            path.pop()
        elif word == "," and isinstance(path[-1], int):
            path[-1] += 1
        elif at + 1 < len(steps) and steps[at + 1][0] == ":":
            path[-1] = json.loads(word)
            places[tuple(path)] = start
            at += 1
        at += 1
    return places


def _fault(text: str, places: dict[Path, int], path: Path, reason: str) -> Fault:
    while path and path not in places:
        path = path[:-1]
    at = places.get(path, 0)
    start = text.rfind("\n", 0, at) + 1
    return Fault(text.count("\n", 0, at) + 1, at - start + 1, reason)
